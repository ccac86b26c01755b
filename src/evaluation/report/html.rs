//! The report as one page: no file beside it is needed, on screen in light and dark, and in print.

use std::fmt::Write;

use super::super::addr::PairCount;
use super::super::comparison::{Comparison, EncoderResult};
use super::super::retrieval::{Measure, PoolKind, QueryOutcome};
use super::super::sample::Sample;
use super::super::{Class, Exclude};
use super::gallery::{Pictures, SHOWN_ANSWERS, extremes};
use super::svg::escaped;
use super::text::{difference, figure, is_certain, measure_label, percent, ratio_interval};
use super::{Map, plots};

/// The page.
pub fn page(
    sample: &Sample,
    comparison: &Comparison,
    map: Option<&Map>,
    pictures: Option<&Pictures<'_>>,
) -> String {
    let parts = [
        summary(sample, comparison),
        main_table(comparison),
        differences(comparison),
        curves(comparison),
        spreads(comparison),
        tissue(sample, comparison),
        further(comparison),
        pictures.map_or_else(String::new, |pictures| galleries(sample, comparison, pictures)),
        map.map_or_else(String::new, |map| section("Map", &map_of(map, sample))),
        section("Data and settings", &data(sample, comparison)),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Encoders compared</title>\n\
         <style>\n{}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
        include_str!("style.css"),
        parts.concat()
    )
}

fn section(title: &str, content: &str) -> String {
    if content.is_empty() {
        String::new()
    } else {
        format!("<section>\n<h2>{title}</h2>\n{content}</section>\n")
    }
}

/// A table; the first cell of a row is its head. Cells are HTML.
fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = "<div class=\"wide\"><table>\n<tr>".to_owned();
    header.iter().for_each(|cell| text += &format!("<th>{cell}</th>"));
    text += "</tr>\n";
    for row in rows {
        text += "<tr>";
        for (place, cell) in row.iter().enumerate() {
            let kind = if place == 0 { "th" } else { "td" };
            text += &format!("<{kind}>{cell}</{kind}>");
        }
        text += "</tr>\n";
    }
    text + "</table></div>\n"
}

fn caption(text: &str) -> String {
    format!("<p class=\"caption\">{text}</p>\n")
}

fn summary(sample: &Sample, comparison: &Comparison) -> String {
    let class = escaped(&comparison.settings.class);
    let mut text = format!(
        "<h1>Encoders compared</h1>\n<p class=\"lead\">{} tiles of {} slides of {} patients",
        sample.tiles.len(),
        sample.slides.len(),
        sample.patient_count()
    );
    if !sample.classes.is_empty() {
        text += &format!(", {} of them labelled; retrieval of <b>{class}</b>", sample.label_counts.labelled);
    }
    text += ".</p>\n";
    if !comparison.notes.is_empty() {
        text += "<ul class=\"notes\">\n";
        comparison.notes.iter().for_each(|note| text += &format!("<li>{}</li>\n", escaped(note)));
        text += "</ul>\n";
    }
    text
}

