//! The first sections: retrieval across patients, and what judgements add.

use super::super::super::comparison::{CLASS_PRECISION, Comparison, Paired};
use super::super::super::feedback;
use super::super::super::headline::{Headline, HeadlineRow};
use super::super::super::retrieval::Measure;
use super::super::super::sample::Sample;
use super::super::plots;
use super::super::text::{difference, is_certain, measure_label, percent};
use super::{Block, Cell, Plot, Table, header};
use histokin_core::number_format::grouped;

/// Returns the table of P@5 by class and encoder.
pub fn results(headline: &Headline, sample: &Sample, comparison: &Comparison) -> Vec<Block> {
    let mut names = header(&["class", "queries", "chance level"]);
    names.extend(comparison.encoders.iter().map(|one| one.name.clone()));
    let row = |row: &HeadlineRow| {
        let name = Cell { strong: row.class.is_none(), ..Cell::from(row.name(&sample.classes)) };
        let mut cells = vec![name];
        cells.extend([grouped(row.queries as u64), percent(row.chance_level)].map(Cell::from));
        cells.extend(
            row.precision
                .iter()
                .enumerate()
                .map(|(index, figure)| Cell { strong: row.is_best(index), ..Cell::from(*figure) }),
        );
        cells
    };
    let rows = headline.rows.iter().map(row).collect();
    vec![Block::Table(Table { header: names, rows }), Block::Caption(headline.explanation())]
}

/// Returns the curve and the table of precision over the number of judgements.
pub fn feedback(comparison: &Comparison) -> Vec<Block> {
    let Some(drawing) = plots::feedback(comparison) else { return Vec::new() };
    if !comparison.is_feedback_measured() {
        return vec![Block::Caption(feedback::TOO_FEW.to_owned())];
    }
    let mut names = header(&["encoder"]);
    names.extend(feedback::JUDGEMENTS.iter().map(|count| feedback::count_of(*count)));
    let curves = comparison.encoders.iter().enumerate();
    let rows = curves
        .filter_map(|(index, one)| {
            let name = Cell { series: Some(index), ..Cell::from(one.name.clone()) };
            let figures = one.feedback.as_ref()?.precision.map(Cell::from);
            Some(std::iter::once(name).chain(figures).collect())
        })
        .collect();
    let plot = Plot { caption: drawing.label.clone() + ".", drawing };
    vec![
        Block::Figure(plot),
        Block::Table(Table { header: names, rows }),
        Block::Caption(feedback::EXPLANATION.to_owned()),
    ]
}

/// Returns the differences of every pair of encoders.
pub fn differences(comparison: &Comparison) -> Vec<Block> {
    if comparison.paired.is_empty() {
        return Vec::new();
    }
    let name = |id: &str| {
        comparison.encoders.iter().find(|one| one.id == id).map_or(id, |one| one.name.as_str()).to_owned()
    };
    let mut keys: Vec<&str> = comparison.paired.iter().map(|pair| pair.measure).collect();
    keys.sort_unstable_by_key(|key| match *key {
        CLASS_PRECISION => 0,
        "addr" => usize::MAX,
        key => Measure::ALL.iter().position(|measure| measure.key() == key).map_or(0, |index| index + 1),
    });
    keys.dedup();
    let names: Vec<&str> = std::iter::once("").chain(keys.iter().map(|key| measure_label(key))).collect();
    let mut pairs: Vec<(&str, &str)> =
        comparison.paired.iter().map(|pair| (pair.a.as_str(), pair.b.as_str())).collect();
    pairs.dedup();
    let row = |(a, b): &(&str, &str)| {
        let cells = keys.iter().map(|key| {
            let same = |pair: &&Paired| pair.a == *a && pair.b == *b && pair.measure == *key;
            comparison.paired.iter().find(same).map_or_else(Cell::default, |pair| {
                let (text, small) = difference(key, pair.difference, pair.ci95);
                Cell { text, small, strong: is_certain(pair.ci95), series: None }
            })
        });
        let head = Cell { text: name(a), small: format!("minus {}", name(b)), ..Cell::default() };
        std::iter::once(head).chain(cells).collect()
    };
    let rows = pairs.iter().map(row).collect();
    let note = "The first encoder's value minus the second's on the same tiles, in percentage points except for \
                ADDR, with 95 % intervals from the same bootstrap samples of patients or slides for both. Bold: the interval excludes 0.";
    vec![Block::Table(Table { header: header(&names), rows }), Block::Caption(note.to_owned())]
}
