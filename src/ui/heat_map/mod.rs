//! The heat map: how similar every tile is to the query, a concept or the tile under the pointer.

mod card;
mod legend;

use std::collections::HashMap;
use std::sync::Arc;

use eframe::egui_wgpu::RenderState;
use egui::{Color32, ColorImage, Context, TextureHandle, TextureOptions, Vec2};

pub use card::GraphicsCard;
pub use legend::LegendPlace;

use crate::concept::Concept;
use crate::geometry::Level0Point;
use crate::index::{Snapshot, TileRef};
use crate::query::TilePosition;
use crate::query::similarity_map::{MapRequest, Reference, SimilarityMap};
use crate::session::{HeatReference, Session};
use crate::slide::SlideId;
use crate::workers::Waker;
use crate::workers::similarity_maps::{GraphicsComparer, SimilarityMapWorker, SimilarityMaps};

/// Viridis (Smith and van der Walt 2015), evenly spaced: perceptually uniform, and readable with colour
/// vision deficiency.
const VIRIDIS: [[u8; 3]; 16] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x1A, 0x6C],
    [0x47, 0x2F, 0x7D],
    [0x41, 0x44, 0x87],
    [0x39, 0x56, 0x8C],
    [0x31, 0x68, 0x8E],
    [0x2A, 0x78, 0x8E],
    [0x23, 0x88, 0x8E],
    [0x1F, 0x98, 0x8B],
    [0x22, 0xA8, 0x84],
    [0x35, 0xB7, 0x79],
    [0x54, 0xC5, 0x68],
    [0x7A, 0xD1, 0x51],
    [0xA5, 0xDB, 0x36],
    [0xD2, 0xE2, 0x1B],
    [0xFD, 0xE7, 0x25],
];

/// A similarity map as a texture, one texel per tile.
pub struct Heat {
    /// The coloured map.
    pub texture: TextureHandle,
    /// Level-0 pixels that the map spans from the slide's top-left corner.
    pub span: (f64, f64),
}

/// What the heat map shows similarity to.
#[derive(Debug, Clone, PartialEq)]
pub enum HeatSource {
    /// The tile under the pointer.
    Pointer,
    /// The direction of the query, or its first example if it has no marks.
    Query,
    /// The concept of this name.
    Concept(String),
    /// All concepts with a threshold: the map shows to which of them each tile belongs.
    AllConcepts,
}

impl HeatSource {
    /// Heading of the legend.
    fn title(&self) -> String {
        match self {
            Self::Pointer => "Similarity to tile at pointer".to_owned(),
            Self::Query => "Similarity to the query".to_owned(),
            Self::Concept(name) => format!("Similarity to {name}"),
            Self::AllConcepts => "Class map".to_owned(),
        }
    }
}

/// The heat map of the window.
pub struct HeatMap {
    worker: SimilarityMapWorker,
    /// Whether the heat map is shown.
    pub is_on: bool,
    /// What it shows similarity to.
    source: HeatSource,
    /// Opacity of the map, 0 to 1.
    opacity: f32,
    /// Tiles below this fraction of the similarity scale are not shown.
    threshold: f32,
    requested: Option<LastRequest>,
    maps: Option<SimilarityMaps>,
    shown: HashMap<SlideId, Heat>,
    /// Where the legend is drawn.
    pub legend: LegendPlace,
}

/// Last request to the worker.
struct LastRequest {
    index: Arc<Snapshot>,
    reference: Reference,
    slides: Vec<u32>,
}

