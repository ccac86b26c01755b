//! Speed of the department's archive on a real server: pushing compared with plain COPY, and searches at a
//! recall of at least 0.99, with one client and with eight, with and without filters.
//!
//!     cargo bench --bench archive
//!     HISTOKIN_BENCH_ARCHIVE_TILES=1000000     number of tiles
//!
//! The descriptors are synthetic: 128 numbers in 2,000 clusters whose spread decreases from axis to axis. The
//! server is the one that the tests use; it runs on the same machine and shares its cores with the clients.

#[path = "support/made_descriptors.rs"]
mod made_descriptors;
mod support;
#[path = "../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "the tests use more of this module")]
mod postgres;
#[path = "../tests/it/support/skipped.rs"]
mod skipped;

use std::sync::Mutex;
use std::time::Instant;

use histokin::archive::push::{INDEX_CANDIDATES, INDEX_LINKS, INDEX_MEMORY, SlideToPush, push_slide};
use histokin::archive::search::{SearchSettings, ask};
use histokin::archive::status::status;
use histokin::archive::verify::{VerifySettings, verify};
use histokin::archive::{Archive, NamedSlide, Storage};
use histokin::index::Snapshot;
use histokin::query::{Example, Patients, Query, QuerySettings};
use histokin::slide::SlideId;
use made_descriptors::{WIDTH, recipe, slide_id};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use postgres::{Database, Server, WRITER};

/// Number of tiles per slide.
const SLIDE: usize = 5_000;
/// Number of matches per query.
const K: usize = 20;
const QUERIES: usize = 200;
const CLUSTERS: usize = 2_000;

fn main() {
    let tiles = std::env::var("HISTOKIN_BENCH_ARCHIVE_TILES").unwrap_or_else(|_| "1000000".to_owned());
    let tiles: usize = tiles.parse().expect("a number of tiles");
    println!("{}", support::machine());
    println!(
        "{tiles} tiles of {WIDTH} numbers on slides of {SLIDE}, k = {K}, {QUERIES} queries, milliseconds"
    );
    let server = Server::start(true);
    for storage in [Storage::Vector, Storage::Halfvec] {
        let database = Database::on(&server, "").with_archive();
        measure(&database, storage, tiles);
    }
}

/// Source of descriptors in clusters whose spread decreases from axis to axis.
struct Source {
    centres: Vec<Vec<f32>>,
}

impl Source {
    fn new() -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let centre = |random: &mut ChaCha8Rng| {
            (0..WIDTH).map(|axis| random.random_range(-1.0f32..1.0) * decay(axis)).collect()
        };
        Self { centres: (0..CLUSTERS).map(|_| centre(&mut random)).collect() }
    }

    fn row(&self, random: &mut ChaCha8Rng) -> Vec<f32> {
        let centre = &self.centres[random.random_range(0..CLUSTERS)];
        let spread =
            |axis: usize, random: &mut ChaCha8Rng| 0.6 * random.random_range(-1.0f32..1.0) * decay(axis);
        centre.iter().enumerate().map(|(axis, value)| value + spread(axis, random)).collect()
    }
}

fn decay(axis: usize) -> f32 {
    0.965f32.powi(axis as i32)
}

