//! Threads that decode display tiles.
//!
//! Each view lists the tiles it wants, most urgent first, and replaces the list whenever it moves, so that
//! tiles that have left the view are dropped before they are decoded. Decoded tiles are cached within the
//! [memory budget](histokin_core::memory) and returned through a bounded channel; `wake` is called for each.
//! A tile that could not be read is returned with the reason and is not cached.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::timeout;
use histokin_core::memory::{Budget, Kind, MemoryCache};
use histokin_core::slide::pyramid::{DisplayPyramid, DisplayTile, Gap, SlideKey, TileKey};

/// A tile that shows a whole slide and is made of more stored tiles than this is first shown as a preview.
const PREVIEW_FROM_TILES: u64 = 64;

/// Number of decoded tiles that can wait for the screen; the threads wait when there are more.
const RESULTS_WAITING: usize = 64;

/// A read of a stored tile that takes as long as this counts as hanging. No further threads are used for that
/// slide until its drive responds.
const HANGS_AFTER: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(4) };

/// Largest number of threads that are started in place of those that hang.
const MOST_SPARE: usize = 8;

/// How long to wait for the threads at the end of the program.
const ENDING: Duration = Duration::from_secs(2);

/// Identifies a canvas that wants tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewKey(pub u32);

/// A requested tile, or, in its gaps, why there are no pixels of it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Which tile it is.
    pub key: TileKey,
    /// Its pixels and gaps.
    pub tile: Arc<DisplayTile>,
    /// Whether this is a coarse preview of a whole slide; the tile itself follows.
    pub is_preview: bool,
}

/// Counts since the loader was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoaderCounts {
    /// Tiles that were read from a file.
    pub decoded: u64,
    /// Tiles that were not read because no view wanted them any more, although a thread had taken them.
    pub dropped: u64,
    /// Tiles that no view wanted any more when the screen took them, including those that were no longer
    /// wanted when decoding began.
    pub late: u64,
    /// Tiles that came from the cache.
    pub from_memory: u64,
}

/// The threads, the lists of wanted tiles, and the results. Dropping it ends the threads once they have
/// finished the current tile.
pub struct TileLoader {
    shared: Arc<Shared>,
    results: Option<Receiver<Loaded>>,
    threads: Vec<JoinHandle<()>>,
    /// Threads that were started because all others hung.
    spare: Mutex<Vec<JoinHandle<()>>>,
    to_screen: Sender<Loaded>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl TileLoader {
    /// Starts `threads` threads, which cache decoded tiles within `budget` and call `wake` after each result.
    ///
    /// # Errors
    /// Returns the system's error if a thread cannot be started.
    pub fn start(
        threads: usize,
        budget: Arc<Budget>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> std::io::Result<Self> {
        let (sender, results) = crossbeam_channel::bounded(RESULTS_WAITING);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            budget,
            counts: Counts::default(),
        });
        let mut loader = Self {
            shared,
            results: Some(results),
            threads: Vec::new(),
            spare: Mutex::default(),
            to_screen: sender,
            wake,
        };
        for number in 0..threads.max(1) {
            let thread = loader.spawn(number)?;
            loader.threads.push(thread);
        }
        Ok(loader)
    }

    fn spawn(&self, number: usize) -> std::io::Result<JoinHandle<()>> {
        let (shared, sender, wake) = (self.shared.clone(), self.to_screen.clone(), self.wake.clone());
        let name = format!("tile-loader-{number}");
        std::thread::Builder::new().name(name).spawn(move || shared.work(&sender, &*wake))
    }

