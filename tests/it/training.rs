//! Training from slides to an encoder: that it learns, that a seed decides everything, that an interruption
//! changes nothing, and that what cannot work is said.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};

use histokin::annotation::AnnotationClass;
use histokin::concept::{Concept, ConceptStore, ConceptTile};
use histokin::descriptors::Recipe;
use histokin::encoder::backbones::BackboneKind;
use histokin::encoder::model::Crops;
use histokin::encoder::trainable::Depth;
use histokin::encoder::{self, DeviceChoice, EncoderId};
use histokin::geometry::Level0Rect;
use histokin::slide::{self, SlideId};
use histokin::stain::StainSetting;
use histokin::tissue::TissueMask;
use histokin::training::config::{LossKind, Method, Preset, SlidesWithoutFarPairs, TrainingConfig};
use histokin::training::judged_pairs;
use histokin::training::pairs::{JudgedPair, PairSampler, TileRef, count_pairs};
use histokin::training::run::{Run, RunStatus, StepRecord};
use histokin::training::slides::TrainingSlide;
use histokin::training::{Control, Outcome, Progress, Setup, TrainingError, train};
use image::{Rgb, RgbImage};

use crate::support::{interruptible_program, write_pyramid};

pub const UM: f64 = 8.0;

/// A section of 12 × 5 mm, stripes to the left and dots to the right, in the colours of tissue.
pub fn two_textures(columns: u32) -> RgbImage {
    RgbImage::from_fn(columns, 704, |x, y| {
        let inside = (32..columns - 32).contains(&x) && (32..672).contains(&y);
        let stripes = x < columns / 2;
        let is_dark = if stripes { (x + y) / 4 % 2 == 0 } else { (x % 12).pow(2) + (y % 12).pow(2) < 40 };
        match (inside, is_dark) {
            (false, _) => Rgb([255, 255, 255]),
            (true, true) => Rgb([150, 70, 150]),
            (true, false) => Rgb([225, 150, 190]),
        }
    })
}

/// A section on which every tile has a colour of its own.
fn many_colours() -> RgbImage {
    RgbImage::from_fn(640, 704, |x, y| match (32..608).contains(&x) && (32..672).contains(&y) {
        true => Rgb([120 + (x / 8) as u8, 60 + (y / 8) as u8, 180 - (x / 16 + y / 16) as u8]),
        false => Rgb([255; 3]),
    })
}

pub struct TestFolder {
    pub folder: tempfile::TempDir,
}

impl TestFolder {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn slide(&self, name: &str, picture: &RgbImage, um: Option<f64>) -> PathBuf {
        let path = self.folder.path().join(name);
        write_pyramid(&path, picture, 1, um);
        path
    }

    pub fn textures(&self) -> PathBuf {
        self.slide("textures.tif", &two_textures(1536), Some(UM))
    }
}

pub fn config() -> TrainingConfig {
    TrainingConfig {
        backbone: BackboneKind::Tiny,
        init: "random".into(),
        depth: Depth::All,
        width: 16,
        margin: 2.0,
        // The paper's loss alone.
        anti_collapse: 0.0,
        anchor: 0.0,
        tile_px: 32,
        mpp: UM,
        near_mm: 1.5,
        far_mm: 7.0,
        steps: 12,
        batch: 8,
        lr: 3e-3,
        warmup_steps: 3,
        validate_every: 6,
        validation_tiles: 60,
        checkpoint_every: 5,
        seed: 11,
        ..TrainingConfig::default()
    }
}

/// The slide with its tissue, which is found once for all runs of a test.
pub fn prepare(path: &Path, config: &TrainingConfig) -> TrainingSlide {
    static KNOWN: LazyLock<Mutex<HashMap<PathBuf, Arc<TissueMask>>>> = LazyLock::new(Mutex::default);
    let source = slide::open(path, None).unwrap();
    let known = KNOWN.lock().unwrap().get(path).cloned();
    let tissue = known.unwrap_or_else(|| Arc::new(TissueMask::of(source.as_ref()).unwrap()));
    KNOWN.lock().unwrap().insert(path.to_owned(), tissue.clone());
    TrainingSlide::prepare(source, config.tiles(), Some(&tissue)).unwrap()
}

