//! Reads batches on separate threads, so that the network does not wait for them if there are enough cores.
//!
//! A batch depends on its step only, so threads can work ahead in any order. They work at most a few batches
//! ahead, which limits the memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::TrainingError;
use super::augment::augment;
use super::config::{Method, TrainingConfig};
use super::kept_rows::{self, KeptRows};
use super::pairs::{Group, PairSampler, TileRef};
use super::slides::TrainingSlide;
use super::tile_reader::TileReader;
use histokin_core::slide::SlideError;

/// Number of attempts for one group; if none can be read, the slide is given up.
const ATTEMPTS: usize = 8;

/// Largest number of bytes of pixels that are read ahead.
const READ_AHEAD: usize = 1 << 30;

/// What batches are made from.
pub struct BatchSource<'a> {
    /// Slides to train on.
    pub slides: &'a [TrainingSlide],
    /// Draws the groups.
    pub sampler: &'a PairSampler,
    /// Settings of the run.
    pub config: &'a TrainingConfig,
    /// Reads the tiles.
    pub reader: &'a TileReader,
    /// Largest number of groups in a batch, if the device has too little memory for the number in the
    /// settings.
    pub limit: &'a AtomicUsize,
    /// Features from which views of tiles are drawn instead of reading the tiles.
    pub(super) kept: Option<&'a KeptRows>,
}

/// The tiles of one step.
pub struct Batch {
    /// Groups of the batch.
    pub groups: Vec<Group>,
    /// All tiles of all groups, in their order, after augmentation; none where features are kept.
    pub tiles: Vec<RgbImage>,
    /// Rows of their kept features, in the same order; empty where tiles are read.
    pub rows: Vec<i64>,
    /// Number of groups drawn that could not be read.
    pub unreadable: usize,
}

impl Batch {
    /// Keeps the first `count` groups.
    pub fn truncate(&mut self, count: usize) {
        self.groups.truncate(count);
        let tiles = self.count();
        self.tiles.truncate(tiles);
        self.rows.truncate(tiles);
    }

    /// Returns the number of tiles of all groups.
    pub fn count(&self) -> usize {
        self.groups.iter().map(|group| group.tiles.len()).sum()
    }
}

impl BatchSource<'_> {
    /// Draws and reads the batch of a step; always the same for the same step.
    ///
    /// # Errors
    /// Returns the slide's error if none of several groups drawn from it can be read.
    pub fn batch(&self, step: u64) -> Result<Batch, SlideError> {
        let mut batch = Batch { groups: Vec::new(), tiles: Vec::new(), rows: Vec::new(), unreadable: 0 };
        for position in 0..self.config.batch.min(self.limit.load(Ordering::Relaxed)) {
            let mut attempt = 0;
            let (group, (tiles, rows)) = loop {
                let group = self.sampler.group(step, position, attempt);
                // The memory bank takes at most one descriptor of a tile per step.
                let is_double = self.config.method == Method::Npid
                    && batch.groups.iter().any(|other| other.instance == group.instance);
                if is_double && attempt + 1 < ATTEMPTS {
                    attempt += 1;
                    continue;
                }
                match self.read(&group, step, position) {
                    Ok(read) => break (group, read),
                    Err(error) => {
                        tracing::warn!("{error}");
                        batch.unreadable += 1;
                        attempt += 1;
                        if attempt == ATTEMPTS {
                            return Err(error);
                        }
                    }
                }
            };
            batch.groups.push(group);
            batch.tiles.extend(tiles);
            batch.rows.extend(rows);
        }
        Ok(batch)
    }

    /// Reads the tiles of a group, or draws the rows of their kept features.
    fn read(
        &self,
        group: &Group,
        step: u64,
        position: usize,
    ) -> Result<(Vec<RgbImage>, Vec<i64>), SlideError> {
        // A different seed from the sampler's, which uses the same streams.
        let mut random = ChaCha8Rng::seed_from_u64(!self.config.seed);
        random.set_stream((step << 24) | position as u64);
        if let Some(kept) = self.kept {
            let draw = |tile: &TileRef| {
                kept.draw(tile, &mut random).ok_or_else(|| kept_rows::unread(&self.slides[tile.slide]))
            };
            return Ok((Vec::new(), group.tiles.iter().map(draw).collect::<Result<_, _>>()?));
        }
        let read = |tile: &TileRef| {
            let picture = self.reader.read(&self.slides[tile.slide], &tile.rect)?;
            Ok(augment(picture, &self.config.augmentation, &mut random))
        };
        Ok((group.tiles.iter().map(read).collect::<Result<_, SlideError>>()?, Vec::new()))
    }
}

