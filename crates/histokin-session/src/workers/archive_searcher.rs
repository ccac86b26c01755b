//! The thread that asks the department's archive. It keeps the connection between questions, and takes a fresh one
//! when that was lost. A question that a newer one has taken the place of, or that nobody
//! waits for, is cancelled on the server.

use super::EventSender;
use super::job_queue::JobQueue;
use crate::session::ArchiveRequest;

/// The newest question; `None` when nobody waits for the one before any more.
type Requests = JobQueue<Option<ArchiveRequest>>;

#[cfg(not(feature = "archive"))]
pub fn run(requests: &Requests, events: &EventSender) {
    use crate::session::Event;
    while let Some(request) = requests.take() {
        let Some(request) = request else { continue };
        let answer = Err("this build of histokin was made without archives".to_owned());
        events.send(Event::ArchiveAnswered { generation: request.search.generation, answer });
    }
}

#[cfg(feature = "archive")]
pub use with_archive::run;

#[cfg(feature = "archive")]
mod with_archive {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::{ArchiveRequest, EventSender, Requests};
    use crate::session::{ArchiveAnswer, Event};
    use histokin_archive::credentials::Credentials;
    use histokin_archive::search::{SearchSettings, ask};
    use histokin_archive::{Archive, ArchiveError, Canceller};
    use histokin_core::query::Answer;
    use histokin_project::project::{ArchiveUrl, Password};

    /// A question that takes longer is given up.
    const TIMEOUT: Duration = Duration::from_secs(60);

    /// Between two tries to cancel the same question.
    const CANCEL_EVERY: Duration = Duration::from_millis(50);

    /// The connection, and what it was made with.
    struct Held {
        archive: Archive,
        url: ArchiveUrl,
        password: Option<Password>,
    }

    pub fn run(requests: &Requests, events: &EventSender) {
        let mut held = None;
        while let Some(request) = requests.take() {
            let Some(request) = request else { continue };
            let answer = match answer(&mut held, &request, requests) {
                // A newer question waits, or none is left, or the program ends.
                Err(Unanswered::Cancelled) => continue,
                Ok(answer) => Ok(Box::new(with_pictures(answer))),
                // What is wrong with the question itself the project's own search says.
                Err(Unanswered::Failed(ArchiveError::Query(_))) => continue,
                Err(Unanswered::Failed(error)) => Err(error.to_string()),
            };
            events.send(Event::ArchiveAnswered { generation: request.search.generation, answer });
        }
    }

    /// Why there is no answer.
    enum Unanswered {
        Cancelled,
        Failed(ArchiveError),
    }

    impl From<ArchiveError> for Unanswered {
        fn from(error: ArchiveError) -> Self {
            Self::Failed(error)
        }
    }

    fn answer(
        held: &mut Option<Held>,
        request: &ArchiveRequest,
        requests: &Requests,
    ) -> Result<Answer, Unanswered> {
        let was_held = held.is_some();
        match ask_once(held, request, requests) {
            // The server may have been restarted since the last question.
            Err(Unanswered::Failed(error)) if error.is_lost() && was_held => {
                *held = None;
                ask_once(held, request, requests)
            }
            other => other,
        }
    }

    fn ask_once(
        held: &mut Option<Held>,
        request: &ArchiveRequest,
        requests: &Requests,
    ) -> Result<Answer, Unanswered> {
        let (url, password) = (&request.url, &request.password);
        let mut open = match held.take() {
            Some(held) if held.url == *url && held.password == *password && !held.archive.is_closed() => held,
            _ => {
                let credentials = Credentials { typed: password.clone(), ask: None };
                let archive = Archive::open(url, &credentials)?;
                Held { archive, url: url.clone(), password: password.clone() }
            }
        };
        let settings = SearchSettings {
            patients: request.patients,
            own_patient: request.own_patient.clone(),
            former_ids: request.former_ids.clone(),
            timeout: Some(TIMEOUT),
            marks: request.search.marks.clone(),
            ..SearchSettings::default()
        };
        let search = &request.search;
        let canceller = open.archive.canceller();
        let asked = || ask(&mut open.archive, &search.index, &request.recipe, &search.query, &settings);
        let (answer, is_cancelled) = unless_superseded(&canceller, requests, asked);
        if is_cancelled {
            // The server may still be about to cancel: that must not meet the next question on this connection.
            return Err(Unanswered::Cancelled);
        }
        *held = Some(open);
        Ok(answer?)
    }

    /// What `asked` answers, and whether it was cancelled, since newer work arrived meanwhile.
    fn unless_superseded<A>(
        canceller: &Canceller,
        requests: &Requests,
        asked: impl FnOnce() -> A,
    ) -> (A, bool) {
        let is_over = AtomicBool::new(false);
        let is_cancelled = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = || {
                while !is_over.load(Ordering::Relaxed) {
                    if !requests.await_more(TIMEOUT, &is_over) {
                        continue;
                    }
                    is_cancelled.store(true, Ordering::Relaxed);
                    if let Err(error) = canceller.cancel() {
                        tracing::debug!(%error, "a question was not cancelled");
                    }
                    // A question is several statements, and one that began just now is not cancelled.
                    std::thread::sleep(CANCEL_EVERY);
                }
            };
            // Without the thread the question is answered all the same, if later than it might be.
            let watching =
                std::thread::Builder::new().name("archive-canceller".into()).spawn_scoped(scope, watch);
            let over = Over { requests, is_over: &is_over };
            let answer = asked();
            drop(over);
            if watching.is_ok_and(|watching| watching.join().is_err()) {
                tracing::error!("the archive-canceller thread had panicked");
            }
            (answer, is_cancelled.load(Ordering::Relaxed))
        })
    }

    /// Ends the watch over a question when it is dropped, however the question ended.
    struct Over<'a> {
        requests: &'a Requests,
        is_over: &'a AtomicBool,
    }

    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.requests.wake(self.is_over);
        }
    }

    fn with_pictures(answer: Answer) -> ArchiveAnswer {
        let tiles = answer.archive.iter().flat_map(|archive| &archive.tiles);
        let picture = |jpeg: &[u8]| image::load_from_memory(jpeg).ok().map(|picture| picture.into_rgba8());
        let pictures = tiles
            .filter_map(|(tile, known)| Some((tile.clone(), picture(known.thumbnail.as_ref()?)?)))
            .collect();
        ArchiveAnswer { answer, pictures }
    }
}
