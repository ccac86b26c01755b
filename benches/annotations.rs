//! Many detections: the time to read, save and edit them, to find them under the pointer, and their memory.
//!
//!     cargo bench --bench annotations
//!     HISTOKIN_BENCH_DETECTIONS=200000,1000000     numbers of detections
//!
//! The detections have 16 corners with two decimals, one of three classes and three measurements, as a segmenter of
//! nuclei writes them. How the window draws them is measured by the benchmark `viewer`.

mod support;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use histokin::annotation::{
    AnnotationClass, AnnotationStore, Bounds, Edit, Part, Saved, count_detections, read_file_in_parts,
};
use histokin::geometry::{Level0Point, MicronsPerPixel};
use histokin::slide::SlideId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Number of timed edits, clicks and selections.
const TIMES: usize = 50;

fn main() {
    println!("{}", support::machine());
    let counts = std::env::var("HISTOKIN_BENCH_DETECTIONS").unwrap_or_else(|_| "200000,1000000".to_owned());
    for count in counts.split(',') {
        measure(count.trim().parse().expect("a number of detections"));
    }
}

fn measure(count: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("detections.geojson");
    // Five detections in a square of 20 level-0 pixels, at any number.
    let side = (count as f64 / 5.0).sqrt() * 20.0;
    write(&path, count, side);
    let bytes = std::fs::metadata(&path).expect("the file").len();
    println!("{count} detections on {side:.0} × {side:.0} px, {} MB of GeoJSON", bytes / 1_000_000);

    let (resident, cpu, begun) = (support::resident_mib(), support::process_cpu(), Instant::now());
    let parts = Mutex::new(Vec::new());
    let part = |part: Part| parts.lock().expect("a time").push((begun.elapsed(), part.detections.len()));
    // As the window reads it.
    let set = read_file_in_parts(&path, &|_| true, &part).expect("annotations").set;
    assert_eq!(set.detections().len(), count);
    println!(
        "  read: {:.1} s, {:.1} s of CPU, {:.0} MB/s; {:.0} MiB more afterwards, {:.0} MiB at the peak since the start",
        begun.elapsed().as_secs_f64(),
        (support::process_cpu() - cpu).as_secs_f64(),
        bytes as f64 / 1e6 / begun.elapsed().as_secs_f64(),
        support::resident_mib() - resident,
        support::peak_mib()
    );
    for (after, detections) in parts.into_inner().expect("times") {
        println!("    {detections} more can be drawn after {:.1} s", after.as_secs_f64());
    }
    println!("  memory: {:.0} bytes a detection", set.detections().bytes() as f64 / count as f64);

    let store = AnnotationStore::new(folder.path().join("annotations"));
    let slide = SlideId("slide".to_owned());
    let (cpu, begun) = (support::process_cpu(), Instant::now());
    store.save(&slide, &set).expect("saved");
    println!(
        "  saved whole: {:.1} s, {:.1} s of CPU, {} MiB at the peak",
        begun.elapsed().as_secs_f64(),
        (support::process_cpu() - cpu).as_secs_f64(),
        support::peak_mib().round()
    );
    let begun = Instant::now();
    let loaded = store.load(&slide).expect("loaded");
    println!("  loaded: {:.1} s", begun.elapsed().as_secs_f64());

    let mut saved = Saved::of(&loaded).expect("what is on the disk");
    let mut set = Arc::new(loaded.set);
    let (mut editing, mut saving) = (Vec::new(), Vec::new());
    for number in 0..TIMES {
        let id = set.at(number * 31).expect("a detection").id;
        let begun = Instant::now();
        let class = Some(AnnotationClass::named("Checked"));
        Arc::make_mut(&mut set).apply(Edit::Classify { ids: vec![id], class });
        editing.push(begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        saved = store.save_changes(&slide, Some(&saved), &set).expect("saved");
        saving.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    print("one edit", editing);
    print("one edit saved", saving);

    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut anywhere = || Level0Point::new(rng.random_range(0.0..side), rng.random_range(0.0..side));
    let time = |work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        begun.elapsed().as_secs_f64() * 1e3
    };
    // Seven pixels on the screen, at these zooms.
    for zoom in [2.0, 0.25, 0.05, 0.01] {
        let picking = (0..TIMES).map(|_| {
            let at = anywhere();
            time(&mut || _ = std::hint::black_box(set.hit(at, 7.0 / zoom, |_| true)))
        });
        print(&format!("found under the pointer, zoom {zoom}"), picking.collect());
    }
    let selecting = (0..TIMES).map(|_| {
        let at = anywhere();
        let area = Bounds::between(at, Level0Point::new(at.x + side / 10.0, at.y + side / 10.0));
        time(&mut || _ = std::hint::black_box(set.enclosed_by(area)))
    });
    print("selected in a rectangle, up to 1 % of them", selecting.collect());
    let begun = Instant::now();
    let mpp = MicronsPerPixel::square(0.5).ok();
    let counts = count_detections(&set, (side, side), mpp);
    println!("  counted by class: {:.2} s, {} in all", begun.elapsed().as_secs_f64(), counts[0].total());
}

/// Writes detections as QuPath would.
fn write(path: &Path, count: usize, side: f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    file.write_all(b"{\"type\":\"FeatureCollection\",\"features\":[").expect("written");
    for number in 0..count {
        let (x, y) = (rng.random_range(0.0..side), rng.random_range(0.0..side));
        let corners: Vec<(f64, f64)> = (0..16)
            .map(|corner| {
                let angle = f64::from(corner) / 16.0 * std::f64::consts::TAU;
                let radius = rng.random_range(2.0..4.0);
                (x + radius * angle.cos(), y + radius * angle.sin())
            })
            .collect();
        let mut ring = String::new();
        for (x, y) in corners.iter().chain(&corners[..1]) {
            let comma = if ring.is_empty() { "" } else { "," };
            write!(ring, "{comma}[{x:.2},{y:.2}]").expect("memory");
        }
        let class = ["Tumor", "Stroma", "Immune cells"][number % 3];
        writeln!(
            file,
            "{}{{\"type\":\"Feature\",\"id\":\"00000000-0000-4000-8000-{number:012x}\",\"geometry\":{{\"type\":\"Polygon\",\
             \"coordinates\":[[{ring}]]}},\"properties\":{{\"objectType\":\"detection\",\"classification\":{{\"name\":\
             \"{class}\",\"color\":[200,0,0]}},\"measurements\":{{\"Nucleus: Area\":{:.3},\"Nucleus: Circularity\":0.9,\
             \"Hematoxylin: Mean\":0.42}}}}}}",
            if number == 0 { "" } else { "," },
            rng.random_range(10.0..50.0)
        )
        .expect("written");
    }
    file.write_all(b"]}").and_then(|()| file.flush()).expect("written");
}

fn print(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let [p50, p95] = [0.5, 0.95].map(|p| support::percentile(&times, p));
    println!("  {what}: {p50:.2} ms at the median, {p95:.2} ms at 95 %");
}
