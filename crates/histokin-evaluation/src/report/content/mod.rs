//! Content of a report, independent of its format.

mod addr;
mod classes;
mod headline;
mod queries;

use super::super::Exclude;
use super::super::addr::PairCount;
use super::super::comparison::Comparison;
use super::super::headline::Headline;
use super::super::retrieval::{Figure, PoolKind};
use super::super::sample::{Sample, SampleSlide};
use super::drawing::Drawing;
use super::gallery::Pictures;
use super::text::{addr_title, data_summary, percent, percent_interval};
use super::{Map, plots};
use histokin_core::number_format::{counted, grouped, plain};

/// The content of a report.
pub struct Content {
    /// Title of the report.
    pub title: &'static str,
    /// Summary of the data, as a sentence.
    pub lead: String,
    /// Notes for the reader, as sentences.
    pub notes: Vec<String>,
    /// Sections, in order.
    pub sections: Vec<Section>,
}

/// A section of a report.
pub struct Section {
    /// Title of the section.
    pub title: String,
    /// Whether only the title is shown until the reader opens it, where that is possible.
    pub is_folded: bool,
    /// Content, in order.
    pub blocks: Vec<Block>,
}

/// A block of a section.
pub enum Block {
    /// A heading below the section's title.
    Heading(String),
    /// A caption or remark.
    Caption(String),
    /// A table.
    Table(Table),
    /// Plots of equal size, side by side if there is room.
    Plots(Vec<Plot>),
    /// A single plot.
    Figure(Plot),
    /// Rows of tiles: a query and its answers.
    Gallery(Vec<Vec<Tile>>),
    /// Names and values.
    Facts(Vec<(String, String)>),
}

/// A table; the first cell of each row is the row's header.
pub struct Table {
    /// Names of the columns.
    pub header: Vec<String>,
    /// Cells of each row.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    /// Text of the cell.
    pub text: String,
    /// Small text below, such as an interval.
    pub small: String,
    /// Whether the text is bold.
    pub strong: bool,
    /// Number of the series whose colour swatch is shown before the text.
    pub series: Option<usize>,
}

/// A drawing with a caption.
pub struct Plot {
    /// The drawing.
    pub drawing: Drawing,
    /// Text below the drawing.
    pub caption: String,
}

/// A tile in a gallery.
pub struct Tile {
    /// Image of the tile.
    pub jpeg: Vec<u8>,
    /// Name of the slide.
    pub slide: String,
    /// Name of the class.
    pub class: String,
    /// Top-left corner in level-0 pixels.
    pub corner: [i64; 2],
    /// Role of the tile, which decides the colour of its frame.
    pub role: TileRole,
}

/// Role of a tile in a gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileRole {
    /// The query.
    Query,
    /// An answer of the query's class.
    Hit,
    /// An answer of another or unknown class.
    Miss,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// Shows a share with its interval below.
