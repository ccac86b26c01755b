//! Memory that fitting a readout takes, on made features of many tiles. The peak is that of the whole process.
//!
//!     cargo bench --bench fitting                    200,000 tiles of 2,560 features, each fit in turn
//!     TILES=20000 FIT=prototypes cargo bench --bench fitting

mod support;

use std::time::Instant;

use histokin::encoder::fitting::PcaFit;
use histokin::encoder::neighbourhoods::{NeighbourhoodFit, NeighbourhoodSettings, SlideTiles};
use histokin::encoder::prototypes::{PrototypeFit, PrototypeSettings};
use histokin::encoder::{self, DescriptorBatch, DeviceChoice};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Number of features of a tile: those of the widest known vision transformers, class token and mean.
const FEATURES: usize = 2560;

/// Number of tiles of a slide.
const OF_SLIDE: usize = 400;

/// Length of a descriptor.
const WIDTH: usize = 128;

fn main() {
    let tiles: usize = setting("TILES").map_or(200_000, |text| text.parse().expect("a number of tiles"));
    let wanted = setting("FIT");
    // Loads libtorch.
    encoder::device_name(DeviceChoice::Cpu).expect("the CPU is always there");
    println!("{}", support::machine());
    println!("{tiles} tiles of {FEATURES} features; libtorch alone takes {}", peak());
    for name in ["pca", "neighbourhoods", "prototypes"] {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            let begun = Instant::now();
            fit(name, tiles);
            println!("{name}: peak memory {}, {:.0} s", peak(), begun.elapsed().as_secs_f64());
        }
    }
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn fit(name: &str, tiles: usize) {
    let slides = (0..tiles / OF_SLIDE).map(|number| slide(number as u64));
    match name {
        "pca" => {
            let mut fit = PcaFit::new(FEATURES).expect("memory for two matrices");
            slides.for_each(|slide| fit.add(&slide.features).expect("a slide is added"));
            fit.head(WIDTH, true).expect("a head");
        }
        "neighbourhoods" => {
            let settings = NeighbourhoodSettings::new(WIDTH);
            let mut fit = NeighbourhoodFit::new(FEATURES, settings).expect("memory for a few matrices");
            slides.for_each(|slide| fit.add(&slide).expect("a slide is added"));
            fit.head().expect("a head");
        }
        _ => {
            let settings = PrototypeSettings { count: WIDTH, components: 64, sharpness: 1.0, seed: 0 };
            let mut fit = PrototypeFit::new(FEATURES, settings).expect("memory for two matrices");
            slides.for_each(|slide| fit.add(&slide.features).expect("a slide is added"));
            fit.head().expect("a head");
        }
    }
}

/// Makes a slide of random tiles, 448 µm apart, so that each has neighbours beside it.
fn slide(seed: u64) -> SlideTiles {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let values = (0..OF_SLIDE * FEATURES).map(|_| random.random_range(-1.0..1.0)).collect();
    let middle = |tile: usize| [448.0 * (tile % 20) as f64, 448.0 * (tile / 20) as f64];
    SlideTiles {
        features: DescriptorBatch { values, width: FEATURES },
        middles_um: (0..OF_SLIDE).map(middle).collect(),
    }
}

/// Returns the largest resident memory of this process so far.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().unwrap_or_default();
    format!("{:.2} GiB", kib / f64::from(1 << 20))
}
