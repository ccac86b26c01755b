//! The window around the canvas: regions saved as pictures, keys while dialogs are open, the next start.

use std::path::Path;

use egui::{Event, Key, Modifiers, PointerButton, Pos2, Role, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use histokin::annotation::{Annotation, Bounds, Edit, Shape};
use histokin::geometry::{Level0Point, LevelRect};
use histokin::session::AnnotationCommand;
use histokin::ui::{App, WindowOptions};
use image::RgbImage;

use crate::support::{asset, over_white};
use crate::ui::{SLIDE, wait, wait_until_sharp, window, window_with};

fn press(harness: &mut Harness<'_, App>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    harness.run_steps(8);
}

fn drag(harness: &mut Harness<'_, App>, from: Pos2, to: Pos2) {
    let button = |pos, pressed| {
        let (button, modifiers) = (PointerButton::Primary, Modifiers::NONE);
        Event::PointerButton { pos, button, pressed, modifiers }
    };
    for event in [
        Event::PointerMoved(from),
        button(from, true),
        Event::PointerMoved(from + (to - from) / 2.0),
        Event::PointerMoved(to),
        button(to, false),
    ] {
        harness.event(event);
        harness.step();
    }
    harness.run_steps(4);
}

/// Draw a region of `size` points from the middle of the canvas, and save it at the slide's own pixels.
fn save_region(harness: &mut Harness<'_, App>, size: Vec2, path: &Path) -> RgbImage {
    let middle = harness.get_by_label("slide canvas").rect().center();
    press(harness, Modifiers::COMMAND | Modifiers::SHIFT, Key::S);
    drag(harness, middle, middle + size);
    harness.get_by_label("Actual pixels (1:1)").click();
    harness.run_steps(2);
    harness.get_by_label("Include scale bar").click();
    harness.run_steps(2);
    harness.get_by_role(Role::TextInput).click();
    harness.run_steps(2);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    harness.event(Event::Text(path.display().to_string()));
    harness.run_steps(2);
    harness.get_by_label("Save").click();
    wait(harness, "the picture is there", |_| path.exists());
    image::open(path).unwrap().into_rgb8()
}

#[test]
fn a_region_is_saved_at_the_slides_own_pixels_with_what_is_drawn_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(&folder.path().join("project"), vec![asset(SLIDE)]);
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    wait_until_sharp(&mut harness);
    let id = harness.state().session().active().unwrap().id().clone();
    // Half of 1:1, so that the region has more pixels than it takes on the screen.
    press(&mut harness, Modifiers::NONE, Key::Num5);
    wait_until_sharp(&mut harness);
    press(&mut harness, Modifiers::NONE, Key::Minus);
    harness.run_steps(20);
    wait_until_sharp(&mut harness);
    let plain = save_region(&mut harness, Vec2::new(120.0, 80.0), &folder.path().join("plain.png"));
    let (width, height) = plain.dimensions();
    assert!(width.abs_diff(240) <= 2 && height.abs_diff(160) <= 2, "{width} × {height}");
    let slide = histokin::slide::open(&asset(SLIDE), None).unwrap();
    let middle = harness.state().field().unwrap().center();
    let found = (-2..=2).flat_map(|y| (-2..=2).map(move |x| (x, y))).find(|(x, y)| {
        let (x, y) = (middle.x.round() as i64 + x, middle.y.round() as i64 + y);
        let pixels = slide.read(&LevelRect { level: 0, x, y, width, height }).unwrap();
        over_white(&pixels) == plain
    });
    assert!(found.is_some(), "the region holds the slide's pixels bit by bit");

    let corner = |x: f64, y: f64| Level0Point::new(middle.x + x, middle.y + y);
    let bounds = Bounds::between(corner(60.0, 40.0), corner(180.0, 120.0));
    let edit = Edit::Add(vec![Annotation::new(Shape::Rectangle(bounds), None)]);
    harness.state_mut().command(AnnotationCommand::Edit { slide: id, edit });
    harness.run_steps(4);
    let drawn = save_region(&mut harness, Vec2::new(120.0, 80.0), &folder.path().join("drawn.png"));
    let changed = |x: u32, y: u32| drawn.get_pixel(x, y) != plain.get_pixel(x, y);
    assert!(changed(60, 80) && changed(120, 40), "outlined");
    assert!((65..175).all(|x| changed(x, 80)), "and tinted within");
    assert!((0..240.min(width)).all(|x| !changed(x, 20)), "and nowhere else");
}

#[test]
fn keys_pressed_over_a_dialog_do_nothing_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![asset(SLIDE)]);
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    wait_until_sharp(&mut harness);
    let before = harness.state().field();
    press(&mut harness, Modifiers::COMMAND, Key::P);
    assert!(harness.query_by_label("Open path").is_some());
    for key in [Key::Num7, Key::ArrowLeft, Key::Plus, Key::R, Key::Z, Key::T] {
        press(&mut harness, Modifiers::NONE, key);
    }
    harness.run_steps(20);
    assert_eq!(harness.state().field(), before);
    press(&mut harness, Modifiers::NONE, Key::Escape);
    assert!(harness.query_by_label("Open path").is_none());
    press(&mut harness, Modifiers::NONE, Key::Num7);
    harness.run_steps(20);
    assert_ne!(harness.state().field(), before, "and the keys are the slide's again");
}

#[test]
fn panes_turns_and_the_trail_are_there_again_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    let options =
        WindowOptions { state_file: Some(folder.path().join("window.toml")), ..WindowOptions::default() };
    let mut harness =
        window_with(&project, WindowOptions { paths: vec![asset("slides")], ..options.clone() });
    wait(&mut harness, "both slides are open", |app| app.session().slides().len() == 2);
    wait_until_sharp(&mut harness);
    press(&mut harness, Modifiers::COMMAND, Key::Num2);
    harness.query_all_by_label("slide canvas").nth(1).unwrap().click();
    harness.run_steps(4);
    press(&mut harness, Modifiers::ALT, Key::R);
    press(&mut harness, Modifiers::NONE, Key::Num4);
    press(&mut harness, Modifiers::ALT, Key::F);
    harness.run_steps(30);
    wait_until_sharp(&mut harness);
    let left = |harness: &Harness<'_, App>| {
        let app = harness.state();
        let fields: Vec<_> = app.fields().into_iter().map(|field| field.unwrap().center()).collect();
        (app.session().active().unwrap().id().clone(), fields)
    };
    let (active, fields) = left(&harness);
    harness.state_mut().remember();
    drop(harness);
    let view_histories = std::fs::read_dir(folder.path().join("trails")).unwrap().count();
    assert_eq!(view_histories, 2, "where the reader has looked on each slide");

    let mut harness = window_with(&project, options);
    wait(&mut harness, "both slides are shown", |app| {
        let fields = app.fields();
        fields.len() == 2 && fields.iter().all(Option::is_some)
    });
    wait_until_sharp(&mut harness);
    harness.run_steps(30);
    let (again, fields_again) = left(&harness);
    assert_eq!(again, active, "the same pane is at work");
    for (before, after) in fields.iter().zip(&fields_again) {
        assert!(before.distance_px(*after) < 4.0, "{before:?} {after:?}");
    }
    let kept = std::fs::read_to_string(folder.path().join("window.toml")).unwrap();
    assert!(kept.contains("flip_horizontal = true"), "{kept}");
    harness.state_mut().remember();
    drop(harness);
    let kept_again = std::fs::read_to_string(folder.path().join("window.toml")).unwrap();
    assert!(kept_again.contains("flip_horizontal = true"), "the second pane is still mirrored: {kept_again}");
}
