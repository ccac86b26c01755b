//! Slides that are read from TIFF files without OpenSlide.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbaImage;

use super::super::calibration::{self, SlideWarning, Stated, calibrate};
use super::super::channel::{self, ChannelDisplay, SlideChannel};
use super::super::{Level, OpenSettings, Reader, SlideError, SlideInfo, SlideSource};
use super::super::{clip, identity, implausible_size, levels_of_sizes, one_line, transparent};
use super::channels::{self, Sum};
use super::colours::Rendering;
use super::layout::{Evidence, Kind, Layout, Plane, channel_name};
use super::page::Page;
use super::raster::{Raster, most_chunks};
use super::set::{Handles, Stored};
use super::{Refusal, TiffFile, survey};
use crate::geometry::{Downsample, LevelRect, MicronsPerPixel};
use crate::memory::{Budget, Kind as Kept, MemoryCache};

/// Maximum size of a colour profile in bytes.
const MAX_PROFILE_BYTES: u64 = 16 << 20;

/// Maximum number of pixels of an associated image: 8,192 squared.
const MAX_ASSOCIATED_PIXELS: u64 = 1 << 26;

/// Number of pixels above which tiles and strips are decoded one at a time, because each needs much memory.
const LARGE_CHUNK: u64 = 1 << 22;

/// A slide that is read from a TIFF file.
pub(in crate::slide) struct TiffSource {
    info: SlideInfo,
    /// The files that hold its pixels, that at its path first.
    stored: Arc<[Stored]>,
    levels: Vec<TiffLevel>,
    pixels: Pixels,
    associated: BTreeMap<String, (Raster, Rendering)>,
    profile: Option<Vec<u8>>,
    /// Decoded tiles and strips that were only partly used, for the neighbouring regions.
    pub(super) memory_cache: MemoryCache,
    large: Mutex<()>,
    /// Held while rows of a level in strips are reduced, so that two threads do not reduce the same rows.
    pub(super) bands: [Mutex<()>; 8],
}

/// The images that make up a level.
pub(super) struct TiffLevel {
    /// The images, each listed once.
    pub rasters: Vec<Raster>,
    /// Image and sample of each channel; a single entry for the first image if it holds the colours.
    pub planes: Vec<(usize, usize)>,
}

/// How sample values are converted to colours.
enum Pixels {
    Colours(Rendering),
    Channels(Vec<SlideChannel>),
    /// Red, green and blue of a colour image, each in an image or sample of its own.
    ColourPlanes(Vec<SlideChannel>),
}

impl TiffSource {
    /// Opens the slide in `file`. `base` is the metadata from OpenSlide, if OpenSlide recognises the file.
    ///
    /// # Errors
    /// [`Refusal`] when its pixels cannot be shown or it is damaged.
    pub fn open(
        path: &Path,
        mut file: TiffFile,
        base: Option<&SlideInfo>,
        settings: &OpenSettings,
    ) -> Result<Self, Refusal> {
        let images = file.take_images();
        let layout = super::layout::layout(&images)?;
        let mut left = most_chunks(file.size());
        let mut notes = layout.notes.clone();
        let mut levels = vec![level(0, &layout.levels[0], &mut file, &mut left)?];
        let mut evidence = vec![Evidence::Stated];
        for (index, planes) in layout.levels.iter().enumerate().skip(1) {
            match level(index, planes, &mut file, &mut left) {
                Ok(level) => {
                    levels.push(level);
                    evidence.push(layout.evidence(index));
                }
                Err(Refusal::Damaged(reason) | Refusal::Unsupported(reason)) => {
                    let (width, height) = planes[0].page.size();
                    notes.push(format!("its level of {width} × {height} px is not read: {reason}"));
                }
            }
        }
        if let Some(damage) = &file.damage {
            notes.push(format!(
                "further images may be missing, because its list of images is damaged ({damage})"
            ));
        }
        let main = layout.levels[0][0].page;
        if let Some(reason) = implausible_size(levels[0].width(), levels[0].height()) {
            return Err(Refusal::Damaged(reason));
        }
        let pixels = pixels(&layout, &levels, &mut file, &settings.channels, &mut notes)?;
        let mut associated = BTreeMap::new();
        for (name, page) in &layout.associated {
            // An associated image that cannot be read is omitted.
            if let Ok(picture) = picture(page, &mut file, &mut left) {
                associated.insert(name.clone(), picture);
            }
        }
        let profile = match &main.icc {
            Some(entry) => file.tiff_of(main).blob(entry, MAX_PROFILE_BYTES).ok(),
            None => None,
        };
        let mut info = info(path, &file, &layout, &levels, base, settings.user_mpp)?;
        info.associated = associated.keys().cloned().collect();
        record_rendering(&mut info, &pixels, &notes);
        let memory_cache = cache_for(&levels);
        let mut source = Self {
            info,
            stored: file.stored(),
            levels,
            pixels,
            associated,
            profile,
            memory_cache,
            large: Mutex::new(()),
            bands: Default::default(),
        };
        // The instances of a DICOM slide state themselves what they are.
        if layout.kind != Kind::Dicom {
            source.leave_out_other_images(&evidence);
        }
        Ok(source)
    }

