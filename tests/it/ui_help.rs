//! What the window tells of itself, and what it asks before it lets somebody else's program run.

use egui::{Event, Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use histokin::project::{Project, ProjectSettings};
use histokin::session::{EncoderState, SlideStatus};
use histokin::ui::App;

use crate::support::asset;
use crate::ui::{SLIDE, wait, window};

/// Press a key, and what was copied then.
fn copied(harness: &mut Harness<'_, App>, modifiers: Modifiers, key: Key) -> Option<String> {
    // One event, so that the first step is the frame that has it: later frames' output lacks what was copied.
    harness.event(Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers });
    let mut copied = None;
    for _ in 0..4 {
        harness.step();
        copied = copied.or_else(|| {
            harness.output().platform_output.commands.iter().find_map(|command| match command {
                egui::OutputCommand::CopyText(text) => Some(text.clone()),
                _ => None,
            })
        });
    }
    copied
}

#[test]
fn diagnostics_carry_no_paths_and_no_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![asset(SLIDE)]);
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    let text = copied(&mut harness, Modifiers::COMMAND, Key::F1).expect("it is copied");
    assert!(text.contains(env!("CARGO_PKG_VERSION")) && text.contains("1 in the project, 1 open"), "{text}");
    assert!(text.contains("graphics: ") && text.contains("OpenSlide: "), "{text}");
    for secret in [folder.path().to_str().unwrap(), "CMU-1", env!("CARGO_MANIFEST_DIR")] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn about_tells_version_and_licences() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), Vec::new());
    harness.run_steps(3);
    harness.key_press_modifiers(Modifiers::SHIFT, Key::F1);
    harness.run_steps(3);
    harness.get_by_label_contains(concat!("Version ", env!("CARGO_PKG_VERSION")));
    harness.get_by_label("LGPL 2.1");
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert!(harness.query_by_label("LGPL 2.1").is_none());
}

#[test]
fn a_module_of_others_is_asked_about_and_not_run_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("somebodys.pt");
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoder/tiny.pt");
    // Like no other module of these tests, which are allowed to run.
    let mut bytes = std::fs::read(fixture).unwrap();
    bytes.extend(b"of this test");
    std::fs::write(&module, bytes).unwrap();
    let root = folder.path().join("project");
    let mut project = Project::open_or_create(&root).unwrap();
    project.set_settings(ProjectSettings {
        encoder: Some(module.to_str().unwrap().to_owned()),
        ..ProjectSettings::default()
    });
    project.save().unwrap();
    let mut harness = window(&root, vec![asset(SLIDE)]);
    wait(&mut harness, "the encoder waits for permission", |app| {
        matches!(app.session().encoder(), EncoderState::Untrusted(_)) && app.session().active().is_some()
    });
    harness.run_steps(3);
    harness.get_by_label_contains("somebodys.pt");
    harness.get_by_label("Run it");
    harness.get_by_label("Do not run it").click();
    wait(&mut harness, "the answer is taken", |app| {
        matches!(app.session().encoder(), EncoderState::Failed(_))
    });
    let slide = harness.state().session().active().unwrap();
    assert_eq!(slide.status, SlideStatus::Checking, "it can be viewed");
    assert!(harness.query_by_label("Run it").is_none());
}
