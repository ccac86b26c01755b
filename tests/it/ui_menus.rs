//! Menus of the right button, what they do, and the choice of a colour.

use std::path::Path;

use egui::accesskit::Role;
use egui::{Event, Key, Modifiers, OutputCommand};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use histokin::annotation::{Annotation, AnnotationClass, Bounds, Edit, Shape};
use histokin::geometry::{Level0Point, LevelRect};
use histokin::query::{Judgement, Match};
use histokin::session::{AnnotationCommand, MatchCommand, QueryCommand};
use histokin::slide;
use histokin::ui::App;

use crate::support::asset;
use crate::ui::{SLIDE, wait, window};

const OTHER: &str = "slides/CMU-1-Small-Region-rotated-cut.tif";

/// A window on the demonstration slides with the matches of a tile, in tiles that are smaller than usual.
fn searched(project: &Path) -> Harness<'static, App> {
    let mut opened = histokin::project::Project::open_or_create(project).unwrap();
    let mut settings = opened.settings().clone();
    settings.tiles.mpp = 0.5;
    opened.set_settings(settings);
    opened.save().unwrap();
    let mut harness = window(project, vec![asset(SLIDE), asset(OTHER)]);
    wait(&mut harness, "both slides are embedded", |app| {
        app.session().slides().len() == 2
            && !app.session().is_embedding_left()
            && app.session().index().sets().len() == 2
    });
    let set = &harness.state().session().index().sets()[0];
    let (slide, point) = (set.header.slide_id.clone(), set.rect(histokin::descriptors::Row(3)).center());
    harness.state_mut().command(QueryCommand::At { slide, point });
    answered(&mut harness);
    harness
}

fn answered(harness: &mut Harness<'_, App>) {
    wait(harness, "the query is answered", |app| {
        app.session().query().is_some_and(|query| query.answer.is_some() && !query.waiting)
    });
}

fn matches(harness: &Harness<'_, App>) -> Vec<Match> {
    harness.state().session().query().unwrap().answer.as_ref().unwrap().matches.clone()
}

/// Opens the menu of a match by its rank, from 1.
fn open_menu(harness: &mut Harness<'_, App>, rank: usize) {
    let found = matches(harness)[rank - 1].clone();
    let name = harness.state().session().slide_name(&found.slide).unwrap();
    harness.get_by_role_and_label(Role::Button, &format!("match {rank}: {name}")).click_secondary();
    harness.run_steps(3);
}

fn choose(harness: &mut Harness<'_, App>, entry: &str) {
    harness.get_by_role_and_label(Role::Button, entry).click();
    harness.run_steps(3);
}

#[test]
fn a_match_is_judged_by_its_menu_and_ctrl_z_takes_that_back_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = searched(folder.path());
    let slide = harness.state().session().active().unwrap().id().clone();
    let bounds = Bounds::between(Level0Point::new(10.0, 10.0), Level0Point::new(300.0, 200.0));
    let edit = Edit::Add(vec![Annotation::new(Shape::Rectangle(bounds), None)]);
    harness.state_mut().command(AnnotationCommand::Edit { slide: slide.clone(), edit });
    let marked = |harness: &Harness<'_, App>| harness.state().session().query().unwrap().marks.len();
    let drawn =
        |harness: &Harness<'_, App>| harness.state().session().annotations(&slide).unwrap().set().len();
    open_menu(&mut harness, 2);
    choose(&mut harness, "Different tissue");
    answered(&mut harness);
    assert_eq!(harness.state().session().query().unwrap().marked(Judgement::Different), 1);
    assert!(harness.query_by_label("Copy name and position").is_none(), "the menu is closed");
    assert_eq!((marked(&harness), drawn(&harness)), (1, 1));
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run_steps(3);
    assert_eq!((marked(&harness), drawn(&harness)), (0, 1), "the judgement is later");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run_steps(3);
    assert_eq!((marked(&harness), drawn(&harness)), (0, 0));
    harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    harness.run_steps(3);
    assert_eq!((marked(&harness), drawn(&harness)), (0, 1));
}

#[test]
fn all_selected_matches_are_judged_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = searched(folder.path());
    harness.state_mut().command(MatchCommand::ChooseExactly(vec![0, 1, 3]));
    harness.run_steps(2);
    open_menu(&mut harness, 3);
    assert!(harness.query_by_label("Same tissue (3 selected)").is_none(), "this one is not selected");
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    open_menu(&mut harness, 2);
    choose(&mut harness, "Same tissue (3 selected)");
    answered(&mut harness);
    let query = harness.state().session().query().unwrap();
    assert_eq!((query.marked(Judgement::Same), query.marks.len()), (3, 3));
}

#[test]
fn the_menu_of_a_match_stays_with_its_tile_when_others_come_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = searched(folder.path());
    let before = matches(&harness);
    open_menu(&mut harness, 2);
    // Others are filtered out, so that it moves to another rank.
    let mut settings = harness.state().session().query_settings().clone();
    let tile = before[1].clone();
    settings.among = Some(vec![tile.slide.clone()]);
    settings.exclude_um = 0.0;
    harness.state_mut().command(QueryCommand::SetSettings(settings));
    answered(&mut harness);
    choose(&mut harness, "Same tissue");
    answered(&mut harness);
    let query = harness.state().session().query().unwrap();
    let marked = query.marks[0].shown.position.clone().unwrap();
    assert_eq!((marked.slide, marked.rect), (tile.slide, tile.rect));
}

