//! Comparison of encoders on exactly the same tiles: all measures of each, and their paired differences.

use std::fmt::Display;

use serde::Serialize;

use super::addr::{self, Addr, AddrSettings};
use super::classes::{self, ClassRetrieval};
use super::control::{self, Control};
use super::examples::PairExamples;
use super::feedback::{self, FeedbackCurve, Simulation};
use super::health::{self, Health};
use super::intervals::Resampling;
use super::probe::{self, Probe};
use super::retrieval::{self, Figure, Measure, Retrieval, RetrievalSettings, Score};
use super::sample::{EncoderDescriptors, Sample};
use super::stain_change::StainRobustness;
use super::{Class, EvaluationError, Tiles};
use histokin_core::number_format::plain;
use histokin_core::query::RankBy;

/// Settings of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparisonSettings {
    /// Settings of ADDR.
    pub addr: AddrSettings,
    /// Settings of retrieval.
    pub retrieval: RetrievalSettings,
    /// Settings of the confidence intervals.
    pub resampling: Resampling,
    /// Name of the target class, as given by the user.
    pub class: String,
}

/// Results of one encoder.
#[derive(Debug, Clone)]
pub struct EncoderResult {
    /// ID of the encoder.
    pub id: String,
    /// Name of the encoder.
    pub name: String,
    /// Numbers in a descriptor.
    pub width: usize,
    /// Number of tiles.
    pub tiles: usize,
    /// ADDR; `None` if no slide has both near and far pairs.
    pub addr: Option<Addr>,
    /// Example pairs for every bin of the ADDR histogram; empty without ADDR.
    pub pairs: PairExamples,
    /// Retrieval of the target class; `None` without labels.
    pub target: Option<Target>,
    /// Retrieval of each tissue class; `None` without labels.
    pub classes: Option<ClassRetrieval>,
    /// Precision of the matches after some of them were judged; `None` without labels.
    pub feedback: Option<FeedbackCurve>,
    /// Accuracy of simple classifiers; `None` with fewer than two usable classes.
    pub probe: Option<Probe>,
    /// Use of the descriptor space; `None` with fewer than two tiles.
    pub health: Option<Health>,
    /// Stain robustness; `None` if the encoder is not available to embed tiles again.
    pub stain: Option<StainRobustness>,
}

/// Retrieval of the target class, with all other classes merged into one.
#[derive(Debug, Clone)]
pub struct Target {
    /// Score of the target class.
    pub score: Score,
    /// Every query with its answers.
    pub retrieval: Retrieval,
    /// Retrieval of slides that contain the target class, by mean descriptor.
    pub slides: Option<Score>,
}

/// The difference of two encoders in one measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paired {
    /// ID of the first encoder.
    pub a: String,
    /// ID of the second encoder.
    pub b: String,
    /// [`CLASS_PRECISION`], `addr`, or the key of a measure of the target class.
    pub measure: &'static str,
    /// Value of `a` minus that of `b`.
    pub difference: f64,
    /// 95 % interval of the difference; `None` if it cannot be estimated.
    pub ci95: Option<[f64; 2]>,
}

/// Key of the mean over classes of P@5 in [`Paired::measure`].
pub const CLASS_PRECISION: &str = "class_p_at_5";

/// Results of all encoders.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Settings of the comparison.
    pub settings: ComparisonSettings,
    /// Result of each encoder, in the order given.
    pub encoders: Vec<EncoderResult>,
    /// Differences of every pair of encoders.
    pub paired: Vec<Paired>,
    /// The control for ADDR; `None` without ADDR.
    pub control: Option<Control>,
    /// Notes for the reader, as sentences.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Returns whether there are figures of the matches after judgements: whether there were enough tiles for any.
    pub fn is_feedback_measured(&self) -> bool {
        self.encoders.iter().filter_map(|one| one.feedback.as_ref()).any(FeedbackCurve::is_measured)
    }
}