    /// Removes a level that is not one.
    pub(super) fn remove_level(&mut self, level: usize) -> Level {
        self.levels.remove(level);
        // Tiles are cached by the number of their level.
        self.memory_cache = cache_for(&self.levels);
        self.info.levels.remove(level)
    }

    /// Sets the downsample of a level.
    pub(super) fn set_downsample(&mut self, level: usize, downsample: Downsample) {
        self.info.levels[level].downsample = downsample;
    }

    /// Width and height of a level's tiles; `None` if it is stored in strips.
    pub(super) fn tile_size(&self, level: usize) -> Option<(u32, u32)> {
        tile_size(&self.levels[level])
    }

    /// Adds a warning about what is not shown.
    pub(in crate::slide) fn add_warning(&mut self, warning: SlideWarning) {
        self.info.warnings.push(warning);
    }

    /// Number of pixels of a tile or strip of a level.
    pub(super) fn pixels_of_chunk(&self, level: usize) -> u64 {
        let grid = &self.levels[level].rasters[0].grid;
        u64::from(grid.tile_width) * u64::from(grid.tile_height)
    }

    /// Whether a level is stored in strips, which span its whole width.
    pub(super) fn is_in_strips(&self, level: u32) -> bool {
        self.levels.get(level as usize).is_some_and(|level| !level.rasters[0].is_tiled)
    }

    /// Returns the RGBA pixels of a whole tile or strip; transparent if it is missing.
    fn chunk(&self, level: &TiffLevel, chunk: usize, files: &mut Handles) -> Result<Vec<u8>, String> {
        let first = &level.rasters[0];
        let pixels = u64::from(first.grid.tile_width) * u64::from(first.rows_of(chunk));
        let _one_at_a_time =
            (pixels > LARGE_CHUNK).then(|| self.large.lock().unwrap_or_else(PoisonError::into_inner));
        let blank = || vec![0; pixels as usize * 4];
        match &self.pixels {
            Pixels::Colours(rendering) => Ok(first
                .read(files.of(first)?, chunk)?
                .map_or_else(blank, |samples| rendering.rgba(&samples))),
            Pixels::Channels(shown) | Pixels::ColourPlanes(shown) => {
                if level.rasters.iter().all(|raster| raster.is_missing(chunk)) {
                    return Ok(blank());
                }
                let mut sum = Sum::new(pixels as usize);
                let visible = shown.iter().zip(&level.planes).filter(|(channel, _)| channel.shown.visible);
                for (SlideChannel { shown, .. }, (raster, sample)) in visible {
                    let raster = &level.rasters[*raster];
                    if let Some(numbers) = raster.read_sample(files.of(raster)?, chunk, *sample)? {
                        sum.add(&numbers, shown);
                    }
                }
                Ok(sum.rgba())
            }
        }
    }

