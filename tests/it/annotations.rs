//! Annotations from the user's command to the file, and between programs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use histokin::annotation::{
    Annotation, AnnotationClass, AnnotationError, AnnotationSet, Bounds, Edit, Format, ObjectKind, Shape,
    bounds_origin, read_bytes, read_file, read_file_watched, write_asap, write_file, write_file_watched,
    write_geojson,
};
use histokin::geometry::Level0Point;
use histokin::project::Project;
use histokin::session::{AnnotationCommand, Session, Severity, SlideCommand};
use histokin::slide;
use serde_json::Value;

use crate::support::running::Running;
use crate::support::{asset, histokin, shared_data};

const SLIDE: &str = "slides/CMU-1-Small-Region.svs";

fn square(x: f64, side: f64) -> Shape {
    Shape::Rectangle(Bounds::between(Level0Point::new(x, 100.0), Level0Point::new(x + side, 100.0 + side)))
}

/// A session of the project in a folder, which is made if there is none, with the slide open.
fn running_on(project: &Path) -> Running {
    Running::on(Project::open_or_create(project).unwrap())
}

#[test]
fn what_is_drawn_is_saved_undone_and_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = running_on(folder.path());
    let slide = running.slide();
    running.draw(square(100.0, 50.0), Some(AnnotationClass::named("Tumour")));
    running.draw(square(300.0, 80.0), None);
    let second = running.session.annotations(&slide).unwrap().selection()[0];
    running.edit(Edit::Reshape { id: second, shape: square(300.0, 20.0) });
    running.annotate(AnnotationCommand::Undo);
    running.annotate(AnnotationCommand::Undo);
    assert_eq!(running.count(), 1);
    running.annotate(AnnotationCommand::Redo);
    assert_eq!(running.count(), 2);
    let set = running.session.annotations(&slide).unwrap().set().clone();
    assert_eq!(*set.get(second).unwrap().shape(), square(300.0, 80.0));
    // Closing at once loses nothing: the keeper finishes before it ends.
    drop(running);
    let file = folder.path().join("annotations").join(format!("{slide}.geojson"));
    assert_eq!(read_file(&file).unwrap().set, *set);

    let mut again = running_on(folder.path());
    again.until("annotations are read", |session| session.annotations(&slide).unwrap().set().len() == 2);
    assert!(again.session.annotations(&slide).unwrap().undo_title().is_none());
}

/// Detections in a grid of 100 columns, of two classes.
fn detections(count: usize) -> impl Iterator<Item = Annotation> {
    (0..count).map(|number| {
        let (x, y) = ((number % 100 * 20) as f64, (number / 100 * 20) as f64);
        let corners = [(0.25, 0.5), (9.75, 1.0), (9.0, 8.5), (4.5, 11.25), (1.0, 9.0)];
        let ring = corners.map(|(right, down)| Level0Point::new(x + right, y + down)).to_vec();
        let class = AnnotationClass::named(["Tumor", "Stroma"][number % 2]);
        let mut one = Annotation::new(Shape::polygon(ring), Some(class));
        one.kind = ObjectKind::Detection;
        one.measurements = (0..12).map(|which| (format!("Measurement {which}"), number as f64)).collect();
        one
    })
}

