//! Features of a frozen network, kept on disk: the head alone learns from them, without reading a tile again.
//!
//! ```text
//! PROJECT/features/NETWORK/SLIDE-TILES.safetensors      features, f16 [tiles × views, F]
//! ```
//!
//! NETWORK stands for the weights and for everything that decides how tiles are read and changed, so that other heads
//! find the same features again. The folder is a cache: it may be deleted at any time, and what other networks, or this
//! one on other slides, left there is removed when the space is needed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use std::{fs, io};

use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, TchError, Tensor};

use super::augment::augment;
use super::config::TrainingConfig;
use super::control::Control;
use super::kept_rows::{KeptRows, PICTURES};
use super::slides::TrainingSlide;
use super::tile_reader::TileReader;
use super::{Progress, TrainingError};
use histokin_core::durable;
use histokin_core::geometry::Level0Rect;
use histokin_core::number_format::grouped;
use histokin_encoder::DescriptorBatch;
use histokin_encoder::fitting::LinearHead;
use histokin_encoder::prototypes::{PrototypeFit, PrototypeSettings};
use histokin_encoder::trainable::TrainableNetwork;
use histokin_encoder::weights::{self, Tensors};

/// Name of the tensor in a file.
const TENSOR: &str = "features";

/// Bytes of a stored number.
const NUMBER: u64 = 2;

/// Number of digits of NETWORK in the folder's name.
const DIGITS: usize = 16;

/// Number of tiles at a time to which prototypes are fitted.
const PART: usize = 4096;

/// The features of all views of all tiles of some slides.
pub(super) struct KeptFeatures {
    /// 16-bit numbers `[rows, F]`.
    values: Tensor,
    /// Where they are.
    pub rows: Arc<KeptRows>,
}

impl KeptFeatures {
    /// Returns the features of some rows, as 32-bit numbers.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn of(&self, rows: &[i64], network: &TrainableNetwork) -> Result<Tensor, TchError> {
        let rows = self.values.f_index_select(0, &Tensor::f_from_slice(rows)?)?;
        rows.f_to_device(network.device())?.f_to_kind(Kind::Float)
    }

    /// Fits a head of prototypes to the first view of all tiles.
    ///
    /// # Errors
    /// [`TrainingError::Torch`] if libtorch fails; [`TrainingError::Encoder`] if there are too few tiles.
    pub fn prototypes(&self, settings: PrototypeSettings) -> Result<LinearHead, TrainingError> {
        let width = self.values.size()[1] as usize;
        let mut fit = PrototypeFit::new(width, settings)?;
        let mut rows: Vec<i64> = self.rows.slides.iter().flat_map(HashMap::values).copied().collect();
        rows.sort_unstable();
        for part in rows.chunks(PART) {
            let read = || -> Result<Vec<f32>, TchError> {
                numbers(&self.values.f_index_select(0, &Tensor::f_from_slice(part)?)?.f_to_kind(Kind::Float)?)
            };
            let values = read().map_err(|error| TrainingError::torch("reading kept features", &error))?;
            fit.add(&DescriptorBatch { values, width })?;
        }
        Ok(fit.head()?.head)
    }
}

/// Computes features, or reads those that were computed before.
pub(super) struct Keeper<'a> {
    pub network: &'a TrainableNetwork,
    pub reader: &'a TileReader,
    pub config: &'a TrainingConfig,
    /// The project's folder of features.
    pub folder: PathBuf,
    pub control: &'a Control,
}

/// The features of one slide, `[tiles × views, F]`; those of a tile that could not be read are not numbers.
type OfSlide = Tensor;

