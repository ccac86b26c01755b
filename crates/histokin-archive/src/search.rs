//! Searching the archive: its nearest tiles are fetched with their descriptors and ranked together with the
//! project's tiles by the query code of `histokin-core`, by exact distance and with the same filters.

mod candidates;
mod slides;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use candidates::Mode;
pub(super) use candidates::{Candidate, Filter, Probe, Spot};

use super::error::During;
use super::tiles::KnownEncoder;
use super::{Archive, ArchiveError};
use histokin_core::descriptors::{DescriptorHeader, DescriptorSet, Recipe};
use histokin_core::geometry::{Level0Point, Level0Rect};
use histokin_core::index::Snapshot;
use histokin_core::query::{
    self, AnnotationsBySlide, Answer, ArchiveSlide, ArchiveTile, Compared, FromArchive, Patients, Query,
    QueryError, Scope, SlideElsewhere, TilePosition,
};
use histokin_core::slide::SlideId;
use histokin_core::tiling::TileIndex;
use histokin_project::project::FormerIds;

/// Up to this many tiles are all compared even if there is an index.
const EXACT_UP_TO: u64 = 20_000;

/// Up to this many tiles are all compared when the index finds too few matches.
const COMPARED_FOR_COUNT: u64 = 2_000_000;

/// Candidates beyond the number of matches: re-ranking may change the order of the last ones.
const SPARE: usize = 16;

/// Candidates per match when matches must differ, lie apart, or are used to rank slides.
const FOR_CHOICE: usize = 8;

/// Maximum number of candidates for one example.
const MOST_CANDIDATES: usize = 50_000;

/// Default of the required measured recall.
pub const LEAST_RECALL: f32 = 0.99;

/// `ef_search` of an index search for which no recall has been measured.
const UNMEASURED_EF: u16 = 200;

/// Settings of a search.
#[derive(Debug, Clone)]
pub struct SearchSettings {
    /// Compare all tiles instead of using the index, however long it takes.
    pub exact: bool,
    /// Required measured recall of the index, from 0 to 1.
    pub least_recall: f32,
    /// Slides of the archive that are searched; `None` for all. The query itself selects slides of the
    /// project.
    pub among: Option<Vec<SlideId>>,
    /// Which patients' slides may contain matches, relative to the patient of the query's slide.
    pub patients: Patients,
    /// The archive's code of the patient of the query's slide, for a slide that is not in the archive.
    pub own_patient: Option<String>,
    /// Only tiles in annotations of this class.
    pub class: Option<String>,
    /// Annotations of the project's slides, to which the query's settings may refer.
    pub annotations: AnnotationsBySlide,
    /// Former IDs of the project's slides, which the archive may still use.
    pub former_ids: FormerIds,
    /// Time limit of each statement; a search that takes longer fails. `None` for no limit.
    pub timeout: Option<Duration>,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            annotations: AnnotationsBySlide::new(),
            exact: false,
            least_recall: LEAST_RECALL,
            among: None,
            patients: Patients::Any,
            own_patient: None,
            class: None,
            former_ids: FormerIds::default(),
            timeout: None,
        }
    }
}

