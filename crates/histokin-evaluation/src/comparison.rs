//! Encoders side by side on exactly the same tiles: every measure of each, and their paired differences.

use serde::Serialize;

use super::addr::{self, Addr, AddrSettings};
use super::classes::{self, ClassRetrieval};
use super::examples::PairExamples;
use super::health::{self, Health};
use super::intervals::Resampling;
use super::marks::{self, MarksCurve};
use super::probe::{self, Probe};
use super::retrieval::{self, Figure, Measure, Retrieval, RetrievalSettings, Score};
use super::sample::{Described, Sample};
use super::stain_change::StainRobustness;
use super::{Class, EvaluationError, Tiles};

/// How encoders are compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparisonSettings {
    pub addr: AddrSettings,
    pub retrieval: RetrievalSettings,
    pub resampling: Resampling,
    /// The class whose retrieval stands first, as the user names it.
    pub class: String,
}

/// What was measured of one encoder.
#[derive(Debug, Clone)]
pub struct EncoderResult {
    pub id: String,
    pub name: String,
    /// Numbers in a descriptor.
    pub width: usize,
    pub tiles: usize,
    /// None where no slide has both near and far pairs.
    pub addr: Option<Addr>,
    /// Pairs to look at for every bin of the histogram; empty without ADDR.
    pub pairs: PairExamples,
    /// Retrieval of the asked class; none without labels.
    pub target: Option<Target>,
    /// Retrieval of each class of tissue.
    pub classes: Option<ClassRetrieval>,
    /// How many answers are right once some were marked; none without labels.
    pub marks: Option<MarksCurve>,
    pub probe: Option<Probe>,
    pub health: Option<Health>,
    /// Where the encoder is here to describe tiles anew.
    pub stain: Option<StainRobustness>,
}

/// Retrieval of the asked class, all others being one.
#[derive(Debug, Clone)]
pub struct Target {
    pub score: Score,
    /// Every query with its answers.
    pub retrieval: Retrieval,
    /// Slides with such tiles asking for slides by their mean descriptor.
    pub slides: Option<Score>,
}

/// One measure of two encoders.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paired {
    /// Ids of the encoders.
    pub a: String,
    pub b: String,
    /// `addr`, or a measure of retrieval.
    pub measure: &'static str,
    /// Figure of `a` less that of `b`.
    pub difference: f64,
    pub ci95: Option<[f64; 2]>,
}

/// Everything that was measured.
#[derive(Debug, Clone)]
pub struct Comparison {
    pub settings: ComparisonSettings,
    pub encoders: Vec<EncoderResult>,
    pub paired: Vec<Paired>,
    /// What the reader should know, as sentences.
    pub notes: Vec<String>,
}

/// Why the encoders could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    #[error(
        "all labelled tiles are of class {class:?}, so every answer is right; label tiles of a second class, or \
         give --pool all to count unlabelled tiles as wrong"
    )]
    OneClass { class: String },
    #[error(
        "tiles of class {class:?} are on one {group} only, so none of them has an answer on another; label a \
         second {group}, or leave the labels out to measure ADDR alone"
    )]
    OneGroup { class: String, group: &'static str },
    #[error("stopped")]
    Stopped,
}

/// The asked class and all others, in the eyes of the target's retrieval.
const TARGET: Class = Class(0);
const OTHER: Class = Class(1);

/// Measure every encoder of `described` on the tiles of `sample`. `target` are the classes whose retrieval
/// stands first; empty without labels. `tell` hears the share (0 to 1) that is done, and answers whether to
/// go on.
///
/// # Errors
/// [`ComparisonError`] when retrieval was asked for and nothing can be retrieved.
pub fn compare(
    sample: &Sample,
    described: &[Described],
    target: &[Class],
    settings: &ComparisonSettings,
    tell: &mut dyn FnMut(f64, &str) -> bool,
) -> Result<Comparison, ComparisonError> {
    let mut notes = sample.notes.clone();
    let binary = (!target.is_empty()).then(|| binary_tiles(&sample.tiles, target));
    if let Some(tiles) = &binary {
        check_labels(tiles, settings)?;
    }
    let mut encoders = Vec::new();
    for (place, one) in described.iter().enumerate() {
        let mut step = |part: f64, doing: &str| {
            let share = (place as f64 + part) / described.len() as f64;
            if tell(share, &format!("{}: {doing}", one.name)) {
                Ok(())
            } else {
                Err(ComparisonError::Stopped)
            }
        };
        encoders.push(measure(sample, binary.as_ref(), one, settings, &mut notes, &mut step)?);
    }
    let paired = pairs(&encoders, settings);
    notes.sort();
    notes.dedup();
    Ok(Comparison { settings: settings.clone(), encoders, paired, notes })
}

