//! Queries that learn from marks, and the concepts that they become.

use std::collections::HashMap;
use std::sync::Arc;

use histokin::annotation::AnnotationClass;
use histokin::concept::{self, Concept, ConceptError, ConceptStore};
use histokin::descriptors::{DescriptorSet, Row};
use histokin::geometry::Level0Point;
use histokin::index::{Snapshot, squared_distance};
use histokin::query::{
    self, AnnotationsBySlide, Answer, Example, Judgement, Mark, Query, QuerySettings, RankBy, Scope,
    TilePosition,
};
use histokin::slide::SlideId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::made;
use crate::support::{asset, histokin, json, text};

const WIDTH: usize = 32;
const TILES: u32 = 400;

/// Made tissue: every fourth tile is glands, which the descriptors, unit vectors, tell faintly from the rest.
fn tissue(names: &[&str]) -> Vec<Arc<DescriptorSet>> {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    names
        .iter()
        .map(|name| {
            let rows: Vec<Vec<f32>> = (0..TILES)
                .map(|tile| {
                    let mut row: Vec<f32> = (0..WIDTH).map(|_| random.random_range(-1.0f32..1.0)).collect();
                    row[0] += if is_gland(tile) { 1.3 } else { -0.4 };
                    let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
                    row.iter().map(|value| value / length).collect()
                })
                .collect();
            made::set(name, WIDTH, &rows)
        })
        .collect()
}

fn is_gland(tile: u32) -> bool {
    tile.is_multiple_of(4)
}

fn id(name: &str) -> SlideId {
    SlideId(name.repeat(8))
}

fn at(tile: u32) -> Level0Point {
    Level0Point::new(f64::from(tile % 100) * 224.0 + 112.0, f64::from(tile / 100) * 224.0 + 112.0)
}

fn tile(name: &str, tile: u32) -> Example {
    Example::Tile { slide: id(name), at: at(tile) }
}

/// Number of the tile at a place of [`made::set`].
fn number(place: &TilePosition) -> u32 {
    (place.rect.y / 224 * 100 + place.rect.x / 224) as u32
}

fn ask(index: &Snapshot, query: &Query) -> Answer {
    query::ask(index, query, &AnnotationsBySlide::new()).unwrap()
}

/// Solves `C a = difference` for `a` by conjugate gradients, with the covariance of all tiles, a tenth of it and nine
/// tenths of equal variances.
fn solved(sets: &[Arc<DescriptorSet>], difference: &[f64]) -> Vec<f64> {
    let rows: Vec<&[f32]> = sets.iter().flat_map(|set| set.features().chunks_exact(WIDTH)).collect();
    let count = rows.len() as f64;
    let mean: Vec<f64> =
        (0..WIDTH).map(|axis| rows.iter().map(|row| f64::from(row[axis])).sum::<f64>() / count).collect();
    let centred: Vec<Vec<f64>> = rows
        .iter()
        .map(|row| row.iter().zip(&mean).map(|(value, mean)| f64::from(*value) - mean).collect())
        .collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let equal = centred.iter().map(|row| dot(row, row)).sum::<f64>() / count / WIDTH as f64;
    let times = |vector: &[f64]| -> Vec<f64> {
        let mut product: Vec<f64> = vector.iter().map(|value| 0.9 * equal * value).collect();
        for row in &centred {
            let along = 0.1 * dot(row, vector) / count;
            product.iter_mut().zip(row).for_each(|(sum, value)| *sum += along * value);
        }
        product
    };
    let mut solution = vec![0.0; WIDTH];
    let (mut rest, mut step) = (difference.to_vec(), difference.to_vec());
    for _ in 0..2 * WIDTH {
        let before = dot(&rest, &rest);
        if before < 1e-28 {
            break;
        }
        let product = times(&step);
        let length = before / dot(&step, &product);
        solution.iter_mut().zip(&step).for_each(|(sum, step)| *sum += length * step);
        rest.iter_mut().zip(&product).for_each(|(rest, product)| *rest -= length * product);
        let turned = dot(&rest, &rest) / before;
        step = rest.iter().zip(&step).map(|(rest, step)| rest + turned * step).collect();
    }
    solution
}

