//! A department's shared archive: descriptors of many slides in PostgreSQL with pgvector, on a server that the
//! user has set up. It is the only thing that this program ever connects to.
//!
//! ```text
//! url → credentials → connection (TLS, checks) → schema → push, pull, status, remove, verify, search
//! ```
//!
//! A slide is in the archive for an encoder when its row in `descriptions` is: the transaction that writes that
//! row also writes all of its tiles, so that nothing is ever half there, and pushing again goes on where it stopped.
//! A [`search`] fetches candidates with their descriptors; the project's own query code ranks them together with the
//! project's tiles. SQL is given values as parameters only; what cannot be one, such as the width of a vector, is
//! made of numbers.
//!
//! Its address and a password for it are the project's: [`ArchiveUrl`], [`credentials::Password`].

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