/// Answers `query` from the project's `index` and the archive together. Slides that are in the index are not
/// searched in the archive.
///
/// # Errors
/// When the query cannot be answered or the archive fails.
pub fn ask(
    archive: &mut Archive,
    index: &Snapshot,
    recipe: &Recipe,
    query: &Query,
    settings: &SearchSettings,
) -> Result<Answer, ArchiveError> {
    let started = Instant::now();
    let positives = query::tiles_of(index, &query.positives)?;
    let Compared { points, negatives } = query::compared_with(index, query)?;
    let encoder = archive.require_encoder(recipe)?;
    for example in query.all_examples() {
        example.require(recipe, encoder.width)?;
    }
    if let Some(found) = points.iter().chain(&negatives).find(|row| row.len() != encoder.width) {
        let name = "the query".to_owned();
        return Err(QueryError::OtherEncoder { name, found: found.len(), wanted: encoder.width }.into());
    }
    archive.give_up_after(settings.timeout)?;
    let filter = archive.filter(&encoder, index, &positives, query, settings)?;
    let accepted = archive.accepted(&encoder, &filter)?;
    let (mode, recall) = archive.mode_for(&encoder, accepted, settings)?;
    let chooses =
        query.settings.diversity > 0.0 || query.settings.apart_um > 0.0 || query.settings.rank_slides;
    // What was marked is among the nearest and left out of the answer.
    let marked = query.marks.len();
    let mut count = query.settings.count * if chooses { FOR_CHOICE } else { 1 } + SPARE + marked;
    let mut mode = mode;
    loop {
        let probe = Probe { positives: &points, negatives: &negatives, count, filter: filter.clone() };
        let found = if accepted == 0 { Vec::new() } else { archive.candidates(&encoder, &probe, mode)? };
        let fewest = (0..points.len())
            .map(|point| found.iter().filter(|candidate| candidate.example == point).count())
            .min()
            .unwrap_or(0);
        // The index scan ended before enough tiles had passed the filter.
        let fell_short = mode != Mode::Exact && fewest < count && (fewest as u64) < accepted;
        if fell_short && accepted <= COMPARED_FOR_COUNT {
            mode = Mode::Exact;
            continue;
        }
        let answer = archive.rank(index, &encoder, (query, &settings.annotations), &found, accepted)?;
        let is_short = answer.matches.len() < query.settings.count && fewest >= count;
        if is_short && query.settings.apart_um > 0.0 && count < MOST_CANDIDATES {
            count = (count * 4).min(MOST_CANDIDATES);
            continue;
        }
        let answer = match query.settings.rank_slides {
            true => archive.with_slides(
                answer,
                index,
                &encoder,
                (query, &settings.annotations),
                (&probe, &found),
            )?,
            false => answer,
        };
        let exact = mode == Mode::Exact;
        return Ok(finish(answer, exact, recall.filter(|_| !exact), accepted, started));
    }
}

/// Adds to an answer how the archive was searched and how long it took.
fn finish(answer: Answer, exact: bool, recall: Option<f32>, searched: u64, started: Instant) -> Answer {
    let part = answer.archive.as_deref().cloned().unwrap_or_default();
    Answer {
        exact: answer.exact && exact,
        archive: Some(Arc::new(FromArchive { exact, recall, searched, ..part })),
        elapsed: started.elapsed(),
        ..answer
    }
}

impl Archive {
    /// Sets the time limit of statements; `None` removes it.
    fn give_up_after(&mut self, timeout: Option<Duration>) -> Result<(), ArchiveError> {
        let url = self.url().clone();
        let milliseconds = timeout.map_or(0, |timeout| timeout.as_millis()).to_string();
        let sql =
            self.statement("SELECT set_config('statement_timeout', $1, false)", "preparing a search")?;
        self.client.execute(&sql, &[&milliseconds]).during(&url, "preparing a search")?;
        Ok(())
    }

