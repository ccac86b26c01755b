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
use crate::number_format::{counted, grouped};
use crate::session::{Command, Session};
use crate::slide::SlideId;
use crate::ui::app::Asked;
use crate::ui::theme::{self, Palette};

/// A cell of the table of which class is taken for which, in points.
const CELL: Vec2 = Vec2::new(104.0, 30.0);

/// The paper's table, from the user's slides.
pub fn results_ui(ui: &mut Ui, study: &Study, palette: &Palette) {
    let sample = &study.sample;
    let summary = format!(
        "{} of {} of {}, {} of them labelled",
        counted(sample.tiles.len() as u64, "tile"),
        counted(sample.slides.len() as u64, "slide"),
        counted(sample.patient_count() as u64, "patient"),
        grouped(sample.label_counts.labelled as u64)
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
            let (text, interval) = difference(pair.measure, pair.difference, pair.ci95);
            ui.label(RichText::new(format!("{text}  {interval}")).color(color));
            ui.label(
                RichText::new(if certain { "" } else { "the interval holds 0" }).small().color(palette.weak),
            );
            ui.end_row();
        }
    });
}

/// What else was measured of each encoder: classifiers on its descriptors, slides asking for slides, the state of
/// the descriptors, changes of the stain.
pub fn further_ui(ui: &mut Ui, study: &Study, palette: &Palette) {
    heading_ui(ui, palette, "Further measures");
    let names = [
        ("method", ""),
        (
            "linear probe",
            "Mean over classes of the tiles that a linear classifier judges right, learnt of others",
        ),
        ("20 nearest", "The same for the vote of the 20 nearest tiles"),
        ("slides, P@1", "Slides with the class whose most similar slide has it, too, by mean descriptors"),
        ("effective dimensions", "(Σλ)² / Σλ² of the variances along the principal axes"),
        ("near-duplicates", "Tiles with another nearer than 2 % of the median distance"),
        ("nearest stays", "Tiles whose nearest elsewhere stays when the stain is changed a little"),
        ("finds itself", "Tiles that are still nearest to themselves when the stain is changed a little"),
    ];
    ScrollArea::horizontal().id_salt("further").show(ui, |ui| {
        Grid::new("further").striped(true).spacing([22.0, 8.0]).show(ui, |ui| {
            for (name, hint) in names {
                let label = ui.label(RichText::new(name).small().color(palette.weak));
                if !hint.is_empty() {
                    label.on_hover_text(hint);
                }
            }
            ui.end_row();
            for one in &study.comparison.encoders {
                let cell = |ui: &mut Ui, text: Option<String>| {
                    ui.label(text.unwrap_or_else(|| "–".to_owned()));
                };
                let slides = one.target.as_ref().and_then(|target| target.slides.as_ref());
                let health = one.health.as_ref();
                ui.label(RichText::new(&one.name).family(theme::bold()).color(palette.strong));
                cell(ui, one.probe.map(|probe| percent(probe.linear.balanced)));
                cell(ui, one.probe.map(|probe| percent(probe.nearest.balanced)));
                cell(ui, slides.map(|score| figure(score.figure(Measure::P1))));
                let dimensions =
                    health.map(|health| format!("{:.1} of {}", health.effective_dimension, one.width));
                cell(ui, dimensions);
                cell(ui, health.map(|health| percent(health.near_duplicates)));
                cell(ui, one.stain.map(|stain| figure(Some(stain.nearest_stays))));
                cell(ui, one.stain.map(|stain| figure(Some(stain.finds_itself))));
                ui.end_row();
            }
        });
    });
}

/// On which slides was measured, and how; a click goes to the slide.
pub fn data_ui(ui: &mut Ui, session: &Session, study: &Study, palette: &Palette, asked: &mut Asked) {
    let sample = &study.sample;
    let rows = sample.tiles.rows_by_slide();
    Grid::new("data").striped(true).spacing([22.0, 6.0]).show(ui, |ui| {
        for name in ["slide", "patient", "tiles", "labelled"] {
            ui.label(RichText::new(name).small().color(palette.weak));
        }
        ui.end_row();
        for (slide, rows) in sample.slides.iter().zip(&rows) {
            let id = SlideId(slide.id.clone());
            if ui.link(&slide.name).on_hover_text("Go to the slide").clicked()
                && let Some(state) = session.slide(&id)
            {
                let rect = state.source.info().extent();
                asked.command(Command::GoToTile { slide: id, rect, from: None });
            }
            ui.label(slide.patient.as_deref().unwrap_or("–"));
            ui.label(rows.len().to_string());
            let labelled = rows.iter().filter(|row| sample.tiles.classes[**row as usize].is_some());
            ui.label(grouped(labelled.count() as u64));
            ui.end_row();
        }
    });
    let settings = &study.comparison.settings;
    let counts = sample.label_counts;
    let text = format!(
        "{} in two classes: they count as unknown. At most {} queries of each class; intervals from {} draws of \
         slides; seed {}; histokin {}.",
        counted(counts.conflicting as u64, "tile"),
        grouped(settings.retrieval.queries_per_class as u64),
        settings.resampling.draws,
        settings.retrieval.seed,
        env!("CARGO_PKG_VERSION")
    );
    ui.add_space(6.0);
    ui.label(RichText::new(text).small().color(palette.weak));
}

/// Rows are classes of queries, columns classes of the nearest tile. A click on a cell chooses it.
pub fn confusion_ui(
    ui: &mut Ui,
    confusion: &Confusion,
    sample: &Sample,
    chosen: &mut Option<[usize; 2]>,
    palette: &Palette,
) {
    let name = |class: Option<crate::evaluation::Class>| {
        class.map_or("unlabelled", |class| sample.classes[usize::from(class.0)].as_str())
    };
    ScrollArea::horizontal().id_salt("confusion").show(ui, |ui| {
        Grid::new("confusion").spacing([3.0, 3.0]).show(ui, |ui| {
            ui.label(RichText::new("query \\ nearest").small().color(palette.weak));
            for class in &confusion.answers {
                let text = RichText::new(name(*class)).small().color(palette.weak);
                ui.add_sized([CELL.x, 18.0], egui::Label::new(text).truncate());
            }
            ui.end_row();
            for (row, (class, counts)) in confusion.queries.iter().zip(&confusion.counts).enumerate() {
                ui.label(RichText::new(name(Some(*class))).small());
                let total: u32 = counts.iter().sum();
                for (column, (answer, count)) in confusion.answers.iter().zip(counts).enumerate() {
                    let share = f64::from(*count) / f64::from(total.max(1));
                    let own = *answer == Some(*class);
                    let base = if own { palette.good } else { palette.accent };
                    let (rect, response) = ui.allocate_exact_size(CELL, Sense::click());
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
                    let told = format!(
                        "{count} of {total} queries of {} have {} nearest",
                        name(Some(*class)),
                        name(*answer)
                    );
                    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &told));
                    if response.hovered() || *chosen == Some([row, column]) {
                        let stroke = egui::Stroke::new(1.5, palette.strong);
                        ui.painter().rect_stroke(rect, 3.0, stroke, egui::StrokeKind::Inside);
                    }
                    if response.on_hover_text(told + "; click to see some").clicked() {
                        let cell = [row, column];
                        *chosen = (*chosen != Some(cell)).then_some(cell);
                    }
                }
                ui.end_row();
            }
        });
    });
}
