//! The session read as a list of what the user did and what the workers answered; no threads, no screen.

use std::sync::Arc;

use histokin::annotation::{Annotation, AnnotationSet, Edit, Shape, read_bytes};
use histokin::descriptors::DescriptorSet;
use histokin::encoder::{Encoder, EncoderSpec};
use histokin::geometry::{Level0Point, MicronsPerPixel};
use histokin::index::Snapshot;
use histokin::pipeline;
use histokin::project::Project;
use histokin::query::QueryHistory;
use histokin::session::{
    AnnotationCommand, AnnotationEvent, AnnotationJob, EmbeddingCommand, EmbeddingEvent, EmbeddingJob,
    EncoderState, Event, FileTrouble, IndexBuild, IndexEvent, Job, LoadJob, Message, MessageCommand, OpenJob,
    QueryEvent, ReadFile, ScanJob, Session, Severity, SlideCommand, SlideEvent, SlideProgress, SlideStatus,
    TrainingEvent, ViewCommand,
};
use histokin::slide::{self, SlideId, SlideSource};
use histokin::tiling::TileIndex;
use histokin::tissue::selection::{Cause, NoTiles};
use histokin::tissue::{TissueMask, TissueSettings};
use histokin::training::Progress;
use image::{Rgb, RgbImage};

use crate::made::{self, QuarterColours};

/// A session and the slides that are open in it.
pub struct TestSession {
    pub folder: tempfile::TempDir,
    pub session: Session,
    pub slides: Vec<Arc<dyn SlideSource>>,
}

impl TestSession {
    /// A session whose encoder is known, with `count` calibrated pictures open.
    pub fn with_slides(count: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::open_or_create(&folder.path().join("project")).unwrap();
        let mut test = Self { folder, session: Session::new(project), slides: Vec::new() };
        let spec: EncoderSpec = QuarterColours::new().spec().clone();
        let which = test.session.project().encoder_name();
        test.session.absorb(EmbeddingEvent::EncoderKnown { which, spec: Box::new(spec) });
        for number in 0..count {
            let source = test.picture(number, Some(MicronsPerPixel::square(1.0).unwrap()));
            test.session.absorb(SlideEvent::Opened(source.clone()));
            test.slides.push(source);
        }
        test
    }

    pub fn picture(&self, number: u8, mpp: Option<MicronsPerPixel>) -> Arc<dyn SlideSource> {
        let path = self.folder.path().join(format!("slide-{number}.png"));
        RgbImage::from_pixel(900, 700, Rgb([180, number, 150])).save(&path).unwrap();
        slide::open(&path, mpp).unwrap()
    }

    pub fn id(&self, number: usize) -> SlideId {
        self.slides[number].info().id.clone()
    }

    /// A finished set of a slide: its first tiles, row by row.
    pub fn set(&self, number: usize, rows: &[Vec<f32>]) -> Arc<DescriptorSet> {
        let mut header = made::set("a", rows[0].len(), rows).header.clone();
        header.slide_id = self.id(number);
        header.recipe = self.session.recipe().expect("the encoder is known");
        header.grid = [4, 3];
        let rows: Vec<(TileIndex, &[f32])> =
            (0..).map(TileIndex).zip(rows.iter().map(Vec::as_slice)).collect();
        Arc::new(DescriptorSet::from_rows(header, &rows, 0))
    }

    /// Have sets embedded and indexed.
    pub fn index(&mut self, sets: Vec<Arc<DescriptorSet>>) {
        for set in &sets {
            self.session.absorb(EmbeddingEvent::DescriptorsReady { set: set.clone(), finished: true });
        }
        self.session.absorb(IndexEvent::Built(Arc::new(Snapshot::build(sets, None, None))));
    }

    /// The event that the project's query history was read.
    pub fn history(&self, query_history: QueryHistory) -> QueryEvent {
        QueryEvent::HistoryLoaded { query_history: Box::new(query_history) }
    }

    fn status(&self, number: usize) -> &SlideStatus {
        &self.session.slide(&self.id(number)).unwrap().status
    }
}

/// The plan for the embedder among `jobs`: slides in order, and whether it is paused.
fn plan(jobs: &[Job]) -> Option<(Vec<SlideId>, bool)> {
    jobs.iter().find_map(|job| match job {
        Job::Embedding(EmbeddingJob::Plan(plan)) => {
            let ids = plan.targets.iter().map(|target| target.slide.info().id.clone()).collect();
            Some((ids, plan.paused))
        }
        _ => None,
    })
}

