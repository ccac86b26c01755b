//! What an NVIDIA GPU has to do right, and how fast it is: run by `scripts/gpu_check.sh`, in one table.
//!
//!     cargo bench --bench gpu                     on cuda:0
//!     DEVICE=cpu cargo bench --bench gpu          the same lines from the CPU, to try the check itself

#[path = "support/made_descriptors.rs"]
mod made_descriptors;
#[path = "support/vit.rs"]
mod vit;

use std::sync::Arc;
use std::time::Instant;

use histokin::encoder::backbones::{Backbone, BackboneKind};
use histokin::encoder::engine::Engine;
use histokin::encoder::{self, DeviceChoice, Encoder};
use histokin::index::squared_distance;
use histokin::ui::GraphicsCard;
use histokin::workers::similarity_maps::GraphicsComparer;
use image::RgbImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor, nn};

fn main() {
    let device = std::env::var("DEVICE").unwrap_or_else(|_| "cuda:0".into());
    let choice: DeviceChoice = device.parse().expect("a device such as cuda:0");
    let name = encoder::trainable::device_name(choice).expect("the device can be used");
    println!("device | {name}");
    agreement(choice);
    speed(choice);
    out_of_memory(choice);
    heat_map();
}

/// Returns the default encoder in libtorch, on the CPU as well, so that only the device differs.
fn default_encoder(device: DeviceChoice) -> Box<dyn Encoder> {
    encoder::load_in(encoder::DEFAULT, device, Engine::Torch).expect("set-up fetched its weights")
}

/// Prints the least cosine of descriptors to those of the CPU, in 32 and in 16 bits.
fn agreement(choice: DeviceChoice) {
    let tiles: Vec<RgbImage> = (0..64).map(tile).collect();
    let embed = |device| default_encoder(device).encode(&tiles).expect("descriptors");
    let expected = embed(DeviceChoice::Cpu);
    let mut devices = vec![("32 bits", choice)];
    if let DeviceChoice::Cuda(index) = choice {
        devices.push(("16 bits", DeviceChoice::CudaHalf(index)));
    }
    for (bits, device) in devices {
        let found = embed(device);
        let cosines = expected.rows().zip(found.rows()).map(|(a, b)| cosine(a, b));
        let least = cosines.fold(1.0, f64::min);
        let outcome = if least >= 0.999 { "as on the CPU" } else { "NOT as on the CPU" };
        println!("descriptors, {bits} | least cosine {least:.5}: {outcome}");
    }
}

/// Prints tiles per second of networks with random weights, in 32 and in 16 bits.
fn speed(choice: DeviceChoice) {
    let (device, batch, kinds) = match choice {
        DeviceChoice::Cuda(index) => (Device::Cuda(index), 128, vec![Kind::Float, Kind::Half]),
        _ => (Device::Cpu, 4, vec![Kind::Float]),
    };
    let _no_grad = tch::no_grad_guard();
    for kind in kinds {
        let images = Tensor::rand([batch, 3, 224, 224], (kind, device));
        for backbone in [BackboneKind::MobilenetV2, BackboneKind::Resnet50] {
            let store = nn::VarStore::new(device);
            let network = backbone.build(&store.root()).and_then(|network| network.folded()?.to_kind(kind));
            report(backbone.name(), kind, batch, &network.expect("memory for one network"), &images);
        }
        for (name, width, depth) in [("ViT-S/14", 384, 12), ("ViT-B/14", 768, 12), ("ViT-L/14", 1024, 24)] {
            let shape = vit::Shape { patch_px: 14, width, depth, layer_scale: true };
            report(name, kind, batch, &vit::network(shape, kind, device), &images);
        }
    }
}

fn report(name: &str, kind: Kind, batch: i64, network: &Backbone, images: &Tensor) {
    const ROUNDS: i64 = 10;
    // Reading a number waits until the GPU is done.
    let round = || network.features(images, &[]).expect("a forward pass").sum(Kind::Float).double_value(&[]);
    round();
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        round();
    }
    let rate = (ROUNDS * batch) as f64 / begun.elapsed().as_secs_f64();
    println!("{name}, {} | {rate:.0} tiles/s", if kind == Kind::Float { "32 bits" } else { "16 bits" });
}

/// Embeds a batch that does not fit into the memory of most GPUs, so that it has to be halved.
fn out_of_memory(choice: DeviceChoice) {
    // On a GPU a tile takes 1.5 GB in the network's second block alone (96 channels at half the edge).
    let (edge, count) = (if choice == DeviceChoice::Cpu { 448 } else { 4032 }, 96);
    let tiles = vec![RgbImage::from_pixel(edge, edge, image::Rgb([200, 160, 190])); count];
    let outcome = match default_encoder(choice).encode(&tiles) {
        Ok(batch) => format!("{} descriptors", batch.rows().len()),
        Err(error) => format!("FAILED: {error}"),
    };
    println!("{count} tiles of {edge} px at once | {outcome}");
}

/// Compares a descriptor with those of many tiles on the graphics card, as the heat map does, and with the processor's
/// distances.
fn heat_map() {
    const TILES: usize = 100_000;
    const ROUNDS: u32 = 20;
    let Some((mut card, name)) = GraphicsCard::headless() else {
        println!("heat map of {TILES} tiles | FAILED: no device for drawing works");
        return;
    };
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut row = || (0..made_descriptors::WIDTH).map(|_| random.random_range(-1.0..1.0)).collect();
    let rows: Vec<Vec<f32>> = (0..TILES).map(|_| row()).collect();
    let set = Arc::new(made_descriptors::set(0, &rows));
    let mut map = |query: &[f32]| card.squared_distances(query, &[&set]).expect("distances").remove(0);
    let found = map(&rows[7]);
    let is_right = |(row, found): (&Vec<f32>, &f32)| {
        let exact = squared_distance(&rows[7], row);
        (found - exact).abs() <= 1e-5 * exact
    };
    let outcome = if rows.iter().zip(&found).all(is_right) { "as on" } else { "NOT as on" };
    let begun = Instant::now();
    (0..ROUNDS).for_each(|round| drop(map(&rows[round as usize])));
    let ms = begun.elapsed().as_secs_f64() * 1000.0 / f64::from(ROUNDS);
    println!("heat map of {TILES} tiles, {name} | {ms:.1} ms, {outcome} the processor");
}

fn tile(seed: u32) -> RgbImage {
    RgbImage::from_fn(224, 224, |x, y| {
        let wave = |scale: u32| ((x * scale + y * (seed + 3)) % 256) as u8;
        image::Rgb([wave(seed + 1), wave(2), wave(7)])
    })
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
