//! Slides known by their content: different ones are kept apart, the same one is known wherever it lies, and what
//! earlier versions of the program kept of it under another id is found.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use histokin::annotation::{Annotation, AnnotationSet, Bounds, Shape};
use histokin::descriptors::{DescriptorHeader, DescriptorSet, JournalRecord};
use histokin::geometry::{Level0Point, Level0Rect, MicronsPerPixel};
use histokin::project::Project;
use histokin::query::{JudgedMatch, Judgement, QueryHistory, TilePosition};
use histokin::session::{Job, OpenJob, QueryEvent, Session, SlideEvent};
use histokin::slide::{self, SlideError, SlideId, SlideInfo, SlideSource};
use histokin::tiling::{TileGrid, TileIndex};
use image::{Rgb, RgbImage};

use crate::made;
use crate::support::{asset, write_pyramid};

/// A core on glass, uncompressed: between equal margins of more than a MiB each.
fn core(path: &Path, seed: u32) {
    let picture = RgbImage::from_fn(1000, 1400, |x, y| {
        let is_tissue = (300..700).contains(&x) && (450..950).contains(&y);
        if is_tissue { Rgb([150 + (x * seed % 60) as u8, 60, 120 + (y % 50) as u8]) } else { Rgb([245; 3]) }
    });
    picture.save(path).unwrap();
}

fn opened(path: &Path) -> Arc<dyn SlideSource> {
    slide::open(path, Some(MicronsPerPixel::square(1.0).unwrap())).unwrap()
}

fn info(path: &Path) -> SlideInfo {
    opened(path).info().clone()
}

struct TestFolder {
    folder: tempfile::TempDir,
}

impl TestFolder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn core(&self, name: &str, seed: u32) -> PathBuf {
        let path = self.path(name);
        core(&path, seed);
        path
    }

    /// A project as an earlier version wrote it, with one slide, known by its former id, and something of all that is
    /// kept of slides.
    fn old_project(&self, slide: &Path) -> Project {
        let root = self.path("project");
        Project::open_or_create(&root).unwrap();
        let former = info(slide).former_ids[0].clone();
        let file = root.join("project.toml");
        let entry = format!(
            "\n[[slide]]\nid = \"{former}\"\npath = \"../{}\"\n",
            slide.file_name().unwrap().display()
        );
        let empty = fs::read_to_string(&file).unwrap();
        fs::write(&file, empty.replace("slide = []\n", "") + &entry).unwrap();
        let project = Project::open(&root).unwrap();
        project.descriptors().save(&set(slide, &former)).unwrap();
        project.annotations().save(&former, &rectangle()).unwrap();
        let tile = |x| TilePosition { slide: former.clone(), rect: Level0Rect::new(x, 0, 224, 224) };
        let (query, found) = (tile(0), tile(224));
        let mut query_history = QueryHistory::default();
        query_history.judge(JudgedMatch {
            query,
            found,
            judgement: Judgement::Same,
            distance: 0.1,
            encoder: "e".to_owned(),
        });
        query_history.save(&root).unwrap();
        project
    }
}

fn header(slide: &Path, id: &SlideId) -> DescriptorHeader {
    let grid = TileGrid::new(&info(slide), made::recipe().tiles).unwrap();
    DescriptorHeader::new(id.clone(), made::recipe(), 2, &grid, 1)
}

fn set(slide: &Path, id: &SlideId) -> DescriptorSet {
    DescriptorSet::from_rows(header(slide, id), &[(TileIndex(0), &[1.0, 2.0])], 0)
}

fn rectangle() -> AnnotationSet {
    let bounds = Bounds::between(Level0Point::new(1.0, 2.0), Level0Point::new(30.0, 40.0));
    AnnotationSet::new([Annotation::new(Shape::Rectangle(bounds), None)])
}

/// What a project has of a slide: descriptors, annotations, judgements.
fn kept(project: &Project, id: &SlideId) -> (bool, usize, usize) {
    let set = project.descriptors().open(id, &made::recipe()).unwrap();
    assert!(set.as_ref().is_none_or(|set| set.header.slide_id == *id));
    let judged = project.query_history().unwrap();
    let judged = judged.judgements().iter().filter(|one| one.query.slide == *id && one.found.slide == *id);
    (set.is_some(), project.annotations().load(id).unwrap().set.len(), judged.count())
}

