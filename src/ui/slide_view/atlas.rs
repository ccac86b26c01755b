//! Display tiles on the GPU: a texture array with one tile per layer.
//!
//! Tiles wait in a queue until they are uploaded, a few in each frame. The least recently drawn tile is
//! evicted for a new one; tiles that show a whole slide are evicted last.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use eframe::wgpu;

use super::tile_plan::TileState;
use crate::slide::pyramid::{DISPLAY_TILE_PX, DisplayTile, Gap, SlideKey, TileKey};

/// Maximum number of layers, at 1 MiB each; every graphics card supports this many.
pub const LAYERS: u32 = 256;
/// Uploads take about 0.15 ms each. This many keep a frame short and cover a full view on a typical screen.
const UPLOADS_PER_FRAME: usize = 16;
/// Duration of a tile's fade-in over coarser tiles, in seconds.
const FADE_SECONDS: f64 = 0.14;

/// Display tiles on the GPU and in the upload queue.
pub struct TileAtlas {
    queue: wgpu::Queue,
    texture: wgpu::Texture,
    slots: HashMap<TileKey, Slot>,
    free: Vec<u32>,
    waiting: VecDeque<Waiting>,
    gaps: HashMap<TileKey, Vec<Gap>>,
    frame: u64,
    now: f64,
}

struct Waiting {
    key: TileKey,
    tile: Arc<DisplayTile>,
    lasting: bool,
}

/// One tile on the GPU.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Layer of the texture array.
    pub layer: u32,
    /// Width and height in texels.
    pub extent: (u32, u32),
    since: f64,
    lasting: bool,
    last_drawn: u64,
}

