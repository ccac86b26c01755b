//! What is known of an encoder, in words for the user.

use std::path::PathBuf;

use super::backbones::BackboneKind;
use super::backbones::vit::VitOutput;
use super::model::{Crops, FurtherNetwork, Location, Model, ModelFile, ModelSummary, locate, sidecar};
use super::vit_settings::OpenSettings;
use super::{Described, EncoderError, EncoderSpec};
use histokin_core::number_format::plain;
use histokin_core::paths;
use histokin_core::tiling::TileSettings;

/// An encoder that could be used, with what is known of it.
#[derive(Debug)]
pub struct Examined {
    /// Its display name.
    pub name: String,
    /// Tiles that it was made for.
    pub tiles: TileSettings,
    /// Labels and texts, in the order in which they are shown.
    pub facts: Vec<(&'static str, String)>,
    /// What its weights leave open; `None` unless it is a file of a vision transformer's weights.
    pub open: Option<OpenSettings>,
}

/// Reads what is known of the encoder of this name or path. A TorchScript module is run only if the user has allowed
/// it.
///
/// # Errors
/// As [`super::load`], except that a module may be one that was not allowed to run.
pub fn examine(which: &str) -> Result<Examined, EncoderError> {
    match locate(which)? {
        Location::TorchScript(path) => examine_module(path),
        location => {
            let described = super::described(Model::at(location)?);
            let EncoderSpec { name, tiles, .. } = described.spec.clone();
            Ok(Examined { name, tiles, facts: facts(&described), open: OpenSettings::of(&described) })
        }
    }
}

fn examine_module(path: PathBuf) -> Result<Examined, EncoderError> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let tiles = sidecar(&path)?.0.tiles();
    let shown = path.display().to_string();
    let last = match super::spec_at(Location::TorchScript(path)) {
        Ok(spec) => ("Features", format!("{} numbers", spec.width)),
        Err(EncoderError::Untrusted { .. }) => {
            ("Permission", "it is asked for before the module runs".to_owned())
        }
        Err(error @ EncoderError::NeedsTorch { .. }) => ("Not usable", error.to_string()),
        Err(error) => return Err(error),
    };
    let network = "TorchScript module, which is a program".to_owned();
    let facts = vec![
        ("Name", name.clone()),
        ("Network", network),
        ("Tiles", tiles_text(tiles)),
        last,
        ("Module", shown),
    ];
    Ok(Examined { name, tiles, facts, open: None })
}

/// Returns what is known of an encoder, as labels and texts in the order in which they are shown.
fn facts(Described { file, spec, recognised }: &Described) -> Vec<(&'static str, String)> {
    let about = &file.about;
    let mut facts = Vec::new();
    let mut add = |label: &'static str, text: String| {
        if !text.is_empty() {
            facts.push((label, text));
        }
    };
    add("Name", file.name.clone());
    add("Known as", about.known_as.clone());
    add("Made for", about.purpose.clone());
    add("Network", network(file));
    add("Tiles", tiles_text(file.preprocessing.tiles()));
    add("Views", file.crops.as_ref().map(|crops| views(crops, &file.further_networks)).unwrap_or_default());
    add("Features", features(file));
    if spec.width != file.feature_width() {
        add("Descriptor", format!("{} numbers", spec.width));
    }
    add("Source", about.source.clone());
    add("Licence", about.licence.clone());
    add("Commercial use", about.commercial.map(|commercial| commercial.to_string()).unwrap_or_default());
    if let Some(found) = recognised {
        let exact = "the file is exactly the one published (SHA-256)";
        add("Recognised by", if found.is_published_file { exact.to_owned() } else { String::new() });
        add("Not confirmed", found.known.map(|known| known.unconfirmed.join("; ")).unwrap_or_default());
        add("Parameters named as by", found.naming.to_owned());
        add("Settings from", found.settings.join(", "));
        add("Assumed", found.assumed.join("; "));
        add("Same shapes", found.similar.join(", "));
    }
    for weights in file.all_weights() {
        // Without the `..` that leads from a model's folder to weights that several models share.
        let weights = paths::canonical(weights).unwrap_or_else(|_| weights.to_owned());
        add("Weights", weights.display().to_string());
    }
    facts
}

