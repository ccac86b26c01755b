//! The section on ADDR and on retrieval of the target class, as in the paper on the method.

use super::super::super::addr::Addr;
use super::super::super::comparison::{Comparison, EncoderResult};
use super::super::super::control::{self, Control};
use super::super::super::retrieval::Measure;
use super::super::plots;
use super::super::text::{CONTROL_EXPLANATION, percent, ratio, ratio_interval};
use super::{Block, Cell, Plot, Table, header};
use histokin_core::number_format::{decimal, grouped};

/// Returns the table of ADDR and retrieval of the target class, with the control.
pub fn results(comparison: &Comparison) -> Vec<Block> {
    let mut names = vec!["encoder", "numbers", "global ADDR", "median ADDR"];
    let has_target = comparison.encoders.iter().any(|one| one.target.is_some());
    if has_target {
        names.extend(Measure::ALL.map(Measure::label));
        names.push("chance level");
    }
    let best = |value: &dyn Fn(&EncoderResult) -> Option<f64>| {
        comparison.encoders.iter().filter_map(value).fold(f64::NEG_INFINITY, f64::max)
    };
    let row = |(index, one): (usize, &EncoderResult)| {
        let name = Cell { series: Some(index), ..Cell::from(one.name.clone()) };
        let mut row = vec![name, Cell::from(one.width.to_string())];
        row.extend(addr_cells(one.addr.as_ref()));
        if has_target {
            let score = one.target.as_ref().map(|target| &target.score);
            for measure in Measure::ALL {
                let own = score.and_then(|score| score.figure(measure));
                let highest = best(&|one| Some(one.target.as_ref()?.score.figure(measure)?.value));
                row.push(Cell { strong: own.is_some_and(|own| own.value == highest), ..Cell::from(own) });
            }
            row.push(Cell::from(score.map_or_else(String::new, |score| percent(score.chance_level))));
        }
        row
    };
    let mut rows: Vec<Vec<Cell>> = comparison.encoders.iter().enumerate().map(row).collect();
    rows.extend(comparison.control.as_ref().map(|control| control_row(control, comparison, has_target)));
    let note = format!(
        "{CONTROL_EXPLANATION} P@k: share of the k nearest tiles that are of the query's class; mAP: mean average \
         precision; majority of 5: queries whose class is the most frequent one of their five nearest tiles. In \
         brackets: 95 % intervals from resampling slides. The best precision of each column is bold; the differences \
         above show how certain its lead is."
    );
    vec![Block::Table(Table { header: header(&names), rows }), Block::Caption(note)]
}

/// Returns the cells of global and median ADDR.
fn addr_cells(addr: Option<&Addr>) -> [Cell; 2] {
    match addr {
        Some(addr) => [
            Cell { text: ratio(addr.global), small: ratio_interval(addr.ci95), ..Cell::default() },
            Cell::from(ratio(addr.median_per_slide)),
        ],
        None => ["–", "–"].map(Cell::from),
    }
}

/// Returns the row of the control.
fn control_row(control: &Control, comparison: &Comparison, has_target: bool) -> Vec<Cell> {
    let mut row = vec![Cell::from(control::NAME), Cell::from("1")];
    row.extend(addr_cells(Some(&control.addr)));
    if has_target {
        row.extend(Measure::ALL.map(|measure| Cell::from(control.figure(measure))));
        let score = comparison.encoders.iter().find_map(|one| Some(&one.target.as_ref()?.score));
        row.push(Cell::from(score.map_or_else(String::new, |score| percent(score.chance_level))));
    }
    row
}

/// Returns curves of each encoder: precision over the number of answers, and the spectrum of its descriptors.
pub fn curves(comparison: &Comparison) -> Vec<Block> {
    let drawn = [plots::precision(comparison), plots::spectrum(comparison)];
    let plots: Vec<Plot> = drawn
        .into_iter()
        .flatten()
        .map(|drawing| Plot { caption: drawing.label.clone() + ".", drawing })
        .collect();
    if plots.is_empty() { Vec::new() } else { vec![Block::Plots(plots)] }
}

/// Returns the histograms of descriptor distances.
pub fn spreads(comparison: &Comparison) -> Vec<Block> {
    let plot = |one: &EncoderResult| {
        let addr = one.addr.as_ref()?;
        Some(Plot {
            drawing: plots::distances(&addr.histogram, &one.name),
            caption: format!(
                "{}: {} near pairs, mean {}; {} far pairs, mean {}",
                one.name,
                grouped(addr.near.pairs),
                decimal(addr.near.mean(), 3),
                grouped(addr.far.pairs),
                decimal(addr.far.mean(), 3)
            ),
        })
    };
    let plots: Vec<Plot> = comparison.encoders.iter().filter_map(plot).collect();
    if plots.is_empty() { Vec::new() } else { vec![Block::Plots(plots)] }
}
