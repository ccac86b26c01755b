//! What a report says, in order, whatever it is written as.

use super::super::addr::PairCount;
use super::super::comparison::{Comparison, EncoderResult};
use super::super::retrieval::{Figure, Measure, PoolKind, QueryOutcome, Score};
use super::super::sample::Sample;
use super::super::{Class, Exclude};
use super::drawing::Drawing;
use super::gallery::{Pictures, SHOWN_ANSWERS, extremes};
use super::text::{difference, is_certain, measure_label, percent, percent_interval, ratio_interval};
use super::{Map, plots};
use histokin_core::number_format::{counted, grouped};

/// A report before it is a page or a PDF.
pub struct Content {
    pub title: &'static str,
    /// On what was measured, in a sentence.
    pub lead: String,
    /// What the reader should know, as sentences.
    pub notes: Vec<String>,
    pub sections: Vec<Section>,
}

pub struct Section {
    pub title: &'static str,
    pub blocks: Vec<Block>,
}

pub enum Block {
    Heading(String),
    Caption(String),
    Table(Table),
    /// Plots of equal size, side by side where there is room.
    Plots(Vec<Plot>),
    Figure(Plot),
    /// Rows of tiles: a query and its answers.
    Gallery(Vec<Vec<Tile>>),
    /// Names and what they are.
    Facts(Vec<(String, String)>),
}

/// The first cell of a row is its head.
pub struct Table {
    pub header: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    pub text: String,
    /// An interval, or what else stands below in small.
    pub small: String,
    pub strong: bool,
    /// Number of the series whose colour stands before it.
    pub series: Option<usize>,
}

pub struct Plot {
    pub drawing: Drawing,
    pub caption: String,
}

