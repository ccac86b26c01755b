//! Speed of the exact search, as ratios to brute force, FAISS `IndexFlatL2` and usearch's HNSW in the same
//! run; checks that all except HNSW give the same result. Also the size of the index and the time until it is
//! ready.
//!
//!     cargo bench --bench search [-- KIND…]      (KIND: clustered own gaussian start heat; all by default)
//!     HISTOKIN_BENCH_TILES=100000,1000000        numbers of tiles
//!     HISTOKIN_BENCH_PYTHON=…/venv/bin/python    interpreter with numpy, faiss-cpu and usearch, to compare
//!     HISTOKIN_BENCH_HNSW=100000                 maximum number of tiles for usearch, which is slow to build
//!     HISTOKIN_BENCH_FAISS=1000000               maximum number of tiles for FAISS, which copies them
//!     HISTOKIN_BENCH_DESCRIPTORS=FOLDER          descriptors of a project for `own`, of 128 numbers
//!
//! `own` has the descriptors in `../shared/data/descriptors`, or in the folder given, and as many more as are wanted,
//! each between one of them and one that is near it, with a little noise; its queries are some that are left out of
//! it. Points between any two would have far nearer neighbours than the tiles of as large an archive. `clustered` is
//! synthetic: 2,000 clusters whose spread decreases from axis to axis. `gaussian` is noise, for which no index helps.
//! Descriptors are in files, as in a project, and are mapped: ten million of them take 5 GB of disk space in
//! `target/` during the run.

#[path = "support/made_descriptors.rs"]
mod made_descriptors;
#[path = "support/own_descriptors.rs"]
mod own_descriptors;
mod support;

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use histokin::descriptors::{DescriptorHeader, DescriptorSet, DescriptorStore, Row};
use histokin::index::segment::Segment;
use histokin::index::{IndexCache, Snapshot, TileFilter, TileRef, brute_force};
use histokin::query::similarity_map::{MapRequest, Reference, typical_distance};
use made_descriptors::{Clusters, WIDTH, gaussian};
use own_descriptors::OwnDescriptors;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::percentile;

/// Number of matches per query.
const K: usize = 20;
const QUERIES: usize = 200;
/// Number of tiles per synthetic slide.
const SLIDE: usize = 50_000;

fn main() {
    let kinds: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |kind: &str| kinds.is_empty() || kinds.iter().any(|wanted| wanted == kind);
    let tiles = numbers("HISTOKIN_BENCH_TILES", "100000,1000000");
    println!("k = {K}, {WIDTH} numbers per tile, {QUERIES} queries, {} threads, ms", rayon_threads());
    println!(
        "{:10} {:>9} | {:>8} {:>8} {:>8} | {:>8} {:>8} {:>8} {:>6} | {:>7} {:>7} {:>7} | {:>7} {:>6}",
        "data",
        "tiles",
        "median",
        "95 %",
        "most",
        "brute",
        "FAISS",
        "HNSW",
        "recall",
        "×brute",
        "×FAISS",
        "×HNSW",
        "build s",
        "B/tile"
    );
    for kind in ["clustered", "own", "gaussian"].into_iter().filter(|kind| is_wanted(kind)) {
        let Some(source) = Source::new(kind) else {
            println!("{kind:10} skipped: there is no ../shared/data/descriptors");
            continue;
        };
        tiles.iter().for_each(|count| measure(kind, &source, *count));
    }
    if is_wanted("start") {
        tiles.iter().for_each(|count| start(*count));
    }
    if is_wanted("heat") {
        heat_map();
    }
}

fn numbers(variable: &str, default: &str) -> Vec<usize> {
    let text = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    text.split(',').map(|count| count.trim().parse().expect("a number of tiles")).collect()
}

