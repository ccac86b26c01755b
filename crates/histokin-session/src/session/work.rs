//! The session's doors, and when the index is built.

use super::state::{Severity, SlideStatus};
use super::{Command, Event, HistoryJob, Job, OpenJob, Session};

impl Session {
    /// The jobs with which a session begins: know the encoder and what was asked before, open the project's slides.
    pub fn start(&mut self) -> Vec<Job> {
        let jobs = self.first_jobs();
        self.issue(jobs)
    }

    /// Do what the user asks for.
    pub fn handle(&mut self, command: Command) -> Vec<Job> {
        if self.refuses(&command) {
            return Vec::new();
        }
        let jobs = self.apply_command(command);
        self.issue(jobs)
    }

    /// Take in what a worker has found out.
    pub fn absorb(&mut self, event: Event) -> Vec<Job> {
        let ends_opening = matches!(
            event,
            Event::SlideOpened(_)
                | Event::ListedPlaceSeen { .. }
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

    /// Jobs on their way to the workers.
    fn issue(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let jobs = self.allowed(jobs);
        self.count_opening(&jobs);
        jobs
    }

    pub(super) fn first_jobs(&mut self) -> Vec<Job> {
        if let Some(before) = self.project.left_by() {
            let text = format!(
                "histokin did not end properly when this project was open last, {before}. What was done until then \
                 is here, but for the last seconds."
            );
            self.tell(Severity::Note, text, None);
        }
        self.offer_default_encoder();
        let which = self.project.encoder_name();
        let mut jobs = vec![
            Job::Open(OpenJob::LearnEncoder(which)),
            Job::History(HistoryJob::LoadHistory(self.project.root().to_owned())),
        ];
        jobs.extend(self.project.slides().iter().map(|entry| {
            Job::Open(OpenJob::OpenSlide { path: self.project.slide_path(entry), user_mpp: entry.user_mpp })
        }));
        jobs
    }

    /// Every one of these jobs ends in an event of its slide.
    fn count_opening(&mut self, jobs: &[Job]) {
        let opens = |job: &&Job| {
            matches!(
                job,
                Job::Open(
                    OpenJob::OpenSlide { .. } | OpenJob::LookWhereListed { .. } | OpenJob::FindMoved { .. }
                )
            )
        };
        self.opening += jobs.iter().filter(opens).count();
    }

    /// Whether all slides have been opened, or could not be, and their descriptors been looked for. Before that the
    /// index is put together from what was kept of it, and nothing is built that the next slide would change.
    fn is_settled(&self) -> bool {
        self.opening == 0 && !self.slides.iter().any(|slide| slide.status == SlideStatus::Checking)
    }

    /// Have the index built anew, one build at a time: what arrives meanwhile waits for the next.
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
