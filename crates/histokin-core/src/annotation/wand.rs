//! The magic wand: the region around a position whose pixels have a similar colour and are connected with it.
//!
//! A square of pixels around the position is blurred, so that nuclei and fibres count as the tissue that they
//! are in. From the position, the region grows over pixels whose CIELAB colour is close to that of the
//! position. How close is relative to the contrast within the square, so that the same sensitivity suits faint
//! and strong stains: the limit is the root mean square of the colour differences from the square's mean,
//! divided by the sensitivity. The region stays within the largest disc in the square, so that a stroke over
//! even tissue has a round end. Narrow gaps are closed and holes are filled.

use std::collections::VecDeque;

use image::RgbImage;
use image::imageops::fast_blur;

use super::{Bounds, Polygon, Ring, Shape};
use crate::geometry::Level0Point;
use crate::stain::lab_from_srgb;

/// Edge in pixels of the square in which the wand grows; odd, so that the position is its middle.
pub const WAND_WINDOW_PX: u32 = 149;

/// Blur before the colours are compared: standard deviation in pixels.
const BLUR_PX: f32 = 2.0;
/// Half the edge in pixels of the square whose mean is the colour of the position.
const SEED_RADIUS: i64 = 2;
/// Gaps and notches up to twice this width in pixels are closed.
const CLOSING_RADIUS: i64 = 3;
/// Smallest limit of colour differences (CIELAB units): below it, an even area is not divided by its noise.
const LEAST_DIFFERENCE: f32 = 1.5;
/// How far in pixels the outline may be from the pixels' edges, which removes their steps.
const OUTLINE_TOLERANCE_PX: f64 = 0.9;

/// Returns the region that grows from the middle of `window`, in pixels of `window`; a larger `sensitivity`
/// gives a smaller region. Empty only if the window is.
pub fn wand_region(window: &RgbImage, sensitivity: f64) -> Shape {
    let (width, height) = (i64::from(window.width()), i64::from(window.height()));
    if width == 0 || height == 0 {
        return Shape::Polygons(Vec::new());
    }
    let colors: Vec<[f32; 3]> =
        fast_blur(window, BLUR_PX).pixels().map(|pixel| lab_from_srgb(pixel.0)).collect();
    let at = |x: i64, y: i64| colors[(y * width + x) as usize];
    let (middle_x, middle_y) = (width / 2, height / 2);
    let near = |middle: i64, end: i64| (middle - SEED_RADIUS).max(0)..(middle + SEED_RADIUS + 1).min(end);
    let around = near(middle_y, height).flat_map(|y| near(middle_x, width).map(move |x| (x, y)));
    let seed = mean(around.map(|(x, y)| at(x, y)));
    let overall = mean(colors.iter().copied());
    let spread = colors.iter().map(|color| difference(*color, overall).powi(2)).sum::<f32>();
    let spread = (spread / colors.len() as f32).sqrt();
    let limit = (spread / sensitivity.max(0.01) as f32).max(LEAST_DIFFERENCE);
    let grid = Grid { width, height };
    let radius = (width.min(height) as f64 / 2.0).max(1.0);
    let is_in_disc = |index: i64| {
        let (dx, dy) = ((index % width - middle_x) as f64, (index / width - middle_y) as f64);
        dx.hypot(dy) < radius
    };
    let mut region = grid.connected(middle_y * width + middle_x, |index| {
        is_in_disc(index) && difference(colors[index as usize], seed) <= limit
    });
    grid.close(&mut region);
    grid.fill_holes(&mut region);
    outline(&region, &grid)
}

fn difference(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0..3).map(|channel| (a[channel] - b[channel]).powi(2)).sum::<f32>().sqrt()
}

fn mean(colors: impl Iterator<Item = [f32; 3]>) -> [f32; 3] {
    let (mut sum, mut count) = ([0.0; 3], 0.0);
    for color in colors {
        (0..3).for_each(|channel| sum[channel] += color[channel]);
        count += 1.0;
    }
    sum.map(|sum| sum / f32::max(count, 1.0))
}

/// The extent of a mask that is stored row by row.
struct Grid {
    width: i64,
    height: i64,
}

impl Grid {
    /// The pixels that are connected with `seed` by edges over pixels for which `belongs` is true. The seed
    /// itself always belongs.
    fn connected(&self, seed: i64, belongs: impl Fn(i64) -> bool) -> Vec<bool> {
        let mut reached = vec![false; (self.width * self.height) as usize];
        let mut open = VecDeque::from([seed]);
        reached[seed as usize] = true;
        while let Some(index) = open.pop_front() {
            for next in self.neighbours(index) {
                if !reached[next as usize] && belongs(next) {
                    reached[next as usize] = true;
                    open.push_back(next);
                }
            }
        }
        reached
    }

    fn neighbours(&self, index: i64) -> impl Iterator<Item = i64> {
        let (x, y) = (index % self.width, index / self.width);
        let inside =
            [(x > 0, -1), (x + 1 < self.width, 1), (y > 0, -self.width), (y + 1 < self.height, self.width)];
        inside.into_iter().filter(|(is_inside, _)| *is_inside).map(move |(_, step)| index + step)
    }

