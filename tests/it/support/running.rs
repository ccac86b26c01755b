//! A session with real workers, as the window has it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use histokin::annotation::{Annotation, AnnotationClass, Edit, Shape};
use histokin::encoder::DeviceChoice;
use histokin::project::Project;
use histokin::session::{AnnotationCommand, Command, Job, Session, SlideCommand};
use histokin::slide::SlideId;
use histokin::workers::Workers;

use super::asset;

/// How long a test waits for what the workers have to do.
const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Running {
    pub session: Session,
    pub workers: Workers,
}

impl Running {
    /// A session of the project, without a slide.
    pub fn new(project: Project) -> Self {
        let workers = Workers::start(DeviceChoice::Cpu, Arc::new(|| {})).unwrap();
        Self { session: Session::new(project), workers }
    }

    /// A session of the project in which the small demonstration slide is open.
    pub fn on(project: Project) -> Self {
        let mut running = Self::new(project);
        running.handle(SlideCommand::Open(vec![asset("slides/CMU-1-Small-Region.svs")]));
        running.until("the slide is open", |session| session.active().is_some());
        running
    }

    /// The slide in view.
    pub fn slide(&self) -> SlideId {
        self.session.active().unwrap().id().clone()
    }

    pub fn handle(&mut self, command: impl Into<Command>) {
        let jobs = self.session.handle(command);
        self.issue(jobs);
    }

    pub fn issue(&self, jobs: Vec<Job>) {
        let project = self.session.opened();
        jobs.into_iter().for_each(|job| self.workers.dispatch(&project, job));
    }

    /// Takes in what the workers report until `done`.
    pub fn until(&mut self, what: &str, done: impl Fn(&Session) -> bool) {
        let started = Instant::now();
        loop {
            while let Ok(report) = self.workers.reports().try_recv() {
                let jobs = self.session.receive(report);
                self.issue(jobs);
            }
            if done(&self.session) {
                return;
            }
            assert!(started.elapsed() < TIMEOUT, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes in one event after the other, and calls `seen` after each, until it returns true.
    pub fn step_until(&mut self, what: &str, mut seen: impl FnMut(&Session) -> bool) {
        loop {
            let report = self.workers.reports().recv_timeout(TIMEOUT);
            let report = report.unwrap_or_else(|_| panic!("waited in vain until {what}"));
            let jobs = self.session.receive(report);
            self.issue(jobs);
            if seen(&self.session) {
                return;
            }
        }
    }

    /// The message that contains `words`, once there is one.
    pub fn until_told(&mut self, words: &str) -> String {
        self.until(words, |session| session.messages().iter().any(|message| message.text.contains(words)));
        self.session.messages().iter().find(|message| message.text.contains(words)).unwrap().text.clone()
    }

    /// Gives a command on the annotations of the slide in view.
    pub fn annotate(&mut self, command: impl FnOnce(SlideId) -> AnnotationCommand) {
        let command = command(self.slide());
        self.handle(command);
    }

    /// Edits the annotations of the slide in view, as they are after what has happened so far.
    pub fn edit(&mut self, edit: Edit) {
        self.until("what has happened is taken in", |_| true);
        self.annotate(|slide| AnnotationCommand::Edit { slide, edit });
    }

    /// Number of annotations of the slide in view.
    pub fn count(&self) -> usize {
        self.session.annotations(&self.slide()).map_or(0, |annotations| annotations.set().len())
    }

    /// Adds an annotation to the slide in view, as soon as those that it has are read.
    pub fn draw(&mut self, shape: Shape, class: Option<AnnotationClass>) {
        let before = self.count();
        let annotation = Annotation::new(shape, class);
        let started = Instant::now();
        while self.count() == before {
            assert!(started.elapsed() < TIMEOUT, "waited in vain until annotations can be drawn");
            self.edit(Edit::Add(vec![annotation.clone()]));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
