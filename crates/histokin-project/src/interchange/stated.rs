//! Statements of a descriptor file about its tiles, under the attribute names of CLAM, TRIDENT and STAMP.
//!
//! Sources of the definitions: CLAM `wsi_core/WholeSlideImage.py` (`process_contour`), TRIDENT
//! `trident/IO.py` (`coords_to_h5`, `read_coords_legacy`), STAMP `preprocessing/__init__.py` and
//! `modeling/data.py` (`get_coords`).

use std::collections::BTreeMap;

use histokin_core::geometry::MicronsPerPixel;
use histokin_core::slide::SlideInfo;

/// Value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// One or several numbers of any integer or float type.
    Numbers(Vec<f64>),
    /// A text.
    Text(String),
}

impl Attribute {
    /// Returns the attribute as a single number, which may be repeated for each axis; text is parsed.
    fn number(&self) -> Option<f64> {
        match self {
            Self::Numbers(numbers) => {
                let first = *numbers.first()?;
                numbers.iter().all(|number| *number == first).then_some(first)
            }
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    /// Returns the attribute as two numbers, one per axis; a single one applies to both.
    fn pair(&self) -> Option<[f64; 2]> {
        match self {
            Self::Numbers(numbers) if numbers.len() == 2 => Some([numbers[0], numbers[1]]),
            _ => self.number().map(|number| [number; 2]),
        }
    }
}

/// The statements of one file. Sizes are in pixels unless specified otherwise; all numbers are finite and
/// positive (`overlap` and `patch_level`: not negative).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stated {
    /// Edge of a tile in the pixels of `patch_level` (CLAM) or at `target_magnification` (TRIDENT).
    pub patch_size: Option<f64>,
    /// Edge of a tile in level-0 pixels.
    pub patch_size_level0: Option<f64>,
    /// Pyramid level that the tiles were read from.
    pub patch_level: Option<u32>,
    /// Level-0 pixels along one pixel of `patch_level`.
    pub downsample: Option<f64>,
    /// Factor by which tiles were reduced after they were read from `patch_level` (older CLAM).
    pub custom_downsample: Option<f64>,
    /// Magnification of level 0.
    pub level0_magnification: Option<f64>,
    /// Magnification at which the tiles were read.
    pub target_magnification: Option<f64>,
    /// Width of the strip shared by neighbouring tiles, in the pixels of `patch_size`.
    pub overlap: Option<f64>,
    /// Width and height of level 0.
    pub level0_size: Option<[f64; 2]>,
    /// Unit of the coordinates, as written.
    pub unit: Option<String>,
    /// Edge of a tile in µm.
    pub tile_size_um: Option<f64>,
    /// Edge of a tile in the pixels that the encoder saw, if it differs from `patch_size`.
    pub tile_px: Option<f64>,
    /// µm per pixel that the encoder saw.
    pub mpp: Option<f64>,
    /// Name of the encoder.
    pub encoder: Option<String>,
}

/// Coordinate space of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Level-0 pixels of the top-left corner.
    Pixels,
    /// µm of the top-left corner.
    Microns,
}

/// Relative difference up to which two sizes count as equal, since levels are rounded to whole pixels.
const ALIKE: f64 = 0.02;

/// Returns whether two sizes in pixels are equal apart from rounding.
fn alike(a: f64, b: f64) -> bool {
    (a - b).abs() <= (ALIKE * a.max(b)).max(2.0)
}

