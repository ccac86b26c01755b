//! The real window, drawn without a display: what a user does, and what is then on the screen.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::{Key, Modifiers, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use histokin::encoder::DeviceChoice;
use histokin::geometry::LevelRect;
use histokin::project::Project;
use histokin::session::{SlideAnnotations, SlideCommand, SlideStatus};
use histokin::ui::{App, WindowOptions};
use image::RgbaImage;

use crate::support::asset;

pub const SLIDE: &str = "slides/CMU-1-Small-Region.svs";

pub fn window(project: &Path, paths: Vec<PathBuf>) -> Harness<'static, App> {
    window_with(project, WindowOptions { paths, ..WindowOptions::default() })
}

pub fn window_with(project: &Path, options: WindowOptions) -> Harness<'static, App> {
    let project = Project::open_or_create(project).expect("a project");
    let options = WindowOptions { device: DeviceChoice::Cpu, ..options };
    Harness::builder()
        .with_size(Vec2::new(1300.0, 860.0))
        .with_max_steps(64)
        .with_render_cursor(false)
        .wgpu()
        .build_eframe(|context| App::new(context, project, options).expect("a window"))
}

/// Let the window run until `done`.
pub fn wait<State>(harness: &mut Harness<'_, State>, what: &str, done: impl Fn(&State) -> bool) {
    let started = Instant::now();
    while !done(harness.state()) {
        assert!(started.elapsed() < Duration::from_secs(300), "waited in vain until {what}");
        harness.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    // Tiles fade in and the view comes to rest.
    harness.run_steps(4);
}

/// Whether all tiles in view are there and the slide's annotations have been read: before, none can be drawn.
pub fn is_complete(app: &App) -> bool {
    let slide = app.session().active().map(|slide| slide.id());
    let annotations = slide.and_then(|slide| app.session().annotations(slide));
    app.field().is_some() && app.is_sharp() && annotations.is_some_and(SlideAnnotations::is_loaded)
}

pub fn wait_until_sharp(harness: &mut Harness<'_, App>) {
    harness.run_steps(3);
    wait(harness, "all tiles in view are there", is_complete);
}

/// A window on the small slide at 1:1, once all tiles in view are there and its annotations are read.
pub fn open_at_one_to_one(project: &Path) -> Harness<'static, App> {
    let mut harness = window(project, vec![asset(SLIDE)]);
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    wait_until_sharp(&mut harness);
    press_and_settle(&mut harness, Modifiers::NONE, Key::Num7);
    harness
}

/// Presses a key, and lets the window run until all tiles in view are there.
pub fn press_and_settle(harness: &mut Harness<'_, App>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    harness.run_steps(8);
    wait_until_sharp(harness);
}

/// A window on the small slide once it is embedded.
pub fn embedded(project: &Path) -> Harness<'static, App> {
    let mut harness = window(project, vec![asset(SLIDE)]);
    wait_until_embedded(&mut harness, 1);
    harness
}

/// Let the window run until the active slide is embedded and at least `tiles` can be searched.
pub fn wait_until_embedded(harness: &mut Harness<'_, App>, tiles: usize) {
    wait(harness, "the slide is embedded and can be searched", |app| {
        let embedded = |status: &SlideStatus| matches!(status, SlideStatus::Embedded(_));
        app.session().active().is_some_and(|slide| embedded(&slide.status))
            && app.session().searchable_tiles() >= tiles
    });
}

/// What is on the screen. The harness waits 10 s for the driver, which draws on the processor and may need more beside
/// other tests.
pub fn picture<State>(harness: &mut Harness<'_, State>) -> RgbaImage {
    let mut tries = 0;
    loop {
        match harness.render() {
            Ok(picture) => return picture,
            Err(reason) if reason.contains("timed out") && tries < 12 => tries += 1,
            Err(reason) => panic!("nothing was drawn: {reason}"),
        }
    }
}

pub fn canvas<State>(harness: &mut Harness<'_, State>) -> RgbaImage {
    let rect = harness.get_by_label("slide canvas").rect();
    let window = picture(harness);
    let px = |points: f32| points.round() as u32;
    image::imageops::crop_imm(&window, px(rect.left()), px(rect.top()), px(rect.width()), px(rect.height()))
        .to_image()
}

