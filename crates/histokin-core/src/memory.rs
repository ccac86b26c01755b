//! One budget of bytes for all that is kept in memory only to be quick.
//!
//! Decoded tiles, whole pictures and OpenSlide's handles (with the tiles that each of them keeps) lie on
//! shelves. However many slides are open, what lies on all shelves together stays within the budget: what was
//! used least recently goes first. What cannot be let go, such as thumbnails on the screen, is [`Reserved`] and
//! takes its bytes from the same budget. Textures on the graphics card have a budget of their own.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Most of the budget that is taken unless the user gives one.
const DEFAULT_LIMIT: usize = 4 << 30;
/// The budget where the machine does not tell how much memory it has.
const CAUTIOUS_LIMIT: usize = 1 << 30;

/// What lies on a shelf, and what share of the budget all such shelves may fill together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Pictures as they are shown: display tiles, whole plain pictures. May fill the budget.
    Shown,
    /// Tiles as the file has them, kept for the neighbouring region that shares them; a sixteenth.
    Shared,
    /// Open slides with caches of their own; a quarter.
    Handle,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Shown, Self::Shared, Self::Handle];

    /// The most bytes of this kind, if it may not fill the budget.
    fn share(self, limit: usize) -> Option<usize> {
        match self {
            Self::Shown => None,
            Self::Shared => Some(limit / 16),
            Self::Handle => Some(limit / 4),
        }
    }
}

/// A budget of bytes and all that takes from it.
pub struct Budget {
    state: Mutex<State>,
}

struct State {
    limit: usize,
    reserved: usize,
    /// Counts uses, to tell what was used least recently.
    clock: u64,
    caches_made: u64,
    kept: HashMap<Place, Kept>,
    kinds: [Usage; Kind::ALL.len()],
}

/// A shelf's number and the place on it.
type Place = (u64, u64);

type Thing = Arc<dyn Any + Send + Sync>;

struct Kept {
    thing: Thing,
    bytes: usize,
    kind: Kind,
    used: u64,
}

/// What is kept of one kind.
#[derive(Default)]
struct Usage {
    bytes: usize,
    by_age: BTreeMap<u64, Place>,
}

impl Budget {
    pub fn new(limit: usize) -> Arc<Self> {
        let kinds = Default::default();
        let state = State { limit, reserved: 0, clock: 0, caches_made: 0, kept: HashMap::new(), kinds };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// The budget of this process: a quarter of the memory, at most 4 GiB, until it is set otherwise.
    pub fn of_process() -> &'static Arc<Self> {
        static BUDGET: OnceLock<Arc<Budget>> = OnceLock::new();
        BUDGET.get_or_init(|| {
            Self::new(memory_bytes().map_or(CAUTIOUS_LIMIT, |bytes| (bytes / 4).min(DEFAULT_LIMIT)))
        })
    }

    /// Change the budget; what is too much goes at once.
    pub fn set_limit(&self, limit: usize) {
        let gone = {
            let mut state = self.state();
            state.limit = limit;
            state.make_room(None)
        };
        drop(gone);
    }

    pub fn limit(&self) -> usize {
        self.state().limit
    }

