//! Asking the index: examples as the question, ranked matches and ranked slides as the answer.
//!
//! A match is as far from the query as from the nearest of its examples. Negative examples leave out what is at
//! least as near to one of them. Whatever is left out, is left out inside the search, so that an answer is as
//! long as was asked for whenever so many tiles exist.

mod history;
pub mod builder;
mod choice;
mod elsewhere;
mod example;
pub mod export;
mod marked;
mod own;
mod patients;
mod slides;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

use crate::descriptors::DescriptorSet;
use crate::geometry::Level0Rect;
use crate::index::{Exclusion, Neighbour, Snapshot, TileFilter, TileRef, squared_distances};
use crate::slide::SlideId;

pub use elsewhere::{ArchiveSlide, ArchiveTile, FromArchive};
pub use example::{Example, MOST_TILES, Region};
pub use history::{
    JUDGEMENTS_FILE, Judgement, PastQuery, Precision, QueryHistory, ShownExample, Verdict, pair,
};
pub use marked::{Marked, Marks, points_of};
pub use patients::{PatientNames, Patients, USUAL_PATTERN, read_patients};
pub use slides::{HISTOGRAM_BINS, SlideElsewhere, SlideRank, asking, compared};

use example::ExampleTile;

/// Which slides may hold matches.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Scope {
    #[default]
    All,
    /// The query's slides.
    Same,
    /// Every slide but the query's.
    Others,
    /// Every slide of the project, and those of the department's archive.
    Archive,
}

/// A question: which tiles are like these?
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Query {
    /// What is looked for; the first one names the query's slide.
    #[serde(alias = "like")]
    pub positives: Vec<Example>,
    /// What is not.
    #[serde(default, alias = "unlike")]
    pub negatives: Vec<Example>,
    pub settings: QuerySettings,
}

/// How a question is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuerySettings {
    pub scope: Scope,
    /// Only these slides, where they are named.
    pub among: Option<Vec<SlideId>>,
    /// Where on the slides matches may lie, as annotations tell.
    pub marked: Marked,
    /// How many matches are wanted.
    pub count: usize,
    /// Tiles whose centre is this near to that of an example on the same slide, in µm, are left out. The query's own
    /// tiles always are: tiles that share more than half of the smaller rectangle with an example, and all tiles
    /// whose centre lies in a region that asks.
    pub exclude_um: f64,
    /// Farther tiles are no matches, in descriptor units.
    pub max_distance: Option<f32>,
    /// No two matches of a slide are nearer to each other than this, in µm: the best of each spot stands for it.
    pub apart_um: f64,
    /// How much matches should differ from each other, 0 (not asked for) to 1.
    pub diversity: f32,
    /// Whether slides are ranked, too.
    pub rank_slides: bool,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            scope: Scope::All,
            among: None,
            marked: Marked::Anywhere,
            count: 20,
            exclude_um: 0.0,
            max_distance: None,
            apart_um: 0.0,
            diversity: 0.0,
            rank_slides: false,
        }
    }
}

/// A tile, by slide and place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TilePlace {
    pub slide: SlideId,
    /// Level-0 pixels of that slide.
    pub rect: Level0Rect,
}

/// One similar tile.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// 1 is the most similar.
    pub rank: usize,
    pub slide: SlideId,
    /// Level-0 pixels of its own slide.
    pub rect: Level0Rect,
    /// Euclidean distance of the descriptors; 0 is the same.
    pub distance: f32,
    /// Which tile of the query it is most like, as a place in [`Answer::tiles`].
    pub example: usize,
}

/// What the index says.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The tiles that were asked for; a region stands for all of its tiles. One that lies on no slide, such as
    /// that of an image file, has no place.
    pub tiles: Vec<Option<TilePlace>>,
    /// Nearest first, or in the order in which they were chosen to differ.
    pub matches: Vec<Match>,
    /// Slides by likeness, if that was asked for.
    pub slides: Vec<SlideRank>,
    /// Whether these are certainly the nearest ones of all that were searched.
    pub exact: bool,
    /// Tiles that were searched.
    pub searched: usize,
    pub elapsed: Duration,
    /// What comes from the department's archive, where that was searched.
    pub archive: Option<Arc<FromArchive>>,
}

impl Answer {
    /// The place of the first tile that was asked for.
    pub fn first(&self) -> Option<&TilePlace> {
        self.tiles.first()?.as_ref()
    }

    /// The slide as the archive has it, if that is where its matches come from.
    pub fn from_archive(&self, slide: &SlideId) -> Option<&ArchiveSlide> {
        self.archive.as_ref()?.slides.get(slide)
    }

    /// The tile of the query that a match is most like.
    pub fn nearest_example(&self, found: &Match) -> Option<&TilePlace> {
        self.tiles.get(found.example)?.as_ref()
    }
}

/// Why a question cannot be answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QueryError {
    #[error("slide {0} is not embedded yet; embed it first, or wait until its tissue is done")]
    NotEmbedded(SlideId),
    #[error(
        "there is no embedded tile at x {x:.0}, y {y:.0} of slide {slide}; \
         the place is not tissue, or has not been embedded yet"
    )]
    NoTileThere { slide: SlideId, x: f64, y: f64 },
    #[error("no embedded tile has its centre in that region of slide {0}; draw it over tissue, or larger")]
    EmptyRegion(SlideId),
    #[error("{name} was described by another encoder than the slides: {found} numbers instead of {wanted}")]
    OtherEncoder { name: String, found: usize, wanted: usize },
    #[error("nothing was given to look for; name a tile, a region or an image")]
    Nothing,
    #[error("{0}")]
    Crashed(String),
}

