//! The report as CSV tables.

use std::io;

use super::super::comparison::Comparison;
use super::super::control::{self, Control};
use super::super::headline::Headline;
use super::super::retrieval::Measure;
use super::super::sample::Sample;

/// Returns the file name and content of each table.
///
/// # Errors
/// When a table cannot be composed.
pub fn all(sample: &Sample, comparison: &Comparison) -> io::Result<Vec<(&'static str, Vec<u8>)>> {
    Ok(vec![
        ("across_patients.csv", across_patients(sample, comparison)?),
        ("feedback.csv", feedback(comparison)?),
        ("encoders.csv", encoders(comparison)?),
        ("paired.csv", paired(comparison)?),
        ("classes.csv", classes(sample, comparison)?),
        ("queries.csv", queries(sample, comparison)?),
    ])
}

/// A CSV table in memory.
type Table = csv::Writer<Vec<u8>>;

fn finished(table: Table) -> io::Result<Vec<u8>> {
    table.into_inner().map_err(|error| error.into_error())
}

/// Formats a number; empty if there is none.
fn cell(number: Option<f64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

fn across_patients(sample: &Sample, comparison: &Comparison) -> io::Result<Vec<u8>> {
    let mut table = Table::from_writer(Vec::new());
    table.write_record([
        "class",
        "queries",
        "chance_level",
        "encoder_id",
        "name",
        "p_at_5",
        "low",
        "high",
    ])?;
    let headline = Headline::of(comparison);
    for row in headline.iter().flat_map(|headline| &headline.rows) {
        for (one, figure) in comparison.encoders.iter().zip(&row.precision) {
            let interval = figure.and_then(|figure| figure.ci95);
            table.write_record([
                row.name(&sample.classes),
                &row.queries.to_string(),
                &row.chance_level.to_string(),
                &one.id,
                &one.name,
                &cell(figure.map(|figure| figure.value)),
                &cell(interval.map(|interval| interval[0])),
                &cell(interval.map(|interval| interval[1])),
            ])?;
        }
    }
    finished(table)
}

fn feedback(comparison: &Comparison) -> io::Result<Vec<u8>> {
    let mut table = Table::from_writer(Vec::new());
    table.write_record(["encoder_id", "name", "judgements", "p_at_20", "low", "high"])?;
    for one in &comparison.encoders {
        let Some(curve) = &one.feedback else { continue };
        for (judgements, figure) in curve.judgements.iter().zip(&curve.precision) {
            let interval = figure.and_then(|figure| figure.ci95);
            table.write_record([
                &one.id,
                &one.name,
                &judgements.to_string(),
                &cell(figure.map(|figure| figure.value)),
                &cell(interval.map(|interval| interval[0])),
                &cell(interval.map(|interval| interval[1])),
            ])?;
        }
    }
    finished(table)
}

fn encoders(comparison: &Comparison) -> io::Result<Vec<u8>> {
    let mut table = Table::from_writer(Vec::new());
    let mut header = ["encoder_id", "name", "descriptor_len", "tiles", "addr", "addr_low", "addr_high"]
        .map(str::to_owned)
        .to_vec();
    header.extend(["addr_median_per_slide", "queries", "chance_level"].map(str::to_owned));
    for measure in Measure::ALL {
        header.extend(["", "_low", "_high"].map(|end| format!("{}{end}", measure.key())));
    }
    header.extend(["linear_probe_balanced", "nearest_balanced", "effective_dimension"].map(str::to_owned));
    header.extend(["near_duplicates", "nearest_stays", "finds_itself"].map(str::to_owned));
    table.write_record(&header)?;
    for one in &comparison.encoders {
        let addr = one.addr.as_ref();
        let interval = addr.and_then(|addr| addr.ci95);
        let score = one.target.as_ref().map(|target| &target.score);
        let mut row = vec![
            one.id.clone(),
            one.name.clone(),
            one.width.to_string(),
            one.tiles.to_string(),
            cell(addr.map(|addr| addr.global)),
            cell(interval.map(|interval| interval[0])),
            cell(interval.map(|interval| interval[1])),
            cell(addr.map(|addr| addr.median_per_slide)),
            score.map_or_else(String::new, |score| score.queries.to_string()),
            cell(score.map(|score| score.chance_level)),
        ];
        for measure in Measure::ALL {
            let figure = score.and_then(|score| score.figure(measure));
            let interval = figure.and_then(|figure| figure.ci95);
            row.push(cell(figure.map(|figure| figure.value)));
            row.extend([0, 1].map(|end| cell(interval.map(|interval| interval[end]))));
        }
        row.push(cell(one.probe.map(|probe| probe.linear.balanced)));
        row.push(cell(one.probe.map(|probe| probe.nearest.balanced)));
        row.push(cell(one.health.as_ref().map(|health| health.effective_dimension)));
        row.push(cell(one.health.as_ref().map(|health| health.near_duplicates)));
        row.push(cell(one.stain.map(|stain| stain.nearest_stays.value)));
        row.push(cell(one.stain.map(|stain| stain.finds_itself.value)));
        table.write_record(&row)?;
    }
    if let Some(control) = &comparison.control {
        table.write_record(control_row(control, header.len()))?;
    }
    finished(table)
}

/// Returns the row of the control, with `columns` cells; only its ADDR and precision are known.
fn control_row(control: &Control, columns: usize) -> Vec<String> {
    let addr = &control.addr;
    let end = |end: usize| cell(addr.ci95.map(|interval| interval[end]));
    let tiles = String::new();
    let start =
        ["control".to_owned(), control::NAME.to_owned(), "1".to_owned(), tiles, addr.global.to_string()];
    let mut row: Vec<String> = start.into_iter().chain([end(0), end(1)]).collect();
    row.push(cell(Some(addr.median_per_slide).filter(|median| median.is_finite())));
    row.extend([String::new(), String::new()]);
    for measure in Measure::ALL {
        let figure = control.figure(measure);
        let interval = figure.and_then(|figure| figure.ci95);
        row.push(cell(figure.map(|figure| figure.value)));
        row.extend([0, 1].map(|end| cell(interval.map(|interval| interval[end]))));
    }
    row.resize(columns, String::new());
    row
}

fn paired(comparison: &Comparison) -> io::Result<Vec<u8>> {
    let mut table = Table::from_writer(Vec::new());
    table.write_record(["a", "b", "measure", "difference", "low", "high"])?;
    for pair in &comparison.paired {
        let end = |end: usize| cell(pair.ci95.map(|interval| interval[end]));
        let row = [&pair.a, &pair.b, pair.measure, &pair.difference.to_string(), &end(0), &end(1)];
        table.write_record(row)?;
    }
    finished(table)
}

fn classes(sample: &Sample, comparison: &Comparison) -> io::Result<Vec<u8>> {
    let mut table = Table::from_writer(Vec::new());
    let keys = Measure::ALL.map(Measure::key);
    table.write_record(["encoder_id", "class", "queries", "chance_level"].iter().chain(&keys))?;
    for one in &comparison.encoders {
        for score in one.classes.iter().flat_map(|classes| &classes.scores) {
            let figures = Measure::ALL.map(|measure| cell(score.figure(measure).map(|figure| figure.value)));
            let start = [
                one.id.clone(),
                sample.classes[usize::from(score.class.0)].clone(),
                score.queries.to_string(),
                score.chance_level.to_string(),
            ];
            table.write_record(start.iter().chain(&figures))?;
        }
    }
    finished(table)
}

fn queries(sample: &Sample, comparison: &Comparison) -> io::Result<Vec<u8>> {
    let mut table = Table::from_writer(Vec::new());
    table.write_record([
        "encoder_id",
        "slide",
        "x",
        "y",
        "p_at_1",
        "p_at_5",
        "p_at_20",
        "map",
        "nearest_slide",
        "nearest_x",
        "nearest_y",
        "distance",
    ])?;
    let location = |tile: u32| {
        let name = sample.slides[sample.tiles.slides[tile as usize] as usize].name.clone();
        let [x, y] = match sample.rects.get(tile as usize) {
            Some(rect) => [rect.x as f64, rect.y as f64],
            None => sample.tiles.positions_um[tile as usize],
        };
        [name, x.to_string(), y.to_string()]
    };
    for one in &comparison.encoders {
        for query in one.target.iter().flat_map(|target| &target.retrieval.queries) {
            let mut row = vec![one.id.clone()];
            row.extend(location(query.tile));
            row.extend(
                [Measure::P1, Measure::P5, Measure::P20, Measure::Map]
                    .map(|measure| cell(query.value(measure))),
            );
            match query.answers.first() {
                Some(first) => {
                    row.extend(location(first.tile));
                    row.push(first.distance.to_string());
                }
                None => row.extend(std::iter::repeat_n(String::new(), 4)),
            }
            table.write_record(&row)?;
        }
    }
    finished(table)
}
