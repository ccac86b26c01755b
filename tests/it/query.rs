//! Questions of every kind, against what they mean.

use std::sync::Arc;

use histokin::annotation::{Annotation, AnnotationClass, AnnotationSet, Bounds, Shape};
use histokin::descriptors::{DescriptorSet, Row};
use histokin::geometry::{Level0Point, Level0Rect};
use histokin::index::{Snapshot, squared_distance};
use histokin::query::builder::{QueryBuilder, SlideGeometry};
use histokin::query::{
    self, AnnotationFilter, AnnotationsBySlide, Answer, Example, JudgedMatch, Judgement, Query, QueryError,
    QueryHistory, QuerySettings, RankBy, Region, Scope, export,
};
use histokin::slide::SlideId;
use histokin::tiling::TileGrid;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::made;

/// Three slides of 300 tiles; tiles of one column are alike.
fn slides() -> Vec<Arc<DescriptorSet>> {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    ["a", "b", "c"]
        .map(|name| {
            let rows: Vec<Vec<f32>> = (0..300)
                .map(|tile| {
                    let column = (tile % 100) as f32 / 10.0;
                    (0..16)
                        .map(|axis| (column + axis as f32).sin() + random.random_range(-0.05f32..0.05))
                        .collect()
                })
                .collect();
            made::set(name, 16, &rows)
        })
        .to_vec()
}

fn id(name: &str) -> SlideId {
    SlideId(name.repeat(8))
}

fn tile(name: &str, column: u32, row: u32) -> Example {
    let at = |number: u32| f64::from(number * 224 + 100);
    Example::Tile { slide: id(name), at: Level0Point::new(at(column), at(row)) }
}

fn descriptor<'a>(sets: &'a [Arc<DescriptorSet>], slide: &SlideId, rect: &Level0Rect) -> &'a [f32] {
    let set = sets.iter().find(|set| set.header.slide_id == *slide).unwrap();
    set.descriptor(set.row_at(rect.center()).unwrap())
}

fn ask(sets: &[Arc<DescriptorSet>], query: &Query) -> Result<Answer, QueryError> {
    query::ask(&Snapshot::build(sets.to_vec(), None, None), query, &AnnotationsBySlide::new())
}

/// Distance to the nearest of the query's tiles, of every tile of the slides but the query's own, sorted.
fn plainly(sets: &[Arc<DescriptorSet>], positives: &[&[f32]], count: usize) -> Vec<f32> {
    let nearest = |descriptor: &[f32]| {
        positives.iter().map(|query| squared_distance(query, descriptor).sqrt()).fold(f32::INFINITY, f32::min)
    };
    let mut all: Vec<f32> = sets
        .iter()
        .flat_map(|set| (0..set.len() as u32).map(|row| nearest(set.descriptor(Row(row)))))
        .filter(|distance| *distance > 0.0)
        .collect();
    all.sort_by(f32::total_cmp);
    all.truncate(count);
    all
}

#[test]
fn several_examples_and_regions_find_what_is_like_any_of_them() {
    let sets = slides();
    let rect = Level0Rect::new(2240, 0, 3 * 224, 2 * 224);
    let region = Example::Region { slide: id("b"), region: Region::Rect(rect) };
    let settings = QuerySettings { count: 40, rank_by: RankBy::Nearest, ..QuerySettings::default() };
    let answer =
        ask(&sets, &Query { positives: vec![tile("a", 50, 1), region], settings, ..Query::default() })
            .unwrap();
    assert_eq!(answer.tiles.len(), 1 + 6);
    let positives: Vec<&[f32]> =
        answer.tiles.iter().flatten().map(|tile| descriptor(&sets, &tile.slide, &tile.rect)).collect();
    let distances: Vec<f32> = answer.matches.iter().map(|found| found.distance).collect();
    assert_eq!(distances, plainly(&sets, &positives, 40));
    for found in &answer.matches {
        let own = descriptor(&sets, &found.slide, &found.rect);
        assert_eq!(squared_distance(positives[found.example], own).sqrt(), found.distance);
        let is_asked = |tile: &query::TilePosition| tile.slide == found.slide && tile.rect == found.rect;
        assert!(!answer.tiles.iter().flatten().any(is_asked), "the question is no match of its own");
    }
}

