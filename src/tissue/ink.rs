//! Blue, green and red felt-tip on the glass. (Black is told by its lack of colour.)
//!
//! Stain and ink differ in what they absorb. In optical density, −ln(I / I₀), haematoxylin takes about as
//! much red as green, eosin and blood take green most, and DAB blue most; blue ink takes red far more than
//! green, green ink takes green least of all, red ink takes green and blue alike and lets red through.

use std::array;
use std::sync::LazyLock;

use super::morphology::Bitmap;

/// Strokes are wider than this, in µm; red cells and specks of pigment that look like ink are not.
const STROKE_UM: f64 = 100.0;

/// The blurred edge of a stroke, in µm.
const EDGE_UM: f64 = 32.0;

/// Find the ink in a picture (row by row, white glass at 255) whose pixels are `um_per_px` wide.
pub(super) fn find(picture: &[[u8; 3]], width: u32, um_per_px: f64) -> Bitmap {
    let height = picture.len() as u32 / width;
    let px = |um: f64| (um / um_per_px).max(1.0);
    let mut core = Bitmap::from_fn(width, height, |index| is_ink(picture[index], 1.0));
    core.open(px(STROKE_UM / 2.0));
    // From the strong middle of a stroke to all that is tinted and hangs together with it.
    let mut ink = Bitmap::from_fn(width, height, |index| is_ink(picture[index], 0.25));
    ink.keep_pieces_with(&core);
    ink.dilate(px(EDGE_UM));
    ink
}

/// Whether a colour is that of ink of at least `strength` times the usual density.
fn is_ink(rgb: [u8; 3], strength: f32) -> bool {
    static DENSITY: LazyLock<[f32; 256]> =
        LazyLock::new(|| array::from_fn(|value| -((value.max(1) as f32 / 255.0).ln())));
    let [red, green, blue] = rgb.map(|value| DENSITY[usize::from(value)]);
    let is_blue = red > 0.6 * strength && red > 1.2 * green && blue < 0.4 * red;
    let is_green = red > 0.4 * strength && green < 0.8 * red && green < 0.8 * blue;
    let is_red = green > strength && blue > 0.84 * green && blue < 1.3 * green && red < 0.35 * green;
    is_blue || is_green || is_red
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn felt_tips_are_ink_and_stains_are_not() {
        for ink in [[30, 60, 170], [20, 120, 60], [200, 30, 40], [60, 90, 190], [90, 170, 110]] {
            assert!(is_ink(ink, 1.0), "{ink:?} is felt-tip");
        }
        // Nuclei, stroma, blood, mucin, brown DAB and the blue counterstain beside it.
        for stain in [
            [80, 60, 140],
            [220, 150, 190],
            [180, 50, 70],
            [200, 80, 110],
            [190, 170, 210],
            [120, 70, 40],
            [110, 120, 180],
        ] {
            assert!(!is_ink(stain, 0.25), "{stain:?} is stain");
        }
    }
}
