//! Maps that a project keeps between starts: laying out takes minutes, reading it back a moment.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use super::{UmapSettings, umap};
use crate::Descriptors;
use histokin_core::descriptors::hex;
use histokin_core::{durable, mapped};
use histokin_project::project::Project;

/// Raised whenever the same descriptors and settings come to lie elsewhere.
const LAYOUT_VERSION: u32 = 1;

/// A folder of maps: `umap-<encoder and settings>.safetensors`, each with `points` f32 `[N, 2]` and, in its
/// metadata, what it was made from. All of it is a cache: what does not fit, or is damaged, is made anew.
#[derive(Debug, Clone)]
pub struct MapStore {
    folder: PathBuf,
    read_only: bool,
}

impl MapStore {
    /// The store in `folder`, which is made when something is first written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), read_only: false }
    }

    /// Maps of that project's descriptors.
    pub fn of_project(project: &Project) -> Self {
        let store = Self::new(project.root().join("maps"));
        if project.read_only().is_some() { store.read_only() } else { store }
    }

    /// The same store, in which nothing is written.
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Descriptors of `encoder` by [`umap`]: as they were laid out before, if these very descriptors were, by these
    /// settings; else laid out now, and kept. `tell` is asked while that is done. None when it was stopped.
    pub fn umap(
        &self,
        encoder: &str,
        descriptors: Descriptors<'_>,
        settings: &UmapSettings,
        tell: &mut dyn FnMut(f64) -> bool,
    ) -> Option<Vec<[f32; 2]>> {
        let of = Origin::new(encoder, descriptors, settings);
        let path = self.path(&of);
        if let Some(points) = read(&path, &of, descriptors.len()) {
            return Some(points);
        }
        let points = umap(descriptors, settings, tell)?;
        if !self.read_only
            && let Err(error) = self.write(&path, &of, &points)
        {
            tracing::warn!("{}: the map was not kept and is made again next time: {error}", path.display());
        }
        Some(points)
    }

    /// One file for each encoder and settings, so that a map of descriptors that have changed takes the place of
    /// the old one.
    fn path(&self, of: &Origin) -> PathBuf {
        let name = hex(&Sha256::digest(format!("{}|{}", of.encoder, of.settings)));
        self.folder.join(format!("umap-{}.safetensors", &name[..12]))
    }

    fn write(&self, path: &Path, of: &Origin, points: &[[f32; 2]]) -> std::io::Result<()> {
        let bytes: Vec<u8> = points.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        let tensor =
            TensorView::new(Dtype::F32, vec![points.len(), 2], &bytes).map_err(std::io::Error::other)?;
        let entries = of.entries().into_iter().chain([("sha256", hex(&Sha256::digest(&bytes)))]);
        let metadata = entries.map(|(key, value)| (key.to_owned(), value)).collect();
        let file =
            safetensors::serialize([("points", tensor)], Some(metadata)).map_err(std::io::Error::other)?;
        fs::create_dir_all(&self.folder)?;
        durable::write(path, &file)
    }
}

/// What a map is made from.
struct Origin {
    encoder: String,
    /// SHA-256 of all descriptors in their order.
    descriptors: String,
    settings: String,
}

impl Origin {
    fn new(encoder: &str, descriptors: Descriptors<'_>, settings: &UmapSettings) -> Self {
        let UmapSettings { neighbours, laid_out, seed } = settings;
        let bytes: &[u8] = bytemuck::cast_slice(descriptors.values());
        Self {
            encoder: encoder.to_owned(),
            descriptors: hex(&Sha256::digest(bytes)),
            settings: format!(
                "layout {LAYOUT_VERSION}, {neighbours} neighbours, {laid_out} laid out, seed {seed}"
            ),
        }
    }

    fn entries(&self) -> [(&'static str, String); 3] {
        [
            ("encoder", self.encoder.clone()),
            ("descriptors", self.descriptors.clone()),
            ("settings", self.settings.clone()),
        ]
    }
}

/// The kept points of `count` tiles, if there are any and they fit.
fn read(path: &Path, of: &Origin, count: usize) -> Option<Vec<[f32; 2]>> {
    let file = mapped::map(path).ok()?;
    let (_, head) = SafeTensors::read_metadata(&file).ok()?;
    let known = head.metadata().as_ref()?;
    let fits = |(key, value): &(&str, String)| known.get(*key) == Some(value);
    let tensors = SafeTensors::deserialize(&file).ok()?;
    let points = tensors.tensor("points").ok()?;
    let is_whole = points.dtype() == Dtype::F32
        && points.shape() == [count, 2]
        && fits(&("sha256", hex(&Sha256::digest(points.data()))));
    (is_whole && of.entries().iter().all(fits)).then(|| bytemuck::pod_collect_to_vec(points.data()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two heaps of points in three dimensions.
    fn values(shift: f32) -> Vec<f32> {
        let at = |tile: u32, axis: u32| {
            let hash = (tile * 31 + axis * 17).wrapping_mul(2_654_435_761) >> 20;
            f32::from(hash as u16) / 4096.0 + 5.0 * (tile % 2) as f32 + shift
        };
        (0..60).flat_map(|tile| (0..3).map(move |axis| at(tile, axis))).collect()
    }

    #[test]
    fn a_map_is_laid_out_once_and_anew_when_something_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let store = MapStore::new(folder.path().join("maps"));
        let settings = UmapSettings { neighbours: 5, ..UmapSettings::default() };
        let map = |store: &MapStore, values: &[f32], settings: &UmapSettings| {
            let mut laid_out = false;
            let descriptors = Descriptors::new(values, 3).unwrap();
            let points = store.umap("encoder", descriptors, settings, &mut |_| {
                laid_out = true;
                true
            });
            (points.unwrap(), laid_out)
        };
        let (values, others) = (values(0.0), values(0.5));

        let (first, laid_out) = map(&store, &values, &settings);
        assert!(laid_out && first.len() == 60);
        assert_eq!(map(&store, &values, &settings), (first.clone(), false), "read back");
        assert_eq!(map(&store.clone().read_only(), &values, &settings), (first.clone(), false));

        let seeded = UmapSettings { seed: 1, ..settings };
        assert!(map(&store, &values, &seeded).1, "other settings");
        assert_eq!(map(&store, &values, &settings), (first.clone(), false), "kept beside it");

        assert!(map(&store.clone().read_only(), &others, &settings).1, "other descriptors");
        assert_eq!(map(&store, &values, &settings), (first.clone(), false), "reading only wrote nothing");
        assert!(map(&store, &others, &settings).1);
        assert!(map(&store, &values, &settings).1, "its place was taken");

        for file in fs::read_dir(folder.path().join("maps")).unwrap() {
            let path = file.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, bytes).unwrap();
        }
        assert_eq!(map(&store, &values, &settings), (first, true), "a damaged one is made anew, the same");
    }

    #[test]
    fn what_was_stopped_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = MapStore::new(folder.path().join("maps"));
        let values = values(0.0);
        let descriptors = Descriptors::new(&values, 3).unwrap();
        let settings = UmapSettings { neighbours: 5, ..UmapSettings::default() };
        assert_eq!(store.umap("encoder", descriptors, &settings, &mut |_| false), None);
        assert!(!folder.path().join("maps").exists());
    }
}
