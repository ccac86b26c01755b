//! Stains and channels in the window: guessed, set, shown, and kept with the project.

use std::fs::File;
use std::path::Path;

use egui::{Key, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use histokin::geometry::Level0Rect;
use histokin::project::Project;
use histokin::session::SlideCommand;
use histokin::slide::channel::ChannelDisplay;
use histokin::stain::separation::{Separation, ShownAs};
use histokin::stain::{SlideStain, StainType, StainVectors};
use histokin::ui::App;
use image::{RgbImage, RgbaImage};
use tiff::encoder::{TiffEncoder, colortype};
use tiff::tags::Tag;

use crate::support::write_pyramid;
use crate::ui::{canvas, wait, wait_until_sharp, window};

/// Height at the bottom of the canvas where scale bar and overview lie, and at the top where cards begin, in pixels.
const COVERED: u32 = 200;

/// A slide of H-DAB of 640 × 640 px.
fn ihc_slide(path: &Path) -> RgbImage {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stain/ihc.png");
    let part = image::open(fixture).unwrap().into_rgb8();
    let whole = RgbImage::from_fn(640, 640, |x, y| *part.get_pixel(x % part.width(), y % part.height()));
    write_pyramid(path, &whole, 1, Some(0.5));
    whole
}

fn at_one_to_one(harness: &mut Harness<'_, App>) {
    wait(harness, "the slide is open", |app| app.session().active().is_some());
    wait_until_sharp(harness);
    harness.key_press(Key::Num7);
    harness.run_steps(8);
    wait_until_sharp(harness);
}

/// Largest difference in grey levels between the left half of the canvas and what `expected` has there.
fn difference(shown: &RgbaImage, expected: &RgbImage, field: Level0Rect) -> u8 {
    let (mut largest, mut compared) = (0, 0);
    for (x, y, pixel) in shown.enumerate_pixels() {
        let (slide_x, slide_y) = (field.x + i64::from(x), field.y + i64::from(y));
        let is_on_slide = (0..i64::from(expected.width())).contains(&slide_x)
            && (0..i64::from(expected.height())).contains(&slide_y);
        if !is_on_slide || y >= shown.height() - COVERED || x > shown.width() / 2 || y < 40 {
            continue;
        }
        let expected = expected.get_pixel(slide_x as u32, slide_y as u32);
        largest = (0..3).map(|i| pixel[i].abs_diff(expected[i])).max().unwrap().max(largest);
        compared += 1;
    }
    assert!(compared > 1000, "only {compared} pixels of the slide are seen");
    largest
}

#[test]
fn a_slide_of_dab_is_recognised_and_its_stains_are_shown_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ki67.tif");
    let pixels = ihc_slide(&path);
    let root = folder.path().join("project");
    let mut harness = window(&root, vec![path]);
    at_one_to_one(&mut harness);
    wait(&mut harness, "its stain is guessed", |app| {
        app.session().active().is_some_and(|slide| slide.guessed_stain.is_some())
    });
    let id = harness.state().session().active().unwrap().id().clone();
    assert_eq!(harness.state().session().stain(&id), SlideStain::usual(StainType::HaematoxylinDab));
    assert!(!harness.state().session().is_stain_set(&id));

    harness.get_by_label("Brightness/contrast…").click();
    harness.run_steps(4);
    let field = harness.state().field().unwrap();
    for (index, name) in ["Haematoxylin", "DAB"].into_iter().enumerate() {
        harness.get_by_label(name).click();
        harness.run_steps(4);
        for (shown_as, button) in [(ShownAs::Density, "Optical density"), (ShownAs::Colour, "Colour")] {
            harness.get_by_label(button).click();
            harness.run_steps(4);
            let mut expected = pixels.clone();
            Separation::new(&StainVectors::HAEMATOXYLIN_DAB, index, false).show(&mut expected, shown_as);
            let off = difference(&canvas(&mut harness), &expected, field);
            assert!(off <= 1, "{name} as {button}: off by {off}");
        }
    }

    // Vectors of the user's own are estimated from the view, and kept with what the user says of the slide.
    harness.get_by_label("Estimate from view").click();
    wait(&mut harness, "the vectors are estimated", |app| app.session().stain(&id).vectors.is_some());
    let estimated = harness.state().session().stain(&id);
    let command = SlideCommand::SetStain { slide: id.clone(), stain: Some(estimated) };
    harness.state_mut().command(command);
    harness.run_steps(3);
    harness.get_by_label("Default vectors");
    drop(harness);
    let kept = Project::open(&root).unwrap().stain(&id).expect("it is kept");
    assert_eq!(kept, estimated);
    assert_ne!(kept.vectors, Some(StainVectors::HAEMATOXYLIN_DAB));
}

