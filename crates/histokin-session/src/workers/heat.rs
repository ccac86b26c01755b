//! The likeness of every tile of the slides in view to the tile under the cursor, on a thread of its own: only
//! the newest wish counts, so that the map follows the cursor.

mod files;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::prelude::*;

use super::Waker;
use super::job_queue::JobQueue;
use crate::crash;
use histokin_core::descriptors::{DescriptorSet, Row};
use histokin_core::index::{Snapshot, TileRef, squared_distance, squared_distances};
use histokin_core::slide::SlideId;

pub use files::{WrittenMap, write_maps};

/// Pairs of tiles whose distances give the scale of likeness.
const PAIRS: usize = 400;

/// The scale is so many times the distance within which a quarter of the pairs lie: about the median where distances
/// gather about one value, and still that of the nearer ones where they fall into two heaps, as a stain switch has it.
const QUARTERS: f32 = 1.3;

/// Tiles that one thread compares at a time.
const PIECE: usize = 4096;

/// Requests between two trials of the way that was slower: a card may have become free, or busy.
const TRIAL_EVERY: u32 = 500;

/// Something beside the processor that compares one descriptor with all of several sets.
pub trait Comparer: Send {
    /// Get ready for these sets; `false` where it cannot take them.
    fn hold(&mut self, sets: &[&Arc<DescriptorSet>]) -> bool;

    /// Squared distances of `query` to all rows of each set, as [`squared_distances`] gives them but for rounding;
    /// `None` where it cannot.
    fn squared_distances(&mut self, query: &[f32], sets: &[&Arc<DescriptorSet>]) -> Option<Vec<Vec<f32>>>;
}

/// Which tile is compared with which slides.
#[derive(Clone)]
pub struct HeatRequest {
    pub index: Arc<Snapshot>,
    pub tile: TileRef,
    /// Places of the slides in view.
    pub shown: Vec<u32>,
}

/// Who compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Processor,
    GraphicsCard,
}

/// How like one tile all tiles of a slide are.
#[derive(Debug, Clone, PartialEq)]
pub struct SimilarityMap {
    pub slide: SlideId,
    /// Columns and rows of the slide's tile grid.
    pub grid: [usize; 2],
    /// Edge of a tile in level-0 pixels.
    pub tile_level0: [u32; 2],
    /// For each tile of the grid 0 where there is no descriptor, else from 1, as far apart as the scale or farther,
    /// to 255, the same.
    pub similarity: Vec<u8>,
}

impl SimilarityMap {
    /// Number of tiles that were compared.
    pub fn tiles(&self) -> usize {
        self.similarity.iter().filter(|similarity| **similarity > 0).count()
    }
}

/// The maps of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct SimilarityMaps {
    pub tile: TileRef,
    pub maps: Vec<SimilarityMap>,
    /// Distance of the descriptors at which likeness ends, as [`typical_distance`] finds it.
    pub scale: f32,
    pub engine: Engine,
    pub elapsed: Duration,
}

/// The thread. Dropping this ends it.
pub struct HeatWorker {
    wishes: Arc<JobQueue<HeatRequest>>,
    maps: Receiver<SimilarityMaps>,
    thread: Option<JoinHandle<()>>,
}

impl HeatWorker {
    /// Compare by the processor, or by `card` where that is quicker.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(waker: Waker, card: Option<Box<dyn Comparer>>) -> std::io::Result<Self> {
        let wishes: Arc<JobQueue<HeatRequest>> = Arc::default();
        let (sender, maps) = bounded(4);
        let taken = wishes.clone();
        // Threads of its own: those that build the index would make the cursor wait.
        let threads = std::thread::available_parallelism().map_or(2, usize::from).min(4);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("heat-map-{number}"))
            .build()
            .map_err(std::io::Error::other)?;
        let mut race = Race::new(card);
        let work = move || run(&taken, &sender, &pool, &mut race, &waker);
        let thread = std::thread::Builder::new().name("heat-map".into()).spawn(work)?;
        Ok(Self { wishes, maps, thread: Some(thread) })
    }

    /// Wish for maps, in the place of what was wished for before.
    pub fn wish(&self, request: HeatRequest) {
        self.wishes.replace(request);
    }

    /// The newest maps that have come since the last look.
    pub fn newest(&self) -> Option<SimilarityMaps> {
        self.maps.try_iter().last()
    }
}