impl Stated {
    /// Extracts the statements from the attributes of several objects in one file, given with their names for
    /// messages.
    ///
    /// # Errors
    /// A message when two objects have different values for one attribute, or when a number is not a valid
    /// size.
    pub fn of(positions: &[(&str, BTreeMap<String, Attribute>)]) -> Result<Self, String> {
        let find = |name: &str| -> Result<Option<&Attribute>, String> {
            let mut found: Option<(&str, &Attribute)> = None;
            for (place, attributes) in positions {
                let Some(attribute) = attributes.get(name) else { continue };
                match found {
                    Some((before, other)) if other != attribute && other.number() != attribute.number() => {
                        return Err(format!(
                            "attribute {name} is {} on {before} and {} on {place}",
                            shown(other),
                            shown(attribute)
                        ));
                    }
                    Some(_) => {}
                    None => found = Some((place, attribute)),
                }
            }
            Ok(found.map(|(_, attribute)| attribute))
        };
        let number = |name: &str, least: f64| -> Result<Option<f64>, String> {
            let Some(attribute) = find(name)? else { return Ok(None) };
            // TRIDENT writes the text "None" for an unknown value.
            let Some(number) = attribute.number() else { return Ok(None) };
            match number.is_finite() && number >= least {
                true => Ok(Some(number)),
                false => Err(format!("attribute {name} is {number}, which is not a valid size")),
            }
        };
        let size = |name: &str| number(name, f64::MIN_POSITIVE);
        let text = |names: &[&str]| -> Result<Option<String>, String> {
            for name in names {
                if let Some(Attribute::Text(text)) = find(name)?
                    && !text.trim().is_empty()
                    && text != "None"
                {
                    return Ok(Some(text.trim().to_owned()));
                }
            }
            Ok(None)
        };
        let pair = |name: &str| -> Result<Option<[f64; 2]>, String> {
            let found = find(name)?.and_then(Attribute::pair);
            Ok(found.filter(|pair| pair.iter().all(|number| number.is_finite() && *number > 0.0)))
        };
        let unit = text(&["unit", "units"])?;
        let downsample = pair("downsample")?.map(|[x, y]| (x * y).sqrt());
        let patch_level = number("patch_level", 0.0)?.map(|level| level as u32);
        // STAMP before 2.1 wrote the µm of a tile as `tile_size`.
        let old_tile_um = if is_micron(unit.as_deref()) { size("tile_size")? } else { None };
        let level0_size = match (size("level0_width")?, size("level0_height")?) {
            (Some(width), Some(height)) => Some([width, height]),
            _ => match (pair("level_dim")?, downsample, patch_level) {
                (Some(level), Some(downsample), _) => Some(level.map(|extent| extent * downsample)),
                (level, None, Some(0)) => level,
                _ => None,
            },
        };
        let tile_px = match size("tile_size_px")? {
            Some(px) => Some(px),
            None => size("target_patch_size")?.or(size("tile_px")?),
        };
        Ok(Self {
            patch_size: size("patch_size")?,
            patch_size_level0: size("patch_size_level0")?,
            patch_level,
            downsample,
            custom_downsample: size("custom_downsample")?,
            level0_magnification: size("level0_magnification")?,
            target_magnification: size("target_magnification")?,
            overlap: number("overlap", 0.0)?,
            level0_size,
            tile_size_um: size("tile_size_um")?.or(old_tile_um),
            tile_px,
            mpp: size("mpp")?,
            encoder: text(&["encoder", "encoder_name", "extractor"])?,
            unit,
        })
    }

    /// Returns the space of the coordinates, if the file states it.
    ///
    /// # Errors
    /// A message when the unit is neither µm nor pixels.
    pub fn space(&self) -> Result<Option<Space>, String> {
        if let Some(unit) = &self.unit {
            return match unit.to_lowercase().as_str() {
                _ if is_micron(Some(unit)) => Ok(Some(Space::Microns)),
                "px" | "pixel" | "pixels" => Ok(Some(Space::Pixels)),
                _ => Err(format!("attribute unit is {unit:?}; expected \"um\" or \"px\"")),
            };
        }
        let in_pixels = self.patch_size.or(self.patch_size_level0).or(self.downsample);
        let of_levels = self.patch_level.is_some() || self.level0_magnification.is_some();
        Ok(match self.tile_size_um {
            Some(_) => Some(Space::Microns),
            None => (in_pixels.is_some() || of_levels).then_some(Space::Pixels),
        })
    }

    /// Returns the edge of a tile in the pixels that the encoder saw, if the file states it.
    pub fn tile_px(&self) -> Option<u32> {
        self.tile_px.or(self.patch_size).map(|edge| edge.round() as u32)
    }

    /// Returns the pixel size of level 0 in µm, if the file states it.
    pub fn level0_mpp(&self) -> Option<f64> {
        Some(self.mpp? * self.tile_px? / self.patch_size_level0?)
    }

