//! Labels of tiles: areas of named classes on each slide, from any supported file, and the class that a tile
//! takes from them.

mod coverage;
mod drawn;
mod folder;
mod patients;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use histokin_core::annotation::AnnotationError;
use histokin_core::geometry::{Level0Point, Level0Rect};

pub use coverage::covered;
pub use drawn::{of_annotations, read_annotations};
pub use folder::{read_folder, read_labels};
pub use histokin_core::annotation::means_tumour;
pub use patients::{Patients, PatientsByName};
pub use table::read_table;

/// Default fraction of a tile that a class must cover to become its label.
pub const COVERAGE: f64 = 0.5;

/// An area on a slide.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Area {
    /// Outlines in level-0 pixels. A point inside an odd number of outlines belongs to the area, so an
    /// outline within another is a hole.
    pub outlines: Vec<Vec<Level0Point>>,
}

impl Area {
    /// Creates a rectangular area.
    pub fn rectangle(rect: &Level0Rect) -> Self {
        let (left, top) = (rect.x as f64, rect.y as f64);
        let (right, bottom) = (rect.right() as f64, rect.bottom() as f64);
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        Self { outlines: vec![corners.map(|(x, y)| Level0Point::new(x, y)).to_vec()] }
    }
}

/// Labels of one slide.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SlideLabels {
    /// Areas by class name.
    pub areas: BTreeMap<String, Vec<Area>>,
    /// Class of everything outside the areas, as on slides known to be free of tumour.
    pub elsewhere: Option<String>,
}

/// Labels of slides, with notes on the files that they came from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labels {
    /// Labels by slide name, as given in the files.
    pub slides: BTreeMap<String, SlideLabels>,
    /// Classes with other names that a file marks as tumour.
    pub tumour_classes: Vec<String>,
    /// Patients given in the files, by slide name.
    pub patients: BTreeMap<String, String>,
    /// Notes for the reader, as sentences.
    pub notes: Vec<String>,
}

impl Labels {
    /// Adds the labels of another file.
    pub fn join(&mut self, other: Self) {
        for (slide, labels) in other.slides {
            self.slides.entry(slide).or_default().join(labels);
        }
        for class in other.tumour_classes {
            if !self.tumour_classes.contains(&class) {
                self.tumour_classes.push(class);
            }
        }
        self.patients.extend(other.patients);
        self.notes.extend(other.notes);
        self.unify_spelling();
    }

    /// Merges classes whose names differ only in case; the first spelling is used.
    fn unify_spelling(&mut self) {
        let mut spellings: Vec<String> = Vec::new();
        let mut spelling = |name: &str| match spellings.iter().find(|one| one.eq_ignore_ascii_case(name)) {
            Some(known) => known.clone(),
            None => {
                spellings.push(name.to_owned());
                name.to_owned()
            }
        };
        for slide in self.slides.values_mut() {
            for (name, areas) in std::mem::take(&mut slide.areas) {
                slide.areas.entry(spelling(&name)).or_default().extend(areas);
            }
            slide.elsewhere = slide.elsewhere.as_deref().map(&mut spelling);
        }
        self.tumour_classes.iter_mut().for_each(|name| *name = spelling(name));
    }

