//! Embedding of one slide: decode and normalise → batch and encode → store. The colour histogram, the baseline
//! of reports, is computed from the decoded tiles beside it.

mod stages;
mod work;

use std::path::PathBuf;
use std::sync::Arc;

use super::baseline::HsvHistogram;
use super::{EmbedControl, TileSelection};
use histokin_core::descriptors::{
    DescriptorError, DescriptorHeader, DescriptorSet, DescriptorStore, Journal, Recipe,
};
use histokin_core::slide::{SlideError, SlideSource};
use histokin_core::stain::{LabNormaliser, LabStatistics, StainSetting};
use histokin_core::tiling::{TileGrid, TileIndex};
use histokin_core::tissue::selection::NoTiles;
use histokin_core::tissue::{ColouredTissue, TissueMask};
use histokin_encoder::{Encoder, EncoderError};

use stages::{Journals, Results, TileSource};
use work::Work;

/// Resource settings of the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct EmbedSettings {
    /// Number of threads that decode and normalise tiles.
    pub decode_threads: usize,
    /// Number of tiles encoded at once.
    pub batch: usize,
    /// Whether the colour histogram, the baseline of reports, is computed from the same pixels and stored as
    /// descriptors of its own recipe.
    pub baseline: bool,
}

impl Default for EmbedSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { decode_threads: (cores / 2).clamp(1, 8), batch: 16, baseline: true }
    }
}

/// Progress of a running embedding.
pub enum EmbedProgress {
    /// The slide is read to find its tissue; a slide without coarse levels takes long.
    FindingTissue {
        /// Share (0 to 1) of the slide that has been read.
        share: f64,
    },
    /// The tiles are selected and embedding starts.
    Started {
        /// Number of tiles embedded by earlier runs.
        done: u32,
        /// Number of selected tiles.
        total: u32,
        /// Number of tiles that could not be read; 0 at the start, as earlier failures are tried again.
        failed: u32,
    },
    /// Another batch of tiles is done.
    Tiles {
        /// Number of tiles that are embedded or have failed.
        done: u32,
        /// Number of selected tiles.
        total: u32,
        /// Number of tiles that could not be read.
        failed: u32,
        /// Speed over the last few seconds.
        tiles_per_second: f64,
    },
    /// Everything embedded so far.
    Searchable(Arc<DescriptorSet>),
    /// The spacing of the slide is coarser than requested and is used instead.
    Coarser {
        /// Spacing of the slide, in µm/px.
        mpp: f64,
        /// Requested spacing, in µm/px.
        asked_mpp: f64,
    },
    /// A message for the user about a problem that does not stop the embedding.
    Notice(String),
}

/// Summary of a finished embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedSummary {
    /// Number of tiles in the grid.
    pub tiles_grid: u32,
    /// Number of selected tiles.
    pub tiles_tissue: u32,
    /// Number of selected tiles that could not be read.
    pub tiles_failed: u32,
    /// Number of selected tiles that had been embedded before, under any selection.
    pub tiles_kept: u32,
    /// Reason why no tiles are selected, if that is the case.
    pub no_tiles: Option<NoTiles>,
    /// Path of the descriptor file.
    pub descriptors: PathBuf,
}

/// Outcome of an embedding.
pub enum EmbedOutcome {
    /// All selected tiles are embedded or have failed.
    Finished {
        /// The descriptors.
        set: Arc<DescriptorSet>,
        /// Numbers of tiles, and the path of the file.
        summary: EmbedSummary,
    },
    /// Stopped by [`EmbedControl::stop`]; the next call continues from here.
    Interrupted,
}

/// Reason why a slide could not be embedded. Finished work is kept.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The slide cannot be read.
    #[error(transparent)]
    Slide(#[from] SlideError),
    /// The encoder failed.
    #[error("{}: {source}", path.display())]
    Encoder {
        /// File of the slide.
        path: PathBuf,
        /// Error of the encoder.
        source: EncoderError,
    },
    /// Descriptors cannot be read or written.
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    /// A thread of the pipeline could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
}

/// A slide to embed, and how.
#[derive(Clone, Copy)]
pub struct EmbedRequest<'a> {
    /// The slide.
    pub slide: &'a dyn SlideSource,
    /// Which of its tiles are embedded.
    pub selection: &'a TileSelection,
    /// Its tissue mask, if that is known; otherwise the tissue is detected.
    pub tissue: Option<&'a TissueMask>,
    /// Recipe of the descriptors.
    pub recipe: &'a Recipe,
    /// Store of the descriptors.
    pub store: &'a DescriptorStore,
    /// Resource settings.
    pub settings: EmbedSettings,
}

