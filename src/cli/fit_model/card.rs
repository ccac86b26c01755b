//! The card of a fitted model.

use super::FitModelArgs;
use super::sources::Source;
use super::views;
use crate::encoder::fitting::Fitted;
use crate::encoder::model::{Crops, ModelFile};
use crate::encoder::readout::FeatureScaling;
use crate::encoder::readout_kind::ReadoutKind;
use crate::stain::StainSetting;

/// Returns the text of a model's card.
pub fn card(
    args: &FitModelArgs,
    file: &ModelFile,
    sources: &[Source],
    kind: ReadoutKind,
    fitted: &Fitted,
    chosen: Option<&str>,
) -> String {
    use std::fmt::Write;
    let mut text = format!("# {}\n\n", file.name);
    let scaled = match file.feature_scaling {
        FeatureScaling::None => "",
        FeatureScaling::Hellinger => ", scaled to the square roots of their shares (Hellinger)",
    };
    let mut features = match &file.blocks[..] {
        [] => "Pooled features".to_owned(),
        blocks => format!("Pooled features after the blocks {blocks:?}"),
    };
    if let Some(Crops { px, um_per_px }) = &file.crops {
        let _ = write!(features, " of views of {px} px at {um_per_px:?} µm/px, concatenated,");
    }
    let reduced = match kind {
        ReadoutKind::Neighbourhoods { views } => {
            let (whitened, between) = match views {
                0 => ("half-whitened", String::new()),
                views => ("whitened", format!(" and, counting the same, between {}", varied_views(views))),
            };
            format!(
                "{whitened} by their covariance within neighbourhoods (tiles of a slide nearer than {} µm){between}, and \
                 reduced from {} to {} numbers, scaled to length 1, by a principal component analysis that keeps",
                args.within_um, fitted.head.inputs, fitted.head.outputs
            )
        }
        ReadoutKind::Pca { whiten, cosine } => format!(
            "reduced from {} to {} numbers by a principal component analysis{}{} that keeps",
            fitted.head.inputs,
            fitted.head.outputs,
            if whiten { ", whitened" } else { "" },
            if cosine { ", scaled to length 1," } else { "" }
        ),
        ReadoutKind::Prototypes => format!(
            "{} numbers, each brought to unit variance, and from them the membership in {} prototypes (sharpness {}) \
             in {} principal components that keep",
            fitted.head.inputs,
            fitted.head.outputs,
            args.sharpness,
            args.components.min(fitted.head.inputs)
        ),
    };
    let paths: Vec<String> = args.weights.iter().map(|path| path.display().to_string()).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{features} of {} with {}the weights {}{scaled}, {reduced} {:.1} % of their variance.\n\n\
         Fitted on {} tissue tiles of {} px at {} µm/px (or the slide's own resolution where that is coarser), \
         {}{}, at most {} a slide, seed {}, of:\n",
        file.backbone.shown_name(),
        if paths.len() > 1 { "the mean of " } else { "" },
        paths.join(", "),
        100.0 * fitted.explained,
        sources.iter().map(|source| source.tiles.len()).sum::<usize>(),
        file.preprocessing.tile_px,
        file.preprocessing.mpp,
        if file.preprocessing.stain == StainSetting::Lab {
            "stain-normalised"
        } else {
            "in their original colours"
        },
        if args.neighbourhoods || args.labels.is_some() {
            ", covering as much tissue on coarser slides by fewer pixels"
        } else {
            ""
        },
        args.tiles_per_slide,
        args.seed,
    );
    for source in sources {
        let _ = writeln!(
            text,
            "- {} ({} tiles, {:.2} µm/px)",
            source.slide.info().name(),
            source.tiles.len(),
            source.grid.effective_mpp
        );
    }
    if let Some(chosen) = chosen {
        let _ = writeln!(text, "\n{chosen}");
    }
    text
}

/// How views of a tile vary, in words.
fn varied_views(views: u32) -> String {
    let percent = views::STAIN.map(|share| f64::from(share) * 100.0);
    format!(
        "a tile and {views} varied view{} of it (moved by up to {:.0} % of its edge, {:.2} to {:.2} times as large, flipped, \
         turned, the amounts of stains scaled by up to {:.0} or {:.0} %)",
        if views == 1 { "" } else { "s" },
        100.0 * views::MOVE,
        1.0 / views::SIZE,
        views::SIZE,
        percent[0],
        percent[1],
    )
}