pub fn setup(
    test_folder: &TestFolder,
    config: &TrainingConfig,
    slides: &[&Path],
    validation: &[&Path],
) -> Setup {
    let run = Run::create(test_folder.folder.path(), config.clone(), Vec::new()).unwrap();
    Setup {
        model: run.model(),
        model_name: "test".into(),
        slides: slides.iter().map(|path| prepare(path, config)).collect(),
        validation: validation.iter().map(|path| prepare(path, config)).collect(),
        judged_pairs: Vec::new(),
        device: DeviceChoice::Cpu,
        threads: 2,
        resume: false,
        run,
    }
}

pub fn run(setup: Setup) -> Result<Outcome, TrainingError> {
    train(setup, &Control::default(), &mut |_| {})
}

#[test]
fn two_textures_are_told_apart() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let config =
        TrainingConfig { steps: 120, validate_every: 120, validation_tiles: 200, batch: 16, ..config() };
    let outcome = run(setup(&test_folder, &config, &[&path], &[&path])).unwrap();
    let [before, after] = &outcome.history.validations[..] else { panic!("two validations") };
    let (before, after) = (before.addr_global.unwrap(), after.addr_global.unwrap());
    assert!(after > 3.0 && after > 1.5 * before, "ADDR {before} before, {after} after");
    let losses: Vec<f64> = outcome.history.steps.iter().map(|step| step.loss).collect();
    assert!(losses[110..].iter().sum::<f64>() < 0.5 * losses[..10].iter().sum::<f64>(), "{losses:?}");

    // What came of it is an encoder like any other.
    let (id, _) = outcome.encoder.unwrap();
    let which = test_folder.folder.path().join("runs/run-001/model.safetensors");
    let spec = encoder::spec(which.to_str().unwrap()).unwrap();
    assert_eq!((&spec.id, spec.width, spec.tiles.tile_px, spec.tiles.mpp), (&id, 16, 32, UM));
}

#[test]
fn what_the_encoder_that_ships_tells_apart_is_kept_when_asked_for() {
    let test_folder = TestFolder::new();
    let path = test_folder.slide("many-colours.tif", &many_colours(), Some(UM));
    let config = TrainingConfig { anchor: 20.0, anti_collapse: 0.5, far_mm: 5.0, steps: 80, ..config() };
    let outcome = run(setup(&test_folder, &config, &[&path], &[])).unwrap();
    let losses: Vec<f64> = outcome.history.steps.iter().map(|step| step.loss).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses[..5]), mean(&losses[losses.len() - 10..]));
    // With a margin of 2, pairs alone account for no more than 2 of it, spreading for less.
    assert!(last < first - 4.0, "{first} to {last}");
}

#[test]
fn learning_goes_on_from_an_encoder_that_ships() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let small = TrainingConfig { tile_px: 32, mpp: UM, near_mm: 1.5, ..Preset::NearPairs.config() };
    let config = TrainingConfig { steps: 24, batch: 8, warmup_steps: 3, validate_every: 24, ..small };
    let outcome = run(setup(&test_folder, &config, &[&path], &[&path])).unwrap();
    let losses: Vec<f64> = outcome.history.steps.iter().map(|step| step.loss).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(mean(&losses[18..]) < mean(&losses[..6]), "{losses:?}");

    // What comes of it describes tiles by prototypes, too, but is another encoder.
    let which = test_folder.folder.path().join("runs/run-001/model.safetensors");
    let mut learned = encoder::load(which.to_str().unwrap(), DeviceChoice::Cpu).unwrap();
    let before = encoder::spec(encoder::LEARNING_REFERENCE).unwrap();
    assert_eq!(learned.spec().width, before.width);
    assert_ne!(learned.spec().id, before.id);
    let tile = RgbImage::from_fn(32, 32, |x, y| Rgb([(x * 7) as u8, (y * 5) as u8, 150]));
    let roots = learned.encode(&[tile]).unwrap().values;
    assert!(roots.iter().all(|root| (0.0..=1.0).contains(root)));
    assert!((roots.iter().map(|root| root * root).sum::<f32>() - 1.0).abs() < 1e-4);
}

