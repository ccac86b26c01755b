//! The view history of a slide: the highest magnification at which each part of it was in view.

use egui::{Color32, ColorImage, Context, TextureHandle, TextureOptions};
use image::GrayImage;

use super::camera::{Camera, Viewport};
use super::scale::Magnification;
use crate::geometry::Level0Point;

/// Number of cells along the longer side of a slide, as fine as the overview shows.
const CELLS: f64 = 200.0;
/// Zoom from which the view history is drawn at full strength; a slide's own pixels are at 1.
const STRONGEST_ZOOM: f32 = 1.0;
/// Loss of strength for each halving of the zoom, as a fraction of the full strength.
const STEP: f32 = 0.3;
/// Opacity of the view history at full strength.
const STRONGEST: f32 = 0.35;

/// Grey levels of a stored view history per doubling of the zoom, and the grey level at 1:1. Covers zooms
/// from 1/1000 to 60.
const SHADES_A_DOUBLING: f32 = 16.0;
const SHADE_AT_ONE: f32 = 160.0;

/// The view history of one slide.
pub struct ViewHistory {
    columns: usize,
    rows: usize,
    /// Edge of a cell in level-0 pixels.
    cell: f64,
    /// The highest zoom (screen pixels per drawn pixel) used on each cell; 0 for none.
    zooms: Vec<f32>,
    /// Texture of `zooms`; `None` after a change, until it is drawn again.
    texture: Option<TextureHandle>,
}

impl ViewHistory {
    /// Creates an empty view history for a slide of `extent` level-0 pixels.
    pub fn new(extent: (f64, f64)) -> Self {
        let cell = extent.0.max(extent.1) / CELLS;
        let count = |length: f64| (length / cell).ceil().max(1.0) as usize;
        let (columns, rows) = (count(extent.0), count(extent.1));
        Self { columns, rows, cell, zooms: vec![0.0; columns * rows], texture: None }
    }

    /// Returns the view history as a picture for storage: one pixel per cell, brighter for higher zooms. See
    /// [`Self::merge`].
    pub fn to_picture(&self) -> GrayImage {
        let pixels = self.zooms.iter().map(|zoom| shade_of(*zoom)).collect();
        GrayImage::from_raw(self.columns as u32, self.rows as u32, pixels).unwrap_or_default()
    }

    /// Adds a stored view history of the same slide. Returns `false` if the picture's size shows that it
    /// belongs to another slide.
    pub fn merge(&mut self, picture: &GrayImage) -> bool {
        if picture.dimensions() != (self.columns as u32, self.rows as u32) {
            return false;
        }
        for (zoom, shade) in self.zooms.iter_mut().zip(picture.as_raw()) {
            *zoom = zoom.max(zoom_of(*shade));
        }
        self.texture = None;
        true
    }

    /// Drops the texture; it is made again when the view history is next drawn.
    pub fn forget_picture(&mut self) {
        self.texture = None;
    }

    /// Clears the view history.
    pub fn clear(&mut self) {
        self.zooms.fill(0.0);
        self.texture = None;
    }

    /// Records what `camera` shows.
    pub fn looked(&mut self, camera: &Camera, viewport: Viewport) {
        let (low, high) = camera.bounds(viewport);
        let cells = |from: f64, to: f64, count: usize| {
            let start = (from / self.cell).floor().clamp(0.0, count as f64) as usize;
            start..((to / self.cell).ceil().clamp(0.0, count as f64) as usize)
        };
        let reached = |column: usize, row: usize| {
            // The point of the cell that is closest to the centre of the view.
            let nearest = |index: usize, middle: f64| {
                middle.clamp(index as f64 * self.cell, (index + 1) as f64 * self.cell)
            };
            let at = Level0Point::new(nearest(column, camera.center.x), nearest(row, camera.center.y));
            let on_screen = camera.screen_from_level0(at, viewport);
            (0.0..=viewport.width).contains(&on_screen.x) && (0.0..=viewport.height).contains(&on_screen.y)
        };
        for row in cells(low.y, high.y, self.rows) {
            for column in cells(low.x, high.x, self.columns) {
                let zoom = &mut self.zooms[row * self.columns + column];
                if *zoom < camera.zoom as f32 && reached(column, row) {
                    *zoom = camera.zoom as f32;
                }
            }
        }
        self.texture = None;
    }

    /// Returns the highest zoom used at a position; `None` if it was never in view.
    fn zoom_at(&self, at: Level0Point) -> Option<f64> {
        let index = |position: f64, count: usize| ((position / self.cell) as usize).min(count - 1);
        let zoom = self.zooms[index(at.y, self.rows) * self.columns + index(at.x, self.columns)];
        (zoom > 0.0).then_some(f64::from(zoom))
    }

    /// Describes the highest magnification used at a position. `magnification` is of the same slide.
    pub fn label_at(&self, at: Level0Point, magnification: &Magnification) -> String {
        match self.zoom_at(at) {
            None => "Not viewed yet".to_owned(),
            Some(zoom) => format!("Viewed at up to {}", magnification.at_zoom(zoom).short_label()),
        }
    }

    /// Creates the texture if the view history has changed: stronger where the magnification was higher.
    pub fn prepare(&mut self, context: &Context, color: Color32) {
        if self.texture.is_none() {
            let image = ColorImage::new([self.columns, self.rows], self.shades(color));
            self.texture = Some(context.load_texture("view history", image, TextureOptions::LINEAR));
        }
    }

