//! Stored queries of a project: relevance judgements and earlier queries.
//!
//! `judgements.csv` has one row for each judged pair of tiles, both identified by slide and level-0
//! rectangle, so that other programs and training can use the pairs. `queries.json` holds the earlier
//! queries.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Answer, Example, Match, QuerySettings, TilePosition};
use crate::geometry::Level0Rect;
use crate::slide::SlideId;
use crate::{durable, untrusted};

/// Name of the file of judgements in a project's folder.
pub const JUDGEMENTS_FILE: &str = "judgements.csv";
const HISTORY_FILE: &str = "queries.json";

/// Maximum size of either file, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// Maximum number of queries kept.
const MOST_KEPT: usize = 50;

/// A relevance judgement: the user's assessment of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// The same tissue as the query's.
    Same,
    /// Different tissue from the query's.
    Different,
    /// The user could not decide; left out of the precision.
    Unsure,
}

/// A match that was judged, with the tile of the query to which it was compared.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedMatch {
    /// Tile of the query that the match was compared with.
    pub query: TilePosition,
    /// The match.
    pub found: TilePosition,
    /// The user's judgement.
    pub judgement: Judgement,
    /// Distance of the two descriptors at the time of the judgement.
    pub distance: f32,
    /// Name of the encoder that computed the descriptors.
    pub encoder: String,
}

/// An example together with the part of a slide that is displayed for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownExample {
    /// The example.
    pub example: Example,
    /// Part of a slide that is displayed; `None` for an image file.
    #[serde(alias = "place")]
    pub position: Option<TilePosition>,
}

/// A mark together with the part of a slide that is displayed for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownMark {
    /// What was marked.
    pub shown: ShownExample,
    /// What the user said.
    pub judgement: Judgement,
}

/// An earlier query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastQuery {
    /// Positive examples.
    #[serde(alias = "like")]
    pub positives: Vec<ShownExample>,
    /// Negative examples.
    #[serde(alias = "unlike")]
    pub negatives: Vec<ShownExample>,
    /// Marks, in the order in which they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<ShownMark>,
    /// Settings of the query.
    pub settings: QuerySettings,
}

/// Relevance judgements and earlier queries of a project.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryHistory {
    judgements: Vec<JudgedMatch>,
    /// Newest first.
    history: Vec<PastQuery>,
}

/// Numbers of an answer's matches by relevance judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Precision {
    /// Matches judged the same.
    pub same: usize,
    /// Matches judged different.
    pub different: usize,
    /// Matches judged unsure.
    pub unsure: usize,
}

impl Precision {
    /// Returns the share (0 to 1) of "same" among the matches judged same or different; `None` without any.
    pub fn share(&self) -> Option<f64> {
        let judged = self.same + self.different;
        (judged > 0).then(|| self.same as f64 / judged as f64)
    }
}

/// One row of `judgements.csv`.
#[derive(Serialize, Deserialize)]
struct Row {
    query_slide: SlideId,
    query_x: i64,
    query_y: i64,
    query_width: u32,
    query_height: u32,
    slide: SlideId,
    x: i64,
    y: i64,
    width: u32,
    height: u32,
    #[serde(alias = "verdict")]
    judgement: Judgement,
    distance: f32,
    encoder: String,
}

