//! The choice of a readout by labels: each kind is judged on patients that it was not fitted to.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::progress::ShareBar;
use super::FitModelArgs;
use super::sources::Source;
use crate::encoder::readout_kind::ReadoutKind;
use crate::evaluation::comparison::CLASS_PRECISION;
use crate::evaluation::folds::Folds;
use crate::evaluation::intervals::Resampling;
use crate::evaluation::labels::{self, Labels};
use crate::evaluation::readout_choice::{JudgedReadout, Judgement, ReadoutChoice, Readouts};
use crate::evaluation::report::text::{aligned, difference, figure, is_certain, percent};
use crate::evaluation::sample::{Sample, SampleSlide, SlideFeatures};
use crate::number_format::{counted, grouped};
use crate::slide::{SlideInfo, SlideSource, names};

/// Largest number of times that each kind of readout is fitted without some of the patients.
const FOLDS: usize = 5;

/// Returns the options with which fit-model fits a readout of this kind without labels.
pub fn options(kind: ReadoutKind) -> String {
    match kind {
        ReadoutKind::Pca { whiten, cosine } => {
            let given =
                [(whiten, "--whiten"), (cosine, "--cosine")].into_iter().filter(|(is_given, _)| *is_given);
            given.map(|(_, option)| option).collect::<Vec<_>>().join(" ")
        }
        ReadoutKind::Neighbourhoods { views: 0 } => "--neighbourhoods".to_owned(),
        ReadoutKind::Neighbourhoods { views } => format!("--neighbourhoods --views {views}"),
        ReadoutKind::Prototypes => "--prototypes".to_owned(),
    }
}

/// The labelled tiles, and which patients are judged together.
pub struct Judging {
    sample: Sample,
    folds: Folds,
}

/// Reads labels of the slides.
///
/// # Errors
/// When they cannot be read.
pub fn read_labels(path: &Path, slides: &[Arc<dyn SlideSource>]) -> anyhow::Result<Labels> {
    let stem = |info: &SlideInfo| info.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let infos: HashMap<String, SlideInfo> =
        slides.iter().filter_map(|slide| Some((stem(slide.info())?, slide.info().clone()))).collect();
    let labels = labels::read_labels(path, &|stem| names::among(stem, &infos).cloned())?;
    labels.notes.iter().for_each(|note| noteln!("{note}"));
    Ok(labels)
}

impl Judging {
    /// Assigns classes and patients to the labelled tiles.
    ///
    /// # Errors
    /// When labels are of unknown slides, or cannot tell which readout is better.
    pub fn of(args: &FitModelArgs, labels: &Labels, sources: &[Source]) -> anyhow::Result<Self> {
        let (mut slides, mut tiles) = (Vec::new(), Vec::new());
        for source in sources {
            slides.push(SampleSlide::of(source.slide.info())?);
            tiles.push(SlideFeatures {
                rects: source.judged.iter().map(|tile| source.grid.rect(*tile)).collect(),
                centers_um: source.middles_um(&source.judged)?,
                values: Vec::new(),
            });
        }
        let mut sample = Sample::of_tiles(slides, &tiles);
        args.labelling.apply(&mut sample, Some(labels))?;
        let folds = Folds::of(&sample, FOLDS)?;
        Ok(Self { sample, folds })
    }

    /// Judges all kinds of readout and says which is best.
    ///
    /// # Errors
    /// When none can be fitted without the patients that judge it.
    pub fn choose(&self, args: &FitModelArgs, readouts: &mut Readouts<'_>) -> anyhow::Result<ReadoutChoice> {
        let bar = ShareBar::new(&*args.name);
        let kinds = ReadoutKind::all(args.views);
        let choice = readouts.choose(
            &kinds,
            &self.sample,
            &self.folds,
            &Resampling::default(),
            &mut |share, doing| {
                bar.show(share, doing);
                true
            },
        );
        bar.finish();
        let choice = choice?;
        noteln!("{}", self.table(&choice));
        Ok(choice)
    }

    /// Returns the kinds with their precision, as lines of text.
    fn table(&self, choice: &ReadoutChoice) -> String {
        let kind = choice.readouts[choice.best].kind;
        let options = options(kind);
        let same =
            if options.is_empty() { "without an option".to_owned() } else { format!("with {options}") };
        let mut lines = vec![self.procedure(choice)];
        lines.extend(rows(choice));
        lines.push(format!("chosen: {}, which fit-model fits {same}", kind.name()));
        lines.extend(is_open(choice).then(|| UNDECIDED.to_owned()));
        lines.join("\n")
    }