impl Drop for HeatWorker {
    fn drop(&mut self) {
        self.wishes.close();
        // A thread that waits to leave maps must not wait for ever.
        self.maps = crossbeam_channel::never();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the heat-map thread had panicked");
        }
    }
}

fn run(
    wishes: &JobQueue<HeatRequest>,
    maps: &Sender<SimilarityMaps>,
    pool: &rayon::ThreadPool,
    race: &mut Race,
    waker: &Waker,
) {
    let mut known: Option<(Arc<Snapshot>, f32)> = None;
    while let Some(request) = wishes.take() {
        let made = crash::catch("The heat map", || {
            let scale = match &known {
                Some((index, scale)) if Arc::ptr_eq(index, &request.index) => *scale,
                _ => typical_distance(&request.index),
            };
            known = Some((request.index.clone(), scale));
            pool.install(|| race.similarity_maps(&request, scale))
        });
        let made = match made {
            Ok(made) => made,
            Err(crash) => {
                tracing::error!("{}", crash.report);
                continue;
            }
        };
        if maps.send(made).is_err() {
            return;
        }
        waker();
    }
}

/// The processor and a graphics card, of which the quicker one compares.
struct Race {
    card: Option<Box<dyn Comparer>>,
    /// Seconds a tile, as they came out last; nothing while untried.
    processor_pace: Option<f64>,
    card_pace: Option<f64>,
    requests: u32,
}

impl Race {
    fn new(card: Option<Box<dyn Comparer>>) -> Self {
        Self { card, processor_pace: None, card_pace: None, requests: 0 }
    }

    /// Who compares next: whoever is untried, else whoever was quicker, and now and then the other one.
    fn next(&mut self) -> Engine {
        self.requests += 1;
        let quicker = match (self.processor_pace, self.card_pace) {
            (None, _) => Engine::Processor,
            (_, None) => Engine::GraphicsCard,
            (Some(processor), Some(card)) if processor <= card => Engine::Processor,
            _ => Engine::GraphicsCard,
        };
        match quicker {
            Engine::Processor if self.requests.is_multiple_of(TRIAL_EVERY) => Engine::GraphicsCard,
            Engine::GraphicsCard if self.requests.is_multiple_of(TRIAL_EVERY) => Engine::Processor,
            engine => engine,
        }
    }

    fn similarity_maps(&mut self, request: &HeatRequest, scale: f32) -> SimilarityMaps {
        let tiles: usize = request.sets().map(|set| set.len()).sum();
        let pace = |made: &SimilarityMaps| made.elapsed.as_secs_f64() / tiles.max(1) as f64;
        if self.card.is_some() && self.next() == Engine::GraphicsCard {
            match self.by_card(request, scale) {
                Some(made) => {
                    self.card_pace = Some(pace(&made));
                    return made;
                }
                // It has no room, or was lost: the processor is always there.
                None => self.card_pace = Some(f64::INFINITY),
            }
        }
        let made = similarity_maps(request, scale);
        self.processor_pace = Some(pace(&made));
        made
    }

    fn by_card(&mut self, request: &HeatRequest, scale: f32) -> Option<SimilarityMaps> {
        let card = self.card.as_mut()?;
        let sets: Vec<&Arc<DescriptorSet>> = request.sets().collect();
        // Bringing slides onto the card is done once; it says nothing of how quick the card is.
        if !card.hold(&sets) {
            return None;
        }
        let started = Instant::now();
        let squared = card.squared_distances(request.query(), &sets)?;
        let maps = sets.iter().zip(&squared).map(|(set, squared)| map_of(set, squared, scale)).collect();
        let (tile, engine, elapsed) = (request.tile, Engine::GraphicsCard, started.elapsed());
        Some(SimilarityMaps { tile, maps, scale, engine, elapsed })
    }
}

