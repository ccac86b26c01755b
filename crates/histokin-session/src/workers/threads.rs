//! What the threads do: each takes the jobs of its queue, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::job_queue::JobQueue;
use super::queues::Queues;
use super::{
    EventChannel, EventSender, OPENING, SAVE_AGAIN, SCANNING, encoder_jobs, evaluator, io_jobs, on_crash,
    query_files, timeout,
};
use crate::crash;
use crate::session::{
    Event, IndexBuild, IndexEvent, Issued, MessageEvent, OpenJob, QueryEvent, SearchRequest,
};
use histokin_core::index::Snapshot;
use histokin_core::query::{self, QueryError};
use histokin_encoder::stop::reading_until;
use histokin_project::project::Project;

/// Does the jobs of a queue until it is closed. A project stays claimed while a job writes into it.
fn work_through<T>(
    queue: &JobQueue<Issued<T>>,
    channel: &EventChannel,
    mut work: impl FnMut(T, &EventSender),
) {
    while let Some(issued) = queue.take() {
        let events = channel.of(issued.of);
        let (job, _claim) = issued.into_parts();
        work(job, &events);
    }
}

pub(super) fn open_files(queues: &Queues, channel: &EventChannel) {
    work_through(&queues.opener, channel, |job, events| {
        let (failed, to_session) = (on_crash::open(&job), events.clone());
        let named = named(&job);
        let open = move || to_session.attempt("Opening files", || io_jobs::open(job, &to_session), failed);
        if !timeout::wait_for("slide-opening", OPENING, open) {
            events.send(MessageEvent::Note(format!(
                "{named}: its drive does not respond. It is opened when the drive responds; others are opened meanwhile"
            )));
        }
    });
}

/// What a job of the opener works on, for messages.
fn named(job: &OpenJob) -> String {
    match job {
        OpenJob::OpenSlide { path, .. }
        | OpenJob::CheckListedPath { path, .. }
        | OpenJob::FindMoved { path, .. } => path.display().to_string(),
        OpenJob::ApplyChannels { slide, .. } => slide.info().path.display().to_string(),
        OpenJob::FindPaths { paths, .. } => {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        }
        OpenJob::ReadEncoderSpec(encoder) | OpenJob::TrustEncoder { encoder, .. } => encoder.clone(),
    }
}

pub(super) fn read_encoders(queues: &Queues, channel: &EventChannel) {
    work_through(&queues.encoders, channel, |(job, stop), events| {
        let failed = encoder_jobs::on_crash(&job);
        let work = || reading_until(&stop, || encoder_jobs::work(job, events));
        events.attempt("Reading encoders", work, failed);
    });
}

pub(super) fn find_tissue(queues: &Queues, channel: &EventChannel) {
    work_through(&queues.tissue, channel, |job, events| {
        let (failed, events) = (on_crash::scan(&job), events.clone());
        let steps = Arc::<AtomicU64>::default();
        let counted = steps.clone();
        let step = move || _ = counted.fetch_add(1, Ordering::Relaxed);
        let find = move || events.attempt("Finding tissue", || io_jobs::scan(job, &events, &step), failed);
        // A slide without coarse levels is read for many minutes. Others wait, so that not all are read at once.
        let mut seen = 0;
        let moves = || {
            let now = steps.load(Ordering::Relaxed);
            std::mem::replace(&mut seen, now) != now
        };
        timeout::wait_while("tissue-finding", SCANNING, moves, find);
    });
}

pub(super) fn scan_slides(queues: &Queues, channel: &EventChannel) {
    work_through(&queues.scanner, channel, |job, events| {
        let (failed, events) = (on_crash::scan(&job), events.clone());
        let scan = move || events.attempt("Reading a slide", || io_jobs::scan(job, &events, &|| ()), failed);
        timeout::wait_for("slide-scanning", SCANNING, scan);
    });
}

pub(super) fn read_pictures(queues: &Queues, channel: &EventChannel) {
    work_through(&queues.pictures, channel, |job, events| {
        let (failed, events) = (on_crash::picture(&job), events.clone());
        let read = move || events.attempt("Reading a tile", || io_jobs::picture(job, &events), failed);
        timeout::wait_for("tile-picture", OPENING, read);
    });
}

pub(super) fn search(queues: &Queues, channel: &EventChannel) {
    work_through(&queues.searches, channel, |request, events| {
        let SearchRequest { generation, index, query, annotations, second_encoder } = request;
        let search = || {
            let answer = query::ask(&index, &query, &annotations);
            let second_encoder = second_encoder.map(|index| query::ask(&index, &query, &annotations));
            events.send(QueryEvent::Answered { generation, answer, second_encoder });
        };
        let failed = |reason| {
            let answer = Err(QueryError::Crashed(reason));
            Some(Event::Query(QueryEvent::Answered { generation, answer, second_encoder: None }))
        };
        events.attempt("The search", search, failed);
    });
}

