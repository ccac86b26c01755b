//! The report's tables.

use egui::{Color32, Grid, RichText, ScrollArea, Sense, Ui, Vec2};

use super::heading_ui;
use crate::evaluation::classes::Confusion;
use crate::evaluation::report::text::{
    difference, figure, is_certain, measure_label, percent, ratio_interval,
};
use crate::evaluation::retrieval::Measure;
use crate::evaluation::sample::Sample;
use crate::evaluation::study::Study;
use crate::ui::theme::{self, Palette};

/// The paper's table, from the user's slides.
pub fn results_ui(ui: &mut Ui, study: &Study, palette: &Palette) {
    let sample = &study.sample;
    let summary = format!(
        "{} tiles of {} slides of {} patients, {} of them labelled",
        sample.tiles.len(),
        sample.slides.len(),
        sample.patient_count(),
        sample.label_counts.labelled
    );
    ui.label(RichText::new(summary).color(palette.weak));
    ui.add_space(6.0);
    let has_target = study.comparison.encoders.iter().any(|one| one.target.is_some());
    ScrollArea::horizontal().id_salt("results").show(ui, |ui| {
        Grid::new("results").striped(true).spacing([22.0, 8.0]).show(ui, |ui| {
            let head = |ui: &mut Ui, text: &str| ui.label(RichText::new(text).small().color(palette.weak));
            head(ui, "method");
            head(ui, "global ADDR");
            head(ui, "median ADDR");
            if has_target {
                Measure::ALL.iter().for_each(|measure| _ = head(ui, measure.label()));
                head(ui, "guessing");
            }
            ui.end_row();
            for one in &study.comparison.encoders {
                ui.label(RichText::new(&one.name).family(theme::bold()).color(palette.strong));
                match &one.addr {
                    Some(addr) => {
                        ui.label(format!("{:.2}  {}", addr.global, ratio_interval(addr.ci95)));
                        ui.label(format!("{:.2}", addr.median_per_slide));
                    }
                    None => {
                        ui.label("–");
                        ui.label("–");
                    }
                }
                if has_target {
                    let score = one.target.as_ref().map(|target| &target.score);
                    for measure in Measure::ALL {
                        ui.label(figure(score.and_then(|score| score.figure(measure))));
                    }
                    ui.label(score.map_or_else(String::new, |score| percent(score.base_rate)));
                }
                ui.end_row();
            }
        });
    });
}

/// Every pair of encoders; what is certain stands out.
pub fn differences_ui(ui: &mut Ui, study: &Study, palette: &Palette) {
    let comparison = &study.comparison;
    if comparison.paired.is_empty() {
        return;
    }
    heading_ui(ui, palette, "Differences");
    let name = |id: &str| {
        comparison.encoders.iter().find(|one| one.id == id).map_or(id, |one| one.name.as_str()).to_owned()
    };
    Grid::new("differences").striped(true).spacing([22.0, 6.0]).show(ui, |ui| {
        for pair in
            comparison.paired.iter().filter(|pair| matches!(pair.measure, "addr" | "p_at_1" | "p_at_5"))
        {
            ui.label(format!("{} − {}", name(&pair.a), name(&pair.b)));
            ui.label(RichText::new(measure_label(pair.measure)).color(palette.weak));
            let certain = is_certain(pair.ci95);
            let color = if certain { palette.strong } else { palette.weak };
            ui.label(RichText::new(difference(pair.measure, pair.difference, pair.ci95)).color(color));
            ui.label(
                RichText::new(if certain { "" } else { "the interval holds 0" }).small().color(palette.weak),
            );
            ui.end_row();
        }
    });
}

/// Rows are classes of queries, columns classes of the nearest tile.
pub fn confusion_ui(ui: &mut Ui, confusion: &Confusion, sample: &Sample, palette: &Palette) {
    let name = |class: Option<crate::evaluation::Class>| {
        class.map_or("unlabelled", |class| sample.classes[usize::from(class.0)].as_str())
    };
    ScrollArea::horizontal().id_salt("confusion").show(ui, |ui| {
        Grid::new("confusion").spacing([3.0, 3.0]).show(ui, |ui| {
            ui.label(RichText::new("query \\ nearest").small().color(palette.weak));
            for class in &confusion.answers {
                ui.label(RichText::new(name(*class)).small().color(palette.weak));
            }
            ui.end_row();
            for (class, counts) in confusion.queries.iter().zip(&confusion.counts) {
                ui.label(RichText::new(name(Some(*class))).small());
                let total: u32 = counts.iter().sum();
                for (answer, count) in confusion.answers.iter().zip(counts) {
                    let share = f64::from(*count) / f64::from(total.max(1));
                    let own = *answer == Some(*class);
                    let base = if own { palette.good } else { palette.accent };
                    let (rect, response) = ui.allocate_exact_size(Vec2::new(72.0, 30.0), Sense::hover());
                    ui.painter().rect_filled(rect, 3.0, palette.raised);
                    let [r, g, b, _] = base.to_array();
                    let fill = Color32::from_rgba_unmultiplied(r, g, b, (200.0 * share) as u8);
                    ui.painter().rect_filled(rect, 3.0, fill);
                    let font = egui::FontId::proportional(12.0);
                    ui.painter().text(
                        rect.center(),
                        egui::Align2::CENTER_CENTER,
                        percent(share),
                        font,
                        palette.strong,
                    );
                    response.on_hover_text(format!(
                        "{count} of {total} queries of {} have {} nearest",
                        name(Some(*class)),
                        name(*answer)
                    ));
                }
                ui.end_row();
            }
        });
    });
}
