//! The graphics card gives up in the middle of the work: the device is destroyed under the window, as a driver that
//! resets the card does it.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use eframe::wgpu;
use egui::{Key, Modifiers, Vec2, ViewportCommand, ViewportId};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use histokin::annotation::{Annotation, Bounds, Edit, Shape};
use histokin::encoder::DeviceChoice;
use histokin::geometry::Level0Point;
use histokin::project::Project;
use histokin::session::{AnnotationCommand, Command, SlideStatus, TrainingCommand};
use histokin::training::config::TrainingConfig;
use histokin::ui::{App, Handover, ShutdownRequest, Window, WindowOptions};

use crate::support::asset;
use crate::ui::{SLIDE, canvas, is_complete, picture, wait};

/// The window as the program opens it, and the device that draws it.
fn open(
    project: &Path,
    options: WindowOptions,
    handover: &Rc<Handover>,
) -> (Harness<'static, Window>, wgpu::Device) {
    let project = Project::open_or_create(project).expect("a project");
    let options = WindowOptions { device: DeviceChoice::Cpu, ..options };
    let device = Rc::new(RefCell::new(None));
    let (seen, handover) = (device.clone(), handover.clone());
    let harness = Harness::builder()
        .with_size(Vec2::new(1300.0, 860.0))
        .with_max_steps(64)
        .with_render_cursor(false)
        .wgpu()
        .build_eframe(move |context| {
            *seen.borrow_mut() = context.wgpu_render_state.as_ref().map(|gpu| gpu.device.clone());
            Window::open(context, project, options, handover).expect("a window")
        });
    let device = device.take().expect("a device");
    (harness, device)
}

fn app<'a>(harness: &'a Harness<'_, Window>) -> &'a App {
    harness.state().app().expect("the window is open")
}

fn wait_until_sharp(harness: &mut Harness<'_, Window>) {
    harness.run_steps(3);
    wait(harness, "all tiles in view are there", |window| window.app().is_some_and(is_complete));
}