fn main_table(comparison: &Comparison) -> String {
    let mut header = vec!["method", "numbers", "global ADDR", "median ADDR"];
    let has_target = comparison.encoders.iter().any(|one| one.target.is_some());
    if has_target {
        header.extend(Measure::ALL.map(Measure::label));
        header.push("guessing");
    }
    let best = |value: &dyn Fn(&EncoderResult) -> Option<f64>| {
        comparison.encoders.iter().filter_map(value).fold(f64::NEG_INFINITY, f64::max)
    };
    let mark = |text: String, is_best: bool| if is_best { format!("<b>{text}</b>") } else { text };
    let best_addr = best(&|one| Some(one.addr.as_ref()?.global));
    let rows: Vec<Vec<String>> = comparison
        .encoders
        .iter()
        .enumerate()
        .map(|(place, one)| {
            let swatch = format!("<span class=\"swatch b{}\"></span>", place % plots::SERIES);
            let mut row = vec![swatch + &escaped(&one.name), one.width.to_string()];
            match &one.addr {
                Some(addr) => {
                    let text = format!("{:.2} <small>{}</small>", addr.global, ratio_interval(addr.ci95));
                    row.push(mark(text, addr.global == best_addr));
                    row.push(format!("{:.2}", addr.median_per_slide));
                }
                None => row.extend(["–", "–"].map(str::to_owned)),
            }
            if has_target {
                let score = one.target.as_ref().map(|target| &target.score);
                for measure in Measure::ALL {
                    let own = score.and_then(|score| score.figure(measure));
                    let highest = best(&|one| Some(one.target.as_ref()?.score.figure(measure)?.value));
                    let text = figure(own).replacen('[', "<small>[", 1).replace(']', "]</small>");
                    row.push(mark(text, own.is_some_and(|own| own.value == highest)));
                }
                row.push(score.map_or_else(String::new, |score| percent(score.base_rate)));
            }
            row
        })
        .collect();
    let note = "ADDR: mean descriptor distance of far pairs of tiles over that of near pairs. P@k: share of the k \
                nearest tiles that are of the query's class; mAP: mean average precision; majority of 5: queries \
                whose five nearest tiles vote for their class. In brackets: 95 % intervals from resampling \
                slides. The best figure of a column is bold; whether it is better is told by the differences \
                below.";
    section("Results", &(table(&header, &rows) + &caption(note)))
}

fn differences(comparison: &Comparison) -> String {
    if comparison.paired.is_empty() {
        return String::new();
    }
    let name = |id: &str| {
        comparison.encoders.iter().find(|one| one.id == id).map_or(id, |one| one.name.as_str()).to_owned()
    };
    let mut keys: Vec<&str> = comparison.paired.iter().map(|pair| pair.measure).collect();
    keys.sort_unstable_by_key(|key| {
        Measure::ALL.iter().position(|measure| measure.key() == *key).map_or(0, |place| place + 1)
    });
    keys.dedup();
    let header: Vec<&str> = std::iter::once("").chain(keys.iter().map(|key| measure_label(key))).collect();
    let mut pairs: Vec<(&str, &str)> =
        comparison.paired.iter().map(|pair| (pair.a.as_str(), pair.b.as_str())).collect();
    pairs.dedup();
    let rows: Vec<Vec<String>> = pairs
        .iter()
        .map(|(a, b)| {
            let head = format!("{} − {}", escaped(&name(a)), escaped(&name(b)));
            let cells = keys.iter().map(|key| {
                let found = comparison
                    .paired
                    .iter()
                    .find(|pair| pair.a == *a && pair.b == *b && pair.measure == *key);
                found.map_or_else(String::new, |pair| {
                    let text = difference(key, pair.difference, pair.ci95);
                    if is_certain(pair.ci95) { format!("<b>{text}</b>") } else { text }
                })
            });
            std::iter::once(head).chain(cells).collect()
        })
        .collect();
    let note = "The first encoder's figure less the second's on the same tiles, with 95 % intervals over the same \
                draws of slides for both. Bold: the interval leaves 0 out.";
    section("Differences", &(table(&header, &rows) + &caption(note)))
}

fn curves(comparison: &Comparison) -> String {
    let plots: String = [plots::precision(comparison), plots::spectrum(comparison)]
        .into_iter()
        .flatten()
        .map(|svg| format!("<figure>{svg}</figure>\n"))
        .collect();
    section(
        "Curves",
        &if plots.is_empty() { plots } else { format!("<div class=\"plots\">\n{plots}</div>\n") },
    )
}

fn spreads(comparison: &Comparison) -> String {
    let plots: String = comparison
        .encoders
        .iter()
        .filter_map(|one| {
            let addr = one.addr.as_ref()?;
            let name = escaped(&one.name);
            let svg = plots::distances(&addr.histogram, &one.name);
            Some(format!(
                "<figure>{svg}<figcaption>{name}: {} near pairs, mean {:.3}; {} far pairs, mean {:.3}</figcaption></figure>\n",
                addr.near.pairs,
                addr.near.mean(),
                addr.far.pairs,
                addr.far.mean()
            ))
        })
        .collect();
    section(
        "Near and far pairs",
        &if plots.is_empty() { plots } else { format!("<div class=\"plots\">\n{plots}</div>\n") },
    )
}

