//! Asking in the window: hover, click, draw, add and take away examples, walk, judge, export, ask again.

use std::path::Path;

use egui::accesskit::Role;
use egui::{Event, Key, Modifiers, PointerButton, Pos2, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use histokin::annotation::{Annotation, AnnotationClass, Bounds, Edit, Shape};
use histokin::geometry::Level0Point;
use histokin::query::similarity_map::Reference;
use histokin::query::{Example, Judgement};
use histokin::session::{AnnotationCommand, ConceptCommand, MatchCommand, QueryCommand, QueryState};
use histokin::ui::App;

use crate::support::asset;
use crate::ui::{SLIDE, canvas, wait, wait_until_embedded, wait_until_sharp, window};

/// A window on the small slide, with finer tiles than usual so that there are some to find, once all are embedded.
fn embedded(project: &Path) -> Harness<'static, App> {
    let mut opened = histokin::project::Project::open_or_create(project).unwrap();
    let mut settings = opened.settings().clone();
    settings.tiles.mpp = 0.5;
    opened.set_settings(settings);
    opened.save().unwrap();
    let mut harness = window(project, vec![asset(SLIDE)]);
    wait_until_embedded(&mut harness, 21);
    wait_until_sharp(&mut harness);
    harness
}

/// Where on the screen an embedded tile is, by its place among them.
fn on_screen(harness: &Harness<'_, App>, row: u32) -> Pos2 {
    let app = harness.state();
    let set = &app.session().index().sets()[0];
    let center = set.rect(histokin::descriptors::Row(row)).center();
    let field = app.field().unwrap();
    let canvas = harness.get_by_label("slide canvas").rect();
    let share = Vec2::new(
        ((center.x - field.x as f64) / f64::from(field.width)) as f32,
        ((center.y - field.y as f64) / f64::from(field.height)) as f32,
    );
    canvas.min + share * canvas.size()
}

fn canvas_width(harness: &Harness<'_, App>) -> f32 {
    harness.get_by_label("slide canvas").rect().width()
}

fn button(harness: &mut Harness<'_, App>, at: Pos2, pressed: bool, modifiers: Modifiers) {
    harness.event(Event::PointerMoved(at));
    harness.event(Event::PointerButton { pos: at, button: PointerButton::Primary, pressed, modifiers });
    harness.step();
}

fn click(harness: &mut Harness<'_, App>, at: Pos2, modifiers: Modifiers) {
    harness.event(Event::PointerMoved(at));
    harness.step();
    harness.event(Event::ModifiersChanged(modifiers));
    button(harness, at, true, modifiers);
    harness.event(Event::ModifiersChanged(modifiers));
    button(harness, at, false, modifiers);
    harness.event(Event::ModifiersChanged(Modifiers::NONE));
    // Two clicks in a row are no double click.
    harness.event(Event::PointerGone);
    harness.run_steps(30);
}

fn answered(harness: &mut Harness<'_, App>) {
    wait(harness, "the query is answered", |app| {
        app.session().query().is_some_and(|query| query.answer.is_some() && !query.waiting)
    });
}

fn query<'a>(harness: &'a Harness<'_, App>) -> &'a QueryState {
    harness.state().session().query().expect("something is asked")
}

#[test]
fn examples_are_added_and_taken_away_by_clicks() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let places = [2, 9, 16].map(|row| on_screen(&harness, row));
    click(&mut harness, places[0], Modifiers::NONE);
    answered(&mut harness);
    click(&mut harness, places[1], Modifiers::SHIFT);
    answered(&mut harness);
    click(&mut harness, places[2], Modifiers::COMMAND | Modifiers::CTRL);
    answered(&mut harness);
    assert_eq!((query(&harness).positives.len(), query(&harness).negatives.len()), (2, 1));
    assert_eq!(query(&harness).answer.as_ref().unwrap().tiles.len(), 2);
    harness.get_by_label_contains("negative example 1").click_secondary();
    harness.run_steps(3);
    assert!(query(&harness).negatives.is_empty());
    answered(&mut harness);

    // Another question, and the first one again.
    click(&mut harness, places[2], Modifiers::NONE);
    answered(&mut harness);
    assert_eq!(query(&harness).positives.len(), 1);
    harness.get_by_label("Query history").click();
    harness.run_steps(3);
    harness.get_by_label_contains("past query 2").click();
    harness.run_steps(3);
    assert_eq!(query(&harness).positives.len(), 2);
}

