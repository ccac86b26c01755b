//! Kills while slides are embedded.

use std::fs;
use std::path::PathBuf;
use std::process::Child;

use histokin::descriptors::{DescriptorHeader, DescriptorStore, JournalRecord};
use histokin::project::Project;
use histokin::slide::SlideId;

use super::{Work, files, histokin, text, torture};
use crate::support::{asset, fixture};

struct Embedding {
    folder: tempfile::TempDir,
    encoder: PathBuf,
    /// What an undisturbed embedding has found, once there was one.
    reference: Option<(DescriptorHeader, Vec<[i64; 2]>, Vec<f32>)>,
    /// Records that were in the journal when the process was killed.
    kept: usize,
}

impl Embedding {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let encoder = folder.path().join("tiny.pt");
        fs::copy(fixture("tiny.pt"), &encoder).unwrap();
        histokin::encoder::trust::allow_for_now(&encoder).unwrap();
        fs::write(folder.path().join("tiny.pt.toml"), "tile_px = 64\nmpp = 0.5\n").unwrap();
        Self { folder, encoder, reference: None, kept: 0 }
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn store(&self) -> DescriptorStore {
        DescriptorStore::new(self.project().join("descriptors"))
    }

    /// Bytes of the journal, if there is one.
    fn journal_bytes(&self, header: &DescriptorHeader) -> Option<u64> {
        let path = self.store().path(&header.slide_id, &header.recipe).with_extension("partial");
        fs::metadata(path).ok().map(|metadata| metadata.len())
    }
}

impl Work for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn start(&mut self) -> Child {
        let (project, slide) = (self.project(), asset("slides/CMU-1-Small-Region.svs"));
        let arguments = ["embed", text(&project), text(&slide), "--encoder", text(&self.encoder)];
        let mut command = histokin(self.folder.path(), &arguments);
        command
            .args(["--trust-torchscript", "--device", "cpu", "--batch", "4", "--isolate=never"])
            .spawn()
            .unwrap()
    }

    fn before_kill(&mut self) {
        let Some((header, ..)) = &self.reference else { return };
        let head = serde_json::to_vec(header).unwrap().len() as u64 + 1;
        let record = 12 + 4 * header.width as u64;
        self.kept =
            self.journal_bytes(header).map_or(0, |bytes| (bytes.saturating_sub(head) / record) as usize);
    }

    fn check(&mut self, ended: bool) {
        if !self.project().exists() {
            return;
        }
        files::check(&self.project());
        let Some((header, coords, features)) = &self.reference else {
            let project = Project::open(&self.project()).unwrap();
            let slide: SlideId = project.slides()[0].id.clone();
            let recipe = project.recipe(&histokin::encoder::spec(text(&self.encoder)).unwrap());
            let set = self.store().open(&slide, &recipe).unwrap().expect("it has come to its end");
            assert!(set.len() > 500 && set.tiles_failed == 0, "{} tiles", set.len());
            self.reference = Some((set.header.clone(), set.coords().to_vec(), set.features().to_vec()));
            fs::remove_dir_all(self.project()).unwrap();
            return;
        };
        if let Some(set) = self.store().open(&header.slide_id, &header.recipe).unwrap() {
            assert!(set.coords() == coords && set.features() == features, "not what was found undisturbed");
            // From the beginning again.
            fs::remove_dir_all(self.project()).unwrap();
            self.kept = 0;
            return;
        }
        assert!(!ended, "there are no descriptors although the program ended well");
        // The journal replays, whole records and no others, and none is lost that was there before the kill.
        if self.journal_bytes(header).is_some() {
            let replayed = self.store().journal(header).unwrap().earlier;
            assert!(replayed.len() >= self.kept, "{} of {} records are left", replayed.len(), self.kept);
            let grid = header.tile_grid();
            for JournalRecord { tile, descriptor } in &replayed {
                let rect = grid.rect(*tile);
                let row = coords.iter().position(|at| *at == [rect.x, rect.y]).expect("a tissue tile");
                let row = row * header.width;
                assert_eq!(descriptor.as_deref(), Some(&features[row..row + header.width]));
            }
        }
    }
}

#[test]
fn embedding_survives_kills() {
    torture(&mut Embedding::new(), 0.3);
}
