//! What the program notes of its running: to standard error, and to a file that does not grow for ever.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Bytes after which the file is put aside and a new one begun.
const LONGEST: u64 = 2 << 20;

/// Files put aside that are kept.
const KEPT: usize = 4;

/// What is told on standard error unless `--log` or `HISTOKIN_LOG` says otherwise.
const USUALLY_TOLD: &str = "warn,wgpu_hal=error,wgpu_core=error";

/// What the file keeps besides.
const USUALLY_KEPT: &str = "warn,histokin=info,wgpu_hal=error,wgpu_core=error";

/// Begin to note. `level` is `error`, `warn`, `info`, `debug`, `trace`, or such for parts of the program
/// (`histokin_session::workers=debug`); it holds for standard error and for the file.
///
/// # Errors
/// When `level` cannot be understood. A file that cannot be written is no error: its notes are told instead.
pub fn start(level: Option<&str>) -> Result<(), String> {
    let asked = level.map(str::to_owned).or_else(|| std::env::var("HISTOKIN_LOG").ok());
    let filter = |usual: &str| {
        let text = asked.as_deref().unwrap_or(usual);
        EnvFilter::try_new(text).map_err(|error| format!("--log {text:?}: {error}"))
    };
    // A reader of standard error that has gone is no reason to panic, as telling of it there would be.
    let told =
        fmt::layer().log_internal_errors(false).with_writer(io::stderr).with_filter(filter(USUALLY_TOLD)?);
    let opened = file().map(|path| RotatingFile::open(&path, LONGEST)).transpose();
    let (kept, problem) = match opened {
        Ok(file) => (file, None),
        Err(error) => (None, Some(error)),
    };
    let kept = kept.map(|file| fmt::layer().log_internal_errors(false).with_ansi(false).with_writer(file));
    let kept = kept.map(|layer| Ok::<_, String>(layer.with_filter(filter(USUALLY_KEPT)?))).transpose()?;
    tracing_subscriber::registry().with(told).with(kept).init();
    if let Some(error) = problem {
        tracing::info!(%error, "no log is kept");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "started");
    Ok(())
}

/// The newest file of notes, in the user's state folder; `None` where that is unknown.
pub fn file() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "histokin")?;
    let folder = folders.state_dir().unwrap_or(folders.data_local_dir());
    Some(folder.join("histokin.log"))
}

/// A file that is put aside as `<name>.1` when it has become long, `<name>.1` as `<name>.2`, and so on.
struct RotatingFile {
    path: PathBuf,
    longest: u64,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    length: u64,
}

impl RotatingFile {
    fn open(path: &Path, longest: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(Self { path: path.to_owned(), longest, open: Mutex::new(append(path)?) })
    }

    fn rotate(&self) -> io::Result<Open> {
        let aside = |number: usize| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..KEPT).rev() {
            // Those that are not there yet need no moving.
            let _ = fs::rename(aside(number), aside(number + 1));
        }
        fs::rename(&self.path, aside(1))?;
        append(&self.path)
    }
}

fn append(path: &Path) -> io::Result<Open> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    Ok(Open { file, length })
}

impl Write for &RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.length >= self.longest {
            *open = self.rotate()?;
        }
        // Whole lines: several processes may write, each at the end.
        open.file.write_all(bytes)?;
        open.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for RotatingFile {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/histokin.log");
        let log = RotatingFile::open(&path, 100).unwrap();
        for line in 0..60 {
            (&log).write_all(format!("this is the line number {line:03}\n").as_bytes()).unwrap();
        }
        let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1 + KEPT);
        let newest = fs::read_to_string(&path).unwrap();
        assert!(newest.ends_with("059\n") && newest.len() <= 130, "{newest}");
        // What is there already is gone on with.
        drop(log);
        let log = RotatingFile::open(&path, 1000).unwrap();
        (&log).write_all(b"the next start\n").unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with(&newest));
    }
}
