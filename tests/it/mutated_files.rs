//! Every parser of files of unknown origin, with valid files that are changed at random: what is not refused has to be
//! consistent.
//!
//! These are the targets of `fuzz/` without the search for new paths through the code. Each runs for a second, or for
//! as many as `HISTOKIN_FUZZ_SECONDS` says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::skipped::skip;

#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// Largest file, in bytes.
const MAX_BYTES: usize = 1 << 16;

/// Values at which numbers in files are often misread.
const EDGES: [u64; 10] =
    [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];

/// Valid files, one folder for each target; `None` without Python. All targets share them, as making them takes time.
static VALID_FILES: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("valid-files");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/fuzz_seeds.py");
    let made = Command::new("python3").arg(script).arg(&folder).status().ok()?;
    assert!(made.success(), "the files to start from were not made");
    Some(folder)
});

fn run(target: &str, read: fn(&[u8])) {
    let Some(folder) = &*VALID_FILES else {
        return skip(format_args!("without Python there are no valid files to start from"));
    };
    let files = std::fs::read_dir(folder.join(target)).unwrap();
    let seeds: Vec<Vec<u8>> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    let seconds = std::env::var("HISTOKIN_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut rng = ChaCha8Rng::seed_from_u64(seconds);
    let mut tried = 0_u64;
    while Instant::now() < end {
        let file = changed(&seeds, &mut rng);
        if catch_unwind(AssertUnwindSafe(|| read(&file))).is_err() {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}-finding"));
            std::fs::write(&kept, &file).unwrap();
            panic!("{target}: a finding after {tried} files, kept as {}", kept.display());
        }
        tried += 1;
    }
    println!("{target}: {tried} files, no finding");
}

/// Returns one of the files with a few changes.
fn changed(seeds: &[Vec<u8>], rng: &mut impl Rng) -> Vec<u8> {
    let mut file = seeds.choose(rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..=8) {
        let at = rng.random_range(0..=file.len());
        let end = (at + rng.random_range(1..=64)).min(file.len());
        match rng.random_range(0..8) {
            0 if at < file.len() => file[at] ^= 1 << rng.random_range(0..8),
            1 if at < file.len() => file[at] = rng.random(),
            2 => file.truncate(at),
            3 => drop(file.drain(at..end)),
            4 => {
                let copied = file[at..end].to_vec();
                let to = rng.random_range(0..=file.len());
                drop(file.splice(to..to, copied));
            }
            5 => {
                let other = seeds.choose(rng).map_or(&[] as &[u8], Vec::as_slice);
                let from = rng.random_range(0..=other.len());
                let to = (from + rng.random_range(0..=64)).min(other.len());
                drop(file.splice(at..end, other[from..to].iter().copied()));
            }
            _ => {
                let width = [1, 2, 4, 8][rng.random_range(0..4)].min(file.len() - at);
                let number = EDGES.choose(rng).map_or(0, |edge| edge.wrapping_add(rng.random_range(0..3)));
                let mut bytes = number.to_le_bytes()[..width].to_vec();
                if rng.random() {
                    bytes.reverse();
                }
                file[at..at + width].copy_from_slice(&bytes);
            }
        }
        file.truncate(MAX_BYTES);
    }
    file
}

macro_rules! targets {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), targets::$name);
        })*
    };
}

targets!(
    annotations,
    descriptors,
    dicom,
    features,
    index_segment,
    jpeg_tile,
    journal,
    labels,
    pickled_weights,
    project,
    slide_identity,
    tiff_directories,
    tiff_tile
);
