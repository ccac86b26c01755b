//! Linker arguments that set the run path (rpath) of programs and tests: they find the downloaded libraries
//! without environment variables when run from the build folder, and in `lib/` beside the program when run
//! from a package.
//!
//! Cargo passes such arguments to the linker for the programs and tests of one crate only, so every crate
//! calls this library in its `build.rs`.

use std::env;
use std::path::Path;

/// Sets the run path for a crate that uses libtorch through `histokin-encoder`, or not at all.
///
/// `histokin-encoder` has `links = "histokin_torch"`, and Cargo passes its `DEP_HISTOKIN_TORCH_…` variables
/// to crates that depend on it directly.
pub fn set_rpath() {
    let libtorch = env::var_os("DEP_HISTOKIN_TORCH_LIBTORCH");
    let callbacks = env::var("DEP_HISTOKIN_TORCH_CALLBACKS").unwrap_or_default();
    let callbacks: Vec<&str> = callbacks.split(',').filter(|name| !name.is_empty()).collect();
    set_rpath_of(libtorch.as_deref().map(Path::new), &callbacks);
}

/// Sets the run path for libtorch, OpenSlide and packages.
///
/// `libtorch` is the library folder, or `None` for a crate that does not use libtorch. `callbacks` are
/// functions that libtorch's wrapper calls in the linked program; they are exported as dynamic symbols.
pub fn set_rpath_of(libtorch: Option<&Path>, callbacks: &[&str]) {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_CFG_WINDOWS").is_some() {
        // Windows has no run path: it looks for libraries beside the program.
        return;
    }
    if let Some(libtorch) = libtorch {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libtorch.display());
    }
    for name in callbacks {
        println!("cargo:rustc-link-arg=-Wl,--export-dynamic-symbol={name}");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    if let Some(root) = root {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", root.join("third_party/openslide/lib").display());
    }
    // In a bundle of macOS, libraries have a folder of their own.
    let packaged = match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => "@executable_path/../Frameworks",
        _ => "$ORIGIN/lib",
    };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{packaged}");
}
