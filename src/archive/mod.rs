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
//! [`url`] and [`password`] need no network, and are there without the feature `archive`, too.

pub mod password;
pub mod url;

#[cfg(feature = "archive")]
mod connection;
#[cfg(feature = "archive")]
pub mod credentials;
#[cfg(feature = "archive")]
mod error;
#[cfg(feature = "archive")]
mod patients;
#[cfg(feature = "archive")]
pub mod pull;
#[cfg(feature = "archive")]
pub mod push;
#[cfg(feature = "archive")]
pub mod remove;
#[cfg(feature = "archive")]
pub mod schema;
#[cfg(feature = "archive")]
pub mod search;
#[cfg(feature = "archive")]
pub mod status;
#[cfg(feature = "archive")]
mod tiles;
#[cfg(feature = "archive")]
mod tls;
#[cfg(feature = "archive")]
pub mod verify;

pub use url::{ArchiveUrl, UrlError};
#[cfg(feature = "archive")]
pub use {
    connection::{Archive, Canceller},
    error::ArchiveError,
    patients::{KEY_VARIABLE, NamedSlide, PatientCodes, PseudonymKey},
    tiles::{KnownEncoder, Storage},
};
