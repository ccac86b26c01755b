//! The slide under the hand: turning, mirroring, panning, and how its colours are shown.

use egui::{Key, Modifiers, PointerButton, Role, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use histokin::geometry::{Level0Rect, LevelRect};
use histokin::session::Colours;
use histokin::stain::StainVectors;
use histokin::stain::separation::Separation;
use histokin::ui::App;
use image::{RgbaImage, imageops};

use crate::support::{asset, over_white};
use crate::ui::{SLIDE, canvas, open_at_one_to_one, press_and_settle, wait, wait_until_sharp, window};

/// Height at the bottom of the canvas where scale bar and overview lie, in pixels.
const COVERED: u32 = 200;

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
    press_and_settle(&mut harness, Modifiers::ALT, Key::R);
    expect(&mut harness, imageops::rotate90, "turned right");
    press_and_settle(&mut harness, Modifiers::ALT, Key::F);
    expect(&mut harness, |slide| imageops::flip_horizontal(&imageops::rotate90(slide)), "and mirrored");
    press_and_settle(&mut harness, Modifiers::ALT | Modifiers::SHIFT, Key::F);
    expect(&mut harness, imageops::rotate270, "and mirrored the other way");
    press_and_settle(&mut harness, Modifiers::NONE, Key::U);
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

/// The largest difference of a channel above the scale bar.
fn largest_difference(shown: &RgbaImage, expected: impl Fn([u8; 3]) -> [u8; 3], field: Level0Rect) -> u8 {
    let slide = slide_pixels(field);
    let compared = (shown.width() * (shown.height() - COVERED)) as usize;
    let pairs = shown.pixels().zip(slide.pixels()).take(compared);
    pairs
        .flat_map(|(shown, slide)| {
            let expected = expected([slide[0], slide[1], slide[2]]);
            (0..3).map(move |channel| shown[channel].abs_diff(expected[channel]))
        })
        .max()
        .unwrap()
}

fn one_stain(stain: usize) -> impl Fn([u8; 3]) -> [u8; 3] {
    let separation = Separation::new(&StainVectors::HAEMATOXYLIN_EOSIN, stain, true);
    move |rgb| {
        let alone = separation.apply(rgb.map(|value| f32::from(value) / 255.0));
        alone.map(|value| (value * 255.0).round() as u8)
    }
}

#[test]
fn stains_and_tone_are_shown_live_and_the_slides_own_pixels_return() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_at_one_to_one(folder.path());
    let field = harness.state().field().unwrap();
    for stain in [0, 1] {
        press_and_settle(&mut harness, Modifiers::NONE, Key::C);
        let difference = largest_difference(&canvas(&mut harness), one_stain(stain), field);
        assert!(difference <= 1, "stain {stain}: off by {difference}");
    }

    press_and_settle(&mut harness, Modifiers::NONE, Key::C);
    wait(&mut harness, "the slide's colours are measured", |app| {
        matches!(app.session().active().unwrap().colours, Colours::Known(_))
    });
    harness.run_steps(4);
    let id = harness.state().session().active().unwrap().id().clone();
    let normaliser = harness.state().session().normaliser(&id).expect("the encoder is known");
    let normalised = |rgb| normaliser.shown(rgb);
    let difference = largest_difference(&canvas(&mut harness), normalised, field);
    assert!(difference <= 1, "normalised: off by {difference}");

    press_and_settle(&mut harness, Modifiers::ALT, Key::C);
    assert_eq!(different(&canvas(&mut harness), &slide_pixels(field)), 0, "own colours again");
}

#[test]
fn the_appearance_card_changes_the_picture_and_resets_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_at_one_to_one(folder.path());
    let own = canvas(&mut harness);
    press_and_settle(&mut harness, Modifiers::SHIFT, Key::C);
    harness.get_by_label("Eosin").click();
    harness.run_steps(3);
    harness.get_by_label("Reset to original colours").click();
    harness.run_steps(3);
    let slider = harness.get_by_role_and_label(Role::Slider, "Brightness").rect();
    let at = |share: f32| egui::Pos2::new(slider.left() + slider.width() * share, slider.center().y);
    harness.drag_at(at(0.3));
    harness.run_steps(2);
    harness.hover_at(at(0.32));
    harness.run_steps(2);
    harness.drop_at(at(0.32));
    harness.run_steps(3);
    press_and_settle(&mut harness, Modifiers::SHIFT, Key::C);
    let toned = canvas(&mut harness);
    let changed = own.pixels().zip(toned.pixels()).filter(|(own, toned)| own != toned).count();
    assert!(changed > own.pixels().len() / 2, "{changed} pixels changed");
    press_and_settle(&mut harness, Modifiers::ALT, Key::C);
    assert_eq!(canvas(&mut harness), own);
}

