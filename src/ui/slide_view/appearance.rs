//! How a slide's colours are shown. By default they are unchanged; every change is computed in the shader and
//! stated on the canvas.

use crate::stain::LabNormaliser;
use crate::stain::separation::{Separation, Stain};

/// Which colours are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colouring {
    /// The slide's own colours.
    #[default]
    Own,
    /// One stain alone, by colour deconvolution.
    Stain(Stain),
    /// Colours as the encoder receives them: tissue matched to the mean and deviation of the reference.
    Normalised,
}

impl Colouring {
    /// All colourings, in the order of the list.
    pub const ALL: [Self; 4] =
        [Self::Own, Self::Stain(Stain::Haematoxylin), Self::Stain(Stain::Eosin), Self::Normalised];

    /// Name shown to the user.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "Original colours",
            Self::Stain(Stain::Haematoxylin) => "Haematoxylin",
            Self::Stain(Stain::Eosin) => "Eosin",
            Self::Normalised => "Normalised",
        }
    }

    /// Returns the next colouring, cyclically.
    pub fn next(self) -> Self {
        let index = Self::ALL.iter().position(|colouring| *colouring == self).unwrap_or(0);
        Self::ALL[(index + 1) % Self::ALL.len()]
    }
}

/// The user's colour settings. The default shows the slide's own pixels, bit for bit at 1:1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Appearance {
    /// Which colours are shown.
    pub colouring: Colouring,
    /// Whether the slide's own colours are converted by its embedded colour profile.
    pub profile: bool,
    /// Added to every channel: −1 to 1; 0 changes nothing.
    pub brightness: f32,
    /// Factor on the distance from middle grey: 0.25 to 4; 1 changes nothing.
    pub contrast: f32,
    /// Gamma; channels are raised to the power of 1 / gamma: 0.25 to 4; 1 changes nothing.
    pub gamma: f32,
    /// Whether pixels are interpolated beyond 1:1; otherwise they are shown as squares.
    pub smooth: bool,
}

impl Default for Appearance {
    fn default() -> Self {
        Self {
            colouring: Colouring::Own,
            profile: false,
            brightness: 0.0,
            contrast: 1.0,
            gamma: 1.0,
            smooth: false,
        }
    }
}

impl Appearance {
    /// Restores the slide's own colours; the filtering stays.
    pub fn reset(&mut self) {
        *self = Self { smooth: self.smooth, ..Self::default() };
    }

    /// Whether the slide's colour profile is to be applied.
    pub fn wants_profile(&self) -> bool {
        self.profile && self.colouring == Colouring::Own
    }

    fn has_tone(&self) -> bool {
        (self.brightness, self.contrast, self.gamma) != (0.0, 1.0, 1.0)
    }

    /// Returns the shader settings for one slide. Without a `normaliser`, normalised colours are shown
    /// unchanged.
    pub fn shading(&self, normaliser: Option<&LabNormaliser>) -> Shading {
        let (colouring, first, second) = match self.colouring {
            Colouring::Own => (0, [0.0; 3], [0.0; 3]),
            Colouring::Stain(stain) => {
                let Separation { amount, colour } = Separation::new(stain);
                (1, amount, colour)
            }
            Colouring::Normalised => match normaliser.map(LabNormaliser::mapping) {
                Some((scale, offset)) => (2, scale, offset),
                None => (0, [0.0; 3], [0.0; 3]),
            },
        };
        let four = |[a, b, c]: [f32; 3]| [a, b, c, 0.0];
        Shading {
            colouring,
            has_tone: u32::from(self.has_tone()),
            first: four(first),
            second: four(second),
            tone: [self.brightness, self.contrast, 1.0 / self.gamma],
            smooth: self.smooth,
        }
    }

    /// Describes for the user how the colours differ from the slide's own; `None` if they do not. The profile
    /// is mentioned only if the slide `has_profile`.
    pub fn note(&self, has_profile: bool) -> Option<String> {
        let colouring = match self.colouring {
            Colouring::Own => (self.profile && has_profile).then(|| "colour profile applied".to_owned()),
            Colouring::Stain(Stain::Haematoxylin) => Some("haematoxylin only".to_owned()),
            Colouring::Stain(Stain::Eosin) => Some("eosin only".to_owned()),
            Colouring::Normalised => Some("normalised".to_owned()),
        };
        let changed = |name: &str, changed: bool, value: f32| changed.then(|| format!("{name} {value:.2}"));
        let percent = (self.brightness * 100.0).round();
        let brightness = (self.brightness != 0.0).then(|| format!("brightness {percent:+} %"));
        let parts: Vec<String> = [
            colouring,
            brightness,
            changed("contrast", self.contrast != 1.0, self.contrast),
            changed("gamma", self.gamma != 1.0, self.gamma),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| format!("Modified colours: {}", parts.join(", ")))
    }
}

/// Shader settings of an [`Appearance`]; fields as in `tiles.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shading {
    /// 0: the slide's own colours; 1: one stain; 2: normalised.
    pub colouring: u32,
    /// 1 if `tone` changes anything, otherwise 0.
    pub has_tone: u32,
    /// One stain: weights of the optical densities. Normalised: factors of the CIELAB channels.
    pub first: [f32; 4],
    /// One stain: its optical densities. Normalised: offsets of the CIELAB channels.
    pub second: [f32; 4],
    /// Brightness, contrast, 1 / gamma.
    pub tone: [f32; 3],
    /// Whether pixels are interpolated beyond 1:1.
    pub smooth: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_the_slide_is_said() {
        let mut appearance = Appearance::default();
        assert_eq!(appearance.note(false), None);
        appearance.smooth = true;
        assert_eq!(appearance.note(false), None, "the filter changes no colours");
        appearance.colouring = Colouring::Stain(Stain::Eosin);
        appearance.brightness = 0.1;
        let note = "Modified colours: eosin only, brightness +10 %";
        assert_eq!(appearance.note(false).as_deref(), Some(note));
        appearance.reset();
        appearance.profile = true;
        assert_eq!(appearance.note(false), None, "a slide without a profile");
        assert!(appearance.note(true).is_some_and(|note| note.contains("profile")));
        appearance.reset();
        assert_eq!(appearance, Appearance { smooth: true, ..Appearance::default() });
    }

    #[test]
    fn colourings_go_round() {
        let mut colouring = Colouring::Own;
        for expected in [Colouring::ALL[1], Colouring::ALL[2], Colouring::ALL[3], Colouring::Own] {
            colouring = colouring.next();
            assert_eq!(colouring, expected);
        }
    }

    #[test]
    fn without_statistics_a_normalised_slide_is_shown_as_it_is() {
        let appearance = Appearance { colouring: Colouring::Normalised, ..Appearance::default() };
        assert_eq!((appearance.shading(None).colouring, appearance.shading(None).has_tone), (0, 0));
    }
}
