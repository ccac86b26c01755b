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

    /// A pixel (sRGB, 0 to 1) as this stain alone shows it.
    pub fn apply(&self, rgb: [f32; 3]) -> [f32; 3] {
        let density = rgb.map(|value| -value.max(DARKEST).ln());
        let amount = dot(self.amount, density).max(0.0);
        self.colour.map(|colour| (-amount * colour).exp())
    }
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
    fn white_stays_white_and_black_stays_a_colour() {
        for stain in [Stain::Haematoxylin, Stain::Eosin] {
            assert_eq!(Separation::new(stain).apply([1.0; 3]), [1.0; 3]);
            assert!(Separation::new(stain).apply([0.0; 3]).iter().all(|value| value.is_finite()));
        }
    }
}
