//! Determines which images of a TIFF file are the levels of its slide, its channels and its associated
//! images.

use super::dicom::Arrangement;
use super::ome::{self, Channel, NoImages};
use super::page::{self, Page};
use super::qptiff;
use super::set::Images;
use crate::number_format::counted;

/// Maximum number of channels that are read: more than any multiplexed staining has.
const MAX_CHANNELS: usize = 128;

/// Largest difference in pixels between a side of a level and the same fraction of level 0: writers cut off or round up at
/// every halving.
const ROUNDING: f64 = 2.0;

/// Largest ratio between the factors by which both sides of a level are reduced: some writers pad levels by a few pixels.
const MAX_DISTORTION: f64 = 1.02;

/// An image without a flag is named in a note if it has at least this part of the slide's pixels; previews have fewer.
const LEAST_FURTHER: u64 = 16;

/// Smallest factor by which a level without a flag is reduced; another section may have almost the size of the first.
const LEAST_REDUCTION: f64 = 1.2;

/// Maximum number of images that are named in a note.
const MAX_NAMED: usize = 3;

/// The convention that the images of a file follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) enum Kind {
    /// TIFF only.
    Plain,
    /// OME-TIFF.
    Ome,
    /// QPTIFF by Akoya and PerkinElmer.
    Qptiff,
    /// No TIFF, but the instances of a DICOM slide.
    Dicom,
}

/// What makes an image a level of the slide, besides its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) enum Evidence {
    /// The file calls it a reduced version.
    Stated,
    /// It is smaller by a whole factor.
    WholeReduction,
    /// It has the shape of the slide.
    Shape,
}

/// Where the values of a channel are stored: an image of the file, and the sample in it.
#[derive(Debug, Clone, Copy)]
pub(in crate::slide) struct Plane<'a> {
    /// The image.
    pub page: &'a Page,
    /// Index of the sample.
    pub sample: usize,
}

impl<'a> Plane<'a> {
    fn whole(page: &'a Page) -> Self {
        Self { page, sample: 0 }
    }
}

/// The images of a slide.
#[derive(Debug)]
pub(in crate::slide) struct Layout<'a> {
    /// The convention that the file follows.
    pub kind: Kind,
    /// Levels, finest first. Each consists of one colour image, or of the planes of all channels. Of several of the same size,
    /// the first that shows the slide is one.
    pub levels: Vec<Vec<Plane<'a>>>,
    /// Channels; empty if one image holds the colours.
    pub channels: Vec<Channel>,
    /// Associated images by name.
    pub associated: Vec<(String, &'a Page)>,
    /// Micrometres per pixel along each axis, if stated outside of TIFF's own tags.
    pub pixel_size: Option<(f64, f64)>,
    /// Magnification of the objective, if stated.
    pub objective: Option<f64>,
    /// Number of significant bits of a sample, if stated.
    pub significant_bits: Option<u32>,
    /// What is not shown, for display.
    pub notes: Vec<String>,
    /// Whether the channels may be red, green and blue of one colour image, by all that is stated about them.
    pub may_be_colours: bool,
}

/// Finds the slide among the images of a file.
///
/// # Errors
/// A message, when there is none that can be shown.
pub(in crate::slide) fn layout(images: &Images) -> Result<Layout<'_>, String> {
    let pages = images.own.as_slice();
    if let Some(arrangement) = &images.arrangement {
        return of_dicom(arrangement, pages);
    }
    let first = pages.first().ok_or("it contains no image")?;
    let mut layout = match (&images.described, first.description.as_deref()) {
        (Some(Ok(described)), _) => match of_ome(&described.images, images) {
            // The images are there, whatever the description says of them.
            Err(reason) if described.files.is_empty() => {
                let mut layout = of_tiff("", pages)?;
                layout.kind = Kind::Ome;
                layout.notes.insert(0, format!("{reason}: what the file contains is shown"));
                layout
            }
            layout => layout?,
        },
        (Some(Err(NoImages::Several(reason))), _) => return Err(reason.clone()),
        // The images are there, whatever is missing from their description.
        (Some(Err(NoImages::Undescribed(reason))), _) => {
            let mut layout = of_tiff("", pages)?;
            layout.kind = Kind::Ome;
            layout.notes.insert(0, reason.clone());
            layout
        }
        (None, Some(text)) if qptiff::is_qptiff(text) => qptiff::layout(pages)?,
        (None, text) => of_tiff(text.unwrap_or_default(), pages)?,
    };
    layout.may_be_colours = may_be_colours(&layout);
    if layout.channels.len() > MAX_CHANNELS {
        layout.notes.push(format!("only {MAX_CHANNELS} of its {} channels are read", layout.channels.len()));
        layout.channels.truncate(MAX_CHANNELS);
        layout.levels.iter_mut().for_each(|level| level.truncate(MAX_CHANNELS));
    }
    Ok(layout)
}