    /// Returns the filter for tiles of the archive that the query and the settings specify.
    fn filter(
        &mut self,
        encoder: &KnownEncoder,
        index: &Snapshot,
        positives: &[(Option<TilePosition>, Vec<f32>)],
        query: &Query,
        settings: &SearchSettings,
    ) -> Result<Filter, ArchiveError> {
        let (url, doing) = (self.url().clone(), "looking for slides");
        let own: HashSet<&SlideId> =
            positives.iter().filter_map(|(tile, _)| Some(&tile.as_ref()?.slide)).collect();
        let indexed = index.sets().iter().map(|set| &set.header.slide_id);
        let mut known: Vec<&str> = Vec::new();
        let mut current_ids: HashMap<&SlideId, &SlideId> = HashMap::new();
        for slide in indexed.chain(own.iter().copied()) {
            let former = settings.former_ids.get(slide).map(Vec::as_slice).unwrap_or_default();
            known.extend(std::iter::once(slide).chain(former).map(|id| id.0.as_str()));
            current_ids.extend(former.iter().map(|id| (id, slide)));
        }
        let sql = "SELECT s.slide_id, s.slide, s.patient, d.header::text FROM histokin.slides s \
                   JOIN histokin.descriptions d USING (slide) WHERE d.encoder = $1 AND s.slide_id = ANY($2)";
        let statement = self.statement(sql, doing)?;
        let rows = self.client.query(&statement, &[&encoder.id, &known]).during(&url, doing)?;
        let mut filter = Filter::default();
        let mut own_slides = Vec::new();
        let mut patients: Vec<i32> = Vec::new();
        for row in &rows {
            let (id, number): (SlideId, i32) = (SlideId(row.get(0)), row.get(1));
            let id = current_ids.get(&id).copied().cloned().unwrap_or(id);
            if index.set_index(&id).is_some() {
                filter.without.push(number);
            }
            if own.contains(&id) {
                own_slides.push(number);
                patients.extend(row.get::<_, Option<i32>>(2));
                if index.set_index(&id).is_none() {
                    let header = self.header(encoder, row.get(3))?;
                    filter.spots.extend(spots(&id, number, &header, positives, query.settings.exclude_um));
                }
            }
        }
        match query.settings.scope {
            Scope::Same => filter.restrict_to(&own_slides),
            Scope::Others => filter.without.extend(&own_slides),
            Scope::All | Scope::Archive => {}
        }
        if settings.patients != Patients::Any {
            let sql = "SELECT slide FROM histokin.slides s JOIN histokin.patients p USING (patient) \
                       WHERE p.patient = ANY($1) OR p.code = $2";
            let rows = self.client.query(sql, &[&patients, &settings.own_patient]).during(&url, doing)?;
            let of_patient: Vec<i32> = rows.iter().map(|row| row.get(0)).chain(own_slides).collect();
            match settings.patients {
                Patients::Same => filter.restrict_to(&of_patient),
                _ => filter.without.extend(of_patient),
            }
        }
        if let Some(among) = &settings.among {
            let names: Vec<&str> = among.iter().map(|slide| slide.0.as_str()).collect();
            let sql = "SELECT slide FROM histokin.slides WHERE slide_id = ANY($1)";
            let rows = self.client.query(sql, &[&names]).during(&url, doing)?;
            let among: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
            filter.restrict_to(&among);
        }
        if let Some(class) = &settings.class {
            let sql = "SELECT class FROM histokin.classes WHERE name = $1";
            let row = self.client.query_opt(sql, &[class]).during(&url, doing)?;
            // A class that is not in the archive has no tiles; no class has the number -1.
            filter.class = Some(row.map_or(-1, |row| row.get(0)));
        }
        Ok(filter)
    }

    /// Returns the number of tiles of the slides that a filter accepts.
    fn accepted(&mut self, encoder: &KnownEncoder, filter: &Filter) -> Result<u64, ArchiveError> {
        let url = self.url().clone();
        let sql = "SELECT coalesce(sum(tiles), 0)::int8 FROM histokin.descriptions WHERE encoder = $1 \
                   AND slide <> ALL($2) AND ($3::int4[] IS NULL OR slide = ANY($3))";
        let statement = self.statement(sql, "counting tiles")?;
        let row = self.client.query_one(&statement, &[&encoder.id, &filter.without, &filter.only]);
        Ok(u64::try_from(row.during(&url, "counting tiles")?.get::<_, i64>(0)).unwrap_or(0))
    }

    /// Returns the fastest search mode that reached the required recall, or else the most accurate one
    /// measured, and its recall.
    fn mode_for(
        &mut self,
        encoder: &KnownEncoder,
        accepted: u64,
        settings: &SearchSettings,
    ) -> Result<(Mode, Option<f32>), ArchiveError> {
        let url = self.url().clone();
        if settings.exact || !encoder.indexed || accepted <= EXACT_UP_TO {
            return Ok((Mode::Exact, None));
        }
        let sql = "SELECT ef_search, recall FROM histokin.recalls WHERE encoder = $1 ORDER BY ef_search";
        let statement = self.statement(sql, "looking for the measured recall")?;
        let rows =
            self.client.query(&statement, &[&encoder.id]).during(&url, "looking for the measured recall")?;
        let measured: Vec<(u16, f32)> =
            rows.iter().map(|row| (row.get::<_, i32>(0).clamp(1, 1000) as u16, row.get(1))).collect();
        let enough = measured.iter().find(|(_, recall)| *recall >= settings.least_recall);
        Ok(match enough.or(measured.last()) {
            Some((ef_search, recall)) => (Mode::Index { ef_search: *ef_search }, Some(*recall)),
            None => (Mode::Index { ef_search: UNMEASURED_EF }, None),
        })
    }

