//! The session read as a list of what the user did and what the workers answered; no threads, no screen.

use std::sync::Arc;

use histokin::encoder::{Encoder, EncoderSpec};
use histokin::geometry::{Level0Point, Level0Rect, MicronsPerPixel};
use histokin::index::Snapshot;
use histokin::pipeline;
use histokin::project::Project;
use histokin::query;
use histokin::session::{Command, EncoderState, Event, Job, Session, SlideProgress, SlideStatus};
use histokin::slide::{self, SlideId, SlideSource};
use image::{Rgb, RgbImage};

use crate::made::{self, QuarterColours};

struct Desk {
    folder: tempfile::TempDir,
    session: Session,
    slides: Vec<Arc<dyn SlideSource>>,
}

impl Desk {
    /// A session whose encoder is known, with `count` calibrated pictures open.
    fn with_slides(count: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::open_or_create(&folder.path().join("project")).unwrap();
        let mut desk = Self { folder, session: Session::new(project), slides: Vec::new() };
        let spec: EncoderSpec = QuarterColours::new().spec().clone();
        desk.session.absorb(Event::EncoderKnown(Box::new(spec)));
        for number in 0..count {
            let source = desk.picture(number, Some(MicronsPerPixel::square(1.0)));
            desk.session.absorb(Event::SlideOpened(source.clone()));
            desk.slides.push(source);
        }
        desk
    }

    fn picture(&self, number: u8, mpp: Option<MicronsPerPixel>) -> Arc<dyn SlideSource> {
        let path = self.folder.path().join(format!("slide-{number}.png"));
        RgbImage::from_pixel(900, 700, Rgb([180, number, 150])).save(&path).unwrap();
        slide::open(&path, mpp).unwrap()
    }

    fn id(&self, number: usize) -> SlideId {
        self.slides[number].info().id.clone()
    }

    fn status(&self, number: usize) -> &SlideStatus {
        &self.session.slide(&self.id(number)).unwrap().status
    }
}

/// The plan for the embedder among `jobs`: slides in order, and whether it is paused.
fn plan(jobs: &[Job]) -> Option<(Vec<SlideId>, bool)> {
    jobs.iter().find_map(|job| match job {
        Job::Embed(plan) => {
            let ids = plan.targets.iter().map(|target| target.slide.info().id.clone()).collect();
            Some((ids, plan.paused))
        }
        _ => None,
    })
}

#[test]
fn the_slide_in_view_is_embedded_first() {
    let mut desk = Desk::with_slides(3);
    let mut jobs = Vec::new();
    for number in 0..3 {
        jobs = desk.session.absorb(Event::NoDescriptors { slide: desk.id(number) });
    }
    assert_eq!(plan(&jobs), Some((vec![desk.id(0), desk.id(1), desk.id(2)], false)));
    let jobs = desk.session.handle(Command::Show(desk.id(2)));
    assert_eq!(plan(&jobs), Some((vec![desk.id(2), desk.id(0), desk.id(1)], false)));
    let jobs = desk.session.handle(Command::PauseEmbedding);
    assert!(plan(&jobs).unwrap().1);
    let jobs = desk.session.handle(Command::CancelEmbedding);
    assert_eq!(plan(&jobs).unwrap().0, []);
    let jobs = desk.session.handle(Command::ResumeEmbedding);
    assert_eq!(plan(&jobs), Some((vec![desk.id(2), desk.id(0), desk.id(1)], false)));
}

#[test]
fn a_slide_without_pixel_size_waits_for_the_user_and_keeps_what_was_given() {
    let mut desk = Desk::with_slides(0);
    let source = desk.picture(9, None);
    let id = source.info().id.clone();
    desk.session.absorb(Event::SlideOpened(source.clone()));
    assert_eq!(desk.session.slide(&id).unwrap().status, SlideStatus::NeedsMpp);
    let mpp = MicronsPerPixel::square(0.5);
    let jobs = desk.session.handle(Command::SetMpp { slide: id.clone(), mpp });
    assert!(matches!(&jobs[..], [Job::OpenSlide { user_mpp: Some(given), .. }] if *given == mpp));
    // From now on, wherever the slide is opened from, it has that pixel size.
    let jobs = desk.session.absorb(Event::SlideOpened(source));
    assert!(matches!(&jobs[..], [Job::OpenSlide { user_mpp: Some(given), .. }] if *given == mpp));
    let absurd = MicronsPerPixel::square(-1.0);
    assert!(desk.session.handle(Command::SetMpp { slide: id, mpp: absurd }).is_empty());
    assert!(desk.session.messages()[0].text.contains("µm per pixel"));
}

