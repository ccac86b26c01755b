//! How fast encoders were on this computer, kept in the user's cache folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::EncoderId;
use histokin_core::{durable, untrusted};

/// Maximum size of the list, in bytes.
const LONGEST_LIST: u64 = 1 << 20;

/// A measured speed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasuredSpeed {
    /// Tiles per second.
    pub tiles_per_second: f64,
    /// Name of the device.
    pub device: String,
}

type List = BTreeMap<EncoderId, MeasuredSpeed>;

/// Returns the speeds that were measured last, by encoder.
pub fn measured() -> BTreeMap<EncoderId, MeasuredSpeed> {
    list().map(|path| read(&path)).unwrap_or_default()
}

/// Keeps the speed of an encoder. One that is lost is measured again some time.
pub fn keep(encoder: &EncoderId, speed: MeasuredSpeed) {
    if let Some(path) = list()
        && speed.tiles_per_second.is_finite()
        && let Err(error) = keep_in(&path, encoder, speed)
    {
        tracing::debug!("{}: the speed of an encoder was not kept: {error}", path.display());
    }
}

fn keep_in(path: &Path, encoder: &EncoderId, speed: MeasuredSpeed) -> std::io::Result<()> {
    let mut list = read(path);
    list.insert(encoder.clone(), speed);
    let text = serde_json::to_string_pretty(&list)?;
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    durable::write(path, text.as_bytes())
}

fn read(path: &Path) -> List {
    let text = untrusted::read_text(path, LONGEST_LIST).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn list() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "histokin")?;
    Some(folders.cache_dir().join("encoder-speeds.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_speed_of_each_encoder_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache").join("speeds.json");
        let speed = |tiles_per_second| MeasuredSpeed { tiles_per_second, device: "CPU".into() };
        let [one, two] = ["1", "2"].map(|id| EncoderId(id.into()));
        for (encoder, tiles) in [(&one, 3.0), (&two, 5.0), (&one, 4.0)] {
            keep_in(&path, encoder, speed(tiles)).unwrap();
        }
        assert_eq!(read(&path), List::from([(one, speed(4.0)), (two, speed(5.0))]));
        std::fs::write(&path, "{").unwrap();
        assert!(read(&path).is_empty());
    }
}
