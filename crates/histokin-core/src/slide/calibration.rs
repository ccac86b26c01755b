//! Chooses among the pixel sizes stated in a file, and generates the warning about a doubtful one.
//!
//! Readers collect the statements of their format as `Stated` values, in order of trust; `calibrate` applies
//! the rules. Nothing here reads files.
//!
//! Orders of magnitude: brightfield scanners write 0.1 to 1 µm per pixel, and an objective of power `p` gives
//! about `10 / p` µm (40×: 0.25, 20×: 0.5). Image editors write the resolution of screens and printers
//! instead (72 dpi is 353 µm, 1200 dpi is 21 µm).

use serde::{Deserialize, Serialize};

use super::MppSource;
use crate::geometry::{MicronsPerPixel, StatedPixelSize};
use crate::number_format::of_program;

/// Micrometres per inch.
pub(super) const UM_PER_INCH: f64 = 25_400.0;
/// Micrometres per centimetre.
pub(super) const UM_PER_CM: f64 = 10_000.0;

/// Range in which a stated pixel size is used at all, in µm.
const FINEST_USED: f64 = 0.01;
const COARSEST_USED: f64 = 20.0;

/// Range that is accepted without a warning if the objective is unknown, in µm. Light microscopes resolve 0.2
/// µm, which 0.05 µm samples fourfold; 1× objectives give 10 µm.
const FINEST_USUAL: f64 = 0.05;
const COARSEST_USUAL: f64 = 10.0;

/// Largest factor between a pixel size and the `10 / power` µm of its objective. Camera adapters and
/// magnification changers account for 2 to 2.5.
const OBJECTIVE_TOLERANCE: f64 = 3.0;

/// Largest ratio of a pixel's sides.
const MAX_SIDE_RATIO: f64 = 4.0;

/// The kind of field in which a format states a pixel size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A field for the physical pixel size: a scanner's property, ImageJ's unit, OME's `PhysicalSizeX`.
    PixelSize,
    /// A resolution in dots per unit of length, which image editors fill in without knowing it.
    Resolution,
}

/// One statement of a pixel size, as found; may be invalid (zero, negative, not a number).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stated {
    /// Size of a pixel in µm, as stated.
    pub size: StatedPixelSize,
    /// The kind of field it comes from.
    pub origin: Origin,
}

impl Stated {
    /// A physical pixel size in µm.
    pub fn pixel_size(x: f64, y: f64) -> Self {
        Self { size: StatedPixelSize { x, y }, origin: Origin::PixelSize }
    }

    /// Edge in µm of the square of the same area.
    pub fn um(&self) -> f64 {
        (self.size.x * self.size.y).sqrt()
    }

    /// Converts a resolution of `x` and `y` pixels per unit of `um_per_unit` µm.
    pub fn resolution((x, y): (f64, f64), um_per_unit: f64) -> Self {
        let size = StatedPixelSize { x: um_per_unit / x, y: um_per_unit / y };
        Self { size, origin: Origin::Resolution }
    }

    /// Whether it is a resolution that does not fit the power of the objective, or no power is known.
    pub fn is_unfit_resolution(&self, objective: Option<f64>) -> bool {
        self.origin == Origin::Resolution && (objective.is_none() || doubt(self, objective).is_some())
    }

    /// Converts TIFF's XResolution and YResolution, which are pixels per ResolutionUnit: 2 for inches, 3 for
    /// centimetres. Unit 1 and a missing unit state no length. EXIF uses the same tags.
    pub fn tiff_resolution(per_unit: (f64, f64), unit: Option<u16>) -> Option<Self> {
        match unit? {
            2 => Some(Self::resolution(per_unit, UM_PER_INCH)),
            3 => Some(Self::resolution(per_unit, UM_PER_CM)),
            _ => None,
        }
    }
}