#[test]
fn every_loss_and_npid_learn() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let many_colours = test_folder.slide("many-colours.tif", &many_colours(), Some(UM));
    // To tell tiles from all others each has to be seen several times: few and large ones.
    let npid = TrainingConfig {
        method: Method::Npid,
        tile_px: 64,
        batch: 16,
        temperature: 0.2,
        steps: 200,
        ..config()
    };
    let siamese = |loss| TrainingConfig { loss, temperature: 0.2, steps: 60, ..config() };
    for (path, config) in [
        (&path, siamese(LossKind::ContrastiveSquared)),
        (&path, siamese(LossKind::Triplet)),
        (&path, siamese(LossKind::NtXent)),
        (&many_colours, TrainingConfig { npid_noise: 24, ..npid.clone() }),
        (&many_colours, npid),
    ] {
        let outcome = run(setup(&test_folder, &config, &[path], &[])).unwrap();
        let losses: Vec<f64> = outcome.history.steps.iter().map(|step| step.loss).collect();
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (mean(&losses[..10]), mean(&losses[losses.len() - 10..]));
        assert!(
            last < first,
            "{:?} {:?} {}: {first} to {last}",
            config.method,
            config.loss,
            config.npid_noise
        );
    }
}

#[test]
fn a_seed_decides_the_encoder_and_an_interruption_changes_nothing() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    for config in [config(), TrainingConfig { method: Method::Npid, npid_noise: 8, ..config() }] {
        let whole = run(setup(&test_folder, &config, &[&path], &[&path])).unwrap();
        let again = run(setup(&test_folder, &config, &[&path], &[&path])).unwrap();
        assert_eq!(whole.encoder, again.encoder);
        let other = TrainingConfig { seed: 12, ..config.clone() };
        let other = run(setup(&test_folder, &other, &[&path], &[&path])).unwrap();
        assert_ne!(whole.encoder, other.encoder);

        // Stopped in the middle, between two checkpoints, and taken up again by a fresh start.
        let parts = setup(&test_folder, &config, &[&path], &[&path]);
        let (folder, model) = (parts.run.folder().to_owned(), parts.model.clone());
        let control = Control::default();
        let stopped = train(parts, &control, &mut |progress| {
            if matches!(progress, Progress::Step { record, .. } if record.step == 7) {
                control.stop();
            }
        });
        let stopped = stopped.unwrap();
        assert!(stopped.stopped && stopped.steps == 7 && stopped.encoder.is_none());
        let reopened = Run::open(&folder).unwrap();
        assert_eq!(reopened.card.status, RunStatus::Stopped { step: 7 });
        let rest = Setup { run: reopened, resume: true, ..setup(&test_folder, &config, &[&path], &[&path]) };
        let rest = run(Setup { model, ..rest }).unwrap();
        assert_eq!(rest.encoder, whole.encoder);
        // What was seen before the stop has been through the header's decimal numbers.
        let is_alike = |a: &StepRecord, b: &StepRecord| a.step == b.step && (a.loss - b.loss).abs() < 1e-12;
        assert_eq!(rest.history.steps.len(), whole.history.steps.len());
        assert!(rest.history.steps.iter().zip(&whole.history.steps).all(|(a, b)| is_alike(a, b)));
        let addr = |outcome: &Outcome| {
            outcome.history.validations.iter().map(|look| look.addr_global).collect::<Vec<_>>()
        };
        let both = [addr(&rest), addr(&whole)]
            .map(|looks| looks.into_iter().map(Option::unwrap).collect::<Vec<_>>());
        assert!(both[0].len() == both[1].len());
        assert!(both[0].iter().zip(&both[1]).all(|(a, b)| (a - b).abs() < 1e-12), "{both:?}");
    }
}

