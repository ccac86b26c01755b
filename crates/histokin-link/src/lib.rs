//! Tells the loader where the libraries that set-up fetched are, so that what is built runs from the build folder
//! with no exported variable, and from a package that keeps them in `lib/` beside the program.
//!
//! Cargo hands such arguments to the linker for one crate's programs and tests only: so every crate calls this in its
//! `build.rs`.

use std::env;
use std::path::Path;

/// For a crate that uses libtorch, if at all, by `histokin-encoder`: that has `links = "histokin_torch"`, and its direct
/// dependents are handed these variables.
pub fn tell_loader() {
    let libtorch = env::var_os("DEP_HISTOKIN_TORCH_LIBTORCH");
    let callbacks = env::var("DEP_HISTOKIN_TORCH_CALLBACKS").unwrap_or_default();
    let callbacks: Vec<&str> = callbacks.split(',').filter(|name| !name.is_empty()).collect();
    tell_loader_of(libtorch.as_deref().map(Path::new), &callbacks);
}

/// The folder of libtorch, where the crate uses it, and the functions that libtorch's wrapper calls in what is linked.
pub fn tell_loader_of(libtorch: Option<&Path>, callbacks: &[&str]) {
    println!("cargo:rerun-if-changed=build.rs");
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
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/lib");
}
