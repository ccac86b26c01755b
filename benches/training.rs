//! Speed of training and of networks in libtorch, compared with Python torch.
//!
//!     cargo bench --bench training
//!
//! The Python figures come from `benches/python/torch_loops.py`, which explains how to set up its
//! environment. Without that environment they are skipped; `HISTOKIN_TORCH_PYTHON` names another Python with
//! torch. Both sides alternate, and the fastest round of each counts, because slower ones were disturbed.
//! Uses the development slides (`../shared/data`) if available, otherwise a demonstration slide.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use histokin::encoder::backbones::BackboneKind;
use histokin::encoder::{self, DeviceChoice};
use histokin::slide;
use histokin::training::config::TrainingConfig;
use histokin::training::run::Run;
use histokin::training::slides::TrainingSlide;
use histokin::training::{Control, Progress, Setup, train};
use tch::{Device, Kind, Tensor, nn};

const BATCH: usize = 16;
const ROUNDS: usize = 3;
/// Number of timed steps.
const STEPS: u64 = 16;
/// Number of steps before, which are not timed.
const WARM: u64 = 2;

fn main() {
    println!("{}", support::machine());
    // Loads libtorch.
    encoder::trainable::device_name(DeviceChoice::Cpu).expect("the CPU is always there");
    let threads = tch::get_num_threads() as usize;
    println!("torch threads: {threads}");
    let python = python();
    if python.is_none() {
        println!("Python torch: skipped, see benches/python/torch_loops.py");
    }
    encoder_alone(python.as_deref(), threads);
    learning(python.as_deref(), threads);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn python() -> Option<PathBuf> {
    let named = std::env::var_os("HISTOKIN_TORCH_PYTHON").map(PathBuf::from);
    let path = named.unwrap_or_else(|| root().join("target/bench-torch/bin/python"));
    path.exists().then_some(path)
}

fn ask_python(python: &Path, arguments: &[&str]) -> f64 {
    let script = root().join("benches/python/torch_loops.py");
    let output = Command::new(python).arg(script).args(arguments).output().expect("Python starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text.lines().last().and_then(|line| line.trim().parse().ok());
    number.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// Items per second of one run.
fn rate(count: usize, run: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    run();
    count as f64 / begun.elapsed().as_secs_f64()
}

fn encoder_alone(python: Option<&Path>, threads: usize) {
    println!("\nencoder alone, {BATCH} tiles of 224 px     ours   Python eager   ratio (tiles/s)");
    let _no_grad = tch::no_grad_guard();
    let images = Tensor::rand([BATCH as i64, 3, 224, 224], (Kind::Float, Device::Cpu));
    let images = images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    for kind in [BackboneKind::MobilenetV2, BackboneKind::Resnet50] {
        let store = nn::VarStore::new(Device::Cpu);
        let folded =
            kind.build(&store.root()).and_then(|eager| eager.folded()).expect("memory for a network");
        let once = || rate(BATCH, || drop(folded.features(&images, &[]).expect("a forward pass")));
        once();
        let (mut ours, mut theirs) = (0.0_f64, 0.0_f64);
        for _ in 0..ROUNDS {
            ours = (0..4).map(|_| once()).fold(ours, f64::max);
            if let Some(python) = python {
                let numbers = [BATCH, threads, 4].map(|number| number.to_string());
                let arguments = ["encode", kind.name(), &numbers[0], &numbers[1], &numbers[2], "eager"];
                theirs = theirs.max(ask_python(python, &arguments));
            }
        }
        println!("{:36} {ours:8.2} {theirs:14.2} {:7.2}", kind.name(), ours / theirs);
    }
}

fn learning(python: Option<&Path>, threads: usize) {
    println!("\ntraining, {BATCH} pairs of 224 px, tiles read from the slide (Python has them in memory)");
    println!("backbone                  ours   Python   ratio (pairs/s)");
    let path = support::slide();
    let is_large = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("PA"));
    let base = TrainingConfig {
        mpp: if is_large { 2.0 } else { 0.5 },
        near_mm: if is_large { 2.0 } else { 0.2 },
        far_mm: if is_large { 10.0 } else { 0.6 },
        init: "random".into(),
        // The Python loop has only the contrastive loss.
        anchor: 0.0,
        batch: BATCH,
        steps: WARM + STEPS,
        checkpoint_every: 1000,
        ..TrainingConfig::default()
    };
    let config = TrainingConfig { backbone: BackboneKind::MobilenetV2, ..base };
    // The preset trains the last 12 of MobileNetV2's 19 blocks.
    let frozen = 7.to_string();
    let (mut ours, mut theirs) = (0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        ours = ours.max(learn(&path, &config));
        if let Some(python) = python {
            let numbers = [BATCH, threads, STEPS as usize].map(|number| number.to_string());
            let arguments = ["train", config.backbone.name(), &numbers[0], &numbers[1], &numbers[2], &frozen];
            theirs = theirs.max(ask_python(python, &arguments));
        }
    }
    println!("{:20} {ours:10.2} {theirs:8.2} {:7.2}", config.backbone.name(), ours / theirs);
}

/// Pairs per second of the whole training loop, without the first steps.
fn learn(path: &Path, config: &TrainingConfig) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::create(folder.path(), config.clone(), Vec::new()).expect("a run");
    let slide = slide::open(path, None).expect("the slide");
    let setup = Setup {
        slides: vec![TrainingSlide::prepare(slide, config.tiles(), None).expect("its tissue")],
        validation: Vec::new(),
        judged_pairs: Vec::new(),
        device: DeviceChoice::Cpu,
        threads: std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2),
        resume: false,
        model: run.model(),
        model_name: "bench".into(),
        run,
    };
    let (mut begun, mut ended) = (Instant::now(), Instant::now());
    let outcome = train(setup, &Control::default(), &mut |progress| {
        if let Progress::Step { record, .. } = progress {
            ended = Instant::now();
            if record.step == WARM {
                begun = ended;
            }
        }
    });
    outcome.expect("a training");
    (config.batch as u64 * STEPS) as f64 / (ended - begun).as_secs_f64()
}
