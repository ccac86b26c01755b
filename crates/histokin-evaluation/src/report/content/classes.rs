//! Sections on details of retrieval and of the descriptors.

use super::super::super::Class;
use super::super::super::comparison::{Comparison, EncoderResult};
use super::super::super::retrieval::{Measure, Score};
use super::super::super::sample::Sample;
use super::super::plots;
use super::super::text::percent;
use super::{Block, Cell, Plot, Table, header};
use histokin_core::number_format::{counted, decimal, grouped};

/// Returns every measure of each class, and the confusion matrix, of each encoder.
pub fn tissue(sample: &Sample, comparison: &Comparison) -> Vec<Block> {
    let name = |class: Class| sample.classes[usize::from(class.0)].clone();
    let mut blocks = Vec::new();
    for one in &comparison.encoders {
        let Some(classes) = &one.classes else { continue };
        let mut rows: Vec<Vec<Cell>> =
            classes.scores.iter().map(|score| score_row(name(score.class), score)).collect();
        let mut mean = vec![
            Cell { strong: true, ..Cell::from("mean of classes") },
            Cell::default(),
            Cell::from(percent(classes.chance_level)),
        ];
        mean.extend(classes.mean.map(Cell::from));
        rows.push(mean);
        blocks.push(Block::Heading(one.name.clone()));
        blocks.push(Block::Table(Table { header: score_header("class"), rows }));
        blocks.push(Block::Figure(Plot {
            drawing: plots::confusion(&classes.confusion, sample),
            caption: format!("Confusion matrix of {}: class of the nearest tile.", one.name),
        }));
    }
    blocks
}

fn score_header(first: &str) -> Vec<String> {
    let mut names = vec![first, "queries", "chance level"];
    names.extend(Measure::ALL.map(Measure::label));
    header(&names)
}

fn score_row(name: String, score: &Score) -> Vec<Cell> {
    let mut row: Vec<Cell> =
        [name, grouped(score.queries as u64), percent(score.chance_level)].map(Cell::from).to_vec();
    row.extend(Measure::ALL.map(|measure| Cell::from(score.figure(measure))));
    row
}

/// Returns the retrieval of slides with the target class.
pub fn slide_retrieval(comparison: &Comparison) -> Vec<Block> {
    let row = |one: &EncoderResult| Some(score_row(one.name.clone(), one.target.as_ref()?.slides.as_ref()?));
    let rows: Vec<Vec<Cell>> = comparison.encoders.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let note = "Each slide with tiles of the class is a query by the mean of its descriptors; other slides with such \
                tiles are correct matches.";
    vec![Block::Table(Table { header: score_header("encoder"), rows }), Block::Caption(note.to_owned())]
}

/// Returns what simple classifiers make of the descriptors, and properties of these.
pub fn further(comparison: &Comparison) -> Vec<Block> {
    let has_stain = comparison.encoders.iter().any(|one| one.stain.is_some());
    let mut names = vec!["encoder", "linear probe", "20 nearest", "effective dimensions", "near-duplicates"];
    if has_stain {
        names.extend(["nearest unchanged", "self-match"]);
    }
    names.push("");
    let row = |one: &EncoderResult| {
        let probe = |balanced: Option<f64>| Cell::from(balanced.map_or_else(|| "–".to_owned(), percent));
        let health = one.health.as_ref();
        let mut row = vec![
            Cell::from(one.name.clone()),
            probe(one.probe.map(|probe| probe.linear.balanced)),
            probe(one.probe.map(|probe| probe.nearest.balanced)),
            Cell::from(health.map_or_else(String::new, |health| {
                format!("{} of {}", decimal(health.effective_dimension, 1), one.width)
            })),
            Cell::from(health.map_or_else(String::new, |health| percent(health.near_duplicates))),
        ];
        if has_stain {
            row.push(Cell::from(one.stain.map(|stain| stain.nearest_stays)));
            row.push(Cell::from(one.stain.map(|stain| stain.finds_itself)));
        }
        row.push(Cell::from(health.and_then(|health| health.warning()).unwrap_or_default()));
        row
    };
    let rows = comparison.encoders.iter().map(row).collect();
    let mut note = "Linear probe and vote of the 20 nearest: mean over classes of the share of tiles classified \
                    correctly from other slides or patients. Effective dimensions: (Σλ)² / Σλ² of the variances \
                    along the principal axes. Near-duplicates: share of tiles with another tile nearer than 2 % of \
                    the median distance."
        .to_owned();
    if let Some(stain) = comparison.encoders.iter().find_map(|one| one.stain) {
        note += &format!(
            " Stain: {} embedded again with haematoxylin or eosin a quarter stronger or a fifth weaker on the whole \
             slide; how often the nearest tile of another slide or patient stays the same, and how often the \
             unchanged tile is the nearest of all.",
            counted(stain.tiles as u64, "tile")
        );
    }
    vec![Block::Table(Table { header: header(&names), rows }), Block::Caption(note)]
}
