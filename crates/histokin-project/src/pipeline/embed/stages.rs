//! The stages of embedding: decode and normalise → batch and encode → store. They run on separate threads,
//! connected by bounded channels, so that the slowest stage sets the pace and memory use stays limited. With a slow
//! encoder, decoding threads wait most of the time: they decode two batches ahead, whatever their number.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use image::RgbImage;

use super::work::Work;
use super::{EmbedError, EmbedProgress, EmbedSettings};
use crate::pipeline::{EmbedControl, baseline};
use histokin_core::descriptors::{DescriptorError, Journal, JournalRecord};
use histokin_core::slide::{SlideError, SlideSource};
use histokin_core::stain::LabNormaliser;
use histokin_core::tiling::{TileGrid, TileIndex, read_tile};
use histokin_encoder::Encoder;

/// Maximum interval between syncs of the journal to disk.
const SYNC_EVERY: Duration = Duration::from_secs(2);

/// Interval at which the tiles embedded so far become searchable.
const PUBLISH_EVERY: Duration = Duration::from_secs(2);

/// Reads tiles, normalised for the encoder.
pub struct TileSource<'a> {
    pub slide: &'a dyn SlideSource,
    pub grid: TileGrid,
    pub normaliser: Option<&'a LabNormaliser>,
    /// Whether the colour histogram of each tile is wanted.
    pub has_baseline: bool,
}

/// A tile that was read.
struct ReadTile {
    /// Its pixels, normalised for the encoder.
    pixels: RgbImage,
    /// Histogram of its own colours.
    histogram: Option<Vec<f32>>,
}

impl TileSource<'_> {
    fn read(&self, tile: TileIndex) -> Result<ReadTile, SlideError> {
        let mut pixels = read_tile(self.slide, &self.grid.rect(tile), self.grid.tile_px)?;
        let histogram = self.has_baseline.then(|| baseline::histogram(&pixels));
        if let Some(normaliser) = self.normaliser {
            normaliser.apply(&mut pixels);
        }
        Ok(ReadTile { pixels, histogram })
    }
}

type Decoded = (TileIndex, Result<ReadTile, SlideError>);

/// Results of the encoder and of the colour histogram, if that is computed beside it.
pub struct Results<'a> {
    pub own: &'a mut Work,
    pub baseline: Option<&'a mut Work>,
}

impl Results<'_> {
    /// Adds the results of a tile that was read.
    fn add(
        &mut self,
        tile: TileIndex,
        descriptor: &[f32],
        histogram: Option<Vec<f32>>,
        records: &mut Records,
    ) {
        records.own.extend(self.own.add(tile, Some(descriptor.to_vec())));
        if let (Some(baseline), Some(histogram)) = (&mut self.baseline, histogram) {
            records.baseline.extend(baseline.add(tile, Some(histogram)));
        }
    }

    /// Adds a tile that cannot be read.
    fn add_failed(&mut self, tile: TileIndex, records: &mut Records) {
        records.own.extend(self.own.add(tile, None));
        if let Some(baseline) = &mut self.baseline {
            records.baseline.extend(baseline.add(tile, None));
        }
    }
}

/// The journals of the results.
pub struct Journals {
    pub own: Journal,
    pub baseline: Option<Journal>,
}

/// New records of the journals.
#[derive(Default)]
struct Records {
    own: Vec<JournalRecord>,
    baseline: Vec<JournalRecord>,
}

/// Embeds the tiles that are left, until there are none or `control` stops it.
///
/// # Errors
/// [`EmbedError`] of the slide, the encoder, or the journals.
pub fn run(
    source: &TileSource<'_>,
    encoder: &mut dyn Encoder,
    journals: Journals,
    settings: EmbedSettings,
    control: &EmbedControl,
    results: &mut Results<'_>,
    report: &mut dyn FnMut(EmbedProgress),
) -> Result<(), EmbedError> {
    let left = results.own.left();
    if left.is_empty() {
        return Ok(());
    }
    let queue = TileQueue::new(left);
    let (decoded_to, decoded) = bounded::<Decoded>(2 * settings.batch);
    let (records_to, records) = bounded::<Records>(4);
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
            .spawn_scoped(scope, move || store(journals, &records))
            .map_err(EmbedError::Thread)?;
        let encoded =
            encode(source, encoder, settings.batch, control, results, &decoded, &records_to, report);
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
    results: &mut Results<'_>,
    decoded: &Receiver<Decoded>,
    out: &Sender<Records>,
    report: &mut dyn FnMut(EmbedProgress),
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
        let mut records = Records::default();
        let mut unavailable = None;
        for (tile, read) in arrived {
            match read {
                Ok(read) => {
                    tiles.push((tile, read.histogram));
                    pictures.push(read.pixels);
                }
                // The whole slide is unavailable, not only this tile; the rest is embedded once it is
                // readable.
                Err(error) if error.is_unavailable() => {
                    unavailable = Some(error);
                    break;
                }
                Err(error) => {
                    tracing::warn!("{error}");
                    results.add_failed(tile, &mut records);
                }
            }
        }
        if !pictures.is_empty() {
            let descriptors = encoder.encode(&pictures).map_err(|error| EmbedError::Encoder {
                path: source.slide.info().path.clone(),
                source: error,
            })?;
            for ((tile, histogram), descriptor) in tiles.into_iter().zip(descriptors.rows()) {
                results.add(tile, descriptor, histogram, &mut records);
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
        report(EmbedProgress::Tiles {
            done: results.own.done(),
            total: results.own.total(),
            failed: results.own.failed(),
            tiles_per_second,
        });
        if published.elapsed() >= PUBLISH_EVERY {
            report(EmbedProgress::Searchable(Arc::new(results.own.to_set())));
            published = Instant::now();
        }
    }
}

/// Appends results to the journals as they arrive, and syncs these every few seconds.
fn store(mut journals: Journals, records: &Receiver<Records>) -> Result<(), DescriptorError> {
    let mut synced = Instant::now();
    for batch in records {
        journals.append(&batch)?;
        if synced.elapsed() >= SYNC_EVERY {
            journals.sync()?;
            synced = Instant::now();
        }
    }
    journals.sync()
}

impl Journals {
    fn append(&mut self, records: &Records) -> Result<(), DescriptorError> {
        self.own.append(&records.own)?;
        self.baseline.as_mut().map_or(Ok(()), |journal| journal.append(&records.baseline))
    }

    fn sync(&mut self) -> Result<(), DescriptorError> {
        self.own.sync()?;
        self.baseline.as_mut().map_or(Ok(()), Journal::sync)
    }
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
