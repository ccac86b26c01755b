//! The thread that searches the department's archive. It keeps the connection between queries and opens a new
//! one when it was lost. A query that was replaced or cleared is cancelled on the server.

use super::EventChannel;
use super::job_queue::JobQueue;
use crate::session::{ArchiveRequest, Issued};

/// The newest query; `None` cancels the previous one.
type Requests = JobQueue<Issued<Option<ArchiveRequest>>>;

#[cfg(not(feature = "archive"))]
pub fn run(requests: &Requests, channel: &EventChannel) {
    use crate::session::QueryEvent;
    while let Some(Issued { job, of, .. }) = requests.take() {
        let Some(request) = job else { continue };
        let answer = Err("this build of histokin has no support for archives".to_owned());
        channel.of(of).send(QueryEvent::ArchiveAnswered { generation: request.search.generation, answer });
    }
}

#[cfg(feature = "archive")]
pub use with_archive::run;

#[cfg(feature = "archive")]
mod with_archive {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::{ArchiveRequest, EventChannel, Issued, Requests};
    use crate::session::{ArchiveAnswer, Event, QueryEvent};
    use histokin_archive::credentials::Credentials;
    use histokin_archive::search::{SearchSettings, ask};
    use histokin_archive::{Archive, ArchiveError, Canceller};
    use histokin_core::query::Answer;
    use histokin_project::project::{ArchiveUrl, Password};

    /// Time limit of a query.
    const TIMEOUT: Duration = Duration::from_secs(60);

    /// Time between two attempts to cancel the same query.
    const CANCEL_EVERY: Duration = Duration::from_millis(50);

    /// The connection and the settings it was made with.
    struct Connection {
        archive: Archive,
        url: ArchiveUrl,
        password: Option<Password>,
    }

    pub fn run(requests: &Requests, channel: &EventChannel) {
        let mut connection = None;
        while let Some(Issued { job, of, .. }) = requests.take() {
            let Some(request) = job else { continue };
            let events = channel.of(of);
            let generation = request.search.generation;
            let search = || {
                let found = answer(&mut connection, &request, requests);
                if let Some(answer) = to_report(found, &request) {
                    events.send(QueryEvent::ArchiveAnswered { generation, answer });
                }
            };
            let failed =
                |reason| Some(Event::Query(QueryEvent::ArchiveAnswered { generation, answer: Err(reason) }));
            events.attempt("Searching the archive", search, failed);
        }
    }

    /// Returns what the session has to know of the result of a search; `None` if that is nothing.
    fn to_report(
        found: Result<Answer, SearchFailure>,
        request: &ArchiveRequest,
    ) -> Option<Result<Box<ArchiveAnswer>, String>> {
        match found {
            Ok(answer) => Some(Ok(Box::new(with_pictures(answer)))),
            // Replaced by a newer query, cleared, or the program ends.
            Err(SearchFailure::Cancelled) => None,
            // The project's own search reports the same, unless it has nothing to compare the query with.
            Err(SearchFailure::Failed(ArchiveError::Query(_))) if !request.search.index.is_empty() => None,
            Err(SearchFailure::Failed(error)) => Some(Err(error.to_string())),
        }
    }

    /// Why there is no answer.
    enum SearchFailure {
        Cancelled,
        Failed(ArchiveError),
    }

    impl From<ArchiveError> for SearchFailure {
        fn from(error: ArchiveError) -> Self {
            Self::Failed(error)
        }
    }

    fn answer(
        connection: &mut Option<Connection>,
        request: &ArchiveRequest,
        requests: &Requests,
    ) -> Result<Answer, SearchFailure> {
        let was_connected = connection.is_some();
        match ask_once(connection, request, requests) {
            // The server may have been restarted since the last query.
            Err(SearchFailure::Failed(error)) if error.is_lost() && was_connected => {
                *connection = None;
                ask_once(connection, request, requests)
            }
            other => other,
        }
    }

    fn ask_once(
        connection: &mut Option<Connection>,
        request: &ArchiveRequest,
        requests: &Requests,
    ) -> Result<Answer, SearchFailure> {
        let (url, password) = (&request.url, &request.password);
        let mut open = match connection.take() {
            Some(old) if old.url == *url && old.password == *password && !old.archive.is_closed() => old,
            _ => {
                let credentials = Credentials { typed: password.clone(), ask: None };
                let archive = Archive::open(url, &credentials)?;
                Connection { archive, url: url.clone(), password: password.clone() }
            }
        };
        let settings = SearchSettings {
            patients: request.patients,
            own_patient: request.own_patient.clone(),
            former_ids: request.former_ids.clone(),
            timeout: Some(TIMEOUT),
            annotations: request.search.annotations.clone(),
            ..SearchSettings::default()
        };
        let search = &request.search;
        let canceller = open.archive.canceller();
        let asked = || ask(&mut open.archive, &search.index, &request.recipe, &search.query, &settings);
        let (answer, is_cancelled) = unless_superseded(&canceller, requests, asked);
        if is_cancelled {
            // The server may be about to cancel; that must not affect the next query on this connection.
            return Err(SearchFailure::Cancelled);
        }
        *connection = Some(open);
        Ok(answer?)
    }

    /// Runs `asked` and returns its result, and whether it was cancelled because a newer query arrived.
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
                        tracing::debug!(%error, "a query was not cancelled");
                    }
                    // A query consists of several statements; the one that has just begun may have been
                    // missed.
                    std::thread::sleep(CANCEL_EVERY);
                }
            };
            // If the thread cannot be started, the query still runs, only without cancellation.
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

    /// Ends the watching thread when it is dropped, however the query ended.
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

    #[cfg(test)]
    mod tests {
        use std::sync::Arc;

        use super::*;
        use crate::session::SearchRequest;
        use histokin_core::descriptors::made::made_set;
        use histokin_core::descriptors::{EncoderId, Recipe};
        use histokin_core::index::Snapshot;
        use histokin_core::query::{AnnotationsBySlide, Patients, Query, QueryError};
        use histokin_core::stain::StainSetting;
        use histokin_core::tiling::TileSettings;

        #[test]
        fn a_query_that_only_the_archive_finds_wrong_is_reported() {
            let recipe = Recipe {
                encoder_id: EncoderId("test-encoder".to_owned()),
                encoder_name: "test".to_owned(),
                tiles: TileSettings { tile_px: 224, mpp: 1.0 },
                stain: StainSetting::None,
            };
            let request = |index: Snapshot| ArchiveRequest {
                search: SearchRequest {
                    generation: 1,
                    index: Arc::new(index),
                    query: Query::default(),
                    annotations: AnnotationsBySlide::new(),
                    second_encoder: None,
                },
                url: "postgresql://reader@example.org/archive".parse().unwrap(),
                password: None,
                recipe: recipe.clone(),
                patients: Patients::Any,
                own_patient: None,
                former_ids: Default::default(),
            };
            let wrong = || {
                let problem = QueryError::OtherRecipe { name: "photo.png".to_owned() };
                Err(SearchFailure::Failed(ArchiveError::Query(problem)))
            };
            let here = Snapshot::build(vec![made_set("a", recipe.clone(), 2, &[vec![0.0, 1.0]])], None, None);
            assert!(to_report(wrong(), &request(here)).is_none(), "the search here says so");
            let reported = to_report(wrong(), &request(Snapshot::empty()));
            assert!(reported.is_some_and(|answer| answer.is_err_and(|reason| reason.contains("photo.png"))));
        }
    }
}