impl HeatMap {
    /// Starts the worker. Distances are computed on the window's GPU unless it is emulated in software.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(waker: Waker, gpu: &RenderState) -> std::io::Result<Self> {
        let card = GraphicsCard::is_worth_it(&gpu.adapter.get_info()).then(|| {
            Box::new(GraphicsCard::new(gpu.device.clone(), gpu.queue.clone())) as Box<dyn GraphicsComparer>
        });
        Ok(Self {
            worker: SimilarityMapWorker::start(waker, card)?,
            is_on: false,
            source: HeatSource::Pointer,
            opacity: 0.65,
            threshold: 0.0,
            requested: None,
            maps: None,
            shown: HashMap::new(),
            legend: LegendPlace::default(),
        })
    }

    /// Switches the heat map off if it shows similarity to `source`, else on.
    pub fn toggle(&mut self, source: HeatSource) {
        self.legend.is_chosen &= self.is_on;
        self.is_on = !self.is_on || self.source != source;
        self.show(source);
    }

    /// Sets what similarity is shown to.
    fn show(&mut self, source: HeatSource) {
        if self.source != source {
            (self.source, self.requested, self.maps) = (source, None, None);
            self.shown.clear();
        }
    }

    /// Returns the map of a slide and its opacity, if the heat map is on.
    pub fn of(&self, slide: &SlideId) -> Option<(&Heat, f32)> {
        self.shown.get(slide).filter(|_| self.is_on).map(|heat| (heat, self.opacity))
    }

    /// The current similarity maps.
    pub fn maps(&self) -> Option<&SimilarityMaps> {
        self.maps.as_ref()
    }

    /// Returns what all tiles are compared with, and the slides that have a map; `None` if the heat map is off.
    pub fn shown(&self) -> Option<(HeatReference, Vec<SlideId>)> {
        let (requested, maps) = (self.requested.as_ref()?, self.maps.as_ref().filter(|_| self.is_on)?);
        let reference = match &requested.reference {
            Reference::Point(point) => HeatReference::Point(point.clone()),
            // A class map is exported as the regions of its concepts.
            Reference::Concepts(_) => return None,
            Reference::Tile(tile) => {
                let set = &requested.index.sets()[tile.set as usize];
                let (slide, rect) = (set.header.slide_id.clone(), set.rect(tile.row));
                HeatReference::Tile(TilePosition { slide, rect })
            }
        };
        Some((reference, maps.maps.iter().map(|map| map.slide.clone()).collect()))
    }

    /// Follows its source: `under` is the slide and position under the pointer. Between tiles, and on slides without
    /// descriptors, the last map stays.
    pub fn follow(
        &mut self,
        context: &Context,
        session: &Session,
        under: Option<(&SlideId, Level0Point)>,
        in_view: &[&SlideId],
    ) {
        if !self.is_on {
            return;
        }
        let index = session.index();
        // If the index has changed, the map of the previous reference is computed again.
        let reference = self.reference(session, under).or_else(|| self.previous(index));
        let slides: Vec<u32> = in_view.iter().filter_map(|slide| index.set_index(slide)).collect();
        let is_new = |requested: &LastRequest, reference: &Reference| {
            !Arc::ptr_eq(&requested.index, index)
                || requested.reference != *reference
                || requested.slides != slides
        };
        if let Some(reference) = reference
            && self.requested.as_ref().is_none_or(|requested| is_new(requested, &reference))
        {
            let (index, shown) = (index.clone(), slides.clone());
            self.worker.request(MapRequest { index: index.clone(), reference: reference.clone(), shown });
            self.requested = Some(LastRequest { index, reference, slides });
        }
        // A map of similarity may still arrive after the class map was asked for, and the other way round.
        let is_wanted = |maps: &SimilarityMaps| {
            matches!(maps.reference, Reference::Concepts(_)) == self.concepts().is_some()
        };
        if let Some(maps) = self.worker.newest().filter(is_wanted) {
            self.maps = Some(maps);
            self.paint(context);
        }
    }

    /// Returns what similarity is to be shown to, if that is known at the moment.
    fn reference(&self, session: &Session, under: Option<(&SlideId, Level0Point)>) -> Option<Reference> {
        let index = session.index();
        let tile_at = |slide: &SlideId, at: Level0Point| {
            let set = index.set_index(slide)?;
            Some(Reference::Tile(TileRef { set, row: index.sets()[set as usize].row_at(at)? }))
        };
        match &self.source {
            HeatSource::Pointer => under.and_then(|(slide, at)| tile_at(slide, at)),
            HeatSource::Query => {
                let query = session.query()?;
                let direction = query.answer.as_ref().and_then(|answer| answer.direction.clone());
                let first = || query.target().and_then(|tile| tile_at(&tile.slide, tile.rect.center()));
                direction.map(Reference::Point).or_else(first)
            }
            HeatSource::Concept(name) => {
                let concept = session.concept(name)?;
                concept.require(&index.sets().first()?.header.recipe).ok()?;
                Some(Reference::Point(concept.direction.as_slice().into()))
            }
            HeatSource::AllConcepts => {
                index.sets().first()?;
                Some(Reference::Concepts(session.mapped_concepts()))
            }
        }
    }

    /// Returns the last reference, as one of `index`.
    fn previous(&self, index: &Snapshot) -> Option<Reference> {
        let requested = self.requested.as_ref()?;
        match &requested.reference {
            Reference::Point(_) | Reference::Concepts(_) => {
                // Descriptors of two recipes do not compare.
                let before = requested.index.sets().first().map(|set| &set.header.recipe);
                let now = index.sets().first().map(|set| &set.header.recipe);
                (before == now).then(|| requested.reference.clone())
            }
            Reference::Tile(tile) => {
                let set = requested.index.sets().get(tile.set as usize)?;
                let current = index.set_index(&set.header.slide_id)?;
                let row = index.sets()[current as usize].row_at(set.rect(tile.row).center())?;
                Some(Reference::Tile(TileRef { set: current, row }))
            }
        }
    }

    /// The concepts of the class map that is shown; `None` for a map of similarity.
    fn concepts(&self) -> Option<&[Arc<Concept>]> {
        match &self.requested.as_ref()?.reference {
            Reference::Concepts(concepts) => Some(concepts),
            Reference::Tile(_) | Reference::Point(_) => None,
        }
    }

    /// Updates the textures of the maps.
    fn paint(&mut self, context: &Context) {
        let Some(maps) = &self.maps else { return };
        let colours = self.colours(&maps.reference);
        self.shown.retain(|slide, _| maps.maps.iter().any(|map| map.slide == *slide));
        for map in &maps.maps {
            let (image, span) = picture(map, &colours);
            match self.shown.get_mut(&map.slide) {
                Some(heat) => {
                    heat.texture.set(image, TextureOptions::NEAREST);
                    heat.span = span;
                }
                None => {
                    let texture = context.load_texture("heat map", image, TextureOptions::NEAREST);
                    self.shown.insert(map.slide.clone(), Heat { texture, span });
                }
            }
        }
    }

    /// Returns the colour of each value of a map of similarity to `reference`; 0 is no tile.
    fn colours(&self, reference: &Reference) -> [Color32; 256] {
        if let Reference::Concepts(concepts) = reference {
            return std::array::from_fn(|value| {
                match value.checked_sub(2).and_then(|index| concepts.get(index)) {
                    Some(concept) => class_colour(concept),
                    None => Color32::TRANSPARENT,
                }
            });
        }
        let least = (self.threshold * 254.0) as usize;
        std::array::from_fn(|similarity| match similarity.checked_sub(1) {
            Some(similarity) if similarity >= least => viridis(similarity as f32 / 254.0),
            _ => Color32::TRANSPARENT,
        })
    }
}

