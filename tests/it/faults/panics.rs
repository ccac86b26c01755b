//! A panic in a worker is an error of its job, and the threads live on.

use std::sync::Arc;
use std::time::Duration;

use histokin::encoder::DeviceChoice;
use histokin::geometry::LevelRect;
use histokin::project::Project;
use histokin::session::{
    Event, Job, MessageEvent, PictureJob, Remedy, ScanJob, Session, Severity, SlideEvent,
};
use histokin::slide::{self, SlideError, SlideInfo, SlideSource};
use histokin::tissue::TissueSettings;
use histokin::workers::Workers;
use image::RgbaImage;

use crate::support::asset;

/// A slide whose pixels cannot be had without a panic.
struct Panicking(SlideInfo);

impl SlideSource for Panicking {
    fn info(&self) -> &SlideInfo {
        &self.0
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        panic!("a decoder lost its way at level {}", region.level)
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        panic!("no {name}")
    }
}

fn wait(workers: &Workers, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let report = workers.reports().recv_timeout(Duration::from_secs(60)).expect("the worker answers");
        let event = report.event;
        if wanted(&event) {
            return event;
        }
    }
}

#[test]
fn a_panic_becomes_a_report_and_the_worker_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let sound = slide::open(&asset("slides/CMU-1-Small-Region.svs"), None).unwrap();
    let bad: Arc<dyn SlideSource> = Arc::new(Panicking(sound.info().clone()));
    let workers = Workers::start(DeviceChoice::Cpu, Arc::new(|| {})).unwrap();
    let mut session = Session::new(Project::open_or_create(folder.path()).unwrap());

    let find = |slide: &Arc<dyn SlideSource>| {
        Job::Scan(ScanJob::FindTissue { slide: slide.clone(), settings: TissueSettings::default() })
    };
    let project = session.opened();
    workers.dispatch(&project, find(&bad));
    workers.dispatch(&project, find(&sound));
    let Event::Messages(MessageEvent::Crashed(crash)) =
        wait(&workers, |event| matches!(event, Event::Messages(MessageEvent::Crashed(_))))
    else {
        panic!()
    };
    assert!(crash.report.contains("a decoder lost its way at level"), "{}", crash.report);
    assert!(crash.report.contains(env!("CARGO_PKG_VERSION")) && crash.report.contains("panics.rs"));
    assert!(!crash.report.contains("CMU-1"), "a report names no slide");
    session.absorb(MessageEvent::Crashed(crash.clone()));
    let message = &session.messages()[0];
    assert_eq!((message.severity, &message.remedy), (Severity::Error, &Some(Remedy::Report(crash.report))));
    wait(&workers, |event| matches!(event, Event::Slides(SlideEvent::TissueFound { .. })));

    // What the session waits for is answered, too.
    let name = "label".to_owned();
    workers.dispatch(&project, Job::Scan(ScanJob::ReadAssociated { slide: bad.clone(), name }));
    let answered = wait(&workers, |event| matches!(event, Event::Slides(SlideEvent::AssociatedRead { .. })));
    assert!(matches!(answered, Event::Slides(SlideEvent::AssociatedRead { picture: Err(_), .. })));
    let rect = sound.info().extent();
    workers.dispatch(&project, Job::Picture(PictureJob::ReadTilePicture { slide: bad, rect }));
    let answered = wait(&workers, |event| matches!(event, Event::Slides(SlideEvent::TileRead { .. })));
    assert!(matches!(answered, Event::Slides(SlideEvent::TileRead { picture: Err(_), .. })));
    workers.dispatch(&project, Job::Picture(PictureJob::ReadTilePicture { slide: sound, rect }));
    let answered = wait(&workers, |event| matches!(event, Event::Slides(SlideEvent::TileRead { .. })));
    assert!(matches!(answered, Event::Slides(SlideEvent::TileRead { picture: Ok(_), .. })));
}
