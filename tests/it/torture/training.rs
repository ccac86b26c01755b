//! Kills while an encoder is trained.

use std::fs;
use std::path::PathBuf;
use std::process::Child;

use histokin::training::checkpoint::Checkpoint;
use histokin::training::run::{Run, RunStatus};
use image::{Rgb, RgbImage};

use super::{Work, files, histokin, text, torture};
use crate::support::write_pyramid;

struct Training {
    folder: tempfile::TempDir,
    /// The encoder's file of an undisturbed training.
    reference: Option<Vec<u8>>,
    /// Steps of the last checkpoint that was seen.
    steps: u64,
}

impl Training {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tissue = |width: u32| {
            RgbImage::from_fn(width, 704, |x, y| {
                let inside = (32..width - 32).contains(&x) && (32..672).contains(&y);
                let is_dark =
                    if x < width / 2 { (x + y) / 4 % 2 == 0 } else { (x % 12).pow(2) + (y % 12).pow(2) < 40 };
                match (inside, is_dark) {
                    (false, _) => Rgb([255, 255, 255]),
                    (true, true) => Rgb([150, 70, 150]),
                    (true, false) => Rgb([225, 150, 190]),
                }
            })
        };
        write_pyramid(&folder.path().join("slide.tif"), &tissue(1536), 1, Some(8.0));
        write_pyramid(&folder.path().join("held.tif"), &tissue(1408), 1, Some(8.0));
        Self { folder, reference: None, steps: 0 }
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn run(&self) -> PathBuf {
        self.project().join("runs/run-001")
    }

    fn begin_again(&mut self) {
        fs::remove_dir_all(self.project()).unwrap();
        self.steps = 0;
    }
}

impl Work for Training {
    fn name(&self) -> &'static str {
        "training"
    }

    fn start(&mut self) -> Child {
        let at = |name: &str| self.folder.path().join(name);
        let (project, slide, held) = (self.project(), at("slide.tif"), at("held.tif"));
        let mut command = histokin(self.folder.path(), &["train", text(&project)]);
        if self.run().join("last.safetensors").exists() {
            command.args(["--resume", "run-001"]);
        } else {
            command.arg(&slide).args(["--validate", text(&held), "--backbone", "tiny", "--init", "random"]);
            command.args([
                "--depth",
                "all",
                "--width",
                "16",
                "--margin",
                "2",
                "--tile-px",
                "32",
                "--mpp",
                "8",
                "--keep",
                "0",
            ]);
            command.args([
                "--near-mm",
                "1.5",
                "--far-mm",
                "7",
                "--steps",
                "60",
                "--batch",
                "8",
                "--seed",
                "11",
            ]);
            command.args(["--validate-every", "5", "--validation-tiles", "40"]);
        }
        command.args(["--device", "cpu", "--threads", "1", "--isolate=never"]).spawn().unwrap()
    }

    fn check(&mut self, ended: bool) {
        if !self.project().exists() {
            return;
        }
        files::check(&self.project());
        let last = self.run().join("last.safetensors");
        if !last.exists() {
            // Nothing was learned yet; the run could not be taken up.
            assert_eq!(self.steps, 0, "a checkpoint has vanished");
            return self.begin_again();
        }
        let steps = Checkpoint::read(&last).unwrap().header.step;
        assert!(steps >= self.steps, "back from step {} to step {steps}", self.steps);
        self.steps = steps;
        let run = Run::open(&self.run()).unwrap();
        if matches!(run.card.status, RunStatus::Finished { .. }) {
            let model = fs::read(run.model()).unwrap();
            let reference = self.reference.get_or_insert_with(|| model.clone());
            assert!(*reference == model, "the encoder is another one than without kills");
            return self.begin_again();
        }
        assert!(!ended, "the run is not finished although the program ended well");
    }
}

#[test]
fn training_survives_kills() {
    torture(&mut Training::new(), 0.2);
}