    /// Whether a tile or strip can be decoded straight to where it is shown as a whole. Large ones are decoded elsewhere, one at
    /// a time.
    fn can_draw(&self, level: &TiffLevel, chunk: usize) -> bool {
        let raster = &level.rasters[0];
        let (width, height) = (raster.grid.tile_width, raster.rows_of(chunk));
        let shown = raster.grid.region(0, chunk);
        matches!(&self.pixels, Pixels::Colours(rendering) if rendering.is_plain_rgb())
            && raster.has_plain_rows()
            && (shown.width, shown.height) == (width, height)
            && u64::from(width) * u64::from(height) <= LARGE_CHUNK
            && !raster.is_missing(chunk)
    }

    /// Draws the part of a tile or strip inside `part` onto the canvas of `region`.
    fn draw(
        &self,
        level: &TiffLevel,
        chunk: usize,
        files: &mut Handles,
        part: &LevelRect,
        canvas: &mut RgbaImage,
        region: &LevelRect,
    ) -> Result<(), String> {
        let visible = level.rasters[0].grid.region(region.level, chunk);
        // All positions lie on the level, so no sum overflows.
        let end = |start: i64, length: u32| start + i64::from(length);
        let (left, top) = (visible.x.max(part.x), visible.y.max(part.y));
        let right = end(visible.x, visible.width).min(end(part.x, part.width));
        let bottom = end(visible.y, visible.height).min(end(part.y, part.height));
        let (skipped, length) = ((left - visible.x) as usize * 4, (right - left) as usize * 4);
        let (x, y) = ((left - region.x) as usize, (top - region.y) as usize);
        let pitch = canvas.width() as usize * 4;
        let canvas = canvas.as_flat_samples_mut().samples;
        let is_whole = (right - left, bottom - top) == (visible.width.into(), visible.height.into());
        let key = u64::from(region.level) << 48 | chunk as u64;
        let pixels = match self.memory_cache.get::<Vec<u8>>(key) {
            Some(pixels) => pixels,
            None if is_whole && self.can_draw(level, chunk) => {
                let raster = &level.rasters[0];
                return raster.draw(files.of(raster)?, chunk, &mut canvas[y * pitch + x * 4..], pitch);
            }
            None => {
                let pixels = std::sync::Arc::new(self.chunk(level, chunk, files)?);
                if !is_whole {
                    self.memory_cache.insert(key, pixels.len(), pixels.clone());
                }
                pixels
            }
        };
        let lines = pixels
            .chunks_exact(level.rasters[0].grid.tile_width as usize * 4)
            .skip((top - visible.y) as usize);
        for (line, row) in lines.zip(y..y + (bottom - top) as usize) {
            let start = row * pitch + x * 4;
            canvas[start..start + length].copy_from_slice(&line[skipped..skipped + length]);
        }
        Ok(())
    }

    fn read_region(&self, region: &LevelRect) -> Result<RgbaImage, String> {
        self.read_from(&mut self.files(), region)
    }

    /// Reads a region from `files`, which are the slide's.
    pub(super) fn read_from(&self, files: &mut Handles, region: &LevelRect) -> Result<RgbaImage, String> {
        let mut canvas = transparent(region)?;
        let level = self.levels.get(region.level as usize);
        let level = level.ok_or_else(|| format!("the slide has no level {}", region.level))?;
        let Some(part) = clip(region, level.width(), level.height()) else { return Ok(canvas) };
        for chunk in level.rasters[0].grid.tiles_under(&part) {
            self.draw(level, chunk, files, &part, &mut canvas, region)?;
        }
        Ok(canvas)
    }

    /// The slide's files, to be opened for reading.
    pub(super) fn files(&self) -> Handles {
        Handles::new(self.stored.clone())
    }
}

