//! What commands say when something is missing, and how the keyboard finishes dialogs and leaves pages.

use std::path::Path;

use egui::accesskit::Role;
use egui::{Event, Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use histokin::geometry::Level0Point;
use histokin::session::{EvaluationState, QueryCommand, SlideCommand};
use histokin::ui::{App, WindowOptions};

use crate::support::asset;
use crate::ui::{SLIDE, embedded, wait, window, window_with};

fn press(harness: &mut Harness<'_, App>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    harness.run_steps(4);
}

fn type_text(harness: &mut Harness<'_, App>, text: &str) {
    harness.event(Event::Text(text.to_owned()));
    harness.run_steps(3);
}

/// Runs a command by its name.
fn run_command(harness: &mut Harness<'_, App>, name: &str) {
    press(harness, Modifiers::COMMAND, Key::K);
    type_text(harness, name);
    press(harness, Modifiers::NONE, Key::Enter);
}

/// A window with pictures that have no pixel size.
fn with_pictures(folder: &Path, count: u8) -> Harness<'static, App> {
    let picture = |number: u8| {
        let path = folder.join(format!("picture {number}.png"));
        image::RgbImage::from_pixel(640, 480, image::Rgb([20 * number, 90, 140])).save(&path).unwrap();
        path
    };
    let mut harness = window(&folder.join("project"), (0..count).map(picture).collect());
    wait(&mut harness, "the pictures are open", |app| app.session().slides().len() == usize::from(count));
    harness
}

#[test]
fn a_command_that_lacks_something_says_what() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), Vec::new());
    harness.run_steps(3);
    for (modifiers, key) in [
        (Modifiers::COMMAND, Key::S),
        (Modifiers::NONE, Key::R),
        (Modifiers::NONE, Key::I),
        (Modifiers::COMMAND | Modifiers::SHIFT, Key::L),
    ] {
        press(&mut harness, modifiers, key);
        // Once in the panel of matches, and once in answer to the key.
        assert_eq!(harness.query_all_by_label("Open a slide first.").count(), 2, "{key:?}");
    }
    assert!(matches!(harness.state().session().evaluation(), EvaluationState::None));
    press(&mut harness, Modifiers::COMMAND | Modifiers::SHIFT, Key::E);
    assert!(harness.query_by_label("Measure a report first.").is_some());
    // The menu shows it before anything is pressed.
    harness.get_by_label("menu").click();
    harness.run_steps(3);
    harness.get_by_label_contains("View").click();
    harness.run_steps(6);
    let is_disabled = |name: &str| harness.get_by_label(name).accesskit_node().is_disabled();
    assert!(is_disabled("Zoom to fit") && is_disabled("Save view…"));
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    harness.state_mut().command(SlideCommand::Open(vec![asset(SLIDE)]));
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    press(&mut harness, Modifiers::NONE, Key::N);
    assert!(harness.query_by_label("Search for some tissue first.").is_some());
}

#[test]
fn enter_presses_what_has_the_focus_and_not_the_dialogs_other_button() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = with_pictures(folder.path(), 1);
    let mpp = |harness: &Harness<'_, App>| {
        harness.state().session().slides()[0].source.info().mpp.map(|mpp| mpp.mean())
    };
    press(&mut harness, Modifiers::SHIFT, Key::M);
    type_text(&mut harness, "0.5");
    harness.get_by_role_and_label(Role::Button, "Cancel").focus();
    harness.run_steps(2);
    press(&mut harness, Modifiers::NONE, Key::Enter);
    harness.run_steps(20);
    assert_eq!(mpp(&harness), None, "it was cancelled");
    assert!(harness.query_by_label("Set pixel size").is_none(), "and the dialog is closed");

    press(&mut harness, Modifiers::SHIFT, Key::M);
    type_text(&mut harness, "0.5");
    press(&mut harness, Modifiers::NONE, Key::Enter);
    wait(&mut harness, "Enter in the field confirms", |app| {
        app.session().slides()[0].source.info().mpp.is_some_and(|mpp| mpp.mean() == 0.5)
    });
}

#[test]
fn a_recent_path_is_chosen_with_the_arrow_keys() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        WindowOptions { state_file: Some(folder.path().join("window.toml")), ..WindowOptions::default() };
    let mut harness = window_with(&folder.path().join("project"), options);
    let paths = [asset(SLIDE), asset("slides/CMU-1-Small-Region-rotated-cut.tif")];
    for path in &paths {
        harness.state_mut().command(SlideCommand::Open(vec![path.clone()]));
        wait(&mut harness, "it is open", |app| app.recent().first() == Some(path));
    }
    let shown = |app: &App| app.session().active().map(|slide| slide.source.info().path.clone());
    assert_eq!(shown(harness.state()).as_ref(), Some(&paths[1]));
    press(&mut harness, Modifiers::COMMAND, Key::R);
    press(&mut harness, Modifiers::NONE, Key::ArrowDown);
    press(&mut harness, Modifiers::NONE, Key::Enter);
    wait(&mut harness, "the second path is shown", |app| shown(app).as_ref() == Some(&paths[0]));
    assert!(harness.query_by_label("Open recent").is_none());
}

