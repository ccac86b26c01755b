//! The archive's slides compared as wholes, to be ranked together with the project's.

use std::collections::HashMap;

use super::candidates::{Parameters, conditions, numbers};
use super::{Candidate, Mode, Probe};
use crate::error::During;
use crate::tiles::KnownEncoder;
use crate::{Archive, ArchiveError};
use histokin_core::index::squared_distance;
use histokin_core::query;

/// Tiles of the archive that are compared to rank slides, and comparisons with tiles of the query, at most: some
/// seconds of a server's time.
const MOST_TILES: u64 = 2_000_000;
const MOST_COMPARISONS: u64 = 64_000_000;

/// Of the tiles of a slide so many make its histogram, about; those of a smaller one all do.
const COUNTED: i32 = 512;

/// What the archive says of one of its slides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compared {
    /// Distance of each compared tile of the query to the nearest tile of the slide that counts.
    pub nearest: Vec<f32>,
    /// Distance of its tiles, or of some, to the nearest of the tiles that make histograms.
    pub distances: Vec<f32>,
}

impl Archive {
    /// Compare all tiles of slides that the filter lets through; how many slides it does, too. Where that would take
    /// too long these are the slides with the nearest of the candidates `found`.
    pub(super) fn compare_slides(
        &mut self,
        encoder: &KnownEncoder,
        probe: &Probe<'_>,
        found: &[Candidate],
    ) -> Result<(HashMap<i32, Compared>, usize), ArchiveError> {
        let (url, doing) = (self.url().clone(), "comparing slides");
        let compared: Vec<&Vec<f32>> =
            query::compared(probe.positives.len()).map(|place| &probe.positives[place]).collect();
        let asking: Vec<&Vec<f32>> =
            query::asking(probe.positives.len()).map(|place| &probe.positives[place]).collect();
        let sql = "SELECT slide, tiles FROM histokin.descriptions WHERE encoder = $1 AND slide <> ALL($2) \
                   AND ($3::int4[] IS NULL OR slide = ANY($3)) AND tiles > 0 ORDER BY slide";
        let statement = self.statement(sql, doing)?;
        let rows = self
            .client
            .query(&statement, &[&encoder.id, &probe.filter.without, &probe.filter.only])
            .during(&url, doing)?;
        let allowed: Vec<(i32, u64)> =
            rows.iter().map(|row| (row.get(0), u64::try_from(row.get::<_, i32>(1)).unwrap_or(0))).collect();
        let room = MOST_TILES.min(MOST_COMPARISONS / compared.len().max(1) as u64);
        let slides = within(room, &allowed, || nearest_first(probe.positives, found));
        if slides.is_empty() {
            return Ok((HashMap::new(), allowed.len()));
        }
        // Every tile of these slides is looked at; an index over all slides is of no use for that.
        self.search_in(Mode::Exact)?;
        let kind = encoder.storage.sql();
        let table = encoder.table();
        let mut known: HashMap<i32, Compared> = HashMap::new();

        let mut parameters = Parameters::default();
        let positives = parameters.add(numbers(compared, encoder.storage));
        let these = parameters.add(&slides);
        let conditions = conditions(probe, encoder.storage, "q.numbers", &mut parameters);
        let sql = format!(
            "SELECT t.slide, min(t.descriptor <-> q.numbers)::float4 FROM {table} AS t \
             CROSS JOIN unnest({positives}::{kind}[]) WITH ORDINALITY AS q(numbers, place) \
             WHERE t.slide = ANY({these}::int4[]) AND {conditions} GROUP BY t.slide, q.place"
        );
        let statement = self.statement(&sql, doing)?;
        for row in self.client.query(&statement, &parameters.as_slice()).during(&url, doing)? {
            known.entry(row.get(0)).or_default().nearest.push(row.get(1));
        }

        let sql = format!(
            "SELECT slide, array_agg(distance) FROM (SELECT t.slide, min(t.descriptor <-> q.numbers)::float4 AS distance \
             FROM {table} AS t JOIN histokin.descriptions AS d ON d.slide = t.slide AND d.encoder = $3 \
             CROSS JOIN unnest($1::{kind}[]) AS q(numbers) WHERE t.slide = ANY($2) \
             AND abs(hashint8((t.x::int8 << 32) | t.y)::int8) % greatest(d.tiles / $4, 1) = 0 \
             GROUP BY t.slide, t.x, t.y) AS tiles GROUP BY slide"
        );
        let statement = self.statement(&sql, doing)?;
        let asking = numbers(asking, encoder.storage);
        let rows = self.client.query(&statement, &[&asking, &slides, &encoder.id, &COUNTED]);
        for row in rows.during(&url, doing)? {
            known.entry(row.get(0)).or_default().distances = row.get(1);
        }
        Ok((known, allowed.len()))
    }
}

/// All slides, if they have no more than `room` tiles together; else as many of the `preferred` ones, from the first
/// on, one at least.
fn within(room: u64, allowed: &[(i32, u64)], preferred: impl Fn() -> Vec<i32>) -> Vec<i32> {
    if allowed.iter().map(|(_, tiles)| tiles).sum::<u64>() <= room {
        return allowed.iter().map(|(slide, _)| *slide).collect();
    }
    let tiles: HashMap<i32, u64> = allowed.iter().copied().collect();
    let mut taken = 0;
    let mut slides = Vec::new();
    for slide in preferred() {
        let Some(tiles) = tiles.get(&slide) else { continue };
        taken += tiles;
        if taken > room && !slides.is_empty() {
            break;
        }
        slides.push(slide);
    }
    slides
}

/// The slides of candidates, that of the nearest one first.
fn nearest_first(positives: &[Vec<f32>], found: &[Candidate]) -> Vec<i32> {
    let mut nearest: HashMap<i32, f32> = HashMap::new();
    for candidate in found {
        let squared = squared_distance(&positives[candidate.example], &candidate.descriptor);
        let known = nearest.entry(candidate.slide).or_insert(squared);
        *known = known.min(squared);
    }
    let mut slides: Vec<(i32, f32)> = nearest.into_iter().collect();
    slides.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    slides.into_iter().map(|(slide, _)| slide).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slides_are_compared_completely_or_those_of_the_nearest_tiles() {
        let allowed = [(1, 400), (2, 300), (3, 500), (4, 200)];
        assert_eq!(within(1400, &allowed, || unreachable!()), [1, 2, 3, 4]);
        assert_eq!(within(700, &allowed, || vec![3, 9, 4, 1]), [3, 4]);
        assert_eq!(within(100, &allowed, || vec![3, 4]), [3], "one at least");
    }

    #[test]
    fn the_slide_of_the_nearest_candidate_comes_first() {
        let candidate = |example, slide, value| Candidate {
            example,
            slide,
            x: 0,
            y: 0,
            class: None,
            descriptor: vec![value],
        };
        let found = [candidate(0, 7, 0.5), candidate(1, 5, 9.9), candidate(0, 7, 3.0), candidate(1, 6, 7.0)];
        assert_eq!(nearest_first(&[vec![0.0], vec![10.0]], &found), [5, 7, 6]);
    }
}
