//! The nearest tiles of an archive, fetched with their descriptors.

use postgres::types::ToSql;

use crate::error::During;
use crate::tiles::{KnownEncoder, Numbers, Storage};
use crate::{Archive, ArchiveError};

/// How the archive looks for tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Compare all that the filter lets through.
    Exact,
    /// Through the index, with this many candidates in hand.
    Index { ef_search: u16 },
}

/// Tiles that a search of the index looks at, at most, until its filter has let enough through.
const MOST_SCANNED: u32 = 200_000;

/// Which tiles of which archive are wanted.
#[derive(Default)]
pub struct Probe<'a> {
    /// Descriptors that are looked for; not empty.
    pub positives: &'a [Vec<f32>],
    /// Tiles at least as near to one of these do not count.
    pub negatives: &'a [Vec<f32>],
    /// How many of the nearest to each of `positives`.
    pub count: usize,
    pub filter: Filter,
}

/// Which tiles count, by the archive's own numbers.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these slides.
    pub only: Option<Vec<i32>>,
    /// Not these.
    pub without: Vec<i32>,
    pub class: Option<i16>,
    /// Discs in which no tile counts.
    pub spots: Vec<Spot>,
}

/// A disc on a slide, in level-0 pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    pub slide: i32,
    /// Where the top-left corner of a tile in the middle of it is.
    pub x: f64,
    pub y: f64,
    pub radius: f64,
}

/// A tile of the archive, perhaps among the nearest.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Which of the probe's descriptors it is near to.
    pub example: usize,
    pub slide: i32,
    pub x: i32,
    pub y: i32,
    pub class: Option<i16>,
    pub descriptor: Vec<f32>,
}

/// The parameters of a statement, in the order of their numbers.
#[derive(Default)]
pub(super) struct Parameters<'a>(Vec<Box<dyn ToSql + Sync + 'a>>);

impl<'a> Parameters<'a> {
    /// Add a parameter; its number as SQL has it.
    pub fn add(&mut self, value: impl ToSql + Sync + 'a) -> String {
        self.0.push(Box::new(value));
        format!("${}", self.0.len())
    }

    pub fn as_slice(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

/// Descriptors as the archive stores them.
pub(super) fn numbers<'r>(rows: impl IntoIterator<Item = &'r Vec<f32>>, storage: Storage) -> Vec<Numbers> {
    rows.into_iter().map(|row| Numbers::new(row, storage)).collect()
}

/// What has to be true of a tile `t` to count for the descriptor `query`, both as SQL has them.
pub(super) fn conditions<'a>(
    probe: &'a Probe<'_>,
    storage: Storage,
    query: &str,
    parameters: &mut Parameters<'a>,
) -> String {
    let Filter { only, without, class, spots } = &probe.filter;
    let mut conditions = vec!["true".to_owned()];
    if let Some(only) = only {
        conditions.push(format!("t.slide = ANY({}::int4[])", parameters.add(only)));
    }
    if !without.is_empty() {
        conditions.push(format!("t.slide <> ALL({}::int4[])", parameters.add(without)));
    }
    if let Some(class) = class {
        conditions.push(format!("t.class = {}::int2", parameters.add(class)));
    }
    if !spots.is_empty() {
        let slides: Vec<i32> = spots.iter().map(|spot| spot.slide).collect();
        let mut column = |of: fn(&Spot) -> f64| parameters.add(spots.iter().map(of).collect::<Vec<f64>>());
        let (x, y, radius) = (column(|spot| spot.x), column(|spot| spot.y), column(|spot| spot.radius));
        let slides = parameters.add(slides);
        conditions.push(format!(
            "NOT EXISTS (SELECT FROM unnest({slides}::int4[], {x}::float8[], {y}::float8[], {radius}::float8[]) \
             AS s(slide, x, y, radius) WHERE s.slide = t.slide \
             AND (t.x - s.x) * (t.x - s.x) + (t.y - s.y) * (t.y - s.y) <= s.radius * s.radius)"
        ));
    }
    if !probe.negatives.is_empty() {
        let (negatives, kind) = (parameters.add(numbers(probe.negatives, storage)), storage.sql());
        conditions.push(format!(
            "NOT EXISTS (SELECT FROM unnest({negatives}::{kind}[]) AS u(numbers) \
             WHERE u.numbers <-> t.descriptor <= {query} <-> t.descriptor)"
        ));
    }
    conditions.join(" AND ")
}

impl Archive {
    /// The tiles nearest to each of `probe.positives`, in no certain order; those of several may be the same.
    pub(crate) fn candidates(
        &mut self,
        encoder: &KnownEncoder,
        probe: &Probe<'_>,
        mode: Mode,
    ) -> Result<Vec<Candidate>, ArchiveError> {
        let (url, doing) = (self.url().clone(), "searching");
        self.search_in(mode)?;
        let kind = encoder.storage.sql();
        let mut parameters = Parameters::default();
        let mut positives = numbers(probe.positives, encoder.storage);
        // One question is asked as such: then the server may share it among its processes.
        let (from, query) = match (positives.len(), positives.pop()) {
            (1, Some(only)) => {
                let query = format!("{}::{kind}", parameters.add(only));
                (format!("(SELECT 1::int8 AS place, {query} AS numbers) AS q"), query)
            }
            (_, last) => {
                positives.extend(last);
                let array = parameters.add(positives);
                (
                    format!("unnest({array}::{kind}[]) WITH ORDINALITY AS q(numbers, place)"),
                    "q.numbers".to_owned(),
                )
            }
        };
        let conditions = conditions(probe, encoder.storage, &query, &mut parameters);
        let count = parameters.add(i64::try_from(probe.count).unwrap_or(i64::MAX));
        let sql = format!(
            "SELECT q.place, t.slide, t.x, t.y, t.class, t.descriptor FROM {from} CROSS JOIN LATERAL (\
             SELECT * FROM {table} AS t WHERE {conditions} ORDER BY {indexed} <-> {query} LIMIT {count}) AS t",
            table = encoder.table(),
            indexed = encoder.indexed_descriptor(),
        );
        let statement = self.statement(&sql, doing)?;
        let rows = self.client.query(&statement, &parameters.as_slice()).during(&url, doing)?;
        let candidate = |row: &postgres::Row| Candidate {
            example: row.get::<_, i64>(0) as usize - 1,
            slide: row.get(1),
            x: row.get(2),
            y: row.get(3),
            class: row.get(4),
            descriptor: row.get::<_, Numbers>(5).into_f32(),
        };
        Ok(rows.iter().map(candidate).collect())
    }

    /// Have searches done in this way from now on.
    pub(super) fn search_in(&mut self, mode: Mode) -> Result<(), ArchiveError> {
        if self.mode == Some(mode) {
            return Ok(());
        }
        let (by_index, ef_search) = match mode {
            Mode::Exact => ("off", 40),
            Mode::Index { ef_search } => ("on", ef_search.clamp(1, 1000)),
        };
        let url = self.url().clone();
        // An index scan stops after `ef_search` candidates unless it is told to go on until the filter is satisfied.
        let sql = "SELECT set_config('enable_indexscan', $1, false), set_config('hnsw.ef_search', $2, false), \
                   set_config('hnsw.iterative_scan', 'relaxed_order', false), \
                   set_config('hnsw.max_scan_tuples', $3, false)";
        self.client
            .execute(sql, &[&by_index, &ef_search.to_string(), &MOST_SCANNED.to_string()])
            .during(&url, "preparing a search")?;
        self.mode = Some(mode);
        Ok(())
    }
}
