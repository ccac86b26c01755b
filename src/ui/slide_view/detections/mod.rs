//! Detections on a canvas, however many: a thread prepares the tiles that are in view, and a frame only draws
//! those that are ready. While a tile is missing, finer or coarser ones stand in for it.

mod content;
mod density_picture;
mod gpu;
mod tile;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use eframe::wgpu;
use uuid::Uuid;

use super::camera::{Camera, Viewport};
use crate::annotation::{Bounds, DetectionColours, Detections};
use crate::crash;
use crate::geometry::Level0Point;
use crate::workers::Waker;
use crate::workers::job_queue::JobQueue;
use content::ContentMaker;
use gpu::{Drawn, PictureParts, TileBuffers};
use tile::{DetectionTile, in_view};

pub use gpu::{DetectionPaint, DetectionPipelines};

/// Memory on the GPU from which tiles out of view are dropped, in bytes.
const MOST_BYTES: usize = 384 << 20;
/// Number of coarser levels that are searched for a tile that stands in for a missing one.
const MOST_COARSER: usize = 6;

/// The detections to draw. Compared by pointer.
#[derive(Clone, Default)]
pub struct Shown {
    /// The detections.
    pub detections: Arc<Detections>,
    /// Further ones, from a file that is still being read. A density is that of the others alone.
    pub parts: Arc<Vec<Arc<Detections>>>,
    /// IDs of those that are hidden.
    pub hidden: Arc<HashSet<Uuid>>,
    /// How they are coloured.
    pub colours: Arc<DetectionColours>,
}

impl Shown {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.detections, &other.detections)
            && Arc::ptr_eq(&self.parts, &other.parts)
            && Arc::ptr_eq(&self.hidden, &other.hidden)
            && Arc::ptr_eq(&self.colours, &other.colours)
    }

    /// Returns all detections.
    fn all(&self) -> impl Iterator<Item = &Detections> {
        std::iter::once(&self.detections).chain(self.parts.iter()).map(Arc::as_ref)
    }

    /// Returns the smallest rectangle around all detections; `None` if there are none.
    fn extent(&self) -> Option<Bounds> {
        let extents = self.all().filter(|some| !some.is_empty()).filter_map(Detections::extent);
        let corners: Vec<Level0Point> = extents.flat_map(|extent| [extent.min, extent.max]).collect();
        Bounds::around(&corners)
    }
}

/// Tiles to prepare.
struct Order {
    shown: Shown,
    /// Version of `shown`.
    version: u64,
    /// Number of the order; a newer one replaces it.
    number: u64,
    tiles: Vec<DetectionTile>,
}

struct Prepared {
    version: u64,
    tile: DetectionTile,
    buffers: TileBuffers,
}

struct Resident {
    version: u64,
    buffers: TileBuffers,
    /// Frame in which it was last drawn.
    used: u64,
}

/// The tiles of one canvas.
pub struct DetectionTiles {
    pipelines: DetectionPipelines,
    orders: Arc<JobQueue<Order>>,
    newest: Arc<AtomicU64>,
    ready: Receiver<Prepared>,
    thread: Option<JoinHandle<()>>,
    shown: Shown,
    version: u64,
    /// First version whose tiles have not been dropped.
    since: u64,
    /// The tiles that the thread has to prepare, and their version.
    ordered: (u64, Vec<DetectionTile>),
    resident: HashMap<DetectionTile, Resident>,
    bytes: usize,
    frame: u64,
    /// What was drawn of pictures last.
    parts: PictureParts,
}