impl HeatRequest {
    /// The slides with something to paint: one without tissue, or smaller than a tile, has no map.
    fn sets(&self) -> impl Iterator<Item = &Arc<DescriptorSet>> {
        let sets = self.shown.iter().map(|place| &self.index.sets()[*place as usize]);
        sets.filter(|set| !set.is_empty())
    }

    fn query(&self) -> &[f32] {
        self.index.sets()[self.tile.set as usize].descriptor(self.tile.row)
    }
}

/// Compare with all tiles of the slides in view, by the processor.
pub fn similarity_maps(request: &HeatRequest, scale: f32) -> SimilarityMaps {
    let started = Instant::now();
    let query = request.query();
    let map = |set: &Arc<DescriptorSet>| {
        let mut squared = vec![0.0f32; set.len()];
        squared
            .par_chunks_mut(PIECE)
            .zip(set.features().par_chunks(PIECE * query.len()))
            .for_each(|(out, rows)| squared_distances(query, rows, out));
        map_of(set, &squared, scale)
    };
    let maps = request.sets().map(map).collect();
    let (tile, engine, elapsed) = (request.tile, Engine::Processor, started.elapsed());
    SimilarityMaps { tile, maps, scale, engine, elapsed }
}

/// How like a tile at a squared distance is: it falls evenly from 255 at distance 0 to 1 at `scale` and beyond.
pub fn similarity(squared: f32, scale: f32) -> u8 {
    1 + ((1.0 - squared.sqrt() / scale).clamp(0.0, 1.0) * 254.0).round() as u8
}

fn map_of(set: &DescriptorSet, squared: &[f32], scale: f32) -> SimilarityMap {
    let [columns, rows] = set.header.grid.map(|count| count as usize);
    let mut cells = vec![0u8; columns * rows];
    let size = [set.header.tile_level0, set.header.tile_height_level0()];
    let [width, height] = size.map(i64::from);
    for ([x, y], squared) in set.coords().iter().zip(squared) {
        let place = (y / height) as usize * columns + (x / width) as usize;
        if let Some(cell) = cells.get_mut(place) {
            *cell = similarity(*squared, scale);
        }
    }
    let slide = set.header.slide_id.clone();
    SimilarityMap { slide, grid: [columns, rows], tile_level0: size, similarity: cells }
}

/// 1.3 times the lower quartile of the distances between tiles picked evenly from all slides; 1 where there are too few.
pub fn typical_distance(index: &Snapshot) -> f32 {
    let rows =
        || index.sets().iter().flat_map(|set| (0..set.len() as u32).map(move |row| set.descriptor(Row(row))));
    let step = index.len().div_ceil(2 * PAIRS).max(1);
    let picked: Vec<&[f32]> = rows().step_by(step).collect();
    let half = picked.len() / 2;
    let pairs = picked[..half].iter().zip(&picked[half..]);
    let mut distances: Vec<f32> = pairs.map(|(a, b)| squared_distance(a, b).sqrt()).collect();
    distances.sort_by(f32::total_cmp);
    let quarter = distances.get(distances.len() / 4).copied();
    quarter.filter(|quarter| *quarter > 0.0).map_or(1.0, |quarter| QUARTERS * quarter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quicker_one_compares_and_the_other_is_tried_now_and_then() {
        let mut race = Race::new(None);
        assert_eq!(race.next(), Engine::Processor);
        race.processor_pace = Some(2e-9);
        assert_eq!(race.next(), Engine::GraphicsCard, "it is untried");
        race.card_pace = Some(1e-9);
        let turns: Vec<Engine> = (0..TRIAL_EVERY).map(|_| race.next()).collect();
        assert_eq!(turns.iter().filter(|engine| **engine == Engine::Processor).count(), 1);
        race.card_pace = Some(f64::INFINITY);
        assert_eq!(race.next(), Engine::Processor);
    }

    #[test]
    fn likeness_falls_evenly_to_the_scale() {
        assert_eq!(
            [0.0, 1.0, 4.0, 16.0, 100.0].map(|squared| similarity(squared, 4.0)),
            [255, 192, 128, 1, 1]
        );
    }
}
