//! The thread that measures encoders and writes reports.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::EventSender;
use crate::session::{EvaluateRequest, EvaluatorJob, Event};
use histokin_evaluation::study;

/// Progress is told this often at most.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Do one job of the evaluator.
pub fn work(job: EvaluatorJob, events: &EventSender) {
    match job {
        EvaluatorJob::Evaluate(request) => evaluate(&request, events),
        EvaluatorJob::MeasureDistances { generation, study, index, positives } => {
            // Without an answer there is nothing to show; the search tells why.
            if let Ok(distances) = study.distances(&index, &positives) {
                events.send(Event::DistancesMeasured { generation, distances });
            }
        }
        EvaluatorJob::WriteReport { study, project, pseudonymise } => {
            let result = study.write_report(&project, pseudonymise).map_err(|error| error.to_string());
            events.send(Event::ReportWritten(result));
        }
    }
}

/// What a job answers when it crashes.
pub fn on_crash(job: &EvaluatorJob) -> impl FnOnce(String) -> Option<Event> + use<> {
    let is_report = matches!(job, EvaluatorJob::WriteReport { .. });
    move |reason| {
        Some(if is_report { Event::ReportWritten(Err(reason)) } else { Event::Evaluated(Err(reason)) })
    }
}

fn evaluate(request: &EvaluateRequest, events: &EventSender) {
    let mut told: Option<Instant> = None;
    let mut tell = |share: f64, doing: &str| {
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            events.send(Event::EvaluationProgress { share, doing: doing.to_owned() });
        }
        !request.stop.load(Ordering::Relaxed)
    };
    let EvaluateRequest { project, encoder, which, settings, .. } = request;
    let result = study::of_project(project, encoder, which, settings, &mut tell);
    if !request.stop.load(Ordering::Relaxed) {
        events.send(Event::Evaluated(result.map(Arc::new).map_err(|error| error.to_string())));
    }
}
