//! Writing an encoder as an ONNX file.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::Computation;
use crate::model::{Location, Model, locate};
use crate::{EncoderError, EncoderSpec, ImportedEncoder};
use histokin_core::descriptors::Recipe;
use histokin_core::durable;

/// Largest number of bytes of weights that are put into the model's file, whose format ends at 2 GiB.
const MOST_INSIDE: usize = 1_900_000_000;

/// An encoder that was written.
#[derive(Debug)]
pub struct Exported {
    /// Properties of the encoder.
    pub spec: EncoderSpec,
    /// The model and, if its weights lie beside it, their file, which has to stay with it.
    pub files: Vec<PathBuf>,
    /// Length of all files in bytes.
    pub bytes: u64,
    /// What the model says of itself, by name.
    pub properties: Vec<(&'static str, String)>,
}

/// Writes the encoder `which`, a name or path, as an ONNX model to `path`. Weights of more than 1.9 GB are put into a
/// file of their own beside it, with `.data` after the model's name.
///
/// # Errors
/// [`EncoderError`] if there is no such encoder, it has no network that can be read, or a file cannot be written.
pub fn export(which: &str, path: &Path) -> Result<Exported, EncoderError> {
    let model = match locate(which)? {
        Location::TorchScript(module) => {
            return Err(EncoderError::File {
                path: module,
                reason:
                    "a TorchScript module is a program, which cannot be written as ONNX; export it where it \
                         was made (torch.onnx.export), or give its weights"
                        .into(),
            });
        }
        Location::Imported(path) => {
            return Err(EncoderError::Imported { name: ImportedEncoder::read(&path)?.name });
        }
        location => Model::at(location)?,
    };
    write(&model, path, MOST_INSIDE)
}

/// Writes a model, with its weights beside it if they are more than `most_inside` bytes.
pub(crate) fn write(model: &Model, path: &Path, most_inside: usize) -> Result<Exported, EncoderError> {
    let failed = |path: &Path, error: std::io::Error| EncoderError::File {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let computation = Computation::of(model, [model.spec.tiles.tile_px; 2])?;
    let mut files = vec![path.to_owned()];
    let mut bytes = 0;
    let message = match computation.length() <= most_inside {
        true => computation.whole(),
        false => {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(".data");
            let beside = path.with_file_name(&name);
            let location = name.to_str().ok_or_else(|| EncoderError::File {
                path: path.to_owned(),
                reason: "the name of the model has to be Unicode, since its weights lie in a second file"
                    .into(),
            })?;
            let (message, constants) = computation.divided(location);
            durable::write_with(&beside, |file| {
                constants.iter().try_for_each(|constant| file.write_all(constant.bytes()))
            })
            .map_err(|error| failed(&beside, error))?;
            bytes += constants.iter().map(|constant| constant.length() as u64).sum::<u64>();
            files.push(beside);
            message
        }
    };
    durable::write(path, &message).map_err(|error| failed(path, error))?;
    bytes += message.len() as u64;
    Ok(Exported { spec: model.spec.clone(), files, bytes, properties: properties(model) })
}

/// Returns what a model says of itself, by name.
pub(super) fn properties(model: &Model) -> Vec<(&'static str, String)> {
    let EncoderSpec { id, name, width, tiles, stain, stain_reference } = model.spec.clone();
    let recipe = Recipe { encoder_id: id.clone(), encoder_name: name.clone(), tiles, stain };
    let mut properties = vec![
        ("name", name),
        ("encoder_id", id.0),
        ("recipe", recipe.short_id()),
        ("tile_px", tiles.tile_px.to_string()),
        ("um_per_px", tiles.mpp.to_string()),
        ("numbers", width.to_string()),
        ("stain_normalisation", stain.name().to_owned()),
    ];
    if stain.is_lab() {
        let list = |values: [f32; 3]| values.map(|value| value.to_string()).join(",");
        properties.push(("stain_reference_lab_mean", list(stain_reference.mean)));
        properties.push(("stain_reference_lab_std", list(stain_reference.std)));
    }
    let about = &model.file.about;
    let known = [("source", &about.source), ("licence", &about.licence)];
    properties.extend(
        known.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (key, text.clone())),
    );
    properties
}

/// Returns what a model does, for a person.
pub(super) fn description(model: &Model) -> String {
    let tiles = model.spec.tiles;
    let stain = match model.spec.stain.is_lab() {
        true => {
            " Before that, colours are normalised: mean and standard deviation of the slide's tissue in CIELAB are \
             matched to those in the properties. This is not part of the model."
        }
        false => " Colours are those of the slide.",
    };
    format!(
        "Encoder {} of histokin. It takes square tiles of {} px at {} µm/px as bytes [tiles, {1}, {1}, 3], rows of \
         pixels of red, green and blue from 0 to 255, and returns descriptors of {} numbers.{stain}",
        model.spec.name, tiles.tile_px, tiles.mpp, model.spec.width
    )
}
