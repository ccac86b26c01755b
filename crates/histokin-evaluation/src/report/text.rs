//! Formatting of values, and the table for the terminal.

use super::super::comparison::Comparison;
use super::super::retrieval::{Figure, Measure};
use super::super::sample::Sample;
use histokin_core::number_format::counted;

/// Formats a share in per cent.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Formats an interval of shares in per cent, in brackets; empty without an interval.
pub fn percent_interval(ci95: Option<[f64; 2]>) -> String {
    ci95.map_or_else(String::new, |[low, high]| format!("[{:.0}–{:.0}]", 100.0 * low, 100.0 * high))
}

/// Formats an interval of ratios, in brackets; empty without an interval.
pub fn ratio_interval(ci95: Option<[f64; 2]>) -> String {
    ci95.map_or_else(String::new, |[low, high]| format!("[{low:.2}–{high:.2}]"))
}

/// Formats a share with its interval; a dash without a value.
pub fn figure(figure: Option<Figure>) -> String {
    figure.map_or_else(
        || "–".to_owned(),
        |figure| format!("{} {}", percent(figure.value), percent_interval(figure.ci95)).trim_end().to_owned(),
    )
}

/// Returns the displayed name of a measure with this key.
pub fn measure_label(key: &str) -> &str {
    Measure::ALL.iter().find(|measure| measure.key() == key).map_or("ADDR", |measure| measure.label())
}

/// Formats a difference and its interval; differences of shares are in percentage points.
pub fn difference(key: &str, value: f64, ci95: Option<[f64; 2]>) -> (String, String) {
    let scale = if key == "addr" { 1.0 } else { 100.0 };
    let digits = if key == "addr" { 2 } else { 1 };
    let interval = ci95.map_or_else(String::new, |[low, high]| {
        format!("[{:+.digits$} to {:+.digits$}]", scale * low, scale * high)
    });
    (format!("{:+.digits$}", scale * value), interval)
}

/// Returns whether the interval of a difference excludes 0.
pub fn is_certain(ci95: Option<[f64; 2]>) -> bool {
    ci95.is_some_and(|[low, high]| low > 0.0 || high < 0.0)
}

/// Returns the comparison as lines of text.
pub fn table(sample: &Sample, comparison: &Comparison) -> String {
    let mut lines = vec![format!(
        "{} of {} of {}{}",
        counted(sample.tiles.len() as u64, "tile"),
        counted(sample.slides.len() as u64, "slide"),
        counted(sample.patient_count() as u64, "patient"),
        if sample.classes.is_empty() {
            String::new()
        } else {
            format!(
                "; {} labelled, {} in two classes, {} in none",
                sample.label_counts.labelled, sample.label_counts.conflicting, sample.label_counts.uncovered
            )
        }
    )];
    let mut rows =
        vec![["encoder", "global ADDR", "P@1", "P@5", "P@20", "mAP", "chance level"].map(str::to_owned)];
    for one in &comparison.encoders {
        let addr = one.addr.as_ref().map_or_else(
            || "–".to_owned(),
            |addr| format!("{:.2} {}", addr.global, ratio_interval(addr.ci95)).trim_end().to_owned(),
        );
        let score = one.target.as_ref().map(|target| &target.score);
        let of = |measure| figure(score.and_then(|score| score.figure(measure)));
        rows.push([
            one.name.clone(),
            addr,
            of(Measure::P1),
            of(Measure::P5),
            of(Measure::P20),
            of(Measure::Map),
            score.map_or_else(|| "–".to_owned(), |score| percent(score.base_rate)),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        lines.push(cells.collect::<Vec<_>>().join("  ").trim_end().to_owned());
    }
    let name = |id: &str| {
        comparison.encoders.iter().find(|one| one.id == id).map_or(id.to_owned(), |one| one.name.clone())
    };
    for pair in comparison.paired.iter().filter(|pair| matches!(pair.measure, "addr" | "p_at_1")) {
        let (text, interval) = difference(pair.measure, pair.difference, pair.ci95);
        let (a, b, measure) = (name(&pair.a), name(&pair.b), measure_label(pair.measure));
        let line = format!("{a} minus {b}, {measure}: {text} {interval}");
        lines.push(line.trim_end().to_owned());
    }
    for one in &comparison.encoders {
        let Some(curve) = &one.marks else { continue };
        let points = curve.marks.iter().zip(&curve.precision);
        let points: Vec<String> =
            points.map(|(marks, precision)| format!("{marks} marks {}", figure(*precision))).collect();
        lines.push(format!(
            "{}, P@20 of the matches without a mark, mean over classes: {}",
            one.name,
            points.join(", ")
        ));
    }
    lines.extend(comparison.notes.iter().cloned());
    lines.join("\n") + "\n"
}