    /// Returns how the kinds were judged, in a clause.
    fn procedure(&self, choice: &ReadoutChoice) -> String {
        let Judgement { queries, chance_level, .. } = choice.judgement;
        format!(
            "{} queries by labelled tiles of {}, matched with tiles of other patients by readouts that were fitted without \
             the query's patient ({} parts); chance level {}",
            grouped(queries as u64),
            counted(self.folds.patients() as u64, "patient"),
            self.folds.count(),
            percent(chance_level)
        )
    }

    /// Returns what was chosen and how well it does, in words.
    pub fn in_words(&self, choice: &ReadoutChoice) -> String {
        let Judgement { precision, chance_level, .. } = choice.judgement;
        let interval = precision
            .ci95
            .map(|[low, high]| format!(", 95 % interval {} to {}", percent(low), percent(high)));
        format!(
            "its readout ({}) was chosen by labels: P@5 {}{} (chance level {}) on patients left out of the fit",
            choice.readouts[choice.best].kind.name(),
            percent(precision.value),
            interval.unwrap_or_default(),
            percent(chance_level),
        )
    }

    /// Returns how the readout was chosen, for the model's card.
    pub fn in_card(&self, choice: &ReadoutChoice) -> String {
        let rows: Vec<String> = rows(choice).iter().map(|row| format!("    {row}")).collect();
        let open = if is_open(choice) { format!("\n\n{UNDECIDED}") } else { String::new() };
        format!("The readout was chosen by labels: {}.\n\n{}{open}", self.procedure(choice), rows.join("\n"))
    }

    /// Returns the choice for programs.
    pub fn json(&self, choice: &ReadoutChoice) -> Value {
        let of_figure = |readout: &JudgedReadout| match &readout.found {
            Err(reason) => json!({ "options": options(readout.kind), "problem": reason }),
            Ok(found) => json!({
                "options": options(readout.kind),
                "class_p_at_5": found.precision.value,
                "ci95": found.precision.ci95,
                "minus_best": found.behind,
            }),
        };
        json!({
            "chosen": options(choice.readouts[choice.best].kind),
            "class_p_at_5": choice.judgement.precision.value,
            "ci95": choice.judgement.precision.ci95,
            "chance_level": choice.judgement.chance_level,
            "queries": choice.judgement.queries,
            "labelled_tiles": self.sample.label_counts.labelled,
            "patients": self.folds.patients(),
            "folds": self.folds.count(),
            "readouts": choice.readouts.iter().map(of_figure).collect::<Vec<_>>(),
        })
    }
}

/// What is said if other kinds may be as good.
const UNDECIDED: &str =
    "The labels do not tell it from those whose interval contains 0; further patients would.";

/// Returns whether the labels do not tell the best kind from all others.
fn is_open(choice: &ReadoutChoice) -> bool {
    let mut behind = choice.readouts.iter().filter_map(|readout| readout.found.as_ref().ok()?.behind);
    behind.any(|behind| !is_certain(behind.ci95))
}

/// Returns a table of the kinds, the best marked.
fn rows(choice: &ReadoutChoice) -> Vec<String> {
    let head = ["  readout", "P@5, mean of classes", "minus the best"].map(str::to_owned).to_vec();
    let row = |(index, readout): (usize, &JudgedReadout)| {
        let mark = if index == choice.best { "* " } else { "  " };
        let name = format!("{mark}{}", readout.kind.name());
        match &readout.found {
            Err(reason) => vec![name, "–".to_owned(), reason.clone()],
            Ok(found) => {
                let behind = found.behind.map(|behind| {
                    let (value, interval) = difference(CLASS_PRECISION, behind.value, behind.ci95);
                    format!("{value} {interval}").trim_end().to_owned()
                });
                vec![name, figure(Some(found.precision)), behind.unwrap_or_default()]
            }
        }
    };
    let rows: Vec<Vec<String>> =
        std::iter::once(head).chain(choice.readouts.iter().enumerate().map(row)).collect();
    aligned(&rows)
}
