//! Embedding one slide: decode → normalise → batch → encode → store, each step on a thread of its own,
//! joined by bounded channels, so that the slowest sets the pace and nothing piles up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use image::RgbImage;

use super::{EmbedControl, TileSelection};
use histokin_core::descriptors::{
    DescriptorError, DescriptorHeader, DescriptorSet, DescriptorStore, Journal, JournalRecord, Recipe, Row,
};
use histokin_core::slide::{SlideError, SlideSource};
use histokin_core::stain::{LabNormaliser, LabStatistics, StainSetting};
use histokin_core::tiling::{TileGrid, TileIndex, read_tile};
use histokin_core::tissue::selection::NoTiles;
use histokin_core::tissue::{ColouredTissue, TissueMask};
use histokin_encoder::{Encoder, EncoderError};

/// Work is safe on the disk at least this often.
const SYNC_EVERY: Duration = Duration::from_secs(2);

/// What is embedded so far becomes searchable this often.
const PUBLISH_EVERY: Duration = Duration::from_secs(2);

/// How the pipeline uses the machine.
#[derive(Debug, Clone, Copy)]
pub struct EmbedSettings {
    /// Threads that decode and normalise tiles.
    pub decode_threads: usize,
    /// Tiles that the encoder is given at once.
    pub batch: usize,
}

impl Default for EmbedSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { decode_threads: (cores / 2).clamp(1, 8), batch: 16 }
    }
}

/// What an embedding tells while it runs.
pub enum EmbedProgress {
    /// How many tissue tiles there are, and how many an earlier run has done.
    Started {
        done: u32,
        total: u32,
        failed: u32,
    },
    Tiles {
        done: u32,
        total: u32,
        failed: u32,
        tiles_per_second: f64,
    },
    /// Everything embedded so far.
    Searchable(Arc<DescriptorSet>),
    /// The slide has fewer pixels than were asked for: its own resolution is used.
    Coarser {
        /// µm/px of the slide.
        mpp: f64,
        asked_mpp: f64,
    },
    /// Something that the user should know, although the work goes on.
    Notice(String),
}

/// What a finished embedding amounts to.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedSummary {
    /// Tiles in the grid.
    pub tiles_grid: u32,
    /// Tiles that are selected.
    pub tiles_tissue: u32,
    /// Of these, those that could not be read.
    pub tiles_failed: u32,
    /// Of these, those that had been embedded before, by whatever selection.
    pub tiles_kept: u32,
    /// Why there are none, where there are none.
    pub no_tiles: Option<NoTiles>,
    /// The descriptor file.
    pub descriptors: PathBuf,
}

/// How an embedding ended.
pub enum EmbedOutcome {
    Finished {
        set: Arc<DescriptorSet>,
        summary: EmbedSummary,
    },
    /// Stopped by [`EmbedControl::stop`]; the next call goes on where this one was.
    Interrupted,
}

/// Why a slide could not be embedded. What was done up to then is kept.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    #[error(transparent)]
    Slide(#[from] SlideError),
    #[error("{}: {source}", path.display())]
    Encoder { path: PathBuf, source: EncoderError },
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
}

/// Embed the tissue tiles of `slide` by the usual selection, as [`embed_selected`] does.
#[expect(clippy::too_many_arguments, reason = "what is embedded, with what, into what, and who watches")]
pub fn embed_slide(
    slide: &dyn SlideSource,
    tissue: Option<&TissueMask>,
    encoder: &mut dyn Encoder,
    recipe: &Recipe,
    store: &DescriptorStore,
    settings: EmbedSettings,
    control: &EmbedControl,
    tell: &mut dyn FnMut(EmbedProgress),
) -> Result<EmbedOutcome, EmbedError> {
    let selection = TileSelection::default();
    embed_selected(slide, (&selection, tissue), encoder, recipe, store, settings, control, tell)
}