#[test]
fn a_run_that_diverges_stops_and_keeps_its_last_checkpoint() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let config = TrainingConfig {
        lr: 1e30,
        warmup_steps: 0,
        clip_norm: 0.0,
        checkpoint_every: 1,
        steps: 30,
        ..config()
    };
    let parts = setup(&test_folder, &config, &[&path], &[]);
    let folder = parts.run.folder().to_owned();
    let error = run(parts).unwrap_err();
    let TrainingError::Diverged { step, kept, .. } = error else { panic!("{error}") };
    assert_eq!(kept, step - 1);
    let kept = Run::open(&folder).unwrap();
    assert!(matches!(&kept.card.status, RunStatus::Failed { reason } if reason.contains("learning rate")));
    assert!(kept.last_checkpoint().is_file());
}

#[test]
fn sections_that_are_too_small_are_named() {
    let test_folder = TestFolder::new();
    let small = test_folder.slide("small.tif", &two_textures(500), Some(UM));
    let large = test_folder.textures();
    let refuse = |config: &TrainingConfig, path: &Path| {
        PairSampler::new(&[prepare(path, config)], Vec::new(), config).err().unwrap().to_string()
    };
    let text = refuse(&config(), &small);
    assert!(text.contains("small.tif") && text.contains("--far-mm") && text.contains("7 mm"), "{text}");
    let text = refuse(&TrainingConfig { near_mm: 0.1, ..config() }, &large);
    assert!(text.contains("0.1 mm") && text.contains("--near-mm"), "{text}");

    let near_only = TrainingConfig { without_far: SlidesWithoutFarPairs::NearOnly, ..config() };
    for (config, slides_drawn) in [(config(), 1), (near_only, 2)] {
        let slides = [prepare(&small, &config), prepare(&large, &config)];
        let (sampler, notices) = PairSampler::new(&slides, Vec::new(), &config).unwrap();
        assert!(notices.len() == 1 && notices[0].contains("small.tif"), "{notices:?}");
        let mut drawn: Vec<usize> = (0..200).map(|index| sampler.group(0, index, 0).tiles[0].slide).collect();
        drawn.sort();
        drawn.dedup();
        assert_eq!(drawn.len(), slides_drawn);
    }
    // Near pairs alone are enough for this loss, where there are others to tell them from.
    let one = TrainingConfig { loss: LossKind::NtXent, near_mm: 7.0, slides_per_batch: 1, ..config() };
    let slides = [prepare(&small, &one), prepare(&large, &one)];
    let (sampler, notices) = PairSampler::new(&slides, Vec::new(), &one).unwrap();
    assert!(notices.len() == 1 && notices[0].contains("small.tif"), "{notices:?}");
    assert!((0..50).all(|step| sampler.group(step, 0, 0).tiles[0].slide == 1));
    let config = TrainingConfig { loss: LossKind::NtXent, ..config() };
    assert!(PairSampler::new(&[prepare(&small, &config)], Vec::new(), &config).unwrap().1.is_empty());
    let count = count_pairs(&prepare(&small, &config), 1.5, 7.0);
    assert!(count.near > 0 && count.far == 0 && count.tiles > 100);
}

#[test]
fn judged_pairs_are_drawn_as_often_as_the_settings_say() {
    let test_folder = TestFolder::new();
    let config = TrainingConfig { judged_pairs_share: 0.5, ..config() };
    let slide = prepare(&test_folder.textures(), &config);
    let tile = |index: usize| TileRef { slide: 0, rect: slide.tiles[index] };
    let (first, second) = (tile(0), tile(90));
    let slides = [slide];
    let id = &slides[0].source.info().id;
    let row = |a: TileRef, b: TileRef, slide: &str, judgement: &str| {
        let cells = |rect: Level0Rect| format!("{},{},{},{}", rect.x, rect.y, rect.width, rect.height);
        format!("{id},{},{slide},{},{judgement},0.5,encoder\n", cells(a.rect), cells(b.rect))
    };
    let head = "query_slide,query_x,query_y,query_width,query_height,slide,x,y,width,height,verdict,distance,encoder\n";
    let rows = [
        row(first, second, &id.0, "same"),
        row(first, second, &id.0, "unsure"),
        row(first, second, "a slide that is not here", "different"),
    ];
    std::fs::write(test_folder.folder.path().join(judged_pairs::FILE), head.to_owned() + &rows.concat())
        .unwrap();
    let run = Run::create(test_folder.folder.path(), config.clone(), Vec::new()).unwrap();
    let judged_pairs = judged_pairs::read(run.folder(), &slides).unwrap();
    assert_eq!(judged_pairs, [JudgedPair { tiles: [first, second], same: true }]);
    let (sampler, _) = PairSampler::new(&slides, judged_pairs, &config).unwrap();
    let groups = (0..400).map(|index| sampler.group(0, index, 0));
    let judged = groups.filter(|group| group.pairs[0].distance_mm.is_none()).count();
    assert!((150..250).contains(&judged), "{judged}");
}

