//! Annotations under the hand: drawing, selecting, reshaping, undoing, keeping, importing and exporting.

use std::sync::Arc;

use egui::{Event, Key, Modifiers, PointerButton, Pos2, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use histokin::annotation::{
    Annotation, AnnotationClass, AnnotationSet, Bounds, Shape, read_file, write_geojson,
};
use histokin::geometry::Level0Point;
use histokin::session::{AnnotationCommand, Command, SlideCommand};
use histokin::ui::App;

use crate::ui::{canvas, open_at_one_to_one, press_and_settle, wait};

fn middle(harness: &Harness<'_, App>) -> Pos2 {
    harness.get_by_label("slide canvas").rect().center()
}

fn button(pressed: bool, pos: Pos2) -> Event {
    Event::PointerButton { pos, button: PointerButton::Primary, pressed, modifiers: Modifiers::NONE }
}

/// Press at the first place, move over the others, and let go at the last.
fn drag(harness: &mut Harness<'_, App>, places: &[Pos2]) {
    for event in [Event::PointerMoved(places[0]), button(true, places[0])] {
        harness.event(event);
        harness.step();
    }
    for place in places {
        harness.event(Event::PointerMoved(*place));
        harness.step();
    }
    harness.event(button(false, places[places.len() - 1]));
    harness.run_steps(3);
}

fn click(harness: &mut Harness<'_, App>, at: Pos2) {
    for event in [Event::PointerMoved(at), button(true, at), button(false, at)] {
        harness.event(event);
        harness.step();
    }
    // Long enough that the next click makes no double click of it.
    harness.run_steps(30);
}

fn set(harness: &Harness<'_, App>) -> Arc<AnnotationSet> {
    let session = harness.state().session();
    session.annotations(session.active().unwrap().id()).unwrap().set().clone()
}

fn only(harness: &Harness<'_, App>) -> Arc<Annotation> {
    let set = set(harness);
    assert_eq!(set.len(), 1);
    set.at(0).unwrap().clone()
}

fn annotate(
    harness: &mut Harness<'_, App>,
    command: impl FnOnce(histokin::slide::SlideId) -> AnnotationCommand,
) {
    let slide = harness.state().session().active().unwrap().id().clone();
    harness.state_mut().command(Command::Annotations(command(slide)));
}

fn close_to(a: Level0Point, b: Level0Point) -> bool {
    a.distance_px(b) < 2.0
}

#[test]
fn a_rectangle_is_drawn_selected_reshaped_undone_and_there_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_at_one_to_one(folder.path());
    let at = middle(&harness);
    let plain = canvas(&mut harness);
    press_and_settle(&mut harness, Modifiers::NONE, Key::R);
    drag(&mut harness, &[at, at + Vec2::new(60.0, 30.0), at + Vec2::new(120.0, 80.0)]);
    let drawn = only(&harness);
    let center = harness.state().field().unwrap().center();
    let expected = Bounds::between(center, Level0Point::new(center.x + 120.0, center.y + 80.0));
    let bounds = drawn.shape().bounds().unwrap();
    assert!(matches!(drawn.shape(), Shape::Rectangle(_)));
    assert!(
        close_to(bounds.min, expected.min) && close_to(bounds.max, expected.max),
        "{bounds:?} {expected:?}"
    );
    harness.run_steps(20);
    let marked = canvas(&mut harness);
    let changed = plain.pixels().zip(marked.pixels()).filter(|(before, after)| before != after).count();
    assert!(changed > 120 * 80, "the area is tinted: {changed} pixels changed");

    // A corner is taken by the selecting tool, since what was drawn is selected.
    press_and_settle(&mut harness, Modifiers::SHIFT, Key::S);
    let corner = at + Vec2::new(120.0, 80.0);
    drag(&mut harness, &[corner, corner + Vec2::new(10.0, 10.0), corner + Vec2::new(50.0, 40.0)]);
    let larger = only(&harness).shape().bounds().unwrap();
    assert!(close_to(larger.max, Level0Point::new(bounds.max.x + 50.0, bounds.max.y + 40.0)), "{larger:?}");
    drag(&mut harness, &[at + Vec2::new(40.0, 40.0), at + Vec2::new(45.0, 42.0), at + Vec2::new(20.0, 30.0)]);
    let moved = only(&harness).shape().bounds().unwrap();
    assert!(close_to(moved.min, Level0Point::new(larger.min.x - 20.0, larger.min.y - 10.0)), "{moved:?}");

    press_and_settle(&mut harness, Modifiers::COMMAND, Key::Z);
    press_and_settle(&mut harness, Modifiers::COMMAND, Key::Z);
    assert_eq!(only(&harness).shape().bounds(), Some(bounds));
    press_and_settle(&mut harness, Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert_eq!(only(&harness).shape().bounds(), Some(larger));
    press_and_settle(&mut harness, Modifiers::NONE, Key::Delete);
    assert!(set(&harness).is_empty());
    press_and_settle(&mut harness, Modifiers::COMMAND, Key::Z);
    let kept = only(&harness);
    drop(harness);

    let mut again = open_at_one_to_one(folder.path());
    wait(&mut again, "annotations are read", |app| {
        let id = app.session().active().unwrap().id();
        app.session().annotations(id).unwrap().set().len() == 1
    });
    assert_eq!(only(&again).shape(), kept.shape());
}

#[test]
fn on_a_turned_slide_annotations_lie_where_they_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_at_one_to_one(folder.path());
    press_and_settle(&mut harness, Modifiers::ALT, Key::R);
    press_and_settle(&mut harness, Modifiers::ALT, Key::F);
    let at = middle(&harness);
    press_and_settle(&mut harness, Modifiers::NONE, Key::O);
    drag(&mut harness, &[at, at + Vec2::new(30.0, 60.0), at + Vec2::new(100.0, 200.0)]);
    let drawn = only(&harness);
    let bounds = drawn.shape().bounds().unwrap();
    // A quarter turn: what is wide on the screen is high on the slide.
    assert!(matches!(drawn.shape(), Shape::Ellipse(_)));
    assert!((bounds.width() - 200.0).abs() < 2.0 && (bounds.height() - 100.0).abs() < 2.0, "{bounds:?}");
    press_and_settle(&mut harness, Modifiers::NONE, Key::Escape);
    press_and_settle(&mut harness, Modifiers::NONE, Key::Escape);
    harness.run_steps(20);
    // Its colour is on the screen where the hand had drawn: at the left end of the ellipse.
    let picture = canvas(&mut harness);
    let origin = harness.get_by_label("slide canvas").rect().min;
    let place = at + Vec2::new(0.0, 100.0) - origin;
    let is_red = |x: i64, y: i64| {
        let [r, g, b, _] = picture.get_pixel((place.x as i64 + x) as u32, (place.y as i64 + y) as u32).0;
        r > 200 && g < 90 && b < 90
    };
    assert!((-3..=3).any(|x| is_red(x, 0)), "the outline passes there");
}

