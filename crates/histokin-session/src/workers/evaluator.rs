//! The thread that evaluates encoders and writes reports.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::EventSender;
use crate::session::{EvaluateRequest, EvaluationEvent, EvaluationJob, Event};
use histokin_evaluation::study;

/// Shortest time between two progress events.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Runs one job of the evaluator.
pub fn work(job: EvaluationJob, events: &EventSender) {
    match job {
        EvaluationJob::Evaluate(request) => evaluate(&request, events),
        EvaluationJob::MeasureDistances { generation, study, index, positives } => {
            // On an error there is nothing to show; the search reports the reason.
            if let Ok(distances) = study.distances(&index, &positives) {
                events.send(EvaluationEvent::DistancesMeasured { generation, distances });
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
    move |reason| {
        Some(if is_report {
            Event::Evaluation(EvaluationEvent::ReportWritten(Err(reason)))
        } else {
            Event::Evaluation(EvaluationEvent::Finished(Err(reason)))
        })
    }
}

fn evaluate(request: &EvaluateRequest, events: &EventSender) {
    let mut last_report: Option<Instant> = None;
    let mut report = |share: f64, doing: &str| {
        if last_report.is_none_or(|last_report| last_report.elapsed() >= REPORT_EVERY) {
            last_report = Some(Instant::now());
            events.send(EvaluationEvent::Progress { share, doing: doing.to_owned() });
        }
        !request.stop.load(Ordering::Relaxed)
    };
    let EvaluateRequest { project, encoder, which, settings, .. } = request;
    let result = study::of_project(project, encoder, which, settings, &mut report);
    if !request.stop.load(Ordering::Relaxed) {
        events.send(EvaluationEvent::Finished(result.map(Arc::new).map_err(|error| error.to_string())));
    }
}
