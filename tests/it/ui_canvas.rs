//! The slide under the hand: turning, mirroring, panning.

use egui::{Key, Modifiers, PointerButton, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use histokin::geometry::{Level0Rect, LevelRect};
use histokin::ui::App;
use image::{RgbaImage, imageops};

use crate::support::asset;
use crate::ui::{SLIDE, canvas, wait, wait_until_sharp, window};

/// Height at the bottom of the canvas where scale bar and overview lie, in pixels.
const COVERED: u32 = 200;

fn open_at_one_to_one(project: &std::path::Path) -> Harness<'static, App> {
    let mut harness = window(project, vec![asset(SLIDE)]);
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    wait_until_sharp(&mut harness);
    press(&mut harness, Modifiers::NONE, Key::Num7);
    harness
}

fn press(harness: &mut Harness<'_, App>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    harness.run_steps(8);
    wait_until_sharp(harness);
}

fn slide_pixels(field: Level0Rect) -> RgbaImage {
    let slide = histokin::slide::open(&asset(SLIDE), None).unwrap();
    let region = LevelRect { level: 0, x: field.x, y: field.y, width: field.width, height: field.height };
    slide.read(&region).unwrap()
}

/// How many pixels differ above the scale bar.
fn different(shown: &RgbaImage, expected: &RgbaImage) -> usize {
    assert_eq!(shown.dimensions(), expected.dimensions());
    let compared = shown.width() * (shown.height() - COVERED);
    shown.pixels().zip(expected.pixels()).take(compared as usize).filter(|(a, b)| a != b).count()
}

#[test]
fn quarter_turns_and_mirrors_show_the_slides_pixels_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_at_one_to_one(folder.path());
    let expect = |harness: &mut Harness<'_, App>, turned: fn(&RgbaImage) -> RgbaImage, what: &str| {
        let field = harness.state().field().unwrap();
        assert_eq!(different(&canvas(harness), &turned(&slide_pixels(field))), 0, "{what}");
    };
    expect(&mut harness, RgbaImage::clone, "upright");
    press(&mut harness, Modifiers::NONE, Key::R);
    expect(&mut harness, imageops::rotate90, "turned right");
    press(&mut harness, Modifiers::NONE, Key::F);
    expect(&mut harness, |slide| imageops::flip_horizontal(&imageops::rotate90(slide)), "and mirrored");
    press(&mut harness, Modifiers::SHIFT, Key::F);
    expect(&mut harness, imageops::rotate270, "and mirrored the other way");
    press(&mut harness, Modifiers::NONE, Key::U);
    expect(&mut harness, RgbaImage::clone, "upright again");
}

#[test]
fn the_hand_pans_with_the_left_button_and_turns_with_alt() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_at_one_to_one(folder.path());
    let before = harness.state().field().unwrap();
    let middle = harness.get_by_label("slide canvas").rect().center();
    let drag = |by: Vec2, modifiers: Modifiers, harness: &mut Harness<'_, App>| {
        let from = middle + Vec2::new(0.0, -150.0);
        let button = |pressed, pos| egui::Event::PointerButton {
            pos,
            button: PointerButton::Primary,
            pressed,
            modifiers,
        };
        harness.event(egui::Event::ModifiersChanged(modifiers));
        for event in [egui::Event::PointerMoved(from), button(true, from)] {
            harness.event(event);
            harness.step();
        }
        for step in 1..=4 {
            harness.event(egui::Event::PointerMoved(from + by * (step as f32 / 4.0)));
            harness.step();
        }
        // The pointer rests, so that nothing is thrown.
        harness.run_steps(4);
        harness.event(button(false, from + by));
        harness.step();
        harness.event(egui::Event::ModifiersChanged(Modifiers::NONE));
        harness.run_steps(8);
    };
    drag(Vec2::new(120.0, 40.0), Modifiers::NONE, &mut harness);
    let panned = harness.state().field().unwrap();
    assert_eq!((panned.x, panned.y), (before.x - 120, before.y - 40));

    // From above the middle to its right: a quarter turn clockwise about the middle.
    drag(Vec2::new(150.0, 150.0), Modifiers::ALT, &mut harness);
    wait_until_sharp(&mut harness);
    let turned = harness.state().field().unwrap();
    assert_eq!((turned.width, turned.height), (panned.height, panned.width));
    assert!(turned.center().distance_px(panned.center()) < 1.5);
    assert_eq!(different(&canvas(&mut harness), &imageops::rotate90(&slide_pixels(turned))), 0);
}
