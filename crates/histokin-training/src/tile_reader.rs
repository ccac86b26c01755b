//! Reads tiles as the network gets them before augmentation. They are cached losslessly on disk, so that no
//! tile is decoded and normalised twice.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use image::RgbImage;

use super::slides::TrainingSlide;
use histokin_core::geometry::Level0Rect;
use histokin_core::slide::{SlideError, SlideId};
use histokin_core::stain::LabStatistics;

/// Reads tiles, with their colours normalised to `reference` if given.
pub struct TileReader {
    reference: Option<LabStatistics>,
    cache: Option<TileCache>,
}

impl TileReader {
    /// Creates a reader without a cache.
    pub fn new(reference: Option<LabStatistics>) -> Self {
        Self { reference, cache: None }
    }

    /// Creates a reader that caches tiles in an unnamed file in `folder`, up to `budget` bytes (0 for no
    /// cache). The file disappears with the reader, however the program ends. If it cannot be created, tiles
    /// are not cached.
    pub fn with_cache(reference: Option<LabStatistics>, folder: &Path, budget: u64) -> Self {
        let cache = (budget > 0).then(|| TileCache::new(folder, budget)).and_then(|cache| {
            cache
                .inspect_err(|error| {
                    tracing::warn!("{}: tiles are not cached on disk ({error})", folder.display());
                })
                .ok()
        });
        Self { reference, cache }
    }

    /// Returns the colours to which tiles are normalised, if they are.
    pub fn reference(&self) -> Option<LabStatistics> {
        self.reference
    }

    /// Returns a tile, from the cache if it is there.
    ///
    /// # Errors
    /// Returns [`SlideError::Read`] if the slide's pixels cannot be read.
    pub fn read(&self, slide: &TrainingSlide, rect: &Level0Rect) -> Result<RgbImage, SlideError> {
        let Some(cache) = &self.cache else { return slide.read(rect, self.reference) };
        let id = &slide.source.info().id;
        if let Some(tile) = cache.find(id, rect) {
            return Ok(tile);
        }
        let tile = slide.read(rect, self.reference)?;
        cache.keep(id, rect, &tile);
        Ok(tile)
    }

    /// Deletes the cache to free space on disk, and caches nothing from then on. Returns whether space was
    /// freed.
    pub fn delete_cache(&self) -> bool {
        self.cache.as_ref().is_some_and(TileCache::give_back)
    }

    /// Bytes of tiles cached on disk.
    pub fn cached_bytes(&self) -> u64 {
        self.cache.as_ref().map_or(0, |cache| cache.lock().end)
    }
}

/// Compressed tiles one after the other in one file. None is removed: tiles are drawn at random, so each is
/// equally likely to be needed again.
struct TileCache {
    state: Mutex<State>,
    budget: u64,
}

struct State {
    file: File,
    /// Bytes in use.
    end: u64,
    entries: HashMap<SlideId, HashMap<Level0Rect, Entry>>,
    /// Whether the budget or the disk is used up.
    is_full: bool,
}

/// Position of a tile in the file.
#[derive(Clone, Copy)]
struct Entry {
    offset: u64,
    length: usize,
}

impl TileCache {
    fn new(folder: &Path, budget: u64) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        let state = State { file, end: 0, entries: HashMap::new(), is_full: false };
        Ok(Self { state: Mutex::new(state), budget })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A tile is added only after it has been written completely.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self) -> bool {
        let mut state = self.lock();
        let had_any = state.end > 0;
        state.entries.clear();
        (state.end, state.is_full) = (0, true);
        had_any && state.file.set_len(0).is_ok()
    }

    fn find(&self, slide: &SlideId, rect: &Level0Rect) -> Option<RgbImage> {
        let mut state = self.lock();
        let entry = *state.entries.get(slide)?.get(rect)?;
        let mut bytes = vec![0; entry.length];
        let read = state.file.seek(SeekFrom::Start(entry.offset));
        let read = read.and_then(|_| state.file.read_exact(&mut bytes));
        drop(state);
        read.ok()?;
        decompress(&bytes)
    }

    fn keep(&self, slide: &SlideId, rect: &Level0Rect, tile: &RgbImage) {
        if self.lock().is_full {
            return;
        }
        let Some(bytes) = compress(tile) else { return };
        let mut state = self.lock();
        if state.is_full || state.entries.get(slide).is_some_and(|entries| entries.contains_key(rect)) {
            return;
        }
        let entry = Entry { offset: state.end, length: bytes.len() };
        if entry.offset + bytes.len() as u64 > self.budget {
            state.is_full = true;
            return;
        }
        let written = state.file.seek(SeekFrom::Start(entry.offset));
        if let Err(error) = written.and_then(|_| state.file.write_all(&bytes)) {
            tracing::warn!("no more tiles are cached on disk ({error})");
            state.is_full = true;
            return;
        }
        state.end += bytes.len() as u64;
        state.entries.entry(slide.clone()).or_default().insert(*rect, entry);
    }
}