    /// Returns the edge of a tile in level-0 pixels, if the file states it. `slide` provides the downsample
    /// of a level that is given only by number; `mpp` (µm per level-0 pixel) converts µm to pixels.
    ///
    /// # Errors
    /// A message when statements contradict each other, or when neither file nor slide gives the downsample
    /// of a level.
    pub fn tile_level0(
        &self,
        slide: Option<&SlideInfo>,
        mpp: Option<MicronsPerPixel>,
    ) -> Result<Option<u32>, String> {
        let mut found: Vec<(String, f64)> = Vec::new();
        if let Some(edge) = self.patch_size_level0 {
            found.push((format!("patch_size_level0 {edge}"), edge));
        }
        if let Some(edge) = self.patch_size {
            let custom = self.custom_downsample.unwrap_or(1.0);
            let reduced = match self.custom_downsample {
                Some(custom) => format!(" × custom_downsample {custom}"),
                None => String::new(),
            };
            if let Some(downsample) = self.downsample {
                let words = format!("patch_size {edge} × downsample {downsample}{reduced}");
                found.push((words, edge * downsample * custom));
            } else if let Some(level) = self.patch_level {
                let of_slide = slide.and_then(|slide| slide.levels.get(level as usize));
                match of_slide.map(|level| level.downsample.mean()) {
                    _ if level == 0 => {
                        found.push((format!("patch_size {edge} of patch_level 0{reduced}"), edge * custom))
                    }
                    Some(downsample) => {
                        let words = format!(
                            "patch_size {edge} × downsample {downsample:.2} of the slide's level {level}{reduced}"
                        );
                        found.push((words, edge * downsample * custom));
                    }
                    None if found.is_empty() && self.tile_size_um.is_none() => {
                        return Err(format!(
                            "patch_level is {level}, but the file states no downsample and the slide has no such \
                             level; expected attribute downsample or patch_size_level0, or give --tile-level0"
                        ));
                    }
                    None => {}
                }
            }
            if let (Some(level0), Some(target)) = (self.level0_magnification, self.target_magnification) {
                let words = format!(
                    "patch_size {edge} × level0_magnification {level0} / target_magnification {target}"
                );
                found.push((words, edge * level0 / target));
            }
            if found.is_empty() {
                found.push((format!("patch_size {edge}"), edge));
            }
        }
        if let (Some(um), Some(mpp)) = (self.tile_size_um, mpp) {
            found.push((format!("tile_size_um {um} at {:.4} µm/px", mpp.x()), um / mpp.x()));
        }
        let Some((words, edge)) = found.first() else { return Ok(None) };
        if let Some((other, differing)) = found.iter().find(|(_, other)| !alike(*edge, *other)) {
            return Err(format!(
                "the size of a tile is stated twice, as {edge:.0} level-0 px ({words}) and as {differing:.0} \
                 ({other}); give the right one with --tile-level0"
            ));
        }
        Ok(Some(edge.round().clamp(0.0, f64::from(u32::MAX)) as u32))
    }

    /// Returns a message if tiles of `edge` level-0 pixels at a distance of `step` pixels contradict the
    /// file's `overlap`.
    pub fn overlap_problem(&self, edge: u32, step: u32) -> Option<String> {
        let (overlap, seen) = (self.overlap?, self.patch_size?);
        let expected = f64::from(edge) * (1.0 - overlap / seen);
        let is_closer = f64::from(step) < expected && !alike(f64::from(step), expected);
        is_closer.then(|| {
            format!(
                "tiles lie {step} level-0 px apart, but tiles of {edge} px with overlap {overlap} of patch_size {seen} \
                 would lie {expected:.0} px apart; give the size of a tile with --tile-level0"
            )
        })
    }

    /// Compares the slide size that the file states with `size`; returns a note if the difference is small.
    ///
    /// # Errors
    /// A message when the sizes differ by more than `edge` pixels and more than 2 %.
    pub fn size_problem(&self, size: [u32; 2], edge: u32) -> Result<Option<String>, String> {
        let Some(stated) = self.level0_size else { return Ok(None) };
        let [width, height] = size;
        let words = format!(
            "the features were computed on a slide of {:.0} × {:.0} px, this slide has {width} × {height} px",
            stated[0], stated[1]
        );
        let differences = stated.iter().zip(size).map(|(stated, actual)| (stated - f64::from(actual)).abs());
        let slack = self.downsample.unwrap_or(1.0) + 1.0;
        let most = differences.fold(0.0, f64::max);
        let allowed = f64::from(edge).max(ALIKE * f64::from(width.max(height)));
        match most {
            most if most <= slack => Ok(None),
            most if most <= allowed => Ok(Some(words)),
            _ => Err(format!("{words}; they belong to another slide or to a converted copy of it")),
        }
    }
}

fn is_micron(unit: Option<&str>) -> bool {
    let names =
        ["um", "µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"];
    unit.is_some_and(|unit| names.contains(&unit.to_lowercase().as_str()))
}

