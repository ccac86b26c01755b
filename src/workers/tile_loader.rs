//! Threads that decode the pixels which the screen asks for.
//!
//! Each view says what it wants, most urgent first, and says it anew whenever it moves: the new list takes
//! the place of the old one, so that what has left the view is dropped before it is decoded. Decoded
//! tiles are kept in a cache of limited size and come back through a bounded channel, and the screen is
//! woken for each. What could not be read comes back with its reason and is never kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::slide::pyramid::{DisplayPyramid, DisplayTile, Gap, SlideKey, TileKey};

/// Decoded pictures that may wait for the screen before the threads wait for it.
const RESULTS_WAITING: usize = 64;

/// One canvas that wants tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewKey(pub u32);

/// A tile that was asked for, or why there are no pixels of it (its gaps).
#[derive(Debug, Clone)]
pub struct Loaded {
    pub key: TileKey,
    pub tile: Arc<DisplayTile>,
}

/// The threads, the wish lists that they work on, and their results. Dropping it ends the threads once
/// they have finished the tile at hand.
pub struct TileLoader {
    shared: Arc<Shared>,
    results: Option<Receiver<Loaded>>,
    threads: Vec<JoinHandle<()>>,
}

impl TileLoader {
    /// Start `threads` threads that keep at most `cache_bytes` of decoded pixels, and call `wake` after
    /// each result.
    ///
    /// # Errors
    /// When the system gives no further thread.
    pub fn start(
        threads: usize,
        cache_bytes: usize,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> std::io::Result<Self> {
        let (sender, results) = crossbeam_channel::bounded(RESULTS_WAITING);
        let shared = Arc::new(Shared {
            board: Mutex::default(),
            changed: Condvar::new(),
            cache: Mutex::new(TileCache::new(cache_bytes)),
        });
        let mut loader = Self { shared, results: Some(results), threads: Vec::new() };
        for number in 0..threads.max(1) {
            let (shared, sender, wake) = (loader.shared.clone(), sender.clone(), wake.clone());
            let thread = std::thread::Builder::new()
                .name(format!("tile-loader-{number}"))
                .spawn(move || shared.work(&sender, &*wake))?;
            loader.threads.push(thread);
        }
        Ok(loader)
    }

    /// Make a slide's pixels available under its key.
    pub fn add_slide(&self, pyramid: Arc<DisplayPyramid>) {
        self.shared.board().slides.insert(pyramid.key(), pyramid);
        self.shared.changed.notify_all();
    }

    /// Forget a slide and all that was wanted and kept of it.
    pub fn remove_slide(&self, slide: SlideKey) {
        let mut board = self.shared.board();
        board.slides.remove(&slide);
        for wishes in board.wanted.values_mut() {
            wishes.retain(|tile| tile.slide != slide);
        }
        drop(board);
        self.shared.cache().forget(slide);
    }

    /// Replace what `view` wants, most urgent first. The board is locked for as long as this takes and for
    /// as long as a thread picks its next tile, never while anything is decoded.
    pub fn want(&self, view: ViewKey, wishes: Vec<TileKey>) {
        self.shared.board().wanted.insert(view, wishes);
        self.shared.changed.notify_all();
    }

    /// What has been decoded since the last call, at most `limit` of it.
    pub fn take_loaded(&self, limit: usize) -> Vec<Loaded> {
        let loaded: Vec<Loaded> =
            self.results.iter().flat_map(|results| results.try_iter()).take(limit).collect();
        if !loaded.is_empty() {
            let mut board = self.shared.board();
            for Loaded { key, .. } in &loaded {
                board.in_hand.remove(key);
                board.wanted.values_mut().for_each(|wishes| wishes.retain(|wish| wish != key));
            }
        }
        loaded
    }

    /// Whether nothing is wanted that has not been handed over by [`Self::take_loaded`].
    pub fn is_idle(&self) -> bool {
        let board = self.shared.board();
        board.in_hand.is_empty() && board.wanted.values().all(Vec::is_empty)
    }
}

impl Drop for TileLoader {
    fn drop(&mut self) {
        self.shared.board().closing = true;
        self.shared.changed.notify_all();
        self.results = None; // A thread that waits for room in the channel is set free by this.
        for thread in self.threads.drain(..) {
            // Panics while decoding are caught where they happen; there is nothing left to say here.
            let _ = thread.join();
        }
    }
}

/// What is wanted and what is being worked on.
#[derive(Default)]
struct Board {
    slides: HashMap<SlideKey, Arc<DisplayPyramid>>,
    wanted: BTreeMap<ViewKey, Vec<TileKey>>,
    /// From the moment a thread takes a tile until the screen has taken its result.
    in_hand: HashSet<TileKey>,
    closing: bool,
}

impl Board {
    /// The most urgent wish of all views that nobody works on.
    fn next(&mut self) -> Option<(TileKey, Arc<DisplayPyramid>)> {
        let free = |tile: &TileKey| !self.in_hand.contains(tile) && self.slides.contains_key(&tile.slide);
        let (_, &tile) = self
            .wanted
            .values()
            .filter_map(|wishes| wishes.iter().enumerate().find(|(_, tile)| free(tile)))
            .min_by_key(|(place, _)| *place)?;
        let pyramid = self.slides.get(&tile.slide)?.clone();
        self.in_hand.insert(tile);
        Some((tile, pyramid))
    }

