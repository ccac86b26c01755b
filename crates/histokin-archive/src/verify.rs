//! Checking an archive: whether all that was pushed is there, and which share of the truly nearest tiles its
//! searches find.

use std::time::Instant;

use serde::Serialize;

use super::error::During;
use super::search::{Candidate, Filter, LEAST_RECALL, Mode, Probe, Spot};
use super::tiles::{KnownEncoder, Numbers, Storage};
use super::{Archive, ArchiveError};
use histokin_core::index::squared_distance;

/// Numbers of candidates in hand that are tried, until the recall asked for is reached.
const EF_TRIED: [u16; 7] = [40, 80, 120, 200, 400, 700, 1000];

/// How an archive is checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VerifySettings {
    /// Tiles that are asked for; each is compared with all tiles once.
    pub queries: usize,
    /// Nearest tiles of each that are compared.
    pub neighbours: usize,
    pub least_recall: f32,
    /// Slides of each encoder whose descriptors are compared with their checksum.
    pub checksums: usize,
}

impl Default for VerifySettings {
    fn default() -> Self {
        Self { queries: 50, neighbours: 20, least_recall: LEAST_RECALL, checksums: 20 }
    }
}

/// What was found of one encoder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    pub name: String,
    pub tiles: u64,
    /// What is wrong; nothing should be.
    pub faults: Vec<String>,
    /// Slides whose descriptors were compared with their checksum.
    pub checked: usize,
    /// Median time of comparing one tile with all, in milliseconds.
    pub exact_ms: f64,
    /// What searches of the index find; empty without an index, when every answer is exact.
    pub recalls: Vec<TriedRecall>,
    /// Whether the recalls were noted in the archive, where searches look for them: a reader may not do that.
    pub noted: bool,
}

/// Recall with so many candidates in hand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TriedRecall {
    pub ef_search: u16,
    pub recall: f32,
    /// Median time of a search, in milliseconds.
    pub median_ms: f64,
}