#[test]
fn a_slide_is_left_out_by_the_menu_of_a_match_in_the_gallery() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = searched(folder.path());
    harness.get_by_label("Gallery").click();
    harness.run_steps(3);
    let left_out = matches(&harness)[0].slide.clone();
    open_menu(&mut harness, 1);
    choose(&mut harness, "Leave out this slide");
    answered(&mut harness);
    let found = matches(&harness);
    assert!(!found.is_empty() && found.iter().all(|found| found.slide != left_out));
    harness.get_by_label("Filters, Slides: choose the slides that are searched.");
    // Of one slide, none is left out.
    open_menu(&mut harness, 1);
    assert!(harness.query_by_label("Leave out this slide").is_none());
    choose(&mut harness, "Find similar tissue");
    answered(&mut harness);
    let target = harness.state().session().query().unwrap().target().cloned();
    assert_eq!(target.map(|tile| (tile.slide, tile.rect)), Some((found[0].slide.clone(), found[0].rect)));
}

#[test]
fn the_position_of_a_match_is_copied_and_its_pixels_are_saved() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = searched(folder.path());
    let found = matches(&harness)[0].clone();
    open_menu(&mut harness, 1);
    harness.get_by_role_and_label(Role::Button, "Copy name and position").click();
    let mut copied = None;
    for _ in 0..4 {
        harness.step();
        let commands = &harness.output().platform_output.commands;
        copied = copied.or_else(|| {
            commands.iter().find_map(|command| match command {
                OutputCommand::CopyText(text) => Some(text.clone()),
                _ => None,
            })
        });
    }
    let name = harness.state().session().slide_name(&found.slide).unwrap();
    let rect = found.rect;
    let place = format!("{name}: x {}, y {}, {} × {} px", rect.x, rect.y, rect.width, rect.height);
    assert_eq!(copied.as_deref(), Some(place.as_str()));
    harness.run_steps(3);

    open_menu(&mut harness, 1);
    choose(&mut harness, "Save image…");
    harness.get_by_label("Save as image");
    let file = folder.path().join("tile.png");
    harness.get_by_label("Path").click();
    harness.run_steps(2);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    harness.run_steps(2);
    harness.event(Event::Text(file.display().to_string()));
    harness.run_steps(2);
    harness.get_by_label("Include scale bar").click();
    harness.run_steps(2);
    choose(&mut harness, "Save");
    let there = file.clone();
    wait(&mut harness, "the image is saved", move |_| image::open(&there).is_ok());
    let saved = image::open(&file).unwrap().into_rgb8();
    let source = harness.state().session().slide(&found.slide).unwrap().source.info().path.clone();
    let source = slide::open(&source, None).unwrap();
    let region = LevelRect { level: 0, x: rect.x, y: rect.y, width: rect.width, height: rect.height };
    let expected = source.read(&region).unwrap();
    assert_eq!((saved.width(), saved.height()), (rect.width, rect.height));
    let is_same = |(x, y): (u32, u32)| {
        let [r, g, b, _] = expected.get_pixel(x, y).0;
        saved.get_pixel(x, y).0 == [r, g, b]
    };
    let places = (0..rect.height).flat_map(|y| (0..rect.width).map(move |x| (x, y)));
    assert_eq!(places.filter(|at| !is_same(*at)).count(), 0, "pixels that are not the slide's");
}

#[test]
fn a_position_that_is_typed_is_gone_to_and_back_returns() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![asset(SLIDE)]);
    wait(&mut harness, "the slide is in view", |app| {
        app.session().active().is_some() && app.field().is_some()
    });
    harness.run_steps(4);
    let middle = |harness: &Harness<'_, App>| {
        let field = harness.state().field().unwrap();
        (field.center(), field.width)
    };
    let before = middle(&harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::J);
    harness.run_steps(4);
    assert!(harness.get_by_role_and_label(Role::Button, "Go").accesskit_node().is_disabled());
    harness.event(Event::Text("CMU-1.svs: x 300, y 2000".to_owned()));
    harness.run_steps(3);
    harness.key_press(Key::Enter);
    harness.run_steps(60);
    let (at, width) = middle(&harness);
    assert!((at.x - 300.0).abs() < 6.0 && (at.y - 2000.0).abs() < 6.0, "{at:?}");
    assert!(width.abs_diff(before.1) < 4, "the magnification stays");
    harness.key_press_modifiers(Modifiers::ALT, Key::ArrowLeft);
    harness.run_steps(60);
    let (at, _) = middle(&harness);
    assert!((at.x - before.0.x).abs() < 6.0 && (at.y - before.0.y).abs() < 6.0, "{at:?}");
}

#[test]
fn the_colour_of_a_class_is_chosen_among_swatches_or_typed() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![asset(SLIDE)]);
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    harness.key_press(Key::F5);
    harness.run_steps(3);
    harness.get_by_label("Classes").click();
    harness.run_steps(20);
    let colour = |harness: &Harness<'_, App>| {
        let classes = harness.state().session().project().classes();
        classes.into_iter().find(|class: &AnnotationClass| class.name == "Tumour").unwrap().color
    };
    harness.get_by_role_and_label(Role::ColorWell, "Colour of Tumour").click();
    harness.run_steps(3);
    choose(&mut harness, "Bluish green");
    assert_eq!(colour(&harness), [0, 158, 115]);
    let field = harness.get_by_label("Colour as #RRGGBB");
    assert_eq!(field.value().as_deref(), Some("#009E73"));
    field.click();
    harness.run_steps(2);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    harness.run_steps(2);
    harness.event(Event::Text("#0A5".to_owned()));
    harness.run_steps(2);
    assert_eq!(colour(&harness), [0, 158, 115], "not a whole colour yet");
    harness.event(Event::Text("0FF".to_owned()));
    harness.run_steps(3);
    assert_eq!(colour(&harness), [10, 80, 255]);
    // Outside of it, a click closes it.
    harness.get_by_label("slide canvas").click();
    harness.run_steps(3);
    assert!(harness.query_by_label("Hue").is_none());
}