#[test]
fn many_detections_are_imported_edited_counted_and_there_after_a_restart() {
    const COUNT: usize = 4000;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cells.geojson");
    std::fs::write(&file, write_geojson(&detections(COUNT).collect(), None)).unwrap();
    let project = folder.path().join("project");
    let mut running = running_on(&project);
    let slide = running.slide();
    running.draw(square(300.0, 80.0), None);
    let drawn = running.session.annotations(&slide).unwrap().set().at(0).unwrap();
    for _ in 0..2 {
        // The second time, they replace themselves.
        let before = running.session.annotations(&slide).unwrap().set().clone();
        running.annotate(|slide| AnnotationCommand::Import { slide, path: file.clone() });
        running.until("they are there", |session| {
            !Arc::ptr_eq(session.annotations(&slide).unwrap().set(), &before)
        });
        assert_eq!(running.count(), COUNT + 1);
    }
    let set = running.session.annotations(&slide).unwrap().set().clone();
    assert_eq!(set.detections().len(), COUNT);
    assert_eq!(set.get(drawn.id).unwrap(), drawn);

    // Two edits of single detections, one of very many, and their way back.
    let ids: Vec<_> = set.ids().take(3000).collect();
    running.edit(Edit::Remove(vec![ids[7]]));
    running.edit(Edit::Translate { ids: vec![ids[8]], dx: 3.0, dy: 0.25 });
    let edited = running.session.annotations(&slide).unwrap().set().clone();
    let checked = Some(AnnotationClass::named("Checked"));
    running.edit(Edit::Classify { ids: ids.clone(), class: checked.clone() });
    let classified = running.session.annotations(&slide).unwrap().set().clone();
    assert_eq!(classified.matching(|one| one.class == checked).len(), 2999);
    assert_eq!(classified.detections().len(), COUNT - 1);
    running.annotate(AnnotationCommand::Undo);
    assert_eq!(*running.session.annotations(&slide).unwrap().set(), edited);
    running.annotate(AnnotationCommand::Redo);
    assert_eq!(*running.session.annotations(&slide).unwrap().set(), classified);

    running.annotate(AnnotationCommand::Count);
    running.until("they are counted", |session| {
        session.annotations(&slide).unwrap().counts().is_some_and(|counts| counts.areas.len() == 2)
    });
    let annotations = running.session.annotations(&slide).unwrap();
    let areas = annotations.counts().unwrap().areas.clone();
    assert_eq!(areas[0].total(), COUNT - 1);
    assert_eq!(areas[0].classes[0], (Some("Checked".to_owned()), 2999));
    let within = set.touching(drawn.bounds().unwrap()).filter(|one| {
        one.id != drawn.id && one.bounds().is_some_and(|of| drawn.bounds().unwrap().contains(of.center()))
    });
    assert_eq!(areas[1].total(), within.count());
    drop(running);

    // Edits of a few are kept in a journal beside the file.
    let mut again = running_on(&project);
    again.until("annotations are read", |session| session.annotations(&slide).unwrap().is_loaded());
    assert_eq!(*again.session.annotations(&slide).unwrap().set(), classified);
    again.edit(Edit::Remove(vec![drawn.id]));
    let last = again.session.annotations(&slide).unwrap().set().clone();
    drop(again);
    let journal = project.join("annotations").join(format!("{slide}.journal"));
    assert!(journal.exists());
    assert_eq!(Project::open(&project).unwrap().annotations().load(&slide).unwrap().set, *last);

    // An export that QuPath can read has everything.
    let mut again = running_on(&project);
    again.until("annotations are read", |session| session.annotations(&slide).unwrap().is_loaded());
    for name in ["all.geojson", "all.geojson.gz"] {
        let path = folder.path().join(name);
        again.annotate(|slide| AnnotationCommand::Export { slide, path: path.clone() });
        again.until_told(&format!("{}: ", path.display()));
        assert_eq!(read_file(&path).unwrap().set, *last);
    }
}

/// A file with more detections than come in the first part, and a project beside it with an annotation on its slide.
fn many_beside_a_project(count: usize) -> (tempfile::TempDir, PathBuf, Running) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cells.geojson");
    let small = detections(count).map(|mut one| {
        one.measurements.truncate(1);
        one
    });
    std::fs::write(&file, write_geojson(&AnnotationSet::packed(small), None)).unwrap();
    let mut running = running_on(&folder.path().join("project"));
    running.draw(square(300.0, 80.0), None);
    (folder, file, running)
}

/// Number of detections that have been read of a file that is still being read.
fn so_far(session: &Session) -> usize {
    let annotations = session.annotations(session.active().unwrap().id()).unwrap();
    annotations.parts().iter().map(|part| part.len()).sum()
}

