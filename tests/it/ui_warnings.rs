//! What the window says before something is lost: a project that another window has, annotations that cannot be saved.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use egui::{Vec2, ViewportCommand, ViewportEvent, ViewportId};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use histokin::annotation::{Annotation, Bounds, Edit, Shape};
use histokin::encoder::DeviceChoice;
use histokin::geometry::Level0Point;
use histokin::project::{LOCK_FILE, Project};
use histokin::session::{AnnotationCommand, SlideAnnotations, SlideCommand};
use histokin::ui::{App, WindowOptions};

use crate::support::asset;
use crate::ui::{SLIDE, wait, window};

#[test]
fn the_suggestion_of_the_default_encoder_stays_until_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    drop(Project::open_or_create(folder.path()).unwrap());
    // As earlier versions wrote it: without the name of the encoder.
    let file = folder.path().join("project.toml");
    let lines: Vec<String> = fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    let without: Vec<&str> =
        lines.iter().map(String::as_str).filter(|line| !line.starts_with("encoder = ")).collect();
    assert_eq!(without.len() + 1, lines.len());
    fs::write(&file, without.join("\n")).unwrap();
    let mut harness = window(folder.path(), Vec::new());
    // A quarter of a second each: longer than other notes stay.
    harness.run_steps(80);
    harness.get_by_label_contains("the default encoder of earlier versions");
    harness.get_by_label("Keep current encoder").click();
    harness.run_steps(4);
    assert!(harness.query_by_label_contains("the default encoder of earlier versions").is_none());
    assert!(!harness.state().session().project().has_former_default());
}

#[test]
fn a_second_window_on_a_project_says_who_has_it_until_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    drop(Project::open_or_create(folder.path()).unwrap());
    // As it stands there while a program on another computer works in the project.
    let lock = folder.path().join(LOCK_FILE);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 300;
    let held = format!("user = \"amina\"\nhost = \"reading-room\"\npid = 4711\nsince = {since}\n");
    fs::write(&lock, held).unwrap();
    let project = Project::open(folder.path()).unwrap().claim().unwrap();
    let options = WindowOptions { device: DeviceChoice::Cpu, ..WindowOptions::default() };
    let mut harness = Harness::builder()
        .with_size(Vec2::new(1300.0, 860.0))
        .wgpu()
        .build_eframe(|context| App::new(context, project, options).expect("a window"));
    harness.run_steps(3);
    let banner = "This project is read-only";
    harness.get_by_label_contains(banner);
    harness.get_by_label_contains("in use by amina on reading-room (process 4711), for 5 minutes");

    // As long as the other one is there, trying again brings the same.
    harness.get_by_label("Try again").click();
    harness.run_steps(3);
    std::thread::sleep(Duration::from_millis(300));
    harness.run_steps(3);
    harness.get_by_label_contains(banner);

    fs::write(&lock, "").unwrap();
    harness.get_by_label("Try again").click();
    wait(&mut harness, "the project can be written", |app| app.session().project().read_only().is_none());
    assert!(harness.query_by_label_contains(banner).is_none());
}

/// The user asks for the window to be closed; whether it would close now.
fn closes(harness: &mut Harness<'_, App>) -> bool {
    let root = harness.input_mut().viewports.entry(ViewportId::ROOT).or_default();
    root.events.push(ViewportEvent::Close);
    harness.step();
    let kept_open = commands(harness).contains(&ViewportCommand::CancelClose);
    harness.run_steps(3);
    !kept_open
}

fn commands<'a>(harness: &'a Harness<'_, App>) -> &'a [ViewportCommand] {
    &harness.output().viewport_output[&ViewportId::ROOT].commands
}

/// A window with an annotation that cannot be saved: a file lies where the project keeps annotations.
fn with_unsaved(root: &Path) -> Harness<'static, App> {
    let mut harness = window(root, vec![asset(SLIDE)]);
    wait(&mut harness, "the slide and its annotations are read", |app| {
        let slide = app.session().active();
        let annotations = slide.and_then(|slide| app.session().annotations(slide.id()));
        annotations.is_some_and(SlideAnnotations::is_loaded)
    });
    fs::remove_dir(root.join("annotations")).unwrap();
    fs::write(root.join("annotations"), "in the way").unwrap();
    let slide = harness.state().session().active().unwrap().id().clone();
    let bounds = Bounds::between(Level0Point::new(10.0, 10.0), Level0Point::new(90.0, 90.0));
    let edit = Edit::Add(vec![Annotation::new(Shape::Rectangle(bounds), None)]);
    harness.state_mut().command(AnnotationCommand::Edit { slide, edit });
    wait(&mut harness, "saving has failed", |app| {
        let mut unsaved = app.session().unsaved_annotations();
        let reason = unsaved.next().and_then(|slide| app.session().annotations(slide)?.unsaved());
        reason.is_some_and(|reason| reason.contains("annotations"))
    });
    harness
}

