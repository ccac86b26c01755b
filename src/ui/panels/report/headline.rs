//! The first part of the report: retrieval across patients, and what judgements add.

use egui::{Color32, Grid, RichText, ScrollArea, Ui};

use super::charts::{self, COLORS};
use super::heading_ui;
use crate::evaluation::comparison::Comparison;
use crate::evaluation::feedback;
use crate::evaluation::headline::Headline;
use crate::evaluation::report::text::{data_summary, figure, percent};
use crate::evaluation::sample::Sample;
use crate::evaluation::study::Study;
use crate::number_format::grouped;
use crate::ui::theme::{self, Palette};

/// Height of a row of a table in points.
const ROW: f32 = 22.0;

/// Draws a summary of the data, P@5 by class and encoder, and precision over judgements.
pub fn headline_ui(ui: &mut Ui, study: &Study, palette: &Palette) {
    let sample = &study.sample;
    let summary = format!(
        "{}, {} of them labelled",
        data_summary(sample),
        grouped(sample.label_counts.labelled as u64)
    );
    ui.label(RichText::new(summary).color(palette.weak));
    let Some(headline) = Headline::of(&study.comparison) else { return };
    heading_ui(ui, palette, headline.title());
    ScrollArea::horizontal().id_salt("headline").show(ui, |ui| {
        precision_ui(ui, sample, &study.comparison, &headline, palette);
    });
    ui.add_space(4.0);
    ui.label(RichText::new(headline.explanation()).small().color(palette.weak));
    if study.comparison.encoders.iter().any(|one| one.feedback.is_some()) {
        feedback_ui(ui, study, palette);
    }
}

/// Draws the table of P@5 by class and encoder.
pub fn precision_ui(
    ui: &mut Ui,
    sample: &Sample,
    comparison: &Comparison,
    headline: &Headline,
    palette: &Palette,
) {
    Grid::new("headline").striped(true).spacing([22.0, 6.0]).min_row_height(ROW).show(ui, |ui| {
        head_ui(ui, "class", palette);
        head_ui(ui, "queries", palette);
        head_ui(ui, "chance level", palette);
        comparison.encoders.iter().for_each(|one| head_ui(ui, &one.name, palette));
        ui.end_row();
        for row in &headline.rows {
            let name = RichText::new(row.name(&sample.classes)).color(palette.strong);
            ui.label(if row.class.is_none() { name.family(theme::bold()) } else { name });
            ui.label(grouped(row.queries as u64));
            ui.label(percent(row.chance_level));
            for (index, precision) in row.precision.iter().enumerate() {
                let text = RichText::new(figure(*precision));
                ui.label(if row.is_best(index) { text.family(theme::bold()) } else { text });
            }
            ui.end_row();
        }
    });
}

/// Draws the curve and the table of precision over the number of judgements.
fn feedback_ui(ui: &mut Ui, study: &Study, palette: &Palette) {
    heading_ui(ui, palette, "Matches after judgements");
    if !study.comparison.is_feedback_measured() {
        ui.label(RichText::new(feedback::TOO_FEW).color(palette.weak));
        return;
    }
    charts::feedback_ui(ui, study, palette);
    ui.add_space(6.0);
    ScrollArea::horizontal().id_salt("feedback").show(ui, |ui| {
        Grid::new("feedback").striped(true).spacing([22.0, 6.0]).min_row_height(ROW).show(ui, |ui| {
            head_ui(ui, "encoder", palette);
            feedback::JUDGEMENTS.iter().for_each(|count| head_ui(ui, &feedback::count_of(*count), palette));
            ui.end_row();
            for (one, color) in study.comparison.encoders.iter().zip(COLORS.iter().cycle()) {
                let Some(curve) = &one.feedback else { continue };
                series_ui(ui, &one.name, *color, palette);
                curve.precision.iter().for_each(|precision| _ = ui.label(figure(*precision)));
                ui.end_row();
            }
        });
    });
    ui.add_space(4.0);
    ui.label(RichText::new(feedback::EXPLANATION).small().color(palette.weak));
}

fn head_ui(ui: &mut Ui, text: &str, palette: &Palette) {
    ui.label(RichText::new(text).small().color(palette.weak));
}

/// Draws the name of an encoder with the colour of its curve.
fn series_ui(ui: &mut Ui, name: &str, color: Color32, palette: &Palette) {
    ui.horizontal(|ui| {
        let (rect, _) = ui.allocate_exact_size(egui::Vec2::splat(10.0), egui::Sense::hover());
        ui.painter().rect_filled(rect, 2.0, color);
        ui.label(RichText::new(name).family(theme::bold()).color(palette.strong));
    });
}