/// Returns a channel's name, or its number.
pub(in crate::slide) fn channel_name(channels: &[Channel], index: usize) -> String {
    channels[index].name.clone().unwrap_or_else(|| format!("channel {}", index + 1))
}

impl<'a> Layout<'a> {
    /// What makes an image a level of the slide, besides its pixels.
    pub fn evidence(&self, level: usize) -> Evidence {
        let (main, page) = (self.levels[0][0].page, self.levels[level][0].page);
        let is_stated = page.is_reduced()
            || main.children.iter().any(|child| std::ptr::eq(child, page))
            || self.kind == Kind::Qptiff;
        match is_stated {
            true => Evidence::Stated,
            false if is_whole_reduction(main.size(), page.size()) || is_padded_reduction(main, page) => {
                Evidence::WholeReduction
            }
            false => Evidence::Shape,
        }
    }

    /// Builds a layout with the levels that `candidates` provide for `planes`.
    pub fn new(
        kind: Kind,
        planes: Vec<Plane<'a>>,
        channels: Vec<Channel>,
        candidates: Vec<Vec<Plane<'a>>>,
    ) -> Self {
        let mut levels = vec![planes];
        levels.extend(candidates);
        // The finest level stays first: no other level is larger.
        levels[1..].sort_by_key(|level| std::cmp::Reverse((level[0].page.area(), level[0].page.size())));
        Self {
            kind,
            levels,
            channels,
            associated: Vec::new(),
            pixel_size: None,
            objective: None,
            significant_bits: None,
            notes: Vec::new(),
            may_be_colours: false,
        }
    }

    /// Width and height of each level in pixels, each size once.
    pub fn sizes(&self) -> Vec<(u64, u64)> {
        let mut sizes: Vec<(u64, u64)> = self.levels.iter().map(|planes| planes[0].page.size()).collect();
        sizes.dedup();
        sizes
    }
}

fn of_dicom<'a>(arrangement: &Arrangement, pages: &'a [Page]) -> Result<Layout<'a>, String> {
    let planes = |numbers: &Vec<usize>| -> Option<Vec<Plane<'a>>> {
        numbers.iter().map(|number| pages.get(*number).map(Plane::whole)).collect()
    };
    let mut levels: Vec<Vec<Plane>> = arrangement.levels.iter().filter_map(planes).collect();
    if levels.is_empty() {
        return Err("it contains no level of a slide".to_owned());
    }
    let finest = levels.remove(0);
    let mut layout = Layout::new(Kind::Dicom, finest, arrangement.channels.clone(), levels);
    let associated = arrangement.associated.iter();
    layout.associated =
        associated.filter_map(|(name, number)| Some(((*name).to_owned(), pages.get(*number)?))).collect();
    layout.pixel_size = arrangement.pixel_size;
    layout.objective = arrangement.objective;
    layout.notes.clone_from(&arrangement.notes);
    layout.channels.truncate(MAX_CHANNELS);
    layout.levels.iter_mut().for_each(|level| level.truncate(MAX_CHANNELS));
    Ok(layout)
}

