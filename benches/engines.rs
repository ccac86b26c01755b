//! Processor time of the default encoder in each engine, on one thread.
//!
//!     OMP_NUM_THREADS=1 cargo bench --bench engines       (add `--profile dev` to avoid a release build: the engines do
//!                                                          the work)
//!
//! `cargo bench --bench vision_transformer` compares them on vision transformers.

mod support;

use histokin::encoder::engine::Engine;
use histokin::encoder::{self, DeviceChoice};
use image::RgbImage;

const BATCH: u32 = 16;
const ROUNDS: usize = 5;

fn main() {
    println!("{}", support::machine());
    let tile = |seed: u32| {
        RgbImage::from_fn(224, 224, |x, y| image::Rgb([(x * seed) as u8, (y + seed) as u8, (x * y) as u8]))
    };
    let tiles: Vec<RgbImage> = (0..BATCH).map(tile).collect();
    for engine in Engine::built() {
        let mut encoder = match encoder::load_in(encoder::DEFAULT, DeviceChoice::Cpu, engine) {
            Ok(encoder) => encoder,
            Err(error) => {
                println!("{engine}: skipped, {error}");
                continue;
            }
        };
        let mut batch = || drop(encoder.encode(&tiles).expect("an encoded batch"));
        batch();
        let timed = (0..ROUNDS).map(|_| {
            let begun = support::process_cpu();
            batch();
            (support::process_cpu() - begun).as_secs_f64()
        });
        let least = timed.fold(f64::INFINITY, f64::min);
        println!("{} in {engine}: {:.5} CPU-s a tile", encoder::DEFAULT, least / f64::from(BATCH));
    }
}
