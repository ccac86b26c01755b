//! Training of the head alone, from features that are computed once and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use histokin::encoder::backbones::BackboneKind;
use histokin::encoder::trainable::{Depth, HeadKind};
use histokin::encoder::{self, DeviceChoice};
use histokin::slide;
use histokin::training::config::{LossKind, TrainingConfig};
use histokin::training::run::{Run, RunStatus};
use histokin::training::slides::TrainingSlide;
use histokin::training::{Control, FEATURES_FOLDER, Outcome, Progress, Setup, train};

use crate::training::{TestFolder, UM, config, run, setup, two_textures};
use crate::training_trouble::Removable;

/// Settings for a head on a random network.
fn head(kind: HeadKind) -> TrainingConfig {
    TrainingConfig { head: kind, depth: Depth::Head, kept_views: 3, steps: 60, batch: 16, ..config() }
}

/// The files of kept features, with the time of their last change.
fn kept(test_folder: &TestFolder) -> Vec<(PathBuf, std::time::SystemTime)> {
    kept_in(&test_folder.folder.path().join(FEATURES_FOLDER))
}

/// The same of the folder `features`.
fn kept_in(features: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let folders = fs::read_dir(features).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
    let mut files: Vec<_> =
        files.map(|file| (file.path(), file.metadata().unwrap().modified().unwrap())).collect();
    files.sort();
    files
}

/// Runs a training; also returns how often it told of features being computed.
fn told(setup: Setup) -> (Outcome, usize) {
    let mut computed = 0;
    let outcome = train(setup, &Control::default(), &mut |progress| {
        computed += usize::from(matches!(progress, Progress::Keeping { .. }));
    });
    (outcome.unwrap(), computed)
}

#[test]
fn heads_of_every_kind_learn_from_features_that_are_computed_once() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    // The same network for all of them.
    let begun = setup(&test_folder, &config(), &[&path], &[]);
    let start = begun.model.to_string_lossy().into_owned();
    run(begun).unwrap();
    let mut before = Vec::new();
    let from = |margin: f64, kind| TrainingConfig { margin, init: start.clone(), ..head(kind) };
    for kind in [HeadKind::Linear, HeadKind::TwoLayers, HeadKind::Prototypes] {
        let margin = if kind == HeadKind::Prototypes { 1.0 } else { 2.0 };
        let (outcome, computed) = told(setup(&test_folder, &from(margin, kind), &[&path], &[&path]));
        let losses: Vec<f64> = outcome.history.steps.iter().map(|step| step.loss).collect();
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        assert!(mean(&losses[50..]) < mean(&losses[..10]), "{kind:?} {losses:?}");
        let addr: Vec<f64> = outcome.history.validations.iter().filter_map(|one| one.addr_global).collect();
        assert!(addr.len() > 2 && addr[addr.len() - 1] > addr[0], "{kind:?} {addr:?}");

        // Another head of the same network finds the features.
        let files = kept(&test_folder);
        assert_eq!(files.len(), 1);
        assert_eq!(computed > 0, before.is_empty(), "{kind:?}");
        assert!(before.is_empty() || before == files, "{kind:?}");
        before = files;

        // What came of it is an encoder like any other, with the network as it was.
        let run_folder = test_folder.folder.path().join("runs");
        let run = fs::read_dir(run_folder).unwrap().flatten().map(|run| run.path()).max().unwrap();
        let which = run.join("model.safetensors");
        let mut encoder = encoder::load(which.to_str().unwrap(), DeviceChoice::Cpu).unwrap();
        assert_eq!((&encoder.spec().id, encoder.spec().width), (&outcome.encoder.unwrap().0, 16));
        let tile = image::RgbImage::from_fn(32, 32, |x, y| image::Rgb([(x * 7) as u8, (y * 5) as u8, 150]));
        let values = encoder.encode(&[tile]).unwrap().values;
        let squared: f32 = values.iter().map(|value| value * value).sum();
        assert_eq!((squared - 1.0).abs() < 1e-4, kind == HeadKind::Prototypes, "{kind:?} {squared}");
    }
    // Of another network there are other features.
    let other = TrainingConfig { seed: 12, ..head(HeadKind::Linear) };
    run(setup(&test_folder, &other, &[&path], &[])).unwrap();
    assert_eq!(kept(&test_folder).len(), 2);
}