impl DetectionTiles {
    /// Starts the thread that prepares tiles.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(pipelines: &DetectionPipelines, waker: Waker) -> std::io::Result<Self> {
        let orders = Arc::new(JobQueue::default());
        let newest = Arc::new(AtomicU64::new(0));
        let (sender, ready) = bounded(8);
        let worker = Worker {
            pipelines: pipelines.clone(),
            orders: orders.clone(),
            newest: newest.clone(),
            ready: sender,
            waker,
        };
        let thread =
            std::thread::Builder::new().name("detection-tiles".into()).spawn(move || worker.run())?;
        Ok(Self {
            pipelines: pipelines.clone(),
            orders,
            newest,
            ready,
            thread: Some(thread),
            shown: Shown::default(),
            version: 0,
            since: 0,
            ordered: (0, Vec::new()),
            resident: HashMap::new(),
            bytes: 0,
            frame: 0,
            parts: PictureParts::default(),
        })
    }

    /// Drops all tiles; for another slide.
    pub fn clear(&mut self) {
        self.shown = Shown::default();
        self.forget();
    }

    /// Drops the tiles of this and of earlier versions.
    fn forget(&mut self) {
        self.resident.clear();
        self.bytes = 0;
        self.since = self.version + 1;
    }

    /// Returns what draws the tiles in view; requests those that are missing. `None` if there is nothing to
    /// draw. `fill` is the annotations' pipeline for triangles; without it, areas are only outlined.
    pub fn paint(
        &mut self,
        shown: Shown,
        camera: &Camera,
        viewport: Viewport,
        fill: Option<&wgpu::RenderPipeline>,
    ) -> Option<DetectionPaint> {
        self.frame += 1;
        if !self.shown.is(&shown) {
            self.shown = shown;
            self.version += 1;
        }
        self.receive();
        let Some(extent) = self.shown.extent() else {
            // What was drawn, as of an import that was stopped, must not stand in for what comes next.
            self.forget();
            return None;
        };
        let wanted = in_view(camera, viewport, extent);
        let is_missing = |tile: &&DetectionTile| {
            self.resident.get(*tile).is_none_or(|resident| resident.version != self.version)
        };
        let missing: Vec<DetectionTile> = wanted.iter().filter(is_missing).copied().collect();
        self.order(missing);
        let mut drawn = BTreeMap::new();
        wanted.iter().for_each(|tile| self.draw(*tile, &mut drawn));
        self.drop_unused();
        let drawn: Vec<Drawn> = drawn.into_values().collect();
        (!drawn.is_empty()).then(|| self.pipelines.prepare(drawn, fill, &mut self.parts))
    }

    fn receive(&mut self) {
        while let Ok(Prepared { version, tile, buffers }) = self.ready.try_recv() {
            if version == self.ordered.0 {
                self.ordered.1.retain(|ordered| *ordered != tile);
            }
            let is_outdated = version != self.version && self.resident.contains_key(&tile);
            if version < self.since || is_outdated {
                continue;
            }
            self.bytes += buffers.bytes;
            let replaced = self.resident.insert(tile, Resident { version, buffers, used: self.frame });
            self.bytes -= replaced.map_or(0, |replaced| replaced.buffers.bytes);
        }
    }

    fn order(&mut self, tiles: Vec<DetectionTile>) {
        let (version, ordered) = &self.ordered;
        if *version == self.version && tiles.iter().all(|tile| ordered.contains(tile)) {
            return;
        }
        self.ordered = (self.version, tiles.clone());
        let number = self.newest.fetch_add(1, Ordering::Relaxed) + 1;
        self.orders.replace(Order { shown: self.shown.clone(), version: self.version, number, tiles });
    }

    /// Adds to `drawn` a tile in view, or what stands in for it.
    fn draw(&mut self, tile: DetectionTile, drawn: &mut BTreeMap<(DetectionTile, DetectionTile), Drawn>) {
        let mut add = |resident: &mut Resident, of: DetectionTile, part: DetectionTile| {
            resident.used = self.frame;
            let with_outlines = of == part;
            let buffers = resident.buffers.clone();
            drawn.insert((of, part), Drawn { buffers, tile: of, area: part.area(), with_outlines });
        };
        if let Some(resident) = self.resident.get_mut(&tile) {
            add(resident, tile, tile);
            return;
        }
        let mut finer: Vec<DetectionTile> = Vec::new();
        for child in tile.children() {
            match self.resident.get_mut(&child) {
                Some(resident) => add(resident, child, child),
                None => finer.push(child),
            }
        }
        if finer.is_empty() && tile.level > 0 {
            return;
        }
        let parts = if finer.is_empty() || finer.len() == 4 { vec![tile] } else { finer };
        let mut coarser = tile.parent();
        for _ in 0..MOST_COARSER {
            let Some(of) = coarser else { return };
            if let Some(resident) = self.resident.get_mut(&of)
                && resident.buffers.has_picture()
            {
                parts.iter().for_each(|part| add(resident, of, *part));
                return;
            }
            coarser = of.parent();
        }
    }

    /// Drops the tiles that were not drawn for the longest time, if they take too much memory.
    fn drop_unused(&mut self) {
        if self.bytes <= MOST_BYTES {
            return;
        }
        let mut unused: Vec<(u64, DetectionTile)> = self
            .resident
            .iter()
            .filter(|(_, resident)| resident.used < self.frame)
            .map(|(tile, resident)| (resident.used, *tile))
            .collect();
        unused.sort_unstable_by_key(|(used, _)| *used);
        for (_, tile) in unused {
            if self.bytes <= MOST_BYTES {
                return;
            }
            self.bytes -= self.resident.remove(&tile).map_or(0, |resident| resident.buffers.bytes);
        }
    }
}