impl Keeper<'_> {
    /// Returns the features of all tiles of `slides`; `None` if the user stopped meanwhile. What is finished is kept.
    ///
    /// # Errors
    /// [`TrainingError::Config`] if they take more space than the settings allow; [`TrainingError::File`] if a file
    /// cannot be written.
    pub fn keep(
        &self,
        slides: &[TrainingSlide],
        send: &mut dyn FnMut(Progress),
    ) -> Result<Option<KeptFeatures>, TrainingError> {
        let Some(width) = self.network.features_alone() else {
            return Err(TrainingError::Config(format!(
                "{} has a stain switch, which looks at the tiles themselves: set kept_views to 0, or start from another \
                 encoder",
                self.config.init
            )));
        };
        let folder = self.folder.join(self.name()?);
        let total: usize = slides.iter().map(|slide| slide.tiles.len()).sum();
        let paths: Vec<PathBuf> = slides.iter().map(|slide| folder.join(file_name(slide))).collect();
        let needed = (total * self.config.kept_views * width) as u64 * NUMBER;
        self.make_room(&folder, &paths, needed, total)?;
        let mut left: usize = slides
            .iter()
            .zip(&paths)
            .filter(|(_, path)| !path.is_file())
            .map(|(slide, _)| slide.tiles.len())
            .sum();
        let torch = |error: TchError| TrainingError::torch("keeping features", &error);
        let shape = [(total * self.config.kept_views) as i64, width as i64];
        // Filled slide by slide, so that features are in memory once.
        let values = Tensor::f_zeros(shape, (Kind::Half, Device::Cpu)).map_err(torch)?;
        let (mut of_slides, mut first) = (Vec::with_capacity(slides.len()), 0);
        let (began, mut done) = (Instant::now(), 0);
        for (slide, path) in slides.iter().zip(&paths) {
            let known = self.known(path, slide.tiles.len(), width);
            let of_slide = match known {
                Some(known) => known,
                None => {
                    let mut report = |count: usize| {
                        done += count;
                        left = left.saturating_sub(count);
                        let each = began.elapsed().as_secs_f64() / done.max(1) as f64;
                        let seconds_left = each * left as f64;
                        send(Progress::Keeping { done: total - left, total, seconds_left });
                    };
                    let Some((computed, unread)) = self.compute(slide, &mut report)? else { return Ok(None) };
                    // Tiles that could not be read may be readable next time, when a drive is back.
                    match unread {
                        0 => self.write(path, &computed)?,
                        _ => send(Progress::Notice(format!(
                            "{}: {} tiles could not be read and are left out; the features of this slide are \
                             computed again next time",
                            slide.name(),
                            grouped(unread as u64)
                        ))),
                    }
                    computed
                }
            };
            of_slides.push(self.rows_of(slide, &of_slide, first).map_err(torch)?);
            let rows = of_slide.size()[0];
            values.f_narrow(0, first, rows).and_then(|mut own| own.f_copy_(&of_slide)).map_err(torch)?;
            first += rows;
        }
        let rows = Arc::new(KeptRows { views: self.config.kept_views, slides: of_slides });
        Ok(Some(KeptFeatures { values, rows }))
    }

    /// Returns the name of the folder for this network and this way to read tiles.
    fn name(&self) -> Result<String, TrainingError> {
        let TrainingConfig { augmentation, kept_views, seed, tile_px, mpp, .. } = self.config;
        let reading = serde_json::json!({
            "augmentation": augmentation,
            "views": kept_views,
            "seed": seed,
            "tile_px": tile_px,
            "mpp": mpp,
            "stain": self.reader.reference(),
        });
        Ok(self.network.features_id(&reading.to_string())?.chars().take(DIGITS).collect())
    }

    /// Removes what other networks left, and this one of other tiles, until the files `wanted` in the folder `own` fit
    /// into the space that the settings allow: `needed` bytes for `tiles` tiles.
    fn make_room(
        &self,
        own: &Path,
        wanted: &[PathBuf],
        needed: u64,
        tiles: usize,
    ) -> Result<(), TrainingError> {
        let allowed = self.config.kept_features_mb << 20;
        if needed > allowed {
            let views = self.config.kept_views;
            return Err(TrainingError::Config(format!(
                "the features of {} tiles, {views} views of each, take {} MB, more than kept_features_mb = {} allows: \
                 raise it, or train on fewer slides or with fewer views (kept_views)",
                grouped(tiles as u64),
                grouped(needed.div_ceil(1 << 20)),
                self.config.kept_features_mb
            )));
        }
        fs::create_dir_all(own).map_err(|error| failed(own, &durable::advised(error)))?;
        let entries = |folder: &Path| {
            let entries = fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
            Ok::<_, TrainingError>(entries.flatten().map(|entry| entry.path()))
        };
        let networks = entries(&self.folder)?.filter(|path| path != own && is_of_network(path));
        let slides = entries(own)?.filter(|path| !wanted.contains(path));
        let mut others: Vec<(std::time::SystemTime, PathBuf, u64)> = networks
            .chain(slides)
            .map(|path| {
                let changed = fs::metadata(&path).and_then(|data| data.modified());
                let bytes = bytes_of(&path);
                (changed.unwrap_or(std::time::UNIX_EPOCH), path, bytes)
            })
            .collect();
        others.sort();
        let mut used: u64 = others.iter().map(|(.., bytes)| bytes).sum();
        for (_, path, bytes) in others {
            if used + needed <= allowed {
                break;
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|error| failed(&path, &error))?;
            used -= bytes;
        }
        Ok(())
    }

    /// Reads the features of a slide; `None` if there are none, or none that can be used.
    fn known(&self, path: &Path, tiles: usize, width: usize) -> Option<OfSlide> {
        let bytes = fs::read(path).ok()?;
        let found = weights::parse(path, &bytes).ok()?.remove(TENSOR)?;
        let expected = [(tiles * self.config.kept_views) as i64, width as i64];
        (found.size() == expected).then(|| found.f_to_kind(Kind::Half).ok()).flatten()
    }

    /// Computes the features of a slide, and returns them with the number of tiles that could not be read; `report` is
    /// told how many more tiles are done. `None` if the user stopped meanwhile.
    fn compute(
        &self,
        slide: &TrainingSlide,
        report: &mut dyn FnMut(usize),
    ) -> Result<Option<(OfSlide, usize)>, TrainingError> {
        let views = self.config.kept_views;
        let seed = fold(slide.source.info().id.0.as_bytes(), self.config.seed);
        let (mut parts, mut lost) = (Vec::new(), 0);
        for (chunk, tiles) in slide.tiles.chunks((PICTURES / views).max(1)).enumerate() {
            self.control.wait_while_paused();
            if self.control.is_stopped() {
                return Ok(None);
            }
            let first = chunk * (PICTURES / views).max(1);
            let mut pictures: Vec<RgbImage> = Vec::with_capacity(tiles.len() * views);
            let mut unread = Vec::new();
            for (index, rect) in tiles.iter().enumerate() {
                let picture = self.reader.read(slide, rect).unwrap_or_else(|error| {
                    tracing::warn!("{error}");
                    unread.push(index);
                    RgbImage::new(slide.grid.tile_px, slide.grid.tile_px)
                });
                for view in 0..views {
                    let mut random = ChaCha8Rng::seed_from_u64(seed);
                    random.set_stream(((first + index) * views + view) as u64);
                    pictures.push(augment(picture.clone(), &self.config.augmentation, &mut random));
                }
            }
            let part = self
                .features(&pictures, &unread)
                .map_err(|error| TrainingError::torch("computing features", &error))?;
            parts.push(part);
            lost += unread.len();
            report(tiles.len());
        }
        let all = Tensor::f_cat(&parts, 0);
        let all = all.map_err(|error| TrainingError::torch("computing features", &error))?;
        Ok(Some((all, lost)))
    }

    fn features(&self, pictures: &[RgbImage], unread: &[usize]) -> Result<Tensor, TchError> {
        let pooled = self.network.pooled(&self.network.images(pictures)?)?;
        let pooled = pooled.f_to_device(Device::Cpu)?.f_to_kind(Kind::Half)?;
        let views = self.config.kept_views as i64;
        for tile in unread {
            let mut rows = pooled.f_narrow(0, *tile as i64 * views, views)?;
            let _ = rows.f_fill_(f64::NAN)?;
        }
        Ok(pooled)
    }

    fn write(&self, path: &Path, features: &Tensor) -> Result<(), TrainingError> {
        let tensors = Tensors::from([(TENSOR.to_owned(), features.shallow_clone())]);
        let bytes = weights::halved(&tensors, path)?;
        durable::write(path, &bytes).map_err(|error| failed(path, &durable::advised(error)))
    }

    /// Returns the row of the first view of each tile of a slide that could be read; the first of all is row `first`.
    fn rows_of(
        &self,
        slide: &TrainingSlide,
        features: &OfSlide,
        first: i64,
    ) -> Result<HashMap<Level0Rect, i64>, TchError> {
        let views = self.config.kept_views;
        let sums = numbers(&features.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Float)?)?;
        let is_read = |index: usize| sums[index * views..][..views].iter().all(|sum| sum.is_finite());
        let tiles = slide.tiles.iter().enumerate().filter(|(index, _)| is_read(*index));
        Ok(tiles.map(|(index, rect)| (*rect, first + (index * views) as i64)).collect())
    }
}

