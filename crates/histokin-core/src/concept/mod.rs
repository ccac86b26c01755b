//! Concepts: taught queries that are kept under a name, and say of every tile whether it is what was taught.
//!
//! ```text
//! query with marks → direction → threshold from the marks → areas on slides, class map, files
//! ```

mod areas;
mod class_map;
mod store;
mod threshold;

use std::collections::HashMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::annotation::AnnotationClass;
use crate::descriptors::{DescriptorSet, Recipe};
use crate::geometry::Level0Point;
use crate::index::{DescriptorStatistics, Snapshot};
use crate::query::{self, Example, Judgement, Mark, Query, QueryError, RankBy};
use crate::slide::SlideId;

pub use areas::{Areas, PatientAreas, areas, by_patient};
pub use class_map::{class_areas, class_map};
pub use store::{ConceptStore, LoadedConcepts};
pub use threshold::{Estimate, FEWEST_MARKS, LeftOut, TaughtTile, choose_threshold, wilson};

/// A taught query under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Concept {
    /// Name, unique in a project.
    pub name: String,
    /// Class and colour of what it finds.
    pub class: AnnotationClass,
    /// Recipe of the descriptors that it was taught with, and that it applies to.
    pub recipe: Recipe,
    /// The tiles that it was taught with.
    pub tiles: Vec<ConceptTile>,
    /// The direction: tiles near to it are what was taught.
    pub direction: Vec<f32>,
    /// Largest distance from the direction of a tile that belongs to the concept; `None` if neither the marks
    /// nor the user have set it.
    pub threshold: Option<f32>,
    /// What the marks say about the threshold that they give; `None` if there are too few of them.
    pub estimate: Option<Estimate>,
}

/// A tile that a concept was taught with.
#[derive(Debug, Clone, PartialEq)]
pub struct ConceptTile {
    /// Slide of the tile; `None` for a tile of an image file.
    pub slide: Option<SlideId>,
    /// Centre of the tile, in level-0 pixels.
    pub at: Level0Point,
    /// Whether it shows what is taught, or different tissue.
    pub is_same: bool,
    /// Descriptor of the tile.
    pub descriptor: Vec<f32>,
}

/// Error of teaching, applying or storing a concept. Messages name the concept or file and, if there is one, the
/// remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConceptError {
    /// A tile that teaches the concept is not available.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The concept was taught with other descriptors.
    #[error(
        "the concept {name:?} was taught with descriptors of another encoder, tile size or stain setting (encoder \
         {taught}); teach it again with those of this project (encoder {used})"
    )]
    OtherRecipe {
        /// Name of the concept.
        name: String,
        /// Encoder that it was taught with.
        taught: String,
        /// Encoder of the slides.
        used: String,
    },
    /// The concept has no threshold.
    #[error(
        "the concept {name:?} has no threshold: that takes {FEWEST_MARKS} tiles marked as the same and {FEWEST_MARKS} \
         as different, and it has {same} and {different}; mark more tiles, or set a threshold"
    )]
    NoThreshold {
        /// Name of the concept.
        name: String,
        /// Number of tiles marked as the same.
        same: usize,
        /// Number of tiles marked as different.
        different: usize,
    },
    /// A name cannot be used.
    #[error(
        "{0:?} cannot be the name of a concept: it needs a letter or a digit, and at most 100 characters"
    )]
    Nameless(String),
    /// There is a concept of that name already.
    #[error("there is a concept {0:?} already; choose another name, or remove it first")]
    NameTaken(String),
    /// There is no concept of that name.
    #[error("there is no concept {name:?}; there are: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// Names of all concepts, separated by commas.
        known: String,
    },
    /// A file is no concept.
    #[error("{}: damaged concept: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
}

impl ConceptError {
    /// Returns the message with the `name` of a slide in place of its ID, as [`QueryError::naming`].
    pub fn naming(&self, name: impl Fn(&SlideId) -> String) -> String {
        match self {
            Self::Query(problem) => problem.naming(name),
            other => other.to_string(),
        }
    }
}

impl Concept {
    /// Makes a concept of a query on `index`, with the direction of its examples and marks and the threshold that
    /// these give. `patients` are those of the slides, as far as they are known.
    ///
    /// # Errors
    /// [`ConceptError::Query`] when a tile of the query is not available, or none shows what is taught.
    pub fn taught(
        name: &str,
        class: AnnotationClass,
        index: &Snapshot,
        query: &Query,
        patients: &HashMap<SlideId, String>,
    ) -> Result<Self, ConceptError> {
        let (recipe, tiles) = tiles_of(index, query)?;
        let learning = Learning { rank_by: query.settings.rank_by, statistics: index.statistics() };
        Self::of_tiles(name, class, recipe, tiles, learning, patients)
            .ok_or(ConceptError::Query(QueryError::Nothing))
    }

