//! The archive as one more scope of the window's questions: the session's commands, the thread that asks, and the
//! way to matches that only the archive has.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use histokin::archive::ArchiveUrl;
use histokin::archive::credentials::Password;
use histokin::archive::push::{SlideToPush, push_slide};
use histokin::archive::{NamedSlide, Storage};
use histokin::descriptors::{DescriptorHeader, DescriptorSet};
use histokin::encoder::Encoder;
use histokin::geometry::{Level0Point, MicronsPerPixel};
use histokin::index::Snapshot;
use histokin::project::Project;
use histokin::query::{self, Judgement, Scope};
use histokin::session::{
    ArchiveCommand, ArchiveJob, ArchiveProgress, Command, EmbeddingEvent, Event, IndexEvent, Job,
    MatchCommand, OpenJob, QueryCommand, QueryEvent, Session, SlideEvent, TilePicture,
};
use histokin::slide::{self, SlideSource};
use histokin::stain::StainSetting;
use histokin::tiling::{TileGrid, TileIndex};
use histokin::workers::Workers;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};

use crate::archive::rows;
use crate::made::{self, QuarterColours};
use crate::support::postgres::{Database, OWNER, READER, Server, WRITER, password};

/// Twelve tiles of a picture, described by twelve numbers each.
fn described(source: &dyn SlideSource, seed: u64) -> DescriptorSet {
    let grid = TileGrid::new(source.info(), made::recipe().tiles).unwrap();
    let header = DescriptorHeader::new(source.info().id.clone(), made::recipe(), 12, &grid, grid.len());
    let rows = rows(seed, grid.len() as usize);
    let rows: Vec<(TileIndex, &[f32])> =
        (0..).map(TileIndex).zip(rows.iter().map(|row| &row[..12])).collect();
    DescriptorSet::from_rows(header, &rows, 0)
}

fn picture(folder: &Path, number: u8) -> Arc<dyn SlideSource> {
    let path = folder.join(format!("slide-{number}.png"));
    RgbImage::from_pixel(900, 700, Rgb([180, number, 150])).save(&path).unwrap();
    slide::open(&path, Some(MicronsPerPixel::square(1.0).unwrap())).unwrap()
}

/// Hand searches and openings to the workers, and their events to the session, until it is content.
fn run(session: &mut Session, workers: &Workers, jobs: Vec<Job>, is_done: impl Fn(&Session) -> bool) {
    let wanted = |job: &Job| {
        matches!(
            job,
            Job::Search(_) | Job::Archive(ArchiveJob::Search(_)) | Job::Open(OpenJob::OpenSlide { .. })
        )
    };
    let project = session.opened();
    let issue = |jobs: Vec<Job>| {
        jobs.into_iter().filter(wanted).for_each(|job| workers.dispatch(&project, job));
    };
    issue(jobs);
    let started = Instant::now();
    while !is_done(session) {
        assert!(started.elapsed() < Duration::from_secs(120), "{:?}", session.archive_progress());
        if let Ok(report) = workers.reports().recv_timeout(Duration::from_millis(100)) {
            issue(session.receive(report));
        }
    }
}

/// A session in which the first of the pictures is open and described.
fn session(root: &Path, sources: &[Arc<dyn SlideSource>]) -> Session {
    let mut project = Project::open_or_create(root).unwrap();
    let mut settings = project.settings().clone();
    settings.stain = StainSetting::None;
    project.set_settings(settings);
    for source in &sources[1..] {
        project.set_user_mpp(&source.info().id, MicronsPerPixel::square(1.0).unwrap());
    }
    let mut session = Session::new(project);
    let (which, spec) = (session.project().encoder_name(), QuarterColours::new().spec().clone());
    session.absorb(EmbeddingEvent::EncoderKnown { which, spec: Box::new(spec) });
    session.absorb(SlideEvent::Opened(sources[0].clone()));
    let own = Arc::new(described(sources[0].as_ref(), 10));
    session.absorb(EmbeddingEvent::DescriptorsReady { set: own.clone(), finished: true });
    session.absorb(IndexEvent::Built(Arc::new(Snapshot::build(vec![own], None, None))));
    session
}

/// Push a slide, each tile with a red picture of it.
fn push(database: &Database<'_>, set: &DescriptorSet, name: &str, location: &str) {
    let mut writer = database.open(WRITER);
    let encoder = writer.add_encoder(&made::recipe(), 12, Storage::Vector, 1).unwrap();
    let mut jpeg = Vec::new();
    JpegEncoder::new(&mut jpeg).encode_image(&RgbImage::from_pixel(64, 64, Rgb([200, 10, 10]))).unwrap();
    let slide = SlideToPush {
        set,
        named: NamedSlide { name: name.to_owned(), location: Some(location.to_owned()), patient: None },
        is_pseudonymous: false,
        classes: Vec::new(),
        thumbnails: vec![jpeg; set.len()],
        content: SlideToPush::content(set, &[], true),
    };
    push_slide(&mut writer, &encoder, &slide, &mut |_| ()).unwrap();
}

