//! Speed of reading level-0 tiles from a slide, compared with direct calls of OpenSlide.
//!
//!     cargo bench --bench slides            (add `--profile dev` to avoid a release build: the decoders
//!                                            are C libraries, and they are optimised either way)
//!     HISTOKIN_BENCH_SLIDE=FILE              the slide, with JPEG tiles in a file that is read directly
//!     HISTOKIN_BENCH_PYTHON=…/venv/bin/python   interpreter with openslide-python, openslide-bin, fastslide, tifffile and
//!                                            imagecodecs, to compare
//!
//! All readers read the same tiles, alternating within one run, so that a busy machine affects all equally.

mod support;
#[path = "support/tiled_tiff.rs"]
mod tiled_tiff;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use histokin::geometry::LevelRect;
use histokin::slide::isolated::{self, Limits};
use histokin::slide::{self, Reader, SlideSource};
use openslide_rs::{Address, OpenSlide, Region, Size};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tiled_tiff::{COMPRESSIONS, TILE};

/// Number of tiles per round; each round reads different tiles.
const TILES: usize = 240;
/// Number of rounds.
const TURNS: usize = 5;

fn main() {
    println!("machine: {}", support::machine());
    let path = support::slide();
    let (raw, openslide) =
        (slide::open(&path, None).expect("a slide"), slide::open_with_openslide(&path).expect("a slide"));
    assert_eq!(raw.info().reader, Reader::RawTiles, "the slide has to be one of tiled JPEGs");
    let info = raw.info();
    println!("slide: {}, {} × {} px", info.name(), info.width(), info.height());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for edge in [256, 512] {
        let tiles = random_tiles(info.width(), info.height(), edge);
        let mut rates = Vec::new();
        for threads in [1, 2] {
            let mut totals = [Effort::default(); 3];
            for turn in tiles.chunks(TILES).take(TURNS) {
                // A new handle, so that its cache contains nothing from the previous round.
                let bare = OpenSlide::new(&path).expect("a slide");
                totals[0] += effort(threads, turn, |x, y| bare_tile(&bare, x, y, edge));
                totals[1] += effort(threads, turn, |x, y| our_tile(&*openslide, x, y, edge));
                totals[2] += effort(threads, turn, |x, y| our_tile(&*raw, x, y, edge));
            }
            let [bare, through_openslide, raw_tiles] = totals;
            println!(
                "level 0, tiles of {edge} px, {threads} threads   tiles per CPU-second   tiles per second"
            );
            for (reader, total) in [
                ("bare OpenSlide", bare),
                ("our OpenSlide source", through_openslide),
                ("raw tiles", raw_tiles),
            ] {
                println!("  {reader:24} {:28.0} {:18.0}", total.per_cpu_second(), total.per_second());
            }
            println!(
                "  raw tiles : bare OpenSlide = {:.2} per CPU-second, {:.2} per second",
                raw_tiles.per_cpu_second() / bare.per_cpu_second(),
                raw_tiles.per_second() / bare.per_second()
            );
            println!(
                "  our OpenSlide source : bare OpenSlide = {:.2} per CPU-second, {:.2} per second",
                through_openslide.per_cpu_second() / bare.per_cpu_second(),
                through_openslide.per_second() / bare.per_second()
            );
            rates.push([bare, through_openslide, raw_tiles].map(Effort::per_second));
        }
        print_peers(&path, edge, &tiles);
        let [bare, through_openslide, raw_tiles] = [0, 1, 2].map(|index| rates[1][index] / rates[0][index]);
        println!(
            "tiles of {edge} px, from 1 to 2 threads of {cores} cores: bare OpenSlide × {bare:.2}, our OpenSlide \
             source × {through_openslide:.2}, raw tiles × {raw_tiles:.2}"
        );
    }
    println!("opening: {}", opening(&path));
    compressions(&*raw);
    isolation(&path, &*raw);
}

/// Measures lossless tiles, which the program's own TIFF reader decodes, against OpenSlide, which has libtiff decode
/// them.
fn compressions(slide: &dyn SlideSource) {
    /// Edge of the part of the slide that is written anew, in pixels.
    const EDGE: u32 = 4096;
    let folder = tempfile::tempdir().expect("a folder");
    println!("lossless tiles of {TILE} px, 1 thread              tiles per CPU-second");
    for compression in &COMPRESSIONS {
        let path = folder.path().join(format!("{}.tif", compression.name));
        tiled_tiff::write(&path, slide, EDGE, compression).expect("a file");
        let own = slide::open(&path, None).expect("a slide");
        assert_eq!(own.info().reader, Reader::Tiff);
        let tiles = random_tiles(own.info().width(), own.info().height(), TILE);
        let mut totals = [Effort::default(); 2];
        for _ in 0..TURNS {
            // A new handle, so that its cache contains nothing from the previous round.
            if let Ok(bare) = OpenSlide::new(&path) {
                totals[0] += effort(1, &tiles, |x, y| bare_tile(&bare, x, y, TILE));
            }
            totals[1] += effort(1, &tiles, |x, y| our_tile(&*own, x, y, TILE));
        }
        let [bare, own] = totals.map(Effort::per_cpu_second);
        let peer = match totals[0].tiles {
            0 => "which OpenSlide does not read".to_owned(),
            _ => format!("bare OpenSlide {bare:.0}, ratio {:.2}", own / bare),
        };
        println!("  {:24} {own:28.0}  {peer}", compression.name);
        print_peers(&path, TILE, &tiles);
    }
}