/// A warning about a slide that the user should see and may have to act on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SlideWarning {
    /// The stated pixel size is used although it is doubtful.
    DoubtfulPixelSize {
        /// Pixel size stated in the file, in µm.
        stated: MicronsPerPixel,
        /// Why it is doubtful.
        doubt: Doubt,
        /// The pixel size that the file probably means, in µm, if there is a guess.
        guess: Option<MicronsPerPixel>,
    },
    /// The stated pixel size is impossible and is not used: the slide is not calibrated.
    ImpossiblePixelSize {
        /// Pixel size stated in the file, in µm.
        stated: StatedPixelSize,
        /// The pixel size that the file probably means, in µm, if there is a guess.
        guess: Option<MicronsPerPixel>,
    },
    /// How pixels are rendered where the file leaves it open, or which parts of the file are not shown.
    Shown {
        /// One sentence, in lower case and without a full stop.
        text: String,
    },
}

/// Why a pixel size is doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Doubt {
    /// It does not fit the objective.
    Objective {
        /// Nominal power of the objective.
        power: f64,
    },
    /// It is finer than light microscopes resolve.
    TooFine,
    /// It is coarser than slide scanners write.
    TooCoarse,
    /// The sides of a pixel differ by more than those of any scanner.
    Oblong,
}

impl SlideWarning {
    /// Returns one sentence: what is stated, why it is doubtful, what it may be instead.
    pub fn text(&self) -> String {
        let or = |guess: &Option<MicronsPerPixel>| match guess {
            Some(guess) => format!("; it may be {} µm", in_um((*guess).into())),
            None => "; check it".to_owned(),
        };
        match self {
            Self::DoubtfulPixelSize { stated, doubt, guess } => {
                let stated = in_um((*stated).into());
                let why = match doubt {
                    Doubt::Objective { power } => {
                        format!("but its {power}× objective usually gives about {} µm", digits(10.0 / power))
                    }
                    Doubt::TooFine => "which is finer than a light microscope resolves".to_owned(),
                    Doubt::TooCoarse => {
                        "which is coarser than slide scanners write and looks like a print resolution"
                            .to_owned()
                    }
                    Doubt::Oblong => "which differs too much between the two axes".to_owned(),
                };
                format!("the file states a pixel size of {stated} µm, {why}{}", or(guess))
            }
            Self::ImpossiblePixelSize { stated, guess } => format!(
                "the file states a pixel size of {} µm, which is impossible and is not used{}",
                in_um(*stated),
                or(guess)
            ),
            Self::Shown { text } => text.clone(),
        }
    }

    /// The pixel size that the file probably means.
    pub fn suggested_mpp(&self) -> Option<MicronsPerPixel> {
        match self {
            Self::DoubtfulPixelSize { guess, .. } | Self::ImpossiblePixelSize { guess, .. } => *guess,
            Self::Shown { .. } => None,
        }
    }

    /// Whether the warning no longer applies once the user sets the pixel size.
    pub fn concerns_pixel_size(&self) -> bool {
        matches!(self, Self::DoubtfulPixelSize { .. } | Self::ImpossiblePixelSize { .. })
    }
}

/// The chosen pixel size, its source and the warnings about it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Calibration {
    /// Size of a level-0 pixel in µm; `None` if none can be used.
    pub mpp: Option<MicronsPerPixel>,
    /// Where `mpp` comes from.
    pub source: MppSource,
    /// Warnings about the stated pixel size.
    pub warnings: Vec<SlideWarning>,
}

