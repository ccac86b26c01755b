//! The report view of the real window.

use egui::Key;
use egui_kittest::kittest::Queryable;
use histokin::annotation::AnnotationClass;
use histokin::evaluation::addr::{AddrSettings, Limits};
use histokin::evaluation::comparison::ComparisonSettings;
use histokin::evaluation::intervals::Resampling;
use histokin::evaluation::retrieval::RetrievalSettings;
use histokin::query::TilePosition;
use histokin::session::{
    AnnotationCommand, EvaluationCommand, EvaluationState, QueryCommand, SlideCommand, SlideStatus,
    TilePicture,
};
use histokin::slide::SlideId;

use crate::support::asset;
use crate::ui::{SLIDE, wait, window};

fn settings(near_mm: f64, far_mm: f64) -> ComparisonSettings {
    ComparisonSettings {
        addr: AddrSettings { limits: Limits { near_mm, far_mm }, ..AddrSettings::default() },
        retrieval: RetrievalSettings::default(),
        resampling: Resampling { draws: 200, seed: 0 },
        class: "tumour".to_owned(),
    }
}

#[test]
fn what_is_measured_is_shown_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![asset(SLIDE)]);
    wait(&mut harness, "the slide is embedded", |app| {
        app.session().active().is_some_and(|slide| matches!(slide.status, SlideStatus::Embedded(_)))
    });
    harness.key_press(Key::F7);
    harness.run_steps(3);
    harness.get_by_label("Measure").click();
    wait(&mut harness, "there is an answer", |app| {
        matches!(app.session().evaluation(), EvaluationState::Failed(_))
    });
    assert!(
        harness.query_by_label_contains("shorter limits").is_some(),
        "a section of 1 mm has no far pairs"
    );

    harness.state_mut().command(EvaluationCommand::Start(Box::new(settings(0.3, 0.8))));
    wait(&mut harness, "it is measured", |app| {
        matches!(app.session().evaluation(), EvaluationState::Done(_))
    });
    let EvaluationState::Done(study) = harness.state().session().evaluation() else { unreachable!() };
    let study = study.clone();
    assert!(
        study.comparison.encoders.iter().any(|one| one.name == "hsv-histogram"),
        "the baseline is measured"
    );
    assert!(study.comparison.encoders[0].stain.is_some(), "changes of the stain are measured");
    let addr = study.comparison.encoders[0].addr.clone().unwrap();
    assert_eq!(study.maps[0].points.len(), study.sample.tiles.len());
    let shown = format!("{:.2}", addr.median_per_slide);
    assert!(harness.get_all_by_label_contains(&shown).count() > 0, "ADDR {shown} is in the table");

    // A bin of the distances shows pairs of it, whose tiles lead to the slide.
    let one = &study.comparison.encoders[0];
    let bin = one.pairs.near.iter().position(|pairs| !pairs.is_empty()).unwrap();
    let [from, to] = addr.histogram.range(bin);
    let bin_label = format!("pairs whose descriptors are {from:.3} to {to:.3} apart");
    harness.get_by_label(&bin_label).click_accesskit();
    harness.run_steps(3);
    assert!(harness.query_by_label_contains("Near pairs, each on one slide").is_some());
    let [x, y] = study.sample.tiles.positions_um[one.pairs.near[bin][0][0] as usize].map(|um| um / 1000.0);
    let tile = format!("x {x:.2} mm  y {y:.2} mm");
    harness.get_all_by_label_contains(&tile).next().unwrap().click_accesskit();
    harness.run_steps(3);
    assert!(harness.query_by_label("slide canvas").is_some(), "at the tile");
    harness.key_press(Key::F7);
    harness.run_steps(3);
    assert!(harness.query_by_label_contains("Near pairs, each on one slide").is_some(), "back at the pairs");

    // What a lasso chooses on the map becomes a question, and an annotation.
    let position = |tile: usize| TilePosition {
        slide: SlideId(study.sample.slides[0].id.clone()),
        rect: study.sample.rects[tile],
    };
    harness.state_mut().command(QueryCommand::Tiles(vec![position(0), position(5)]));
    wait(&mut harness, "the question is answered", |app| {
        app.session().query().is_some_and(|query| query.answer.is_some())
    });
    harness.state_mut().command(EvaluationCommand::MeasureDistances);
    wait(&mut harness, "distances are known", |app| app.session().distances().is_some());
    let distances = harness.state().session().distances().unwrap().clone();
    assert_eq!(distances.len(), study.sample.tiles.len());
    // Two tiles are a taught query: distances are those to the direction between them.
    assert!((distances[0] - distances[5]).abs() < 1e-5, "{distances:?}");
    assert!(distances.iter().all(|distance| *distance > 0.0));
    let first = position(0);
    assert_eq!(study.tile_at(&first.slide, &first.rect), Some(0));
    let class = AnnotationClass::named("Tumour");
    harness.state_mut().command(AnnotationCommand::AnnotateTiles {
        tiles: vec![position(0), position(1), position(5)],
        class,
    });
    let marks = harness.state().session().annotations(&first.slide).unwrap().set().clone();
    assert_eq!(marks.len(), 1, "one annotation around all of them");
    let area = marks.at(0).unwrap().shape().area_px2().unwrap();
    assert!((area - 3.0 * f64::from(first.rect.width).powi(2)).abs() < 1.0);
    let rect = first.rect;
    harness.state_mut().command(SlideCommand::ReadTile { slide: first.slide.clone(), rect });
    wait(&mut harness, "the tile under the pointer is read", |app| {
        matches!(app.session().tile_picture(&first.slide, &rect), Some(TilePicture::Read(_)))
    });

    harness.state_mut().command(EvaluationCommand::WriteReport { pseudonymise: true });
    wait(&mut harness, "the report is written", |app| {
        app.session().messages().iter().any(|message| message.text.contains("report.html"))
    });
    for file in ["report.html", "report.pdf"] {
        assert!(folder.path().join("reports/report-1").join(file).is_file(), "{file}");
    }
    harness.key_press(Key::F7);
    harness.run_steps(3);
    assert!(harness.query_by_label("slide canvas").is_some(), "the slide is back");
}
