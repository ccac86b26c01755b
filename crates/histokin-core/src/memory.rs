//! A byte budget shared by all in-memory caches.
//!
//! Decoded tiles, whole pictures and OpenSlide handles (each with its own tile cache) are kept in
//! [`MemoryCache`]s. However many slides are open, all caches together stay within the budget: the least
//! recently used entries are evicted first. Data that cannot be evicted, such as thumbnails on the screen, is
//! [`Reserved`] and counts towards the same budget. Textures on the graphics card have a separate budget.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::platform;

pub use crate::platform::{available_bytes, resident_bytes};

/// Upper bound of the default budget, in bytes.
const DEFAULT_LIMIT: usize = 4 << 30;
/// The budget in bytes where the amount of memory of the machine is unknown.
const CAUTIOUS_LIMIT: usize = 1 << 30;

/// What a cache holds, which determines the share of the budget that all caches of this kind may use
/// together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Pictures as they are shown: display tiles, whole plain pictures. May use the whole budget.
    Shown,
    /// Tiles as they are stored in the file, kept for neighbouring regions that share them; one sixteenth.
    Shared,
    /// Open slides with caches of their own; one quarter.
    Handle,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Shown, Self::Shared, Self::Handle];

    /// Returns the maximum bytes of this kind; `None` if it may use the whole budget.
    fn share(self, limit: usize) -> Option<usize> {
        match self {
            Self::Shown => None,
            Self::Shared => Some(limit / 16),
            Self::Handle => Some(limit / 4),
        }
    }
}

/// A byte budget with the entries of all caches and the reservations that count towards it.
pub struct Budget {
    state: Mutex<State>,
}

struct State {
    limit: usize,
    reserved: usize,
    /// Counts uses, to find the least recently used entry.
    clock: u64,
    caches_created: u64,
    entries: HashMap<Key, Entry>,
    kinds: [Usage; Kind::ALL.len()],
}

/// Number of a cache, and a key within it.
type Key = (u64, u64);

type Value = Arc<dyn Any + Send + Sync>;

struct Entry {
    value: Value,
    bytes: usize,
    kind: Kind,
    used: u64,
}

/// Entries of one kind.
#[derive(Default)]
struct Usage {
    bytes: usize,
    by_age: BTreeMap<u64, Key>,
}

impl Budget {
    /// Makes an empty budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        let kinds = Default::default();
        let state = State { limit, reserved: 0, clock: 0, caches_created: 0, entries: HashMap::new(), kinds };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Returns the budget of this process: a quarter of the memory, at most 4 GiB, unless it was set
    /// otherwise.
    pub fn of_process() -> &'static Arc<Self> {
        static BUDGET: OnceLock<Arc<Budget>> = OnceLock::new();
        BUDGET.get_or_init(|| Self::new(Self::default_limit()))
    }

    /// Returns the limit that the process has unless it is changed, in bytes: a quarter of the computer's
    /// memory, within bounds.
    pub fn default_limit() -> usize {
        platform::memory_bytes().map_or(CAUTIOUS_LIMIT, |bytes| (bytes / 4).min(DEFAULT_LIMIT))
    }

    /// Changes the budget; evicts at once what exceeds it.
    pub fn set_limit(&self, limit: usize) {
        let evicted = {
            let mut state = self.state();
            state.limit = limit;
            state.evict(None)
        };
        drop(evicted);
    }

    /// Returns the budget in bytes.
    pub fn limit(&self) -> usize {
        self.state().limit
    }

    /// Returns the bytes that are cached and reserved at the moment.
    pub fn used(&self) -> usize {
        self.state().used()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every operation leaves the state consistent, so a poisoned lock can be used.
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

    fn touch(&mut self, key: Key) -> Option<Value> {
        self.clock += 1;
        let now = self.clock;
        let entry = self.entries.get_mut(&key)?;
        let (kind, before) = (entry.kind, std::mem::replace(&mut entry.used, now));
        let value = entry.value.clone();
        let by_age = &mut self.usage(kind).by_age;
        by_age.remove(&before);
        by_age.insert(now, key);
        Some(value)
    }

    /// Inserts an entry and returns those evicted for it. The caller drops them after releasing the lock,
    /// since dropping may take long.
    fn insert(&mut self, key: Key, kind: Kind, bytes: usize, value: Value) -> Vec<Entry> {
        let before = self.remove(key);
        self.clock += 1;
        let used = self.clock;
        self.entries.insert(key, Entry { value, bytes, kind, used });
        let usage = self.usage(kind);
        usage.bytes += bytes;
        usage.by_age.insert(used, key);
        let mut evicted = self.evict(Some(key));
        evicted.extend(before);
        evicted
    }

    fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        let usage = self.usage(entry.kind);
        usage.bytes -= entry.bytes;
        usage.by_age.remove(&entry.used);
        Some(entry)
    }

    /// Evicts the least recently used entries until everything is within its limits. The newest entry stays
    /// even if it exceeds them by itself; otherwise it would have to be computed again and again.
    fn evict(&mut self, newest: Option<Key>) -> Vec<Entry> {
        let mut evicted = Vec::new();
        let oldest = |usage: &Usage| usage.by_age.iter().next().map(|(age, key)| (*age, *key));
        for kind in Kind::ALL {
            let share = kind.share(self.limit);
            while share.is_some_and(|share| self.usage(kind).bytes > share)
                && let Some((_, key)) = oldest(self.usage(kind)).filter(|(_, key)| Some(*key) != newest)
            {
                evicted.extend(self.remove(key));
            }
        }
        while self.used() > self.limit {
            let all = self.kinds.iter().filter_map(oldest).filter(|(_, key)| Some(*key) != newest);
            let Some((_, key)) = all.min() else { break };
            evicted.extend(self.remove(key));
        }
        evicted
    }
}

