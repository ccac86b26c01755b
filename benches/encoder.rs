//! Speed of the encoder in libtorch, and how well the default model finds tumour.
//!
//!     cargo bench --bench encoder            (add `--profile dev` to avoid a release build: libtorch does
//!                                             the work, and it is optimised either way)
//!
//! Retrieval needs the development slides (`../shared/data`) and is skipped without them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use histokin::encoder::backbones::BackboneKind;
use histokin::encoder::engine::Engine;
use histokin::encoder::{self, DeviceChoice, Encoder};
use histokin::geometry::Level0Rect;
use histokin::slide::{self, SlideSource};
use histokin::stain::{LabNormaliser, LabStatistics, StainSetting};
use histokin::tiling::read_tile;
use image::RgbImage;
use tch::{Device, Kind, Tensor, nn};

const BATCH: usize = 16;

fn main() {
    speed();
    match data_folder() {
        Some(data) => retrieval(&data),
        None => println!("tumour retrieval: skipped, there is no ../shared/data"),
    }
}

fn data_folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    Some(beside).filter(|folder| folder.is_dir())
}

/// Prints the tiles per second of every backbone as used in training (eager) and for encoding (folded), and
/// of the default model with its preprocessing.
fn speed() {
    println!(
        "device: {}",
        encoder::trainable::device_name(DeviceChoice::Cpu).expect("the CPU is always there")
    );
    println!("backbone, {BATCH} tiles of 224 px      torch threads   eager   folded  (tiles/s)");
    let _no_grad = tch::no_grad_guard();
    let images = Tensor::rand([BATCH as i64, 3, 224, 224], (Kind::Float, Device::Cpu));
    let images_last = images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    let default_threads = tch::get_num_threads();
    for threads in [1, std::thread::available_parallelism().map_or(1, usize::from) as i32] {
        tch::set_num_threads(threads);
        for kind in BackboneKind::PUBLISHED {
            let store = nn::VarStore::new(Device::Cpu);
            let eager = kind.build(&store.root()).expect("memory for one network");
            let folded = eager.folded().expect("memory for its copy");
            let plain = rate(|| drop(eager.features(&images, &[]).expect("a forward pass")));
            let quick = rate(|| drop(folded.features(&images_last, &[]).expect("a forward pass")));
            println!("{kind:36} {threads:13} {plain:7.1} {quick:8.1}");
        }
    }
    tch::set_num_threads(default_threads);
    let mut encoder = encoder::load_in(encoder::DEFAULT, DeviceChoice::Cpu, Engine::Torch)
        .expect("set-up fetched its weights");
    let tiles = vec![RgbImage::from_pixel(224, 224, image::Rgb([200, 150, 180])); BATCH];
    let whole = rate(|| drop(encoder.encode(&tiles).expect("an encoded batch")));
    println!("{} as shipped, {default_threads} threads: {whole:.1} tiles/s", encoder::DEFAULT);
}

/// Tiles per second of the fastest of several batches; slower ones were disturbed by other processes.
fn rate(mut batch: impl FnMut()) -> f64 {
    batch();
    let timed = (0..8).map(|_| {
        let begun = Instant::now();
        batch();
        begun.elapsed()
    });
    BATCH as f64 / timed.min().unwrap_or(Duration::MAX).as_secs_f64()
}

/// A labelled tile.
struct Labelled {
    slide: String,
    rect: Level0Rect,
    is_tumour: bool,
}

fn retrieval(data: &Path) {
    let tiles = labels(&data.join("labels/tiles_112.csv"));
    println!(
        "tumour tiles whose nearest labelled tiles of other slides are tumour (of {} tiles):",
        tiles.len()
    );
    println!("    chance level 0.155, colour histogram P@5 0.52, MobileNetV2 at 112 px 0.61");
    let mut encoder =
        encoder::load(encoder::DEFAULT, DeviceChoice::Auto).expect("set-up fetched its weights");
    for stain in [StainSetting::Lab, StainSetting::None] {
        let at_2um = encode(&data.join("wsi"), 1, &tiles, stain, encoder.as_mut());
        report(stain, "all slides, 112 px at 2 µm/px enlarged to 224", &at_2um);
        let lungs: Vec<&Labelled> =
            tiles.iter().filter(|tile| data.join("wsi_1um").join(file(&tile.slide)).exists()).collect();
        let at_1um = encode(&data.join("wsi_1um"), 2, lungs.iter().copied(), stain, encoder.as_mut());
        report(stain, "lungs only, 224 px at 1 µm/px", &at_1um);
    }
}