#[test]
fn detections_come_while_their_file_is_read_and_closing_after_the_import_keeps_them() {
    const COUNT: usize = 60_000;
    let (folder, file, mut running) = many_beside_a_project(COUNT);
    let slide = running.slide();
    let drawn = running.session.annotations(&slide).unwrap().set().clone();
    running.annotate(|slide| AnnotationCommand::Import { slide, path: file.clone() });
    let mut counts = Vec::new();
    running.step_until("all are there", |session| {
        let annotations = session.annotations(&slide).unwrap();
        counts.push(so_far(session));
        // Until all are there, none is an annotation of the slide. Then they take the place of the parts at once.
        let is_done = annotations.set().len() == COUNT + 1;
        assert!(is_done || Arc::ptr_eq(annotations.set(), &drawn));
        assert!(!is_done || annotations.parts().is_empty());
        is_done
    });
    assert_eq!(counts.pop(), Some(0));
    assert!(counts.is_sorted() && *counts.last().unwrap() >= 50_000, "{counts:?}");
    let set = running.session.annotations(&slide).unwrap().set().clone();
    assert_eq!(set.len(), COUNT + 1);

    // They are on the disk already.
    let store = Project::open_or_create(&folder.path().join("project")).unwrap().annotations();
    assert_eq!(store.load(&slide).unwrap().set, *set);
    let modified = || std::fs::metadata(store.path(&slide)).unwrap().modified().unwrap();
    let before = modified();
    drop(running);
    assert_eq!(modified(), before, "closing wrote them again");

    // When the project is opened, they come in the same way.
    let mut again = Running::new(Project::open_or_create(&folder.path().join("project")).unwrap());
    again.handle(SlideCommand::Open(vec![asset(SLIDE)]));
    let mut most = 0;
    again.step_until("annotations are read", |session| {
        if session.active().is_none() {
            return false;
        }
        most = most.max(so_far(session));
        session.annotations(&slide).is_some_and(|annotations| annotations.is_loaded())
    });
    assert!(most >= 50_000, "{most}");
    assert_eq!(so_far(&again.session), 0);
    assert_eq!(*again.session.annotations(&slide).unwrap().set(), set);
}

#[test]
fn an_import_that_is_stopped_or_fails_leaves_nothing() {
    let (folder, file, mut running) = many_beside_a_project(100_000);
    let slide = running.slide();
    let before = running.session.annotations(&slide).unwrap().set().clone();
    let is_as_before = |running: &Running| {
        let annotations = running.session.annotations(&slide).unwrap();
        assert!(annotations.parts().is_empty() && annotations.file_work().is_none());
        assert!(Arc::ptr_eq(annotations.set(), &before));
        let store = Project::open_or_create(&folder.path().join("project")).unwrap().annotations();
        assert_eq!(store.load(&slide).unwrap().set, *before);
    };
    running.annotate(|slide| AnnotationCommand::Import { slide, path: file.clone() });
    running.step_until("a part is there", |session| so_far(session) > 0);
    running.annotate(AnnotationCommand::StopFile);
    let told = running.until_told("Import stopped");
    assert!(told.contains("Nothing was added"), "{told}");
    is_as_before(&running);

    let text = std::fs::read(&file).unwrap();
    let damaged = folder.path().join("damaged.geojson");
    std::fs::write(&damaged, &text[..text.len() - 1000]).unwrap();
    running.annotate(|slide| AnnotationCommand::Import { slide, path: damaged.clone() });
    running.step_until("a part is there", |session| so_far(session) > 0);
    let told = running.until_told("cannot be read as annotations");
    assert!(told.contains("None of its detections were added"), "{told}");
    is_as_before(&running);
}

#[test]
fn what_is_drawn_during_an_import_is_there_with_what_is_imported() {
    const COUNT: usize = 60_000;
    let (folder, file, mut running) = many_beside_a_project(COUNT);
    let slide = running.slide();
    running.annotate(|slide| AnnotationCommand::Import { slide, path: file });
    running.step_until("a part is there", |session| so_far(session) > 0);
    let drawn = Annotation::new(square(500.0, 20.0), None);
    running.annotate(|slide| AnnotationCommand::Edit { slide, edit: Edit::Add(vec![drawn.clone()]) });
    running.until("all are there", |session| session.annotations(&slide).unwrap().set().len() == COUNT + 2);
    let set = running.session.annotations(&slide).unwrap().set().clone();
    assert_eq!(*set.get(drawn.id).unwrap(), drawn);
    drop(running);
    let store = Project::open_or_create(&folder.path().join("project")).unwrap().annotations();
    assert_eq!(store.load(&slide).unwrap().set, *set);
}