/// Marks the first `count` matches by what they show.
fn mark(query: &mut Query, answer: &Answer, count: usize) {
    query.marks.extend(answer.matches[..count].iter().map(|found| {
        let place = TilePosition { slide: found.slide.clone(), rect: found.rect };
        let judgement = if is_gland(number(&place)) { Judgement::Same } else { Judgement::Different };
        Mark { example: Example::Tile { slide: place.slide, at: place.rect.center() }, judgement }
    }));
}

fn precision(answer: &Answer) -> f64 {
    let places =
        answer.matches.iter().map(|found| TilePosition { slide: found.slide.clone(), rect: found.rect });
    places.filter(|place| is_gland(number(place))).count() as f64 / answer.matches.len() as f64
}

#[test]
fn every_round_of_marks_raises_the_precision_of_what_is_not_marked_yet() {
    let index = Snapshot::build(tissue(&["a", "b", "c"]), None, None);
    let mut means = [0.0; 3];
    for asking in (0..40).step_by(4) {
        let settings = QuerySettings { scope: Scope::Others, ..QuerySettings::default() };
        let mut query = Query { positives: vec![tile("a", asking)], settings, ..Query::default() };
        for (round, mean) in means.iter_mut().enumerate() {
            let answer = ask(&index, &query);
            assert_eq!((answer.matches.len(), answer.exact), (20, true));
            assert!(
                answer.matches.iter().all(|found| found.slide != id("a")),
                "marks do not change the scope"
            );
            for marked in &query.marks {
                let is_marked = |found: &query::Match| {
                    let example = Example::Tile { slide: found.slide.clone(), at: found.rect.center() };
                    example == marked.example
                };
                assert!(!answer.matches.iter().any(is_marked), "what was marked is not shown again: {round}");
            }
            *mean += precision(&answer) / 10.0;
            mark(&mut query, &answer, 10);
        }
    }
    assert!(means[0] < 0.7 && means[1] > means[0] + 0.1 && means[2] > means[1], "{means:?}");
}

#[test]
fn a_taught_query_finds_exactly_the_greatest_cosines_to_its_direction() {
    let sets = tissue(&["a", "b", "c"]);
    let index = Snapshot::build(sets.clone(), None, None);
    let mut query = Query { positives: vec![tile("a", 0)], ..Query::default() };
    let first = ask(&index, &query);
    mark(&mut query, &first, 6);
    let discriminant = QuerySettings { rank_by: RankBy::Discriminant, ..QuerySettings::default() };
    for settings in [
        QuerySettings::default(),
        discriminant.clone(),
        QuerySettings { scope: Scope::Same, count: 50, ..QuerySettings::default() },
        QuerySettings { scope: Scope::Same, count: 50, ..discriminant.clone() },
        QuerySettings { scope: Scope::Others, among: Some(vec![id("c")]), ..QuerySettings::default() },
        QuerySettings { exclude_um: 3000.0, ..QuerySettings::default() },
        QuerySettings { exclude_um: 3000.0, ..discriminant },
    ] {
        let query = Query { settings: settings.clone(), ..query.clone() };
        let marked = |wanted: Judgement| -> Vec<&Example> {
            query.marks.iter().filter(|mark| mark.judgement == wanted).map(|mark| &mark.example).collect()
        };
        let row = |example: &Example| {
            let Example::Tile { slide, at } = example else { unreachable!() };
            let set = &sets[index.set_index(slide).unwrap() as usize];
            set.descriptor(set.row_at(*at).unwrap()).to_vec()
        };
        let mean = |examples: Vec<&Example>| -> Vec<f64> {
            let rows: Vec<Vec<f32>> = examples.into_iter().map(row).collect();
            (0..WIDTH)
                .map(|axis| rows.iter().map(|row| f64::from(row[axis])).sum::<f64>() / rows.len() as f64)
                .collect()
        };
        let same = mean(marked(Judgement::Same).into_iter().chain(&query.positives).collect());
        let different = mean(marked(Judgement::Different));
        let difference: Vec<f64> =
            same.iter().zip(different).map(|(same, different)| same - 0.5 * different).collect();
        let direction = match settings.rank_by {
            RankBy::Discriminant => solved(&sets, &difference),
            _ => difference,
        };
        let cosine = |x: &[f32]| -> f64 {
            direction.iter().zip(x).map(|(along, value)| along * f64::from(*value)).sum()
        };
        let is_out = |slide: &SlideId, tile: u32| {
            let example = Example::Tile { slide: slide.clone(), at: at(tile) };
            let is_asked = query.positives.contains(&example);
            let is_own = *slide == id("a");
            let is_near = is_own && at(tile).distance_px(at(0)) <= settings.exclude_um;
            let is_listed = settings.among.as_ref().is_none_or(|among| among.contains(slide));
            let scope = match settings.scope {
                Scope::Same => is_own,
                Scope::Others => !is_own,
                _ => true,
            };
            is_asked
                || query.marks.iter().any(|mark| mark.example == example)
                || is_near
                || !is_listed
                || !scope
        };
        let mut expected: Vec<(f64, SlideId, u32)> = sets
            .iter()
            .flat_map(|set| (0..TILES).map(move |tile| (set, tile)))
            .filter(|(set, tile)| !is_out(&set.header.slide_id, *tile))
            .map(|(set, tile)| (cosine(set.descriptor(Row(tile))), set.header.slide_id.clone(), tile))
            .collect();
        expected.sort_by(|a, b| b.0.total_cmp(&a.0));
        let answer = ask(&index, &query);
        let found: Vec<(SlideId, u32)> = answer
            .matches
            .iter()
            .map(|found| {
                (found.slide.clone(), number(&TilePosition { slide: found.slide.clone(), rect: found.rect }))
            })
            .collect();
        let expected: Vec<(SlideId, u32)> =
            expected.into_iter().take(settings.count).map(|(_, slide, tile)| (slide, tile)).collect();
        assert_eq!(found, expected, "{settings:?}");
        let distances = query::distances(&index, &query).unwrap();
        for (found, (slide, tile)) in answer.matches.iter().zip(&expected) {
            assert_eq!(distances[index.set_index(slide).unwrap() as usize][*tile as usize], found.distance);
        }
    }
}

