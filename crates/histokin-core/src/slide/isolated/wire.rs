//! What the two processes say to each other: requests as one line of JSON each, answers as one line of JSON, and
//! behind it the bytes that it announces.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::{SlideError, SlideInfo};
use crate::geometry::LevelRect;

/// Longest line that is read: room for all properties of a slide.
pub const LONGEST_LINE: u64 = 16 << 20;

/// Most bytes of a colour profile.
pub const LARGEST_PROFILE: u64 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    Read(LevelRect),
    /// A region at 1/`factor` of its resolution.
    Reduced {
        region: LevelRect,
        factor: u32,
    },
    Associated(String),
    Profile,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// The slide is open; comes unasked, once.
    Open(Box<SlideInfo>),
    /// The slide is not opened.
    Refused(Refusal),
    /// So many pixels across and down follow, as RGBA.
    Picture {
        width: u32,
        height: u32,
    },
    /// So many bytes follow, or there is no profile.
    Profile(Option<u64>),
    Failed(String),
}

/// Why a slide is not opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    pub kind: RefusalKind,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum RefusalKind {
    Missing,
    Open,
    Unsupported,
}

impl Refusal {
    pub fn of(error: SlideError) -> Self {
        let (kind, reason) = match error {
            SlideError::Missing { .. } => (RefusalKind::Missing, "there is no such file".to_owned()),
            SlideError::Open { reason, .. } => (RefusalKind::Open, reason),
            SlideError::Unsupported { reason, .. } => (RefusalKind::Unsupported, reason),
            other => (RefusalKind::Open, other.to_string()),
        };
        Self { kind, reason }
    }

    pub fn into_error(self, path: PathBuf) -> SlideError {
        let reason = self.reason;
        match self.kind {
            RefusalKind::Missing => SlideError::Missing { path },
            RefusalKind::Open => SlideError::Open { path, reason },
            RefusalKind::Unsupported => SlideError::Unsupported { path, reason },
        }
    }
}

/// The reason alone of an error of reading, as the other side knows path and region.
pub fn reason_of(error: SlideError) -> String {
    match error {
        SlideError::Read { reason, .. }
        | SlideError::ReadAssociated { reason, .. }
        | SlideError::Profile { reason, .. }
        | SlideError::Unavailable { reason, .. } => reason,
        other => other.to_string(),
    }
}
