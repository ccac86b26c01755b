//! The measures against independent implementations in numpy: `tests/fixtures/evaluation/reference.py`, and
//! the figures that come with the shared descriptors.

use std::collections::HashMap;
use std::path::Path;

use histokin::evaluation::addr::{self, AddrSettings, PairCount};
use histokin::evaluation::intervals::Resampling;
use histokin::evaluation::retrieval::{self, Measure, PoolKind, RetrievalSettings};
use histokin::evaluation::{Class, Descriptors, Exclude, Tiles, classes, health, map, probe};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::shared_data;

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[track_caller]
fn near(value: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((value - expected).abs() <= tolerance, "{value} instead of {expected}");
}

fn numbers<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// The small set of the numpy script.
fn reference() -> (Value, Vec<f32>, Tiles) {
    let reference =
        json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/evaluation/reference.json"));
    let features: Vec<Vec<f32>> = numbers(&reference["features"]);
    let classes: Vec<i32> = numbers(&reference["classes"]);
    let tiles = Tiles {
        positions_um: numbers(&reference["positions_um"]),
        slides: numbers(&reference["slides"]),
        patients: numbers(&reference["patients"]),
        classes: classes.iter().map(|class| u16::try_from(*class).ok().map(Class)).collect(),
    };
    (reference, features.concat(), tiles)
}

#[test]
fn addr_is_that_of_numpy() {
    let (reference, values, tiles) = reference();
    let descriptors = Descriptors::new(&values, 8).unwrap();
    let found = addr::measure(descriptors, &tiles, &AddrSettings::default(), &Resampling::default()).unwrap();
    let expected = &reference["addr"];
    near(found.global, &expected["global"], 1e-6);
    near(found.median_per_slide, &expected["median"], 1e-6);
    near(found.mean_per_slide, &expected["mean"], 1e-6);
    assert_eq!([found.near.pairs, found.far.pairs].to_vec(), numbers::<Vec<u64>>(&expected["pairs"]));
}

fn check_retrieval(name: &str, settings: &RetrievalSettings) {
    let (reference, values, tiles) = reference();
    let descriptors = Descriptors::new(&values, 8).unwrap();
    let found = retrieval::ask(descriptors, &tiles, settings).unwrap();
    let expected: HashMap<String, Value> = numbers(&reference[name]);
    assert_eq!(found.classes().len(), expected.len());
    for (class, expected) in expected {
        let score = found.score(Class(class.parse().unwrap()), &Resampling::default()).unwrap();
        near(score.chance_level, &expected["base"], 1e-9);
        for (measure, key) in Measure::ALL.into_iter().zip(["p1", "p5", "p20", "map", "majority"]) {
            near(score.figure(measure).unwrap().value, &expected[key], 1e-6);
        }
    }
    assert_eq!(found.unanswerable, [Class(3)]);
}

#[test]
fn retrieval_from_labelled_tiles_of_other_slides_is_that_of_numpy() {
    let settings = RetrievalSettings { exclude: Exclude::Slide, ..RetrievalSettings::default() };
    check_retrieval("other_slide", &settings);
}

#[test]
fn retrieval_from_all_tiles_of_other_patients_is_that_of_numpy() {
    let settings = RetrievalSettings { pool: PoolKind::All, ..RetrievalSettings::default() };
    check_retrieval("other_patient_all", &settings);
}

#[test]
fn the_confusion_matrix_is_that_of_numpy() {
    let (reference, values, tiles) = reference();
    let descriptors = Descriptors::new(&values, 8).unwrap();
    let settings = RetrievalSettings { exclude: Exclude::Slide, ..RetrievalSettings::default() };
    let found = retrieval::ask(descriptors, &tiles, &settings).unwrap();
    let classes = classes::of(&found, &tiles, &Resampling::default()).unwrap();
    assert_eq!(classes.confusion.queries, [0, 1, 2].map(Class));
    let expected: Vec<Vec<u32>> = numbers(&reference["confusion_other_slide"]);
    assert_eq!(classes.confusion.counts.len(), 3);
    for (found, expected) in classes.confusion.counts.iter().zip(expected) {
        // The column of a class that answers nobody is left out.
        assert_eq!(found[..], expected[..found.len()]);
        assert!(expected[found.len()..].iter().all(|count| *count == 0));
    }
}

#[test]
fn simple_classifiers_are_as_right_as_in_numpy() {
    let (reference, values, tiles) = reference();
    let descriptors = Descriptors::new(&values, 8).unwrap();
    for (exclude, key) in [(Exclude::Slide, "probe_other_slide"), (Exclude::Patient, "probe_other_patient")] {
        let found = probe::judge(descriptors, &tiles, exclude).unwrap().unwrap();
        for (found, expected) in [(found.linear, "linear"), (found.nearest, "nearest")] {
            near(found.overall, &reference[key][expected]["overall"], 1e-9);
            near(found.balanced, &reference[key][expected]["balanced"], 1e-9);
        }
    }
}