/// Whether the channels may be the colours of a brightfield slide: three of 8 bits, with no names or one name for all, or
/// named and coloured red, green and blue. Converters that know no RGB write them.
fn may_be_colours(layout: &Layout) -> bool {
    let planes = &layout.levels[0];
    let is_byte = |plane: &Plane| {
        let page = plane.page;
        page.format == page::SampleFormat::Unsigned && page.bits.iter().all(|bits| *bits == 8)
    };
    if layout.channels.len() != 3 || !planes.iter().all(is_byte) {
        return false;
    }
    let name = |index: usize| layout.channels[index].name.as_deref().map(str::to_lowercase);
    let colour = |index: usize| layout.channels[index].colour;
    let is_one_name = name(0) == name(1) && name(1) == name(2);
    let are_names = [["red", "green", "blue"], ["r", "g", "b"]]
        .iter()
        .any(|names| [0, 1, 2].map(name) == names.map(|name| Some(name.to_owned())));
    let is_one_colour = colour(0) == colour(1) && colour(1) == colour(2);
    let are_colours = [0, 1, 2].map(colour) == [[255, 0, 0], [0, 255, 0], [0, 0, 255]].map(Some);
    (is_one_name || are_names) && (is_one_colour || are_colours)
}

fn of_tiff<'a>(description: &str, pages: &'a [Page]) -> Result<Layout<'a>, String> {
    // The largest image, even if it is flagged as a reduced version, since there is none larger. Tiled images
    // are preferred, because associated images are stored in strips. OpenSlide compares widths: where a damaged file states
    // another height, both have to show the same image.
    let rank = |page: &Page| (page.tile.is_some(), page.width, page.height, !page.is_reduced());
    let larger = |best: &'a Page, page: &'a Page| if rank(page) > rank(best) { page } else { best };
    // Cameras put the picture into a SubIFD of its preview.
    let behind_previews =
        pages.iter().flat_map(|page| page.children.iter().filter(|child| child.area() > page.area()));
    let pictures = pages.iter().chain(behind_previews).filter(|page| !page.is_mask());
    let main = pictures.reduce(larger).or(pages.first()).ok_or("it contains no image")?;
    let alike: Vec<&Page> =
        pages.iter().filter(|page| page.size() == main.size() && page.is_like(main)).collect();
    let (channels, mut planes) = imagej_channels(description, &alike)
        .or_else(|| sample_channels(main))
        .unwrap_or_else(|| (Vec::new(), vec![Plane::whole(main)]));
    let mut candidates = child_levels(&planes);
    if candidates.is_empty()
        && (channels.is_empty() || planes.iter().all(|plane| std::ptr::eq(plane.page, main)))
    {
        let is_candidate = |page: &&Page| {
            // Pictures beside a slide in tiles are stored in strips.
            let is_picture = main.tile.is_some() && picture_beside(page, pages).is_some();
            is_level(main, page, page.is_reduced()) && !is_picture
        };
        let levels = pages.iter().filter(is_candidate);
        let of_level = |page: &'a Page| planes.iter().map(|plane| Plane { page, ..*plane }).collect();
        candidates = levels.map(of_level).collect();
    }
    planes.truncate(channels.len().max(1));
    let shown = if channels.is_empty() { 1 } else { channels.len() };
    let mut layout = Layout::new(Kind::Plain, planes, channels, candidates);
    if alike.len() > shown {
        let what = if shown == 1 { "only the first is".to_owned() } else { format!("{shown} are") };
        layout
            .notes
            .push(format!("it contains {} images of the same size, of which {what} shown", alike.len()));
    }
    let is_used = |page: &Page| {
        page.size() == main.size()
            || layout.levels.iter().flatten().any(|plane| std::ptr::eq(plane.page, page))
    };
    let is_further = |page: &&Page| {
        let is_alike = page.tile.is_some() == main.tile.is_some() && page.is_like(main);
        let is_large = page.area() >= main.area() / LEAST_FURTHER;
        is_alike && is_large && !page.is_reduced() && !page.is_mask() && !is_used(page)
    };
    let further: Vec<String> = pages
        .iter()
        .filter(is_further)
        .map(|page| format!("one of {} × {} px", page.width, page.height))
        .collect();
    let named: Vec<(&str, &Page)> = pages
        .iter()
        .filter(|page| !is_used(page))
        .filter_map(|page| Some((picture_beside(page, pages)?, page)))
        .collect();
    for (name, page) in named {
        if layout.associated.iter().all(|(other, _)| other != name) {
            layout.associated.push((name.to_owned(), page));
        }
    }
    layout.notes.extend(further_images(&further));
    Ok(layout)
}

