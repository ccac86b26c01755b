//! Which jobs write into their project, and which are done even if another project is opened before their turn: what the
//! user has asked for once and would miss, above all whatever saves something.

use super::opened::ProjectJob;
use super::{
    AnnotationJob, ArchiveRequest, EmbedPlan, EncoderJob, EvaluationJob, HistoryJob, IndexBuild, LoadJob,
    OpenJob, PictureJob, PictureRequest, PreviewRequest, ScanJob, SearchRequest, TileRequest, TrainingJob,
    TrainingPlan,
};
use histokin_project::project::Project;

impl ProjectJob for Project {
    fn writes(&self) -> bool {
        true
    }
}

impl ProjectJob for OpenJob {
    fn writes(&self) -> bool {
        false
    }

    fn outlives_project(&self) -> bool {
        matches!(self, Self::FindPaths { .. } | Self::TrustEncoder { .. })
    }
}

impl ProjectJob for EncoderJob {
    fn writes(&self) -> bool {
        false
    }

    fn outlives_project(&self) -> bool {
        // The user's encoders belong to no project.
        matches!(self, Self::Change(_))
    }
}

impl ProjectJob for ScanJob {
    fn writes(&self) -> bool {
        false
    }

    fn outlives_project(&self) -> bool {
        matches!(self, Self::EstimateStains { .. })
    }
}

impl ProjectJob for LoadJob {
    fn writes(&self) -> bool {
        matches!(self, Self::DiscardDescriptors { .. })
    }

    fn outlives_project(&self) -> bool {
        self.writes() || matches!(self, Self::ReadPatients(_))
    }
}

impl ProjectJob for HistoryJob {
    fn writes(&self) -> bool {
        match self {
            Self::Concepts { job, .. } => job.writes(),
            // What is added belongs to a project that was left, which the job keeps claimed itself.
            Self::LoadHistory(_) | Self::AddToHistory { .. } => false,
            Self::SaveHistory { .. } | Self::ExportAnswer { .. } | Self::ExportHeatMap { .. } => true,
        }
    }

    fn outlives_project(&self) -> bool {
        self.writes() || matches!(self, Self::AddToHistory { .. })
    }
}

impl ProjectJob for AnnotationJob {
    fn writes(&self) -> bool {
        matches!(self, Self::Save { .. } | Self::Import { .. })
    }

    fn outlives_project(&self) -> bool {
        // An export that was stopped says so.
        self.writes() || matches!(self, Self::Export { .. })
    }
}

impl ProjectJob for EvaluationJob {
    fn writes(&self) -> bool {
        matches!(self, Self::WriteReport { .. })
    }
}

impl ProjectJob for TrainingJob {
    fn writes(&self) -> bool {
        matches!(self, Self::Train(_) | Self::Export { .. } | Self::Delete { .. })
    }

    fn outlives_project(&self) -> bool {
        matches!(
            self,
            Self::Export { .. } | Self::Delete { .. } | Self::ReadSettings(_) | Self::WriteSettings { .. }
        )
    }
}

/// A run is stopped when its project is left.
impl ProjectJob for TrainingPlan {
    fn writes(&self) -> bool {
        true
    }

    fn outlives_project(&self) -> bool {
        false
    }
}

/// What is embedded is kept, and goes on when the project is opened again.
impl ProjectJob for EmbedPlan {
    fn writes(&self) -> bool {
        true
    }

    fn outlives_project(&self) -> bool {
        false
    }
}

/// A job with what stops it.
impl<T: ProjectJob, S> ProjectJob for (T, S) {
    fn writes(&self) -> bool {
        self.0.writes()
    }

    fn outlives_project(&self) -> bool {
        self.0.outlives_project()
    }
}

/// Jobs that only read, and whose result nobody waits for once another project is open.
macro_rules! of_open_project {
    ($($job:ty),*) => {
        $(impl ProjectJob for $job {
            fn writes(&self) -> bool {
                false
            }
        })*
    };
}

of_open_project!(
    IndexBuild,
    Option<ArchiveRequest>,
    PictureJob,
    PictureRequest,
    PreviewRequest,
    SearchRequest,
    TileRequest
);