#[test]
fn the_health_of_descriptors_is_that_of_numpy() {
    let (reference, values, _) = reference();
    let found = health::examine(Descriptors::new(&values, 8).unwrap(), 0).unwrap();
    let expected = &reference["health"];
    near(found.effective_dimension, &expected["effective_dimension"], 1e-6);
    near(found.median_distance, &expected["median_distance"], 1e-5);
    near(found.near_duplicates, &expected["near_duplicates"], 1e-9);
    assert_eq!(found.spectrum.len(), expected["spectrum"].as_array().unwrap().len());
    for (found, expected) in found.spectrum.iter().zip(expected["spectrum"].as_array().unwrap()) {
        near(*found, expected, 1e-6);
    }
}

/// Descriptors of one of the shared slides: numbers, width, centres in µm.
fn shared_slide(path: &Path) -> (Vec<f32>, usize, Vec<[f64; 2]>) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> { bytemuck::pod_collect_to_vec(file.tensor(name).unwrap().data()) };
    let width = file.tensor("features").unwrap().shape()[1];
    let places = floats("coords").chunks(2).map(|place| [place[0].into(), place[1].into()]).collect();
    (floats("features"), width, places)
}

#[test]
fn addr_of_the_shared_descriptors_is_as_published() {
    let Some(folder) = shared_data("descriptors") else { return };
    let expected = json(&folder.join("addr.expected.json"));
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| {
            Some(entry.unwrap().file_name().to_str()?.strip_suffix(".safetensors")?.to_owned())
        })
        .collect();
    names.sort();
    let (mut values, mut width, mut tiles) = (Vec::new(), 0, Tiles::default());
    for (slide, name) in (0..).zip(&names) {
        let (features, wide, places) = shared_slide(&folder.join(format!("{name}.safetensors")));
        width = wide;
        values.extend(features);
        tiles.slides.extend(places.iter().map(|_| slide));
        tiles.patients.extend(places.iter().map(|_| slide));
        tiles.classes.extend(places.iter().map(|_| None));
        tiles.positions_um.extend(places);
    }
    let descriptors = Descriptors::new(&values, width).unwrap();
    let resampling = Resampling::default();
    let found = addr::measure(descriptors, &tiles, &AddrSettings::default(), &resampling).unwrap();
    near(found.global, &expected["addr"], 1e-4);
    near(found.near.mean(), &expected["near"], 1e-4);
    near(found.far.mean(), &expected["far"], 1e-4);
    near(found.mean_per_slide, &expected["slide_mean"], 1e-4);
    near(found.near.pairs as f64, &expected["n_near"], 0.0);
    near(found.far.pairs as f64, &expected["n_far"], 0.0);
    for slide in &found.per_slide {
        near(slide.ratio(), &expected["per_slide"][&names[slide.slide as usize]]["addr"], 1e-4);
    }
    let skipped: Vec<&String> = found.skipped.iter().map(|slide| &names[*slide as usize]).collect();
    assert_eq!(serde_json::to_value(skipped).unwrap(), expected["skipped"]);

    // Drawn pairs come near, and repeat.
    let drawn = AddrSettings { pairs: PairCount::PerSlide(2000), seed: 5, ..AddrSettings::default() };
    let first = addr::measure(descriptors, &tiles, &drawn, &resampling).unwrap();
    assert!((first.per_slide[0].ratio() - found.per_slide[0].ratio()).abs() < 0.1);
    assert_eq!(first, addr::measure(descriptors, &tiles, &drawn, &resampling).unwrap());
}

/// numpy's archives of arrays, among them arrays of text, which crates for these files do not read.
mod npz {
    use std::collections::HashMap;
    use std::io::Read;
    use std::path::Path;

    /// The header's text and the bytes of each array.
    pub fn read(path: &Path) -> HashMap<String, (String, Vec<u8>)> {
        let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
        (0..archive.len())
            .map(|place| {
                let mut member = archive.by_index(place).unwrap();
                let mut bytes = Vec::new();
                member.read_to_end(&mut bytes).unwrap();
                let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
                let header = String::from_utf8(bytes[10..10 + length].to_vec()).unwrap();
                (member.name().trim_end_matches(".npy").to_owned(), (header, bytes.split_off(10 + length)))
            })
            .collect()
    }