#[test]
fn the_slide_in_view_is_embedded_first() {
    let mut test = TestSession::with_slides(3);
    let mut jobs = Vec::new();
    for number in 0..3 {
        jobs = test.session.absorb(EmbeddingEvent::NoDescriptors { slide: test.id(number) });
    }
    assert_eq!(plan(&jobs), Some((vec![test.id(0), test.id(1), test.id(2)], false)));
    let jobs = test.session.handle(ViewCommand::Show(test.id(2)));
    assert_eq!(plan(&jobs), Some((vec![test.id(2), test.id(0), test.id(1)], false)));
    let jobs = test.session.handle(EmbeddingCommand::Pause);
    assert!(plan(&jobs).unwrap().1);
    let jobs = test.session.handle(EmbeddingCommand::Cancel);
    assert_eq!(plan(&jobs).unwrap().0, []);
    let jobs = test.session.handle(EmbeddingCommand::Resume);
    assert_eq!(plan(&jobs), Some((vec![test.id(2), test.id(0), test.id(1)], false)));
}

#[test]
fn a_slide_without_pixel_size_waits_for_the_user_and_keeps_what_was_given() {
    let mut test = TestSession::with_slides(0);
    let source = test.picture(9, None);
    let id = source.info().id.clone();
    test.session.absorb(SlideEvent::Opened(source.clone()));
    assert_eq!(test.session.slide(&id).unwrap().status, SlideStatus::NeedsMpp);
    let mpp = MicronsPerPixel::square(0.5).unwrap();
    let jobs = test.session.handle(SlideCommand::SetMpp { slide: id.clone(), mpp });
    let [Job::SaveProject(_), Job::Open(OpenJob::OpenSlide { user_mpp, .. })] = &jobs[..] else {
        panic!("it is kept, and the slide is opened with it")
    };
    assert_eq!(*user_mpp, Some(mpp));
    // From now on, wherever the slide is opened from, it has that pixel size.
    let jobs = test.session.absorb(SlideEvent::Opened(source));
    assert!(
        matches!(&jobs[..], [Job::Open(OpenJob::OpenSlide { user_mpp: Some(given), .. })] if *given == mpp)
    );
}

#[test]
fn one_index_is_built_at_a_time_and_what_came_meanwhile_is_not_forgotten() {
    let mut test = TestSession::with_slides(2);
    let set = |number: usize| test.set(number, &[vec![0.5; 12]]);
    let (first, second) = (set(0), set(1));
    let jobs = test.session.absorb(EmbeddingEvent::DescriptorsReady { set: first.clone(), finished: true });
    assert!(
        matches!(&jobs[..], [Job::BuildIndex(IndexBuild { sets, settled: false, .. })] if sets.len() == 1)
    );
    assert_eq!(*test.status(0), SlideStatus::Embedded(SlideProgress { done: 1, total: 1, failed: 0 }));
    let jobs = test.session.absorb(EmbeddingEvent::DescriptorsReady { set: second, finished: true });
    assert!(jobs.is_empty(), "a build is under way");
    let jobs = test.session.absorb(IndexEvent::Built(Arc::new(Snapshot::build(vec![first], None, None))));
    assert!(
        matches!(&jobs[..], [Job::BuildIndex(IndexBuild { sets, settled: true, .. })] if sets.len() == 2)
    );
}

#[test]
fn trouble_stays_until_it_is_dismissed_and_is_told_once() {
    let mut test = TestSession::with_slides(0);
    for _ in 0..3 {
        test.session.absorb(SlideEvent::Failed {
            path: "broken.svs".into(),
            reason: "broken.svs: cannot be opened".to_owned(),
        });
    }
    assert_eq!(test.session.messages().len(), 1);
    let id = test.session.messages()[0].id;
    test.session.handle(MessageCommand::Dismiss(id));
    assert!(test.session.messages().is_empty());
}

