//! Kills while somebody draws: a session with its workers, as the window has it, in a process of its own.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use histokin::annotation::{Annotation, Bounds, Edit, Shape};
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
    let issue = |jobs: Vec<session::Job>| jobs.into_iter().for_each(|job| workers.dispatch(job));
    issue(session.handle(session::SlideCommand::Open(vec![asset("slides/CMU-1-Small-Region.svs")])));
    let pump = |session: &mut Session| {
        while let Ok(event) = workers.events().try_recv() {
            session.absorb(event).into_iter().for_each(|job| workers.dispatch(job));
        }
    };
    until("the slide is open", || {
        pump(&mut session);
        session.active().is_some()
    });
    let slide: SlideId = session.active().unwrap().id().clone();
    let kept = || store.load(&slide).unwrap().set.len();
    let before = kept();
    until("its annotations are read", || {
        pump(&mut session);
        session.annotations(&slide).is_some_and(|marks| marks.set().len() == before)
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
            drawn = session.annotations(&slide).unwrap().set().len();
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
        let first: HashSet<String> = (0..loaded.set.len()).map(|number| number.to_string()).collect();
        assert_eq!(names, first);
        let saved = self.saved.load(Ordering::SeqCst);
        assert!(loaded.set.len() >= saved, "{} of {saved} annotations are left", loaded.set.len());
    }
}

#[test]
fn annotating_survives_kills() {
    torture(&mut Drawing { folder: tempfile::tempdir().unwrap(), saved: Arc::default() }, 0.2);
}
