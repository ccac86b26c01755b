//! Processor time of vision transformers with random weights, in 32 and in 16 bits, on one thread: of the network in
//! libtorch, and of whole encoders in each engine (`OMP_NUM_THREADS=1` limits ONNX Runtime).
//!
//!     cargo bench --bench vision_transformer       (add `--profile dev` to avoid a release build: libtorch does the work)
//!
//! `scripts/vit_speed.py` runs this beside PyTorch and ONNX Runtime and prints the ratios.

mod support;
#[path = "support/vit.rs"]
mod vit;

use histokin::encoder::engine::Engine;
use histokin::encoder::{self, DeviceChoice};
use image::RgbImage;
use tch::{Device, Kind, Tensor};
use vit::Shape;

const BATCH: i64 = 8;
const ROUNDS: usize = 5;

fn main() {
    // Loads libtorch.
    encoder::trainable::device_name(DeviceChoice::Cpu).expect("the CPU is always there");
    tch::set_num_threads(1);
    let _no_grad = tch::no_grad_guard();
    let small = Shape { patch_px: 14, width: 384, depth: 12, layer_scale: true };
    let base = Shape { patch_px: 16, width: 768, depth: 12, layer_scale: false };
    for (name, shape) in [("ViT-S/14", small), ("ViT-B/16", base)] {
        for kind in [Kind::Float, Kind::BFloat16] {
            let network = vit::network(shape, kind, Device::Cpu);
            let images = Tensor::rand([BATCH, 3, 224, 224], (kind, Device::Cpu));
            let round = || drop(network.features(&images, &[]).expect("a forward pass"));
            let seconds = support::least_process_cpu(ROUNDS, round);
            let bits = if kind == Kind::Float { "f32" } else { "bf16" };
            println!("{name} {bits} {:.5} CPU-s a tile", seconds / BATCH as f64);
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("random.safetensors");
        vit::write(shape, &path);
        for engine in Engine::built() {
            let loaded = encoder::load_in(path.to_str().expect("ASCII"), DeviceChoice::Cpu, engine);
            let mut encoder = match loaded {
                Ok(encoder) => encoder,
                Err(error) => {
                    println!("{name} {engine}: skipped, {error}");
                    continue;
                }
            };
            let tiles: Vec<RgbImage> = (0..BATCH as u32).map(support::tile).collect();
            let round = || drop(encoder.encode(&tiles).expect("a forward pass"));
            let seconds = support::least_process_cpu(ROUNDS, round);
            println!("{name} encoder-{engine} {:.5} CPU-s a tile", seconds / BATCH as f64);
        }
    }
}
