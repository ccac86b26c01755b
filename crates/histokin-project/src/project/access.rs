//! Write access to a project: one program at a time, and none that is older than the project.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::format::FORMAT;
use super::{Holder, LockError, Project, ProjectError, ProjectLock};
use histokin_core::durable;

/// Write access to a project, held until the last copy is dropped. `None` for a project that was not claimed.
pub type Claim = Option<Arc<ProjectLock>>;

/// Whether this program may write to a project.
#[derive(Debug, Clone)]
pub(super) enum Access {
    /// The project was not claimed yet.
    Unclaimed,
    /// This process holds the lock.
    Claimed(Arc<ProjectLock>),
    /// The project must not be written, for the given reason.
    ReadOnly(ReadOnly),
}

/// Reason why a project is read-only.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadOnly {
    /// It is open in another window or program; carries the holder if it is known.
    InUse(Option<Holder>),
    /// It was written by a newer version of the program.
    Newer {
        /// Format of the project file.
        found: u32,
        /// Version of the program that wrote it, if the file states it.
        written_by: Option<String>,
    },
    /// The folder is not writable; carries the system's message.
    NotWritable(String),
}

impl std::fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse(Some(holder)) => {
                write!(f, "it is in use {holder}. Close it there, then open it here again")
            }
            Self::InUse(None) => {
                f.write_str("another program is writing to it. Close that program, then open it here again")
            }
            Self::Newer { found, written_by } => {
                let by =
                    written_by.as_deref().map_or("a newer version".to_owned(), |by| format!("version {by}"));
                write!(
                    f,
                    "it was written by {by} of histokin (format {found}, this one supports {FORMAT}). \
                     Update histokin to work with it"
                )
            }
            Self::NotWritable(reason) => {
                write!(
                    f,
                    "its folder cannot be written to ({reason}). Copy it to a folder that you can write to"
                )
            }
        }
    }
}

impl Project {
    /// Claims the project for writing. If that is not possible, it becomes read-only; [`Self::read_only`]
    /// returns the reason. Temporary files of an earlier crash are deleted, and a project file of an older
    /// program is replaced with one of this version, keeping a copy of the old one.
    ///
    /// # Errors
    /// When the new file cannot be written.
    pub fn claim(mut self) -> Result<Self, ProjectError> {
        if !matches!(self.access, Access::Unclaimed) {
            return Ok(self);
        }
        self.access = match ProjectLock::acquire(&self.root) {
            Ok(lock) => Access::Claimed(lock),
            Err(LockError::Held(holder)) => Access::ReadOnly(ReadOnly::InUse(holder)),
            Err(LockError::Io(error)) => Access::ReadOnly(ReadOnly::NotWritable(error.to_string())),
        };
        if self.read_only().is_none() {
            // The index folder is left out: programs that only search also write to it.
            for folder in [".", "thumbnails", "descriptors", "annotations", "concepts", "models", "reports"] {
                durable::sweep(&self.root.join(folder));
            }
            for run in fs::read_dir(self.root.join("runs")).into_iter().flatten().flatten() {
                durable::sweep(&run.path());
            }
            if self.older.is_some() {
                self.save()?;
                self.older = None;
            }
        }
        Ok(self)
    }

    /// Opens the project in `root` for writing, or creates an empty one there.
    ///
    /// # Errors
    /// [`ProjectError::ReadOnly`] if the project cannot be claimed; otherwise as [`Self::open`].
    pub fn open_to_write(root: &Path) -> Result<Self, ProjectError> {
        let project = Self::open_or_create(root)?.claim()?;
        project.require_writable()?;
        Ok(project)
    }

    /// Returns the reason why the project is read-only; `None` if it is writable.
    pub fn read_only(&self) -> Option<&ReadOnly> {
        match &self.access {
            Access::ReadOnly(why) => Some(why),
            Access::Unclaimed | Access::Claimed(_) => None,
        }
    }

    /// Checks that the project is writable.
    ///
    /// # Errors
    /// [`ProjectError::ReadOnly`] with the reason, if it is read-only.
    pub fn require_writable(&self) -> Result<(), ProjectError> {
        match self.read_only() {
            Some(why) => Err(ProjectError::ReadOnly { root: self.root.clone(), why: why.clone() }),
            None => Ok(()),
        }
    }

    /// Returns a copy of the claim, to be kept for as long as the caller may write.
    pub fn shared_claim(&self) -> Claim {
        match &self.access {
            Access::Claimed(lock) => Some(lock.clone()),
            Access::Unclaimed | Access::ReadOnly(_) => None,
        }
    }

    /// Returns the program that claimed the project last, if it ended without releasing its lock.
    pub fn left_by(&self) -> Option<&Holder> {
        match &self.access {
            Access::Claimed(lock) => lock.left_by.as_ref(),
            Access::Unclaimed | Access::ReadOnly(_) => None,
        }
    }
}
