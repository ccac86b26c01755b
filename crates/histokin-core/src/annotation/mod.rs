//! Annotations: what a person has marked on a slide, in level-0 pixels, and the files of other programs
//! that hold such marks.
//!
//! [`read_file`] reads QuPath's GeoJSON, the XML of ASAP and Camelyon, and that of Aperio ImageScope; [`write_file`]
//! writes the first two.
//! Members of those files that mean nothing here are kept, so that a file comes back unchanged.

mod shape;
mod crossing;
mod measure;
mod hit;
mod vertices;
mod boolean;
mod set;
mod history;
mod json;
mod text;
mod color;
mod left_out;
mod nesting;
mod identity;
mod geojson;
mod xml;
mod asap;
mod imagescope;
mod file;
mod store;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use boolean::stroke;
pub use file::{AnnotationError, AnnotationFile, Format, bounds_origin};
pub use file::{read_bytes, read_file, write_asap, write_file, write_geojson};
pub use history::History;
pub use hit::Hit;
pub use json::RawJson;
pub use left_out::{LeftOut, Omissions};
pub use measure::{area_label, length_label};
pub use nesting::Nesting;
pub use set::{AnnotationSet, Change, Edit, Group};
pub use shape::{Bounds, Polygon, Ring, Shape};
pub use store::AnnotationStore;
pub use vertices::Vertex;

use asap::AsapOrigin;
pub use asap::HOLE_GROUP;
use json::Foreign;
use shape::Geometry;

/// One mark on a slide.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    pub id: Uuid,
    pub kind: ObjectKind,
    geometry: Geometry,
    /// The nucleus of a cell, whose outline is the annotation's own shape.
    nucleus: Option<Geometry>,
    pub class: Option<AnnotationClass>,
    pub name: Option<String>,
    /// A colour of its own (sRGB), which goes before that of its class.
    pub color: Option<[u8; 3]>,
    /// Its shape is not to be changed by hand.
    pub locked: bool,
    /// Named numbers that came with it, in the order of the file; may be NaN.
    pub measurements: Vec<(String, f64)>,
    /// Named texts that came with it.
    pub metadata: Vec<(String, RawJson)>,
    /// The annotation below which the file had put this one.
    pub parent: Option<Uuid>,
    /// Members of the file that mean nothing here.
    foreign: Foreign,
    /// What only ASAP's files say.
    asap: Option<AsapOrigin>,
    /// What its file said in another form than it is written in here.
    as_written: Option<Box<AsWritten>>,
}

/// Values in the words of a GeoJSON file. They go back as they came for as long as they mean what they meant.
#[derive(Debug, Clone, PartialEq, Default)]
struct AsWritten {
    /// A class with further members, and what it was read as.
    class: Option<(AnnotationClass, RawJson)>,
    /// A colour of its own, and what it was read as.
    color: Option<([u8; 3], RawJson)>,
    /// Measurements that are no plain numbers, by their place.
    measurements: Vec<(usize, RawJson)>,
    /// Name of the file within which its id is unique.
    source: Option<String>,
}

impl Annotation {
    /// A new mark of this shape, with an identity of its own.
    pub fn new(shape: Shape, class: Option<AnnotationClass>) -> Self {
        Self { class, ..Self::read(new_id(), Geometry::new(shape)) }
    }

    /// One from a file, of which nothing but its place is known yet.
    fn read(id: Uuid, geometry: Geometry) -> Self {
        Self {
            id,
            kind: ObjectKind::Annotation,
            geometry,
            nucleus: None,
            class: None,
            name: None,
            color: None,
            locked: false,
            measurements: Vec::new(),
            metadata: Vec::new(),
            parent: None,
            foreign: Foreign::default(),
            asap: None,
            as_written: None,
        }
    }

    fn as_written_mut(&mut self) -> &mut AsWritten {
        self.as_written.get_or_insert_default()
    }

    /// Where it lies, in level-0 pixels.
    pub fn shape(&self) -> &Shape {
        &self.geometry.shape
    }

    /// Note that it was drawn to measure something: its number is shown at all times.
    pub fn mark_as_measurement(&mut self) {
        self.metadata.push((PURPOSE.to_owned(), RawJson::from(MEASUREMENT)));
    }

    /// Whether it shows a number at all times: lines do, and areas that were drawn to measure something.
    pub fn is_measurement(&self) -> bool {
        let noted = self.metadata.iter().find(|(key, _)| key == PURPOSE);
        matches!(self.shape(), Shape::Lines(_))
            || noted.is_some_and(|(_, purpose)| purpose.as_string().as_deref() == Some(MEASUREMENT))
    }

    /// Give it another class, or none. Colours of its own would hide that of the class, and go.
    pub fn set_class(&mut self, class: Option<AnnotationClass>) {
        self.class = class;
        self.color = None;
        if let Some(origin) = &mut self.asap {
            origin.color = None;
        }
    }

    /// The smallest upright rectangle around it; `None` when it lies nowhere.
    pub fn bounds(&self) -> Option<Bounds> {
        self.geometry.bounds()
    }

    /// Give it another shape.
    pub fn set_shape(&mut self, shape: Shape) {
        if self.geometry.reshape(shape) {
            self.forget_bounds_of_file();
        }
    }

    /// GeoJSON's `bbox` holds for the shape of the file only.
    fn forget_bounds_of_file(&mut self) {
        self.foreign.own.retain(|(key, _)| key != "bbox");
    }