impl Drop for DetectionTiles {
    fn drop(&mut self) {
        self.newest.fetch_add(1, Ordering::Relaxed);
        self.orders.close();
        // Disconnect the channel: the thread must not block on sending.
        self.ready = crossbeam_channel::never();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that draws detections had panicked");
        }
    }
}

/// What the thread needs.
struct Worker {
    pipelines: DetectionPipelines,
    orders: Arc<JobQueue<Order>>,
    newest: Arc<AtomicU64>,
    ready: Sender<Prepared>,
    waker: Waker,
}

impl Worker {
    fn run(self) {
        let mut maker = ContentMaker::default();
        while let Some(Order { shown, version, number, tiles }) = self.orders.take() {
            for tile in tiles {
                if self.newest.load(Ordering::Relaxed) != number {
                    break;
                }
                let stop = || self.orders.is_closed();
                let make = || {
                    let content = maker.make(&shown, tile, &stop)?;
                    Some(self.pipelines.upload(&content))
                };
                let made = crash::catch("Drawing detections", make).unwrap_or_else(|crash| {
                    tracing::error!("{}", crash.report);
                    maker = ContentMaker::default();
                    None
                });
                let Some(buffers) = made else { break };
                if self.ready.send(Prepared { version, tile, buffers }).is_err() {
                    return;
                }
                (self.waker)();
            }
        }
    }
}

/// Draws detections that do not change, for offscreen pictures: every tile is prepared when it is needed.
pub struct FixedDetections {
    shown: Shown,
    pipelines: DetectionPipelines,
}

impl FixedDetections {
    /// Makes the tiles of `shown` available to pictures.
    pub fn new(pipelines: &DetectionPipelines, shown: Shown) -> Self {
        Self { shown, pipelines: pipelines.clone() }
    }

    /// Returns what draws the tiles in view, as [`DetectionTiles::paint`] does.
    pub fn paint(
        &self,
        camera: &Camera,
        viewport: Viewport,
        fill: Option<&wgpu::RenderPipeline>,
    ) -> Option<DetectionPaint> {
        let extent = self.shown.extent()?;
        let mut maker = ContentMaker::default();
        let draw = |tile: DetectionTile| {
            let content = maker.make(&self.shown, tile, &|| false)?;
            let buffers = self.pipelines.upload(&content);
            Some(Drawn { buffers, tile, area: tile.area(), with_outlines: true })
        };
        let drawn: Vec<Drawn> = in_view(camera, viewport, extent).into_iter().filter_map(draw).collect();
        (!drawn.is_empty()).then(|| self.pipelines.prepare(drawn, fill, &mut PictureParts::default()))
    }
}