    /// Text of fixed length in UTF-32.
    pub fn texts((header, bytes): &(String, Vec<u8>)) -> Vec<String> {
        let length: usize = header.split("<U").nth(1).unwrap().split('\'').next().unwrap().parse().unwrap();
        bytes
            .chunks(4 * length)
            .map(|text| {
                let codes = text.chunks(4).map(|code| u32::from_le_bytes(code.try_into().unwrap()));
                codes.filter(|code| *code > 0).map(|code| char::from_u32(code).unwrap()).collect()
            })
            .collect()
    }
}

/// Index of each text among the sorted different ones, and these.
fn indices(texts: &[String]) -> (Vec<u32>, Vec<String>) {
    let mut names = texts.to_vec();
    names.sort();
    names.dedup();
    (texts.iter().map(|text| names.binary_search(text).unwrap() as u32).collect(), names)
}

#[test]
fn retrieval_of_the_shared_descriptors_is_as_published() {
    let Some(folder) = shared_data("descriptors") else { return };
    let expected = json(&folder.join("labelled.expected.json"));
    let arrays = npz::read(&folder.join("labelled.npz"));
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&arrays["features"].1);
    let (slides, slide_names) = indices(&npz::texts(&arrays["slide"]));
    let (labels, names) = indices(&npz::texts(&arrays["label"]));
    let tiles = Tiles {
        positions_um: bytemuck::pod_collect_to_vec(&arrays["coords"].1),
        patients: indices(&npz::texts(&arrays["patient"])).0,
        classes: labels.iter().map(|label| Some(Class(*label as u16))).collect(),
        slides,
    };
    let descriptors = Descriptors::new(&values, 128).unwrap();
    let resampling = Resampling::default();

    let addr = addr::measure(descriptors, &tiles, &AddrSettings::default(), &resampling).unwrap();
    near(addr.global, &expected["addr"]["addr"], 1e-4);
    near(addr.mean_per_slide, &expected["addr"]["slide_mean"], 1e-4);
    assert_eq!(addr.per_slide.len(), 4);
    for slide in &addr.per_slide {
        let name = &slide_names[slide.slide as usize];
        near(slide.ratio(), &expected["addr"]["per_slide"][name]["addr"], 1e-4);
    }

    for (exclude, key) in [(Exclude::Slide, "other_slide"), (Exclude::Patient, "other_patient")] {
        let settings = RetrievalSettings { exclude, ..RetrievalSettings::default() };
        let found = retrieval::ask(descriptors, &tiles, &settings).unwrap();
        let tumour = Class(names.iter().position(|name| name == "tumour").unwrap() as u16);
        let score = found.score(tumour, &resampling).unwrap();
        let published = &expected[format!("tumour_{key}")];
        near(score.queries as f64, &published["n_queries"], 0.0);
        near(score.chance_level, &published["base_rate"], 1e-4);
        for (measure, k) in [(Measure::P1, 1), (Measure::P5, 5), (Measure::P20, 20)] {
            let figure = score.figure(measure).unwrap();
            near(figure.value, &published[format!("P@{k}")], 1e-4);
            let [low, high] = figure.ci95.unwrap();
            near(low, &published[format!("CI@{k}")][0], 0.02);
            near(high, &published[format!("CI@{k}")][1], 0.02);
        }
        let found = classes::of(&found, &tiles, &resampling).unwrap();
        let published = &expected[format!("class_{key}")];
        near(found.chance_level, &published["base_rate"], 1e-4);
        for (place, k) in [1, 5, 20].into_iter().enumerate() {
            near(found.mean[place].unwrap().value, &published[format!("mP@{k}")], 1e-4);
        }
        assert_eq!(found.scores.len(), published["per_class"].as_object().unwrap().len());
        for score in &found.scores {
            let published = &published["per_class"][&names[usize::from(score.class.0)]];
            near(score.queries as f64, &published["n"], 0.0);
            near(score.chance_level, &published["base_rate"], 1e-4);
            for (measure, k) in [(Measure::P1, 1), (Measure::P5, 5), (Measure::P20, 20)] {
                near(score.figure(measure).unwrap().value, &published[format!("P@{k}")], 1e-4);
            }
        }
    }
}

#[test]
fn maps_are_to_be_trusted_as_far_as_those_of_umap_learn() {
    let reference = json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/evaluation/umap.json"));
    let features: Vec<Vec<f32>> = numbers(&reference["features"]);
    let values = features.concat();
    let descriptors = Descriptors::new(&values, features[0].len()).unwrap();
    let points = map::umap(descriptors, &map::UmapSettings::default(), &mut |_| true).unwrap();
    let found = map::trustworthiness(descriptors, &points, numbers(&reference["neighbours"]));
    let theirs: Vec<f64> = numbers(&reference["umap_learn"]);
    let mean = theirs.iter().sum::<f64>() / theirs.len() as f64;
    println!("trustworthiness {found:.4}, umap-learn {mean:.4}");
    assert!(found > mean - 0.02, "{found} instead of {mean}");
}