impl SlideSource for TiffSource {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        self.read_region(region).map_err(|reason| SlideError::Read {
            path: self.info.path.clone(),
            region: *region,
            reason: one_line(&reason),
        })
    }

    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        self.read_reduced_region(region, factor)
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        let (raster, rendering) =
            self.associated.get(name).ok_or_else(|| self.info.no_such_associated(name))?;
        let read = || -> Result<RgbaImage, String> {
            let mut files = self.files();
            let file = files.of(raster)?;
            let mut picture = RgbaImage::new(raster.grid.width, raster.grid.height);
            for chunk in 0..raster.grid.tiles() {
                let Some(samples) = raster.read(file, chunk)? else { continue };
                let (width, height) = (raster.grid.tile_width, raster.rows_of(chunk));
                let pixels = RgbaImage::from_vec(width, height, rendering.rgba(&samples))
                    .ok_or("its pixels are incomplete")?;
                let shown = raster.grid.region(0, chunk);
                image::imageops::replace(&mut picture, &pixels, shown.x, shown.y);
            }
            Ok(picture)
        };
        read().map_err(|reason| SlideError::ReadAssociated {
            path: self.info.path.clone(),
            name: name.to_owned(),
            reason: one_line(&reason),
        })
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        Ok(self.profile.clone())
    }
}

impl TiffLevel {
    fn width(&self) -> u32 {
        self.rasters[0].grid.width
    }

    fn height(&self) -> u32 {
        self.rasters[0].grid.height
    }
}

/// Returns a cache for the tiles and strips of these levels.
fn cache_for(levels: &[TiffLevel]) -> MemoryCache {
    let in_strips = levels.iter().any(|level| level.rasters.iter().any(|raster| !raster.is_tiled));
    MemoryCache::new(Budget::of_process(), if in_strips { Kept::Shown } else { Kept::Shared })
}

/// Finds the images of level `index` of the layout, whose planes are `planes`.
fn level(index: usize, planes: &[Plane], file: &mut TiffFile, left: &mut u64) -> Result<TiffLevel, Refusal> {
    let mut pages: Vec<&Page> = Vec::new();
    let mut level = TiffLevel { rasters: Vec::new(), planes: Vec::new() };
    for plane in planes {
        let raster = match pages.iter().position(|page| std::ptr::eq(*page, plane.page)) {
            Some(raster) => raster,
            None => {
                let known = file.rasters.get_mut(index).filter(|_| pages.is_empty()).and_then(Option::take);
                pages.push(plane.page);
                level.rasters.push(match known {
                    Some(raster) => raster,
                    None => Raster::of(plane.page, file.tiff_of(plane.page), left)?,
                });
                pages.len() - 1
            }
        };
        level.planes.push((raster, plane.sample));
    }
    if level.rasters.iter().any(|raster| raster.grid != level.rasters[0].grid) {
        return Err(Refusal::Unsupported("its channels are stored in tiles of different sizes".to_owned()));
    }
    Ok(level)
}

/// Determines how the pixels of all levels are shown; adds a note about anything that has to be guessed from
/// them.
fn pixels(
    layout: &Layout,
    levels: &[TiffLevel],
    file: &mut TiffFile,
    set: &[ChannelDisplay],
    notes: &mut Vec<String>,
) -> Result<Pixels, Refusal> {
    let page = layout.levels[0][0].page;
    // The coarsest level shows the whole slide with the fewest pixels.
    let coarsest = levels.last().unwrap_or(&levels[0]);
    if layout.channels.is_empty() {
        let mut rendering = rendering(page, &levels[0].rasters[0], file)?;
        let stated = layout.significant_bits.or(page.max_sample.and_then(survey::bits_of));
        let guessed = survey::range(&mut rendering, &coarsest.rasters[0], &mut file.handles, stated);
        notes.extend(guessed);
        return Ok(Pixels::Colours(rendering));
    }
    let are_samples = levels[0].rasters.len() == 1;
    if layout.may_be_colours
        && let Some(planes) = colour_planes(coarsest, &mut file.handles)
    {
        notes.push("its three channels are shown as red, green and blue".to_owned());
        return Ok(Pixels::ColourPlanes(planes));
    }
    let stated = layout.channels.chunks(channels::SHOWN);
    let colours = stated.flat_map(|channels| channels::colours(channels, are_samples));
    let mut shown = Vec::new();
    for (index, colour) in colours.enumerate() {
        let (raster, sample) = coarsest.planes[index];
        let mut numbers = survey::numbers(&coarsest.rasters[raster], Some(sample), &mut file.handles);
        let name = channel_name(&layout.channels, index);
        let (window, values) = channels::window(&mut numbers);
        let visible = index < channels::SHOWN;
        let automatic = ChannelDisplay { name, colour, visible, window };
        shown.push(SlideChannel { shown: automatic.clone(), automatic, values });
    }
    if channel::fits(set, &shown) {
        shown.iter_mut().zip(set).for_each(|(channel, set)| channel.shown = set.clone());
    } else {
        let visible = shown.iter().filter(|channel| channel.shown.visible);
        let names: Vec<String> = visible.map(|channel| channel.shown.short_name()).collect();
        let which = match names.len() == shown.len() {
            true => format!("its {} channels", shown.len()),
            false => format!("the first {} of its {} channels", names.len(), shown.len()),
        };
        let others = if names.len() == shown.len() { "" } else { ", and the others shown," };
        notes.push(format!(
            "{which} ({}) are shown as a sum of colours, each in a window of its own; names, colours and windows can be \
             set{others} under brightness/contrast",
            names.join(", ")
        ));
    }
    Ok(Pixels::Channels(shown))
}

