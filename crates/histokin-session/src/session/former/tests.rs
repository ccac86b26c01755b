//! A session in which another project is opened.

use histokin_core::annotation::{Annotation, Edit, Shape};
use histokin_core::geometry::{Level0Point, Level0Rect, MicronsPerPixel};
use histokin_core::query::{
    Example, JudgedMatch, Judgement, PatientList, QueryHistory, ShownExample, TilePosition,
};
use histokin_core::slide::SlideSource;
use histokin_core::slide::test_slide::TestSlide;
use histokin_encoder::{self as encoder, DeviceChoice};
use histokin_project::project::Project;
use histokin_training::config::TrainingConfig;

use super::super::{
    AnnotationCommand, AnnotationJob, Found, HistoryJob, OpenJob, Report, SlideCommand, TrainingCommand,
    TrainingEnd, TrainingJob,
};
use super::*;

/// A session in which two projects of the same slide are opened, one after the other.
struct Changed {
    folder: tempfile::TempDir,
    session: Session,
    slide: Arc<dyn SlideSource>,
    former: ProjectNumber,
    jobs: Vec<Job>,
}

impl Changed {
    /// Opens the second project after something has been done in the first.
    fn after(act: impl FnOnce(&mut Session, &SlideId)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Session::new(project(&folder, "first"));
        let slide: Arc<dyn SlideSource> = Arc::new(TestSlide::new(640, 480));
        let id = slide.info().id.clone();
        session.absorb(SlideEvent::Opened(slide.clone()));
        session.absorb(AnnotationEvent::Loaded { slide: id.clone(), loaded: Ok(AnnotationSet::default()) });
        act(&mut session, &id);
        let former = session.opened().number;
        let jobs = open(&mut session, project(&folder, "second"));
        assert!(session.opened().number > former);
        Self { folder, session, slide, former, jobs }
    }

    fn id(&self) -> SlideId {
        self.slide.info().id.clone()
    }

    /// A job of the first project reports now.
    fn late(&mut self, event: impl Into<Event>) -> Vec<Job> {
        self.session.receive(Report { of: self.former, event: event.into() })
    }

    fn is_told(&self, words: &str) -> bool {
        self.session.messages().iter().any(|message| message.text.contains(words))
    }
}

fn project(folder: &tempfile::TempDir, name: &str) -> Project {
    Project::open_or_create(&folder.path().join(name)).unwrap()
}

fn open(session: &mut Session, project: Project) -> Vec<Job> {
    let request = session.requests.newest;
    session.absorb(Box::new(Found { request, project: Some(project), ..Found::default() }))
}

fn judgement() -> JudgedMatch {
    let tile = TilePosition { slide: SlideId("00aa".to_owned()), rect: Level0Rect::new(0, 0, 224, 224) };
    let (judgement, encoder) = (Judgement::Same, "e".to_owned());
    JudgedMatch { query: tile.clone(), found: tile, judgement, distance: 0.5, encoder }
}

fn drawn() -> AnnotationSet {
    AnnotationSet::new([Annotation::new(Shape::Points(vec![Level0Point::new(5.0, 5.0)]), None)])
}

#[test]
fn what_jobs_of_a_project_that_was_left_report_late_changes_nothing_of_the_next() {
    let mut changed = Changed::after(|_, _| {});
    let slide = changed.slide.clone();
    assert!(changed.late(SlideEvent::Opened(slide.clone())).is_empty());
    assert!(changed.session.slides().is_empty() && changed.session.project().slides().is_empty());

    changed.session.absorb(SlideEvent::Opened(slide));
    let id = changed.id();
    changed.late(AnnotationEvent::Loaded { slide: id.clone(), loaded: Ok(drawn()) });
    let annotations = changed.session.annotations(&id).unwrap();
    assert!(!annotations.is_loaded() && annotations.set().is_empty());
    changed.late(SlideEvent::Unavailable { slide: id.clone(), reason: "gone".to_owned() });
    assert!(changed.session.slide(&id).unwrap().unavailable.is_none());

    let mut query_history = QueryHistory::default();
    query_history.judge(judgement());
    changed.late(QueryEvent::HistoryLoaded { query_history: Box::new(query_history) });
    assert!(changed.session.query_history().judgements().is_empty());
    let (name, descriptors) = ("photo.png".to_owned(), vec![vec![0.0, 1.0]]);
    let example = Example::Descriptors { name, position: None, descriptors, recipe: None, file: None };
    let shown = Box::new(ShownExample { example, position: None });
    assert!(changed.late(QueryEvent::PictureEmbedded(Ok(shown))).is_empty());
    assert!(changed.session.query().is_none());
    changed.late(EmbeddingEvent::EncodersListed(Vec::new()));
    assert!(changed.session.encoders().is_none());
    let which = changed.session.project().encoder_name();
    changed.late(EmbeddingEvent::EncoderKnown { which, spec: Box::new(made_spec()) });
    assert!(changed.session.recipe().is_none());
    let known = changed.session.messages().len();
    let patients = PatientList { patients: vec![("test".to_owned(), "P1".to_owned())], note: None };
    changed.late(QueryEvent::PatientsRead { path: "list.csv".into(), patients: Ok(patients) });
    assert_eq!(changed.session.project().patients().count(), 0);
    assert!(changed.is_told("list.csv: the patients were not added to") && changed.is_told("first"));
    assert_eq!(changed.session.messages().len(), known + 1, "only that is told");
}

