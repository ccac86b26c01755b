//! What can go wrong with an archive, in words that say what to do. No message holds a password: addresses have none,
//! and of the server's messages only the main line is repeated, never the rows that it may quote in its details.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use postgres::error::SqlState;

use super::schema::VERSION;
use super::{ArchiveUrl, UrlError};
use histokin_core::annotation::AnnotationError;
use histokin_core::descriptors::DescriptorError;
use histokin_core::query::QueryError;
use histokin_core::slide::SlideId;
use histokin_project::project::ProjectError;

/// The oldest pgvector whose index scans go on until a filter has let enough through.
pub(super) const OLDEST_PGVECTOR: (u32, u32) = (0, 8);

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("{url}: this address cannot be used: {reason}")]
    Address { url: ArchiveUrl, reason: String },
    #[error("{}: the password file was not used: {reason}", path.display())]
    PasswordFile { path: PathBuf, reason: String },
    #[error("{}: certificates cannot be read: {reason}", path.display())]
    Certificates { path: PathBuf, reason: String },
    #[error("encryption cannot be set up: {0}")]
    Encryption(String),
    #[error(
        "{url}: no connection ({reason}); check the address and the network, and whether the server runs"
    )]
    Unreachable { url: ArchiveUrl, reason: String },
    #[error(
        "{url}: the server could not prove who it is, and nothing was sent to it ({reason}); name the file with your \
         institution's certificate by sslrootcert in the address, or set sslmode=disable if the network is trusted"
    )]
    NotTrusted { url: ArchiveUrl, reason: String },
    #[error(
        "{url}: the server refused the login ({reason}); check user name and password: PGPASSWORD, then ~/.pgpass"
    )]
    LoginRefused { url: ArchiveUrl, reason: String },
    #[error("{url}: there is no such database; have it made with CREATE DATABASE, or check the address")]
    NoDatabase { url: ArchiveUrl },
    #[error(
        "{url}: pgvector is missing ({reason}); have it installed on the server (0.8 or newer), and, by an \
         administrator, CREATE EXTENSION vector in this database"
    )]
    NoPgvector { url: ArchiveUrl, reason: String },
    #[error(
        "{url}: pgvector {found} is too old, 0.8 is needed; update it and run ALTER EXTENSION vector UPDATE"
    )]
    OldPgvector { url: ArchiveUrl, found: String },
    #[error("{url}: there is no archive in this database; set it up with `histokin archive init {url}`")]
    NoArchive { url: ArchiveUrl },
    #[error(
        "{url}: the archive was set up by a newer histokin (version {found}, this one knows {VERSION}); update histokin"
    )]
    NewerSchema { url: ArchiveUrl, found: i32 },
    #[error(
        "{url}: the archive is of version {found}, this histokin needs {VERSION}; its owner updates it with `histokin archive init {url}`"
    )]
    OlderSchema { url: ArchiveUrl, found: i32 },
    #[error(
        "{url}: this login may not do that ({reason}); its owner grants it histokin_reader or histokin_writer"
    )]
    NotAllowed { url: ArchiveUrl, reason: String },
    #[error(
        "{url}: the server's disk is full ({reason}); nothing was left half done, make room there and run it again"
    )]
    Full { url: ArchiveUrl, reason: String },
    #[error(
        "{url}: the connection was lost while {doing} ({reason}); nothing is half done, run it again and it goes on \
         where it was"
    )]
    Lost { url: ArchiveUrl, doing: &'static str, reason: String },
    #[error("{url}: {doing} took too long and was given up ({reason})")]
    TooLong { url: ArchiveUrl, doing: &'static str, reason: String },
    #[error(
        "{url}: someone else is at work on it, such as another push or an index being built; try again later"
    )]
    Busy { url: ArchiveUrl },
    #[error("{url}: {doing} failed: {reason}")]
    Server { url: ArchiveUrl, doing: &'static str, reason: String },
    #[error(
        "{url}: the archive holds no descriptors of {encoder} as this project makes them; push some first"
    )]
    NoSuchEncoder { url: ArchiveUrl, encoder: String },
    #[error("{url}: {what}; run `histokin archive verify {url}`")]
    Damaged { url: ArchiveUrl, what: String },
    #[error("{url}: no slide {name:?} in the archive")]
    NoSuchSlide { url: ArchiveUrl, name: String },
    #[error("{url}: {name:?} means {count} slides of the archive; give the whole id")]
    Ambiguous { url: ArchiveUrl, name: String, count: usize },
    #[error("descriptors of {width} numbers are too wide to be indexed as {storage}: at most {most}")]
    TooWide { width: usize, storage: &'static str, most: usize },
    #[error("slide {slide} is wider or higher than 2³¹ pixels, and the archive counts no further")]
    TooLarge { slide: SlideId },
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Annotations(#[from] AnnotationError),
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl ArchiveError {
    /// Whether another try over a fresh connection may help.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }
}

/// Puts an error of the server into words.
pub(super) trait During<T> {
    fn during(self, url: &ArchiveUrl, doing: &'static str) -> Result<T, ArchiveError>;
}

impl<T> During<T> for Result<T, postgres::Error> {
    fn during(self, url: &ArchiveUrl, doing: &'static str) -> Result<T, ArchiveError> {
        self.map_err(|error| translate(&error, url, doing))
    }
}

impl<T> During<T> for Result<T, io::Error> {
    /// The stream of a COPY hands errors of the server on inside its own.
    fn during(self, url: &ArchiveUrl, doing: &'static str) -> Result<T, ArchiveError> {
        self.map_err(|error| {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<postgres::Error>()) {
                Some(inner) => translate(inner, url, doing),
                None => ArchiveError::Lost { url: url.clone(), doing, reason: error.to_string() },
            }
        })
    }
}

/// Error of a connection that is being made.
pub(super) fn of_connecting(error: &postgres::Error, url: &ArchiveUrl) -> ArchiveError {
    let (url, reason) = (url.clone(), reason(error));
    if error.as_db_error().is_some() {
        return translate(error, &url, "connecting");
    }
    if error.to_string().contains("TLS") {
        return ArchiveError::NotTrusted { url, reason };
    }
    if error.to_string().contains("authentication") || reason.contains("password missing") {
        return ArchiveError::LoginRefused { url, reason };
    }
    ArchiveError::Unreachable { url, reason }
}

/// Whether the server wants a password and was given none.
pub(super) fn wants_password(error: &postgres::Error) -> bool {
    error.source().is_some_and(|cause| cause.to_string().contains("password missing"))
}

fn translate(error: &postgres::Error, url: &ArchiveUrl, doing: &'static str) -> ArchiveError {
    let (url, reason) = (url.clone(), reason(error));
    let Some(code) = error.code() else {
        let of_the_line = error.is_closed() || error.source().is_some_and(|cause| cause.is::<io::Error>());
        return match of_the_line {
            true => ArchiveError::Lost { url, doing, reason },
            false => ArchiveError::Server { url, doing, reason },
        };
    };
    let of_pgvector = reason.contains("\"vector\"") || reason.contains("\"halfvec\"");
    match code {
        code if *code == SqlState::INVALID_PASSWORD
            || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
        {
            ArchiveError::LoginRefused { url, reason }
        }
        code if *code == SqlState::INVALID_CATALOG_NAME => ArchiveError::NoDatabase { url },
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE => ArchiveError::NotAllowed { url, reason },
        code if *code == SqlState::DISK_FULL => ArchiveError::Full { url, reason },
        code if *code == SqlState::QUERY_CANCELED => ArchiveError::TooLong { url, doing, reason },
        code if *code == SqlState::LOCK_NOT_AVAILABLE => ArchiveError::Busy { url },
        // Class 57P: the server is going down, has crashed, or is coming up.
        code if code.code().starts_with("57P") || code.code().starts_with("08") => {
            ArchiveError::Lost { url, doing, reason }
        }
        code if of_pgvector
            && [SqlState::FEATURE_NOT_SUPPORTED, SqlState::UNDEFINED_FILE, SqlState::UNDEFINED_OBJECT]
                .contains(code) =>
        {
            ArchiveError::NoPgvector { url, reason }
        }
        code if *code == SqlState::UNDEFINED_TABLE => ArchiveError::NoArchive { url },
        _ => ArchiveError::Server { url, doing, reason },
    }
}

/// What the server, or the line to it, says: one line without what it may quote of rows.
fn reason(error: &postgres::Error) -> String {
    if let Some(server) = error.as_db_error() {
        return server.message().to_owned();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