#[test]
fn a_slide_that_has_moved_is_found_again_by_name_and_content() {
    let mut test = TestSession::with_slides(1);
    let (id, before) = (test.id(0), test.slides[0].info().path.clone());
    let reason = "slide-0.png: there is no such file".to_owned();
    let jobs = test.session.absorb(SlideEvent::Missing { path: before.clone(), reason: reason.clone() });
    let [Job::Open(OpenJob::FindMoved { slide, path, folders, .. })] = &jobs[..] else {
        panic!("it is looked for")
    };
    assert_eq!((slide, path), (&id, &before));
    assert!(test.session.messages().is_empty(), "nothing is said before it was looked for");

    let elsewhere = test.folder.path().join("filed/away");
    std::fs::create_dir_all(&elsewhere).unwrap();
    std::fs::rename(&before, elsewhere.join("slide-0.png")).unwrap();
    // Another slide of the same name is not taken for it.
    RgbImage::from_pixel(30, 20, Rgb([1, 2, 3])).save(test.folder.path().join("filed/slide-0.png")).unwrap();
    let found = pipeline::find_moved(&id, &before, None, folders).expect("it is found");
    assert_eq!(found.info().id, id);
    assert!(found.info().path.starts_with(std::fs::canonicalize(&elsewhere).unwrap_or(elsewhere)));

    test.session.absorb(SlideEvent::Failed { path: before.clone(), reason });
    assert_eq!(test.session.messages().len(), 1);
    let jobs = test.session.absorb(SlideEvent::Opened(found));
    let [Job::Open(OpenJob::CheckListedPath { source, .. })] = &jobs[..] else { panic!("it may be a copy") };
    test.session.absorb(SlideEvent::ListedPathChecked { source: source.clone(), there: None });
    assert!(test.session.messages().is_empty(), "what was said of the old place is taken back");
    assert!(!before.exists());
    let unknown = SlideId("another".to_owned());
    assert!(pipeline::find_moved(&unknown, &before, None, &[test.folder.path().to_owned()]).is_none());
}

#[test]
fn a_module_of_others_waits_for_permission() {
    let mut test = TestSession::with_slides(1);
    let which = test.session.project().encoder_name();
    let untrusted = || {
        Event::Embedding(EmbeddingEvent::EncoderUntrusted { which: which.clone(), path: "module.pt".into() })
    };
    assert!(test.session.absorb(untrusted()).is_empty());
    let jobs = test.session.handle(EmbeddingCommand::TrustEncoder(true));
    assert!(
        matches!(&jobs[..], [Job::Open(OpenJob::TrustEncoder { module, .. })] if module.ends_with("module.pt"))
    );
    assert!(test.session.handle(EmbeddingCommand::TrustEncoder(true)).is_empty(), "it was answered");
    test.session.absorb(untrusted());
    assert!(test.session.handle(EmbeddingCommand::TrustEncoder(false)).is_empty());
    assert!(matches!(test.session.encoder(), EncoderState::Failed(reason) if reason.contains("module.pt")));
}

#[test]
fn what_arrives_late_of_an_encoder_that_is_no_longer_used_changes_nothing() {
    let mut test = TestSession::with_slides(1);
    let former = test.session.project().encoder_name();
    let messages = test.session.messages().len();
    test.session.handle(EmbeddingCommand::ChooseEncoder("imagenet-mobilenet-v2".into()));
    let late = EmbeddingEvent::EncoderFailed { which: former, reason: "its weights are damaged".into() };
    assert!(test.session.absorb(late).is_empty());
    assert!(matches!(test.session.encoder(), EncoderState::Unknown));
    let told = test.session.messages().iter().skip(messages);
    assert!(told.into_iter().all(|message| !message.text.contains("damaged")));
    let which = test.session.project().encoder_name();
    test.session.absorb(EmbeddingEvent::EncoderFailed { which, reason: "its weights are damaged".into() });
    assert!(matches!(test.session.encoder(), EncoderState::Failed(_)));
}

#[test]
fn all_slides_are_embedded_again_once_their_descriptors_are_gone() {
    let mut test = TestSession::with_slides(2);
    test.index(vec![test.set(0, &[vec![0.0, 1.0]]), test.set(1, &[vec![1.0, 0.0]])]);
    assert!(matches!(test.status(0), SlideStatus::Embedded(_)), "{:?}", test.status(0));
    let jobs = test.session.handle(EmbeddingCommand::EmbedAllAgain);
    assert_eq!(plan(&jobs), Some((vec![], false)), "nothing is written while descriptors are deleted");
    let discarded = jobs.iter().find_map(|job| match job {
        Job::Load(LoadJob::DiscardDescriptors { slides, .. }) => Some(slides.clone()),
        _ => None,
    });
    assert_eq!(discarded, Some(vec![test.id(0), test.id(1)]));
    assert_eq!(test.session.searchable_tiles(), 2, "what is in memory is searched meanwhile");
    test.session.absorb(EmbeddingEvent::NoDescriptors { slide: test.id(0) });
    let jobs = test.session.absorb(EmbeddingEvent::NoDescriptors { slide: test.id(1) });
    assert_eq!(plan(&jobs), Some((vec![test.id(0), test.id(1)], false)));
}

