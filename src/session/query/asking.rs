//! What is asked: tiles, regions, annotations, whole slides, pictures; examples that come and go.

use std::path::PathBuf;

use image::RgbImage;
use uuid::Uuid;

use super::super::state::Severity;
use super::super::{DescribeRequest, Job, PictureRequest, Session};
use super::QueryState;
use crate::annotation::Annotation;
use crate::geometry::{Level0Point, Level0Rect, Stretch};
use crate::query::{self, Example, PastQuery, QueryError, Region, Scope, ShownExample, TilePlace};
use crate::slide::SlideId;
use crate::tiling::{TileGrid, TileSettings};
use crate::tissue::TISSUE_FRACTION;

/// Most annotations of a class that are only points that become examples: each is one of its own.
const MOST_POINTS: usize = 200;

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
        let Some(example) = self.tile_example(slide, point) else { return Vec::new() };
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
        let example = |place: TilePlace| {
            let (slide, at) = (place.slide.clone(), place.rect.center());
            ShownExample { example: Example::Tile { slide, at }, place: Some(place) }
        };
        let examples: Vec<ShownExample> = tiles.into_iter().step_by(step).map(example).collect();
        if examples.is_empty() { Vec::new() } else { self.ask(examples, Vec::new()) }
    }

    /// Look for tiles like those of a region.
    pub(in crate::session) fn query_region(&mut self, slide: SlideId, region: Region) -> Vec<Job> {
        let stretch = self.stretch_of(&slide);
        self.ask(vec![region_example(slide, region, stretch)], Vec::new())
    }

    /// Look for tissue like that of annotations of a slide.
    pub(in crate::session) fn query_annotations(&mut self, slide: &SlideId, ids: &[Uuid]) -> Vec<Job> {
        let examples = self.examples_of(slide, |one| ids.contains(&one.id));
        if examples.is_empty() {
            let text = "These annotations hold no place to look for: lines have no inside.".to_owned();
            self.tell(Severity::Error, text, None);
            return Vec::new();
        }
        self.ask(examples, Vec::new())
    }

    /// Look for tissue like all that has a class, on all slides.
    pub(in crate::session) fn query_class(&mut self, name: &str) -> Vec<Job> {
        let slides: Vec<SlideId> = self.slides.iter().map(|state| state.id().clone()).collect();
        let is_meant = |one: &Annotation| one.class.as_ref().is_some_and(|class| class.name == name);
        let examples: Vec<ShownExample> =
            slides.iter().flat_map(|slide| self.examples_of(slide, is_meant)).collect();
        if examples.is_empty() {
            let text = format!("Nothing has the class {name:?} on the slides that are open and embedded.");
            self.tell(Severity::Error, text, None);
            return Vec::new();
        }
        self.ask(examples, Vec::new())
    }

    /// Rank all other slides by how much of their tissue is like that of a whole slide.
    pub(in crate::session) fn query_slide(&mut self, slide: SlideId) -> Vec<Job> {
        let Some(state) = self.slide(&slide) else { return Vec::new() };
        let region = Region::Rect(state.source.info().extent());
        self.query_settings.rank_slides = true;
        if self.query_settings.scope == Scope::Same {
            self.query_settings.scope = Scope::Others;
        }
        self.query_region(slide, region)
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
        vec![Job::DescribePicture(PictureRequest { picture, folder, recipe, encoder })]
    }

    /// A picture has been described, or could not be.
    pub(in crate::session) fn picture_described(
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

    /// The annotations of a slide that are meant, as examples: their areas as one, each point as the tile there.
    fn examples_of(&self, slide: &SlideId, is_meant: impl Fn(&Annotation) -> bool) -> Vec<ShownExample> {
        let (Some(marks), Some(place)) = (self.annotations(slide), self.index.place(slide)) else {
            return Vec::new();
        };
        let set = &self.index.sets()[place as usize];
        let meant: Vec<&Annotation> =
            marks.set().iter().map(|one| &**one).filter(|one| is_meant(one)).collect();
        let holds_tiles = |region: &Region| !region.rows(set).is_empty();
        let region = Region::of_annotations(meant.iter().copied());
        let mut examples: Vec<ShownExample> = Vec::new();
        // Areas smaller than a tile have no tile's centre in them: the tile that they lie on stands for them.
        let mut points: Vec<Level0Point> = query::points_of(meant.iter().copied()).collect();
        match region {
            Some(region) if holds_tiles(&region) => {
                examples.push(region_example(slide.clone(), region, self.stretch_of(slide)));
            }
            _ => {
                let areas = meant.iter().filter(|one| one.shape().is_area());
                points.extend(areas.filter_map(|one| Some(one.bounds()?.center())));
            }
        }
        for point in points.into_iter().take(MOST_POINTS) {
            let example = self.tile_at(slide, point).filter(|_| set.row_at(point).is_some());
            let is_new = |example: &ShownExample| !examples.contains(example);
            examples.extend(example.filter(is_new));
        }
        examples
    }

    /// Add the tile under `point` to the question, or make it one.
    pub(in crate::session) fn add_example(
        &mut self,
        slide: SlideId,
        point: Level0Point,
        like: bool,
    ) -> Vec<Job> {
        if self.query.is_none() {
            return if like { self.query_at(slide, point) } else { Vec::new() };
        }
        let Some(example) = self.tile_example(slide, point) else { return Vec::new() };
        if let Some(query) = &mut self.query {
            // A second click takes a tile away again, and a tile is either like the others or not.
            let was_there = query.list(like).iter().any(|known| known.place == example.place);
            query.list(!like).retain(|known| known.place != example.place);
            query.list(like).retain(|known| known.place != example.place);
            if !was_there {
                query.list(like).push(example);
            }
        }
        self.question_changed()
    }

    pub(in crate::session) fn remove_example(&mut self, like: bool, place: usize) -> Vec<Job> {
        if let Some(query) = &mut self.query
            && place < query.list(like).len()
        {
            query.list(like).remove(place);
        }
        self.question_changed()
    }

    fn question_changed(&mut self) -> Vec<Job> {
        if self.query.as_ref().is_some_and(|query| query.like.is_empty()) {
            return self.clear_query();
        }
        if let Some(past) = self.past_query() {
            self.book.renew(past);
        }
        let mut jobs = self.search();
        jobs.extend(self.save_book());
        jobs
    }

    fn tile_example(&mut self, slide: SlideId, point: Level0Point) -> Option<ShownExample> {
        let info = self.slide(&slide)?.source.info();
        let is_embedded = self.is_embedded(&slide, point);
        if let Err(error) = TileGrid::new(info, self.example_tiles())
            && !is_embedded
        {
            self.tell(Severity::Error, error.to_string(), None);
        }
        self.tile_at(&slide, point)
    }

    /// How slides are cut into the tiles that are asked with.
    fn example_tiles(&self) -> TileSettings {
        self.recipe().map_or(self.project.settings().tiles, |recipe| recipe.tiles)
    }

    /// The tile under `point` as an example, if the slide's grid reaches there.
    fn tile_at(&self, slide: &SlideId, point: Level0Point) -> Option<ShownExample> {
        let info = self.slide(slide)?.source.info();
        let set = self.index.place(slide).map(|place| &self.index.sets()[place as usize]);
        let embedded = set.and_then(|set| Some(set.rect(set.row_at(point)?)));
        let on_grid = || {
            let grid = TileGrid::new(info, self.example_tiles()).ok()?;
            grid.tile_at(point).map(|tile| grid.rect(tile))
        };
        let rect = embedded.or_else(on_grid)?;
        let example = Example::Tile { slide: slide.clone(), at: rect.center() };
        Some(ShownExample { example, place: Some(TilePlace { slide: slide.clone(), rect }) })
    }

    /// Ask a new question.
    pub(super) fn ask(&mut self, like: Vec<ShownExample>, unlike: Vec<ShownExample>) -> Vec<Job> {
        self.query = Some(QueryState::new(like, unlike));
        if let Some(past) = self.past_query() {
            self.book.note(past);
        }
        let mut jobs = self.search();
        jobs.extend(self.save_book());
        jobs
    }

    /// The question in hand as the history has it.
    fn past_query(&self) -> Option<PastQuery> {
        let query = self.query.as_ref()?;
        let (like, unlike) = (query.like.clone(), query.unlike.clone());
        Some(PastQuery { like, unlike, settings: self.query_settings.clone() })
    }

    /// A tile that is not among the embedded ones is described on the spot, where it is tissue.
    pub(super) fn describe_missing(&mut self, problem: &QueryError) -> Option<Job> {
        let (QueryError::NotEmbedded(id) | QueryError::NoTileThere { slide: id, .. }) = problem else {
            return None;
        };
        let recipe = self.recipe()?;
        let state = self.slide(id)?;
        let (slide, tissue) = (state.source.clone(), state.tissue.clone());
        let place = self.query.as_ref()?.examples().find_map(|(_, shown)| match &shown.example {
            Example::Tile { slide, at } if slide == id && !self.is_embedded(slide, *at) => {
                shown.place.clone()
            }
            _ => None,
        })?;
        if self.index.is_empty() && self.query_settings.scope != Scope::Archive
            || tissue.as_ref().is_some_and(|tissue| tissue.fraction(&place.rect) < TISSUE_FRACTION)
        {
            return None;
        }
        let query = self.query.as_mut()?;
        query.waiting = true;
        query.problem = Some("This tile is not embedded yet: it is being described on the spot.".to_owned());
        let encoder = self.project.encoder_name();
        Some(Job::Describe(DescribeRequest { slide, tissue, rects: vec![place.rect], recipe, encoder }))
    }

    fn is_embedded(&self, slide: &SlideId, at: Level0Point) -> bool {
        let place = self.index.place(slide);
        place.is_some_and(|place| self.index.sets()[place as usize].row_at(at).is_some())
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
            let name = slide.short().to_owned();
            for shown in query.like.iter_mut().chain(&mut query.unlike) {
                if shown.place.as_ref() == Some(&place) && matches!(shown.example, Example::Tile { .. }) {
                    shown.example = Example::Described {
                        name: name.clone(),
                        place: Some(place.clone()),
                        descriptors: vec![descriptor.clone()],
                        file: None,
                    };
                }
            }
        }
        self.search()
    }
}

impl Session {
    fn stretch_of(&self, slide: &SlideId) -> Stretch {
        Stretch::of(self.slide(slide).and_then(|state| state.source.info().mpp))
    }
}

/// A region as an example, shown by the square of µm around it, as the pictures of tiles are square.
fn region_example(slide: SlideId, region: Region, stretch: Stretch) -> ShownExample {
    let bounds = region.bounds();
    let (across, down) = stretch.extent((bounds.width.into(), bounds.height.into()));
    let edge = |stretch: f64| (across.max(down) / stretch).round().clamp(1.0, f64::from(u32::MAX)) as u32;
    let (width, height) = (edge(stretch.x), edge(stretch.y));
    let center = bounds.center();
    let (x, y) = (center.x - f64::from(width) / 2.0, center.y - f64::from(height) / 2.0);
    let rect = Level0Rect::new(x as i64, y as i64, width, height);
    let place = Some(TilePlace { slide: slide.clone(), rect });
    ShownExample { example: Example::Region { slide, region }, place }
}
