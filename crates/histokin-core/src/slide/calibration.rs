//! Which of the pixel sizes that a file states is used, and what is said of one that is doubtful.
//!
//! Readers collect what their format states as `Stated` values, in order of trust; `calibrate` applies the
//! rules. Nothing here reads files.
//!
//! Orders of magnitude: brightfield scanners write 0.1 to 1 µm per pixel, an objective of power `p` about
//! `10 / p` µm (40×: 0.25, 20×: 0.5). Picture editors write the resolution of screens and printers instead
//! (72 dpi is 353 µm, 1200 dpi is 21 µm).

use serde::{Deserialize, Serialize};

use super::MppSource;
use crate::geometry::MicronsPerPixel;

/// Micrometres per inch and per centimetre.
pub(super) const UM_PER_INCH: f64 = 25_400.0;
pub(super) const UM_PER_CM: f64 = 10_000.0;

/// Range in which a stated pixel size is used at all, in µm.
const FINEST_USED: f64 = 0.01;
const COARSEST_USED: f64 = 20.0;

/// Range that needs no comment where the objective is unknown, in µm: light resolves 0.2 µm, which 0.05 µm
/// samples fourfold; 1× objectives give 10 µm.
const FINEST_USUAL: f64 = 0.05;
const COARSEST_USUAL: f64 = 10.0;

/// Largest factor between a pixel size and the `10 / power` µm of its objective. Camera adapters and doublers
/// account for 2 to 2.5.
const OBJECTIVE_TOLERANCE: f64 = 3.0;

/// Largest ratio of a pixel's sides.
const MOST_OBLONG: f64 = 4.0;

/// Where a format states a pixel size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A field that exists to state the physical pixel size: a scanner's property, ImageJ's unit, OME's
    /// `PhysicalSizeX`.
    PixelSize,
    /// A resolution in dots per length, which picture editors fill in without knowing it.
    Resolution,
}

/// One statement of a pixel size, as found; may be nonsense (zero, negative, not a number).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stated {
    pub mpp: MicronsPerPixel,
    pub origin: Origin,
}

impl Stated {
    pub fn pixel_size(x: f64, y: f64) -> Self {
        Self { mpp: MicronsPerPixel { x, y }, origin: Origin::PixelSize }
    }

    /// From a resolution of `x` and `y` pixels per unit of `um_per_unit` µm.
    pub fn resolution((x, y): (f64, f64), um_per_unit: f64) -> Self {
        let mpp = MicronsPerPixel { x: um_per_unit / x, y: um_per_unit / y };
        Self { mpp, origin: Origin::Resolution }
    }

    /// From TIFF's XResolution and YResolution: pixels per ResolutionUnit, 2 being inches and 3 centimetres; 1 and
    /// a missing unit state no length. (EXIF uses the same tags.)
    pub fn tiff_resolution(per_unit: (f64, f64), unit: Option<u16>) -> Option<Self> {
        match unit? {
            2 => Some(Self::resolution(per_unit, UM_PER_INCH)),
            3 => Some(Self::resolution(per_unit, UM_PER_CM)),
            _ => None,
        }
    }
}

/// Something about a slide that the user should know and may have to correct.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SlideWarning {
    /// The stated pixel size is used although it is doubtful.
    DoubtfulPixelSize { stated: MicronsPerPixel, doubt: Doubt, guess: Option<MicronsPerPixel> },
    /// The stated pixel size is impossible and not used: the slide is not calibrated.
    ImpossiblePixelSize { stated: MicronsPerPixel, guess: Option<MicronsPerPixel> },
    /// How the pixels are shown where the file leaves that open, or what of the file is not shown; one sentence.
    Shown { text: String },
}

/// Why a pixel size is doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Doubt {
    /// It does not go with the objective of this power.
    Objective { power: f64 },
    /// Finer than light microscopes resolve.
    TooFine,
    /// Coarser than slide scanners write.
    TooCoarse,
    /// The sides of a pixel differ by more than scanners' do.
    Oblong,
}

