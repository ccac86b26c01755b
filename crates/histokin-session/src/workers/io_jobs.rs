//! Short jobs: opening slides and projects, reading pictures, computing tissue masks, loading descriptors.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbaImage;

use super::EventSender;
use crate::session::{
    EmbeddingEvent, Event, Found, LoadJob, MessageEvent, OpenJob, PictureJob, QueryEvent, ScanJob, SlideEvent,
};
use histokin_core::geometry::Level0Rect;
use histokin_core::index::Snapshot;
use histokin_core::query::{self, TilePosition};
use histokin_core::slide::channel::ChannelDisplay;
use histokin_core::slide::colour_profile::ProfileTable;
use histokin_core::slide::{self, MppSource, SlideError, SlideId, SlideSource};
use histokin_core::stain::estimate::estimate_in;
use histokin_core::stain::{self, LabStatistics};
use histokin_core::tiling::read_tile_as_shown;
use histokin_core::tissue::TissueMask;
use histokin_encoder::{self as encoder, EncoderError};
use histokin_project::pipeline::{self, find_slides};
use histokin_project::project::Project;

/// Longer side in pixels of thumbnails in the list of matches.
const TILE_PICTURE_PX: u32 = 128;

/// Longer side in pixels of associated images, as shown.
const ASSOCIATED_PX: u32 = 1024;

pub(super) fn open(job: OpenJob, events: &EventSender) {
    match job {
        OpenJob::FindPaths { request, paths } => find(request, paths, events),
        OpenJob::OpenSlide { path, user_mpp } => match slide::open(&path, user_mpp) {
            Ok(source) => events.send(SlideEvent::Opened(source)),
            Err(error @ SlideError::Missing { .. }) => {
                events.send(SlideEvent::Missing { path, reason: error.to_string() })
            }
            Err(error) => events.send(SlideEvent::Failed { path, reason: error.to_string() }),
        },
        OpenJob::CheckListedPath { source, path } => {
            let there = slide::open(&path, None).ok().map(|there| Box::new(there.info().clone()));
            events.send(SlideEvent::ListedPathChecked { source, there });
        }
        OpenJob::ApplyChannels { slide: open, channels } => {
            let info = open.info();
            let slide = info.id.clone();
            let user_mpp = (info.mpp_source == MppSource::User).then_some(info.mpp).flatten();
            let source = slide::open_with_channels(&info.path, user_mpp, channels.clone());
            let source = source.map_err(|error| error.to_string()).and_then(|source| {
                let is_same = source.info().has_id(&slide);
                let reason = || format!("{}: the file now holds another slide", info.path.display());
                is_same.then(|| slide::with_id(source, &slide)).ok_or_else(reason)
            });
            events.send(SlideEvent::ChannelsApplied { slide, channels, source });
        }
        OpenJob::FindMoved { slide, path, user_mpp, folders } => {
            match pipeline::find_moved(&slide, &path, user_mpp, &folders) {
                Some(source) => {
                    let now = source.info().path.display();
                    events.send(MessageEvent::Note(format!("{}: has moved; found at {now}", path.display())));
                    events.send(SlideEvent::Opened(source));
                }
                None => {
                    let reason = format!(
                        "{}: the slide is no longer there. If it was moved, open it at its new path: it is \
                         recognised by its content and keeps its descriptors",
                        path.display()
                    );
                    events.send(SlideEvent::Failed { path, reason });
                }
            }
        }
        OpenJob::ReadEncoderSpec(which) => learn_encoder(&which, events),
        OpenJob::TrustEncoder { module, encoder } => {
            if let Err(error) = encoder::trust::allow(&module) {
                events.send(MessageEvent::Error(format!(
                    "the permission to run this module was not saved, and will be asked for again: {error}"
                )));
            }
            learn_encoder(&encoder, events);
        }
    }
}

fn learn_encoder(which: &str, events: &EventSender) {
    let name = which.to_owned();
    events.send(match encoder::spec(which) {
        Ok(spec) => EmbeddingEvent::EncoderKnown { which: name, spec: Box::new(spec) },
        Err(EncoderError::Untrusted { path }) => EmbeddingEvent::EncoderUntrusted { which: name, path },
        Err(error) => EmbeddingEvent::EncoderFailed { which: name, reason: error.to_string() },
    });
}

