//! Sets the run path (rpath) of the program and the tests, see `histokin-link`; on Windows, icon, version and manifest.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    histokin_link::set_rpath();
    if std::env::var_os("CARGO_CFG_WINDOWS").is_some() {
        let (icon, manifest) = ("packaging/windows/histokin.ico", "packaging/windows/histokin.manifest");
        println!("cargo:rerun-if-changed={icon}");
        println!("cargo:rerun-if-changed={manifest}");
        winresource::WindowsResource::new().set_icon(icon).set_manifest_file(manifest).compile()?;
    }
    Ok(())
}