#[test]
fn one_index_is_built_at_a_time_and_what_came_meanwhile_is_not_forgotten() {
    let mut desk = Desk::with_slides(2);
    let set = |number: usize| {
        let set = made::set("a", 12, &[vec![0.0; 12], vec![1.0; 12]]);
        let mut header = set.header.clone();
        header.slide_id = desk.id(number);
        header.recipe = desk.session.recipe().expect("the encoder is known");
        let rows = [(histokin::tiling::TileIndex(0), [0.5; 12].as_slice())].map(|(tile, row)| (tile, row));
        Arc::new(histokin::descriptors::DescriptorSet::from_rows(header, &rows, 0))
    };
    let (first, second) = (set(0), set(1));
    let jobs = desk.session.absorb(Event::DescriptorsReady { set: first.clone(), finished: true });
    assert!(matches!(&jobs[..], [Job::BuildIndex { sets, settled: false, .. }] if sets.len() == 1));
    assert_eq!(*desk.status(0), SlideStatus::Embedded(SlideProgress { done: 1, total: 1, failed: 0 }));
    let jobs = desk.session.absorb(Event::DescriptorsReady { set: second, finished: true });
    assert!(jobs.is_empty(), "a build is under way");
    let jobs = desk.session.absorb(Event::IndexBuilt(Arc::new(Snapshot::build(vec![first], None, None))));
    assert!(matches!(&jobs[..], [Job::BuildIndex { sets, settled: true, .. }] if sets.len() == 2));
}

#[test]
fn a_click_finds_matches_a_row_goes_there_and_back_returns() {
    let mut desk = Desk::with_slides(2);
    let rows: Vec<Vec<f32>> = (0..4).map(|n| vec![n as f32; 12]).collect();
    let sets: Vec<_> = (0..2)
        .map(|number| {
            let set = made::set("a", 12, &rows);
            let mut header = set.header.clone();
            header.slide_id = desk.id(number);
            header.grid = [4, 3];
            let rows: Vec<_> =
                (0..).map(histokin::tiling::TileIndex).zip(rows.iter().map(Vec::as_slice)).collect();
            Arc::new(histokin::descriptors::DescriptorSet::from_rows(header, &rows, 0))
        })
        .collect();
    let index = Arc::new(Snapshot::build(sets, None, None));
    desk.session.absorb(Event::IndexBuilt(index));

    let point = Level0Point::new(230.0, 10.0);
    let jobs = desk.session.handle(Command::QueryAt { slide: desk.id(0), point });
    let [Job::Search(request)] = &jobs[..] else { panic!("a click is a search") };
    let answer = query::ask(&request.index, &request.query).unwrap();
    let stale = request.generation - 1;
    assert!(
        desk.session.absorb(Event::Answered { generation: stale, answer: Ok(answer.clone()) }).is_empty()
    );
    assert!(desk.session.query().unwrap().answer.is_none(), "answers to older questions are dropped");
    desk.session.absorb(Event::Answered { generation: stale + 1, answer: Ok(answer) });

    let best = desk.session.query().unwrap().answer.as_ref().unwrap().matches[0].clone();
    assert_eq!(best.slide, desk.id(1), "the same descriptor stands on the other slide");
    assert_eq!(best.distance, 0.0);
    let from = Level0Rect::new(0, 0, 300, 200);
    desk.session.handle(Command::GoToMatch { rank: 0, from: Some((desk.id(0), from)) });
    assert_eq!(*desk.session.active().unwrap().id(), desk.id(1));
    assert_eq!(desk.session.take_destination().unwrap().field, best.rect);
    assert!(desk.session.query().is_some(), "the query is kept");
    desk.session.handle(Command::Back);
    assert_eq!(*desk.session.active().unwrap().id(), desk.id(0));
    assert_eq!(desk.session.take_destination().unwrap().field, from);
    assert!(!desk.session.can_go_back());
}

