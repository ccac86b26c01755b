//! Reads, teaches, saves, applies and exports concepts.

use std::collections::HashMap;
use std::sync::Arc;

use super::EventSender;
use super::query_files::new_folder;
use crate::session::{ConceptAreas, ConceptEvent, ConceptJob, MessageEvent, NotApplied};
use histokin_core::concept::{self, Concept, ConceptError, ConceptStore};
use histokin_core::index::Snapshot;
use histokin_core::query::similarity_map::{MapRequest, Reference, typical_distance};
use histokin_core::slide::SlideId;
use histokin_project::interchange::write_maps;
use histokin_project::pipeline;

/// Runs one job and reports what came of it.
pub(super) fn keep_concepts(store: &ConceptStore, job: ConceptJob, events: &EventSender) {
    let changed = match job {
        ConceptJob::Load => Ok(()),
        ConceptJob::Teach { name, class, index, query, known, patients } => {
            let taught = match known {
                None => Concept::taught(&name, class, &index, &query, &patients),
                Some(known) => known.with_marks(&index, &query, &patients).map(|concept| Concept {
                    name: name.trim().to_owned(),
                    class,
                    ..concept
                }),
            };
            taught.and_then(|concept| store.save(&concept))
        }
        // As it is stored now: it may have been taught again since the window showed it.
        ConceptJob::SetThreshold { name, distance } => {
            store.get(&name).and_then(|concept| store.save(&Concept { threshold: distance, ..concept }))
        }
        ConceptJob::Change { name, to, class } => {
            store.get(&name).and_then(|concept| store.rename(&mut Concept { class, ..concept }, &to))
        }
        ConceptJob::Remove(name) => store.remove(&name),
        ConceptJob::Apply { concept, index, patients } => {
            let areas = areas(&concept, &index, &patients)
                .map_err(|error| NotApplied { name: concept.name.clone(), reason: error.to_string() });
            return events.send(ConceptEvent::Applied(areas));
        }
        ConceptJob::Export { .. } => return export(job, events),
        ConceptJob::ExportClassMap { .. } => return export_class_map(job, events),
    };
    if let Err(error) = changed {
        events.send(ConceptEvent::Failed(error));
    }
    match store.load() {
        Ok(loaded) => {
            loaded.trouble.into_iter().for_each(|trouble| events.send(MessageEvent::Error(trouble)));
            events.send(ConceptEvent::Loaded(loaded.concepts));
        }
        Err(error) => events.send(MessageEvent::Error(error.to_string())),
    }
}

fn areas(
    concept: &Concept,
    index: &Snapshot,
    patients: &HashMap<SlideId, String>,
) -> Result<ConceptAreas, ConceptError> {
    let slides = concept::areas(index, concept)?;
    let patients = concept::by_patient(&slides, |slide| patients.get(slide).cloned());
    Ok(ConceptAreas { name: concept.name.clone(), slides, patients })
}

fn export(job: ConceptJob, events: &EventSender) {
    let ConceptJob::Export { concept, index, patients, slides, names, reports } = job else { return };
    let Some(folder) = new_folder(&reports, "concept") else { return };
    let name = |slide: &SlideId| names.get(slide).cloned().unwrap_or_else(|| slide.short().to_owned());
    let written = || -> Result<(), String> {
        let areas = areas(&concept, &index, &patients).map_err(|error| error.to_string())?;
        pipeline::write_areas(&concept, (&areas.slides, &areas.patients), &slides, name, &folder)
            .map_err(|error| error.to_string())?;
        let shown = (0..index.sets().len() as u32).collect();
        let reference = Reference::Point(Arc::from(concept.direction.as_slice()));
        let request = MapRequest { index: index.clone(), reference, shown };
        write_maps(&request, typical_distance(&index), name, &folder).map_err(|error| error.to_string())?;
        Ok(())
    };
    match written() {
        Ok(()) => {
            let text =
                format!("{}: areas, regions and maps of {} were written", folder.display(), concept.name);
            events.send(MessageEvent::Note(text));
        }
        Err(reason) => events.send(MessageEvent::Error(reason)),
    }
}

fn export_class_map(job: ConceptJob, events: &EventSender) {
    let ConceptJob::ExportClassMap { concepts, index, slides, names, reports } = job else { return };
    let Some(folder) = new_folder(&reports, "class-map") else { return };
    let name = |slide: &SlideId| names.get(slide).cloned().unwrap_or_else(|| slide.short().to_owned());
    let written = || -> Result<(), String> {
        let concepts: Vec<&Concept> = concepts.iter().map(Arc::as_ref).collect();
        let areas = index.sets().iter().map(|set| concept::class_areas(set, &concepts));
        let areas = areas.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        pipeline::write_class_map(&concepts, &areas, &slides, name, &folder)
            .map_err(|error| error.to_string())?;
        Ok(())
    };
    match written() {
        Ok(()) => {
            events.send(MessageEvent::Note(format!("{}: the class map was written", folder.display())));
        }
        Err(reason) => events.send(MessageEvent::Error(reason)),
    }
}
