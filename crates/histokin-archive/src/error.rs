//! Errors of an archive, with messages that say what to do. No message contains a password, because addresses
//! have none. Of the server's messages only the main line is repeated, not the details, which may quote rows.

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

/// The oldest supported pgvector: 0.8 introduced iterative index scans, which continue until enough rows pass
/// the filter.
pub(super) const OLDEST_PGVECTOR: (u32, u32) = (0, 8);

/// An error of an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The text is not an archive address.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The address has unsupported parts or names no host.
    #[error("{url}: not a valid archive address: {reason}")]
    Address {
        /// Address of the archive.
        url: ArchiveUrl,
        /// What is wrong with the address.
        reason: String,
    },
    /// The password file cannot be read, or others may read it.
    #[error("{}: the password file was not used: {reason}", path.display())]
    PasswordFile {
        /// Path of the password file.
        path: PathBuf,
        /// Why the file was not used.
        reason: String,
    },
    /// The trusted certificates cannot be read.
    #[error("{}: certificates cannot be read: {reason}", path.display())]
    Certificates {
        /// File of certificates, or `system certificates`.
        path: PathBuf,
        /// Why they cannot be read.
        reason: String,
    },
    /// TLS cannot be set up; holds the cause.
    #[error("encryption cannot be set up: {0}")]
    Encryption(String),
    /// The connection cannot be made.
    #[error(
        "{url}: no connection ({reason}); check the address and the network, and whether the server runs"
    )]
    Unreachable {
        /// Address of the archive.
        url: ArchiveUrl,
        /// Cause, as reported by the server or the system.
        reason: String,
    },
    /// The server's certificate cannot be verified.
    #[error(
        "{url}: the server's certificate could not be verified, and nothing was sent ({reason}); name the file with \
         your institution's certificate with sslrootcert in the address, or set sslmode=disable if the network is trusted"
    )]
    NotTrusted {
        /// Address of the archive.
        url: ArchiveUrl,
        /// Cause, as reported by the server or the system.
        reason: String,
    },
    /// The user name or password is wrong or missing.
    #[error(
        "{url}: the server refused the login ({reason}); check user name and password: PGPASSWORD, then ~/.pgpass"
    )]
    LoginRefused {
        /// Address of the archive.
        url: ArchiveUrl,
        /// Cause, as reported by the server or the system.
        reason: String,
    },
    /// The database does not exist.
    #[error("{url}: there is no such database; create it with CREATE DATABASE, or check the address")]
    NoDatabase {
        /// Address of the archive.
        url: ArchiveUrl,
    },
    /// The extension pgvector is not installed.
    #[error(
        "{url}: pgvector is missing ({reason}); install it on the server (0.8 or newer), and let an administrator \
         run CREATE EXTENSION vector in this database"
    )]
    NoPgvector {
        /// Address of the archive.
        url: ArchiveUrl,
        /// Cause, as reported by the server or the system.
        reason: String,
    },
    /// The extension pgvector is older than 0.8.
    #[error(
        "{url}: pgvector {found} is too old, 0.8 is needed; update it and run ALTER EXTENSION vector UPDATE"
    )]
    OldPgvector {
        /// Address of the archive.
        url: ArchiveUrl,
        /// Version of the installed extension.
        found: String,
    },
    /// The database contains no archive.
    #[error("{url}: there is no archive in this database; set it up with `histokin archive init {url}`")]
    NoArchive {
        /// Address of the archive.
        url: ArchiveUrl,
    },
    /// The archive's tables are newer than this program.
    #[error(
        "{url}: the archive was set up by a newer version of histokin (archive version {found}, this one supports {VERSION}); update histokin"
    )]
    NewerSchema {
        /// Address of the archive.
        url: ArchiveUrl,
        /// Version of the archive's tables.
        found: i32,
    },
    /// The archive's tables are older than this program requires.
    #[error(
        "{url}: the archive has version {found}, this version of histokin needs {VERSION}; its owner can update it with `histokin archive init {url}`"
    )]
    OlderSchema {
        /// Address of the archive.
        url: ArchiveUrl,
        /// Version of the archive's tables.
        found: i32,
    },
    /// The login lacks a right.
    #[error(
        "{url}: this login lacks the permission ({reason}); ask the owner of the archive to grant histokin_reader or \
         histokin_writer"
    )]
    NotAllowed {
        /// Address of the archive.
        url: ArchiveUrl,
        /// Cause, as reported by the server or the system.
        reason: String,
    },
    /// The server's disk is full.
    #[error(
        "{url}: the server's disk is full ({reason}); no slide was stored in part; free some space there and try again"
    )]
    Full {
        /// Address of the archive.
        url: ArchiveUrl,
        /// Cause, as reported by the server or the system.
        reason: String,
    },
    /// The connection was lost.
    #[error(
        "{url}: the connection was lost while {doing} ({reason}); no slide was stored in part; run the \
         same command again to continue"
    )]
    Lost {
        /// Address of the archive.
        url: ArchiveUrl,
        /// What was being done, for the message.
        doing: &'static str,
        /// Cause, as reported by the server or the system.
        reason: String,
    },
    /// A statement reached its time limit or was cancelled.
    #[error("{url}: {doing} took too long and was cancelled ({reason})")]
    TooLong {
        /// Address of the archive.
        url: ArchiveUrl,
        /// What was being done, for the message.
        doing: &'static str,
        /// Cause, as reported by the server or the system.
        reason: String,
    },
    /// Another connection holds a lock for longer than the lock timeout.
    #[error("{url}: the archive is locked by another push or an index build; try again later")]
    Busy {
        /// Address of the archive.
        url: ArchiveUrl,
    },
    /// Any other error of the server.
    #[error("{url}: {doing} failed: {reason}")]
    Server {
        /// Address of the archive.
        url: ArchiveUrl,
        /// What was being done, for the message.
        doing: &'static str,
        /// Cause, as reported by the server or the system.
        reason: String,
    },
    /// The archive has no encoder with the project's recipe.
    #[error(
        "{url}: the archive has no descriptors of {encoder} with this project's settings; push some first"
    )]
    NoSuchEncoder {
        /// Address of the archive.
        url: ArchiveUrl,
        /// Name of the encoder.
        encoder: String,
    },
    /// The archive's content is inconsistent.
    #[error("{url}: {what}; run `histokin archive verify {url}`")]
    Damaged {
        /// Address of the archive.
        url: ArchiveUrl,
        /// The inconsistency found.
        what: String,
    },
    /// No slide has this ID or name.
    #[error("{url}: no slide {name:?} in the archive")]
    NoSuchSlide {
        /// Address of the archive.
        url: ArchiveUrl,
        /// ID or name that was looked for.
        name: String,
    },
    /// Several slides match a name or the start of an ID.
    #[error("{url}: {name:?} matches {count} slides of the archive; give the complete ID")]
    Ambiguous {
        /// Address of the archive.
        url: ArchiveUrl,
        /// Name or start of an ID.
        name: String,
        /// Number of slides that match.
        count: usize,
    },
    /// The descriptors are too wide for an index.
    #[error("descriptors of {width} numbers are too wide to be indexed as {storage}: at most {most}")]
    TooWide {
        /// Numbers in a descriptor.
        width: usize,
        /// SQL type of the descriptors.
        storage: &'static str,
        /// Largest width that can be indexed.
        most: usize,
    },
    /// A coordinate on the slide does not fit into 32 bits.
    #[error("slide {slide} is wider or higher than 2³¹ pixels, the most that the archive supports")]
    TooLarge {
        /// ID of the slide.
        slide: SlideId,
    },
    /// The project's descriptors cannot be read or written.
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    /// The project cannot be read or saved.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// The project's annotations cannot be read.
    #[error(transparent)]
    Annotations(#[from] AnnotationError),
    /// The query cannot be answered.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl ArchiveError {
    /// Returns whether a retry over a new connection may succeed.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }
}