/// Compresses a tile as PNG at a fast setting; lossless, so that a cached tile equals the tile that was read.
fn compress(tile: &RgbImage) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(tile.as_raw().len() / 2);
    let mut encoder = png::Encoder::new(&mut bytes, tile.width(), tile.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(tile.as_raw()).ok()?;
    writer.finish().ok()?;
    Some(bytes)
}

fn decompress(bytes: &[u8]) -> Option<RgbImage> {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().ok()?;
    let mut pixels = vec![0; reader.output_buffer_size()?];
    let info = reader.next_frame(&mut pixels).ok()?;
    RgbImage::from_raw(info.width, info.height, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(seed: u32) -> RgbImage {
        RgbImage::from_fn(40, 40, |x, y| {
            image::Rgb([(x * 5 + seed) as u8, (y * y * 3) as u8, (x * y + seed) as u8])
        })
    }

    fn rect(index: i64) -> Level0Rect {
        Level0Rect::new(index * 40, 0, 40, 40)
    }

    #[test]
    fn tiles_come_back_bit_by_bit_and_the_budget_holds() {
        let folder = tempfile::tempdir().unwrap();
        let one = compress(&tile(0)).unwrap().len() as u64;
        let cache = TileCache::new(folder.path(), one * 3 + one / 2).unwrap();
        let (a, b) = (SlideId("a".into()), SlideId("b".into()));
        for index in 0..20 {
            cache.keep(&a, &rect(index), &tile(index as u32));
        }
        cache.keep(&b, &rect(0), &tile(99));
        assert!(cache.lock().end <= cache.budget && cache.lock().end > one);
        assert_eq!(cache.find(&a, &rect(0)), Some(tile(0)));
        assert_eq!(cache.find(&a, &rect(1)), Some(tile(1)));
        assert_eq!((cache.find(&a, &rect(19)), cache.find(&b, &rect(0))), (None, None));
        // The file has no name that would remain after a crash.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn room_that_was_given_back_is_not_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TileCache::new(folder.path(), u64::MAX).unwrap();
        let slide = SlideId("a".into());
        assert!(!cache.give_back(), "there was nothing");
        let cache = TileCache::new(folder.path(), u64::MAX).unwrap();
        cache.keep(&slide, &rect(0), &tile(0));
        assert!(cache.give_back());
        cache.keep(&slide, &rect(1), &tile(1));
        assert_eq!((cache.find(&slide, &rect(0)), cache.find(&slide, &rect(1))), (None, None));
        assert_eq!(cache.lock().file.metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_disk_that_takes_no_more_ends_the_keeping_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TileCache::new(folder.path(), u64::MAX).unwrap();
        let slide = SlideId("a".into());
        cache.keep(&slide, &rect(0), &tile(0));
        let path = folder.path().join("read-only");
        std::fs::write(&path, b"").unwrap();
        let good = std::mem::replace(&mut cache.lock().file, File::open(&path).unwrap());
        cache.keep(&slide, &rect(1), &tile(1));
        assert!(cache.lock().is_full);
        cache.lock().file = good;
        assert_eq!((cache.find(&slide, &rect(0)), cache.find(&slide, &rect(1))), (Some(tile(0)), None));
    }
}
