//! Plots of the report.

use super::super::addr::DistanceHistogram;
use super::super::classes::Confusion;
use super::super::comparison::Comparison;
use super::super::feedback::JUDGEMENTS;
use super::super::retrieval::ANSWERS;
use super::super::sample::Sample;
use super::Map;
use super::drawing::{Anchor, Drawing, Style, TextStyle};
use crate::health::sample as draw;
use histokin_core::number_format::decimal;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 38.0;

/// Axes from 0 to the given ends.
struct Axes {
    x_end: f64,
    y_end: f64,
}

impl Axes {
    /// Returns the position of a point in the drawing.
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let across = (WIDTH - LEFT - RIGHT) * x / self.x_end;
        let up = (HEIGHT - TOP - BOTTOM) * y / self.y_end;
        (LEFT + across, HEIGHT - BOTTOM - up)
    }

    fn draw(&self, drawing: &mut Drawing, x_name: &str, y_name: &str, per_cent: bool) {
        const STEPS: usize = 4;
        for step in 0..=STEPS {
            let share = step as f64 / STEPS as f64;
            let y = share * self.y_end;
            drawing.line(Style::Grid, [self.at(0.0, y), self.at(self.x_end, y)]);
            let (left, height) = self.at(0.0, y);
            let label = if per_cent { format!("{} %", decimal(100.0 * y, 0)) } else { decimal(y, 2) };
            drawing.text(TextStyle::Tick, (left - 5.0, height + 3.0), Anchor::End, &label);
            let x = share * self.x_end;
            let (across, bottom) = self.at(x, 0.0);
            let digits = usize::from(self.x_end < 10.0);
            drawing.text(TextStyle::Tick, (across, bottom + 13.0), Anchor::Middle, &decimal(x, digits));
        }
        let (middle, bottom) = self.at(self.x_end / 2.0, 0.0);
        drawing.text(TextStyle::Axis, (middle, bottom + 29.0), Anchor::Middle, x_name);
        drawing.text(TextStyle::Axis, (LEFT, TOP - 4.0), Anchor::Start, y_name);
    }
}

/// Draws the histograms of the distances of near and far pairs.
pub fn distances(histogram: &DistanceHistogram, name: &str) -> Drawing {
    let bins = histogram.near.len();
    let highest = histogram.near.iter().chain(&histogram.far).copied().fold(0.0, f64::max).max(1e-6);
    let axes = Axes { x_end: histogram.bin * bins as f64, y_end: highest * 1.05 };
    let mut drawing = Drawing::new(WIDTH, HEIGHT);
    axes.draw(&mut drawing, "descriptor distance", "share of pairs", true);
    for (style, shares) in [(Style::Far, &histogram.far), (Style::Near, &histogram.near)] {
        let outline = shares
            .iter()
            .enumerate()
            .flat_map(|(bin, share)| [bin, bin + 1].map(|edge| axes.at(histogram.bin * edge as f64, *share)));
        let closed = std::iter::once(axes.at(0.0, 0.0)).chain(outline).chain([axes.at(axes.x_end, 0.0)]);
        drawing.area(style, closed);
    }
    legend(&mut drawing, &[(Style::Near, "near pairs"), (Style::Far, "far pairs")]);
    drawing.labelled(&format!("Descriptor distances of near and far pairs, {name}"))
}

/// Adds a legend below the plot, two entries per row, and enlarges the drawing for it.
fn legend(drawing: &mut Drawing, entries: &[(Style, &str)]) {
    const ROW: f64 = 16.0;
    let column = (WIDTH - LEFT) / 2.0;
    for (index, (style, name)) in entries.iter().enumerate() {
        let (left, top) = (LEFT + column * (index % 2) as f64, HEIGHT + ROW * (index / 2) as f64);
        drawing.rect(*style, 1.0, (left, top), (10.0, 10.0), name);
        drawing.text(TextStyle::Tick, (left + 15.0, top + 9.0), Anchor::Start, name);
    }
    drawing.height += ROW * entries.len().div_ceil(2) as f64;
}

