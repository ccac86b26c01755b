//! Slides whose files go, change and come back while they are open.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use histokin::descriptors::DescriptorStore;
use histokin::encoder::{DeviceChoice, Encoder};
use histokin::geometry::LevelRect;
use histokin::pipeline::{
    EmbedControl, EmbedError, EmbedOutcome, EmbedRequest, EmbedSettings, TileSelection, embed_slide,
};
use histokin::project::Project;
use histokin::session::{EmbeddingEvent, EmbeddingJob, Event, Job, Remedy, ScanJob, Session, SlideEvent};
use histokin::slide::{self, SlideError, SlideInfo, SlideSource};
use histokin::tissue::TissueMask;
use histokin::workers::Workers;
use image::{Rgb, RgbImage, RgbaImage};

use crate::made::{self, QuarterColours};
use crate::support::{asset, write_pyramid};

fn picture(shade: u8) -> RgbImage {
    RgbImage::from_fn(1024, 768, |x, y| Rgb([(x / 4) as u8, (y / 3) as u8, shade]))
}

fn whole(slide: &dyn SlideSource) -> Result<RgbaImage, SlideError> {
    let (width, height) = (slide.info().width(), slide.info().height());
    slide.read(&LevelRect { level: 0, x: 0, y: 0, width, height })
}

fn is_unavailable(outcome: Result<RgbaImage, SlideError>, words: &str) {
    let error = outcome.unwrap_err();
    assert!(error.is_unavailable() && error.to_string().contains(words), "{error}");
}

/// The file's content again, with a time of change of its own.
fn write_later(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    let later = std::time::SystemTime::now() + Duration::from_secs(5);
    fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
}

#[test]
fn another_slide_under_the_same_name_is_never_shown_for_the_one_that_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    write_pyramid(&path, &picture(10), 2, Some(0.5));
    let mine = fs::read(&path).unwrap();
    let slide = slide::open(&path, None).unwrap();
    let pixels = whole(slide.as_ref()).unwrap();

    write_pyramid(&path, &picture(200), 2, Some(0.5));
    write_later(&path, &fs::read(&path).unwrap());
    is_unavailable(whole(slide.as_ref()), "another slide");
    is_unavailable(slide.check().map(|()| RgbaImage::new(0, 0)), "another slide");
    // Cut short, or no slide at all.
    write_later(&path, &mine[..mine.len() / 3]);
    is_unavailable(whole(slide.as_ref()), "");
    write_later(&path, b"not a slide");
    is_unavailable(whole(slide.as_ref()), "cut short");

    // Gone, it says so when it is looked for; what is open may still be read.
    fs::remove_file(&path).unwrap();
    is_unavailable(slide.check().map(|()| RgbaImage::new(0, 0)), "no longer there");

    // Back again, copied anew, it is read as before.
    write_later(&path, &mine);
    slide.check().unwrap();
    assert!(whole(slide.as_ref()).unwrap() == pixels);
}

#[test]
fn a_plain_picture_that_comes_back_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    picture(10).save(&path).unwrap();
    let mine = fs::read(&path).unwrap();
    let slide = slide::open(&path, None).unwrap();
    picture(90).save(&path).unwrap();
    write_later(&path, &fs::read(&path).unwrap());
    is_unavailable(whole(slide.as_ref()), "another slide");
    write_later(&path, &mine);
    assert_eq!(whole(slide.as_ref()).unwrap().get_pixel(400, 300).0, [100, 100, 10, 255]);
}

/// A slide whose drive goes after some reads, and comes back.
struct OnADrive {
    slide: Arc<dyn SlideSource>,
    reads_left: AtomicUsize,
}

impl OnADrive {
    fn answer(&self) -> Result<(), SlideError> {
        let goes =
            self.reads_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        goes.map(|_| ()).map_err(|_| SlideError::Unavailable {
            path: self.slide.info().path.clone(),
            reason: "the drive is gone".to_owned(),
        })
    }
}

impl SlideSource for OnADrive {
    fn info(&self) -> &SlideInfo {
        self.slide.info()
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        self.answer()?;
        self.slide.read(region)
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        self.slide.associated(name)
    }

    fn check(&self) -> Result<(), SlideError> {
        self.answer()
    }
}