/// Returns a note that names further images, if there are any.
fn further_images(further: &[String]) -> Option<String> {
    let more = if further.len() > MAX_NAMED { ", …" } else { "" };
    let are = if further.len() == 1 { "is" } else { "are" };
    (!further.is_empty()).then(|| {
        format!(
            "it contains {}, which {are} not shown: {}{more}",
            counted(further.len() as u64, "further image"),
            further[..further.len().min(MAX_NAMED)].join(", ")
        )
    })
}

/// Finds the channels of ImageJ hyperstacks, in the middle slice of the first frame.
fn imagej_channels<'a>(description: &str, alike: &[&'a Page]) -> Option<(Vec<Channel>, Vec<Plane<'a>>)> {
    let number = |name: &str| usize::try_from(page::imagej_number(description, name)?).ok();
    let count = number("channels").filter(|count| (2..=alike.len()).contains(count))?;
    let slice = number("slices").unwrap_or(1) / 2;
    let pages = alike.get(slice.checked_mul(count)?..)?.get(..count)?;
    (alike[0].samples == 1)
        .then(|| (vec![Channel::default(); count], pages.iter().map(|page| Plane::whole(page)).collect()))
}

/// Finds the channels of an image with several grey samples.
fn sample_channels(page: &Page) -> Option<(Vec<Channel>, Vec<Plane<'_>>)> {
    let is_grey = matches!(page.photometric, Some(0 | 1) | None);
    let has_alpha = page.extra_samples.iter().any(|kind| matches!(kind, 1 | 2));
    if !is_grey || has_alpha || page.samples < 3 {
        return None;
    }
    let planes = (0..page.samples as usize).map(|sample| Plane { page, sample });
    Some((vec![Channel::default(); page.samples as usize], planes.collect()))
}

/// Finds the levels in the SubIFDs of `planes`.
fn child_levels<'a>(planes: &[Plane<'a>]) -> Vec<Vec<Plane<'a>>> {
    let main = planes[0].page;
    let level = |index: usize| -> Option<Vec<Plane<'a>>> {
        let first = main.children.get(index).filter(|page| is_level(main, page, true))?;
        let of = |plane: &Plane<'a>| {
            let page = plane.page.children.get(index)?;
            (page.size() == first.size() && page.is_like(first)).then_some(Plane { page, ..*plane })
        };
        planes.iter().map(of).collect()
    };
    (0..main.children.len()).filter_map(level).collect()
}

/// Whether `page` is a level of `main`. `is_reduced` states whether the file flags it as a reduced version of
/// another image.
fn is_level(main: &Page, page: &Page, is_reduced: bool) -> bool {
    let is_smaller = page.width <= main.width && page.height <= main.height && page.area() < main.area();
    if !is_smaller || page.width == 0 || page.height == 0 || page.is_mask() || !page.is_like(main) {
        return false;
    }
    // Labels and overviews of the glass have another shape, or other pixels. What no flag calls a reduced version is stored in
    // the same way as level 0.
    let has_shape = is_uniform_reduction(main.size(), page.size()) || is_padded_reduction(main, page);
    let is_stored_alike = page.tile.is_some() == main.tile.is_some();
    let is_clearly_smaller = page.width as f64 * LEAST_REDUCTION <= main.width as f64;
    has_shape && (is_reduced || is_stored_alike && is_clearly_smaller)
}

/// Whether both sides are reduced by a power of two and then padded to whole tiles, as Philips does.
fn is_padded_reduction(main: &Page, page: &Page) -> bool {
    let Some(tile) = page.tile else { return false };
    let fits = |main: u64, level: u64, edge: u64, factor: u64| {
        let reduced = main.div_ceil(factor);
        edge > 0 && level.is_multiple_of(edge) && level + 1 >= reduced && level < reduced + edge
    };
    (1..32).map(|power| 1_u64 << power).any(|factor| {
        fits(main.width, page.width, tile.0, factor) && fits(main.height, page.height, tile.1, factor)
    })
}

/// Whether both sides are reduced by the same factor, with any rounding and a little padding.
fn is_uniform_reduction(main: (u64, u64), level: (u64, u64)) -> bool {
    let factors = |main: u64, level: u64| {
        let (main, level) = (main as f64, level as f64);
        let largest = if level > ROUNDING { main / (level - ROUNDING) } else { f64::INFINITY };
        (main / (level + ROUNDING), largest)
    };
    let (across, down) = (factors(main.0, level.0), factors(main.1, level.1));
    across.0 <= down.1 * MAX_DISTORTION && down.0 <= across.1 * MAX_DISTORTION
}

