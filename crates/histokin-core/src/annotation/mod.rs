//! Annotations on slides, in level-0 pixels, and their exchange with other programs.
//!
//! [`read_file`] reads QuPath's GeoJSON, the XML of ASAP and Camelyon, and the XML of Aperio ImageScope.
//! [`write_file`] writes the first two. Members of these files that have no meaning in this program are kept,
//! so that a file is written back unchanged.

mod shape;
mod crossing;
mod doubts;
mod measure;
mod hit;
mod vertices;
mod boolean;
mod detections;
mod packing;
mod wand;
mod set;
mod change;
mod class;
mod counts;
mod density;
mod measured;
mod history;
mod json;
mod color;
mod left_out;
mod nesting;
mod identity;
mod geojson;
mod xml;
mod asap;
mod imagescope;
mod watch;
mod file;
mod store;
mod journal;

use uuid::Uuid;

pub use boolean::stroke;
pub use change::Change;
pub use class::{AnnotationClass, means_tumour};
pub use counts::{AreaCounts, CountedArea, count_detections, counts_table};
pub use density::{ClassDensity, DensityMap, DensityScale, class_densities};
pub use detections::{Detection, Detections, MOST_DETECTION_SIDE_PX};
pub use file::{AnnotationError, AnnotationFile, Format, bounds_origin};
pub use file::{
    read_bytes, read_file, read_file_in_parts, read_file_watched, write_asap, write_file, write_file_watched,
    write_geojson,
};
pub use history::History;
pub use hit::Hit;
#[cfg(feature = "test-support")]
pub use journal::fuzz_journal;
pub use json::RawJson;
pub use left_out::{LeftOut, Omissions};
pub use measure::{area_label, length_label};
pub use measured::{DetectionColours, MeasuredRange, measured_ranges};
pub use nesting::Nesting;
pub use set::{AnnotationSet, Edit, Group};
pub use shape::{Bounds, Polygon, Ring, Shape};
pub use store::{AnnotationStore, Saved};
pub use vertices::Vertex;
pub use wand::{WAND_WINDOW_PX, wand_region};
pub use watch::Part;

use asap::AsapOrigin;
pub use asap::HOLE_GROUP;
use json::Foreign;
use shape::Geometry;

/// One annotation on a slide.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Identity; unique within a set.
    pub id: Uuid,
    /// QuPath's type of the object.
    pub kind: ObjectKind,
    geometry: Geometry,
    /// The nucleus of a cell, whose outline is the annotation's own shape.
    nucleus: Option<Geometry>,
    /// Class, if it has one.
    pub class: Option<AnnotationClass>,
    /// Name given by the user, if any.
    pub name: Option<String>,
    /// Individual colour (sRGB), which takes precedence over that of the class.
    pub color: Option<[u8; 3]>,
    /// Whether the shape is protected from changes by the user.
    pub locked: bool,
    /// Named numbers from its file, in the order of the file; may be NaN.
    pub measurements: Vec<(String, f64)>,
    /// Named metadata values from its file.
    pub metadata: Vec<(String, RawJson)>,
    /// The annotation that is its parent in the hierarchy of its file.
    pub parent: Option<Uuid>,
    /// Members from its file that have no meaning in this program.
    foreign: Foreign,
    /// Data specific to ASAP files.
    asap: Option<AsapOrigin>,
    /// Values whose notation in the file differs from that of this program.
    as_written: Option<Box<AsWritten>>,
}

/// Values in the notation of a GeoJSON file. They are written back unchanged unless their meaning has
/// changed.
#[derive(Debug, Clone, PartialEq, Default)]
struct AsWritten {
    /// The class as it was understood, and its JSON with further members.
    class: Option<(AnnotationClass, RawJson)>,
    /// The individual colour as it was understood, and its JSON.
    color: Option<([u8; 3], RawJson)>,
    /// Measurements that are not plain numbers, by their index.
    measurements: Vec<(usize, RawJson)>,
    /// Name of the file within which its ID is unique.
    source: Option<String>,
}