#[test]
fn slides_with_equal_margins_are_kept_apart() {
    let test_folder = TestFolder::new();
    for ending in ["bmp", "tif"] {
        let (one, other) =
            (test_folder.core(&format!("1.{ending}"), 1), test_folder.core(&format!("2.{ending}"), 2));
        let (one, other) = (info(&one), info(&other));
        assert_eq!(one.former_ids, other.former_ids, "what an earlier version took for one slide");
        assert_ne!(one.id, other.id);
        let mut project = Project::open_or_create(&test_folder.path("project")).unwrap();
        assert!(project.add_or_update(&one).is_empty() && project.add_or_update(&other).is_empty());
        assert_eq!(project.slides().len(), 2);
    }
}

#[test]
fn the_same_slide_is_known_wherever_it_lies_and_whoever_reads_it() {
    let test_folder = TestFolder::new();
    let slide = asset("slides/CMU-1-Small-Region.svs");
    let id = info(&slide).id;
    let renamed = test_folder.path("other name.bin");
    fs::copy(&slide, &renamed).unwrap();
    assert_eq!(info(&renamed).id, id);
    assert_eq!(slide::open_with_openslide(&slide).unwrap().info().id, id);
    let program = Path::new(env!("CARGO_BIN_EXE_histokin"));
    let apart = slide::isolated::open(program, &slide, slide::isolated::Limits::default()).unwrap();
    assert_eq!(apart.info().id, id);
    assert_eq!(apart.info().former_ids, info(&slide).former_ids);
}

#[test]
fn what_an_earlier_version_kept_goes_by_the_new_id() {
    let test_folder = TestFolder::new();
    let slide = test_folder.core("slide.bmp", 1);
    let (id, former) = (info(&slide).id, info(&slide).former_ids[0].clone());
    let mut project = test_folder.old_project(&slide);
    // Known by its former id, it is read like any other.
    let entry = project.slides()[0].clone();
    assert_eq!(project.open_slide(&entry).unwrap().info().id, former);
    assert_eq!(project.find_slide("slide").unwrap().id, former);
    assert_eq!(kept(&project, &former), (true, 1, 1));

    assert!(project.add_or_update(&info(&slide)).is_empty());
    assert_eq!(kept(&project, &id), (true, 1, 1));
    project.save().unwrap();
    let mut project = Project::open(project.root()).unwrap();
    assert_eq!((project.slides().len(), &project.slides()[0].id), (1, &id));
    assert_eq!(kept(&project, &id), (true, 1, 1));
    assert_eq!(project.find_slide(former.short()).unwrap().id, id);
    // What is written goes by the new id, and is read from then on.
    project.annotations().save(&id, &AnnotationSet::default()).unwrap();
    assert_eq!(kept(&project, &id), (true, 0, 1));
    assert_eq!(project.annotations().load(&former).unwrap().set.len(), 1);
    // Taken off and opened again, it is the same slide still.
    project.remove_slide(&id);
    project.save().unwrap();
    let mut project = Project::open(project.root()).unwrap();
    assert!(project.slides().is_empty());
    project.add_or_update(&info(&slide));
    assert_eq!(kept(&project, &id), (true, 0, 1));
}

