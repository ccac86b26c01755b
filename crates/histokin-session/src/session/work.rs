//! The public methods that change the session, and the scheduling of index builds.

use super::state::{Severity, SlideStatus};
use super::{Command, Event, HistoryJob, Job, OpenJob, Session};

impl Session {
    /// Returns the first jobs of a session: read the encoder's specification and the query history, open the
    /// project's slides.
    pub fn start(&mut self) -> Vec<Job> {
        let jobs = self.first_jobs();
        self.issue(jobs)
    }

    /// Executes a command of the user and returns the resulting jobs.
    pub fn handle(&mut self, command: Command) -> Vec<Job> {
        if self.refuses(&command) {
            return Vec::new();
        }
        let jobs = self.apply_command(command);
        self.issue(jobs)
    }

    /// Takes in a worker's event and returns the resulting jobs.
    pub fn absorb(&mut self, event: Event) -> Vec<Job> {
        let ends_opening = matches!(
            event,
            Event::SlideOpened(_)
                | Event::ListedPathChecked { .. }
                | Event::SlideFailed { .. }
                | Event::SlideMissing { .. }
        );
        if ends_opening {
            self.opening = self.opening.saturating_sub(1);
        }
        let jobs = self.apply_event(event);
        let mut jobs = self.issue(jobs);
        if self.is_settled() && !self.index_settled && !self.sets.is_empty() {
            self.index_stale = true;
            jobs.extend(self.index_if_stale());
        }
        jobs
    }

    /// Filters and counts jobs before they go to the workers.
    fn issue(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let jobs = self.allowed(jobs);
        self.count_opening(&jobs);
        jobs
    }

    pub(super) fn first_jobs(&mut self) -> Vec<Job> {
        if let Some(before) = self.project.left_by() {
            let text = format!(
                "histokin did not end properly when this project was last open, {before}. What was done until then \
                 is here, except for the last seconds."
            );
            self.notify(Severity::Note, text, None);
        }
        self.offer_default_encoder();
        let which = self.project.encoder_name();
        let mut jobs = vec![
            Job::Open(OpenJob::ReadEncoderSpec(which)),
            Job::History(HistoryJob::LoadHistory(self.project.root().to_owned())),
        ];
        jobs.extend(self.project.slides().iter().map(|entry| {
            Job::Open(OpenJob::OpenSlide { path: self.project.slide_path(entry), user_mpp: entry.user_mpp })
        }));
        jobs
    }

    /// Counts jobs that open slides; each of them ends in one event.
    fn count_opening(&mut self, jobs: &[Job]) {
        let opens = |job: &&Job| {
            matches!(
                job,
                Job::Open(
                    OpenJob::OpenSlide { .. } | OpenJob::CheckListedPath { .. } | OpenJob::FindMoved { .. }
                )
            )
        };
        self.opening += jobs.iter().filter(opens).count();
    }

    /// Whether all slides have been opened or could not be, and their descriptors have been looked up. Before
    /// that, the index is assembled from cached segments, and nothing is built that the next slide would
    /// change.
    fn is_settled(&self) -> bool {
        self.opening == 0 && !self.slides.iter().any(|slide| slide.status == SlideStatus::Checking)
    }

    /// Starts an index build if the index is stale. Only one build runs at a time; changes during a build
    /// wait for the next.
    pub(super) fn index_if_stale(&mut self) -> Vec<Job> {
        if !self.index_stale || self.index_building {
            return Vec::new();
        }
        self.index_stale = false;
        self.index_building = true;
        self.index_settled = self.is_settled();
        let listed = self.slides.iter().filter_map(|slide| self.sets.get(slide.id()).cloned());
        let (sets, cache) = (listed.collect(), self.project.index_cache());
        vec![Job::BuildIndex { sets, cache, settled: self.index_settled }]
    }
}
