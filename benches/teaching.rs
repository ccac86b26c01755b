//! Teaching by marks: the time that a mark takes, and how much marks teach.
//!
//!     cargo bench --bench teaching                                  time of a mark; in the dev profile, whose loops use no vector
//!                                                                   instructions, it is several times as long
//!     cargo bench --bench teaching -- PROJECT LABELS [PATIENTS]     and the precision over simulated marks
//!     HISTOKIN_BENCH_TILES=100000,1000000                           numbers of tiles
//!     HISTOKIN_BENCH_DESCRIPTORS=FOLDER                             descriptors of a project for `own`, of 128 numbers
//!
//! A mark is timed as the window does it: the direction of all marks so far, the exact search for it, and the matches,
//! beside a scan of all tiles for the same direction in the same run, which has to find the same; and processor time, of all
//! threads together, for a machine that has other work. `clustered` descriptors
//! are made: unit vectors in 2,000 clusters whose spread decreases from axis to axis. `own` are those of `cargo bench --bench
//! search`, real ones first; their classes are which of 50 real tiles is the nearest. Ten tiles are clicked, and for each the
//! five best matches are marked by whether they are of its class, ten times.
//!
//! PROJECT is a project with embedded slides, LABELS the argument of `histokin evaluate --labels`, and PATIENTS a CSV file
//! with the columns slide and patient. The rankings are compared on tiles of other patients, with right marks and with
//! one mark in ten wrong.

#[path = "support/made_descriptors.rs"]
mod made_descriptors;
#[path = "support/own_descriptors.rs"]
mod own_descriptors;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use histokin::descriptors::{DescriptorSet, Row};
use histokin::encoder;
use histokin::evaluation::feedback::{JUDGEMENTS, Simulation, simulate};
use histokin::evaluation::intervals::Resampling;
use histokin::evaluation::labels::{Patients, read_labels};
use histokin::evaluation::retrieval::Figure;
use histokin::evaluation::sample::Sample;
use histokin::evaluation::{Exclude, gather};
use histokin::geometry::Level0Point;
use histokin::index::{Snapshot, TileFilter, TileRef, brute_force, squared_distance};
use histokin::project::Project;
use histokin::query::similarity_map::{MapRequest, Reference, typical_distance};
use histokin::query::{self, AnnotationsBySlide, Example, Judgement, Mark, Query, RankBy};
use made_descriptors::Clusters;
use own_descriptors::OwnDescriptors;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use strum::IntoEnumIterator;

/// Number of tiles per slide.
const SLIDE: usize = 50_000;
/// Number of clusters.
const CLUSTERS: usize = 2000;
/// Number of classes of real tiles.
const CLASSES: usize = 50;
/// Number of clicks, and of marks for each: five at a time.
const CLICKS: u32 = 10;
const ROUNDS: usize = 10;
const AT_A_TIME: usize = 5;

fn main() {
    println!("{}", support::machine());
    let tiles = std::env::var("HISTOKIN_BENCH_TILES").unwrap_or_else(|_| "100000,1000000".to_owned());
    for kind in ["clustered", "own"] {
        let Some(source) = Source::new(kind) else {
            println!("{kind} skipped: there is no ../shared/data/descriptors");
            continue;
        };
        for count in tiles.split(',') {
            measure(kind, &source, count.trim().parse().expect("a number of tiles"));
        }
    }
    // Cargo also passes `--bench`.
    let given: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    match given.as_slice() {
        [project, labels, patients @ ..] => {
            compare(Path::new(project), Path::new(labels), patients.first().map(Path::new));
        }
        _ => println!("precision over marks: give PROJECT LABELS [PATIENTS]"),
    }
}

/// Source of descriptors and their classes.
enum Source {
    Clustered(Clusters),
    /// With a tile of each class.
    Own(OwnDescriptors, Vec<Vec<f32>>),
}