#[test]
fn polygon_brush_eraser_and_measures_are_drawn_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_at_one_to_one(folder.path());
    annotate(&mut harness, |_| AnnotationCommand::ChooseClass(Some(AnnotationClass::named("Stroma"))));
    let at = middle(&harness);
    press_and_settle(&mut harness, Modifiers::NONE, Key::P);
    for corner in [
        Vec2::ZERO,
        Vec2::new(100.0, 0.0),
        Vec2::new(300.0, 70.0),
        Vec2::new(100.0, 100.0),
        Vec2::new(0.0, 100.0),
    ] {
        click(&mut harness, at + corner);
        if corner.x == 300.0 {
            // A slip is taken back.
            press_and_settle(&mut harness, Modifiers::NONE, Key::Backspace);
        }
    }
    press_and_settle(&mut harness, Modifiers::NONE, Key::Enter);
    let polygon = only(&harness);
    assert!((polygon.shape().area_px2().unwrap() - 10_000.0).abs() < 300.0, "{polygon:?}");
    assert_eq!(polygon.class.as_ref().unwrap().name, "Stroma");

    // The selected area grows under the brush and gets a hole from the eraser.
    press_and_settle(&mut harness, Modifiers::NONE, Key::B);
    drag(
        &mut harness,
        &[at + Vec2::new(90.0, 50.0), at + Vec2::new(120.0, 50.0), at + Vec2::new(200.0, 50.0)],
    );
    let grown = only(&harness).shape().area_px2().unwrap();
    assert!(grown > 10_000.0 + 3000.0, "{grown}");
    press_and_settle(&mut harness, Modifiers::NONE, Key::E);
    click(&mut harness, at + Vec2::new(50.0, 50.0));
    let Shape::Polygons(parts) = only(&harness).shape().clone() else { panic!("an area") };
    assert_eq!((parts.len(), parts[0].holes.len()), (1, 1));

    press_and_settle(&mut harness, Modifiers::NONE, Key::Escape);
    press_and_settle(&mut harness, Modifiers::NONE, Key::Escape);
    press_and_settle(&mut harness, Modifiers::SHIFT, Key::L);
    drag(&mut harness, &[at - Vec2::new(0.0, 60.0), at - Vec2::new(50.0, 60.0), at - Vec2::new(100.0, 60.0)]);
    let line = set(&harness).at(1).unwrap().clone();
    assert!((line.shape().length_px().unwrap() - 100.0).abs() < 2.0, "{line:?}");
    assert!(line.is_measurement() && line.class.is_none());

    // Without a tool, a click on an outline selects instead of asking for similar tissue.
    press_and_settle(&mut harness, Modifiers::NONE, Key::Escape);
    press_and_settle(&mut harness, Modifiers::NONE, Key::Escape);
    click(&mut harness, at - Vec2::new(50.0, 60.0));
    let session = harness.state().session();
    let selection = session.annotations(session.active().unwrap().id()).unwrap().selection().to_vec();
    assert_eq!(selection, [line.id]);
    assert!(session.query().is_none());
}