#[test]
fn after_the_device_is_lost_a_new_window_goes_on_where_the_old_one_was() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    let handover = Rc::default();
    let options =
        WindowOptions { state_file: Some(folder.path().join("window.toml")), ..WindowOptions::default() };
    let with_slide = WindowOptions { paths: vec![asset(SLIDE)], ..options.clone() };
    let (mut harness, device) = open(&project, with_slide, &handover);
    wait(&mut harness, "the slide is open", |window| {
        window.app().is_some_and(|app| app.session().active().is_some())
    });
    wait_until_sharp(&mut harness);
    // They would change from picture to picture.
    harness.get_by_label("Do not show again").click();
    harness.key_press(Key::Num5);
    wait_until_sharp(&mut harness);
    harness.run_steps(20);
    let id = app(&harness).session().active().unwrap().id().clone();
    let middle = app(&harness).field().unwrap().center();
    let corner = |by: f64| Level0Point::new(middle.x + by, middle.y + by);
    let edit = Edit::Add(vec![Annotation::new(
        Shape::Rectangle(Bounds::between(corner(-90.0), corner(90.0))),
        None,
    )]);
    let draw = Command::Annotations(AnnotationCommand::Edit { slide: id.clone(), edit });
    harness.state_mut().app_mut().unwrap().command(draw);
    wait_until_sharp(&mut harness);
    let (field, picture) = (app(&harness).field().unwrap(), canvas(&mut harness));
    let drawn = |app: &App| app.session().annotations(&id).map_or(0, |marks| marks.set().len());
    assert_eq!(drawn(app(&harness)), 1);
    // Settings of a training that has not begun yet.
    let settings = folder.path().join("settings.toml");
    std::fs::write(&settings, TrainingConfig { steps: 4321, ..TrainingConfig::default() }.to_toml()).unwrap();
    let read = Command::Training(TrainingCommand::ReadSettings(settings));
    harness.state_mut().app_mut().unwrap().command(read);
    wait(&mut harness, "the settings are read", |window| {
        window.app().is_some_and(|app| app.session().training().settings_read().is_some())
    });
    harness.key_press(Key::F6);
    harness.run_steps(4);
    assert!(harness.query_by_label_contains("321 steps, as set under Advanced").is_some());
    harness.key_press(Key::F6);
    harness.run_steps(4);
    assert!(harness.query_by_label_contains("321 steps, as set under Advanced").is_none());

    device.destroy();
    // The driver's word reaches the program with its next call.
    let _ = device.poll(wgpu::PollType::Poll);
    harness.run_steps(3);
    assert!(harness.state().app().is_none(), "nothing is drawn with a device that is lost");
    assert!(handover.reason().is_some());
    let commands = &harness.output().viewport_output[&ViewportId::ROOT].commands;
    assert!(commands.contains(&ViewportCommand::Close), "{commands:?}");
    drop(harness);

    let (mut harness, _) = open(&project, options, &handover);
    assert_eq!(handover.reason(), None, "it was taken over");
    harness.run_steps(3);
    assert!(harness.query_by_label_contains("The graphics card stopped drawing").is_some());
    wait_until_sharp(&mut harness);
    harness.get_by_label("dismiss").click();
    harness.run_steps(30);
    wait_until_sharp(&mut harness);
    let again = app(&harness).field().unwrap();
    assert!(again.center().distance_px(field.center()) < 2.0, "{again:?} is {field:?}");
    let picture_again = canvas(&mut harness);
    assert_eq!(picture_again.dimensions(), picture.dimensions());
    // The view may stand half a pixel beside where it was; another one differs by tens.
    let apart = picture.as_raw().iter().zip(picture_again.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b)));
    let apart = apart.sum::<f64>() / picture.as_raw().len() as f64;
    assert!(apart < 8.0, "{apart} levels apart: the tiles are on the new device");

    harness.key_press(Key::F6);
    harness.run_steps(4);
    assert!(
        harness.query_by_label_contains("321 steps, as set under Advanced").is_some(),
        "what was set for a training is still there"
    );
    harness.key_press(Key::F6);
    harness.run_steps(4);

    // It is the same session: what was done can be undone, and what was going on goes on.
    assert_eq!(drawn(app(&harness)), 1);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run_steps(3);
    assert_eq!(drawn(app(&harness)), 0);
    wait(&mut harness, "the slide is embedded", |window| {
        let active = window.app().and_then(|app| app.session().active());
        active.is_some_and(|slide| matches!(slide.status, SlideStatus::Embedded(_)))
    });
}

#[test]
fn what_the_driver_refuses_to_draw_is_told_once_and_the_window_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, device) = open(folder.path(), WindowOptions::default(), &Rc::default());
    harness.run_steps(2);
    let told = "Something could not be drawn";
    assert!(harness.query_by_label_contains(told).is_none());
    for _ in 0..3 {
        let _ = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("larger than any card"),
            size: wgpu::Extent3d { width: u32::MAX, height: 1, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        harness.run_steps(2);
    }
    assert_eq!(harness.query_all_by_label_contains(told).count(), 1);
    assert!(harness.query_by_label("Copy report").is_some());
    picture(&mut harness);
    harness.get_by_label("dismiss").click();
    harness.run_steps(3);
    assert!(harness.query_by_label_contains(told).is_none());
}

/// The system wants the program to end: the window closes as by its button.
#[test]
fn the_wish_to_end_closes_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let ending = ShutdownRequest::default();
    let handover = Rc::new(Handover::of(ending.clone()));
    let (mut harness, _) = open(folder.path(), WindowOptions::default(), &handover);
    harness.run_steps(2);
    let closes = |harness: &Harness<'_, Window>| {
        harness.output().viewport_output[&ViewportId::ROOT].commands.contains(&ViewportCommand::Close)
    };
    assert!(!closes(&harness));
    ending.request();
    harness.step();
    assert!(closes(&harness));
}
