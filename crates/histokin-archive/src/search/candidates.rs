//! Fetching the nearest tiles of an archive with their descriptors.

use postgres::types::ToSql;

use crate::error::During;
use crate::tiles::{KnownEncoder, Numbers, Storage};
use crate::{Archive, ArchiveError};

/// How the archive searches tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Compares all tiles that pass the filter.
    Exact,
    /// Searches the approximate index.
    Index {
        /// Candidates that the search keeps, from 1 to 1000 (pgvector's `hnsw.ef_search`).
        ef_search: u16,
    },
}

/// Maximum number of tiles that an index search visits until enough have passed the filter.
const MOST_SCANNED: u32 = 200_000;

/// A request for the nearest tiles.
#[derive(Default)]
pub struct Probe<'a> {
    /// Descriptors of the positive examples, or the direction of a taught query; not empty.
    pub positives: &'a [Vec<f32>],
    /// Descriptors of the negative examples. A tile that is at least as near to one of these as to the
    /// positive example is left out.
    pub negatives: &'a [Vec<f32>],
    /// Number of nearest tiles wanted for each positive example.
    pub count: usize,
    /// Which tiles are searched.
    pub filter: Filter,
}

/// Which tiles are searched, by the archive's numbers of slides and classes.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these slides; `None` for all.
    pub only: Option<Vec<i32>>,
    /// Slides that are not searched.
    pub without: Vec<i32>,
    /// Only tiles of this class; `None` for all.
    pub class: Option<i16>,
    /// Discs whose tiles are left out.
    pub spots: Vec<Spot>,
}

impl Filter {
    /// Restricts the search to these slides, beside earlier restrictions.
    pub fn restrict_to(&mut self, slides: &[i32]) {
        match &mut self.only {
            Some(only) => only.retain(|slide| slides.contains(slide)),
            None => self.only = Some(slides.to_vec()),
        }
    }
}

/// A disc on a slide, in level-0 pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// The archive's number of the slide.
    pub slide: i32,
    /// Left edge of a tile centred on the disc.
    pub x: f64,
    /// Top edge of a tile centred on the disc.
    pub y: f64,
    /// Radius of the disc.
    pub radius: f64,
}

/// A tile of the archive that may be a match.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Index in [`Probe::positives`] of the example that it is near to.
    pub example: usize,
    /// The archive's number of the slide.
    pub slide: i32,
    /// Left edge in level-0 pixels.
    pub x: i32,
    /// Top edge in level-0 pixels.
    pub y: i32,
    /// The archive's number of the class, if the tile has one.
    pub class: Option<i16>,
    /// Descriptor of the tile.
    pub descriptor: Vec<f32>,
}

/// The parameters of a statement, in the order of their numbers.
#[derive(Default)]
pub(super) struct Parameters<'a>(Vec<Box<dyn ToSql + Sync + 'a>>);

impl<'a> Parameters<'a> {
    /// Adds a parameter and returns its placeholder, such as `$1`.
    pub fn add(&mut self, value: impl ToSql + Sync + 'a) -> String {
        self.0.push(Box::new(value));
        format!("${}", self.0.len())
    }

    /// Returns the parameters as `postgres` takes them.
    pub fn as_slice(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

/// Converts descriptors to the archive's storage type.
pub(super) fn numbers<'r>(rows: impl IntoIterator<Item = &'r Vec<f32>>, storage: Storage) -> Vec<Numbers> {
    rows.into_iter().map(|row| Numbers::new(row, storage)).collect()
}

/// Returns the SQL condition that a tile `t` must satisfy for the descriptor `query` (an SQL expression).
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
    /// Returns the tiles nearest to each of `probe.positives`, in no particular order. A tile may be returned
    /// for several examples.
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
        // A single example is passed without an array, so that the server can run the query in parallel.
        let (from, query) = match (positives.len(), positives.pop()) {
            (1, Some(only)) => {
                let query = format!("{}::{kind}", parameters.add(only));
                (format!("(SELECT 1::int8 AS ordinal, {query} AS numbers) AS q"), query)
            }
            (_, last) => {
                positives.extend(last);
                let array = parameters.add(positives);
                (
                    format!("unnest({array}::{kind}[]) WITH ORDINALITY AS q(numbers, ordinal)"),
                    "q.numbers".to_owned(),
                )
            }
        };
        let conditions = conditions(probe, encoder.storage, &query, &mut parameters);
        let count = parameters.add(i64::try_from(probe.count).unwrap_or(i64::MAX));
        let sql = format!(
            "SELECT q.ordinal, t.slide, t.x, t.y, t.class, t.descriptor FROM {from} CROSS JOIN LATERAL (\
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

    /// Sets the search mode of the following searches.
    pub(super) fn search_in(&mut self, mode: Mode) -> Result<(), ArchiveError> {
        if self.mode == Some(mode) {
            return Ok(());
        }
        let (by_index, ef_search) = match mode {
            Mode::Exact => ("off", 40),
            Mode::Index { ef_search } => ("on", ef_search.clamp(1, 1000)),
        };
        let url = self.url().clone();
        // Without iterative scans an index scan stops after `ef_search` candidates, however few pass the
        // filter.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restrictions_narrow_each_other() {
        let mut filter = Filter::default();
        filter.restrict_to(&[1, 2]);
        filter.restrict_to(&[2, 3]);
        assert_eq!(filter.only, Some(vec![2]));
    }
}
