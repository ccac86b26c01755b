//! The open slides: their files, pictures and calibration.

mod commands;
mod events;
mod missing;
mod opening;
mod pictures;
mod stains;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use image::RgbaImage;

pub use commands::SlideCommand;
pub use events::SlideEvent;
pub(super) use pictures::reserved;

use super::{Job, OpenJob, Remedy, ScanJob, Session, Severity, SlideStatus};
use histokin_core::geometry::Level0Rect;
use histokin_core::memory::Reserved;
use histokin_core::paths;
use histokin_core::slide::colour_profile::ProfileTable;
use histokin_core::slide::{SlideId, SlideSource};
use histokin_core::stain::{LabStatistics, StainType};
use histokin_core::tissue::TissueMask;

/// One slide of the list.
pub struct SlideState {
    /// The open slide.
    pub source: Arc<dyn SlideSource>,
    /// The slide with its channels shown as the user has set them, if that differs from the default.
    with_channels: Option<Arc<dyn SlideSource>>,
    /// What it is stained with, as guessed from its thumbnail.
    pub guessed_stain: Option<StainType>,
    /// Its thumbnail, once made.
    pub thumbnail: Option<Arc<Reserved<RgbaImage>>>,
    /// Its tissue mask, once computed.
    pub tissue: Option<Arc<TissueMask>>,
    /// Share (0 to 1) of the slide that has been read to compute the mask.
    pub tissue_read: f64,
    /// Colours of its tissue.
    pub colours: Colours,
    /// Its embedded colour profile.
    pub profile: Profile,
    /// State of its embedding.
    pub status: SlideStatus,
    /// Why it cannot be read at present. It is checked regularly, and work on it resumes once it can be read.
    pub unavailable: Option<String>,
}

/// The embedded colour profile of a slide, which is read on request.
#[derive(Debug, Clone)]
pub enum Profile {
    /// Not requested yet.
    Unknown,
    /// Being read.
    Reading,
    /// The profile.
    Known(Arc<ProfileTable>),
    /// The slide embeds no usable profile.
    None,
}

/// Colours of a slide's tissue, which are measured on request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Colours {
    /// Not requested yet.
    Unknown,
    /// Being measured.
    Measuring,
    /// The colour statistics.
    Known(LabStatistics),
    /// The slide has too little tissue, or could not be read.
    None,
}

/// Pixels of a tile or of an associated image, for lists and panels.
pub enum TilePicture {
    /// Being read.
    Reading,
    /// The pixels.
    Read(Arc<Reserved<RgbaImage>>),
    /// Could not be read, for this reason.
    Failed(String),
}

/// The open slides and their pictures.
#[derive(Default)]
pub(super) struct SlideList {
    /// In list order.
    pub(super) list: Vec<SlideState>,
    /// Number of slides that are being opened.
    opening: usize,
    /// Files that the user has opened and that are not in the project yet.
    adding: BTreeSet<PathBuf>,
    /// Pictures of tiles, as far as they were requested.
    pub(super) tile_pictures: HashMap<(SlideId, Level0Rect), TilePicture>,
    /// Associated images, by slide and name, as far as they were requested.
    associated: HashMap<(SlideId, String), TilePicture>,
}

impl SlideList {
    pub(super) fn get(&self, id: &SlideId) -> Option<&SlideState> {
        self.list.iter().find(|slide| slide.id() == id)
    }

    pub(super) fn get_mut(&mut self, id: &SlideId) -> Option<&mut SlideState> {
        self.list.iter_mut().find(|slide| slide.id() == id)
    }

    /// IDs of the slides, in list order.
    pub(super) fn ids(&self) -> Vec<SlideId> {
        self.list.iter().map(|slide| slide.id().clone()).collect()
    }

    pub(super) fn set_status(&mut self, id: &SlideId, status: SlideStatus) {
        if let Some(state) = self.get_mut(id) {
            state.status = status;
        }
    }

    /// Name of a slide for messages; the short ID if it is not open.
    pub(super) fn name(&self, id: &SlideId) -> String {
        self.get(id).map_or_else(|| id.short().to_owned(), |state| self.telling_name(state))
    }

    /// File name of an open slide, with folders where others have the same one.
    fn telling_name(&self, state: &SlideState) -> String {
        let paths = self.list.iter().map(|slide| slide.source.info().path.as_path());
        paths::telling_name(&state.source.info().path, paths)
    }

    /// Whether slides are still being opened.
    pub(super) fn is_opening(&self) -> bool {
        self.opening > 0
    }

    /// Notes files that are about to be opened and added to the project.
    pub(super) fn add_later(&mut self, paths: &[PathBuf]) {
        self.adding.extend(paths.iter().cloned());
    }

    /// Counts an event that ends the opening of a slide.
    fn count_opened(&mut self, event: &SlideEvent) {
        let ends_opening = matches!(
            event,
            SlideEvent::Opened(_)
                | SlideEvent::ListedPathChecked { .. }
                | SlideEvent::Failed { .. }
                | SlideEvent::Missing { .. }
        );
        if ends_opening {
            self.opening = self.opening.saturating_sub(1);
        }
        if let SlideEvent::Failed { path, .. } | SlideEvent::Missing { path, .. } = event {
            self.adding.remove(path);
        }
    }