    /// Starts another thread when all threads hang, so that slides on other drives are still shown.
    fn add_spare_thread(&self) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let threads = self.threads.len() + spare.len();
        if self.shared.state().hanging() < threads || spare.len() == MOST_SPARE {
            return;
        }
        match self.spawn(threads) {
            Ok(thread) => spare.push(thread),
            Err(error) => tracing::warn!("no further thread to load tiles: {error}"),
        }
    }

    /// Makes the tiles of a slide available under its key.
    pub fn add_slide(&self, pyramid: Arc<DisplayPyramid>) {
        let kept = Arc::new(MemoryCache::new(&self.shared.budget, Kind::Shown));
        let mut state = self.shared.state();
        let before = state.slides.insert(pyramid.key(), LoadedFrom { pyramid, kept });
        state.removed.extend(before);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Removes a slide with its requests and cached tiles.
    pub fn remove_slide(&self, slide: SlideKey) {
        let mut state = self.shared.state();
        let forgotten = state.slides.remove(&slide);
        state.previewed.retain(|tile| tile.slide != slide);
        for requests in state.wanted.values_mut() {
            requests.retain(|tile| tile.slide != slide);
        }
        state.removed.extend(forgotten);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Replaces the list of tiles that `view` wants, most urgent first. The state is locked while the list is
    /// replaced and while a thread picks its next tile, never while a tile is decoded.
    pub fn want(&self, view: ViewKey, requests: Vec<TileKey>) {
        self.shared.state().wanted.insert(view, requests);
        self.add_spare_thread();
        self.shared.changed.notify_all();
    }

    /// Returns those of `requests` that are cached, at most `limit`, so that they can be shown in the same
    /// frame. Tiles that a thread is working on are left out; they come from that thread.
    pub fn take_kept(&self, requests: &[TileKey], limit: usize) -> Vec<Loaded> {
        let state = self.shared.state();
        let kept = |key: &TileKey| {
            let slide = state.slides.get(&key.slide).filter(|_| state.waits(key))?;
            let tile = slide.kept.get(cache_key(*key))?;
            Some(Loaded { key: *key, tile, is_preview: false })
        };
        let taken: Vec<Loaded> = requests.iter().filter_map(kept).take(limit).collect();
        self.shared.counts.from_memory.fetch_add(taken.len() as u64, Ordering::Relaxed);
        taken
    }

    /// Returns the tiles that were decoded since the last call, at most `limit`.
    pub fn take_loaded(&self, limit: usize) -> Vec<Loaded> {
        let loaded: Vec<Loaded> =
            self.results.iter().flat_map(|results| results.try_iter()).take(limit).collect();
        if !loaded.is_empty() {
            let mut state = self.shared.state();
            for Loaded { key, is_preview, .. } in &loaded {
                if !is_preview {
                    state.in_progress.remove(key);
                }
                let slide = state.slides.get(&key.slide);
                let is_stored = slide.is_some_and(|slide| slide.pyramid.tiles_decoded_for(key.level) == 1);
                if is_stored && !state.still_wanted(*key) {
                    self.shared.counts.late.fetch_add(1, Ordering::Relaxed);
                }
                state.wanted.values_mut().for_each(|requests| requests.retain(|request| request != key));
            }
        }
        loaded
    }

    /// Counts since the loader was started.
    pub fn counts(&self) -> LoaderCounts {
        let counts = &self.shared.counts;
        LoaderCounts {
            decoded: counts.decoded.load(Ordering::Relaxed),
            dropped: counts.dropped.load(Ordering::Relaxed),
            late: counts.late.load(Ordering::Relaxed),
            from_memory: counts.from_memory.load(Ordering::Relaxed),
        }
    }

    /// Whether everything that is wanted has been returned by [`Self::take_loaded`].
    pub fn is_idle(&self) -> bool {
        let state = self.shared.state();
        state.in_progress.is_empty() && state.previewed.is_empty() && state.wanted.values().all(Vec::is_empty)
    }
}

impl Drop for TileLoader {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        self.shared.changed.notify_all();
        self.results = None; // Ends the wait of a thread for room in the channel.
        timeout::join(
            self.threads
                .drain(..)
                .chain(std::mem::take(&mut *self.spare.lock().unwrap_or_else(PoisonError::into_inner))),
            ENDING,
        );
    }
}