    /// Returns the concept taught with the examples and marks of a query as well; of a tile that it has already, what
    /// the query says counts. A query that looks for the concept has [`Self::example`], which is no tile and teaches
    /// nothing; nor does one that the concept had before. While the marks give no threshold, the one that was set stays.
    ///
    /// # Errors
    /// As [`Self::taught`], and [`ConceptError::OtherRecipe`].
    pub fn with_marks(
        &self,
        index: &Snapshot,
        query: &Query,
        patients: &HashMap<SlideId, String>,
    ) -> Result<Self, ConceptError> {
        let mut marked = query.clone();
        marked.positives.retain(|example| !self.is_example(example));
        let (recipe, new) = tiles_of(index, &marked)?;
        self.require(&recipe)?;
        let is_again = |tile: &&ConceptTile| {
            tile.slide.is_some() && new.iter().any(|new| (&new.slide, new.at) == (&tile.slide, tile.at))
        };
        let mut tiles: Vec<ConceptTile> = self.tiles.iter().filter(|tile| !is_again(tile)).cloned().collect();
        tiles.extend(new);
        let learning = Learning { rank_by: query.settings.rank_by, statistics: index.statistics() };
        let taught = Self::of_tiles(&self.name, self.class.clone(), recipe, tiles, learning, patients)
            .ok_or(ConceptError::Query(QueryError::Nothing))?;
        let threshold = taught.threshold.or(self.threshold);
        Ok(Self { threshold, ..taught })
    }

    /// Makes a concept of tiles; `None` if none of them shows what is taught.
    fn of_tiles(
        name: &str,
        class: AnnotationClass,
        recipe: Recipe,
        tiles: Vec<ConceptTile>,
        learning: Learning<'_>,
        patients: &HashMap<SlideId, String>,
    ) -> Option<Self> {
        let said = |is_same: bool| {
            let is_said = move |tile: &&ConceptTile| tile.is_same == is_same;
            tiles.iter().filter(is_said).map(|tile| tile.descriptor.as_slice())
        };
        let direction = learning.direction(said(true), said(false))?;
        let taught: Vec<TaughtTile<'_>> = tiles.iter().map(|tile| tile.taught(patients)).collect();
        let estimate = choose_threshold(&taught, learning);
        let threshold = estimate.as_ref().map(|estimate| estimate.distance);
        let name = name.trim().to_owned();
        Some(Self { name, class, recipe, tiles, direction, threshold, estimate })
    }

    /// Returns the numbers of tiles that were marked as the same and as different.
    pub fn counts(&self) -> [usize; 2] {
        let same = self.tiles.iter().filter(|tile| tile.is_same).count();
        [same, self.tiles.len() - same]
    }

    /// Returns the threshold, if the concept has one and applies to descriptors of this recipe.
    ///
    /// # Errors
    /// [`ConceptError::OtherRecipe`] and [`ConceptError::NoThreshold`].
    pub fn threshold_for(&self, recipe: &Recipe) -> Result<f32, ConceptError> {
        self.require(recipe)?;
        let [same, different] = self.counts();
        self.threshold.ok_or_else(|| ConceptError::NoThreshold { name: self.name.clone(), same, different })
    }

    /// Fails if the concept was taught with descriptors of another recipe.
    ///
    /// # Errors
    /// [`ConceptError::OtherRecipe`].
    pub fn require(&self, recipe: &Recipe) -> Result<(), ConceptError> {
        if self.recipe.short_id() == recipe.short_id() {
            return Ok(());
        }
        Err(ConceptError::OtherRecipe {
            name: self.name.clone(),
            taught: self.recipe.encoder_name.clone(),
            used: recipe.encoder_name.clone(),
        })
    }

    /// Returns the direction of the concept as an example, by which a query looks for it.
    pub fn example(&self) -> Example {
        let (name, descriptors) = (self.name.clone(), vec![self.direction.clone()]);
        let recipe = Some(self.recipe.short_id());
        Example::Descriptors { name, position: None, descriptors, recipe, file: None }
    }

    /// Returns whether a query looks for the concept: has its direction as an example, or by its name one that it had
    /// before it was taught more, as earlier queries have.
    pub fn is_asked_by(&self, query: &Query) -> bool {
        query.positives.iter().any(|example| self.is_example(example))
    }