/// Find the tiles most like the examples of `query`. `marks` are the annotations that settings may speak of.
///
/// # Errors
/// Why the question cannot be answered.
pub fn ask(index: &Snapshot, query: &Query, marks: &Marks) -> Result<Answer, QueryError> {
    let started = Instant::now();
    let positives = example::tiles(index, &query.positives)?;
    let negatives = example::tiles(index, &query.negatives)?;
    if positives.is_empty() {
        return Err(QueryError::Nothing);
    }
    let settings = &query.settings;
    let filter = filter(index, query, (&positives[..], &negatives[..]), marks);
    let found = choice::choose(index, settings, |count| nearest(index, &positives, &filter, count));
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
        slides::rank(index, &positives, &filter, &matches, Vec::new())
    } else {
        Vec::new()
    };
    Ok(Answer {
        tiles: positives.into_iter().map(|tile| tile.place).collect(),
        matches,
        slides,
        // Every way of searching certifies what it returns; an approximate one would have to say so here.
        exact: true,
        searched: index.len_within(&filter),
        elapsed: started.elapsed(),
        archive: None,
    })
}

/// Rank the slides of `index` that a query allows together with slides `elsewhere`, for its `matches`.
///
/// # Errors
/// As [`ask`].
pub fn rank_slides(
    index: &Snapshot,
    query: &Query,
    marks: &Marks,
    matches: &[Match],
    elsewhere: Vec<SlideElsewhere>,
) -> Result<Vec<SlideRank>, QueryError> {
    let positives = example::tiles(index, &query.positives)?;
    let negatives = example::tiles(index, &query.negatives)?;
    let filter = filter(index, query, (&positives[..], &negatives[..]), marks);
    Ok(slides::rank(index, &positives, &filter, matches, elsewhere))
}

/// A tile of a question: its place, if it has one, and its descriptor.
pub type AskedTile = (Option<TilePlace>, Vec<f32>);

/// The tiles that examples stand for, each with its place, if it has one, and its descriptor.
///
/// # Errors
/// As [`ask`].
pub fn tiles_of(index: &Snapshot, examples: &[Example]) -> Result<Vec<AskedTile>, QueryError> {
    let tiles = example::tiles(index, examples)?;
    Ok(tiles.into_iter().map(|tile| (tile.place, tile.descriptor.into_owned())).collect())
}

/// Distance of every embedded tile to the nearest of the tiles that `positives` stands for: a list for each set of the
/// index, in the order of its rows.
///
/// # Errors
/// As [`ask`].
pub fn distances(index: &Snapshot, positives: &[Example]) -> Result<Vec<Vec<f32>>, QueryError> {
    let positives = example::tiles(index, positives)?;
    if positives.is_empty() {
        return Err(QueryError::Nothing);
    }
    let of_set = |set: &Arc<DescriptorSet>| {
        let mut nearest = vec![f32::INFINITY; set.len()];
        let mut squared = vec![0.0; set.len()];
        for tile in &positives {
            squared_distances(&tile.descriptor, set.features(), &mut squared);
            nearest.iter_mut().zip(&squared).for_each(|(nearest, squared)| *nearest = nearest.min(*squared));
        }
        nearest.into_iter().map(f32::sqrt).collect()
    };
    Ok(index.sets().par_iter().map(of_set).collect())
}

/// A tile, and which tile of the query it is nearest to.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Found {
    tile: TileRef,
    distance: f32,
    example: usize,
}

fn filter(
    index: &Snapshot,
    query: &Query,
    (positives, negatives): (&[ExampleTile<'_>], &[ExampleTile<'_>]),
    marks: &Marks,
) -> TileFilter {
    let settings = &query.settings;
    // By slide, not by tile of the index: an example may have been described before its slide was embedded.
    let own: Vec<u32> =
        positives.iter().filter_map(|tile| index.place(&tile.place.as_ref()?.slide)).collect();
    let in_scope = |(place, slide): (u32, &SlideId)| {
        let is_own = own.contains(&place);
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
        let place = tile.place.as_ref().filter(|_| settings.exclude_um > 0.0)?;
        let set = index.place(&place.slide)?;
        let mpp = index.sets()[set as usize].header.level0_mpp();
        Some(Exclusion { set, center: place.rect.center(), radius_um: settings.exclude_um, mpp })
    };
    TileFilter {
        sets: slides.map(in_scope).collect(),
        rows: settings.marked.rows(index, marks),
        without: own::rows(index, &query.positives),
        excluded: positives.iter().filter_map(excluded).collect(),
        max_distance: settings.max_distance.unwrap_or(f32::INFINITY),
        negatives: negatives.iter().map(|tile| tile.descriptor.to_vec()).collect(),
    }
}

/// The `count` tiles nearest to any of the query's, nearest first. What is nearest to any of several is among
/// what is nearest to each.
fn nearest(index: &Snapshot, positives: &[ExampleTile<'_>], filter: &TileFilter, count: usize) -> Vec<Found> {
    let of_one = |(example, tile): (usize, &ExampleTile<'_>)| {
        let found = index.nearest(&tile.descriptor, filter, count).into_iter();
        found.map(|Neighbour { tile, distance }| Found { tile, distance, example }).collect::<Vec<_>>()
    };
    let all: Vec<Vec<Found>> = positives.par_iter().enumerate().map(of_one).collect();
    let mut best: HashMap<TileRef, Found> = HashMap::new();
    for found in all.into_iter().flatten() {
        let known = best.entry(found.tile).or_insert(found);
        if found.distance < known.distance {
            *known = found;
        }
    }
    let mut best: Vec<Found> = best.into_values().collect();
    best.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.tile.cmp(&b.tile)));
    best.truncate(count);
    best
}
