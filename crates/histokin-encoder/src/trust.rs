//! Permission to run TorchScript modules.
//!
//! A module is a program that can execute arbitrary operations on the user's computer. A new module is run
//! only after the user has allowed it; after that it is recognised by its content, regardless of its path.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

#[cfg(any(feature = "torch", test))]
use super::EncoderError;
use super::weights::MOST_BYTES;
use histokin_core::descriptors::hex;
use histokin_core::{durable, untrusted};

/// Maximum size of the list of allowed modules, in bytes.
const LONGEST_LIST: u64 = 1 << 20;

/// Whether the user has allowed all modules that are loaded in this run of the program.
static ALL: AtomicBool = AtomicBool::new(false);

/// SHA-256 of modules that were allowed in this run of the program.
static ALLOWED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Allows every module that is loaded until the program ends, and remembers them for later runs
/// (`--trust-torchscript`).
pub fn allow_all() {
    ALL.store(true, Ordering::Relaxed);
}

/// Allows the module at `path`, and remembers it for later runs.
///
/// # Errors
/// An I/O error if the module cannot be read or the list of modules cannot be written.
pub fn allow(path: &Path) -> io::Result<()> {
    let identity = allow_for_now(path)?;
    remember(&identity)
}

/// Allows the module at `path` until the program ends, and returns its SHA-256.
///
/// # Errors
/// An I/O error if the module cannot be read.
pub fn allow_for_now(path: &Path) -> io::Result<String> {
    let identity = identity(&untrusted::read(path, MOST_BYTES)?);
    ALLOWED.lock().unwrap_or_else(PoisonError::into_inner).insert(identity.clone());
    Ok(identity)
}

/// Checks that the module with the content `module` may run; `path` is used in the error message.
///
/// # Errors
/// [`EncoderError::Untrusted`] if the user has not allowed it.
#[cfg(any(feature = "torch", test))]
pub(super) fn check(path: &Path, module: &[u8]) -> Result<(), EncoderError> {
    let identity = identity(module);
    if ALLOWED.lock().unwrap_or_else(PoisonError::into_inner).contains(&identity) {
        return Ok(());
    }
    let remembered = list().and_then(|path| read(&path)).unwrap_or_default();
    if remembered.lines().any(|line| line == identity) {
        return Ok(());
    }
    if ALL.load(Ordering::Relaxed) {
        if let Err(error) = remember(&identity) {
            tracing::warn!(%error, "it will be asked again whether this module may run");
        }
        return Ok(());
    }
    Err(EncoderError::Untrusted { path: path.to_owned() })
}

fn identity(module: &[u8]) -> String {
    hex(&Sha256::digest(module))
}

/// Returns the path of the list of allowed modules in the user's data folder; it has one SHA-256 per line.
fn list() -> io::Result<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "histokin");
    let folders =
        folders.ok_or_else(|| io::Error::new(ErrorKind::NotFound, "your home folder is unknown"))?;
    Ok(folders.data_dir().join("trusted-torchscript.txt"))
}

fn read(list: &Path) -> io::Result<String> {
    match untrusted::read_text(list, LONGEST_LIST) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

fn remember(identity: &str) -> io::Result<()> {
    let path = list()?;
    let mut text = read(&path)?;
    text.push_str(identity);
    text.push('\n');
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    durable::write(&path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_known_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("module.pt");
        std::fs::write(&path, "the bytes of a module of this very test").unwrap();
        let module = std::fs::read(&path).unwrap();
        let text = check(&path, &module).unwrap_err().to_string();
        assert!(text.contains("module.pt") && text.contains("--trust-torchscript"), "{text}");
        allow_for_now(&path).unwrap();
        check(Path::new("elsewhere.pt"), &module).unwrap();
        assert!(check(&path, b"other bytes under the same name").is_err());
    }
}
