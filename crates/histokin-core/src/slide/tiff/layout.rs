//! Which images of a TIFF file are the levels of its slide, which are channels, and which lie beside it.

use super::ome::{self, Channel};
use super::page::Page;
use super::qptiff;

/// Channels that are shown together; more would take seconds for every tile.
const MOST_CHANNELS: usize = 8;

/// How much longer in relation to its width a level may be than level 0, or less long.
const MOST_STRETCHED: f64 = 1.5;

/// Shorter sides say nothing of a level's shape, as writers round them.
const SHORTEST_SIDE: u64 = 16;

/// What a file follows in laying out its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) enum Kind {
    /// TIFF alone.
    Plain,
    Ome,
    /// Akoya's and PerkinElmer's.
    Qptiff,
}

/// Where a channel's numbers lie: an image of the file, and the sample in it.
#[derive(Debug, Clone, Copy)]
pub(in crate::slide) struct Plane<'a> {
    pub page: &'a Page,
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
    pub kind: Kind,
    /// Finest first. Of each level one image of colours, or the planes of all channels.
    pub levels: Vec<Vec<Plane<'a>>>,
    /// Empty where one image holds the colours.
    pub channels: Vec<Channel>,
    /// Pictures beside the slide by their names.
    pub associated: Vec<(String, &'a Page)>,
    /// Micrometres a pixel, as stated by what is not TIFF's tags.
    pub pixel_size: Option<(f64, f64)>,
    pub objective: Option<f64>,
    pub significant_bits: Option<u32>,
    /// What is left out, for people.
    pub notes: Vec<String>,
}

/// Find the slide among the images of a file.
///
/// # Errors
/// In words, when there is none that can be shown.
pub(in crate::slide) fn layout(pages: &[Page]) -> Result<Layout<'_>, String> {
    let first = pages.first().ok_or("it holds no image")?;
    let mut layout = match first.description.as_deref() {
        Some(text) if ome::is_ome(text) => of_ome(text, pages)?,
        Some(text) if qptiff::is_qptiff(text) => qptiff::layout(pages)?,
        text => of_tiff(text.unwrap_or_default(), pages)?,
    };
    if layout.channels.len() > MOST_CHANNELS {
        let names: Vec<String> =
            (0..MOST_CHANNELS).map(|index| channel_name(&layout.channels, index)).collect();
        layout.notes.push(format!(
            "{} of its {} channels are shown: {}",
            MOST_CHANNELS,
            layout.channels.len(),
            names.join(", ")
        ));
        layout.channels.truncate(MOST_CHANNELS);
        layout.levels.iter_mut().for_each(|level| level.truncate(MOST_CHANNELS));
    }
    Ok(layout)
}

/// A channel's name, or its number.
pub(in crate::slide) fn channel_name(channels: &[Channel], index: usize) -> String {
    channels[index].name.clone().unwrap_or_else(|| format!("channel {}", index + 1))
}

impl<'a> Layout<'a> {
    /// A layout with the levels that `candidates` hold for `planes`.
    pub fn new(
        kind: Kind,
        planes: Vec<Plane<'a>>,
        channels: Vec<Channel>,
        candidates: Vec<Vec<Plane<'a>>>,
    ) -> Self {
        let mut levels = vec![planes];
        levels.extend(candidates);
        // The finest level stays first: no level is larger.
        levels[1..].sort_by_key(|level| std::cmp::Reverse(level[0].page.area()));
        levels.dedup_by_key(|level| level[0].page.size());
        Self {
            kind,
            levels,
            channels,
            associated: Vec::new(),
            pixel_size: None,
            objective: None,
            significant_bits: None,
            notes: Vec::new(),
        }
    }
}

