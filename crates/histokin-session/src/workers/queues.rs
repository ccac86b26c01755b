//! The job queues of all workers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::annotation_keeper::AnnotationQueue;
use super::embedder::EmbedderQueue;
use super::job_queue::JobQueue;
use super::trainer::TrainerQueue;
use super::watcher::Watch;
use crate::session::{
    ArchiveJob, ArchiveRequest, EncoderJob, EvaluationJob, HistoryJob, IndexBuild, Issued, Job, LoadJob,
    OpenJob, OpenedProject, PictureJob, ProjectNumber, ScanJob, SearchRequest,
};
use histokin_project::project::Project;

/// The job queues of all workers.
#[derive(Default)]
pub(super) struct Queues {
    pub(super) opener: JobQueue<Issued<OpenJob>>,
    /// Jobs, and what stops each when set to true.
    pub(super) encoders: JobQueue<Issued<(EncoderJob, Arc<AtomicBool>)>>,
    /// Stops the newest look at an encoder when set to true.
    encoder_stop: Mutex<Arc<AtomicBool>>,
    /// Set to true at the end of the program; stops reading of weights.
    pub(super) is_ending: Arc<AtomicBool>,
    pub(super) scanner: JobQueue<Issued<ScanJob>>,
    pub(super) tissue: JobQueue<Issued<ScanJob>>,
    pub(super) pictures: JobQueue<Issued<PictureJob>>,
    pub(super) watched: JobQueue<Issued<Watch>>,
    pub(super) searches: JobQueue<Issued<SearchRequest>>,
    /// `None` cancels the running search.
    pub(super) archive_searches: JobQueue<Issued<Option<ArchiveRequest>>>,
    pub(super) indexer: JobQueue<Issued<IndexBuild>>,
    pub(super) descriptors: JobQueue<Issued<LoadJob>>,
    pub(super) keeper: JobQueue<Issued<Project>>,
    pub(super) history: JobQueue<Issued<HistoryJob>>,
    pub(super) annotations: AnnotationQueue,
    pub(super) evaluator: JobQueue<Issued<EvaluationJob>>,
    /// Stops the newest evaluation when set to true.
    evaluation_stop: Mutex<Option<Arc<AtomicBool>>>,
    pub(super) embedder: EmbedderQueue,
    pub(super) trainer: TrainerQueue,
    /// Number of the project that is open.
    open: Mutex<ProjectNumber>,
}

impl Queues {
    /// Puts a job into the queue of its worker.
    pub(super) fn add(&self, project: &OpenedProject, job: Job) {
        self.follow(project);
        match job {
            // What the user has just asked for is not kept waiting by the slides of a long list.
            Job::Open(job) => {
                let is_of_list = |job: &OpenJob| {
                    matches!(
                        job,
                        OpenJob::OpenSlide { .. }
                            | OpenJob::CheckListedPath { .. }
                            | OpenJob::FindMoved { .. }
                    )
                };
                let comes_first = !is_of_list(&job);
                let can_wait = |other: &Issued<OpenJob>| comes_first && is_of_list(&other.job);
                self.opener.push_before(Issued::new(job, project), can_wait);
            }
            Job::Encoders(job) => {
                let stop = match &job {
                    // The user looks at one encoder at a time.
                    EncoderJob::Examine(_) => self.stop_examining(),
                    _ => self.is_ending.clone(),
                };
                self.encoders.push(Issued::new((job, stop), project));
            }
            // Tissue masks take long; what the user sees of a slide does not wait for them.
            Job::Scan(job @ ScanJob::FindTissue { .. }) => self.tissue.push(Issued::new(job, project)),
            Job::Scan(job) => self.scanner.push(Issued::new(job, project)),
            Job::Load(job) => self.descriptors.push(Issued::new(job, project)),
            Job::Picture(job) => self.pictures.push(Issued::new(job, project)),
            Job::History(job) => self.history.push(Issued::new(job, project)),
            Job::Evaluation(job) => {
                if let EvaluationJob::Evaluate(request) = &job {
                    *lock(&self.evaluation_stop) = Some(request.stop.clone());
                }
                self.evaluator.push(Issued::new(job, project));
            }
            Job::AwaitSlide(slide) => self.watched.push(Issued::new(Watch::Unavailable(slide), project)),
            Job::WatchSlide(slide) => self.watched.push(Issued::new(Watch::Open(slide), project)),
            Job::Embedding(job) => self.embedder.submit(project, job),
            Job::BuildIndex(build) => self.indexer.replace(Issued::new(build, project)),
            Job::Search(request) => self.searches.replace(Issued::new(request, project)),
            Job::Archive(job) => {
                let request = match job {
                    ArchiveJob::Search(request) => Some(*request),
                    ArchiveJob::Cancel => None,
                };
                self.archive_searches.replace(Issued::new(request, project));
            }
            Job::Annotations(job) => self.annotations.push(Issued::new(job, project)),
            Job::SaveProject(saved) => {
                let root = saved.root().to_owned();
                self.keeper.replace_where(Issued::new(*saved, project), |other| other.job.root() == root);
            }
            Job::Training(job) => self.trainer.submit(Issued::new(job, project)),
        }
    }

    /// Drops the waiting jobs of a project that was left, as soon as there is one for the next, and stops what is done
    /// for it.
    fn follow(&self, project: &OpenedProject) {
        let open = project.number;
        {
            let mut newest = lock(&self.open);
            if *newest >= open {
                return;
            }
            *newest = open;
        }
        self.opener.leave_for(open);
        self.encoders.leave_for(open);
        self.stop_examining();
        self.scanner.leave_for(open);
        self.tissue.leave_for(open);
        self.pictures.leave_for(open);
        self.watched.leave_for(open);
        self.searches.leave_for(open);
        self.archive_searches.replace(Issued::new(None, project));
        self.indexer.leave_for(open);
        self.descriptors.leave_for(open);
        self.keeper.leave_for(open);
        self.history.leave_for(open);
        self.annotations.leave_for(open);
        self.evaluator.leave_for(open);
        self.embedder.leave_for(open);
        self.trainer.leave_for(open);
    }