impl From<Option<Figure>> for Cell {
    fn from(figure: Option<Figure>) -> Self {
        match figure {
            Some(figure) => {
                Self { text: percent(figure.value), small: percent_interval(figure.ci95), ..Self::default() }
            }
            None => Self::from("–"),
        }
    }
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Content {
    /// Composes the report on `comparison`, with a map and images of tiles if these are given.
    pub fn of(
        sample: &Sample,
        comparison: &Comparison,
        map: Option<&Map>,
        pictures: Option<&Pictures<'_>>,
    ) -> Self {
        let headline = Headline::of(comparison);
        let section = |title: &str, blocks| Section { title: title.to_owned(), is_folded: false, blocks };
        let mut sections = Vec::new();
        if let Some(headline) = &headline {
            sections.push(section(headline.title(), headline::results(headline, sample, comparison)));
        }
        sections.push(section("Matches after judgements", headline::feedback(comparison)));
        sections.push(section("Differences", headline::differences(comparison)));
        let mut addr = section(&addr_title(comparison), addr::results(comparison));
        addr.blocks.extend(addr::spreads(comparison));
        addr.is_folded = headline.is_some();
        sections.push(addr);
        sections.push(section("Curves", addr::curves(comparison)));
        sections.push(section("Tissue classes", classes::tissue(sample, comparison)));
        sections.push(section("Retrieval of slides", classes::slide_retrieval(comparison)));
        sections.push(section("Further measures", classes::further(comparison)));
        if let Some(pictures) = pictures {
            sections.push(section("Queries and matches", queries::galleries(sample, comparison, pictures)));
        }
        if let Some(map) = map {
            sections.push(section("Map", map_of(map, sample)));
        }
        sections.push(section("Data and settings", data(sample, comparison)));
        sections.retain(|section| !section.blocks.is_empty());
        Self {
            title: "Comparison of encoders",
            lead: lead(sample),
            notes: comparison.notes.clone(),
            sections,
        }
    }
}

fn lead(sample: &Sample) -> String {
    let mut text = data_summary(sample);
    if !sample.classes.is_empty() {
        text += &format!(", {} of them labelled", grouped(sample.label_counts.labelled as u64));
    }
    text + "."
}

fn map_of(map: &Map, sample: &Sample) -> Vec<Block> {
    let caption = format!(
        "{} of the descriptors of {}, coloured by {}.",
        map.kind.name(),
        map.encoder,
        if sample.classes.is_empty() { "slide" } else { "class; grey tiles are unlabelled" }
    );
    vec![Block::Figure(Plot { drawing: plots::map(map, sample), caption })]
}

fn data(sample: &Sample, comparison: &Comparison) -> Vec<Block> {
    let settings = &comparison.settings;
    let counts = sample.tiles.rows_by_slide();
    let row = |(index, slide): (usize, &SampleSlide)| {
        let rows: &[u32] = counts.get(index).map_or(&[], Vec::as_slice);
        let labelled = rows.iter().filter(|row| sample.tiles.classes[**row as usize].is_some()).count();
        let patient = slide.patient.clone().unwrap_or_default();
        [slide.name.clone(), patient, grouped(rows.len() as u64), grouped(labelled as u64)]
            .map(Cell::from)
            .to_vec()
    };
    let rows = sample.slides.iter().enumerate().map(row).collect();
    let pairs = match settings.addr.pairs {
        PairCount::Auto => {
            "all, or 1\u{202F}000\u{202F}000 near and far pairs per slide if a slide has more than 10\u{202F}000 tiles"
                .to_owned()
        }
        PairCount::All => "all".to_owned(),
        PairCount::PerSlide(count) => format!("{} near and far pairs per slide", grouped(count as u64)),
    };
    let exclude = match settings.retrieval.exclude {
        Exclude::Slide => "without tiles of the query's slide",
        Exclude::Patient => "without tiles of the query's patient",
    };
    let pool = match settings.retrieval.pool {
        PoolKind::Labelled => "labelled tiles",
        PoolKind::All => "all tiles; unlabelled ones count as incorrect",
    };
    let counts = sample.label_counts;
    let mut facts = vec![
        ("near pairs", format!("nearer than {} mm", plain(settings.addr.limits.near_mm))),
        ("far pairs", format!("farther than {} mm", plain(settings.addr.limits.far_mm))),
        ("pairs", pairs),
        ("retrieval", exclude.to_owned()),
        ("pool", pool.to_owned()),
        (
            "queries",
            format!("at most {} of each class", grouped(settings.retrieval.queries_per_class as u64)),
        ),
        (
            "labels",
            format!(
                "{} labelled, {} in two classes, {} in none",
                counted(counts.labelled as u64, "tile"),
                grouped(counts.conflicting as u64),
                grouped(counts.uncovered as u64)
            ),
        ),
        ("intervals", format!("{} bootstrap samples of patients or slides", settings.resampling.draws)),
        ("seed", settings.retrieval.seed.to_string()),
        ("histokin", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    facts.extend(comparison.encoders.iter().map(|one| (one.name.as_str(), one.id.clone())));
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    vec![
        Block::Table(Table { header: header(&["slide", "patient", "tiles", "labelled"]), rows }),
        Block::Facts(facts),
    ]
}