    /// Ranks candidates together with the project's tiles.
    fn rank(
        &mut self,
        index: &Snapshot,
        encoder: &KnownEncoder,
        (query, annotations): (&Query, &AnnotationsBySlide),
        found: &[Candidate],
        accepted: u64,
    ) -> Result<Answer, ArchiveError> {
        let slides = self.slides_of(encoder, found.iter().map(|candidate| candidate.slide))?;
        let mut by_slide: BTreeMap<i32, BTreeMap<TileIndex, &Candidate>> = BTreeMap::new();
        for candidate in found {
            let Some(slide) = slides.get(&candidate.slide) else { continue };
            let corner = Level0Point::new(f64::from(candidate.x), f64::from(candidate.y));
            let at = slide.header.tile_center(corner);
            if let Some(tile) = slide.header.tile_grid().tile_at(at) {
                by_slide.entry(candidate.slide).or_default().insert(tile, candidate);
            }
        }
        let mut numbers: HashMap<SlideId, i32> = HashMap::new();
        let sets: Vec<Arc<DescriptorSet>> = by_slide
            .iter()
            .map(|(number, tiles)| {
                let header = slides[number].header.clone();
                numbers.insert(header.slide_id.clone(), *number);
                let rows: Vec<(TileIndex, &[f32])> =
                    tiles.iter().map(|(tile, candidate)| (*tile, candidate.descriptor.as_slice())).collect();
                Arc::new(DescriptorSet::from_rows(header, &rows, 0))
            })
            .collect();
        let fetched: usize = sets.iter().map(|set| set.len()).sum();
        let mut query = query.clone();
        // Slides are ranked later, by all their tiles rather than by candidates only.
        query.settings.rank_slides = false;
        // The archive's slides were already selected by the filter.
        if let Some(among) = &mut query.settings.among {
            among.extend(numbers.keys().cloned());
        }
        let mut answer = query::ask(&index.with_more(sets.clone()), &query, annotations)?;
        answer.searched = answer.searched.saturating_sub(fetched) + accepted as usize;
        let classes: HashMap<(i32, i64, i64), Option<i16>> =
            found.iter().map(|one| ((one.slide, i64::from(one.x), i64::from(one.y)), one.class)).collect();
        let mut part = FromArchive::default();
        let mut wanted = Vec::new();
        for found in &answer.matches {
            let Some(number) = numbers.get(&found.slide) else { continue };
            part.slides.insert(found.slide.clone(), slides[number].slide.clone());
            wanted.push((*number, found.rect, found.slide.clone()));
        }
        part.tiles = self.details(encoder, &wanted, &classes)?;
        for (tile, details) in &mut part.tiles {
            let set = sets.iter().find(|set| set.header.slide_id == tile.slide);
            let descriptor = set.and_then(|set| Some(set.descriptor(set.row_at(tile.rect.center())?)));
            details.descriptor = descriptor.unwrap_or_default().into();
        }
        answer.archive = Some(Arc::new(part));
        Ok(answer)
    }