/// A set as it is after embedding by the selection that is planned for its slide.
fn selected(set: &DescriptorSet, jobs: &[Job]) -> Arc<DescriptorSet> {
    let selection = jobs.iter().find_map(|job| match job {
        Job::Embedding(EmbeddingJob::Plan(plan)) => {
            let of_slide =
                |target: &&histokin::session::EmbedTarget| target.slide.info().id == set.header.slide_id;
            Some(plan.targets.iter().find(of_slide)?.selection.id())
        }
        _ => None,
    });
    let mut header = set.header.clone();
    header.selection = selection.expect("the slide is embedded by a selection");
    let rows: Vec<(TileIndex, &[f32])> = vec![(TileIndex(0), set.descriptor(histokin::descriptors::Row(0)))];
    header.tiles_tissue = 1;
    Arc::new(DescriptorSet::from_rows(header, &rows, 0))
}

#[test]
fn other_tissue_settings_have_tiles_selected_again_and_are_kept() {
    let mut test = TestSession::with_slides(2);
    let rows: Vec<Vec<f32>> = (0..4).map(|n| vec![n as f32; 12]).collect();
    let sets: Vec<Arc<DescriptorSet>> = (0..2).map(|number| test.set(number, &rows)).collect();
    test.index(sets.clone());
    assert!(matches!(test.status(0), SlideStatus::Embedded(_)));

    let share = TissueSettings { tile_share: Some(0.3), ..TissueSettings::default() };
    let jobs = test.session.handle(EmbeddingCommand::SetTissue(share.clone()));
    assert!(matches!(&jobs[0], Job::SaveProject(project) if project.settings().tissue == share));
    assert_eq!(plan(&jobs).unwrap().0, [test.id(0), test.id(1)]);
    assert!(!jobs.iter().any(|job| matches!(job, Job::Scan(_))), "the mask is the same");
    // What an earlier plan has finished is searched, and gone through again.
    let late = test.session.absorb(EmbeddingEvent::DescriptorsReady { set: sets[0].clone(), finished: true });
    assert!(plan(&late).is_some() && matches!(test.status(0), SlideStatus::Waiting(_)));
    let done = selected(&sets[0], &jobs);
    test.session.absorb(EmbeddingEvent::DescriptorsReady { set: done, finished: true });
    assert!(matches!(test.status(0), SlideStatus::Embedded(SlideProgress { done: 1, .. })));

    let piece = TissueSettings { smallest_piece_um2: 500.0, ..share };
    let jobs = test.session.handle(EmbeddingCommand::SetTissue(piece.clone()));
    let scans = jobs
        .iter()
        .filter(|job| matches!(job, Job::Scan(ScanJob::FindTissue { settings, .. }) if *settings == piece));
    assert_eq!(scans.count(), 2);
    test.session.absorb(SlideEvent::FindingTissue { slide: test.id(0), share: 0.4 });
    assert_eq!(test.session.slide(&test.id(0)).unwrap().tissue_read, 0.4);
    let old = Arc::new(TissueMask::of(test.slides[0].as_ref()).unwrap());
    test.session.absorb(SlideEvent::TissueFound { slide: test.id(0), tissue: old });
    assert!(test.session.slide(&test.id(0)).unwrap().tissue.is_none(), "found by settings of before");

    let before = test.session.messages().len();
    let wrong = TissueSettings { tile_share: Some(2.0), ..TissueSettings::default() };
    assert!(test.session.handle(EmbeddingCommand::SetTissue(wrong)).is_empty());
    assert_eq!((test.session.messages().len(), test.session.tissue_settings()), (before + 1, &piece));
}

