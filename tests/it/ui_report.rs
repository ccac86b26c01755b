//! The report view of the real window.

use egui::Key;
use egui_kittest::kittest::Queryable;
use histokin::evaluation::addr::{AddrSettings, Limits};
use histokin::evaluation::comparison::ComparisonSettings;
use histokin::evaluation::intervals::Resampling;
use histokin::evaluation::retrieval::RetrievalSettings;
use histokin::session::{Command, EvaluationState, SlideStatus};

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
    assert!(harness.query_by_label_contains("--far-mm").is_some(), "a section of 1 mm has no far pairs");

    harness.state_mut().command(Command::Evaluate(Box::new(settings(0.3, 0.8))));
    wait(&mut harness, "it is measured", |app| {
        matches!(app.session().evaluation(), EvaluationState::Done(_))
    });
    let EvaluationState::Done(study) = harness.state().session().evaluation() else { unreachable!() };
    let addr = study.comparison.encoders[0].addr.clone().unwrap();
    assert_eq!(study.map.as_ref().unwrap().points.len(), study.sample.tiles.len());
    let shown = format!("{:.2}", addr.median_per_slide);
    assert!(harness.get_all_by_label_contains(&shown).count() > 0, "ADDR {shown} is in the table");

    harness.state_mut().command(Command::WriteReport { pseudonymise: true });
    wait(&mut harness, "the report is written", |app| {
        app.session().messages().iter().any(|message| message.text.contains("report.html"))
    });
    assert!(folder.path().join("reports/report-1/report.html").is_file());
    harness.key_press(Key::F7);
    harness.run_steps(3);
    assert!(harness.query_by_label("slide canvas").is_some(), "the slide is back");
}
