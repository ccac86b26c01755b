//! libtorch, loaded when it is first needed.
//!
//! Loading it takes 0.3 s and 116 MB, which a window that only shows slides should not spend. `build.rs` puts
//! torch-sys' C functions into a shared library and a jump in the place of each; the first call of any of
//! them, or [`load`], loads the library and fills the table that the jumps go through. Where `build.rs` could
//! not do this, libtorch is loaded when the process starts, as usual.

/// Load libtorch unless that was done already. Whoever calls this before any other use of libtorch gets a
/// reason if it cannot be loaded; a call of libtorch itself would end the process then.
///
/// # Errors
/// In words, when the library or a part of it is missing.
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
        /// Where each jump goes; as many as there are names.
        static histokin_torch_functions: AtomicPtr<c_void>;
        /// Names one after the other, each ended by a zero; an empty one is the last.
        static histokin_torch_names: c_char;
    }

    pub(super) fn load() -> Result<(), String> {
        static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
        LOADED.get_or_init(fill_table).clone()
    }

    /// Called by the jumps as long as the table is not filled.
    #[unsafe(no_mangle)]
    extern "C" fn histokin_load_torch() {
        if let Err(reason) = load() {
            // The caller awaits a result of libtorch's, and there is no way to give it another.
            eprintln!("histokin: {reason}");
            std::process::abort();
        }
    }

    fn fill_table() -> Result<(), String> {
        let path = library_path();
        // SAFETY: the initialisers of libtorch have no precondition. Global, so that its CUDA half and what
        // it throws find the same symbols.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }.map_err(|error| {
            format!("libtorch cannot be loaded from {}: {error}; `make setup` fetches it", path.display())
        })?;
        // SAFETY: `build.rs` wrote names and table with the same length, and ends the names with an empty one.
        // A jump reads its place of the table in one piece, before or after it is written.
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
        // What the table points into has to stay.
        std::mem::forget(library);
        Ok(())
    }

    /// In a package it lies in `lib/` beside the program, else where it was built.
    fn library_path() -> PathBuf {
        let built = Path::new(env!("HISTOKIN_TORCH_LIBRARY"));
        let packaged = std::env::current_exe().ok().and_then(|program| {
            let path = program.parent()?.join("lib").join(built.file_name()?);
            path.exists().then_some(path)
        });
        packaged.unwrap_or_else(|| built.to_owned())
    }
}