impl QueryHistory {
    /// Reads the query history of the project in `root`; empty if there is none.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged; the file is left unchanged.
    pub fn load(root: &Path) -> io::Result<Self> {
        let naming = |path: &Path, error: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
        };
        let read = |name: &str| {
            let path = root.join(name);
            match untrusted::read(&path, MOST_BYTES) {
                Ok(bytes) => Ok((path, Some(bytes))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path, None)),
                Err(error) => Err(naming(&path, error.to_string())),
            }
        };
        let (path, bytes) = read(JUDGEMENTS_FILE)?;
        let rows = csv::Reader::from_reader(bytes.as_deref().unwrap_or_default()).into_deserialize();
        let judgements = rows
            .map(|row: csv::Result<Row>| row.map(JudgedMatch::from))
            .collect::<csv::Result<_>>()
            .map_err(|error| naming(&path, error.to_string()))?;
        let (path, bytes) = read(HISTORY_FILE)?;
        let history = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        let history = history.map_err(|error| naming(&path, error.to_string()))?.unwrap_or_default();
        Ok(Self { judgements, history })
    }

    /// Writes the query history to the project in `root`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, root: &Path) -> io::Result<()> {
        durable::write(&root.join(JUDGEMENTS_FILE), &self.judgements_csv()?)?;
        durable::write(&root.join(HISTORY_FILE), &serde_json::to_vec_pretty(&self.history)?)
    }

    fn judgements_csv(&self) -> io::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for judged in &self.judgements {
            writer.serialize(Row::from(judged)).map_err(io::Error::other)?;
        }
        writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
    }

    /// Replaces former slide IDs, written by earlier versions of the program, with the current ones.
    pub fn rename_slides(&mut self, former_ids: &HashMap<SlideId, Vec<SlideId>>) {
        let now: HashMap<&SlideId, &SlideId> = former_ids
            .iter()
            .flat_map(|(id, former)| former.iter().map(move |former| (former, id)))
            .collect();
        if now.is_empty() {
            return;
        }
        let rename = |slide: &mut SlideId| {
            if let Some(id) = now.get(slide) {
                slide.clone_from(id);
            }
        };
        for judged in &mut self.judgements {
            rename(&mut judged.query.slide);
            rename(&mut judged.found.slide);
        }
        for shown in self.history.iter_mut().flat_map(|past| {
            let marked = past.marks.iter_mut().map(|mark| &mut mark.shown);
            past.positives.iter_mut().chain(&mut past.negatives).chain(marked)
        }) {
            if let Some(slide) = shown.example.slide_mut() {
                rename(slide);
            }
            if let Some(position) = &mut shown.position {
                rename(&mut position.slide);
            }
        }
    }

    /// Returns all judged pairs.
    pub fn judgements(&self) -> &[JudgedMatch] {
        &self.judgements
    }

    /// Returns the judgement of a pair of tiles.
    pub fn judgement(&self, query: &TilePosition, found: &TilePosition) -> Option<Judgement> {
        let of_pair = |judged: &&JudgedMatch| judged.query == *query && judged.found == *found;
        self.judgements.iter().find(of_pair).map(|judged| judged.judgement)
    }

    /// Adds a judgement, replacing the previous one of the same pair. Returns the previous one.
    pub fn judge(&mut self, judged: JudgedMatch) -> Option<JudgedMatch> {
        let before = self.forget(&judged.query, &judged.found);
        self.judgements.push(judged);
        before
    }

    /// Removes and returns the judgement of a pair of tiles.
    pub fn forget(&mut self, query: &TilePosition, found: &TilePosition) -> Option<JudgedMatch> {
        let of_pair = |judged: &JudgedMatch| judged.query == *query && judged.found == *found;
        let index = self.judgements.iter().position(of_pair)?;
        Some(self.judgements.remove(index))
    }

    /// Counts the relevance judgements of an answer's matches.
    ///
    /// Called in every frame; it is cheap while none of the query's tiles has judgements.
    pub fn precision(&self, answer: &Answer) -> Precision {
        let mut precision = Precision::default();
        let asked: HashSet<&TilePosition> = answer.tiles.iter().flatten().collect();
        let of_match: HashMap<_, Judgement> = self
            .judgements
            .iter()
            .filter(|judged| asked.contains(&judged.query))
            .map(|judged| ((&judged.query, &judged.found.slide, judged.found.rect), judged.judgement))
            .collect();
        if of_match.is_empty() {
            return precision;
        }
        for found in &answer.matches {
            let judgement = answer
                .nearest_example(found)
                .and_then(|query| of_match.get(&(query, &found.slide, found.rect)));
            match judgement {
                Some(Judgement::Same) => precision.same += 1,
                Some(Judgement::Different) => precision.different += 1,
                Some(Judgement::Unsure) => precision.unsure += 1,
                None => {}
            }
        }
        precision
    }

    /// Returns the earlier queries, newest first.
    pub fn history(&self) -> &[PastQuery] {
        &self.history
    }

    /// Adds a query as the newest; a repeated query moves to the top.
    pub fn note(&mut self, query: PastQuery) {
        self.history.retain(|past| past.positives != query.positives || past.negatives != query.negatives);
        self.history.insert(0, query);
        self.history.truncate(MOST_KEPT);
    }

    /// Replaces the newest query with a changed version of it.
    pub fn renew(&mut self, query: PastQuery) {
        if !self.history.is_empty() {
            self.history.remove(0);
        }
        self.note(query);
    }
}

/// Returns the two tiles that a judgement of a match refers to: the query's and the match.
pub fn pair(answer: &Answer, found: &Match) -> Option<(TilePosition, TilePosition)> {
    let found_position = TilePosition { slide: found.slide.clone(), rect: found.rect };
    Some((answer.nearest_example(found)?.clone(), found_position))
}

impl From<&JudgedMatch> for Row {
    fn from(judged: &JudgedMatch) -> Self {
        let (query, found) = (&judged.query, &judged.found);
        Self {
            query_slide: query.slide.clone(),
            query_x: query.rect.x,
            query_y: query.rect.y,
            query_width: query.rect.width,
            query_height: query.rect.height,
            slide: found.slide.clone(),
            x: found.rect.x,
            y: found.rect.y,
            width: found.rect.width,
            height: found.rect.height,
            judgement: judged.judgement,
            distance: judged.distance,
            encoder: judged.encoder.clone(),
        }
    }
}

