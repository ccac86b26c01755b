//! What leaves the program: exports and reports carry no path, no name of a user, and nothing of what a scanner
//! wrote on the label or into the file about people and places; and nothing goes over a network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{asset, text};

const PERSON: &str = "drimogenquill";

/// Words that the slide's file holds about where, when and by whom it was scanned.
const OF_THE_SCANNER: [&str; 3] = ["b414003d-95c6-48b0-9369-8010ed517ba7", "CPAPERIOCS", "12/29/09"];

/// A person's folder with a project of one embedded slide.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Self { folder };
        fs::create_dir_all(home.path("Doe^Jane 1950-01-01")).unwrap();
        fs::create_dir(home.path("out")).unwrap();
        fs::copy(asset("slides/CMU-1-Small-Region.svs"), home.slide()).unwrap();
        fs::copy(
            asset("slides/CMU-1-Small-Region-rotated-cut.tif"),
            home.slide().with_file_name("case-8.tif"),
        )
        .unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(PERSON).join(name)
    }

    fn slide(&self) -> PathBuf {
        self.path("Doe^Jane 1950-01-01/case-7.svs")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("USER", PERSON).env("LOGNAME", PERSON).env("HOME", self.path(""));
        command.env_remove("XDG_STATE_HOME").env_remove("XDG_DATA_HOME").current_dir(self.path("out"));
        command
    }

    fn histokin(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = self.command(env!("CARGO_BIN_EXE_histokin"));
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn embed(&self) {
        let (project, slide) = (self.path("project"), self.slide());
        self.histokin(&["embed", text(&project), text(&slide), "--device", "cpu"]);
    }
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() { files_below(&entry.path(), found) } else { found.push(entry.path()) }
    }
}

#[test]
fn exports_carry_neither_paths_nor_names() {
    let home = Home::new();
    home.embed();
    let (project, second) = (home.path("project"), home.slide().with_file_name("case-8.tif"));
    let project = text(&project);
    home.histokin(&["embed", project, text(&second), "--device", "cpu"]);
    let annotations = home.path("marks.geojson");
    fs::write(
        &annotations,
        r#"{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Polygon","coordinates":
           [[[500,500],[1700,500],[1700,2500],[500,2500],[500,500]]]},"properties":{"classification":{"name":"Tumor"}}}]}"#,
    )
    .unwrap();
    let labels = home.path("labels.csv");
    fs::write(
        &labels,
        "slide,x,y,width,height,label,is_tumour\n\
         case-7,0,0,1100,2900,stroma,0\ncase-7,1100,0,1100,2900,tumour,1\n\
         case-8,0,0,900,1500,stroma,0\ncase-8,900,0,880,1500,tumour,1\n",
    )
    .unwrap();
    let slide = home.slide();
    let ask = ["query", project, "--slide", "case-7", "--at", "1000,1500", "-k", "5"];
    home.histokin(&[&ask[..], &["--geojson", "geojson", "--sheet", "sheet.png"]].concat());
    fs::write(home.path("out/matches.json"), home.histokin(&[&ask[..], &["--json"]].concat())).unwrap();
    home.histokin(&["annotations", "import", project, "--slide", "case-7", text(&annotations)]);
    for file in ["marks.geojson", "marks.xml"] {
        home.histokin(&["annotations", "export", project, "--slide", "case-7", "-o", file]);
    }
    for format in ["trident", "clam", "safetensors", "npy"] {
        home.histokin(&["export", project, "--format", format, "--to", format]);
    }
    home.histokin(&["project-map", project, "--kind", "pca", "--to", "map.csv"]);
    home.histokin(&[
        "render",
        text(&slide),
        "--rect",
        "500,500,400,400",
        "--size",
        "200x200",
        "--cpu",
        "-o",
        "view.png",
    ]);
    home.histokin(&["tissue", text(&slide), "-o", "mask.png"]);
    home.histokin(&[
        "evaluate",
        project,
        "--encoder",
        "hsv-histogram",
        "--labels",
        text(&labels),
        "--draws",
        "200",
        "--report",
        "report",
    ]);
    let told = home.histokin(&["info", text(&slide), "--deidentified", "--json"]);
    fs::write(home.path("out/info.json"), told).unwrap();
    fs::write(home.path("out/info.txt"), home.histokin(&["info", text(&slide), "--deidentified"])).unwrap();

    let mut files = Vec::new();
    files_below(&home.path("out"), &mut files);
    assert!(files.len() >= 18, "everything was written: {files:?}");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        for secret in [PERSON, "Doe^Jane", "1950-01-01"].into_iter().chain(OF_THE_SCANNER) {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds {secret:?}", file.display());
        }
    }
}

#[test]
fn a_deidentified_slide_is_told_without_its_name() {
    let home = Home::new();
    let slide = home.slide();
    let whole: Value = serde_json::from_slice(&home.histokin(&["info", text(&slide), "--json"])).unwrap();
    let bare = home.histokin(&["info", text(&slide), "--json", "--deidentified"]);
    let bare: Value = serde_json::from_slice(&bare).unwrap();
    assert_eq!(whole["path"], text(&slide));
    assert_eq!(bare.get("path"), None);
    assert_eq!((&bare["slide_id"], &bare["width"]), (&whole["slide_id"], &whole["width"]));
    let told = String::from_utf8(home.histokin(&["info", text(&slide), "--deidentified"])).unwrap();
    assert!(told.contains("2220 × 2967") && !told.contains("case-7"), "{told}");
}

/// In a network namespace of its own, where not even the loopback device is up, the main job runs as ever.
#[cfg(target_os = "linux")]
#[test]
fn the_main_job_runs_without_any_network() {
    let home = Home::new();
    let unshared = |arguments: &[&str]| {
        let mut command = home.command("unshare");
        command.args(["-rn", "--"]).args(arguments);
        command.output()
    };
    if !unshared(&["true"]).is_ok_and(|output| output.status.success()) {
        crate::support::skipped::skip(format_args!("this machine lets nobody make a network namespace"));
        return;
    }
    let project = home.path("project");
    let (program, slide) = (env!("CARGO_BIN_EXE_histokin"), home.slide());
    for arguments in [
        vec![program, "embed", text(&project), text(&slide), "--device", "cpu"],
        vec![program, "query", text(&project), "--slide", "case-7", "--at", "1000,1500", "-k", "5", "--json"],
    ] {
        let output = unshared(&arguments).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What the program asks the system for while it does the main job: no socket of the internet is among it.
#[cfg(target_os = "linux")]
#[test]
fn no_socket_of_the_internet_is_ever_made() {
    let home = Home::new();
    let trace = home.path("trace");
    let project = home.path("project");
    let mut command = home.command("strace");
    command.args(["-f", "-qq", "-e", "trace=socket,connect,sendto", "-o"]).arg(&trace);
    command.arg(env!("CARGO_BIN_EXE_histokin")).arg("embed").arg(&project).arg(home.slide());
    match command.args(["--device", "cpu"]).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) if !trace.exists() || fs::read(&trace).unwrap().is_empty() => {
            crate::support::skipped::skip(format_args!(
                "strace cannot trace here: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
            return;
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => {
            crate::support::skipped::skip(format_args!("there is no strace here"));
            return;
        }
    }
    let calls = fs::read_to_string(&trace).unwrap();
    assert!(!calls.contains("AF_INET"), "{calls}");
}