#[test]
fn marks_of_concepts_are_pairs_to_learn_from() {
    let test_folder = TestFolder::new();
    let config = config();
    let slide = prepare(&test_folder.textures(), &config);
    let id = slide.source.info().id.clone();
    let mark = |tile: usize, is_same: bool| ConceptTile {
        slide: Some(id.clone()),
        at: slide.tiles[tile].center(),
        is_same,
        descriptor: vec![0.0, 1.0],
    };
    let of_image = ConceptTile { slide: None, ..mark(7, true) };
    let elsewhere = ConceptTile { slide: Some(SlideId("elsewhere".into())), ..mark(8, true) };
    let recipe = Recipe {
        encoder_id: EncoderId("any".into()),
        encoder_name: "any".into(),
        tiles: config.tiles(),
        stain: StainSetting::None,
    };
    let concept = Concept {
        name: "Stripes".into(),
        class: AnnotationClass::named("stripes"),
        recipe,
        tiles: vec![mark(0, true), mark(90, false), mark(3, true), of_image, elsewhere, mark(5, true)],
        direction: vec![0.0, 1.0],
        threshold: None,
        estimate: None,
    };
    let two = Concept { name: "Two".into(), tiles: vec![mark(0, true), mark(1, true)], ..concept.clone() };
    let store = ConceptStore::new(test_folder.folder.path().join("concepts"));
    store.save(&concept).unwrap();
    store.save(&two).unwrap();
    let run = Run::create(test_folder.folder.path(), config, Vec::new()).unwrap();
    // What becomes of them later does not change the run.
    store.remove("Stripes").unwrap();

    let pair = |one: usize, other: usize, same: bool| {
        let tiles = [one, other].map(|tile| TileRef { slide: 0, rect: slide.tiles[tile] });
        JudgedPair { tiles, same }
    };
    let expected =
        [pair(0, 3, true), pair(3, 5, true), pair(5, 0, true), pair(90, 0, false), pair(0, 1, true)];
    assert_eq!(judged_pairs::read(run.folder(), std::slice::from_ref(&slide)).unwrap(), expected);
    let damaged = run.folder().join("concept_marks.json");
    std::fs::write(&damaged, "[").unwrap();
    let refused = judged_pairs::read(run.folder(), std::slice::from_ref(&slide)).unwrap_err().to_string();
    assert!(refused.contains("concept_marks.json"), "{refused}");
}

pub fn histokin(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_histokin")).args(arguments).output().unwrap()
}