#[test]
fn negative_examples_keep_away_what_is_nearer_to_them() {
    let sets = slides();
    let settings = QuerySettings { count: 60, rank_by: RankBy::Nearest, ..QuerySettings::default() };
    let (positives, negatives) = (vec![tile("a", 20, 0)], vec![tile("b", 22, 1)]);
    let query = Query { positives, negatives, marks: Vec::new(), settings };
    let without = ask(&sets, &Query { negatives: Vec::new(), ..query.clone() }).unwrap();
    let answer = ask(&sets, &query).unwrap();
    assert_eq!(answer.matches.len(), 60, "as many as were asked for");
    let negatives = sets[1].descriptor(Row(100 + 22));
    let away = |answer: &Answer| {
        let nearer = |found: &&query::Match| {
            squared_distance(negatives, descriptor(&sets, &found.slide, &found.rect)).sqrt() <= found.distance
        };
        answer.matches.iter().filter(nearer).count()
    };
    assert!(away(&without) > 0 && away(&answer) == 0);
}

#[test]
fn scope_distance_and_chosen_slides_act_inside_the_search() {
    let sets = slides();
    let asked = |settings: QuerySettings| {
        ask(&sets, &Query { positives: vec![tile("a", 20, 0)], settings, ..Query::default() }).unwrap()
    };
    let on =
        |answer: &Answer, name: &str| answer.matches.iter().filter(|found| found.slide == id(name)).count();
    let usual = QuerySettings { count: 30, ..QuerySettings::default() };
    let same = asked(QuerySettings { scope: Scope::Same, ..usual.clone() });
    assert_eq!((on(&same, "a"), same.searched), (30, 300));
    let others = asked(QuerySettings { scope: Scope::Others, ..usual.clone() });
    assert_eq!((on(&others, "a"), others.matches.len(), others.searched), (0, 30, 600));
    let chosen = asked(QuerySettings { among: Some(vec![id("c")]), ..usual.clone() });
    assert_eq!((on(&chosen, "c"), chosen.searched), (30, 300));
    let near = asked(QuerySettings { max_distance: Some(0.2), ..usual.clone() });
    assert!(!near.matches.is_empty() && near.matches.len() < 30);
    assert!(near.matches.iter().all(|found| found.distance <= 0.2));
    let far = asked(QuerySettings { exclude_um: 1000.0, ..usual });
    let center = Level0Point::new(20.5 * 224.0, 112.0);
    let too_near =
        |found: &&query::Match| found.slide == id("a") && found.rect.center().distance_px(center) <= 1000.0;
    assert_eq!((far.matches.iter().filter(too_near).count(), far.matches.len()), (0, 30));
}

#[test]
fn one_match_stands_for_each_spot_and_variety_spreads_them() {
    let sets = slides();
    let usual = QuerySettings { count: 12, ..QuerySettings::default() };
    let asked = |settings: QuerySettings| {
        ask(&sets, &Query { positives: vec![tile("a", 20, 0)], settings, ..Query::default() }).unwrap()
    };
    let apart = asked(QuerySettings { apart_um: 700.0, ..usual.clone() });
    assert_eq!(apart.matches.len(), 12);
    for (position, one) in apart.matches.iter().enumerate() {
        for other in &apart.matches[..position] {
            let away = one.rect.center().distance_px(other.rect.center());
            assert!(one.slide != other.slide || away >= 700.0, "{away} µm");
        }
    }
    let spread = |answer: &Answer| {
        let rows: Vec<&[f32]> =
            answer.matches.iter().map(|found| descriptor(&sets, &found.slide, &found.rect)).collect();
        rows.iter().flat_map(|a| rows.iter().map(|b| squared_distance(a, b).sqrt())).sum::<f32>()
    };
    let (nearest, varied) = (asked(usual.clone()), asked(QuerySettings { diversity: 0.5, ..usual }));
    assert_eq!(varied.matches.len(), 12);
    assert_eq!(varied.matches[0].rect, nearest.matches[0].rect, "the best one stays");
    assert!(spread(&varied) > 1.2 * spread(&nearest), "{} {}", spread(&varied), spread(&nearest));
}