#[test]
fn candidates_from_elsewhere_do_not_turn_the_direction() {
    let index = Snapshot::build(tissue(&["a", "b"]), None, None);
    let more = index.with_more(tissue(&["c"]));
    let settings = QuerySettings { rank_by: RankBy::Discriminant, ..QuerySettings::default() };
    let mut query = Query { positives: vec![tile("a", 0)], settings, ..Query::default() };
    let first = ask(&index, &query);
    mark(&mut query, &first, 6);
    assert_eq!(ask(&index, &query).direction, ask(&more, &query).direction);
    let whole = Snapshot::build(tissue(&["a", "b", "c"]), None, None);
    assert_ne!(ask(&index, &query).direction, ask(&whole, &query).direction);
}

#[test]
fn marks_count_as_examples_when_the_nearest_one_ranks() {
    let sets = tissue(&["a", "b"]);
    let index = Snapshot::build(sets.clone(), None, None);
    let marks = vec![
        Mark { example: tile("b", 4), judgement: Judgement::Same },
        Mark { example: tile("b", 5), judgement: Judgement::Different },
        Mark { example: tile("b", 8), judgement: Judgement::Unsure },
    ];
    let settings = QuerySettings { rank_by: RankBy::Nearest, count: 100, ..QuerySettings::default() };
    let answer = ask(&index, &Query { positives: vec![tile("a", 0)], marks, settings, ..Query::default() });
    let own = |name: &str, tile: u32| sets[usize::from(name == "b")].descriptor(Row(tile));
    for found in &answer.matches {
        let set = &sets[index.set_index(&found.slide).unwrap() as usize];
        let x = set.descriptor(set.row_at(found.rect.center()).unwrap());
        let same = squared_distance(own("a", 0), x).min(squared_distance(own("b", 4), x)).sqrt();
        assert_eq!(found.distance, same);
        assert!(squared_distance(own("b", 5), x).sqrt() > same, "nearer to what is different");
    }
    let is_unsure = |found: &query::Match| found.slide == id("b") && found.rect.contains(at(8));
    assert!(!answer.matches.iter().any(is_unsure));
}

/// A concept taught by a query with marks on the slides a, b and c.
fn glands(index: &Snapshot) -> Concept {
    let mut query = Query { positives: vec![tile("a", 0)], ..Query::default() };
    for _ in 0..6 {
        let answer = ask(index, &query);
        mark(&mut query, &answer, 10);
    }
    // Tiles of other tissue, from anywhere.
    query.marks.extend((0..12).map(|number| Mark {
        example: tile(["a", "b", "c"][number % 3], 41 + 4 * number as u32),
        judgement: Judgement::Different,
    }));
    let patients = HashMap::new();
    Concept::taught("Glands", AnnotationClass::named("Glands"), index, &query, &patients).unwrap()
}