#[test]
fn a_slide_without_a_tile_is_named_with_what_would_help() {
    let mut test = TestSession::with_slides(1);
    let why =
        NoTiles { tissue_um2: Some(13_000.0), cause: Cause::TooLittleOfATile { fullest: 0.26, asked: 0.5 } };
    test.session.absorb(EmbeddingEvent::NoTiles { slide: test.id(0), why });
    let told = &test.session.messages().last().unwrap().text;
    assert!(told.starts_with("slide-0.png: no tiles to embed: 0.013 mm²"), "{told}");
    assert!(told.contains("embedding settings") && !told.contains("--"), "{told}");
}

#[test]
fn what_the_user_stops_is_told_as_a_note_and_what_fails_as_an_error() {
    let mut test = TestSession::with_slides(1);
    let (slide, path) = (test.id(0), test.folder.path().join("cells.geojson"));
    for (trouble, severity, text) in [
        (FileTrouble::Stopped, Severity::Note, "stopped"),
        (FileTrouble::Failed("the disk is full".to_owned()), Severity::Error, "the disk is full"),
    ] {
        let (written, file) = (Err(trouble.clone()), Err(trouble));
        test.session.absorb(AnnotationEvent::Exported { slide: slide.clone(), path: path.clone(), written });
        let message = test.session.messages().last().unwrap();
        assert_eq!((message.severity, message.text.contains(text)), (severity, true), "{}", message.text);
        test.session.absorb(AnnotationEvent::Imported { slide: slide.clone(), path: path.clone(), file });
        let message = test.session.messages().last().unwrap();
        assert_eq!((message.severity, message.text.contains(text)), (severity, true), "{}", message.text);
    }
}

#[test]
fn an_import_is_stopped_also_after_its_file_was_read_if_it_has_to_wait_once_more() {
    for is_stopped in [false, true] {
        let mut test = TestSession::with_slides(1);
        let (slide, path) = (test.id(0), test.folder.path().join("cells.geojson"));
        test.session
            .absorb(AnnotationEvent::Loaded { slide: slide.clone(), loaded: Ok(AnnotationSet::default()) });
        let jobs =
            test.session.handle(AnnotationCommand::Import { slide: slide.clone(), path: path.clone() });
        let Some(Job::Annotations(AnnotationJob::Import { set, stop, .. })) = jobs.into_iter().next() else {
            panic!("no import")
        };
        let drawn = || Annotation::new(Shape::Points(vec![Level0Point::new(1.0, 2.0)]), None);
        let edit = Edit::Add(vec![drawn()]);
        test.session.handle(AnnotationCommand::Edit { slide: slide.clone(), edit });
        if is_stopped {
            test.session.handle(AnnotationCommand::StopFile(slide.clone()));
        }
        // It was read for the annotations as they were before.
        let cells = r#"[{"type":"Feature","geometry":{"type":"Point","coordinates":[5,6]},"properties":{}}]"#;
        let file = read_bytes(cells.as_bytes(), &path).unwrap();
        let read = ReadFile { file, edit: Some((set, Edit::Add(vec![drawn()]))), is_saved: false, stop };
        let file = Ok(Box::new(read));
        let jobs = test.session.absorb(AnnotationEvent::Imported { slide: slide.clone(), path, file });
        let waits = matches!(&jobs[..], [Job::Annotations(AnnotationJob::Import { read: Some(_), .. })]);
        assert_eq!((waits, jobs.is_empty()), (!is_stopped, is_stopped));
        let is_told = |message: &Message| message.text.contains("Nothing was added");
        assert_eq!(test.session.messages().iter().any(is_told), is_stopped);
        assert_eq!(test.session.annotations(&slide).unwrap().set().len(), 1);
    }
}

#[test]
fn a_training_tells_what_it_does_and_how_far_it_is() {
    let mut test = TestSession::with_slides(0);
    let progressed = |test: &mut TestSession, progress| {
        test.session.absorb(TrainingEvent::Progress(progress));
        test.session.training().running().doing_share
    };
    let keeping = Progress::Keeping { done: 150, total: 600, seconds_left: 90.0 };
    assert_eq!(progressed(&mut test, keeping), Some(0.25));
    for (step, rest) in [(0, ""), (300, ", continued after step 300")] {
        let (run, device) = ("run-001".to_owned(), "CPU".to_owned());
        let started = Progress::Started { run, step, steps: 900, device, history: Box::default() };
        assert_eq!(progressed(&mut test, started), None);
        let log = test.session.training().running().log.last().unwrap();
        assert_eq!(*log, format!("run-001: 900 steps on CPU{rest}"));
    }
}
