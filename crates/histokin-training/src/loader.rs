//! Reading what is drawn, on threads of its own, so that the network never waits where processors allow.
//!
//! A batch is a function of its step alone, so that threads may work ahead in any order; they work at most
//! a few batches ahead, which bounds the memory.

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
use super::pairs::{Group, PairSampler};
use super::slides::TrainingSlide;
use super::tile_reader::TileReader;
use histokin_core::slide::SlideError;

/// Other groups that are drawn in place of one that cannot be read, before the slide is given up.
const ATTEMPTS: usize = 8;

/// Most bytes of pictures that are read ahead.
const READ_AHEAD: usize = 1 << 30;

/// Where batches come from.
pub struct BatchSource<'a> {
    pub slides: &'a [TrainingSlide],
    pub sampler: &'a PairSampler,
    pub config: &'a TrainingConfig,
    pub reader: &'a TileReader,
    /// Groups in a batch, where the device has no room for as many as the settings say.
    pub limit: &'a AtomicUsize,
}

/// What one step learns from.
pub struct Batch {
    pub groups: Vec<Group>,
    /// All tiles of all groups, in their order, changed at random.
    pub tiles: Vec<RgbImage>,
    /// Groups drawn that could not be read.
    pub unreadable: usize,
}

impl Batch {
    /// Keep the first `count` groups.
    pub fn truncate(&mut self, count: usize) {
        self.groups.truncate(count);
        self.tiles.truncate(self.groups.iter().map(|group| group.tiles.len()).sum());
    }
}

impl BatchSource<'_> {
    /// Draw and read the batch of a step; the same for the same step.
    ///
    /// # Errors
    /// The slide's, when again and again nothing drawn from it can be read.
    pub fn batch(&self, step: u64) -> Result<Batch, SlideError> {
        let mut batch = Batch { groups: Vec::new(), tiles: Vec::new(), unreadable: 0 };
        for place in 0..self.config.batch.min(self.limit.load(Ordering::Relaxed)) {
            let mut attempt = 0;
            let (group, tiles) = loop {
                let group = self.sampler.group(step, place, attempt);
                // A memory bank takes one descriptor of a tile at a time.
                let is_double = self.config.method == Method::Npid
                    && batch.groups.iter().any(|other| other.instance == group.instance);
                if is_double && attempt + 1 < ATTEMPTS {
                    attempt += 1;
                    continue;
                }
                match self.read(&group, step, place) {
                    Ok(tiles) => break (group, tiles),
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
        }
        Ok(batch)
    }

    fn read(&self, group: &Group, step: u64, place: usize) -> Result<Vec<RgbImage>, SlideError> {
        // Another seed than the sampler's, which uses the same streams.
        let mut random = ChaCha8Rng::seed_from_u64(!self.config.seed);
        random.set_stream((step << 24) | place as u64);
        let read = |tile: &super::pairs::TileRef| {
            let picture = self.reader.read(&self.slides[tile.slide], &tile.rect)?;
            Ok(augment(picture, &self.config.augmentation, &mut random))
        };
        group.tiles.iter().map(read).collect()
    }
}

/// Batches in the order of their steps, read ahead by other threads.
pub struct Batches<'a> {
    shared: &'a Shared,
    next: u64,
    /// Seconds that were spent waiting for batches.
    pub waited: f64,
}

/// What the threads share.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// The next step that nobody has taken up.
    ahead: AtomicU64,
}

struct State {
    ready: BTreeMap<u64, Result<Batch, SlideError>>,
    /// The step that is wanted next.
    wanted: u64,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batches<'_> {
    /// The next step's batch.
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

/// Ends the threads when the consumer is done, and the consumer when one of them panics.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

/// Run `consume` with batches from step `first` to before `end`, read by `threads` threads.
///
/// # Errors
/// When the system refuses a thread.
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

/// Bytes of the pictures of one batch.
fn batch_bytes(config: &TrainingConfig) -> usize {
    let tiles = match config.method {
        Method::Npid => 1,
        Method::Siamese => config.loss.group_size(),
    };
    config.batch * tiles * 3 * (config.tile_px as usize).pow(2)
}

/// Threads that read, and how many batches beyond the wanted one may be begun. While one batch is learned from,
/// every thread has one in the making and one lies ready, as long as all of them together fit into [`READ_AHEAD`].
fn ahead(threads: usize, batch_bytes: usize) -> (usize, u64) {
    let room = READ_AHEAD / batch_bytes.max(1);
    let window = (threads + 1).min(room.saturating_sub(1)).max(1);
    (threads.clamp(1, window), window as u64)
}

fn work(source: &BatchSource<'_>, shared: &Shared, end: u64, window: u64) {
    let closing = Closing(shared);
    read_ahead(source, shared, end, window);
    // Without a panic the others go on.
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
        // A batch that is larger than that is read one at a time.
        assert_eq!(ahead(8, 3 * READ_AHEAD), (1, 1));
        assert_eq!(ahead(0, small), (1, 1));
    }
}
