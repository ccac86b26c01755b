//! Events that the session gets when a job panics, besides the report of the crash, so that it does not wait
//! for a result for ever.

use crate::session::{EmbeddingEvent, Event, LoadJob, OpenJob, PictureJob, QueryEvent, ScanJob, SlideEvent};

/// Makes the event from the reason of the crash; returns `None` if the session does not wait for the job's
/// result.
pub(super) type Answer = Box<dyn FnOnce(String) -> Option<Event> + Send>;

pub(super) fn open(job: &OpenJob) -> Answer {
    match job {
        OpenJob::OpenSlide { path, .. } | OpenJob::FindMoved { path, .. } => {
            let path = path.clone();
            Box::new(|reason| Some(Event::Slides(SlideEvent::Failed { path, reason })))
        }
        OpenJob::CheckListedPath { source, .. } => {
            let source = source.clone();
            Box::new(|_| Some(Event::Slides(SlideEvent::ListedPathChecked { source, there: None })))
        }
        OpenJob::ReadEncoderSpec(which) | OpenJob::TrustEncoder { encoder: which, .. } => {
            let which = which.clone();
            Box::new(|reason| Some(Event::Embedding(EmbeddingEvent::EncoderFailed { which, reason })))
        }
        OpenJob::ApplyChannels { slide, channels } => {
            let (slide, channels) = (slide.info().id.clone(), channels.clone());
            Box::new(|reason| {
                let source = Err(reason);
                Some(Event::Slides(SlideEvent::ChannelsApplied { slide, channels, source }))
            })
        }
        OpenJob::FindPaths { .. } => Box::new(|_| None),
    }
}

pub(super) fn scan(job: &ScanJob) -> Answer {
    match job {
        ScanJob::ReadAssociated { slide, name } => {
            let (slide, name) = (slide.info().id.clone(), name.clone());
            Box::new(|reason| {
                Some(Event::Slides(SlideEvent::AssociatedRead { slide, name, picture: Err(reason) }))
            })
        }
        ScanJob::ReadProfile(slide) => {
            let slide = slide.info().id.clone();
            Box::new(|_| Some(Event::Slides(SlideEvent::ProfileRead { slide, profile: None })))
        }
        ScanJob::MeasureColours(slide) => {
            let slide = slide.info().id.clone();
            Box::new(|_| Some(Event::Slides(SlideEvent::ColoursMeasured { slide, colours: None })))
        }
        ScanJob::EstimateStains { slide, .. } => {
            let slide = slide.info().id.clone();
            Box::new(|reason| {
                Some(Event::Slides(SlideEvent::StainsEstimated { slide, vectors: Err(reason) }))
            })
        }
        ScanJob::MakeThumbnail { .. } | ScanJob::FindTissue { .. } => Box::new(|_| None),
    }
}

pub(super) fn load(job: &LoadJob) -> Answer {
    match job {
        LoadJob::LoadDescriptors { slide, .. } => {
            let slide = slide.clone();
            Box::new(|_| Some(Event::Embedding(EmbeddingEvent::NoDescriptors { slide })))
        }
        LoadJob::ReadPatients(path) => {
            let path = path.clone();
            Box::new(|reason| Some(Event::Query(QueryEvent::PatientsRead { path, patients: Err(reason) })))
        }
        LoadJob::ListRecipes(_) | LoadJob::OpenSecondEncoder { .. } | LoadJob::DiscardDescriptors { .. } => {
            Box::new(|_| None)
        }
    }
}

pub(super) fn picture(job: &PictureJob) -> Answer {
    let (slide, rect) = match job {
        PictureJob::ReadThumbnail { slide, .. } => {
            let slide = slide.info().id.clone();
            return Box::new(|_| Some(Event::Slides(SlideEvent::NoThumbnail { slide })));
        }
        PictureJob::ReadTilePicture { slide, rect } => (slide.info().id.clone(), *rect),
        PictureJob::ReadQueryPicture { position, .. } => (position.slide.clone(), position.rect),
    };
    Box::new(move |reason| Some(Event::Slides(SlideEvent::TileRead { slide, rect, picture: Err(reason) })))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use histokin_core::slide::test_slide::TestSlide;

    /// A slide waits for its channels with its thumbnail.
    #[test]
    fn channels_that_were_not_applied_because_of_a_crash_are_answered_for() {
        let slide = Arc::new(TestSlide::new(100, 100));
        let failed = open(&OpenJob::ApplyChannels { slide, channels: Vec::new() })("a crash".to_owned());
        let Some(Event::Slides(SlideEvent::ChannelsApplied { source, .. })) = failed else {
            panic!("the session waits for it")
        };
        assert_eq!(source.err().as_deref(), Some("a crash"));
    }
}
