//! Figures as people read them, and the table for a terminal.

use super::super::comparison::Comparison;
use super::super::retrieval::{Figure, Measure};
use super::super::sample::Sample;

/// A share in per cent.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// An interval of shares in per cent, in brackets; nothing where there is none.
pub fn percent_interval(ci95: Option<[f64; 2]>) -> String {
    ci95.map_or_else(String::new, |[low, high]| format!("[{:.0}–{:.0}]", 100.0 * low, 100.0 * high))
}

/// An interval of ratios, in brackets; nothing where there is none.
pub fn ratio_interval(ci95: Option<[f64; 2]>) -> String {
    ci95.map_or_else(String::new, |[low, high]| format!("[{low:.2}–{high:.2}]"))
}

/// A share with its interval.
pub fn figure(figure: Option<Figure>) -> String {
    figure.map_or_else(
        || "–".to_owned(),
        |figure| format!("{} {}", percent(figure.value), percent_interval(figure.ci95)).trim_end().to_owned(),
    )
}

/// A measure's name for people.
pub fn measure_label(key: &str) -> &str {
    Measure::ALL.iter().find(|measure| measure.key() == key).map_or("ADDR", |measure| measure.label())
}

/// The difference of two figures and its interval: of shares in points of a hundred.
pub fn difference(key: &str, value: f64, ci95: Option<[f64; 2]>) -> (String, String) {
    let scale = if key == "addr" { 1.0 } else { 100.0 };
    let digits = if key == "addr" { 2 } else { 1 };
    let interval = ci95.map_or_else(String::new, |[low, high]| {
        format!("[{:+.digits$} to {:+.digits$}]", scale * low, scale * high)
    });
    (format!("{:+.digits$}", scale * value), interval)
}

/// Whether the interval of a difference leaves 0 out.
pub fn is_certain(ci95: Option<[f64; 2]>) -> bool {
    ci95.is_some_and(|[low, high]| low > 0.0 || high < 0.0)
}

/// The comparison as lines of text.
pub fn table(sample: &Sample, comparison: &Comparison) -> String {
    let mut lines = vec![format!(
        "{} tiles of {} slides of {} patients{}",
        sample.tiles.len(),
        sample.slides.len(),
        sample.patient_count(),
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
        vec![["encoder", "global ADDR", "P@1", "P@5", "P@20", "mAP", "base rate"].map(str::to_owned)];
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
        let line = format!("{a} less {b}, {measure}: {text} {interval}");
        lines.push(line.trim_end().to_owned());
    }
    for one in &comparison.encoders {
        let Some(curve) = &one.marks else { continue };
        let points = curve.marks.iter().zip(&curve.precision);
        let points: Vec<String> =
            points.map(|(marks, precision)| format!("{marks} marks {}", figure(*precision))).collect();
        lines.push(format!(
            "{}, right among the 20 best answers without a mark, mean over classes: {}",
            one.name,
            points.join(", ")
        ));
    }
    lines.extend(comparison.notes.iter().cloned());
    lines.join("\n") + "\n"
}