/// Whether both sides are reduced by a whole number, with any rounding.
fn is_whole_reduction(main: (u64, u64), level: (u64, u64)) -> bool {
    let quotient = |main: u64, level: u64| main as f64 / level as f64;
    let across = quotient(main.0, level.0);
    let factor = if main.0 >= main.1 { across } else { quotient(main.1, level.1) }.round().max(2.0);
    let fits = |main: u64, level: u64| (main as f64 / factor - level as f64).abs() < 1.0;
    fits(main.0, level.0) && fits(main.1, level.1)
}

fn of_ome<'a>(images: &[ome::Image], files: &'a Images) -> Result<Layout<'a>, String> {
    let planes_of = |image: &ome::Image| -> Vec<(Channel, Plane<'a>)> {
        let pairs = image.channels.iter().zip(&image.shown);
        let found = pairs
            .filter_map(|(channel, place)| Some((channel.clone(), Plane::whole(files.page((*place)?)?))));
        found.collect()
    };
    let area = |image: &&ome::Image| planes_of(image).first().map_or(0, |(_, plane)| plane.page.area());
    // The first one, if several have the same size. A label may be larger than a small slide.
    let rank = |image: &&ome::Image| (area(image) > 0 && picture_name(&image.name).is_none(), area(image));
    let main = images.iter().rev().max_by_key(rank).ok_or("its OME-XML describes no image")?;
    let found = planes_of(main);
    let missing = missing_files(&main.missing);
    let Some((_, first)) = found.first() else {
        return Err(missing
            .unwrap_or_else(|| "its OME-XML refers to directories that the file does not have".to_owned()));
    };
    let first = *first;
    let mut notes: Vec<String> = missing.into_iter().collect();
    if main.has_others_shown {
        notes.push(
            "other focal planes or time points are shown in the place of those that are missing".to_owned(),
        );
    }
    if found.len() < main.channels.len() {
        notes.push(format!(
            "{} of its {} channels have no pixels",
            main.channels.len() - found.len(),
            main.channels.len()
        ));
    }
    let like_first = |(_, plane): &(Channel, Plane<'a>)| {
        plane.page.size() == first.page.size() && plane.page.is_like(first.page)
    };
    let is_colour =
        first.page.samples >= 3 && main.channels.len() == 1 && sample_channels(first.page).is_none();
    let (channels, planes): (Vec<Channel>, Vec<Plane>) = match sample_channels(first.page) {
        _ if is_colour || first.page.samples == 1 && found.len() == 1 => (Vec::new(), vec![first]),
        // All channels are samples of one image.
        Some((unnamed, planes)) => {
            let names = main.channels.iter().filter(|_| main.channels.len() == unnamed.len());
            let named: Vec<Channel> = names.cloned().collect();
            (if named.is_empty() { unnamed } else { named }, planes)
        }
        None if first.page.samples > 1 => (Vec::new(), vec![first]),
        None => found.into_iter().filter(like_first).unzip(),
    };
    let mut candidates = child_levels(&planes);
    let has_children = !candidates.is_empty();
    let (mut associated, mut further) = (Vec::new(), Vec::new());
    for image in images.iter().filter(|image| !std::ptr::eq(*image, main)) {
        let other: Vec<Plane> = planes_of(image).into_iter().map(|(_, plane)| plane).collect();
        let Some(plane) = other.first() else { continue };
        if let Some(name) = picture_name(&image.name) {
            associated.push((name.to_owned(), plane.page));
            continue;
        }
        // Before SubIFDs were used, levels were separate images.
        let fits = |plane: &Plane| is_level(first.page, plane.page, plane.page.is_reduced());
        match !has_children && other.len() == planes.len() && other.iter().all(fits) {
            true => candidates.push(other),
            false => further.push(format!("{:?} of {} × {} px", image.name, image.width, image.height)),
        }
    }
    notes.extend(further_images(&further));
    let mut layout = Layout::new(Kind::Ome, planes, channels, candidates);
    layout.associated = associated;
    if main.focal_planes > 1 {
        notes.push(format!("it has {} focal planes, of which the middle one is shown", main.focal_planes));
    }
    if main.times > 1 {
        notes.push(format!("it has {} time points, of which the first one is shown", main.times));
    }
    layout.notes = notes;
    layout.pixel_size = main.pixel_size;
    layout.objective = main.objective;
    layout.significant_bits = main.significant_bits;
    Ok(layout)
}

