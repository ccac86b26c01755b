//! Speed of embedding a slide, from its file to stored descriptors, compared with the encoder alone.
//!
//!     cargo bench --bench pipeline       (add `--profile dev` to avoid a release build: the engine does most of the work)
//!
//! The default encoder embeds the largest slide that is there (`../shared/data`, else a demonstration slide), a ViT-B/16
//! with random weights a demonstration slide. Both alternate, and the fastest round of each counts, because slower ones
//! were disturbed. On a machine that has other work, the encoder's share of the processor time tells more than the clock.

mod support;
#[path = "support/vit.rs"]
mod vit;

use std::path::Path;
use std::time::Instant;

use histokin::descriptors::{DescriptorStore, Recipe};
use histokin::encoder::{self, DeviceChoice, Encoder};
use histokin::pipeline::{EmbedControl, EmbedRequest, EmbedSettings, TileSelection, embed_slide};
use histokin::slide;
use histokin::stain::StainSetting;
use histokin::tiling::{TileGrid, TileSettings};
use histokin::tissue::{TISSUE_FRACTION, TissueMask};
use image::RgbImage;

const BATCH: usize = 16;
const ROUNDS: usize = 3;

fn main() {
    println!("{}", support::machine());
    let mut encoder = encoder::load(encoder::DEFAULT, DeviceChoice::Cpu).expect("set-up fetched its weights");
    compare(encoder.as_mut(), &support::slide());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let weights = folder.path().join("vit-b-16.safetensors");
    vit::write(vit::Shape { patch_px: 16, width: 768, depth: 12, layer_scale: false }, &weights);
    let mut encoder =
        encoder::load(weights.to_str().expect("ASCII"), DeviceChoice::Cpu).expect("weights of a ViT");
    let demonstration = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/slides/CMU-1-Small-Region.svs");
    compare(encoder.as_mut(), &demonstration);
}

/// Seconds on the clock and of the processor.
type Seconds = (f64, f64);

fn timed(work: impl FnOnce()) -> Seconds {
    let (begun, cpu) = (Instant::now(), support::process_cpu());
    work();
    (begun.elapsed().as_secs_f64(), (support::process_cpu() - cpu).as_secs_f64())
}

/// Returns the lesser time of each kind.
fn least(a: Seconds, b: Seconds) -> Seconds {
    (a.0.min(b.0), a.1.min(b.1))
}

/// Prints the tiles per second of embedding the slide and of encoding as many tiles.
fn compare(encoder: &mut dyn Encoder, path: &Path) {
    let source = slide::open(path, None).expect("the slide");
    let tissue = TissueMask::of(source.as_ref()).expect("its tissue");
    let mpp = source.info().mpp.expect("its pixel size").mean();
    let tiles = TileSettings { tile_px: encoder.spec().tiles.tile_px, mpp: (mpp * 1.5).max(0.5) };
    let grid = TileGrid::new(source.info(), tiles).expect("a grid");
    let count = grid.tiles().filter(|tile| tissue.fraction(&grid.rect(*tile)) >= TISSUE_FRACTION).count();
    let spec = encoder.spec().clone();
    println!(
        "\n{} on {}: {count} tiles of {} px at {:.2} µm/px of {}",
        spec.name,
        encoder.device(),
        tiles.tile_px,
        tiles.mpp,
        source.info().name()
    );
    let recipe = Recipe { encoder_id: spec.id, encoder_name: spec.name, tiles, stain: StainSetting::Lab };
    let pictures: Vec<RgbImage> = (0..BATCH as u32).map(support::tile).collect();
    let (mut whole, mut alone) = ((f64::INFINITY, f64::INFINITY), (f64::INFINITY, f64::INFINITY));
    for _ in 0..ROUNDS {
        let encode = || {
            for first in (0..count).step_by(BATCH) {
                let batch = &pictures[..BATCH.min(count - first)];
                encoder.encode(batch).expect("descriptors");
            }
        };
        alone = least(alone, timed(encode));
        let folder = tempfile::tempdir().expect("a folder");
        let store = DescriptorStore::new(folder.path());
        let request = EmbedRequest {
            slide: source.as_ref(),
            selection: &TileSelection::default(),
            tissue: Some(&tissue),
            recipe: &recipe,
            store: &store,
            settings: EmbedSettings::default(),
        };
        let embed = || {
            embed_slide(&request, encoder, &EmbedControl::default(), &mut |_| {}).expect("an embedded slide");
        };
        whole = least(whole, timed(embed));
    }
    println!(
        "whole pipeline {:.1} tiles/s, encoder alone {:.1}, ratio {:.2}; the encoder takes {:.0} % of the processor time",
        count as f64 / whole.0,
        count as f64 / alone.0,
        alone.0 / whole.0,
        100.0 * alone.1 / whole.1
    );
}
