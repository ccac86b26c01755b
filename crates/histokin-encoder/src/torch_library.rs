//! Loading of libtorch on first use.
//!
//! Loading takes 0.3 s and 116 MB, which is wasted if the window only shows slides. `build.rs` moves
//! torch-sys's C functions into a shared library and replaces each by a jump. The first call of any of them,
//! or [`load`], loads the library and fills the table of jump targets. If `build.rs` cannot do this, libtorch
//! is loaded at process start, as usual.

/// Loads libtorch if it is not loaded yet. Should be called before any other use of libtorch, since it
/// returns an error if loading fails, whereas a call of a libtorch function would terminate the process.
///
/// # Errors
/// A message if the library or a part of it is missing.
pub(super) fn load() -> Result<(), String> {
    #[cfg(torch_on_demand)]
    return on_demand::load();
    #[cfg(not(torch_on_demand))]
    Ok(())
}

#[cfg(torch_on_demand)]
#[expect(unsafe_code, reason = "the table of libtorch's functions is filled with what the loader finds")]
mod on_demand {
    use std::ffi::{CStr, c_char, c_void};
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicPtr, Ordering};

    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

    unsafe extern "C" {
        /// Target address of each jump; as many as there are names.
        static histokin_torch_functions: AtomicPtr<c_void>;
        /// Zero-terminated function names in sequence; an empty name marks the end.
        static histokin_torch_names: c_char;
    }

    pub(super) fn load() -> Result<(), String> {
        static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
        LOADED.get_or_init(fill_table).clone()
    }

    /// Loads the library; called by the jumps until the table is filled.
    #[unsafe(no_mangle)]
    extern "C" fn histokin_load_torch() {
        if let Err(reason) = load() {
            // The caller expects a result of libtorch, so an error cannot be returned to it.
            eprintln!("histokin: {reason}");
            std::process::abort();
        }
    }

    fn fill_table() -> Result<(), String> {
        let path = library_path();
        // SAFETY: libtorch's initialisers have no precondition. RTLD_GLOBAL makes its CUDA library and its
        // C++ exceptions use the same symbols.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }.map_err(|error| {
            format!("libtorch cannot be loaded from {}: {error}; `make setup` fetches it", path.display())
        })?;
        // SAFETY: `build.rs` writes names and table with the same length and terminates the names with an
        // empty one. A jump reads its table entry atomically, before or after it is written.
        unsafe {
            let (mut name, mut place) =
                (&raw const histokin_torch_names, &raw const histokin_torch_functions);
            while *name != 0 {
                let text = CStr::from_ptr(name);
                let function = library.get::<*mut c_void>(text.to_bytes_with_nul());
                let function = function.map_err(|error| format!("{}: {error}", path.display()))?;
                (*place).store(function.into_raw(), Ordering::Release);
                name = name.add(text.to_bytes_with_nul().len());
                place = place.add(1);
            }
        }
        // The library must stay loaded, because the table points into it.
        std::mem::forget(library);
        Ok(())
    }

    /// Returns the library's path: in `lib/` next to the program in a package, otherwise where it was built.
    fn library_path() -> PathBuf {
        let built = Path::new(env!("HISTOKIN_TORCH_LIBRARY"));
        let packaged = std::env::current_exe().ok().and_then(|program| {
            let path = program.parent()?.join("lib").join(built.file_name()?);
            path.exists().then_some(path)
        });
        packaged.unwrap_or_else(|| built.to_owned())
    }
}