    /// Counts jobs that open slides; each of them ends in one event.
    pub(super) fn count_opening(&mut self, jobs: &[Job]) {
        let opens = |job: &&Job| {
            matches!(
                job,
                Job::Open(
                    OpenJob::OpenSlide { .. } | OpenJob::CheckListedPath { .. } | OpenJob::FindMoved { .. }
                )
            )
        };
        self.opening += jobs.iter().filter(opens).count();
    }
}

impl SlideState {
    /// ID of the slide.
    pub fn id(&self) -> &SlideId {
        &self.source.info().id
    }

    /// The slide as it is shown. It differs from [`Self::source`], whose pixels are embedded, where the user has set how
    /// channels are shown.
    pub fn shown(&self) -> &Arc<dyn SlideSource> {
        self.with_channels.as_ref().unwrap_or(&self.source)
    }
}

impl Session {
    /// All open slides, in list order.
    pub fn slides(&self) -> &[SlideState] {
        &self.slides.list
    }

    /// Returns the name of an open slide for display: its file name, with folders where others have the same one.
    pub fn slide_name(&self, id: &SlideId) -> Option<String> {
        self.slides.get(id).map(|state| self.slides.telling_name(state))
    }

    /// Returns an open slide by its ID.
    pub fn slide(&self, id: &SlideId) -> Option<&SlideState> {
        self.slides.get(id)
    }

    pub(super) fn slide_command(&mut self, command: SlideCommand) -> Vec<Job> {
        match command {
            SlideCommand::Open(paths) => self.open(paths),
            SlideCommand::Retry(path) => {
                self.messages.withdraw(&Remedy::OpenAgain(path.clone()));
                vec![self.find_paths(vec![path])]
            }
            SlideCommand::Remove(slide) => self.remove(&slide),
            SlideCommand::SetMpp { slide, mpp } => self.set_mpp(&slide, mpp),
            SlideCommand::ReadAssociated { slide, name } => self.read_associated(&slide, name),
            SlideCommand::ReadTile { slide, rect } => self.read_tile_picture(slide, rect),
            SlideCommand::ReadProfile(slide) => self.read_profile(&slide),
            SlideCommand::SetStain { slide, stain } => self.set_stain(&slide, stain),
            SlideCommand::EstimateStains { slide, region } => self.estimate_stains(&slide, region),
            SlideCommand::SetChannels { slide, channels } => self.set_channels(&slide, channels),
            SlideCommand::MeasureColours(slide) => self.measure_colours(&slide),
        }
    }

    pub(super) fn slide_event(&mut self, event: SlideEvent) -> Vec<Job> {
        self.slides.count_opened(&event);
        match event {
            SlideEvent::Opened(source) => match self.project.other_listed_path(source.info()) {
                Some(path) => vec![Job::Open(OpenJob::CheckListedPath { source, path })],
                None => self.slide_opened(source, None),
            },
            SlideEvent::ListedPathChecked { source, there } => self.slide_opened(source, there.as_deref()),
            SlideEvent::Failed { path, reason } => {
                self.messages.add(Severity::Error, reason, Some(Remedy::OpenAgain(path)));
                Vec::new()
            }
            SlideEvent::Missing { path, reason } => self.slide_missing(path, reason),
            SlideEvent::Unavailable { slide, reason } => self.slide_unavailable(&slide, reason),
            SlideEvent::Available { slide } => self.slide_back(&slide),
            SlideEvent::AssociatedRead { slide, name, picture } => {
                self.slides.associated.insert((slide, name), TilePicture::from(picture));
                Vec::new()
            }
            SlideEvent::TileRead { slide, rect, picture } => {
                self.slides.tile_pictures.insert((slide, rect), TilePicture::from(picture));
                Vec::new()
            }
            SlideEvent::StainsEstimated { slide, vectors } => self.stains_estimated(&slide, vectors),
            SlideEvent::ChannelsApplied { slide, channels, source } => {
                self.channels_applied(&slide, &channels, source)
            }
            SlideEvent::ThumbnailMade { slide, thumbnail, stain } => {
                if let Some(state) = self.slides.get_mut(&slide) {
                    state.guessed_stain = Some(stain);
                    state.thumbnail = Some(Arc::new(reserved(thumbnail)));
                }
                Vec::new()
            }
            SlideEvent::NoThumbnail { slide } => {
                let source = self.slides.get(&slide).map(|state| state.shown().clone());
                let make = |slide| ScanJob::MakeThumbnail { slide, cache: self.project.thumbnails() };
                source.map(make).map(Job::Scan).into_iter().collect()
            }
            SlideEvent::FindingTissue { slide, share } => {
                if let Some(state) = self.slides.get_mut(&slide) {
                    state.tissue_read = share;
                }
                Vec::new()
            }
            SlideEvent::TissueFound { slide, tissue } => {
                // A mask by settings that have changed since is ignored.
                let is_current = tissue.settings.same_mask(self.tissue_settings());
                if let Some(state) = self.slides.get_mut(&slide).filter(|_| is_current) {
                    state.tissue = Some(tissue);
                }
                Vec::new()
            }
            SlideEvent::ProfileRead { slide, profile } => {
                if let Some(state) = self.slides.get_mut(&slide) {
                    state.profile = profile.map_or(Profile::None, Profile::Known);
                }
                Vec::new()
            }
            SlideEvent::ColoursMeasured { slide, colours } => {
                if let Some(state) = self.slides.get_mut(&slide) {
                    state.colours = colours.map_or(Colours::None, Colours::Known);
                }
                Vec::new()
            }
        }
    }
}