#[test]
fn slides_are_ranked_by_the_median_of_nearest_distances() {
    let mut sets = slides();
    let strange: Vec<Vec<f32>> = (0..40).map(|tile| vec![5.0 + tile as f32; 16]).collect();
    sets.push(made::set("d", 16, &strange));
    let rect = Level0Rect::new(0, 0, 5 * 224, 224);
    let positives = vec![Example::Region { slide: id("a"), region: Region::Rect(rect) }];
    let settings =
        QuerySettings { count: 10, rank_slides: true, scope: Scope::Others, ..QuerySettings::default() };
    let answer = ask(&sets, &Query { positives, settings, ..Query::default() }).unwrap();
    assert_eq!(answer.slides.len(), 3);
    assert_eq!(answer.slides[2].slide, id("d"), "nothing like it there");
    assert_eq!(answer.slides.iter().map(|slide| slide.matches).sum::<usize>(), 10);
    for ranked in &answer.slides {
        let set = sets.iter().find(|set| set.header.slide_id == ranked.slide).unwrap();
        let mut nearest: Vec<f32> = (0..5)
            .map(|column| plainly(std::slice::from_ref(set), &[sets[0].descriptor(Row(column))], 1)[0])
            .collect();
        nearest.sort_by(f32::total_cmp);
        assert_eq!(ranked.median_distance, nearest[2]);
        let tiles: u32 = ranked.histogram.iter().sum();
        assert_eq!(tiles as usize, set.len());
        assert!(ranked.farthest >= ranked.median_distance);
    }
}

#[test]
fn what_is_not_there_is_said_and_what_was_described_elsewhere_is_found() {
    let sets = slides();
    let asked = |positives: Vec<Example>| ask(&sets, &Query { positives, ..Query::default() });
    assert_eq!(asked(Vec::new()), Err(QueryError::Nothing));
    assert_eq!(asked(vec![tile("x", 0, 0)]), Err(QueryError::NotEmbedded(id("x"))));
    assert!(matches!(asked(vec![tile("a", 5, 50)]), Err(QueryError::NoTileThere { .. })));
    let nowhere = Region::Rect(Level0Rect::new(-500, -500, 20, 20));
    let region = Example::Region { slide: id("a"), region: nowhere };
    assert_eq!(asked(vec![region]), Err(QueryError::EmptyRegion(id("a"))));
    let picture = |width: usize, recipe: Option<&str>| Example::Descriptors {
        name: "photo.png".to_owned(),
        position: None,
        descriptors: vec![sets[1].descriptor(Row(7))[..width].to_vec()],
        recipe: recipe.map(str::to_owned),
        file: None,
    };
    let too_short = asked(vec![picture(12, None)]);
    assert!(matches!(too_short, Err(QueryError::OtherEncoder { found: 12, wanted: 16, .. })));
    // As many numbers, but of another encoder.
    let name = "photo.png".to_owned();
    assert_eq!(asked(vec![picture(16, Some("0123456789ab"))]), Err(QueryError::OtherRecipe { name }));
    let same = sets[0].header.recipe.short_id();
    assert_eq!(asked(vec![picture(16, Some(&same))]).unwrap().matches[0].distance, 0.0);
    let answer = asked(vec![picture(16, None)]).unwrap();
    assert_eq!((answer.matches[0].distance, &answer.matches[0].slide), (0.0, &id("b")));
    assert_eq!(answer.tiles, [None]);
}

