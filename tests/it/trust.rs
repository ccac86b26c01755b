//! TorchScript modules are programs: none runs before the user has said so, and the answer holds for that very
//! module.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::asset;

fn module() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoder/tiny.pt")).unwrap()
}

/// A home with nothing in it, and a module.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::write(home.module(), module()).unwrap();
        fs::write(home.path("module.pt.toml"), "tile_px = 64\nmpp = 4.0\n").unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn module(&self) -> PathBuf {
        self.path("module.pt")
    }

    fn embed(&self, further: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_histokin"))
            .args(["embed", "project", "--device", "cpu", "--encoder", "module.pt"])
            .arg(asset("slides/CMU-1-Small-Region-rotated-cut.tif"))
            .args(further)
            .env("HOME", self.0.path())
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_STATE_HOME")
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }
}

#[test]
fn a_module_is_asked_about_once() {
    let home = Home::new();
    let refused = |output: &Output| {
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && message.contains("a TorchScript module is a program"),
            "{message}"
        );
        assert!(message.contains("module.pt") && message.contains("--trust-torchscript"), "{message}");
    };
    let accepted = |output: &Output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    refused(&home.embed(&[]));
    refused(&home.embed(&[]));
    accepted(&home.embed(&["--trust-torchscript"]));
    accepted(&home.embed(&[]));
    // Another module under the same name is another one.
    let mut changed = module();
    changed.push(0);
    fs::write(home.module(), changed).unwrap();
    refused(&home.embed(&[]));
}

#[test]
fn notes_are_kept_in_the_state_folder() {
    let home = Home::new();
    home.embed(&["--log", "debug"]);
    let log = home.path(".local/state/histokin/histokin.log");
    let notes = fs::read_to_string(&log).unwrap();
    assert!(notes.contains("started"), "{notes}");
    let output = home.embed(&["--log", "histokin=nonsense"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("--log"), "{message}");
}