#[test]
fn matches_are_walked_judged_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let mut settings = harness.state().session().query_settings().clone();
    settings.exclude_um = 0.0;
    harness.state_mut().command(QueryCommand::SetSettings(settings));
    let place = on_screen(&harness, 5);
    click(&mut harness, place, Modifiers::NONE);
    answered(&mut harness);
    for key in [Key::Y, Key::X] {
        harness.key_press(Key::N);
        harness.run_steps(3);
        assert_eq!(query(&harness).visited, Some(0));
        harness.key_press(key);
        harness.run_steps(3);
        answered(&mut harness);
        assert_eq!(query(&harness).visited, None, "the ranking has changed");
    }
    let judgements = |harness: &Harness<'_, App>| {
        let judgements = harness.state().session().query_history().judgements();
        judgements.iter().map(|judged| judged.judgement).collect::<Vec<_>>()
    };
    assert_eq!(judgements(&harness), [Judgement::Same, Judgement::Different]);
    for label in ["1 same", "1 different", "mark 1: the same tissue"] {
        assert!(harness.query_by_label(label).is_some(), "{label}");
    }
    harness.key_press_modifiers(Modifiers::SHIFT, Key::J);
    harness.run_steps(3);
    answered(&mut harness);
    assert_eq!((judgements(&harness), query(&harness).marks.len()), (vec![Judgement::Same], 1));

    harness.key_press_modifiers(Modifiers::COMMAND, Key::E);
    let written = folder.path().join("reports/matches-1/matches.png");
    wait(&mut harness, "the matches are written", move |_| written.is_file());
    for name in ["matches.csv", "matches.json", &format!("{SLIDE}.geojson").replace("slides/", "")] {
        assert!(folder.path().join("reports/matches-1").join(name).is_file(), "{name}");
    }
    let judgements = folder.path().join("judgements.csv");
    wait(&mut harness, "the judgement is kept", move |_| {
        std::fs::read_to_string(&judgements).is_ok_and(|text| text.lines().count() == 2)
    });
}

/// Draws a rectangle around tiles, by their rows; `modifiers` are held at its end.
fn draw(harness: &mut Harness<'_, App>, rows: std::ops::Range<u32>, modifiers: Modifiers) {
    harness.key_press(Key::Q);
    harness.run_steps(2);
    let places: Vec<Pos2> = rows.map(|row| on_screen(harness, row)).collect();
    let drawn = egui::Rect::from_points(&places).expand(3.0);
    button(harness, drawn.min, true, Modifiers::NONE);
    for share in [0.3, 0.6, 1.0] {
        harness.event(Event::PointerMoved(drawn.min + drawn.size() * share));
        harness.step();
    }
    harness.event(Event::ModifiersChanged(modifiers));
    button(harness, drawn.max, false, modifiers);
    harness.event(Event::ModifiersChanged(Modifiers::NONE));
    harness.run_steps(3);
}

#[test]
fn a_region_is_drawn_and_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let before = harness.state().field();
    draw(&mut harness, 0..20, Modifiers::NONE);
    answered(&mut harness);
    assert_eq!(harness.state().field(), before, "drawing does not move the slide");
    assert!(matches!(query(&harness).positives[0].example, Example::Region { .. }));
    assert!(query(&harness).answer.as_ref().unwrap().tiles.len() >= 20);
}

#[test]
fn regions_and_annotations_are_marked() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let tile = on_screen(&harness, 0);
    click(&mut harness, tile, Modifiers::NONE);
    answered(&mut harness);
    let taught = |app: &App| {
        let query = app.session().query();
        query.is_some_and(|query| {
            !query.waiting && query.answer.as_ref().is_some_and(|answer| answer.direction.is_some())
        })
    };
    draw(&mut harness, 4..6, Modifiers::SHIFT);
    wait(&mut harness, "a region of the same tissue teaches", taught);
    assert_eq!(query(&harness).marked(Judgement::Same), 1);
    draw(&mut harness, 9..11, Modifiers::COMMAND);
    wait(&mut harness, "a region of different tissue teaches", |app| {
        taught(app) && app.session().query().unwrap().marked(Judgement::Different) == 1
    });
    assert_eq!(query(&harness).positives.len(), 1, "the query stays what it was");

    // Without a selected annotation nothing is marked, and the window says what to do.
    harness.key_press_modifiers(Modifiers::ALT, Key::X);
    harness.run_steps(3);
    assert_eq!(query(&harness).marks.len(), 2);
    let slide = harness.state().session().slides()[0].id().clone();
    let extent = harness.state().session().slides()[0].source.info().extent();
    let corner = |x: i64, y: i64| Level0Point::new(x as f64, y as f64);
    let bounds = Bounds::between(corner(extent.x, extent.y), corner(extent.right(), extent.bottom()));
    let annotation = Annotation::new(Shape::Rectangle(bounds), None);
    let ids = vec![annotation.id];
    let edit = Edit::Add(vec![annotation]);
    harness.state_mut().command(AnnotationCommand::Edit { slide: slide.clone(), edit });
    harness.state_mut().command(AnnotationCommand::Select { slide, ids });
    harness.run_steps(3);
    harness.key_press_modifiers(Modifiers::ALT, Key::X);
    harness.run_steps(3);
    assert_eq!(query(&harness).marked(Judgement::Different), 2);
    harness.state_mut().command(MatchCommand::UndoJudgement);
    harness.run_steps(3);
    assert_eq!(query(&harness).marked(Judgement::Different), 1);
}