    /// Morphological closing by a disc: dilation, then erosion. Beyond the edge counts as the region in the
    /// erosion, so that a region at the edge stays there.
    fn close(&self, mask: &mut Vec<bool>) {
        let range = -CLOSING_RADIUS..=CLOSING_RADIUS;
        let disc: Vec<(i64, i64)> = range
            .clone()
            .flat_map(|dy| range.clone().map(move |dx| (dx, dy)))
            .filter(|(dx, dy)| dx * dx + dy * dy <= CLOSING_RADIUS * CLOSING_RADIUS)
            .collect();
        for value in [true, false] {
            *mask = self.spread(mask, value, &disc);
        }
    }

    /// Sets every pixel to `value` that has a pixel of that value at one of these offsets.
    fn spread(&self, mask: &[bool], value: bool, offsets: &[(i64, i64)]) -> Vec<bool> {
        let mut spread = mask.to_vec();
        for y in 0..self.height {
            for x in 0..self.width {
                let is_near = |(dx, dy): &(i64, i64)| {
                    let (x, y) = (x + dx, y + dy);
                    let is_inside = (0..self.width).contains(&x) && (0..self.height).contains(&y);
                    is_inside && mask[(y * self.width + x) as usize] == value
                };
                if offsets.iter().any(is_near) {
                    spread[(y * self.width + x) as usize] = value;
                }
            }
        }
        spread
    }

    /// Fills what is not connected with the edge of the mask.
    fn fill_holes(&self, mask: &mut [bool]) {
        let is_edge = |index: i64| {
            let (x, y) = (index % self.width, index / self.width);
            x == 0 || y == 0 || x == self.width - 1 || y == self.height - 1
        };
        let mut outside = vec![false; mask.len()];
        let mut open: VecDeque<i64> =
            (0..mask.len() as i64).filter(|i| is_edge(*i) && !mask[*i as usize]).collect();
        open.iter().for_each(|index| outside[*index as usize] = true);
        while let Some(index) = open.pop_front() {
            for next in self.neighbours(index) {
                if !outside[next as usize] && !mask[next as usize] {
                    outside[next as usize] = true;
                    open.push_back(next);
                }
            }
        }
        mask.iter_mut().zip(outside).for_each(|(pixel, outside)| *pixel = !outside);
    }
}

/// The outline of a mask, without its steps.
fn outline(mask: &[bool], grid: &Grid) -> Shape {
    let mut runs: Vec<Polygon> = Vec::new();
    for y in 0..grid.height {
        let row = &mask[(y * grid.width) as usize..((y + 1) * grid.width) as usize];
        let mut start = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run[0] {
                let corner = |x: usize, y: i64| Level0Point::new(x as f64, y as f64);
                let run = Bounds::between(corner(start, y), corner(start + run.len(), y + 1));
                runs.push(Polygon::new(run.corners().to_vec()));
            }
            start += run.len();
        }
    }
    let Shape::Polygons(parts) = Shape::Polygons(runs).merged() else { return Shape::Polygons(Vec::new()) };
    let smooth = |part: Polygon| {
        let ring = without_steps(&part.exterior);
        // A region of few pixels has nothing but steps.
        Polygon::new(if ring.len() > 3 { ring } else { part.exterior })
    };
    Shape::Polygons(parts.into_iter().map(smooth).collect())
}

/// Removes the corners of a closed ring that are within the tolerance of the line between the corners that
/// stay (Douglas and Peucker 1973).
fn without_steps(ring: &Ring) -> Ring {
    if ring.len() < 4 {
        return ring.clone();
    }
    // The ring is divided at two corners far from each other, which stay.
    let farthest = |from: Level0Point| {
        let by_distance =
            |a: &usize, b: &usize| from.distance_px(ring[*a]).total_cmp(&from.distance_px(ring[*b]));
        (0..ring.len()).max_by(by_distance).unwrap_or_default()
    };
    let first = farthest(ring[0]);
    let turned: Ring = ring[first..].iter().chain(&ring[..=first]).copied().collect();
    let second = (1..turned.len() - 1)
        .max_by(|a, b| turned[0].distance_px(turned[*a]).total_cmp(&turned[0].distance_px(turned[*b])))
        .unwrap_or(1);
    let mut kept = vec![turned[0]];
    simplify(&turned[..=second], &mut kept);
    kept.push(turned[second]);
    simplify(&turned[second..], &mut kept);
    kept
}