#[test]
fn learning_from_kept_features_is_learning_with_the_network_frozen() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let mut plain = head(HeadKind::Linear);
    plain.augmentation.flips = false;
    plain.augmentation.rotations = false;
    plain.augmentation.stain_jitter = 0.0;
    plain.augmentation.blur = 0.0;
    plain.batch_statistics = false;
    let losses = |kept_views: usize| -> Vec<f64> {
        let config = TrainingConfig { kept_views, steps: 12, ..plain.clone() };
        let outcome = run(setup(&test_folder, &config, &[&path], &[])).unwrap();
        outcome.history.steps.iter().map(|step| step.loss).collect()
    };
    // Without augmentation all views are the same. Kept numbers have three digits.
    let (kept, frozen) = (losses(1), losses(0));
    assert_eq!([kept.len(), frozen.len()], [12; 2]);
    assert!(kept.iter().zip(&frozen).all(|(a, b)| (a - b).abs() < 0.01 * b.abs()), "{kept:?} {frozen:?}");
}

#[test]
fn a_run_that_is_stopped_while_features_are_computed_goes_on_to_the_same_encoder() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let other = test_folder.slide("other.tif", &two_textures(1600), Some(UM));
    let slides: [&Path; 2] = [&path, &other];
    let config = TrainingConfig { loss: LossKind::NtXent, temperature: 0.2, ..head(HeadKind::TwoLayers) };
    let whole = TestFolder::new();
    let expected = run(setup(&whole, &config, &slides, &[])).unwrap();

    let parts = setup(&test_folder, &config, &slides, &[]);
    let (folder, model) = (parts.run.folder().to_owned(), parts.model.clone());
    let control = Control::default();
    let mut last = 0;
    let stopped = train(parts, &control, &mut |progress| {
        if let Progress::Keeping { done, total, .. } = progress {
            assert!(done > last && done <= total);
            last = done;
            // In the second slide: the features of the first are kept.
            if done > total * 3 / 5 {
                control.stop();
            }
        }
    });
    let stopped = stopped.unwrap();
    assert!(stopped.stopped && stopped.steps == 0 && stopped.encoder.is_none());
    assert_eq!(kept(&test_folder).len(), 1);
    let reopened = Run::open(&folder).unwrap();
    assert_eq!(reopened.card.status, RunStatus::Stopped { step: 0 });
    let rest = Setup { run: reopened, resume: true, ..setup(&test_folder, &config, &slides, &[]) };
    let rest = run(Setup { model, ..rest }).unwrap();
    assert_eq!(rest.encoder, expected.encoder);
    assert_eq!(kept(&test_folder).len(), 2);
}

#[test]
fn features_that_take_more_space_than_allowed_are_refused_and_those_of_other_networks_make_room() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let large = TrainingConfig { kept_views: 64, kept_features_mb: 1, ..head(HeadKind::Linear) };
    let text = run(setup(&test_folder, &large, &[&path], &[])).unwrap_err().to_string();
    assert!(text.contains("64 views of each") && text.contains("kept_features_mb = 1"), "{text}");
    assert!(kept(&test_folder).is_empty());
    assert!(
        !test_folder.folder.path().join("runs/run-001").exists(),
        "a run that did not begin leaves nothing"
    );

    let short = TrainingConfig { steps: 2, kept_views: 6, kept_features_mb: 1, ..head(HeadKind::Linear) };
    run(setup(&test_folder, &short, &[&path], &[])).unwrap();
    let first = kept(&test_folder);
    // A folder of the user's is none of a network.
    let notes = test_folder.folder.path().join(FEATURES_FOLDER).join("notes");
    fs::create_dir(&notes).unwrap();
    run(setup(&test_folder, &TrainingConfig { seed: 12, ..short.clone() }, &[&path], &[])).unwrap();
    assert!(notes.is_dir());
    let second = kept(&test_folder);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first[0].0, second[0].0);

    // So do those of the same network on another slide.
    let other = test_folder.slide("other.tif", &two_textures(1500), Some(UM));
    run(setup(&test_folder, &TrainingConfig { seed: 12, ..short }, &[&other], &[])).unwrap();
    let third = kept(&test_folder);
    assert_eq!(third.len(), 1);
    assert_eq!(third[0].0.parent(), second[0].0.parent(), "the same network");
    assert_ne!(third[0].0, second[0].0);
}

