//! The evaluation of encoders: asked for, running, there to be looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::state::Place;
use super::{Annotate, EncoderState, EvaluatorJob, Event, Job, Session, Severity};
use histokin_core::annotation::{Annotation, AnnotationClass, Edit, Polygon, Shape};
use histokin_core::geometry::{Level0Point, Level0Rect};
use histokin_core::query::TilePlace;
use histokin_core::slide::SlideId;
use histokin_encoder::EncoderSpec;
use histokin_evaluation::comparison::ComparisonSettings;
use histokin_evaluation::study::Study;
use histokin_project::project::Project;

/// How far the evaluation has come.
#[derive(Default)]
pub enum EvaluationState {
    /// Not asked for yet.
    #[default]
    None,
    Running {
        /// Share (0 to 1) that is done.
        share: f64,
        doing: String,
        /// Set to end it.
        stop: Arc<AtomicBool>,
    },
    Done(Arc<Study>),
    /// Why there is none.
    Failed(String),
}

/// What the evaluator is to measure.
#[derive(Clone)]
pub struct EvaluateRequest {
    pub project: Project,
    /// The encoder that others are compared with.
    pub encoder: EncoderSpec,
    /// Name or path by which it is loaded.
    pub which: String,
    pub settings: ComparisonSettings,
    pub stop: Arc<AtomicBool>,
}

impl Session {
    pub fn evaluation(&self) -> &EvaluationState {
        &self.evaluation
    }

    pub(super) fn evaluate(&mut self, settings: ComparisonSettings) -> Vec<Job> {
        self.stop_evaluation();
        let EncoderState::Known(spec) = &self.encoder else {
            self.evaluation =
                EvaluationState::Failed("No encoder is known yet; open a slide first.".to_owned());
            return Vec::new();
        };
        let stop = Arc::new(AtomicBool::new(false));
        let request = EvaluateRequest {
            project: self.project.clone(),
            encoder: spec.as_ref().clone(),
            which: self.project.encoder_name(),
            settings,
            stop: stop.clone(),
        };
        self.evaluation = EvaluationState::Running { share: 0.0, doing: "waiting".to_owned(), stop };
        vec![Job::Evaluate(EvaluatorJob::Evaluate(Box::new(request)))]
    }

    pub(super) fn stop_evaluation(&mut self) {
        if let EvaluationState::Running { stop, .. } = &self.evaluation {
            stop.store(true, Ordering::Relaxed);
            self.evaluation = EvaluationState::None;
        }
    }

    pub(super) fn write_report(&self, pseudonymise: bool) -> Vec<Job> {
        match &self.evaluation {
            EvaluationState::Done(study) => {
                let (study, project) = (study.clone(), Box::new(self.project.clone()));
                vec![Job::Evaluate(EvaluatorJob::WriteReport { study, project, pseudonymise })]
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn absorb_evaluation(&mut self, event: Event) {
        // What comes from an evaluation that was stopped is of no use any more.
        let EvaluationState::Running { share, doing, stop } = &mut self.evaluation else { return };
        match event {
            Event::EvaluationProgress { share: done, doing: now } if !stop.load(Ordering::Relaxed) => {
                (*share, *doing) = (done, now);
            }
            Event::Evaluated(Ok(study)) => {
                // They are those of other tiles.
                self.distances = None;
                self.evaluation = EvaluationState::Done(study);
            }
            Event::Evaluated(Err(reason)) => self.evaluation = EvaluationState::Failed(reason),
            _ => {}
        }
    }

    pub(super) fn report_written(&mut self, result: Result<std::path::PathBuf, String>) {
        match result {
            Ok(folder) => {
                let page = folder.join("report.html");
                self.tell(Severity::Note, format!("The report was written: {}", page.display()), None);
            }
            Err(reason) => self.tell(Severity::Error, format!("The report was not written: {reason}"), None),
        }
    }

    /// How far every tile of the last evaluation is from the question in hand; none while that is not known.
    pub fn distances(&self) -> Option<&Arc<[f32]>> {
        let (generation, distances) = self.distances.as_ref()?;
        (*generation == self.generation).then_some(distances)
    }

    pub(super) fn measure_distances(&self) -> Vec<Job> {
        let (EvaluationState::Done(study), Some(query)) = (&self.evaluation, &self.query) else {
            return Vec::new();
        };
        let positives = query.positives.iter().map(|shown| shown.example.clone()).collect();
        let (generation, index) = (self.generation, self.index.clone());
        vec![Job::Evaluate(EvaluatorJob::MeasureDistances {
            generation,
            study: study.clone(),
            index,
            positives,
        })]
    }

    pub(super) fn distances_measured(&mut self, generation: u64, distances: Arc<[f32]>) {
        self.distances = Some((generation, distances));
    }

    /// Draw one annotation of `class` on each slide, around all of its `tiles`.
    pub(super) fn mark_tiles(&mut self, tiles: Vec<TilePlace>, class: &AnnotationClass) -> Vec<Job> {
        let mut of_slide: BTreeMap<SlideId, Vec<Polygon>> = BTreeMap::new();
        for TilePlace { slide, rect } in tiles {
            let corner = |x: i64, y: i64| Level0Point::new(x as f64, y as f64);
            let (right, bottom) = (rect.right(), rect.bottom());
            let corners = [
                corner(rect.x, rect.y),
                corner(right, rect.y),
                corner(right, bottom),
                corner(rect.x, bottom),
            ];
            of_slide.entry(slide).or_default().push(Polygon::new(corners.to_vec()));
        }
        let mark = |(slide, polygons): (SlideId, Vec<Polygon>)| {
            // Tiles that touch become one area.
            let shape = Shape::Polygons(polygons).union(&Shape::Polygons(Vec::new()));
            let edit = Edit::Add(vec![Annotation::new(shape, Some(class.clone()))]);
            self.annotate(Annotate::Edit { slide, edit })
        };
        of_slide.into_iter().flat_map(mark).collect()
    }

    /// Go to a tile; `from` is where the view is now, to come back to.
    pub(super) fn go_to_tile(
        &mut self,
        slide: SlideId,
        rect: Level0Rect,
        from: Option<(SlideId, Level0Rect)>,
    ) -> Vec<Job> {
        if self.slide(&slide).is_none() {
            self.tell(
                Severity::Error,
                "That slide is not open; open it to go to its tiles.".to_owned(),
                None,
            );
            return Vec::new();
        }
        if let Some((slide, field)) = from {
            self.back.push(Place { slide, field });
        }
        // With as much of its surroundings on every side as the tile is wide.
        let (width, height) = (i64::from(rect.width), i64::from(rect.height));
        let field = Level0Rect::new(rect.x - width, rect.y - height, 3 * rect.width, 3 * rect.height);
        self.travel(Place { slide, field })
    }
}
