//! Formatting of values, and the table for the terminal.

use super::super::addr::Addr;
use super::super::comparison::{CLASS_PRECISION, Comparison, EncoderResult};
use super::super::control;
use super::super::feedback;
use super::super::headline::{Headline, HeadlineRow};
use super::super::retrieval::{Figure, Measure};
use super::super::sample::Sample;
use histokin_core::number_format::{counted, decimal, signed};

/// What the control beside ADDR shows, as sentences.
pub const CONTROL_EXPLANATION: &str = "ADDR: mean descriptor distance of far pairs of tiles divided by that of near \
    pairs. It rewards any descriptor that changes smoothly across a slide: the control only tells the slide's left \
    half from its right, which says nothing about tissue. A high ADDR is therefore no sign of quality.";

/// Returns the title of the table of ADDR and retrieval of the target class.
pub fn addr_title(comparison: &Comparison) -> String {
    let target = match comparison.settings.class.as_str() {
        "tumour" => "tumour tiles".to_owned(),
        other => format!("tiles of class {other}"),
    };
    format!("ADDR and {target} (Gildenblat and Klaiman 2019)")
}

/// Formats a share in per cent.
pub fn percent(share: f64) -> String {
    format!("{} %", decimal(100.0 * share, 1))
}

/// Formats an interval of shares in per cent, in brackets; empty without an interval.
pub fn percent_interval(ci95: Option<[f64; 2]>) -> String {
    ci95.map_or_else(String::new, |[low, high]| {
        format!("[{}–{}]", decimal(100.0 * low, 0), decimal(100.0 * high, 0))
    })
}

/// Formats an interval of ratios, in brackets; empty without an interval.
pub fn ratio_interval(ci95: Option<[f64; 2]>) -> String {
    ci95.map_or_else(String::new, |[low, high]| format!("[{}–{}]", decimal(low, 2), decimal(high, 2)))
}

/// Formats a share with its interval; a dash without a value.
pub fn figure(figure: Option<Figure>) -> String {
    figure.map_or_else(
        || "–".to_owned(),
        |figure| format!("{} {}", percent(figure.value), percent_interval(figure.ci95)).trim_end().to_owned(),
    )
}

/// Formats a ratio; a dash if it is not finite.
pub fn ratio(value: f64) -> String {
    if value.is_finite() { decimal(value, 2) } else { "–".to_owned() }
}

/// Returns the displayed name of a measure with this key.
pub fn measure_label(key: &str) -> &str {
    match key {
        CLASS_PRECISION => "P@5, mean of classes",
        key => {
            Measure::ALL.iter().find(|measure| measure.key() == key).map_or("ADDR", |measure| measure.label())
        }
    }
}

/// Returns whether differences in the measure with this key are listed where there is little room.
pub fn is_listed(key: &str) -> bool {
    [CLASS_PRECISION, "addr", Measure::P1.key()].contains(&key)
}

/// Formats a difference and its interval; differences of shares are in percentage points.
pub fn difference(key: &str, value: f64, ci95: Option<[f64; 2]>) -> (String, String) {
    let scale = if key == "addr" { 1.0 } else { 100.0 };
    let digits = if key == "addr" { 2 } else { 1 };
    let interval = ci95.map_or_else(String::new, |[low, high]| {
        format!("[{} to {}]", signed(scale * low, digits), signed(scale * high, digits))
    });
    (signed(scale * value, digits), interval)
}

/// Returns whether the interval of a difference excludes 0.
pub fn is_certain(ci95: Option<[f64; 2]>) -> bool {
    ci95.is_some_and(|[low, high]| low > 0.0 || high < 0.0)
}

/// Returns the numbers of tiles, slides and patients.
pub fn data_summary(sample: &Sample) -> String {
    format!(
        "{} of {} of {}",
        counted(sample.tiles.len() as u64, "tile"),
        counted(sample.slides.len() as u64, "slide"),
        counted(sample.patient_count() as u64, "patient")
    )
}