#[test]
fn lines_polylines_and_the_wand_are_drawn_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_at_one_to_one(folder.path());
    let at = middle(&harness);
    press_and_settle(&mut harness, Modifiers::NONE, Key::L);
    drag(&mut harness, &[at, at + Vec2::new(30.0, 40.0), at + Vec2::new(60.0, 80.0)]);
    let line = only(&harness);
    assert!(matches!(line.shape(), Shape::Lines(lines) if lines[0].len() == 2), "{line:?}");
    assert!((line.shape().length_px().unwrap() - 100.0).abs() < 2.0, "{line:?}");

    press_and_settle(&mut harness, Modifiers::NONE, Key::V);
    for corner in [Vec2::new(-200.0, 0.0), Vec2::new(-100.0, 0.0), Vec2::new(-100.0, 100.0)] {
        click(&mut harness, at + corner);
    }
    press_and_settle(&mut harness, Modifiers::NONE, Key::Enter);
    let polyline = set(&harness).at(1).unwrap().clone();
    assert!(matches!(polyline.shape(), Shape::Lines(lines) if lines[0].len() == 3), "{polyline:?}");
    assert!((polyline.shape().length_px().unwrap() - 200.0).abs() < 3.0);

    press_and_settle(&mut harness, Modifiers::NONE, Key::W);
    let from = at + Vec2::new(0.0, 150.0);
    click(&mut harness, from);
    for _ in 0..200 {
        if set(&harness).len() == 3 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        harness.step();
    }
    let region = set(&harness).at(2).expect("the wand has found a region").clone();
    let field = harness.state().field().unwrap().center();
    let clicked = Level0Point::new(field.x, field.y + 150.0);
    let bounds = region.shape().bounds().unwrap();
    assert!(region.shape().is_area() && bounds.grown(2.0).contains(clicked), "{bounds:?} {clicked:?}");
    assert!(bounds.width() <= 149.0 && bounds.height() <= 149.0, "within the window at 1:1: {bounds:?}");

    // Annotations hide, fill and show as in QuPath.
    let picture = |harness: &mut Harness<'_, App>| {
        harness.run_steps(12);
        canvas(harness)
    };
    press_and_settle(&mut harness, Modifiers::NONE, Key::Escape);
    press_and_settle(&mut harness, Modifiers::NONE, Key::Escape);
    let filled = picture(&mut harness);
    press_and_settle(&mut harness, Modifiers::NONE, Key::F);
    let outlined = picture(&mut harness);
    press_and_settle(&mut harness, Modifiers::NONE, Key::A);
    let hidden = picture(&mut harness);
    press_and_settle(&mut harness, Modifiers::NONE, Key::G);
    let grid = picture(&mut harness);
    let changed = |a: &image::RgbaImage, b: &image::RgbaImage| {
        a.pixels().zip(b.pixels()).filter(|(a, b)| a != b).count()
    };
    assert!(changed(&filled, &outlined) > 50, "areas are no longer filled");
    assert!(changed(&outlined, &hidden) > 100, "annotations are hidden");
    assert!(changed(&hidden, &grid) > 500, "the grid is shown");
}