#[test]
fn the_heat_map_follows_the_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let plain = canvas(&mut harness);
    harness.key_press(Key::D);
    for row in [3, 11] {
        let at = on_screen(&harness, row);
        harness.event(Event::PointerMoved(at));
        harness.run_steps(2);
        wait(&mut harness, "the map of this tile is there", move |app| {
            app.similarity()
                .is_some_and(|maps| matches!(maps.reference, Reference::Tile(tile) if tile.row.0 == row))
        });
        let maps = harness.state().similarity().unwrap();
        let most = maps.maps[0].similarity.iter().filter(|similarity| **similarity == 255).count();
        assert_eq!(most, 1, "only the tile itself is the same");
    }
    let painted = canvas(&mut harness);
    let changed = plain.pixels().zip(painted.pixels()).filter(|(before, after)| before != after).count();
    assert!(changed > 20_000, "{changed} pixels changed");

    // What is seen becomes files: each tile of the slide a pixel, as like as it is shown.
    harness.key_press_modifiers(Modifiers::COMMAND, Key::D);
    wait(&mut harness, "the heat map is written", |app| {
        app.session().messages().iter().any(|message| message.text.contains("the heat map was written"))
    });
    let written = folder.path().join("reports/heat-map-1/CMU-1-Small-Region");
    let picture = image::open(written.with_extension("png")).unwrap().into_luma_alpha8();
    let map = &harness.state().similarity().unwrap().maps[0];
    assert_eq!([picture.width() as usize, picture.height() as usize], map.grid);
    assert!(picture.pixels().map(|pixel| pixel.0[0]).eq(map.similarity.iter().copied()));
    assert!(written.with_extension("pgw").is_file());
    let pyramid = histokin::slide::open(&written.with_extension("tif"), None).unwrap();
    assert!(pyramid.info().mpp.is_some());

    harness.key_press(Key::D);
    harness.run_steps(3);
    assert!(harness.state().similarity().is_none());
    harness.key_press_modifiers(Modifiers::COMMAND, Key::D);
    harness.run_steps(3);
    assert!(harness.query_by_label_contains("Switch the heat map on").is_some());
}

#[test]
fn a_match_stands_beside_the_query_and_becomes_an_annotation() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let place = on_screen(&harness, 5);
    click(&mut harness, place, Modifiers::NONE);
    answered(&mut harness);
    harness.key_press_modifiers(Modifiers::SHIFT, Key::V);
    wait(&mut harness, "query and match stand side by side", |app| {
        let centers: Vec<_> = app.fields().into_iter().flatten().map(|field| field.center()).collect();
        let query = app.session().query().unwrap();
        let found = &query.answer.as_ref().unwrap().matches[0];
        let is_at = |place: usize, rect: &histokin::geometry::Level0Rect| {
            centers.get(place).is_some_and(|center| rect.center().distance_px(*center) < 3.0)
        };
        is_at(0, &query.target().unwrap().rect) && is_at(1, &found.rect)
    });
    let fields =
        |harness: &Harness<'_, App>| harness.state().fields().into_iter().flatten().collect::<Vec<_>>();
    let before = fields(&harness);
    assert!(before[0].width.abs_diff(before[1].width) <= 2, "at the same magnification");
    // The query stays where it is while one walks, …
    harness.key_press(Key::N);
    harness.key_press(Key::N);
    harness.run_steps(40);
    let walked = fields(&harness);
    assert_eq!(walked[0], before[0]);
    assert_ne!(walked[1], before[1]);
    // … and moves with the match.
    harness.key_press(Key::Minus);
    harness.run_steps(60);
    let zoomed = fields(&harness);
    assert!(zoomed[0].width > walked[0].width && zoomed[0].width.abs_diff(zoomed[1].width) <= 2);
    harness.key_press_modifiers(Modifiers::SHIFT, Key::V);
    harness.run_steps(5);
    assert_eq!(harness.state().fields().len(), 1);

    harness.key_press_modifiers(Modifiers::SHIFT, Key::Y);
    harness.run_steps(3);
    assert_eq!(query(&harness).chosen.len(), 1);
    harness.get_by_label("All matches").click();
    harness.run_steps(3);
    let all = query(&harness).answer.as_ref().unwrap().matches.len();
    assert_eq!(query(&harness).chosen.len(), all);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::G);
    harness.run_steps(3);
    let drawn = |harness: &Harness<'_, App>| {
        let session = harness.state().session();
        session.annotations(session.active().unwrap().id()).unwrap().set().len()
    };
    assert_eq!(drawn(&harness), all);
    harness.get_by_label("Undo class assignment").click();
    harness.run_steps(3);
    assert_eq!(drawn(&harness), 0);
}