impl TileAtlas {
    /// Creates an atlas for `most` tiles, or for as many as the device's texture arrays have layers.
    pub fn new(device: &wgpu::Device, queue: wgpu::Queue, most: u32) -> Self {
        let layers = most.min(device.limits().max_texture_array_layers);
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("slide tiles"),
            size: wgpu::Extent3d {
                width: DISPLAY_TILE_PX,
                height: DISPLAY_TILE_PX,
                depth_or_array_layers: layers,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            // Not the sRGB variant: colours must reach the screen exactly as they are in the slide.
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        Self {
            queue,
            texture,
            slots: HashMap::new(),
            free: (0..layers).rev().collect(),
            waiting: VecDeque::new(),
            gaps: HashMap::new(),
            frame: 0,
            now: 0.0,
        }
    }

    /// The texture array.
    pub fn texture(&self) -> &wgpu::Texture {
        &self.texture
    }

    /// Queues a decoded tile for upload. A `lasting` tile is evicted last.
    pub fn add(&mut self, key: TileKey, tile: Arc<DisplayTile>, lasting: bool) {
        if tile.gaps.is_empty() {
            self.gaps.remove(&key);
        } else {
            self.gaps.insert(key, tile.gaps.clone());
        }
        if !tile.pixels.is_empty() {
            self.waiting.push_back(Waiting { key, tile, lasting });
        }
    }

    /// Begins a frame at `now` seconds and uploads some of the queued tiles. Returns whether more are queued.
    pub fn begin_frame(&mut self, now: f64) -> bool {
        self.frame += 1;
        self.now = now;
        for _ in 0..UPLOADS_PER_FRAME {
            let Some(next) = self.waiting.pop_front() else { break };
            self.upload(&next);
        }
        !self.waiting.is_empty()
    }

    fn upload(&mut self, &Waiting { key, ref tile, lasting }: &Waiting) {
        let before = self.slots.get(&key).copied();
        let known = before.map(|slot| slot.layer);
        // If there is no free layer, every layer is drawn in this frame: the view needs more tiles than the
        // atlas holds, and coarser tiles stay in place of the others.
        let Some(layer) = known.or_else(|| self.free.pop()).or_else(|| self.evict_oldest()) else {
            return;
        };
        let (width, height) = tile.pixels.dimensions();
        self.queue.write_texture(
            wgpu::TexelCopyTextureInfo {
                texture: &self.texture,
                mip_level: 0,
                origin: wgpu::Origin3d { x: 0, y: 0, z: layer },
                aspect: wgpu::TextureAspect::All,
            },
            tile.pixels.as_raw(),
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * width), rows_per_image: None },
            wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        );
        // A tile that is already there is replaced at once, without fading.
        let since = before.map_or(self.now, |slot| slot.since);
        let slot = Slot { layer, extent: (width, height), since, lasting, last_drawn: self.frame };
        self.slots.insert(key, slot);
    }

    /// Uploads a tile at once, to be drawn at full opacity. Any tile except those in `keep` may be evicted
    /// for it.
    pub fn place(&mut self, key: TileKey, tile: Arc<DisplayTile>, keep: &[TileKey]) {
        if self.free.is_empty()
            && let Some(evicted) = self.slots.keys().find(|key| !keep.contains(key)).copied()
        {
            self.free.extend(self.slots.remove(&evicted).map(|slot| slot.layer));
        }
        self.put_back(key, tile, false);
    }

    /// Uploads a tile that was seen before at once, to be drawn at full opacity. A `lasting` tile is evicted
    /// last.
    pub fn put_back(&mut self, key: TileKey, tile: Arc<DisplayTile>, lasting: bool) {
        self.upload(&Waiting { key, tile, lasting });
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.since = f64::NEG_INFINITY;
        }
    }

    fn evict_oldest(&mut self) -> Option<u32> {
        // Tiles drawn in the previous frame may still be drawn in this one.
        let droppable = self.slots.iter().filter(|(_, slot)| slot.last_drawn + 1 < self.frame);
        let key = *droppable.min_by_key(|(_, slot)| (slot.lasting, slot.last_drawn))?.0;
        self.slots.remove(&key).map(|slot| slot.layer)
    }

    /// Returns the state of a tile for planning a view.
    pub fn state(&self, key: TileKey) -> TileState {
        match self.slots.get(&key) {
            Some(slot) if self.now - slot.since >= FADE_SECONDS => TileState::Shown,
            Some(_) => TileState::Fading,
            None if self.is_waiting(key) => TileState::Waiting,
            None if self.gaps.contains_key(&key) => TileState::Failed,
            None => TileState::Missing,
        }
    }

    /// Whether the tile is decoded and waits for its upload.
    fn is_waiting(&self, key: TileKey) -> bool {
        self.waiting.iter().any(|waiting| waiting.key == key)
    }

    /// Marks a tile as drawn in this frame. Returns its slot and opacity (0 to 1).
    pub fn draw(&mut self, key: TileKey) -> Option<(Slot, f32)> {
        let slot = self.slots.get_mut(&key)?;
        slot.last_drawn = self.frame;
        let opacity = ((self.now - slot.since) / FADE_SECONDS).clamp(0.0, 1.0);
        Some((*slot, opacity as f32))
    }

    /// The unreadable parts of a slide's tiles.
    pub fn gaps(&self, slide: SlideKey) -> impl Iterator<Item = (&TileKey, &Gap)> {
        let of_slide = self.gaps.iter().filter(move |(key, _)| key.slide == slide);
        of_slide.flat_map(|(key, gaps)| gaps.iter().map(move |gap| (key, gap)))
    }

    /// Forgets which tiles of a slide could not be read, so that they are requested again.
    pub fn forget_gaps(&mut self, slide: SlideKey) {
        self.gaps.retain(|key, _| key.slide != slide);
    }

    /// Removes all tiles of a slide.
    pub fn remove_slide(&mut self, slide: SlideKey) {
        self.forget_gaps(slide);
        self.waiting.retain(|waiting| waiting.key.slide != slide);
        let removed: Vec<TileKey> = self.slots.keys().filter(|key| key.slide == slide).copied().collect();
        for key in removed {
            self.free.extend(self.slots.remove(&key).map(|slot| slot.layer));
        }
    }
}
