//! Classes of tissue, their names and colours.

use serde::{Deserialize, Serialize};

use crate::stain::lab_from_srgb;

/// A named class of tissue with its colour.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AnnotationClass {
    /// Name; that of a derived class contains its base class: `"Tumor: Positive"`.
    pub name: String,
    /// Colour in sRGB.
    pub color: [u8; 3],
}

impl AnnotationClass {
    /// Makes a class from its name and its sRGB colour.
    pub fn new(name: impl Into<String>, color: [u8; 3]) -> Self {
        Self { name: name.into(), color }
    }

    /// Makes a class from its name alone: with its default colour, or with one derived from the name.
    pub fn named(name: &str) -> Self {
        let usual = Self::defaults().into_iter().find(|class| class.name.eq_ignore_ascii_case(name));
        let color = usual.map(|class| class.color).unwrap_or_else(|| match name {
            "Tumor" => TUMOUR,
            _ => color_from_name(name),
        });
        Self::new(name, color)
    }

    /// Returns the class of this name among those that are known, or else a new one in a colour that is told apart from
    /// theirs.
    pub fn among(name: &str, known: &[Self]) -> Self {
        known.iter().find(|class| class.name.eq_ignore_ascii_case(name)).cloned().unwrap_or_else(|| {
            let named = Self::named(name);
            let used: Vec<[f32; 3]> = known.iter().map(|class| lab_from_srgb(class.color)).collect();
            Self { color: apart_from(named.color, &used), ..named }
        })
    }

    /// Returns the classes of a new project, in colours that are told apart with colour vision deficiency, too (Okabe and Ito
    /// 2008, "Color universal design").
    pub fn defaults() -> Vec<Self> {
        [
            ("Tumour", [213, 94, 0]),
            ("Stroma", [86, 180, 233]),
            ("Necrosis", [50, 50, 50]),
            ("Immune cells", [204, 121, 167]),
            ("Normal", [0, 114, 178]),
            ("Artefact", [240, 228, 66]),
        ]
        .map(|(name, color)| Self::new(name, color))
        .to_vec()
    }
}

const TUMOUR: [u8; 3] = [200, 0, 0];

/// Returns whether a class of this name means tumour, in the terms of QuPath, Camelyon16 (`Tumor`, `_0`,
/// `_1`) and Camelyon17 (`metastases`). Camelyon16's `_2` is tissue excluded from a tumour, so it is not
/// tumour.
pub fn means_tumour(class: &str) -> bool {
    let base = class.split(": ").next().unwrap_or(class).trim().to_lowercase();
    matches!(base.as_str(), "tumour" | "tumor" | "_0" | "_1" | "metastases" | "metastasis")
}

/// Derives a colour from a name.
fn color_from_name(name: &str) -> [u8; 3] {
    let hash = crc32fast::hash(name.as_bytes());
    color_at(f64::from(hash & 0xffff) / 65_536.0, f64::from(hash >> 24) / 255.0)
}

/// Returns `color` if it is told apart from all colours that are `used`, in CIELAB, otherwise the one that is farthest from
/// the nearest of them.
fn apart_from(color: [u8; 3], used: &[[f32; 3]]) -> [u8; 3] {
    /// Difference in CIELAB (ΔE, CIE 1976) at which patches of colour over tissue are told apart at a glance.
    const APART: f32 = 35.0;
    /// Numbers of hues and of values that are compared.
    const STEPS: (u32, u32) = (24, 3);
    let nearest = |color: [u8; 3]| {
        let lab = lab_from_srgb(color);
        let difference =
            |other: &[f32; 3]| lab.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        used.iter().map(difference).fold(f32::INFINITY, f32::min)
    };
    if nearest(color) >= APART {
        return color;
    }
    let share = |step: u32, steps: u32| f64::from(step) / f64::from(steps - 1);
    let others = (0..STEPS.0 * STEPS.1)
        .map(|step| color_at(share(step / STEPS.1, STEPS.0), share(step % STEPS.1, STEPS.1)));
    std::iter::once(color).chain(others).max_by(|a, b| nearest(*a).total_cmp(&nearest(*b))).unwrap_or(color)
}

/// Returns a colour by hue and value, 0 to 1 each: saturated, between orange and blue, since H&E itself is pink and purple,
/// and neither too dark nor too pale.
fn color_at(hue: f64, value: f64) -> [u8; 3] {
    const SATURATION: f64 = 0.85;
    // In sixths of the colour circle, from 30° to 230°.
    let hue = 0.5 + hue * 20.0 / 6.0;
    let value = 0.6 + value * 0.3;
    std::array::from_fn(|channel| {
        // Of hue, saturation and value: how far red, green and blue are below the value.
        let place = ([5.0, 3.0, 1.0][channel] + hue) % 6.0;
        let below = place.min(4.0 - place).clamp(0.0, 1.0);
        (255.0 * value * (1.0 - SATURATION * below)).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tumour_has_many_names() {
        for name in ["Tumor", "tumour", "_0", "_1", "metastases", "Tumor: Positive"] {
            assert!(means_tumour(name), "{name}");
        }
        for name in ["_2", "normal", "Stroma", "None", "Tumor bed", ""] {
            assert!(!means_tumour(name), "{name}");
        }
    }

    #[test]
    fn colours_of_unknown_classes_are_none_of_hes() {
        for name in [
            "Dermis",
            "Epidermis",
            "Gland",
            "Duct",
            "Liver",
            "Fat",
            "Mucosa",
            "Nerve",
            "Vessel",
            "Lymphoid",
            "é",
        ] {
            let [red, green, blue] = AnnotationClass::named(name).color.map(i32::from);
            assert!(green > red.min(blue), "{name}: between orange and blue, not purple or pink");
            assert!(red.max(green).max(blue) - red.min(green).min(blue) > 90, "{name}: saturated");
        }
    }

    #[test]
    fn a_class_without_a_colour_gets_its_usual_one() {
        assert_eq!(AnnotationClass::named("Tumor").color, [200, 0, 0]);
        assert_eq!(AnnotationClass::named("stroma").color, [86, 180, 233]);
        assert_eq!(AnnotationClass::named("Gland").color, AnnotationClass::named("Gland").color);
        assert_ne!(AnnotationClass::named("Gland").color, AnnotationClass::named("Duct").color);
    }

    #[test]
    fn new_classes_get_colours_that_are_told_apart() {
        let mut known = AnnotationClass::defaults();
        // By their names alone, the first two have nearly the same colour.
        for name in ["Exocrine pancreas", "Fat", "Mucosa", "Smooth muscle", "Nerve", "Vessel"] {
            known.push(AnnotationClass::among(name, &known));
        }
        for (index, class) in known.iter().enumerate() {
            for other in &known[index + 1..] {
                let [a, b] = [class, other].map(|one| lab_from_srgb(one.color));
                let difference: f32 = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
                assert!(
                    difference > 20.0,
                    "{} {:?}, {} {:?}",
                    class.name,
                    class.color,
                    other.name,
                    other.color
                );
            }
        }
        assert_eq!(AnnotationClass::among("fat", &known), known[7], "known by its name");
        assert_eq!(
            AnnotationClass::among("Gland", &[]),
            AnnotationClass::named("Gland"),
            "nothing to differ from"
        );
    }
}
