//! The report view: results of the evaluation, shown in place of the slide. A click on a tile goes to its
//! slide.

mod charts;
mod headline;
mod map;
mod points;
mod queries;
mod tables;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use egui::{Frame, Margin, RichText, ScrollArea, TextureHandle, Ui};
use egui_material_icons::icons;

use super::{action_icon_ui, header_ui, number_field, task_ui};
use crate::evaluation::addr::{AddrSettings, Limits};
use crate::evaluation::comparison::ComparisonSettings;
use crate::evaluation::intervals::Resampling;
use crate::evaluation::retrieval::RetrievalSettings;
use crate::evaluation::study::Study;
use crate::evaluation::{Exclude, sample::Sample};
use crate::geometry::Level0Rect;
use crate::number_format::{decimal, sentence};
use crate::session::{EvaluationCommand, EvaluationState, Session};
use crate::slide::SlideId;
use crate::ui::actions::WindowAction;
use crate::ui::app::Requests;
use crate::ui::shown_slides::ShownSlides;
use crate::ui::theme::{self, Palette};

#[cfg(test)]
pub use charts::COLORS as SERIES_COLORS;
pub use headline::precision_ui;
pub use points::MapRenderer;

/// Settings and state of the report view.
pub struct ReportView {
    limits: Limits,
    exclude: Exclude,
    class: String,
    /// Whether exported reports contain codes instead of patients' names.
    pub pseudonymise: bool,
    /// Index of the encoder whose details are shown.
    encoder: usize,
    map: map::MapView,
    /// The cell of the confusion matrix whose queries are shown: row and column.
    cell: Option<[usize; 2]>,
    /// The bin of the distance histogram whose pairs are shown.
    bin: Option<usize>,
    /// Images of tiles on the GPU, by tile index.
    pictures: HashMap<u32, TextureHandle>,
    /// The evaluation shown in the previous frame.
    shown: Weak<Study>,
}

impl Default for ReportView {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            exclude: Exclude::default(),
            class: "tumour".to_owned(),
            pseudonymise: false,
            encoder: 0,
            map: map::MapView::default(),
            cell: None,
            bin: None,
            pictures: HashMap::new(),
            shown: Weak::new(),
        }
    }
}

impl ReportView {
    /// Drops the state that belongs to another evaluation.
    fn follow(&mut self, study: &Arc<Study>) {
        if !std::ptr::eq(self.shown.as_ptr(), Arc::as_ptr(study)) {
            self.pictures.clear();
            (self.cell, self.bin) = (None, None);
            self.map.forget();
            self.shown = Arc::downgrade(study);
        }
    }

    fn settings(&self) -> ComparisonSettings {
        ComparisonSettings {
            addr: AddrSettings { limits: self.limits, ..AddrSettings::default() },
            retrieval: RetrievalSettings { exclude: self.exclude, ..RetrievalSettings::default() },
            resampling: Resampling::default(),
            class: self.class.clone(),
        }
    }
}

/// Draws the report view.
pub fn report_ui(
    ui: &mut Ui,
    session: &Session,
    view: &mut ReportView,
    renderer: &MapRenderer,
    shown: &mut ShownSlides,
    palette: &Palette,
    requests: &mut Requests,
) {
    header_ui(ui, palette, "Report", |ui| {
        action_icon_ui(ui, WindowAction::ToggleReport, icons::ICON_CLOSE, None, palette, requests);
        if matches!(session.evaluation(), EvaluationState::Done(_)) {
            action_icon_ui(ui, WindowAction::WriteReport, icons::ICON_SAVE, None, palette, requests);
        }
    });
    settings_ui(ui, session, view, palette, requests);
    match session.evaluation() {
        EvaluationState::None => hint_ui(ui, palette),
        EvaluationState::Running { share, doing, .. } => {
            Frame::new().inner_margin(Margin::symmetric(24, 40)).show(ui, |ui| {
                task_ui(ui, doing, *share, palette);
            });
        }
        EvaluationState::Failed(reason) => {
            Frame::new().inner_margin(Margin::symmetric(24, 40)).show(ui, |ui| {
                ui.label(RichText::new(sentence(reason)).color(palette.error));
            });
        }
        EvaluationState::Done(study) => {
            view.follow(study);
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                Frame::new().inner_margin(Margin::symmetric(24, 8)).show(ui, |ui| {
                    study_ui(ui, session, study, view, renderer, shown, palette, requests);
                });
            });
        }
    }
}