#[test]
fn a_damaged_file_is_set_aside_and_one_that_cannot_be_read_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide::open(&asset(SLIDE), None).unwrap().info().id.clone();
    let annotations = folder.path().join("annotations");
    std::fs::create_dir_all(&annotations).unwrap();
    let file = annotations.join(format!("{slide}.geojson"));
    std::fs::write(&file, "{\n\"type\":").unwrap();
    let mut running = running_on(folder.path());
    let told = running.until_told("damaged-1");
    assert!(told.contains("line 2"), "{told}");
    running.draw(square(0.0, 9.0), None);
    drop(running);
    assert_eq!(
        std::fs::read(annotations.join(format!("{slide}.geojson.damaged-1"))).unwrap(),
        b"{\n\"type\":"
    );
    assert_eq!(read_file(&file).unwrap().set.len(), 1);

    // A folder in the file's place cannot be read, nor may anything be written there.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let mut running = running_on(folder.path());
    running.until("the trouble is told", |session| {
        session.messages().iter().any(|message| message.severity == Severity::Error)
    });
    running.edit(Edit::Add(vec![Annotation::new(square(0.0, 9.0), None)]));
    assert_eq!(running.count(), 0);
    running.until_told("so that nothing is lost");
    // Nor does an export replace an earlier one with nothing.
    let exported = folder.path().join("exported.geojson");
    std::fs::write(&exported, "earlier").unwrap();
    running.annotate(|slide| AnnotationCommand::Export { slide, path: exported.clone() });
    running.until_told("was not written");
    assert_eq!(std::fs::read_to_string(&exported).unwrap(), "earlier");
}

#[test]
fn files_are_imported_once_and_exported_for_both_programs() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = running_on(&folder.path().join("project"));
    let gland = AnnotationClass::new("Gland", [1, 2, 3]);
    running.draw(square(50.0, 40.0), Some(gland.clone()));
    let (geojson, xml) = (folder.path().join("out.geojson"), folder.path().join("out.xml"));
    for path in [&geojson, &xml] {
        running.annotate(|slide| AnnotationCommand::Export { slide, path: path.clone() });
        running.until_told(&format!("{}: 1 annotations written", path.display()));
        assert_eq!(*read_file(path).unwrap().set.at(0).unwrap().shape(), square(50.0, 40.0));
    }
    let wrong = folder.path().join("out.txt");
    running.annotate(|slide| AnnotationCommand::Export { slide, path: wrong.clone() });
    running.until_told("name a .geojson file");

    let foreign = folder.path().join("foreign.json");
    std::fs::write(
        &foreign,
        r#"[{"type":"Feature","geometry":{"type":"Point","coordinates":[5,6]},
            "properties":{"classification":{"name":"Mitosis","color":[9,8,7]}}}]"#,
    )
    .unwrap();
    for _ in 0..2 {
        running.annotate(|slide| AnnotationCommand::Import { slide, path: foreign.clone() });
        running.until_told("foreign.json: 1 annotation read");
        running.until("it is there", |session| {
            session.annotations(session.active().unwrap().id()).unwrap().set().len() == 2
        });
    }
    assert!(running.session.project().classes().contains(&AnnotationClass::new("Mitosis", [9, 8, 7])));

    let red = AnnotationClass::new("Adenoma", [250, 0, 0]);
    running.annotate(|_| AnnotationCommand::AddClass(gland.clone()));
    running.annotate(|_| AnnotationCommand::ChangeClass { name: "Gland".to_owned(), to: red.clone() });
    let slide = running.slide();
    let first = running.session.annotations(&slide).unwrap().set().at(0).unwrap().clone();
    assert_eq!(first.class, Some(red));
}

