//! Processor time of vision transformers with random weights, in 32 and in 16 bits, on one thread.
//!
//!     cargo bench --bench vision_transformer       (add `--profile dev` to avoid a release build: libtorch does the work)
//!
//! `scripts/vit_speed.py` runs this beside PyTorch and ONNX Runtime and prints the ratios.

use histokin::encoder::backbones::Backbone;
use histokin::encoder::backbones::vit::{
    Positions, Resampling, VisionTransformer, VitActivation, VitArchitecture, VitOutput,
};
use histokin::encoder::{self, DeviceChoice};
use tch::{Device, Kind, TchError, Tensor};

const BATCH: i64 = 8;
const ROUNDS: usize = 5;

fn main() {
    // Loads libtorch.
    encoder::device_name(DeviceChoice::Cpu).expect("the CPU is always there");
    tch::set_num_threads(1);
    let _no_grad = tch::no_grad_guard();
    for (name, architecture) in [("ViT-S/14", vit(14, 384, true)), ("ViT-B/16", vit(16, 768, false))] {
        for kind in [Kind::Float, Kind::BFloat16] {
            let random = |_: &str, shape: &[usize]| -> Result<Tensor, TchError> {
                let shape: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
                Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?.f_mul_scalar(0.02)?.f_to_kind(kind)
            };
            let network: Backbone =
                VisionTransformer::new(architecture, random).expect("memory for one network").into();
            let images = Tensor::rand([BATCH, 3, 224, 224], (kind, Device::Cpu));
            let seconds = least_cpu_seconds(|| drop(network.features(&images, &[]).expect("a forward pass")));
            let bits = if kind == Kind::Float { "f32" } else { "bf16" };
            println!("{name} {bits} {:.5} CPU-s a tile", seconds / BATCH as f64);
        }
    }
}

fn vit(patch_px: usize, width: usize, layer_scale: bool) -> VitArchitecture {
    VitArchitecture {
        patch_px,
        width,
        depth: 12,
        hidden: 4 * width,
        gated: false,
        grid: 224 / patch_px,
        positions: Positions::ClassAndPatches,
        class_token: true,
        registers: 0,
        layer_scale,
        patch_bias: true,
        qkv_bias: true,
        pre_norm: false,
        final_norm: true,
        pooled_norm: false,
        projection: None,
        heads: width / 64,
        activation: VitActivation::Gelu,
        norm_epsilon: 1e-6,
        resampling: Resampling::BicubicAntialias,
        output: VitOutput::Class,
    }
}

/// Processor time of the quickest of several rounds: it is disturbed less by other programs than time on the clock.
fn least_cpu_seconds(mut round: impl FnMut()) -> f64 {
    round();
    let timed = (0..ROUNDS).map(|_| {
        let begun = cpu_seconds();
        round();
        cpu_seconds() - begun
    });
    timed.fold(f64::INFINITY, f64::min)
}

/// Processor time that this program has used so far.
#[expect(unsafe_code, reason = "the system is asked through C")]
fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a structure of the right type that outlives the call.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(answer, 0, "the clock of a process is always there");
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