/// Appends the corners between the ends of `line` that are needed.
fn simplify(line: &[Level0Point], kept: &mut Ring) {
    let (Some(&first), Some(&last)) = (line.first(), line.last()) else { return };
    let beside = |point: Level0Point| {
        let (dx, dy) = (last.x - first.x, last.y - first.y);
        let length = dx.hypot(dy);
        match length > 0.0 {
            true => ((point.x - first.x) * dy - (point.y - first.y) * dx).abs() / length,
            false => point.distance_px(first),
        }
    };
    let inner = 1..line.len().saturating_sub(1);
    let farthest = inner.max_by(|a, b| beside(line[*a]).total_cmp(&beside(line[*b])));
    if let Some(index) = farthest.filter(|index| beside(line[*index]) > OUTLINE_TOLERANCE_PX) {
        simplify(&line[..=index], kept);
        kept.push(line[index]);
        simplify(&line[index..], kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use proptest::prelude::*;

    const PINK: Rgb<u8> = Rgb([226, 170, 200]);
    const PURPLE: Rgb<u8> = Rgb([120, 80, 150]);
    const GLASS: Rgb<u8> = Rgb([243, 242, 244]);

    fn window(color: impl Fn(f64, f64) -> Rgb<u8>) -> RgbImage {
        let middle = f64::from(WAND_WINDOW_PX / 2);
        RgbImage::from_fn(WAND_WINDOW_PX, WAND_WINDOW_PX, |x, y| {
            color(f64::from(x) - middle, f64::from(y) - middle)
        })
    }

    fn area(shape: &Shape) -> f64 {
        shape.area_px2().unwrap()
    }

    fn middle() -> Level0Point {
        Level0Point::new(f64::from(WAND_WINDOW_PX / 2) + 0.5, f64::from(WAND_WINDOW_PX / 2) + 0.5)
    }

    fn contains(shape: &Shape, point: Level0Point) -> bool {
        shape.polygons().iter().any(|part| part.contains(point))
    }

    #[test]
    fn it_takes_a_disc_of_one_colour_and_nothing_beyond() {
        let disc = window(|x, y| if x.hypot(y) < 40.0 { PURPLE } else { PINK });
        let region = wand_region(&disc, 1.5);
        let expected = std::f64::consts::PI * 40.0 * 40.0;
        // The blurred edge costs less than three of its forty pixels.
        assert!((0.86..1.02).contains(&(area(&region) / expected)), "{} of {expected}", area(&region));
        assert!(contains(&region, middle()));
        let Shape::Polygons(parts) = &region else { panic!("{region:?}") };
        assert_eq!((parts.len(), parts[0].holes.len()), (1, 0));
        assert!(parts[0].exterior.len() < 80, "{} corners: its steps are smoothed", parts[0].exterior.len());
    }

    #[test]
    fn it_does_not_jump_to_tissue_of_the_same_colour_elsewhere() {
        let two = window(|x, y| {
            let is_stripe = (-20.0..20.0).contains(&x) && y.abs() < 50.0;
            if is_stripe || x > 45.0 { PURPLE } else { GLASS }
        });
        let region = wand_region(&two, 1.5);
        assert!(!contains(&region, Level0Point::new(140.0, 74.0)));
        assert!((area(&region) / 4000.0 - 1.0).abs() < 0.12, "{}", area(&region));
    }

    #[test]
    fn small_things_of_another_colour_are_filled() {
        let nucleus = window(|x, y| match (x.hypot(y), (x - 15.0).hypot(y)) {
            (_, inner) if inner < 7.0 => PURPLE,
            (outer, _) if outer < 45.0 => PINK,
            _ => GLASS,
        });
        let region = wand_region(&nucleus, 1.0);
        assert!(contains(&region, Level0Point::new(middle().x + 15.0, middle().y)));
        assert!(!contains(&region, Level0Point::new(middle().x + 60.0, middle().y)));
    }

    #[test]
    fn of_an_even_window_it_takes_a_disc() {
        let disc = std::f64::consts::PI * (f64::from(WAND_WINDOW_PX) / 2.0).powi(2);
        let taken = area(&wand_region(&window(|_, _| PINK), 2.0));
        assert!((taken / disc - 1.0).abs() < 0.02, "{taken} of {disc}");
        assert!(wand_region(&RgbImage::new(0, 0), 2.0).is_empty());
        assert!(area(&wand_region(&RgbImage::from_pixel(1, 1, PINK), 2.0)) > 0.0);
    }

    #[test]
    fn faint_contrast_is_followed_as_strong_contrast_is() {
        let disc = |inside: Rgb<u8>| {
            area(&wand_region(&window(|x, y| if x.hypot(y) < 40.0 { inside } else { PINK }), 2.0))
        };
        let (faint, strong) = (disc(Rgb([210, 150, 185])), disc(PURPLE));
        assert!((faint / strong - 1.0).abs() < 0.15, "{faint} and {strong}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_higher_sensitivity_never_gives_a_larger_region(seed in 0u32..1000, low in 0.5..2.0_f64) {
            let noise = |x: f64, y: f64| {
                let value = ((x * 0.11 + f64::from(seed)).sin() * (y * 0.13).cos() * 60.0 + 150.0) as u8;
                Rgb([value, 120, 200 - value / 2])
            };
            let window = window(noise);
            let (wide, narrow) = (wand_region(&window, low), wand_region(&window, low * 1.5));
            // Closing and smoothing may move an outline by a pixel.
            prop_assert!(area(&narrow) <= area(&wide) * 1.05 + 50.0);
            prop_assert!(contains(&wide, middle()) && contains(&narrow, middle()));
        }
    }
}
