//! What a slide is stained with: guessed from its thumbnail, or set by the user.

use image::{Rgba, RgbaImage};
use serde::{Deserialize, Serialize};

use super::separation::{Separation, densities};
use super::vectors::{StainVectors, dot};

/// Largest angle in degrees between a second stain and that of the kind of staining that it fits. Eosin and DAB are 48°
/// apart.
const FITTING: f32 = 20.0;

/// What a slide is stained with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StainType {
    /// Haematoxylin and eosin.
    #[default]
    HaematoxylinEosin,
    /// Immunohistochemistry with haematoxylin and diaminobenzidine (DAB).
    HaematoxylinDab,
    /// Another brightfield stain.
    Other,
    /// Fluorescence: light on black.
    Fluorescence,
}

impl StainType {
    /// All of them, in the order of lists.
    pub const ALL: [Self; 4] =
        [Self::HaematoxylinEosin, Self::HaematoxylinDab, Self::Other, Self::Fluorescence];

    /// Name for the user.
    pub fn name(self) -> &'static str {
        match self {
            Self::HaematoxylinEosin => "H&E",
            Self::HaematoxylinDab => "H-DAB",
            Self::Other => "Other brightfield",
            Self::Fluorescence => "Fluorescence",
        }
    }

    /// Whether tiles may be matched to the colours of a reference in H&E.
    pub fn can_be_normalised(self) -> bool {
        self == Self::HaematoxylinEosin
    }

    /// Returns the kind of staining, H&E or H-DAB, whose second stain is that of `vectors`, such as those estimated from a
    /// slide; `None` if it is neither.
    pub fn fitting(vectors: &StainVectors) -> Option<Self> {
        let [_, second, _] = vectors.unit_vectors();
        let is_near = |usual: StainVectors| {
            let [_, stain, _] = usual.unit_vectors();
            dot(second, stain).clamp(-1.0, 1.0).acos().to_degrees() <= FITTING
        };
        if is_near(StainVectors::HAEMATOXYLIN_EOSIN) {
            Some(Self::HaematoxylinEosin)
        } else if is_near(StainVectors::HAEMATOXYLIN_DAB) {
            Some(Self::HaematoxylinDab)
        } else {
            None
        }
    }

    /// Names of the two stains and of the residual.
    pub fn stain_names(self) -> [&'static str; 3] {
        match self {
            Self::HaematoxylinEosin => ["Haematoxylin", "Eosin", "Residual"],
            Self::HaematoxylinDab => ["Haematoxylin", "DAB", "Residual"],
            Self::Other | Self::Fluorescence => ["Stain 1", "Stain 2", "Residual"],
        }
    }
}

/// What a slide is stained with, and its stain vectors if they were estimated or given.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SlideStain {
    /// The kind of staining.
    #[serde(rename = "type")]
    pub kind: StainType,
    /// Stain vectors in place of the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vectors: Option<StainVectors>,
}

impl SlideStain {
    /// A staining of this kind with its usual vectors.
    pub fn usual(kind: StainType) -> Self {
        Self { kind, vectors: None }
    }

    /// The vectors by which the stains are separated. `None` for fluorescence, which is no absorption of light. Other
    /// stains without vectors of their own are separated as H&E.
    pub fn separated_by(&self) -> Option<StainVectors> {
        let usual = match self.kind {
            StainType::Fluorescence => return None,
            StainType::HaematoxylinDab => StainVectors::HAEMATOXYLIN_DAB,
            StainType::HaematoxylinEosin | StainType::Other => StainVectors::HAEMATOXYLIN_EOSIN,
        };
        Some(self.vectors.unwrap_or(usual))
    }

    /// The extraction of the stain of this index (0 to 2). `None` for fluorescence.
    pub fn separation(&self, index: usize) -> Option<Separation> {
        // Ink and dirt stay dark, but for DAB, which is nearly black itself where it is dense.
        let keeps_black = self.kind != StainType::HaematoxylinDab;
        self.separated_by().map(|vectors| Separation::new(&vectors, index, keeps_black))
    }
}

/// Share of dark pixels from which a picture is one of fluorescence.
const FLUORESCENT: f64 = 0.5;
/// Value below which all channels of a dark pixel lie.
const DARK: u8 = 60;

/// Optical density (to the base of e) of the strongest channel from which a pixel counts as stained.
const STAINED: f32 = 0.12;
/// Fewest stained pixels from which a kind is guessed, and their smallest share of all.
const FEWEST: usize = 200;
const SMALLEST_SHARE: f64 = 0.005;