#[test]
fn a_thumbnail_is_there_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    ihc_slide(&path);
    let root = folder.path().join("project");
    let mut harness = window(&root, vec![path]);
    let has_thumbnail = |app: &App| app.session().active().is_some_and(|slide| slide.thumbnail.is_some());
    wait(&mut harness, "the thumbnail is made", has_thumbnail);
    drop(harness);
    let files: Vec<_> = std::fs::read_dir(root.join("thumbnails")).unwrap().flatten().collect();
    assert_eq!(files.len(), 1);
    // A thumbnail that nothing but this file can have.
    let made = image::open(files[0].path()).unwrap();
    let other = RgbaImage::from_pixel(made.width(), made.height(), image::Rgba([1, 2, 3, 255]));
    other.save(files[0].path()).unwrap();
    let mut harness = window(&root, Vec::new());
    wait(&mut harness, "the thumbnail is read", has_thumbnail);
    let thumbnail = harness.state().session().active().unwrap().thumbnail.clone().unwrap();
    assert_eq!(thumbnail.get_pixel(0, 0).0, [1, 2, 3, 255]);
}

/// A slide of two channels of 16 bits: the first rises from left to right, the second is bright at the top.
fn fluorescence_slide(path: &Path) {
    let (width, height) = (300_u32, 200_u32);
    let mut file = TiffEncoder::new(File::create(path).unwrap()).unwrap();
    let values = |value: fn(u32, u32) -> u16| -> Vec<u16> {
        (0..width * height).map(|at| value(at % width, at / width)).collect()
    };
    for channel in [values(|x, _| 10 * x as u16), values(|_, y| if y < 100 { 2000 } else { 0 })] {
        let mut image = file.new_image::<colortype::Gray16>(width, height).unwrap();
        let description = "ImageJ=1.53\nimages=2\nchannels=2\nhyperstack=true\n";
        image.encoder().write_tag(Tag::ImageDescription, description).unwrap();
        image.write_data(&channel).unwrap();
    }
}

