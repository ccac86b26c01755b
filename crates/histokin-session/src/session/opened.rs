//! Which of the projects that were opened in this window a job is for and an event reports on.

use super::Event;
use histokin_project::project::Claim;

/// Number of a project, in the order in which projects were opened in this window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ProjectNumber(u64);

impl ProjectNumber {
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The project for which the session issues jobs.
#[derive(Debug, Clone)]
pub struct OpenedProject {
    /// Its number.
    pub number: ProjectNumber,
    /// Keeps it claimed by this process.
    pub(super) claim: Claim,
}

/// An event, with the number of the project for which the job was issued that it reports on.
pub struct Report {
    /// Number of the project.
    pub of: ProjectNumber,
    /// What happened.
    pub event: Event,
}

/// What becomes of a job when another project is opened.
pub trait ProjectJob {
    /// Whether it writes into its project, which has to stay claimed until the job is done.
    fn writes(&self) -> bool;

    /// Whether it is done even if another project has been opened before its turn. All others are dropped then.
    fn outlives_project(&self) -> bool {
        self.writes()
    }
}

/// A job with the project that it is for.
pub struct Issued<T> {
    /// The job.
    pub job: T,
    /// Number of the project.
    pub of: ProjectNumber,
    /// Keeps the project claimed, if the job writes into it.
    claim: Claim,
}

impl<T: ProjectJob> Issued<T> {
    /// Issues a job for a project.
    pub fn new(job: T, project: &OpenedProject) -> Self {
        let claim = if job.writes() { project.claim.clone() } else { None };
        Self { job, of: project.number, claim }
    }

    /// Whether the job is to be done while the project of that number is open.
    pub fn is_wanted_in(&self, open: ProjectNumber) -> bool {
        self.of == open || self.job.outlives_project()
    }
}

impl<T> Issued<T> {
    /// Returns another job for the same project, which stays claimed as it is.
    pub fn with<U>(&self, job: U) -> Issued<U> {
        Issued { job, of: self.of, claim: self.claim.clone() }
    }

    /// Returns the job, and what keeps its project claimed until the job is done.
    pub fn into_parts(self) -> (T, Claim) {
        (self.job, self.claim)
    }
}
