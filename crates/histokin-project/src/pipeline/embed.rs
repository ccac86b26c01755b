//! Embedding of one slide: decode and normalise → batch and encode → store. The stages run on separate
//! threads, connected by bounded channels, so that the slowest stage sets the pace and memory use stays
//! limited.

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

/// Maximum interval between syncs of the journal to disk.
const SYNC_EVERY: Duration = Duration::from_secs(2);

/// Interval at which the tiles embedded so far become searchable.
const PUBLISH_EVERY: Duration = Duration::from_secs(2);

/// Resource settings of the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct EmbedSettings {
    /// Number of threads that decode and normalise tiles.
    pub decode_threads: usize,
    /// Number of tiles encoded at once.
    pub batch: usize,
}

impl Default for EmbedSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { decode_threads: (cores / 2).clamp(1, 8), batch: 16 }
    }
}

/// Progress of a running embedding.
pub enum EmbedProgress {
    /// The tiles are selected and embedding starts.
    Started {
        /// Number of tiles embedded by earlier runs.
        done: u32,
        /// Number of selected tiles.
        total: u32,
        /// Number of tiles that could not be read; 0 at the start, as earlier failures are tried again.
        failed: u32,
    },
    /// Another batch of tiles is done.
    Tiles {
        /// Number of tiles that are embedded or have failed.
        done: u32,
        /// Number of selected tiles.
        total: u32,
        /// Number of tiles that could not be read.
        failed: u32,
        /// Speed over the last few seconds.
        tiles_per_second: f64,
    },
    /// Everything embedded so far.
    Searchable(Arc<DescriptorSet>),
    /// The spacing of the slide is coarser than requested and is used instead.
    Coarser {
        /// Spacing of the slide, in µm/px.
        mpp: f64,
        /// Requested spacing, in µm/px.
        asked_mpp: f64,
    },
    /// A message for the user about a problem that does not stop the embedding.
    Notice(String),
}

/// Summary of a finished embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedSummary {
    /// Number of tiles in the grid.
    pub tiles_grid: u32,
    /// Number of selected tiles.
    pub tiles_tissue: u32,
    /// Number of selected tiles that could not be read.
    pub tiles_failed: u32,
    /// Number of selected tiles that had been embedded before, under any selection.
    pub tiles_kept: u32,
    /// Reason why no tiles are selected, if that is the case.
    pub no_tiles: Option<NoTiles>,
    /// Path of the descriptor file.
    pub descriptors: PathBuf,
}

/// Outcome of an embedding.
pub enum EmbedOutcome {
    /// All selected tiles are embedded or have failed.
    Finished {
        /// The descriptors.
        set: Arc<DescriptorSet>,
        /// Numbers of tiles, and the path of the file.
        summary: EmbedSummary,
    },
    /// Stopped by [`EmbedControl::stop`]; the next call continues from here.
    Interrupted,
}

/// Reason why a slide could not be embedded. Finished work is kept.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The slide cannot be read.
    #[error(transparent)]
    Slide(#[from] SlideError),
    /// The encoder failed.
    #[error("{}: {source}", path.display())]
    Encoder {
        /// File of the slide.
        path: PathBuf,
        /// Error of the encoder.
        source: EncoderError,
    },
    /// Descriptors cannot be read or written.
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    /// A thread of the pipeline could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
}

/// Embeds the tissue tiles of `slide` with the default selection; see [`embed_selected`].
///
/// # Errors
/// As [`embed_selected`].
#[expect(clippy::too_many_arguments, reason = "inputs, output, settings and progress of one operation")]
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