/// Returns the comparison as lines of text.
pub fn table(sample: &Sample, comparison: &Comparison) -> String {
    let labels = if sample.classes.is_empty() {
        String::new()
    } else {
        let counts = sample.label_counts;
        format!(
            "; {} labelled, {} in two classes, {} in none",
            counts.labelled, counts.conflicting, counts.uncovered
        )
    };
    let mut lines = vec![data_summary(sample) + &labels];
    if let Some(headline) = Headline::of(comparison) {
        lines.extend([String::new(), format!("{}: P@5", headline.title())]);
        lines.extend(aligned(&headline_rows(&headline, sample, comparison)));
    }
    if comparison.encoders.iter().any(|one| one.feedback.is_some()) {
        lines.extend([
            String::new(),
            "Matches after judgements: P@20 of the matches without a judgement".to_owned(),
        ]);
        if comparison.is_feedback_measured() {
            lines.extend(aligned(&feedback_rows(comparison)));
        } else {
            lines.push(feedback::TOO_FEW.to_owned());
        }
    }
    lines.extend([String::new(), addr_title(comparison)]);
    lines.extend(aligned(&addr_rows(comparison)));
    lines.push(String::new());
    lines.extend(differences(comparison));
    lines.extend(comparison.notes.iter().cloned());
    lines.join("\n") + "\n"
}

fn headline_rows(headline: &Headline, sample: &Sample, comparison: &Comparison) -> Vec<Vec<String>> {
    let names = comparison.encoders.iter().map(|one| one.name.clone());
    let head = ["class", "chance level"].map(str::to_owned).into_iter().chain(names).collect();
    let row = |row: &HeadlineRow| {
        let figures = row.precision.iter().map(|precision| figure(*precision));
        [row.name(&sample.classes).to_owned(), percent(row.chance_level)].into_iter().chain(figures).collect()
    };
    std::iter::once(head).chain(headline.rows.iter().map(row)).collect()
}

fn feedback_rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let counts = feedback::JUDGEMENTS.iter().map(|count| feedback::count_of(*count));
    let head = std::iter::once("encoder".to_owned()).chain(counts).collect();
    let row = |one: &EncoderResult| {
        let figures = one.feedback.as_ref()?.precision.map(figure);
        Some(std::iter::once(one.name.clone()).chain(figures).collect())
    };
    std::iter::once(head).chain(comparison.encoders.iter().filter_map(row)).collect()
}

fn addr_rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let head = ["encoder", "global ADDR", "P@1", "P@5", "P@20", "mAP", "chance level"].map(str::to_owned);
    let addr = |addr: Option<&Addr>| {
        addr.map_or_else(
            || "–".to_owned(),
            |addr| format!("{} {}", ratio(addr.global), ratio_interval(addr.ci95)).trim_end().to_owned(),
        )
    };
    let shown = [Measure::P1, Measure::P5, Measure::P20, Measure::Map];
    let row = |one: &EncoderResult| {
        let score = one.target.as_ref().map(|target| &target.score);
        let figures = shown.map(|measure| figure(score.and_then(|score| score.figure(measure))));
        let chance = score.map_or_else(|| "–".to_owned(), |score| percent(score.chance_level));
        let start = [one.name.clone(), addr(one.addr.as_ref())];
        start.into_iter().chain(figures).chain([chance]).collect()
    };
    let mut rows = vec![head.to_vec()];
    rows.extend(comparison.encoders.iter().map(row));
    if let Some(control) = &comparison.control {
        let start = [control::NAME.to_owned(), addr(Some(&control.addr))];
        let figures = shown.map(|measure| figure(control.figure(measure)));
        rows.push(start.into_iter().chain(figures).chain(["–".to_owned()]).collect());
    }
    rows
}

/// Returns the differences of every pair of encoders, as lines.
fn differences(comparison: &Comparison) -> impl Iterator<Item = String> + '_ {
    let name = |id: &str| {
        comparison.encoders.iter().find(|one| one.id == id).map_or(id.to_owned(), |one| one.name.clone())
    };
    let shown = comparison.paired.iter().filter(|pair| is_listed(pair.measure));
    shown.map(move |pair| {
        let (text, interval) = difference(pair.measure, pair.difference, pair.ci95);
        let (a, b, measure) = (name(&pair.a), name(&pair.b), measure_label(pair.measure));
        format!("{a} minus {b}, {measure}: {text} {interval}").trim_end().to_owned()
    })
}

/// Returns the rows as lines whose cells are aligned.
pub fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