    /// Returns the names of all classes, sorted.
    pub fn classes(&self) -> Vec<String> {
        let drawn = self.slides.values().flat_map(|slide| slide.areas.keys());
        let elsewhere = self.slides.values().filter_map(|slide| slide.elsewhere.as_ref());
        let mut names: Vec<String> = drawn.chain(elsewhere).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Numbers of tiles with and without a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct LabelCounts {
    /// Tiles with a class.
    pub labelled: usize,
    /// Tiles of which two or more classes cover enough; their class is unknown.
    pub conflicting: usize,
    /// Tiles of which no class covers enough.
    pub uncovered: usize,
}

impl SlideLabels {
    /// Adds labels of the same slide from another file.
    pub fn join(&mut self, other: Self) {
        for (class, areas) in other.areas {
            self.areas.entry(class).or_default().extend(areas);
        }
        self.elsewhere = self.elsewhere.take().or(other.elsewhere);
    }

    /// Returns the class of each tile: the one that covers at least the fraction `coverage` (0 to 1) of it,
    /// or `None` if several do.
    pub fn classes_of(&self, tiles: &[Level0Rect], coverage: f64) -> (Vec<Option<&str>>, LabelCounts) {
        let shares: Vec<(&str, Vec<f64>)> =
            self.areas.iter().map(|(class, areas)| (class.as_str(), covered(areas, tiles))).collect();
        let mut counts = LabelCounts::default();
        // Allows for rounding errors, since areas end at pixel edges.
        let enough = |share: f64| share >= coverage - 1e-9 && share > 0.0;
        let classes = (0..tiles.len())
            .map(|tile| {
                let mut covering = shares.iter().filter(|(_, shares)| enough(shares[tile]));
                let free = || shares.iter().all(|(_, shares)| shares[tile] == 0.0);
                match (covering.next(), covering.next()) {
                    (Some((class, _)), None) => {
                        counts.labelled += 1;
                        Some(*class)
                    }
                    (Some(_), Some(_)) => {
                        counts.conflicting += 1;
                        None
                    }
                    (None, _) => match &self.elsewhere {
                        Some(class) if free() => {
                            counts.labelled += 1;
                            Some(class.as_str())
                        }
                        _ => {
                            counts.uncovered += 1;
                            None
                        }
                    },
                }
            })
            .collect();
        (classes, counts)
    }
}

/// An error of labels. Messages give the file and, if there is one, the line.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// A file or folder cannot be read.
    #[error("{}: {source}; check the path and the access rights", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// A line of a table is invalid.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// Path of the file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A file is invalid.
    #[error("{}: {reason}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An annotation file cannot be read.
    #[error(transparent)]
    Annotations(#[from] AnnotationError),
}

impl LabelError {
    fn file(path: &Path, reason: impl ToString) -> Self {
        Self::File { path: path.to_owned(), reason: reason.to_string() }
    }

    /// Makes an error of opening a table.
    fn of_io(path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            // It could be read, but is no table.
            std::io::ErrorKind::InvalidData => Self::file(path, source),
            _ => Self::Io { path: path.to_owned(), source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(rects: &[(&str, Level0Rect)]) -> SlideLabels {
        let mut labels = SlideLabels::default();
        for (class, rect) in rects {
            labels.areas.entry((*class).to_owned()).or_default().push(Area::rectangle(rect));
        }
        labels
    }

    #[test]
    fn half_a_tile_is_enough_and_less_is_not() {
        let tile = Level0Rect::new(100, 100, 50, 50);
        let half = labels(&[("tumour", Level0Rect::new(0, 0, 125, 500))]);
        assert_eq!(half.classes_of(&[tile], COVERAGE).0, [Some("tumour")]);
        let less = labels(&[("tumour", Level0Rect::new(0, 0, 124, 500))]);
        let (classes, counts) = less.classes_of(&[tile], COVERAGE);
        assert_eq!((classes[0], counts.uncovered), (None, 1));
        assert_eq!(less.classes_of(&[tile], 0.4).0, [Some("tumour")]);
    }

    #[test]
    fn many_small_areas_of_a_class_add_up_and_overlaps_count_once() {
        let tile = Level0Rect::new(0, 0, 100, 100);
        let strips = labels(&[
            ("stroma", Level0Rect::new(0, 0, 100, 30)),
            ("stroma", Level0Rect::new(0, 20, 100, 30)),
        ]);
        assert_eq!(strips.classes_of(&[tile], 0.5).0, [Some("stroma")]);
        assert_eq!(strips.classes_of(&[tile], 0.51).0, [None]);
    }

    #[test]
    fn two_classes_on_one_tile_are_a_conflict() {
        let tile = Level0Rect::new(0, 0, 100, 100);
        let both = labels(&[("stroma", tile), ("tumour", Level0Rect::new(0, 0, 60, 100))]);
        let (classes, counts) = both.classes_of(&[tile], COVERAGE);
        assert_eq!((classes[0], counts.conflicting), (None, 1));
    }

    #[test]
    fn one_class_may_be_spelt_in_two_ways() {
        let tile = Level0Rect::new(0, 0, 100, 100);
        let of = |slide: &str, class: &str| Labels {
            slides: [(slide.to_owned(), labels(&[(class, tile)]))].into(),
            ..Labels::default()
        };
        let mut all = of("a", "Tumour");
        all.join(of("a", "tumour"));
        all.join(of("b", "TUMOUR"));
        assert_eq!(all.classes(), ["Tumour"]);
        assert_eq!(all.slides["a"].classes_of(&[tile], COVERAGE).1.conflicting, 0);
    }

    #[test]
    fn elsewhere_is_where_nothing_is_drawn_at_all() {
        let mut normal = labels(&[("tumour", Level0Rect::new(0, 0, 20, 100))]);
        normal.elsewhere = Some("normal".to_owned());
        let tiles = [Level0Rect::new(0, 0, 100, 100), Level0Rect::new(500, 0, 100, 100)];
        assert_eq!(normal.classes_of(&tiles, COVERAGE).0, [None, Some("normal")]);
    }
}
