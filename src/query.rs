//! Asking the index: a tile as the question, ranked matches as the answer.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::descriptors::Row;
use crate::geometry::{Level0Point, Level0Rect, MicronsPerPixel};
use crate::index::{Exclusion, Snapshot, TileFilter};
use crate::slide::SlideId;

/// Which slides may hold matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    #[default]
    All,
    /// The query's slide.
    Same,
    /// Every slide but the query's.
    Others,
}

/// A question: which tiles are like this one?
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub slide: SlideId,
    /// A position on the tile, in level-0 pixels.
    pub at: Level0Point,
    pub scope: Scope,
    /// How many matches are wanted.
    pub count: usize,
    /// Tiles of the query's slide whose centre is this near to the query tile's, in µm, are left out. The
    /// query tile itself always is.
    pub exclude_um: f64,
    /// Pixel size of the query's slide.
    pub mpp: MicronsPerPixel,
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
}

/// What the index says.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub slide: SlideId,
    /// The query tile.
    pub rect: Level0Rect,
    /// Nearest first.
    pub matches: Vec<Match>,
    /// Whether these are certainly the nearest ones of all that were searched.
    pub exact: bool,
    /// Tiles that were searched.
    pub searched: usize,
    pub elapsed: Duration,
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
}

/// Find the tiles most like the one at `query.at`.
pub fn ask(index: &Snapshot, query: &Query) -> Result<Answer, QueryError> {
    let started = Instant::now();
    let place = index
        .sets()
        .iter()
        .position(|set| set.header.slide_id == query.slide)
        .ok_or_else(|| QueryError::NotEmbedded(query.slide.clone()))?;
    let set = &index.sets()[place];
    let row: Row = set.row_at(query.at).ok_or_else(|| QueryError::NoTileThere {
        slide: query.slide.clone(),
        x: query.at.x,
        y: query.at.y,
    })?;
    let rect = set.rect(row);
    let in_scope = |other: usize| match query.scope {
        Scope::All => true,
        Scope::Same => other == place,
        Scope::Others => other != place,
    };
    let filter = TileFilter {
        sets: (0..index.sets().len()).map(in_scope).collect(),
        excluded: Some(Exclusion {
            set: place as u32,
            center: rect.center(),
            radius_um: query.exclude_um.max(0.0),
            mpp: query.mpp,
        }),
    };
    let neighbours = index.nearest(set.descriptor(row), &filter, query.count);
    let matches = (1..)
        .zip(neighbours)
        .map(|(rank, neighbour)| {
            let set = &index.sets()[neighbour.tile.set as usize];
            Match {
                rank,
                slide: set.header.slide_id.clone(),
                rect: set.rect(neighbour.tile.row),
                distance: neighbour.distance,
            }
        })
        .collect();
    Ok(Answer {
        slide: query.slide.clone(),
        rect,
        matches,
        // Both ways of searching certify what they return; an approximate one would have to say so here.
        exact: true,
        searched: index.len(),
        elapsed: started.elapsed(),
    })
}
