//! Tells the loader where the libraries that set-up fetched are, so that the program runs from the
//! build folder with no exported variable, and from a package that keeps them in `lib/` beside it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // torch-sys has `links = "tch"`: a direct dependency on it hands us this variable.
    if let Some(libtorch) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libtorch.to_string_lossy());
    }
    let openslide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("third_party/openslide/lib");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", openslide.display());
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/lib");
}