/// Returns a note that names files of a slide that are not there, if there are any.
fn missing_files(names: &[String]) -> Option<String> {
    let more = if names.len() > MAX_NAMED { ", …" } else { "" };
    let are = if names.len() == 1 { "is" } else { "are" };
    (!names.is_empty()).then(|| {
        format!(
            "{} of it {are} missing ({}{more}): put what is missing into its folder",
            counted(names.len() as u64, "file"),
            names[..names.len().min(MAX_NAMED)].join(", ")
        )
    })
}

/// Returns the name of an associated image, by the description of an image in strips. Aperio's thumbnail, the second image,
/// is described like the slide.
fn picture_beside(page: &Page, pages: &[Page]) -> Option<&'static str> {
    if page.tile.is_some() {
        return None;
    }
    let text = page.description.as_deref()?;
    let is_second = pages.get(1).is_some_and(|second| std::ptr::eq(second, page));
    picture_name(text).or_else(|| (is_second && text.starts_with("Aperio")).then_some("thumbnail"))
}

/// Maps the name or description of an image in the file to the name of an associated image. Slides may be named
/// `macrophages.svs`.
fn picture_name(name: &str) -> Option<&'static str> {
    /// Maximum number of characters that are searched.
    const MAX_SEARCHED: usize = 1024;
    let name: String = name.chars().take(MAX_SEARCHED).flat_map(char::to_lowercase).collect();
    let words = || name.split(|letter: char| !letter.is_alphabetic());
    let has = |wanted: &str| words().any(|word| word.strip_suffix("image").unwrap_or(word) == wanted);
    ["label", "macro", "thumbnail"]
        .into_iter()
        .find(|known| has(known))
        .or_else(|| has("overview").then_some("macro"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_known_by_whole_reductions_and_thumbnails_are_not() {
        for (main, level) in [
            ((4096, 3072), (1024, 768)),
            ((1025, 771), (512, 385)),
            ((1025, 771), (513, 386)),
            ((46_000, 32_914), (2875, 2057)),
        ] {
            assert!(is_whole_reduction(main, level), "{main:?} {level:?}");
        }
        for (main, level) in
            [((46_000, 32_914), (1024, 732)), ((4096, 3072), (1024, 1024)), ((4096, 3072), (4096, 3072))]
        {
            assert!(!is_whole_reduction(main, level), "{main:?} {level:?}");
        }
    }

    #[test]
    fn levels_that_are_flagged_have_the_shape_of_the_slide_and_labels_have_not() {
        for (main, level) in [
            ((4096, 3072), (1638, 1229)),
            ((46_000, 32_914), (1024, 732)),
            ((40_000, 700), (625, 11)),
            ((40_000, 700), (39, 1)),
            ((1025, 771), (129, 97)),
            // Padded to 16 pixels.
            ((46_000, 32_914), (2880, 2064)),
        ] {
            assert!(is_uniform_reduction(main, level), "{main:?} {level:?}");
        }
        for (main, level) in
            [((4096, 3072), (600, 500)), ((46_000, 32_914), (387, 463)), ((46_000, 32_914), (1280, 431))]
        {
            assert!(!is_uniform_reduction(main, level), "{main:?} {level:?}");
        }
    }

    #[test]
    fn pictures_beside_the_slide_are_known_by_name() {
        assert_eq!(picture_name("Label image"), Some("label"));
        assert_eq!(picture_name("LabelImage"), Some("label"));
        assert_eq!(picture_name("slide overview"), Some("macro"));
        assert_eq!(picture_name("scan.svs_macro-2"), Some("macro"));
        assert_eq!(picture_name("macrophages.svs"), None);
        assert_eq!(picture_name("unlabelled control"), None);
        assert_eq!(picture_name("Image 1"), None);
    }
}
