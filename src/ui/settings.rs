//! The user's settings, kept between starts with the state of the window.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use egui::{Context, Id};
use serde::{Deserialize, Serialize};

use super::actions::Keys;
use crate::encoder::DeviceChoice;
use crate::encoder::engine::EngineChoice;
use crate::memory::Budget;
use crate::number_format::{self, LengthUnit, NumberStyle};
use crate::tiling::TileSettings;

/// What searches for similar tissue, besides the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindSimilar {
    /// A click on tissue; a double-click zooms in.
    #[default]
    Click,
    /// A double-click on tissue.
    DoubleClick,
    /// Nothing but the command; a double-click zooms in.
    Key,
}

impl FindSimilar {
    /// All choices, the default first.
    pub const ALL: [Self; 3] = [Self::Click, Self::DoubleClick, Self::Key];

    /// Name for display; `key` is the shortcut of the command.
    pub fn name(self, key: Option<&str>) -> String {
        match (self, key) {
            (Self::Click, _) => "Click".to_owned(),
            (Self::DoubleClick, _) => "Double-click".to_owned(),
            (Self::Key, Some(key)) => format!("Only {key}"),
            (Self::Key, None) => "Only the command".to_owned(),
        }
    }
}

/// What two fingers on a trackpad do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trackpad {
    /// They pan; pinching, or Ctrl, zooms.
    #[default]
    Pan,
    /// They zoom, as a wheel does.
    Zoom,
}

/// A device as it is written in the settings file and on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Device(pub DeviceChoice);

impl Serialize for Device {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = DeviceChoice::from_str(&text);
        // A device that this version does not know must not cost the other settings.
        Ok(Self(read.unwrap_or_else(|error| {
            tracing::warn!("the device in the settings file is left out: {error}");
            DeviceChoice::Auto
        })))
    }
}

/// The choice of an engine as it is written in the settings file and on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Engine(pub EngineChoice);

impl Engine {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Serialize for Engine {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Engine {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // An engine that this version does not know must not cost the other settings.
        Ok(Self(text.parse().unwrap_or_else(|_| {
            tracing::warn!("the engine in the settings file is left out: {text} is not known");
            EngineChoice::default()
        })))
    }
}

/// Default of the wand's sensitivity, and its range.
pub const WAND_SENSITIVITY: f64 = 1.5;
/// See [`WAND_SENSITIVITY`].
pub const WAND_RANGE: RangeInclusive<f64> = 0.5..=6.0;

/// The settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// What searches for similar tissue.
    pub find_similar: FindSimilar,
    /// What two fingers on a trackpad do.
    pub trackpad: Trackpad,
    /// Unit of lengths.
    pub length_unit: LengthUnit,
    /// Decimal sign and separator of thousands on the screen; `None`: those of the system's language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_style: Option<NumberStyle>,
    /// Spacing of the grid in µm; `None`: as fits the magnification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid_um: Option<f64>,
    /// How closely the colours that the wand takes have to agree; `None`: 1.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wand_sensitivity: Option<f64>,
    /// Device of the encoder from the next start, unless `--device` names one.
    pub device: Device,
    /// What runs encoders from the next start, unless `--engine` names it.
    #[serde(skip_serializing_if = "Engine::is_default")]
    pub engine: Engine,
    /// Threads that read tiles for embedding, from the next start; `None`: half of the processors, at most 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_threads: Option<usize>,
    /// Memory for caches in MiB, unless `--cache-mb` names it; `None`: a quarter of the computer's memory, at
    /// most 4096.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_mib: Option<u32>,
    /// Folder of the project that opens when none is named and none was open before; `None`: in the user's
    /// own data.
    #[serde(with = "crate::paths::whole_option", skip_serializing_if = "Option::is_none")]
    pub project_folder: Option<PathBuf>,
    /// Whether the first steps are over, or were dismissed.
    pub first_steps_done: bool,
    /// Whether the user has been told that a click searches.
    pub click_explained: bool,
    /// Tile size and resolution of new projects.
    pub tiles: TileSettings,
    /// Keys of commands.
    pub keys: Keys,
}

impl Settings {
    /// Returns these settings with what is out of range replaced by its default.
    pub fn in_range(mut self) -> Self {
        if !self.tiles.is_plausible() {
            self.tiles = TileSettings::default();
        }
        self.wand_sensitivity = self.wand_sensitivity.filter(|value| WAND_RANGE.contains(value));
        self.grid_um = self.grid_um.filter(|um| (1.0..=1e5).contains(um));
        self.cache_mib = self.cache_mib.filter(|mib| *mib >= 64);
        self.embedding_threads = self.embedding_threads.filter(|threads| (1..=256).contains(threads));
        self
    }

    /// How closely the colours that the wand takes have to agree.
    pub fn wand_sensitivity(&self) -> f64 {
        self.wand_sensitivity.unwrap_or(WAND_SENSITIVITY)
    }

    /// Memory for caches in bytes.
    pub fn cache_bytes(&self) -> usize {
        self.cache_mib.map_or_else(Budget::default_limit, |mib| (mib as usize) << 20)
    }

    /// The settings in force in the window of `context`; the defaults before [`Self::apply`].
    pub fn current(context: &Context) -> Arc<Self> {
        context.data(|data| data.get_temp(Self::slot())).unwrap_or_default()
    }

    fn slot() -> Id {
        Id::unique("settings")
    }

    /// Puts the settings in force in the window of `context`.
    pub fn apply(&self, context: &Context) {
        context.data_mut(|data| data.insert_temp(Self::slot(), Arc::new(self.clone())));
        self.keys.install(context);
        number_format::set_length_unit(self.length_unit);
        let style = self.number_style.unwrap_or_else(number_format::system_number_style);
        number_format::set_number_style(style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_kept_and_one_that_is_wrong_does_not_cost_the_others() {
        let settings = Settings {
            find_similar: FindSimilar::Key,
            trackpad: Trackpad::Zoom,
            length_unit: LengthUnit::Micrometres,
            number_style: Some(NumberStyle::PointComma),
            grid_um: Some(250.0),
            device: Device(DeviceChoice::Cuda(1)),
            engine: Engine(EngineChoice::OnnxRuntime),
            embedding_threads: Some(3),
            cache_mib: Some(512),
            project_folder: Some(PathBuf::from("/slides/mine")),
            first_steps_done: true,
            tiles: TileSettings { tile_px: 256, mpp: 0.5 },
            ..Settings::default()
        };
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<Settings>(&text).unwrap(), settings);
        let odd = text
            .replace("cuda:1", "abacus")
            .replace("onnxruntime", "steam")
            .replace("tile_px = 256", "tile_px = 1");
        let read = toml::from_str::<Settings>(&odd).unwrap().in_range();
        assert_eq!((read.device, read.tiles), (Device::default(), TileSettings::default()));
        assert_eq!(read.engine, Engine::default());
        assert_eq!((read.find_similar, read.cache_mib), (FindSimilar::Key, Some(512)));
        let absurd = Settings { grid_um: Some(f64::NAN), cache_mib: Some(1), ..settings };
        let mended = absurd.in_range();
        assert_eq!((mended.grid_um, mended.cache_mib), (None, None));
    }
}
