//! Tiles on the graphics card: a texture array of which each layer holds one tile.
//!
//! Tiles wait in a queue of our own until they are uploaded, a few each frame. The least recently drawn
//! tile makes room for a new one; those that show a whole slide go last.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use eframe::wgpu;

use super::tile_plan::TileState;
use crate::slide::pyramid::{DISPLAY_TILE_PX, DisplayTile, Gap, SlideKey, TileKey};

/// Most layers that are used, at 1 MiB each; every graphics card has as many.
pub const LAYERS: u32 = 256;
/// Uploads take about 0.15 ms each: this many keep a frame short, and are a whole view of a usual screen.
const UPLOADS_PER_FRAME: usize = 16;
/// Seconds over which a tile fades in over what is coarser.
const FADE_SECONDS: f64 = 0.14;

/// Tiles on the graphics card and on their way there.
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

/// One tile on the graphics card.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    pub layer: u32,
    /// Extent in texels.
    pub extent: (u32, u32),
    since: f64,
    lasting: bool,
    last_drawn: u64,
}

impl TileAtlas {
    /// Room for `most` tiles, or for as many as a texture array of the device has layers.
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
            // Not the sRGB variant: colours must arrive on the screen as they are in the slide, bit by bit.
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

    pub fn texture(&self) -> &wgpu::Texture {
        &self.texture
    }

    /// Take a decoded tile over for upload. A `lasting` one makes room last of all.
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

    /// Begin a frame at `now` seconds and upload some of what waits; whether more has to follow.
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
        // Without room every layer is drawn in this very frame: the view is larger than the card can hold,
        // and its coarser stand-ins remain.
        let Some(layer) = known.or_else(|| self.free.pop()).or_else(|| self.push_out_oldest()) else {
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
        // Better pixels of a tile that is there already take the place of the others at once.
        let since = before.map_or(self.now, |slot| slot.since);
        let slot = Slot { layer, extent: (width, height), since, lasting, last_drawn: self.frame };
        self.slots.insert(key, slot);
    }

    /// Put a tile on the graphics card at once, to be drawn in full. Any tile may make room for it but those
    /// to `keep`.
    pub fn place(&mut self, key: TileKey, tile: Arc<DisplayTile>, keep: &[TileKey]) {
        if self.free.is_empty()
            && let Some(gone) = self.slots.keys().find(|key| !keep.contains(key)).copied()
        {
            self.free.extend(self.slots.remove(&gone).map(|slot| slot.layer));
        }
        self.put_back(key, tile, false);
    }

    /// Put a tile that was seen before on the graphics card at once, to be drawn in full. A `lasting` one makes
    /// room last of all.
    pub fn put_back(&mut self, key: TileKey, tile: Arc<DisplayTile>, lasting: bool) {
        self.upload(&Waiting { key, tile, lasting });
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.since = f64::NEG_INFINITY;
        }
    }

    fn push_out_oldest(&mut self) -> Option<u32> {
        // What the last frame drew may still be on its way to the screen in this one.
        let droppable = self.slots.iter().filter(|(_, slot)| slot.last_drawn + 1 < self.frame);
        let key = *droppable.min_by_key(|(_, slot)| (slot.lasting, slot.last_drawn))?.0;
        self.slots.remove(&key).map(|slot| slot.layer)
    }

    pub fn state(&self, key: TileKey) -> TileState {
        match self.slots.get(&key) {
            Some(slot) if self.now - slot.since >= FADE_SECONDS => TileState::Shown,
            Some(_) => TileState::Fading,
            None if self.is_waiting(key) => TileState::Waiting,
            None if self.gaps.contains_key(&key) => TileState::Failed,
            None => TileState::Missing,
        }
    }

    /// Whether the tile is decoded and only has to be uploaded.
    fn is_waiting(&self, key: TileKey) -> bool {
        self.waiting.iter().any(|waiting| waiting.key == key)
    }

    /// Note that a tile is drawn in this frame; where it lies, and its opacity (0 to 1).
    pub fn draw(&mut self, key: TileKey) -> Option<(Slot, f32)> {
        let slot = self.slots.get_mut(&key)?;
        slot.last_drawn = self.frame;
        let opacity = ((self.now - slot.since) / FADE_SECONDS).clamp(0.0, 1.0);
        Some((*slot, opacity as f32))
    }

    /// What could not be read of a slide's tiles.
    pub fn gaps(&self, slide: SlideKey) -> impl Iterator<Item = (&TileKey, &Gap)> {
        let of_slide = self.gaps.iter().filter(move |(key, _)| key.slide == slide);
        of_slide.flat_map(|(key, gaps)| gaps.iter().map(move |gap| (key, gap)))
    }

    /// Forget that tiles of a slide could not be read, so that they are tried again.
    pub fn forget_gaps(&mut self, slide: SlideKey) {
        self.gaps.retain(|key, _| key.slide != slide);
    }

    /// Let everything of a slide go.
    pub fn remove_slide(&mut self, slide: SlideKey) {
        self.forget_gaps(slide);
        self.waiting.retain(|waiting| waiting.key.slide != slide);
        let gone: Vec<TileKey> = self.slots.keys().filter(|key| key.slide == slide).copied().collect();
        for key in gone {
            self.free.extend(self.slots.remove(&key).map(|slot| slot.layer));
        }
    }
}