fn made_spec() -> encoder::EncoderSpec {
    encoder::EncoderSpec {
        id: encoder::EncoderId("of a test".to_owned()),
        name: "of a test".to_owned(),
        width: 128,
        tiles: Default::default(),
        stain: histokin_core::stain::StainSetting::None,
        stain_reference: histokin_core::stain::LabStatistics { mean: [75.0; 3], std: [10.0; 3] },
    }
}

#[test]
fn training_of_a_project_that_was_left_ends_without_ending_that_of_the_next() {
    let start = |session: &mut Session| {
        session.handle(TrainingCommand::Start {
            slides: Vec::new(),
            validation: Vec::new(),
            config: Box::new(TrainingConfig::default()),
            seconds: None,
            device: DeviceChoice::Cpu,
        })
    };
    let mut changed = Changed::after(|session, _| _ = start(session));
    assert!(changed.jobs.iter().any(|job| matches!(job, Job::Training(TrainingJob::Stop))));
    start(&mut changed.session);
    changed.late(TrainingEvent::Ended(Ok(TrainingEnd { step: 7, stopped: true })));
    assert!(changed.session.training().running().active);
    assert!(changed.is_told("training was stopped after step 7"));
    changed.late(TrainingEvent::Ended(Err("the disk is full".to_owned())));
    assert!(changed.session.training().running().active && changed.is_told("the disk is full"));
}

#[test]
fn unsaved_annotations_of_a_project_that_was_left_are_told_until_they_are_saved() {
    let mut changed = Changed::after(|session, id| {
        let edit = Edit::Add(drawn().iter().map(|one| one.as_ref().clone()).collect());
        let jobs = session.handle(AnnotationCommand::Edit { slide: id.clone(), edit });
        assert!(matches!(&jobs[..], [Job::Annotations(AnnotationJob::Save { .. })]));
        session
            .absorb(AnnotationEvent::NotSaved { slide: id.clone(), reason: "the disk is full".to_owned() });
    });
    let (id, slide) = (changed.id(), changed.slide.clone());
    let root = changed.folder.path().join("first").canonicalize().unwrap();
    let remedy = Some(Remedy::OpenProject(changed.session.unsaved_elsewhere()[0].root.clone()));
    assert_eq!(changed.session.unsaved_elsewhere()[0].root.canonicalize().unwrap(), root);
    let told = |changed: &Changed| {
        changed
            .session
            .messages()
            .iter()
            .filter(|one| one.remedy == remedy)
            .map(|one| one.text.clone())
            .collect::<Vec<_>>()
    };
    assert!(told(&changed)[0].contains("the disk is full"));
    // The slide of that ID in this project is another matter.
    changed.session.absorb(SlideEvent::Opened(slide));
    changed.late(AnnotationEvent::NotSaved { slide: id.clone(), reason: "the disk is gone".to_owned() });
    assert!(changed.session.unsaved_annotations().next().is_none());
    assert_eq!(changed.session.unsaved_elsewhere().len(), 1);
    assert!(told(&changed).len() == 1 && told(&changed)[0].contains("the disk is gone"));
    changed.late(AnnotationEvent::Saved { slide: id });
    assert!(changed.session.unsaved_elsewhere().is_empty() && told(&changed).is_empty());
}

#[test]
fn unsaved_annotations_are_this_projects_again_once_it_is_opened_again() {
    let mut changed = Changed::after(|session, id| {
        session
            .absorb(AnnotationEvent::NotSaved { slide: id.clone(), reason: "the disk is full".to_owned() });
    });
    let first = project(&changed.folder, "first");
    open(&mut changed.session, first);
    let (id, slide) = (changed.id(), changed.slide.clone());
    changed.session.absorb(SlideEvent::Opened(slide));
    assert_eq!(changed.session.unsaved_elsewhere().len(), 1);
    changed.late(AnnotationEvent::NotSaved { slide: id.clone(), reason: "the disk is full".to_owned() });
    assert!(changed.session.unsaved_elsewhere().is_empty());
    assert_eq!(changed.session.unsaved_annotations().next(), Some(&id));
    changed.late(AnnotationEvent::Saved { slide: id });
    assert!(changed.session.unsaved_annotations().next().is_none());
}