/// Batches in the order of their steps, read ahead by other threads.
pub struct Batches<'a> {
    shared: &'a Shared,
    next: u64,
    /// Seconds spent waiting for batches.
    pub waited: f64,
}

/// State shared by the threads.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// The next step that no thread has started.
    ahead: AtomicU64,
}

struct State {
    ready: BTreeMap<u64, Result<Batch, SlideError>>,
    /// The step whose batch is needed next.
    wanted: u64,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batches<'_> {
    /// Returns the next step's batch; waits until it is ready.
    ///
    /// # Errors
    /// Returns the slide's error as [`BatchSource::batch`] does.
    pub fn take_next(&mut self) -> Result<Batch, SlideError> {
        let began = Instant::now();
        let mut state = self.shared.lock();
        let batch = loop {
            if let Some(batch) = state.ready.remove(&self.next) {
                break batch;
            }
            assert!(!state.closed, "a thread that reads pairs has panicked");
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        self.next += 1;
        state.wanted = self.next;
        drop(state);
        self.shared.changed.notify_all();
        self.waited += began.elapsed().as_secs_f64();
        batch
    }
}

/// Ends the threads when the consumer is done, and the consumer when a thread panics.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

/// Runs `consume` with batches from step `first` to before `end`, read by `threads` threads.
///
/// # Errors
/// Returns [`TrainingError::Thread`] if a thread cannot be started.
pub fn with_batches<R>(
    source: &BatchSource<'_>,
    first: u64,
    end: u64,
    threads: usize,
    consume: impl FnOnce(&mut Batches<'_>) -> R,
) -> Result<R, TrainingError> {
    let shared = Shared {
        state: Mutex::new(State { ready: BTreeMap::new(), wanted: first, closed: false }),
        changed: Condvar::new(),
        ahead: AtomicU64::new(first),
    };
    let (threads, window) = ahead(threads, batch_bytes(source.config));
    std::thread::scope(|scope| {
        let _closing = Closing(&shared);
        for number in 0..threads {
            let shared = &shared;
            std::thread::Builder::new()
                .name(format!("pair-loader-{number}"))
                .spawn_scoped(scope, move || work(source, shared, end, window))
                .map_err(TrainingError::Thread)?;
        }
        Ok(consume(&mut Batches { shared: &shared, next: first, waited: 0.0 }))
    })
}

/// Bytes of the pixels of one batch.
fn batch_bytes(config: &TrainingConfig) -> usize {
    let tiles = match config.method {
        Method::Npid => 1,
        Method::Siamese => config.loss.group_size(),
    };
    config.batch * tiles * 3 * (config.tile_px as usize).pow(2)
}

/// Returns the number of threads, and how many batches beyond the needed one may be started. While one batch
/// is used for training, every thread works on one and one is ready, as long as all of them fit into
/// [`READ_AHEAD`].
fn ahead(threads: usize, batch_bytes: usize) -> (usize, u64) {
    let room = READ_AHEAD / batch_bytes.max(1);
    let window = (threads + 1).min(room.saturating_sub(1)).max(1);
    (threads.clamp(1, window), window as u64)
}

fn work(source: &BatchSource<'_>, shared: &Shared, end: u64, window: u64) {
    let closing = Closing(shared);
    read_ahead(source, shared, end, window);
    // Without a panic, the other threads continue.
    std::mem::forget(closing);
}

fn read_ahead(source: &BatchSource<'_>, shared: &Shared, end: u64, window: u64) {
    loop {
        let step = shared.ahead.fetch_add(1, Ordering::Relaxed);
        if step >= end {
            return;
        }
        let mut state = shared.lock();
        while !state.closed && step >= state.wanted + window {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return;
        }
        drop(state);
        let batch = source.batch(step);
        shared.lock().ready.insert(step, batch);
        shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_ahead_fits_into_its_room() {
        let small = batch_bytes(&TrainingConfig::default());
        assert_eq!(small, 16 * 2 * 3 * 224 * 224);
        assert_eq!(ahead(2, small), (2, 3));
        for bytes in [READ_AHEAD / 5, READ_AHEAD / 3, READ_AHEAD / 2] {
            let (threads, window) = ahead(8, bytes);
            assert!(threads >= 1 && (window as usize + 1) * bytes <= READ_AHEAD, "{threads} {window}");
        }
        // A batch that is larger than the limit is read one at a time.
        assert_eq!(ahead(8, 3 * READ_AHEAD), (1, 1));
        assert_eq!(ahead(0, small), (1, 1));
    }
}
