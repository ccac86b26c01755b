//! Which TorchScript modules may run.
//!
//! A module is a program: whoever made it decides what it does on this machine. One that has not run here before
//! is run only after the user has said so; then it is known again by its content, wherever it lies.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::EncoderError;
use super::weights::MOST_BYTES;
use histokin_core::descriptors::hex;
use histokin_core::{durable, untrusted};

/// The most that the list of modules may hold, in bytes.
const LONGEST_LIST: u64 = 1 << 20;

/// Whether the user has allowed all modules that are loaded in this run of the program.
static ALL: AtomicBool = AtomicBool::new(false);

/// SHA-256 of modules that were allowed in this run of the program.
static ALLOWED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Allow every module that this run of the program loads, and remember those (`--trust-torchscript`).
pub fn allow_all() {
    ALL.store(true, Ordering::Relaxed);
}

/// Allow the module at `path`, and remember it for later runs.
///
/// # Errors
/// When the module cannot be read, or the list of modules not be written.
pub fn allow(path: &Path) -> io::Result<()> {
    let identity = allow_for_now(path)?;
    remember(&identity)
}

/// Allow the module at `path` as long as the program runs; its SHA-256.
///
/// # Errors
/// When the module cannot be read.
pub fn allow_for_now(path: &Path) -> io::Result<String> {
    let identity = identity(&untrusted::read(path, MOST_BYTES)?);
    ALLOWED.lock().unwrap_or_else(PoisonError::into_inner).insert(identity.clone());
    Ok(identity)
}

/// Whether the module that `module` are the bytes of may run.
///
/// # Errors
/// [`EncoderError::Untrusted`] when the user has not said so.
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

/// The list of modules, among the user's own data: a SHA-256 a line.
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