/// Three channels of 8 bits as the colours of a brightfield slide, if they look like one: it is bright in each, as fluorescence is
/// not. `level` is the coarsest.
fn colour_planes(level: &TiffLevel, files: &mut Handles) -> Option<Vec<SlideChannel>> {
    /// Smallest median value of a channel of a brightfield slide.
    const BRIGHT: f32 = 100.0;
    let colours = [("red", [255, 0, 0]), ("green", [0, 255, 0]), ("blue", [0, 0, 255])];
    let channel = |((name, colour), &(raster, sample)): ((&str, [u8; 3]), &(usize, usize))| {
        let mut numbers = survey::numbers(&level.rasters[raster], Some(sample), files);
        let middle = numbers.len() / 2;
        if middle == 0 || *numbers.select_nth_unstable_by(middle, f32::total_cmp).1 < BRIGHT {
            return None;
        }
        let window = [0.0, 255.0];
        let shown = ChannelDisplay { name: name.to_owned(), colour, visible: true, window };
        Some(SlideChannel { shown: shown.clone(), automatic: shown, values: window })
    };
    colours.into_iter().zip(&level.planes).map(channel).collect()
}

fn rendering(page: &Page, raster: &Raster, file: &mut TiffFile) -> Result<Rendering, Refusal> {
    let map = match &page.color_map {
        Some(entry) if page.photometric == Some(3) => {
            Some(file.tiff_of(page).numbers(entry, entry.count.min(3 << 16))?)
        }
        _ => None,
    };
    Rendering::of(page, raster.packing(), raster.gives_rgb(), map.as_deref())
}

/// Prepares an associated image.
fn picture(page: &Page, file: &mut TiffFile, left: &mut u64) -> Result<(Raster, Rendering), Refusal> {
    let raster = Raster::of(page, file.tiff_of(page), left)?;
    if page.area() > MAX_ASSOCIATED_PIXELS {
        return Err(Refusal::Damaged("it is too large for an associated image".to_owned()));
    }
    let mut rendering = rendering(page, &raster, file)?;
    survey::range(&mut rendering, &raster, &mut file.handles, page.max_sample.and_then(survey::bits_of));
    Ok((raster, rendering))
}

