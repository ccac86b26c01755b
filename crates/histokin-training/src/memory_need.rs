//! What a run needs of the encoder that it starts from, and of memory, before it starts.

use super::TrainingError;
use super::config::{Method, TrainingConfig};
use histokin_core::memory;
use histokin_core::tiling::TileSettings;
use histokin_encoder::backbones::BackboneKind;
use histokin_encoder::trainable::{Start, TrainingMemory};
use histokin_encoder::{self as encoder, DeviceChoice};

impl TrainingConfig {
    /// Takes over the network of the encoder that training starts from, where that is a vision transformer: only its
    /// file tells it. Tiles that were left as they are in the presets become those that the encoder was made for.
    ///
    /// # Errors
    /// Returns [`TrainingError::Encoder`] if the encoder cannot be read, and [`TrainingError::Config`] if patches do
    /// not fill the tiles.
    pub fn settle(&mut self) -> Result<(), TrainingError> {
        let Ok(Start::From(which)) = self.init.parse::<Start>() else { return Ok(()) };
        let found = encoder::describe(&which)?.file;
        let BackboneKind::Vit(architecture) = found.backbone else { return Ok(()) };
        self.backbone = found.backbone;
        if self.tiles() == TileSettings::default() {
            TileSettings { tile_px: self.tile_px, mpp: self.mpp } = found.preprocessing.tiles();
        }
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

    /// Estimates the memory that a step takes; `None` for convolutional networks, of which there is no estimate.
    pub fn memory_need(&self) -> Option<TrainingMemory> {
        let BackboneKind::Vit(architecture) = self.backbone else { return None };
        let of_group = if self.method == Method::Npid { 1 } else { self.loss.group_size() };
        Some(TrainingMemory::of(&architecture, self.depth, self.batch * of_group, self.tile_px as usize))
    }
}

/// Returns what the user is told of the memory that a run needs, if that is known.
///
/// # Errors
/// Returns [`TrainingError::TooMuchMemory`] if the run is to train on the CPU and the computer has less.
pub(super) fn told(config: &TrainingConfig, device: DeviceChoice) -> Result<Option<String>, TrainingError> {
    let Some(need) = config.memory_need() else { return Ok(None) };
    let gib = |bytes: usize| bytes as f64 / f64::from(1 << 30);
    let parts = format!(
        "about {:.1} GiB of memory ({:.1} weights, {:.1} gradients and moments of what is trained, {:.1} activations)",
        gib(need.total()),
        gib(need.weights),
        gib(need.trained),
        gib(need.activations)
    );
    let is_cpu = encoder::device_name(device)? == "CPU";
    match memory::available_bytes().filter(|_| is_cpu) {
        Some(there) if there < need.total() => {
            Err(TrainingError::TooMuchMemory { need: parts, there: format!("{:.1} GiB", gib(there)) })
        }
        Some(there) => Ok(Some(format!("training needs {parts}; {:.1} GiB are free", gib(there)))),
        None => Ok(Some(format!("training needs {parts}"))),
    }
}
