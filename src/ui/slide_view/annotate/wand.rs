//! The wand's thread: reads pixels at the level shown and grows regions in them, since neither may hold up a
//! frame.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use image::{Rgb, RgbImage};

use crate::annotation::{Shape, WAND_WINDOW_PX, wand_region};
use crate::crash;
use crate::geometry::Level0Point;
use crate::slide::pyramid::{DISPLAY_TILE_PX, DisplayPyramid, DisplayTile, TileKey};
use crate::ui::settings::WAND_SENSITIVITY;
use crate::workers::Waker;
use crate::workers::job_queue::JobQueue;

/// Number of decoded tiles that the thread remembers: a window lies on four at most, and on their neighbours
/// when it moves on.
const TILES_KEPT: usize = 12;
/// Number of found regions that can wait for the window; the thread waits when there are more.
const FOUND_WAITING: usize = 32;
/// Colour of what was not scanned.
const GLASS: Rgb<u8> = Rgb([243, 242, 244]);

/// A position from which a region is to grow.
struct Request {
    /// Requests of an earlier stroke are dropped.
    stroke: u64,
    pyramid: Arc<DisplayPyramid>,
    level: u32,
    at: Level0Point,
    sensitivity: f64,
}

/// The wand and its thread. Dropping it ends the thread.
pub(super) struct Wand {
    requests: Arc<JobQueue<Request>>,
    /// Regions in level-0 pixels with the stroke for which they were requested; `None` if nothing could be read.
    found: Receiver<(u64, Option<Shape>)>,
    thread: Option<JoinHandle<()>>,
    stroke: u64,
    awaited: usize,
    /// How closely colours have to agree; see [`wand_region`].
    pub(super) sensitivity: f64,
}

impl Wand {
    /// Starts the thread; `waker` is called for each region.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn start(waker: Waker) -> std::io::Result<Self> {
        let requests: Arc<JobQueue<Request>> = Arc::default();
        let (sender, found) = bounded(FOUND_WAITING);
        let queue = requests.clone();
        let thread =
            std::thread::Builder::new().name("wand".into()).spawn(move || run(&queue, &sender, &waker))?;
        let sensitivity = WAND_SENSITIVITY;
        Ok(Self { requests, found, thread: Some(thread), stroke: 0, awaited: 0, sensitivity })
    }

    /// Requests the region around a position, from the pixels of a display level.
    pub(super) fn ask(&mut self, pyramid: &Arc<DisplayPyramid>, level: u32, at: Level0Point) {
        let (stroke, sensitivity) = (self.stroke, self.sensitivity);
        self.requests.push(Request { stroke, pyramid: pyramid.clone(), level, at, sensitivity });
        self.awaited += 1;
    }

    /// Returns the regions of this stroke that were found since the last call.
    pub(super) fn take_found(&mut self) -> Vec<Shape> {
        let mut regions = Vec::new();
        while let Ok((stroke, region)) = self.found.try_recv() {
            if stroke == self.stroke {
                self.awaited = self.awaited.saturating_sub(1);
                regions.extend(region);
            }
        }
        regions
    }

    /// Whether regions of this stroke are still to come.
    pub(super) fn is_busy(&self) -> bool {
        self.awaited > 0
    }

    /// Drops what was requested.
    pub(super) fn forget(&mut self) {
        self.stroke += 1;
        self.awaited = 0;
        self.requests.clear();
    }
}

impl Drop for Wand {
    fn drop(&mut self) {
        self.requests.close();
        // Disconnect the channel: the thread must not block on sending.
        self.found = crossbeam_channel::never();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the wand's thread had panicked");
        }
    }
}

fn run(requests: &JobQueue<Request>, found: &Sender<(u64, Option<Shape>)>, waker: &Waker) {
    let mut tiles = Tiles::default();
    while let Some(request) = requests.take() {
        // A file that breaks its decoder costs this region only.
        let region = crash::catch("The wand", || region(&request, &mut tiles)).unwrap_or_else(|crash| {
            tracing::error!("{}", crash.report);
            None
        });
        if found.send((request.stroke, region)).is_err() {
            return;
        }
        waker();
    }
}

/// Returns the region of a request, in level-0 pixels.
fn region(request: &Request, tiles: &mut Tiles) -> Option<Shape> {
    let level = request.pyramid.levels().get(request.level as usize)?;
    let (x, y) = (request.at.x / level.downsample.x, request.at.y / level.downsample.y);
    let half = i64::from(WAND_WINDOW_PX / 2);
    let (left, top) = (x.floor() as i64 - half, y.floor() as i64 - half);
    let window = tiles.window(&request.pyramid, request.level, (left, top))?;
    let region = wand_region(&window, request.sensitivity);
    let on_slide = |corner: Level0Point| {
        Level0Point::new(
            (corner.x + left as f64) * level.downsample.x,
            (corner.y + top as f64) * level.downsample.y,
        )
    };
    Some(region.mapped(on_slide))
}

/// Decoded tiles, the latest last.
#[derive(Default)]
struct Tiles(VecDeque<(TileKey, Arc<DisplayTile>)>);

impl Tiles {
    /// Returns the pixels of the window with this upper left corner on a display level; `None` if none of them
    /// can be read.
    fn window(&mut self, pyramid: &DisplayPyramid, level: u32, (left, top): (i64, i64)) -> Option<RgbImage> {
        let tile_px = i64::from(DISPLAY_TILE_PX);
        let shown = pyramid.levels()[level as usize];
        let side = i64::from(WAND_WINDOW_PX);
        let mut window = RgbImage::from_pixel(WAND_WINDOW_PX, WAND_WINDOW_PX, GLASS);
        let mut any = false;
        let range = |from: i64, count: u32| {
            (from.max(0) / tile_px)..=((from + side - 1) / tile_px).min(i64::from(count) - 1)
        };
        for row in range(top, shown.rows()) {
            for column in range(left, shown.columns()) {
                let key = TileKey { slide: pyramid.key(), level, column: column as u32, row: row as u32 };
                let Some(tile) = self.tile(pyramid, key) else { continue };
                any |= !tile.pixels.is_empty();
                let (x, y) = (column * tile_px - left, row * tile_px - top);
                for (tile_x, tile_y, pixel) in tile.pixels.enumerate_pixels() {
                    let (x, y) = (x + i64::from(tile_x), y + i64::from(tile_y));
                    let [r, g, b, alpha] = pixel.0;
                    if (0..side).contains(&x) && (0..side).contains(&y) && alpha > 0 {
                        window.put_pixel(x as u32, y as u32, Rgb([r, g, b]));
                    }
                }
            }
        }
        any.then_some(window)
    }

    fn tile(&mut self, pyramid: &DisplayPyramid, key: TileKey) -> Option<Arc<DisplayTile>> {
        if let Some((_, known)) = self.0.iter().find(|(known, _)| *known == key) {
            return Some(known.clone());
        }
        let decoded = Arc::new(pyramid.decode(key, &mut |finer| self.tile(pyramid, finer))?);
        if self.0.len() == TILES_KEPT {
            self.0.pop_front();
        }
        self.0.push_back((key, decoded.clone()));
        Some(decoded)
    }
}