fn tissue(sample: &Sample, comparison: &Comparison) -> String {
    let name = |class: Class| escaped(&sample.classes[usize::from(class.0)]);
    let mut text = String::new();
    for one in &comparison.encoders {
        let Some(classes) = &one.classes else { continue };
        let mut rows: Vec<Vec<String>> = classes
            .scores
            .iter()
            .map(|score| {
                let mut row = vec![name(score.class), score.queries.to_string(), percent(score.base_rate)];
                row.extend(Measure::ALL.map(|measure| {
                    figure(score.figure(measure)).replacen('[', "<small>[", 1).replace(']', "]</small>")
                }));
                row
            })
            .collect();
        let mut mean = vec!["mean of classes".to_owned(), String::new(), percent(classes.base_rate)];
        mean.extend(classes.mean.map(|value| value.map_or_else(|| "–".to_owned(), percent)));
        rows.push(mean);
        let mut header = vec!["class", "queries", "guessing"];
        header.extend(Measure::ALL.map(Measure::label));
        text += &format!("<h3>{}</h3>\n{}", escaped(&one.name), table(&header, &rows));
        text +=
            &format!("<figure class=\"matrix\">{}</figure>\n", plots::confusion(&classes.confusion, sample));
    }
    section("Classes of tissue", &text)
}

fn further(comparison: &Comparison) -> String {
    let rows: Vec<Vec<String>> = comparison
        .encoders
        .iter()
        .map(|one| {
            let probe = |balanced: Option<f64>| balanced.map_or_else(|| "–".to_owned(), percent);
            let slides = one.target.as_ref().and_then(|target| target.slides.as_ref());
            let health = one.health.as_ref();
            let warning = health.and_then(|health| health.warning()).unwrap_or_default();
            vec![
                escaped(&one.name),
                probe(one.probe.map(|probe| probe.linear.balanced)),
                probe(one.probe.map(|probe| probe.nearest.balanced)),
                slides.map_or_else(|| "–".to_owned(), |score| figure(score.figure(Measure::P1))),
                health.map_or_else(String::new, |health| {
                    format!("{:.1} of {}", health.effective_dimension, one.width)
                }),
                health.map_or_else(String::new, |health| percent(health.near_duplicates)),
                escaped(&warning),
            ]
        })
        .collect();
    let header = [
        "method",
        "linear probe",
        "20 nearest",
        "slides, P@1",
        "effective dimensions",
        "near-duplicates",
        "",
    ];
    let note = "Linear probe and vote of the 20 nearest: mean over classes of the share of tiles judged right, each \
                by what was learnt of other slides or patients. Slides: slides with the class asking for slides by \
                their mean descriptor. Effective dimensions: (Σλ)² / Σλ² of the variances along the principal axes. \
                Near-duplicates: tiles with another nearer than 2 % of the median distance.";
    section("Further measures", &(table(&header, &rows) + &caption(note)))
}

fn galleries(sample: &Sample, comparison: &Comparison, pictures: &Pictures<'_>) -> String {
    let Some((one, target)) = comparison.encoders.iter().find_map(|one| Some((one, one.target.as_ref()?)))
    else {
        return String::new();
    };
    let [best, worst] = extremes(target, sample);
    let mut text = String::new();
    for (title, queries) in [("Best queries", best), ("Worst queries", worst)] {
        let rows: String = queries.iter().map(|query| gallery_row(sample, query, pictures)).collect();
        if !rows.is_empty() {
            text += &format!("<h3>{title}, {}</h3>\n{rows}", escaped(&one.name));
        }
    }
    let note = format!(
        "The query first, then its {SHOWN_ANSWERS} nearest tiles in order; a frame in green marks the query's class, \
         one in red another. Below: slide, and the tile's corner in level-0 pixels."
    );
    section("Queries and answers", &if text.is_empty() { text } else { text + &caption(&note) })
}