fn hint_ui(ui: &mut Ui, palette: &Palette) {
    Frame::new().inner_margin(Margin::symmetric(24, 40)).show(ui, |ui| {
        ui.label(
            RichText::new("How well does the encoder work on your slides?")
                .family(theme::bold())
                .color(palette.strong),
        );
        ui.label(
            RichText::new(
                "Measure compares all encoders with which the slides of this project have been embedded, with a \
                 colour histogram as the baseline: how much of what they find in other patients is of the same \
                 class. Classes come from annotations, and from the tables, annotation files and masks in the \
                 folder “labels” of the project. ADDR needs no labels, but says little about retrieval.",
            )
            .color(palette.weak),
        );
    });
}

fn settings_ui(
    ui: &mut Ui,
    session: &Session,
    view: &mut ReportView,
    palette: &Palette,
    requests: &mut Requests,
) {
    Frame::new().inner_margin(Margin::symmetric(24, 4)).show(ui, |ui| {
        settings_table_ui(ui, view, palette);
        ui.add_space(8.0);
        if matches!(session.evaluation(), EvaluationState::Running { .. }) {
            if ui.button("Stop").clicked() {
                requests.command(EvaluationCommand::Stop);
            }
        } else {
            let text = RichText::new("Measure").color(palette.on_accent);
            if ui.add(egui::Button::new(text).fill(palette.accent)).clicked() {
                requests.command(EvaluationCommand::Start(Box::new(view.settings())));
            }
        }
    });
}

/// Draws the settings of the evaluation: two to a row, each with its name in front.
fn settings_table_ui(ui: &mut Ui, view: &mut ReportView, palette: &Palette) {
    let weak = |text: &str| RichText::new(text).color(palette.weak);
    let lowest = view.limits.near_mm;
    view.limits.far_mm = view.limits.far_mm.max(lowest);
    let grid = egui::Grid::new("report settings").num_columns(4);
    grid.spacing(egui::Vec2::new(18.0, 6.0)).show(ui, |ui| {
        let near = number_field(&mut view.limits.near_mm).range(0.05..=50.0).speed(0.05);
        let label = ui.label(weak("Near pairs up to")).id;
        ui.add(near.suffix(" mm")).labelled_by(label);
        let label = ui.label(weak("Target class")).id;
        ui.add(egui::TextEdit::singleline(&mut view.class).desired_width(130.0)).labelled_by(label);
        ui.end_row();
        let far = number_field(&mut view.limits.far_mm).range(lowest..=100.0).speed(0.1);
        let label = ui.label(weak("Far pairs from")).id;
        ui.add(far.suffix(" mm")).labelled_by(label);
        ui.label(weak("Search other"));
        ui.horizontal(|ui| {
            ui.selectable_value(&mut view.exclude, Exclude::Slide, "slides");
            ui.selectable_value(&mut view.exclude, Exclude::Patient, "patients");
        });
        ui.end_row();
        ui.label(weak("Exported reports"));
        ui.checkbox(&mut view.pseudonymise, "Pseudonymise patients")
            .on_hover_text("Use codes instead of patients' names in exported reports");
        ui.end_row();
    });
}