#[test]
fn the_list_shows_the_row_of_the_slide_that_the_keys_went_to() {
    let folder = tempfile::tempdir().unwrap();
    let section = |number: u8| {
        let path = folder.path().join(format!("section {number:02}.png"));
        image::RgbImage::from_pixel(64, 48, image::Rgb([20 * number, 90, 140])).save(&path).unwrap();
        path
    };
    let mut harness = window(&folder.path().join("project"), (0..12).map(section).collect());
    wait(&mut harness, "the slides are open", |app| app.session().slides().len() == 12);
    let names: Vec<String> =
        harness.state().session().slides().iter().map(|slide| slide.source.info().name()).collect();
    let (first, last) = (names.first().unwrap(), names.last().unwrap());
    let row_is_seen = |harness: &Harness<'_, App>, name: &str| {
        let row = harness.get_by_role_and_label(egui::accesskit::Role::Button, name).rect();
        row.top() > 0.0 && row.bottom() < 860.0
    };
    for (key, there, elsewhere) in [(Key::PageUp, first, last), (Key::PageDown, last, first)] {
        for _ in &names {
            let shown = harness.state().session().active().map(|slide| slide.source.info().name());
            if shown.as_ref() != Some(there) {
                harness.key_press(key);
                harness.run_steps(4);
            }
        }
        // The list glides there.
        harness.run_steps(40);
        assert!(row_is_seen(&harness, there) && !row_is_seen(&harness, elsewhere), "{there}");
    }
    // Of many slides, one is found by a part of its name.
    harness.get_by_label("Part of a slide's name").click();
    harness.run_steps(3);
    harness.event(egui::Event::Text("N 07".to_owned()));
    harness.run_steps(3);
    let is_listed = |harness: &Harness<'_, App>, name: &str| {
        harness.query_by_role_and_label(egui::accesskit::Role::Button, name).is_some()
    };
    assert!(is_listed(&harness, "section 07.png") && !is_listed(&harness, "section 08.png"));
    harness.get_by_label("clear search").click();
    harness.run_steps(3);
    assert!(is_listed(&harness, "section 08.png"));
}

#[test]
fn at_one_to_one_the_canvas_shows_the_slides_pixels_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![asset(SLIDE)]);
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    wait_until_sharp(&mut harness);
    harness.key_press(Key::Num7);
    wait_until_sharp(&mut harness);
    let field = harness.state().field().unwrap();
    let picture = canvas(&mut harness);
    assert_eq!((picture.width(), picture.height()), (field.width, field.height));
    let slide = histokin::slide::open(&asset(SLIDE), None).unwrap();
    let region = LevelRect { level: 0, x: field.x, y: field.y, width: field.width, height: field.height };
    let expected = slide.read(&region).unwrap();
    // Below lie scale bar and overview.
    let compared = picture.height() - 200;
    let different = (0..compared)
        .flat_map(|y| (0..picture.width()).map(move |x| (x, y)))
        .filter(|&(x, y)| picture.get_pixel(x, y) != expected.get_pixel(x, y))
        .count();
    assert_eq!(different, 0, "of {} pixels", compared * picture.width());
    let distinct: std::collections::HashSet<_> = picture.pixels().collect();
    assert!(distinct.len() > 1000, "tissue is no plain surface");
}

#[test]
fn click_shows_matches_a_row_leads_there_and_back_returns() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let plain = canvas(&mut harness);
    harness.get_by_label("slide canvas").click();
    wait(&mut harness, "the query is answered", |app| {
        app.session().query().is_some_and(|query| query.answer.is_some() && !query.waiting)
    });
    let answer = harness.state().session().query().unwrap().answer.clone().unwrap();
    assert!(!answer.matches.is_empty());
    let tinted = canvas(&mut harness);
    let changed = plain.pixels().zip(tinted.pixels()).filter(|(before, after)| before != after).count();
    assert!(changed > 500, "matches are tinted: {changed} pixels changed");

    harness.run_steps(2);
    let before = harness.state().field().unwrap();
    harness.get_by_label_contains("match 2:").click();
    wait_until_sharp(&mut harness);
    harness.run_steps(4);
    let there = harness.state().field().unwrap();
    assert_ne!(there, before);
    let center = answer.matches[1].rect.center();
    assert!(there.center().distance_px(center) < 3.0, "{there:?} is centred on {center:?}");
    assert!(harness.state().session().query().is_some(), "the query is kept");

    harness.key_press_modifiers(Modifiers::ALT, Key::ArrowLeft);
    harness.run_steps(6);
    let back = harness.state().field().unwrap();
    assert!(back.center().distance_px(before.center()) < 3.0, "{back:?} is {before:?} again");
    assert!(back.width.abs_diff(before.width) <= 3);
}