    /// The colour of each cell. Of a slide that was in view as a whole, only parts that were viewed more closely are
    /// coloured: the overview keeps the slide's own colours where there is nothing to tell apart.
    fn shades(&self, color: Color32) -> Vec<Color32> {
        let least = self.zooms.iter().copied().fold(f32::INFINITY, f32::min);
        let shade = |zoom: &f32| {
            // Kept zooms are rounded.
            if *zoom <= least * 1.05 {
                return Color32::TRANSPARENT;
            }
            let strength = 1.0 + STEP * (zoom / STRONGEST_ZOOM).log2();
            color.gamma_multiply(STRONGEST * strength.clamp(0.0, 1.0))
        };
        self.zooms.iter().map(shade).collect()
    }

    /// Returns the prepared texture and the level-0 pixels that it spans, slightly more than the slide.
    pub fn picture(&self) -> Option<(&TextureHandle, (f64, f64))> {
        Some((self.texture.as_ref()?, (self.columns as f64 * self.cell, self.rows as f64 * self.cell)))
    }
}

/// Converts a zoom to a grey level for storage: 0 for none, otherwise in steps of a sixteenth of a doubling.
fn shade_of(zoom: f32) -> u8 {
    if zoom <= 0.0 {
        0
    } else {
        (zoom.log2() * SHADES_A_DOUBLING + SHADE_AT_ONE).round().clamp(1.0, 255.0) as u8
    }
}

fn zoom_of(shade: u8) -> f32 {
    if shade == 0 { 0.0 } else { ((f32::from(shade) - SHADE_AT_ONE) / SHADES_A_DOUBLING).exp2() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_trail_comes_back_and_joins_the_new_one() {
        let mut view_history = ViewHistory::new((20_000.0, 10_000.0));
        view_history.looked(&looking_at(5000.0, 5000.0, 1.0), VIEWPORT);
        view_history.looked(&looking_at(15_000.0, 5000.0, 0.3), VIEWPORT);
        let kept = view_history.to_picture();
        let mut again = ViewHistory::new((20_000.0, 10_000.0));
        again.looked(&looking_at(15_000.0, 5000.0, 8.0), VIEWPORT);
        assert!(again.merge(&kept));
        assert_eq!(again.zoom_at(Level0Point::new(5000.0, 5000.0)), Some(1.0));
        assert_eq!(again.zoom_at(Level0Point::new(15_000.0, 5000.0)), Some(8.0));
        let earlier = again.zoom_at(Level0Point::new(14_000.0, 5000.0)).expect("looked at before");
        assert!((earlier / 0.3 - 1.0).abs() < 0.03, "{earlier}");
        assert_eq!(again.zoom_at(Level0Point::new(1000.0, 1000.0)), None);
        assert!(!ViewHistory::new((10_000.0, 20_000.0)).merge(&kept), "another slide's");
    }

    const VIEWPORT: Viewport = Viewport { width: 1000.0, height: 500.0 };

    fn looking_at(x: f64, y: f64, zoom: f64) -> Camera {
        Camera { zoom, ..Camera::upright(Level0Point::new(x, y)) }
    }

    #[test]
    fn a_place_keeps_the_highest_magnification_that_it_was_seen_at() {
        let mut view_history = ViewHistory::new((20_000.0, 10_000.0));
        let position = Level0Point::new(5000.0, 5000.0);
        assert_eq!(view_history.zoom_at(position), None);
        view_history.looked(&looking_at(5000.0, 5000.0, 1.0), VIEWPORT);
        view_history.looked(&looking_at(10_000.0, 5000.0, 0.0625), VIEWPORT);
        assert_eq!(view_history.zoom_at(position), Some(1.0));
        assert_eq!(view_history.zoom_at(Level0Point::new(5000.0, 8000.0)), Some(0.0625));
        assert_eq!(view_history.zoom_at(Level0Point::new(5000.0, 9999.0)), None);
    }

    #[test]
    fn a_slide_seen_as_a_whole_keeps_its_colours_until_a_part_is_viewed_more_closely() {
        let mut view_history = ViewHistory::new((400.0, 200.0));
        let tinted = |view_history: &ViewHistory| {
            view_history.shades(Color32::RED).iter().filter(|shade| **shade != Color32::TRANSPARENT).count()
        };
        view_history.looked(&looking_at(200.0, 100.0, 2.0), VIEWPORT);
        assert_eq!(tinted(&view_history), 0);
        view_history.looked(&looking_at(100.0, 50.0, 10.0), VIEWPORT);
        let parts = tinted(&view_history);
        assert!(parts > 0 && parts < 200 * 100 / 10, "{parts}");
        // A part of a slide that was not seen as a whole.
        let mut view_history = ViewHistory::new((4000.0, 2000.0));
        view_history.looked(&looking_at(1000.0, 500.0, 2.0), VIEWPORT);
        assert!(tinted(&view_history) > 0);
    }

    #[test]
    fn a_turned_view_leaves_a_turned_trail() {
        let mut view_history = ViewHistory::new((20_000.0, 20_000.0));
        let mut camera = looking_at(10_000.0, 10_000.0, 0.125);
        camera.rotation = std::f64::consts::FRAC_PI_2;
        view_history.looked(&camera, VIEWPORT);
        assert!(
            view_history.zoom_at(Level0Point::new(10_000.0, 13_500.0)).is_some(),
            "the long side lies upright"
        );
        assert!(view_history.zoom_at(Level0Point::new(13_500.0, 10_000.0)).is_none());
    }

    #[test]
    fn a_speck_of_a_view_is_not_lost_between_cells() {
        let mut view_history = ViewHistory::new((200_000.0, 100_000.0));
        view_history.looked(&looking_at(150_010.0, 20_010.0, 32.0), VIEWPORT);
        assert_eq!(view_history.zoom_at(Level0Point::new(150_010.0, 20_010.0)), Some(32.0));
    }
}
