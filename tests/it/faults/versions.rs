//! Projects of older and of newer programs.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use histokin::annotation::{Annotation, Bounds, Edit, Shape};
use histokin::geometry::Level0Point;
use histokin::project::{PROJECT_FILE, Project, ReadOnly};
use histokin::session::{AnnotationCommand, EvaluationCommand, Job, PictureJob, Session, SlideEvent};
use histokin::slide;

use crate::support::asset;

const OF_FORMAT_1: &str = "# Made by the first version.\nformat = 1\n\n[settings]\nstain = \"lab\"\n\n\
                           [settings.tiles]\ntile_px = 224\nmpp = 0.5\n";

fn project_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(PROJECT_FILE), text).unwrap();
    folder
}

fn file(folder: &Path) -> String {
    fs::read_to_string(folder.join(PROJECT_FILE)).unwrap()
}

#[test]
fn an_older_project_is_migrated_with_a_backup_once_somebody_works_in_it() {
    let folder = project_with(OF_FORMAT_1);
    let read = Project::open(folder.path()).unwrap();
    assert_eq!(read.settings().tiles.mpp, 0.5);
    assert!(read.classes().iter().any(|class| class.name == "Tumour"), "its classes were the usual ones");
    assert_eq!(file(folder.path()), OF_FORMAT_1, "reading changes nothing");

    let claimed = read.claim().unwrap();
    assert_eq!(claimed.read_only(), None);
    let now: toml::Table = toml::from_str(&file(folder.path())).unwrap();
    assert_eq!(now["format"].as_integer(), Some(2));
    assert_eq!(now["written_by"].as_str(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(now["class"].as_array().unwrap().len(), claimed.classes().len());
    assert_eq!(now["settings"]["tiles"]["mpp"].as_float(), Some(0.5));
    let backup = folder.path().join("project.toml.format-1");
    assert_eq!(fs::read_to_string(&backup).unwrap(), OF_FORMAT_1);

    // The next start finds a project of today.
    drop(claimed);
    let before = file(folder.path());
    drop(Project::open(folder.path()).unwrap().claim().unwrap());
    assert_eq!((file(folder.path()), fs::read_to_string(&backup).unwrap()), (before, OF_FORMAT_1.to_owned()));
}

#[test]
fn a_newer_project_opens_for_reading_only_and_is_left_as_it_is() {
    let text = OF_FORMAT_1.replace("format = 1", "format = 9\nwritten_by = \"3.1\"\nshelves = [\"left\"]");
    let folder = project_with(&text);
    let project = Project::open(folder.path()).unwrap().claim().unwrap();
    let Some(ReadOnly::Newer { found: 9, written_by: Some(by) }) = project.read_only() else {
        panic!("{:?}", project.read_only())
    };
    assert_eq!(by, "3.1");
    let words = project.read_only().unwrap().to_string();
    assert!(words.contains("version 3.1") && words.contains("Update histokin"), "{words}");
    assert!(project.save().unwrap_err().to_string().contains("read-only"));

    // A slide is opened and looked at; nothing is written, and drawing is refused with the reason.
    let mut session = Session::new(project);
    let source = slide::open(&asset("slides/CMU-1-Small-Region.svs"), None).unwrap();
    let id = source.info().id.clone();
    let jobs = session.absorb(SlideEvent::Opened(source));
    assert!(jobs.iter().any(|job| matches!(job, Job::Picture(PictureJob::ReadThumbnail { .. }))));
    assert!(!jobs.iter().any(|job| matches!(job, Job::SaveProject(_))));
    let bounds = Bounds::between(Level0Point::new(0.0, 0.0), Level0Point::new(9.0, 9.0));
    let edit = Edit::Add(vec![Annotation::new(Shape::Rectangle(bounds), None)]);
    assert!(session.handle(AnnotationCommand::Edit { slide: id, edit }).is_empty());
    let told = &session.messages()[0].text;
    assert!(told.contains("annotations cannot be changed") && told.contains("format 9"), "{told}");
    assert!(session.handle(EvaluationCommand::WriteReport { pseudonymise: false }).is_empty());
    assert_eq!(file(folder.path()), text);

    // The command line says the same.
    let refused = Command::new(env!("CARGO_BIN_EXE_histokin"))
        .env("HOME", folder.path())
        .args(["embed", folder.path().to_str().unwrap(), asset("slides").to_str().unwrap()])
        .assert()
        .failure();
    let words = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(words.contains("read-only") && words.contains("version 3.1"), "{words}");
    assert_eq!(file(folder.path()), text);
}

#[test]
fn a_project_that_this_version_cannot_even_show_says_so() {
    let folder = project_with("format = 9\nsettings = 4\n");
    let words = Project::open(folder.path()).unwrap_err().to_string();
    assert!(words.contains("newer version") && words.contains("update histokin"), "{words}");
    let folder = project_with("settings = 4\n");
    assert!(Project::open(folder.path()).unwrap_err().to_string().contains("does not state its format"));
}
