//! What is known of an encoder, in words for the user.

use std::path::Path;

use super::EncoderError;
use super::backbones::BackboneKind;
use super::backbones::vit::{VitArchitecture, VitOutput};
use super::model::ModelFile;
use super::vit_settings::{RecognisedVit, recognise};

/// Returns what is known of the encoder of this name or path, as labels and texts in the order in which they are
/// shown. Reads headers of weights only, except of files of PyTorch.
///
/// # Errors
/// As [`super::describe`].
pub fn facts(which: &str) -> Result<Vec<(&'static str, String)>, EncoderError> {
    let file = super::describe(which)?;
    let recognised = recognised(Path::new(which), &file)?;
    let settings = &file.preprocessing;
    let mut facts = Vec::new();
    let mut add = |label: &'static str, text: String| {
        if !text.is_empty() {
            facts.push((label, text));
        }
    };
    add("Name", file.name.clone());
    let known = recognised.as_ref().and_then(|found| found.known);
    add("Known as", known.map(|known| known.name.clone()).unwrap_or_default());
    add("Network", network(&file));
    add("Tiles", format!("{} px at {} µm/px", settings.tile_px, settings.mpp));
    add("Features", features(&file));
    if let Some(known) = known {
        add("Source", known.source.clone());
        add("Licence", known.licence.clone());
        add("Commercial use", known.commercial.to_string());
        add("Not confirmed", known.unconfirmed.join("; "));
    }
    if let Some(found) = &recognised {
        add("Parameters named as by", found.naming.to_owned());
        add("Settings from", found.settings.join(", "));
        add("Assumed", found.assumed.join("; "));
        add("Same shapes", found.similar.join(", "));
    }
    add("Weights", file.weights.display().to_string());
    Ok(facts)
}

/// Returns what was recognised in a file of a vision transformer; `None` of a model that was set up, whose description
/// has settled what a file leaves open, and of other networks.
///
/// # Errors
/// As [`recognise`].
pub fn recognised(path: &Path, file: &ModelFile) -> Result<Option<RecognisedVit>, EncoderError> {
    let is_set_up = !path.exists() || path.join(super::model::MODEL_FILE).is_file() || file.head.is_some();
    match file.backbone {
        BackboneKind::Vit(_) if !is_set_up => recognise(&file.weights).map(Some),
        _ => Ok(None),
    }
}

/// Returns the network in a few words.
pub fn network(file: &ModelFile) -> String {
    match file.backbone {
        BackboneKind::Vit(VitArchitecture { patch_px, width, depth, .. }) => {
            format!("vision transformer of {depth} blocks of {width} numbers, patches of {patch_px} px")
        }
        other => other.to_string(),
    }
}

/// Returns how many numbers are taken out of the network, and which.
fn features(file: &ModelFile) -> String {
    let which = match file.backbone {
        BackboneKind::Vit(architecture) => match architecture.output {
            VitOutput::Class => ": the class token",
            VitOutput::ClassAndMean => ": the class token and the mean of the patches",
            VitOutput::Mean => ": the mean of the patches",
            VitOutput::Projection => ": the projection of the class token",
        },
        _ => "",
    };
    format!("{} numbers{which}", file.feature_width())
}