/// Shared state: the slides, the wanted tiles, and the work in progress.
#[derive(Default)]
struct State {
    slides: HashMap<SlideKey, LoadedFrom>,
    wanted: BTreeMap<ViewKey, Vec<TileKey>>,
    /// Tiles from the moment a thread takes them until the screen has taken the result.
    in_progress: HashSet<TileKey>,
    /// Tiles of whole slides of which the screen has a preview; they are made when nothing else is wanted.
    previewed: Vec<TileKey>,
    /// Stored tiles that are being read, and since when.
    reading: HashMap<TileKey, Instant>,
    /// Removed slides with their caches. A thread drops them, since that may take long.
    removed: Vec<LoadedFrom>,
    closing: bool,
}

/// A slide and the cache of its tiles.
#[derive(Clone)]
struct LoadedFrom {
    pyramid: Arc<DisplayPyramid>,
    kept: Arc<MemoryCache>,
}

impl State {
    /// Returns the most urgent tile of all views that no thread works on. Whole slides that take long come
    /// first, since they get a preview soon.
    fn next(&mut self) -> Option<(TileKey, LoadedFrom)> {
        let requests = self.wanted.values();
        let hanging: Vec<SlideKey> = self.hanging_reads().map(|tile| tile.slide).collect();
        let answers = |tile: &&TileKey| !hanging.contains(&tile.slide);
        let most_urgent = requests
            .filter_map(|requests| {
                requests.iter().enumerate().find(|(_, tile)| answers(tile) && self.waits(tile))
            })
            .min_by_key(|(position, _)| *position);
        let is_free =
            |tile: &&TileKey| !self.in_progress.contains(tile) && self.slides.contains_key(&tile.slide);
        let previewed = || self.previewed.iter().filter(answers).find(is_free);
        let is_slow = |tile: &&TileKey| self.waits(tile) && self.is_slow_root(**tile);
        let slow = self.wanted.values().flatten().filter(answers).find(is_slow);
        let tile = *slow.or(most_urgent.map(|(_, tile)| tile)).or_else(previewed)?;
        let slide = self.slides.get(&tile.slide)?.clone();
        self.in_progress.insert(tile);
        Some((tile, slide))
    }

    /// Tiles whose read hangs.
    fn hanging_reads(&self) -> impl Iterator<Item = &TileKey> {
        self.reading.iter().filter(|(_, since)| since.elapsed() >= HANGS_AFTER).map(|(tile, _)| tile)
    }

    /// Number of threads that hang.
    fn hanging(&self) -> usize {
        self.hanging_reads().count()
    }

    /// Whether a tile shows a whole slide and is made of many stored tiles.
    fn is_slow_root(&self, tile: TileKey) -> bool {
        self.slides.get(&tile.slide).is_some_and(|LoadedFrom { pyramid, .. }| {
            pyramid.root() == tile && pyramid.tiles_decoded_for(tile.level) > PREVIEW_FROM_TILES
        })
    }

    fn still_wanted(&self, tile: TileKey) -> bool {
        !self.closing && self.wanted.values().any(|requests| requests.contains(&tile))
    }

    /// Whether a thread should take up this tile now.
    fn waits(&self, tile: &TileKey) -> bool {
        !self.in_progress.contains(tile)
            && !self.previewed.contains(tile)
            && self.slides.contains_key(&tile.slide)
    }

    /// Whether a thread should continue with `tile`: it is wanted, or it was previewed and nothing else is
    /// waiting.
    fn should_continue(&self, tile: TileKey) -> bool {
        if self.previewed.contains(&tile) {
            !self.closing && !self.wanted.values().flatten().any(|request| self.waits(request))
        } else {
            self.still_wanted(tile)
        }
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    budget: Arc<Budget>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    decoded: AtomicU64,
    dropped: AtomicU64,
    late: AtomicU64,
    from_memory: AtomicU64,
}

impl Shared {
    // A poisoned lock is used all the same: every change leaves the state consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, results: &Sender<Loaded>, wake: &dyn Fn()) {
        while let Some((key, slide)) = self.next_tile() {
            if let Some(preview) = self.preview(&slide, key) {
                let loaded = Loaded { key, tile: Arc::new(preview), is_preview: true };
                if !self.deliver(loaded, results, wake) {
                    return;
                }
                let mut state = self.state();
                state.previewed.push(key);
                state.in_progress.remove(&key);
                continue;
            }
            let Some(tile) = self.load(&slide, key) else {
                self.state().in_progress.remove(&key);
                continue;
            };
            self.state().previewed.retain(|previewed| *previewed != key);
            if !self.deliver(Loaded { key, tile, is_preview: false }, results, wake) {
                return;
            }
        }
    }