#[test]
fn panes_show_slides_side_by_side_and_move_together_when_linked() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![asset("slides")]);
    wait(&mut harness, "both slides are open", |app| app.session().slides().len() == 2);
    wait_until_sharp(&mut harness);
    let id = |harness: &Harness<'_, App>| harness.state().session().active().unwrap().id().clone();
    let first = id(&harness);
    press_and_settle(&mut harness, Modifiers::COMMAND, Key::Num2);
    assert_eq!(harness.query_all_by_label("slide canvas").count(), 2);
    let fields = |harness: &Harness<'_, App>| -> Vec<Level0Rect> {
        harness.state().fields().into_iter().map(Option::unwrap).collect()
    };
    let whole = fields(&harness);
    assert_ne!(whole[0].center(), whole[1].center(), "each pane has its own slide");

    harness.query_all_by_label("slide canvas").nth(1).unwrap().click();
    harness.run_steps(4);
    assert_ne!(id(&harness), first, "the second pane is at work");
    assert!(harness.state().session().query().is_none(), "and nothing was asked for");

    press_and_settle(&mut harness, Modifiers::COMMAND | Modifiers::ALT, Key::S);
    press_and_settle(&mut harness, Modifiers::NONE, Key::Plus);
    let near = |a: u32, b: u32| a.abs_diff(b) <= 3;
    let zoomed = fields(&harness);
    for (before, after) in whole.iter().zip(&zoomed) {
        assert!(near(after.width, before.width / 2), "{before:?} {after:?}");
    }
    press_and_settle(&mut harness, Modifiers::ALT, Key::R);
    for (before, after) in zoomed.iter().zip(fields(&harness)) {
        assert!(near(after.width, before.height) && near(after.height, before.width), "{before:?} {after:?}");
    }
    press_and_settle(&mut harness, Modifiers::COMMAND | Modifiers::ALT, Key::S);
    press_and_settle(&mut harness, Modifiers::NONE, Key::U);
    let apart = fields(&harness);
    assert!(near(apart[1].width, zoomed[1].width) && near(apart[0].width, zoomed[0].height));

    press_and_settle(&mut harness, Modifiers::COMMAND, Key::Num1);
    assert_eq!(harness.query_all_by_label("slide canvas").count(), 1);
    assert_ne!(id(&harness), first, "the pane at work stays");
}

#[test]
fn the_view_is_saved_as_it_is_with_a_scale_bar_or_without() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_at_one_to_one(&folder.path().join("project"));
    let field = harness.state().field().unwrap();
    let mut save = |name: &str, with_bar: bool| {
        let path = folder.path().join(name);
        harness.key_press_modifiers(Modifiers::COMMAND, Key::S);
        harness.run_steps(4);
        harness.get_by_role(Role::TextInput).click();
        harness.run_steps(2);
        harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
        harness.event(egui::Event::Text(path.display().to_string()));
        harness.run_steps(2);
        if !with_bar {
            harness.get_by_label("Include scale bar").click();
            harness.run_steps(2);
            harness.get_by_label("Save").click();
        } else {
            harness.key_press(Key::Enter);
        }
        wait(&mut harness, "the picture is there", |_| path.exists());
        image::open(&path).unwrap().into_rgba8()
    };
    let plain = save("plain.png", false);
    let expected = over_white(&slide_pixels(field));
    assert_eq!(image::DynamicImage::ImageRgba8(plain.clone()).into_rgb8(), expected);
    let with_bar = save("with-bar.png", true);
    let changed: Vec<(u32, u32)> = plain
        .enumerate_pixels()
        .filter(|(x, y, pixel)| with_bar.get_pixel(*x, *y) != *pixel)
        .map(|(x, y, _)| (x, y))
        .collect();
    assert!(changed.len() > 1000, "{} pixels of a scale bar", changed.len());
    assert!(changed.iter().all(|&(x, y)| x < 224 && y >= plain.height() - 72), "only in the corner");
}
