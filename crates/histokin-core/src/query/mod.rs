//! Queries on the index: examples in, ranked matches and ranked slides out.
//!
//! A query of one example ranks tiles by their distance to its nearest tile. A taught query, one with marks,
//! negative or several positive examples, ranks them by their distance to the [`direction`] of all these tiles
//! or, if its settings say so ([`RankBy`]), to the nearest positive one, without those that are at least as
//! near to a negative one. All filters apply inside the search, so that an answer has the requested length
//! whenever enough tiles exist.

mod asked;
mod history;
pub mod builder;
mod annotation_filter;
mod choice;
mod direction;
mod elsewhere;
mod example;
pub mod export;
mod mark;
mod own;
mod patient_table;
mod patients;
pub mod similarity_map;
mod slides;
mod suggestions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

use crate::descriptors::DescriptorSet;
use crate::geometry::Level0Rect;
use crate::index::{Exclusion, Snapshot, TileFilter, squared_distances};
use crate::number_format::decimal;
use crate::slide::SlideId;

pub use annotation_filter::{AnnotationFilter, AnnotationsBySlide, KnownMasks, points_of};
pub use direction::direction;
pub use elsewhere::{ArchiveSlide, ArchiveTile, FromArchive};
pub use example::{Example, MOST_TILES, Region};
pub use history::{
    JUDGEMENTS_FILE, JudgedMatch, Judgement, PastQuery, Precision, QueryHistory, ShownExample, ShownMark,
    pair,
};
pub use mark::{Mark, Order, RankBy};
pub use patient_table::{
    FILE_COLUMNS, PATIENT_COLUMNS, PatientList, PatientTableError, SLIDE_COLUMNS, read_patient_table,
    read_patients,
};
pub use patients::{DEFAULT_PATTERN, PatientNames, Patients};
pub use slides::{HISTOGRAM_BINS, SlideElsewhere, SlideRank, asking, compared};

use asked::{Asked, Found};
use example::ExampleTile;

/// Which slides may hold matches.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Scope {
    /// All slides of the project.
    #[default]
    All,
    /// Only the query's slides.
    Same,
    /// All slides except the query's.
    Others,
    /// All slides of the project and of the department's archive.
    Archive,
}

/// A search for tiles similar to given examples.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Query {
    /// Positive examples; the first one determines the query's slide.
    #[serde(alias = "like")]
    pub positives: Vec<Example>,
    /// Negative examples.
    #[serde(default, alias = "unlike")]
    pub negatives: Vec<Example>,
    /// What the user has called the same or different since. Marks neither widen nor narrow the scope.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// Scope, filters and size of the answer.
    pub settings: QuerySettings,
}

/// Settings of a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuerySettings {
    /// Slides that are searched.
    pub scope: Scope,
    /// What a taught query compares tiles with.
    pub rank_by: RankBy,
    /// Which of the best tiles are returned, and in which order.
    pub order: Order,
    /// Restricts the search to these slides, if given.
    pub among: Option<Vec<SlideId>>,
    /// Restricts matches by annotations.
    #[serde(alias = "marked")]
    pub annotation_filter: AnnotationFilter,
    /// Number of matches wanted.
    pub count: usize,
    /// Tiles whose centre is within this distance (µm) of that of a positive example on the same slide are left
    /// out. The query's own tiles always are: tiles that share more than half of the smaller rectangle with an
    /// example or mark, and all tiles whose centre lies in a region of the query.
    pub exclude_um: f64,
    /// Maximum distance of a match, in descriptor units.
    pub max_distance: Option<f32>,
    /// Minimum distance between two matches on a slide, in µm; of tiles nearer to each other only the best is
    /// kept.
    pub apart_um: f64,
    /// How much matches should differ from each other, from 0 (off) to 1.
    pub diversity: f32,
    /// Whether slides are ranked as well.
    pub rank_slides: bool,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            scope: Scope::All,
            rank_by: RankBy::default(),
            order: Order::Best,
            among: None,
            annotation_filter: AnnotationFilter::Anywhere,
            count: 20,
            exclude_um: 0.0,
            max_distance: None,
            apart_um: 0.0,
            diversity: 0.0,
            rank_slides: false,
        }
    }
}

/// Position of a tile: its slide and rectangle.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TilePosition {
    /// Slide that contains the tile.
    pub slide: SlideId,
    /// Rectangle in level-0 pixels of that slide.
    pub rect: Level0Rect,
}

/// A tile in the answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// Position in the answer; 1 is the most similar.
    pub rank: usize,
    /// Slide that contains the tile.
    pub slide: SlideId,
    /// Rectangle in level-0 pixels of `slide`.
    pub rect: Level0Rect,
    /// Euclidean distance of the descriptor to that of the nearest tile of the query or, for a taught query, to
    /// its direction; 0 for identical ones.
    pub distance: f32,
    /// The nearest tile of the query's positive examples, as an index into [`Answer::tiles`].
    pub example: usize,
}

