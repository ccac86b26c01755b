//! The report as JSON. Its key names are part of the command-line interface and must stay stable.

use serde_json::{Map, Value, json};

use super::super::Class;
use super::super::addr::Addr;
use super::super::classes::ClassRetrieval;
use super::super::comparison::{Comparison, EncoderResult, Target};
use super::super::control::{self, Control};
use super::super::headline::{Headline, HeadlineRow};
use super::super::retrieval::{Measure, Score};
use super::super::sample::Sample;

/// Returns all results, the data they were measured on, and the settings.
pub fn document(sample: &Sample, comparison: &Comparison) -> Value {
    json!({
        "across_patients": Headline::of(comparison).map(|headline| across_patients(sample, comparison, &headline)),
        "encoders": comparison.encoders.iter().map(|one| encoder(sample, comparison, one)).collect::<Vec<_>>(),
        "control": comparison.control.as_ref().map(|control| control_of(sample, control)),
        "paired": comparison.paired,
        "data": {
            "slides": sample.slides,
            "patients": sample.patient_count(),
            "tiles": sample.tiles.len(),
            "labels": sample.label_counts,
            "classes": sample.classes,
        },
        "settings": comparison.settings,
        "notes": comparison.notes,
        "program_version": env!("CARGO_PKG_VERSION"),
    })
}

fn across_patients(sample: &Sample, comparison: &Comparison, headline: &Headline) -> Value {
    let row = |row: &HeadlineRow| {
        let of_encoders: Map<String, Value> = comparison
            .encoders
            .iter()
            .zip(&row.precision)
            .map(|(one, figure)| {
                let figure = json!({
                    "p_at_5": figure.map(|figure| figure.value),
                    "ci95": figure.and_then(|figure| figure.ci95),
                });
                (one.id.clone(), figure)
            })
            .collect();
        json!({
            "class": row.class.map(|class| &sample.classes[usize::from(class.0)]),
            "queries": row.queries,
            "chance_level": row.chance_level,
            "encoders": of_encoders,
        })
    };
    json!({
        "exclude": headline.exclude,
        "mean_of_classes": headline.rows.first().map(row),
        "classes": headline.rows.iter().skip(1).map(row).collect::<Vec<_>>(),
    })
}

fn control_of(sample: &Sample, control: &Control) -> Value {
    json!({
        "name": control::NAME,
        "addr": addr_of(sample, &control.addr),
        "precision": control.precision,
    })
}

fn encoder(sample: &Sample, comparison: &Comparison, one: &EncoderResult) -> Value {
    json!({
        "encoder_id": one.id,
        "name": one.name,
        "descriptor_len": one.width,
        "tiles": one.tiles,
        "addr": one.addr.as_ref().map(|addr| addr_of(sample, addr)),
        "retrieval": one.target.as_ref().map(|target| retrieval_of(comparison, target)),
        "slide_retrieval": one.target.as_ref().and_then(|target| target.slides.as_ref()).map(score_of),
        "tissue_classes": one.classes.as_ref().map(|classes| classes_of(sample, classes)),
        "feedback": one.feedback,
        "probe": one.probe,
        "health": one.health,
        "stain_robustness": one.stain,
    })
}

fn addr_of(sample: &Sample, addr: &Addr) -> Value {
    let name = |slide: u32| sample.slides[slide as usize].name.clone();
    let per_slide: Map<String, Value> = addr
        .per_slide
        .iter()
        .map(|slide| {
            let figures = json!({
                "addr": slide.ratio(),
                "near": slide.near.mean(),
                "far": slide.far.mean(),
                "pairs_near": slide.near.pairs,
                "pairs_far": slide.far.pairs,
            });
            (name(slide.slide), figures)
        })
        .collect();
    json!({
        "global": addr.global,
        "ci95": addr.ci95,
        "median_per_slide": addr.median_per_slide,
        "mean_per_slide": addr.mean_per_slide,
        "pairs_near": addr.near.pairs,
        "pairs_far": addr.far.pairs,
        "near": addr.near.mean(),
        "far": addr.far.mean(),
        "per_slide": per_slide,
        "skipped": addr.skipped.iter().map(|slide| name(*slide)).collect::<Vec<_>>(),
        "histogram": addr.histogram,
    })
}

fn retrieval_of(comparison: &Comparison, target: &Target) -> Value {
    let mut document = score_of(&target.score);
    document["class"] = json!(comparison.settings.class);
    document
}

/// Returns a score with its values by key, without the class.
fn score_of(score: &Score) -> Value {
    let mut document = json!({
        "queries": score.queries,
        "pool": score.pool,
        "chance_level": score.chance_level,
    });
    let mut intervals = Map::new();
    for measure in Measure::ALL {
        let figure = score.figure(measure);
        document[measure.key()] = json!(figure.map(|figure| figure.value));
        intervals.insert(measure.key().to_owned(), json!(figure.and_then(|figure| figure.ci95)));
    }
    document["ci95"] = Value::Object(intervals);
    document
}

fn classes_of(sample: &Sample, classes: &ClassRetrieval) -> Value {
    let name = |class: Class| sample.classes[usize::from(class.0)].clone();
    let per_class: Map<String, Value> =
        classes.scores.iter().map(|score| (name(score.class), score_of(score))).collect();
    let mean: Map<String, Value> = Measure::ALL
        .iter()
        .zip(classes.mean)
        .map(|(measure, figure)| (measure.key().to_owned(), json!(figure.map(|figure| figure.value))))
        .collect();
    json!({
        "mean": mean,
        "chance_level": classes.chance_level,
        "per_class": per_class,
        "confusion": {
            "queries": classes.confusion.queries.iter().map(|class| name(*class)).collect::<Vec<_>>(),
            "answers": classes.confusion.answers.iter().map(|class| class.map(name)).collect::<Vec<_>>(),
            "counts": classes.confusion.counts,
        },
    })
}