    /// Bytes that are kept and held at the moment.
    pub fn used(&self) -> usize {
        self.state().used()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every step leaves the books consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn used(&self) -> usize {
        self.reserved + self.kinds.iter().map(|usage| usage.bytes).sum::<usize>()
    }

    fn usage(&mut self, kind: Kind) -> &mut Usage {
        &mut self.kinds[kind as usize]
    }

    fn touch(&mut self, place: Place) -> Option<Thing> {
        self.clock += 1;
        let now = self.clock;
        let kept = self.kept.get_mut(&place)?;
        let (kind, before) = (kept.kind, std::mem::replace(&mut kept.used, now));
        let thing = kept.thing.clone();
        let by_age = &mut self.usage(kind).by_age;
        by_age.remove(&before);
        by_age.insert(now, place);
        Some(thing)
    }

    /// What has to go for it is answered, to be dropped when the books are closed: that may take its time.
    fn keep(&mut self, place: Place, kind: Kind, bytes: usize, thing: Thing) -> Vec<Kept> {
        let before = self.let_go(place);
        self.clock += 1;
        let used = self.clock;
        self.kept.insert(place, Kept { thing, bytes, kind, used });
        let usage = self.usage(kind);
        usage.bytes += bytes;
        usage.by_age.insert(used, place);
        let mut gone = self.make_room(Some(place));
        gone.extend(before);
        gone
    }

    fn let_go(&mut self, place: Place) -> Option<Kept> {
        let kept = self.kept.remove(&place)?;
        let usage = self.usage(kept.kind);
        usage.bytes -= kept.bytes;
        usage.by_age.remove(&kept.used);
        Some(kept)
    }

    /// Let the least recently used go until all is within its bounds. What has just come stays, even if it
    /// is too large on its own: else it would have to be made again and again.
    fn make_room(&mut self, newest: Option<Place>) -> Vec<Kept> {
        let mut gone = Vec::new();
        let oldest = |usage: &Usage| usage.by_age.iter().next().map(|(age, place)| (*age, *place));
        for kind in Kind::ALL {
            let share = kind.share(self.limit);
            while share.is_some_and(|share| self.usage(kind).bytes > share)
                && let Some((_, place)) = oldest(self.usage(kind)).filter(|(_, place)| Some(*place) != newest)
            {
                gone.extend(self.let_go(place));
            }
        }
        while self.used() > self.limit {
            let all = self.kinds.iter().filter_map(oldest).filter(|(_, place)| Some(*place) != newest);
            let Some((_, place)) = all.min() else { break };
            gone.extend(self.let_go(place));
        }
        gone
    }
}

/// Where one owner keeps things by number. What lies on it goes with it.
pub struct MemoryCache {
    budget: Arc<Budget>,
    kind: Kind,
    number: u64,
}

impl MemoryCache {
    pub fn new(budget: &Arc<Budget>, kind: Kind) -> Self {
        let mut state = budget.state();
        state.caches_made += 1;
        Self { budget: budget.clone(), kind, number: state.caches_made }
    }

    /// What lies at `place`, if it is still there; it counts as used by that.
    pub fn get<T: Any + Send + Sync>(&self, place: u64) -> Option<Arc<T>> {
        let thing = self.budget.state().touch((self.number, place))?;
        thing.downcast().ok()
    }

    /// Keep a thing that takes `bytes`, in the place of what lies there.
    pub fn keep<T: Any + Send + Sync>(&self, place: u64, bytes: usize, thing: Arc<T>) {
        let gone = self.budget.state().keep((self.number, place), self.kind, bytes, thing);
        drop(gone);
    }

    /// Let `thing` go, if it is what lies at `place`.
    pub fn let_go_of<T>(&self, place: u64, thing: &Arc<T>) {
        let mut state = self.budget.state();
        let place = (self.number, place);
        let lies_there = |kept: &Kept| std::ptr::addr_eq(Arc::as_ptr(&kept.thing), Arc::as_ptr(thing));
        let gone = if state.kept.get(&place).is_some_and(lies_there) { state.let_go(place) } else { None };
        drop(state);
        drop(gone);
    }
}

impl Drop for MemoryCache {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        let own: Vec<Place> = state.kept.keys().filter(|place| place.0 == self.number).copied().collect();
        let gone: Vec<Kept> = own.into_iter().filter_map(|place| state.let_go(place)).collect();
        drop(state);
        drop(gone);
    }
}

/// Something that has to stay in memory, with its bytes taken from a budget while it does.
pub struct Reserved<T> {
    thing: T,
    bytes: usize,
    budget: Arc<Budget>,
}

impl<T> Reserved<T> {
    /// Take `bytes` from the budget for `thing`.
    pub fn new(budget: &Arc<Budget>, bytes: usize, thing: T) -> Self {
        let mut state = budget.state();
        state.reserved += bytes;
        let gone = state.make_room(None);
        drop(state);
        drop(gone);
        Self { thing, bytes, budget: budget.clone() }
    }
}

