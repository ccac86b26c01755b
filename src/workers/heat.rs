//! The likeness of every tile of the slides in view to the tile under the cursor, on a thread of its own: only
//! the newest wish counts, so that the map follows the cursor.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::prelude::*;

use super::Waker;
use super::mailbox::Mailbox;
use crate::crash;
use crate::descriptors::{DescriptorSet, Row};
use crate::index::{Snapshot, TileRef, squared_distance, squared_distances};
use crate::slide::SlideId;

/// Pairs of tiles whose median distance is the scale of likeness.
const PAIRS: usize = 400;

/// Tiles that one thread compares at a time.
const PIECE: usize = 4096;

/// Which tile is compared with which slides.
#[derive(Clone)]
pub struct HeatRequest {
    pub index: Arc<Snapshot>,
    pub tile: TileRef,
    /// Places of the slides in view.
    pub shown: Vec<u32>,
}

/// How like one tile all tiles of a slide are.
#[derive(Debug, Clone, PartialEq)]
pub struct LikenessMap {
    pub slide: SlideId,
    /// Columns and rows of the slide's tile grid.
    pub grid: [usize; 2],
    /// Edge of a tile in level-0 pixels.
    pub tile_level0: u32,
    /// For each tile of the grid 0 where there is no descriptor, else from 1, as far apart as the scale or farther,
    /// to 255, the same.
    pub likeness: Vec<u8>,
}

/// The maps of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct LikenessMaps {
    pub tile: TileRef,
    pub maps: Vec<LikenessMap>,
    /// Distance of the descriptors at which likeness ends: the median of tiles picked at random.
    pub scale: f32,
    pub elapsed: Duration,
}

/// The thread. Dropping this ends it.
pub struct HeatWorker {
    wishes: Arc<Mailbox<HeatRequest>>,
    maps: Receiver<LikenessMaps>,
    thread: Option<JoinHandle<()>>,
}

impl HeatWorker {
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(waker: Waker) -> std::io::Result<Self> {
        let wishes: Arc<Mailbox<HeatRequest>> = Arc::default();
        let (sender, maps) = bounded(4);
        let taken = wishes.clone();
        // Threads of its own: those that build the index would make the cursor wait.
        let threads = std::thread::available_parallelism().map_or(2, usize::from).min(4);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("heat-map-{number}"))
            .build()
            .map_err(std::io::Error::other)?;
        let work = move || run(&taken, &sender, &pool, &waker);
        let thread = std::thread::Builder::new().name("heat-map".into()).spawn(work)?;
        Ok(Self { wishes, maps, thread: Some(thread) })
    }

    /// Wish for maps, in the place of what was wished for before.
    pub fn wish(&self, request: HeatRequest) {
        self.wishes.replace(request);
    }

    /// The newest maps that have come since the last look.
    pub fn newest(&self) -> Option<LikenessMaps> {
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

fn run(wishes: &Mailbox<HeatRequest>, maps: &Sender<LikenessMaps>, pool: &rayon::ThreadPool, waker: &Waker) {
    let mut known: Option<(Arc<Snapshot>, f32)> = None;
    while let Some(request) = wishes.take() {
        let made = crash::catch("The heat map", || {
            let scale = match &known {
                Some((index, scale)) if Arc::ptr_eq(index, &request.index) => *scale,
                _ => typical_distance(&request.index),
            };
            known = Some((request.index.clone(), scale));
            pool.install(|| likeness_maps(&request, scale))
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

/// Compare with all tiles of the slides in view; likeness falls evenly from 255 at distance 0 to 1 at `scale`.
pub fn likeness_maps(request: &HeatRequest, scale: f32) -> LikenessMaps {
    let started = Instant::now();
    let sets = request.index.sets();
    let query = sets[request.tile.set as usize].descriptor(request.tile.row);
    let maps = request.shown.iter().map(|place| likeness_map(query, &sets[*place as usize], scale)).collect();
    LikenessMaps { tile: request.tile, maps, scale, elapsed: started.elapsed() }
}

fn likeness_map(query: &[f32], set: &DescriptorSet, scale: f32) -> LikenessMap {
    let mut squared = vec![0.0f32; set.len()];
    squared
        .par_chunks_mut(PIECE)
        .zip(set.features().par_chunks(PIECE * query.len()))
        .for_each(|(out, rows)| squared_distances(query, rows, out));
    let [columns, rows] = set.header.grid.map(|count| count as usize);
    let mut likeness = vec![0u8; columns * rows];
    let edge = i64::from(set.header.tile_level0);
    for ([x, y], squared) in set.coords().iter().zip(squared) {
        let place = (y / edge) as usize * columns + (x / edge) as usize;
        if let Some(cell) = likeness.get_mut(place) {
            *cell = 1 + ((1.0 - squared.sqrt() / scale).clamp(0.0, 1.0) * 254.0).round() as u8;
        }
    }
    let (slide, tile_level0) = (set.header.slide_id.clone(), set.header.tile_level0);
    LikenessMap { slide, grid: [columns, rows], tile_level0, likeness }
}

/// Median distance of tiles picked evenly from all slides; 1 where there are too few.
pub fn typical_distance(index: &Snapshot) -> f32 {
    let rows =
        || index.sets().iter().flat_map(|set| (0..set.len() as u32).map(move |row| set.descriptor(Row(row))));
    let step = index.len().div_ceil(2 * PAIRS).max(1);
    let picked: Vec<&[f32]> = rows().step_by(step).collect();
    let half = picked.len() / 2;
    let pairs = picked[..half].iter().zip(&picked[half..]);
    let mut distances: Vec<f32> = pairs.map(|(a, b)| squared_distance(a, b).sqrt()).collect();
    distances.sort_by(f32::total_cmp);
    distances.get(distances.len() / 2).copied().filter(|median| *median > 0.0).unwrap_or(1.0)
}
