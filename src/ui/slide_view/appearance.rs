//! How a slide's colours are shown. By default they are unchanged; every change is computed in the shader and
//! stated on the canvas.

use crate::number_format::{decimal, plain, signed};
use crate::stain::separation::{DARKEST_DENSITY, ShownAs};
use crate::stain::{LabNormaliser, SlideStain};

/// Which colours are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colouring {
    /// The slide's own colours.
    #[default]
    Own,
    /// One stain alone, by colour deconvolution: the first or second stain of the slide, or the residual.
    Stain(usize),
    /// Colours as the encoder receives them: tissue matched to the mean and deviation of the reference.
    Normalised,
}

impl Colouring {
    /// All colourings, in the order of the list.
    pub const ALL: [Self; 5] = [Self::Own, Self::Normalised, Self::Stain(0), Self::Stain(1), Self::Stain(2)];

    /// The colourings that a key goes through.
    const CYCLE: [Self; 4] = [Self::Own, Self::Stain(0), Self::Stain(1), Self::Normalised];

    /// Name shown to the user, on a slide stained like this.
    pub fn name(self, stain: &SlideStain) -> &'static str {
        match self {
            Self::Own => "Original colours",
            Self::Stain(index) => stain.kind.stain_names()[index.min(2)],
            Self::Normalised => "Normalised",
        }
    }

    /// Returns the next colouring, cyclically.
    pub fn next(self) -> Self {
        let index = Self::CYCLE.iter().position(|colouring| *colouring == self).unwrap_or(0);
        Self::CYCLE[(index + 1) % Self::CYCLE.len()]
    }
}