/// Colour of a concept in a class map.
fn class_colour(concept: &Concept) -> Color32 {
    let [r, g, b] = concept.class.color;
    Color32::from_rgb(r, g, b)
}

fn picture(map: &SimilarityMap, colours: &[Color32; 256]) -> (ColorImage, (f64, f64)) {
    let [columns, rows] = map.grid;
    let pixels = map.similarity.iter().map(|similarity| colours[usize::from(*similarity)]).collect();
    let size = [columns.max(1), rows.max(1)];
    let source_size = Vec2::new(size[0] as f32, size[1] as f32);
    let [width, height] = map.tile_level0.map(f64::from);
    (ColorImage { size, source_size, pixels }, (columns as f64 * width, rows as f64 * height))
}

/// Viridis colour of a value from 0 (dark violet) to 1 (yellow).
pub fn viridis(value: f32) -> Color32 {
    let along = value.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f32;
    let first = (along as usize).min(VIRIDIS.len() - 2);
    let share = along - first as f32;
    let mix = |channel: usize| {
        let (from, to) = (f32::from(VIRIDIS[first][channel]), f32::from(VIRIDIS[first + 1][channel]));
        (from + (to - from) * share).round() as u8
    };
    Color32::from_rgb(mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viridis_grows_lighter_all_the_way() {
        let lightness = |value: f32| {
            let [r, g, b, _] = egui::Rgba::from(viridis(value)).to_array();
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let steps: Vec<f32> = (0..=100).map(|step| lightness(step as f32 / 100.0)).collect();
        assert!(steps.is_sorted(), "{steps:?}");
        assert_eq!(viridis(1.0), Color32::from_rgb(0xFD, 0xE7, 0x25));
    }
}