#[test]
fn a_run_beside_no_project_keeps_its_features_to_itself() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let begun = setup(&test_folder, &TrainingConfig { steps: 2, ..head(HeadKind::Linear) }, &[&path], &[]);
    let elsewhere = test_folder.folder.path().join("place/moved");
    fs::create_dir(test_folder.folder.path().join("place")).unwrap();
    fs::rename(begun.run.folder(), &elsewhere).unwrap();
    let moved = Run::open(&elsewhere).unwrap();
    run(Setup { model: moved.model(), run: moved, ..begun }).unwrap();
    assert!(kept(&test_folder).is_empty());
    assert_eq!(kept_in(&elsewhere.join(FEATURES_FOLDER)).len(), 1);
}

#[test]
fn tiles_that_could_not_be_read_are_read_again_next_time() {
    let test_folder = TestFolder::new();
    let config = TrainingConfig { steps: 2, ..head(HeadKind::Linear) };
    let gone = Arc::new(AtomicBool::new(false));
    let slide = slide::open(&test_folder.textures(), None).unwrap();
    let slide = Arc::new(Removable { slide, gone: gone.clone() });
    let begin = || {
        let mut parts = setup(&test_folder, &config, &[], &[]);
        parts.slides.push(TrainingSlide::prepare(slide.clone(), config.tiles(), None).unwrap());
        parts
    };
    let (begun, mut notices) = (begin(), Vec::new());
    // Whether so few tiles are enough to learn from does not matter here.
    let _ = train(begun, &Control::default(), &mut |progress| match progress {
        Progress::Keeping { .. } => gone.store(true, Ordering::Relaxed),
        Progress::Notice(text) => notices.push(text),
        _ => {}
    });
    assert!(notices.iter().any(|text| text.contains("tiles could not be read")), "{notices:?}");
    assert!(kept(&test_folder).is_empty());
    gone.store(false, Ordering::Relaxed);
    let (_, computed) = told(begin());
    assert!(computed > 0);
    assert_eq!(kept(&test_folder).len(), 1);
}

#[test]
fn a_stain_switch_which_looks_at_tiles_is_refused_by_name() {
    let test_folder = TestFolder::new();
    let width = encoder::spec(encoder::FIRST_DEFAULT).unwrap().width;
    let (backbone, init) = (BackboneKind::MobilenetV2, encoder::FIRST_DEFAULT.to_owned());
    let switched = TrainingConfig { backbone, init, width, ..head(HeadKind::Init) };
    let error = run(setup(&test_folder, &switched, &[&test_folder.textures()], &[])).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(encoder::FIRST_DEFAULT) && text.contains("kept_views"), "{text}");
}

#[test]
fn damaged_features_are_computed_again() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let config = TrainingConfig { steps: 2, ..head(HeadKind::Linear) };
    let (before, _) = told(setup(&test_folder, &config, &[&path], &[]));
    let [(file, _)] = &kept(&test_folder)[..] else { panic!("one slide") };
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    let (after, computed) = told(setup(&test_folder, &config, &[&path], &[]));
    assert!(computed > 0);
    assert_eq!(before.encoder, after.encoder);
    assert_eq!(fs::read(file).unwrap(), bytes);
}
