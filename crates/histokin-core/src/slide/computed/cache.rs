//! Disk cache of tiles of computed levels: one folder per slide, one file per tile.
//!
//! The folder may be deleted at any time. A truncated or modified file is detected by its checksum, deleted
//! and computed again. The total size of all files is limited; the least recently used slides are deleted
//! first.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::SystemTime;

use image::{DynamicImage, ImageFormat, RgbaImage};
use sha2::{Digest, Sha256};

use super::super::SlideInfo;
use super::super::channel::display_id;
use crate::untrusted;

/// Has to be increased when tiles are computed or written differently.
const VERSION: u32 = 1;

/// The first bytes of a file; the CRC-32 of the rest follows, then a PNG.
const MAGIC: &[u8; 8] = b"HKTILE1\n";

/// Maximum size in bytes of all files together.
const LIMIT: u64 = 2 << 30;

/// Bytes written after which the limit is checked again.
const CHECKED_EVERY: u64 = 256 << 20;

/// Largest file in bytes that is read: a tile of noise.
const LARGEST: u64 = 4 << 20;

/// File whose modification time is the time at which the slide was last used.
const USED: &str = "used";

/// Where tiles are stored; nowhere until [`keep_in`] is called.
static FOLDER: RwLock<Option<PathBuf>> = RwLock::new(None);

/// Stores computed levels in `folder` from now on, or in memory only if it is `None`. Does not affect slides
/// that are already open.
pub fn keep_in(folder: Option<PathBuf>) {
    *FOLDER.write().unwrap_or_else(PoisonError::into_inner) = folder;
}

/// The stored tiles of one slide.
pub(super) struct TileCache {
    /// The folder of all slides; `None` if tiles are not stored.
    root: Option<PathBuf>,
    /// Name of the slide's folder.
    name: String,
    /// Bytes written since the limit was last checked; initialised so that the first write checks it.
    written: AtomicU64,
    /// Whether this slide alone takes up the whole limit.
    is_full: AtomicBool,
}

impl TileCache {
    /// The cache of a slide whose file has `file_size` bytes, in the folder set by [`keep_in`].
    pub fn of(info: &SlideInfo, file_size: u64) -> Self {
        let root = FOLDER.read().unwrap_or_else(PoisonError::into_inner).clone();
        Self::in_folder(info, file_size, root)
    }

    /// Like [`of`](Self::of), with `root` as the folder of all slides.
    pub fn in_folder(info: &SlideInfo, file_size: u64, root: Option<PathBuf>) -> Self {
        let mut hash = Sha256::new();
        hash.update(VERSION.to_le_bytes());
        hash.update(info.id.0.as_bytes());
        hash.update(file_size.to_le_bytes());
        for level in &info.levels {
            hash.update(level.width.to_le_bytes());
            hash.update(level.height.to_le_bytes());
        }
        if let Some(display) = display_id(&info.channels) {
            hash.update(display.as_bytes());
        }
        let name = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let cache =
            Self { root, name, written: AtomicU64::new(CHECKED_EVERY), is_full: AtomicBool::new(false) };
        if let Some(folder) = cache.folder().filter(|folder| folder.is_dir()) {
            note_use(&folder);
        }
        cache
    }

    fn folder(&self) -> Option<PathBuf> {
        self.root.as_ref().map(|root| root.join(&self.name))
    }

    /// Number of stored tiles.
    pub fn count(&self) -> usize {
        let entries = self.folder().and_then(|folder| fs::read_dir(folder).ok());
        let is_tile = |path: &Path| path.extension().is_some_and(|ending| ending == "tile");
        entries.into_iter().flatten().flatten().filter(|entry| is_tile(&entry.path())).count()
    }

    /// Returns the tile of this name if it is stored, intact and of this size.
    pub fn get(&self, name: &str, (width, height): (u32, u32)) -> Option<RgbaImage> {
        let path = self.folder()?.join(format!("{name}.tile"));
        if !path.exists() {
            return None;
        }
        let tile = untrusted::read(&path, LARGEST).ok().and_then(|bytes| decode(&bytes, width, height));
        if tile.is_none() {
            tracing::warn!("{}: damaged; computing it again", path.display());
            // If it cannot be deleted, it is replaced or found damaged again.
            let _ = fs::remove_file(&path);
        }
        tile
    }

    /// Stores a tile and returns whether it was stored. A tile that cannot be written is computed again when
    /// it is needed.
    pub fn put(&self, name: &str, tile: &RgbaImage) -> bool {
        let (Some(root), Some(folder)) = (&self.root, self.folder()) else { return false };
        let written = encode(tile).and_then(|bytes| {
            if self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed) >= CHECKED_EVERY {
                self.written.store(0, Ordering::Relaxed);
                let left = prune(root, &self.name, LIMIT);
                self.is_full.store(left > LIMIT, Ordering::Relaxed);
            }
            if self.is_full.load(Ordering::Relaxed) {
                return Ok(false);
            }
            fs::create_dir_all(&folder)?;
            note_use(&folder);
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            file.write_all(&bytes)?;
            file.persist(folder.join(format!("{name}.tile"))).map_err(|error| error.error)?;
            Ok(true)
        });
        written.unwrap_or_else(|error| {
            tracing::debug!("{}: a computed tile was not stored: {error}", folder.display());
            false
        })
    }
}

/// Records the current time as the time of use.
fn note_use(folder: &Path) {
    let touched = File::create(folder.join(USED)).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        tracing::debug!("{}: {error}", folder.display());
    }
}