const DIALOG: &str = "Annotations are not saved";

#[test]
fn the_window_does_not_close_over_unsaved_annotations_until_they_are_saved() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    let mut harness = with_unsaved(&root);
    assert!(!closes(&mut harness));
    harness.get_by_label(DIALOG);
    assert!(harness.query_all_by_label_contains("CMU-1-Small-Region").count() >= 1);
    // It stays open when the user would rather go on.
    harness.get_by_label("Cancel").click();
    harness.run_steps(3);
    assert!(harness.query_by_label(DIALOG).is_none());
    assert!(!closes(&mut harness));

    fs::remove_file(root.join("annotations")).unwrap();
    // Of two buttons of this name the dialog's is drawn last; the other is the message's behind it.
    harness.query_all_by_label("Try again").last().unwrap().click();
    wait(&mut harness, "they are saved", |app| app.session().unsaved_annotations().next().is_none());
    assert_eq!(fs::read_dir(root.join("annotations")).unwrap().count(), 1);
    assert!(closes(&mut harness));
}

#[test]
fn the_window_does_not_close_over_unsaved_annotations_of_a_project_that_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let (root, next) = (folder.path().join("project"), folder.path().join("next"));
    drop(Project::open_or_create(&next).unwrap());
    let mut harness = with_unsaved(&root);
    harness.state_mut().command(SlideCommand::Open(vec![next]));
    wait(&mut harness, "the next project is open", |app| app.session().project().root().ends_with("next"));
    harness.get_by_label("Open project");
    assert!(!closes(&mut harness));
    harness.get_by_label(DIALOG);
    assert!(harness.query_all_by_label_contains("CMU-1-Small-Region.svs in ").count() >= 1);

    // Opened again, it has the annotation that the disk does not take.
    harness.query_all_by_label("Open project").last().unwrap().click();
    wait(&mut harness, "what is not saved is there again", |app| {
        let slide = app.session().active();
        slide
            .and_then(|slide| app.session().annotations(slide.id()))
            .is_some_and(|known| known.set().len() == 1)
    });
    assert!(!closes(&mut harness));
    fs::remove_file(root.join("annotations")).unwrap();
    wait(&mut harness, "it is saved", |app| {
        app.session().unsaved_annotations().next().is_none() && app.session().unsaved_elsewhere().is_empty()
    });
    assert_eq!(fs::read_dir(root.join("annotations")).unwrap().count(), 1);
}

#[test]
fn unsaved_annotations_are_given_up_only_when_the_user_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    let mut harness = with_unsaved(&root);
    assert!(!closes(&mut harness));
    harness.get_by_label("Close without saving").click();
    let mut asked_to_close = false;
    for _ in 0..3 {
        harness.step();
        asked_to_close |= commands(&harness).contains(&ViewportCommand::Close);
    }
    assert!(asked_to_close);
    assert!(closes(&mut harness));
}

#[test]
fn many_errors_leave_the_slide_its_space() {
    let folder = tempfile::tempdir().unwrap();
    let broken: Vec<_> = (1..=4)
        .map(|number| {
            let path = folder.path().join(format!("broken-{number}.svs"));
            fs::write(&path, format!("no slide {number}")).unwrap();
            path
        })
        .collect();
    let mut harness = window(&folder.path().join("project"), broken);
    wait(&mut harness, "all four are told of", |app| app.session().messages().len() == 4);
    let seen = |harness: &Harness<'_, App>| harness.query_all_by_label("Try again").count();
    harness.run_steps(3);
    assert_eq!(seen(&harness), 2);
    harness.get_by_label("Show 2 more").click();
    harness.run_steps(3);
    assert_eq!(seen(&harness), 4);
    harness.get_by_label("Show fewer").click();
    harness.run_steps(3);
    assert_eq!(seen(&harness), 2);
    harness.get_by_label("Dismiss all").click();
    wait(&mut harness, "nothing more is told", |app| app.session().messages().is_empty());
    harness.run_steps(3);
    assert_eq!(seen(&harness), 0);
}
