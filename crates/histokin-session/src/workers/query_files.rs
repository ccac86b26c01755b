//! Reads and saves the query history of a project, and exports answers and similarity maps. Jobs on concepts are passed
//! on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::EventSender;
use super::concept_files;
use crate::session::query::history::add_newer;
use crate::session::{HistoryJob, MessageEvent, QueryEvent};
use histokin_core::query::similarity_map::{MapRequest, Reference, typical_distance};
use histokin_core::query::{Answer, QueryHistory};
use histokin_core::slide::SlideId;
use histokin_project::interchange::write_maps;
use histokin_project::pipeline::{self, Slides};

pub(super) fn keep_history(job: HistoryJob, events: &EventSender) {
    let (done, root) = match job {
        HistoryJob::Concepts { store, job } => {
            return concept_files::keep_concepts(&store, *job, events);
        }
        HistoryJob::LoadHistory(root) => {
            let loaded = QueryHistory::load(&root).map(|query_history| {
                events.send(QueryEvent::HistoryLoaded { query_history: Box::new(query_history) });
            });
            (loaded, root)
        }
        HistoryJob::SaveHistory { root, query_history } => (query_history.save(&root), root),
        HistoryJob::AddToHistory { root, added, claim } => {
            let saved = QueryHistory::load(&root).and_then(|mut query_history| {
                add_newer(&mut query_history, &added);
                query_history.save(&root)
            });
            drop(claim);
            (saved, root)
        }
        HistoryJob::ExportAnswer { answer, query_history, slides, reports } => {
            return export(&answer, &query_history, &slides, &reports, events);
        }
        HistoryJob::ExportHeatMap { index, descriptor, shown, names, reports } => {
            let request = MapRequest { index, reference: Reference::Point(descriptor), shown };
            return export_heat_map(&request, &names, &reports, events);
        }
    };
    if let Err(error) = done {
        let text = format!(
            "{error}; queries and judgements are not saved in the project {} until this is fixed",
            root.display()
        );
        events.send(MessageEvent::Error(text));
    }
}

/// Returns the first folder `NAME-N` that does not exist yet.
pub(super) fn new_folder(reports: &Path, name: &str) -> Option<PathBuf> {
    (1..).map(|number| reports.join(format!("{name}-{number}"))).find(|folder| !folder.exists())
}

/// Writes similarity maps to a new folder.
fn export_heat_map(
    request: &MapRequest,
    names: &HashMap<SlideId, String>,
    reports: &Path,
    events: &EventSender,
) {
    let Some(folder) = new_folder(reports, "heat-map") else { return };
    let name = |slide: &SlideId| names.get(slide).cloned().unwrap_or_else(|| slide.short().to_owned());
    match write_maps(request, typical_distance(&request.index), name, &folder) {
        Ok(_) => events.send(MessageEvent::Note(format!("{}: the heat map was written", folder.display()))),
        Err(error) => events.send(MessageEvent::Error(error.to_string())),
    }
}

/// Writes an answer to a new folder.
fn export(
    answer: &Answer,
    query_history: &QueryHistory,
    slides: &Slides,
    reports: &Path,
    events: &EventSender,
) {
    let Some(folder) = new_folder(reports, "matches") else { return };
    match pipeline::write_answer(answer, query_history, slides, &folder) {
        Ok(()) => events.send(MessageEvent::Note(format!("{}: the matches were written", folder.display()))),
        Err(error) => events.send(MessageEvent::Error(error.to_string())),
    }
}
