//! Which kind of readout finds labelled tissue best in patients that it was not fitted to.

mod kept;

use histokin_encoder::EncoderError;
use histokin_encoder::fitting::Fitted;
use histokin_encoder::model::ModelFile;
use histokin_encoder::neighbourhoods::SlideTiles;
use histokin_encoder::readout::FeatureScaling;
use histokin_encoder::readout_kind::{ReadoutFit, ReadoutKind, ReadoutSettings, read_out, scaled};

pub use kept::{KeepError, KeptFeatures};

use super::EvaluationError;
use super::classes::{self, ClassRetrieval};
use super::folds::Folds;
use super::intervals::Resampling;
use super::retrieval::{Figure, Measure, QueryOutcome};
use super::sample::{EncoderDescriptors, Sample};

/// A kind of readout, and how well it finds tissue of a query's class in other patients.
#[derive(Debug, Clone)]
pub struct JudgedReadout {
    /// The kind.
    pub kind: ReadoutKind,
    /// How well it finds tissue; or why it cannot be fitted, as a sentence.
    pub found: Result<Judgement, String>,
}

/// How well readouts of one kind find tissue of patients that they were not fitted to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// P@5, mean of classes, with its interval from resampling patients.
    pub precision: Figure,
    /// The precision that random matches would have.
    pub chance_level: f64,
    /// Number of queries.
    pub queries: usize,
    /// Precision minus that of the best kind, on the same queries; `None` of the best kind itself.
    pub behind: Option<Figure>,
}

/// The comparison of kinds of readout.
#[derive(Debug, Clone)]
pub struct ReadoutChoice {
    /// All kinds, in the order given.
    pub readouts: Vec<JudgedReadout>,
    /// Index of the best one: that of the highest precision and, of equal ones, the first.
    pub best: usize,
    /// How well the best one finds tissue.
    pub judgement: Judgement,
}

/// An error of the choice of a readout.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// A readout cannot be fitted for another reason than the number of tiles.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// Tiles and descriptors do not belong together.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// Features cannot be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// No kind of readout can be fitted.
    #[error("no readout can be fitted without the patients that judge it: {reason}")]
    NoneFitted {
        /// Why the first kind cannot.
        reason: String,
    },
    /// `progress` returned false.
    #[error("stopped")]
    Stopped,
}

/// Receives the share (0 to 1) that is done and what is being done, and returns whether to continue.
pub type Progress<'a> = &'a mut dyn FnMut(f64, &str) -> bool;

/// Features, and what readouts of them are to be like.
pub struct Readouts<'a> {
    /// Features as the network gives them, without scaling.
    pub kept: KeptFeatures,
    /// The model, but for what depends on the kind of its readout.
    pub file: &'a ModelFile,
    /// Settings of all kinds.
    pub settings: ReadoutSettings,
}

