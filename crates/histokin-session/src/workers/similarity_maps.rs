//! Similarity maps of the slides in view to the tile under the pointer or to what was taught, computed by a thread that only answers
//! the newest request, so that the map follows the pointer.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Waker;
use super::job_queue::JobQueue;
use crate::crash;
use histokin_core::descriptors::DescriptorSet;
use histokin_core::index::Snapshot;
use histokin_core::query::similarity_map::{MapRequest, Reference, SimilarityMap, typical_distance};

/// Number of requests between two trials of the slower engine: a graphics card may have become free, or busy.
const TRIAL_EVERY: u32 = 500;

/// A device other than the processor that compares one descriptor with all descriptors of several sets.
pub trait GraphicsComparer: Send {
    /// Prepares the device for these sets; returns false if it cannot take them.
    fn prepare(&mut self, sets: &[&Arc<DescriptorSet>]) -> bool;

    /// Returns the squared distances of `query` from all rows of each set, equal to those of
    /// [`squared_distances`](histokin_core::index::squared_distances) up to rounding; `None` if that failed.
    fn squared_distances(&mut self, query: &[f32], sets: &[&Arc<DescriptorSet>]) -> Option<Vec<Vec<f32>>>;
}

/// Device that computed a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The processor.
    Processor,
    /// The graphics card.
    GraphicsCard,
}

/// The maps of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct SimilarityMaps {
    /// What all tiles were compared with.
    pub reference: Reference,
    /// One map for each slide that has descriptors.
    pub maps: Vec<SimilarityMap>,
    /// Distance of descriptors at which similarity is lowest, as given by [`typical_distance`].
    pub scale: f32,
    /// Device that computed the maps.
    pub engine: Engine,
    /// Time taken.
    pub elapsed: Duration,
}

/// The thread. Dropping this ends it.
pub struct SimilarityMapWorker {
    requests: Arc<JobQueue<MapRequest>>,
    maps: Receiver<SimilarityMaps>,
    thread: Option<JoinHandle<()>>,
}

impl SimilarityMapWorker {
    /// Starts the thread. It compares on the processor, or on `card` if that is faster.
    ///
    /// # Errors
    /// Returns the system's error if a thread cannot be started.
    pub fn start(waker: Waker, card: Option<Box<dyn GraphicsComparer>>) -> std::io::Result<Self> {
        let requests: Arc<JobQueue<MapRequest>> = Arc::default();
        let (sender, maps) = bounded(4);
        let taken = requests.clone();
        // Uses its own thread pool: with the one that builds the index, the map would lag behind the pointer.
        let threads = std::thread::available_parallelism().map_or(2, usize::from).min(4);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("heat-map-{number}"))
            .build()
            .map_err(std::io::Error::other)?;
        let mut engines = FasterEngine::new(card);
        let work = move || run(&taken, &sender, &pool, &mut engines, &waker);
        let thread = std::thread::Builder::new().name("heat-map".into()).spawn(work)?;
        Ok(Self { requests, maps, thread: Some(thread) })
    }

    /// Requests maps, in place of the previous request.
    pub fn request(&self, request: MapRequest) {
        self.requests.replace(request);
    }

    /// Returns the newest maps that have arrived since the last call.
    pub fn newest(&self) -> Option<SimilarityMaps> {
        self.maps.try_iter().last()
    }
}

impl Drop for SimilarityMapWorker {
    fn drop(&mut self) {
        self.requests.close();
        // The thread must not wait for ever to send its maps.
        self.maps = crossbeam_channel::never();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the heat-map thread had panicked");
        }
    }
}

fn run(
    requests: &JobQueue<MapRequest>,
    maps: &Sender<SimilarityMaps>,
    pool: &rayon::ThreadPool,
    engines: &mut FasterEngine,
    waker: &Waker,
) {
    let mut known: Option<(Arc<Snapshot>, f32)> = None;
    while let Some(request) = requests.take() {
        let made = crash::catch("The heat map", || {
            let scale = match &known {
                Some((index, scale)) if Arc::ptr_eq(index, &request.index) => *scale,
                _ => typical_distance(&request.index),
            };
            known = Some((request.index.clone(), scale));
            pool.install(|| engines.similarity_maps(&request, scale))
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

/// The processor and a graphics card, of which the faster one is used.
struct FasterEngine {
    card: Option<Box<dyn GraphicsComparer>>,
    /// Seconds per tile in the last run; `None` if not tried yet.
    processor_pace: Option<f64>,
    card_pace: Option<f64>,
    requests: u32,
}

impl FasterEngine {
    fn new(card: Option<Box<dyn GraphicsComparer>>) -> Self {
        Self { card, processor_pace: None, card_pace: None, requests: 0 }
    }

    /// Chooses the next engine: one that has not been tried, else the faster one, and from time to time the
    /// other one.
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

    fn similarity_maps(&mut self, request: &MapRequest, scale: f32) -> SimilarityMaps {
        let tiles: usize = request.sets().map(|set| set.len()).sum();
        let pace = |made: &SimilarityMaps| made.elapsed.as_secs_f64() / tiles.max(1) as f64;
        let is_compared = request.descriptor().is_some();
        if self.card.is_some() && is_compared && self.next() == Engine::GraphicsCard {
            match self.by_card(request, scale) {
                Some(made) => {
                    self.card_pace = Some(pace(&made));
                    return made;
                }
                // It has no memory left, or was lost; fall back to the processor.
                None => self.card_pace = Some(f64::INFINITY),
            }
        }
        let made = by_processor(request, scale);
        self.processor_pace = Some(pace(&made));
        made
    }

    fn by_card(&mut self, request: &MapRequest, scale: f32) -> Option<SimilarityMaps> {
        let card = self.card.as_mut()?;
        let sets: Vec<&Arc<DescriptorSet>> = request.sets().collect();
        // Copying slides to the card is done once, so it is not counted in its time.
        if !card.prepare(&sets) {
            return None;
        }
        let started = Instant::now();
        let squared = card.squared_distances(request.descriptor()?, &sets)?;
        let maps =
            sets.iter().zip(&squared).map(|(set, squared)| SimilarityMap::new(set, squared, scale)).collect();
        let (reference, engine, elapsed) =
            (request.reference.clone(), Engine::GraphicsCard, started.elapsed());
        Some(SimilarityMaps { reference, maps, scale, engine, elapsed })
    }
}

/// Compares on the processor.
fn by_processor(request: &MapRequest, scale: f32) -> SimilarityMaps {
    let started = Instant::now();
    let maps = request.maps(scale);
    let (reference, engine, elapsed) = (request.reference.clone(), Engine::Processor, started.elapsed());
    SimilarityMaps { reference, maps, scale, engine, elapsed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quicker_one_compares_and_the_other_is_tried_now_and_then() {
        let mut engines = FasterEngine::new(None);
        assert_eq!(engines.next(), Engine::Processor);
        engines.processor_pace = Some(2e-9);
        assert_eq!(engines.next(), Engine::GraphicsCard, "it is untried");
        engines.card_pace = Some(1e-9);
        let turns: Vec<Engine> = (0..TRIAL_EVERY).map(|_| engines.next()).collect();
        assert_eq!(turns.iter().filter(|engine| **engine == Engine::Processor).count(), 1);
        engines.card_pace = Some(f64::INFINITY);
        assert_eq!(engines.next(), Engine::Processor);
    }
}