impl From<Row> for JudgedMatch {
    fn from(row: Row) -> Self {
        let query = Level0Rect::new(row.query_x, row.query_y, row.query_width, row.query_height);
        let found = Level0Rect::new(row.x, row.y, row.width, row.height);
        Self {
            query: TilePosition { slide: row.query_slide, rect: query },
            found: TilePosition { slide: row.slide, rect: found },
            judgement: row.judgement,
            distance: row.distance,
            encoder: row.encoder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::AnnotationFilter;
    use super::*;

    fn position(slide: &str, x: i64) -> TilePosition {
        TilePosition { slide: SlideId(slide.to_owned()), rect: Level0Rect::new(x, 0, 224, 224) }
    }

    fn judged(x: i64, judgement: Judgement) -> JudgedMatch {
        let (query, found) = (position("a", 0), position("b", x));
        JudgedMatch { query, found, judgement, distance: 0.125, encoder: "e".to_owned() }
    }

    #[test]
    fn a_book_is_kept_and_a_pair_is_judged_once() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(QueryHistory::load(folder.path()).unwrap(), QueryHistory::default());
        let mut query_history = QueryHistory::default();
        query_history.judge(judged(224, Judgement::Same));
        query_history.judge(judged(448, Judgement::Unsure));
        assert_eq!(
            query_history.judge(judged(224, Judgement::Different)).unwrap().judgement,
            Judgement::Same
        );
        for number in 0..60 {
            let example = Example::Tile {
                slide: SlideId("a".to_owned()),
                at: crate::geometry::Level0Point::new(f64::from(number % 55), 0.0),
            };
            let positives = vec![ShownExample { example, position: Some(position("a", 0)) }];
            query_history.note(PastQuery {
                positives,
                negatives: Vec::new(),
                marks: Vec::new(),
                settings: QuerySettings::default(),
            });
        }
        assert_eq!(query_history.history().len(), 50);
        query_history.save(folder.path()).unwrap();
        assert_eq!(QueryHistory::load(folder.path()).unwrap(), query_history);
        assert_eq!(
            query_history.judgement(&position("a", 0), &position("b", 224)),
            Some(Judgement::Different)
        );
        std::fs::write(folder.path().join(HISTORY_FILE), "{").unwrap();
        let error = QueryHistory::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains(HISTORY_FILE), "{error}");
    }

    #[test]
    fn queries_of_earlier_versions_are_read() {
        let position = r#"{"slide":"a","rect":{"x":0,"y":0,"width":224,"height":224}}"#;
        let described = format!(
            r#"{{"example":{{"described":{{"name":"a.png","place":{position},"descriptors":[[1.0]]}}}},"place":{position}}}"#
        );
        let tile = format!(
            r#"{{"example":{{"tile":{{"slide":"a","at":{{"x":1.0,"y":2.0}}}}}},"place":{position}}}"#
        );
        let text =
            format!(r#"{{"like":[{described}],"unlike":[{tile}],"settings":{{"marked":"annotated"}}}}"#);
        let past: PastQuery = serde_json::from_str(&text).unwrap();
        assert!(matches!(past.positives[0].example, Example::Descriptors { .. }));
        assert!(matches!(past.negatives[0].example, Example::Tile { .. }));
        assert_eq!(past.positives[0].position.as_ref().unwrap().slide.0, "a");
        assert_eq!(past.settings.annotation_filter, AnnotationFilter::Annotated);
    }

    #[test]
    fn judgements_of_earlier_versions_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = "query_slide,query_x,query_y,query_width,query_height,slide,x,y,width,height,verdict,distance,encoder\n\
                    a,0,0,224,224,b,224,0,224,224,different,0.125,e\n";
        std::fs::write(folder.path().join(JUDGEMENTS_FILE), text).unwrap();
        let query_history = QueryHistory::load(folder.path()).unwrap();
        let judgement = query_history.judgement(&position("a", 0), &position("b", 224));
        assert_eq!(judgement, Some(Judgement::Different));
    }

    #[test]
    fn precision_leaves_out_what_the_reader_is_not_sure_of() {
        let mut query_history = QueryHistory::default();
        query_history.judge(judged(224, Judgement::Same));
        query_history.judge(judged(448, Judgement::Different));
        query_history.judge(judged(672, Judgement::Unsure));
        let found = |(rank, x): (usize, i64)| {
            let TilePosition { slide, rect } = position("b", x);
            Match { rank, slide, rect, distance: 0.1, example: 0 }
        };
        let answer = Answer {
            tiles: vec![Some(position("a", 0))],
            direction: None,
            matches: (1..).zip([224, 448, 672, 896]).map(found).collect(),
            slides: Vec::new(),
            exact: true,
            searched: 4,
            elapsed: std::time::Duration::ZERO,
            archive: None,
        };
        let precision = query_history.precision(&answer);
        assert_eq!((precision.same, precision.different, precision.unsure), (1, 1, 1));
        assert_eq!(precision.share(), Some(0.5));
        assert_eq!(Precision::default().share(), None);
    }
}
