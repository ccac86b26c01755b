//! The colour profile that a scanner embeds in a slide, as a table from the slide's numbers to sRGB.

use moxcms::{ColorProfile, DataColorSpace, Layout, RenderingIntent, TransformOptions};

use super::{SlideError, SlideSource};

/// Entries of the table along each axis; 33 is what device link profiles usually have.
const EDGE: usize = 33;

/// What an ICC profile makes of a slide's numbers: sRGB for each of [`ProfileTable::EDGE`]³ colours in equal
/// steps, to be interpolated between.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileTable {
    /// Red, green and blue from 0 to 1; red changes fastest, then green, then blue.
    entries: Vec<[f32; 3]>,
}

impl ProfileTable {
    /// Entries along each axis.
    pub const EDGE: usize = EDGE;

    /// The profile that `slide` holds, or `None` if it holds none.
    ///
    /// # Errors
    /// [`SlideError::Profile`] when it cannot be read or is not one for RGB.
    pub fn of(slide: &dyn SlideSource) -> Result<Option<Self>, SlideError> {
        let failed = |reason: String| SlideError::Profile { path: slide.info().path.clone(), reason };
        slide.icc_profile()?.map(|bytes| Self::from_icc(&bytes).map_err(failed)).transpose()
    }

    /// From the bytes of an ICC profile, with the relative colorimetric intent: the scanner's white becomes
    /// the screen's.
    fn from_icc(bytes: &[u8]) -> Result<Self, String> {
        let words = |error: moxcms::CmsError| error.to_string();
        let profile = ColorProfile::new_from_slice(bytes).map_err(words)?;
        if profile.color_space != DataColorSpace::Rgb {
            return Err("it is not one for RGB".to_owned());
        }
        let options = TransformOptions {
            rendering_intent: RenderingIntent::RelativeColorimetric,
            ..TransformOptions::default()
        };
        let to_srgb = profile
            .create_transform_f32(Layout::Rgb, &ColorProfile::new_srgb(), Layout::Rgb, options)
            .map_err(words)?;
        let step = |index: usize| index as f32 / (EDGE - 1) as f32;
        let numbers: Vec<f32> = (0..EDGE * EDGE * EDGE)
            .flat_map(|entry| [entry % EDGE, entry / EDGE % EDGE, entry / EDGE / EDGE].map(step))
            .collect();
        let mut colours = vec![0.0; numbers.len()];
        to_srgb.transform(&numbers, &mut colours).map_err(words)?;
        let entries = colours.as_chunks::<3>().0.iter().map(|rgb| rgb.map(|value| value.clamp(0.0, 1.0)));
        Ok(Self { entries: entries.collect() })
    }

    /// All entries; red changes fastest, then green, then blue.
    pub fn entries(&self) -> &[[f32; 3]] {
        &self.entries
    }

    /// The sRGB of a slide's 8-bit colour, interpolated along each axis.
    pub fn apply(&self, rgb: [u8; 3]) -> [f32; 3] {
        let at = rgb.map(|value| f32::from(value) / 255.0 * (EDGE - 1) as f32);
        let low = at.map(|position| (position as usize).min(EDGE - 2));
        let mut sum = [0.0; 3];
        for corner in 0..8_usize {
            let index: [usize; 3] = std::array::from_fn(|axis| low[axis] + (corner >> axis & 1));
            let weight: f32 = (0..3).map(|axis| 1.0 - (at[axis] - index[axis] as f32).abs()).product();
            let entry = self.entries[index[0] + EDGE * (index[1] + EDGE * index[2])];
            sum = std::array::from_fn(|channel| sum[channel] + weight * entry[channel]);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srgb_stays_srgb() {
        let table = ProfileTable::from_icc(&ColorProfile::new_srgb().encode().unwrap()).unwrap();
        for rgb in [[0, 0, 0], [255, 255, 255], [200, 100, 150], [17, 230, 99]] {
            let found = table.apply(rgb).map(|value| value * 255.0);
            for (found, wanted) in found.into_iter().zip(rgb) {
                assert!((found - f32::from(wanted)).abs() < 0.5, "{found} for {wanted}");
            }
        }
    }

    #[test]
    fn a_wider_profile_spreads_colours_as_the_cms_does() {
        let wide = ColorProfile::new_display_p3();
        let table = ProfileTable::from_icc(&wide.encode().unwrap()).unwrap();
        let options = TransformOptions {
            rendering_intent: RenderingIntent::RelativeColorimetric,
            ..TransformOptions::default()
        };
        let direct =
            wide.create_transform_8bit(Layout::Rgb, &ColorProfile::new_srgb(), Layout::Rgb, options).unwrap();
        for rgb in [[200, 100, 150], [120, 80, 160], [240, 235, 242], [60, 40, 90]] {
            let mut wanted = [0; 3];
            direct.transform(&rgb, &mut wanted).unwrap();
            assert_ne!(wanted, rgb);
            for (found, wanted) in table.apply(rgb).into_iter().zip(wanted) {
                assert!((found * 255.0 - f32::from(wanted)).abs() < 1.5, "{found} for {wanted} of {rgb:?}");
            }
        }
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        assert!(ProfileTable::from_icc(b"no profile").is_err());
    }
}