/// Chooses the pixel size: the user's, otherwise the first possible one of `stated`. `objective` is the
/// nominal power of the objective.
pub(super) fn calibrate(
    user: Option<MicronsPerPixel>,
    stated: &[Stated],
    objective: Option<f64>,
) -> Calibration {
    if let Some(user) = user {
        return Calibration { mpp: Some(user), source: MppSource::User, warnings: Vec::new() };
    }
    let in_range = |um: f64| (FINEST_USED..=COARSEST_USED).contains(&um);
    let usable = |stated: &Stated| {
        let mpp = MicronsPerPixel::try_from(stated.size).ok()?;
        (in_range(mpp.x()) && in_range(mpp.y())).then_some(mpp)
    };
    if let Some((used, mpp)) = stated.iter().find_map(|stated| Some((stated, usable(stated)?))) {
        let warning = doubt(used, objective).map(|doubt| SlideWarning::DoubtfulPixelSize {
            stated: mpp,
            doubt,
            guess: guess(used, objective),
        });
        let warnings = warning.into_iter().collect();
        return Calibration { mpp: Some(mpp), source: MppSource::Slide, warnings };
    }
    // Plain pictures usually state an impossible resolution; an impossible pixel size is an error worth a
    // warning.
    let is_number = |um: f64| um.is_finite() && um > 0.0;
    let is_reported = |stated: &&Stated| {
        stated.origin == Origin::PixelSize && is_number(stated.size.x) && is_number(stated.size.y)
    };
    let warning = stated.iter().find(is_reported).map(|stated| SlideWarning::ImpossiblePixelSize {
        stated: stated.size,
        guess: guess(stated, objective),
    });
    Calibration { mpp: None, source: MppSource::Unknown, warnings: warning.into_iter().collect() }
}

fn doubt(stated: &Stated, objective: Option<f64>) -> Option<Doubt> {
    let within = |ratio: f64, max: f64| (1.0 / max..=max).contains(&ratio);
    let um = stated.um();
    if !within(stated.size.x / stated.size.y, MAX_SIDE_RATIO) {
        return Some(Doubt::Oblong);
    }
    if let Some(power) = objective {
        return (!within(um * power / 10.0, OBJECTIVE_TOLERANCE)).then_some(Doubt::Objective { power });
    }
    match um {
        um if um < FINEST_USUAL => Some(Doubt::TooFine),
        um if um > COARSEST_USUAL => Some(Doubt::TooCoarse),
        _ => None,
    }
}

/// Guesses what a wrong statement means: the same digits at another power of ten (another unit, a misplaced
/// decimal point), otherwise the pixel size that is usual for the objective.
fn guess(stated: &Stated, objective: Option<f64>) -> Option<MicronsPerPixel> {
    let um = stated.um();
    let (low, high) = match objective {
        Some(power) => (10.0 / power / 1.6, 10.0 / power * 1.6),
        None => (0.1, 0.999),
    };
    let by_objective = || MicronsPerPixel::square(digits(10.0 / objective?)).ok();
    if stated.origin == Origin::Resolution && um > 1.0 {
        return by_objective();
    }
    if doubt(stated, None) == Some(Doubt::Oblong) {
        return by_objective();
    }
    let shifted = [-1, 1, -3, 3, -6, 6]
        .map(|power| um * 10_f64.powi(power))
        .into_iter()
        .find(|um| (low..=high).contains(um));
    shifted.and_then(|um| MicronsPerPixel::square(digits(um)).ok()).or_else(by_objective)
}

/// Rounds to six significant digits.
fn digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// Formats a pixel size in µm: as one number if both sides are equal to six digits.
fn in_um(size: StatedPixelSize) -> String {
    let (x, y) = (digits(size.x), digits(size.y));
    if x == y { format!("{x}") } else { format!("{x} × {y}") }
}