/// Guesses what a slide is stained with from its thumbnail.
///
/// Each stained pixel is put to the stain whose absorption is nearest: haematoxylin absorbs red and green alike, eosin
/// mostly green, DAB mostly blue, and blue or green dyes mostly red. With hardly any eosin, brown or haematoxylin alone
/// mean immunohistochemistry. The limits were set on slides and pictures of known stains; the user can correct a guess.
pub fn guess(thumbnail: &RgbaImage) -> StainType {
    let opaque = || thumbnail.pixels().filter(|pixel| pixel.0[3] > 127);
    let dark = opaque().filter(|pixel| pixel.0[..3].iter().all(|value| *value < DARK)).count();
    if dark as f64 > FLUORESCENT * opaque().count().max(1) as f64 {
        return StainType::Fluorescence;
    }
    let glass = glass_of(thumbnail);
    let (mut eosin, mut brown, mut dye, mut all) = (0, 0, 0, 0);
    for pixel in opaque() {
        let [r, g, b] = std::array::from_fn(|channel| f32::from(pixel.0[channel]) / glass[channel]);
        let [r, g, b] = densities([r, g, b].map(|value: f32| value.min(1.0)));
        let strongest = r.max(g).max(b);
        // Grey is dirt, ink, or a shadow.
        if strongest < STAINED || strongest - r.min(g).min(b) < 0.25 * strongest {
            continue;
        }
        all += 1;
        if b > g && b > 1.2 * r {
            brown += 1;
        } else if r > 1.35 * g {
            dye += 1;
        } else if g > 1.25 * r && g > b {
            eosin += 1;
        }
    }
    if all < FEWEST || (all as f64) < SMALLEST_SHARE * opaque().count() as f64 {
        return StainType::HaematoxylinEosin;
    }
    let share = |count: usize| count as f64 / all as f64;
    match (share(eosin), share(brown), share(dye)) {
        (_, _, dye) if dye > 0.4 => StainType::Other,
        (eosin, brown, _) if brown > 0.08 && brown > 0.6 * eosin => StainType::HaematoxylinDab,
        (eosin, _, _) if eosin < 0.12 => StainType::HaematoxylinDab,
        _ => StainType::HaematoxylinEosin,
    }
}

/// Colour of the glass: the 95th percentile of each channel, at least 200 of 255.
fn glass_of(thumbnail: &RgbaImage) -> [f32; 3] {
    std::array::from_fn(|channel| {
        let opaque = thumbnail.pixels().filter(|Rgba(pixel)| pixel[3] > 127);
        let mut values: Vec<u8> = opaque.map(|pixel| pixel.0[channel]).collect();
        values.sort_unstable();
        let at = values.len().saturating_sub(1) * 95 / 100;
        f32::from(values.get(at).copied().unwrap_or(255).max(200))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A third is glass, the rest is stained with these amounts of the two stains of `vectors`.
    fn picture(vectors: &StainVectors, amounts: impl Fn(u32, u32) -> (f32, f32)) -> RgbaImage {
        let [first, second, _] = vectors.unit_vectors();
        RgbaImage::from_fn(90, 60, |x, y| {
            let (a, b) = if x < 30 { (0.0, 0.0) } else { amounts(x, y) };
            let channel = |i: usize| (246.0 * (-(a * first[i] + b * second[i])).exp()).round() as u8;
            Rgba([channel(0), channel(1), channel(2), 255])
        })
    }

    #[test]
    fn the_kinds_of_staining_are_told_apart() {
        let he = StainVectors::HAEMATOXYLIN_EOSIN;
        let dab = StainVectors::HAEMATOXYLIN_DAB;
        let nuclei_in_eosin =
            |x: u32, y: u32| if (x + y).is_multiple_of(4) { (0.9, 0.3) } else { (0.05, 0.4) };
        assert_eq!(guess(&picture(&he, nuclei_in_eosin)), StainType::HaematoxylinEosin);
        let some_positive = |x: u32, y: u32| if (x * y).is_multiple_of(5) { (0.2, 0.9) } else { (0.5, 0.05) };
        assert_eq!(guess(&picture(&dab, some_positive)), StainType::HaematoxylinDab);
        assert_eq!(guess(&picture(&dab, |_, _| (0.4, 0.0))), StainType::HaematoxylinDab, "negative");
        let trichrome = StainVectors::of_two([0.85, 0.4, 0.15], [0.1, 0.9, 0.4]).unwrap();
        let mostly_blue = |x: u32, _: u32| if x.is_multiple_of(4) { (0.1, 0.8) } else { (0.8, 0.0) };
        assert_eq!(guess(&picture(&trichrome, mostly_blue)), StainType::Other);
        let night = RgbaImage::from_fn(50, 50, |x, _| Rgba([0, if x % 9 == 0 { 200 } else { 5 }, 20, 255]));
        assert_eq!(guess(&night), StainType::Fluorescence);
        let glass = RgbaImage::from_pixel(50, 50, Rgba([245, 245, 246, 255]));
        assert_eq!(guess(&glass), StainType::HaematoxylinEosin, "as most slides are");
    }

    #[test]
    fn vectors_fit_the_kind_whose_second_stain_they_have() {
        let fitting = |second| StainType::fitting(&StainVectors::of_two([0.62, 0.7, 0.35], second).unwrap());
        assert_eq!(fitting([0.15, 0.95, 0.2]), Some(StainType::HaematoxylinEosin));
        assert_eq!(fitting([0.3, 0.5, 0.8]), Some(StainType::HaematoxylinDab));
        assert_eq!(fitting([0.9, 0.3, 0.1]), None, "a blue dye");
    }

    #[test]
    fn a_stain_is_kept_with_its_vectors() {
        let vectors = StainVectors::of_two([0.6, 0.7, 0.3], [0.3, 0.5, 0.8]).unwrap();
        let stain = SlideStain { kind: StainType::HaematoxylinDab, vectors: Some(vectors) };
        let text = toml::to_string(&stain).unwrap();
        assert!(text.contains("type = \"haematoxylin-dab\""), "{text}");
        assert_eq!(toml::from_str::<SlideStain>(&text).unwrap(), stain);
        let usual = SlideStain::usual(StainType::Fluorescence);
        assert_eq!(toml::from_str::<SlideStain>(&toml::to_string(&usual).unwrap()).unwrap(), usual);
        assert!(usual.separated_by().is_none());
    }
}
