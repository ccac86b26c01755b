//! Writing files so that a crash at any moment leaves the old one or the new one, whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Write `bytes` to a temporary file beside `path`, sync it, rename it into place and sync the folder.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    share_as_usual(path, temporary.path())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Temporary files are their owner's alone. Give this one the access that the file it replaces has, or that
/// a new file in this folder would have, so that a shared project stays shared.
fn share_as_usual(path: &Path, temporary: &Path) -> io::Result<()> {
    let usual = match fs::metadata(path) {
        Ok(replaced) => replaced.permissions(),
        Err(_) => {
            let name = temporary.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let probe = temporary.with_file_name(format!("{name}.access"));
            let usual = File::create(&probe)?.metadata()?.permissions();
            fs::remove_file(&probe)?;
            usual
        }
    };
    fs::set_permissions(temporary, usual)
}

/// Make sure that the names in `folder` survive a power cut.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Rename a damaged file so that it is neither used nor overwritten; the new name is returned.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut number = 1;
    let aside = loop {
        let candidate = path.with_file_name(format!("{name}.damaged-{number}"));
        if !candidate.exists() {
            break candidate;
        }
        number += 1;
    };
    fs::rename(path, &aside)?;
    Ok(aside)
}
