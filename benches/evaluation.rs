//! Duration of an evaluation: `cargo bench --bench evaluation [-- TILES QUERIES]`.
//!
//! A million descriptors of 128 numbers on a hundred slides: ADDR with a million near and a million far
//! pairs, and retrieval with all measures for ten thousand queries of one class. Once with variances that
//! decrease like those of real encoders (31 axes have 90 % of the variance), once with equal variances, the
//! worst case.

use std::time::Instant;

use histokin::evaluation::addr::{self, AddrSettings, PairCount};
use histokin::evaluation::intervals::Resampling;
use histokin::evaluation::neighbours::Pool;
use histokin::evaluation::retrieval::{self, Measure, RetrievalSettings};
use histokin::evaluation::{Class, Descriptors, Tiles};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const WIDTH: usize = 128;
const SLIDES: usize = 100;

/// Makes tiles on square sections. Their descriptors change gradually over the section and depend on their
/// class; the spread of each number is `falling` times that of the previous one.
fn made(tiles: usize, falling: f32) -> (Vec<f32>, Tiles) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut values, mut known) = (Vec::with_capacity(tiles * WIDTH), Tiles::default());
    let per_slide = tiles / SLIDES;
    let edge = (per_slide as f64).sqrt().ceil() as usize;
    for slide in 0..SLIDES as u32 {
        for tile in 0..per_slide {
            let position = [(tile % edge) as f64 * 224.0, (tile / edge) as f64 * 224.0];
            let class = usize::from(position[0] < 4000.0);
            let mut spread = 1.0;
            for number in 0..WIDTH {
                spread *= falling;
                let drift = (position[number % 2] / 20_000.0) as f32;
                let lean = if number % 2 == class { 0.15 } else { 0.0 };
                values.push(spread * (drift + lean + random.random::<f32>()));
            }
            known.positions_um.push(position);
            known.slides.push(slide);
            known.patients.push(slide);
            known.classes.push(Some(Class(class as u16)));
        }
    }
    (values, known)
}

fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = work();
    println!("{name:<60} {:>8.2} s", started.elapsed().as_secs_f64());
    result
}

fn main() {
    // Cargo also passes `--bench`.
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let tiles = numbers.next().unwrap_or(1_000_000);
    let queries = numbers.next().unwrap_or(10_000);
    for (falling, name) in [(0.96, "falling off"), (1.0, "flat")] {
        measure(tiles, queries, falling, name);
    }
}

fn measure(tiles: usize, queries: usize, falling: f32, name: &str) {
    let (values, known) = made(tiles, falling);
    let descriptors = Descriptors::new(&values, WIDTH).expect("finite numbers of this width");
    println!(
        "{} descriptors of {WIDTH} numbers, variances {name}, {SLIDES} slides, {} threads",
        known.len(),
        rayon::current_num_threads()
    );

    let pairs = PairCount::PerSlide(1_000_000 / SLIDES);
    let settings = AddrSettings { pairs, ..AddrSettings::default() };
    let found = timed("ADDR, a million near and a million far pairs, interval", || {
        addr::measure(descriptors, &known, &settings, &Resampling::default()).expect("slides of 22 mm")
    });
    println!("    {:.3} {:?}, {} and {} pairs", found.global, found.ci95, found.near.pairs, found.far.pairs);

    let rows = (0..known.len() as u32).collect();
    let asked: Vec<u32> = (0..queries as u32).map(|query| query * (known.len() / queries) as u32).collect();
    let pool = Pool::new(descriptors, &known.slides, rows);
    timed("the 20 nearest tiles of other slides, all queries", || pool.nearest(&asked, 20));

    let settings = RetrievalSettings {
        queries_per_class: queries,
        only: Some(Class(1)),
        ..RetrievalSettings::default()
    };
    let score = timed("retrieval with average precision and intervals", || {
        let found = retrieval::ask(descriptors, &known, &settings).expect("tiles of these descriptors");
        found.score(Class(1), &Resampling::default()).expect("class 1 is on every slide")
    });
    for measure in Measure::ALL {
        println!("    {} {:?}", measure.label(), score.figure(measure));
    }
}
