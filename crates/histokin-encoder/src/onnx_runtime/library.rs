//! Finding and loading the library of ONNX Runtime.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;

use crate::EncoderError;
use crate::engine::Engine;
use histokin_core::platform;

/// Environment variable with the path of the library, or of the folder in which it lies.
pub(super) const VARIABLE: &str = "HISTOKIN_ONNXRUNTIME";

/// File names of the library.
#[cfg(target_os = "windows")]
const NAMES: [&str; 1] = ["onnxruntime.dll"];
#[cfg(target_os = "macos")]
const NAMES: [&str; 1] = ["libonnxruntime.dylib"];
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const NAMES: [&str; 2] = ["libonnxruntime.so", "libonnxruntime.so.1"];

/// Returns ONNX Runtime, loaded by the first call.
///
/// # Errors
/// [`EncoderError::Engine`] with what to do if there is no library or it cannot be loaded.
pub(super) fn environment() -> Result<&'static Environment, EncoderError> {
    static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let loaded = LOADED.get_or_init(load).as_ref();
    loaded.map_err(|reason| EncoderError::Engine { engine: Engine::OnnxRuntime, reason: reason.clone() })
}

/// Returns the path of the library, or a message that says what to do if there is none. It is looked for once.
pub(super) fn path() -> Result<&'static Path, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(find).as_deref().map_err(Clone::clone)
}

fn load() -> Result<Environment, String> {
    let path = path()?;
    let failed = |reason: String| {
        format!(
            "{} cannot be loaded: {reason}. Take the library out of ONNX Runtime 1.32, and set {VARIABLE} to its path",
            path.display()
        )
    };
    let builder = ort::init_from(path).map_err(|error| failed(error.to_string()))?;
    // Microsoft's builds for Windows report their use unless told not to.
    builder.with_name("histokin").with_telemetry(false).build().map_err(|error| failed(error.to_string()))
}

/// Finds the library: where the environment variable says, beside the program, in `lib/` beside it, or in the source
/// tree. The system's own is not searched for: Windows has an old one in the folder where programs look first.
fn find() -> Result<PathBuf, String> {
    if let Some(given) = std::env::var_os(VARIABLE).filter(|given| !given.is_empty()) {
        let given = PathBuf::from(given);
        return in_folder(&given)
            .or_else(|| given.is_file().then(|| given.clone()))
            .ok_or_else(|| format!("{VARIABLE} is {}, where there is no {}", given.display(), NAMES[0]));
    }
    let beside = std::env::current_exe().map(|program| platform::folders_of(&program)).unwrap_or_default();
    let source_tree = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let folders = beside
        .iter()
        .flat_map(|folder| [folder.clone(), folder.join("lib")])
        .chain(source_tree.map(|root| root.join("third_party/onnxruntime/lib")));
    folders.filter_map(|folder| in_folder(&folder)).next().ok_or_else(|| {
        format!(
            "its library {} is not beside the program; put that of ONNX Runtime 1.32 there, or set {VARIABLE} to its \
             path (`make setup` fetches it)",
            NAMES[0]
        )
    })
}

fn in_folder(folder: &Path) -> Option<PathBuf> {
    NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}