/// Returns the network and the tiles of a model in a few words, or why it cannot be used.
pub fn summary(model: &ModelSummary) -> String {
    match (&model.problem, &model.file) {
        (None, Some(file)) => {
            format!("{}, tiles of {}", network(file), tiles_text(file.preprocessing.tiles()))
        }
        (problem, _) => problem.clone().unwrap_or_default(),
    }
}

fn tiles_text(TileSettings { tile_px, mpp }: TileSettings) -> String {
    format!("{tile_px} px at {} µm/px", plain(mpp))
}

/// Returns the network, or the networks, in a few words: first its name, then, after a comma, what else there is to say.
pub fn network(file: &ModelFile) -> String {
    if file.further_networks.is_empty() {
        return network_of(file.backbone);
    }
    let further = file.further_networks.iter().map(|network| network.backbone);
    let names: Vec<String> =
        std::iter::once(file.backbone).chain(further).map(BackboneKind::shown_name).collect();
    names.join(" + ")
}

fn network_of(backbone: BackboneKind) -> String {
    let name = backbone.shown_name();
    match backbone {
        BackboneKind::Vit(architecture) if name != architecture.in_words() => {
            format!("{name}, {}", architecture.in_words())
        }
        _ => name,
    }
}

/// Returns the views of a tile in a few words, and which of them further networks see if not all.
fn views(crops: &Crops, further: &[FurtherNetwork]) -> String {
    let spacings = |all: &[f64]| {
        let spacings: Vec<String> = all.iter().map(|um| format!("{} µm/px", plain(um))).collect();
        spacings.join(" and ")
    };
    let mut text = format!("{} px at {}, concatenated", crops.px, spacings(&crops.um_per_px));
    for network in further.iter().filter(|network| !network.um_per_px.is_empty()) {
        text +=
            &format!("; {} sees those at {}", network.backbone.shown_name(), spacings(&network.um_per_px));
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::vit::VitArchitecture;

    #[test]
    fn networks_have_the_names_by_which_people_know_them() {
        let published = BackboneKind::PUBLISHED.map(BackboneKind::shown_name);
        assert_eq!(
            published[..5],
            ["ResNet-18", "ResNet-34", "ResNet-50", "MobileNetV2", "EfficientNet-Lite0"]
        );
        assert_eq!(published[5..], ["EfficientNet-Lite1", "EfficientNet-Lite2"]);
        let base = VitArchitecture::base();
        let of = |width, depth, patch_px| VitArchitecture { width, depth, patch_px, ..base };
        let named = [of(384, 12, 14), base, of(1024, 24, 16), of(1280, 32, 14), of(1536, 40, 14)];
        let named = named.map(|architecture| BackboneKind::Vit(architecture).shown_name());
        assert_eq!(named, ["ViT-S/14", "ViT-B/16", "ViT-L/16", "ViT-H/14", "ViT-g/14"]);
        let other = BackboneKind::Vit(of(1536, 24, 14)).shown_name();
        assert_eq!(other, "vision transformer of 24 blocks of 1536 numbers, patches of 14 px");
        let shipped = crate::describe(crate::DEFAULT).unwrap().file;
        assert_eq!(network(&shipped), "MobileNetV2");
        let file = ModelFile { backbone: BackboneKind::Vit(base), ..shipped };
        let expected = "ViT-B/16, vision transformer of 12 blocks of 768 numbers, patches of 16 px";
        assert_eq!(network(&file), expected);
    }

    #[test]
    fn a_module_that_was_not_allowed_is_shown_without_running_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("module.pt");
        std::fs::write(&path, "never read as a module").unwrap();
        std::fs::write(folder.path().join("module.pt.toml"), "tile_px = 256\nmpp = 0.5\n").unwrap();
        let found = examine(path.to_str().unwrap()).unwrap();
        assert_eq!((found.name.as_str(), found.tiles), ("module", TileSettings { tile_px: 256, mpp: 0.5 }));
        // Without libtorch there is nothing to allow.
        let last = if cfg!(feature = "torch") { "Permission" } else { "Not usable" };
        assert!(found.facts.iter().any(|(label, _)| *label == last), "{:?}", found.facts);
    }
}