fn measure(
    sample: &Sample,
    binary: Option<&Tiles>,
    one: &Described,
    settings: &ComparisonSettings,
    notes: &mut Vec<String>,
    step: &mut dyn FnMut(f64, &str) -> Result<(), ComparisonError>,
) -> Result<EncoderResult, ComparisonError> {
    let descriptors = one.descriptors()?;
    step(0.0, "pairs of tiles")?;
    let addr = match addr::measure(descriptors, &sample.tiles, &settings.addr, &settings.resampling) {
        Ok(addr) => {
            let names: Vec<&str> =
                addr.skipped.iter().map(|slide| sample.slides[*slide as usize].name.as_str()).collect();
            if !names.is_empty() {
                let limits = settings.addr.limits;
                notes.push(format!(
                    "Without pairs nearer than {} mm or farther than {} mm, and so left out of ADDR: {}.",
                    limits.near_mm,
                    limits.far_mm,
                    names.join(", ")
                ));
            }
            Some(addr)
        }
        Err(error @ EvaluationError::NoPairs { .. }) if binary.is_some() => {
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
        if score.as_ref().is_some_and(is_like_guessing) {
            notes.push(format!(
                "{}: as far as these slides tell, {} is not found better than by guessing.",
                one.name, settings.class
            ));
        }
        target =
            score.map(|score| Target { score, slides: slide_retrieval(one, tiles, settings), retrieval });
    }
    step(0.5, "classes of tissue")?;
    let of_classes = match binary {
        Some(_) => {
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
                    "On one slide or of one patient only, and so never asked for: {}.",
                    names(&retrieval.unanswerable)
                ));
            }
            classes::of(&retrieval, &sample.tiles, &settings.resampling)
        }
        None => None,
    };
    step(0.6, "marks")?;
    let marks = match binary {
        Some(_) => {
            let RetrievalSettings { exclude, seed, .. } = settings.retrieval;
            marks::simulate(descriptors, &sample.tiles, exclude, seed, &settings.resampling)?
        }
        None => None,
    };
    step(0.7, "linear probe")?;
    let probe = match binary {
        Some(_) => probe::judge(descriptors, &sample.tiles, settings.retrieval.exclude)?,
        None => None,
    };
    step(0.9, "health of the descriptors")?;
    let health = health::examine(descriptors, settings.retrieval.seed);
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
        marks,
        probe,
        health,
        stain: None,
    })
}

/// Whether the first answer may be right no more often than one drawn at random would be.
fn is_like_guessing(score: &Score) -> bool {
    let found = score.figure(Measure::P1);
    found.is_some_and(|found| found.ci95.map_or(found.value, |[low, _]| low) <= score.base_rate)
}

/// The tiles with the asked classes as one and all others as another.
fn binary_tiles(tiles: &Tiles, target: &[Class]) -> Tiles {
    let of = |class: &Option<Class>| class.map(|class| if target.contains(&class) { TARGET } else { OTHER });
    Tiles { classes: tiles.classes.iter().map(of).collect(), ..tiles.clone() }
}

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

/// Slides with tiles of the asked class ask for slides by the mean of their descriptors. None where fewer
/// than two slides have any, or all have.
fn slide_retrieval(one: &Described, tiles: &Tiles, settings: &ComparisonSettings) -> Option<Score> {
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

/// Every pair of encoders, in every measure that both have.
fn pairs(encoders: &[EncoderResult], settings: &ComparisonSettings) -> Vec<Paired> {
    let mut paired = Vec::new();
    for (place, a) in encoders.iter().enumerate() {
        for b in &encoders[place + 1..] {
            let mut add = |measure, difference, ci95| {
                paired.push(Paired { a: a.id.clone(), b: b.id.clone(), measure, difference, ci95 });
            };
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