#[test]
fn the_command_line_trains_and_answers_one_document() {
    let test_folder = TestFolder::new();
    let (slide, held) =
        (test_folder.textures(), test_folder.slide("held.tif", &two_textures(1600), Some(UM)));
    let project = test_folder.folder.path().join("project");
    let settings = test_folder.folder.path().join("settings.toml");
    std::fs::write(&settings, config().to_toml()).unwrap();
    let model = test_folder.folder.path().join("models/mine.safetensors");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (project, slide, model) = (text(&project), text(&slide), text(&model));
    let output = histokin(&[
        "train",
        &project,
        &slide,
        "--config",
        &text(&settings),
        "--validate",
        &text(&held),
        "--steps",
        "8",
        "--device",
        "cpu",
        "-o",
        &model,
        "--json",
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["run_id"], &report["steps"]), (&"run-001".into(), &8.into()));
    assert_eq!(report["loss"].as_array().unwrap().len(), 8);
    assert!(report["validation"][0]["addr_global"].is_f64() && report.get("stopped_at_step").is_none());
    assert_eq!(report["encoder_id"], encoder::spec(&model).unwrap().id.to_string());
    let card = std::fs::read_to_string(Path::new(&model).with_extension("md")).unwrap();
    assert!(
        card.contains("textures.tif") && card.contains("held.tif") && card.contains("near_mm = 1.5"),
        "{card}"
    );
    assert!(report["pairs_per_second"].as_f64().unwrap() > 0.0);

    let embedded = histokin(&["embed", &project, &slide, "--encoder", &model, "--device", "cpu", "--json"]);
    assert!(embedded.status.success(), "{}", String::from_utf8_lossy(&embedded.stderr));
    let embedded: serde_json::Value = serde_json::from_slice(&embedded.stdout).unwrap();
    assert_eq!(embedded["encoder_id"], report["encoder_id"]);
    // Tiles are those that the encoder was trained on, without being asked for.
    assert!(embedded["slides"][0]["tiles_tissue"].as_u64().unwrap() > 500, "{embedded}");

    let unknown = histokin(&["train", &project, "--resume", "run-009"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && said.contains("run-009") && said.contains("run-001"), "{said}");
    let wrong = histokin(&["train", &project, &slide, "--near-mm", "9", "--far-mm", "4"]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && said.contains("near_mm is 9"), "{said}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_a_checkpoint_and_the_run_goes_on_from_there() {
    use std::io::{BufRead, BufReader};
    let test_folder = TestFolder::new();
    let slide = test_folder.textures();
    let project = test_folder.folder.path().join("project");
    let settings = test_folder.folder.path().join("settings.toml");
    std::fs::write(&settings, TrainingConfig { steps: 100_000, ..config() }.to_toml()).unwrap();
    let mut running = interruptible_program()
        .args([
            "train",
            project.to_str().unwrap(),
            slide.to_str().unwrap(),
            "--device",
            "cpu",
            "--json",
            "--config",
        ])
        .arg(&settings)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("step 1 ")));
    let interrupted = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("--resume run-001")), "{rest:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let step = report["stopped_at_step"].as_u64().unwrap();
    assert_eq!((&report["run_id"], &report["steps"]), (&"run-001".into(), &step.into()));
    let kept = Run::find(&project, "run-001").unwrap();
    assert_eq!(kept.card.status, RunStatus::Stopped { step });
    assert_eq!(kept.history().steps.len() as u64, step);
}

#[test]
fn a_vision_transformer_learns_to_tell_each_tile_from_all_others() {
    let folder = TestFolder::new();
    let path = folder.slide("many-colours.tif", &many_colours(), Some(UM));
    let weights = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("crates/histokin-encoder/tests/fixtures/vit/timm_plain.safetensors");
    let weights = weights.to_str().unwrap();
    let tile = || RgbImage::from_fn(64, 64, |x, y| Rgb([(3 * x) as u8, (2 * y) as u8, 150]));
    for depth in [Depth::Lora(4), Depth::All] {
        // As of the other networks: few and large tiles, each seen several times.
        let mut config = TrainingConfig {
            method: Method::Npid,
            init: weights.to_owned(),
            depth,
            tile_px: 64,
            batch: 16,
            temperature: 0.2,
            steps: 60,
            ..config()
        };
        config.settle().unwrap();
        assert!(matches!(config.backbone, BackboneKind::Vit(_)));
        let setup = setup(&folder, &config, &[&path], &[]);
        let model = setup.model.to_str().unwrap().to_owned();
        let outcome = run(setup).unwrap();
        let losses: Vec<f64> = outcome.history.steps.iter().map(|step| step.loss).collect();
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        assert!(losses.iter().all(|loss| loss.is_finite()), "{depth:?}: {losses:?}");
        assert!(mean(&losses[50..]) < mean(&losses[..10]), "{depth:?}: {losses:?}");
        // What came of it is an encoder with the head that it learned.
        let mut encoder = encoder::load(&model, DeviceChoice::Cpu).unwrap();
        assert_eq!((&encoder.spec().id, encoder.spec().width), (&outcome.encoder.unwrap().0, 16));
        let values = encoder.encode(&[tile(), RgbImage::new(64, 64)]).unwrap().values;
        assert!(values.iter().all(|value| value.is_finite()) && values[..16] != values[16..], "{values:?}");
    }
}