impl Source {
    fn new(kind: &str) -> Option<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        if kind == "clustered" {
            return Some(Self::Clustered(Clusters::new(CLUSTERS, &mut random)));
        }
        let own = OwnDescriptors::new(CLASSES, &mut random)?;
        let classes = own.queries.iter().take(CLASSES).cloned().collect();
        Some(Self::Own(own, classes))
    }

    /// Returns the descriptor of the tile with this number among all, and its class.
    fn tile(&self, number: usize, random: &mut ChaCha8Rng) -> (Vec<f32>, usize) {
        match self {
            Self::Clustered(clusters) => {
                let cluster = random.random_range(0..clusters.count());
                let row = clusters.near(cluster, 0.5, random);
                let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
                (row.iter().map(|value| value / length).collect(), cluster)
            }
            Self::Own(own, classes) => {
                let row = own.rows.get(number).cloned().unwrap_or_else(|| own.between(random));
                let distance = |class: &usize| squared_distance(&classes[*class], &row);
                let nearest = (0..classes.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
                (row, nearest.expect("one class at least"))
            }
        }
    }
}

fn measure(kind: &str, source: &Source, count: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (sets, classes): (Vec<Arc<DescriptorSet>>, Vec<Vec<usize>>) = (0..count.div_ceil(SLIDE))
        .map(|slide| {
            let numbers = slide * SLIDE..count.min((slide + 1) * SLIDE);
            let (rows, classes): (Vec<_>, _) = numbers.map(|number| source.tile(number, &mut random)).unzip();
            (Arc::new(made_descriptors::set(slide, &rows)), classes)
        })
        .unzip();
    let index = Arc::new(Snapshot::build(sets.clone(), None, None));
    index.grow_trees();
    let positions: Vec<u32> = (0..sets.len() as u32).collect();
    let scale = typical_distance(&index);
    let (mut marks, mut scans, mut maps, mut right) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut marks_cpu, mut scans_cpu) = (Vec::new(), Vec::new());
    for click in 0..CLICKS {
        let class = classes[0][click as usize * 7];
        let asked = TileRef { set: 0, row: Row(click * 7) };
        let mut query = Query { positives: vec![example(&sets, asked)], ..Query::default() };
        let mut answer = query::ask(&index, &query, &AnnotationsBySlide::new()).expect("embedded");
        for _ in 0..ROUNDS {
            for found in answer.matches.iter().take(AT_A_TIME) {
                let set = index.set_index(&found.slide).expect("of this index");
                let row = sets[set as usize].row_at(found.rect.center()).expect("embedded");
                let is_same = classes[set as usize][row.0 as usize] == class;
                let judgement = if is_same { Judgement::Same } else { Judgement::Different };
                query.marks.push(Mark { example: example(&sets, TileRef { set, row }), judgement });
            }
            let (started, used) = (Instant::now(), support::process_cpu());
            answer = query::ask(&index, &query, &AnnotationsBySlide::new()).expect("embedded");
            marks.push(started.elapsed().as_secs_f64() * 1e3);
            marks_cpu.push((support::process_cpu() - used).as_secs_f64() * 1e3);

            let point = query::compared_with(&index, &query).expect("embedded").points.remove(0);
            let more = answer.matches.len() + query.marks.len() + 1;
            let (started, used) = (Instant::now(), support::process_cpu());
            let scanned = brute_force::nearest(&sets, &positions, &point, &TileFilter::default(), more);
            scans.push(started.elapsed().as_secs_f64() * 1e3);
            scans_cpu.push((support::process_cpu() - used).as_secs_f64() * 1e3);
            // The scan also finds what was asked and marked.
            let distances: Vec<f32> = scanned.iter().map(|found| found.distance).collect();
            assert!(answer.matches.iter().all(|found| distances.contains(&found.distance)), "both agree");

            let request = MapRequest {
                index: index.clone(),
                reference: Reference::Point(point.into()),
                shown: positions.iter().copied().take(2).collect(),
            };
            let started = Instant::now();
            std::hint::black_box(request.maps(scale));
            maps.push(started.elapsed().as_secs_f64() * 1e3);
        }
        let correct = answer.matches.iter().filter(|found| {
            let set = index.set_index(&found.slide).expect("of this index") as usize;
            let row = sets[set].row_at(found.rect.center()).expect("embedded");
            classes[set][row.0 as usize] == class
        });
        right.push(correct.count() as f64 / answer.matches.len() as f64);
    }
    let at = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        [0.5, 0.95, 1.0].map(|p| support::percentile(times, p))
    };
    let [median, most, worst] = at(&mut marks);
    let [scan, ..] = at(&mut scans);
    let [map, ..] = at(&mut maps);
    let [marks_cpu, scans_cpu] = [marks_cpu, scans_cpu].map(|mut times| at(&mut times));
    println!(
        "{kind:9} {count:>9} tiles: a mark takes {median:.2} ms (95 % {most:.2}, most {worst:.2}), a scan {scan:.2} ms ({:.1} ×), a heat \
         map of {} tiles {map:.2} ms; processor time {:.2} ms (95 % {:.2}), of a scan {:.2} ms; P@20 after {} marks {:.2}",
        scan / median,
        (2 * SLIDE).min(count),
        marks_cpu[0],
        marks_cpu[1],
        scans_cpu[0],
        ROUNDS * AT_A_TIME,
        right.iter().sum::<f64>() / right.len() as f64
    );
}

