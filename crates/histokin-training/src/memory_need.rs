//! What a run needs of the encoder that it starts from, and of memory, before it starts.

use super::TrainingError;
use super::config::{Method, TrainingConfig};
use super::kept_rows::PICTURES;
#[cfg(feature = "torch")]
use histokin_core::number_format::decimal;
use histokin_core::tiling::TileSettings;
use histokin_encoder as encoder;
use histokin_encoder::backbones::BackboneKind;
use histokin_encoder::model::{Crops, ModelFile};
use histokin_encoder::trainable::{Start, TrainingMemory};

impl TrainingConfig {
    /// Takes over the network of the encoder that training starts from, where that is a vision transformer: only its
    /// file tells it. Tiles that were left as they are in the presets become those that the encoder was made for, and
    /// so they do where an encoder sees several views of a tile.
    ///
    /// # Errors
    /// Returns [`TrainingError::Encoder`] if the encoder cannot be read, and [`TrainingError::Config`] if it is made of
    /// several networks or patches do not fill the tiles.
    pub fn settle(&mut self) -> Result<(), TrainingError> {
        let Some(found) = start(self)? else { return Ok(()) };
        found.check_single().map_err(TrainingError::Config)?;
        let is_vit = matches!(found.backbone, BackboneKind::Vit(_));
        if (is_vit || found.crops.is_some()) && self.tiles() == TileSettings::default() {
            TileSettings { tile_px: self.tile_px, mpp: self.mpp } = found.preprocessing.tiles();
        }
        let BackboneKind::Vit(architecture) = found.backbone else { return Ok(()) };
        self.backbone = found.backbone;
        let patch = architecture.patch_px as u32;
        if found.crops.is_none() && !self.tile_px.is_multiple_of(patch) {
            return Err(TrainingError::Config(format!(
                "tile_px is {}; patches of {patch} px have to fill a tile: give {}",
                self.tile_px,
                (self.tile_px / patch).max(1) * patch
            )));
        }
        Ok(())
    }

    /// Estimates the memory that the network takes, which sees tiles as a whole or the views `crops` of them; `None` for
    /// convolutional networks, of which there is no estimate.
    pub fn memory_need(&self, crops: Option<&Crops>) -> Option<TrainingMemory> {
        let BackboneKind::Vit(architecture) = self.backbone else { return None };
        let of_group = if self.method == Method::Npid { 1 } else { self.loss.group_size() };
        let tiles = match self.kept_views {
            0 => self.batch * of_group,
            // The network looks at so many at once, whatever the batch.
            views => PICTURES.max(views),
        };
        let (views, edge) = crops.map_or((1, self.tile_px), |crops| (crops.count(), crops.px));
        Some(TrainingMemory::of(&architecture, self.depth, tiles * views, edge as usize))
    }
}

/// Returns the description of the encoder that training starts from, if it starts from one.
fn start(config: &TrainingConfig) -> Result<Option<ModelFile>, TrainingError> {
    match config.init.parse::<Start>() {
        Ok(Start::From(which)) => Ok(Some(encoder::describe(&which)?.file)),
        Ok(Start::ImageNet | Start::Random) => Ok(None),
    }
}

/// Returns what the user is told of the memory that a run needs, if that is known.
///
/// # Errors
/// Returns [`TrainingError::TooMuchMemory`] if the run is to train on the CPU and the computer has less, and
/// [`TrainingError::Encoder`] if the encoder to start from cannot be read.
#[cfg(feature = "torch")]
pub(super) fn told(
    config: &TrainingConfig,
    device: encoder::DeviceChoice,
) -> Result<Option<String>, TrainingError> {
    if !matches!(config.backbone, BackboneKind::Vit(_)) {
        return Ok(None);
    }
    let crops = start(config)?.and_then(|found| found.crops);
    let Some(need) = config.memory_need(crops.as_ref()) else { return Ok(None) };
    let gib = |bytes: usize| decimal(bytes as f64 / f64::from(1 << 30), 1);
    let parts = format!(
        "about {} GiB of memory ({} weights, {} gradients and moments of what is trained, {} activations)",
        gib(need.total()),
        gib(need.weights),
        gib(need.trained),
        gib(need.activations)
    );
    let is_cpu = encoder::trainable::device_name(device)? == "CPU";
    match histokin_core::memory::available_bytes().filter(|_| is_cpu) {
        Some(there) if there < need.total() => {
            Err(TrainingError::TooMuchMemory { need: parts, there: format!("{} GiB", gib(there)) })
        }
        Some(there) => Ok(Some(format!("training needs {parts}; {} GiB are free", gib(there)))),
        None => Ok(Some(format!("training needs {parts}"))),
    }
}
