//! Evaluation of encoders: started, stopped, shown and reported.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{EncoderState, EvaluationJob, Job, Session};
use histokin_encoder::EncoderSpec;
use histokin_evaluation::comparison::ComparisonSettings;
use histokin_evaluation::study::Study;
use histokin_project::project::Project;

/// A command on the evaluation.
#[derive(Debug, Clone, PartialEq)]
pub enum EvaluationCommand {
    /// Evaluates the encoder; an evaluation that is running is stopped.
    Start(Box<ComparisonSettings>),
    /// Stops the running evaluation.
    Stop,
    /// Writes the report of the last evaluation to the project.
    WriteReport {
        /// Whether patients' names are replaced by codes.
        pseudonymise: bool,
    },
    /// Computes the distance of every tile of the last evaluation from the current query.
    MeasureDistances,
}

/// A report on the evaluation.
pub enum EvaluationEvent {
    /// Progress of the evaluation.
    Progress {
        /// Share that is done, from 0 to 1.
        share: f64,
        /// What is being done, for display.
        doing: String,
    },
    /// The evaluation has finished, or failed for the given reason.
    Finished(Result<Arc<Study>, String>),
    /// The distance of every tile of the last evaluation from a query was computed.
    DistancesMeasured {
        /// Number of the query.
        generation: u64,
        /// One distance for each tile; NaN for tiles that are not in the index.
        distances: Arc<[f32]>,
    },
    /// The report was written to this folder, or could not be written.
    ReportWritten(Result<PathBuf, String>),
}

/// State of the evaluation.
#[derive(Default)]
pub enum EvaluationState {
    /// None was started, or it was stopped.
    #[default]
    None,
    /// An evaluation is running.
    Running {
        /// Share that is done, from 0 to 1.
        share: f64,
        /// What is being done, for display.
        doing: String,
        /// Set to true to stop it.
        stop: Arc<AtomicBool>,
    },
    /// The last evaluation has finished.
    Done(Arc<Study>),
    /// The evaluation failed, for this reason.
    Failed(String),
}

/// An evaluation for the worker.
#[derive(Clone)]
pub struct EvaluateRequest {
    /// Project whose slides and annotations are evaluated.
    pub project: Project,
    /// Encoder with which the others are compared.
    pub encoder: EncoderSpec,
    /// Name or path by which that encoder is loaded.
    pub which: String,
    /// What is measured, and with which other encoders.
    pub settings: ComparisonSettings,
    /// Set to true to stop the evaluation.
    pub stop: Arc<AtomicBool>,
}

/// The evaluation of a session.
#[derive(Default)]
pub(super) struct Evaluation {
    state: EvaluationState,
    /// Distances of the evaluation's tiles from a query, with the number of that query.
    distances: Option<(u64, Arc<[f32]>)>,
}

impl Evaluation {
    /// Stops the evaluation if it is running.
    pub(super) fn stop(&mut self) {
        if let EvaluationState::Running { stop, .. } = &self.state {
            stop.store(true, Ordering::Relaxed);
            self.state = EvaluationState::None;
        }
    }

    fn progressed(&mut self, share: f64, doing: String) {
        // Reports of an evaluation that was stopped are ignored.
        if let EvaluationState::Running { share: known, doing: shown, stop } = &mut self.state
            && !stop.load(Ordering::Relaxed)
        {
            (*known, *shown) = (share, doing);
        }
    }

    fn finished(&mut self, result: Result<Arc<Study>, String>) {
        if !matches!(self.state, EvaluationState::Running { .. }) {
            return;
        }
        self.state = match result {
            Ok(study) => {
                // The old distances belong to the tiles of the previous evaluation.
                self.distances = None;
                EvaluationState::Done(study)
            }
            Err(reason) => EvaluationState::Failed(reason),
        };
    }
}

impl Session {
    /// State of the evaluation.
    pub fn evaluation(&self) -> &EvaluationState {
        &self.evaluation.state
    }

    pub(super) fn evaluation_command(&mut self, command: EvaluationCommand) -> Vec<Job> {
        match command {
            EvaluationCommand::Start(settings) => self.evaluate(*settings),
            EvaluationCommand::Stop => {
                self.evaluation.stop();
                Vec::new()
            }
            EvaluationCommand::WriteReport { pseudonymise } => self.write_report(pseudonymise),
            EvaluationCommand::MeasureDistances => self.measure_distances(),
        }
    }

    pub(super) fn evaluation_event(&mut self, event: EvaluationEvent) {
        match event {
            EvaluationEvent::Progress { share, doing } => self.evaluation.progressed(share, doing),
            EvaluationEvent::Finished(result) => self.evaluation.finished(result),
            EvaluationEvent::DistancesMeasured { generation, distances } => {
                self.evaluation.distances = Some((generation, distances));
            }
            EvaluationEvent::ReportWritten(result) => self.report_written(result),
        }
    }

    fn evaluate(&mut self, settings: ComparisonSettings) -> Vec<Job> {
        self.evaluation.stop();
        let EncoderState::Known(spec) = &self.embedding.encoder else {
            self.evaluation.state =
                EvaluationState::Failed("No encoder is known yet; open a slide first.".to_owned());
            return Vec::new();
        };
        let stop = Arc::new(AtomicBool::new(false));
        let request = EvaluateRequest {
            project: self.project.clone(),
            encoder: spec.as_ref().clone(),
            which: self.project.encoder_name(),
            settings,
            stop: stop.clone(),
        };
        self.evaluation.state = EvaluationState::Running { share: 0.0, doing: "waiting".to_owned(), stop };
        vec![Job::Evaluation(EvaluationJob::Evaluate(Box::new(request)))]
    }

    fn write_report(&self, pseudonymise: bool) -> Vec<Job> {
        match &self.evaluation.state {
            EvaluationState::Done(study) => {
                let (study, project) = (study.clone(), Box::new(self.project.clone()));
                vec![Job::Evaluation(EvaluationJob::WriteReport { study, project, pseudonymise })]
            }
            _ => Vec::new(),
        }
    }

    fn report_written(&mut self, result: Result<PathBuf, String>) {
        match result {
            Ok(folder) => {
                let page = folder.join("report.html");
                self.messages.note(format!("The report was written: {}", page.display()));
            }
            Err(reason) => self.messages.error(format!("The report was not written: {reason}")),
        }
    }

    /// Distance of every tile of the last evaluation from the current query; `None` until it has been
    /// computed.
    pub fn distances(&self) -> Option<&Arc<[f32]>> {
        let (generation, distances) = self.evaluation.distances.as_ref()?;
        (*generation == self.query.generation).then_some(distances)
    }

    fn measure_distances(&self) -> Vec<Job> {
        let (EvaluationState::Done(study), Some(query)) = (&self.evaluation.state, self.current_query())
        else {
            return Vec::new();
        };
        let (generation, index) = (self.query.generation, self.index().clone());
        vec![Job::Evaluation(EvaluationJob::MeasureDistances {
            generation,
            study: study.clone(),
            index,
            query: Box::new(query),
        })]
    }
}
