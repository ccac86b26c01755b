//! What is asked: tiles, regions, annotations, whole slides, pictures; examples that come and go.

use std::path::PathBuf;

use image::RgbImage;
use uuid::Uuid;

use super::super::state::Severity;
use super::super::{Job, PictureRequest, Session, TileRequest};
use super::QueryState;
use histokin_core::geometry::{Level0Point, Level0Rect};
use histokin_core::query::builder::{self, BuildError, QueryBuilder, SlideGeometry};
use histokin_core::query::{PastQuery, QueryError, Region, Scope, ShownExample, TilePlace};
use histokin_core::slide::SlideId;
use histokin_core::tiling::{TileGrid, TileSettings};

/// Most tiles that ask together when many were chosen at once.
const MOST_EXAMPLES: usize = 24;

/// A picture to ask with.
#[derive(Debug, Clone, PartialEq)]
pub enum PictureQuery {
    File(PathBuf),
    /// As it came from the clipboard.
    Pixels(RgbImage),
}

impl Session {
    /// Look for tiles like the one under `point`.
    pub(in crate::session) fn query_at(&mut self, slide: SlideId, point: Level0Point) -> Vec<Job> {
        let Some(example) = self.tile_example(&slide, point) else { return Vec::new() };
        self.ask(vec![example], Vec::new())
    }

    /// Look for tiles like any of `tiles`.
    pub(in crate::session) fn query_tiles(&mut self, mut tiles: Vec<TilePlace>) -> Vec<Job> {
        tiles.retain(|place| self.slide(&place.slide).is_some());
        let step = tiles.len().div_ceil(MOST_EXAMPLES).max(1);
        if step > 1 {
            let asking = tiles.len().div_ceil(step);
            let text = format!("{asking} of the {} tiles ask for all, picked evenly", tiles.len());
            self.tell(Severity::Note, text, None);
        }
        let example = |place: TilePlace| builder::tile_example(&place.slide, place.rect);
        let examples: Vec<ShownExample> = tiles.into_iter().step_by(step).map(example).collect();
        if examples.is_empty() { Vec::new() } else { self.ask(examples, Vec::new()) }
    }

    /// Look for tiles like those of a region.
    pub(in crate::session) fn query_region(&mut self, slide: &SlideId, region: Region) -> Vec<Job> {
        let example = self.build(|builder| builder.region(slide, region));
        self.ask(vec![example], Vec::new())
    }

    /// Look for tissue like that of annotations of a slide.
    pub(in crate::session) fn query_annotations(&mut self, slide: &SlideId, ids: &[Uuid]) -> Vec<Job> {
        let built = self.build(|builder| builder.annotations(slide, ids));
        self.ask_built(built)
    }

    /// Look for tissue like all that has a class, on all slides.
    pub(in crate::session) fn query_class(&mut self, name: &str) -> Vec<Job> {
        let built = self.build(|builder| builder.class(name));
        self.ask_built(built)
    }

    /// Rank all other slides by how much of their tissue is like that of a whole slide.
    pub(in crate::session) fn query_slide(&mut self, slide: &SlideId) -> Vec<Job> {
        if self.slide(slide).is_none() {
            return Vec::new();
        }
        builder::rank_whole_slides(&mut self.query_settings);
        let built = self.build(|builder| builder.whole_slide(slide)).map(|example| vec![example]);
        self.ask_built(built)
    }

    fn ask_built(&mut self, built: Result<Vec<ShownExample>, BuildError>) -> Vec<Job> {
        match built {
            Ok(examples) => self.ask(examples, Vec::new()),
            Err(error) => {
                self.tell(Severity::Error, error.to_string(), None);
                Vec::new()
            }
        }
    }

