//! The evaluation of encoders: asked for, running, there to be looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::state::Place;
use super::{EncoderState, Event, Job, Session, Severity};
use crate::encoder::EncoderSpec;
use crate::evaluation::comparison::ComparisonSettings;
use crate::evaluation::study::Study;
use crate::geometry::Level0Rect;
use crate::project::Project;
use crate::slide::SlideId;

/// How far the evaluation has come.
#[derive(Default)]
pub enum EvaluationState {
    /// Not asked for yet.
    #[default]
    None,
    Running {
        /// Share (0 to 1) that is done.
        share: f64,
        doing: String,
        /// Set to end it.
        stop: Arc<AtomicBool>,
    },
    Done(Arc<Study>),
    /// Why there is none.
    Failed(String),
}

/// What the evaluator is to measure.
#[derive(Clone)]
pub struct EvaluateRequest {
    pub project: Project,
    /// The encoder that others are compared with.
    pub encoder: EncoderSpec,
    pub settings: ComparisonSettings,
    pub stop: Arc<AtomicBool>,
}

impl Session {
    pub fn evaluation(&self) -> &EvaluationState {
        &self.evaluation
    }

    pub(super) fn evaluate(&mut self, settings: ComparisonSettings) -> Vec<Job> {
        self.stop_evaluation();
        let EncoderState::Known(spec) = &self.encoder else {
            self.evaluation =
                EvaluationState::Failed("No encoder is known yet; open a slide first.".to_owned());
            return Vec::new();
        };
        let stop = Arc::new(AtomicBool::new(false));
        let request = EvaluateRequest {
            project: self.project.clone(),
            encoder: spec.as_ref().clone(),
            settings,
            stop: stop.clone(),
        };
        self.evaluation = EvaluationState::Running { share: 0.0, doing: "waiting".to_owned(), stop };
        vec![Job::Evaluate(Box::new(request))]
    }

    pub(super) fn stop_evaluation(&mut self) {
        if let EvaluationState::Running { stop, .. } = &self.evaluation {
            stop.store(true, Ordering::Relaxed);
            self.evaluation = EvaluationState::None;
        }
    }

    pub(super) fn write_report(&self) -> Vec<Job> {
        match &self.evaluation {
            EvaluationState::Done(study) => {
                vec![Job::WriteReport { study: study.clone(), project: Box::new(self.project.clone()) }]
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn absorb_evaluation(&mut self, event: Event) {
        // What comes from an evaluation that was stopped is of no use any more.
        let EvaluationState::Running { share, doing, stop } = &mut self.evaluation else { return };
        match event {
            Event::EvaluationProgress { share: done, doing: now } if !stop.load(Ordering::Relaxed) => {
                (*share, *doing) = (done, now);
            }
            Event::Evaluated(Ok(study)) => self.evaluation = EvaluationState::Done(study),
            Event::Evaluated(Err(reason)) => self.evaluation = EvaluationState::Failed(reason),
            _ => {}
        }
    }

    pub(super) fn report_written(&mut self, result: Result<std::path::PathBuf, String>) {
        match result {
            Ok(folder) => {
                let page = folder.join("report.html");
                self.tell(Severity::Note, format!("The report was written: {}", page.display()), None);
            }
            Err(reason) => self.tell(Severity::Error, format!("The report was not written: {reason}"), None),
        }
    }

    /// Go to a tile; `from` is where the view is now, to come back to.
    pub(super) fn go_to_tile(
        &mut self,
        slide: SlideId,
        rect: Level0Rect,
        from: Option<(SlideId, Level0Rect)>,
    ) -> Vec<Job> {
        if self.slide(&slide).is_none() {
            self.tell(
                Severity::Error,
                "That slide is not open; open it to go to its tiles.".to_owned(),
                None,
            );
            return Vec::new();
        }
        if let Some((slide, field)) = from {
            self.back.push(Place { slide, field });
        }
        // With as much of its surroundings on every side as the tile is wide.
        let (width, height) = (i64::from(rect.width), i64::from(rect.height));
        let field = Level0Rect::new(rect.x - width, rect.y - height, 3 * rect.width, 3 * rect.height);
        self.travel(Place { slide, field })
    }
}