/// Embed the tiles of `slide` that `selection` selects, or take up an earlier run where it stopped. Tiles that were
/// embedded before, by whatever selection, are not embedded again; those that are not selected any more are left out
/// of the set and kept beside it. Blocks until done; the mask saves finding the tissue again where it is known.
#[expect(clippy::too_many_arguments, reason = "what is embedded, with what, into what, and who watches")]
pub fn embed_selected(
    slide: &dyn SlideSource,
    (selection, tissue): (&TileSelection, Option<&TissueMask>),
    encoder: &mut dyn Encoder,
    recipe: &Recipe,
    store: &DescriptorStore,
    settings: EmbedSettings,
    control: &EmbedControl,
    tell: &mut dyn FnMut(EmbedProgress),
) -> Result<EmbedOutcome, EmbedError> {
    let info = slide.info();
    let grid = TileGrid::new(info, recipe.tiles)?;
    let selected_by = selection.id();
    let earlier = match store.open(&info.id, recipe) {
        // None, or of other tiles, which an earlier calibration of the slide had.
        Ok(set) => set.filter(|set| set.header.tile_grid() == grid),
        Err(damaged @ DescriptorError::Damaged { .. }) => {
            tell(EmbedProgress::Notice(damaged.to_string()));
            None
        }
        Err(other) => return Err(other.into()),
    };
    let earlier = match earlier {
        // A slide without a tile is looked at again: what counts as tissue may have changed since.
        Some(set) if set.header.selection == selected_by && set.header.tiles_tissue > 0 => {
            let kept = set.len() as u32;
            return Ok(finished(Arc::new(set), &grid, store, (kept, None)));
        }
        other => other,
    };
    if grid.is_coarser_than(recipe.tiles) {
        tell(EmbedProgress::Coarser { mpp: grid.effective_mpp, asked_mpp: recipe.tiles.mpp });
    }
    let found;
    let tissue = match tissue.filter(|mask| mask.settings.same_mask(selection.settings())) {
        Some(tissue) => tissue,
        None => {
            found = TissueMask::find(slide, selection.settings())?;
            &found
        }
    };
    let wanted = selection.tiles(tissue, &grid);
    let no_tiles = wanted.is_empty().then(|| selection.why_none(tissue, &grid, info));
    let normaliser = normaliser(slide, None, recipe.stain, encoder.spec().stain_reference)?;
    let width = encoder.spec().width;
    let header = DescriptorHeader {
        selection: selected_by,
        ..DescriptorHeader::new(info.id.clone(), recipe.clone(), width, &grid, wanted.len() as u32)
    };
    let mut pool: Vec<JournalRecord> = earlier.iter().flat_map(|set| records(set, &grid)).collect();
    let unselected = store.open_unselected(&info.id, recipe);
    let unselected = unselected.filter(|set| set.header.tile_grid() == grid && set.width() == width);
    pool.extend(unselected.iter().flat_map(|set| records(set, &grid)));
    let mut journal = store.journal(&header)?;
    pool.append(&mut journal.earlier);
    let mut outcomes = Outcomes::new(header.clone(), &pool, &wanted);
    let kept = outcomes.done();
    tell(EmbedProgress::Started { done: kept, total: outcomes.total, failed: 0 });

    let left: Vec<TileIndex> =
        wanted.iter().copied().filter(|tile| !outcomes.rows.contains_key(tile)).collect();
    let source = TileSource { slide, grid, normaliser: normaliser.as_ref() };
    run(&source, left, encoder, journal, settings, control, &mut outcomes, tell)?;
    if outcomes.done() < outcomes.total {
        return Ok(EmbedOutcome::Interrupted);
    }
    // Kept first: whatever happens in between, no descriptor is lost.
    store.save_unselected(&unselected_of(&header, pool, &wanted))?;
    store.save(&outcomes.to_set())?;
    store.remove_journal(&header)?;
    let set = store.open(&info.id, recipe)?.unwrap_or_else(|| outcomes.to_set());
    Ok(finished(Arc::new(set), &grid, store, (kept, no_tiles)))
}

/// The tiles of a set as records of a journal.
fn records<'a>(set: &'a DescriptorSet, grid: &'a TileGrid) -> impl Iterator<Item = JournalRecord> + 'a {
    (0..set.len() as u32).map(Row).filter_map(move |row| {
        let tile = grid.tile_at(set.rect(row).center())?;
        Some(JournalRecord { tile, descriptor: Some(set.descriptor(row).to_vec()) })
    })
}

/// What was embedded and is not among `wanted`.
fn unselected_of(header: &DescriptorHeader, pool: Vec<JournalRecord>, wanted: &[TileIndex]) -> DescriptorSet {
    let rows: BTreeMap<TileIndex, Vec<f32>> = pool
        .into_iter()
        .filter(|record| wanted.binary_search(&record.tile).is_err())
        .filter_map(|record| Some((record.tile, record.descriptor?)))
        .collect();
    let rows: Vec<(TileIndex, &[f32])> = rows.iter().map(|(tile, row)| (*tile, row.as_slice())).collect();
    let header = DescriptorHeader { tiles_tissue: rows.len() as u32, ..header.clone() };
    DescriptorSet::from_rows(header, &rows, 0)
}

