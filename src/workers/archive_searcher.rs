//! The thread that asks the department's archive. It keeps the connection between questions, and takes a fresh one
//! when that was lost.

use super::Post;
use super::mailbox::Mailbox;
use crate::session::ArchiveRequest;

#[cfg(not(feature = "archive"))]
pub fn run(requests: &Mailbox<ArchiveRequest>, post: &Post) {
    use crate::session::Event;
    while let Some(request) = requests.take() {
        let answer = Err("this build of histokin was made without archives".to_owned());
        post.send(Event::ArchiveAnswered { generation: request.search.generation, answer });
    }
}

#[cfg(feature = "archive")]
pub use with_archive::run;

#[cfg(feature = "archive")]
mod with_archive {
    use std::time::Duration;

    use super::{ArchiveRequest, Mailbox, Post};
    use crate::archive::credentials::Credentials;
    use crate::archive::password::Password;
    use crate::archive::search::{SearchSettings, ask};
    use crate::archive::{Archive, ArchiveError, ArchiveUrl};
    use crate::query::Answer;
    use crate::session::{ArchiveAnswer, Event};

    /// A question that takes longer is given up.
    const TIMEOUT: Duration = Duration::from_secs(60);

    /// The connection, and what it was made with.
    struct Held {
        archive: Archive,
        url: ArchiveUrl,
        password: Option<Password>,
    }

    pub fn run(requests: &Mailbox<ArchiveRequest>, post: &Post) {
        let mut held = None;
        while let Some(request) = requests.take() {
            let answer = match answer(&mut held, &request) {
                Ok(answer) => Ok(Box::new(with_pictures(answer))),
                // What is wrong with the question itself the project's own search says.
                Err(ArchiveError::Query(_)) => continue,
                Err(error) => Err(error.to_string()),
            };
            post.send(Event::ArchiveAnswered { generation: request.search.generation, answer });
        }
    }

    fn answer(held: &mut Option<Held>, request: &ArchiveRequest) -> Result<Answer, ArchiveError> {
        let was_held = held.is_some();
        match ask_once(held, request) {
            // The server may have been restarted since the last question.
            Err(error) if error.is_lost() && was_held => {
                *held = None;
                ask_once(held, request)
            }
            other => other,
        }
    }

    fn ask_once(held: &mut Option<Held>, request: &ArchiveRequest) -> Result<Answer, ArchiveError> {
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
            timeout: Some(TIMEOUT),
            marks: request.search.marks.clone(),
            ..SearchSettings::default()
        };
        let search = &request.search;
        let answer = ask(&mut open.archive, &search.index, &request.recipe, &search.query, &settings);
        *held = Some(open);
        answer
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
