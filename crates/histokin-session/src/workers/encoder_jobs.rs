//! The thread that lists encoders, reads what is known of one, and changes the user's.

use std::path::PathBuf;

use super::EventSender;
use crate::session::{EmbeddingEvent, EncoderChange, EncoderJob, EncoderOffer, Event};
use histokin_encoder::facts::Examined;
use histokin_encoder::{self as encoder, EncoderError, user_models};
use histokin_project::project::{ListedEncoder, Project};
use histokin_training::run::{Run, RunStatus};

pub(super) fn work(job: EncoderJob, events: &EventSender) {
    match job {
        EncoderJob::List(project) => events.send(EmbeddingEvent::EncodersListed(list(&project))),
        EncoderJob::Examine(which) => {
            let found = match examine(&which) {
                // The user looks at another one by now.
                Err(EncoderError::Stopped { .. }) => return,
                found => found.map(Box::new).map_err(|error| error.to_string()),
            };
            events.send(EmbeddingEvent::EncoderExamined { which, found });
        }
        EncoderJob::Change(what) => {
            let changed = change(&what).map(|()| what).map_err(|error| error.to_string());
            events.send(EmbeddingEvent::EncodersChanged(changed));
        }
    }
}

/// Makes the event for a job that has crashed.
pub(super) fn on_crash(job: &EncoderJob) -> impl FnOnce(String) -> Option<Event> + use<> {
    let examined = match job {
        EncoderJob::Examine(which) => Some(which.clone()),
        EncoderJob::List(_) | EncoderJob::Change(_) => None,
    };
    let is_change = matches!(job, EncoderJob::Change(_));
    move |reason| match examined {
        Some(which) => Some(EmbeddingEvent::EncoderExamined { which, found: Err(reason) }.into()),
        None => is_change.then(|| EmbeddingEvent::EncodersChanged(Err(reason)).into()),
    }
}

/// Lists the encoders with those that were trained in the project.
fn list(project: &Project) -> Vec<ListedEncoder> {
    let model = |run: Run| match run.card.status {
        RunStatus::Finished { model, .. } if model.is_file() => Some(model),
        _ => None,
    };
    let trained: Vec<PathBuf> = Run::all(project.root()).into_iter().filter_map(model).collect();
    project.list_encoders(&trained)
}

/// Reads what is known of an encoder.
fn examine(which: &str) -> Result<EncoderOffer, EncoderError> {
    let Examined { name, tiles, facts, open } = encoder::facts::examine(which)?;
    let facts = facts.into_iter().map(|(label, text)| (label.to_owned(), text)).collect();
    Ok(EncoderOffer { which: which.to_owned(), name, tiles, facts, open })
}

fn change(change: &EncoderChange) -> Result<(), EncoderError> {
    match change {
        EncoderChange::Add { which, name, open } => {
            let mut file = encoder::describe(which)?.file;
            if let Some(open) = open {
                open.apply(&mut file);
            }
            file.name.clone_from(name);
            user_models::add(&file).map(drop)
        }
        EncoderChange::Rename { from, to } => user_models::rename(from, to),
        EncoderChange::Remove(name) => user_models::remove(name),
    }
}
