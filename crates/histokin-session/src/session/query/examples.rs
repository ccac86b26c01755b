//! Queries by tile, region, annotation, slide or picture, and changes to their examples.

use std::path::PathBuf;

use image::RgbImage;
use uuid::Uuid;

use super::super::{EmbeddingJob, Job, PictureRequest, Session, TileRequest};
use histokin_core::descriptors::Recipe;
use histokin_core::geometry::{Level0Point, Level0Rect};
use histokin_core::query::builder::{self, BuildError, QueryBuilder, SlideGeometry};
use histokin_core::query::{QueryError, Region, Scope, ShownExample, TilePosition};
use histokin_core::slide::SlideId;
use histokin_core::tiling::{TileGrid, TileSettings};

/// Largest number of example tiles when many were chosen at once.
const MOST_EXAMPLES: usize = 24;

/// Why a search at a place without tissue has no answer.
const NO_TISSUE: &str = "No tissue was detected here. The tissue mask shows what counts as tissue, and the embedding settings \
                         change it.";

/// A picture to search with.
#[derive(Debug, Clone, PartialEq)]
pub enum PictureQuery {
    /// An image file.
    File(PathBuf),
    /// Pixels from the clipboard.
    Pixels(RgbImage),
}

impl Session {
    /// Searches for tiles like the one under `point`.
    pub(in crate::session) fn query_at(&mut self, slide: SlideId, point: Level0Point) -> Vec<Job> {
        let Some(example) = self.tile_example(&slide, point) else { return Vec::new() };
        if self.keeps_query(&example) {
            return Vec::new();
        }
        self.ask(vec![example], Vec::new())
    }

    /// Searches for tiles like any of `tiles`.
    pub(in crate::session) fn query_tiles(&mut self, tiles: Vec<TilePosition>) -> Vec<Job> {
        let examples = self.some_of(tiles);
        if examples.is_empty() { Vec::new() } else { self.ask(examples, Vec::new()) }
    }

    /// Returns tiles of open slides as examples: all of them, or an even sample of many.
    pub(super) fn some_of(&mut self, mut tiles: Vec<TilePosition>) -> Vec<ShownExample> {
        tiles.retain(|position| self.slide(&position.slide).is_some());
        let step = tiles.len().div_ceil(MOST_EXAMPLES).max(1);
        if step > 1 {
            let used = tiles.len().div_ceil(step);
            let text = format!("{used} of the {} tiles are used as examples, picked evenly", tiles.len());
            self.messages.note(text);
        }
        let example = |position: TilePosition| builder::tile_example(&position.slide, position.rect);
        tiles.into_iter().step_by(step).map(example).collect()
    }

    /// Searches for tiles like those of a region.
    pub(in crate::session) fn query_region(&mut self, slide: &SlideId, region: Region) -> Vec<Job> {
        let example = self.build(|builder| builder.region(slide, region));
        self.ask(vec![example], Vec::new())
    }

    /// Searches for tissue like that of annotations of a slide.
    pub(in crate::session) fn query_annotations(&mut self, slide: &SlideId, ids: &[Uuid]) -> Vec<Job> {
        let built = self.build(|builder| builder.annotations(slide, ids));
        self.ask_built(built)
    }

    /// Searches for tissue like that of all annotations of a class, on all slides.
    pub(in crate::session) fn query_class(&mut self, name: &str) -> Vec<Job> {
        let built = self.build(|builder| builder.class(name));
        self.ask_built(built)
    }

    /// Ranks all other slides by how much of their tissue is similar to that of a slide.
    pub(in crate::session) fn query_slide(&mut self, slide: &SlideId) -> Vec<Job> {
        if self.slide(slide).is_none() {
            return Vec::new();
        }
        builder::rank_whole_slides(&mut self.query.settings);
        let built = self.build(|builder| builder.whole_slide(slide)).map(|example| vec![example]);
        self.ask_built(built)
    }

