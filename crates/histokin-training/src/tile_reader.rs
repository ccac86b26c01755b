//! Tiles as the network is to see them before they are changed at random; what was read once is kept on the
//! disk, without loss, so that no slide is decoded and normalised for the same tile again.

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

/// Reads tiles, their colours normalised to `reference` where there is one.
pub struct TileReader {
    reference: Option<LabStatistics>,
    cache: Option<TileCache>,
}

impl TileReader {
    /// Keeps nothing.
    pub fn new(reference: Option<LabStatistics>) -> Self {
        Self { reference, cache: None }
    }

    /// Keeps tiles in a nameless file of `folder`, of at most `budget` bytes (0 for none); it is gone when the
    /// reader is, however the program ends. Where the file cannot be made tiles are read anew each time.
    pub fn with_cache(reference: Option<LabStatistics>, folder: &Path, budget: u64) -> Self {
        let cache = (budget > 0).then(|| TileCache::new(folder, budget)).and_then(|cache| {
            cache
                .inspect_err(|error| {
                    tracing::warn!("{}: tiles are not kept on the disk ({error})", folder.display());
                })
                .ok()
        });
        Self { reference, cache }
    }

    /// # Errors
    /// [`SlideError::Read`] when the slide cannot deliver its pixels.
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

    /// Give the room on the disk back, for what matters more; whether there was any. Nothing is kept from then on.
    pub fn give_back_room(&self) -> bool {
        self.cache.as_ref().is_some_and(TileCache::give_back)
    }

    /// Bytes of tiles on the disk.
    pub fn cached_bytes(&self) -> u64 {
        self.cache.as_ref().map_or(0, |cache| cache.lock().end)
    }
}

/// Compressed tiles one after the other in one file. Nothing is ever let go: tiles are drawn at random, and one is as
/// likely to be wanted again as another.
struct TileCache {
    state: Mutex<State>,
    budget: u64,
}

struct State {
    file: File,
    /// Bytes in use.
    end: u64,
    places: HashMap<SlideId, HashMap<Level0Rect, Place>>,
    /// The budget or the disk is used up.
    is_full: bool,
}

/// Where a tile lies in the file.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    length: usize,
}

impl TileCache {
    fn new(folder: &Path, budget: u64) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        let state = State { file, end: 0, places: HashMap::new(), is_full: false };
        Ok(Self { state: Mutex::new(state), budget })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A tile is entered after it has been written whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self) -> bool {
        let mut state = self.lock();
        let had_any = state.end > 0;
        state.places.clear();
        (state.end, state.is_full) = (0, true);
        had_any && state.file.set_len(0).is_ok()
    }

    fn find(&self, slide: &SlideId, rect: &Level0Rect) -> Option<RgbImage> {
        let mut state = self.lock();
        let place = *state.places.get(slide)?.get(rect)?;
        let mut bytes = vec![0; place.length];
        let read = state.file.seek(SeekFrom::Start(place.offset));
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
        if state.is_full || state.places.get(slide).is_some_and(|places| places.contains_key(rect)) {
            return;
        }
        let place = Place { offset: state.end, length: bytes.len() };
        if place.offset + bytes.len() as u64 > self.budget {
            state.is_full = true;
            return;
        }
        let written = state.file.seek(SeekFrom::Start(place.offset));
        if let Err(error) = written.and_then(|_| state.file.write_all(&bytes)) {
            tracing::warn!("no more tiles are kept on the disk ({error})");
            state.is_full = true;
            return;
        }
        state.end += bytes.len() as u64;
        state.places.entry(slide.clone()).or_default().insert(*rect, place);
    }
}

/// As PNG with its quickest useful compression: lossless, so that a kept tile is the tile that was read.
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

    fn rect(place: i64) -> Level0Rect {
        Level0Rect::new(place * 40, 0, 40, 40)
    }

    #[test]
    fn tiles_come_back_bit_by_bit_and_the_budget_holds() {
        let folder = tempfile::tempdir().unwrap();
        let one = compress(&tile(0)).unwrap().len() as u64;
        let cache = TileCache::new(folder.path(), one * 3 + one / 2).unwrap();
        let (a, b) = (SlideId("a".into()), SlideId("b".into()));
        for place in 0..20 {
            cache.keep(&a, &rect(place), &tile(place as u32));
        }
        cache.keep(&b, &rect(0), &tile(99));
        assert!(cache.lock().end <= cache.budget && cache.lock().end > one);
        assert_eq!(cache.find(&a, &rect(0)), Some(tile(0)));
        assert_eq!(cache.find(&a, &rect(1)), Some(tile(1)));
        assert_eq!((cache.find(&a, &rect(19)), cache.find(&b, &rect(0))), (None, None));
        // Nothing of it has a name that a crash could leave behind.
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