#[test]
fn stopping_leaves_the_previous_file_and_gives_no_half_of_a_set() {
    let folder = tempfile::tempdir().unwrap();
    let info = slide::open(&asset(SLIDE), None).unwrap().info().clone();
    let set: AnnotationSet = detections(20_000).collect();
    for name in ["a.geojson", "a.geojson.gz"] {
        let path = folder.path().join(name);
        write_file(&path, &set, &info).unwrap();
        let before = std::fs::read(&path).unwrap();
        let shares = std::sync::Mutex::new(Vec::new());
        let until_half = |share: f32| {
            shares.lock().unwrap().push(share);
            share < 0.5
        };
        let stopped = write_file_watched(&path, &set, &info, &until_half).unwrap_err();
        assert!(matches!(&stopped, AnnotationError::Stopped { path: of } if *of == path), "{stopped}");
        assert!(shares.lock().unwrap().is_sorted());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let stopped = read_file_watched(&path, &until_half).unwrap_err();
        assert!(matches!(stopped, AnnotationError::Stopped { .. }), "{stopped}");
    }
    // Nothing unfinished is left behind.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn packed_files_are_read_and_qupaths_origin_is_taken_into_account() {
    let folder = tempfile::tempdir().unwrap();
    let text = write_geojson(&[Annotation::new(square(10.0, 20.0), None)].into_iter().collect(), None);
    let packed = folder.path().join("a.geojson.gz");
    let mut gz =
        flate2::write::GzEncoder::new(std::fs::File::create(&packed).unwrap(), flate2::Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap();
    let plain = read_file(&packed).unwrap();
    assert_eq!((plain.format, plain.set.len()), (Format::GeoJson, 1));

    let packed = folder.path().join("b.zip");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&packed).unwrap());
    for name in ["one.geojson", "two.xml", "readme.txt"] {
        zip.start_file(name, zip::write::FileOptions::default()).unwrap();
        let content = if name == "two.xml" { write_asap(&plain.set).0 } else { text.clone() };
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    assert_eq!(read_file(&packed).unwrap().set.len(), 2);

    let mut info = slide::open(&asset(SLIDE), None).unwrap().info().clone();
    assert_eq!(bounds_origin(&info), None);
    for (axis, value) in [("x", "1000"), ("y", "200")] {
        info.properties.insert(format!("openslide.bounds-{axis}"), value.to_owned());
    }
    let mut from_qupath = plain.clone();
    from_qupath.place_on(&info, None);
    let min = from_qupath.set.at(0).unwrap().shape().bounds().unwrap().min;
    assert_eq!((min.x, min.y), (1010.0, 300.0));
    assert!(from_qupath.notes[0].contains("1000, 200 px"), "{:?}", from_qupath.notes);
    let back = write_geojson(&from_qupath.set, bounds_origin(&info));
    let path = folder.path().join("back.geojson");
    std::fs::write(&path, back).unwrap();
    let mut again = read_file(&path).unwrap();
    assert_eq!(again.set.at(0).unwrap().shape(), plain.set.at(0).unwrap().shape(), "as QuPath counts");
    again.place_on(&slide::open(&asset(SLIDE), None).unwrap().info().clone(), None);
    assert_eq!(again.set.at(0).unwrap().shape(), from_qupath.set.at(0).unwrap().shape(), "the file tells");

    // An origin that is on no slide is none.
    for odd in ["NaN", "inf", "1e300"] {
        info.properties.insert("openslide.bounds-x".to_owned(), odd.to_owned());
        assert_eq!(bounds_origin(&info), None, "{odd}");
    }
    let far = text.replacen('{', "{\"coordinateOrigin\":[1e300,0],", 1);
    let mut far = read_bytes(far.as_bytes(), Path::new("far.geojson")).unwrap();
    assert!(far.notes[0].contains("1e300, 0.0 px, is on no slide"), "{:?}", far.notes);
    far.place_on(&info, None);
    assert_eq!(far.set, plain.set);
}

#[test]
fn annotations_beyond_the_slide_are_told() {
    let info = slide::open(&asset(SLIDE), None).unwrap().info().clone();
    let notes = |positions: &[i64]| {
        let features: Vec<String> = positions
            .iter()
            .map(|x| {
                format!(
                    r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":[{x},5]}},"properties":{{}}}}"#
                )
            })
            .collect();
        let text = format!("[{}]", features.join(","));
        let mut file = read_bytes(text.as_bytes(), Path::new("points.geojson")).unwrap();
        file.place_on(&info, None);
        file.notes
    };
    assert!(notes(&[0, 5]).is_empty());
    let told = notes(&[5, -1, 999_999]);
    assert!(
        told.len() == 1 && told[0].starts_with("2 of 3 annotations lie beyond the slide of "),
        "{told:?}"
    );
}

#[test]
fn the_command_line_imports_lists_and_exports() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    let mut project = Project::open_or_create(&root).unwrap();
    project.add_or_update(slide::open(&asset(SLIDE), None).unwrap().info());
    project.save().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(
        path("in.geojson"),
        write_geojson(&[Annotation::new(square(0.0, 100.0), None)].into_iter().collect(), None),
    )
    .unwrap();
    let root = root.display().to_string();
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_slice(&histokin(arguments).assert().success().get_output().stdout).unwrap()
    };
    let slide = ["--slide", "CMU-1-Small-Region"];
    let read = json(&[&["annotations", "import", &root, &path("in.geojson"), "--json"][..], &slide].concat());
    assert_eq!((&read["read"], &read["added"]), (&Value::from(1), &Value::from(1)));
    let listed = json(&[&["annotations", "list", &root, "--json"][..], &slide].concat());
    let um2 = listed["annotations"][0]["area_um2"].as_f64().unwrap();
    assert!((um2 - 10_000.0 * 0.499 * 0.499).abs() < 1.0, "{um2}");
    for name in ["out.xml", "out.geojson"] {
        let written =
            json(&[&["annotations", "export", &root, "-o", &path(name), "--json"][..], &slide].concat());
        assert_eq!(written["annotations"], 1);
        assert_eq!(
            *read_file(&PathBuf::from(path(name))).unwrap().set.at(0).unwrap().shape(),
            square(0.0, 100.0)
        );
    }
    std::fs::write(path("bad.xml"), "<ASAP_Annotations>\n<oops>").unwrap();
    let failed = histokin(&[&["annotations", "import", &root, &path("bad.xml")][..], &slide].concat())
        .assert()
        .failure();
    let message = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
    assert!(message.contains("bad.xml") && message.contains("line 2"), "{message}");
}

