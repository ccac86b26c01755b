//! Threads that decode the pixels which the screen asks for.
//!
//! Each view says what it wants, most urgent first, and says it anew whenever it moves: the new list takes
//! the place of the old one, so that what has left the view is dropped before it is decoded. Decoded
//! tiles are kept within the [memory budget](histokin_core::memory) and come back through a bounded channel, and the
//! screen is woken for each. What could not be read comes back with its reason and is never kept.

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

/// A whole slide that is made of more stored tiles than this is first shown as a preview.
const PREVIEW_FROM_TILES: u64 = 64;

/// Decoded pictures that may wait for the screen before the threads wait for it.
const RESULTS_WAITING: usize = 64;

/// A slide of which a stored tile takes as long as this to read is taken to hang: its drive does not answer. No
/// further threads are spent on it until it does.
const HANGS_AFTER: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(4) };

/// Threads that may be started beside those that hang.
const MOST_SPARE: usize = 8;

/// How long the end of the program waits for a thread.
const ENDING: Duration = Duration::from_secs(2);

/// One canvas that wants tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewKey(pub u32);

/// A tile that was asked for, or why there are no pixels of it (its gaps).
#[derive(Debug, Clone)]
pub struct Loaded {
    pub key: TileKey,
    pub tile: Arc<DisplayTile>,
    /// A coarse idea of a whole slide; the tile itself follows.
    pub is_preview: bool,
}

/// What the threads have done since they were started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoaderCounts {
    /// Tiles that were read from a file.
    pub decoded: u64,
    /// Tiles that a thread had taken up and no view wanted any more before they were read; they were not.
    pub dropped: u64,
    /// Tiles that no view wanted any more when the screen took them. Those that were unwanted already when
    /// their decoding began are among them.
    pub late: u64,
    /// Tiles that were still in memory.
    pub from_memory: u64,
}

