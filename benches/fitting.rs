//! Memory that fitting a readout takes, on made features of many tiles. The peak is that of the whole process.
//!
//!     cargo bench --bench fitting                    200,000 tiles of 2,560 features, each fit in turn
//!     TILES=120000 FEATURES=640 FIT=prototypes cargo bench --bench fitting
//!     FIT=choice cargo bench --bench fitting         the choice of a readout by labels of two patients

mod support;

use std::time::Instant;

use histokin::encoder::fitting::PcaFit;
use histokin::encoder::neighbourhoods::{NeighbourhoodFit, NeighbourhoodSettings, SlideTiles};
use histokin::encoder::prototypes::{PrototypeFit, PrototypeSettings};
use histokin::encoder::readout_kind::{ReadoutKind, ReadoutSettings};
use histokin::encoder::{self, DescriptorBatch, DeviceChoice};
use histokin::evaluation::Class;
use histokin::evaluation::folds::Folds;
use histokin::evaluation::intervals::Resampling;
use histokin::evaluation::readout_choice::{KeptFeatures, Readouts};
use histokin::evaluation::sample::{Sample, SampleSlide, SlideFeatures};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Number of tiles of a slide.
const OF_SLIDE: usize = 400;

/// Number of tiles of a slide that readouts are judged on.
const JUDGED: usize = 40;

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
    for name in ["pca", "neighbourhoods", "prototypes", "choice"] {
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
        "choice" => choose(slides, features),
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

/// Keeps all slides in a file and judges every kind of readout on some of their tiles, those of each half of the slides by
/// readouts of the other half.
fn choose(slides: impl ExactSizeIterator<Item = SlideTiles>, features: usize) {
    let half = slides.len() / 2;
    let folder = std::env::temp_dir();
    let mut kept = KeptFeatures::new(&folder, features).expect("a file");
    let (mut names, mut tiles, mut classes) = (Vec::new(), Vec::new(), Vec::new());
    for (number, slide) in slides.enumerate() {
        let judged = slide.features.values[..JUDGED * features].to_vec();
        kept.add(&slide, &DescriptorBatch { values: judged, width: features }).expect("a slide is kept");
        names.push(SampleSlide {
            id: String::new(),
            name: format!("slide {number}"),
            also: Vec::new(),
            patient: Some(format!("patient {}", usize::from(number < half))),
            mpp: None,
        });
        tiles.push(SlideFeatures {
            centers_um: slide.middles_um[..JUDGED].to_vec(),
            ..SlideFeatures::default()
        });
        classes.extend((0..JUDGED).map(|tile| Some(Class((tile % 2) as u16))));
    }
    let mut sample = Sample::of_tiles(names, &tiles);
    sample.classes = vec!["a".into(), "b".into()];
    sample.tiles.classes = classes;
    let folds = Folds::of(&sample, 5).expect("two patients");
    let file = encoder::describe(encoder::DEFAULT).expect("the encoder that ships").file;
    let settings = ReadoutSettings {
        width: WIDTH,
        within_um: 500.0,
        components: 64,
        sharpness: 1.0,
        seed: 0,
        plain_features: true,
    };
    let mut readouts = Readouts { kept, file: &file, settings };
    let kinds = ReadoutKind::all(0);
    let mut said = String::new();
    let choice = readouts.choose(&kinds, &sample, &folds, &Resampling::default(), &mut |_, doing| {
        if said != doing {
            println!("{doing}: peak memory {}", peak());
            said = doing.to_owned();
        }
        true
    });
    choice.expect("one is best");
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
