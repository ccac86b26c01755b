//! Tables of the report.

use egui::{CollapsingHeader, Color32, Grid, RichText, ScrollArea, Sense, Ui, Vec2};

use super::heading_ui;
use crate::evaluation::addr::Addr;
use crate::evaluation::classes::Confusion;
use crate::evaluation::comparison::Comparison;
use crate::evaluation::control;
use crate::evaluation::headline::Headline;
use crate::evaluation::report::text::{
    CONTROL_EXPLANATION, addr_title, difference, figure, is_certain, is_listed, measure_label, percent,
    ratio, ratio_interval,
};
use crate::evaluation::retrieval::Measure;
use crate::evaluation::sample::Sample;
use crate::evaluation::study::Study;
use crate::number_format::{counted, decimal, grouped};
use crate::session::{Session, ViewCommand};
use crate::slide::SlideId;
use crate::ui::app::Requests;
use crate::ui::theme::{self, Palette};

/// Size of a cell of the confusion matrix in points.
const CELL: Vec2 = Vec2::new(104.0, 30.0);

/// Draws the table of ADDR and retrieval of the target class, with the control; folded if there is a table of
/// classes above it.
pub fn addr_ui(ui: &mut Ui, study: &Study, palette: &Palette) {
    let comparison = &study.comparison;
    let is_first = Headline::of(comparison).is_none();
    ui.add_space(14.0);
    let title = RichText::new(addr_title(comparison)).family(theme::bold()).size(15.0).color(palette.strong);
    CollapsingHeader::new(title).id_salt(("ADDR", is_first)).default_open(is_first).show(ui, |ui| {
        ScrollArea::horizontal().id_salt("ADDR").show(ui, |ui| addr_table_ui(ui, comparison, palette));
        ui.add_space(4.0);
        ui.label(RichText::new(CONTROL_EXPLANATION).small().color(palette.weak));
    });
}

fn addr_table_ui(ui: &mut Ui, comparison: &Comparison, palette: &Palette) {
    let has_target = comparison.encoders.iter().any(|one| one.target.is_some());
    let addr_cells = |ui: &mut Ui, addr: Option<&Addr>| {
        let [global, median] = match addr {
            Some(addr) => [
                format!("{}  {}", ratio(addr.global), ratio_interval(addr.ci95)),
                ratio(addr.median_per_slide),
            ],
            None => ["–", "–"].map(str::to_owned),
        };
        ui.label(global);
        ui.label(median);
    };
    Grid::new("ADDR").striped(true).spacing([22.0, 8.0]).show(ui, |ui| {
        let head = |ui: &mut Ui, text: &str| ui.label(RichText::new(text).small().color(palette.weak));
        head(ui, "encoder");
        head(ui, "global ADDR");
        head(ui, "median ADDR");
        if has_target {
            Measure::ALL.iter().for_each(|measure| _ = head(ui, measure.label()));
            head(ui, "chance level");
        }
        ui.end_row();
        for one in &comparison.encoders {
            ui.label(RichText::new(&one.name).family(theme::bold()).color(palette.strong));
            addr_cells(ui, one.addr.as_ref());
            if has_target {
                let score = one.target.as_ref().map(|target| &target.score);
                for measure in Measure::ALL {
                    ui.label(figure(score.and_then(|score| score.figure(measure))));
                }
                ui.label(score.map_or_else(String::new, |score| percent(score.chance_level)));
            }
            ui.end_row();
        }
        if let Some(control) = &comparison.control {
            ui.label(RichText::new(control::NAME).color(palette.weak));
            addr_cells(ui, Some(&control.addr));
            if has_target {
                for measure in Measure::ALL {
                    ui.label(figure(control.figure(measure)));
                }
            }
            ui.end_row();
        }
    });
}

/// Draws the differences between pairs of encoders; differences whose interval excludes 0 are emphasised.
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
        for pair in comparison.paired.iter().filter(|pair| is_listed(pair.measure)) {
            ui.label(format!("{} − {}", name(&pair.a), name(&pair.b)));
            ui.label(RichText::new(measure_label(pair.measure)).color(palette.weak));
            let certain = is_certain(pair.ci95);
            let color = if certain { palette.strong } else { palette.weak };
            let (text, interval) = difference(pair.measure, pair.difference, pair.ci95);
            ui.label(RichText::new(format!("{text}  {interval}")).color(color));
            let remark = if certain { "" } else { "the interval contains 0" };
            ui.label(RichText::new(remark).small().color(palette.weak));
            ui.end_row();
        }
    });
}

/// Draws further measures of each encoder: classifiers on its descriptors, retrieval of slides, properties of
/// the descriptors, and the stain test.
pub fn further_ui(ui: &mut Ui, study: &Study, palette: &Palette) {
    heading_ui(ui, palette, "Further measures");
    let names = [
        ("encoder", ""),
        ("linear probe", "Balanced accuracy of a linear classifier on the descriptors, cross-validated"),
        ("20 nearest", "Balanced accuracy of the vote of the 20 nearest tiles"),
        (
            "slides, P@1",
            "Share of slides with the class whose most similar slide, by mean descriptor, also has it",
        ),
        ("effective dimensions", "(Σλ)² / Σλ², where λ are the variances along the principal axes"),
        ("near-duplicates", "Share of tiles with another tile nearer than 2 % of the median distance"),
        (
            "nearest unchanged",
            "Share of tiles whose nearest tile on other slides is the same after a small change of stain",
        ),
        ("self-match", "Share of tiles that remain nearest to themselves after a small change of stain"),
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
                let dimensions = health
                    .map(|health| format!("{} of {}", decimal(health.effective_dimension, 1), one.width));
                cell(ui, dimensions);
                cell(ui, health.map(|health| percent(health.near_duplicates)));
                cell(ui, one.stain.map(|stain| figure(Some(stain.nearest_stays))));
                cell(ui, one.stain.map(|stain| figure(Some(stain.finds_itself))));
                ui.end_row();
            }
        });
    });
}

/// Draws the evaluated slides and the settings; a click goes to a slide.
pub fn data_ui(ui: &mut Ui, session: &Session, study: &Study, palette: &Palette, requests: &mut Requests) {
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
                requests.command(ViewCommand::GoToTile { slide: id, rect, from: None });
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
        "{} in two classes, treated as unlabelled. At most {} queries per class; intervals from {} bootstrap \
         samples of patients or slides; seed {}; histokin {}.",
        counted(counts.conflicting as u64, "tile"),
        grouped(settings.retrieval.queries_per_class as u64),
        settings.resampling.draws,
        settings.retrieval.seed,
        env!("CARGO_PKG_VERSION")
    );
    ui.add_space(6.0);
    ui.label(RichText::new(text).small().color(palette.weak));
}

/// Draws the confusion matrix: rows are classes of queries, columns classes of the nearest tile. A click on a
/// cell selects it.
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
            ui.label(RichText::new("query ↓ nearest →").small().color(palette.weak));
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
                    let summary = format!(
                        "{count} of {total} queries of {} have {} nearest",
                        name(Some(*class)),
                        name(*answer)
                    );
                    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &summary));
                    if response.hovered() || *chosen == Some([row, column]) {
                        let stroke = egui::Stroke::new(1.5, palette.strong);
                        ui.painter().rect_stroke(rect, 3.0, stroke, egui::StrokeKind::Inside);
                    }
                    if response.on_hover_text(summary + "; click to see examples").clicked() {
                        let cell = [row, column];
                        *chosen = (*chosen != Some(cell)).then_some(cell);
                    }
                }
                ui.end_row();
            }
        });
    });
}