fn info(
    path: &Path,
    file: &TiffFile,
    layout: &Layout,
    levels: &[TiffLevel],
    base: Option<&SlideInfo>,
    user_mpp: Option<MicronsPerPixel>,
) -> Result<SlideInfo, Refusal> {
    let page = layout.levels[0][0].page;
    let (id, former_ids) = match base {
        Some(base) => (base.id.clone(), base.former_ids.clone()),
        None => {
            let message = |error: std::io::Error| error.to_string();
            (identity::of(path).map_err(message)?, identity::former(path, &BTreeMap::new()).map_err(message)?)
        }
    };
    let per_unit = page.resolution;
    let unit = u16::try_from(page.resolution_unit).ok();
    let (by_tags, power) = calibration::tiff(page.description.as_deref(), per_unit, unit);
    let from_layout = layout.pixel_size.map(|(x, y)| Stated::pixel_size(x, y));
    let stated: Vec<Stated> = from_layout.into_iter().chain(by_tags).collect();
    let objective_power = layout.objective.or(power).or(base.and_then(|base| base.objective_power));
    let calibration = calibrate(user_mpp, &stated, objective_power);
    let vendor = match layout.kind {
        Kind::Ome => "ome-tiff",
        Kind::Qptiff => "qptiff",
        Kind::Dicom => "dicom",
        Kind::Plain => base.map_or("image", |base| base.vendor.as_str()),
    };
    Ok(SlideInfo {
        id,
        former_ids,
        path: path.to_owned(),
        vendor: vendor.to_owned(),
        reader: Reader::Tiff,
        levels: levels_of(levels),
        mpp: calibration.mpp,
        mpp_source: calibration.source,
        objective_power,
        associated: Vec::new(),
        properties: base.map_or_else(|| properties(page, file), |base| base.properties.clone()),
        channels: Vec::new(),
        warnings: calibration.warnings,
    })
}

/// Returns the levels with their downsamples. Of several of the same size, all have that of the first.
fn levels_of(levels: &[TiffLevel]) -> Vec<Level> {
    let size = |level: &TiffLevel| (level.width(), level.height());
    let mut distinct: Vec<&TiffLevel> = levels.iter().collect();
    distinct.dedup_by_key(|level| size(level));
    let sizes: Vec<(u32, u32)> = distinct.iter().map(|level| size(level)).collect();
    let derived = levels_of_sizes(&sizes, |index| tile_size(distinct[index]));
    let of_size =
        |level: &TiffLevel| derived.iter().find(|one| (one.width, one.height) == size(level)).copied();
    levels.iter().filter_map(of_size).collect()
}

/// Width and height of a level's tiles; `None` if it is stored in strips.
fn tile_size(level: &TiffLevel) -> Option<(u32, u32)> {
    let raster = &level.rasters[0];
    raster.is_tiled.then_some((raster.grid.tile_width, raster.grid.tile_height))
}

/// Collects the properties stated in the file, under OpenSlide's names.
fn properties(page: &Page, file: &TiffFile) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    let mut put = |name: &str, text: String| properties.insert(format!("tiff.{name}"), text);
    for (name, text) in &page.texts {
        put(name, text.clone());
    }
    page.description.clone().map(|text| put("ImageDescription", text));
    page.software.clone().map(|text| put("Software", text));
    if let Some((x, y)) = page.resolution {
        put("XResolution", x.to_string());
        put("YResolution", y.to_string());
    }
    let unit = match page.resolution_unit {
        2 => Some("inch"),
        3 => Some("centimeter"),
        _ => None,
    };
    unit.map(|unit| put("ResolutionUnit", unit.to_owned()));
    put("ByteOrder", if file.is_big_endian() { "big-endian" } else { "little-endian" }.to_owned());
    properties
}

/// Adds properties and warnings that describe how the pixels are shown.
fn record_rendering(info: &mut SlideInfo, pixels: &Pixels, notes: &[String]) {
    if let Pixels::Channels(shown) = pixels {
        for (index, SlideChannel { automatic: channel, .. }) in shown.iter().enumerate() {
            let mut put = |what: &str, text: String| {
                info.properties.insert(format!("histokin.channel[{index}].{what}"), text);
            };
            let [red, green, blue] = channel.colour;
            put("name", channel.name.clone());
            put("color", format!("#{red:02x}{green:02x}{blue:02x}"));
            put("window", format!("{} to {}", channel.window[0], channel.window[1]));
        }
        info.channels = shown.clone();
    }
    info.warnings.extend(notes.iter().map(|note| SlideWarning::Shown { text: note.clone() }));
}
