//! Training in the window: from the panel to an encoder that describes the slides.

use egui::Key;
use egui_kittest::kittest::Queryable;
use histokin::encoder::DeviceChoice;
use histokin::encoder::backbones::BackboneKind;
use histokin::encoder::trainable::Depth;
use histokin::session::{Command, PairLimits, SlideStatus, TrainingCommand};
use histokin::slide::SlideId;
use histokin::training::config::{LossKind, TrainingConfig};
use histokin::training::run::RunStatus;
use histokin::ui::App;
use image::{Rgb, RgbImage};

use crate::support::write_pyramid;
use crate::ui::{wait, window};

/// A section of 10 × 4 mm whose colour changes along it.
fn section(shade: u8) -> RgbImage {
    RgbImage::from_fn(1280, 512, |x, y| match (24..1256).contains(&x) && (24..488).contains(&y) {
        true if (x / 3 + y / 5) % 3 == 0 => Rgb([140 + (x / 20) as u8, 70, 150]),
        true => Rgb([215, 130 + (x / 24) as u8, shade]),
        false => Rgb([255; 3]),
    })
}

fn is_embedded(app: &App) -> bool {
    let slides = app.session().slides();
    slides.len() == 2 && slides.iter().all(|slide| matches!(slide.status, SlideStatus::Embedded(_)))
}

#[test]
fn an_encoder_is_trained_and_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = [180, 200]
        .into_iter()
        .map(|shade| {
            let path = folder.path().join(format!("section-{shade}.tif"));
            write_pyramid(&path, &section(shade), 1, Some(8.0));
            path
        })
        .collect();
    let mut harness = window(&folder.path().join("project"), paths);
    wait(&mut harness, "both slides can be searched", |app| {
        is_embedded(app) && app.session().searchable_tiles() > 0
    });
    let config = TrainingConfig {
        backbone: BackboneKind::Tiny,
        init: "random".into(),
        depth: Depth::All,
        loss: LossKind::Contrastive,
        margin: 2.0,
        tile_px: 32,
        mpp: 8.0,
        near_mm: 1.5,
        far_mm: 6.0,
        steps: 20,
        batch: 4,
        validate_every: 10,
        validation_tiles: 60,
        width: 12,
        ..TrainingConfig::default()
    };

    // The panel counts what it shows without being asked.
    harness.key_press(Key::F6);
    harness.run_steps(4);
    harness.get_by_label("Start training");
    let of_panel = PairLimits::of(&TrainingConfig::default());
    wait(&mut harness, "tissue tiles and pairs are counted", |app| {
        let training = app.session().training();
        app.session()
            .slides()
            .iter()
            .all(|slide| matches!(training.count(slide.id(), of_panel), Some(Some(Ok(_)))))
    });

    let ids: Vec<SlideId> =
        harness.state().session().slides().iter().map(|slide| slide.id().clone()).collect();
    harness.state_mut().command(Command::Train(TrainingCommand::Start {
        slides: vec![ids[0].clone()],
        validation: vec![ids[1].clone()],
        config: Box::new(config),
        device: DeviceChoice::Cpu,
    }));
    assert!(harness.state().session().embedding().paused, "embedding waits while it learns");
    wait(&mut harness, "the training has ended and is listed", |app| {
        !app.session().training().running().active && !app.session().training().runs().is_empty()
    });
    let session = harness.state().session();
    assert_eq!(session.training().running().problem, None);
    assert_eq!(session.training().running().history.steps.len(), 20);
    assert!(!session.training().running().pairs.is_empty());
    let run = &session.training().runs()[0];
    assert!(matches!(run.card.status, RunStatus::Finished { step: 20, .. }) && run.best_addr().is_some());
    assert!(!session.embedding().paused, "embedding goes on");
    harness.get_by_label("This run").click();
    harness.run_steps(3);
    harness.get_by_label("Use this encoder").click();
    harness.run_steps(1);

    // The old descriptors answer until the new ones are whole, and never both together.
    let before = harness.state().session().searchable_tiles();
    assert!(before > 0);
    wait(&mut harness, "the new encoder's descriptors answer", |app| {
        let tiles = app.session().searchable_tiles();
        assert!(tiles == before || is_embedded(app), "{tiles} tiles in the middle of the change");
        tiles > before
    });
    let session = harness.state().session();
    assert_eq!(session.recipe().unwrap().encoder_name, "run-001");
    assert_eq!(session.recipe().unwrap().tiles.tile_px, 32);
}