fn measure(database: &Database<'_>, storage: Storage, tiles: usize) {
    let source = Source::new();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut archive = database.open(WRITER);
    let encoder = archive.add_encoder(&recipe(), WIDTH, storage, 1).unwrap();
    let mut seconds = 0.0;
    for slide in 0..tiles.div_ceil(SLIDE) {
        let rows: Vec<Vec<f32>> = (0..SLIDE).map(|_| source.row(&mut random)).collect();
        let set = made_descriptors::set(slide, &rows);
        let named = NamedSlide {
            name: format!("slide {slide}"),
            location: None,
            patient: Some(format!("patient {}", slide / 2)),
        };
        let content = set.content_checksum();
        let slide = SlideToPush {
            set: &set,
            named,
            is_pseudonymous: false,
            classes: Vec::new(),
            thumbnails: Vec::new(),
            content,
        };
        let started = Instant::now();
        push_slide(&mut archive, &encoder, &slide, &mut |_| ()).unwrap();
        seconds += started.elapsed().as_secs_f64();
    }
    let pushed = tiles as f64 / seconds;
    let plain = plain_copy(database, storage, tiles.min(200_000));
    println!(
        "{:8} pushed {pushed:.0} rows/s, plain COPY by the server itself {plain:.0} rows/s, ratio {:.2}",
        storage.sql(),
        pushed / plain
    );
    let started = Instant::now();
    archive.build_index(&encoder, INDEX_LINKS, INDEX_CANDIDATES, INDEX_MEMORY).unwrap();
    let built = started.elapsed().as_secs_f64();
    let stored = status(&mut archive).unwrap().encoders.remove(0);
    let index = stored.index_bytes.unwrap_or(0);
    println!(
        "{:8} index in {built:.0} s; {} bytes per tile, including {} for the index",
        storage.sql(),
        stored.bytes / stored.tiles,
        index / stored.tiles
    );
    let settings = VerifySettings { queries: 30, ..VerifySettings::default() };
    let verified = verify(&mut archive, &settings, &mut |_| ()).unwrap().remove(0);
    let last = verified.recalls.last().unwrap();
    println!(
        "{:8} recall {:.4} with {} candidates (minimum 0.99); exact search: {:.0} ms",
        storage.sql(),
        last.recall,
        last.ef_search,
        verified.exact_ms
    );
    let queries: Vec<Vec<f32>> = (0..QUERIES).map(|_| source.row(&mut random)).collect();
    let usual = SearchSettings::default();
    let of_patient = SearchSettings {
        patients: Patients::Others,
        own_patient: Some("patient 0".to_owned()),
        ..SearchSettings::default()
    };
    let few: Vec<SlideId> = (0..tiles / SLIDE / 10).map(slide_id).collect();
    let tenth = SearchSettings { among: Some(few), ..SearchSettings::default() };
    let cases = [
        ("one client", 1, &usual),
        ("eight clients", 8, &usual),
        ("other patients", 1, &of_patient),
        ("a tenth of the slides", 1, &tenth),
    ];
    for (name, clients, settings) in cases {
        let (median, late, rate) = clients_ask(database, clients, &queries, settings);
        println!("{:8} {name:22} p50 {median:8.2}  p95 {late:8.2}  {rate:7.1} queries/s", storage.sql());
    }
}

/// Rows per second that the server copies into a table with the same columns from its own binary dump.
fn plain_copy(database: &Database<'_>, storage: Storage, rows: usize) -> f64 {
    let kind = storage.sql();
    let name = format!("histokin-bench-{}.copy", std::process::id());
    let file = std::env::temp_dir().join(name).display().to_string();
    let columns = "slide, x, y, encoder, class, descriptor";
    database.sql(&format!(
        "CREATE TABLE plain (slide int4, x int4, y int4, encoder int2, class int2, descriptor {kind}); \
         COPY (SELECT {columns} FROM histokin.tiles_{kind} LIMIT {rows}) TO '{file}' (FORMAT binary)"
    ));
    let started = Instant::now();
    database.sql(&format!("COPY plain ({columns}) FROM '{file}' (FORMAT binary)"));
    let seconds = started.elapsed().as_secs_f64();
    database.sql("DROP TABLE plain");
    std::fs::remove_file(&file).ok();
    rows as f64 / seconds
}

/// Median and 95th percentile of the time of a query in milliseconds, and queries per second of all clients
/// together.
fn clients_ask(
    database: &Database<'_>,
    clients: usize,
    queries: &[Vec<f32>],
    settings: &SearchSettings,
) -> (f64, f64, f64) {
    let times = Mutex::new(Vec::new());
    let mut archives: Vec<Archive> = (0..clients).map(|_| database.open(WRITER)).collect();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for (client, archive) in archives.iter_mut().enumerate() {
            let times = &times;
            scope.spawn(move || {
                for query in queries.iter().skip(client).step_by(clients) {
                    let positives = vec![Example::Descriptors {
                        name: "query".to_owned(),
                        position: None,
                        descriptors: vec![query.clone()],
                        recipe: None,
                        file: None,
                    }];
                    let wanted = QuerySettings { count: K, ..QuerySettings::default() };
                    let query = Query { positives, settings: wanted, ..Query::default() };
                    let asked = Instant::now();
                    let answer = ask(archive, &Snapshot::empty(), &recipe(), &query, settings).unwrap();
                    let took = asked.elapsed().as_secs_f64() * 1e3;
                    assert_eq!(answer.matches.len(), K, "as many as were asked for");
                    times.lock().unwrap().push(took);
                }
            });
        }
    });
    let rate = queries.len() as f64 / started.elapsed().as_secs_f64();
    let mut times = times.into_inner().unwrap();
    times.sort_by(f64::total_cmp);
    (support::percentile(&times, 0.5), support::percentile(&times, 0.95), rate)
}
