//! The department's archive, against a real server: push, pull, search, remove, verify, rights.

use std::path::Path;
use std::sync::Arc;

use histokin::annotation::{Annotation, AnnotationClass, AnnotationSet, Polygon, Shape};
use histokin::archive::pull::{PullOutcome, Wanted, pull};
use histokin::archive::push::{PushSettings, PushSummary, push};
use histokin::archive::search::{SearchSettings, ask};
use histokin::archive::verify::{VerifySettings, verify};
use histokin::archive::{
    Archive, ArchiveError, PatientCodes, PseudonymKey, Storage, remove::remove, schema, status::status,
};
use histokin::descriptors::{DescriptorSet, Row};
use histokin::geometry::Level0Point;
use histokin::index::Snapshot;
use histokin::project::Project;
use histokin::query::{self, DEFAULT_PATTERN, Example, PatientNames, Patients, Query, QuerySettings, Scope};
use histokin::slide::SlideId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::made;
use crate::support::postgres::{Database, OWNER, READER, Server, WRITER, credentials};

pub fn settings() -> PushSettings {
    let names = PatientNames::new(DEFAULT_PATTERN).unwrap();
    PushSettings {
        storage: Storage::Vector,
        parts: 1,
        patients: PatientCodes { names, key: None },
        thumbnails: false,
        only: None,
        index: true,
    }
}

/// Clustered descriptors of 16 numbers.
pub fn rows(seed: u64, count: usize) -> Vec<Vec<f32>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut shared = ChaCha8Rng::seed_from_u64(1);
    let centres: Vec<[f32; 16]> =
        (0..40).map(|_| std::array::from_fn(|_| shared.random_range(-2.0f32..2.0))).collect();
    let row = |random: &mut ChaCha8Rng| {
        let centre = centres[random.random_range(0..centres.len())];
        centre.iter().map(|value| value + random.random_range(-0.5f32..0.5)).collect()
    };
    (0..count).map(|_| row(&mut random)).collect()
}

/// A project with descriptors of made-up slides: name and tiles of each.
pub fn project(slides: &[(&str, usize)]) -> (TempDir, Project, Vec<Arc<DescriptorSet>>) {
    let folder = tempfile::tempdir().unwrap();
    let mut project = Project::open_or_create(folder.path()).unwrap();
    let mut sets = Vec::new();
    for (name, tiles) in slides {
        let seed = name.bytes().map(u64::from).sum();
        let set = made::set(name, 16, &rows(seed, *tiles));
        project.descriptors().save(&set).unwrap();
        project.list_slide(&set.header.slide_id, &Path::new("/slides").join(format!("{name}_1.svs")));
        sets.push(project.descriptors().open(&set.header.slide_id, &made::recipe()).unwrap().unwrap().into());
    }
    project.save().unwrap();
    (folder, project, sets)
}

pub fn push_all(archive: &mut Archive, project: &Project, settings: &PushSettings) -> PushSummary {
    push(archive, project, &made::recipe(), settings, &mut |_| ()).unwrap()
}

fn positives(set: &DescriptorSet, row: u32, settings: QuerySettings) -> Query {
    let at = set.rect(Row(row)).center();
    let example = Example::Tile { slide: set.header.slide_id.clone(), at };
    Query { positives: vec![example], settings, ..Query::default() }
}

fn sets_of(database: &Database<'_>) -> String {
    database.sql("SELECT string_agg(slide_id || ':' || tiles, ' ' ORDER BY slide_id) FROM histokin.descriptions JOIN histokin.slides USING (slide)")
}