    fn ask_built(&mut self, built: Result<Vec<ShownExample>, BuildError>) -> Vec<Job> {
        match built {
            Ok(examples) => self.ask(examples, Vec::new()),
            Err(error) => {
                self.messages.error(error.to_string());
                Vec::new()
            }
        }
    }

    /// Builds examples from the newest index and the annotations of the open slides.
    pub(super) fn build<T>(&self, build: impl FnOnce(&QueryBuilder<'_>) -> T) -> T {
        let annotations = self.annotations_by_slide();
        build(&QueryBuilder { index: self.index(), annotations: &annotations, slides: self })
    }

    /// Searches for tissue like that of a picture, once the picture has been embedded.
    pub(in crate::session) fn query_picture(&mut self, picture: PictureQuery) -> Vec<Job> {
        let Some(recipe) = self.recipe() else {
            let text = "The encoder is not known yet; try again in a moment.".to_owned();
            self.messages.error(text);
            return Vec::new();
        };
        if !self.searches_with(&recipe) {
            let text = format!(
                "The slides are still being embedded again with {}. Search with an image once that is done.",
                recipe.encoder_name
            );
            self.messages.error(text);
            return Vec::new();
        }
        let folder = self.project.root().join("queries");
        let encoder = self.project.encoder_name();
        vec![Job::Embedding(EmbeddingJob::Picture(PictureRequest { picture, folder, recipe, encoder }))]
    }

    /// Searches with a picture that has been embedded, or reports why it could not be.
    pub(in crate::session) fn picture_embedded(&mut self, picture: Result<ShownExample, String>) -> Vec<Job> {
        match picture {
            Ok(example) => self.ask(vec![example], Vec::new()),
            Err(reason) => {
                self.messages.error(reason);
                Vec::new()
            }
        }
    }

    /// Adds the tile under `point` to the query, or starts a query with it.
    pub(in crate::session) fn add_example(
        &mut self,
        slide: SlideId,
        point: Level0Point,
        is_positive: bool,
    ) -> Vec<Job> {
        if self.query.current.is_none() {
            return if is_positive { self.query_at(slide, point) } else { Vec::new() };
        }
        let Some(example) = self.tile_example(&slide, point) else { return Vec::new() };
        let is_known = self
            .query
            .current
            .as_ref()
            .is_some_and(|query| query.examples().any(|(_, known)| known.position == example.position));
        if !is_known && self.keeps_query(&example) {
            return Vec::new();
        }
        if let Some(query) = &mut self.query.current {
            let (to, off) = match is_positive {
                true => (&mut query.positives, &mut query.negatives),
                false => (&mut query.negatives, &mut query.positives),
            };
            // A second click removes the tile again.
            if to.iter().any(|known| known.position == example.position) {
                to.retain(|known| known.position != example.position);
            } else {
                builder::put_example(to, off, example);
            }
        }
        self.examples_changed()
    }

    pub(in crate::session) fn remove_example(&mut self, is_positive: bool, index: usize) -> Vec<Job> {
        if let Some(query) = &mut self.query.current
            && index < query.list(is_positive).len()
        {
            query.list(is_positive).remove(index);
        }
        self.examples_changed()
    }

    pub(super) fn examples_changed(&mut self) -> Vec<Job> {
        if self.query.current.as_ref().is_some_and(|query| query.positives.is_empty()) {
            return self.clear_query();
        }
        if let Some(past) = self.past_query() {
            self.query.history.renew(past);
        }
        let mut jobs = self.search();
        jobs.extend(self.save_history());
        jobs
    }

    /// Returns the tile under `point` as an example; reports why there is none.
    fn tile_example(&mut self, slide: &SlideId, point: Level0Point) -> Option<ShownExample> {
        self.slide(slide)?;
        match self.build(|builder| builder.tile(slide, point)) {
            Ok(example) => Some(example),
            // A click outside the slide does nothing.
            Err(BuildError::OffGrid { .. }) => None,
            Err(error) => {
                self.messages.error(error.to_string());
                None
            }
        }
    }

    /// Whether an answer is kept instead of a search with a tile that has no tissue; says so. A click beside the tissue would
    /// otherwise cost a query with its marks.
    fn keeps_query(&mut self, example: &ShownExample) -> bool {
        let is_answered = self.query.current.as_ref().is_some_and(|query| query.answer.is_some());
        let is_kept = is_answered && example.position.as_ref().is_some_and(|tile| self.is_glass(tile));
        if is_kept {
            self.messages.note(NO_TISSUE);
        }
        is_kept
    }

    /// Whether a tile has no tissue, by the tissue mask of its slide, and was not embedded by an earlier one. Not known until
    /// the mask is.
    fn is_glass(&self, tile: &TilePosition) -> bool {
        let tissue = self.slide(&tile.slide).and_then(|state| state.tissue.as_ref());
        let is_embedded = || {
            let set = self.index().set_index(&tile.slide)?;
            self.index().sets()[set as usize].row_at(tile.rect.center())
        };
        tissue.is_some_and(|tissue| !tissue.has_tissue(&tile.rect)) && is_embedded().is_none()
    }

    /// Tile settings of the examples.
    fn example_tiles(&self) -> TileSettings {
        self.searched_recipe().map_or(self.project.settings().tiles, |recipe| recipe.tiles)
    }

    /// Starts a new query.
    pub(super) fn ask(&mut self, positives: Vec<ShownExample>, negatives: Vec<ShownExample>) -> Vec<Job> {
        self.ask_with_marks(positives, negatives, Vec::new())
    }

    /// Requests the descriptor of an example tile that is not in the index, if it is tissue.
    pub(super) fn embed_missing_tile(&mut self, problem: &QueryError) -> Option<Job> {
        let recipe = self.recipe().filter(|recipe| self.searches_with(recipe))?;
        let examples = self.query.current.as_ref()?.examples().map(|(_, shown)| shown);
        let position = builder::missing_tile(self.index(), examples, problem)?;
        let state = self.slide(&position.slide)?;
        let slide = state.source.clone();
        if self.is_glass(&position) {
            let query = self.query.current.as_mut()?;
            query.problem = Some(NO_TISSUE.to_owned());
            return None;
        }
        if self.index().is_empty() && self.query.settings.scope != Scope::Archive {
            return None;
        }
        let query = self.query.current.as_mut()?;
        (query.waiting, query.embeds_tile) = (true, true);
        query.problem = Some("This tile is not embedded yet: it is being embedded now.".to_owned());
        let encoder = self.project.encoder_name();
        Some(Job::Embedding(EmbeddingJob::Tiles(TileRequest {
            slide,
            rects: vec![position.rect],
            recipe,
            encoder,
        })))
    }

    /// Takes in the descriptors of requested tiles.
    pub(in crate::session) fn tiles_embedded(
        &mut self,
        slide: &SlideId,
        rects: &[Level0Rect],
        recipe: &Recipe,
        descriptors: Result<Vec<Vec<f32>>, String>,
    ) -> Vec<Job> {
        let Some(query) = &mut self.query.current else { return Vec::new() };
        let descriptors = match descriptors {
            Ok(descriptors) => descriptors,
            Err(reason) => {
                (query.waiting, query.embeds_tile) = (false, false);
                query.problem = Some(reason);
                return Vec::new();
            }
        };
        for (rect, descriptor) in rects.iter().zip(descriptors) {
            let position = TilePosition { slide: slide.clone(), rect: *rect };
            let examples = query.positives.iter_mut().chain(&mut query.negatives);
            builder::use_descriptor(examples, &position, slide.short(), recipe, &descriptor);
        }
        self.search()
    }
}

impl SlideGeometry for Session {
    fn grid(&self, slide: &SlideId) -> Result<TileGrid, String> {
        let state = self.slide(slide).ok_or_else(|| format!("slide {slide} is not open"))?;
        TileGrid::new(state.source.info(), self.example_tiles()).map_err(|error| error.to_string())
    }

    fn extent(&self, slide: &SlideId) -> Result<Level0Rect, String> {
        let state = self.slide(slide).ok_or_else(|| format!("slide {slide} is not open"))?;
        Ok(state.source.info().extent())
    }
}