fn encode(tile: &RgbaImage) -> std::io::Result<Vec<u8>> {
    let picture = DynamicImage::ImageRgba8(tile.clone());
    let is_opaque = tile.pixels().all(|pixel| pixel.0[3] == 255);
    let picture = if is_opaque { DynamicImage::ImageRgb8(picture.into_rgb8()) } else { picture };
    let mut bytes = [&MAGIC[..], &[0; 4]].concat();
    let start = bytes.len() as u64;
    let mut cursor = Cursor::new(&mut bytes);
    cursor.set_position(start);
    picture.write_to(&mut cursor, ImageFormat::Png).map_err(std::io::Error::other)?;
    let checksum = crc32fast::hash(&bytes[MAGIC.len() + 4..]).to_le_bytes();
    bytes[MAGIC.len()..MAGIC.len() + 4].copy_from_slice(&checksum);
    Ok(bytes)
}

fn decode(bytes: &[u8], width: u32, height: u32) -> Option<RgbaImage> {
    let (checksum, png) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    if crc32fast::hash(png) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let mut reader = image::ImageReader::with_format(Cursor::new(png), ImageFormat::Png);
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(width), Some(height));
    reader.limits(limits);
    let tile = reader.decode().ok()?.into_rgba8();
    (tile.dimensions() == (width, height)).then_some(tile)
}

/// Deletes folders of slides under `root`, least recently used first, until at most `limit` bytes are left.
/// `kept` is in use and is not deleted, nor is anything with a name of a different form. Returns the number
/// of bytes left.
fn prune(root: &Path, kept: &str, limit: u64) -> u64 {
    let is_ours = |name: &str| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut folders: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if !is_ours(&name) || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let files = fs::read_dir(&path).into_iter().flatten().flatten();
        let bytes = files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum();
        let used = fs::metadata(path.join(USED)).and_then(|metadata| metadata.modified());
        let used = if name == kept { SystemTime::now() } else { used.unwrap_or(SystemTime::UNIX_EPOCH) };
        folders.push((used, bytes, path));
    }
    folders.sort();
    let mut total: u64 = folders.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, path) in folders {
        if total <= limit || path.ends_with(kept) {
            break;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => total -= bytes,
            Err(error) => tracing::debug!("{}: {error}", path.display()),
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use image::Rgba;

    use super::*;
    use crate::slide::SlideSource;
    use crate::slide::test_slide::TestSlide;

    fn cache(root: &Path, width: u32) -> TileCache {
        TileCache::in_folder(TestSlide::new(width, 10).info(), 7, Some(root.to_owned()))
    }

    #[test]
    fn damaged_tiles_are_thrown_away() {
        let root = tempfile::tempdir().unwrap();
        let cache = cache(root.path(), 10);
        for tile in [
            RgbaImage::from_fn(30, 20, |x, y| Rgba([x as u8, y as u8, 7, 255])),
            RgbaImage::from_fn(30, 20, |x, y| Rgba([x as u8, y as u8, 7, (x * 8) as u8])),
        ] {
            assert!(cache.put("a", &tile));
            assert!(cache.get("a", (30, 20)).unwrap() == tile);
            let file = cache.folder().unwrap().join("a.tile");
            let sound = fs::read(&file).unwrap();
            for at in [0, 9, sound.len() / 2, sound.len() - 1] {
                let mut broken = sound.clone();
                broken[at] ^= 0x10;
                fs::write(&file, &broken).unwrap();
                assert!(cache.get("a", (30, 20)).is_none() && !file.exists(), "byte {at}");
            }
            fs::write(&file, &sound[..sound.len() - 1]).unwrap();
            assert!(cache.get("a", (30, 20)).is_none());
            // A size different from the expected one.
            fs::write(&file, &sound).unwrap();
            assert!(cache.get("a", (20, 30)).is_none());
        }
    }

    #[test]
    fn the_slides_used_least_recently_go_first() {
        let root = tempfile::tempdir().unwrap();
        let tile =
            RgbaImage::from_fn(64, 64, |x, y| Rgba([(x * y) as u8, (x ^ y) as u8, (x * 7) as u8, 255]));
        let mut sizes = 0;
        let caches: Vec<TileCache> = (1..=4).map(|width| cache(root.path(), width)).collect();
        for (age, cache) in caches.iter().enumerate() {
            cache.put("0-0-0", &tile);
            let folder = cache.folder().unwrap();
            let used = SystemTime::now() - std::time::Duration::from_secs(1000 * (1 + age as u64));
            File::options().write(true).open(folder.join(USED)).unwrap().set_modified(used).unwrap();
            sizes = fs::metadata(folder.join("0-0-0.tile")).unwrap().len();
        }
        fs::create_dir(root.path().join("somebody's")).unwrap();
        // The third one is the second oldest and in use.
        prune(root.path(), &caches[2].name, sizes * 2);
        let left: Vec<usize> = caches.iter().map(TileCache::count).collect();
        assert_eq!(left, [1, 0, 1, 0]);
        assert!(root.path().join("somebody's").is_dir());
        assert_eq!(prune(root.path(), &caches[2].name, 0), sizes);
        assert_eq!((caches[0].count(), caches[2].count()), (0, 1));
    }

    #[test]
    fn without_a_folder_nothing_is_kept() {
        let cache = TileCache::in_folder(TestSlide::new(9, 9).info(), 7, None);
        assert!(!cache.put("a", &RgbaImage::new(4, 4)));
        assert!(cache.get("a", (4, 4)).is_none() && cache.count() == 0);
    }
}
