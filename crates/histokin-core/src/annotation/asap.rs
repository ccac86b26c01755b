//! The XML of ASAP (<https://github.com/computationalpathologygroup/ASAP>), in which the annotations of the
//! Camelyon16 and Camelyon17 challenges are.
//!
//! It knows closed outlines only. Parts and holes of one area are written as annotations of their own, the
//! holes in Camelyon16's group `_2`; attributes that ASAP passes over tell what belongs together.

mod read;
mod write;
mod camelyon;

use serde::{Deserialize, Serialize};

use super::color::{self, AlphaPlace};

pub(super) use camelyon::cut_camelyon16_holes;
pub(super) use read::read;
pub(super) use write::write;

/// The group whose areas are cut out of the tumour around them (Camelyon16).
pub const HOLE_GROUP: &str = "_2";

/// What stands for "in no group".
const NO_GROUP: &str = "None";

/// Attribute with the id of the annotation to which a part or a hole belongs.
const ID_ATTRIBUTE: &str = "HistokinId";
/// Attribute with the number of the part.
const PART_ATTRIBUTE: &str = "HistokinPart";
/// Attribute with the number of the hole within its part.
const HOLE_ATTRIBUTE: &str = "HistokinHole";
/// Attribute that says that an outline is an ellipse.
const SHAPE_ATTRIBUTE: &str = "HistokinShape";

/// What only an ASAP file says of an annotation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AsapOrigin {
    /// Its type, where the shape does not tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its colour, as written; ASAP's groups have colours of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// Further attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
    /// Further elements, as written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<String>,
    /// Names and colours of the areas that were cut out of it, in the order of its holes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holes: Vec<(String, String)>,
}

/// A colour as Qt reads it.
fn color_from_text(text: &str) -> Option<[u8; 3]> {
    color::parse(text, AlphaPlace::First)
}

fn text_from_color([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests;