/// The threads, the wish lists that they work on, and their results. Dropping it ends the threads once
/// they have finished the tile at hand.
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
    /// Start `threads` threads that keep what they decode within `budget`, and call `wake` after each
    /// result.
    ///
    /// # Errors
    /// When the system gives no further thread.
    pub fn start(
        threads: usize,
        budget: Arc<Budget>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> std::io::Result<Self> {
        let (sender, results) = crossbeam_channel::bounded(RESULTS_WAITING);
        let shared = Arc::new(Shared {
            board: Mutex::default(),
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

    /// Where every thread hangs, another one goes on with slides on other drives.
    fn make_up_for_hanging(&self) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let threads = self.threads.len() + spare.len();
        if self.shared.board().hanging() < threads || spare.len() == MOST_SPARE {
            return;
        }
        match self.spawn(threads) {
            Ok(thread) => spare.push(thread),
            Err(error) => tracing::warn!("no further thread to load tiles: {error}"),
        }
    }

    /// Make a slide's pixels available under its key.
    pub fn add_slide(&self, pyramid: Arc<DisplayPyramid>) {
        let kept = Arc::new(MemoryCache::new(&self.shared.budget, Kind::Shown));
        let mut board = self.shared.board();
        let before = board.slides.insert(pyramid.key(), LoadedFrom { pyramid, kept });
        board.leaving.extend(before);
        drop(board);
        self.shared.changed.notify_all();
    }

    /// Forget a slide and all that was wanted and kept of it.
    pub fn remove_slide(&self, slide: SlideKey) {
        let mut board = self.shared.board();
        let forgotten = board.slides.remove(&slide);
        board.promised.retain(|tile| tile.slide != slide);
        for wishes in board.wanted.values_mut() {
            wishes.retain(|tile| tile.slide != slide);
        }
        board.leaving.extend(forgotten);
        drop(board);
        self.shared.changed.notify_all();
    }

    /// Replace what `view` wants, most urgent first. The board is locked for as long as this takes and for
    /// as long as a thread picks its next tile, never while anything is decoded.
    pub fn want(&self, view: ViewKey, wishes: Vec<TileKey>) {
        self.shared.board().wanted.insert(view, wishes);
        self.make_up_for_hanging();
        self.shared.changed.notify_all();
    }

    /// What is still in memory of `wishes`, at most `limit` tiles: they are there at once, without a thread and
    /// without another frame. What a thread has in hand comes from that thread.
    pub fn take_kept(&self, wishes: &[TileKey], limit: usize) -> Vec<Loaded> {
        let board = self.shared.board();
        let kept = |key: &TileKey| {
            let slide = board.slides.get(&key.slide).filter(|_| board.waits(key))?;
            let tile = slide.kept.get(put_in_cache(*key))?;
            Some(Loaded { key: *key, tile, is_preview: false })
        };
        let taken: Vec<Loaded> = wishes.iter().filter_map(kept).take(limit).collect();
        self.shared.counts.from_memory.fetch_add(taken.len() as u64, Ordering::Relaxed);
        taken
    }

    /// What has been decoded since the last call, at most `limit` of it.
    pub fn take_loaded(&self, limit: usize) -> Vec<Loaded> {
        let loaded: Vec<Loaded> =
            self.results.iter().flat_map(|results| results.try_iter()).take(limit).collect();
        if !loaded.is_empty() {
            let mut board = self.shared.board();
            for Loaded { key, is_preview, .. } in &loaded {
                if !is_preview {
                    board.in_hand.remove(key);
                }
                let slide = board.slides.get(&key.slide);
                let is_stored = slide.is_some_and(|slide| slide.pyramid.tiles_decoded_for(key.level) == 1);
                if is_stored && !board.still_wanted(*key) {
                    self.shared.counts.late.fetch_add(1, Ordering::Relaxed);
                }
                board.wanted.values_mut().for_each(|wishes| wishes.retain(|wish| wish != key));
            }
        }
        loaded
    }

    /// What the threads have done so far.
    pub fn counts(&self) -> LoaderCounts {
        let counts = &self.shared.counts;
        LoaderCounts {
            decoded: counts.decoded.load(Ordering::Relaxed),
            dropped: counts.dropped.load(Ordering::Relaxed),
            late: counts.late.load(Ordering::Relaxed),
            from_memory: counts.from_memory.load(Ordering::Relaxed),
        }
    }

    /// Whether nothing is wanted that has not been handed over by [`Self::take_loaded`].
    pub fn is_idle(&self) -> bool {
        let board = self.shared.board();
        board.in_hand.is_empty() && board.promised.is_empty() && board.wanted.values().all(Vec::is_empty)
    }
}

impl Drop for TileLoader {
    fn drop(&mut self) {
        self.shared.board().closing = true;
        self.shared.changed.notify_all();
        self.results = None; // A thread that waits for room in the channel is set free by this.
        timeout::join(
            self.threads
                .drain(..)
                .chain(std::mem::take(&mut *self.spare.lock().unwrap_or_else(PoisonError::into_inner))),
            ENDING,
        );
    }
}

/// What is wanted and what is being worked on.
#[derive(Default)]
struct Board {
    slides: HashMap<SlideKey, LoadedFrom>,
    wanted: BTreeMap<ViewKey, Vec<TileKey>>,
    /// From the moment a thread takes a tile until the screen has taken its result.
    in_hand: HashSet<TileKey>,
    /// Whole slides of which the screen has a preview, to be made when nothing else is wanted.
    promised: Vec<TileKey>,
    /// Stored tiles that are being read, and since when.
    reading: HashMap<TileKey, Instant>,
    /// Slides to be let go with all that is kept of them: a thread does that, as it may take long.
    leaving: Vec<LoadedFrom>,
    closing: bool,
}

/// A slide, and what is kept of its tiles.
#[derive(Clone)]
struct LoadedFrom {
    pyramid: Arc<DisplayPyramid>,
    kept: Arc<MemoryCache>,
}

impl Board {
    /// The most urgent wish of all views that nobody works on; before it, whole slides that take long, since
    /// of these a preview is there soon.
    fn next(&mut self) -> Option<(TileKey, LoadedFrom)> {
        let wishes = self.wanted.values();
        let hanging: Vec<SlideKey> = self.hanging_reads().map(|tile| tile.slide).collect();
        let answers = |tile: &&TileKey| !hanging.contains(&tile.slide);
        let most_urgent = wishes
            .filter_map(|wishes| {
                wishes.iter().enumerate().find(|(_, tile)| answers(tile) && self.waits(tile))
            })
            .min_by_key(|(place, _)| *place);
        let is_free = |tile: &&TileKey| !self.in_hand.contains(tile) && self.slides.contains_key(&tile.slide);
        let promised = || self.promised.iter().filter(answers).find(is_free);
        let is_slow = |tile: &&TileKey| self.waits(tile) && self.is_slow_root(**tile);
        let slow = self.wanted.values().flatten().filter(answers).find(is_slow);
        let tile = *slow.or(most_urgent.map(|(_, tile)| tile)).or_else(promised)?;
        let slide = self.slides.get(&tile.slide)?.clone();
        self.in_hand.insert(tile);
        Some((tile, slide))
    }

    /// Tiles that a drive does not deliver.
    fn hanging_reads(&self) -> impl Iterator<Item = &TileKey> {
        self.reading.iter().filter(|(_, since)| since.elapsed() >= HANGS_AFTER).map(|(tile, _)| tile)
    }

    /// Threads that wait for a drive that does not answer.
    fn hanging(&self) -> usize {
        self.hanging_reads().count()
    }

    /// Whether a tile shows a whole slide and is made of many.
    fn is_slow_root(&self, tile: TileKey) -> bool {
        self.slides.get(&tile.slide).is_some_and(|LoadedFrom { pyramid, .. }| {
            pyramid.root() == tile && pyramid.tiles_decoded_for(tile.level) > PREVIEW_FROM_TILES
        })
    }

    fn still_wanted(&self, tile: TileKey) -> bool {
        !self.closing && self.wanted.values().any(|wishes| wishes.contains(&tile))
    }

    /// Whether a wish is one that a thread should take up now.
    fn waits(&self, tile: &TileKey) -> bool {
        !self.in_hand.contains(tile) && !self.promised.contains(tile) && self.slides.contains_key(&tile.slide)
    }

    /// Whether a thread should go on with `tile`: it is wanted, or promised and nobody waits for another.
    fn goes_on(&self, tile: TileKey) -> bool {
        if self.promised.contains(&tile) {
            !self.closing && !self.wanted.values().flatten().any(|wish| self.waits(wish))
        } else {
            self.still_wanted(tile)
        }
    }
}

struct Shared {
    board: Mutex<Board>,
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
    // A poisoned lock is taken over: the board is left consistent by every step on it.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, results: &Sender<Loaded>, wake: &dyn Fn()) {
        while let Some((key, slide)) = self.next_tile() {
            if let Some(preview) = self.preview(&slide, key) {
                let loaded = Loaded { key, tile: Arc::new(preview), is_preview: true };
                if !self.deliver(loaded, results, wake) {
                    return;
                }
                let mut board = self.board();
                board.promised.push(key);
                board.in_hand.remove(&key);
                continue;
            }
            let Some(tile) = self.load(&slide, key) else {
                self.board().in_hand.remove(&key);
                continue;
            };
            self.board().promised.retain(|promised| *promised != key);
            if !self.deliver(Loaded { key, tile, is_preview: false }, results, wake) {
                return;
            }
        }
    }

    /// Hand a result over; `false` when the program ends.
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

    /// Something to show of a whole slide that takes long, once; the rest is promised then.
    fn preview(&self, slide: &LoadedFrom, tile: TileKey) -> Option<DisplayTile> {
        let board = self.board();
        let is_due = board.is_slow_root(tile) && !board.promised.contains(&tile);
        drop(board);
        if !is_due {
            return None;
        }
        if slide.kept.get::<DisplayTile>(put_in_cache(tile)).is_some() {
            return None;
        }
        let attempt = || slide.pyramid.preview(&|| self.board().still_wanted(tile));
        catch_unwind(AssertUnwindSafe(attempt)).ok().flatten()
    }

    /// Wait for something to do; `None` when the program ends.
    fn next_tile(&self) -> Option<(TileKey, LoadedFrom)> {
        let mut board = self.board();
        while !board.closing {
            if !board.leaving.is_empty() {
                let leaving = std::mem::take(&mut board.leaving);
                drop(board);
                drop(leaving);
                board = self.board();
                continue;
            }
            if let Some(next) = board.next() {
                return Some(next);
            }
            board = self.changed.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// The pixels of `tile`; `None` when nobody wants them any more.
    fn load(&self, slide: &LoadedFrom, tile: TileKey) -> Option<Arc<DisplayTile>> {
        let attempt = || self.load_tile(slide, tile, &|| self.board().goes_on(tile));
        // A decoder that panics on one damaged tile must not take the others down with it.
        catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| {
            self.board().reading.retain(|reading, _| reading.slide != tile.slide);
            let reason = "its decoder stopped unexpectedly".to_owned();
            let gaps = vec![Gap { rect: slide.pyramid.tile_rect(tile), reason, is_unavailable: false }];
            Some(Arc::new(DisplayTile { pixels: image::RgbaImage::new(0, 0), gaps }))
        })
    }

    /// A drive has answered; if it had seemed to hang, its other tiles are taken up again.
    fn no_longer_reads(&self, tile: TileKey) {
        let since = self.board().reading.remove(&tile);
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
        let place = put_in_cache(tile);
        if let Some(kept) = slide.kept.get(place) {
            self.counts.from_memory.fetch_add(1, Ordering::Relaxed);
            return Some(kept);
        }
        if slide.pyramid.tiles_decoded_for(tile.level) == 1 {
            if !wanted() {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            self.counts.decoded.fetch_add(1, Ordering::Relaxed);
            self.board().reading.insert(tile, Instant::now());
        }
        let mut finer = |finer| if wanted() { self.load_tile(slide, finer, wanted) } else { None };
        let decoded = slide.pyramid.decode(tile, &mut finer);
        self.no_longer_reads(tile);
        let decoded = Arc::new(decoded?);
        if decoded.gaps.is_empty() {
            slide.kept.keep(place, decoded.bytes(), decoded.clone());
        }
        Some(decoded)
    }
}

/// Where a tile is kept among those of its slide. A side of a slide is 32 bits of pixels, hence fewer than
/// 2²⁸ tiles, and its levels are fewer than 2⁸.
fn put_in_cache(tile: TileKey) -> u64 {
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
        let wishes = vec![tile(0, 2, 0), tile(2, 0, 0), tile(0, 0, 1), tile(0, 3, 0)];
        loader.want(ViewKey(0), wishes.clone());
        let loaded = collect(&loader, &wakes, 4);
        assert_eq!(loaded.iter().map(|loaded| loaded.key).collect::<Vec<_>>(), wishes);
        assert!(loader.is_idle());
    }

    #[test]
    fn a_new_wish_list_drops_what_the_old_one_still_waited_for() {
        // No thread has a slide to work on before the second list is there.
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

    /// A slide whose reads wait for leave, and tell where they read.
    struct Gated {
        slide: TestSlide,
        reading: Sender<i64>,
        leave: Receiver<()>,
    }

    impl SlideSource for Gated {
        fn info(&self) -> &SlideInfo {
            self.slide.info()
        }

        fn read(&self, region: &LevelRect) -> Result<image::RgbaImage, SlideError> {
            self.reading.send(region.x / 512).expect("the test listens");
            self.leave.recv().expect("the test gives leave");
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
        let wishes = [tile(0, 3, 0), seen[2], seen[1], seen[0]];
        let again = loader.take_kept(&wishes, 2);
        assert_eq!(again.iter().map(|loaded| loaded.key).collect::<Vec<_>>(), [seen[2], seen[1]]);
        assert!(Arc::ptr_eq(&again[0].tile, &first[2].tile), "no pixel is copied or decoded");
        assert_eq!(loader.counts(), LoaderCounts { decoded: 3, from_memory: 2, ..LoaderCounts::default() });
        loader.remove_slide(SLIDE);
        assert!(loader.take_kept(&wishes, 10).is_empty());
    }

    /// A fling: while one tile is decoded, the view asks for ever other places. Only the last place is read.
    #[test]
    fn what_a_fling_passed_is_never_decoded() {
        let (reading, read) = crossbeam_channel::unbounded();
        let (give, leave) = crossbeam_channel::unbounded();
        let (loader, wakes) = loader(1, TestSlide::new(600, 600));
        let far = SlideKey(9);
        let slide = Gated { slide: TestSlide::new(100 * 512, 512), reading, leave };
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

    /// A tile made of many is given up in the middle, as soon as nobody wants it.
    #[test]
    fn a_tile_made_of_many_is_given_up_between_two_of_them() {
        let (reading, read) = crossbeam_channel::unbounded();
        let (give, leave) = crossbeam_channel::unbounded();
        let (loader, wakes) = loader(1, TestSlide::new(600, 600));
        let wide = SlideKey(9);
        let slide = Gated { slide: TestSlide::new(8 * 512, 512), reading, leave };
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
        // Asked for again, it goes on with what was decoded already.
        loader.want(ViewKey(0), vec![root]);
        (0..6).for_each(|_| give.send(()).expect("the slide waits"));
        assert_eq!(collect(&loader, &wakes, 1)[0].key, root);
        assert_eq!(read.try_iter().collect::<Vec<_>>(), (1..7).collect::<Vec<_>>());
    }

    /// A slide of many tiles on one level is on the screen soon, coarse at first.
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
        // It is kept, and needs no preview when it is wanted again.
        loader.want(ViewKey(0), vec![root]);
        let again = collect(&loader, &wakes, 1);
        let sound = pyramid.decode(root, &mut |finer| loader_made(&pyramid, finer)).expect("wanted");
        assert!(again[0].tile.pixels == sound.pixels);
        assert!(loader.is_idle());
    }

    /// A drive that does not answer: slides on others are still shown, and the end of the program does not wait.
    #[test]
    fn a_slide_that_hangs_does_not_keep_others_from_being_shown() {
        let (reading, read) = crossbeam_channel::unbounded();
        let (give, leave) = crossbeam_channel::unbounded();
        let (loader, wakes) = loader(2, TestSlide::new(2000, 600));
        let hung = SlideKey(9);
        let slide = Gated { slide: TestSlide::new(8 * 512, 512), reading, leave };
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
        // The drive answers again, and the rest of its slide comes.
        (0..6).for_each(|_| give.send(()).expect("the slide waits"));
        assert_eq!(collect(&loader, &wakes, 6).len(), 6);
        // At the end two more reads hang, which nobody waits for.
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
