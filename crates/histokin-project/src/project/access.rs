//! Who may write in a project: one program at a time, and none that is older than the project.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::format::FORMAT;
use super::{Holder, LockError, Project, ProjectError, ProjectLock};
use histokin_core::durable;

/// The right to write in a project: others wait until the last copy of it is gone. Nothing where it was not claimed.
pub type Claim = Option<Arc<ProjectLock>>;

/// Whether this program may write in a project.
#[derive(Debug, Clone)]
pub(super) enum Access {
    /// Nobody has asked yet.
    Unclaimed,
    Claimed(Arc<ProjectLock>),
    ReadOnly(ReadOnly),
}

/// Why nothing is written in a project.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadOnly {
    /// It is open in another window or program.
    InUse(Option<Holder>),
    /// A newer version of the program has written it.
    Newer { found: u32, written_by: Option<String> },
    /// The folder takes no files, in the system's words.
    NotWritable(String),
}

impl std::fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse(Some(holder)) => {
                write!(f, "it is in use {holder}. Close it there, then open it here again")
            }
            Self::InUse(None) => {
                f.write_str("another program is writing in it. Close that, then open it here again")
            }
            Self::Newer { found, written_by } => {
                let by =
                    written_by.as_deref().map_or("a newer version".to_owned(), |by| format!("version {by}"));
                write!(
                    f,
                    "it was written by {by} of histokin (format {found}, this one knows {FORMAT}). \
                     Update histokin to work in it"
                )
            }
            Self::NotWritable(reason) => {
                write!(f, "its folder cannot be written to ({reason}). Copy it to where you may write")
            }
        }
    }
}

impl Project {
    /// Claim the project for writing; where that is not possible it stays read-only and says why
    /// ([`Self::read_only`]). What an earlier crash has left half-written is removed, and a file of an older
    /// program is replaced by one of this, with a copy of the old one beside it.
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
            // Parts of the index are written by those, too, who only search.
            for folder in [".", "descriptors", "annotations", "models", "reports"] {
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

    /// Open the project in `root` for writing, or make an empty one there.
    ///
    /// # Errors
    /// [`ProjectError::ReadOnly`] where this program must not write; otherwise as [`Self::open`].
    pub fn open_to_write(root: &Path) -> Result<Self, ProjectError> {
        let project = Self::open_or_create(root)?.claim()?;
        project.require_writable()?;
        Ok(project)
    }

    /// Why nothing is written in this project; `None` when it can be written.
    pub fn read_only(&self) -> Option<&ReadOnly> {
        match &self.access {
            Access::ReadOnly(why) => Some(why),
            Access::Unclaimed | Access::Claimed(_) => None,
        }
    }

    /// # Errors
    /// [`ProjectError::ReadOnly`] with the reason, where this program must not write.
    pub fn require_writable(&self) -> Result<(), ProjectError> {
        match self.read_only() {
            Some(why) => Err(ProjectError::ReadOnly { root: self.root.clone(), why: why.clone() }),
            None => Ok(()),
        }
    }

    /// The right to write in this project, to be kept as long as something may be written.
    pub fn claim_held(&self) -> Claim {
        match &self.access {
            Access::Claimed(lock) => Some(lock.clone()),
            Access::Unclaimed | Access::ReadOnly(_) => None,
        }
    }

    /// The program that claimed the project last, if it crashed before it could give it back.
    pub fn left_by(&self) -> Option<&Holder> {
        match &self.access {
            Access::Claimed(lock) => lock.left_by.as_ref(),
            Access::Unclaimed | Access::ReadOnly(_) => None,
        }
    }
}