/// Embeds the selected tiles of a slide, or continues an interrupted run. Tiles that were embedded before, under
/// any selection, are not embedded again; those that are no longer selected are moved from the set to a separate
/// file. Blocks until done.
///
/// # Errors
/// [`EmbedError`]; finished work is kept and the next call continues from there.
pub fn embed_slide(
    request: &EmbedRequest<'_>,
    encoder: &mut dyn Encoder,
    control: &EmbedControl,
    report: &mut dyn FnMut(EmbedProgress),
) -> Result<EmbedOutcome, EmbedError> {
    let EmbedRequest { slide, selection, tissue, recipe, store, settings } = *request;
    let info = slide.info();
    let grid = TileGrid::new(info, recipe.tiles)?;
    let selected_by = selection.id();
    let earlier = match store.open(&info.id, recipe) {
        // A set with another tile grid stems from an earlier calibration of the slide and is ignored.
        Ok(set) => set.filter(|set| set.header.tile_grid() == grid),
        Err(damaged @ DescriptorError::Damaged { .. }) => {
            report(EmbedProgress::Notice(damaged.to_string()));
            None
        }
        Err(other) => return Err(other.into()),
    };
    let earlier = match earlier {
        // A slide without tiles is checked again, since tissue detection may have changed.
        Some(set) if set.header.selection == selected_by && set.header.tiles_tissue > 0 => {
            let kept = set.len() as u32;
            return Ok(finished(Arc::new(set), &grid, store, (kept, None)));
        }
        other => other,
    };
    if grid.is_coarser_than(recipe.tiles) {
        report(EmbedProgress::Coarser { mpp: grid.effective_mpp, asked_mpp: recipe.tiles.mpp });
    }
    let found;
    let tissue = match tissue.filter(|mask| mask.settings.same_mask(selection.settings())) {
        Some(tissue) => tissue,
        None => {
            let mut goes_on = |share| {
                report(EmbedProgress::FindingTissue { share });
                !control.is_stopped()
            };
            match TissueMask::find_while(slide, selection.settings(), &mut goes_on)? {
                Some(mask) => found = mask,
                None => return Ok(EmbedOutcome::Interrupted),
            }
            &found
        }
    };
    let wanted = selection.tiles(tissue, &grid);
    let no_tiles = wanted.is_empty().then(|| selection.why_none(tissue, &grid, info));
    let normaliser = normaliser(slide, None, recipe.stain, encoder.spec().stain_reference)?;
    let width = encoder.spec().width;
    let header = DescriptorHeader {
        selection: selected_by,
        ..DescriptorHeader::new(info.id.clone(), recipe.clone(), width, &grid, wanted.len() as u32)
    };
    let (mut work, journal) = Work::open(store, header.clone(), &grid, earlier.as_ref(), wanted.clone())?;
    let baseline = match settings.baseline {
        true => baseline_work(store, &header, &grid, wanted)?,
        false => None,
    };
    let kept = work.done();
    report(EmbedProgress::Started { done: kept, total: work.total(), failed: 0 });

    let source =
        TileSource { slide, grid, normaliser: normaliser.as_ref(), has_baseline: baseline.is_some() };
    let (mut baseline, baseline_journal) = baseline.unzip();
    let journals = Journals { own: journal, baseline: baseline_journal };
    let mut results = Results { own: &mut work, baseline: baseline.as_mut() };
    stages::run(&source, encoder, journals, settings, control, &mut results, report)?;
    if !work.finish(store)? {
        return Ok(EmbedOutcome::Interrupted);
    }
    if let Some(baseline) = baseline {
        // Tiles that were embedded before without the histogram are left to the first report.
        baseline.finish(store)?;
    }
    let set = store.open(&info.id, recipe)?.unwrap_or_else(|| work.to_set());
    Ok(finished(Arc::new(set), &grid, store, (kept, no_tiles)))
}

/// Returns the work on the colour histogram of the `wanted` tiles, which `header` describes for another encoder;
/// `None` if it is done already or is what the header describes.
fn baseline_work(
    store: &DescriptorStore,
    header: &DescriptorHeader,
    grid: &TileGrid,
    wanted: Vec<TileIndex>,
) -> Result<Option<(Work, Journal)>, DescriptorError> {
    let histogram = HsvHistogram::new(header.recipe.tiles);
    let spec = histogram.spec();
    if spec.id == header.recipe.encoder_id {
        return Ok(None);
    }
    let recipe = Recipe {
        encoder_id: spec.id.clone(),
        encoder_name: spec.name.clone(),
        tiles: spec.tiles,
        stain: spec.stain,
    };
    // A damaged file is written again.
    let earlier = store.open(&header.slide_id, &recipe).ok().flatten();
    let earlier = earlier.filter(|set| set.header.tile_grid() == *grid);
    if earlier.as_ref().is_some_and(|set| {
        set.header.selection == header.selection && set.header.tiles_tissue == header.tiles_tissue
    }) {
        return Ok(None);
    }
    let header = DescriptorHeader { recipe, width: spec.width, ..header.clone() };
    Work::open(store, header, grid, earlier.as_ref(), wanted).map(Some)
}

/// Returns the stain normaliser from the slide's colours to the encoder's reference; `None` if normalisation
/// is off or the slide has too little tissue. The statistics come from `tissue` if given, else from the
/// slide.
///
/// # Errors
/// When the slide cannot be read.
pub(super) fn normaliser(
    slide: &dyn SlideSource,
    tissue: Option<&ColouredTissue>,
    stain: StainSetting,
    reference: LabStatistics,
) -> Result<Option<LabNormaliser>, SlideError> {
    Ok(match stain {
        StainSetting::Lab => {
            let statistics = match tissue {
                Some(tissue) => LabStatistics::of_tissue(slide, tissue)?,
                None => LabStatistics::of_slide(slide)?,
            };
            statistics.map(|statistics| LabNormaliser::new(statistics, reference))
        }
        StainSetting::None => None,
    })
}

fn finished(
    set: Arc<DescriptorSet>,
    grid: &TileGrid,
    store: &DescriptorStore,
    (tiles_kept, no_tiles): (u32, Option<NoTiles>),
) -> EmbedOutcome {
    let summary = EmbedSummary {
        tiles_grid: grid.len(),
        tiles_tissue: set.header.tiles_tissue,
        tiles_failed: set.tiles_failed,
        tiles_kept,
        no_tiles,
        descriptors: store.path(&set.header.slide_id, &set.header.recipe),
    };
    EmbedOutcome::Finished { set, summary }
}