    fn still_wanted(&self, tile: TileKey) -> bool {
        !self.closing && self.wanted.values().any(|wishes| wishes.contains(&tile))
    }
}

struct Shared {
    board: Mutex<Board>,
    changed: Condvar,
    cache: Mutex<TileCache>,
}

impl Shared {
    // A poisoned lock is taken over: both structures are left consistent by every step on them.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> MutexGuard<'_, TileCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, results: &Sender<Loaded>, wake: &dyn Fn()) {
        while let Some((key, pyramid)) = self.next_tile() {
            let Some(tile) = self.load(&pyramid, key) else {
                self.board().in_hand.remove(&key);
                continue;
            };
            let loaded = Loaded { key, tile };
            let delivered = match results.try_send(loaded) {
                Err(TrySendError::Full(loaded)) => {
                    wake();
                    results.send(loaded).is_ok()
                }
                outcome => outcome.is_ok(),
            };
            if !delivered {
                return;
            }
            wake();
        }
    }

    /// Wait for something to do; `None` when the program ends.
    fn next_tile(&self) -> Option<(TileKey, Arc<DisplayPyramid>)> {
        let mut board = self.board();
        while !board.closing {
            if let Some(next) = board.next() {
                return Some(next);
            }
            board = self.changed.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// The pixels of `tile`; `None` when nobody wants them any more.
    fn load(&self, pyramid: &DisplayPyramid, tile: TileKey) -> Option<Arc<DisplayTile>> {
        let attempt = || self.load_tile(pyramid, tile, &|| self.board().still_wanted(tile));
        // A decoder that panics on one damaged tile must not take the others down with it.
        catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| {
            let reason = "its decoder stopped unexpectedly".to_owned();
            let gaps = vec![Gap { rect: pyramid.tile_rect(tile), reason }];
            Some(Arc::new(DisplayTile { pixels: image::RgbaImage::new(0, 0), gaps }))
        })
    }

    fn load_tile(
        &self,
        pyramid: &DisplayPyramid,
        tile: TileKey,
        wanted: &dyn Fn() -> bool,
    ) -> Option<Arc<DisplayTile>> {
        if let Some(kept) = self.cache().get(tile) {
            return Some(kept);
        }
        let mut finer = |finer| if wanted() { self.load_tile(pyramid, finer, wanted) } else { None };
        let decoded = Arc::new(pyramid.decode(tile, &mut finer)?);
        if decoded.gaps.is_empty() {
            self.cache().insert(tile, decoded.clone());
        }
        Some(decoded)
    }
}

/// Decoded tiles, least recently used first out, within a budget of bytes.
struct TileCache {
    budget: usize,
    bytes: usize,
    clock: u64,
    tiles: HashMap<TileKey, (Arc<DisplayTile>, u64)>,
    by_age: BTreeMap<u64, TileKey>,
}

impl TileCache {
    fn new(budget: usize) -> Self {
        Self { budget, bytes: 0, clock: 0, tiles: HashMap::new(), by_age: BTreeMap::new() }
    }

    fn get(&mut self, key: TileKey) -> Option<Arc<DisplayTile>> {
        let (tile, used) = self.tiles.get_mut(&key)?;
        self.clock += 1;
        self.by_age.remove(used);
        self.by_age.insert(self.clock, key);
        *used = self.clock;
        Some(tile.clone())
    }

    fn insert(&mut self, key: TileKey, tile: Arc<DisplayTile>) {
        self.remove(key);
        self.clock += 1;
        self.bytes += tile.bytes();
        self.tiles.insert(key, (tile, self.clock));
        self.by_age.insert(self.clock, key);
        while self.bytes > self.budget
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, key: TileKey) {
        if let Some((tile, used)) = self.tiles.remove(&key) {
            self.bytes -= tile.bytes();
            self.by_age.remove(&used);
        }
    }

    fn forget(&mut self, slide: SlideKey) {
        let keys: Vec<TileKey> = self.tiles.keys().filter(|key| key.slide == slide).copied().collect();
        keys.into_iter().for_each(|key| self.remove(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slide::test_slide::TestSlide;
    use std::time::Duration;

    const SLIDE: SlideKey = SlideKey(3);

    fn tile(level: u32, column: u32, row: u32) -> TileKey {
        TileKey { slide: SLIDE, level, column, row }
    }

    fn loader(threads: usize, slide: TestSlide) -> (TileLoader, Receiver<()>) {
        let (woken, wakes) = crossbeam_channel::unbounded();
        let wake = Arc::new(move || woken.send(()).unwrap_or(()));
        let loader = TileLoader::start(threads, 64 << 20, wake).expect("threads");
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

    #[test]
    fn failures_carry_their_reason_and_are_tried_again_when_wanted_again() {
        let (loader, wakes) = loader(2, TestSlide::new(1000, 400).with_unreadable(700, 10));
        for _ in 0..2 {
            loader.want(ViewKey(0), vec![tile(0, 1, 0)]);
            let failed = &collect(&loader, &wakes, 1)[0];
            assert!(failed.tile.pixels.is_empty());
            assert!(failed.tile.gaps[0].reason.contains("test damage"));
            assert!(loader.shared.cache().tiles.is_empty());
        }
    }

    #[test]
    fn the_cache_keeps_to_its_budget_and_lets_the_oldest_go() {
        let tile = || Arc::new(DisplayTile { pixels: image::RgbaImage::new(10, 10), gaps: Vec::new() });
        let key = |column| TileKey { slide: SLIDE, level: 0, column, row: 0 };
        let mut cache = TileCache::new(1000);
        cache.insert(key(0), tile());
        cache.insert(key(1), tile());
        assert!(cache.get(key(0)).is_some());
        cache.insert(key(2), tile());
        assert_eq!(cache.bytes, 800);
        assert!(cache.get(key(1)).is_none(), "the least recently used one went");
        assert!(cache.get(key(0)).is_some() && cache.get(key(2)).is_some());
        cache.forget(SLIDE);
        assert_eq!((cache.bytes, cache.tiles.len(), cache.by_age.len()), (0, 0, 0));
    }
}
