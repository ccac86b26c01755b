//! What an encoder that the user looks at would find: a preview on a sample of tiles, and a comparison with the
//! project's encoder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::{EmbedTarget, EmbeddingJob, EvaluationJob, Job, Session, TrialState, TrialSubject};
use super::{EncoderChoice, EncoderOffer, EncoderState};
use histokin_evaluation::preview::EncoderPreview;
use histokin_evaluation::trial::Trial;
use histokin_project::project::{Project, ProjectSettings};

/// State of a preview.
#[derive(Default)]
pub enum PreviewState {
    /// None was asked for.
    #[default]
    None,
    /// Tiles are being sampled and embedded.
    Running {
        /// Share that is done, from 0 to 1.
        share: f64,
        /// What is being done, for display.
        doing: String,
        /// Set to true to stop it.
        stop: Arc<AtomicBool>,
    },
    /// It is there.
    Done(Arc<EncoderPreview>),
    /// There is none, for this reason.
    Failed(String),
}

/// A preview for the embedder.
pub struct PreviewRequest {
    /// Name or path of the encoder.
    pub which: String,
    /// The project as it would be with the encoder.
    pub project: Project,
    /// The slides that tiles are sampled from.
    pub targets: Vec<EmbedTarget>,
    /// Set to true to stop it.
    pub stop: Arc<AtomicBool>,
}

impl Session {
    /// The preview of the encoder that the user looks at.
    pub fn encoder_preview(&self) -> &PreviewState {
        &self.embedding.preview
    }

    /// The comparison of the encoder that the user looks at with the project's.
    pub fn encoder_comparison(&self) -> Option<&TrialState> {
        self.embedding.comparison.as_ref()
    }

    /// The project as it would be with an offered encoder.
    fn with_offered(&self, offer: &EncoderOffer) -> Project {
        let mut project = self.project.clone();
        let kept = project.settings().clone();
        let encoder = Some(offer.which.clone());
        project.set_settings(ProjectSettings { encoder, tiles: offer.tiles, ..kept });
        project
    }

    pub(super) fn preview_encoder(&mut self) -> Vec<Job> {
        let EncoderChoice::Offered(offer) = &self.embedding.choice else { return Vec::new() };
        let (which, project) = (offer.which.clone(), self.with_offered(offer));
        let slides = self
            .slides
            .list
            .iter()
            .filter(|state| state.unavailable.is_none() && state.source.info().mpp.is_some());
        let targets: Vec<EmbedTarget> = slides.filter_map(|state| self.embed_target(state)).collect();
        // Finding tissue may take minutes; a preview does not need all slides.
        let known: Vec<EmbedTarget> =
            targets.iter().filter(|target| target.tissue.is_some()).cloned().collect();
        let targets = if known.len() >= targets.len().min(2) { known } else { targets };
        if targets.is_empty() {
            let reason = "Open slides whose pixel size is known; tiles are sampled from them.";
            self.embedding.preview = PreviewState::Failed(reason.to_owned());
            return Vec::new();
        }
        self.stop_preview();
        let stop = Arc::new(AtomicBool::new(false));
        let doing = "Waiting for the embedder".to_owned();
        self.embedding.preview = PreviewState::Running { share: 0.0, doing, stop: stop.clone() };
        let request = PreviewRequest { which, project, targets, stop };
        vec![Job::Embedding(EmbeddingJob::Preview(Box::new(request)))]
    }

    pub(super) fn compare_encoder(&mut self) -> Vec<Job> {
        let (EncoderChoice::Offered(offer), EncoderState::Known(current)) =
            (&self.embedding.choice, &self.embedding.encoder)
        else {
            return Vec::new();
        };
        if self.index.is_empty() {
            let reason = "No slide is embedded with the current encoder yet.".to_owned();
            self.embedding.comparison = Some(TrialState::Failed(reason));
            return Vec::new();
        }
        let which = offer.which.clone();
        let subject = TrialSubject::Encoder(which.clone());
        let request = self.trial_of(subject, which, self.with_offered(offer), current);
        let stop = request.stop.clone();
        self.stop_comparison();
        let doing = "Waiting for the evaluator".to_owned();
        self.embedding.comparison = Some(TrialState::Running { share: 0.0, doing, stop });
        vec![Job::Evaluation(EvaluationJob::Try(Box::new(request)))]
    }