/// The result of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Tiles of the query's positive examples, with all tiles of a region. `None` for a tile that lies on no
    /// slide, such as that of an image file.
    pub tiles: Vec<Option<TilePosition>>,
    /// What tiles were compared with, for a query that ranks by its direction.
    pub direction: Option<Arc<[f32]>>,
    /// Matches, nearest first or, with diversity or suggestions, in the order in which they were chosen.
    pub matches: Vec<Match>,
    /// Slides by similarity, if ranking was requested.
    pub slides: Vec<SlideRank>,
    /// Whether the matches are guaranteed to be the nearest of all searched tiles.
    pub exact: bool,
    /// Number of tiles searched.
    pub searched: usize,
    /// Time that the search took.
    pub elapsed: Duration,
    /// The part that comes from the department's archive, if it was searched.
    pub archive: Option<Arc<FromArchive>>,
}

impl Answer {
    /// Returns the position of the query's first tile.
    pub fn first(&self) -> Option<&TilePosition> {
        self.tiles.first()?.as_ref()
    }

    /// Returns the archive's record of a slide, if the slide's matches come from there.
    pub fn from_archive(&self, slide: &SlideId) -> Option<&ArchiveSlide> {
        self.archive.as_ref()?.slides.get(slide)
    }

    /// Returns the tile of the query that is nearest to a match.
    pub fn nearest_example(&self, found: &Match) -> Option<&TilePosition> {
        self.tiles.get(found.example)?.as_ref()
    }
}

/// Reason why a query cannot be answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QueryError {
    /// An example lies on a slide that is not in the index.
    #[error("slide {0} is not embedded yet; embed it first, or wait until its tissue is done")]
    NotEmbedded(SlideId),
    /// No embedded tile lies at the position of an example.
    #[error(
        "there is no embedded tile at x {}, y {} of slide {slide}; \
         the position is not tissue, or has not been embedded yet",
        decimal(*x, 0),
        decimal(*y, 0)
    )]
    NoTileThere {
        /// Slide of the example.
        slide: SlideId,
        /// Level-0 x of the position.
        x: f64,
        /// Level-0 y of the position.
        y: f64,
    },
    /// A region contains no tile centre.
    #[error("no embedded tile has its centre in that region of slide {0}; draw it over tissue, or larger")]
    EmptyRegion(SlideId),
    /// The width of an example's descriptors differs from that of the index.
    #[error("{name} was embedded by another encoder than the slides: {found} numbers instead of {wanted}")]
    OtherEncoder {
        /// Name of the example.
        name: String,
        /// Width of its descriptors.
        found: usize,
        /// Width of the descriptors in the index.
        wanted: usize,
    },
    /// An example was embedded by another recipe than the slides; equally many numbers mean something else then.
    #[error(
        "{name} was embedded with another encoder, tile size or stain setting than the slides; search for it again"
    )]
    OtherRecipe {
        /// Name of the example.
        name: String,
    },
    /// The query has no positive example.
    #[error("the query is empty; name a tile, a region or an image")]
    Nothing,
    /// The search panicked; carries the message.
    #[error("{0}")]
    Crashed(String),
}

impl QueryError {
    /// Returns the message with the `name` of the slide in place of its ID, which says nothing to a user.
    pub fn naming(&self, name: impl Fn(&SlideId) -> String) -> String {
        let text = self.to_string();
        match self {
            Self::NotEmbedded(slide) | Self::NoTileThere { slide, .. } | Self::EmptyRegion(slide) => {
                text.replace(&slide.0, &name(slide))
            }
            Self::OtherEncoder { .. } | Self::OtherRecipe { .. } | Self::Nothing | Self::Crashed(_) => text,
        }
    }
}

/// Finds the tiles most similar to the examples of `query`. `annotations` are the annotations that the settings may
/// refer to.
///
/// # Errors
/// [`QueryError`] when the query cannot be answered.
pub fn ask(index: &Snapshot, query: &Query, annotations: &AnnotationsBySlide) -> Result<Answer, QueryError> {
    let started = Instant::now();
    let asked = Asked::of(index, query)?;
    let settings = &query.settings;
    let filter = filter(index, query, &asked, annotations);
    let nearest = |count| asked.nearest(index, &filter, count);
    let found = match settings.order {
        Order::Best => choice::choose(index, settings, nearest),
        Order::ToMark => suggestions::suggested(index, &asked, settings.count, nearest),
    };
    let matches: Vec<Match> = (1..)
        .zip(&found)
        .map(|(rank, found)| {
            let set = &index.sets()[found.tile.set as usize];
            Match {
                rank,
                slide: set.header.slide_id.clone(),
                rect: set.rect(found.tile.row),
                distance: found.distance,
                example: found.example,
            }
        })
        .collect();
    let slides = if settings.rank_slides {
        slides::rank(index, &asked.points(), &filter, &matches, Vec::new())
    } else {
        Vec::new()
    };
    Ok(Answer {
        direction: asked.direction.as_deref().map(Arc::from),
        tiles: asked.positives.into_iter().map(|tile| tile.position).collect(),
        matches,
        slides,
        // All search methods are exact; an approximate one would have to set this to false.
        exact: true,
        searched: index.len_within(&filter),
        elapsed: started.elapsed(),
        archive: None,
    })
}