#[test]
fn the_region_of_the_wand_is_added_although_another_tool_is_chosen_before_it_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_at_one_to_one(folder.path());
    let at = middle(&harness);
    press_and_settle(&mut harness, Modifiers::NONE, Key::W);
    for events in [vec![Event::PointerMoved(at)], vec![button(true, at), button(false, at)]] {
        events.into_iter().for_each(|event| harness.event(event));
        harness.step();
    }
    // A tool whose annotations are measurements, which the region is not.
    press_and_settle(&mut harness, Modifiers::SHIFT, Key::L);
    for _ in 0..200 {
        if set(&harness).len() == 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        harness.step();
    }
    let region = only(&harness);
    assert!(region.shape().is_area() && !region.is_measurement(), "{region:?}");
}

#[test]
fn files_are_imported_when_opened_and_exported_by_path_and_ten_thousand_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_at_one_to_one(&folder.path().join("project"));
    let plain = canvas(&mut harness);
    let field = harness.state().field().unwrap();
    let (left, top) = (field.x as f64, field.y as f64);
    let many: AnnotationSet = (0..10_000)
        .map(|number| {
            let at =
                Level0Point::new(left + f64::from(number % 100) * 4.0, top + f64::from(number / 100) * 4.0);
            let bounds = Bounds::between(at, Level0Point::new(at.x + 3.0, at.y + 3.0));
            Annotation::new(Shape::Ellipse(bounds), Some(AnnotationClass::named("Immune cells")))
        })
        .collect();
    let file = folder.path().join("many.geojson");
    std::fs::write(&file, write_geojson(&many, None)).unwrap();
    harness.state_mut().command(SlideCommand::Open(vec![file]));
    wait(&mut harness, "they are imported", |app| {
        let id = app.session().active().unwrap().id();
        app.session().annotations(id).unwrap().set().len() == 10_000
    });
    let mut changed = 0;
    for _ in 0..200 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        harness.step();
        let shown = canvas(&mut harness);
        changed = plain.pixels().zip(shown.pixels()).filter(|(before, after)| before != after).count();
        if changed > 50_000 {
            break;
        }
    }
    assert!(changed > 50_000, "{changed} pixels changed");
    harness.key_press(Key::F5);
    harness.run_steps(4);
    assert!(harness.query_all_by_label_contains("Immune cells").count() > 0, "their class is listed");

    harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::ALT, Key::E);
    harness.run_steps(3);
    let out = folder.path().join("out.xml");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    harness.event(Event::Text(out.display().to_string()));
    harness.run_steps(2);
    harness.key_press(Key::Enter);
    wait(&mut harness, "they are exported", |_| out.exists());
    assert_eq!(read_file(&out).unwrap().set.len(), 10_000);

    harness.run_steps(3);
    press_and_settle(&mut harness, Modifiers::COMMAND, Key::A);
    press_and_settle(&mut harness, Modifiers::NONE, Key::Delete);
    wait(&mut harness, "all are gone", |app| {
        let id = app.session().active().unwrap().id();
        app.session().annotations(id).unwrap().set().is_empty()
    });
}