fn of_tiff<'a>(description: &str, pages: &'a [Page]) -> Result<Layout<'a>, String> {
    // The largest one, even where it is called a reduced version: nothing larger is there. Pictures beside a slide are
    // stored in strips.
    let rank = |page: &Page| (page.tile.is_some(), page.area(), !page.is_reduced());
    let larger = |best: &'a Page, page: &'a Page| if rank(page) > rank(best) { page } else { best };
    let pictures = pages.iter().filter(|page| !page.is_mask());
    let main = pictures.reduce(larger).or(pages.first()).ok_or("it holds no image")?;
    let alike: Vec<&Page> =
        pages.iter().filter(|page| page.size() == main.size() && page.is_like(main)).collect();
    let (channels, mut planes) = imagej_channels(description, &alike)
        .or_else(|| sample_channels(main))
        .unwrap_or_else(|| (Vec::new(), vec![Plane::whole(main)]));
    let mut candidates = child_levels(&planes);
    if candidates.is_empty()
        && (channels.is_empty() || planes.iter().all(|plane| std::ptr::eq(plane.page, main)))
    {
        let levels = pages.iter().filter(|page| is_level(main, page, page.is_reduced()));
        let of_level = |page: &'a Page| planes.iter().map(|plane| Plane { page, ..*plane }).collect();
        candidates = levels.map(of_level).collect();
    }
    planes.truncate(channels.len().max(1));
    let shown = if channels.is_empty() { 1 } else { channels.len() };
    let mut layout = Layout::new(Kind::Plain, planes, channels, candidates);
    if alike.len() > shown {
        let what = if shown == 1 { "the first one is".to_owned() } else { format!("{shown} are") };
        layout
            .notes
            .push(format!("it holds {} pictures of the same size, of which {what} shown", alike.len()));
    }
    Ok(layout)
}

/// The channels of ImageJ's hyperstacks: the middle slice of the first frame.
fn imagej_channels<'a>(description: &str, alike: &[&'a Page]) -> Option<(Vec<Channel>, Vec<Plane<'a>>)> {
    let rest = description.strip_prefix("ImageJ=")?;
    let number = |name: &str| -> Option<usize> {
        rest.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')?.trim().parse().ok())
    };
    let count = number("channels").filter(|count| (2..=alike.len()).contains(count))?;
    let slice = number("slices").unwrap_or(1) / 2;
    let pages = alike.get(slice.checked_mul(count)?..)?.get(..count)?;
    (alike[0].samples == 1)
        .then(|| (vec![Channel::default(); count], pages.iter().map(|page| Plane::whole(page)).collect()))
}

/// The channels of an image whose samples are several greys.
fn sample_channels(page: &Page) -> Option<(Vec<Channel>, Vec<Plane<'_>>)> {
    let is_grey = matches!(page.photometric, Some(0 | 1) | None);
    let has_alpha = page.extra_samples.iter().any(|kind| matches!(kind, 1 | 2));
    if !is_grey || has_alpha || page.samples < 3 {
        return None;
    }
    let planes = (0..page.samples as usize).map(|sample| Plane { page, sample });
    Some((vec![Channel::default(); page.samples as usize], planes.collect()))
}

/// The levels in the SubIFDs of `planes`.
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

/// Whether `page` is a level of `main`: `is_reduced` if the file says that it is a reduced version of something.
fn is_level(main: &Page, page: &Page, is_reduced: bool) -> bool {
    let is_smaller = page.width <= main.width && page.height <= main.height && page.area() < main.area();
    if !is_smaller || page.width == 0 || page.height == 0 || page.is_mask() || !page.is_like(main) {
        return false;
    }
    if is_reduced {
        let shape = |page: &Page| page.width as f64 / page.height as f64;
        let stretched = shape(page) / shape(main);
        return page.width.min(page.height) < SHORTEST_SIDE
            || (1.0 / MOST_STRETCHED..=MOST_STRETCHED).contains(&stretched)
            || is_padded_reduction(main, page);
    }
    // Thumbnails are of any size; levels are reduced by whole numbers, and stored like their slide.
    let is_stored_alike = page.tile.is_some() == main.tile.is_some();
    is_stored_alike && (is_whole_reduction(main.size(), page.size()) || is_padded_reduction(main, page))
}