/// An error of a comparison.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    /// A measure failed.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// All labelled tiles are of one class.
    #[error(
        "all labelled tiles are of class {class:?}, so every match is correct; label tiles of a second class, or \
         give --pool all to count unlabelled tiles as wrong"
    )]
    OneClass {
        /// Name of the class.
        class: String,
    },
    /// The target class occurs on one slide or patient only, and so does every other class.
    #[error(
        "tiles of class {class:?} are from one {group} only, so no other {group} has a correct match; label a \
         second {group}, or leave the labels out to measure ADDR alone"
    )]
    OneGroup {
        /// Name of the class.
        class: String,
        /// `slide` or `patient`.
        group: &'static str,
    },
    /// The comparison was stopped by `progress`.
    #[error("stopped")]
    Stopped,
}

/// The target class in its retrieval.
const TARGET: Class = Class(0);
/// All other classes in the retrieval of the target class.
const OTHER: Class = Class(1);

/// Measures every encoder on the tiles of `sample`.
///
/// `target` are the classes that together form the target class; empty without labels or if none of the
/// labels is of that class. `progress` receives the share of the work that is done (0 to 1) and the current
/// step, and returns whether to continue.
///
/// # Errors
/// [`ComparisonError`] when a measure fails, the labels allow no retrieval, or `progress` returns false.
pub fn compare(
    sample: &Sample,
    encoders: &[EncoderDescriptors],
    target: &[Class],
    settings: &ComparisonSettings,
    progress: &mut dyn FnMut(f64, &str) -> bool,
) -> Result<Comparison, ComparisonError> {
    let mut notes = sample.notes.clone();
    let mut binary = (!target.is_empty()).then(|| binary_tiles(&sample.tiles, target));
    if let Some(problem) = binary.as_ref().and_then(|tiles| check_labels(tiles, settings).err()) {
        if !sample.has_answerable_class(settings.retrieval.exclude) {
            return Err(problem);
        }
        notes.push(no_retrieval_of(&settings.class, &problem));
        binary = None;
    }
    let mut results = Vec::new();
    for (index, one) in encoders.iter().enumerate() {
        let mut step = |part: f64, doing: &str| {
            let share = (index as f64 + part) / encoders.len() as f64;
            if progress(share, &format!("{}: {doing}", one.name)) {
                Ok(())
            } else {
                Err(ComparisonError::Stopped)
            }
        };
        results.push(measure(sample, binary.as_ref(), one, settings, &mut notes, &mut step)?);
    }
    let paired = pairs(&results, settings);
    let control = control_of(sample, binary.as_ref(), &results, settings);
    notes.sort();
    notes.dedup();
    Ok(Comparison { settings: settings.clone(), encoders: results, paired, control, notes })
}

/// Measures the control for ADDR; `None` if no encoder has an ADDR.
fn control_of(
    sample: &Sample,
    binary: Option<&Tiles>,
    encoders: &[EncoderResult],
    settings: &ComparisonSettings,
) -> Option<Control> {
    if encoders.iter().all(|one| one.addr.is_none()) {
        return None;
    }
    // Without a near pair in different halves of a slide, the control has no ADDR.
    let addr = control::addr(&sample.tiles, &settings.addr, &settings.resampling).ok()?;
    let exclude = settings.retrieval.exclude;
    let precision = binary.and_then(|tiles| control::precision(tiles, TARGET, exclude, &settings.resampling));
    Some(Control { addr, precision })
}

