//! A department's shared archive: descriptors of many slides in PostgreSQL with pgvector, on a server that
//! the user has set up. The program makes no other network connection.
//!
//! ```text
//! url → credentials → connection (TLS, checks) → schema → push, pull, status, remove, verify, search
//! ```
//!
//! A slide is in the archive for an encoder when it has a row in `descriptions`. The transaction that writes
//! this row also writes all tiles of the slide, so a slide is either complete or absent, and repeating an
//! interrupted push resumes it. A [`search`] fetches candidates with their descriptors; the query code of
//! `histokin-core` ranks them together with the project's tiles. Values are passed to SQL as parameters only;
//! SQL text that cannot be a parameter, such as the width of a vector, is built from numbers.
//!
//! Address and password are types of `histokin-project`: [`ArchiveUrl`], [`credentials::Password`].

mod connection;
pub mod credentials;
mod error;
mod patients;
pub mod pull;
pub mod push;
pub mod remove;
pub mod schema;
pub mod search;
pub mod status;
mod tiles;
mod tls;
pub mod verify;

pub use histokin_project::project::{ArchiveUrl, UrlError};
pub use {
    connection::{Archive, Canceller},
    error::ArchiveError,
    patients::{KEY_VARIABLE, NamedSlide, PatientCodes, PseudonymKey},
    tiles::{KnownEncoder, Storage},
};
