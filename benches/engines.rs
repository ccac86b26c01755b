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
    let tiles: Vec<RgbImage> = (0..BATCH).map(support::tile).collect();
    for engine in Engine::built() {
        let mut encoder = match encoder::load_in(encoder::DEFAULT, DeviceChoice::Cpu, engine) {
            Ok(encoder) => encoder,
            Err(error) => {
                println!("{engine}: skipped, {error}");
                continue;
            }
        };
        let round = || drop(encoder.encode(&tiles).expect("an encoded batch"));
        let least = support::least_process_cpu(ROUNDS, round);
        println!("{} in {engine}: {:.5} CPU-s a tile", encoder::DEFAULT, least / f64::from(BATCH));
    }
}