#[test]
fn filters_act_and_are_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let place = on_screen(&harness, 5);
    click(&mut harness, place, Modifiers::NONE);
    answered(&mut harness);
    let found = |harness: &Harness<'_, App>| query(harness).answer.as_ref().unwrap().matches.len();
    let all = found(&harness);
    assert!(all > 0);
    let slide_room = canvas_width(&harness);
    harness.get_by_label_contains("Filters").click();
    harness.run_steps(20);
    assert_eq!(
        canvas_width(&harness),
        slide_room,
        "a panel too narrow for its filters pushes the slide away"
    );
    harness.get_by_label("Other").click();
    harness.run_steps(3);
    answered(&mut harness);
    assert_eq!(found(&harness), 0, "there is but one slide");
    assert!(harness.query_by_label_contains("No tiles match these filters").is_some());
    harness.get_by_label("Clear filters").click();
    harness.run_steps(3);
    answered(&mut harness);
    assert_eq!(found(&harness), all);
    harness.get_by_role_and_label(egui::accesskit::Role::Button, "Slides").click();
    wait(&mut harness, "slides are ranked", |app| {
        let answer = app.session().query().and_then(|query| query.answer.as_ref());
        answer.is_some_and(|answer| answer.slides.len() == 1)
    });
    harness.run_steps(2);
    assert!(harness.query_by_label_contains("similar slide 1").is_some());
}

#[test]
fn the_threshold_of_a_concept_is_dragged_and_its_class_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let place = on_screen(&harness, 5);
    click(&mut harness, place, Modifiers::NONE);
    answered(&mut harness);
    let teach = ConceptCommand::Teach { name: "Liver".to_owned(), class: AnnotationClass::named("Liver") };
    harness.state_mut().command(teach);
    wait(&mut harness, "the concept is kept", |app| app.session().concept("Liver").is_some());
    assert_eq!(harness.state().session().concept("Liver").unwrap().threshold, None);
    harness.key_press_modifiers(Modifiers::SHIFT, Key::B);
    harness.run_steps(20);
    assert!(harness.query_by_label_contains("too few marks").is_some());
    let at = harness.get_by_label("Threshold").rect().center();
    harness.event(Event::PointerMoved(at));
    harness.step();
    button(&mut harness, at, true, Modifiers::NONE);
    let end = at + Vec2::new(200.0, 0.0);
    for share in [0.5, 1.0, 1.0] {
        harness.event(Event::PointerMoved(at + share * (end - at)));
        harness.step();
    }
    button(&mut harness, end, false, Modifiers::NONE);
    wait(&mut harness, "the threshold is kept", |app| {
        let concept = app.session().concept("Liver");
        concept.is_some_and(|concept| concept.threshold.is_some_and(|threshold| threshold > 0.1))
    });
    harness.get_by_label("change concept").click();
    harness.run_steps(3);
    harness.get_by_role_and_label(Role::TextInput, "Class").click();
    harness.run_steps(3);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    harness.event(Event::Text("parenchyma".to_owned()));
    harness.run_steps(3);
    harness.get_by_label("Change").click();
    wait(&mut harness, "the class is kept", |app| {
        let concept = app.session().concept("Liver");
        concept.is_some_and(|concept| concept.class.name == "parenchyma" && concept.threshold.is_some())
    });
    let classes = harness.state().session().project().classes();
    assert!(classes.iter().any(|class| class.name == "parenchyma"));

    // What was taught is not deleted by one click.
    harness.get_by_label("delete concept").click();
    harness.run_steps(3);
    harness.get_by_label_contains("Delete this concept?");
    harness.get_by_role_and_label(Role::Button, "Cancel").click();
    harness.run_steps(20);
    assert!(harness.query_by_label_contains("Delete this concept?").is_none());
    assert!(harness.state().session().concept("Liver").is_some());
    harness.get_by_label("delete concept").click();
    harness.run_steps(3);
    harness.get_by_role_and_label(Role::Button, "Delete permanently").click();
    wait(&mut harness, "the concept is deleted", |app| app.session().concept("Liver").is_none());
}