#[test]
fn trouble_stays_until_it_is_dismissed_and_is_told_once() {
    let mut desk = Desk::with_slides(0);
    for _ in 0..3 {
        desk.session.absorb(Event::SlideFailed {
            path: "broken.svs".into(),
            reason: "broken.svs: cannot be opened".to_owned(),
        });
    }
    assert_eq!(desk.session.messages().len(), 1);
    let id = desk.session.messages()[0].id;
    desk.session.handle(Command::DismissMessage(id));
    assert!(desk.session.messages().is_empty());
}

#[test]
fn a_slide_that_has_moved_is_found_again_by_name_and_content() {
    let mut desk = Desk::with_slides(1);
    let (id, before) = (desk.id(0), desk.slides[0].info().path.clone());
    let reason = "slide-0.png: there is no such file".to_owned();
    let jobs = desk.session.absorb(Event::SlideMissing { path: before.clone(), reason: reason.clone() });
    let [Job::FindMoved { slide, path, folders, .. }] = &jobs[..] else { panic!("it is looked for") };
    assert_eq!((slide, path), (&id, &before));
    assert!(desk.session.messages().is_empty(), "nothing is said before it was looked for");

    let elsewhere = desk.folder.path().join("filed/away");
    std::fs::create_dir_all(&elsewhere).unwrap();
    std::fs::rename(&before, elsewhere.join("slide-0.png")).unwrap();
    // Another slide of the same name is not taken for it.
    RgbImage::from_pixel(30, 20, Rgb([1, 2, 3])).save(desk.folder.path().join("filed/slide-0.png")).unwrap();
    let found = pipeline::find_moved(&id, &before, None, folders).expect("it is found");
    assert_eq!(found.info().id, id);
    assert!(found.info().path.starts_with(std::fs::canonicalize(&elsewhere).unwrap_or(elsewhere)));

    desk.session.absorb(Event::SlideFailed { path: before.clone(), reason });
    assert_eq!(desk.session.messages().len(), 1);
    desk.session.absorb(Event::SlideOpened(found));
    assert!(desk.session.messages().is_empty(), "what was said of the old place is taken back");
    assert!(!before.exists());
    let unknown = SlideId("another".to_owned());
    assert!(pipeline::find_moved(&unknown, &before, None, &[desk.folder.path().to_owned()]).is_none());
}

#[test]
fn examples_come_and_go_and_questions_are_kept() {
    let mut desk = Desk::with_slides(2);
    let (slide, point) = (desk.id(0), Level0Point::new(230.0, 10.0));
    desk.session.absorb(Event::BookLoaded(Box::default()));
    let add = |like: bool, x: f64| Command::AddExample {
        slide: slide.clone(),
        point: Level0Point::new(x, 10.0),
        like,
    };
    desk.session.handle(Command::QueryAt { slide: slide.clone(), point });
    desk.session.handle(add(true, 10.0));
    let jobs = desk.session.handle(add(false, 500.0));
    let [Job::Search(request), Job::SaveBook { book, .. }] = &jobs[..] else {
        panic!("a search, and the book")
    };
    assert_eq!((request.query.like.len(), request.query.unlike.len()), (2, 1));
    assert_eq!(book.history().len(), 1, "one question, as it is now");
    desk.session.handle(add(true, 10.0));
    assert_eq!(desk.session.query().unwrap().like.len(), 1, "a second click takes it away");
    desk.session.handle(add(true, 500.0));
    let query = desk.session.query().unwrap();
    assert_eq!((query.like.len(), query.unlike.len()), (2, 0), "a tile is like the others, or not");
    desk.session.handle(Command::QueryAt { slide: slide.clone(), point: Level0Point::new(10.0, 10.0) });
    desk.session.handle(Command::Recall(1));
    assert_eq!(desk.session.query().unwrap().like.len(), 2);
    desk.session.handle(Command::RemoveExample { like: true, place: 0 });
    desk.session.handle(Command::RemoveExample { like: true, place: 0 });
    assert!(desk.session.query().is_none(), "nothing is left to look for");
}

