//! Logging to standard error and to rotated files of limited size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Size in bytes at which the log file is rotated.
const MAX_BYTES: u64 = 2 << 20;

/// Number of rotated files that are kept.
const KEPT: usize = 4;

/// Default level for standard error, without `--log` and `HISTOKIN_LOG`.
const STDERR_LEVEL: &str = "warn";

/// Default level for the log file.
const FILE_LEVEL: &str = "warn,histokin=info";

/// Added to a level: window system and graphics drivers report every feature that they lack and every driver that they try
/// in vain; when none is left, the window says so itself.
const DRIVERS: &str =
    "wgpu_hal=error,wgpu_hal::gles::egl=off,wgpu_core=error,naga=error,egui_wgpu=error,winit=error";

/// Starts logging. `level` is `error`, `warn`, `info`, `debug` or `trace`, or a filter for parts of the
/// program (`histokin_session::workers=debug`); it applies to standard error and to the file.
///
/// # Errors
/// When `level` is invalid. A log file that cannot be written is not an error: logging then goes to standard
/// error only.
pub fn start(level: Option<&str>) -> Result<(), String> {
    let requested = level.map(str::to_owned).or_else(|| std::env::var("HISTOKIN_LOG").ok());
    let filter = |default: &str| {
        let text = filter_text(requested.as_deref(), default);
        EnvFilter::try_new(&text).map_err(|error| format!("--log {text:?}: {error}"))
    };
    // Without internal errors: the layer would print them to standard error and panic if that is closed.
    let stderr = fmt::layer()
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .with_filter(filter(STDERR_LEVEL)?);
    let opened = file().map(|path| RotatingFile::open(&path, MAX_BYTES)).transpose();
    let (log_file, problem) = match opened {
        Ok(file) => (file, None),
        Err(error) => (None, Some(error)),
    };
    let layer =
        log_file.map(|file| fmt::layer().log_internal_errors(false).with_ansi(false).with_writer(file));
    let layer = layer.map(|layer| Ok::<_, String>(layer.with_filter(filter(FILE_LEVEL)?))).transpose()?;
    tracing_subscriber::registry().with(stderr).with(layer).init();
    if let Some(error) = problem {
        tracing::info!(%error, "no log file is written");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "started");
    Ok(())
}

/// Returns the filter for `requested`, or else for `default`. Only `off` and a filter for parts of the program say
/// themselves what is logged of graphics drivers.
fn filter_text(requested: Option<&str>, default: &str) -> String {
    match requested {
        Some(parts) if parts.contains(['=', ',']) || parts == "off" => parts.to_owned(),
        requested => format!("{},{DRIVERS}", requested.unwrap_or(default)),
    }
}

/// Path of the current log file in the user's state folder; `None` if that folder is unknown.
pub fn file() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "histokin")?;
    let folder = folders.state_dir().unwrap_or(folders.data_local_dir());
    Some(folder.join("histokin.log"))
}

/// A log file that is renamed to `<name>.1` when it reaches its size limit, `<name>.1` to `<name>.2`, and so
/// on.
struct RotatingFile {
    path: PathBuf,
    /// Size limit in bytes.
    max_bytes: u64,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    length: u64,
}

impl RotatingFile {
    fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(Self { path: path.to_owned(), max_bytes, open: Mutex::new(append(path)?) })
    }

    fn rotate(&self) -> io::Result<Open> {
        let rotated = |number: usize| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..KEPT).rev() {
            // The file may not exist yet.
            let _ = fs::rename(rotated(number), rotated(number + 1));
        }
        fs::rename(&self.path, rotated(1))?;
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
        if open.length >= self.max_bytes {
            *open = self.rotate()?;
        }
        // Whole lines: several processes may append to the file.
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
    fn the_file_is_plain_text_without_what_drivers_report_in_vain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("histokin.log");
        for requested in [None, Some("info")] {
            let log = RotatingFile::open(&path, MAX_BYTES).unwrap();
            let layer = fmt::layer().with_ansi(false).with_writer(log);
            let filter = EnvFilter::try_new(filter_text(requested, FILE_LEVEL)).unwrap();
            tracing::subscriber::with_default(
                tracing_subscriber::registry().with(layer.with_filter(filter)),
                || {
                    tracing::warn!(target: "histokin::ui", "a slide \u{1b}[31mcannot be read\u{1b}[0m");
                    tracing::warn!(target: "wgpu_hal::gles::egl", "EGL: no driver");
                    tracing::error!(target: "wgpu_hal::gles::egl", "EGL: no driver at all");
                    tracing::info!(target: "wgpu_core::device", "an adapter");
                },
            );
        }
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("cannot be read") && !text.contains('\u{1b}'), "{text:?}");
        for exact in ["warn,wgpu_hal=debug", "off"] {
            assert_eq!(filter_text(Some(exact), FILE_LEVEL), exact);
        }
    }

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
        // An existing file is appended to.
        drop(log);
        let log = RotatingFile::open(&path, 1000).unwrap();
        (&log).write_all(b"the next start\n").unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with(&newest));
    }
}