fn shown(attribute: &Attribute) -> String {
    match attribute {
        Attribute::Numbers(numbers) => numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(", "),
        Attribute::Text(text) => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(attributes: &[(&str, f64)]) -> Stated {
        let attribute =
            |(name, number): &(&str, f64)| ((*name).to_owned(), Attribute::Numbers(vec![*number]));
        Stated::of(&[("coords", attributes.iter().map(attribute).collect())]).unwrap()
    }

    fn edge(attributes: &[(&str, f64)]) -> Result<Option<u32>, String> {
        stated(attributes).tile_level0(None, Some(MicronsPerPixel::square(0.5).unwrap()))
    }

    #[test]
    fn a_tile_is_as_large_as_its_level_magnification_or_microns_say() {
        assert_eq!(edge(&[]), Ok(None));
        assert_eq!(edge(&[("patch_size", 256.0)]), Ok(Some(256)));
        assert_eq!(edge(&[("patch_size", 256.0), ("patch_level", 0.0)]), Ok(Some(256)));
        assert_eq!(
            edge(&[("patch_size", 256.0), ("patch_level", 1.0), ("downsample", 4.0012)]),
            Ok(Some(1024))
        );
        let twice = [("patch_size", 256.0), ("patch_level", 0.0), ("custom_downsample", 2.0)];
        assert_eq!(edge(&twice), Ok(Some(512)));
        let magnified =
            [("patch_size", 224.0), ("level0_magnification", 40.0), ("target_magnification", 10.0)];
        assert_eq!(edge(&magnified), Ok(Some(896)));
        // TRIDENT rounds down: 256 × 40 // 15.
        let odd = [
            ("patch_size", 256.0),
            ("patch_size_level0", 682.0),
            ("level0_magnification", 40.0),
            ("target_magnification", 15.0),
        ];
        assert_eq!(edge(&odd), Ok(Some(682)));
        assert_eq!(edge(&[("tile_size_um", 256.0), ("tile_size_px", 224.0)]), Ok(Some(512)));
    }

    #[test]
    fn contradictions_name_both_statements() {
        let text =
            edge(&[("patch_size", 256.0), ("patch_size_level0", 256.0), ("downsample", 2.0)]).unwrap_err();
        assert!(text.contains("patch_size_level0 256") && text.contains("downsample 2"), "{text}");
        let text = edge(&[("patch_size", 256.0), ("patch_level", 2.0)]).unwrap_err();
        assert!(text.contains("patch_level is 2") && text.contains("--tile-level0"), "{text}");
        let one = |number: f64| BTreeMap::from([("patch_size".to_owned(), Attribute::Numbers(vec![number]))]);
        let text = Stated::of(&[("coords", one(256.0)), ("the root", one(512.0))]).unwrap_err();
        assert!(text.contains("256 on coords and 512 on the root"), "{text}");
        let text = Stated::of(&[("coords", one(-1.0))]).unwrap_err();
        assert!(text.contains("patch_size is -1"), "{text}");
    }

    #[test]
    fn text_and_arrays_of_one_are_numbers_too() {
        let text = |text: &str| Attribute::Text(text.to_owned());
        let attributes = BTreeMap::from([
            ("patch_size".to_owned(), text("256")),
            ("downsample".to_owned(), Attribute::Numbers(vec![2.0, 2.0])),
            ("level0_magnification".to_owned(), text("None")),
            ("extractor".to_owned(), text("uni2-ab12")),
        ]);
        let stated = Stated::of(&[("coords", attributes)]).unwrap();
        assert_eq!((stated.patch_size, stated.downsample), (Some(256.0), Some(2.0)));
        assert_eq!((stated.level0_magnification, stated.encoder.as_deref()), (None, Some("uni2-ab12")));
        assert_eq!(stated.tile_level0(None, None), Ok(Some(512)));
    }

    #[test]
    fn units_decide_the_space() {
        let with_unit = |unit: &str| Stated { unit: Some(unit.to_owned()), ..Stated::default() }.space();
        assert_eq!(with_unit("um"), Ok(Some(Space::Microns)));
        assert_eq!(with_unit("Pixels"), Ok(Some(Space::Pixels)));
        assert!(with_unit("mm").unwrap_err().contains("mm"));
        assert_eq!(stated(&[("tile_size_um", 256.0)]).space(), Ok(Some(Space::Microns)));
        assert_eq!(stated(&[("patch_size", 256.0)]).space(), Ok(Some(Space::Pixels)));
        assert_eq!(stated(&[]).space(), Ok(None));
    }

    #[test]
    fn sizes_and_overlaps_that_do_not_fit_are_told() {
        let trident = stated(&[
            ("patch_size", 256.0),
            ("patch_size_level0", 512.0),
            ("overlap", 128.0),
            ("level0_width", 5000.0),
            ("level0_height", 4000.0),
        ]);
        assert_eq!(trident.overlap_problem(512, 256), None);
        assert!(trident.overlap_problem(512, 128).unwrap().contains("256 px apart"));
        assert_eq!(trident.size_problem([5000, 4000], 512), Ok(None));
        assert!(trident.size_problem([5120, 4096], 512).unwrap().unwrap().contains("5120 × 4096"));
        assert!(trident.size_problem([2500, 2000], 512).unwrap_err().contains("another slide"));
    }
}
