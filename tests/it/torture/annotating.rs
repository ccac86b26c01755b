//! Kills while somebody draws: a session with its workers, as the window has it, in a process of its own.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use histokin::annotation::{Annotation, AnnotationSet, Bounds, Edit, ObjectKind, Shape};
use histokin::encoder::DeviceChoice;
use histokin::geometry::Level0Point;
use histokin::project::Project;
use histokin::session;
use histokin::session::{AnnotationCommand, Session};
use histokin::slide::SlideId;
use histokin::workers::Workers;

use super::{Work, files, torture, until};
use crate::support::asset;

const PROJECT: &str = "HISTOKIN_TORTURE_PROJECT";

/// Annotations that are drawn in a row before they are looked for on the disk, and such rows in one go.
const IN_A_ROW: usize = 7;
const ROWS: usize = 4;

/// The process that draws; says how many annotations are on the disk whenever it knows.
#[test]
#[ignore = "is started, and killed, by another test"]
fn drawing_process() {
    let Some(root) = std::env::var_os(PROJECT).map(PathBuf::from) else { return };
    let project = Project::open_or_create(&root).unwrap().claim().unwrap();
    assert_eq!(project.read_only(), None, "the lock of a killed process is stale");
    let store = project.annotations();
    let mut session = Session::new(project);
    let workers = Workers::start(DeviceChoice::Cpu, Arc::new(|| {})).unwrap();
    let opened = session.opened();
    let issue = |jobs: Vec<session::Job>| jobs.into_iter().for_each(|job| workers.dispatch(&opened, job));
    issue(session.handle(session::SlideCommand::Open(vec![asset("slides/CMU-1-Small-Region.svs")])));
    let pump = |session: &mut Session| {
        while let Ok(report) = workers.reports().try_recv() {
            issue(session.receive(report));
        }
    };
    until("the slide is open", || {
        pump(&mut session);
        session.active().is_some()
    });
    let slide: SlideId = session.active().unwrap().id().clone();
    // Detections in compact form, which are not drawn here.
    let detections = store.load(&slide).unwrap().set.detections().len();
    let kept = || store.load(&slide).unwrap().set.len() - detections;
    let before = kept();
    until("its annotations are read", || {
        pump(&mut session);
        session.annotations(&slide).is_some_and(|marks| marks.set().len() == before + detections)
    });
    let mut drawn = before;
    for _ in 0..ROWS {
        let row_end = drawn + IN_A_ROW;
        until("it can be drawn", || {
            pump(&mut session);
            let at = Level0Point::new(drawn as f64, 10.0);
            let shape = Shape::Rectangle(Bounds::between(at, Level0Point::new(at.x + 5.0, 15.0)));
            let mut annotation = Annotation::new(shape, None);
            annotation.name = Some(drawn.to_string());
            let edit = AnnotationCommand::Edit { slide: slide.clone(), edit: Edit::Add(vec![annotation]) };
            issue(session.handle(edit));
            drawn = session.annotations(&slide).unwrap().set().len() - detections;
            drawn == row_end
        });
        until("they are on the disk", || kept() == drawn);
        println!("saved {drawn}");
        std::io::stdout().flush().unwrap();
    }
}

struct Drawing {
    folder: tempfile::TempDir,
    /// Annotations of which the process has said that they are on the disk.
    saved: Arc<AtomicUsize>,
    /// Detections that are there from the beginning.
    detections: usize,
}

impl Drawing {
    /// Draws on a slide with so many detections that drawn annotations are saved in a journal.
    fn beside_detections() -> Self {
        let drawing = Self { folder: tempfile::tempdir().unwrap(), saved: Arc::default(), detections: 5000 };
        let mut project = Project::open_or_create(&drawing.folder.path().join("project")).unwrap();
        let source = histokin::slide::open(&asset("slides/CMU-1-Small-Region.svs"), None).unwrap();
        project.add_or_update(source.info());
        project.save().unwrap();
        let detection = |number: usize| {
            let (x, y) = ((number % 100 * 20) as f64, (number / 100 * 20) as f64);
            let corners = [(0.25, 0.5), (9.75, 1.0), (9.0, 8.5), (4.5, 11.25), (1.0, 9.0)];
            let ring = corners.map(|(right, down)| Level0Point::new(x + right, y + down)).to_vec();
            let mut one = Annotation::new(Shape::polygon(ring), None);
            one.kind = ObjectKind::Detection;
            one.measurements = (0..5).map(|which| (format!("Measurement {which}"), number as f64)).collect();
            one
        };
        let set = AnnotationSet::packed((0..drawing.detections).map(detection));
        let store = project.annotations();
        store.save(&source.info().id, &set).unwrap();
        assert!(fs::metadata(store.path(&source.info().id)).unwrap().len() > 1 << 20);
        drawing
    }
}

/// Start a process that draws in a project; the count of what is safe follows.
pub fn start_drawing(project: &Path, home: &Path, saved: Arc<AtomicUsize>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["torture::annotating::drawing_process", "--exact", "--ignored", "--nocapture"]);
    command.env(PROJECT, project).env("HOME", home).stdin(Stdio::null()).stderr(Stdio::null());
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            if let Some(count) = line.strip_prefix("saved ").and_then(|count| count.parse().ok()) {
                saved.store(count, Ordering::SeqCst);
            }
        }
    });
    process
}

impl Work for Drawing {
    fn name(&self) -> &'static str {
        "annotating"
    }

    fn start(&mut self) -> Child {
        start_drawing(&self.folder.path().join("project"), self.folder.path(), self.saved.clone())
    }

    fn check(&mut self, _ended: bool) {
        let root = self.folder.path().join("project");
        if !root.join(histokin::project::PROJECT_FILE).exists() {
            return;
        }
        files::check(&root);
        let project = Project::open(&root).unwrap();
        let Some(entry) = project.slides().first() else { return };
        let loaded = project.annotations().load(&entry.id).unwrap();
        assert_eq!(loaded.trouble, None);
        // All of the first ones, none twice.
        let names: HashSet<String> = loaded.set.iter().filter_map(|one| one.name.clone()).collect();
        let count = loaded.set.len() - self.detections;
        assert_eq!(loaded.set.detections().len(), self.detections);
        let first: HashSet<String> = (0..count).map(|number| number.to_string()).collect();
        assert_eq!(names, first);
        let saved = self.saved.load(Ordering::SeqCst);
        assert!(count >= saved, "{count} of {saved} annotations are left");
    }
}

#[test]
fn annotating_survives_kills() {
    let folder = tempfile::tempdir().unwrap();
    torture(&mut Drawing { folder, saved: Arc::default(), detections: 0 }, 0.2);
}

#[test]
fn annotating_beside_many_detections_survives_kills() {
    let mut drawing = Drawing::beside_detections();
    torture(&mut drawing, 0.2);
    let root = drawing.folder.path().join("project");
    let journal = |entry: fs::DirEntry| entry.path().extension().is_some_and(|end| end == "journal");
    let files = fs::read_dir(root.join("annotations")).unwrap();
    assert!(files.map(Result::unwrap).any(journal), "annotations were saved in a journal");
}
