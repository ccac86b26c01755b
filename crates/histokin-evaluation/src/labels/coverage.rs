//! How much of a tile areas cover, along scan lines.

use rayon::prelude::*;

use super::Area;
use histokin_core::geometry::{Level0Point, Level0Rect};

/// Scan lines through a tile. Along a line lengths are exact; across, the lines stand for the area.
const LINES: u32 = 32;

/// The part (0 to 1) of each tile that at least one of `areas` covers.
pub fn covered(areas: &[Area], tiles: &[Level0Rect]) -> Vec<f64> {
    let boxed: Vec<(Extent, &Area)> =
        areas.iter().filter_map(|area| Some((Extent::of(area)?, area))).collect();
    tiles
        .par_iter()
        .map(|tile| {
            let near: Vec<&Area> =
                boxed.iter().filter(|(extent, _)| extent.touches(tile)).map(|(_, area)| *area).collect();
            if near.is_empty() { 0.0 } else { share(&near, tile) }
        })
        .collect()
}

fn share(areas: &[&Area], tile: &Level0Rect) -> f64 {
    let step = f64::from(tile.height) / f64::from(LINES);
    let (left, right) = (tile.x as f64, tile.right() as f64);
    let mut sum = 0.0;
    let mut spans = Vec::new();
    for line in 0..LINES {
        let y = tile.y as f64 + (f64::from(line) + 0.5) * step;
        spans.clear();
        areas.iter().for_each(|area| spans_at(area, y, left, right, &mut spans));
        sum += union_length(&mut spans);
    }
    sum / (f64::from(LINES) * f64::from(tile.width))
}

/// Add the stretches between `left` and `right` of the horizontal line at `y` that lie in `area`.
fn spans_at(area: &Area, y: f64, left: f64, right: f64, spans: &mut Vec<(f64, f64)>) {
    let mut crossings: Vec<f64> = area.outlines.iter().flat_map(|outline| crossings_of(outline, y)).collect();
    crossings.sort_by(f64::total_cmp);
    for pair in crossings.chunks_exact(2) {
        let (from, to) = (pair[0].max(left), pair[1].min(right));
        if from < to {
            spans.push((from, to));
        }
    }
}

fn crossings_of(outline: &[Level0Point], y: f64) -> impl Iterator<Item = f64> {
    let next = outline.iter().cycle().skip(1);
    outline.iter().zip(next).filter_map(move |(a, b)| {
        let crosses = (a.y <= y) != (b.y <= y);
        crosses.then(|| a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x))
    })
}

fn union_length(spans: &mut [(f64, f64)]) -> f64 {
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut length, mut end) = (0.0, f64::NEG_INFINITY);
    for (from, to) in spans {
        length += (*to - from.max(end)).max(0.0);
        end = end.max(*to);
    }
    length
}

/// The upright rectangle around an area.
struct Extent {
    min: Level0Point,
    max: Level0Point,
}

impl Extent {
    fn of(area: &Area) -> Option<Self> {
        let mut points = area.outlines.iter().flatten();
        let first = *points.next()?;
        Some(points.fold(Self { min: first, max: first }, |extent, point| Self {
            min: Level0Point::new(extent.min.x.min(point.x), extent.min.y.min(point.y)),
            max: Level0Point::new(extent.max.x.max(point.x), extent.max.y.max(point.y)),
        }))
    }

    fn touches(&self, tile: &Level0Rect) -> bool {
        self.min.x < tile.right() as f64
            && self.max.x > tile.x as f64
            && self.min.y < tile.bottom() as f64
            && self.max.y > tile.y as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polygon(corners: &[(f64, f64)]) -> Vec<Level0Point> {
        corners.iter().map(|(x, y)| Level0Point::new(*x, *y)).collect()
    }

    #[test]
    fn a_triangle_covers_half_its_box_and_a_hole_nothing() {
        let tile = Level0Rect::new(0, 0, 100, 100);
        let triangle = Area { outlines: vec![polygon(&[(0.0, 0.0), (100.0, 0.0), (0.0, 100.0)])] };
        assert!((covered(&[triangle], &[tile])[0] - 0.5).abs() < 1e-9);
        let holed = Area {
            outlines: vec![
                polygon(&[(0.0, 0.0), (100.0, 0.0), (100.0, 100.0), (0.0, 100.0)]),
                polygon(&[(25.0, 25.0), (75.0, 25.0), (75.0, 75.0), (25.0, 75.0)]),
            ],
        };
        assert!((covered(&[holed], &[tile])[0] - 0.75).abs() < 1e-9);
    }

    #[test]
    fn what_lies_beside_a_tile_covers_none_of_it() {
        let area = Area::rectangle(&Level0Rect::new(0, 0, 100, 100));
        let tiles = [Level0Rect::new(100, 0, 50, 50), Level0Rect::new(-20, -20, 40, 40)];
        assert_eq!(covered(&[area], &tiles), [0.0, 0.25]);
    }
}
