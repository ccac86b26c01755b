//! Pictures of slides and tiles for lists and panels, and how slides are shown.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbaImage;
use indexmap::IndexSet;

use super::super::{EncoderState, Job, PictureJob, ScanJob, Session};
use super::{Colours, Profile, TilePicture};
use histokin_core::geometry::Level0Rect;
use histokin_core::memory::{Budget, Reserved};
use histokin_core::query::TilePosition;
use histokin_core::slide::{SlideId, SlideSource};
use histokin_core::stain::LabNormaliser;

/// Wraps a picture with a reservation of its bytes in the memory budget.
pub(in crate::session) fn reserved(picture: RgbaImage) -> Reserved<RgbaImage> {
    Reserved::new(Budget::of_process(), picture.as_raw().len(), picture)
}

impl From<Result<RgbaImage, String>> for TilePicture {
    fn from(picture: Result<RgbaImage, String>) -> Self {
        match picture {
            Ok(picture) => Self::Read(Arc::new(reserved(picture))),
            Err(reason) => Self::Failed(reason),
        }
    }
}

impl Session {
    /// Returns the thumbnail of a tile, if it was requested.
    pub fn tile_picture(&self, slide: &SlideId, rect: &Level0Rect) -> Option<&TilePicture> {
        self.slides.tile_pictures.get(&(slide.clone(), *rect))
    }

    /// Returns an associated image of a slide (`label`, `macro`, …), if it was requested.
    pub fn associated(&self, slide: &SlideId, name: &str) -> Option<&TilePicture> {
        self.slides.associated.get(&(slide.clone(), name.to_owned()))
    }

    /// Returns the normaliser that matches a slide's colours to the encoder's reference, as tiles are normalised for
    /// encoders that were fitted on normalised tiles; `None` until both are known.
    pub fn normaliser(&self, slide: &SlideId) -> Option<LabNormaliser> {
        let EncoderState::Known(spec) = &self.embedding.encoder else { return None };
        let Colours::Known(slide_colours) = self.slide(slide)?.colours else { return None };
        Some(LabNormaliser::new(slide_colours, spec.stain_reference))
    }

    /// Has the thumbnail of a slide read. If none is stored, it is made at low priority.
    pub(super) fn read_thumbnail(&self, slide: Arc<dyn SlideSource>) -> Job {
        Job::Picture(PictureJob::ReadThumbnail { slide, cache: self.project.thumbnails() })
    }

    pub(super) fn read_associated(&mut self, slide: &SlideId, name: String) -> Vec<Job> {
        let key = (slide.clone(), name);
        let Some(state) = self.slide(slide) else { return Vec::new() };
        if self.slides.associated.contains_key(&key) {
            return Vec::new();
        }
        let job = Job::Scan(ScanJob::ReadAssociated { slide: state.source.clone(), name: key.1.clone() });
        self.slides.associated.insert(key, TilePicture::Reading);
        vec![job]
    }

    /// Requests the thumbnail of a tile, unless that was done already.
    pub(super) fn read_tile_picture(&mut self, slide: SlideId, rect: Level0Rect) -> Vec<Job> {
        if self.tile_picture(&slide, &rect).is_some() {
            return Vec::new();
        }
        let Some(source) = self.slide(&slide).map(|state| state.shown().clone()) else { return Vec::new() };
        self.slides.tile_pictures.insert((slide, rect), TilePicture::Reading);
        vec![Job::Picture(PictureJob::ReadTilePicture { slide: source, rect })]
    }

    pub(super) fn read_profile(&mut self, slide: &SlideId) -> Vec<Job> {
        let Some(state) = self.slides.get_mut(slide) else { return Vec::new() };
        if !matches!(state.profile, Profile::Unknown) {
            return Vec::new();
        }
        state.profile = Profile::Reading;
        vec![Job::Scan(ScanJob::ReadProfile(state.source.clone()))]
    }

    pub(super) fn measure_colours(&mut self, slide: &SlideId) -> Vec<Job> {
        let Some(state) = self.slides.get_mut(slide) else { return Vec::new() };
        match state.colours {
            Colours::Unknown => {
                state.colours = Colours::Measuring;
                vec![Job::Scan(ScanJob::MeasureColours(state.source.clone()))]
            }
            _ => Vec::new(),
        }
    }

    /// Requests the thumbnails that the lists show and drops all others: lists are short, and tiles are read
    /// again quickly. `files` are pictures that are examples.
    pub(in crate::session) fn show_pictures(
        &mut self,
        tiles: IndexSet<(SlideId, Level0Rect)>,
        files: Vec<(TilePosition, PathBuf)>,
    ) -> Vec<Job> {
        self.slides.tile_pictures.retain(|key, _| tiles.contains(key));
        let mut jobs = Vec::new();
        for (slide, rect) in tiles {
            jobs.extend(self.read_tile_picture(slide, rect));
        }
        for (position, file) in files {
            if self.tile_picture(&position.slide, &position.rect).is_none() {
                self.slides
                    .tile_pictures
                    .insert((position.slide.clone(), position.rect), TilePicture::Reading);
                let channels = self.project.channels(&position.slide).to_vec();
                jobs.push(Job::Picture(PictureJob::ReadQueryPicture { position, file, channels }));
            }
        }
        jobs
    }
}