/// Returns the name of the file for a slide with these tiles.
fn file_name(slide: &TrainingSlide) -> String {
    let tiles = slide.tiles.iter().fold(0, |hash, rect| {
        let numbers = [rect.x, rect.y, i64::from(rect.width), i64::from(rect.height)];
        numbers.iter().fold(hash, |hash, number| fold(&number.to_le_bytes(), hash))
    });
    format!("{}-{tiles:016x}.safetensors", slide.source.info().id)
}

/// Adds bytes to a hash (Fowler, Noll, Vo: FNV-1a).
fn fold(bytes: &[u8], hash: u64) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes
        .iter()
        .fold(hash ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// Whether `path` is a folder that [`Keeper::name`] named; others in the folder of features are left alone.
fn is_of_network(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.is_dir() && name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the size of a file, or of all files in a folder.
fn bytes_of(path: &Path) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |data| data.len());
    match fs::read_dir(path) {
        Ok(files) => files.flatten().map(|file| size(&file.path())).sum(),
        Err(_) => size(path),
    }
}

fn failed(path: &Path, error: &io::Error) -> TrainingError {
    TrainingError::File { path: path.to_owned(), reason: error.to_string() }
}

/// Copies 32-bit numbers from a tensor on the CPU.
fn numbers(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    let mut values = vec![0.0_f32; tensor.numel()];
    let count = values.len();
    tensor.f_contiguous()?.f_copy_data(&mut values, count)?;
    Ok(values)
}