impl Annotation {
    /// Makes a new annotation with a random ID.
    pub fn new(shape: Shape, class: Option<AnnotationClass>) -> Self {
        Self { class, ..Self::read(new_id(), Geometry::new(shape)) }
    }

    /// Makes an annotation from a file, of which only the ID and the geometry are known yet.
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

    /// Returns its shape in level-0 pixels.
    pub fn shape(&self) -> &Shape {
        &self.geometry.shape
    }

    /// Marks it as drawn for measuring, so that its area is always shown.
    pub fn mark_as_measurement(&mut self) {
        self.metadata.push((PURPOSE.to_owned(), RawJson::from(MEASUREMENT)));
    }

    /// Returns whether its length or area is always shown: for lines, and for areas drawn for measuring.
    pub fn is_measurement(&self) -> bool {
        let noted = self.metadata.iter().find(|(key, _)| key == PURPOSE);
        matches!(self.shape(), Shape::Lines(_))
            || noted.is_some_and(|(_, purpose)| purpose.as_string().as_deref() == Some(MEASUREMENT))
    }

    /// Sets or removes its class. Also removes individual colours, which would hide that of the class.
    pub fn set_class(&mut self, class: Option<AnnotationClass>) {
        self.class = class;
        self.color = None;
        if let Some(origin) = &mut self.asap {
            origin.color = None;
        }
    }

    /// Returns its bounding box; `None` if it has no position.
    pub fn bounds(&self) -> Option<Bounds> {
        self.geometry.bounds()
    }

    /// Sets its shape.
    pub fn set_shape(&mut self, shape: Shape) {
        if self.geometry.reshape(shape) {
            self.forget_bounds_of_file();
        }
    }

    /// Removes GeoJSON's `bbox`, which is valid only for the shape in the file.
    fn forget_bounds_of_file(&mut self) {
        self.foreign.own.retain(|(key, _)| key != "bbox");
    }

    /// Returns the outline of its nucleus, if it is a cell with one.
    pub fn nucleus(&self) -> Option<&Shape> {
        self.nucleus.as_ref().map(|geometry| &geometry.shape)
    }

    /// Moves it, including the nucleus, by an offset in level-0 pixels.
    pub fn translate(&mut self, dx: f64, dy: f64) {
        for geometry in std::iter::once(&mut self.geometry).chain(&mut self.nucleus) {
            geometry.reshape(geometry.shape.translated(dx, dy));
        }
        self.forget_bounds_of_file();
    }

    /// Returns the sRGB colour in which it is drawn: its individual colour, that of its class, or
    /// [`UNCLASSIFIED`].
    pub fn drawn_color(&self) -> [u8; 3] {
        self.color.or(self.class.as_ref().map(|class| class.color)).unwrap_or(UNCLASSIFIED)
    }

    /// Returns its title for lists: its name, its class, or the type of its shape.
    pub fn title(&self) -> &str {
        let class = self.class.as_ref().map(|class| class.name.as_str());
        self.name.as_deref().filter(|name| !name.is_empty()).or(class).unwrap_or(self.shape().noun())
    }
}

/// Metadata key for the purpose of an annotation.
const PURPOSE: &str = "purpose";
/// Metadata value for areas drawn for measuring.
const MEASUREMENT: &str = "measurement";

/// Returns a random ID (RFC 9562, version 4).
fn new_id() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

/// QuPath's type of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ObjectKind {
    /// An annotation.
    #[default]
    Annotation,
    /// An object found by an algorithm.
    Detection,
    /// A tile, such as a superpixel.
    Tile,
    /// A cell, with or without a nucleus.
    Cell,
    /// A core of a tissue microarray.
    TmaCore,
    /// The root of the object hierarchy.
    Root,
    /// A type of another program, by its name.
    Other(String),
}

impl ObjectKind {
    /// Returns the type for any of the names that versions of QuPath have used.
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

    /// Returns the name in current versions of QuPath.
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

/// Colour (sRGB) of annotations with neither a class nor an individual colour: QuPath's default red.
pub const UNCLASSIFIED: [u8; 3] = [255, 0, 0];
