//! The protocol between the two processes: each request is one line of JSON; each answer is one line of JSON,
//! followed by the bytes that it announces.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::{SlideError, SlideInfo};
use crate::geometry::LevelRect;

/// Longest line in bytes that is read; large enough for all properties of a slide.
pub const LONGEST_LINE: u64 = 16 << 20;

/// Maximum size of a colour profile in bytes.
pub const LARGEST_PROFILE: u64 = 64 << 20;

/// A request to a decoder process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Decode a region.
    Read(LevelRect),
    /// Decode a region at 1/`factor` of its resolution.
    Reduced { region: LevelRect, factor: u32 },
    /// Decode the associated image of this name.
    Associated(String),
    /// Return the embedded colour profile.
    Profile,
}

/// An answer of a decoder process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// The slide is open; sent once, without a request.
    Open(Box<SlideInfo>),
    /// The slide cannot be opened.
    Refused(Refusal),
    /// An image of this size follows, as RGBA.
    Picture { width: u32, height: u32 },
    /// This many bytes of the profile follow; `None` if there is no profile.
    Profile(Option<u64>),
    /// The request failed; the reason.
    Failed(String),
}

/// Why a slide cannot be opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    /// Which error it is.
    pub kind: RefusalKind,
    /// Cause, in one line.
    pub reason: String,
}

/// The variant of [`SlideError`] that a refusal stands for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum RefusalKind {
    Missing,
    Open,
    Unsupported,
}

impl Refusal {
    /// Converts an error of opening a slide.
    pub fn of(error: SlideError) -> Self {
        let (kind, reason) = match error {
            SlideError::Missing { .. } => (RefusalKind::Missing, "there is no such file".to_owned()),
            SlideError::Open { reason, .. } => (RefusalKind::Open, reason),
            SlideError::Unsupported { reason, .. } => (RefusalKind::Unsupported, reason),
            other => (RefusalKind::Open, other.to_string()),
        };
        Self { kind, reason }
    }

    /// Converts back into the error, for the file at `path`.
    pub fn into_error(self, path: PathBuf) -> SlideError {
        let reason = self.reason;
        match self.kind {
            RefusalKind::Missing => SlideError::Missing { path },
            RefusalKind::Open => SlideError::Open { path, reason },
            RefusalKind::Unsupported => SlideError::Unsupported { path, reason },
        }
    }
}

/// Returns only the reason of a read error, as the other side knows path and region.
pub fn reason_of(error: SlideError) -> String {
    match error {
        SlideError::Read { reason, .. }
        | SlideError::ReadAssociated { reason, .. }
        | SlideError::Profile { reason, .. }
        | SlideError::Unavailable { reason, .. } => reason,
        other => other.to_string(),
    }
}
