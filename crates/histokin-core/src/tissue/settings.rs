//! What counts as tissue, and how much of it a tile needs, as the user has set it.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Smallest piece of tissue unless the user sets another, in µm²: 100 µm across. A biopsy of 140 µm is larger, grains
/// and single cells are smaller.
pub const SMALLEST_PIECE_UM2: f64 = 8_000.0;

/// The largest piece that may be asked for as the smallest: 100 mm².
const LARGEST_LIMIT_UM2: f64 = 1e8;

/// How tissue is found and which tiles are embedded. None of it changes the descriptor of a tile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TissueSettings {
    pub detection: Detection,
    /// Smaller pieces of tissue do not count, in µm².
    pub smallest_piece_um2: f64,
    /// Share (0 to 1) of a tile that has to be tissue. Where it is not set, it is a half, and less on slides whose
    /// tissue is too narrow for that (see [`super::selection`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tile_share: Option<f64>,
    /// Only tiles within these annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
}

/// Whether tissue is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detection {
    #[default]
    Auto,
    /// Every tile that is neither plain glass nor outside the scan is embedded: for smears and other cytology.
    Off,
}

/// Annotations within which tiles are embedded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Within {
    /// Any annotation.
    Annotated,
    /// Annotations of a class.
    Class(String),
    /// One annotation.
    Annotation(Uuid),
}

impl Default for TissueSettings {
    fn default() -> Self {
        Self {
            detection: Detection::Auto,
            smallest_piece_um2: SMALLEST_PIECE_UM2,
            tile_share: None,
            within: None,
        }
    }
}

impl TissueSettings {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether two settings find the same mask.
    pub fn same_mask(&self, other: &Self) -> bool {
        let mask = |settings: &Self| (settings.detection, settings.smallest_piece_um2);
        mask(self) == mask(other)
    }

    /// What is wrong with the numbers, in words.
    pub fn problem(&self) -> Option<String> {
        if !(0.0..=LARGEST_LIMIT_UM2).contains(&self.smallest_piece_um2) {
            return Some(format!(
                "the smallest piece of tissue is {} µm²: give 0 to {LARGEST_LIMIT_UM2:.0} µm²",
                self.smallest_piece_um2
            ));
        }
        let share = self.tile_share.filter(|share| !(*share > 0.0 && *share <= 1.0))?;
        Some(format!("the share of a tile that has to be tissue is {share}: give more than 0 and at most 1"))
    }
}

impl fmt::Display for Within {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotated => formatter.write_str("any annotation"),
            Self::Class(name) => write!(formatter, "annotations of the class {name:?}"),
            Self::Annotation(id) => write!(formatter, "the annotation {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_file_and_absent_ones_are_the_usual() {
        for settings in [
            TissueSettings::default(),
            TissueSettings {
                detection: Detection::Off,
                smallest_piece_um2: 250.0,
                tile_share: Some(0.25),
                within: Some(Within::Class("Tumour \"A\"".to_owned())),
            },
            TissueSettings { within: Some(Within::Annotated), ..TissueSettings::default() },
            TissueSettings { within: Some(Within::Annotation(Uuid::nil())), ..TissueSettings::default() },
        ] {
            let text = toml::to_string(&settings).unwrap();
            assert_eq!(toml::from_str::<TissueSettings>(&text).unwrap(), settings, "{text}");
        }
        assert!(toml::from_str::<TissueSettings>("").unwrap().is_default());
    }

    #[test]
    fn impossible_numbers_are_named() {
        for (smallest_piece_um2, tile_share) in [
            (-1.0, None),
            (f64::NAN, None),
            (1e9, None),
            (10.0, Some(0.0)),
            (10.0, Some(1.1)),
            (10.0, Some(f64::NAN)),
        ] {
            let settings = TissueSettings { smallest_piece_um2, tile_share, ..TissueSettings::default() };
            assert!(settings.problem().is_some(), "{settings:?}");
        }
        assert_eq!(TissueSettings::default().problem(), None);
    }
}