    /// Stops what is being computed about an encoder, and forgets what is known.
    pub(in crate::session) fn forget_trials(&mut self) {
        self.stop_preview();
        self.stop_comparison();
        self.embedding.preview = PreviewState::None;
        self.embedding.comparison = None;
    }

    pub(super) fn stop_preview(&mut self) {
        if let PreviewState::Running { stop, .. } = &self.embedding.preview {
            stop.store(true, Ordering::Relaxed);
            self.embedding.preview = PreviewState::None;
        }
    }

    pub(super) fn stop_comparison(&mut self) {
        if let Some(TrialState::Running { stop, .. }) = &self.embedding.comparison {
            stop.store(true, Ordering::Relaxed);
            self.embedding.comparison = Some(TrialState::Stopped);
        }
    }

    /// Whether the user looks at the encoder of this name or path.
    fn looks_at(&self, which: &str) -> bool {
        matches!(&self.embedding.choice, EncoderChoice::Offered(offer) if offer.which == which)
    }

    pub(super) fn preview_goes_on(&mut self, which: &str, done: f64, now: String) {
        if self.looks_at(which)
            && let PreviewState::Running { share, doing, .. } = &mut self.embedding.preview
        {
            (*share, *doing) = (done, now);
        }
    }

    /// Takes in a preview, unless it was stopped or the user looks at another encoder by now.
    pub(super) fn previewed(&mut self, which: &str, result: Result<Arc<EncoderPreview>, String>) -> Vec<Job> {
        if !self.looks_at(which) || !matches!(self.embedding.preview, PreviewState::Running { .. }) {
            return Vec::new();
        }
        self.embedding.preview = match result {
            Ok(preview) => PreviewState::Done(preview),
            Err(reason) => PreviewState::Failed(reason),
        };
        // It has measured the encoder's speed.
        self.list_encoders()
    }

    pub(super) fn comparison_goes_on(&mut self, which: &str, done: f64, now: String) {
        if self.looks_at(which)
            && let Some(TrialState::Running { share, doing, .. }) = &mut self.embedding.comparison
        {
            (*share, *doing) = (done, now);
        }
    }

    /// Takes in a comparison, unless it was stopped or the user looks at another encoder by now.
    pub(super) fn compared(&mut self, which: &str, result: Result<Arc<Trial>, String>) {
        if self.looks_at(which) && matches!(self.embedding.comparison, Some(TrialState::Running { .. })) {
            self.embedding.comparison = Some(match result {
                Ok(trial) => TrialState::Done(trial),
                Err(reason) => TrialState::Failed(reason),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_core::slide::SlideSource;
    use histokin_core::slide::test_slide::TestSlide;
    use histokin_core::stain::{LabStatistics, SlideStain, StainSetting, StainType};
    use histokin_core::tiling::TileSettings;
    use histokin_encoder::{EncoderId, EncoderSpec};

    #[test]
    fn an_encoder_is_compared_on_the_tiles_and_colours_that_the_project_would_give_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Session::new(Project::open_or_create(folder.path()).unwrap());
        let slide = TestSlide::new(400, 300);
        session.project.add_or_update(slide.info());
        let tiles = TileSettings { tile_px: 256, mpp: 0.5 };
        let offer = EncoderOffer {
            which: "other".into(),
            name: "other".into(),
            tiles,
            facts: Vec::new(),
            open: None,
        };
        let spec = EncoderSpec {
            id: EncoderId("1".into()),
            name: "other".into(),
            width: 8,
            tiles,
            stain: StainSetting::Lab,
            stain_reference: LabStatistics { mean: [70.0, 10.0, -10.0], std: [10.0, 5.0, 5.0] },
        };
        let recipe = |session: &Session| {
            let subject = TrialSubject::Encoder("other".into());
            let changed = session.with_offered(&offer);
            session.trial_of(subject, "other".into(), changed, &spec).recipe(&spec)
        };
        assert_eq!((recipe(&session).tiles, recipe(&session).stain), (tiles, StainSetting::Lab));
        // The reference colours are those of H&E.
        let fluorescence = SlideStain::usual(StainType::Fluorescence);
        session.project.set_stain(&slide.info().id, Some(fluorescence));
        assert_eq!(recipe(&session).stain, StainSetting::None);
    }
}