    /// Build examples against the newest index and the annotations of the open slides.
    fn build<T>(&self, build: impl FnOnce(&QueryBuilder<'_>) -> T) -> T {
        let marks = self.all_marks();
        build(&QueryBuilder { index: &self.index, marks: &marks, slides: self })
    }

    /// Look for tissue like that of a picture, once it has been described.
    pub(in crate::session) fn query_picture(&mut self, picture: PictureQuery) -> Vec<Job> {
        let Some(recipe) = self.recipe() else {
            let text = "The encoder is not known yet; try again in a moment.".to_owned();
            self.tell(Severity::Error, text, None);
            return Vec::new();
        };
        let folder = self.project.root().join("queries");
        let encoder = self.project.encoder_name();
        vec![Job::EmbedPicture(PictureRequest { picture, folder, recipe, encoder })]
    }

    /// A picture has been described, or could not be.
    pub(in crate::session) fn picture_embedded(
        &mut self,
        described: Result<ShownExample, String>,
    ) -> Vec<Job> {
        match described {
            Ok(example) => self.ask(vec![example], Vec::new()),
            Err(reason) => {
                self.tell(Severity::Error, reason, None);
                Vec::new()
            }
        }
    }

    /// Add the tile under `point` to the question, or make it one.
    pub(in crate::session) fn add_example(
        &mut self,
        slide: SlideId,
        point: Level0Point,
        is_positive: bool,
    ) -> Vec<Job> {
        if self.query.is_none() {
            return if is_positive { self.query_at(slide, point) } else { Vec::new() };
        }
        let Some(example) = self.tile_example(&slide, point) else { return Vec::new() };
        if let Some(query) = &mut self.query {
            let (to, off) = match is_positive {
                true => (&mut query.positives, &mut query.negatives),
                false => (&mut query.negatives, &mut query.positives),
            };
            // A second click takes a tile away again.
            if to.iter().any(|known| known.place == example.place) {
                to.retain(|known| known.place != example.place);
            } else {
                builder::put_example(to, off, example);
            }
        }
        self.question_changed()
    }

    pub(in crate::session) fn remove_example(&mut self, is_positive: bool, place: usize) -> Vec<Job> {
        if let Some(query) = &mut self.query
            && place < query.list(is_positive).len()
        {
            query.list(is_positive).remove(place);
        }
        self.question_changed()
    }

    fn question_changed(&mut self) -> Vec<Job> {
        if self.query.as_ref().is_some_and(|query| query.positives.is_empty()) {
            return self.clear_query();
        }
        if let Some(past) = self.past_query() {
            self.query_history.renew(past);
        }
        let mut jobs = self.search();
        jobs.extend(self.save_history());
        jobs
    }

    /// The tile under `point`; the user is told why there is none.
    fn tile_example(&mut self, slide: &SlideId, point: Level0Point) -> Option<ShownExample> {
        self.slide(slide)?;
        match self.build(|builder| builder.tile(slide, point)) {
            Ok(example) => Some(example),
            // A click beside the slide asks for nothing.
            Err(BuildError::OffGrid { .. }) => None,
            Err(error) => {
                self.tell(Severity::Error, error.to_string(), None);
                None
            }
        }
    }

    /// How slides are cut into the tiles that are asked with.
    fn example_tiles(&self) -> TileSettings {
        self.recipe().map_or(self.project.settings().tiles, |recipe| recipe.tiles)
    }

    /// Ask a new question.
    pub(super) fn ask(&mut self, positives: Vec<ShownExample>, negatives: Vec<ShownExample>) -> Vec<Job> {
        self.query = Some(QueryState::new(positives, negatives));
        if let Some(past) = self.past_query() {
            self.query_history.note(past);
        }
        let mut jobs = self.search();
        jobs.extend(self.save_history());
        jobs
    }

    /// The question in hand as the history has it.
    fn past_query(&self) -> Option<PastQuery> {
        let query = self.query.as_ref()?;
        let (positives, negatives) = (query.positives.clone(), query.negatives.clone());
        Some(PastQuery { positives, negatives, settings: self.query_settings.clone() })
    }

    /// A tile that is not among the embedded ones is described on the spot, where it is tissue.
    pub(super) fn embed_missing_tile(&mut self, problem: &QueryError) -> Option<Job> {
        let recipe = self.recipe()?;
        let examples = self.query.as_ref()?.examples().map(|(_, shown)| shown);
        let place = builder::missing_tile(&self.index, examples, problem)?;
        let state = self.slide(&place.slide)?;
        let slide = state.source.clone();
        if self.index.is_empty() && self.query_settings.scope != Scope::Archive
            || state.tissue.as_ref().is_some_and(|tissue| !tissue.has_tissue(&place.rect))
        {
            return None;
        }
        let query = self.query.as_mut()?;
        query.waiting = true;
        query.problem = Some("This tile is not embedded yet: it is being described on the spot.".to_owned());
        let encoder = self.project.encoder_name();
        Some(Job::EmbedTiles(TileRequest { slide, rects: vec![place.rect], recipe, encoder }))
    }

    /// Descriptors that were asked for have come.
    pub(in crate::session) fn described(
        &mut self,
        slide: &SlideId,
        rects: &[Level0Rect],
        descriptors: Result<Vec<Vec<f32>>, String>,
    ) -> Vec<Job> {
        let Some(query) = &mut self.query else { return Vec::new() };
        let descriptors = match descriptors {
            Ok(descriptors) => descriptors,
            Err(reason) => {
                query.waiting = false;
                query.problem = Some(reason);
                return Vec::new();
            }
        };
        for (rect, descriptor) in rects.iter().zip(descriptors) {
            let place = TilePlace { slide: slide.clone(), rect: *rect };
            let examples = query.positives.iter_mut().chain(&mut query.negatives);
            builder::use_descriptor(examples, &place, slide.short(), &descriptor);
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