impl Readouts<'_> {
    /// Fits readouts of these `kinds` to the patients outside each fold in turn, judges them on the labelled tiles of the
    /// patients in it, and returns which is best. `sample` has the kept tiles to judge on, in the same order.
    ///
    /// # Errors
    /// [`ChoiceError::NoneFitted`] if there are too few tiles for any kind.
    pub fn choose(
        &mut self,
        kinds: &[ReadoutKind],
        sample: &Sample,
        folds: &Folds,
        resampling: &Resampling,
        progress: Progress<'_>,
    ) -> Result<ReadoutChoice, ChoiceError> {
        let mut found = Vec::new();
        let shared: Vec<&[ReadoutKind]> = kinds.chunk_by(|a, b| a.shares_fit(*b)).collect();
        let steps = shared.len() * folds.count();
        for (number, kinds) in shared.into_iter().enumerate() {
            let mut queries: Vec<Result<Vec<QueryOutcome>, String>> = vec![Ok(Vec::new()); kinds.len()];
            for fold in 0..folds.count() {
                let before = (number * folds.count() + fold) as f64;
                let doing = format!("{}, part {} of {}", kinds[0].name(), fold + 1, folds.count());
                let mut progress = |share: f64| progress((before + share) / steps as f64, &doing);
                let fit = self.fit(kinds[0], &|slide| folds.of_slide(slide) != Some(fold), &mut progress)?;
                for (kind, queries) in kinds.iter().zip(&mut queries) {
                    let Ok(known) = queries else { continue };
                    match fit.head(*kind, &self.settings) {
                        Ok(fitted) => {
                            let descriptors = self.descriptors(*kind, &fitted)?;
                            known.extend(folds.ask(fold, sample, &descriptors)?);
                        }
                        Err(few @ (EncoderError::TooFewTiles { .. } | EncoderError::NoNeighbours { .. })) => {
                            *queries = Err(few.to_string());
                        }
                        Err(other) => return Err(other.into()),
                    }
                }
            }
            for (kind, queries) in kinds.iter().zip(queries) {
                let scores = queries.and_then(|queries| {
                    Scores::of(classes::of(
                        &folds.gathered(queries, &sample.tiles),
                        &sample.tiles,
                        resampling,
                    ))
                });
                found.push((*kind, scores));
            }
        }
        best_of(found, resampling)
    }

    /// Fits a readout of `kind` to all slides.
    ///
    /// # Errors
    /// [`ChoiceError::Encoder`] if there are too few tiles.
    pub fn fit_to_all(&mut self, kind: ReadoutKind, progress: Progress<'_>) -> Result<Fitted, ChoiceError> {
        let doing = format!("{}, all slides", kind.name());
        let fit = self.fit(kind, &|_| true, &mut |share| progress(share, &doing))?;
        Ok(fit.head(kind, &self.settings)?)
    }

    /// Fits readouts that share the fit of `kind` to the slides that `is_known` accepts.
    fn fit(
        &mut self,
        kind: ReadoutKind,
        is_known: &dyn Fn(usize) -> bool,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<ReadoutFit, ChoiceError> {
        let mut fit = ReadoutFit::new(kind, self.kept.width(), &self.settings)?;
        let scaling = kind.scaling(self.file.backbone, &self.file.blocks, &self.settings);
        let views = if let ReadoutKind::Neighbourhoods { views } = kind { views } else { 0 };
        let slides = self.kept.len();
        for slide in 0..slides {
            if !progress(slide as f64 / slides as f64) {
                return Err(ChoiceError::Stopped);
            }
            if !is_known(slide) {
                continue;
            }
            let mut tiles: SlideTiles = self.kept.tiles(slide, views)?;
            if scaling != FeatureScaling::None {
                tiles.features = scaled(&tiles.features, scaling)?;
            }
            fit.add(&tiles)?;
        }
        Ok(fit)
    }

    /// Computes the descriptors of the tiles to judge on.
    fn descriptors(&mut self, kind: ReadoutKind, fitted: &Fitted) -> Result<EncoderDescriptors, ChoiceError> {
        let mut file = self.file.clone();
        kind.describe(&mut file, &self.settings);
        let mut values = Vec::new();
        for slide in 0..self.kept.len() {
            values.extend(read_out(&self.kept.judged(slide)?, &file, &fitted.head)?.values);
        }
        let width = fitted.head.outputs;
        Ok(EncoderDescriptors { id: String::new(), name: kind.name(), width, values })
    }
}

/// Retrieval by readouts of one kind, with its mean precision.
struct Scores {
    of_classes: ClassRetrieval,
    precision: Figure,
}

impl Scores {
    fn of(of_classes: Option<ClassRetrieval>) -> Result<Self, String> {
        let of = |of_classes: ClassRetrieval| {
            let precision = of_classes.figure(Measure::P5)?;
            Some(Self { of_classes, precision })
        };
        of_classes.and_then(of).ok_or_else(|| "no class is labelled on two patients".to_owned())
    }

    fn judgement(&self, behind: Option<Figure>) -> Judgement {
        Judgement {
            precision: self.precision,
            chance_level: self.of_classes.chance_level,
            queries: self.of_classes.scores.iter().map(|score| score.queries).sum(),
            behind,
        }
    }
}

/// Returns which of the kinds is best, and how far the others are behind it.
fn best_of(
    found: Vec<(ReadoutKind, Result<Scores, String>)>,
    resampling: &Resampling,
) -> Result<ReadoutChoice, ChoiceError> {
    let mut best: Option<(usize, &Scores)> = None;
    for (index, (_, scores)) in found.iter().enumerate() {
        if let Ok(scores) = scores
            && best.is_none_or(|(_, highest)| scores.precision.value > highest.precision.value)
        {
            best = Some((index, scores));
        }
    }
    let Some((best, highest)) = best else {
        let reason = found.into_iter().find_map(|(_, scores)| scores.err()).unwrap_or_default();
        return Err(ChoiceError::NoneFitted { reason });
    };
    let behind = |index: usize, scores: &Scores| match index == best {
        true => None,
        false => classes::difference(&scores.of_classes, &highest.of_classes, resampling),
    };
    let judged = |(index, (kind, scores)): (usize, &(ReadoutKind, Result<Scores, String>))| JudgedReadout {
        kind: *kind,
        found: match scores {
            Ok(scores) => Ok(scores.judgement(behind(index, scores))),
            Err(reason) => Err(reason.clone()),
        },
    };
    Ok(ReadoutChoice {
        readouts: found.iter().enumerate().map(judged).collect(),
        best,
        judgement: highest.judgement(None),
    })
}

#[cfg(test)]
mod tests;