#[test]
fn channels_are_set_in_the_window_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panel.tif");
    fluorescence_slide(&path);
    let root = folder.path().join("project");
    let mut harness = window(&root, vec![path]);
    at_one_to_one(&mut harness);
    let id = harness.state().session().active().unwrap().id().clone();
    assert_eq!(harness.state().session().stain(&id).kind, StainType::Fluorescence);
    // How they are shown is told until it is dismissed, beside the button that sets the pixel size.
    harness.get_by_label_contains("are shown as a sum of colours");
    harness.get_by_label("Set pixel size…");
    harness.get_by_label("dismiss").click();
    harness.run_steps(4);
    assert!(harness.query_by_label_contains("are shown as a sum of colours").is_none());
    harness.get_by_label("Brightness/contrast…").click();
    harness.run_steps(4);
    let before = harness.state().field().unwrap();
    let are_visible = |app: &App, expected: [bool; 2]| {
        let shown = app.session().active().map(|slide| slide.shown().info().channels.clone());
        shown.is_some_and(|shown| shown.iter().map(|channel| channel.shown.visible).eq(expected))
    };
    harness.get_by_label("Show channel 2").click();
    wait(&mut harness, "the channel is hidden", |app| are_visible(app, [true, false]));
    wait_until_sharp(&mut harness);
    assert_eq!(harness.state().field().unwrap(), before, "the view stays");
    harness.get_by_label("Show only channel 2").click();
    wait(&mut harness, "the other one is shown alone", |app| are_visible(app, [false, true]));
    harness.get_by_label("Show all").click();
    wait(&mut harness, "both are shown", |app| are_visible(app, [true, true]));
    wait_until_sharp(&mut harness);

    let channels = vec![
        ChannelDisplay { name: "DAPI".into(), colour: [0, 0, 255], visible: true, window: [0.0, 2550.0] },
        ChannelDisplay { name: "CK".into(), colour: [0, 255, 0], visible: false, window: [0.0, 2000.0] },
    ];
    let command = SlideCommand::SetChannels { slide: id.clone(), channels: channels.clone() };
    harness.state_mut().command(command);
    let are_shown = |app: &App| {
        let shown = app.session().active().map(|slide| slide.shown().info().channels.clone());
        shown.is_some_and(|shown| shown.iter().map(|channel| &channel.shown).eq(&channels))
    };
    wait(&mut harness, "they are shown", are_shown);
    wait_until_sharp(&mut harness);
    // Values of 10 x in a window from 0 to 2550.
    let expected = RgbImage::from_fn(300, 200, |x, _| image::Rgb([0, 0, x.min(255) as u8]));
    let off = difference(&canvas(&mut harness), &expected, harness.state().field().unwrap());
    assert!(off <= 1, "off by {off}");
    let embedded = harness.state().session().active().unwrap().source.info().channels.clone();
    assert!(embedded.iter().all(|channel| channel.shown == channel.automatic), "what is embedded stays");
    drop(harness);

    let project = Project::open(&root).unwrap();
    let entry = project.find_slide(&id.0).unwrap();
    let shown = project.open_slide_as_shown(entry).unwrap().info().channels.clone();
    assert!(shown.iter().map(|channel| &channel.shown).eq(&channels), "on sheets of the command line, too");
    let embedded = project.open_slide(entry).unwrap().info().channels.clone();
    assert!(embedded.iter().all(|channel| channel.shown == channel.automatic));
    drop(project);

    let mut harness = window(&root, Vec::new());
    wait(&mut harness, "they are shown again", are_shown);
    harness.run_steps(3);
    harness.get_by_label("Brightness/contrast…").click();
    harness.run_steps(4);
    harness.get_by_label("Colour of DAPI");
    harness.get_by_label("Automatic window of CK");
    harness.get_by_label("Reset channels").click();
    wait(&mut harness, "they are automatic again", |app| {
        app.session().project().channels(&id).is_empty()
            && app.session().active().is_some_and(|slide| {
                slide.shown().info().channels.iter().all(|channel| channel.shown == channel.automatic)
            })
    });
}

#[test]
fn the_legend_of_the_heat_map_is_dragged_to_where_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    ihc_slide(&path);
    let root = folder.path().join("project");
    let state_file = folder.path().join("window.toml");
    let options = || histokin::ui::WindowOptions {
        state_file: Some(state_file.clone()),
        ..histokin::ui::WindowOptions::default()
    };
    let opened = histokin::ui::WindowOptions { paths: vec![path], ..options() };
    let mut harness = crate::ui::window_with(&root, opened);
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    wait_until_sharp(&mut harness);
    let show = |harness: &mut Harness<'_, App>| {
        harness.get_by_label("Similarity heat map").click();
        harness.run_steps(6);
        harness.get_by_label("Similarity to tile at pointer").rect()
    };
    let before = show(&mut harness);
    let (from, by) = (before.center(), Vec2::new(-120.0, 90.0));
    harness.drag_at(from);
    harness.run_steps(2);
    harness.hover_at(from + by * 0.5);
    harness.run_steps(2);
    harness.hover_at(from + by);
    harness.run_steps(2);
    harness.drop_at(from + by);
    harness.run_steps(4);
    let moved = harness.get_by_label("Similarity to tile at pointer").rect();
    assert!((moved.center() - (from + by)).length() < 3.0, "{before:?} {moved:?}");
    harness.state_mut().remember();
    drop(harness);
    let mut harness = crate::ui::window_with(&root, options());
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    wait_until_sharp(&mut harness);
    assert_eq!(show(&mut harness), moved);
}