#[test]
fn a_concept_is_kept_and_applies_to_slides_that_come_later() {
    let folder = tempfile::tempdir().unwrap();
    let store = ConceptStore::new(folder.path().join("concepts"));
    let glands = glands(&Snapshot::build(tissue(&["a", "b", "c"]), None, None));
    let estimate = glands.estimate.unwrap();
    let [low, high] = estimate.interval().unwrap();
    assert!(estimate.precision().unwrap() > 0.6 && low < estimate.precision().unwrap() && high <= 1.0);
    store.save(&glands).unwrap();
    let loaded = store.load().unwrap();
    let kept = loaded.find("glands").unwrap();
    assert_eq!(kept, &glands);

    let later = Snapshot::build(tissue(&["d", "e"]), None, None);
    let areas = concept::areas(&later, kept).unwrap();
    assert!(areas.is_sorted_by(|a, b| a.found.mm2 >= b.found.mm2));
    for slide in &areas {
        let glands = slide.rows.iter().filter(|row| is_gland(row.0)).count();
        let precision = glands as f64 / slide.rows.len() as f64;
        let recall = glands as f64 / f64::from(TILES / 4);
        assert!(precision > 0.5 && recall > 0.5, "{precision} {recall}");
        // Tiles of 224 µm.
        assert!((slide.found.mm2 - slide.rows.len() as f64 * 0.224 * 0.224).abs() < 1e-6);
        assert_eq!(slide.of.tiles, TILES as usize);
    }
    let mut query = Query { positives: vec![kept.example()], ..Query::default() };
    query.settings.max_distance = kept.threshold;
    let found = ask(&later, &query);
    assert!(found.matches.iter().all(|found| found.distance <= kept.threshold.unwrap()));
    let patients = concept::by_patient(&areas, |_| Some("P1".to_owned()));
    assert_eq!((patients.len(), patients[0].slides), (1, 2));
    assert_eq!(patients[0].found.tiles, areas.iter().map(|slide| slide.found.tiles).sum::<usize>());
}

#[test]
fn a_class_map_gives_every_tile_the_nearest_concept_or_none() {
    let sets = tissue(&["a", "b", "c"]);
    let index = Snapshot::build(sets.clone(), None, None);
    let glands = Concept { threshold: Some(1.2), ..glands(&index) };
    let opposite = Concept {
        name: "Rest".to_owned(),
        direction: glands.direction.iter().map(|value| -value).collect(),
        ..glands.clone()
    };
    let map = concept::class_map(&sets[0], &[&glands, &opposite]).unwrap();
    assert_eq!(map.len(), TILES as usize);
    for (row, concept) in (0..).map(Row).zip(map) {
        let x = sets[0].descriptor(row);
        let to = |concept: &Concept| squared_distance(&concept.direction, x).sqrt();
        let expected =
            [(0, to(&glands)), (1, to(&opposite))].into_iter().find(|(_, distance)| *distance <= 1.2);
        assert_eq!(concept, expected.map(|(concept, _)| concept));
    }
    let areas = concept::class_areas(&sets[0], &[&glands, &opposite]).unwrap();
    assert_eq!(areas.iter().map(|area| area.found.tiles).sum::<usize>(), TILES as usize);
    assert!(areas.iter().all(|area| area.found.tiles > 0), "{areas:?}");
}