/// Takes all measures of one encoder except stain robustness.
fn measure(
    sample: &Sample,
    binary: Option<&Tiles>,
    one: &EncoderDescriptors,
    settings: &ComparisonSettings,
    notes: &mut Vec<String>,
    step: &mut dyn FnMut(f64, &str) -> Result<(), ComparisonError>,
) -> Result<EncoderResult, ComparisonError> {
    let descriptors = one.descriptors()?;
    let is_labelled = sample.tiles.classes.iter().any(Option::is_some);
    step(0.0, "pairs of tiles")?;
    let addr = match addr::measure(descriptors, &sample.tiles, &settings.addr, &settings.resampling) {
        Ok(addr) => {
            let names: Vec<&str> =
                addr.skipped.iter().map(|slide| sample.slides[*slide as usize].name.as_str()).collect();
            if !names.is_empty() {
                let limits = settings.addr.limits;
                notes.push(format!(
                    "Left out of ADDR, without pairs nearer than {} mm or farther than {} mm: {}.",
                    plain(limits.near_mm),
                    plain(limits.far_mm),
                    names.join(", ")
                ));
            }
            Some(addr)
        }
        Err(error @ EvaluationError::NoPairs { .. }) if is_labelled => {
            notes.push(format!("No ADDR: {error}."));
            None
        }
        Err(other) => return Err(other.into()),
    };
    let of_addr = |addr| PairExamples::of(descriptors, &sample.tiles, &settings.addr, addr);
    let pairs = addr.as_ref().map(of_addr).unwrap_or_default();
    step(0.3, "retrieval")?;
    let mut target = None;
    if let Some(tiles) = binary {
        let only = RetrievalSettings { only: Some(TARGET), ..settings.retrieval };
        let retrieval = retrieval::ask(descriptors, tiles, &only)?;
        let score = retrieval.score(TARGET, &settings.resampling);
        if score.as_ref().is_some_and(is_at_chance_level) {
            notes.push(format!(
                "{}: on these slides, {} is not found better than at chance level.",
                one.name, settings.class
            ));
        }
        target =
            score.map(|score| Target { score, slides: slide_retrieval(one, tiles, settings), retrieval });
    }
    step(0.5, "tissue classes")?;
    let of_classes = if is_labelled {
        let retrieval = retrieval::ask(descriptors, &sample.tiles, &settings.retrieval)?;
        let names = |classes: &[Class]| {
            classes
                .iter()
                .map(|class| sample.classes[usize::from(class.0)].as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        if !retrieval.unanswerable.is_empty() {
            notes.push(format!(
                "Not used as queries, from one slide or patient only: {}.",
                names(&retrieval.unanswerable)
            ));
        }
        classes::of(&retrieval, &sample.tiles, &settings.resampling)
    } else {
        None
    };
    step(0.6, "relevance feedback")?;
    let RetrievalSettings { exclude, seed, .. } = settings.retrieval;
    let feedback = if is_labelled {
        let (rank_by, resampling) = (RankBy::default(), settings.resampling);
        let simulation = Simulation { exclude, rank_by, wrong: 0.0, seed, resampling };
        feedback::simulate(descriptors, &sample.tiles, &simulation)?
    } else {
        None
    };
    step(0.7, "linear probe")?;
    let probe = if is_labelled { probe::judge(descriptors, &sample.tiles, exclude)? } else { None };
    step(0.9, "state of the descriptors")?;
    let health = health::examine(descriptors, seed);
    if let Some(warning) = health.as_ref().and_then(Health::warning) {
        notes.push(format!("{}: {warning}.", one.name));
    }
    Ok(EncoderResult {
        id: one.id.clone(),
        name: one.name.clone(),
        width: one.width,
        tiles: sample.tiles.len(),
        addr,
        pairs,
        target,
        classes: of_classes,
        feedback,
        probe,
        health,
        stain: None,
    })
}

/// Returns whether P@1, or the lower end of its interval, is at or below the chance level.
fn is_at_chance_level(score: &Score) -> bool {
    let found = score.figure(Measure::P1);
    found.is_some_and(|found| found.ci95.map_or(found.value, |[low, _]| low) <= score.chance_level)
}

/// Returns the tiles with the target classes merged into [`TARGET`] and all others into [`OTHER`].
fn binary_tiles(tiles: &Tiles, target: &[Class]) -> Tiles {
    let of = |class: &Option<Class>| class.map(|class| if target.contains(&class) { TARGET } else { OTHER });
    Tiles { classes: tiles.classes.iter().map(of).collect(), ..tiles.clone() }
}

/// Returns the note that the target class is not measured.
pub(super) fn no_retrieval_of(class: &str, reason: &dyn Display) -> String {
    format!("No retrieval of {class}: {reason}.")
}

/// Checks that the target class can be retrieved.
fn check_labels(tiles: &Tiles, settings: &ComparisonSettings) -> Result<(), ComparisonError> {
    let class = settings.class.clone();
    let has_other = tiles.classes.contains(&Some(OTHER));
    let counts_unknown = settings.retrieval.pool == retrieval::PoolKind::All && tiles.classes.contains(&None);
    if !has_other && !counts_unknown {
        return Err(ComparisonError::OneClass { class });
    }
    let groups = tiles.groups(settings.retrieval.exclude);
    let mut own: Vec<u32> = tiles
        .classes
        .iter()
        .zip(groups)
        .filter(|(class, _)| **class == Some(TARGET))
        .map(|(_, group)| *group)
        .collect();
    own.sort_unstable();
    own.dedup();
    if own.len() < 2 {
        let group = match settings.retrieval.exclude {
            super::Exclude::Slide => "slide",
            super::Exclude::Patient => "patient",
        };
        return Err(ComparisonError::OneGroup { class, group });
    }
    Ok(())
}

/// Returns the retrieval of slides with tiles of the target class, by the mean of their descriptors; `None`
/// if fewer than two slides have such tiles, or all have.
fn slide_retrieval(one: &EncoderDescriptors, tiles: &Tiles, settings: &ComparisonSettings) -> Option<Score> {
    let rows: Vec<Vec<u32>> = tiles.rows_by_slide().into_iter().filter(|rows| !rows.is_empty()).collect();
    let mut known = Tiles::default();
    let mut values = Vec::with_capacity(rows.len() * one.width);
    for (slide, rows) in (0..).zip(&rows) {
        let first = rows[0] as usize;
        let has = |class: Class| rows.iter().any(|row| tiles.classes[*row as usize] == Some(class));
        known.positions_um.push([0.0, 0.0]);
        known.slides.push(slide);
        known.patients.push(tiles.patients[first]);
        known.classes.push(if has(TARGET) { Some(TARGET) } else { has(OTHER).then_some(OTHER) });
        let mut sum = vec![0.0_f64; one.width];
        for row in rows {
            let start = *row as usize * one.width;
            let row = &one.values[start..start + one.width];
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        values.extend(sum.iter().map(|sum| (sum / rows.len() as f64) as f32));
    }
    if !known.classes.contains(&Some(OTHER)) {
        return None;
    }
    let descriptors = super::Descriptors::new(&values, one.width).ok()?;
    let only = RetrievalSettings { only: Some(TARGET), ..settings.retrieval };
    retrieval::ask(descriptors, &known, &only).ok()?.score(TARGET, &settings.resampling)
}

/// Returns the differences of every pair of encoders, in every measure that both have.
fn pairs(encoders: &[EncoderResult], settings: &ComparisonSettings) -> Vec<Paired> {
    let mut paired = Vec::new();
    for (index, a) in encoders.iter().enumerate() {
        for b in &encoders[index + 1..] {
            let mut add = |measure, difference, ci95| {
                paired.push(Paired { a: a.id.clone(), b: b.id.clone(), measure, difference, ci95 });
            };
            if let (Some(a), Some(b)) = (&a.classes, &b.classes)
                && let Some(found) = classes::difference(a, b, &settings.resampling)
            {
                add(CLASS_PRECISION, found.value, found.ci95);
            }
            if let (Some(a), Some(b)) = (&a.addr, &b.addr) {
                let (difference, ci95) = addr::difference(a, b, &settings.resampling);
                add("addr", difference, ci95);
            }
            let (Some(a), Some(b)) = (&a.target, &b.target) else { continue };
            for measure in Measure::ALL {
                let found = a.retrieval.difference(&b.retrieval, TARGET, measure, &settings.resampling);
                if let Some(Figure { value, ci95 }) = found {
                    add(measure.key(), value, ci95);
                }
            }
        }
    }
    paired
}
