//! The thread that evaluates encoders and writes reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::EventSender;
use crate::session::{
    EmbeddingEvent, EvaluateRequest, EvaluationEvent, EvaluationJob, Event, TrainingEvent, TrialRequest,
    TrialSubject,
};
use histokin_encoder::{self as encoder, DeviceChoice};
use histokin_evaluation::study::{self, StudyError};
use histokin_evaluation::trial::{self, Trial};

/// Shortest time between two progress events.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Runs one job of the evaluator.
pub fn work(job: EvaluationJob, events: &EventSender) {
    match job {
        EvaluationJob::Evaluate(request) => evaluate(&request, events),
        EvaluationJob::MeasureDistances { generation, study, index, query } => {
            // On an error there is nothing to show; the search reports the reason.
            if let Ok(distances) = study.distances(&index, &query) {
                events.send(EvaluationEvent::DistancesMeasured { generation, distances });
            }
        }
        EvaluationJob::Try(request) => {
            let result = compare(&request, events);
            if !request.stop.load(Ordering::Relaxed) {
                let result = result.map(Arc::new).map_err(|error| error.to_string());
                events.send(trial_ended(request.subject, result));
            }
        }
        EvaluationJob::WriteReport { study, project, pseudonymise } => {
            let result = study.write_report(&project, pseudonymise).map_err(|error| error.to_string());
            events.send(EvaluationEvent::ReportWritten(result));
        }
    }
}

/// Returns the function that makes the event for a job that has crashed.
pub fn on_crash(job: &EvaluationJob) -> impl FnOnce(String) -> Option<Event> + use<> {
    let is_report = matches!(job, EvaluationJob::WriteReport { .. });
    let tried = match job {
        EvaluationJob::Try(request) => Some(request.subject.clone()),
        _ => None,
    };
    move |reason| {
        Some(match tried {
            Some(subject) => trial_ended(subject, Err(reason)),
            None if is_report => Event::Evaluation(EvaluationEvent::ReportWritten(Err(reason))),
            None => Event::Evaluation(EvaluationEvent::Finished(Err(reason))),
        })
    }
}

fn evaluate(request: &EvaluateRequest, events: &EventSender) {
    let mut report = reporter(&request.stop, |share, doing| {
        events.send(EvaluationEvent::Progress { share, doing });
    });
    let EvaluateRequest { project, encoder, which, settings, .. } = request;
    let result = study::of_project(project, encoder, which, settings, &mut report);
    if !request.stop.load(Ordering::Relaxed) {
        events.send(EvaluationEvent::Finished(result.map(Arc::new).map_err(|error| error.to_string())));
    }
}

/// Makes the event of a comparison that has ended.
fn trial_ended(subject: TrialSubject, result: Result<Arc<Trial>, String>) -> Event {
    match subject {
        TrialSubject::Run(run) => TrainingEvent::Tried { run, result }.into(),
        TrialSubject::Encoder(which) => EmbeddingEvent::Compared { which, result }.into(),
    }
}

/// Compares another encoder with the project's.
fn compare(request: &TrialRequest, events: &EventSender) -> Result<Trial, StudyError> {
    let mut report = reporter(&request.stop, |share, doing| {
        events.send(match request.subject.clone() {
            TrialSubject::Run(run) => Event::from(TrainingEvent::TrialProgress { run, share, doing }),
            TrialSubject::Encoder(which) => EmbeddingEvent::ComparisonProgress { which, share, doing }.into(),
        });
    });
    let mut encoder = encoder::load(&request.model, DeviceChoice::Auto)?;
    let recipe = request.recipe(encoder.spec());
    let TrialRequest { project, current, settings, .. } = request;
    trial::compare_with(project, current, encoder.as_mut(), &recipe, settings, &mut report)
}

/// Returns a function that sends progress at most every [`REPORT_EVERY`], and returns whether to continue.
fn reporter(stop: &AtomicBool, mut send: impl FnMut(f64, String)) -> impl FnMut(f64, &str) -> bool {
    let mut last: Option<Instant> = None;
    move |share, doing| {
        if last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
            last = Some(Instant::now());
            send(share, doing.to_owned());
        }
        !stop.load(Ordering::Relaxed)
    }
}