#[test]
fn matches_are_judged_and_judgements_taken_back() {
    use histokin::query::Verdict;
    let mut desk = Desk::with_slides(1);
    let rows: Vec<Vec<f32>> = (0..4).map(|n| vec![n as f32; 12]).collect();
    let set = made::set("a", 12, &rows);
    let mut header = set.header.clone();
    header.slide_id = desk.id(0);
    header.grid = [4, 3];
    let rows: Vec<_> = (0..).map(histokin::tiling::TileIndex).zip(rows.iter().map(Vec::as_slice)).collect();
    let set = Arc::new(histokin::descriptors::DescriptorSet::from_rows(header, &rows, 0));
    desk.session.absorb(Event::IndexBuilt(Arc::new(Snapshot::build(vec![set], None, None))));
    desk.session.absorb(Event::BookLoaded(Box::default()));
    let mut settings = desk.session.query_settings().clone();
    settings.exclude_um = 0.0;
    desk.session.handle(Command::SetQuery(settings));
    let jobs =
        desk.session.handle(Command::QueryAt { slide: desk.id(0), point: Level0Point::new(10.0, 10.0) });
    let Job::Search(request) = &jobs[0] else { panic!("a click is a search") };
    let answer = query::ask(&request.index, &request.query);
    desk.session.absorb(Event::Answered { generation: request.generation, answer: answer.clone() });
    let answer = answer.unwrap();
    let precision = |desk: &Desk| desk.session.book().precision(&answer);
    let judge = |rank, verdict| Command::Judge { rank, verdict: Some(verdict) };
    desk.session.handle(judge(0, Verdict::Same));
    let jobs = desk.session.handle(judge(1, Verdict::Different));
    assert!(matches!(&jobs[..], [Job::SaveBook { book, .. }] if book.judgements().len() == 2));
    desk.session.handle(judge(0, Verdict::Unsure));
    assert_eq!(precision(&desk).share(), Some(0.0));
    desk.session.handle(Command::UndoJudgement);
    assert_eq!(precision(&desk).share(), Some(0.5));
    desk.session.handle(Command::UndoJudgement);
    desk.session.handle(Command::UndoJudgement);
    assert!(desk.session.book().judgements().is_empty() && !desk.session.can_undo_judgement());
}

#[test]
fn tissue_that_is_not_embedded_is_described_on_the_spot() {
    let mut desk = Desk::with_slides(1);
    let other = made::set("b", 12, &[vec![0.5; 12]]);
    desk.session.absorb(Event::IndexBuilt(Arc::new(Snapshot::build(vec![other], None, None))));
    let jobs =
        desk.session.handle(Command::QueryAt { slide: desk.id(0), point: Level0Point::new(10.0, 10.0) });
    let Job::Search(request) = &jobs[0] else { panic!("a click is a search") };
    let (generation, answer) = (request.generation, query::ask(&request.index, &request.query));
    let jobs = desk.session.absorb(Event::Answered { generation, answer });
    let Some(Job::Describe(request)) = jobs.iter().find(|job| matches!(job, Job::Describe(_))) else {
        panic!("the tile is described")
    };
    let descriptors = Ok(vec![vec![0.5; 12]]);
    let jobs = desk.session.absorb(Event::Described {
        slide: desk.id(0),
        rects: request.rects.clone(),
        descriptors,
    });
    let Job::Search(request) = &jobs[0] else { panic!("and looked for") };
    assert_eq!(query::ask(&request.index, &request.query).unwrap().matches[0].distance, 0.0);
}

#[test]
fn a_module_of_others_waits_for_permission() {
    let mut desk = Desk::with_slides(1);
    let untrusted = || Event::EncoderUntrusted { path: "module.pt".into() };
    assert!(desk.session.absorb(untrusted()).is_empty());
    let jobs = desk.session.handle(Command::TrustEncoder(true));
    assert!(matches!(&jobs[..], [Job::TrustEncoder { module, .. }] if module.ends_with("module.pt")));
    assert!(desk.session.handle(Command::TrustEncoder(true)).is_empty(), "it was answered");
    desk.session.absorb(untrusted());
    assert!(desk.session.handle(Command::TrustEncoder(false)).is_empty());
    assert!(matches!(desk.session.encoder(), EncoderState::Failed(reason) if reason.contains("module.pt")));
}
