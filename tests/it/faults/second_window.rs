//! Two programs on one project.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use histokin::project::{LOCK_FILE, Project, ReadOnly};
use histokin::session::{EmbeddingCommand, Job, OpenJob, Session};

use crate::torture::{annotating::start_drawing, until};

#[test]
fn the_second_says_who_has_it_and_only_reads_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    let saved: Arc<AtomicUsize> = Arc::default();
    let mut first = start_drawing(&root, folder.path(), saved.clone());
    until("the first one has saved something", || saved.load(Ordering::SeqCst) > 0);

    let second = Project::open(&root).unwrap().claim().unwrap();
    let Some(ReadOnly::InUse(Some(holder))) = second.read_only().cloned() else {
        panic!("{:?}", second.read_only())
    };
    assert_eq!(holder.pid, first.id());
    let words = second.read_only().unwrap().to_string();
    assert!(words.contains(&format!("process {}", first.id())) && words.contains(&holder.host), "{words}");
    // It can be looked at, in it nothing can be changed.
    let annotations = second.annotations();
    let slide = second.slides()[0].id.clone();
    let set = annotations.load(&slide).unwrap().set;
    assert!(!set.is_empty());
    assert!(annotations.save(&slide, &set).unwrap_err().to_string().contains("read-only"));
    let mut session = Session::new(second);
    assert!(session.handle(EmbeddingCommand::Resume).is_empty());
    assert!(session.messages()[0].text.contains(&holder.to_string()[..12]), "{}", session.messages()[0].text);
    assert!(!session.is_embedding_left());
    drop(session);

    let import = || {
        let file = folder.path().join("one.geojson");
        fs::write(&file, r#"{"type": "FeatureCollection", "features": []}"#).unwrap();
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_histokin"));
        command.args(["annotations", "import", root.to_str().unwrap(), "--slide", "CMU-1-Small-Region"]);
        command.arg(&file).env("HOME", folder.path());
        command
    };
    let refused = import().assert().failure();
    let words = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(words.contains("in use") && words.contains(&first.id().to_string()), "{words}");

    // A crash leaves the name in the file, which keeps nobody out, and is told.
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(fs::read_to_string(root.join(LOCK_FILE)).unwrap().contains(&first.id().to_string()));
    import().assert().success();
    assert_eq!(fs::read_to_string(root.join(LOCK_FILE)).unwrap(), "", "given back");
}

#[test]
fn a_project_that_is_left_is_free_and_one_that_crashed_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let project = Project::open_or_create(folder.path()).unwrap().claim().unwrap();
    let held = project.shared_claim();
    drop(project);
    let text = fs::read_to_string(folder.path().join(LOCK_FILE)).unwrap();
    assert!(text.contains("pid"), "held for as long as something may be written");
    drop(held);
    assert_eq!(fs::read_to_string(folder.path().join(LOCK_FILE)).unwrap(), "");

    fs::write(folder.path().join(LOCK_FILE), text.replace("pid = ", "pid = 9")).unwrap();
    let mut session = Session::new(Project::open(folder.path()).unwrap().claim().unwrap());
    let jobs = session.start();
    assert!(jobs.iter().any(|job| matches!(job, Job::Open(OpenJob::ReadEncoderSpec(_)))));
    assert!(session.messages()[0].text.contains("was not closed properly"), "{}", session.messages()[0].text);
}