impl SlideWarning {
    /// One sentence: what is stated, why it is doubtful, what else it could be.
    pub fn text(&self) -> String {
        let or = |guess: &Option<MicronsPerPixel>| match guess {
            Some(guess) => format!("; it may be {} µm", in_um(guess)),
            None => "; please check it".to_owned(),
        };
        match self {
            Self::DoubtfulPixelSize { stated, doubt, guess } => {
                let stated = in_um(stated);
                let why = match doubt {
                    Doubt::Objective { power } => {
                        format!("but its {power}× objective usually gives about {} µm", digits(10.0 / power))
                    }
                    Doubt::TooFine => "finer than a light microscope resolves".to_owned(),
                    Doubt::TooCoarse => {
                        "coarser than slide scanners write; it looks like a resolution for printing"
                            .to_owned()
                    }
                    Doubt::Oblong => "with sides of very different length".to_owned(),
                };
                format!("the file states a pixel size of {stated} µm, {why}{}", or(guess))
            }
            Self::ImpossiblePixelSize { stated, guess } => format!(
                "the file states a pixel size of {} µm, which no slide has and which is not used{}",
                in_um(stated),
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

    /// Whether it is settled once the user states the pixel size.
    pub fn concerns_pixel_size(&self) -> bool {
        matches!(self, Self::DoubtfulPixelSize { .. } | Self::ImpossiblePixelSize { .. })
    }
}

/// The pixel size to use, its source, and what is to be said of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Calibration {
    pub mpp: Option<MicronsPerPixel>,
    pub source: MppSource,
    pub warnings: Vec<SlideWarning>,
}

/// Choose the pixel size: the user's, else the first of `stated` that is possible. `objective` is the nominal power
/// of the objective.
pub(super) fn calibrate(
    user: Option<MicronsPerPixel>,
    stated: &[Stated],
    objective: Option<f64>,
) -> Calibration {
    if let Some(user) = user {
        return Calibration { mpp: Some(user), source: MppSource::User, warnings: Vec::new() };
    }
    let in_range = |um: f64| (FINEST_USED..=COARSEST_USED).contains(&um);
    let is_used = |mpp: MicronsPerPixel| in_range(mpp.x) && in_range(mpp.y) && mpp.is_plausible();
    if let Some(used) = stated.iter().find(|stated| is_used(stated.mpp)) {
        let warning = doubt(used, objective).map(|doubt| SlideWarning::DoubtfulPixelSize {
            stated: used.mpp,
            doubt,
            guess: guess(used, objective),
        });
        let warnings = warning.into_iter().collect();
        return Calibration { mpp: Some(used.mpp), source: MppSource::Slide, warnings };
    }
    // An impossible resolution is the rule in pictures; an impossible pixel size is a mistake worth a word.
    let is_number = |um: f64| um.is_finite() && um > 0.0;
    let said = |stated: &&Stated| {
        stated.origin == Origin::PixelSize && is_number(stated.mpp.x) && is_number(stated.mpp.y)
    };
    let warning = stated.iter().find(said).map(|stated| SlideWarning::ImpossiblePixelSize {
        stated: stated.mpp,
        guess: guess(stated, objective),
    });
    Calibration { mpp: None, source: MppSource::Unknown, warnings: warning.into_iter().collect() }
}

fn doubt(stated: &Stated, objective: Option<f64>) -> Option<Doubt> {
    let within = |ratio: f64, most: f64| (1.0 / most..=most).contains(&ratio);
    let um = stated.mpp.mean();
    if !within(stated.mpp.x / stated.mpp.y, MOST_OBLONG) {
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

/// What a wrong statement may mean: the same digits at another power of ten (another unit, a slipped decimal point),
/// else what the objective usually gives.
fn guess(stated: &Stated, objective: Option<f64>) -> Option<MicronsPerPixel> {
    let um = stated.mpp.mean();
    let (low, high) = match objective {
        Some(power) => (10.0 / power / 1.6, 10.0 / power * 1.6),
        None => (0.1, 0.999),
    };
    let by_objective = || objective.map(|power| MicronsPerPixel::square(digits(10.0 / power)));
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
    shifted.map(|um| MicronsPerPixel::square(digits(um))).or_else(by_objective)
}

/// Rounded to six significant digits.
fn digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// One number where both sides are the same to six digits.
fn in_um(mpp: &MicronsPerPixel) -> String {
    let (x, y) = (digits(mpp.x), digits(mpp.y));
    if x == y { format!("{x}") } else { format!("{x} × {y}") }
}

/// Micrometres in one unit of length, by its name or symbol in ImageJ's, OME's and scanners' spelling; `None` for
/// what is no length, such as `pixel`.
pub(super) fn um_per_unit(unit: &str) -> Option<f64> {
    // ImageJ writes characters beyond ASCII as `\u00B5`.
    let plain =
        unit.trim().trim_matches('"').replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace('μ', "µ");
    // Case tells mm from Mm and nm from Nm only in OME, where nobody means the latter.
    Some(match plain.to_lowercase().as_str() {
        "µm" | "um" | "micron" | "microns" | "micrometer" | "micrometers" | "micrometre" | "micrometres" => {
            1.0
        }
        "nm" | "nanometer" | "nanometers" | "nanometre" | "nanometres" => 1e-3,
        "å" | "angstrom" | "ångström" => 1e-4,
        "pm" | "picometer" | "picometre" => 1e-6,
        "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" => 1e3,
        "cm" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => UM_PER_CM,
        "m" | "meter" | "meters" | "metre" | "metres" => 1e6,
        "inch" | "inches" | "in" => UM_PER_INCH,
        "pt" => UM_PER_INCH / 72.0,
        _ => return None,
    })
}

/// A length in µm from a number with or without a unit (`0.25`, `0,25`, `250 nm`); without one it is in µm.
/// `None` when it is neither.
pub(super) fn length_in_um(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_numeric = |character: char| character.is_ascii_digit() || "+-.,".contains(character);
    let end = exponent_end(text, text.find(|character: char| !is_numeric(character)).unwrap_or(text.len()));
    let (number, unit) = text.split_at(end);
    let number = decimal(number)?;
    match unit.trim() {
        "" => Some(number),
        unit => Some(number * um_per_unit(unit)?),
    }
}

/// Where the exponent ends that begins at `start`, or `start` if there is none.
fn exponent_end(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    let Some(exponent) = rest.strip_prefix(['e', 'E']) else { return start };
    let digits = exponent.trim_start_matches(['+', '-']);
    let length = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(digits.len());
    if length == 0 { start } else { text.len() - digits.len() + length }
}

/// A number with a decimal point or a decimal comma.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let text = text.trim();
    let has_comma_only = text.matches(',').count() == 1 && !text.contains('.');
    let number: f64 =
        if has_comma_only { text.replace(',', ".").parse().ok()? } else { text.parse().ok()? };
    number.is_finite().then_some(number)
}

/// What ImageJ writes into ImageDescription: its `unit`, in which XResolution and YResolution are pixels per unit
/// whatever ResolutionUnit says (`ij.io.TiffEncoder`). `None` when the description is not ImageJ's or names no length.
pub(super) fn imagej(description: &str, per_unit: (f64, f64)) -> Option<Stated> {
    if !description.trim_start().starts_with("ImageJ=") {
        return None;
    }
    let unit = description.lines().find_map(|line| line.trim().strip_prefix("unit="))?;
    let um = um_per_unit(unit)?;
    Some(Stated::pixel_size(um / per_unit.0, um / per_unit.1))
}

/// What Aperio writes into ImageDescription: pixel size and objective, as `|MPP = 0.25|AppMag = 40`.
pub(super) fn aperio(description: &str) -> (Option<Stated>, Option<f64>) {
    let field = |name: &str| {
        description.split('|').skip(1).find_map(|field| {
            let (key, value) = field.split_once('=')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    if !description.starts_with("Aperio") {
        return (None, None);
    }
    let stated = field("MPP").and_then(length_in_um).map(|um| Stated::pixel_size(um, um));
    (stated, field("AppMag").and_then(objective_power))
}

/// The power of an objective, such as `40`, `40x` or `20,0`; `None` when it is none.
pub(super) fn objective_power(text: &str) -> Option<f64> {
    decimal(text.trim().trim_end_matches(['x', 'X', '×'])).filter(|power| (0.1..=1000.0).contains(power))
}

/// Everything that the tags of a TIFF state, most trusted first, and the objective.
pub(super) fn tiff(
    description: Option<&str>,
    per_unit: Option<(f64, f64)>,
    unit: Option<u16>,
) -> (Vec<Stated>, Option<f64>) {
    let description = description.unwrap_or_default();
    let (aperio, objective) = aperio(description);
    let imagej = per_unit.and_then(|per_unit| imagej(description, per_unit));
    let resolution = per_unit.and_then(|per_unit| Stated::tiff_resolution(per_unit, unit));
    ([aperio, imagej, resolution].into_iter().flatten().collect(), objective)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a statement.
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
            warning.suggested_mpp().map(|mpp| mpp.x)
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
            // The first possible one counts.
            ([per_inch(72.0), size(0.5)].concat(), None, Used(0.5)),
        ];
        for (stated, objective, expected) in table {
            assert_eq!(outcome(&stated, objective), expected, "{stated:?}, objective {objective:?}");
        }
    }

    #[test]
    fn the_users_pixel_size_leaves_nothing_to_warn_of() {
        let user = MicronsPerPixel::square(2.5);
        let found = calibrate(Some(user), &[Stated::pixel_size(250.0, 250.0)], Some(40.0));
        assert_eq!((found.mpp, found.source, found.warnings), (Some(user), MppSource::User, vec![]));
    }

    #[test]
    fn lengths_are_read_with_comma_and_unit() {
        for (text, um) in [
            ("0.2500", Some(0.25)),
            ("0,2500", Some(0.25)),
            (" 0.25 um ", Some(0.25)),
            ("0.25µm", Some(0.25)),
            ("0.25 μm", Some(0.25)),
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
            ("nm", 0.004),
            ("mm", 4000.0),
            ("cm", 40_000.0),
            ("inch", 101_600.0),
        ] {
            let description = format!("ImageJ=1.54f\nimages=1\nunit={unit}\nloop=false\n");
            let found = imagej(&description, (per_unit, per_unit)).expect(unit);
            assert!((found.mpp.mean() - 0.25).abs() < 1e-9, "{unit}: {found:?}");
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
    }
}