#[test]
fn what_is_pushed_comes_back_to_the_last_bit() {
    let database = Server::shared().database().with_archive();
    let (_folder, project, sets) = project(&[("a", 300), ("b", 200)]);
    let mut writer = database.open(WRITER);
    let first = push_all(&mut writer, &project, &settings());
    assert_eq!((first.pushed, first.unchanged, first.tiles, first.indexed), (2, 0, 500, false));
    let again = push_all(&mut writer, &project, &settings());
    assert_eq!((again.pushed, again.unchanged), (0, 2), "the same again is left alone");
    assert_eq!(sets_of(&database), "aaaaaaaa:300 bbbbbbbb:200");

    let elsewhere = tempfile::tempdir().unwrap();
    let mut other = Project::open_or_create(elsewhere.path()).unwrap();
    let mut reader = database.open(READER);
    let names = Wanted::Named(vec!["a_1.svs".to_owned()]);
    let got = pull(&mut reader, &mut other, &made::recipe(), &names, &mut |_, _| ()).unwrap();
    assert_eq!(got, [PullOutcome::Pulled { tiles: 300 }]);
    let got = pull(&mut reader, &mut other, &made::recipe(), &Wanted::All, &mut |_, _| ()).unwrap();
    assert_eq!(got, [PullOutcome::Had, PullOutcome::Pulled { tiles: 200 }]);
    let other = Project::open(elsewhere.path()).unwrap();
    for set in &sets {
        let id = &set.header.slide_id;
        let pulled = other.descriptors().open(id, &made::recipe()).unwrap().unwrap();
        assert_eq!((pulled.checksum(), &pulled.header), (set.checksum(), &set.header));
        let entry = other.find_slide(&id.0).unwrap();
        assert_eq!(other.slide_path(entry).parent().unwrap(), Path::new("/slides"));
    }

    let found = status(&mut reader).unwrap();
    assert_eq!((found.slides, found.patients, found.can_write), (2, 2, false));
    assert_eq!((found.encoders[0].tiles, found.encoders[0].index_bytes), (500, None));
    assert_eq!(remove(&mut writer, &SlideId("aaaaaaaa".to_owned())).unwrap(), 300);
    assert_eq!(sets_of(&database), "bbbbbbbb:200");
    assert_eq!(database.sql("SELECT count(*) FROM histokin.tiles_vector"), "200");
    assert_eq!(database.sql("SELECT string_agg(code, ' ') FROM histokin.patients"), "b");
    let error = remove(&mut writer, &SlideId("aaaaaaaa".to_owned())).unwrap_err();
    assert!(matches!(error, ArchiveError::NoSuchSlide { .. }), "{error}");
}

#[test]
fn a_slide_that_goes_by_a_new_id_keeps_its_row() {
    let database = Server::shared().database().with_archive();
    let (folder, project, sets) = project(&[("a", 300), ("b", 200)]);
    let mut writer = database.open(WRITER);
    push_all(&mut writer, &project, &settings());
    let row = || database.sql("SELECT slide FROM histokin.slides WHERE slide_id IN ('aaaaaaaa', 'new-name')");
    let before = row();

    let file = folder.path().join("project.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let renamed = text.replace("id = \"aaaaaaaa\"", "id = \"new-name\"\nformer_ids = [\"aaaaaaaa\"]");
    assert_ne!(text, renamed);
    std::fs::write(&file, renamed).unwrap();
    let project = Project::open(folder.path()).unwrap();
    let again = push_all(&mut writer, &project, &settings());
    assert_eq!((again.pushed, again.unchanged), (0, 2), "its tiles are not sent again");
    assert_eq!((sets_of(&database), row()), ("bbbbbbbb:200 new-name:300".to_owned(), before));

    // Another slide that went by the same former id is not taken for it.
    let changed = made::set("a", 16, &rows(99, 120));
    project.descriptors().save(&changed).unwrap();
    std::fs::write(
        &file,
        text.replace("id = \"aaaaaaaa\"", "id = \"other\"\nformer_ids = [\"new-name\", \"aaaaaaaa\"]"),
    )
    .unwrap();
    let project = Project::open(folder.path()).unwrap();
    let again = push_all(&mut writer, &project, &settings());
    assert_eq!((again.pushed, again.unchanged), (1, 1));
    assert_eq!(sets_of(&database), "bbbbbbbb:200 new-name:300 other:120");
    assert_eq!(sets[0].len(), 300);
}

