//! Training in the window: from the panel to an encoder that describes the slides.

use egui::Key;
use egui_kittest::kittest::Queryable;
use histokin::encoder::DeviceChoice;
use histokin::encoder::backbones::BackboneKind;
use histokin::encoder::trainable::Depth;
use histokin::session::{PairLimits, SlideStatus, TrainingCommand, TrialState};
use histokin::slide::SlideId;
use histokin::training::config::{LossKind, Preset, TrainingConfig};
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

fn config() -> TrainingConfig {
    TrainingConfig {
        backbone: BackboneKind::Tiny,
        init: "random".into(),
        depth: Depth::All,
        loss: LossKind::Contrastive,
        margin: 2.0,
        // The paper's loss alone.
        anti_collapse: 0.0,
        anchor: 0.0,
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
    }
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
    let config = config();

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
    harness.state_mut().command(TrainingCommand::Start {
        slides: vec![ids[0].clone()],
        validation: vec![ids[1].clone()],
        config: Box::new(config),
        seconds: None,
        device: DeviceChoice::Cpu,
    });
    assert!(harness.state().session().embedding().paused, "embedding waits while it learns");
    wait(&mut harness, "the training has ended and is listed", |app| {
        !app.session().training().running().active && !app.session().training().runs().is_empty()
    });
    let session = harness.state().session();
    assert_eq!(session.training().running().problem, None);
    assert_eq!(session.training().running().history.steps.len(), 20);
    assert!(!session.training().running().pairs.is_empty());
    let run = &session.training().runs()[0];
    assert!(
        matches!(run.card.status, RunStatus::Finished { step: 20, .. }) && run.best_validation().is_some()
    );
    assert!(!session.embedding().paused, "embedding goes on");
    harness.get_by_label("Current run").click();
    harness.run_steps(3);

    // Before it is used, it is compared with the current encoder on some queries.
    wait(&mut harness, "the encoders are compared", |app| {
        matches!(app.session().training().trial(), Some(("run-001", TrialState::Done(_))))
    });
    let Some((_, TrialState::Done(trial))) = harness.state().session().training().trial() else {
        unreachable!()
    };
    assert_eq!(trial.names[1], "run-001");
    assert_eq!(trial.queries.len(), 10);
    let slide_of = |tile: u32| trial.sample.tiles.slides[tile as usize];
    for query in &trial.queries {
        for matches in &query.matches {
            assert_eq!(matches.len(), 5);
            assert!(matches.iter().all(|tile| slide_of(*tile) != slide_of(query.tile)));
        }
        assert!(trial.pictures.contains_key(&query.tile));
    }
    harness.run_steps(2);
    harness.get_by_label("run-001 compared with the current encoder");
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

#[test]
fn pairs_settings_and_troubles_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("section.tif");
    write_pyramid(&path, &section(190), 1, Some(8.0));
    let mut harness = window(&folder.path().join("project"), vec![path]);
    wait(&mut harness, "the slide is there", |app| {
        app.session().slides().len() == 1 && app.session().slides()[0].tissue.is_some()
    });
    harness.key_press(Key::F6);
    harness.run_steps(4);
    let id = harness.state().session().slides()[0].id().clone();
    let train = |harness: &mut egui_kittest::Harness<'_, App>, command| {
        harness.state_mut().command(command);
    };

    // What the last layer alone takes is said beforehand.
    harness.get_by_label("Its last layer only").click();
    harness.run_steps(4);
    harness.get_by_label_contains("steps: seconds to minutes");
    harness.get_by_label("The network").click();
    harness.run_steps(4);
    harness.get_by_label("1 hour");

    // Pairs to look at know where they lie, and a click on one goes there.
    train(&mut harness, TrainingCommand::Preview { slides: vec![id.clone()], config: Box::new(config()) });
    wait(&mut harness, "pairs are drawn", |app| !app.session().training().preview().pairs.is_empty());
    for pair in harness.state().session().training().preview().pairs.iter() {
        assert!(pair.tiles.iter().all(|(slide, rect)| *slide == id && rect.width == 32));
        assert_ne!(pair.tiles[0], pair.tiles[1]);
    }
    harness.get_by_label_contains("The pairs are also drawn on their slides");

    // Settings go into a file and come back from it.
    let settings = folder.path().join("settings.toml");
    let kept = TrainingConfig { margin: 3.25, ..Preset::Paper.config() };
    let write = TrainingCommand::WriteSettings { path: settings.clone(), config: Box::new(kept.clone()) };
    train(&mut harness, write);
    wait(&mut harness, "settings are written", |_| settings.is_file());
    train(&mut harness, TrainingCommand::ReadSettings(settings));
    wait(&mut harness, "settings are read", |app| app.session().training().settings_read().is_some());
    assert_eq!(harness.state().session().training().settings_read().unwrap().1, kept);

    // What cannot be learned from is told in the panel, and leaves no run.
    let config = Box::new(TrainingConfig { far_mm: 50.0, ..config() });
    let (slides, validation) = (vec![id], Vec::new());
    train(
        &mut harness,
        TrainingCommand::Start { slides, validation, config, seconds: None, device: DeviceChoice::Cpu },
    );
    wait(&mut harness, "the training has ended", |app| !app.session().training().running().active);
    let problem = harness.state().session().training().running().problem.clone().unwrap();
    assert!(problem.contains("section.tif") && problem.contains("50 mm"), "{problem}");
    assert!(!folder.path().join("project/runs/run-001").exists());
    harness.get_by_label("Current run").click();
    harness.run_steps(3);
    assert!(harness.query_all_by_label(&problem).count() > 0);
    assert!(!harness.state().session().embedding().paused, "embedding goes on");
}