    /// The outline of its nucleus, if it is a cell with one.
    pub fn nucleus(&self) -> Option<&Shape> {
        self.nucleus.as_ref().map(|geometry| &geometry.shape)
    }

    /// Move it, nucleus included, by so many level-0 pixels.
    pub fn translate(&mut self, dx: f64, dy: f64) {
        for geometry in std::iter::once(&mut self.geometry).chain(&mut self.nucleus) {
            geometry.reshape(geometry.shape.translated(dx, dy));
        }
        self.forget_bounds_of_file();
    }

    /// The sRGB colour in which it is drawn: its own, else its class's, else [`UNCLASSIFIED`].
    pub fn drawn_color(&self) -> [u8; 3] {
        self.color.or(self.class.as_ref().map(|class| class.color)).unwrap_or(UNCLASSIFIED)
    }

    /// What to call it in a list: its name, else its class, else its kind of shape.
    pub fn title(&self) -> &str {
        let class = self.class.as_ref().map(|class| class.name.as_str());
        self.name.as_deref().filter(|name| !name.is_empty()).or(class).unwrap_or(self.shape().noun())
    }
}

/// Key and text of the metadata of areas that were drawn to measure something.
const PURPOSE: &str = "purpose";
const MEASUREMENT: &str = "measurement";

/// A random id (RFC 9562, version 4).
fn new_id() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

/// What QuPath calls the type of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ObjectKind {
    #[default]
    Annotation,
    Detection,
    Tile,
    Cell,
    TmaCore,
    Root,
    /// Another program's word.
    Other(String),
}

impl ObjectKind {
    /// From any of the words that QuPath has used for it.
    fn from_word(word: &str) -> Self {
        match word {
            "annotation" | "PathAnnotationObject" => Self::Annotation,
            "detection" | "PathDetectionObject" => Self::Detection,
            "tile" | "PathTileObject" => Self::Tile,
            "cell" | "PathCellObject" => Self::Cell,
            "tmaCore" | "tma_core" | "TMACoreObject" => Self::TmaCore,
            "root" | "PathRootObject" => Self::Root,
            other => Self::Other(other.to_owned()),
        }
    }

    /// QuPath's present word.
    fn word(&self) -> &str {
        match self {
            Self::Annotation => "annotation",
            Self::Detection => "detection",
            Self::Tile => "tile",
            Self::Cell => "cell",
            Self::TmaCore => "tmaCore",
            Self::Root => "root",
            Self::Other(word) => word,
        }
    }
}

/// Colour (sRGB) of annotations that have neither a class nor a colour of their own: QuPath's default red.
pub const UNCLASSIFIED: [u8; 3] = [255, 0, 0];

/// A named class of tissue with its colour.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AnnotationClass {
    /// A class derived from another stands behind it: `"Tumor: Positive"`.
    pub name: String,
    /// sRGB.
    pub color: [u8; 3],
}

impl AnnotationClass {
    pub fn new(name: impl Into<String>, color: [u8; 3]) -> Self {
        Self { name: name.into(), color }
    }

    /// The class of this name: with its usual colour, or with one made from the name.
    pub fn named(name: &str) -> Self {
        let usual = Self::defaults().into_iter().find(|class| class.name.eq_ignore_ascii_case(name));
        let color = usual.map(|class| class.color).unwrap_or_else(|| match name {
            "Tumor" => TUMOUR,
            _ => color_from_name(name),
        });
        Self::new(name, color)
    }

    /// The classes that a new project has; the first three in QuPath's colours.
    pub fn defaults() -> Vec<Self> {
        [
            ("Tumour", TUMOUR),
            ("Stroma", [150, 200, 150]),
            ("Necrosis", [50, 50, 50]),
            ("Immune cells", [160, 90, 160]),
            ("Normal", [90, 140, 220]),
            ("Artefact", [200, 170, 60]),
        ]
        .map(|(name, color)| Self::new(name, color))
        .to_vec()
    }
}

const TUMOUR: [u8; 3] = [200, 0, 0];

/// Whether a class of this name stands for tumour, in the words of QuPath, Camelyon16 (`Tumor`, `_0`, `_1`)
/// and Camelyon17 (`metastases`). Camelyon16's `_2` is tissue cut out of a tumour: not tumour.
pub fn means_tumour(class: &str) -> bool {
    let base = class.split(": ").next().unwrap_or(class).trim().to_lowercase();
    matches!(base.as_str(), "tumour" | "tumor" | "_0" | "_1" | "metastases" | "metastasis")
}

/// A colour that is the same for the same name, neither too dark nor too pale for H&E.
fn color_from_name(name: &str) -> [u8; 3] {
    let hash = crc32fast::hash(name.as_bytes());
    std::array::from_fn(|channel| 40 + (((hash >> (8 * channel)) & 0xff) * 180 / 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tumour_has_many_names() {
        for name in ["Tumor", "tumour", "_0", "_1", "metastases", "Tumor: Positive"] {
            assert!(means_tumour(name), "{name}");
        }
        for name in ["_2", "normal", "Stroma", "None", "Tumor bed", ""] {
            assert!(!means_tumour(name), "{name}");
        }
    }

    #[test]
    fn a_class_without_a_colour_gets_its_usual_one() {
        assert_eq!(AnnotationClass::named("Tumor").color, [200, 0, 0]);
        assert_eq!(AnnotationClass::named("stroma").color, [150, 200, 150]);
        assert_eq!(AnnotationClass::named("Gland").color, AnnotationClass::named("Gland").color);
        assert_ne!(AnnotationClass::named("Gland").color, AnnotationClass::named("Duct").color);
    }
}
