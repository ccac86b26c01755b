//! What a project keeps of its queries: what the reader said of matches, and the questions asked before.
//!
//! `judgements.csv` has one row for each pair of tiles that was judged, both named by slide and level-0 rectangle,
//! so that other programs, and training, can use the pairs. `queries.json` is the history.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Answer, Example, Match, QuerySettings, TilePlace};
use crate::geometry::Level0Rect;
use crate::slide::SlideId;
use crate::{durable, untrusted};

/// Name of the file of judgements in a project's folder.
pub const JUDGEMENTS_FILE: &str = "judgements.csv";
const HISTORY_FILE: &str = "queries.json";

/// The most that either file may hold, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// Questions that are kept.
const MOST_KEPT: usize = 50;

/// What the reader says of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The same tissue as the query's.
    Same,
    Different,
    Unsure,
}

/// What the reader said of one pair of tiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    pub query: TilePlace,
    pub found: TilePlace,
    pub verdict: Verdict,
    /// Distance of the descriptors when it was judged, and by which encoder.
    pub distance: f32,
    pub encoder: String,
}

/// An example as it is shown: what it is, and which part of a slide stands for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownExample {
    pub example: Example,
    /// Nothing for an image file.
    pub place: Option<TilePlace>,
}

/// A question that was asked before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastQuery {
    #[serde(alias = "like")]
    pub positives: Vec<ShownExample>,
    #[serde(alias = "unlike")]
    pub negatives: Vec<ShownExample>,
    pub settings: QuerySettings,
}

/// All that a project keeps of its queries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryHistory {
    judgements: Vec<Judgement>,
    /// The newest first.
    history: Vec<PastQuery>,
}

/// Of an answer's matches that were judged, how many are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Precision {
    pub same: usize,
    pub different: usize,
    pub unsure: usize,
}

impl Precision {
    /// Share of the same among those judged the same or different.
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
    verdict: Verdict,
    distance: f32,
    encoder: String,
}

impl QueryHistory {
    /// What the project in `root` has kept; an empty book where there is none.
    ///
    /// # Errors
    /// What is wrong with which file; it is left as it is.
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
            .map(|row: csv::Result<Row>| row.map(Judgement::from))
            .collect::<csv::Result<_>>()
            .map_err(|error| naming(&path, error.to_string()))?;
        let (path, bytes) = read(HISTORY_FILE)?;
        let history = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        let history = history.map_err(|error| naming(&path, error.to_string()))?.unwrap_or_default();
        Ok(Self { judgements, history })
    }

    /// Keep the book in the project in `root`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, root: &Path) -> io::Result<()> {
        durable::write(&root.join(JUDGEMENTS_FILE), &self.judgements_csv()?)?;
        durable::write(&root.join(HISTORY_FILE), &serde_json::to_vec_pretty(&self.history)?)
    }

    fn judgements_csv(&self) -> io::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for judgement in &self.judgements {
            writer.serialize(Row::from(judgement)).map_err(io::Error::other)?;
        }
        writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
    }

    /// Have slides go by their ids now, where earlier versions of the program wrote former ones.
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
        for judgement in &mut self.judgements {
            rename(&mut judgement.query.slide);
            rename(&mut judgement.found.slide);
        }
        for shown in
            self.history.iter_mut().flat_map(|past| past.positives.iter_mut().chain(&mut past.negatives))
        {
            if let Some(slide) = shown.example.slide_mut() {
                rename(slide);
            }
            if let Some(place) = &mut shown.place {
                rename(&mut place.slide);
            }
        }
    }

    /// Every pair that was judged.
    pub fn judgements(&self) -> &[Judgement] {
        &self.judgements
    }

    /// What was said of a pair of tiles.
    pub fn verdict(&self, query: &TilePlace, found: &TilePlace) -> Option<Verdict> {
        let of_pair = |judgement: &&Judgement| judgement.query == *query && judgement.found == *found;
        self.judgements.iter().find(of_pair).map(|judgement| judgement.verdict)
    }

    /// Put a judgement in the place of what was said of the same pair; what that was.
    pub fn judge(&mut self, judgement: Judgement) -> Option<Judgement> {
        let before = self.forget(&judgement.query, &judgement.found);
        self.judgements.push(judgement);
        before
    }

    /// Take back what was said of a pair of tiles; what that was.
    pub fn forget(&mut self, query: &TilePlace, found: &TilePlace) -> Option<Judgement> {
        let of_pair = |judgement: &Judgement| judgement.query == *query && judgement.found == *found;
        let place = self.judgements.iter().position(of_pair)?;
        Some(self.judgements.remove(place))
    }

    /// What was said of the matches of an answer.
    ///
    /// Asked in every frame, it costs next to nothing while none of the answer's tiles was judged.
    pub fn precision(&self, answer: &Answer) -> Precision {
        let mut precision = Precision::default();
        let asked: HashSet<&TilePlace> = answer.tiles.iter().flatten().collect();
        let said: HashMap<_, Verdict> = self
            .judgements
            .iter()
            .filter(|judgement| asked.contains(&judgement.query))
            .map(|judgement| {
                ((&judgement.query, &judgement.found.slide, judgement.found.rect), judgement.verdict)
            })
            .collect();
        if said.is_empty() {
            return precision;
        }
        for found in &answer.matches {
            let verdict =
                answer.nearest_example(found).and_then(|query| said.get(&(query, &found.slide, found.rect)));
            match verdict {
                Some(Verdict::Same) => precision.same += 1,
                Some(Verdict::Different) => precision.different += 1,
                Some(Verdict::Unsure) => precision.unsure += 1,
                None => {}
            }
        }
        precision
    }

    /// Questions asked before, the newest first.
    pub fn history(&self) -> &[PastQuery] {
        &self.history
    }

    /// Note a question; the same one asked again moves to the top.
    pub fn note(&mut self, query: PastQuery) {
        self.history.retain(|past| past.positives != query.positives || past.negatives != query.negatives);
        self.history.insert(0, query);
        self.history.truncate(MOST_KEPT);
    }

    /// Put a question that was changed in the place of the one before the change, the newest.
    pub fn renew(&mut self, query: PastQuery) {
        if !self.history.is_empty() {
            self.history.remove(0);
        }
        self.note(query);
    }
}

