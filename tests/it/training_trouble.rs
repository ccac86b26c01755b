//! What can go wrong with a training: each trouble is told in words, ends the program with a failure, and loses
//! nothing that was learned.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use histokin::geometry::LevelRect;
use histokin::slide::{self, SlideError, SlideInfo, SlideSource};
use histokin::training::config::{LossKind, TrainingConfig};
use histokin::training::run::{RUNS_FOLDER, Run};
use histokin::training::slides::TrainingSlide;
use histokin::training::{Control, Progress, TrainingError, train};
use image::{Rgb, RgbImage, RgbaImage};

use crate::training::{TestFolder, UM, config, run, setup, two_textures};

#[test]
fn what_cannot_be_learned_from_says_why() {
    let test_folder = TestFolder::new();
    let blank = test_folder.slide("blank.tif", &RgbImage::from_pixel(800, 800, Rgb([250; 3])), Some(UM));
    let error = |path: &Path| {
        TrainingSlide::prepare(slide::open(path, None).unwrap(), config().tiles(), None)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(error(&blank).contains("blank.tif") && error(&blank).contains("no tissue"));
    let unknown = test_folder.slide("unknown.tif", &two_textures(800), None);
    assert!(error(&unknown).contains("--slide-mpp"), "{}", error(&unknown));

    let path = test_folder.textures();
    let damaged = test_folder.folder.path().join("damaged.safetensors");
    std::fs::write(&damaged, b"these are no weights at all").unwrap();
    let config = TrainingConfig { init: damaged.to_string_lossy().into_owned(), ..config() };
    let text = run(setup(&test_folder, &config, &[&path], &[])).unwrap_err().to_string();
    assert!(text.contains("damaged.safetensors"), "{text}");
}

/// A slide on a drive that can be pulled out.
pub struct Removable {
    pub slide: Arc<dyn SlideSource>,
    pub gone: Arc<AtomicBool>,
}

impl SlideSource for Removable {
    fn info(&self) -> &SlideInfo {
        self.slide.info()
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        if self.gone.load(Ordering::Relaxed) {
            let (path, reason) = (self.info().path.clone(), "the drive is gone".to_owned());
            return Err(SlideError::Read { path, region: *region, reason });
        }
        self.slide.read(region)
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        self.slide.associated(name)
    }
}

#[test]
fn a_slide_that_is_lost_in_mid_run_ends_it_with_a_checkpoint() {
    let test_folder = TestFolder::new();
    let config = TrainingConfig { steps: 400, checkpoint_every: 100, ..config() };
    let gone = Arc::new(AtomicBool::new(false));
    let slide = slide::open(&test_folder.textures(), None).unwrap();
    let slide = Arc::new(Removable { slide, gone: gone.clone() });
    let mut parts = setup(&test_folder, &config, &[], &[]);
    parts.slides.push(TrainingSlide::prepare(slide, config.tiles(), None).unwrap());
    let folder = parts.run.folder().to_owned();
    let outcome = train(parts, &Control::default(), &mut |progress| {
        if matches!(progress, Progress::Step { record, .. } if record.step == 3) {
            gone.store(true, Ordering::Relaxed);
        }
    });
    let error = outcome.map(|outcome| outcome.steps).unwrap_err();
    let TrainingError::SlideLost { step, kept, .. } = &error else { panic!("{error}") };
    assert_eq!(step, kept);
    assert!(error.to_string().contains("textures.tif") && error.to_string().contains("resume"), "{error}");
    assert!(Run::open(&folder).unwrap().last_checkpoint().is_file());
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_run_in_words() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let parts = setup(&test_folder, &TrainingConfig { checkpoint_every: 4, ..config() }, &[&path], &[]);
    let folder = parts.run.folder().to_owned();
    let outcome = train(parts, &Control::default(), &mut |progress| {
        if matches!(progress, Progress::Step { record, .. } if record.step == 5) {
            std::fs::remove_dir_all(&folder).unwrap();
        }
    });
    let error = outcome.map(|outcome| outcome.steps).unwrap_err();
    assert!(matches!(error, TrainingError::Checkpoint { kept: 4, .. }), "{error}");
    assert!(error.to_string().contains("last.safetensors"), "{error}");
}

/// `histokin train` on `slide` with these settings, in the folder's project.
fn command(
    test_folder: &TestFolder,
    config: &TrainingConfig,
    project: &Path,
    slide: &Path,
    more: &[&str],
) -> Command {
    let settings = test_folder.folder.path().join("settings.toml");
    std::fs::write(&settings, config.to_toml()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_histokin"));
    command
        .arg("train")
        .arg(project)
        .arg(slide)
        .args(["--device", "cpu", "--json", "--config"])
        .arg(settings);
    command.args(more);
    command
}

/// What was said on a failure.
fn failure(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code().is_some_and(|code| code != 0), "{:?}: {said}", output.status);
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn runs(project: &Path) -> usize {
    std::fs::read_dir(project.join(RUNS_FOLDER)).map_or(0, Iterator::count)
}

#[test]
fn what_cannot_begin_fails_with_a_word_and_leaves_no_run() {
    let test_folder = TestFolder::new();
    let project = test_folder.folder.path().join("project");
    let textures = test_folder.textures();
    let unknown = test_folder.slide("unknown.tif", &two_textures(800), None);
    let blank = test_folder.slide("blank.tif", &RgbImage::from_pixel(800, 800, Rgb([250; 3])), Some(UM));
    let small = test_folder.slide("small.tif", &two_textures(500), Some(UM));
    let weights = test_folder.folder.path().join("damaged.safetensors");
    std::fs::write(&weights, b"\x40\0\0\0\0\0\0\0{\"head.weight\":").unwrap();
    let of_damaged = TrainingConfig { init: weights.to_string_lossy().into_owned(), ..config() };
    let near_only = TrainingConfig { loss: LossKind::NtXent, near_mm: 20.0, far_mm: 30.0, ..config() };
    let cases: [(&Path, TrainingConfig, &[&str], &[&str]); 7] = [
        (&unknown, config(), &[], &["unknown.tif", "--slide-mpp"]),
        (&blank, config(), &[], &["blank.tif", "no tissue"]),
        (&small, config(), &[], &["small.tif", "7 mm", "--far-mm", "nt_xent"]),
        (&small, near_only, &[], &["small.tif", "20 mm", "--near-mm", "--slides-per-batch"]),
        (&textures, of_damaged, &[], &["damaged.safetensors"]),
        (&textures, config(), &["--validate", textures.to_str().unwrap()], &["no slides to train on"]),
        (&textures, config(), &["--labels", "no-labels.csv"], &["no-labels.csv"]),
    ];
    for (slide, config, more, words) in cases {
        let said = failure(&command(&test_folder, &config, &project, slide, more).output().unwrap());
        for word in words {
            assert!(said.contains(word), "{word} is not in: {said}");
        }
        assert_eq!(runs(&project), 0, "{said}");
    }
}

#[test]
fn a_damaged_checkpoint_is_named_and_left_as_it_is() {
    let test_folder = TestFolder::new();
    let project = test_folder.folder.path().join("project");
    let slide = test_folder.textures();
    let first = TrainingConfig { steps: 4, ..config() };
    assert!(command(&test_folder, &first, &project, &slide, &[]).output().unwrap().status.success());
    let path = Run::find(&project, "run-001").unwrap().last_checkpoint();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let mut resumed = Command::new(env!("CARGO_BIN_EXE_histokin"));
    let resumed = resumed.arg("train").arg(&project).args(["--resume", "run-001", "--device", "cpu"]);
    let said = failure(&resumed.output().unwrap());
    assert!(said.contains("last.safetensors"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), whole[..whole.len() / 2]);
}

/// Wait for something that another process does.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let timeout = Instant::now();
    while !is_so() {
        assert!(timeout.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What becomes of a slide in the middle of a run.
type Mishap = fn(&Path);

#[test]
fn a_slide_that_is_cut_short_or_replaced_while_it_is_learned_from_ends_the_program_with_a_checkpoint() {
    let mishaps: [Mishap; 2] = [
        |slide| std::fs::File::options().write(true).open(slide).unwrap().set_len(5000).unwrap(),
        |slide| {
            let other = slide.with_extension("other.tif");
            crate::support::write_pyramid(&other, &two_textures(900), 2, Some(UM));
            std::fs::rename(other, slide).unwrap();
        },
    ];
    for mishap in mishaps {
        let test_folder = TestFolder::new();
        let (project, slide) = (test_folder.folder.path().join("project"), test_folder.textures());
        // Tiles are read anew, and there are more steps than anybody waits for.
        let config = TrainingConfig { steps: 1_000_000, checkpoint_every: 5, tile_cache_mb: 0, ..config() };
        let mut command = command(&test_folder, &config, &project, &slide, &[]);
        let training = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let checkpoint = project.join(RUNS_FOLDER).join("run-001/last.safetensors");
        wait_for("the first checkpoint", || checkpoint.is_file());
        mishap(&slide);
        let said = failure(&training.wait_with_output().unwrap());
        assert!(said.contains("textures.tif") && said.contains("resume"), "{said}");
        assert!(Run::find(&project, "run-001").unwrap().last_checkpoint().is_file());
    }
}

/// A file system of so many bytes, where the test is allowed to make one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let size = format!("size={bytes}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output();
        let mounted = mount.is_ok_and(|output| output.status.success()).then(|| Self(path.to_owned()));
        if mounted.is_none() {
            crate::support::skipped::skip(format_args!("a small disk cannot be mounted here"));
        }
        mounted
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_is_full_when_a_checkpoint_is_due_ends_the_run_and_keeps_the_one_before() {
    let test_folder = TestFolder::new();
    let slide = test_folder.textures();
    let config = TrainingConfig { steps: 30, checkpoint_every: 5, tile_cache_mb: 0, ..config() };
    let elsewhere = setup(&test_folder, &TrainingConfig { steps: 1, ..config.clone() }, &[&slide], &[]);
    let checkpoint = elsewhere.run.last_checkpoint();
    run(elsewhere).unwrap();
    let size = std::fs::metadata(checkpoint).unwrap().len();

    let project = test_folder.folder.path().join("small");
    // Room for one checkpoint and for no second one beside it.
    let Some(disk) = SmallDisk::mount(&project, size + size / 2 + 50_000) else { return };
    let said = failure(&command(&test_folder, &config, &project, &slide, &[]).output().unwrap());
    assert!(said.contains("last.safetensors") && said.contains("free some space and resume"), "{said}");
    let kept = Run::find(&project, "run-001").unwrap();
    assert_eq!(std::fs::metadata(kept.last_checkpoint()).unwrap().len().div_ceil(size), 1);
    drop(disk);

    // Tiles that are kept to be quick give way to checkpoints.
    let project = test_folder.folder.path().join("larger");
    let Some(_disk) = SmallDisk::mount(&project, 3 * size + 50_000) else { return };
    let config = TrainingConfig { tile_cache_mb: 100, ..config };
    let output = command(&test_folder, &config, &project, &slide, &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