#[test]
fn answers_are_written_for_other_programs() {
    let sets = slides();
    let answer = ask(&sets, &Query { positives: vec![tile("a", 20, 0)], ..Query::default() }).unwrap();
    let mut query_history = QueryHistory::default();
    for (rank, judgement) in
        [(0, Judgement::Same), (1, Judgement::Same), (2, Judgement::Different), (3, Judgement::Unsure)]
    {
        let (query, found) = query::pair(&answer, &answer.matches[rank]).unwrap();
        query_history.judge(JudgedMatch { query, found, judgement, distance: 0.5, encoder: "e".to_owned() });
    }
    let json = export::to_json(&answer, &query_history);
    assert_eq!(json["matches"].as_array().unwrap().len(), 20);
    assert_eq!(
        (&json["matches"][2]["judgement"], &json["matches"][9]["judgement"]),
        (&"different".into(), &serde_json::Value::Null)
    );
    assert_eq!(json["judged"]["precision"], 2.0 / 3.0);
    assert_eq!(json["query"]["slide"], id("a").0);
    let csv = export::to_csv(&answer, &query_history, |slide| slide.0[..1].to_owned()).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert_eq!(csv.lines().count(), 21);
    assert!(csv.lines().nth(1).unwrap().ends_with(",same") && csv.lines().nth(20).unwrap().ends_with(','));
    let slide = export::slides_of(&answer)[0].clone();
    let set = export::to_annotations(&answer, &query_history, &slide);
    let first = answer.matches.iter().find(|found| found.slide == slide).unwrap();
    let annotation = set.iter().next().unwrap();
    let bounds = annotation.bounds().unwrap();
    assert_eq!((bounds.min.x, bounds.min.y), (first.rect.x as f64, first.rect.y as f64));
    assert_eq!((bounds.width(), bounds.height()), (first.rect.width.into(), first.rect.height.into()));
    assert_eq!(annotation.measurements[0], ("Rank".to_owned(), first.rank as f64));
}

#[test]
fn annotations_say_what_is_looked_for_and_where() {
    let sets = slides();
    let square = |column: f64, row: f64, side: f64, class: &str| {
        let at = |column: f64, row: f64| Level0Point::new(column * 224.0, row * 224.0);
        let bounds = Bounds::between(at(column, row), at(column + side, row + side));
        Annotation::new(Shape::Rectangle(bounds), Some(AnnotationClass::named(class)))
    };
    let point = Annotation::new(
        Shape::Points(vec![Level0Point::new(70.5 * 224.0, 100.0)]),
        Some(AnnotationClass::named("Stroma")),
    );
    let annotations = [
        ("a", vec![square(0.0, 0.0, 3.0, "Tumour")]),
        ("b", vec![square(10.0, 0.0, 2.0, "Tumour"), square(40.0, 0.0, 3.0, "Stroma"), point]),
        ("c", vec![]),
    ];
    let annotations: AnnotationsBySlide = annotations
        .into_iter()
        .map(|(name, annotations)| (id(name), Arc::new(AnnotationSet::new(annotations))))
        .collect();
    let index = Snapshot::build(sets.clone(), None, None);
    let asked = |annotation_filter: AnnotationFilter| {
        let settings = QuerySettings { count: 900, annotation_filter, ..QuerySettings::default() };
        query::ask(
            &index,
            &Query { positives: vec![tile("c", 20, 0)], settings, ..Query::default() },
            &annotations,
        )
        .unwrap()
    };
    let places = |answer: &Answer| {
        let mut places: Vec<(String, i64, i64)> = answer
            .matches
            .iter()
            .map(|found| (found.slide.0[..1].to_owned(), found.rect.x / 224, found.rect.y / 224))
            .collect();
        places.sort();
        places
    };
    let grid = |name: &str, column: i64, side: i64| -> Vec<(String, i64, i64)> {
        (0..side)
            .flat_map(|x| (0..side).map(move |y| (column + x, y)))
            .map(|(x, y)| (name.to_owned(), x, y))
            .collect()
    };
    let tumour = [grid("a", 0, 3), grid("b", 10, 2)].concat();
    let stroma = [grid("b", 40, 3), vec![("b".to_owned(), 70, 0)]].concat();
    let answer = asked(AnnotationFilter::Class("Tumour".to_owned()));
    assert_eq!((places(&answer), answer.searched), (tumour.clone(), 13));
    assert_eq!(places(&asked(AnnotationFilter::Class("Stroma".to_owned()))), stroma);
    let mut both = [tumour, stroma].concat();
    both.sort();
    assert_eq!(places(&asked(AnnotationFilter::Annotated)), both);
    let rest = asked(AnnotationFilter::Unannotated);
    assert_eq!((rest.matches.len(), rest.searched), (900 - 23 - 1, 900 - 23));
    assert!(asked(AnnotationFilter::Class("Fat".to_owned())).matches.is_empty());

    let of_b: Vec<_> = annotations.get(&id("b")).unwrap().iter().collect();
    let region = Region::of_annotations(of_b.iter().map(|one| &**one)).unwrap();
    let rows = region.rows(&sets[1]);
    assert_eq!(rows.len(), 4 + 9, "a point has no area");
    let positives = vec![Example::Region { slide: id("b"), region }];
    assert_eq!(ask(&sets, &Query { positives, ..Query::default() }).unwrap().tiles.len(), 13);
}