    /// Returns whether an example is the direction of the concept, or by its name one that it had before.
    fn is_example(&self, example: &Example) -> bool {
        let is_former = matches!(example, Example::Descriptors { name, position: None, descriptors, file: None, .. }
            if descriptors.len() == 1 && *name == self.name);
        is_former || self.is_direction(example)
    }

    /// Returns whether an example is the direction of the concept as it is now, whatever its name was then.
    pub fn is_direction(&self, example: &Example) -> bool {
        matches!(example, Example::Descriptors { position: None, descriptors, .. }
            if descriptors.len() == 1 && descriptors[0] == self.direction)
    }

    /// Returns the query that the concept was taught by, to go on teaching: its first tile that shows what is
    /// taught as the example, and all others as marks. If the concept was taught with descriptors of another recipe,
    /// tiles that the index does not have are left out.
    pub fn taught_by(&self, index: &Snapshot) -> Query {
        let mut query = Query::default();
        let applies = index.sets().first().is_none_or(|set| self.require(&set.header.recipe).is_ok());
        for tile in &self.tiles {
            let embedded = tile.slide.as_ref().filter(|slide| {
                index.set_index(slide).is_some_and(|set| index.sets()[set as usize].row_at(tile.at).is_some())
            });
            let example = match embedded {
                Some(slide) => Example::Tile { slide: slide.clone(), at: tile.at },
                None if !applies => continue,
                None => Example::Descriptors {
                    // Not that of the concept, which is what its direction is called.
                    name: format!("Tile of {}", self.name),
                    position: None,
                    descriptors: vec![tile.descriptor.clone()],
                    recipe: Some(self.recipe.short_id()),
                    file: None,
                },
            };
            match tile.is_same {
                true if query.positives.is_empty() => query.positives.push(example),
                true => query.marks.push(Mark { example, judgement: Judgement::Same }),
                false => query.marks.push(Mark { example, judgement: Judgement::Different }),
            }
        }
        query
    }

    /// Returns the distance of each tile of a set from the direction, in the order of its rows.
    fn distances(&self, set: &DescriptorSet) -> Vec<f32> {
        let mut squared = vec![0.0; set.len()];
        crate::index::squared_distances(&self.direction, set.features(), &mut squared);
        squared.into_iter().map(f32::sqrt).collect()
    }
}

/// How marks become a direction.
#[derive(Debug, Clone, Copy)]
pub struct Learning<'a> {
    /// By which formula.
    pub rank_by: RankBy,
    /// Statistics of the tiles among which the marked ones were shown.
    pub statistics: &'a DescriptorStatistics,
}

impl Learning<'_> {
    /// Returns the direction of marked tiles; `None` if none shows what is taught.
    pub fn direction<'d>(
        &self,
        same: impl IntoIterator<Item = &'d [f32]>,
        different: impl IntoIterator<Item = &'d [f32]>,
    ) -> Option<Vec<f32>> {
        query::direction(same, different, self.rank_by, self.statistics)
    }
}

/// Returns the recipe of an index, and the tiles of a query on it.
fn tiles_of(index: &Snapshot, query: &Query) -> Result<(Recipe, Vec<ConceptTile>), ConceptError> {
    let recipe = index.sets().first().ok_or(QueryError::Nothing)?.header.recipe.clone();
    let marked = |judgement: Judgement| {
        query.marks.iter().filter(move |mark| mark.judgement == judgement).map(|mark| mark.example.clone())
    };
    let same: Vec<Example> = query.positives.iter().cloned().chain(marked(Judgement::Same)).collect();
    let different: Vec<Example> =
        query.negatives.iter().cloned().chain(marked(Judgement::Different)).collect();
    let mut tiles = Vec::new();
    for (examples, is_same) in [(&same, true), (&different, false)] {
        tiles.extend(query::tiles_of(index, examples)?.into_iter().map(|(position, descriptor)| {
            let at = position.as_ref().map_or_else(Level0Point::default, |position| position.rect.center());
            ConceptTile { slide: position.map(|position| position.slide), at, is_same, descriptor }
        }));
    }
    Ok((recipe, tiles))
}

impl ConceptTile {
    fn taught<'a>(&'a self, patients: &'a HashMap<SlideId, String>) -> TaughtTile<'a> {
        let slide = self.slide.as_ref();
        let patient = slide.and_then(|slide| patients.get(slide)).map(String::as_str);
        TaughtTile { slide, patient, is_same: self.is_same, descriptor: &self.descriptor }
    }
}

/// A number of tiles and their area.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TileArea {
    /// Number of tiles.
    pub tiles: usize,
    /// Area in mm².
    pub mm2: f64,
}
