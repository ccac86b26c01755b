//! Embedding shared out to jobs that know nothing of each other.

use std::path::Path;

use serde_json::Value;

use crate::support::{asset, histokin};

/// Copy the files of a folder and its folders over those of another.
fn copy_over(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_over(&path, &target),
            false => _ = std::fs::copy(&path, &target).unwrap(),
        }
    }
}

#[test]
fn shares_become_one_project_by_copying() {
    let folder = tempfile::tempdir().unwrap();
    let slides = asset("slides");
    let root = |name: &str| folder.path().join(name);
    let jobs: Vec<_> = ["1/2", "2/2"]
        .iter()
        .map(|shard| {
            let project = root(&shard.replace('/', "-"));
            let (project, slides) = (project.to_str().unwrap(), slides.to_str().unwrap());
            let mut job = std::process::Command::new(env!("CARGO_BIN_EXE_histokin"));
            job.args([
                "embed", project, slides, "--shard", shard, "--mpp", "2.0", "--device", "cpu", "--json",
            ]);
            job.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
            job.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    let mut embedded = Vec::new();
    for job in jobs {
        let done = job.wait_with_output().unwrap();
        assert!(done.status.success());
        let document: Value = serde_json::from_slice(&done.stdout).unwrap();
        embedded.push(document["slides"].as_array().unwrap().len());
    }
    assert_eq!(embedded, [1, 1], "each takes its own");

    let whole = root("whole");
    copy_over(&root("1-2"), &whole);
    let text = whole.to_str().unwrap();
    // The note of a slide without its descriptors: copying was not finished.
    copy_over(&root("2-2/slides"), &whole.join("slides"));
    let half = histokin(&["index", text, "--verify"]).assert().failure().get_output().stderr.clone();
    let half = String::from_utf8(half).unwrap();
    assert!(half.contains("has no descriptors") && half.contains("1 slide without descriptors"), "{half}");
    copy_over(&root("2-2"), &whole);
    let verified =
        histokin(&["index", text, "--verify", "--json"]).assert().success().get_output().stdout.clone();
    let verified: Value = serde_json::from_slice(&verified).unwrap();
    assert_eq!((&verified["slides"], &verified["slides_missing"]), (&2.into(), &0.into()));

    // A share of one that is larger than there are slides is no trouble.
    let spare = root("spare");
    histokin(&[
        "embed",
        spare.to_str().unwrap(),
        slides.to_str().unwrap(),
        "--shard",
        "5/5",
        "--device",
        "cpu",
    ])
    .assert()
    .success();
    // What was noted moves into project.toml when the project is next saved.
    let project = histokin::project::Project::open(&whole).unwrap();
    project.save().unwrap();
    assert_eq!(std::fs::read_dir(whole.join("slides")).unwrap().count(), 0);
    assert_eq!(histokin::project::Project::open(&whole).unwrap().slides().len(), 2);
}