#[test]
fn of_nested_annotations_the_innermost_class_counts() {
    let sets = slides();
    let square = |column: f64, row: f64, side: f64, class: &str| {
        let at = |column: f64, row: f64| Level0Point::new(column * 224.0, row * 224.0);
        let bounds = Bounds::between(at(column, row), at(column + side, row + side));
        Annotation::new(Shape::Rectangle(bounds), Some(AnnotationClass::named(class)))
    };
    let below = |parent: &Annotation, mut child: Annotation| {
        child.parent = Some(parent.id);
        child
    };
    let tumour = square(0.0, 0.0, 3.0, "Tumour");
    let stroma = below(&tumour, square(0.9, 0.9, 1.2, "Stroma"));
    // A cell on the middle of a tile is no reason to leave the tile out.
    let cell = below(&tumour, square(0.48, 0.48, 0.04, "Lymphocyte"));
    let annotations = [("a", vec![tumour, stroma, cell]), ("b", vec![]), ("c", vec![])];
    let annotations: AnnotationsBySlide = annotations
        .into_iter()
        .map(|(name, annotations)| (id(name), Arc::new(AnnotationSet::new(annotations))))
        .collect();
    let index = Snapshot::build(sets.clone(), None, None);
    let rows = |tiles: &[(i64, i64)]| -> Vec<Row> {
        let center =
            |&(x, y): &(i64, i64)| Level0Point::new(x as f64 * 224.0 + 112.0, y as f64 * 224.0 + 112.0);
        let mut rows: Vec<Row> = tiles.iter().filter_map(|tile| sets[0].row_at(center(tile))).collect();
        rows.sort();
        rows
    };
    let ring = [(0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (0, 2), (1, 2), (2, 2)];

    let settings = QuerySettings {
        count: 900,
        annotation_filter: AnnotationFilter::Class("Tumour".to_owned()),
        ..QuerySettings::default()
    };
    let asked = Query { positives: vec![tile("c", 20, 0)], settings, ..Query::default() };
    let answer = query::ask(&index, &asked, &annotations).unwrap();
    let mut found: Vec<Row> =
        answer.matches.iter().filter_map(|found| sets[0].row_at(found.rect.center())).collect();
    found.sort();
    assert_eq!(found, rows(&ring));

    struct NoSlides;
    impl SlideGeometry for NoSlides {
        fn grid(&self, _: &SlideId) -> Result<TileGrid, String> {
            Err("not asked for".to_owned())
        }
        fn extent(&self, _: &SlideId) -> Result<Level0Rect, String> {
            Err("not asked for".to_owned())
        }
    }
    let build = QueryBuilder { index: &index, annotations: &annotations, slides: &NoSlides };
    let example = |class: &str| build.class(class).unwrap().into_iter().map(|shown| shown.example);
    let Some(Example::Region { region, .. }) = example("Tumour").next() else { panic!("no region") };
    assert_eq!(region.rows(&sets[0]), rows(&ring));
    let Some(Example::Region { region, .. }) = example("Stroma").next() else { panic!("no region") };
    assert_eq!(region.rows(&sets[0]), rows(&[(1, 1)]));
}

/// A set whose tiles overlap by half, as another program may cut slides.
fn overlapping(name: &str, rows: &[Vec<f32>]) -> Arc<DescriptorSet> {
    let corners: Vec<[i64; 2]> = (0..rows.len() as i64).map(|tile| [tile * 112, 0]).collect();
    let header = made::set(name, rows[0].len(), rows).header.clone();
    Arc::new(DescriptorSet::from_places(header, &corners, &rows.concat()))
}

#[test]
fn a_querys_own_tile_is_never_its_answer_whatever_came_first() {
    let sets = slides();
    let own = tile("a", 20, 0);
    let Example::Tile { slide, at } = own.clone() else { unreachable!() };
    let rect = sets[0].rect(sets[0].row_at(at).unwrap());
    let described = |slide: &SlideId, rect: Level0Rect, row: u32| Example::Descriptors {
        name: "a.svs".to_owned(),
        position: Some(query::TilePosition { slide: slide.clone(), rect }),
        descriptors: vec![sets[0].descriptor(Row(row)).to_vec()],
        recipe: None,
        file: None,
    };
    let asked = |positives: Vec<Example>, settings: QuerySettings| {
        ask(&sets, &Query { positives, settings, ..Query::default() }).unwrap()
    };
    // Described before its slide was embedded, and now it is: the same answer as for the embedded tile.
    let before = asked(vec![described(&slide, rect, 20)], QuerySettings::default());
    let after = asked(vec![own.clone()], QuerySettings::default());
    assert_eq!(before.matches, after.matches);
    assert!(before.matches.iter().all(|found| (&found.slide, found.rect) != (&slide, rect)));
    for scope in [Scope::Same, Scope::Others] {
        for exclude_um in [0.0, 1000.0] {
            let settings = QuerySettings { scope, exclude_um, ..QuerySettings::default() };
            let before = asked(vec![described(&slide, rect, 20)], settings.clone());
            let after = asked(vec![own.clone()], settings);
            assert_eq!(before.matches, after.matches, "{scope:?} {exclude_um}");
        }
    }
    // Cut a few pixels aside, as by another calibration; of another slide only the place is the same.
    let aside = Level0Rect::new(rect.x + 60, rect.y + 40, 230, 230);
    let moved = asked(vec![described(&slide, aside, 20)], QuerySettings::default());
    assert!(moved.matches.iter().all(|found| (&found.slide, found.rect) != (&slide, rect)));
    let elsewhere = asked(vec![described(&id("b"), rect, 20)], QuerySettings::default());
    assert_eq!((&elsewhere.matches[0].slide, elsewhere.matches[0].rect), (&slide, rect));
    // A picture that is a slide of the project finds no tile of that slide.
    let whole = Level0Rect::new(0, 0, 100 * 224, 3 * 224);
    let picture = asked(vec![described(&slide, whole, 20)], QuerySettings::default());
    assert!(picture.matches.iter().all(|found| found.slide != slide));
}

#[test]
fn no_tile_of_a_region_is_found_however_many_ask() {
    let rows: Vec<Vec<f32>> = (0..3000).map(|tile| vec![(tile % 7) as f32; 12]).collect();
    let sets = [made::set("a", 12, &rows), made::set("b", 12, &rows[..300])];
    // More tiles than ask: every so many of them does.
    let rect = Level0Rect::new(0, 0, 40 * 224, 20 * 224);
    let region = Example::Region { slide: id("a"), region: Region::Rect(rect) };
    let settings = QuerySettings { count: 2400, ..QuerySettings::default() };
    let answer = ask(&sets, &Query { positives: vec![region], settings, ..Query::default() }).unwrap();
    let inside = |found: &&query::Match| found.slide == id("a") && rect.contains(found.rect.center());
    assert_eq!((answer.matches.iter().filter(inside).count(), answer.matches.len()), (0, 2400));
    assert!(answer.tiles.len() < 800);
}

#[test]
fn of_overlapping_tiles_only_the_same_spot_is_the_querys_own() {
    let rows: Vec<Vec<f32>> = (0..40).map(|tile| vec![tile as f32; 12]).collect();
    let set = overlapping("a", &rows);
    let rect = set.rect(Row(10));
    let query = |position: Level0Rect| Query {
        positives: vec![Example::Descriptors {
            name: "a.svs".to_owned(),
            position: Some(query::TilePosition { slide: id("a"), rect: position }),
            descriptors: vec![rows[10].clone()],
            recipe: None,
            file: None,
        }],
        settings: QuerySettings { count: 39, ..QuerySettings::default() },
        ..Query::default()
    };
    let found = |position| -> Vec<i64> {
        let answer = ask(std::slice::from_ref(&set), &query(position)).unwrap();
        answer.matches.iter().map(|found| found.rect.x / 112).collect()
    };
    let tiles = found(rect);
    assert!(!tiles.contains(&10) && tiles.contains(&9) && tiles.contains(&11), "{tiles:?}");
    // Between two tiles that share more than half of it: both are its own.
    let between = Level0Rect::new(rect.x + 56, rect.y, 224, 224);
    let tiles = found(between);
    assert!(!tiles.contains(&10) && !tiles.contains(&11) && tiles.contains(&9), "{tiles:?}");
}
