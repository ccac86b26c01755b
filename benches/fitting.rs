//! Memory that fitting a readout takes, on made features of many tiles. The peak is that of the whole process.
//!
//!     cargo bench --bench fitting                    200,000 tiles of 2,560 features, each fit in turn
//!     TILES=120000 FEATURES=640 FIT=prototypes cargo bench --bench fitting

mod support;

use std::time::Instant;

use histokin::encoder::fitting::PcaFit;
use histokin::encoder::neighbourhoods::{NeighbourhoodFit, NeighbourhoodSettings, SlideTiles};
use histokin::encoder::prototypes::{PrototypeFit, PrototypeSettings};
use histokin::encoder::{self, DescriptorBatch, DeviceChoice};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Number of tiles of a slide.
const OF_SLIDE: usize = 400;

/// Length of a descriptor.
const WIDTH: usize = 128;

fn main() {
    let number = |name: &str, usual: usize| -> usize {
        setting(name).map_or(usual, |text| text.parse().expect("a number"))
    };
    // As many features as Virchow2 has, class token and mean of the patches.
    let (tiles, features) = (number("TILES", 200_000), number("FEATURES", 2560));
    let wanted = setting("FIT");
    // Loads libtorch.
    encoder::trainable::device_name(DeviceChoice::Cpu).expect("the CPU is always there");
    println!("{}", support::machine());
    println!("{tiles} tiles of {features} features; libtorch alone takes {}", peak());
    for name in ["pca", "neighbourhoods", "prototypes"] {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            let begun = Instant::now();
            fit(name, tiles, features);
            println!("{name}: peak memory {}, {:.0} s", peak(), begun.elapsed().as_secs_f64());
        }
    }
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn fit(name: &str, tiles: usize, features: usize) {
    let slides = (0..tiles / OF_SLIDE).map(|number| slide(number as u64, features));
    match name {
        "pca" => {
            let mut fit = PcaFit::new(features).expect("memory for two matrices");
            slides.for_each(|slide| fit.add(&slide.features).expect("a slide is added"));
            fit.head(WIDTH, true).expect("a head");
        }
        "neighbourhoods" => {
            let settings = NeighbourhoodSettings::new(WIDTH);
            let mut fit = NeighbourhoodFit::new(features, settings).expect("memory for a few matrices");
            slides.for_each(|slide| fit.add(&slide).expect("a slide is added"));
            fit.head().expect("a head");
        }
        _ => {
            let settings = PrototypeSettings { count: WIDTH, components: 64, sharpness: 1.0, seed: 0 };
            let mut fit = PrototypeFit::new(features, settings).expect("memory for two matrices");
            slides.for_each(|slide| fit.add(&slide.features).expect("a slide is added"));
            fit.head().expect("a head");
        }
    }
}

/// Makes a slide of random tiles, 448 µm apart, so that each has neighbours beside it.
fn slide(seed: u64, features: usize) -> SlideTiles {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let values = (0..OF_SLIDE * features).map(|_| random.random_range(-1.0..1.0)).collect();
    let middle = |tile: usize| [448.0 * (tile % 20) as f64, 448.0 * (tile / 20) as f64];
    SlideTiles {
        features: DescriptorBatch { values, width: features },
        middles_um: (0..OF_SLIDE).map(middle).collect(),
        varied: Vec::new(),
    }
}

/// Returns the largest resident memory of this process so far.
fn peak() -> String {
    format!("{:.2} GiB", support::peak_mib() / 1024.0)
}