#[test]
fn the_window_asks_the_archive_and_goes_to_what_it_finds() {
    let database = Server::shared().database().with_archive();
    let folder = tempfile::tempdir().unwrap();
    let sources: Vec<_> = (0..3).map(|number| picture(folder.path(), number)).collect();
    // One slide that can be reached, and one that lies in another house.
    let places = [sources[1].info().path.display().to_string(), "/elsewhere/slide-2.svs".to_owned()];
    for (number, location) in (1..).zip(places) {
        let set = described(sources[number].as_ref(), number as u64);
        push(&database, &set, &format!("slide-{number}"), &location);
    }

    let root = folder.path().join("project");
    let mut session = session(&root, &sources);
    let workers = Workers::start("cpu".parse().unwrap(), Arc::new(|| ())).unwrap();

    // No archive is set up: the project answers alone, and it is said why.
    let mut usual = session.query_settings().clone();
    usual.scope = Scope::Archive;
    session.handle(QueryCommand::SetSettings(usual));
    let at = Command::Query(QueryCommand::At {
        slide: sources[0].info().id.clone(),
        point: Level0Point::new(300.0, 300.0),
    });
    let jobs = session.handle(at);
    assert!(!jobs.iter().any(|job| matches!(job, Job::Archive(ArchiveJob::Search(_)))));
    assert!(matches!(session.archive_progress(), ArchiveProgress::Failed(_)));

    let url: ArchiveUrl = database.url(READER);
    let set_up = |url: &ArchiveUrl, typed: String| {
        Command::Archive(ArchiveCommand::Set { url: Some(url.clone()), password: Some(Password::new(typed)) })
    };
    let jobs = session.handle(set_up(&url, "wr0ng".to_owned()));
    let answered = |session: &Session| session.query().is_some_and(|query| query.answer.is_some());
    run(&mut session, &workers, jobs, |session| {
        answered(session) && matches!(session.archive_progress(), ArchiveProgress::Failed(_))
    });
    let ArchiveProgress::Failed(reason) = session.archive_progress() else { unreachable!() };
    assert!(reason.contains("the server refused the login") && !reason.contains("wr0ng"), "{reason}");
    let alone = session.query().unwrap().answer.as_ref().unwrap();
    assert!(alone.archive.is_none(), "the project's own matches stay");

    let jobs = session.handle(set_up(&url, password(READER)));
    run(&mut session, &workers, jobs, |session| {
        answered(session) && *session.archive_progress() == ArchiveProgress::Answered
    });
    let answer = session.query().unwrap().answer.clone().unwrap();
    assert_eq!((answer.exact, answer.searched), (true, 36));
    let of = |number: usize| {
        let id = &sources[number].info().id;
        let rank = answer.matches.iter().position(|found| found.slide == *id).unwrap();
        (rank, answer.from_archive(id).cloned())
    };
    let (far, slide) = of(2);
    assert_eq!(slide.unwrap().name, "slide-2");
    let found = &answer.matches[far];
    assert!(matches!(session.tile_picture(&found.slide, &found.rect), Some(TilePicture::Read(_))));
    session.handle(MatchCommand::GoTo { rank: far, from: None });
    let told = &session.messages().last().unwrap().text;
    assert!(told.contains("/elsewhere/slide-2.svs, not reachable from here"), "{told}");

    // What only the archive has teaches as any other match does.
    let marked = found.clone();
    let is_taught = |session: &Session, taught: bool| {
        let answer = session.query().and_then(|query| query.answer.as_ref());
        answer.is_some_and(|answer| answer.direction.is_some() == taught && answer.archive.is_some())
            && *session.archive_progress() == ArchiveProgress::Answered
    };
    let jobs = session.handle(MatchCommand::Judge { rank: far, judgement: Some(Judgement::Same) });
    run(&mut session, &workers, jobs, |session| is_taught(session, true));
    let taught = session.query().unwrap().answer.clone().unwrap();
    let is_marked = |found: &query::Match| (&found.slide, found.rect) == (&marked.slide, marked.rect);
    assert!(!taught.matches.iter().any(is_marked) && taught.exact);
    assert_eq!(session.query().unwrap().marked(Judgement::Same), 1);
    let jobs = session.handle(MatchCommand::UndoJudgement);
    run(&mut session, &workers, jobs, |session| is_taught(session, false));
    assert_eq!(session.query().unwrap().answer.as_ref().unwrap().matches, answer.matches);

    let (near, slide) = of(1);
    assert!(slide.unwrap().is_reachable);
    let jobs = session.handle(MatchCommand::GoTo { rank: near, from: None });
    run(&mut session, &workers, jobs, |session| session.slide(&sources[1].info().id).is_some());
    let position = session.take_destination().unwrap();
    assert_eq!((&position.slide, position.field), (&sources[1].info().id, answer.matches[near].rect));

    // Slides in one ranking; one that has no match is shown as a whole, or it is told where it lies.
    let mut ranked = session.query_settings().clone();
    (ranked.rank_slides, ranked.count) = (true, 1);
    let jobs = session.handle(QueryCommand::SetSettings(ranked));
    run(&mut session, &workers, jobs, |session| {
        answered(session) && *session.archive_progress() == ArchiveProgress::Answered
    });
    let answer = session.query().unwrap().answer.clone().unwrap();
    let mut slides: Vec<_> = answer.slides.iter().map(|slide| (slide.slide.clone(), slide.tiles)).collect();
    slides.sort();
    let mut expected: Vec<_> = sources.iter().map(|source| (source.info().id.clone(), 12)).collect();
    expected.sort();
    assert_eq!(slides, expected);
    let told = session.messages().len();
    assert!(session.handle(ArchiveCommand::ShowSlide(sources[2].info().id.clone())).is_empty());
    assert!(session.messages()[told..].iter().all(|message| message.text.contains("not reachable")));

    session.project().save().unwrap();
    let kept = std::fs::read_to_string(root.join("project.toml")).unwrap();
    assert!(
        kept.contains(url.as_str()) && !kept.contains("s3cret"),
        "the address is kept, the password is not"
    );
    session.handle(ArchiveCommand::Set { url: None, password: None });
    assert_eq!((session.query_settings().scope, session.project().archive()), (Scope::All, None));
}