    /// Adds one ranking of the slides of the project and the archive to an answer.
    fn with_slides(
        &mut self,
        answer: Answer,
        index: &Snapshot,
        encoder: &KnownEncoder,
        (query, annotations): (&Query, &AnnotationsBySlide),
        (probe, found): (&Probe<'_>, &[Candidate]),
    ) -> Result<Answer, ArchiveError> {
        let (compared, allowed) = self.compare_slides(encoder, probe, found)?;
        let slides = self.slides_of(encoder, compared.keys().copied())?;
        let farthest = query.settings.max_distance.unwrap_or(f32::INFINITY);
        let elsewhere = compared.into_iter().filter_map(|(number, mut compared)| {
            let slide = slides.get(&number)?;
            compared.nearest.retain(|distance| *distance <= farthest);
            Some(SlideElsewhere {
                slide: slide.header.slide_id.clone(),
                tiles: slide.slide.tiles,
                nearest: compared.nearest,
                distances: compared.distances,
            })
        });
        let elsewhere: Vec<SlideElsewhere> = elsewhere.collect();
        let mut part = answer.archive.as_deref().cloned().unwrap_or_default();
        part.ranked = Some([elsewhere.len(), allowed]);
        part.slides.extend(slides.into_values().map(|found| (found.header.slide_id, found.slide)));
        let slides = query::rank_slides(index, query, annotations, &answer.matches, elsewhere)?;
        Ok(Answer { slides, archive: Some(Arc::new(part)), ..answer })
    }

    /// Returns details and headers of slides, by the archive's slide numbers.
    fn slides_of(
        &mut self,
        encoder: &KnownEncoder,
        slides: impl Iterator<Item = i32>,
    ) -> Result<HashMap<i32, FoundSlide>, ArchiveError> {
        let (url, doing) = (self.url().clone(), "looking for slides");
        let numbers: HashSet<i32> = slides.collect();
        let numbers: Vec<i32> = numbers.into_iter().collect();
        let sql = "SELECT s.slide, s.name, s.location, p.code, d.tiles, d.header::text FROM histokin.descriptions d \
                   JOIN histokin.slides s USING (slide) LEFT JOIN histokin.patients p USING (patient) \
                   WHERE d.encoder = $1 AND s.slide = ANY($2)";
        let statement = self.statement(sql, doing)?;
        let rows = self.client.query(&statement, &[&encoder.id, &numbers]).during(&url, doing)?;
        let mut slides = HashMap::new();
        for row in &rows {
            let location: Option<PathBuf> = row.get::<_, Option<String>>(2).map(PathBuf::from);
            let slide = ArchiveSlide {
                name: row.get(1),
                is_reachable: location.as_ref().is_some_and(|path| path.is_file()),
                location,
                patient: row.get(3),
                tiles: usize::try_from(row.get::<_, i32>(4)).unwrap_or(0),
            };
            let header = self.header(encoder, row.get(5))?;
            slides.insert(row.get(0), FoundSlide { slide, header });
        }
        Ok(slides)
    }

    /// Returns the thumbnails and classes of matches.
    fn details(
        &mut self,
        encoder: &KnownEncoder,
        wanted: &[(i32, Level0Rect, SlideId)],
        classes: &HashMap<(i32, i64, i64), Option<i16>>,
    ) -> Result<HashMap<TilePosition, ArchiveTile>, ArchiveError> {
        let (url, doing) = (self.url().clone(), "fetching thumbnails");
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let statement = self.statement("SELECT class, name FROM histokin.classes", doing)?;
        let names: HashMap<i16, String> = self
            .client
            .query(&statement, &[])
            .during(&url, doing)?
            .iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect();
        let slides: Vec<i32> = wanted.iter().map(|(slide, _, _)| *slide).collect();
        let xs: Vec<i32> = wanted.iter().map(|(_, rect, _)| rect.x as i32).collect();
        let ys: Vec<i32> = wanted.iter().map(|(_, rect, _)| rect.y as i32).collect();
        let sql = "SELECT w.ordinal, t.jpeg FROM unnest($2::int4[], $3::int4[], $4::int4[]) WITH ORDINALITY \
                   AS w(slide, x, y, ordinal) JOIN histokin.thumbnails t \
                   ON t.encoder = $1 AND t.slide = w.slide AND t.x = w.x AND t.y = w.y";
        let statement = self.statement(sql, doing)?;
        let rows = self.client.query(&statement, &[&encoder.id, &slides, &xs, &ys]).during(&url, doing)?;
        let mut thumbnails: HashMap<usize, Arc<[u8]>> = rows
            .iter()
            .map(|row| (row.get::<_, i64>(0) as usize - 1, Arc::from(row.get::<_, &[u8]>(1))))
            .collect();
        let details = wanted.iter().enumerate().map(|(index, (number, rect, slide))| {
            let class = classes.get(&(*number, rect.x, rect.y)).copied().flatten();
            let class = class.and_then(|class| names.get(&class).cloned());
            let tile = ArchiveTile { class, thumbnail: thumbnails.remove(&index), ..ArchiveTile::default() };
            (TilePosition { slide: slide.clone(), rect: *rect }, tile)
        });
        Ok(details.collect())
    }

    /// Parses the descriptor header that a slide was pushed with.
    pub(super) fn header(
        &self,
        encoder: &KnownEncoder,
        text: &str,
    ) -> Result<DescriptorHeader, ArchiveError> {
        parse_header(text, encoder.width)
            .map_err(|what| ArchiveError::Damaged { url: self.url().clone(), what })
    }
}

/// Parses a descriptor header of descriptors of `width` numbers. Whoever may push can have written it.
///
/// # Errors
/// A message when it is no header, or has values that this program never writes.
fn parse_header(text: &str, width: usize) -> Result<DescriptorHeader, String> {
    let header: DescriptorHeader = serde_json::from_str(text)
        .map_err(|error| format!("the descriptor header of a slide cannot be parsed ({error})"))?;
    match header.problem() {
        Some(problem) => Err(format!("the descriptor header of a slide is invalid: {problem}")),
        None if header.width != width => {
            Err(format!("the descriptors of a slide have {} numbers instead of {width}", header.width))
        }
        None => Ok(header),
    }
}

/// A slide of the archive that contains candidates.
struct FoundSlide {
    slide: ArchiveSlide,
    header: DescriptorHeader,
}

/// Returns the excluded discs around the examples on a slide that only the archive has. Their radius is
/// `exclude_um`, but always large enough to exclude the examples themselves.
fn spots(
    slide: &SlideId,
    number: i32,
    header: &DescriptorHeader,
    positives: &[(Option<TilePosition>, Vec<f32>)],
    exclude_um: f64,
) -> Vec<Spot> {
    let radius = exclude_um.max(0.0) / header.level0_mpp().mean();
    let middle = header.tile_center(Level0Point::default());
    let tiles = positives.iter().filter_map(|(tile, _)| tile.as_ref()).filter(|tile| tile.slide == *slide);
    tiles
        .map(|tile| {
            let center = tile.rect.center();
            // Half a pixel allows for rounding.
            Spot { slide: number, x: center.x - middle.x, y: center.y - middle.y, radius: radius.max(0.5) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_core::descriptors::EncoderId;
    use histokin_core::stain::StainSetting;
    use histokin_core::tiling::{TileGrid, TileSettings};

    #[test]
    fn a_header_that_would_lead_to_wrong_tiles_is_refused() {
        let recipe = Recipe {
            encoder_id: EncoderId("test-encoder".to_owned()),
            encoder_name: "test".to_owned(),
            tiles: TileSettings { tile_px: 224, mpp: 1.0 },
            stain: StainSetting::None,
        };
        let grid = TileGrid {
            tile_px: 224,
            tile_level0: 224,
            tile_level0_y: 224,
            effective_mpp: 1.0,
            columns: 4,
            rows: 3,
        };
        let sound = DescriptorHeader::new(SlideId("0123456789abcdef".to_owned()), recipe, 16, &grid, 5);
        let parse = |header: &DescriptorHeader| parse_header(&serde_json::to_string(header).unwrap(), 16);
        assert_eq!(parse(&sound), Ok(sound.clone()));
        let refused = [
            DescriptorHeader { tile_level0: 0, ..sound.clone() },
            DescriptorHeader { slide_id: SlideId("../elsewhere".to_owned()), ..sound.clone() },
            DescriptorHeader { width: 17, ..sound.clone() },
        ];
        for header in refused {
            parse(&header).unwrap_err();
        }
        assert!(parse_header("{}", 16).unwrap_err().contains("cannot be parsed"));
    }
}