fn find(request: u64, paths: Vec<PathBuf>, events: &EventSender) {
    let mut found = Found { request, ..Found::default() };
    let (projects, others): (Vec<PathBuf>, Vec<PathBuf>) =
        paths.into_iter().partition(|path| Project::is_project(path));
    // Paths are shown and saved, so they must not depend on the current folder.
    let others: Vec<PathBuf> =
        others.into_iter().map(|path| std::path::absolute(&path).unwrap_or(path)).collect();
    // The window shows one project: the last one in the list.
    if let Some(root) = projects.last() {
        match Project::open(root).and_then(Project::claim) {
            Ok(project) => {
                project.store_computed_levels();
                found.project = Some(project);
            }
            Err(error) => events.send(MessageEvent::Error(error.to_string())),
        }
    }
    // A model's folder or file of weights. The window shows one encoder: the last one in the list.
    let (encoders, others): (Vec<PathBuf>, Vec<PathBuf>) =
        others.into_iter().partition(|path| encoder::is_encoder(path));
    found.encoder = encoders.into_iter().next_back();
    if !others.is_empty() {
        found.slides = find_slides(&others);
        if found.slides.is_empty() {
            let kind = others.iter().find_map(|path| Some((path, slide::folder_kind(path)?)));
            let text = match kind {
                Some((path, kind)) => {
                    format!(
                        "{}: it is {kind}, which cannot be read; export it as a pyramidal tiled TIFF",
                        path.display()
                    )
                }
                None => {
                    let named: Vec<String> = others.iter().map(|path| path.display().to_string()).collect();
                    format!("{}: no slides or images found", named.join(", "))
                }
            };
            events.send(MessageEvent::Error(text));
        }
    }
    events.send(Box::new(found));
}

/// Runs a job of the scanner; `step` is called from time to time while tissue is searched.
pub(super) fn scan(job: ScanJob, events: &EventSender, step: &dyn Fn()) {
    match job {
        ScanJob::MakeThumbnail { slide: source, cache } => {
            let slide = source.info().id.clone();
            match cache.make(source.as_ref()) {
                Ok(thumbnail) => events.send(thumbnail_made(slide, thumbnail)),
                Err(error) => events.send(MessageEvent::Error(error.to_string())),
            }
        }
        ScanJob::ReadAssociated { slide, name } => {
            let picture = slide.associated(&name).map(|picture| within(picture, ASSOCIATED_PX));
            let picture = picture.map_err(|error| error.to_string());
            events.send(SlideEvent::AssociatedRead { slide: slide.info().id.clone(), name, picture });
        }
        ScanJob::FindTissue { slide: source, settings } => {
            let slide = source.info().id.clone();
            // A slide that was closed in the meantime is used by nobody else.
            let mut goes_on = |share| {
                step();
                events.send(SlideEvent::FindingTissue { slide: slide.clone(), share });
                Arc::strong_count(&source) > 1
            };
            match TissueMask::find_while(source.as_ref(), &settings, &mut goes_on) {
                Ok(Some(tissue)) => events.send(SlideEvent::TissueFound { slide, tissue: Arc::new(tissue) }),
                Ok(None) => {}
                Err(error) => events.send(MessageEvent::Error(error.to_string())),
            }
        }
        ScanJob::ReadProfile(source) => {
            let profile = ProfileTable::of(source.as_ref()).unwrap_or_else(|error| {
                events.send(MessageEvent::Error(error.to_string()));
                None
            });
            events.send(SlideEvent::ProfileRead {
                slide: source.info().id.clone(),
                profile: profile.map(Arc::new),
            });
        }
        ScanJob::EstimateStains { slide, region } => {
            let vectors = estimate_in(slide.as_ref(), &region).map_err(|error| error.to_string());
            events.send(SlideEvent::StainsEstimated { slide: slide.info().id.clone(), vectors });
        }
        ScanJob::MeasureColours(slide) => {
            let colours = LabStatistics::of_slide(slide.as_ref()).unwrap_or_else(|error| {
                events.send(MessageEvent::Error(error.to_string()));
                None
            });
            events.send(SlideEvent::ColoursMeasured { slide: slide.info().id.clone(), colours });
        }
    }
}