/// Converts errors of the server to [`ArchiveError`].
pub(super) trait During<T> {
    /// Adds the archive's address and what was being done to an error.
    fn during(self, url: &ArchiveUrl, doing: &'static str) -> Result<T, ArchiveError>;
}

impl<T> During<T> for Result<T, postgres::Error> {
    fn during(self, url: &ArchiveUrl, doing: &'static str) -> Result<T, ArchiveError> {
        self.map_err(|error| translate(&error, url, doing))
    }
}

impl<T> During<T> for Result<T, io::Error> {
    /// Unwraps errors of the server from those of a COPY stream.
    fn during(self, url: &ArchiveUrl, doing: &'static str) -> Result<T, ArchiveError> {
        self.map_err(|error| {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<postgres::Error>()) {
                Some(inner) => translate(inner, url, doing),
                None => ArchiveError::Lost { url: url.clone(), doing, reason: error.to_string() },
            }
        })
    }
}

/// Converts an error that occurred while connecting.
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

/// Returns whether the server requires a password and none was given.
pub(super) fn wants_password(error: &postgres::Error) -> bool {
    error.source().is_some_and(|cause| cause.to_string().contains("password missing"))
}

/// Converts an error of an open connection by its SQLSTATE code.
fn translate(error: &postgres::Error, url: &ArchiveUrl, doing: &'static str) -> ArchiveError {
    let (url, reason) = (url.clone(), reason(error));
    let Some(code) = error.code() else {
        let is_lost = error.is_closed() || error.source().is_some_and(|cause| cause.is::<io::Error>());
        return match is_lost {
            true => ArchiveError::Lost { url, doing, reason },
            false => ArchiveError::Server { url, doing, reason },
        };
    };
    let is_about_pgvector = reason.contains("\"vector\"") || reason.contains("\"halfvec\"");
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
        code if is_about_pgvector
            && [SqlState::FEATURE_NOT_SUPPORTED, SqlState::UNDEFINED_FILE, SqlState::UNDEFINED_OBJECT]
                .contains(code) =>
        {
            ArchiveError::NoPgvector { url, reason }
        }
        code if *code == SqlState::UNDEFINED_TABLE => ArchiveError::NoArchive { url },
        _ => ArchiveError::Server { url, doing, reason },
    }
}

/// Returns the main message of a server error, or the chain of causes of a connection error, as one line.
/// Details of server errors are left out, because they may quote rows.
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