/// Micrometres in one unit of length, by its name or symbol as ImageJ, OME and scanners write it; `None` for
/// anything that is not a length, such as `pixel`.
pub(super) fn um_per_unit(unit: &str) -> Option<f64> {
    // ImageJ writes characters beyond ASCII as `\u00B5`.
    let plain =
        unit.trim().trim_matches('"').replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace('μ', "µ");
    // UTF-8 that was read as Latin-1 and written as UTF-8 once more.
    let plain = plain.replace("Â", "");
    // A µ that was lost in an encoding without it. No other prefix needs one.
    let plain = if matches!(plain.as_str(), "?m" | "\u{fffd}m" | "\u{fffd}\u{fffd}m") {
        "µm".to_owned()
    } else {
        plain
    };
    // Case distinguishes mm from Mm and nm from Nm in OME only, where the latter are never used.
    Some(match plain.to_lowercase().as_str() {
        "µm" | "um" | "micron" | "microns" | "micrometer" | "micrometers" | "micrometre" | "micrometres" => {
            1.0
        }
        "nm" | "nanometer" | "nanometers" | "nanometre" | "nanometres" => 1e-3,
        "å" | "angstrom" | "ångström" => 1e-4,
        "pm" | "picometer" | "picometre" => 1e-6,
        "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" => 1e3,
        "cm" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => UM_PER_CM,
        "fm" => 1e-9,
        "dm" | "decimeter" | "decimeters" | "decimetre" | "decimetres" => 1e5,
        "m" | "meter" | "meters" | "metre" | "metres" => 1e6,
        "dam" => 1e7,
        "hm" => 1e8,
        "km" => 1e9,
        "thou" | "mil" | "mils" => UM_PER_INCH / 1000.0,
        // A line.
        "li" => UM_PER_INCH / 12.0,
        "ft" | "foot" | "feet" => UM_PER_INCH * 12.0,
        "yd" => UM_PER_INCH * 36.0,
        "inch" | "inches" | "in" => UM_PER_INCH,
        "pt" => UM_PER_INCH / 72.0,
        _ => return None,
    })
}

/// Parses a length in µm from a number with or without a unit (`0.25`, `0,25`, `250 nm`); without a unit it
/// is in µm. `None` if the text is not a length.
pub(super) fn length_in_um(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_numeric = |character: char| character.is_ascii_digit() || "+-.,".contains(character);
    let end = exponent_end(text, text.find(|character: char| !is_numeric(character)).unwrap_or(text.len()));
    let (number, unit) = text.split_at(end);
    let number = of_program(number)?;
    match unit.trim() {
        "" => Some(number),
        unit => Some(number * um_per_unit(unit)?),
    }
}

/// Returns the end of the exponent that begins at `start`, or `start` if there is none.
fn exponent_end(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    let Some(exponent) = rest.strip_prefix(['e', 'E']) else { return start };
    let digits = exponent.trim_start_matches(['+', '-']);
    let length = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(digits.len());
    if length == 0 { start } else { text.len() - digits.len() + length }
}

/// Reads ImageJ's ImageDescription. Its `unit` is the one in which XResolution and YResolution are pixels per
/// unit, regardless of ResolutionUnit (`ij.io.TiffEncoder`). `None` if the description is not ImageJ's or its
/// unit is not a length.
pub(super) fn imagej(description: &str, per_unit: (f64, f64)) -> Option<Stated> {
    if !description.trim_start().starts_with("ImageJ=") {
        return None;
    }
    let unit = description.lines().find_map(|line| line.trim().strip_prefix("unit="))?;
    let um = um_per_unit(unit)?;
    Some(Stated::pixel_size(um / per_unit.0, um / per_unit.1))
}