#[test]
fn a_search_where_there_is_no_tissue_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let slide = harness.state().session().active().unwrap().id().clone();
    // A corner of plain glass.
    let point = Level0Point::new(60.0, 60.0);
    harness.state_mut().command(QueryCommand::At { slide, point });
    wait(&mut harness, "it is refused", |app| {
        app.session().query().is_some_and(|query| query.problem.is_some() && !query.waiting)
    });
    assert!(!harness.state().session().query().unwrap().embeds_tile);
    harness.get_by_label_contains("No tissue was detected here.");
    assert!(harness.query_by_label("Please wait").is_none());
}

#[test]
fn escape_leaves_a_page_before_it_removes_the_query() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    harness.get_by_label("slide canvas").click();
    wait(&mut harness, "the query is answered", |app| {
        app.session().query().is_some_and(|query| query.answer.is_some() && !query.waiting)
    });
    for page in ["Report", "Encoders…"] {
        run_command(&mut harness, page);
        assert!(harness.query_by_label("slide canvas").is_none(), "the page is open");
        press(&mut harness, Modifiers::NONE, Key::Escape);
        assert!(harness.query_by_label("slide canvas").is_some(), "the page is closed");
        assert!(harness.state().session().query().is_some(), "and the query is kept");
    }
    // A match of the list is on the slide, not on the page.
    press(&mut harness, Modifiers::NONE, Key::F7);
    harness.get_by_label_contains("match 2:").click();
    harness.run_steps(6);
    assert!(harness.query_by_label("slide canvas").is_some());
    press(&mut harness, Modifiers::NONE, Key::Escape);
    assert!(harness.state().session().query().is_none());
}

#[test]
fn a_slide_that_is_chosen_is_shown_in_place_of_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = with_pictures(folder.path(), 2);
    for page in ["Report", "Encoders…"] {
        run_command(&mut harness, page);
        assert!(harness.query_by_label("slide canvas").is_none());
        harness.get_by_role_and_label(Role::Button, "picture 1.png").click();
        harness.run_steps(4);
        assert!(harness.query_by_label("slide canvas").is_some());
        run_command(&mut harness, page);
        press(&mut harness, Modifiers::NONE, Key::PageUp);
        assert!(harness.query_by_label("slide canvas").is_some());
    }
    // A slide is taken off the list by name, too.
    run_command(&mut harness, "Remove slide from list");
    assert_eq!(harness.state().session().slides().len(), 1);
}

#[test]
fn the_status_line_leaves_out_what_has_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![asset(SLIDE)]);
    wait(&mut harness, "the encoder is known", |app| {
        app.session().active().is_some() && app.session().embedding().device.is_some()
    });
    let encoder = |harness: &Harness<'_, App>| {
        harness.query_all_by_label_contains("tissue-views on").next().map(|label| label.rect())
    };
    assert!(encoder(&harness).is_some());
    harness.set_size(egui::Vec2::new(720.0, 480.0));
    harness.event(Event::PointerMoved(harness.get_by_label("slide canvas").rect().center()));
    harness.run_steps(6);
    let position = harness.get_by_label_contains("  y ").rect();
    let purpose = harness.query_by_label("For research, not for diagnosis").map(|label| label.rect());
    let right = encoder(&harness).or(purpose);
    assert!(right.is_none_or(|right| right.left() > position.right()), "{right:?} over {position:?}");
}

#[test]
fn panels_give_way_to_a_page_that_needs_their_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![asset(SLIDE)]);
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    for (width, has_matches) in [(1280.0, true), (1000.0, false)] {
        harness.set_size(egui::Vec2::new(width, 700.0));
        harness.run_steps(4);
        harness.get_by_label("Similar tissue");
        press(&mut harness, Modifiers::NONE, Key::F7);
        harness.run_steps(4);
        let text = harness.get_by_label_contains("Measure compares all encoders").rect();
        let matches = harness.query_by_label("Similar tissue").map(|label| label.rect());
        assert_eq!(matches.is_some(), has_matches);
        let end = matches.map_or(width, |matches| matches.left());
        assert!(text.right() <= end, "{text} is cut off at {end}");
        press(&mut harness, Modifiers::NONE, Key::F7);
        harness.run_steps(4);
    }
}