impl<T> Deref for Reserved<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.thing
    }
}

impl<T> Drop for Reserved<T> {
    fn drop(&mut self) {
        self.budget.state().reserved -= self.bytes;
    }
}

/// Bytes of memory that this process has taken, where the system tells.
pub fn taken_by_process() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

/// Give memory that is free again back to the system. The allocator keeps it otherwise, and after a training that is
/// gigabytes which other programs lack.
pub fn return_freed() {
    let before = taken_by_process();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    trim();
    tracing::debug!(?before, after = ?taken_by_process(), "free memory returned to the system, in bytes");
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a call of the C library")]
fn trim() {
    // SAFETY: malloc_trim takes no pointer, may be called at any time and from any thread.
    unsafe { libc::malloc_trim(0) };
}

/// What this process may use: the machine's memory, or less where its group is given less.
fn memory_bytes() -> Option<usize> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let kib = read("/proc/meminfo")?.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()
    })?;
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse::<usize>().ok());
    Some(group.map_or(kib * 1024, |group| group.min(kib * 1024)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first_whatever_its_kind() {
        let budget = Budget::new(100);
        let (tiles, handles) =
            (MemoryCache::new(&budget, Kind::Shown), MemoryCache::new(&budget, Kind::Handle));
        tiles.keep(0, 40, Arc::new("a"));
        handles.keep(0, 20, Arc::new("handle"));
        tiles.keep(1, 40, Arc::new("b"));
        assert_eq!(tiles.get::<&str>(0).as_deref(), Some(&"a"));
        tiles.keep(2, 30, Arc::new("c"));
        assert!(handles.get::<&str>(0).is_none() && tiles.get::<&str>(1).is_none());
        assert!(tiles.get::<&str>(0).is_some() && tiles.get::<&str>(2).is_some());
        assert_eq!(budget.used(), 70);
        drop(tiles);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn no_kind_takes_more_than_its_share() {
        let budget = Budget::new(1600);
        let shared = MemoryCache::new(&budget, Kind::Shared);
        (0..10).for_each(|place| shared.keep(place, 30, Arc::new(place)));
        assert_eq!(budget.used(), 90);
        assert_eq!(shared.get::<u64>(9).as_deref(), Some(&9));
        assert!(shared.get::<u64>(6).is_none());
    }

    #[test]
    fn what_is_held_leaves_less_for_what_is_kept() {
        let budget = Budget::new(100);
        let memory_cache = MemoryCache::new(&budget, Kind::Shown);
        memory_cache.keep(0, 60, Arc::new(0_u8));
        let reserved = Reserved::new(&budget, 50, "thumbnail");
        assert_eq!((*reserved, budget.used()), ("thumbnail", 50));
        memory_cache.keep(1, 70, Arc::new(1_u8));
        assert!(memory_cache.get::<u8>(1).is_some(), "what has just come stays");
        memory_cache.keep(2, 30, Arc::new(2_u8));
        assert_eq!((memory_cache.get::<u8>(1), budget.used()), (None, 80));
        drop(reserved);
        assert_eq!(budget.used(), 30);
        budget.set_limit(10);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_hundred_slides_stay_within_the_budget() {
        let budget = Budget::new(1 << 20);
        let slides: Vec<[MemoryCache; 3]> =
            (0..100).map(|_| Kind::ALL.map(|kind| MemoryCache::new(&budget, kind))).collect();
        let thumbnails: Vec<_> = (0..100).map(|_| Reserved::new(&budget, 1000, ())).collect();
        for round in 0..50 {
            for slide in &slides {
                for (memory_cache, bytes) in slide.iter().zip([20_000, 4_000, 80_000]) {
                    memory_cache.keep(round, bytes, Arc::new(()));
                    assert!(budget.used() <= budget.limit());
                }
            }
        }
        drop(slides);
        assert_eq!(budget.used(), 100_000);
        drop(thumbnails);
        assert_eq!(budget.used(), 0);
    }
}