/// Draws the precision over the number of answers, one line per encoder, with the chance level.
pub fn precision(comparison: &Comparison) -> Option<Drawing> {
    let axes = Axes { x_end: ANSWERS as f64, y_end: 1.0 };
    let mut drawing = Drawing::new(WIDTH, HEIGHT);
    axes.draw(&mut drawing, "number of matches", "share of the query's class", true);
    let mut base = None;
    let mut names = Vec::new();
    for (index, one) in comparison.encoders.iter().enumerate() {
        let Some(target) = &one.target else { continue };
        let queries = &target.retrieval.queries;
        let mean = |count: usize| {
            queries.iter().map(|query| query.precision(count)).sum::<f64>() / queries.len().max(1) as f64
        };
        drawing.line(Style::Series(index), (1..=ANSWERS).map(|count| axes.at(count as f64, mean(count))));
        names.push((Style::Filled(index), one.name.as_str()));
        base = Some(target.score.chance_level);
    }
    let base = base?;
    drawing.line(Style::Base, [axes.at(0.0, base), axes.at(axes.x_end, base)]);
    names.push((Style::BaseSwatch, "chance level"));
    legend(&mut drawing, &names);
    Some(drawing.labelled("Precision over the number of matches"))
}

/// Draws the precision of the matches without a judgement over the number of judgements, one line per encoder; `None`
/// if it was not measured.
pub fn feedback(comparison: &Comparison) -> Option<Drawing> {
    let axes = Axes { x_end: JUDGEMENTS[JUDGEMENTS.len() - 1] as f64, y_end: 1.0 };
    let mut drawing = Drawing::new(WIDTH, HEIGHT);
    axes.draw(&mut drawing, "judgements", "share of the query's class", true);
    let mut names = Vec::new();
    for (index, one) in comparison.encoders.iter().enumerate() {
        let Some(curve) = &one.feedback else { continue };
        let points = curve.judgements.iter().zip(&curve.precision);
        let points = points.filter_map(|(judgements, precision)| {
            Some(axes.at(*judgements as f64, precision.as_ref()?.value))
        });
        drawing.line(Style::Series(index), points);
        names.push((Style::Filled(index), one.name.as_str()));
    }
    if names.is_empty() {
        return None;
    }
    legend(&mut drawing, &names);
    Some(
        drawing.labelled(
            "P@20 of the matches without a judgement over the number of judgements, mean over classes",
        ),
    )
}

/// Draws the share of variance along the first principal axes, one line per encoder.
pub fn spectrum(comparison: &Comparison) -> Option<Drawing> {
    const SHOWN: usize = 32;
    let highest = comparison.encoders.iter().filter_map(|one| one.health.as_ref()?.spectrum.first().copied());
    let highest = highest.fold(0.0, f64::max);
    if highest <= 0.0 {
        return None;
    }
    let axes = Axes { x_end: SHOWN as f64, y_end: highest };
    let mut drawing = Drawing::new(WIDTH, HEIGHT);
    axes.draw(&mut drawing, "principal axis", "share of the variance", true);
    let mut names = Vec::new();
    for (index, one) in comparison.encoders.iter().enumerate() {
        let Some(health) = &one.health else { continue };
        let shares = health.spectrum.iter().take(SHOWN).enumerate();
        drawing.line(Style::Series(index), shares.map(|(axis, share)| axes.at((axis + 1) as f64, *share)));
        names.push((Style::Filled(index), one.name.as_str()));
    }
    legend(&mut drawing, &names);
    Some(drawing.labelled("Variance along the principal axes"))
}