    /// Sends a result; returns false at the end of the program.
    fn deliver(&self, loaded: Loaded, results: &Sender<Loaded>, wake: &dyn Fn()) -> bool {
        let delivered = match results.try_send(loaded) {
            Err(TrySendError::Full(loaded)) => {
                wake();
                results.send(loaded).is_ok()
            }
            outcome => outcome.is_ok(),
        };
        if delivered {
            wake();
        }
        delivered
    }

    /// Makes a preview of a whole slide that takes long, unless it has one already.
    fn preview(&self, slide: &LoadedFrom, tile: TileKey) -> Option<DisplayTile> {
        let state = self.state();
        let is_due = state.is_slow_root(tile) && !state.previewed.contains(&tile);
        drop(state);
        if !is_due {
            return None;
        }
        if slide.kept.get::<DisplayTile>(cache_key(tile)).is_some() {
            return None;
        }
        let attempt = || slide.pyramid.preview(&|| self.state().still_wanted(tile));
        catch_unwind(AssertUnwindSafe(attempt)).ok().flatten()
    }

    /// Waits for a tile to load; returns `None` at the end of the program.
    fn next_tile(&self) -> Option<(TileKey, LoadedFrom)> {
        let mut state = self.state();
        while !state.closing {
            if !state.removed.is_empty() {
                let removed = std::mem::take(&mut state.removed);
                drop(state);
                drop(removed);
                state = self.state();
                continue;
            }
            if let Some(next) = state.next() {
                return Some(next);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Returns the pixels of `tile`; `None` if no view wants them any more.
    fn load(&self, slide: &LoadedFrom, tile: TileKey) -> Option<Arc<DisplayTile>> {
        let attempt = || self.load_tile(slide, tile, &|| self.state().should_continue(tile));
        // A decoder that panics on a damaged tile must not end this thread.
        catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| {
            self.state().reading.retain(|reading, _| reading.slide != tile.slide);
            let reason = "its decoder stopped unexpectedly".to_owned();
            let gaps = vec![Gap { rect: slide.pyramid.tile_rect(tile), reason, is_unavailable: false }];
            Some(Arc::new(DisplayTile { pixels: image::RgbaImage::new(0, 0), gaps }))
        })
    }

    /// Removes a finished read. If it had counted as hanging, the other tiles of its slide become available
    /// again.
    fn no_longer_reads(&self, tile: TileKey) {
        let since = self.state().reading.remove(&tile);
        if since.is_some_and(|since| since.elapsed() >= HANGS_AFTER) {
            self.changed.notify_all();
        }
    }

    fn load_tile(
        &self,
        slide: &LoadedFrom,
        tile: TileKey,
        wanted: &dyn Fn() -> bool,
    ) -> Option<Arc<DisplayTile>> {
        let key = cache_key(tile);
        if let Some(kept) = slide.kept.get(key) {
            self.counts.from_memory.fetch_add(1, Ordering::Relaxed);
            return Some(kept);
        }
        if slide.pyramid.tiles_decoded_for(tile.level) == 1 {
            if !wanted() {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            self.counts.decoded.fetch_add(1, Ordering::Relaxed);
            self.state().reading.insert(tile, Instant::now());
        }
        let mut finer = |finer| if wanted() { self.load_tile(slide, finer, wanted) } else { None };
        let decoded = slide.pyramid.decode(tile, &mut finer);
        self.no_longer_reads(tile);
        let decoded = Arc::new(decoded?);
        if decoded.gaps.is_empty() {
            slide.kept.insert(key, decoded.bytes(), decoded.clone());
        }
        Some(decoded)
    }
}

/// Key of a tile in the cache of its slide. A slide has at most 2³² pixels along a side, hence fewer than 2²⁸
/// tiles, and fewer than 2⁸ levels.
fn cache_key(tile: TileKey) -> u64 {
    u64::from(tile.level) << 56 | u64::from(tile.row) << 28 | u64::from(tile.column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_core::geometry::LevelRect;
    use histokin_core::slide::test_slide::TestSlide;
    use histokin_core::slide::{SlideError, SlideInfo, SlideSource};

    const SLIDE: SlideKey = SlideKey(3);

    fn tile(level: u32, column: u32, row: u32) -> TileKey {
        TileKey { slide: SLIDE, level, column, row }
    }

    fn loader(threads: usize, slide: TestSlide) -> (TileLoader, Receiver<()>) {
        let (woken, wakes) = crossbeam_channel::unbounded();
        let wake = Arc::new(move || woken.send(()).unwrap_or(()));
        let loader = TileLoader::start(threads, Budget::new(64 << 20), wake).expect("threads");
        loader.add_slide(Arc::new(DisplayPyramid::new(SLIDE, Arc::new(slide))));
        (loader, wakes)
    }

    fn collect(loader: &TileLoader, wakes: &Receiver<()>, count: usize) -> Vec<Loaded> {
        let mut all = Vec::new();
        while all.len() < count {
            wakes.recv_timeout(Duration::from_secs(30)).expect("the loader wakes the screen");
            all.extend(loader.take_loaded(usize::MAX));
        }
        all
    }

    #[test]
    fn tiles_come_in_the_order_wanted_and_each_is_served_once() {
        let (loader, wakes) = loader(1, TestSlide::new(2000, 600));
        let requests = vec![tile(0, 2, 0), tile(2, 0, 0), tile(0, 0, 1), tile(0, 3, 0)];
        loader.want(ViewKey(0), requests.clone());
        let loaded = collect(&loader, &wakes, 4);
        assert_eq!(loaded.iter().map(|loaded| loaded.key).collect::<Vec<_>>(), requests);
        assert!(loader.is_idle());
    }

    #[test]
    fn a_new_list_of_tiles_drops_waiting_requests_of_the_old_one() {
        // No thread has a slide to work on before the second list arrives.
        let (loader, wakes) = loader(1, TestSlide::new(600, 600));
        let late = SlideKey(9);
        let of_late = |column| TileKey { slide: late, level: 0, column, row: 0 };
        loader.want(ViewKey(0), (0..40).map(of_late).collect());
        loader.want(ViewKey(0), vec![of_late(5)]);
        loader.add_slide(Arc::new(DisplayPyramid::new(late, Arc::new(TestSlide::new(40 * 512, 512)))));
        assert_eq!(collect(&loader, &wakes, 1)[0].key, of_late(5));
        assert!(loader.is_idle());
    }

    #[test]
    fn views_share_the_threads_place_by_place() {
        let (loader, wakes) = loader(1, TestSlide::new(600, 600));
        let late = SlideKey(9);
        let of_late = |column| TileKey { slide: late, level: 0, column, row: 0 };
        loader.want(ViewKey(0), vec![of_late(0), of_late(1), of_late(2)]);
        loader.want(ViewKey(1), vec![of_late(7), of_late(8)]);
        loader.add_slide(Arc::new(DisplayPyramid::new(late, Arc::new(TestSlide::new(10 * 512, 512)))));
        for _ in 0..5 {
            wakes.recv_timeout(Duration::from_secs(30)).expect("the loader wakes the screen");
        }
        let order: Vec<_> = loader.take_loaded(usize::MAX).iter().map(|loaded| loaded.key).collect();
        assert_eq!(order, [0, 7, 1, 8, 2].map(of_late));
    }

    /// A slide whose reads wait for permission and report where they read.
    struct Gated {
        slide: TestSlide,
        reading: Sender<i64>,
        permit: Receiver<()>,
    }

    impl SlideSource for Gated {
        fn info(&self) -> &SlideInfo {
            self.slide.info()
        }

        fn read(&self, region: &LevelRect) -> Result<image::RgbaImage, SlideError> {
            self.reading.send(region.x / 512).expect("the test listens");
            self.permit.recv().expect("the test gives permission");
            self.slide.read(region)
        }

        fn associated(&self, name: &str) -> Result<image::RgbaImage, SlideError> {
            self.slide.associated(name)
        }
    }

    #[test]
    fn what_is_still_in_memory_is_handed_over_at_once() {
        let (loader, wakes) = loader(1, TestSlide::new(2000, 600));
        let seen = vec![tile(0, 0, 0), tile(0, 1, 0), tile(0, 2, 0)];
        assert!(loader.take_kept(&seen, 10).is_empty());
        loader.want(ViewKey(0), seen.clone());
        let first = collect(&loader, &wakes, 3);
        let requests = [tile(0, 3, 0), seen[2], seen[1], seen[0]];
        let again = loader.take_kept(&requests, 2);
        assert_eq!(again.iter().map(|loaded| loaded.key).collect::<Vec<_>>(), [seen[2], seen[1]]);
        assert!(Arc::ptr_eq(&again[0].tile, &first[2].tile), "no pixel is copied or decoded");
        assert_eq!(loader.counts(), LoaderCounts { decoded: 3, from_memory: 2, ..LoaderCounts::default() });
        loader.remove_slide(SLIDE);
        assert!(loader.take_kept(&requests, 10).is_empty());
    }

    /// A fling: while one tile is decoded, the view moves on. Only the tiles of its last position are read.
    #[test]
    fn what_a_fling_passed_is_never_decoded() {
        let (reading, read) = crossbeam_channel::unbounded();
        let (give, permit) = crossbeam_channel::unbounded();
        let (loader, wakes) = loader(1, TestSlide::new(600, 600));
        let far = SlideKey(9);
        let slide = Gated { slide: TestSlide::new(100 * 512, 512), reading, permit };
        loader.add_slide(Arc::new(DisplayPyramid::new(far, Arc::new(slide))));
        let view =
            |at: u32| (at..at + 6).map(|column| TileKey { slide: far, level: 0, column, row: 0 }).collect();
        loader.want(ViewKey(0), view(0));
        let seconds = Duration::from_secs(30);
        assert_eq!(read.recv_timeout(seconds), Ok(0));
        (3..90).for_each(|at| loader.want(ViewKey(0), view(at)));
        (0..7).for_each(|_| give.send(()).expect("the slide waits"));
        let columns: Vec<u32> = collect(&loader, &wakes, 7).iter().map(|loaded| loaded.key.column).collect();
        assert_eq!(columns, [0, 89, 90, 91, 92, 93, 94]);
        assert_eq!(read.try_iter().collect::<Vec<_>>(), [89, 90, 91, 92, 93, 94]);
        assert_eq!(loader.counts(), LoaderCounts { decoded: 7, late: 1, ..LoaderCounts::default() });
    }

    /// A tile made of many stored tiles is abandoned between two of them, as soon as it is no longer wanted.
    #[test]
    fn a_tile_made_of_many_is_given_up_between_two_of_them() {
        let (reading, read) = crossbeam_channel::unbounded();
        let (give, permit) = crossbeam_channel::unbounded();
        let (loader, wakes) = loader(1, TestSlide::new(600, 600));
        let wide = SlideKey(9);
        let slide = Gated { slide: TestSlide::new(8 * 512, 512), reading, permit };
        let pyramid = Arc::new(DisplayPyramid::new(wide, Arc::new(slide)));
        let root = pyramid.root();
        loader.add_slide(pyramid);
        loader.want(ViewKey(0), vec![root]);
        let seconds = Duration::from_secs(30);
        assert_eq!(read.recv_timeout(seconds), Ok(0));
        let other = TileKey { slide: wide, level: 0, column: 7, row: 0 };
        loader.want(ViewKey(0), vec![other]);
        (0..2).for_each(|_| give.send(()).expect("the slide waits"));
        assert_eq!(collect(&loader, &wakes, 1)[0].key, other);
        assert_eq!(read.try_iter().collect::<Vec<_>>(), [7]);
        assert_eq!(loader.counts().decoded, 2);
        // Wanted again, it continues from the tiles that were decoded already.
        loader.want(ViewKey(0), vec![root]);
        (0..6).for_each(|_| give.send(()).expect("the slide waits"));
        assert_eq!(collect(&loader, &wakes, 1)[0].key, root);
        assert_eq!(read.try_iter().collect::<Vec<_>>(), (1..7).collect::<Vec<_>>());
    }

    /// A slide with many tiles on one level is shown soon, coarse at first.
    #[test]
    fn a_slide_that_takes_long_is_previewed_and_then_made() {
        let (loader, wakes) = loader(1, TestSlide::new(600, 600));
        let huge = SlideKey(9);
        let pyramid = Arc::new(DisplayPyramid::new(huge, Arc::new(TestSlide::new(8000, 8000))));
        let root = pyramid.root();
        assert!(pyramid.tiles_decoded_for(root.level) > PREVIEW_FROM_TILES);
        loader.add_slide(pyramid.clone());
        loader.want(ViewKey(0), vec![TileKey { slide: huge, level: 0, column: 3, row: 3 }, root]);
        let keys: Vec<TileKey> = collect(&loader, &wakes, 3).iter().map(|loaded| loaded.key).collect();
        assert_eq!((keys[0], keys[1].level, keys[2]), (root, 0, root));
        assert!(loader.is_idle());
        // It is cached, and needs no preview when it is wanted again.
        loader.want(ViewKey(0), vec![root]);
        let again = collect(&loader, &wakes, 1);
        let sound = pyramid.decode(root, &mut |finer| loader_made(&pyramid, finer)).expect("wanted");
        assert!(again[0].tile.pixels == sound.pixels);
        assert!(loader.is_idle());
    }

    /// A drive that does not respond: slides on other drives are still shown, and the end of the program does
    /// not wait for it.
    #[test]
    fn a_slide_that_hangs_does_not_keep_others_from_being_shown() {
        let (reading, read) = crossbeam_channel::unbounded();
        let (give, permit) = crossbeam_channel::unbounded();
        let (loader, wakes) = loader(2, TestSlide::new(2000, 600));
        let hung = SlideKey(9);
        let slide = Gated { slide: TestSlide::new(8 * 512, 512), reading, permit };
        loader.add_slide(Arc::new(DisplayPyramid::new(hung, Arc::new(slide))));
        let of_hung = |column| TileKey { slide: hung, level: 0, column, row: 0 };
        loader.want(ViewKey(0), (0..6).map(of_hung).collect());
        let seconds = Duration::from_secs(30);
        (0..2).for_each(|_| _ = read.recv_timeout(seconds).expect("both threads hang"));
        std::thread::sleep(2 * HANGS_AFTER);
        let others = vec![tile(0, 2, 0), tile(0, 0, 1)];
        loader.want(ViewKey(1), others.clone());
        let loaded: Vec<TileKey> = collect(&loader, &wakes, 2).iter().map(|loaded| loaded.key).collect();
        assert_eq!(loaded, others);
        assert_eq!(read.try_iter().count(), 0, "nobody else waits for the drive");
        // The drive responds again, and the remaining tiles of its slide arrive.
        (0..6).for_each(|_| give.send(()).expect("the slide waits"));
        assert_eq!(collect(&loader, &wakes, 6).len(), 6);
        // At the end two more reads hang, and the program does not wait for them.
        loader.want(ViewKey(0), vec![of_hung(6), of_hung(7)]);
        read.iter().take(6).for_each(drop);
        drop(loader);
    }

    fn loader_made(pyramid: &DisplayPyramid, tile: TileKey) -> Option<Arc<DisplayTile>> {
        pyramid.decode(tile, &mut |finer| loader_made(pyramid, finer)).map(Arc::new)
    }

    #[test]
    fn failures_carry_their_reason_and_are_tried_again_when_wanted_again() {
        let (loader, wakes) = loader(2, TestSlide::new(1000, 400).with_unreadable(700, 10));
        for _ in 0..2 {
            loader.want(ViewKey(0), vec![tile(0, 1, 0)]);
            let failed = &collect(&loader, &wakes, 1)[0];
            assert!(failed.tile.pixels.is_empty());
            assert!(failed.tile.gaps[0].reason.contains("test damage"));
            assert_eq!(loader.shared.budget.used(), 0);
        }
    }
}