/// Embeds the tiles of `slide` that `selection` selects, or continues an interrupted run. Tiles that were
/// embedded before, under any selection, are not embedded again; those that are no longer selected are moved
/// from the set to a separate file. Blocks until done. A mask passed in `tissue` avoids detecting the tissue
/// again.
///
/// # Errors
/// [`EmbedError`]; finished work is kept and the next call continues from there.
#[expect(clippy::too_many_arguments, reason = "inputs, output, settings and progress of one operation")]
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
        // A set with another tile grid stems from an earlier calibration of the slide and is ignored.
        Ok(set) => set.filter(|set| set.header.tile_grid() == grid),
        Err(damaged @ DescriptorError::Damaged { .. }) => {
            tell(EmbedProgress::Notice(damaged.to_string()));
            None
        }
        Err(other) => return Err(other.into()),
    };
    let earlier = match earlier {
        // A slide without tiles is checked again, since tissue detection may have changed.
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
    // Saved first, so that no descriptor is lost if the program ends between the two writes.
    store.save_unselected(&unselected_of(&header, pool, &wanted))?;
    store.save(&outcomes.to_set())?;
    store.remove_journal(&header)?;
    let set = store.open(&info.id, recipe)?.unwrap_or_else(|| outcomes.to_set());
    Ok(finished(Arc::new(set), &grid, store, (kept, no_tiles)))
}

/// Returns the tiles of a set as journal records.
fn records<'a>(set: &'a DescriptorSet, grid: &'a TileGrid) -> impl Iterator<Item = JournalRecord> + 'a {
    (0..set.len() as u32).map(Row).filter_map(move |row| {
        let tile = grid.tile_at(set.rect(row).center())?;
        Some(JournalRecord { tile, descriptor: Some(set.descriptor(row).to_vec()) })
    })
}

/// Returns the embedded tiles that are not among `wanted`.
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

/// Returns the stain normaliser from the slide's colours to the encoder's reference; `None` if normalisation
/// is off or the slide has too little tissue. The statistics come from `tissue` if given, else from the
/// slide.
///
/// # Errors
/// When the slide cannot be read.
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

/// Results of the tiles so far.
struct Outcomes {
    header: DescriptorHeader,
    rows: BTreeMap<TileIndex, Vec<f32>>,
    failed: u32,
    total: u32,
}

impl Outcomes {
    /// Starts from the records of earlier runs; tiles that failed are tried again.
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

/// Reads tiles, normalised for the encoder.
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

#[expect(clippy::too_many_arguments, reason = "inputs and outputs of all stages of the pipeline")]
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
            .spawn_scoped(scope, move || store(journal, &records))
            .map_err(EmbedError::Thread)?;
        let encoded = encode(source, encoder, settings.batch, control, outcomes, &decoded, &records_to, tell);
        // Closing the channel ends decoders that wait for space in it.
        drop(decoded);
        drop(records_to);
        let stored = storing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        stored?;
        encoded
    })
}

/// Decodes and normalises tiles until none is left or the receiver is closed.
fn decode(source: &TileSource<'_>, queue: &TileQueue, control: &EmbedControl, out: &Sender<Decoded>) {
    while !control.is_stopped() {
        let Some(tile) = queue.next(control, &source.grid) else { return };
        if out.send((tile, source.read(tile))).is_err() {
            return;
        }
    }
}

/// Collects batches, encodes them, and passes the results on.
#[expect(clippy::too_many_arguments, reason = "inputs and outputs of one stage of the pipeline")]
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
        let mut unavailable = None;
        for (tile, pixels) in arrived {
            match pixels {
                Ok(pixels) => {
                    tiles.push(tile);
                    pictures.push(pixels);
                }
                // The whole slide is unavailable, not only this tile; the rest is embedded once it is
                // readable.
                Err(error) if error.is_unavailable() => {
                    unavailable = Some(error);
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
            // The store has failed; the caller returns the store's error.
            return Ok(());
        }
        if let Some(error) = unavailable {
            return Err(error.into());
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

/// Appends results to the journal as they arrive, and syncs it every few seconds.
fn store(mut journal: Journal, records: &Receiver<Vec<JournalRecord>>) -> Result<(), DescriptorError> {
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

/// Tiles that remain to be decoded, those nearest to the focus first.
struct TileQueue {
    state: Mutex<QueueState>,
}

struct QueueState {
    /// In reverse order; the next tile is the last one.
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
        if let Some(rect) = focus
            && state.ordered_for != focus
        {
            let distance = |tile: &TileIndex| grid.rect(*tile).center().distance_px(rect.center());
            state.left.sort_by(|a, b| distance(b).total_cmp(&distance(a)));
            state.ordered_for = focus;
        }
        state.left.pop()
    }
}

/// Speed in tiles per second over about the last ten seconds.
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