pub struct Tile {
    pub jpeg: Vec<u8>,
    pub slide: String,
    pub class: String,
    /// Top-left corner in level-0 pixels.
    pub corner: [i64; 2],
    pub role: TileRole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileRole {
    Query,
    /// An answer of the query's class.
    Hit,
    /// One of another.
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

/// A share with its interval below.
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
    /// The report on `comparison`, with pictures of tiles where there are slides to read them from.
    pub fn of(
        sample: &Sample,
        comparison: &Comparison,
        map: Option<&Map>,
        pictures: Option<&Pictures<'_>>,
    ) -> Self {
        let mut sections = vec![
            Section { title: "Results", blocks: results(comparison) },
            Section { title: "Differences", blocks: differences(comparison) },
            Section { title: "Curves", blocks: curves(comparison) },
            Section { title: "Near and far pairs", blocks: spreads(comparison) },
            Section { title: "Classes of tissue", blocks: tissue(sample, comparison) },
            Section { title: "Slides asking for slides", blocks: slide_retrieval(comparison) },
            Section { title: "Further measures", blocks: further(comparison) },
        ];
        if let Some(pictures) = pictures {
            let blocks = galleries(sample, comparison, pictures);
            sections.push(Section { title: "Queries and answers", blocks });
        }
        if let Some(map) = map {
            sections.push(Section { title: "Map", blocks: map_of(map, sample) });
        }
        sections.push(Section { title: "Data and settings", blocks: data(sample, comparison) });
        sections.retain(|section| !section.blocks.is_empty());
        Self {
            title: "Encoders compared",
            lead: lead(sample, comparison),
            notes: comparison.notes.clone(),
            sections,
        }
    }
}

fn lead(sample: &Sample, comparison: &Comparison) -> String {
    let mut text = format!(
        "{} of {} of {}",
        counted(sample.tiles.len() as u64, "tile"),
        counted(sample.slides.len() as u64, "slide"),
        counted(sample.patient_count() as u64, "patient")
    );
    if !sample.classes.is_empty() {
        let class = &comparison.settings.class;
        text += &format!(", {} of them labelled; retrieval of {class}", sample.label_counts.labelled);
    }
    text + "."
}

fn results(comparison: &Comparison) -> Vec<Block> {
    let mut names = vec!["method", "numbers", "global ADDR", "median ADDR"];
    let has_target = comparison.encoders.iter().any(|one| one.target.is_some());
    if has_target {
        names.extend(Measure::ALL.map(Measure::label));
        names.push("guessing");
    }
    let best = |value: &dyn Fn(&EncoderResult) -> Option<f64>| {
        comparison.encoders.iter().filter_map(value).fold(f64::NEG_INFINITY, f64::max)
    };
    let best_addr = best(&|one| Some(one.addr.as_ref()?.global));
    let row = |(place, one): (usize, &EncoderResult)| {
        let name = Cell { series: Some(place), ..Cell::from(one.name.clone()) };
        let mut row = vec![name, Cell::from(one.width.to_string())];
        match &one.addr {
            Some(addr) => {
                row.push(Cell {
                    text: format!("{:.2}", addr.global),
                    small: ratio_interval(addr.ci95),
                    strong: addr.global == best_addr,
                    series: None,
                });
                row.push(Cell::from(format!("{:.2}", addr.median_per_slide)));
            }
            None => row.extend(["–", "–"].map(Cell::from)),
        }
        if has_target {
            let score = one.target.as_ref().map(|target| &target.score);
            for measure in Measure::ALL {
                let own = score.and_then(|score| score.figure(measure));
                let highest = best(&|one| Some(one.target.as_ref()?.score.figure(measure)?.value));
                row.push(Cell { strong: own.is_some_and(|own| own.value == highest), ..Cell::from(own) });
            }
            row.push(Cell::from(score.map_or_else(String::new, |score| percent(score.base_rate))));
        }
        row
    };
    let rows = comparison.encoders.iter().enumerate().map(row).collect();
    let note = "ADDR: mean descriptor distance of far pairs of tiles over that of near pairs. P@k: share of the k \
                nearest tiles that are of the query's class; mAP: mean average precision; majority of 5: queries \
                whose five nearest tiles vote for their class. In brackets: 95 % intervals from resampling \
                slides. The best figure of a column is bold; whether it is better is told by the differences \
                below.";
    vec![Block::Table(Table { header: header(&names), rows }), Block::Caption(note.to_owned())]
}

fn differences(comparison: &Comparison) -> Vec<Block> {
    if comparison.paired.is_empty() {
        return Vec::new();
    }
    let name = |id: &str| {
        comparison.encoders.iter().find(|one| one.id == id).map_or(id, |one| one.name.as_str()).to_owned()
    };
    let mut keys: Vec<&str> = comparison.paired.iter().map(|pair| pair.measure).collect();
    keys.sort_unstable_by_key(|key| {
        Measure::ALL.iter().position(|measure| measure.key() == *key).map_or(0, |place| place + 1)
    });
    keys.dedup();
    let names: Vec<&str> = std::iter::once("").chain(keys.iter().map(|key| measure_label(key))).collect();
    let mut pairs: Vec<(&str, &str)> =
        comparison.paired.iter().map(|pair| (pair.a.as_str(), pair.b.as_str())).collect();
    pairs.dedup();
    let row = |(a, b): &(&str, &str)| {
        let cells = keys.iter().map(|key| {
            let same = |pair: &&super::super::comparison::Paired| {
                pair.a == *a && pair.b == *b && pair.measure == *key
            };
            comparison.paired.iter().find(same).map_or_else(Cell::default, |pair| {
                let (text, small) = difference(key, pair.difference, pair.ci95);
                Cell { text, small, strong: is_certain(pair.ci95), series: None }
            })
        });
        let head = Cell { text: name(a), small: format!("less {}", name(b)), ..Cell::default() };
        std::iter::once(head).chain(cells).collect()
    };
    let rows = pairs.iter().map(row).collect();
    let note = "The first encoder's figure less the second's on the same tiles, in points of a hundred except for \
                ADDR, with 95 % intervals over the same draws of slides for both. Bold: the interval leaves 0 out.";
    vec![Block::Table(Table { header: header(&names), rows }), Block::Caption(note.to_owned())]
}

fn curves(comparison: &Comparison) -> Vec<Block> {
    let drawn = [plots::precision(comparison), plots::spectrum(comparison)];
    let plots: Vec<Plot> = drawn
        .into_iter()
        .flatten()
        .map(|drawing| Plot { caption: drawing.label.clone() + ".", drawing })
        .collect();
    if plots.is_empty() { Vec::new() } else { vec![Block::Plots(plots)] }
}

fn spreads(comparison: &Comparison) -> Vec<Block> {
    let plot = |one: &EncoderResult| {
        let addr = one.addr.as_ref()?;
        Some(Plot {
            drawing: plots::distances(&addr.histogram, &one.name),
            caption: format!(
                "{}: {} near pairs, mean {:.3}; {} far pairs, mean {:.3}",
                one.name,
                grouped(addr.near.pairs),
                addr.near.mean(),
                grouped(addr.far.pairs),
                addr.far.mean()
            ),
        })
    };
    let plots: Vec<Plot> = comparison.encoders.iter().filter_map(plot).collect();
    if plots.is_empty() { Vec::new() } else { vec![Block::Plots(plots)] }
}

fn tissue(sample: &Sample, comparison: &Comparison) -> Vec<Block> {
    let name = |class: Class| sample.classes[usize::from(class.0)].clone();
    let mut blocks = Vec::new();
    for one in &comparison.encoders {
        let Some(classes) = &one.classes else { continue };
        let mut rows: Vec<Vec<Cell>> =
            classes.scores.iter().map(|score| score_row(name(score.class), score)).collect();
        let mut mean = vec![
            Cell { strong: true, ..Cell::from("mean of classes") },
            Cell::default(),
            Cell::from(percent(classes.base_rate)),
        ];
        mean.extend(classes.mean.map(|value| Cell::from(value.map_or_else(|| "–".to_owned(), percent))));
        rows.push(mean);
        blocks.push(Block::Heading(one.name.clone()));
        blocks.push(Block::Table(Table { header: score_header("class"), rows }));
        blocks.push(Block::Figure(Plot {
            drawing: plots::confusion(&classes.confusion, sample),
            caption: format!("Which class is taken for which by {}: class of the nearest tile.", one.name),
        }));
    }
    blocks
}

fn score_header(first: &str) -> Vec<String> {
    let mut names = vec![first, "queries", "guessing"];
    names.extend(Measure::ALL.map(Measure::label));
    header(&names)
}

fn score_row(name: String, score: &Score) -> Vec<Cell> {
    let mut row: Vec<Cell> =
        [name, grouped(score.queries as u64), percent(score.base_rate)].map(Cell::from).to_vec();
    row.extend(Measure::ALL.map(|measure| Cell::from(score.figure(measure))));
    row
}

fn slide_retrieval(comparison: &Comparison) -> Vec<Block> {
    let row = |one: &EncoderResult| Some(score_row(one.name.clone(), one.target.as_ref()?.slides.as_ref()?));
    let rows: Vec<Vec<Cell>> = comparison.encoders.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let note = "Each slide with the class asks for slides by the mean of its descriptors; a slide with such tiles is \
                a right answer.";
    vec![Block::Table(Table { header: score_header("method"), rows }), Block::Caption(note.to_owned())]
}

fn further(comparison: &Comparison) -> Vec<Block> {
    let has_stain = comparison.encoders.iter().any(|one| one.stain.is_some());
    let mut names = vec!["method", "linear probe", "20 nearest", "effective dimensions", "near-duplicates"];
    if has_stain {
        names.extend(["nearest stays", "finds itself"]);
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
                format!("{:.1} of {}", health.effective_dimension, one.width)
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
    let mut note = "Linear probe and vote of the 20 nearest: mean over classes of the share of tiles judged right, \
                    each by what was learnt of other slides or patients. Effective dimensions: (Σλ)² / Σλ² of the \
                    variances along the principal axes. Near-duplicates: tiles with another nearer than 2 % of the \
                    median distance."
        .to_owned();
    if let Some(stain) = comparison.encoders.iter().find_map(|one| one.stain) {
        note += &format!(
            " Stain: {} tiles described anew with haematoxylin or eosin a quarter stronger or a fifth weaker on the \
             whole slide; how often their nearest tile elsewhere stays the same, and how often the tile itself is \
             the nearest of all.",
            stain.tiles
        );
    }
    vec![Block::Table(Table { header: header(&names), rows }), Block::Caption(note)]
}

fn galleries(sample: &Sample, comparison: &Comparison, pictures: &Pictures<'_>) -> Vec<Block> {
    let Some((one, target)) = comparison.encoders.iter().find_map(|one| Some((one, one.target.as_ref()?)))
    else {
        return Vec::new();
    };
    let [best, worst] = extremes(target, sample);
    let mut blocks = Vec::new();
    for (title, queries) in [("Best queries", best), ("Worst queries", worst)] {
        let rows: Vec<Vec<Tile>> = queries
            .iter()
            .map(|query| gallery_row(sample, query, pictures))
            .filter(|row| !row.is_empty())
            .collect();
        if !rows.is_empty() {
            blocks.push(Block::Heading(format!("{title}, {}", one.name)));
            blocks.push(Block::Gallery(rows));
        }
    }
    if !blocks.is_empty() {
        blocks.push(Block::Caption(format!(
            "The query first, then its {SHOWN_ANSWERS} nearest tiles in order; a frame in green marks the query's \
             class, one in red another. Below: slide, and the tile's corner in level-0 pixels."
        )));
    }
    blocks
}

fn gallery_row(sample: &Sample, query: &QueryOutcome, pictures: &Pictures<'_>) -> Vec<Tile> {
    let answers = query.answers.iter().zip(&query.hits).take(SHOWN_ANSWERS);
    let answers =
        answers.map(|(answer, hit)| (answer.tile, if *hit { TileRole::Hit } else { TileRole::Miss }));
    std::iter::once((query.tile, TileRole::Query))
        .chain(answers)
        .filter_map(|(tile, role)| {
            let class = sample.tiles.classes[tile as usize];
            let rect = sample.rects.get(tile as usize)?;
            Some(Tile {
                jpeg: pictures.jpeg(sample, tile)?,
                slide: sample.slides[sample.tiles.slides[tile as usize] as usize].name.clone(),
                class: class.map_or("unlabelled", |class| &sample.classes[usize::from(class.0)]).to_owned(),
                corner: [rect.x, rect.y],
                role,
            })
        })
        .collect()
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
    let row = |(place, slide): (usize, &super::super::sample::SampleSlide)| {
        let rows: &[u32] = counts.get(place).map_or(&[], Vec::as_slice);
        let labelled = rows.iter().filter(|row| sample.tiles.classes[**row as usize].is_some()).count();
        let patient = slide.patient.clone().unwrap_or_default();
        [slide.name.clone(), patient, grouped(rows.len() as u64), grouped(labelled as u64)]
            .map(Cell::from)
            .to_vec()
    };
    let rows = sample.slides.iter().enumerate().map(row).collect();
    let pairs = match settings.addr.pairs {
        PairCount::Auto => {
            "all, or 1\u{202F}000\u{202F}000 of each kind where a slide has more than 10\u{202F}000 tiles"
                .to_owned()
        }
        PairCount::All => "all".to_owned(),
        PairCount::PerSlide(count) => format!("{} of each kind and slide", grouped(count as u64)),
    };
    let exclude = match settings.retrieval.exclude {
        Exclude::Slide => "tiles of the query's slide are no answers",
        Exclude::Patient => "tiles of the query's patient are no answers",
    };
    let pool = match settings.retrieval.pool {
        PoolKind::Labelled => "labelled tiles",
        PoolKind::All => "all tiles; unlabelled ones count as wrong",
    };
    let counts = sample.label_counts;
    let mut facts = vec![
        ("near pairs", format!("nearer than {} mm", settings.addr.limits.near_mm)),
        ("far pairs", format!("farther than {} mm", settings.addr.limits.far_mm)),
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
        ("intervals", format!("{} draws of slides", settings.resampling.draws)),
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