/// The user's colour settings. The default shows the slide's own pixels, bit for bit at 1:1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Appearance {
    /// Which colours are shown.
    pub colouring: Colouring,
    /// How one stain alone is shown.
    pub shown_as: ShownAs,
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
            shown_as: ShownAs::Colour,
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

    /// Returns the shader settings for one slide, stained as `stain` says. Without a `normaliser`, normalised colours are
    /// shown unchanged, and so is fluorescence in all but tone: it has neither stains nor colours of H&E.
    pub fn shading(&self, normaliser: Option<&LabNormaliser>, stain: &SlideStain) -> Shading {
        let four = |[a, b, c]: [f32; 3], last: f32| [a, b, c, last];
        let unchanged = (0, [0.0; 4], [0.0; 4]);
        let (colouring, first, second) = match self.colouring {
            Colouring::Own => unchanged,
            Colouring::Stain(index) => match (stain.separation(index), self.shown_as) {
                (None, _) => unchanged,
                (Some(separation), ShownAs::Colour) => {
                    let keeps_black = f32::from(u8::from(separation.keeps_black));
                    (1, four(separation.amount, 0.0), four(separation.colour, keeps_black))
                }
                (Some(separation), ShownAs::Density) => {
                    (3, four(separation.density_weights(), 0.0), [0.0; 4])
                }
            },
            Colouring::Normalised => {
                let normaliser = normaliser.filter(|_| stain.separated_by().is_some());
                match normaliser.map(LabNormaliser::mapping) {
                    Some((scale, offset)) => (2, four(scale, 0.0), four(offset, 0.0)),
                    None => unchanged,
                }
            }
        };
        Shading {
            colouring,
            has_tone: u32::from(self.has_tone()),
            first,
            second,
            tone: [self.brightness, self.contrast, 1.0 / self.gamma],
            smooth: self.smooth,
        }
    }

    /// Describes for the user how the colours differ from the slide's own; `None` if they do not. The profile
    /// is mentioned only if the slide `has_profile`; stains have the names of `stain`.
    pub fn note(&self, has_profile: bool, stain: &SlideStain) -> Option<String> {
        let colouring = match self.colouring {
            Colouring::Own => (self.profile && has_profile).then(|| "colour profile applied".to_owned()),
            _ if stain.separated_by().is_none() => None,
            Colouring::Stain(_) => {
                let name = self.colouring.name(stain);
                // An abbreviation keeps its capitals.
                let name = if name == "DAB" { name.to_owned() } else { name.to_lowercase() };
                Some(match self.shown_as {
                    ShownAs::Colour => format!("{name} only"),
                    ShownAs::Density => {
                        format!("optical density of {name}, black is {}", plain(DARKEST_DENSITY))
                    }
                })
            }
            Colouring::Normalised => Some("normalised".to_owned()),
        };
        let changed =
            |name: &str, changed: bool, value: f32| changed.then(|| format!("{name} {}", decimal(value, 2)));
        let percent = (self.brightness * 100.0).round();
        let brightness = (self.brightness != 0.0).then(|| format!("brightness {} %", signed(percent, 0)));
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
    /// 0: the slide's own colours; 1: one stain; 2: normalised; 3: optical density of one stain.
    pub colouring: u32,
    /// 1 if `tone` changes anything, otherwise 0.
    pub has_tone: u32,
    /// One stain or its density: weights of the optical densities. Normalised: factors of the CIELAB channels.
    pub first: [f32; 4],
    /// One stain: its optical densities, and 1 if black stays dark. Normalised: offsets of the CIELAB channels.
    pub second: [f32; 4],
    /// Brightness, contrast, 1 / gamma.
    pub tone: [f32; 3],
    /// Whether pixels are interpolated beyond 1:1.
    pub smooth: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stain::{LabStatistics, StainType};

    const HE: SlideStain = SlideStain { kind: StainType::HaematoxylinEosin, vectors: None };

    #[test]
    fn only_what_differs_from_the_slide_is_said() {
        let mut appearance = Appearance::default();
        assert_eq!(appearance.note(false, &HE), None);
        appearance.smooth = true;
        assert_eq!(appearance.note(false, &HE), None, "the filter changes no colours");
        appearance.colouring = Colouring::Stain(1);
        appearance.brightness = 0.1;
        let note = "Modified colours: eosin only, brightness +10 %";
        assert_eq!(appearance.note(false, &HE).as_deref(), Some(note));
        let dab = SlideStain::usual(StainType::HaematoxylinDab);
        assert!(appearance.note(false, &dab).is_some_and(|note| note.contains("DAB only")));
        let fluorescence = SlideStain::usual(StainType::Fluorescence);
        assert_eq!(
            appearance.note(false, &fluorescence).as_deref(),
            Some("Modified colours: brightness +10 %")
        );
        appearance.colouring = Colouring::Normalised;
        assert!(appearance.note(false, &HE).is_some_and(|note| note.contains("normalised")));
        assert!(appearance.note(false, &fluorescence).is_some_and(|note| !note.contains("normalised")));
        appearance.reset();
        appearance.profile = true;
        assert_eq!(appearance.note(false, &HE), None, "a slide without a profile");
        assert!(appearance.note(true, &HE).is_some_and(|note| note.contains("profile")));
        appearance.reset();
        assert_eq!(appearance, Appearance { smooth: true, ..Appearance::default() });
    }

    #[test]
    fn colourings_go_round() {
        let mut colouring = Colouring::Own;
        for expected in [Colouring::Stain(0), Colouring::Stain(1), Colouring::Normalised, Colouring::Own] {
            colouring = colouring.next();
            assert_eq!(colouring, expected);
        }
        assert_eq!(Colouring::Stain(2).next(), Colouring::Stain(0));
    }

    #[test]
    fn what_is_unknown_of_a_slide_leaves_it_as_it_is() {
        let appearance = Appearance { colouring: Colouring::Normalised, ..Appearance::default() };
        assert_eq!((appearance.shading(None, &HE).colouring, appearance.shading(None, &HE).has_tone), (0, 0));
        let fluorescence = SlideStain::usual(StainType::Fluorescence);
        let of = |mean, std| LabStatistics { mean: [mean; 3], std: [std; 3] };
        let normaliser = LabNormaliser::new(of(20.0, 5.0), of(70.0, 10.0));
        for (colouring, of_he) in [(Colouring::Stain(0), 1), (Colouring::Normalised, 2)] {
            let appearance = Appearance { colouring, ..Appearance::default() };
            assert_eq!(appearance.shading(Some(&normaliser), &HE).colouring, of_he);
            assert_eq!(appearance.shading(Some(&normaliser), &fluorescence).colouring, 0, "{colouring:?}");
        }
    }
}