pub(super) fn load_descriptors(queues: &Queues, channel: &EventChannel) {
    work_through(&queues.descriptors, channel, |job, events| {
        let failed = on_crash::load(&job);
        events.attempt("Reading descriptors", || io_jobs::load(job, events), failed);
    });
}

pub(super) fn build_indexes(queues: &Queues, channel: &EventChannel) {
    let mut previous: Option<Arc<Snapshot>> = None;
    work_through(&queues.indexer, channel, |IndexBuild { sets, cache, settled }, events| {
        let index = || {
            let build = if settled { Snapshot::build } else { Snapshot::provisional };
            let index = Arc::new(build(sets, previous.as_deref(), Some(&cache)));
            previous = Some(index.clone());
            events.send(IndexEvent::Built(index.clone()));
            // The index can be searched already; this makes searching it faster.
            index.grow_trees();
        };
        events.attempt("Building the index", index, |_| Some(Event::Index(IndexEvent::Failed)));
    });
}

pub(super) fn keep_history(queues: &Queues, channel: &EventChannel) {
    while let Some(issued) = queues.history.take_until_empty() {
        let events = channel.of(issued.of);
        let (job, _claim) = issued.into_parts();
        let keep = || query_files::keep_history(job, &events);
        events.attempt("Saving queries and judgements", keep, |_| None);
    }
}

pub(super) fn evaluate(queues: &Queues, channel: &EventChannel) {
    work_through(&queues.evaluator, channel, |job, events| {
        let failed = evaluator::on_crash(&job);
        events.attempt("Measuring the encoder", || evaluator::work(job, events), failed);
    });
}

/// Saves the newest state of each project. After a failure it is retried, and once more at the end of the
/// program.
pub(super) fn keep_project(keeper: &JobQueue<Issued<Project>>, channel: &EventChannel) {
    // More than one where another project was opened after a failure.
    let mut unsaved: Vec<Issued<Project>> = Vec::new();
    loop {
        let was_closed = keeper.is_closed();
        let next = match unsaved.is_empty() {
            true => keeper.take_until_empty(),
            false => keeper.take_within(SAVE_AGAIN),
        };
        let is_end = next.is_none() && (unsaved.is_empty() || was_closed);
        let is_next = |project: &Issued<Project>| {
            next.as_ref().is_none_or(|next| next.job.root() == project.job.root())
        };
        let (again, others) = std::mem::take(&mut unsaved).into_iter().partition::<Vec<_>, _>(is_next);
        unsaved = others;
        let was_unsaved = !again.is_empty();
        for project in next.map_or(again, |next| vec![next]) {
            let events = channel.of(project.of);
            let root = project.job.root().display();
            match crash::catch("Saving the project", || project.job.save()) {
                Ok(Ok(())) if was_unsaved => {
                    events.send(MessageEvent::Note(format!("{root}: the project is saved.")));
                }
                Ok(Ok(())) => {}
                Err(crash) => {
                    events.send(MessageEvent::Crashed(crash));
                    unsaved.push(project);
                }
                Ok(Err(error)) => {
                    let text = format!(
                        "{error}. The list of slides and the settings are kept in memory, and saving is tried again \
                         every few seconds"
                    );
                    events.send(MessageEvent::Error(text));
                    unsaved.push(project);
                }
            }
        }
        if is_end {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{OpenedProject, Session};
    use crate::workers::events::tests::channel;

    #[test]
    fn a_project_that_could_not_be_saved_is_kept_while_another_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let project = |name: &str| Project::open_to_write(&folder.path().join(name)).unwrap();
        let (former, next) = (project("former"), project("next"));
        let opened: OpenedProject = Session::new(next.clone()).opened();
        let file = |project: &Project| project.root().join("project.toml");
        let next_file = file(&next);
        std::fs::remove_dir_all(former.root()).unwrap();
        std::fs::remove_file(&next_file).unwrap();
        let (channel, received) = channel();
        let keeper = JobQueue::default();
        std::thread::scope(|scope| {
            scope.spawn(|| keep_project(&keeper, &channel));
            keeper.push(Issued::new(former.clone(), &opened));
            let failed = received.recv().unwrap().event;
            assert!(matches!(failed, Event::Messages(MessageEvent::Error(_))));
            keeper.push(Issued::new(next, &opened));
            while !next_file.exists() {
                std::thread::yield_now();
            }
            std::fs::create_dir(former.root()).unwrap();
            keeper.close();
        });
        assert!(file(&former).exists());
        let saved = received.try_recv().unwrap().event;
        let Event::Messages(MessageEvent::Note(text)) = saved else { panic!("only the former was unsaved") };
        assert!(text.contains("former"), "{text}");
        assert!(received.try_recv().is_err());
    }
}