#[test]
fn a_slide_that_was_embedded_anew_is_replaced() {
    let database = Server::shared().database().with_archive();
    let (_folder, project, _) = project(&[("a", 300)]);
    let mut writer = database.open(WRITER);
    push_all(&mut writer, &project, &settings());
    let fresh = made::set("a", 16, &rows(99, 120));
    project.descriptors().save(&fresh).unwrap();
    let again = push_all(&mut writer, &project, &settings());
    assert_eq!((again.pushed, again.tiles), (1, 120));
    assert_eq!(database.sql("SELECT count(*) FROM histokin.tiles_vector"), "120");
    let verified = verify(&mut writer, &VerifySettings::default(), &mut |_| ()).unwrap();
    assert_eq!((verified[0].faults.as_slice(), verified[0].checked), ([].as_slice(), 1));
    database.sql("DELETE FROM histokin.tiles_vector WHERE x = 0");
    let verified = verify(&mut writer, &VerifySettings::default(), &mut |_| ()).unwrap();
    assert!(
        verified[0].faults.iter().any(|fault| fault.contains("118 tiles instead of 120")),
        "{verified:?}"
    );
}

#[test]
fn local_and_archived_tiles_make_one_ranking() {
    let database = Server::shared().database().with_archive();
    let (_one, everything, sets) = project(&[("a", 400), ("b", 400), ("c", 400), ("d", 400)]);
    push_all(&mut database.open(WRITER), &everything, &settings());
    let mut reader = database.open(READER);
    // At hand is one slide, and the archive has that and three others.
    let local = Snapshot::build(vec![sets[0].clone()], None, None);
    let all = Snapshot::build(sets.clone(), None, None);
    let usual = QuerySettings { count: 30, scope: Scope::Archive, ..QuerySettings::default() };
    let cases = [
        usual.clone(),
        QuerySettings { scope: Scope::Others, exclude_um: 900.0, ..usual.clone() },
        QuerySettings { exclude_um: 2000.0, max_distance: Some(1.3), ..usual.clone() },
        QuerySettings { apart_um: 3000.0, ..usual.clone() },
        QuerySettings { rank_slides: true, count: 60, ..usual.clone() },
    ];
    for settings in cases {
        let mut query = positives(&sets[0], 17, settings);
        query.negatives = vec![Example::Descriptors {
            file: None,
            name: "x".to_owned(),
            position: None,
            descriptors: vec![sets[1].descriptor(Row(3)).to_vec()],
            recipe: Some(made::recipe().short_id()),
        }];
        let expected = query::ask(&all, &query, &query::AnnotationsBySlide::new()).unwrap();
        let answer = ask(&mut reader, &local, &made::recipe(), &query, &SearchSettings::default()).unwrap();
        assert_eq!(answer.matches, expected.matches, "{:?}", query.settings);
        assert_eq!((answer.exact, answer.searched), (true, expected.searched));
        let archive = answer.archive.as_ref().unwrap();
        for found in answer.matches.iter().filter(|found| found.slide != sets[0].header.slide_id) {
            let slide = &archive.slides[&found.slide];
            assert_eq!(slide.location.as_deref().unwrap().parent().unwrap(), Path::new("/slides"));
            assert!(!slide.is_reachable && slide.location().contains("not reachable"));
        }
        assert_eq!(answer.slides.len(), expected.slides.len());
        for (ranked, expected) in answer.slides.iter().zip(&expected.slides) {
            // Sums are taken in another order there.
            assert!((ranked.median_distance - expected.median_distance).abs() < 1e-5);
            assert!((ranked.farthest - expected.farthest).abs() < 1e-5);
            let rounded = query::SlideRank {
                median_distance: expected.median_distance,
                farthest: expected.farthest,
                histogram: expected.histogram,
                ..ranked.clone()
            };
            assert_eq!(rounded, *expected);
            let moved =
                ranked.histogram.iter().zip(&expected.histogram).map(|(a, b)| a.abs_diff(*b)).sum::<u32>();
            assert!(moved <= 2, "{:?} {:?}", ranked.histogram, expected.histogram);
        }
        let all = query.settings.rank_slides.then_some([3, 3]);
        assert_eq!((archive.ranked, archive.left_unranked()), (all, None));
    }
    // A set of tiles asks: the median over all of them, slides without a match among them.
    let many =
        QuerySettings { rank_slides: true, count: 1, scope: Scope::Archive, ..QuerySettings::default() };
    let positives = vec![made::example("many", &sets[3], 0..150)];
    let query = Query { positives, settings: many, ..Query::default() };
    let expected = query::ask(&all, &query, &query::AnnotationsBySlide::new()).unwrap();
    let answer = ask(&mut reader, &local, &made::recipe(), &query, &SearchSettings::default()).unwrap();
    assert_eq!((answer.slides.len(), answer.matches.len()), (4, 1));
    for (ranked, expected) in answer.slides.iter().zip(&expected.slides) {
        assert_eq!((&ranked.slide, ranked.matches, ranked.tiles), (&expected.slide, expected.matches, 400));
        assert!((ranked.median_distance - expected.median_distance).abs() < 1e-5);
    }
    // Several tiles at once, and one that no index here holds.
    let region = made::example("elsewhere", &sets[2], 40..50);
    let query = Query { positives: vec![region], settings: usual.clone(), ..Query::default() };
    let answer = ask(&mut reader, &local, &made::recipe(), &query, &SearchSettings::default()).unwrap();
    assert_eq!(answer.matches, query::ask(&all, &query, &query::AnnotationsBySlide::new()).unwrap().matches);
    let patients = SearchSettings { patients: Patients::Same, ..SearchSettings::default() };
    let query = self::positives(&sets[0], 17, usual);
    let same = ask(&mut reader, &local, &made::recipe(), &query, &patients).unwrap();
    assert!(same.matches.iter().all(|found| found.slide == sets[0].header.slide_id), "a is its own patient");
    let unknown = made::set("z", 12, &[vec![0.0; 12]]);
    let index = Snapshot::build(vec![unknown.clone()], None, None);
    let query = self::positives(&unknown, 0, QuerySettings::default());
    let error = ask(&mut reader, &index, &made::recipe(), &query, &SearchSettings::default()).unwrap_err();
    assert!(error.to_string().contains("12 numbers instead of 16"), "{error}");
    // As many numbers, but of another encoder, and no slide here to compare them with.
    let other = Example::Descriptors {
        file: None,
        name: "photo.png".to_owned(),
        position: None,
        descriptors: vec![sets[0].descriptor(Row(17)).to_vec()],
        recipe: Some("0123456789ab".to_owned()),
    };
    let query = Query { positives: vec![other], ..Query::default() };
    let error = ask(&mut reader, &Snapshot::empty(), &made::recipe(), &query, &SearchSettings::default());
    assert!(error.unwrap_err().to_string().contains("photo.png was embedded with another encoder"));
}