#[test]
fn the_palette_finds_actions_and_help_lists_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![]);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::K);
    harness.run_steps(3);
    harness.event(egui::Event::Text("switch th".to_owned()));
    harness.run_steps(2);
    let theme = harness.ctx.theme();
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    assert_ne!(harness.ctx.theme(), theme, "the action was done");
    assert_eq!(harness.query_all_by_label("Switch theme").count(), 1, "and the palette closed");

    harness.key_press(Key::F1);
    harness.run_steps(3);
    assert!(harness.query_by_label("On the slide").is_some(), "help is open");
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert!(harness.query_by_label("On the slide").is_none(), "help is closed");
}

#[test]
fn what_cannot_be_opened_is_said_until_it_is_dismissed() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.svs");
    std::fs::write(&broken, b"this is no slide").unwrap();
    let project = folder.path().join("project");
    let mut harness = window(&project, vec![]);
    harness.state_mut().command(SlideCommand::Open(vec![broken]));
    wait(&mut harness, "the message is there", |app| !app.session().messages().is_empty());
    harness.run_steps(40);
    assert!(harness.query_by_label_contains("broken.svs").is_some(), "the message stays");
    harness.get_by_label("dismiss").click();
    harness.run_steps(3);
    assert!(harness.query_by_label_contains("broken.svs").is_none(), "the message is gone");
}

/// A file as the system hands it over when it is dropped.
#[derive(Debug)]
pub struct Dropped(pub PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}

#[test]
fn what_is_dropped_on_the_window_is_opened_and_offered_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![]);
    harness.run_steps(2);
    let dropped =
        [asset(SLIDE), asset("slides")].map(|path| Arc::new(Dropped(path)) as egui::DroppedFileHandle);
    harness.input_mut().dropped_files.extend(dropped);
    wait(&mut harness, "both slides are open", |app| app.session().slides().len() == 2);
    let recent = harness.state().recent();
    assert!(recent.contains(&asset(SLIDE)) && recent.contains(&asset("slides")), "{recent:?}");
}

#[test]
fn the_label_is_shown_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![asset(SLIDE)]);
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    let id = harness.state().session().active().unwrap().id().clone();
    harness.key_press(Key::I);
    harness.run_steps(3);
    let read = |app: &App, name: &str| {
        matches!(app.session().associated(&id, name), Some(histokin::session::TilePicture::Read(_)))
    };
    wait(&mut harness, "the macro is read", |app| read(app, "macro"));
    assert!(harness.state().session().associated(&id, "label").is_none(), "nobody has read the label");
    harness.get_by_label_contains("Show label").click();
    wait(&mut harness, "the label is read", |app| read(app, "label"));
    assert!(harness.query_by_label_contains("Show label").is_none());
}

#[test]
fn the_next_start_is_as_the_window_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    let state_file = Some(folder.path().join("window.toml"));
    let options = WindowOptions { state_file: state_file.clone(), ..WindowOptions::default() };
    let mut harness = window_with(&project, WindowOptions { paths: vec![asset(SLIDE)], ..options.clone() });
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    wait_until_sharp(&mut harness);
    harness.key_press(Key::Num5);
    wait_until_sharp(&mut harness);
    harness.key_press(Key::ArrowRight);
    harness.key_press(Key::F3);
    harness.key_press(Key::F4);
    wait_until_sharp(&mut harness);
    harness.run_steps(20);
    let (field, theme) = (harness.state().field().unwrap(), harness.ctx.theme());
    harness.state_mut().remember();
    drop(harness);

    let mut harness = window_with(&project, options);
    wait(&mut harness, "the slide is open again", |app| app.session().active().is_some());
    wait_until_sharp(&mut harness);
    let again = harness.state().field().unwrap();
    assert!(again.center().distance_px(field.center()) < 3.0, "{again:?} is {field:?}");
    assert!(again.width.abs_diff(field.width) < 8);
    // The test window has set its own theme, so what was kept is looked at.
    let kept = std::fs::read_to_string(folder.path().join("window.toml")).unwrap();
    assert!(theme == egui::Theme::Light && kept.contains("light_theme = true"), "{kept}");
    assert!(harness.query_by_label("Matches").is_none(), "the list of matches stays closed");
    assert_eq!(harness.state().recent(), [asset(SLIDE)]);
}