#[test]
fn concepts_with_too_few_marks_or_of_another_encoder_are_not_applied() {
    let sets = tissue(&["a", "b"]);
    let index = Snapshot::build(sets, None, None);
    let query = Query { positives: vec![tile("a", 0)], ..Query::default() };
    let class = AnnotationClass::named("Glands");
    let concept = Concept::taught("Glands", class, &index, &query, &HashMap::new()).unwrap();
    assert_eq!((concept.threshold, concept.estimate), (None, None));
    let error = concept::areas(&index, &concept).unwrap_err();
    assert!(error.to_string().contains("it has 1 and 0"), "{error}");
    let set = Concept { threshold: Some(0.7), ..concept.clone() };
    let more = Query { positives: vec![tile("b", 4)], ..Query::default() };
    let more = set.with_marks(&index, &more, &HashMap::new()).unwrap();
    assert_eq!((more.counts(), more.threshold), ([2, 0], Some(0.7)), "what was set stays");
    // An earlier query looks for the concept as it was then.
    let earlier = Query { positives: vec![set.example(), tile("b", 7)], ..Query::default() };
    assert!(!more.is_direction(&earlier.positives[0]) && more.is_asked_by(&earlier));
    let merged = more.with_marks(&index, &earlier, &HashMap::new()).unwrap();
    assert_eq!(merged.counts(), [3, 0]);
    assert!(merged.tiles.iter().all(|tile| tile.slide.is_some()), "a former direction is no tile");
    let renamed = Concept { name: "Acini".to_owned(), ..more };
    assert!(!renamed.is_asked_by(&earlier), "it is known by its name");
    let mut other = Concept { threshold: Some(1.0), ..concept };
    assert!(concept::areas(&index, &other).is_ok());
    other.recipe.tiles.mpp = 0.5;
    assert!(matches!(concept::areas(&index, &other), Err(ConceptError::OtherRecipe { .. })));
}