#[test]
fn the_index_says_how_much_it_finds_and_exact_mode_finds_all() {
    let database = Server::shared().database().with_archive();
    let (_folder, project, sets) = project(&[("a", 12_000), ("b", 12_000)]);
    let mut writer = database.open(WRITER);
    push_all(&mut writer, &project, &PushSettings { parts: 2, ..settings() });
    let encoder = writer.encoder(&made::recipe()).unwrap().unwrap();
    writer.build_index(&encoder, 16, 64, "64MB").unwrap();
    assert!(status(&mut writer).unwrap().encoders[0].index_bytes.unwrap() > 24_000 * 16 * 4);
    let empty = Snapshot::empty();
    let all = Snapshot::build(sets.clone(), None, None);
    let described = made::example("q", &sets[0], 5000..5001);
    let settings = QuerySettings { count: 20, ..QuerySettings::default() };
    let query = Query { positives: vec![described], settings, ..Query::default() };
    let mut asked =
        |settings: SearchSettings| ask(&mut writer, &empty, &made::recipe(), &query, &settings).unwrap();
    let unmeasured = asked(SearchSettings::default());
    let part = unmeasured.archive.as_ref().unwrap();
    assert_eq!((unmeasured.exact, part.exact, part.recall), (false, false, None));
    assert!(part.certainty().contains("not measured"));
    let exact = asked(SearchSettings { exact: true, ..SearchSettings::default() });
    let expected = query::ask(&all, &query, &query::AnnotationsBySlide::new()).unwrap();
    assert_eq!((exact.exact, &exact.matches), (true, &expected.matches));

    let verified =
        verify(&mut writer, &VerifySettings { queries: 20, ..VerifySettings::default() }, &mut |_| ());
    let verified = verified.unwrap();
    let last = verified[0].recalls.last().unwrap();
    // What an index reaches depends on how it happened to grow; that it is measured and noted does not.
    assert!(verified[0].noted && last.recall > 0.9, "{verified:?}");
    let measured = ask(&mut writer, &empty, &made::recipe(), &query, &SearchSettings::default()).unwrap();
    assert_eq!(measured.archive.as_ref().unwrap().recall, Some(last.recall));
    assert!(!measured.exact);
    let json = query::export::to_json(&measured, &query::QueryHistory::default());
    assert_eq!((&json["exact"], json["archive"]["recall"].as_f64().is_some()), (&false.into(), true));
    // A filter that lets few through: as many matches as were asked for all the same.
    database.sql(
        "INSERT INTO histokin.classes (name, color) VALUES ('Tumor', 0); \
                  UPDATE histokin.tiles_vector SET class = 1 WHERE x = 0 AND y < 224 * 30",
    );
    let class = SearchSettings { class: Some("Tumor".to_owned()), ..SearchSettings::default() };
    let of_class = ask(&mut writer, &empty, &made::recipe(), &query, &class).unwrap();
    assert_eq!(of_class.matches.len(), 20);
    let tiles = &of_class.archive.as_ref().unwrap().tiles;
    assert!(tiles.values().all(|tile| tile.class.as_deref() == Some("Tumor")));
    writer.drop_index(&encoder).unwrap();
    assert!(ask(&mut writer, &empty, &made::recipe(), &query, &SearchSettings::default()).unwrap().exact);
}

