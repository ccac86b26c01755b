//! How good descriptors are: measures on tiles whose place, slide, patient and class are known.
//!
//! ```text
//! descriptors + tiles → ADDR, retrieval, classes, probe, health → intervals → comparison → report
//! ```
//!
//! The measures take plain numbers, so that a training run, the command line and the report all call the
//! same code: [`Descriptors`] (`count × width`) and [`Tiles`], what is known of the same tiles in the same
//! order.

pub mod addr;
pub mod camelyon;
pub mod classes;
pub mod comparison;
pub mod examples;
pub mod baseline;
pub mod gather;
pub mod health;
pub mod intervals;
pub mod labels;
pub mod map;
pub mod marks;
pub mod neighbours;
mod pairs;
pub mod probe;
pub mod report;
pub mod retrieval;
pub mod sample;
pub mod stain_change;
pub mod study;

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

/// Descriptors of `len()` tiles, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Descriptors<'a> {
    values: &'a [f32],
    width: usize,
}

impl<'a> Descriptors<'a> {
    /// `values`: `count × width` finite numbers.
    ///
    /// # Errors
    /// When the numbers are no whole count of descriptors, or one of them is NaN or infinite.
    pub fn new(values: &'a [f32], width: usize) -> Result<Self, EvaluationError> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(EvaluationError::Shape { numbers: values.len(), width });
        }
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            return Err(EvaluationError::NotFinite { row: place / width });
        }
        Ok(Self { values, width })
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Numbers in a descriptor.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All numbers, `len() × width()`.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    pub fn row(&self, tile: usize) -> &'a [f32] {
        &self.values[tile * self.width..(tile + 1) * self.width]
    }

    /// Euclidean distance between the descriptors of two tiles.
    pub fn distance(&self, a: usize, b: usize) -> f32 {
        histokin_core::index::squared_distance(self.row(a), self.row(b)).sqrt()
    }
}

/// Index of a class among the names that the caller keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Class(pub u16);

/// What is known of tiles, each list in the order of their descriptors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tiles {
    /// Centres, in µm from the slide's top-left corner.
    pub positions_um: Vec<[f64; 2]>,
    /// Index of each tile's slide, counted from 0.
    pub slides: Vec<u32>,
    /// Index of each tile's patient, counted from 0; the slide's where patients are unknown.
    pub patients: Vec<u32>,
    /// The class, where it is known. A tile without one is unknown, not negative.
    pub classes: Vec<Option<Class>>,
}

impl Tiles {
    pub fn len(&self) -> usize {
        self.positions_um.len()
    }

    pub fn is_empty(&self) -> bool {
        self.positions_um.is_empty()
    }

    /// One more than the largest slide index.
    pub fn slide_count(&self) -> usize {
        self.slides.iter().max().map_or(0, |last| *last as usize + 1)
    }

    /// Rows of each slide's tiles.
    pub fn rows_by_slide(&self) -> Vec<Vec<u32>> {
        let mut rows = vec![Vec::new(); self.slide_count()];
        for (row, slide) in (0..).zip(&self.slides) {
            rows[*slide as usize].push(row);
        }
        rows
    }

    /// Slide or patient of each tile: what `exclude` keeps apart.
    pub fn groups(&self, exclude: Exclude) -> &[u32] {
        match exclude {
            Exclude::Slide => &self.slides,
            Exclude::Patient => &self.patients,
        }
    }

    /// The tiles at `rows`, in that order.
    pub fn select(&self, rows: &[u32]) -> Self {
        let at = |row: &u32| *row as usize;
        Self {
            positions_um: rows.iter().map(|row| self.positions_um[at(row)]).collect(),
            slides: rows.iter().map(|row| self.slides[at(row)]).collect(),
            patients: rows.iter().map(|row| self.patients[at(row)]).collect(),
            classes: rows.iter().map(|row| self.classes[at(row)]).collect(),
        }
    }

    /// Make sure that these tiles are those of `descriptors`.
    pub fn check(&self, descriptors: Descriptors<'_>) -> Result<(), EvaluationError> {
        let lengths = [self.positions_um.len(), self.slides.len(), self.patients.len(), self.classes.len()];
        if lengths.iter().all(|length| *length == descriptors.len()) {
            Ok(())
        } else {
            Err(EvaluationError::Lengths { descriptors: descriptors.len(), tiles: self.len() })
        }
    }
}

/// Which tiles may not answer a query.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Serialize,
    Deserialize,
    EnumIter,
    EnumMessage,
    EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Exclude {
    /// Those of the query's slide.
    #[default]
    Slide,
    /// Those of the query's patient.
    Patient,
}

/// Why nothing could be measured. Every message says what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvaluationError {
    #[error("{numbers} numbers are no whole count of descriptors {width} wide")]
    Shape { numbers: usize, width: usize },
    #[error("the descriptor of tile {row} holds NaN or an infinity; embed the slides again")]
    NotFinite { row: usize },
    #[error(
        "there are {descriptors} descriptors, but what is known is of {tiles} tiles; give both for the same tiles"
    )]
    Lengths { descriptors: usize, tiles: usize },
    #[error(
        "no slide has both a pair of tiles nearer than {near_mm} mm and one farther than {far_mm} mm apart, so \
         there is no ADDR; on small sections give shorter limits, such as --near-mm 0.5 --far-mm 4"
    )]
    NoPairs { near_mm: f64, far_mm: f64 },
    #[error(
        "the near limit ({near_mm} mm) has to be above 0 and at most the far limit ({far_mm} mm); mend --near-mm or --far-mm"
    )]
    Limits { near_mm: f64, far_mm: f64 },
}