/// Check all encoders of an archive.
///
/// # Errors
/// When the archive fails. What is wrong with its content is no error, but stands in the result.
pub fn verify(
    archive: &mut Archive,
    settings: &VerifySettings,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Verified>, ArchiveError> {
    let mut verified = Vec::new();
    for (encoder, status) in archive.encoders()? {
        tell(&format!("{}: counting tiles", status.name));
        let mut faults = archive.miscounted(&encoder)?;
        let (checked, damaged) = archive.check_sums(&encoder, settings.checksums)?;
        faults.extend(damaged);
        let mut one = Verified {
            name: status.name,
            tiles: status.tiles,
            faults,
            checked,
            exact_ms: 0.0,
            recalls: Vec::new(),
            noted: false,
        };
        if encoder.indexed && settings.queries > 0 {
            tell(&format!("{}: comparing {} tiles with all {}", one.name, settings.queries, one.tiles));
            archive.measure(&encoder, settings, &mut one, tell)?;
            one.noted = archive.note(&encoder, settings, &one)?;
        }
        verified.push(one);
    }
    Ok(verified)
}

/// A tile of the archive that is asked for, and how far its truly nearest ones are.
struct Sample {
    descriptor: Vec<f32>,
    spot: Spot,
    distances: Vec<f32>,
}

impl Archive {
    /// Slides whose tiles are not as many as were pushed, and tiles of slides that are not there.
    fn miscounted(&mut self, encoder: &KnownEncoder) -> Result<Vec<String>, ArchiveError> {
        let url = self.url().clone();
        let sql = format!(
            "SELECT coalesce(s.slide_id, '?'), coalesce(d.tiles, 0), coalesce(t.count, 0) FROM \
             (SELECT slide, count(*) AS count FROM {} GROUP BY slide) t \
             FULL JOIN (SELECT * FROM histokin.descriptions WHERE encoder = $1) d USING (slide) \
             LEFT JOIN histokin.slides s USING (slide) \
             WHERE t.count IS DISTINCT FROM d.tiles::int8 AND (t.count IS NOT NULL OR d.tiles <> 0)",
            encoder.table()
        );
        let rows = self.client.query(&sql, &[&encoder.id]).during(&url, "counting tiles")?;
        let fault = |row: &postgres::Row| {
            let (slide, noted, there): (String, i32, i64) = (row.get(0), row.get(1), row.get(2));
            format!("slide {slide}: {there} tiles instead of {noted}; push it again")
        };
        Ok(rows.iter().map(fault).collect())
    }

    /// Compare some slides' descriptors with their checksums; how many, and what is wrong.
    fn check_sums(
        &mut self,
        encoder: &KnownEncoder,
        count: usize,
    ) -> Result<(usize, Vec<String>), ArchiveError> {
        let url = self.url().clone();
        if encoder.storage != Storage::Vector {
            return Ok((0, Vec::new()));
        }
        let sql = "SELECT slide FROM histokin.descriptions WHERE encoder = $1 ORDER BY random() LIMIT $2";
        let rows = self.client.query(sql, &[&encoder.id, &(count as i64)]).during(&url, "choosing slides")?;
        let mut faults = Vec::new();
        for row in &rows {
            match self.read_set(encoder, row.get(0)) {
                Err(ArchiveError::Damaged { what, .. }) => faults.push(format!("{what}; push it again")),
                other => _ = other?,
            }
        }
        Ok((rows.len(), faults))
    }

    fn measure(
        &mut self,
        encoder: &KnownEncoder,
        settings: &VerifySettings,
        out: &mut Verified,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), ArchiveError> {
        let mut samples = self.sample(encoder, settings.queries, out.tiles)?;
        let mut times = Vec::new();
        for sample in &mut samples {
            let started = Instant::now();
            sample.distances = self.nearest_to(encoder, sample, settings.neighbours, Mode::Exact)?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        out.exact_ms = median(&mut times);
        for ef_search in EF_TRIED {
            let (mut found, mut wanted) = (0, 0);
            let mut times = Vec::new();
            for sample in &samples {
                let started = Instant::now();
                let near =
                    self.nearest_to(encoder, sample, settings.neighbours, Mode::Index { ef_search })?;
                times.push(started.elapsed().as_secs_f64() * 1e3);
                // Tiles that are equally far are as good as each other.
                let farthest = sample.distances.last().copied().unwrap_or(0.0);
                found += near.iter().filter(|distance| **distance <= farthest).count();
                wanted += sample.distances.len();
            }
            let recall = if wanted == 0 { 1.0 } else { found as f32 / wanted as f32 };
            out.recalls.push(TriedRecall { ef_search, recall, median_ms: median(&mut times) });
            tell(&format!(
                "{}: recall {:.2} % with {ef_search} candidates in hand",
                out.name,
                100.0 * recall
            ));
            if recall >= settings.least_recall {
                break;
            }
        }
        Ok(())
    }

    /// Tiles picked at random.
    fn sample(
        &mut self,
        encoder: &KnownEncoder,
        count: usize,
        tiles: u64,
    ) -> Result<Vec<Sample>, ArchiveError> {
        let url = self.url().clone();
        // Pages are picked, of which each holds some tiles of one slide: twenty times as many tiles as are wanted.
        let percent = (100.0 * 20.0 * count as f64 / tiles.max(1) as f64).clamp(1e-6, 100.0);
        let sql = format!(
            "SELECT slide, x, y, descriptor FROM {} TABLESAMPLE SYSTEM ($1) ORDER BY random() LIMIT $2",
            encoder.table()
        );
        let rows =
            self.client.query(&sql, &[&(percent as f32), &(count as i64)]).during(&url, "picking tiles")?;
        let sample = |row: &postgres::Row| Sample {
            descriptor: row.get::<_, Numbers>(3).into_f32(),
            // The tile itself is no neighbour of its own.
            spot: Spot {
                slide: row.get(0),
                x: row.get::<_, i32>(1).into(),
                y: row.get::<_, i32>(2).into(),
                radius: 0.5,
            },
            distances: Vec::new(),
        };
        Ok(rows.iter().map(sample).collect())
    }

    /// How far the nearest tiles of a sample are, sorted.
    fn nearest_to(
        &mut self,
        encoder: &KnownEncoder,
        sample: &Sample,
        count: usize,
        mode: Mode,
    ) -> Result<Vec<f32>, ArchiveError> {
        let positives = std::slice::from_ref(&sample.descriptor);
        let filter = Filter { spots: vec![sample.spot], ..Filter::default() };
        let found = self.candidates(encoder, &Probe { positives, negatives: &[], count, filter }, mode)?;
        let distance = |one: &Candidate| squared_distance(&sample.descriptor, &one.descriptor).sqrt();
        let mut distances: Vec<f32> = found.iter().map(distance).collect();
        distances.sort_by(f32::total_cmp);
        Ok(distances)
    }

    /// Note the recalls where searches look for them; whether this login may.
    fn note(
        &mut self,
        encoder: &KnownEncoder,
        settings: &VerifySettings,
        measured: &Verified,
    ) -> Result<bool, ArchiveError> {
        let (url, doing) = (self.url().clone(), "noting the recall");
        let sql = "SELECT has_table_privilege('histokin.recalls', 'INSERT')";
        if !self.client.query_one(sql, &[]).during(&url, doing)?.get::<_, bool>(0) {
            return Ok(false);
        }
        let mut work = self.client.transaction().during(&url, doing)?;
        work.execute("DELETE FROM histokin.recalls WHERE encoder = $1", &[&encoder.id])
            .during(&url, doing)?;
        for tried in &measured.recalls {
            let sql = "INSERT INTO histokin.recalls (encoder, ef_search, neighbours, queries, recall, tiles) \
                       VALUES ($1, $2, $3, $4, $5, $6)";
            let (neighbours, queries) = (settings.neighbours as i32, settings.queries as i32);
            let (ef_search, tiles) = (i32::from(tried.ef_search), measured.tiles as i64);
            work.execute(sql, &[&encoder.id, &ef_search, &neighbours, &queries, &tried.recall, &tiles])
                .during(&url, doing)?;
        }
        work.commit().during(&url, doing)?;
        Ok(true)
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