/// Prints how fast other libraries read the same tiles on one thread, if there is a Python that has them.
fn print_peers(path: &Path, edge: u32, tiles: &[(u32, u32)]) {
    let Some(python) = std::env::var_os("HISTOKIN_BENCH_PYTHON") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/python/readers.py");
    let mut command = Command::new(python);
    command.arg(script).arg(path).arg(edge.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("Python");
    let list: String = tiles.iter().take(TILES * TURNS).map(|(x, y)| format!("{x} {y}\n")).collect();
    child.stdin.take().expect("a pipe").write_all(list.as_bytes()).expect("a running Python");
    let output = child.wait_with_output().expect("its answer");
    let rates: BTreeMap<String, f64> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    for (library, rate) in rates {
        println!("  {:24} {rate:28.0}", format!("{library} in Python"));
    }
}

/// Measures decoding in a separate process, as for untrusted files.
fn isolation(path: &Path, here: &dyn SlideSource) {
    let program = Path::new(env!("CARGO_BIN_EXE_histokin"));
    let begun = Instant::now();
    let apart = isolated::open(program, path, Limits::default()).expect("a slide");
    println!("isolation: opening takes {:.0} ms", begun.elapsed().as_secs_f64() * 1000.0);
    let edge = 512;
    let tiles = random_tiles(here.info().width(), here.info().height(), edge);
    for threads in [1, 2] {
        let mut totals = [Effort::default(); 2];
        // The first round starts one process per concurrent request and is not counted.
        for (number, turn) in tiles.chunks(TILES).take(TURNS).enumerate() {
            let of_here = effort(threads, turn, |x, y| our_tile(here, x, y, edge));
            let of_apart = effort(threads, turn, |x, y| our_tile(&*apart, x, y, edge));
            if number > 0 {
                totals[0] += of_here;
                totals[1] += of_apart;
            }
        }
        let [here, apart] = totals.map(Effort::per_second);
        println!(
            "  tiles of {edge} px, {threads} threads: {apart:.0} tiles per second, {here:.0} in this process, × {:.2}",
            apart / here
        );
    }
}

/// CPU time and wall time for a number of tiles.
#[derive(Default, Clone, Copy)]
struct Effort {
    tiles: usize,
    cpu: Duration,
    wall: Duration,
}

impl Effort {
    fn per_cpu_second(self) -> f64 {
        self.tiles as f64 / self.cpu.as_secs_f64()
    }

    fn per_second(self) -> f64 {
        self.tiles as f64 / self.wall.as_secs_f64()
    }
}

impl std::ops::AddAssign for Effort {
    fn add_assign(&mut self, more: Self) {
        self.tiles += more.tiles;
        self.cpu += more.cpu;
        self.wall += more.wall;
    }
}

fn effort(threads: usize, tiles: &[(u32, u32)], read: impl Fn(u32, u32) -> usize + Sync) -> Effort {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let work = || {
        let before = support::thread_cpu();
        while let Some(&(x, y)) = tiles.get(next.fetch_add(1, Ordering::Relaxed)) {
            std::hint::black_box(read(x, y));
        }
        support::thread_cpu() - before
    };
    let cpu = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().expect("a thread that reads")).sum()
    });
    Effort { tiles: tiles.len(), cpu, wall: begun.elapsed() }
}

fn bare_tile(slide: &OpenSlide, x: u32, y: u32, edge: u32) -> usize {
    let region = Region { address: Address { x, y }, level: 0, size: Size { w: edge, h: edge } };
    slide.read_region(&region).expect("a sound tile").len()
}

fn our_tile(slide: &dyn SlideSource, x: u32, y: u32, edge: u32) -> usize {
    let region = LevelRect { level: 0, x: x.into(), y: y.into(), width: edge, height: edge };
    slide.read(&region).expect("a sound tile").len()
}

/// Positions of whole tiles in a random order that is the same in every run.
fn random_tiles(width: u32, height: u32, edge: u32) -> Vec<(u32, u32)> {
    let (columns, rows) = (width / edge, height / edge);
    let mut tiles: Vec<_> =
        (0..rows).flat_map(|row| (0..columns).map(move |column| (column * edge, row * edge))).collect();
    tiles.shuffle(&mut ChaCha8Rng::seed_from_u64(7));
    tiles
}

/// Measures opening the slide, with and without the check that raw tiles equal OpenSlide's pixels.
fn opening(path: &Path) -> String {
    let median = |open: &dyn Fn()| {
        let timed = |_| {
            let begun = support::thread_cpu();
            open();
            (support::thread_cpu() - begun).as_secs_f64() * 1000.0
        };
        let mut times: Vec<f64> = (0..7).map(timed).collect();
        times.sort_by(f64::total_cmp);
        support::percentile(&times, 0.5)
    };
    let with = median(&|| drop(slide::open(path, None).expect("a slide")));
    let without = median(&|| drop(slide::open_with_openslide(path).expect("a slide")));
    format!("{with:.1} ms of CPU with the comparison of samples, {without:.1} ms through OpenSlide alone")
}