/// Measures the heat map under the cursor: one tile compared with all tiles of the visible slides.
fn heat_map() {
    let source = Source::new("clustered").expect("made up");
    let archive = Archive::new(2 * SLIDE, &source, &mut ChaCha8Rng::seed_from_u64(9));
    let index = Arc::new(Snapshot::with_segments(archive.open(), &[]));
    let scale = typical_distance(&index);
    let mut times: Vec<f64> = (0..200)
        .map(|row| {
            let reference = Reference::Tile(TileRef { set: 0, row: Row(row * 100) });
            let request = MapRequest { index: index.clone(), reference, shown: vec![0, 1] };
            let started = Instant::now();
            std::hint::black_box(request.maps(scale));
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "heat map, {} tiles: median {:.2} ms, 95 % {:.2} ms",
        2 * SLIDE,
        percentile(&times, 0.5),
        percentile(&times, 0.95)
    );
}

/// Measures the start: from existing files to the first answer.
fn start(count: usize) {
    let source = Source::new("clustered").expect("made up");
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let archive = Archive::new(count, &source, &mut random);
    let cache = IndexCache::new(archive.folder.path().join("index"));
    drop(Snapshot::build(archive.open(), None, Some(&cache)));
    let query = source.draw(&mut random);
    let started = Instant::now();
    let sets = archive.open();
    let opened = started.elapsed().as_secs_f64() * 1e3;
    let index = Snapshot::build(sets, None, Some(&cache));
    let ready = started.elapsed().as_secs_f64() * 1e3;
    assert!(index.segments().all(Segment::is_mapped), "nothing is rebuilt");
    let found = index.nearest(&query, &TileFilter::default(), K);
    let answered = started.elapsed().as_secs_f64() * 1e3;
    index.grow_trees();
    let grown = started.elapsed().as_secs_f64() * 1e3;
    assert_eq!(found.len(), K);
    println!(
        "start with {count} tiles: {opened:.0} ms to open and check the descriptors, ready after {ready:.0} ms, first \
         answer after {answered:.0} ms, trees grown after {grown:.0} ms"
    );
}

fn rayon_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn measure(kind: &str, source: &Source, count: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let archive = Archive::new(count, source, &mut random);
    let sets = archive.open();
    let queries: Vec<Vec<f32>> = (0..QUERIES).map(|number| source.query(number, &mut random)).collect();
    // Read all once, so that they are in the page cache as after embedding.
    let read: f32 = sets.iter().flat_map(|set| set.features().iter().step_by(1024)).sum();
    assert!(read.is_finite());
    let before = anonymous_bytes();
    let started = Instant::now();
    let segment = Segment::build(&sets).expect("finite numbers can be indexed");
    segment.grow_trees();
    let build = started.elapsed().as_secs_f64();
    // As in a project: codes mapped from a file, and the points of the tree not used again.
    let cache = IndexCache::new(archive.folder.path().join("index"));
    let segment = Arc::new(cache.keep(segment));
    assert!(segment.is_mapped());
    let bytes = (anonymous_bytes().saturating_sub(before) + segment.code_bytes()) / count;
    let index = Snapshot::with_segments(sets.clone(), &[segment]);
    let filter = TileFilter::default();
    let positions: Vec<u32> = (0..sets.len() as u32).collect();

    // Alternating, so that both run under the same conditions; brute force for some queries only, because it
    // is slow.
    let (mut own, mut brute, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for (number, query) in queries.iter().enumerate() {
        let started = Instant::now();
        let found = index.nearest(query, &filter, K);
        own.push(started.elapsed().as_secs_f64() * 1e3);
        if number % 10 == 0 {
            let started = Instant::now();
            let expected = brute_force::nearest(&sets, &positions, query, &filter, K);
            brute.push(started.elapsed().as_secs_f64() * 1e3);
            assert_eq!(found, expected, "the index and brute force agree");
        }
        answers.push(found);
    }
    let peers = peers(&sets, &queries, &answers);
    own.sort_by(f64::total_cmp);
    brute.sort_by(f64::total_cmp);
    let [median, ninety_five, most] = [0.5, 0.95, 1.0].map(|p| percentile(&own, p));
    let brute = percentile(&brute, 0.5);
    let result =
        |name: &str| peers.as_ref().and_then(|peers| peers.get(name)).and_then(|value| value.as_f64());
    let number =
        |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
    let ratio = |peer: Option<f64>| number(peer.map(|peer| peer / median), 1);
    println!(
        "{kind:10} {count:>9} | {median:>8.3} {ninety_five:>8.3} {most:>8.3} | {brute:>8.2} {:>8} {:>8} {:>6} | {:>7.1} \
         {:>7} {:>7} | {build:>7.2} {bytes:>6}",
        number(result("flat"), 2),
        number(result("hnsw"), 3),
        number(result("hnsw_recall"), 3),
        brute / median,
        ratio(result("flat")),
        ratio(result("hnsw")),
    );
    if let Some(build) = result("hnsw_build") {
        println!("{:10} {count:>9} | usearch built its graph in {:.1} s", "", build / 1e3);
    }
}

/// Anonymous memory of this process in bytes; 0 if the system does not report it.
fn anonymous_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok()).unwrap_or(0) * 1024
}