#[expect(clippy::too_many_arguments, reason = "what is shown, on what, and what is requested")]
fn study_ui(
    ui: &mut Ui,
    session: &Session,
    study: &Study,
    view: &mut ReportView,
    renderer: &MapRenderer,
    shown: &mut ShownSlides,
    palette: &Palette,
    requests: &mut Requests,
) {
    let encoders = &study.comparison.encoders;
    view.encoder = view.encoder.min(encoders.len().saturating_sub(1));
    headline::headline_ui(ui, study, palette);
    tables::differences_ui(ui, study, palette);
    tables::addr_ui(ui, study, palette);
    tables::further_ui(ui, study, palette);
    for note in &study.comparison.notes {
        ui.label(RichText::new(note).small().color(palette.weak));
    }
    heading_ui(ui, palette, "Details of");
    ui.horizontal_wrapped(|ui| {
        for (index, one) in encoders.iter().enumerate() {
            if ui.selectable_value(&mut view.encoder, index, &one.name).changed() {
                (view.cell, view.bin) = (None, None);
            }
        }
    });
    let Some(one) = encoders.get(view.encoder) else { return };
    ui.columns(2, |columns| {
        charts::distances_ui(&mut columns[0], one, &mut view.bin, palette);
        charts::precision_ui(&mut columns[1], study, palette);
    });
    if let (Some(bin), Some(addr)) = (view.bin, &one.addr) {
        let [from, to] = addr.histogram.range(bin);
        for (kind, pairs, color) in
            [("Near", &one.pairs.near, palette.accent), ("Far", &one.pairs.far, palette.query)]
        {
            let [from, to] = [from, to].map(|distance| decimal(distance, 3));
            let pairs = pairs.get(bin).map_or(&[][..], Vec::as_slice);
            let what = match pairs {
                [] => format!(
                    "No {} pair whose descriptors are {from} to {to} apart was drawn.",
                    kind.to_lowercase()
                ),
                _ => format!("{kind} pairs, each on one slide, whose descriptors are {from} to {to} apart."),
            };
            let mut tiles = queries::Tiles { session, study, pictures: &mut view.pictures, shown, palette };
            queries::pairs_ui(ui, pairs, [color; 2], &what, &mut tiles, requests);
        }
    }
    if let Some(classes) = &one.classes {
        heading_ui(ui, palette, "Confusion matrix");
        tables::confusion_ui(ui, &classes.confusion, &study.sample, &mut view.cell, palette);
        if let Some([row, column]) = view.cell {
            let pairs = &classes.confusion.examples[row][column];
            let mut tiles = queries::Tiles { session, study, pictures: &mut view.pictures, shown, palette };
            let what = match pairs.as_slice() {
                [] => "No queries in this cell.",
                _ => "Queries in this cell, each with its nearest tile.",
            };
            queries::pairs_ui(ui, pairs, [palette.query, palette.line], what, &mut tiles, requests);
        }
    }
    if let Some(target) = &one.target {
        let mut tiles = queries::Tiles { session, study, pictures: &mut view.pictures, shown, palette };
        queries::queries_ui(ui, target, &mut tiles, requests);
    }
    if let Some(drawn) = view.map.shown(&study.maps) {
        heading_ui(ui, palette, &format!("{} of the descriptors of {}", drawn.kind.name(), drawn.encoder));
        let context = map::MapContext { session, study, map: drawn, renderer, palette };
        map::map_ui(ui, &context, &mut view.map, shown, requests);
    }
    heading_ui(ui, palette, "Data and settings");
    tables::data_ui(ui, session, study, palette, requests);
}

fn heading_ui(ui: &mut Ui, palette: &Palette, title: &str) {
    ui.add_space(18.0);
    ui.label(RichText::new(title).family(theme::bold()).size(15.0).color(palette.strong));
    ui.add_space(4.0);
}

/// Returns the slide ID and rectangle of a tile.
fn tile_of(sample: &Sample, tile: u32) -> Option<(SlideId, Level0Rect)> {
    let rect = sample.rects.get(tile as usize)?;
    let slide = &sample.slides[sample.tiles.slides[tile as usize] as usize];
    Some((SlideId(slide.id.clone()), *rect))
}

/// Caption of a tile: slide, position and class, one per line.
fn caption_of(sample: &Sample, tile: u32) -> String {
    let slide = &sample.slides[sample.tiles.slides[tile as usize] as usize];
    let class =
        sample.tiles.classes[tile as usize].map(|class| sample.classes[usize::from(class.0)].as_str());
    let [x, y] = sample.tiles.positions_um[tile as usize].map(|um| um / 1000.0);
    let [x, y] = [x, y].map(|mm| decimal(mm, 2));
    format!("{}\nx {x} mm  y {y} mm\n{}", slide.name, class.unwrap_or("unlabelled"))
}
