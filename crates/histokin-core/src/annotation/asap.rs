//! The XML of ASAP (<https://github.com/computationalpathologygroup/ASAP>), also used for the annotations of
//! the Camelyon16 and Camelyon17 challenges.
//!
//! Areas in this format are single closed outlines. Parts and holes of one area are written as separate
//! annotations, the holes in Camelyon16's group `_2`. Attributes that ASAP ignores state which of them belong
//! together.

mod read;
mod write;
mod camelyon;

use serde::{Deserialize, Serialize};

use super::color::{self, AlphaPlace};

pub(super) use camelyon::cut_camelyon16_holes;
pub(super) use read::read;
pub(super) use write::write;

/// Name of the group whose areas are cut out of the surrounding tumour (Camelyon16).
pub const HOLE_GROUP: &str = "_2";

/// Group name that means "in no group".
const NO_GROUP: &str = "None";

/// Attribute with the ID of the annotation to which a part or a hole belongs.
const ID_ATTRIBUTE: &str = "HistokinId";
/// Attribute with the index of the part.
const PART_ATTRIBUTE: &str = "HistokinPart";
/// Attribute with the index of the hole within its part.
const HOLE_ATTRIBUTE: &str = "HistokinHole";
/// Attribute that marks an outline as an ellipse.
const SHAPE_ATTRIBUTE: &str = "HistokinShape";
/// Attributes of an annotation that are read and written as parts of it.
const OWN_ATTRIBUTES: [&str; 8] =
    ["Name", "Type", "PartOfGroup", "Color", ID_ATTRIBUTE, PART_ATTRIBUTE, HOLE_ATTRIBUTE, SHAPE_ATTRIBUTE];

/// Data of an annotation that is specific to ASAP files.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AsapOrigin {
    /// Its type, if it cannot be derived from the shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its colour in the notation of the file, if it differs from that of its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// Further attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
    /// Further elements, as XML.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<String>,
    /// Names and colours of the areas cut out of it, in the order of its holes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holes: Vec<(String, String)>,
}

/// Parses a colour like Qt.
fn color_from_text(text: &str) -> Option<[u8; 3]> {
    color::parse(text, AlphaPlace::First)
}

fn text_from_color([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests;