/// Tiles of a drive that goes are not written off as unreadable.
#[test]
fn embedding_stops_when_the_drive_goes_and_goes_on_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let sound = slide::open(&asset("slides/CMU-1-Small-Region.svs"), None).unwrap();
    let drive = OnADrive { slide: sound.clone(), reads_left: AtomicUsize::new(9) };
    let store = |name: &str| DescriptorStore::new(folder.path().join(name));
    let tissue = TissueMask::of(sound.as_ref()).unwrap();
    let embed = |slide: &dyn SlideSource, store: &DescriptorStore, encoder: &mut QuarterColours| {
        let request = EmbedRequest {
            slide,
            selection: &TileSelection::default(),
            tissue: Some(&tissue),
            recipe: &made::recipe(),
            store,
            settings: EmbedSettings { decode_threads: 2, batch: 4, baseline: false },
        };
        embed_slide(&request, encoder, &EmbedControl::default(), &mut |_| {})
    };
    let mut encoder = QuarterColours::new();
    let Err(EmbedError::Slide(error)) = embed(&drive, &store("drive"), &mut encoder) else {
        panic!("it is gone")
    };
    assert!(error.is_unavailable(), "{error}");
    let before = encoder.encoded;
    drive.reads_left.store(usize::MAX, Ordering::SeqCst);
    let Ok(EmbedOutcome::Finished { set, .. }) = embed(&drive, &store("drive"), &mut encoder) else {
        panic!()
    };
    let mut other = QuarterColours::new();
    let Ok(EmbedOutcome::Finished { set: undisturbed, .. }) =
        embed(sound.as_ref(), &store("sound"), &mut other)
    else {
        panic!()
    };
    assert_eq!(set.tiles_failed, 0);
    assert!(set.features() == undisturbed.features() && set.coords() == undisturbed.coords());
    assert!(before > 0 && encoder.encoded == other.encoded, "nothing was done twice");
}

#[test]
fn a_slide_that_is_gone_is_looked_for_while_others_are_embedded() {
    let folder = tempfile::tempdir().unwrap();
    let project = Project::open_or_create(&folder.path().join("project")).unwrap();
    let mut session = Session::new(project);
    let spec = QuarterColours::new().spec().clone();
    let which = session.project().encoder_name();
    session.absorb(EmbeddingEvent::EncoderKnown { which, spec: Box::new(spec) });
    let sound = slide::open(&asset("slides/CMU-1-Small-Region.svs"), None).unwrap();
    let drive = Arc::new(OnADrive { slide: sound, reads_left: AtomicUsize::new(0) });
    let id = drive.info().id.clone();
    session.absorb(SlideEvent::Opened(drive.clone()));
    session.absorb(EmbeddingEvent::NoDescriptors { slide: id.clone() });
    assert!(session.is_embedding_left());

    let reason = "slide.svs: the drive is gone".to_owned();
    let mut jobs = session.absorb(SlideEvent::Unavailable { slide: id.clone(), reason: reason.clone() });
    let planned = |jobs: &[Job]| {
        jobs.iter().find_map(|job| match job {
            Job::Embedding(EmbeddingJob::Plan(plan)) => Some(plan.targets.len()),
            _ => None,
        })
    };
    assert_eq!(planned(&jobs), Some(0));
    assert_eq!(session.slide(&id).unwrap().unavailable.as_deref(), Some(reason.as_str()));
    assert!(matches!(session.messages()[0].remedy, Some(Remedy::OpenAgain(_))));
    assert!(session.absorb(SlideEvent::Unavailable { slide: id.clone(), reason }).is_empty(), "told once");

    // The watcher finds it by itself.
    let workers = Workers::start(DeviceChoice::Cpu, Arc::new(|| {})).unwrap();
    workers.dispatch(&session.opened(), jobs.remove(0));
    assert!(workers.reports().recv_timeout(Duration::from_millis(1500)).is_err(), "it is not back yet");
    drive.reads_left.store(usize::MAX, Ordering::SeqCst);
    let back = workers.reports().recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(matches!(&back.event, Event::Slides(SlideEvent::Available { slide }) if *slide == id));
    let jobs = session.receive(back);
    assert_eq!(planned(&jobs), Some(1));
    assert!(jobs.iter().any(|job| matches!(job, Job::Scan(ScanJob::FindTissue { .. }))));
    assert!(session.slide(&id).unwrap().unavailable.is_none());
    assert!(!session.messages().iter().any(|message| message.remedy.is_some()), "the error is taken back");
}