#[test]
fn a_pasted_picture_is_the_question() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let tile = {
        let session = harness.state().session();
        let set = &session.index().sets()[0];
        let rect = set.rect(histokin::descriptors::Row(7));
        histokin::tiling::read_tile(session.active().unwrap().source.as_ref(), &rect, 224).unwrap()
    };
    let size = [tile.width() as usize, tile.height() as usize];
    let image = egui::ColorImage::from_rgb(size, tile.as_raw());
    harness.event(Event::PasteImage(std::sync::Arc::new(image)));
    harness.run_steps(2);
    wait(&mut harness, "the picture has been described and asked with", |app| {
        app.session().query().is_some_and(|query| query.answer.is_some() && !query.waiting)
    });
    let asked = query(&harness);
    let Example::Descriptors { file: Some(file), .. } = &asked.positives[0].example else {
        panic!("a picture, kept in a file")
    };
    assert!(
        file.starts_with(std::fs::canonicalize(folder.path()).unwrap().join("queries")) && file.is_file()
    );
    assert!(!asked.answer.as_ref().unwrap().matches.is_empty());
    harness.run_steps(3);
    assert!(harness.query_all_by_label_contains("Image from the clipboard").next().is_some());
}

#[test]
fn the_list_of_a_new_query_begins_with_its_first_match() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let places = [2, 16].map(|row| on_screen(&harness, row));
    click(&mut harness, places[0], Modifiers::NONE);
    answered(&mut harness);
    let is_first_seen = |harness: &Harness<'_, App>| {
        harness
            .query_by_role_and_label(
                Role::Button,
                &format!("match 1: {}", SLIDE.trim_start_matches("slides/")),
            )
            .is_some()
    };
    assert!(is_first_seen(&harness));
    // The list is scrolled to its end.
    for _ in 0..12 {
        harness.key_press(Key::N);
        harness.run_steps(4);
    }
    assert!(!is_first_seen(&harness), "the list has not followed");
    harness.key_press(Key::Num0);
    wait_until_sharp(&mut harness);
    click(&mut harness, places[1], Modifiers::NONE);
    answered(&mut harness);
    assert!(is_first_seen(&harness));
}

/// Presses and releases a button of the mouse.
fn press(harness: &mut Harness<'_, App>, at: Pos2, button: PointerButton) {
    harness.event(Event::PointerMoved(at));
    harness.step();
    for pressed in [true, false] {
        harness.event(Event::PointerButton { pos: at, button, pressed, modifiers: Modifiers::NONE });
        harness.step();
    }
    harness.run_steps(30);
}

#[test]
fn the_right_button_offers_what_can_be_done_with_the_tissue() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    let places = [2, 9].map(|row| on_screen(&harness, row));
    press(&mut harness, places[0], PointerButton::Secondary);
    harness.get_by_label("Copy view");
    assert!(harness.query_by_label("Add as example").is_none(), "nothing is asked yet");
    // A click beside the menu only closes it.
    press(&mut harness, places[0] - Vec2::new(40.0, 0.0), PointerButton::Primary);
    assert!(harness.query_by_label("Copy view").is_none(), "the menu is closed");
    assert!(harness.state().session().query().is_none(), "and nothing is searched");

    press(&mut harness, places[0], PointerButton::Secondary);
    harness.get_by_label("Find similar tissue").click();
    harness.run_steps(4);
    answered(&mut harness);
    let asked = query(&harness).target().unwrap().rect;
    assert_eq!(asked, harness.state().session().index().sets()[0].rect(histokin::descriptors::Row(2)));
    press(&mut harness, places[1], PointerButton::Secondary);
    harness.get_by_label("Add as negative example").click();
    harness.run_steps(4);
    answered(&mut harness);
    assert_eq!((query(&harness).positives.len(), query(&harness).negatives.len()), (1, 1));
}