/// Ranks the slides of `index` that a query allows together with the slides `elsewhere`; `matches` are
/// counted per slide.
///
/// # Errors
/// As [`ask`].
pub fn rank_slides(
    index: &Snapshot,
    query: &Query,
    annotations: &AnnotationsBySlide,
    matches: &[Match],
    elsewhere: Vec<SlideElsewhere>,
) -> Result<Vec<SlideRank>, QueryError> {
    let asked = Asked::of(index, query)?;
    let filter = filter(index, query, &asked, annotations);
    Ok(slides::rank(index, &asked.points(), &filter, matches, elsewhere))
}

/// A tile of a query: its position, if it has one, and its descriptor.
pub type AskedTile = (Option<TilePosition>, Vec<f32>);

/// Returns the tiles of examples.
///
/// # Errors
/// As [`ask`].
pub fn tiles_of(index: &Snapshot, examples: &[Example]) -> Result<Vec<AskedTile>, QueryError> {
    let tiles = example::tiles(index, examples)?;
    Ok(tiles.into_iter().map(|tile| (tile.position, tile.descriptor.into_owned())).collect())
}

/// Descriptors that tiles are compared with: their distance is that to the nearest of `points`, and those at
/// least as near to one of `negatives` are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The direction of a taught query, or the tiles of the positive examples; never empty.
    pub points: Vec<Vec<f32>>,
    /// Tiles of the negative examples, unless `points` is a direction, which allows for them.
    pub negatives: Vec<Vec<f32>>,
}

/// Returns the descriptors that `query` compares tiles with.
///
/// # Errors
/// As [`ask`].
pub fn compared_with(index: &Snapshot, query: &Query) -> Result<Compared, QueryError> {
    let asked = Asked::of(index, query)?;
    let points = asked.points().into_iter().map(<[f32]>::to_vec).collect();
    Ok(Compared { points, negatives: asked.negatives().into_iter().map(<[f32]>::to_vec).collect() })
}

/// Returns the distance of every embedded tile to what `query` compares tiles with: one list for each set of
/// the index, in the order of its rows.
///
/// # Errors
/// As [`ask`].
pub fn distances(index: &Snapshot, query: &Query) -> Result<Vec<Vec<f32>>, QueryError> {
    let asked = Asked::of(index, query)?;
    let points = asked.points();
    let of_set = |set: &Arc<DescriptorSet>| {
        let mut nearest = vec![f32::INFINITY; set.len()];
        let mut squared = vec![0.0; set.len()];
        for point in &points {
            squared_distances(point, set.features(), &mut squared);
            nearest.iter_mut().zip(&squared).for_each(|(nearest, squared)| *nearest = nearest.min(*squared));
        }
        nearest.into_iter().map(f32::sqrt).collect()
    };
    Ok(index.sets().par_iter().map(of_set).collect())
}

fn filter(
    index: &Snapshot,
    query: &Query,
    asked: &Asked<'_>,
    annotations: &AnnotationsBySlide,
) -> TileFilter {
    let settings = &query.settings;
    let positives = &asked.positives;
    // By slide, not by tile of the index: an example may have been embedded on its own before its slide was.
    let own: Vec<u32> =
        positives.iter().filter_map(|tile| index.set_index(&tile.position.as_ref()?.slide)).collect();
    let in_scope = |(set_index, slide): (u32, &SlideId)| {
        let is_own = own.contains(&set_index);
        let listed = settings.among.as_ref().is_none_or(|among| among.contains(slide));
        listed
            && match settings.scope {
                Scope::All | Scope::Archive => true,
                Scope::Same => is_own,
                Scope::Others => !is_own,
            }
    };
    let slides = (0u32..).zip(index.sets().iter().map(|set| &set.header.slide_id));
    let excluded = |tile: &ExampleTile<'_>| {
        let position = tile.position.as_ref().filter(|_| settings.exclude_um > 0.0)?;
        let set = index.set_index(&position.slide)?;
        let mpp = index.sets()[set as usize].header.level0_mpp();
        Some(Exclusion { set, center: position.rect.center(), radius_um: settings.exclude_um, mpp })
    };
    TileFilter {
        sets: slides.map(in_scope).collect(),
        rows: settings.annotation_filter.rows(index, annotations),
        without: own::rows(index, query.all_examples()),
        excluded: positives.iter().filter_map(excluded).collect(),
        max_distance: settings.max_distance.unwrap_or(f32::INFINITY),
        negatives: asked.negatives().into_iter().map(<[f32]>::to_vec).collect(),
    }
}