#[test]
fn a_vision_transformer_learns_by_adapters_and_an_interruption_changes_nothing() {
    let folder = TestFolder::new();
    let path = folder.textures();
    let weights = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("crates/histokin-encoder/tests/fixtures/vit/timm_plain.safetensors");
    let mut config = TrainingConfig {
        init: weights.to_str().unwrap().to_owned(),
        depth: Depth::Lora(4),
        steps: 30,
        lr: 1e-2,
        checkpoint_every: 10,
        ..config()
    };
    config.settle().unwrap();
    assert!(matches!(config.backbone, BackboneKind::Vit(_)));
    let (mut told, mut losses) = (Vec::new(), Vec::new());
    let control = Control::default();
    let outcome = train(setup(&folder, &config, &[&path], &[]), &control, &mut |progress| match progress {
        Progress::Notice(text) => told.push(text),
        Progress::Step { record, .. } => losses.push(record.loss),
        _ => {}
    });
    let outcome = outcome.unwrap();
    assert!(told[0].contains("GiB of memory"), "said before it starts: {told:?}");
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(mean(&losses[20..]) < 0.9 * mean(&losses[..10]), "{losses:?}");

    let run = Run::find(folder.folder.path(), "run-001").unwrap();
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert!(size(&run.model()) < size(&weights), "the file holds adapters and head only");
    let model = run.model().to_str().unwrap().to_owned();
    assert_eq!(encoder::spec(&model).unwrap().id, outcome.encoder.clone().unwrap().0);
    let mut encoder = encoder::load(&model, DeviceChoice::Cpu).unwrap();
    assert_eq!(encoder.encode(&[RgbImage::new(32, 32)]).unwrap().width, 16);

    // Stopped after 14 steps and continued, it ends in the same weights.
    let other = TestFolder::new();
    let (stop, mut steps) = (Control::default(), 0);
    let stopped = train(setup(&other, &config, &[&path], &[]), &stop, &mut |progress| {
        if matches!(progress, Progress::Step { .. }) {
            steps += 1;
            if steps == 14 {
                stop.stop();
            }
        }
    });
    assert!(stopped.unwrap().stopped);
    let run = Run::find(other.folder.path(), "run-001").unwrap();
    let resumed = Setup { resume: true, model: run.model(), run, ..setup(&other, &config, &[&path], &[]) };
    let resumed = train(resumed, &Control::default(), &mut |_| {}).unwrap();
    assert_eq!(resumed.encoder, outcome.encoder);

    let far_too_much = TrainingConfig { batch: 60_000, ..config.clone() };
    let need = far_too_much.memory_need(None).unwrap();
    let own = config.memory_need(None).unwrap();
    assert_eq!(need.weights, own.weights);
    assert!(need.activations > 1 << 30);
    // Features to keep are computed of a few tiles at a time, whatever the batch.
    let kept = TrainingConfig { depth: Depth::Head, kept_views: 4, ..far_too_much };
    assert!(kept.memory_need(None).unwrap().activations < 1 << 30);
    // Two views of half the edge are twice as many tiles, not one of four times the pixels.
    let crops = Crops { px: config.tile_px, um_per_px: vec![2.0 * UM, UM] };
    let wide = TrainingConfig { tile_px: crops.tiles().tile_px, ..config.clone() };
    let seen = wide.memory_need(Some(&crops)).unwrap().activations;
    assert!(seen.abs_diff(2 * own.activations) < 2, "{seen} {}", own.activations);
    let unfit = TrainingConfig { tile_px: 36, ..config }.settle().unwrap_err().to_string();
    assert!(unfit.contains("patches of 8 px") && unfit.contains("give 32"), "{unfit}");
}