/// Reads pixel size and objective from an ImageDescription such as Aperio's, `…|MPP = 0.25|AppMag = 40`, which Motic and
/// others write as well.
pub(super) fn aperio(description: &str) -> (Option<Stated>, Option<f64>) {
    let field = |name: &str| {
        description.split('|').skip(1).find_map(|field| {
            let (key, value) = field.split_once(['=', ':'])?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let stated = field("MPP").and_then(length_in_um).map(|um| Stated::pixel_size(um, um));
    (stated, field("AppMag").and_then(objective_power))
}

/// Reads the pixel size from a description in JSON, as tifffile and scripts write it: `PhysicalSizeX` and `PhysicalSizeY` with
/// their units as in OME-XML, `mpp_x` and `mpp_y`, or `mpp`.
fn json(description: &str) -> Option<Stated> {
    /// Maximum number of bytes that are read.
    const MOST_BYTES: usize = 1 << 16;
    let text = description.trim();
    if !text.starts_with('{') || text.len() > MOST_BYTES {
        return None;
    }
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let number = |key: &str| match members.get(key)? {
        serde_json::Value::Number(number) => number.as_f64(),
        serde_json::Value::String(text) => of_program(text),
        _ => None,
    };
    let of_ome = |axis: &str| {
        let key = format!("PhysicalSize{axis}");
        let unit = members.get(&format!("{key}Unit")).and_then(|unit| unit.as_str()).unwrap_or("µm");
        Some(number(&key)? * um_per_unit(unit)?)
    };
    let each = |x: Option<f64>, y: Option<f64>| Some((x?, y?));
    let (x, y) = each(of_ome("X"), of_ome("Y"))
        .or_else(|| each(number("mpp_x"), number("mpp_y")))
        .or_else(|| each(number("mpp"), number("mpp")))?;
    Some(Stated::pixel_size(x, y))
}

/// Reads pixel size and objective from the properties that vips writes into the ImageDescription (`tiffsave --properties`): those
/// of the slide that was converted, by OpenSlide's names.
fn vips(description: &str) -> (Option<Stated>, Option<f64>) {
    if !description.contains("vips") || !description.contains("openslide.") {
        return (None, None);
    }
    let Ok(document) = roxmltree::Document::parse(description.trim()) else { return (None, None) };
    let child = |node: roxmltree::Node, name: &str| {
        let child = node.children().find(|child| child.tag_name().name() == name)?;
        Some(child.text().unwrap_or_default().trim().to_owned())
    };
    let properties = document.descendants().filter(|node| node.tag_name().name() == "property");
    let properties: std::collections::HashMap<String, String> =
        properties.filter_map(|node| Some((child(node, "name")?, child(node, "value")?))).collect();
    let length = |axis: &str| length_in_um(properties.get(&format!("openslide.mpp-{axis}"))?);
    let stated = length("x").zip(length("y")).map(|(x, y)| Stated::pixel_size(x, y));
    (stated, properties.get("openslide.objective-power").and_then(|text| objective_power(text)))
}

/// Parses the power of an objective, such as `40`, `40x` or `20,0`; `None` if the text is not one.
pub(super) fn objective_power(text: &str) -> Option<f64> {
    of_program(text.trim().trim_end_matches(['x', 'X', '×'])).filter(|power| (0.1..=1000.0).contains(power))
}

/// Collects the pixel sizes stated in the tags of a TIFF file, most trusted first, and the power of the
/// objective.
pub(super) fn tiff(
    description: Option<&str>,
    per_unit: Option<(f64, f64)>,
    unit: Option<u16>,
) -> (Vec<Stated>, Option<f64>) {
    let description = description.unwrap_or_default();
    let (aperio, objective) = aperio(description);
    let (vips, vips_objective) = vips(description);
    let imagej = per_unit.and_then(|per_unit| imagej(description, per_unit));
    let resolution = per_unit.and_then(|per_unit| Stated::tiff_resolution(per_unit, unit));
    let stated = [aperio, vips, json(description), imagej, resolution];
    (stated.into_iter().flatten().collect(), objective.or(vips_objective))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of a statement.
    #[derive(Debug, PartialEq)]
    enum Becomes {
        Used(f64),
        /// Used with a warning; its guess.
        Doubtful(Option<f64>),
        /// Not calibrated; the guess of the warning, if there is a warning.
        Not(Option<Option<f64>>),
    }
    use Becomes::{Doubtful, Not, Used};

    fn outcome(stated: &[Stated], objective: Option<f64>) -> Becomes {
        let found = calibrate(None, stated, objective);
        let guess = found.warnings.first().map(|warning| {
            assert!(!warning.text().contains('\n') && warning.text().contains("µm"), "{}", warning.text());
            warning.suggested_mpp().map(|mpp| mpp.x())
        });
        match (found.mpp, guess) {
            (Some(mpp), None) => Used(digits(mpp.mean())),
            (Some(_), Some(guess)) => Doubtful(guess),
            (None, guess) => Not(guess),
        }
    }

    #[test]
    fn stated_pixel_sizes_are_used_doubted_or_not_used() {
        let size = |um: f64| vec![Stated::pixel_size(um, um)];
        let per_inch = |dpi: f64| vec![Stated::resolution((dpi, dpi), UM_PER_INCH)];
        let per_cm = |dots: f64| vec![Stated::resolution((dots, dots), UM_PER_CM)];
        let table = [
            (size(0.25), Some(40.0), Used(0.25)),
            (size(0.2), Some(20.0), Used(0.2)),
            (size(0.05), Some(100.0), Used(0.05)),
            (size(8.0), None, Used(8.0)),
            (size(2.5), Some(40.0), Doubtful(Some(0.25))),
            (size(0.025), Some(40.0), Doubtful(Some(0.25))),
            (size(0.025), None, Doubtful(Some(0.25))),
            (size(1.1), Some(40.0), Doubtful(Some(0.25))),
            (size(250.0), Some(40.0), Not(Some(Some(0.25)))),
            (size(250.0), None, Not(Some(Some(0.25)))),
            (size(499.2), Some(20.0), Not(Some(Some(0.4992)))),
            (size(0.0000025), Some(40.0), Not(Some(Some(0.25)))),
            (size(0.0), Some(40.0), Not(None)),
            (size(-0.25), Some(40.0), Not(None)),
            (size(f64::NAN), Some(40.0), Not(None)),
            (size(f64::INFINITY), None, Not(None)),
            (per_inch(72.0), None, Not(None)),
            (per_inch(1000.0), None, Not(None)),
            (per_inch(1300.0), None, Doubtful(None)),
            (per_inch(101_600.0), None, Used(0.25)),
            (per_inch(0.0), None, Not(None)),
            (per_cm(1.0), None, Not(None)),
            (per_cm(400_000.0), None, Doubtful(Some(0.25))),
            (per_cm(f64::NAN), None, Not(None)),
            (vec![], Some(40.0), Not(None)),
            (size(15.0), None, Doubtful(None)),
            (vec![Stated::pixel_size(0.25, 2.5)], None, Doubtful(None)),
            // The first possible one is used.
            ([per_inch(72.0), size(0.5)].concat(), None, Used(0.5)),
        ];
        for (stated, objective, expected) in table {
            assert_eq!(outcome(&stated, objective), expected, "{stated:?}, objective {objective:?}");
        }
    }

    #[test]
    fn the_users_pixel_size_leaves_nothing_to_warn_of() {
        let user = MicronsPerPixel::square(2.5).unwrap();
        let found = calibrate(Some(user), &[Stated::pixel_size(250.0, 250.0)], Some(40.0));
        assert_eq!((found.mpp, found.source, found.warnings), (Some(user), MppSource::User, vec![]));
    }

    #[test]
    fn descriptions_of_scripts_state_pixel_sizes() {
        let found = |description: &str| {
            tiff(Some(description), None, None).0.first().map(|stated| digits(stated.um()))
        };
        for text in [
            r#"{"shape": [3, 4, 3], "PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm"}"#,
            r#"{"mpp": "0,25"}"#,
            r#"{"mpp_x": 0.25, "mpp_y": 0.25}"#,
            "Scan|AppMag: 40|MPP: 0.25",
            "scan|appmag=40|mpp=0.25",
        ] {
            assert_eq!(found(text), Some(0.25), "{text}");
        }
        for text in [r#"{"shape": [3, 4, 3]}"#, r#"{"PhysicalSizeX": 0.25}"#, r#"{"mpp": null}"#, "{", "MPP"]
        {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn lengths_are_read_with_comma_and_unit() {
        for (text, um) in [
            ("0.2500", Some(0.25)),
            ("0,2500", Some(0.25)),
            (" 0.25 um ", Some(0.25)),
            ("0.25µm", Some(0.25)),
            ("0.25 μm", Some(0.25)),
            ("0.25 ?m", Some(0.25)),
            ("0.25 \u{fffd}m", Some(0.25)),
            ("250 nm", Some(0.25)),
            ("2.5e-4 mm", Some(0.25)),
            ("2.5E-1", Some(0.25)),
            ("-0.25", Some(-0.25)),
            ("1e400", None),
            ("1,234.5", None),
            ("0.25 parsec", None),
            ("nan", None),
            ("inf", None),
            ("", None),
            ("µm", None),
            ("e5", None),
        ] {
            let found = length_in_um(text);
            let same = match (found, um) {
                (Some(found), Some(um)) => (found - um).abs() < 1e-9,
                (found, um) => found == um,
            };
            assert!(same, "{text:?} is read as {found:?}");
        }
    }

    #[test]
    fn imagej_counts_pixels_per_unit_of_its_own() {
        for (unit, per_unit) in [
            ("um", 4.0),
            ("micron", 4.0),
            ("\\u00B5m", 4.0),
            ("µm", 4.0),
            ("Âµm", 4.0),
            ("nm", 0.004),
            ("mm", 4000.0),
            ("cm", 40_000.0),
            ("inch", 101_600.0),
        ] {
            let description = format!("ImageJ=1.54f\nimages=1\nunit={unit}\nloop=false\n");
            let found = imagej(&description, (per_unit, per_unit)).expect(unit);
            assert!((found.um() - 0.25).abs() < 1e-9, "{unit}: {found:?}");
        }
        for other in ["ImageJ=1.54f\n", "ImageJ=1.54f\nunit=pixel\n", "Aperio\nunit=um\n"] {
            assert_eq!(imagej(other, (4.0, 4.0)), None, "{other:?}");
        }
    }

    #[test]
    fn tags_of_a_tiff_are_taken_in_order_of_trust() {
        let ours = |description, per_unit, unit| {
            let (stated, objective) = tiff(description, per_unit, unit);
            calibrate(None, &stated, objective).mpp.map(|mpp| digits(mpp.mean()))
        };
        let both = |value: f64| Some((value, value));
        assert_eq!(ours(None, both(40_000.0), Some(3)), Some(0.25));
        assert_eq!(ours(None, both(40_000.0), Some(1)), None);
        assert_eq!(ours(None, both(40_000.0), None), None);
        assert_eq!(ours(Some("ImageJ=1\nunit=micron"), both(2.0), Some(3)), Some(0.5));
        let aperio = "Aperio Image Library v12\r\n9x9 (2x2)|AppMag = 40|MPP = 0,2521";
        assert_eq!(ours(Some(aperio), both(72.0), Some(2)), Some(0.2521));
        assert_eq!(tiff(Some(aperio), None, None).1, Some(40.0));
        let property = |name: &str, value: &str| {
            format!("<property><name>{name}</name><value type=\"VipsRefString\">{value}</value></property>")
        };
        let vips = format!(
            "<?xml version=\"1.0\"?>\n<image xmlns=\"http://www.vips.ecs.soton.ac.uk//dzsave\"><properties>{}{}{}</properties></image>",
            property("openslide.mpp-x", "0.25"),
            property("openslide.mpp-y", "0.5"),
            property("openslide.objective-power", "20")
        );
        let (stated, power) = tiff(Some(&vips), both(10.0), Some(3));
        assert_eq!((stated.first(), power), (Some(&Stated::pixel_size(0.25, 0.5)), Some(20.0)));
        let motic = "Motic V1.0.0\n9x9 [0,0 9x9] [2x2] JPEG/RGB Q = 75|AppMag = 40|MPP = 0.257290";
        assert_eq!(ours(Some(motic), both(96.0), Some(2)), Some(0.25729));
    }
}