/// What turns a slide's colours into those that the encoder was made on; nothing where none is asked for or the
/// slide has too little tissue to tell.
pub(super) fn normaliser(
    slide: &dyn SlideSource,
    tissue: Option<&ColouredTissue>,
    stain: StainSetting,
    reference: LabStatistics,
) -> Result<Option<LabNormaliser>, SlideError> {
    Ok(match stain {
        StainSetting::Lab => {
            let statistics = match tissue {
                Some(tissue) => LabStatistics::of_tissue(slide, tissue)?,
                None => LabStatistics::of_slide(slide)?,
            };
            statistics.map(|statistics| LabNormaliser::new(statistics, reference))
        }
        StainSetting::None => None,
    })
}

fn finished(
    set: Arc<DescriptorSet>,
    grid: &TileGrid,
    store: &DescriptorStore,
    (tiles_kept, no_tiles): (u32, Option<NoTiles>),
) -> EmbedOutcome {
    let summary = EmbedSummary {
        tiles_grid: grid.len(),
        tiles_tissue: set.header.tiles_tissue,
        tiles_failed: set.tiles_failed,
        tiles_kept,
        no_tiles,
        descriptors: store.path(&set.header.slide_id, &set.header.recipe),
    };
    EmbedOutcome::Finished { set, summary }
}

/// What has become of each tile so far.
struct Outcomes {
    header: DescriptorHeader,
    rows: BTreeMap<TileIndex, Vec<f32>>,
    failed: u32,
    total: u32,
}

impl Outcomes {
    /// Start from an earlier run's records; tiles that failed then are tried again.
    fn new(header: DescriptorHeader, earlier: &[JournalRecord], wanted: &[TileIndex]) -> Self {
        let rows = earlier
            .iter()
            .filter(|record| wanted.binary_search(&record.tile).is_ok())
            .filter_map(|record| Some((record.tile, record.descriptor.clone()?)))
            .collect();
        Self { header, rows, failed: 0, total: wanted.len() as u32 }
    }

    fn done(&self) -> u32 {
        self.rows.len() as u32 + self.failed
    }

    fn to_set(&self) -> DescriptorSet {
        let rows: Vec<(TileIndex, &[f32])> =
            self.rows.iter().map(|(tile, values)| (*tile, values.as_slice())).collect();
        DescriptorSet::from_rows(self.header.clone(), &rows, self.failed)
    }
}

/// Where tiles come from, ready for the encoder.
struct TileSource<'a> {
    slide: &'a dyn SlideSource,
    grid: TileGrid,
    normaliser: Option<&'a LabNormaliser>,
}

impl TileSource<'_> {
    fn read(&self, tile: TileIndex) -> Result<RgbImage, SlideError> {
        let mut pixels = read_tile(self.slide, &self.grid.rect(tile), self.grid.tile_px)?;
        if let Some(normaliser) = self.normaliser {
            normaliser.apply(&mut pixels);
        }
        Ok(pixels)
    }
}

type Decoded = (TileIndex, Result<RgbImage, SlideError>);

#[expect(clippy::too_many_arguments, reason = "the stages of one pipeline, each named once")]
fn run(
    source: &TileSource<'_>,
    left: Vec<TileIndex>,
    encoder: &mut dyn Encoder,
    journal: Journal,
    settings: EmbedSettings,
    control: &EmbedControl,
    outcomes: &mut Outcomes,
    tell: &mut dyn FnMut(EmbedProgress),
) -> Result<(), EmbedError> {
    if left.is_empty() {
        return Ok(());
    }
    let queue = TileQueue::new(left);
    let (decoded_to, decoded) = bounded::<Decoded>(2 * settings.batch);
    let (records_to, records) = bounded::<Vec<JournalRecord>>(4);
    std::thread::scope(|scope| {
        for number in 0..settings.decode_threads.max(1) {
            let (queue, decoded_to) = (&queue, decoded_to.clone());
            std::thread::Builder::new()
                .name(format!("tile-decoder-{number}"))
                .spawn_scoped(scope, move || decode(source, queue, control, &decoded_to))
                .map_err(EmbedError::Thread)?;
        }
        drop(decoded_to);
        let storing = std::thread::Builder::new()
            .name("descriptor-store".to_owned())
            .spawn_scoped(scope, move || keep(journal, &records))
            .map_err(EmbedError::Thread)?;
        let encoded = encode(source, encoder, settings.batch, control, outcomes, &decoded, &records_to, tell);
        // Decoders that wait for room find the channel closed and end.
        drop(decoded);
        drop(records_to);
        let stored = storing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        stored?;
        encoded
    })
}

/// Decode and normalise tiles until none is left or nobody wants them any more.
fn decode(source: &TileSource<'_>, queue: &TileQueue, control: &EmbedControl, out: &Sender<Decoded>) {
    while !control.is_stopped() {
        let Some(tile) = queue.next(control, &source.grid) else { return };
        if out.send((tile, source.read(tile))).is_err() {
            return;
        }
    }
}