/// Descriptors in files, in a folder that is deleted on drop.
struct Archive {
    folder: tempfile::TempDir,
    headers: Vec<DescriptorHeader>,
}

impl Archive {
    fn new(count: usize, source: &Source, random: &mut ChaCha8Rng) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("target/ can be written to");
        let store = DescriptorStore::new(folder.path());
        let keep = |slide: usize| {
            let tiles = slide * SLIDE..count.min((slide + 1) * SLIDE);
            let rows: Vec<Vec<f32>> = tiles.map(|tile| source.tile(tile, random)).collect();
            let set = made_descriptors::set(slide, &rows);
            store.save(&set).expect("there is room for the descriptors");
            set.header.clone()
        };
        let headers = (0..count.div_ceil(SLIDE)).map(keep).collect();
        Self { folder, headers }
    }

    fn open(&self) -> Vec<Arc<DescriptorSet>> {
        let store = DescriptorStore::new(self.folder.path());
        let open = |header: &DescriptorHeader| store.open(&header.slide_id, &header.recipe);
        self.headers.iter().map(|header| Arc::new(open(header).expect("whole").expect("there"))).collect()
    }
}

/// Source of descriptors.
enum Source {
    Clustered(Clusters),
    Own(OwnDescriptors),
    Gaussian,
}

impl Source {
    fn new(kind: &str) -> Option<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        Some(match kind {
            "clustered" => Self::Clustered(Clusters::new(2000, &mut random)),
            "own" => Self::Own(OwnDescriptors::new(QUERIES, &mut random)?),
            _ => Self::Gaussian,
        })
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> Vec<f32> {
        match self {
            Self::Clustered(clusters) => {
                let cluster = random.random_range(0..clusters.count());
                clusters.near(cluster, 0.25, random)
            }
            Self::Own(own) => own.between(random),
            Self::Gaussian => (0..WIDTH).map(|_| gaussian(random)).collect(),
        }
    }

    /// Returns the descriptor of a tile of the archive, of which there are real ones first.
    fn tile(&self, number: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
        match self {
            Self::Own(own) if number < own.rows.len() => own.rows[number].clone(),
            _ => self.draw(random),
        }
    }

    /// Returns a query that is not in the archive.
    fn query(&self, number: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
        match self {
            Self::Own(own) => own.queries[number % own.queries.len()].clone(),
            _ => self.draw(random),
        }
    }
}

/// Times of FAISS's exact search and of usearch, one query at a time, after checking that FAISS finds the
/// same distances. `None` without Python or above the maximum number of tiles.
fn peers(
    sets: &[Arc<DescriptorSet>],
    queries: &[Vec<f32>],
    answers: &[Vec<histokin::index::Neighbour>],
) -> Option<serde_json::Value> {
    let python = std::env::var("HISTOKIN_BENCH_PYTHON").ok()?;
    let tiles: usize = sets.iter().map(|set| set.len()).sum();
    if tiles > numbers("HISTOKIN_BENCH_FAISS", "1000000")[0] {
        return None;
    }
    let hnsw = u8::from(tiles <= numbers("HISTOKIN_BENCH_HNSW", "100000")[0]).to_string();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).ok()?;
    let write = |name: &str, parts: Vec<&[f32]>| {
        let mut file = std::io::BufWriter::new(std::fs::File::create(folder.path().join(name)).ok()?);
        parts.iter().try_for_each(|part| file.write_all(bytemuck::cast_slice(part))).ok()
    };
    let distances: Vec<f32> = answers.iter().flatten().map(|neighbour| neighbour.distance).collect();
    write("data.f32", sets.iter().map(|set| set.features()).collect())?;
    write("queries.f32", queries.iter().map(Vec::as_slice).collect())?;
    write("distances.f32", vec![distances.as_slice()])?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/python/peers.py");
    let output = Command::new(python)
        .arg(script)
        .arg(folder.path())
        .args([WIDTH.to_string(), K.to_string(), hnsw])
        .output()
        .ok()?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    serde_json::from_slice(&output.stdout).ok()
}