/// The two tiles that a judgement of a match is about.
pub fn pair(answer: &Answer, found: &Match) -> Option<(TilePlace, TilePlace)> {
    let found_place = TilePlace { slide: found.slide.clone(), rect: found.rect };
    Some((answer.nearest_example(found)?.clone(), found_place))
}

impl From<&Judgement> for Row {
    fn from(judgement: &Judgement) -> Self {
        let (query, found) = (&judgement.query, &judgement.found);
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
            verdict: judgement.verdict,
            distance: judgement.distance,
            encoder: judgement.encoder.clone(),
        }
    }
}

impl From<Row> for Judgement {
    fn from(row: Row) -> Self {
        let query = Level0Rect::new(row.query_x, row.query_y, row.query_width, row.query_height);
        let found = Level0Rect::new(row.x, row.y, row.width, row.height);
        Self {
            query: TilePlace { slide: row.query_slide, rect: query },
            found: TilePlace { slide: row.slide, rect: found },
            verdict: row.verdict,
            distance: row.distance,
            encoder: row.encoder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(slide: &str, x: i64) -> TilePlace {
        TilePlace { slide: SlideId(slide.to_owned()), rect: Level0Rect::new(x, 0, 224, 224) }
    }

    fn judgement(x: i64, verdict: Verdict) -> Judgement {
        let (query, found) = (place("a", 0), place("b", x));
        Judgement { query, found, verdict, distance: 0.125, encoder: "e".to_owned() }
    }

    #[test]
    fn a_book_is_kept_and_a_pair_is_judged_once() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(QueryHistory::load(folder.path()).unwrap(), QueryHistory::default());
        let mut query_history = QueryHistory::default();
        query_history.judge(judgement(224, Verdict::Same));
        query_history.judge(judgement(448, Verdict::Unsure));
        assert_eq!(query_history.judge(judgement(224, Verdict::Different)).unwrap().verdict, Verdict::Same);
        for number in 0..60 {
            let example = Example::Tile {
                slide: SlideId("a".to_owned()),
                at: crate::geometry::Level0Point::new(f64::from(number % 55), 0.0),
            };
            let positives = vec![ShownExample { example, place: Some(place("a", 0)) }];
            query_history.note(PastQuery {
                positives,
                negatives: Vec::new(),
                settings: QuerySettings::default(),
            });
        }
        assert_eq!(query_history.history().len(), 50);
        query_history.save(folder.path()).unwrap();
        assert_eq!(QueryHistory::load(folder.path()).unwrap(), query_history);
        assert_eq!(query_history.verdict(&place("a", 0), &place("b", 224)), Some(Verdict::Different));
        std::fs::write(folder.path().join(HISTORY_FILE), "{").unwrap();
        let error = QueryHistory::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains(HISTORY_FILE), "{error}");
    }

    #[test]
    fn queries_of_earlier_versions_are_read() {
        let place = r#"{"slide":"a","rect":{"x":0,"y":0,"width":224,"height":224}}"#;
        let described = format!(
            r#"{{"example":{{"described":{{"name":"a.png","place":{place},"descriptors":[[1.0]]}}}},"place":{place}}}"#
        );
        let tile =
            format!(r#"{{"example":{{"tile":{{"slide":"a","at":{{"x":1.0,"y":2.0}}}}}},"place":{place}}}"#);
        let text = format!(r#"{{"like":[{described}],"unlike":[{tile}],"settings":{{}}}}"#);
        let past: PastQuery = serde_json::from_str(&text).unwrap();
        assert!(matches!(past.positives[0].example, Example::Descriptors { .. }));
        assert!(matches!(past.negatives[0].example, Example::Tile { .. }));
    }

    #[test]
    fn precision_leaves_out_what_the_reader_is_not_sure_of() {
        let mut query_history = QueryHistory::default();
        query_history.judge(judgement(224, Verdict::Same));
        query_history.judge(judgement(448, Verdict::Different));
        query_history.judge(judgement(672, Verdict::Unsure));
        let found = |(rank, x): (usize, i64)| {
            let TilePlace { slide, rect } = place("b", x);
            Match { rank, slide, rect, distance: 0.1, example: 0 }
        };
        let answer = Answer {
            tiles: vec![Some(place("a", 0))],
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
