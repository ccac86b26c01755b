//! The density of detections as a picture behind them.

use std::sync::Arc;

use super::Shown;
use super::tile::{DetectionTile, SIDE};
use crate::annotation::{DensityMap, DensityScale};
use crate::geometry::Level0Point;
use crate::ui::heat_map::viridis;

/// Opacity of the picture.
const OPACITY: f32 = 0.6;
/// Share of the colour scale below which the picture fades out, so that tissue without detections can be seen.
const FADES_BELOW: f32 = 0.05;

/// The density map of what was last drawn.
#[derive(Default)]
pub struct KnownDensity {
    known: Option<Known>,
}

struct Known {
    of: Shown,
    class: Option<String>,
    scale: DensityScale,
    map: Option<Arc<DensityMap>>,
}

impl KnownDensity {
    /// Returns the density map of the shown detections, which is made anew when they, the hidden ones or the class have
    /// changed; `None` if there are no such detections, or once `stop` is true.
    pub fn map(
        &mut self,
        shown: &Shown,
        (class, scale): (Option<&str>, &DensityScale),
        stop: &dyn Fn() -> bool,
    ) -> Option<Arc<DensityMap>> {
        let is_known = self.known.as_ref().is_some_and(|known| {
            Arc::ptr_eq(&known.of.detections, &shown.detections)
                && Arc::ptr_eq(&known.of.hidden, &shown.hidden)
                && known.class.as_deref() == class
                && known.scale == *scale
        });
        if !is_known {
            let map = DensityMap::of(&shown.detections, class, &shown.hidden, scale, stop).map(Arc::new);
            if stop() {
                return None;
            }
            let class = class.map(str::to_owned);
            self.known = Some(Known { of: shown.clone(), class, scale: *scale, map });
        }
        self.known.as_ref().and_then(|known| known.map.clone())
    }
}

/// Returns the picture of a tile as premultiplied RGBA, [`SIDE`] × [`SIDE`]. `high` is the density at the light end of the
/// colour scale.
pub fn picture(map: &DensityMap, high: f64, tile: DetectionTile) -> Vec<u8> {
    let (origin, pixel) = (tile.area().min, tile.pixel_px());
    let along = |index: u32| (f64::from(index) + 0.5) * pixel;
    let places = (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| (column, row)));
    let share = |(column, row)| {
        let density = map.at(Level0Point::new(origin.x + along(column), origin.y + along(row)));
        (f64::from(density) / high.max(f64::MIN_POSITIVE)).min(1.0) as f32
    };
    places.map(share).flat_map(color).collect()
}

/// Returns the premultiplied colour of a density as a share of the highest.
fn color(share: f32) -> [u8; 4] {
    let alpha = OPACITY * (share / FADES_BELOW).clamp(0.0, 1.0);
    let [r, g, b, _] = viridis(share).to_array();
    let [r, g, b] = [r, g, b].map(|channel| (f32::from(channel) * alpha).round() as u8);
    [r, g, b, (alpha * 255.0).round() as u8]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::{Annotation, AnnotationSet, DetectionColours, ObjectKind, Shape};

    #[test]
    fn the_picture_is_lightest_where_detections_are_densest_and_clear_where_there_are_none() {
        let point = |number: u32| {
            let at = Level0Point::new(f64::from(number % 50) * 4.0, f64::from(number / 50) * 4.0);
            let mut one = Annotation::new(Shape::Points(vec![at]), None);
            one.kind = ObjectKind::Detection;
            one
        };
        let set = AnnotationSet::packed((0..2500).map(point));
        let scale = DensityScale { radius_px: (40.0, 40.0), ..DensityScale::of(None) };
        let colours = Arc::new(DetectionColours::Density { class: None, scale, high: 1.0 });
        let shown = Shown { detections: set.detections().clone(), colours, ..Shown::default() };
        let mut known = KnownDensity::default();
        let map = known.map(&shown, (None, &scale), &|| false).unwrap();
        assert!(Arc::ptr_eq(&map, &known.map(&shown, (None, &scale), &|| false).unwrap()));
        assert!(known.map(&shown, (Some("Tumour"), &scale), &|| false).is_none());
        let picture = picture(&map, 0.9 * map.high(), DetectionTile { level: 0, column: 0, row: 0 });
        let pixel = |x: usize, y: usize| &picture[(y * SIDE as usize + x) * 4..][..4];
        assert_eq!(picture.len(), (SIDE * SIDE * 4) as usize);
        let [r, g, b, _] = viridis(1.0).to_array();
        let lightest = [r, g, b].map(|channel| (f32::from(channel) * OPACITY).round() as u8);
        assert_eq!(pixel(100, 100)[..3], lightest);
        assert_eq!(pixel(400, 400), [0; 4]);
    }
}