#[test]
fn an_import_that_ends_after_its_project_was_left_says_what_has_become_of_it() {
    for is_saved in [false, true] {
        let mut jobs = Vec::new();
        let mut changed = Changed::after(|session, id| {
            jobs =
                session.handle(AnnotationCommand::Import { slide: id.clone(), path: "cells.geojson".into() });
        });
        let Some(Job::Annotations(AnnotationJob::Import { set, stop, .. })) = jobs.pop() else {
            panic!("a file is read")
        };
        assert!(stop.load(std::sync::atomic::Ordering::Relaxed));
        let file = histokin_core::annotation::read_bytes(
            br#"[{"type":"Feature","geometry":{"type":"Point","coordinates":[5,6]},"properties":{}}]"#,
            Path::new("cells.geojson"),
        );
        let read = ReadFile { file: file.unwrap(), edit: Some((set, Edit::Add(Vec::new()))), is_saved, stop };
        let (slide, path) = (changed.id(), PathBuf::from("cells.geojson"));
        changed.late(AnnotationEvent::Imported { slide, path, file: Ok(Box::new(read)) });
        assert_eq!(changed.is_told("read and saved in"), is_saved);
        assert_eq!(changed.is_told("Nothing was added"), !is_saved);
    }
}

#[test]
fn what_can_be_done_about_messages_of_a_project_is_not_done_to_the_next() {
    let changed = Changed::after(|session, id| {
        session.absorb(SlideEvent::Failed { path: "a.svs".into(), reason: "a.svs is damaged".to_owned() });
        session.absorb(EmbeddingEvent::Failed { slide: id.clone(), reason: "no memory".to_owned() });
        session.messages.note("something else");
    });
    assert!(!changed.is_told("a.svs is damaged") && !changed.is_told("no memory"));
    assert!(changed.is_told("something else"));
}

#[test]
fn paths_belong_to_the_project_that_was_asked_for_before_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::new(project(&folder, "first"));
    let ask = |session: &mut Session, path: &str| {
        let jobs = session.handle(SlideCommand::Open(vec![path.into()]));
        let [Job::Open(OpenJob::FindPaths { request, .. })] = &jobs[..] else {
            panic!("paths are looked at")
        };
        (*request, session.opened().number)
    };
    let (early, of) = ask(&mut session, "early");
    let (change, _) = ask(&mut session, "second");
    let (later, _) = ask(&mut session, "later");
    let found = |request, slide: &str, project| {
        let (slides, encoder) = (vec![slide.into()], None);
        Report { of, event: Box::new(Found { request, project, slides, encoder }).into() }
    };
    let opens = |jobs: &[Job], wanted: &str| {
        jobs.iter()
            .any(|job| matches!(job, Job::Open(OpenJob::OpenSlide { path, .. }) if path == Path::new(wanted)))
    };
    let report = found(change, "beside.svs", Some(project(&folder, "second")));
    assert!(session.accepts(&report));
    assert!(opens(&session.receive(report), "beside.svs"), "it was opened together with the project");
    let report = found(early, "early.svs", None);
    assert!(!session.accepts(&report));
    assert!(!opens(&session.receive(report), "early.svs"));
    assert!(session.messages().iter().any(|message| message.text.contains("early.svs: was not opened")));
    let report = found(later, "later.svs", None);
    assert!(session.accepts(&report));
    assert!(opens(&session.receive(report), "later.svs"));
    // A project that answers too late does not replace one that was asked for after it.
    session.receive(found(early, "early.svs", Some(project(&folder, "third"))));
    assert!(session.project().root().ends_with("second"));
}

#[test]
fn files_that_were_not_added_yet_are_told_when_the_project_is_left() {
    let changed = Changed::after(|session, _| {
        let slides = ["a.svs", "b.svs", "c.svs"].map(PathBuf::from).to_vec();
        session.absorb(Box::new(Found { slides, ..Found::default() }));
        session.absorb(SlideEvent::Failed { path: "a.svs".into(), reason: "a.svs is damaged".to_owned() });
    });
    assert!(changed.is_told("b.svs and 1 file more: not added to"));
    assert!(!Changed::after(|_, _| {}).is_told("not added to"));
}

#[test]
fn judgements_made_before_the_history_was_read_are_added_to_it_when_the_project_is_left() {
    let added = |jobs: &[Job]| {
        jobs.iter().find_map(|job| match job {
            Job::History(HistoryJob::AddToHistory { root, added, .. }) => {
                Some((root.ends_with("first"), added.judgements().len()))
            }
            _ => None,
        })
    };
    let changed = Changed::after(|session, _| _ = session.query.history.judge(judgement()));
    assert_eq!(added(&changed.jobs), Some((true, 1)));
    let read = Changed::after(|session, _| {
        session.absorb(QueryEvent::HistoryLoaded { query_history: Box::default() });
        session.query.history.judge(judgement());
    });
    assert_eq!(added(&read.jobs), None, "each judgement was saved when it was made");
}

#[test]
fn a_pixel_size_is_saved_before_the_slide_is_opened_with_it() {
    Changed::after(|session, id| {
        let mpp = MicronsPerPixel::square(0.5).unwrap();
        let jobs = session.handle(SlideCommand::SetMpp { slide: id.clone(), mpp });
        let [Job::SaveProject(saved), Job::Open(OpenJob::OpenSlide { .. })] = &jobs[..] else {
            panic!("it is saved even if the slide is not opened any more")
        };
        assert_eq!(saved.user_mpp(id), Some(mpp));
    });
}
