//! Blue, green, red, violet and orange felt-tip on the glass. (Black is told by its lack of colour.)
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

/// Violet and orange ink in a picture whose coloured pixels are known.
///
/// The hue of violet ink lies between those of haematoxylin and eosin, so that it is told by being both dark and even
/// over the width of a stroke: at low power stained tissue is as dark only where nuclei lie dense, and uneven there.
/// A whole coloured piece that holds such a stroke, and little but its hue, is ink.
pub(super) fn find_violet_and_orange(picture: &[[u8; 3]], coloured: &Bitmap, um_per_px: f64) -> Bitmap {
    /// Half the width of an even stroke, and of one that streaks make uneven, in µm.
    const EVEN_UM: f64 = 40.0;
    const STREAKED_UM: f64 = 24.0;
    /// Share of a piece that has to have the hue of ink for the whole piece to be ink.
    const HUE_SHARE: f64 = 0.7;

    let (width, height) = coloured.dimensions();
    let px = |um: f64| (um / um_per_px).max(1.0);
    let mut seeds = Bitmap::from_fn(width, height, |index| {
        is_orange(picture[index]) || is_violet(picture[index], 1.8) && is_even(picture, width, index)
    });
    let mut core = seeds.clone();
    core.open(px(EVEN_UM));
    seeds.open(px(STREAKED_UM));
    let hue =
        Bitmap::from_fn(width, height, |index| is_orange(picture[index]) || is_violet(picture[index], 1.3));
    core.add(&coloured.pieces_mostly(&hue, &seeds, HUE_SHARE));
    core.dilate(px(1.5 * EDGE_UM));
    core
}

/// Whether the green channel is nearly the same in the 3 × 3 pixels around a pixel.
fn is_even(picture: &[[u8; 3]], width: u32, index: usize) -> bool {
    let (columns, rows) = (width as usize, picture.len() / width as usize);
    let (x, y) = (index % columns, index / columns);
    let (mut least, mut most) = (255_u8, 1_u8);
    for y in y.saturating_sub(1)..(y + 2).min(rows) {
        for x in x.saturating_sub(1)..(x + 2).min(columns) {
            let green = picture[y * columns + x][1].max(1);
            (least, most) = (least.min(green), most.max(green));
        }
    }
    f32::from(most) < 1.42 * f32::from(least)
}

/// Whether a colour is that of violet ink, of at least `least` density in all channels together.
fn is_violet(rgb: [u8; 3], least: f32) -> bool {
    let [red, green, blue] = rgb.map(density);
    red + green + blue > least
        && red > 0.25 * least
        && (1.15 * red..3.2 * red).contains(&green)
        && (0.25 * red..0.9 * red).contains(&blue)
}

/// Whether a colour is that of orange or yellow ink: blue is taken most and red let through, which no stain does.
fn is_orange(rgb: [u8; 3]) -> bool {
    let [red, green, blue] = rgb.map(density);
    blue > 0.8 && blue > 1.3 * green && red < 0.2 * blue
}

/// Optical density −ln(value / 255) of a channel.
pub(super) fn density(value: u8) -> f32 {
    static DENSITY: LazyLock<[f32; 256]> =
        LazyLock::new(|| array::from_fn(|value| -((value.max(1) as f32 / 255.0).ln())));
    DENSITY[usize::from(value)]
}

/// Whether a colour is that of ink of at least `strength` times the usual density.
fn is_ink(rgb: [u8; 3], strength: f32) -> bool {
    let [red, green, blue] = rgb.map(density);
    let is_blue = red > 0.6 * strength && red > 1.2 * green && blue < 0.4 * red;
    let is_green = red > 0.4 * strength && green < 0.8 * red && green < 0.8 * blue;
    let is_red = green > strength && blue > 0.84 * green && blue < 1.3 * green && red < 0.35 * green;
    is_blue || is_green || is_red
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violet_and_orange_are_hues_of_ink() {
        for ink in [[90, 40, 150], [100, 50, 155], [120, 60, 165]] {
            assert!(is_violet(ink, 1.8), "{ink:?} is violet");
        }
        for ink in [[235, 120, 30], [250, 200, 60]] {
            assert!(is_orange(ink), "{ink:?} is orange");
        }
        for stain in [[205, 140, 185], [190, 150, 110], [120, 70, 40], [180, 50, 70], [150, 157, 175]] {
            assert!(!is_violet(stain, 1.8) && !is_orange(stain), "{stain:?} is stain");
        }
    }

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