#[test]
fn halves_take_less_room_and_keep_the_order_but_for_rounding() {
    let database = Server::shared().database().with_archive();
    let (_folder, project, sets) = project(&[("a", 500), ("b", 500)]);
    push_all(&mut database.open(WRITER), &project, &PushSettings { storage: Storage::Halfvec, ..settings() });
    let mut reader = database.open(READER);
    let local = Snapshot::build(vec![sets[0].clone()], None, None);
    let settings = QuerySettings { count: 40, ..QuerySettings::default() };
    let query = positives(&sets[0], 250, settings);
    let answer = ask(&mut reader, &local, &made::recipe(), &query, &SearchSettings::default()).unwrap();
    let expected =
        query::ask(&Snapshot::build(sets, None, None), &query, &query::AnnotationsBySlide::new()).unwrap();
    let distances =
        |answer: &query::Answer| -> Vec<f32> { answer.matches.iter().map(|found| found.distance).collect() };
    assert_eq!(answer.matches.len(), 40);
    for (half, full) in distances(&answer).iter().zip(distances(&expected)) {
        assert!((half - full).abs() < 2e-3, "{half} is not {full}");
    }
}

#[test]
fn a_reader_cannot_write_and_strangers_cannot_read() {
    let server = Server::shared();
    let database = server.database().with_archive();
    let (_folder, project, _) = project(&[("a", 50)]);
    let mut reader = database.open(READER);
    let error = push(&mut reader, &project, &made::recipe(), &settings(), &mut |_| ()).unwrap_err();
    assert!(matches!(error, ArchiveError::NotAllowed { .. }), "{error}");
    push_all(&mut database.open(WRITER), &project, &settings());
    let error = push(
        &mut reader,
        &project,
        &made::recipe(),
        &PushSettings { thumbnails: true, ..settings() },
        &mut |_| (),
    );
    assert!(matches!(error.unwrap_err(), ArchiveError::NotAllowed { .. }));
    assert!(matches!(
        remove(&mut reader, &SlideId("aaaaaaaa".to_owned())),
        Err(ArchiveError::NotAllowed { .. })
    ));
    let encoder = reader.encoder(&made::recipe()).unwrap().unwrap();
    assert!(matches!(reader.build_index(&encoder, 16, 64, "64MB"), Err(ArchiveError::NotAllowed { .. })));
    assert!(matches!(reader.drop_index(&encoder), Err(ArchiveError::NotAllowed { .. })));
    // Whatever the reader's rights reach, as the server itself sees them.
    let may = database.sql(
        "SELECT count(*) FROM pg_class c, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p \
         WHERE c.relnamespace = 'histokin'::regnamespace AND c.relkind IN ('r', 'p') \
         AND has_table_privilege('histokin_reader', c.oid, p)",
    );
    assert_eq!(may, "0");
    let may = database.sql(
        "SELECT string_agg(proname, ' ') FROM pg_proc WHERE pronamespace = 'histokin'::regnamespace \
         AND has_function_privilege('histokin_reader', oid, 'EXECUTE')",
    );
    assert_eq!(may, "vector_schema");
    server.sql(OWNER, "CREATE ROLE stranger LOGIN PASSWORD 'stranger-s3cret'");
    let error = database.try_open("stranger").err().unwrap();
    assert!(matches!(error, ArchiveError::NotAllowed { .. }), "{error}");
    let verified = verify(&mut reader, &VerifySettings::default(), &mut |_| ()).unwrap();
    assert!(verified[0].faults.is_empty(), "a reader may verify");
}