#[test]
fn a_newer_question_ends_the_one_before_on_the_server() {
    let database = Server::shared().database().with_archive();
    let folder = tempfile::tempdir().unwrap();
    let sources: Vec<_> = (0..2).map(|number| picture(folder.path(), number)).collect();
    push(&database, &described(sources[1].as_ref(), 1), "slide-1", "/elsewhere/slide-1.svs");
    let mut session = session(&folder.path().join("project"), &sources);
    session.handle(ArchiveCommand::Set {
        url: Some(database.url(READER)),
        password: Some(Password::new(password(READER))),
    });
    let workers = Workers::start("cpu".parse().unwrap(), Arc::new(|| ())).unwrap();

    // Nobody is answered while this is locked, and the server waits a minute for it.
    let mut owner: postgres::Config = database.url(OWNER).as_str().parse().unwrap();
    let mut owner = owner.password(password(OWNER)).connect(postgres::NoTls).unwrap();
    let mut locked = owner.transaction().unwrap();
    locked.execute("LOCK TABLE histokin.descriptions IN ACCESS EXCLUSIVE MODE", &[]).unwrap();
    let waits = || {
        let sql = "SELECT string_agg(pid || ' ' || query_start, ', ') FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        database.sql(sql)
    };
    let waiting = |before: &str| -> String {
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < Duration::from_secs(40), "no other statement waits than {before:?}");
            let now = waits();
            if !now.is_empty() && now != before {
                return now;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let ask = |session: &mut Session, x: f64| {
        let point = Level0Point::new(x, 300.0);
        let jobs = session.handle(QueryCommand::At { slide: sources[0].info().id.clone(), point });
        let mut asked = jobs.into_iter().filter_map(|job| match job {
            Job::Archive(ArchiveJob::Search(request)) => Some(request),
            _ => None,
        });
        let request = asked.next().unwrap();
        let generation = request.search.generation;
        workers.dispatch(&session.opened(), Job::Archive(ArchiveJob::Search(request)));
        generation
    };
    ask(&mut session, 100.0);
    waiting("");
    // Nobody waits for the answer any more, and the server is told to stop.
    let project = session.opened();
    session.handle(QueryCommand::Clear).into_iter().for_each(|job| workers.dispatch(&project, job));
    let started = Instant::now();
    while !waits().is_empty() {
        assert!(
            started.elapsed() < Duration::from_secs(40),
            "the question that was left is still being answered"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    ask(&mut session, 300.0);
    let first = waiting("");
    let newest = ask(&mut session, 500.0);
    // The first statement has ended, though nothing has been unlocked: only the newest question waits now.
    let second = waiting(&first);
    assert!(!second.contains(&first) && !second.contains(','), "{first} and then {second}");
    locked.rollback().unwrap();

    let started = Instant::now();
    loop {
        assert!(started.elapsed() < Duration::from_secs(60));
        let report = workers.reports().recv_timeout(Duration::from_millis(100));
        let event = report.map(|report| report.event);
        if let Ok(Event::Query(QueryEvent::ArchiveAnswered { generation, answer })) = event {
            assert_eq!(generation, newest, "the question before is not answered");
            assert_eq!(answer.map(|found| found.answer.searched).ok(), Some(24));
            break;
        }
    }
}
