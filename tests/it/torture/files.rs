//! Whether every file below a folder is whole.

use std::fs;
use std::io::BufRead;
use std::path::Path;

use histokin::annotation::read_bytes;
use histokin::project::{PROJECT_FILE, Project};
use safetensors::SafeTensors;
use serde_json::Value;

/// Look at every file below `folder`, but for those that were being written when the program was killed.
pub fn check(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().unwrap().is_dir() {
            check(&path);
        } else if !name.starts_with(".writing-") {
            assert!(!name.contains(".damaged-"), "{name}: something was set aside as damaged");
            check_file(&path);
        }
    }
    if folder.join(PROJECT_FILE).exists() {
        Project::open(folder).unwrap();
    }
}

fn check_file(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let shown = path.display();
    match path.extension().and_then(|end| end.to_str()).unwrap_or_default() {
        "toml" => drop(toml::from_str::<toml::Table>(std::str::from_utf8(&bytes).unwrap()).unwrap()),
        "json" => {
            drop(serde_json::from_slice::<Value>(&bytes).unwrap_or_else(|error| panic!("{shown}: {error}")))
        }
        "geojson" => drop(read_bytes(&bytes, path).unwrap()),
        "safetensors" => {
            drop(SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{shown}: {error}")))
        }
        "png" => drop(image::load_from_memory(&bytes).unwrap_or_else(|error| panic!("{shown}: {error}"))),
        // Only its last record may be torn.
        "partial" => {
            let mut header = Vec::new();
            bytes.as_slice().read_until(b'\n', &mut header).unwrap();
            serde_json::from_slice::<Value>(&header).unwrap_or_else(|error| panic!("{shown}: {error}"));
        }
        "npy" => assert!(bytes.starts_with(b"\x93NUMPY") && bytes.len() > 128, "{shown}"),
        _ => {}
    }
}
