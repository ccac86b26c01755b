//! Evaluation of descriptors: measures on tiles whose position, slide, patient and class are known.
//!
//! ```text
//! descriptors + tiles → ADDR, retrieval, classes, probe, health → intervals → comparison → report
//! ```
//!
//! The measures take plain numbers, so that training, the command line and the report share the same code:
//! [`Descriptors`] (`count × width`), and [`Tiles`] with the annotations of the same tiles in the same order.

pub mod addr;
mod average_precision;
pub mod camelyon;
pub mod classes;
pub mod comparison;
pub mod control;
pub mod examples;
pub mod folds;
pub mod gather;
pub mod headline;
pub mod health;
pub mod intervals;
pub mod labels;
pub mod map;
pub mod feedback;
pub mod neighbours;
mod pairs;
pub mod preview;
pub mod probe;
#[cfg(feature = "torch")]
pub mod readout_choice;
pub mod report;
pub mod retrieval;
pub mod sample;
pub mod stain_change;
pub mod study;
pub mod trial;

use histokin_core::number_format::{grouped, plain};
use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

/// Descriptors of `len()` tiles in one array, row by row.
#[derive(Debug, Clone, Copy)]
pub struct Descriptors<'a> {
    values: &'a [f32],
    width: usize,
}

impl<'a> Descriptors<'a> {
    /// Wraps `values`, `count × width` finite numbers.
    ///
    /// # Errors
    /// When the length is not a multiple of `width`, or a number is NaN or infinite.
    pub fn new(values: &'a [f32], width: usize) -> Result<Self, EvaluationError> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(EvaluationError::Shape { numbers: values.len(), width });
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(EvaluationError::NotFinite { row: index / width });
        }
        Ok(Self { values, width })
    }

    /// Returns the number of tiles.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Returns whether there are no tiles.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the numbers in a descriptor.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns all numbers, `len() × width()`.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Returns the descriptor of a tile.
    pub fn row(&self, tile: usize) -> &'a [f32] {
        &self.values[tile * self.width..(tile + 1) * self.width]
    }

    /// Returns the Euclidean distance between the descriptors of two tiles.
    pub fn distance(&self, a: usize, b: usize) -> f32 {
        histokin_core::index::squared_distance(self.row(a), self.row(b)).sqrt()
    }
}

/// A class, as an index into a list of class names kept by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Class(pub u16);

/// Positions, slides, patients and classes of tiles, each list in the order of the descriptors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tiles {
    /// Centre of each tile in µm from the slide's top-left corner.
    pub positions_um: Vec<[f64; 2]>,
    /// Index of each tile's slide, counted from 0.
    pub slides: Vec<u32>,
    /// Index of each tile's patient, counted from 0; the slide's index if patients are unknown.
    pub patients: Vec<u32>,
    /// Class of each tile, if known. A tile without one is of unknown class, not a negative.
    pub classes: Vec<Option<Class>>,
}

impl Tiles {
    /// Returns the number of tiles.
    pub fn len(&self) -> usize {
        self.positions_um.len()
    }

    /// Returns whether there are no tiles.
    pub fn is_empty(&self) -> bool {
        self.positions_um.is_empty()
    }

    /// Returns one more than the largest slide index.
    pub fn slide_count(&self) -> usize {
        self.slides.iter().max().map_or(0, |last| *last as usize + 1)
    }

    /// Returns the tile rows of each slide.
    pub fn rows_by_slide(&self) -> Vec<Vec<u32>> {
        let mut rows = vec![Vec::new(); self.slide_count()];
        for (row, slide) in (0..).zip(&self.slides) {
            rows[*slide as usize].push(row);
        }
        rows
    }

    /// Returns the slide or patient index of each tile, as `exclude` requires.
    pub fn groups(&self, exclude: Exclude) -> &[u32] {
        match exclude {
            Exclude::Slide => &self.slides,
            Exclude::Patient => &self.patients,
        }
    }

    /// Returns the tiles at `rows`, in that order.
    pub fn select(&self, rows: &[u32]) -> Self {
        let at = |row: &u32| *row as usize;
        Self {
            positions_um: rows.iter().map(|row| self.positions_um[at(row)]).collect(),
            slides: rows.iter().map(|row| self.slides[at(row)]).collect(),
            patients: rows.iter().map(|row| self.patients[at(row)]).collect(),
            classes: rows.iter().map(|row| self.classes[at(row)]).collect(),
        }
    }

    /// Checks that there are as many tiles as descriptors.
    ///
    /// # Errors
    /// [`EvaluationError::Lengths`] if any list has another length.
    pub fn check(&self, descriptors: Descriptors<'_>) -> Result<(), EvaluationError> {
        let lengths = [self.positions_um.len(), self.slides.len(), self.patients.len(), self.classes.len()];
        if lengths.iter().all(|length| *length == descriptors.len()) {
            Ok(())
        } else {
            Err(EvaluationError::Lengths { descriptors: descriptors.len(), tiles: self.len() })
        }
    }
}

/// Which tiles are excluded from the answers to a query.
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
    /// Tiles of the query's slide.
    Slide,
    /// Tiles of the query's patient; a slide whose patient is unknown counts as a patient of its own.
    #[default]
    Patient,
}

/// An error of a measurement. Every message says what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvaluationError {
    /// The length of the array is not a multiple of the descriptor width.
    #[error("{} numbers cannot be divided into descriptors of {width} numbers", grouped(*numbers as u64))]
    Shape {
        /// Length of the array.
        numbers: usize,
        /// Numbers in a descriptor.
        width: usize,
    },
    /// A descriptor contains NaN or an infinity.
    #[error("the descriptor of tile {} holds NaN or an infinity; embed the slides again", grouped(*row as u64))]
    NotFinite {
        /// Row of the tile.
        row: usize,
    },
    /// The numbers of descriptors and tiles differ.
    #[error(
        "there are {} descriptors for {} tiles; give both for the same tiles",
        grouped(*descriptors as u64),
        grouped(*tiles as u64)
    )]
    Lengths {
        /// Number of descriptors.
        descriptors: usize,
        /// Number of tiles.
        tiles: usize,
    },
    /// No slide has both near and far pairs.
    #[error(
        "no slide has both a pair of tiles nearer than {} mm and one farther than {} mm apart, so \
         ADDR cannot be measured; for small sections set shorter limits, such as 0.5 mm for near and 4 mm for far pairs",
        plain(near_mm),
        plain(far_mm)
    )]
    NoPairs {
        /// Near limit in mm.
        near_mm: f64,
        /// Far limit in mm.
        far_mm: f64,
    },
    /// The limits of near and far pairs are invalid.
    #[error(
        "the near limit ({} mm) must be above 0 and at most the far limit ({} mm); correct --near-mm or --far-mm",
        plain(near_mm),
        plain(far_mm)
    )]
    Limits {
        /// Near limit in mm.
        near_mm: f64,
        /// Far limit in mm.
        far_mm: f64,
    },
}