#[test]
fn concepts_are_taught_listed_applied_and_exported_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let (project, slides) = (folder.path().join("project"), asset("slides"));
    let project = text(&project);
    histokin(&["embed", project, text(&slides), "--mpp", "0.5", "--device", "cpu"]).assert().success();
    let slide = "CMU-1-Small-Region.svs";
    let answer = |more: &[&str]| {
        let all = ["query", project, "--slide", slide, "--at", "1000,1500", "-k", "40", "--json"];
        json(&[&all, more].concat())
    };
    let first = answer(&[]);
    let place = |found: &Value| {
        let center =
            |axis: &str, size: &str| found[axis].as_f64().unwrap() + found[size].as_f64().unwrap() / 2.0;
        let at = format!("{},{}", center("x", "width"), center("y", "height"));
        format!("{}:{at}", found["slide"].as_str().unwrap())
    };
    let matches = first["matches"].as_array().unwrap();
    let same: Vec<String> = matches[..6].iter().map(place).collect();
    let different: Vec<String> = matches[34..].iter().map(place).collect();
    let mut marks: Vec<&str> = Vec::new();
    same.iter().for_each(|at| marks.extend(["--same", at]));
    different.iter().for_each(|at| marks.extend(["--different", at]));
    let taught = answer(&marks);
    assert_eq!(taught["exact"], true);
    let places: Vec<String> = taught["matches"].as_array().unwrap().iter().map(place).collect();
    assert!(same.iter().chain(&different).all(|marked| !places.contains(marked)));
    assert_ne!(places[..10], matches[6..16].iter().map(place).collect::<Vec<_>>()[..]);
    // Without an example of its own, the first tile that is the same stands for the query.
    let alone = [&["query", project, "-k", "5", "--json"], marks.as_slice()].concat();
    assert_eq!(json(&alone)["matches"].as_array().unwrap().len(), 5);

    let teach = ["concepts", "teach", project, "--name", "Liver", "--class", "liver", "--json"];
    let few = json(&[&teach[..], &["--same", &same[0]]].concat());
    assert_eq!((&few["threshold"], &few["same"], &few["fewest_marks"]), (&Value::Null, &1.into(), &5.into()));
    let again =
        histokin(&[&teach[..], &["--same", &same[0]]].concat()).assert().failure().get_output().clone();
    assert!(String::from_utf8_lossy(&again.stderr).contains("--add"));
    let liver = json(&[&teach[..], &["--add"], marks.as_slice()].concat());
    assert_eq!(
        (&liver["same"], &liver["different"], &liver["class"]),
        (&6.into(), &6.into(), &"liver".into())
    );
    assert!(liver["threshold"].as_f64().unwrap() > 0.0 && liver["marks_within"].as_u64().unwrap() > 0);
    assert_eq!(json(&["concepts", "list", project, "--json"])["concepts"][0], liver);

    // Apart from the marked tiles, a search for the concept finds what the query with its marks finds.
    let nearest = json(&["query", project, "--concept", "liver", "-k", "60", "--json"]);
    assert_eq!(nearest["exact"], true);
    let nearest: Vec<String> = nearest["matches"].as_array().unwrap().iter().map(place).collect();
    let unmarked: Vec<&String> =
        nearest.iter().filter(|at| !same.contains(at) && !different.contains(at)).take(5).collect();
    let marked: Vec<String> = json(&alone)["matches"].as_array().unwrap().iter().map(place).collect();
    assert_eq!(unmarked, marked.iter().collect::<Vec<_>>());
    assert!(nearest.iter().any(|at| same.contains(at)), "marked tiles are found as well");

    let applied = json(&["concepts", "apply", project, "liver", "--json"]);
    assert_eq!(applied["slides"].as_array().unwrap().len(), 2);
    assert!(applied["slides"][0]["area_mm2"].as_f64().unwrap() > 0.0);
    assert!(!applied["patients"].as_array().unwrap().is_empty());
    let to = folder.path().join("out");
    let exported = json(&["concepts", "export", project, "Liver", "--to", text(&to), "--json"]);
    let files: Vec<&str> =
        exported["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert!(files.iter().all(|file| to.join(file).is_file()), "{files:?}");
    for ending in [".csv", ".geojson", ".xml", ".png", ".tif"] {
        assert!(files.iter().any(|file| file.ends_with(ending)), "{ending} {files:?}");
    }
    let regions = std::fs::read_to_string(to.join("CMU-1-Small-Region.geojson")).unwrap();
    assert!(regions.contains("Liver 1") && regions.contains("\"liver\""));

    let of_classes = folder.path().join("classes");
    let map = json(&["concepts", "class-map", project, "--to", text(&of_classes), "--json"]);
    assert_eq!(map["slides"][0]["classes"].as_array().unwrap().len(), 2, "liver, and none of them");
    let files: Vec<&str> =
        map["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert!(files.iter().all(|file| of_classes.join(file).is_file()), "{files:?}");
    let table = std::fs::read_to_string(of_classes.join("classes.csv")).unwrap();
    let tiles = map["slides"][0]["classes"][0]["tiles"].as_u64().unwrap();
    assert!(tiles > 0 && table.contains(&format!("Liver,liver,{tiles},")), "{table}");
    // The regions of one concept are those that it has alone.
    let mapped = std::fs::read_to_string(of_classes.join("CMU-1-Small-Region.geojson")).unwrap();
    let outlines = |text: &str| -> Vec<Value> {
        let features: Value = serde_json::from_str(text).unwrap();
        let features = features["features"].as_array().unwrap().clone();
        features.into_iter().map(|feature| feature["geometry"].clone()).collect()
    };
    assert_eq!(outlines(&mapped), outlines(&regions));
    assert!(files.contains(&"CMU-1-Small-Region.xml"), "{files:?}");
    let classed = json(&["concepts", "rename", project, "liver", "Liver", "--class", "parenchyma", "--json"]);
    assert_eq!((&classed["name"], &classed["class"]), (&"Liver".into(), &"parenchyma".into()));
    let renamed = json(&["concepts", "rename", project, "liver", "Hepatocytes", "--json"]);
    assert_eq!((&renamed["name"], &renamed["class"]), (&"Hepatocytes".into(), &"parenchyma".into()));
    let set = json(&["concepts", "threshold", project, "Hepatocytes", "0.1", "--json"]);
    assert!((set["threshold"].as_f64().unwrap() - 0.1).abs() < 1e-6);
    let other = folder.path().join("other");
    histokin(&["embed", text(&other), text(&slides), "--mpp", "0.5", "--device", "cpu"]).assert().success();
    let file = folder.path().join("project/concepts/hepatocytes.toml");
    let taken = json(&["concepts", "import", text(&other), text(&file), "--json"]);
    assert_eq!(taken, set);
    json(&["concepts", "remove", project, "Hepatocytes", "--json"]);
    assert!(json(&["concepts", "list", project, "--json"])["concepts"].as_array().unwrap().is_empty());
    let glass = [&teach[..], &["--same", "CMU-1-Small-Region:20,20"]].concat();
    let glass = histokin(&glass).assert().failure().get_output().clone();
    assert!(String::from_utf8_lossy(&glass.stderr).contains("of slide CMU-1-Small-Region.svs;"));
    for asked in [["concepts", "apply", project, "liver"], ["query", project, "--concept", "liver"]] {
        let unknown = histokin(&asked).assert().failure().get_output().clone();
        assert!(String::from_utf8_lossy(&unknown.stderr).contains("there are: none"));
    }
}