fn gallery_row(sample: &Sample, query: &QueryOutcome, pictures: &Pictures<'_>) -> String {
    let mut text = "<div class=\"row\">\n".to_owned();
    let answers = query.answers.iter().zip(&query.hits).take(SHOWN_ANSWERS);
    let answers = answers.map(|(answer, hit)| (answer.tile, if *hit { "hit" } else { "miss" }));
    for (tile, kind) in std::iter::once((query.tile, "query")).chain(answers) {
        let Some(url) = pictures.data_url(sample, tile) else { continue };
        let slide = escaped(&sample.slides[sample.tiles.slides[tile as usize] as usize].name);
        let rect = sample.rects[tile as usize];
        let class =
            sample.tiles.classes[tile as usize].map(|class| sample.classes[usize::from(class.0)].as_str());
        text += &format!(
            "<figure class=\"tile {kind}\"><img src=\"{url}\" alt=\"{slide}, {}\" width=\"112\" height=\"112\">\
             <figcaption title=\"{slide}\">{slide}<br>{}, {}</figcaption></figure>\n",
            escaped(class.unwrap_or("unlabelled")),
            rect.x,
            rect.y
        );
    }
    text + "</div>\n"
}

fn map_of(map: &Map, sample: &Sample) -> String {
    let note = format!(
        "{} of the descriptors of {}, coloured by {}.",
        map.kind.name(),
        escaped(&map.encoder),
        if sample.classes.is_empty() { "slide" } else { "class; grey tiles are unlabelled" }
    );
    format!("<figure class=\"map\">{}</figure>\n{}", plots::map(map, sample), caption(&note))
}

fn data(sample: &Sample, comparison: &Comparison) -> String {
    let settings = &comparison.settings;
    let counts = sample.tiles.rows_by_slide();
    let rows: Vec<Vec<String>> = sample
        .slides
        .iter()
        .enumerate()
        .map(|(place, slide)| {
            let rows: &[u32] = counts.get(place).map_or(&[], Vec::as_slice);
            let labelled = rows.iter().filter(|row| sample.tiles.classes[**row as usize].is_some()).count();
            vec![
                escaped(&slide.name),
                slide.patient.as_deref().map(escaped).unwrap_or_default(),
                rows.len().to_string(),
                labelled.to_string(),
            ]
        })
        .collect();
    let mut text = table(&["slide", "patient", "tiles", "labelled"], &rows);
    let pairs = match settings.addr.pairs {
        PairCount::Auto => {
            "all, or 1,000,000 of each kind where a slide has more than 10,000 tiles".to_owned()
        }
        PairCount::All => "all".to_owned(),
        PairCount::PerSlide(count) => format!("{count} of each kind and slide"),
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
    let items = [
        ("near pairs", format!("nearer than {} mm", settings.addr.limits.near_mm)),
        ("far pairs", format!("farther than {} mm", settings.addr.limits.far_mm)),
        ("pairs", pairs),
        ("retrieval", exclude.to_owned()),
        ("pool", pool.to_owned()),
        ("queries", format!("at most {} of each class", settings.retrieval.queries_per_class)),
        (
            "labels",
            format!(
                "{} tiles labelled, {} in two classes, {} in none",
                counts.labelled, counts.conflicting, counts.uncovered
            ),
        ),
        ("intervals", format!("{} draws of slides", settings.resampling.draws)),
        ("seed", settings.retrieval.seed.to_string()),
        ("histokin", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    text += "<dl>\n";
    for (name, value) in items {
        text += &format!("<dt>{name}</dt><dd>{}</dd>\n", escaped(&value));
    }
    for one in &comparison.encoders {
        // Writing into a String cannot fail.
        _ = writeln!(text, "<dt>{}</dt><dd><code>{}</code></dd>", escaped(&one.name), escaped(&one.id));
    }
    text + "</dl>\n"
}