/// Draws the confusion matrix: class of the nearest tile for queries of each class.
pub fn confusion(confusion: &Confusion, sample: &Sample) -> Drawing {
    const CELL: f64 = 46.0;
    const NAMES: f64 = 150.0;
    const TOP: f64 = 92.0;
    let name = |class: &Option<super::super::Class>| {
        class.map_or("unlabelled", |class| sample.classes[usize::from(class.0)].as_str())
    };
    let (columns, rows) = (confusion.answers.len(), confusion.queries.len());
    let mut drawing = Drawing::new(NAMES + CELL * columns as f64 + 90.0, TOP + 8.0 + CELL * rows as f64);
    drawing.text(TextStyle::Axis, (NAMES - 8.0, TOP - 10.0), Anchor::End, "query ↓   nearest tile →");
    for (column, class) in confusion.answers.iter().enumerate() {
        drawing.rising_text(TextStyle::Tick, (NAMES + CELL * (column as f64 + 0.45), TOP - 6.0), name(class));
    }
    for (row, class) in confusion.queries.iter().enumerate() {
        let top = TOP + CELL * row as f64;
        drawing.text(
            TextStyle::Tick,
            (NAMES - 8.0, top + CELL / 2.0 + 3.0),
            Anchor::End,
            name(&Some(*class)),
        );
        let total: u32 = confusion.counts[row].iter().sum();
        for (column, count) in confusion.counts[row].iter().enumerate() {
            let share = f64::from(*count) / f64::from(total.max(1));
            let left = NAMES + CELL * column as f64;
            let title = format!(
                "{count} of {total} queries of class {}: nearest tile is {}",
                name(&Some(*class)),
                name(&confusion.answers[column])
            );
            let own = confusion.answers[column] == Some(*class);
            let style = if own { Style::OwnCell } else { Style::Cell };
            drawing.rect(style, share, (left, top), (CELL - 2.0, CELL - 2.0), &title);
            let shown = format!("{} %", decimal(100.0 * share, 0));
            drawing.text(
                TextStyle::Value,
                (left + CELL / 2.0 - 1.0, top + CELL / 2.0 + 3.0),
                Anchor::Middle,
                &shown,
            );
        }
    }
    drawing.labelled("Confusion matrix: class of queries against class of the nearest tile")
}

/// Maximum number of points drawn in a map.
const DRAWN: usize = 6000;

/// Maximum number of names listed beside a map.
const LISTED: usize = 24;

/// Draws a map, coloured by class if classes are known, otherwise by slide.
pub fn map(map: &Map, sample: &Sample) -> Drawing {
    const EDGE: f64 = 560.0;
    /// Width of the list of names of slides or classes.
    const NAMES: f64 = 230.0;
    /// Height of a line of the list.
    const NAME: f64 = 18.0;
    let by_class = !sample.classes.is_empty();
    let names: Vec<&str> = if by_class {
        sample.classes.iter().map(String::as_str).collect()
    } else {
        sample.slides.iter().map(|slide| slide.name.as_str()).collect()
    };
    let bounds = |axis: usize| {
        map.points.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), point| {
            (low.min(point[axis]), high.max(point[axis]))
        })
    };
    let ((left, right), (bottom, top)) = (bounds(0), bounds(1));
    let span = (right - left).max(top - bottom).max(f32::MIN_POSITIVE);
    let used = 16.0 + (EDGE - 16.0) * f64::from((top - bottom) / span);
    let listed = names.len().min(LISTED);
    let height = used.max(NAME * listed as f64 + 10.0);
    let mut drawing = Drawing::new(EDGE + NAMES, height);
    let at = |point: [f32; 2]| {
        let scaled = |value: f32, low: f32| 8.0 + (EDGE - 16.0) * f64::from((value - low) / span);
        (scaled(point[0], left), used - scaled(point[1], bottom))
    };
    let group = |tile: usize| match sample.tiles.classes[tile] {
        Some(class) if by_class => Some(usize::from(class.0)),
        None if by_class => None,
        _ => Some(sample.tiles.slides[tile] as usize),
    };
    // Unlabelled tiles are drawn below the others.
    let mut shown = draw(map.points.len(), DRAWN, 0);
    shown.sort_by_key(|tile| group(*tile as usize).is_some());
    for tile in shown.into_iter().map(|tile| tile as usize) {
        drawing.dot(group(tile).map_or(Style::Unknown, Style::Filled), at(map.points[tile]), 2.2);
    }
    for (index, name) in names.iter().enumerate().take(listed) {
        let y = 14.0 + NAME * index as f64;
        drawing.dot(Style::Filled(index), (EDGE + 10.0, y), 5.0);
        drawing.text(TextStyle::Tick, (EDGE + 22.0, y + 4.0), Anchor::Start, name);
    }
    drawing.labelled(&format!("{} of the descriptors of {}", map.kind.name(), map.encoder))
}