/// Nested objects, ids that are numbers and an object that is none, as a file of another program may have them.
#[test]
fn a_file_with_odd_objects_is_read_and_told_and_brings_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    let mut project = Project::open_or_create(&root).unwrap();
    project.add_slide(slide::open(&asset(SLIDE), None).unwrap().info(), None);
    project.save().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let root = root.display().to_string();
    let json = |arguments: &[&str]| -> Value {
        let all = [&["annotations"][..], arguments, &["--slide", "CMU-1-Small-Region", "--json"]].concat();
        serde_json::from_slice(&histokin(&all).assert().success().get_output().stdout).unwrap()
    };
    let text = r#"{"type":"FeatureCollection","crs":"pixels","features":[
      {"type":"Feature","id":17,"geometry":{"type":"Point","coordinates":[10,20]},"properties":{"objectType":"annotation","childObjects":[
        {"type":"Feature","id":"b","geometry":{"type":"Point","coordinates":[30,40]},"properties":{"objectType":"detection","measurements":{"p":NaN}}}]}},
      {"type":"Feature","id":18,"geometry":{"type":"Polygon","coordinates":[[[1,1],[2,2],[1,1]]]},"properties":{}}]}"#;
    std::fs::write(path("in.geojson"), text).unwrap();
    for added in [2, 0] {
        let read = json(&["import", &root, &path("in.geojson"), "--origin", "100,0"]);
        assert_eq!((&read["read"], &read["added"], &read["left_out"]), (&2.into(), &added.into(), &1.into()));
        assert_eq!(
            (&read["left_out_objects"][0]["object"], &read["left_out_objects"][0]["id"]),
            (&"object 2".into(), &"18".into())
        );
        assert_eq!(read["left_out_objects"][0]["line"], 4);
    }
    json(&["export", &root, "-o", &path("out.geojson")]);
    let out: Value = serde_json::from_str(&std::fs::read_to_string(path("out.geojson")).unwrap()).unwrap();
    assert_eq!((&out["crs"], &out["features"][0]["id"]), (&"pixels".into(), &17.into()));
    let child = &out["features"][0]["properties"]["childObjects"][0];
    assert_eq!((&child["id"], &child["geometry"]["coordinates"][0]), (&"b".into(), &130.into()));
    assert_eq!(child["properties"]["measurements"]["p"], "NaN");
    assert_eq!(json(&["import", &root, &path("out.geojson")])["added"], 0, "what was exported is known");
    // The same ids in a file of another name are others.
    std::fs::write(path("other.geojson"), text.replace("[10,20]", "[11,20]")).unwrap();
    assert_eq!(json(&["import", &root, &path("other.geojson")])["added"], 2);
}

/// The expert's rectangles of the shared slides, as QuPath would hold them.
#[test]
fn real_regions_go_through_both_formats() {
    let Some(regions) = shared_data("labels/regions.csv") else { return };
    let mut annotations = Vec::new();
    for row in csv::Reader::from_path(regions).unwrap().records() {
        let row = row.unwrap();
        let number = |column: usize| row[column].parse::<f64>().unwrap();
        let min = Level0Point::new(number(1), number(2));
        let max = Level0Point::new(min.x + number(3), min.y + number(4));
        annotations.push(Annotation::new(
            Shape::Rectangle(Bounds::between(min, max)),
            Some(AnnotationClass::named(&row[5])),
        ));
    }
    assert!(!annotations.is_empty());
    let set: histokin::annotation::AnnotationSet = annotations.into_iter().collect();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a.geojson", write_geojson(&set, None)), ("a.xml", write_asap(&set).0)] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let back = read_file(&path).unwrap().set;
        assert!(
            set.iter()
                .map(|one| (one.shape().clone(), one.class.clone()))
                .eq(back.iter().map(|one| (one.shape().clone(), one.class.clone())))
        );
    }
}