#[test]
fn a_project_that_is_only_read_shows_what_an_earlier_version_kept() {
    let test_folder = TestFolder::new();
    let slide = test_folder.core("slide.bmp", 1);
    let file = test_folder.old_project(&slide).root().join("project.toml");
    // A newer version of the program has written it.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("format = 2", "format = 999")).unwrap();
    let before = fs::read(&file).unwrap();
    let project = Project::open(&test_folder.path("project")).unwrap();
    assert!(project.read_only().is_some());
    let mut session = Session::new(project.clone());
    let query_history = Box::new(QueryHistory::load(project.root()).unwrap());
    session.absorb(QueryEvent::HistoryLoaded { query_history });
    session.absorb(SlideEvent::Opened(opened(&slide)));
    let id = info(&slide).id;
    assert_eq!(kept(session.project(), &id), (true, 1, 1));
    assert_eq!(session.query_history().judgements()[0].query.slide, id);
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_journal_of_an_earlier_version_is_gone_on_with_after_a_crash_at_any_moment() {
    let test_folder = TestFolder::new();
    let slide = test_folder.core("slide.bmp", 1);
    let mut project = test_folder.old_project(&slide);
    let (id, former) = (info(&slide).id, info(&slide).former_ids[0].clone());
    let record = JournalRecord { tile: TileIndex(0), descriptor: Some(vec![1.0, 2.0]) };
    let mut journal = project.descriptors().journal(&header(&slide, &former)).unwrap();
    journal.append(std::slice::from_ref(&record)).unwrap();
    drop(journal);
    let file = |id: &SlideId| {
        project.root().join(format!("descriptors/{}-{}.partial", id.short(), made::recipe().short_id()))
    };
    let (old, new) = (file(&former), file(&id));
    let bytes = fs::read(&old).unwrap();
    project.add_or_update(&info(&slide));
    for _ in 0..2 {
        let journal = project.descriptors().journal(&header(&slide, &id)).unwrap();
        assert_eq!(journal.earlier, std::slice::from_ref(&record));
        assert!(new.exists() && !old.exists());
        // Ended between writing the one and removing the other.
        fs::write(&old, &bytes).unwrap();
    }
}

#[test]
fn of_two_slides_that_an_earlier_version_took_for_one_the_listed_one_keeps_what_was_drawn() {
    for opened_first in [0, 1] {
        let test_folder = TestFolder::new();
        let slides = [test_folder.core("listed.bmp", 1), test_folder.core("other.bmp", 2)];
        let mut project = test_folder.old_project(&slides[0]);
        let mut notes = project.add_or_update(&info(&slides[opened_first]));
        notes.extend(project.add_or_update(&info(&slides[1 - opened_first])));
        let note = notes.join("\n");
        assert!(
            note.contains("listed.bmp and ") && note.contains("gave these two slides the same ID"),
            "{note}"
        );
        assert!(note.contains("other.bmp starts without"), "{note}");
        let ids = slides.each_ref().map(|slide| info(slide).id);
        assert_eq!(project.slides().len(), 2);
        // Whose descriptors they were is not known.
        assert_eq!(kept(&project, &ids[0]), (false, 1, 1));
        assert_eq!(kept(&project, &ids[1]), (false, 0, 0));
        // It is told once.
        project.save().unwrap();
        let mut project = Project::open(project.root()).unwrap();
        assert!(slides.iter().all(|slide| project.add_or_update(&info(slide)).is_empty()));
        assert_eq!(kept(&project, &ids[0]), (false, 1, 1));
    }
}

#[test]
fn copies_are_one_slide_at_the_first_place_where_it_still_is() {
    let test_folder = TestFolder::new();
    let (first, second) = (test_folder.core("first.bmp", 1), test_folder.core("second.bmp", 1));
    let mut project = Project::open_or_create(&test_folder.path("project")).unwrap();
    project.add_or_update(&info(&first));
    let note = project.add_or_update(&info(&second)).join("\n");
    assert!(note.contains("second.bmp: the same slide as ") && note.contains("first.bmp"), "{note}");
    let at = |project: &Project| project.slide_path(&project.slides()[0]);
    assert_eq!((project.slides().len(), at(&project)), (1, fs::canonicalize(&first).unwrap()));
    fs::remove_file(&first).unwrap();
    assert!(project.add_or_update(&info(&second)).is_empty());
    assert_eq!(at(&project), fs::canonicalize(&second).unwrap());
}

#[test]
fn a_file_that_was_replaced_by_another_slide_is_noticed_and_nothing_of_the_former_is_lost() {
    let test_folder = TestFolder::new();
    let slide = test_folder.core("slide.bmp", 1);
    let mut project = Project::open_or_create(&test_folder.path("project")).unwrap();
    let former = info(&slide);
    project.add_or_update(&former);
    project.set_user_mpp(&former.id, MicronsPerPixel::square(0.5).unwrap());
    project.annotations().save(&former.id, &rectangle()).unwrap();
    let entry = project.slides()[0].clone();
    let aside = test_folder.path("aside.bmp");
    fs::rename(&slide, &aside).unwrap();
    core(&slide, 2);
    assert!(matches!(project.open_slide(&entry), Err(SlideError::Replaced { .. })));
    let note = project.add_or_update(&info(&slide)).join("\n");
    assert!(note.contains("holds another slide than before"), "{note}");
    let ids: Vec<&SlideId> = project.slides().iter().map(|entry| &entry.id).collect();
    assert_eq!(ids, [&info(&slide).id]);
    project.save().unwrap();
    let mut project = Project::open(project.root()).unwrap();
    project.add_or_update(&info(&aside));
    assert_eq!(project.slides().len(), 2);
    assert_eq!(project.user_mpp(&former.id), Some(MicronsPerPixel::square(0.5).unwrap()));
    assert_eq!(project.annotations().load(&former.id).unwrap().set.len(), 1);
}

#[test]
fn an_open_slide_whose_file_is_replaced_with_its_time_and_size_gives_no_pixels_of_the_other() {
    let test_folder = TestFolder::new();
    let slide = test_folder.core("slide.bmp", 1);
    let source = opened(&slide);
    let times = fs::metadata(&slide).unwrap().modified().unwrap();
    let size = fs::metadata(&slide).unwrap().len();
    core(&slide, 2);
    fs::File::options().write(true).open(&slide).unwrap().set_modified(times).unwrap();
    assert_eq!(fs::metadata(&slide).unwrap().len(), size);
    let error = source.check().unwrap_err();
    assert!(error.is_unavailable() && error.to_string().contains("another slide"), "{error}");
    core(&slide, 1);
    source.check().unwrap();
}

#[test]
fn the_window_looks_where_a_slide_is_listed_before_it_takes_another_for_it() {
    let test_folder = TestFolder::new();
    let slides = [test_folder.core("listed.bmp", 1), test_folder.core("other.bmp", 2)];
    let mut session = Session::new(test_folder.old_project(&slides[0]));
    let jobs = session.absorb(SlideEvent::Opened(opened(&slides[1])));
    let [Job::Open(OpenJob::CheckListedPath { source, path })] = &jobs[..] else {
        panic!("it is looked for")
    };
    assert_eq!(path, &fs::canonicalize(&slides[0]).unwrap());
    let there = Some(Box::new(info(&slides[0])));
    session.absorb(SlideEvent::ListedPathChecked { source: source.clone(), there });
    session.absorb(SlideEvent::Opened(opened(&slides[0])));
    assert_eq!(session.project().slides().len(), 2);
    assert_eq!(kept(session.project(), &info(&slides[0]).id), (false, 1, 1));
    assert_eq!(kept(session.project(), &info(&slides[1]).id), (false, 0, 0));
    let told: Vec<&str> = session.messages().iter().map(|message| message.text.as_str()).collect();
    assert!(told.iter().any(|text| text.contains("gave these two slides the same ID")), "{told:?}");
}

#[test]
fn a_pyramid_that_differs_at_its_finest_level_alone_is_another_slide() {
    let test_folder = TestFolder::new();
    // Two by two pixels have the same mean: all further levels are equal, and so is OpenSlide's fingerprint.
    let write = |name: &str, step: u8| {
        let picture = RgbImage::from_fn(1024, 1024, |x, y| {
            let shade = if (x + y) % 2 == 0 { 100 + step } else { 100 - step };
            Rgb([shade, 60, 140])
        });
        let path = test_folder.path(name);
        write_pyramid(&path, &picture, 3, Some(0.5));
        slide::open(&path, None).unwrap().info().clone()
    };
    let (one, other) = (write("one.tif", 10), write("other.tif", 30));
    assert_eq!(one.former_ids, other.former_ids);
    assert_ne!(one.id, other.id);
}
