//! Export of answers as JSON, CSV and annotations.

use serde_json::{Value, json};

use super::{Answer, FromArchive, Judgement, Match, QueryHistory, TilePosition, pair};
use crate::annotation::{Annotation, AnnotationClass, AnnotationSet, Bounds, RawJson, Shape};
use crate::geometry::{Level0Point, Level0Rect};
use crate::slide::SlideId;

/// Returns the relevance judgement of a match.
fn judgement(answer: &Answer, found: &Match, query_history: &QueryHistory) -> Option<Judgement> {
    let (query, found) = pair(answer, found)?;
    query_history.judgement(&query, &found)
}

/// Returns a judgement's name in files.
fn word(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Same => "same",
        Judgement::Different => "different",
        Judgement::Unsure => "unsure",
    }
}

/// Returns an answer as JSON, with the relevance judgements: `query` is the first tile of the query, `tiles`
/// are all of them.
pub fn to_json(answer: &Answer, query_history: &QueryHistory) -> Value {
    let tile_json = |slide: &SlideId, rect: &Level0Rect| json!({"slide": slide, "x": rect.x, "y": rect.y, "width": rect.width, "height": rect.height});
    let tile = |tile: &Option<TilePosition>| tile.as_ref().map(|tile| tile_json(&tile.slide, &tile.rect));
    let found = |found: &Match| {
        let mut document = tile_json(&found.slide, &found.rect);
        document["judgement"] = json!(judgement(answer, found, query_history));
        document["rank"] = json!(found.rank);
        document["distance"] = json!(found.distance);
        document["like"] = json!(found.example);
        if let Some(archive) = &answer.archive {
            describe(&mut document, archive, &TilePosition { slide: found.slide.clone(), rect: found.rect });
        }
        document
    };
    let slide = |(rank, slide): (usize, &super::SlideRank)| {
        json!({
            "rank": rank,
            "slide": slide.slide,
            "median_distance": slide.median_distance,
            "matches": slide.matches,
            "tiles": slide.tiles,
            "histogram": slide.histogram,
            "histogram_to": slide.farthest,
        })
    };
    let archive = answer.archive.as_ref().map(
        |archive| json!({"exact": archive.exact, "recall": archive.recall, "searched": archive.searched, "slides_ranked": archive.ranked.map(|[ranked, _]| ranked), "slides": archive.ranked.map(|[_, all]| all)}),
    );
    let judged = query_history.precision(answer);
    json!({
        "query": answer.tiles.first().and_then(tile),
        "tiles": answer.tiles.iter().map(tile).collect::<Vec<_>>(),
        "exact": answer.exact,
        "searched": answer.searched,
        "elapsed_ms": answer.elapsed.as_secs_f64() * 1000.0,
        "judged": {
            "same": judged.same,
            "different": judged.different,
            "unsure": judged.unsure,
            "precision": judged.share(),
        },
        "matches": answer.matches.iter().map(found).collect::<Vec<_>>(),
        "slides": (1..).zip(&answer.slides).map(slide).collect::<Vec<_>>(),
        "archive": archive,
    })
}

/// Adds slide name, location, patient and class of a match in the archive.
fn describe(document: &mut Value, archive: &FromArchive, tile: &TilePosition) {
    if let Some(slide) = archive.slides.get(&tile.slide) {
        document["archive"] = json!({
            "name": slide.name,
            "location": slide.location,
            "reachable": slide.is_reachable,
            "patient": slide.patient,
            "class": archive.tiles.get(tile).and_then(|tile| tile.class.as_ref()),
        });
    }
}

/// Returns an answer as CSV, one match per row, with its relevance judgement; `name` gives a slide's display
/// name.
///
/// # Errors
/// When the CSV writer fails, which does not happen in memory.
pub fn to_csv(
    answer: &Answer,
    query_history: &QueryHistory,
    name: impl Fn(&SlideId) -> String,
) -> csv::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "rank",
        "distance",
        "slide",
        "slide_id",
        "x",
        "y",
        "width",
        "height",
        "judgement",
    ])?;
    for found in &answer.matches {
        let rect = found.rect;
        writer.write_record([
            found.rank.to_string(),
            found.distance.to_string(),
            name(&found.slide),
            found.slide.0.clone(),
            rect.x.to_string(),
            rect.y.to_string(),
            rect.width.to_string(),
            rect.height.to_string(),
            judgement(answer, found, query_history).map(word).unwrap_or_default().to_owned(),
        ])?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(std::io::Error::other(error.to_string())))
}

/// Returns the matches on one slide as annotations of the class "Similar tissue", with rank and distance as
/// measurements and the relevance judgement as metadata.
pub fn to_annotations(answer: &Answer, query_history: &QueryHistory, slide: &SlideId) -> AnnotationSet {
    let class = AnnotationClass::new("Similar tissue", [0, 200, 107]);
    let of_slide = answer.matches.iter().filter(|found| found.slide == *slide);
    let annotations = of_slide.map(|found| {
        let Level0Rect { x, y, .. } = found.rect;
        let corner = |x: i64, y: i64| Level0Point::new(x as f64, y as f64);
        let bounds = Bounds::between(corner(x, y), corner(found.rect.right(), found.rect.bottom()));
        let mut annotation = Annotation::new(Shape::Rectangle(bounds), Some(class.clone()));
        annotation.name = Some(format!("Match {}", found.rank));
        annotation.measurements =
            vec![("Rank".to_owned(), found.rank as f64), ("Distance".to_owned(), found.distance.into())];
        if let Some(judgement) = judgement(answer, found, query_history) {
            annotation.metadata.push(("Judgement".to_owned(), RawJson::from(word(judgement))));
        }
        annotation
    });
    AnnotationSet::new(annotations)
}

/// Returns the slides of an answer's matches, each once, the one with the best match first.
pub fn slides_of(answer: &Answer) -> Vec<SlideId> {
    let mut slides: Vec<SlideId> = Vec::new();
    for found in &answer.matches {
        if !slides.contains(&found.slide) {
            slides.push(found.slide.clone());
        }
    }
    slides
}