    /// Stops the newest look at an encoder; returns what stops the next.
    fn stop_examining(&self) -> Arc<AtomicBool> {
        let stop = Arc::<AtomicBool>::default();
        std::mem::replace(&mut *lock(&self.encoder_stop), stop.clone()).store(true, Ordering::Relaxed);
        stop
    }

    /// Closes all queues, so that the threads end.
    pub(super) fn close(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.stop_examining();
        self.opener.close();
        self.encoders.close();
        self.scanner.close();
        self.tissue.close();
        self.pictures.close();
        self.watched.close();
        self.searches.close();
        self.archive_searches.close();
        self.indexer.close();
        self.descriptors.close();
        self.keeper.close();
        self.history.close();
        self.annotations.close();
        self.evaluator.close();
        if let Some(stop) = lock(&self.evaluation_stop).as_ref() {
            stop.store(true, Ordering::Relaxed);
        }
        self.embedder.close();
        self.trainer.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::session::{AnnotationJob, Found, Session, TrainingJob};
    use histokin_core::annotation::AnnotationStore;
    use histokin_core::query::QueryHistory;
    use histokin_core::slide::SlideId;
    use histokin_project::project::LOCK_FILE;

    fn slide(name: &str) -> Job {
        Job::Open(OpenJob::OpenSlide { path: name.into(), user_mpp: None })
    }

    fn history(root: &Path) -> Job {
        let (root, query_history) = (root.to_owned(), Box::<QueryHistory>::default());
        Job::History(HistoryJob::SaveHistory { root, query_history })
    }

    /// What waits in a queue, which is closed.
    fn waiting<T>(queue: &JobQueue<T>) -> Vec<T> {
        queue.close();
        std::iter::from_fn(|| queue.take_until_empty()).collect()
    }

    fn paths(jobs: &[Issued<OpenJob>]) -> Vec<PathBuf> {
        let path = |issued: &Issued<OpenJob>| match &issued.job {
            OpenJob::OpenSlide { path, .. } => path.clone(),
            OpenJob::FindPaths { paths, .. } => paths[0].clone(),
            _ => "another job".into(),
        };
        jobs.iter().map(path).collect()
    }

    #[test]
    fn what_the_user_opens_comes_before_the_slides_of_a_list() {
        let folder = tempfile::tempdir().unwrap();
        let project = Session::new(Project::open_or_create(folder.path()).unwrap()).opened();
        let queues = Queues::default();
        for name in ["a.svs", "b.svs"] {
            queues.add(&project, slide(name));
        }
        for (request, name) in [(1, "other-project"), (2, "c.svs")] {
            queues.add(&project, Job::Open(OpenJob::FindPaths { request, paths: vec![name.into()] }));
        }
        let waiting = paths(&waiting(&queues.opener));
        assert_eq!(waiting, ["other-project", "c.svs", "a.svs", "b.svs"].map(PathBuf::from));
    }

    #[test]
    fn jobs_of_a_project_that_was_left_are_dropped_except_what_is_to_be_saved() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] =
            ["first", "second"].map(|name| Project::open_or_create(&folder.path().join(name)).unwrap());
        let root = first.root().to_owned();
        let mut session = Session::new(first.clone());
        let left = session.opened();
        let queues = Queues::default();
        queues.add(&left, slide("of-first.svs"));
        queues.add(&left, Job::Open(OpenJob::FindPaths { request: 1, paths: vec!["later.svs".into()] }));
        queues.add(&left, Job::SaveProject(Box::new(first)));
        queues.add(&left, history(&root));
        queues.add(&left, Job::History(HistoryJob::LoadHistory(root.clone())));
        queues.add(&left, Job::Training(TrainingJob::List { project: root.clone() }));
        let store = AnnotationStore::new(root.join("annotations"));
        let id = SlideId("00aa".to_owned());
        queues.add(&left, Job::Annotations(AnnotationJob::Load { store: store.clone(), slide: id.clone() }));
        queues.add(&left, Job::Annotations(AnnotationJob::Save { store, slide: id, set: Arc::default() }));

        session.absorb(Box::new(Found { project: Some(second), ..Found::default() }));
        queues.add(&session.opened(), slide("of-second.svs"));
        assert_eq!(paths(&waiting(&queues.opener)), ["later.svs", "of-second.svs"].map(PathBuf::from));
        assert_eq!(waiting(&queues.keeper).len(), 1);
        let kept = waiting(&queues.history);
        assert!(matches!(&kept[..], [Issued { job: HistoryJob::SaveHistory { .. }, .. }]));
        assert_eq!(queues.annotations.waiting(), (0, 1));
        assert_eq!(queues.trainer.waiting(), 0);
    }

    #[test]
    fn a_project_stays_claimed_while_something_is_to_be_saved_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::open_or_create(folder.path()).unwrap().claim().unwrap();
        let root = project.root().to_owned();
        let is_held = || !std::fs::read_to_string(root.join(LOCK_FILE)).unwrap().is_empty();
        let session = Session::new(project);
        let queues = Queues::default();
        queues.add(&session.opened(), history(&root));
        queues.add(&session.opened(), slide("a.svs"));
        drop(session);
        assert!(is_held());
        drop(waiting(&queues.history));
        assert!(!is_held(), "a job that only reads keeps nobody out");
    }
}