/// Gather batches, encode them, and hand the results on.
#[expect(clippy::too_many_arguments, reason = "the stages of one pipeline, each named once")]
fn encode(
    source: &TileSource<'_>,
    encoder: &mut dyn Encoder,
    batch: usize,
    control: &EmbedControl,
    outcomes: &mut Outcomes,
    decoded: &Receiver<Decoded>,
    out: &Sender<Vec<JournalRecord>>,
    tell: &mut dyn FnMut(EmbedProgress),
) -> Result<(), EmbedError> {
    let mut speed = Speed::new();
    let mut published = Instant::now();
    loop {
        control.wait_while_paused();
        if control.is_stopped() {
            return Ok(());
        }
        let arrived: Vec<Decoded> = decoded.iter().take(batch).collect();
        if arrived.is_empty() {
            return Ok(());
        }
        let count = arrived.len();
        let mut tiles = Vec::with_capacity(count);
        let mut pictures = Vec::with_capacity(count);
        let mut records = Vec::with_capacity(count);
        let mut gone = None;
        for (tile, pixels) in arrived {
            match pixels {
                Ok(pixels) => {
                    tiles.push(tile);
                    pictures.push(pixels);
                }
                // The slide has gone, not this tile alone: what is left of it is embedded when it is back.
                Err(error) if error.is_unavailable() => {
                    gone = Some(error);
                    break;
                }
                Err(error) => {
                    tracing::warn!("{error}");
                    outcomes.failed += 1;
                    records.push(JournalRecord { tile, descriptor: None });
                }
            }
        }
        if !pictures.is_empty() {
            let descriptors = encoder.encode(&pictures).map_err(|error| EmbedError::Encoder {
                path: source.slide.info().path.clone(),
                source: error,
            })?;
            for (tile, values) in tiles.into_iter().zip(descriptors.rows()) {
                outcomes.rows.insert(tile, values.to_vec());
                records.push(JournalRecord { tile, descriptor: Some(values.to_vec()) });
            }
        }
        if out.send(records).is_err() {
            // The store has failed; its own error is what the caller gets.
            return Ok(());
        }
        if let Some(gone) = gone {
            return Err(gone.into());
        }
        let tiles_per_second = speed.add(count);
        tell(EmbedProgress::Tiles {
            done: outcomes.done(),
            total: outcomes.total,
            failed: outcomes.failed,
            tiles_per_second,
        });
        if published.elapsed() >= PUBLISH_EVERY {
            tell(EmbedProgress::Searchable(Arc::new(outcomes.to_set())));
            published = Instant::now();
        }
    }
}

/// Write results to the journal as they come, and make sure of them every few seconds.
fn keep(mut journal: Journal, records: &Receiver<Vec<JournalRecord>>) -> Result<(), DescriptorError> {
    let mut synced = Instant::now();
    for batch in records {
        journal.append(&batch)?;
        if synced.elapsed() >= SYNC_EVERY {
            journal.sync()?;
            synced = Instant::now();
        }
    }
    journal.sync()
}

/// The tiles that are still to be decoded; those nearest to the focus first.
struct TileQueue {
    state: Mutex<QueueState>,
}

struct QueueState {
    /// The next one last.
    left: Vec<TileIndex>,
    ordered_for: Option<histokin_core::geometry::Level0Rect>,
}

impl TileQueue {
    fn new(mut left: Vec<TileIndex>) -> Self {
        left.reverse();
        Self { state: Mutex::new(QueueState { left, ordered_for: None }) }
    }

    fn next(&self, control: &EmbedControl, grid: &TileGrid) -> Option<TileIndex> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let focus = control.focus();
        if let Some(field) = focus
            && state.ordered_for != focus
        {
            let distance = |tile: &TileIndex| grid.rect(*tile).center().distance_px(field.center());
            state.left.sort_by(|a, b| distance(b).total_cmp(&distance(a)));
            state.ordered_for = focus;
        }
        state.left.pop()
    }
}

/// Tiles per second over the last ten seconds or so.
struct Speed {
    since: Instant,
    tiles: usize,
    recent: f64,
}

impl Speed {
    fn new() -> Self {
        Self { since: Instant::now(), tiles: 0, recent: 0.0 }
    }

    fn add(&mut self, tiles: usize) -> f64 {
        self.tiles += tiles;
        let seconds = self.since.elapsed().as_secs_f64();
        let now = self.tiles as f64 / seconds.max(1e-3);
        if seconds > 5.0 {
            self.recent = now;
            self.since = Instant::now();
            self.tiles = 0;
        }
        if self.recent > 0.0 { self.recent } else { now }
    }
}