/// Whether a power of two reduces both sides, which then were padded to whole tiles, as Philips does.
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

/// Whether a whole number reduces both sides, however they are rounded.
fn is_whole_reduction(main: (u64, u64), level: (u64, u64)) -> bool {
    let quotient = |main: u64, level: u64| main as f64 / level as f64;
    let across = quotient(main.0, level.0);
    let factor = if main.0 >= main.1 { across } else { quotient(main.1, level.1) }.round().max(2.0);
    let fits = |main: u64, level: u64| (main as f64 / factor - level as f64).abs() < 1.0;
    fits(main.0, level.0) && fits(main.1, level.1)
}

fn of_ome<'a>(description: &str, pages: &'a [Page]) -> Result<Layout<'a>, String> {
    let images = ome::images(description, pages.len() as u64)?;
    let planes_of = |image: &ome::Image| -> Vec<(Channel, Plane<'a>)> {
        let places = image.channels.iter().zip(&image.directories);
        let found = places.filter_map(|(channel, place)| {
            Some((channel.clone(), Plane::whole(pages.get((*place)? as usize)?)))
        });
        found.collect()
    };
    let area = |image: &&ome::Image| planes_of(image).first().map_or(0, |(_, plane)| plane.page.area());
    // The first of several of the same size.
    let main = images.iter().rev().max_by_key(area).ok_or("its OME-XML describes no image")?;
    let found = planes_of(main);
    let Some((_, first)) = found.first() else {
        return Err("its OME-XML names directories that the file does not have".to_owned());
    };
    let first = *first;
    let mut notes = Vec::new();
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
        // All channels lie in one image as its samples.
        Some((unnamed, planes)) => {
            let names = main.channels.iter().filter(|_| main.channels.len() == unnamed.len());
            let named: Vec<Channel> = names.cloned().collect();
            (if named.is_empty() { unnamed } else { named }, planes)
        }
        None if first.page.samples > 1 => (Vec::new(), vec![first]),
        None => found.into_iter().filter(like_first).unzip(),
    };
    let mut candidates = child_levels(&planes);
    if candidates.is_empty() {
        // Before SubIFDs, levels were images of their own.
        for image in images.iter().filter(|image| !std::ptr::eq(*image, main)) {
            let other: Vec<Plane> = planes_of(image).into_iter().map(|(_, plane)| plane).collect();
            let fits = |plane: &Plane| is_level(first.page, plane.page, plane.page.is_reduced());
            if other.len() == planes.len() && other.iter().all(fits) {
                candidates.push(other);
            }
        }
    }
    let mut layout = Layout::new(Kind::Ome, planes, channels, candidates);
    for image in images.iter().filter(|image| !std::ptr::eq(*image, main)) {
        if let (Some(name), Some((_, plane))) = (picture_name(&image.name), planes_of(image).first()) {
            layout.associated.push((name.to_owned(), plane.page));
        }
    }
    if main.focal_planes > 1 {
        notes.push(format!("it has {} focal planes, of which the middle one is shown", main.focal_planes));
    }
    if main.times > 1 {
        notes.push(format!("it has {} points in time, of which the first one is shown", main.times));
    }
    layout.notes = notes;
    layout.pixel_size = main.pixel_size;
    layout.objective = main.objective;
    layout.significant_bits = main.significant_bits;
    Ok(layout)
}

/// What a picture beside a slide is called here, by its name in the file.
fn picture_name(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    ["label", "macro", "thumbnail"]
        .into_iter()
        .find(|known| name.contains(known))
        .or_else(|| name.contains("overview").then_some("macro"))
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
    fn pictures_beside_the_slide_are_known_by_name() {
        assert_eq!(picture_name("Label image"), Some("label"));
        assert_eq!(picture_name("slide overview"), Some("macro"));
        assert_eq!(picture_name("Image 1"), None);
    }
}