/// A cache of one owner, with numbers as keys. Dropping it removes its entries from the budget.
pub struct MemoryCache {
    budget: Arc<Budget>,
    kind: Kind,
    number: u64,
}

impl MemoryCache {
    /// Makes an empty cache whose entries count towards `budget`.
    pub fn new(budget: &Arc<Budget>, kind: Kind) -> Self {
        let mut state = budget.state();
        state.caches_created += 1;
        Self { budget: budget.clone(), kind, number: state.caches_created }
    }

    /// Returns the entry at `key`, if it is still cached, and marks it as used.
    pub fn get<T: Any + Send + Sync>(&self, key: u64) -> Option<Arc<T>> {
        let value = self.budget.state().touch((self.number, key))?;
        value.downcast().ok()
    }

    /// Caches a value of `bytes` bytes at `key`, replacing the entry there.
    pub fn insert<T: Any + Send + Sync>(&self, key: u64, bytes: usize, value: Arc<T>) {
        let evicted = self.budget.state().insert((self.number, key), self.kind, bytes, value);
        drop(evicted);
    }

    /// Removes the entry at `key`, if it is `value`.
    pub fn remove_entry<T>(&self, key: u64, value: &Arc<T>) {
        let mut state = self.budget.state();
        let key = (self.number, key);
        let is_value = |entry: &Entry| std::ptr::addr_eq(Arc::as_ptr(&entry.value), Arc::as_ptr(value));
        let removed = if state.entries.get(&key).is_some_and(is_value) { state.remove(key) } else { None };
        drop(state);
        drop(removed);
    }
}

impl Drop for MemoryCache {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        let keys: Vec<Key> = state.entries.keys().filter(|key| key.0 == self.number).copied().collect();
        let removed: Vec<Entry> = keys.into_iter().filter_map(|key| state.remove(key)).collect();
        drop(state);
        drop(removed);
    }
}

/// A value that has to stay in memory; its bytes count towards a budget as long as it exists.
pub struct Reserved<T> {
    value: T,
    bytes: usize,
    budget: Arc<Budget>,
}

impl<T> Reserved<T> {
    /// Reserves `bytes` of the budget for `value`.
    pub fn new(budget: &Arc<Budget>, bytes: usize, value: T) -> Self {
        let mut state = budget.state();
        state.reserved += bytes;
        let evicted = state.evict(None);
        drop(state);
        drop(evicted);
        Self { value, bytes, budget: budget.clone() }
    }
}

impl<T> Deref for Reserved<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Reserved<T> {
    fn drop(&mut self) {
        self.budget.state().reserved -= self.bytes;
    }
}

/// Returns freed memory to the system. Otherwise the allocator keeps it: gigabytes after a training run,
/// which other programs could use.
pub fn release_freed() {
    let before = resident_bytes();
    platform::return_freed_memory();
    tracing::debug!(?before, after = ?resident_bytes(), "free memory returned to the system, in bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first_whatever_its_kind() {
        let budget = Budget::new(100);
        let (tiles, handles) =
            (MemoryCache::new(&budget, Kind::Shown), MemoryCache::new(&budget, Kind::Handle));
        tiles.insert(0, 40, Arc::new("a"));
        handles.insert(0, 20, Arc::new("handle"));
        tiles.insert(1, 40, Arc::new("b"));
        assert_eq!(tiles.get::<&str>(0).as_deref(), Some(&"a"));
        tiles.insert(2, 30, Arc::new("c"));
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
        (0..10).for_each(|key| shared.insert(key, 30, Arc::new(key)));
        assert_eq!(budget.used(), 90);
        assert_eq!(shared.get::<u64>(9).as_deref(), Some(&9));
        assert!(shared.get::<u64>(6).is_none());
    }

    #[test]
    fn what_is_held_leaves_less_for_what_is_kept() {
        let budget = Budget::new(100);
        let memory_cache = MemoryCache::new(&budget, Kind::Shown);
        memory_cache.insert(0, 60, Arc::new(0_u8));
        let reserved = Reserved::new(&budget, 50, "thumbnail");
        assert_eq!((*reserved, budget.used()), ("thumbnail", 50));
        memory_cache.insert(1, 70, Arc::new(1_u8));
        assert!(memory_cache.get::<u8>(1).is_some(), "the newest entry stays");
        memory_cache.insert(2, 30, Arc::new(2_u8));
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
                    memory_cache.insert(round, bytes, Arc::new(()));
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