fn example(sets: &[Arc<DescriptorSet>], tile: TileRef) -> Example {
    let set = &sets[tile.set as usize];
    let at: Level0Point = set.rect(tile.row).center();
    Example::Tile { slide: set.header.slide_id.clone(), at }
}

/// Prints the precision over simulated marks for each ranking.
fn compare(project: &Path, labels: &Path, patients: Option<&Path>) {
    let project = Project::open(project).expect("a project");
    let spec = encoder::spec(&project.encoder_name()).expect("its encoder");
    let slides = gather::slides_of(&project).expect("slides that can be read");
    let candidate = gather::of_project(&project, &spec, &slides).expect("embedded slides");
    let infos = gather::infos(&project);
    let (mut sample, encoders) = Sample::gather(slides, vec![candidate]).expect("tiles");
    let labels = read_labels(labels, &|name| infos.get(name).cloned()).expect("labels");
    sample.label(&labels, 0.5, true).expect("labels of these slides");
    if let Some(patients) = patients {
        sample.set_patients(&Patients::read(patients).expect("patients")).expect("a patient of every slide");
    }
    let descriptors = encoders[0].descriptors().expect("finite numbers");
    println!(
        "{} on {} tiles, other patients; P@20 after {JUDGEMENTS:?} marks",
        spec.name,
        sample.tiles.len()
    );
    for wrong in [0.0, 0.1] {
        for rank_by in RankBy::iter() {
            let resampling = Resampling::default();
            let simulation = Simulation { exclude: Exclude::Patient, rank_by, wrong, seed: 0, resampling };
            let curve = simulate(descriptors, &sample.tiles, &simulation).expect("of these tiles");
            let Some(curve) = curve else { return println!("no class occurs in two patients") };
            let text = |figure: Option<Figure>| match figure {
                Some(Figure { value, ci95: Some([low, high]) }) => {
                    format!("{value:.3} [{low:.2}, {high:.2}]")
                }
                Some(Figure { value, ci95: None }) => format!("{value:.3}"),
                None => "-".to_owned(),
            };
            let line = |figures: [Option<Figure>; 4]| figures.map(text).join("  ");
            let name: &'static str = rank_by.into();
            println!("{name:12} {:>3.0} % wrong          {}", wrong * 100.0, line(curve.precision));
            println!("{name:12} {:>3.0} % wrong, unmarked {}", wrong * 100.0, line(curve.elsewhere));
        }
    }
}