fn report(stain: StainSetting, what: &str, encoded: &[(&Labelled, Vec<f32>)]) {
    let [first, five, base] = precision(encoded);
    println!(
        "    {}, stain {stain:?}, {what}: P@1 {first:.3}, P@5 {five:.3}, chance level {base:.3}",
        encoder::DEFAULT
    );
}

fn file(slide: &str) -> String {
    format!("{slide}.tif")
}

fn labels(path: &Path) -> Vec<Labelled> {
    let mut reader = csv::Reader::from_path(path).expect("the table of labels");
    let rows = reader.deserialize::<BTreeMap<String, String>>();
    rows.map(|row| {
        let row = row.expect("a row of the table");
        let number = |column: &str| row[column].parse::<i64>().expect("a whole number");
        let (width, height) = (number("width") as u32, number("height") as u32);
        Labelled {
            slide: row["slide"].clone(),
            rect: Level0Rect::new(number("x"), number("y"), width, height),
            is_tumour: row["is_tumour"] == "1",
        }
    })
    .collect()
}

/// Encodes labelled tiles, read from slides with `scale` times finer pixels than the labels.
fn encode<'a>(
    slides: &Path,
    scale: u32,
    tiles: impl IntoIterator<Item = &'a Labelled>,
    stain: StainSetting,
    encoder: &mut dyn Encoder,
) -> Vec<(&'a Labelled, Vec<f32>)> {
    let mut opened: BTreeMap<&str, (Arc<dyn SlideSource>, LabNormaliser)> = BTreeMap::new();
    let reference = encoder.spec().stain_reference;
    let mut pictures = Vec::new();
    for tile in tiles {
        let (slide, normaliser) = opened.entry(&tile.slide).or_insert_with(|| {
            let slide = slide::open(&slides.join(file(&tile.slide)), None).expect("a development slide");
            let statistics = LabStatistics::of_slide(slide.as_ref()).expect("its colours");
            (slide, LabNormaliser::new(statistics.expect("tissue"), reference))
        });
        let s = i64::from(scale);
        let rect = &tile.rect;
        let rect = Level0Rect::new(rect.x * s, rect.y * s, rect.width * scale, rect.height * scale);
        let mut picture = read_tile(slide.as_ref(), &rect, encoder.spec().tiles.tile_px).expect("a tile");
        if stain == StainSetting::Lab {
            normaliser.apply(&mut picture);
        }
        pictures.push((tile, picture));
    }
    let mut encoded = Vec::with_capacity(pictures.len());
    for batch in pictures.chunks(BATCH) {
        let tiles: Vec<RgbImage> = batch.iter().map(|(_, picture)| picture.clone()).collect();
        let rows = encoder.encode(&tiles).expect("descriptors");
        encoded.extend(batch.iter().zip(rows.rows()).map(|((tile, _), row)| (*tile, row.to_vec())));
    }
    encoded
}

/// Returns P@1, P@5 and the chance level of tumour retrieval: over all tumour tiles, the mean share of tumour
/// in the nearest, in the five nearest, and in all labelled tiles of other slides.
fn precision(encoded: &[(&Labelled, Vec<f32>)]) -> [f64; 3] {
    let queries: Vec<_> = encoded.iter().filter(|(tile, _)| tile.is_tumour).collect();
    let mut sums = [0.0; 3];
    for (query, descriptor) in &queries {
        let others = encoded.iter().filter(|(tile, _)| tile.slide != query.slide);
        let mut ranked: Vec<(f32, bool)> = others
            .map(|(tile, other)| {
                let squared = descriptor.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum();
                (squared, tile.is_tumour)
            })
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (sum, count) in sums.iter_mut().zip([1, 5, ranked.len()]) {
            *sum += ranked[..count].iter().filter(|(_, is_tumour)| *is_tumour).count() as f64 / count as f64;
        }
    }
    sums.map(|sum| sum / queries.len() as f64)
}