#[test]
fn pseudonyms_leave_no_trace_of_names() {
    let database = Server::shared().database().with_archive();
    let (_folder, project, sets) = project(&[("miller", 60), ("smith", 60)]);
    let mut writer = database.open(WRITER);
    push_all(&mut writer, &project, &settings());
    let key = Some(PseudonymKey::new("the clinic's own secret").unwrap());
    let names = PatientNames::new(DEFAULT_PATTERN).unwrap();
    let secret = PushSettings { patients: PatientCodes { names, key }, ..settings() };
    let again = push_all(&mut writer, &project, &secret);
    assert_eq!((again.pushed, again.unchanged), (0, 2), "tiles stay, names go");
    let all = database
        .sql("SELECT name, location, code FROM histokin.slides JOIN histokin.patients USING (patient)");
    assert!(!all.contains("miller_") && !all.contains("smith_") && !all.contains("/slides"), "{all}");
    assert_eq!(database.sql("SELECT count(*) FROM histokin.patients"), "2");
    assert_eq!(database.sql("SELECT count(*) FROM histokin.patients WHERE code ~ 'miller|smith'"), "0");
    // The slide is known by its content still.
    let local = Snapshot::build(vec![sets[0].clone()], None, None);
    let query = positives(&sets[0], 3, QuerySettings { scope: Scope::Others, ..QuerySettings::default() });
    let answer = ask(&mut writer, &local, &made::recipe(), &query, &SearchSettings::default()).unwrap();
    assert_eq!(answer.from_archive(&sets[1].header.slide_id).unwrap().location(), "archive only");
}

#[test]
fn classes_of_annotations_go_along() {
    let database = Server::shared().database().with_archive();
    let (_folder, project, sets) = project(&[("a", 300)]);
    let corners = [(0.0, 0.0), (3.0 * 224.0, 0.0), (3.0 * 224.0, 2.0 * 224.0), (0.0, 2.0 * 224.0)];
    let outline = Shape::Polygons(vec![Polygon::new(corners.map(|(x, y)| Level0Point::new(x, y)).to_vec())]);
    let tumour = AnnotationClass::named("Tumor");
    let drawn = AnnotationSet::new([Annotation::new(outline, Some(tumour))]);
    project.annotations().save(&sets[0].header.slide_id, &drawn).unwrap();
    let mut writer = database.open(WRITER);
    push_all(&mut writer, &project, &settings());
    let classed =
        "SELECT count(*) FROM histokin.tiles_vector JOIN histokin.classes USING (class) WHERE name = 'Tumor'";
    assert_eq!(database.sql(classed), "6");
    // Another outline is another content.
    project.annotations().save(&sets[0].header.slide_id, &AnnotationSet::default()).unwrap();
    assert_eq!(push_all(&mut writer, &project, &settings()).pushed, 1);
    assert_eq!(database.sql(classed), "0");
}

#[test]
fn setting_up_again_changes_nothing() {
    let database = Server::shared().database().with_archive();
    let mut owner = Archive::connect(&database.url(OWNER), &credentials(OWNER)).unwrap();
    let done = schema::init(&mut owner).unwrap();
    assert_eq!((done.before, done.version), (Some(1), 1));
    // By hand, as an administrator would with what `init --print` writes.
    let by_hand = Server::shared().database();
    by_hand.sql(&schema::script());
    by_hand.sql(&format!("GRANT histokin_writer TO {WRITER}"));
    assert!(by_hand.try_open(WRITER).is_ok());
}