pub(super) fn load(job: LoadJob, events: &EventSender) {
    match job {
        LoadJob::ReadPatients(path) => {
            let patients = query::read_patients(&path);
            events.send(QueryEvent::PatientsRead { path, patients });
        }
        LoadJob::ListRecipes(store) => events.send(QueryEvent::RecipesFound(store.recipes())),
        LoadJob::OpenSecondEncoder { store, slides, recipe, cache } => {
            let mut sets = Vec::new();
            for slide in &slides {
                match store.open(slide, &recipe) {
                    Ok(set) => sets.extend(set.map(Arc::new)),
                    Err(error) => events.send(MessageEvent::Error(error.to_string())),
                }
            }
            let index = Arc::new(Snapshot::build(sets, None, Some(&cache)));
            events.send(QueryEvent::SecondEncoderOpened { recipe, index: index.clone() });
            index.grow_trees();
        }
        LoadJob::LoadDescriptors { store, slide, recipe } => match store.open(&slide, &recipe) {
            Ok(Some(set)) => {
                events.send(EmbeddingEvent::DescriptorsReady { set: Arc::new(set), finished: true })
            }
            Ok(None) => events.send(EmbeddingEvent::NoDescriptors { slide }),
            Err(error) => {
                events.send(MessageEvent::Error(error.to_string()));
                events.send(EmbeddingEvent::NoDescriptors { slide });
            }
        },
        LoadJob::DiscardDescriptors { store, slides, recipe } => {
            for slide in slides {
                if let Err(error) = store.discard(&slide, &recipe) {
                    events.send(MessageEvent::Error(error.to_string()));
                }
                events.send(EmbeddingEvent::NoDescriptors { slide });
            }
        }
    }
}

/// Scales `picture` down if one of its sides is longer than `edge` pixels.
fn within(picture: RgbaImage, edge: u32) -> RgbaImage {
    if picture.width().max(picture.height()) <= edge {
        return picture;
    }
    image::DynamicImage::ImageRgba8(picture)
        .resize(edge, edge, image::imageops::FilterType::Triangle)
        .into_rgba8()
}

pub(super) fn picture(job: PictureJob, events: &EventSender) {
    events.send(match job {
        PictureJob::ReadThumbnail { slide: source, cache } => {
            let slide = source.info().id.clone();
            Event::Slides(match cache.get(source.as_ref()) {
                Some(thumbnail) => thumbnail_made(slide, thumbnail),
                None => SlideEvent::NoThumbnail { slide },
            })
        }
        PictureJob::ReadTilePicture { slide, rect } => tile_picture(slide.as_ref(), rect),
        PictureJob::ReadQueryPicture { position, file, channels } => query_picture(position, &file, channels),
    });
}

fn thumbnail_made(slide: SlideId, thumbnail: RgbaImage) -> SlideEvent {
    let stain = stain::guess(&thumbnail);
    SlideEvent::ThumbnailMade { slide, thumbnail, stain }
}

fn query_picture(position: TilePosition, file: &Path, channels: Vec<ChannelDisplay>) -> Event {
    let TilePosition { slide, rect } = position;
    let picture = slide::open_with_channels(file, None, channels)
        .and_then(|picture| pipeline::thumbnail(picture.as_ref(), TILE_PICTURE_PX))
        .map_err(|error| error.to_string());
    Event::Slides(SlideEvent::TileRead { slide, rect, picture })
}

fn tile_picture(slide: &dyn SlideSource, rect: Level0Rect) -> Event {
    let picture = read_tile_as_shown(slide, &rect, TILE_PICTURE_PX)
        .map(|tile| image::DynamicImage::ImageRgb8(tile).into_rgba8())
        .map_err(|error| error.to_string());
    Event::Slides(SlideEvent::TileRead { slide: slide.info().id.clone(), rect, picture })
}
