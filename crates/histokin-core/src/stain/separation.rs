//! Colour deconvolution: how much of each stain a pixel holds, and what it would look like with one of
//! them alone (Ruifrok and Johnston 2001, "Quantification of histochemical staining by color
//! deconvolution").

/// A stain that a view can show alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stain {
    Haematoxylin,
    Eosin,
}

/// Optical densities of haematoxylin and eosin in red, green and blue (Ruifrok and Johnston 2001, as in
/// ImageJ's "H&E"; unit length follows in [`Separation::new`]).
const HAEMATOXYLIN: [f32; 3] = [0.650, 0.704, 0.286];
const EOSIN: [f32; 3] = [0.072, 0.990, 0.105];

/// The darkest value that has an optical density: 1 of 255.
const DARKEST: f32 = 1.0 / 255.0;

/// What turns a pixel into one stain of it: the optical density `od = −ln(rgb)` of a pixel is taken for
/// `c_h · h + c_e · e + c_r · r`, with the stains' unit vectors and `r` perpendicular to both. The amount is
/// `c = max(0, amount · od)`, and the stain alone is `exp(−c · colour)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Separation {
    /// The row of the inverse stain matrix that gives this stain's amount.
    pub amount: [f32; 3],
    /// Its unit vector of optical density.
    pub colour: [f32; 3],
}

impl Separation {
    pub fn new(stain: Stain) -> Self {
        let (h, e) = (unit(HAEMATOXYLIN), unit(EOSIN));
        let residual = unit(cross(h, e));
        // Rows of the inverse of the matrix with columns h, e, r: cross products over the determinant.
        let determinant = dot(h, cross(e, residual));
        let (colour, row) = match stain {
            Stain::Haematoxylin => (h, cross(e, residual)),
            Stain::Eosin => (e, cross(residual, h)),
        };
        Self { amount: row.map(|value| value / determinant), colour }
    }

    /// A pixel (sRGB, 0 to 1) as this stain alone shows it. Black, which is no stain, stays dark ([`blackness`]).
    pub fn apply(&self, rgb: [f32; 3]) -> [f32; 3] {
        let density = rgb.map(|value| -value.max(DARKEST).ln());
        let amount = dot(self.amount, density).max(0.0);
        let alone = self.colour.map(|colour| (-amount * colour).exp());
        let kept = blackness(rgb);
        std::array::from_fn(|channel| alone[channel] + (rgb[channel] - alone[channel]) * kept)
    }
}

/// How much a pixel (sRGB, 0 to 1) is black rather than stained, 0 to 1: its lightest channel is darker than those of
/// stained tissue.
pub fn blackness(rgb: [f32; 3]) -> f32 {
    1.0 - smoothstep(0.10, 0.22, rgb[0].max(rgb[1]).max(rgb[2]))
}

/// How much a pixel (sRGB, 0 to 1) is glass rather than stained, 0 to 1: its darkest channel is lighter than those of
/// all but the palest tissue.
pub fn glassiness(rgb: [f32; 3]) -> f32 {
    smoothstep(0.86, 0.94, rgb[0].min(rgb[1]).min(rgb[2]))
}

/// 0 below `from`, 1 above `to`, and a smooth change between (Hermite), as WGSL's function of this name.
fn smoothstep(from: f32, to: f32, value: f32) -> f32 {
    let t = ((value - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn cross(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(vector: [f32; 3]) -> [f32; 3] {
    let length = dot(vector, vector).sqrt();
    vector.map(|value| value / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(h: f32, e: f32) -> [f32; 3] {
        let (to_h, to_e) = (unit(HAEMATOXYLIN), unit(EOSIN));
        std::array::from_fn(|i| (-(h * to_h[i] + e * to_e[i])).exp())
    }

    #[test]
    fn a_mixture_comes_apart_into_what_it_was_made_of() {
        for (h, e) in [(0.0, 0.0), (1.2, 0.0), (0.0, 0.8), (0.7, 0.5), (1.5, 1.0)] {
            for (stain, alone) in [(Stain::Haematoxylin, mixed(h, 0.0)), (Stain::Eosin, mixed(0.0, e))] {
                let found = Separation::new(stain).apply(mixed(h, e));
                for (found, alone) in found.into_iter().zip(alone) {
                    assert!((found - alone).abs() < 1e-4, "{stain:?} of {h} and {e}: {found} for {alone}");
                }
            }
        }
    }

    #[test]
    fn glass_stays_light_and_black_stays_dark() {
        for stain in [Stain::Haematoxylin, Stain::Eosin] {
            let separation = Separation::new(stain);
            assert_eq!(separation.apply([1.0; 3]), [1.0; 3]);
            assert_eq!(separation.apply([0.0; 3]), [0.0; 3]);
            assert!(separation.apply([0.07, 0.05, 0.09]).iter().all(|value| *value < 0.1));
            let glass = separation.apply([244.0, 243.0, 246.0].map(|value| value / 255.0));
            assert!(glass.iter().all(|value| *value > 235.0 / 255.0), "{stain:?}: {glass:?}");
            for grey in 0..=255 {
                let shown = separation.apply([grey as f32 / 255.0; 3]);
                assert!(
                    shown.iter().all(|value| (0.0..=1.0).contains(value)),
                    "{stain:?} of {grey}: {shown:?}"
                );
            }
        }
    }
}
