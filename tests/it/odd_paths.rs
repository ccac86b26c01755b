//! Names of files that are no text, and readers of the output that go away.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use histokin::project::Project;
use serde_json::Value;

use crate::support::asset;

/// A folder and a slide in it, both called by bytes that are no UTF-8.
fn latin(folder: &Path) -> PathBuf {
    let folder = folder.join(OsStr::from_bytes(b"Pr\xe4parate"));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(OsStr::from_bytes(b"caf\xe9.svs"));
    fs::copy(asset("slides/CMU-1-Small-Region.svs"), &path).unwrap();
    path
}

fn histokin(folder: &Path, arguments: &[&OsStr]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_histokin"));
    command.env("XDG_STATE_HOME", folder).env("XDG_DATA_HOME", folder).args(arguments);
    command.output().unwrap()
}

fn json(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

#[test]
fn a_slide_whose_name_is_no_text_is_read_embedded_and_asked() {
    let folder = tempfile::tempdir().unwrap();
    let slide = latin(folder.path());
    let project = folder.path().join("project");
    let run = |arguments: &[&OsStr]| histokin(folder.path(), arguments);
    for isolate in ["--isolate=always", "--isolate=never"] {
        let info = json(&run(&["info".as_ref(), slide.as_ref(), "--json".as_ref(), isolate.as_ref()]));
        assert_eq!(info["width"], 2220);
        assert!(info["path"].as_str().unwrap().ends_with("caf\u{fffd}.svs"), "{info}");
        let bytes = info["path_bytes"].as_str().unwrap();
        assert!(bytes.ends_with("636166e92e737673"), "{bytes}");
    }
    let embed = |slides: &[&OsStr]| {
        let options = ["--mpp", "0.5", "--device", "cpu", "--json"].map(OsStr::new);
        json(&run(&[&["embed".as_ref(), project.as_ref()], slides, &options].concat()))
    };
    let embedded = embed(&[slide.as_ref()]);
    assert_eq!(embedded["slides"][0]["tiles_failed"], 0);
    // The project finds it again.
    let again = embed(&[]);
    assert_eq!(again["slides"][0]["slide_id"], embedded["slides"][0]["slide_id"]);
    assert_eq!(again["slides"][0]["path_bytes"], embedded["slides"][0]["path_bytes"]);
    let known = Project::open(&project).unwrap();
    assert_eq!(known.slide_path(&known.slides()[0]), fs::canonicalize(&slide).unwrap());
    let id = known.slides()[0].id.short().to_owned();
    let query = ["query".as_ref(), project.as_os_str(), "--slide".as_ref(), id.as_ref()];
    let query = [&query[..], &["--at", "1000,1500", "-k", "2", "--json"].map(OsStr::new)].concat();
    assert_eq!(json(&run(&query))["matches"].as_array().unwrap().len(), 2);
    for format in ["npy", "trident", "safetensors"] {
        let to = folder.path().join(format);
        let options = ["--format".as_ref(), format.as_ref(), "--to".as_ref(), to.as_os_str()];
        let done = run(&[&["export".as_ref(), project.as_os_str()], &options[..]].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn one_bad_file_is_named_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join(OsString::from_vec(b"b\xe4d.svs".to_vec()));
    fs::write(&bad, "no slide").unwrap();
    let dash = folder.path().join("-dash.svs");
    fs::copy(asset("slides/CMU-1-Small-Region.svs"), &dash).unwrap();
    let (first, last) = (latin(folder.path()), dash);
    for isolate in ["--isolate=always", "--isolate=never"] {
        let slides = [first.as_os_str(), bad.as_ref(), last.as_ref()];
        let output = histokin(
            folder.path(),
            &[&["info".as_ref(), "--json".as_ref(), isolate.as_ref()], &slides[..]].concat(),
        );
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(told.contains("b\u{fffd}d.svs: not a slide") && told.contains("1 of 3 slides"), "{told}");
        assert!(!told.contains("crash") && !told.contains("harm"), "{told}");
        let documents: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(documents.as_array().unwrap().len(), 2);
    }
    // A name that begins with a dash is a name to the decoding process too.
    let output = Command::new(env!("CARGO_BIN_EXE_histokin"))
        .current_dir(folder.path())
        .env("XDG_STATE_HOME", folder.path())
        .args(["info", "--isolate=always", "--", "-dash.svs"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_reader_that_goes_away_ends_no_command_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let slide = asset("slides/CMU-1-Small-Region.svs");
    let slide = slide.to_str().unwrap();
    let project = folder.path().join("project");
    let project = project.to_str().unwrap();
    let embed = ["embed", project, slide, "--mpp", "0.5", "--device", "cpu", "--json"];
    let mask = folder.path().join("mask.png");
    let commands: [&[&str]; 10] = [
        &embed,
        &["info", slide],
        &["info", slide, "--json"],
        &["tissue", slide, "-o", mask.to_str().unwrap(), "--json"],
        &["index", project, "--verify"],
        &["query", project, "--slide", "CMU-1-Small-Region", "--at", "1000,1500", "-k", "5"],
        &["query", project, "--slide", "CMU-1-Small-Region", "--at", "1000,1500", "-k", "5", "--json"],
        &["annotations", "list", project, "--slide", "CMU-1-Small-Region"],
        &["archive", "init", "--print"],
        &["--help"],
    ];
    for arguments in commands {
        let mut command = Command::new(env!("CARGO_BIN_EXE_histokin"));
        command.args(arguments).env("XDG_STATE_HOME", folder.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        assert!(!told.contains("ipe") && !told.contains("panic"), "{arguments:?}: {told}");
    }
    // Nobody hears of the error either: it shows in the exit status alone, which is not that of a panic.
    let mut command = Command::new(env!("CARGO_BIN_EXE_histokin"));
    command.args(["info", "none.svs"]).env("XDG_STATE_HOME", folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_trained_encoder_is_written_to_a_folder_whose_name_is_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let slide = latin(folder.path());
    let model = slide.with_file_name(OsStr::from_bytes(b"entra\xeen\xe9.safetensors"));
    let project = folder.path().join("project");
    let options = "--backbone tiny --init random --depth all --anchor 0 --steps 1 --near-mm 0.3 --far-mm 0.6 --tile-px 64 \
                   --batch 2 --device cpu --json -o";
    let mut arguments: Vec<&OsStr> = vec!["train".as_ref(), project.as_ref(), slide.as_ref()];
    arguments.extend(options.split_whitespace().map(OsStr::new));
    arguments.push(model.as_ref());
    let trained = json(&histokin(folder.path(), &arguments));
    assert!(trained["model"].as_str().unwrap().ends_with(".safetensors"), "{trained}");
    assert!(model.is_file());
}
