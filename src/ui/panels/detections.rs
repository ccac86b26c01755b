//! The section of the annotations panel about many detections: how they are coloured, and their numbers.

use std::sync::Arc;

use egui::{Grid, Pos2, Rect, RichText, ScrollArea, Sense, Ui, Vec2};

use super::number_field;
use crate::annotation::{AreaCounts, ClassDensity, DetectionColours, MeasuredRange};
use crate::number_format::grouped;
use crate::session::{AnnotationCommand, Counts, SlideAnnotations};
use crate::slide::SlideId;
use crate::ui::app::Requests;
use crate::ui::heat_map::viridis;
use crate::ui::theme::Palette;

/// Number of annotations whose counts are listed; all are in the exported table.
const MOST_LISTED: usize = 200;

/// Draws the section, if there are detections in compact form.
pub fn detections_ui(
    ui: &mut Ui,
    slide: &SlideId,
    annotations: &SlideAnnotations,
    palette: &Palette,
    requests: &mut Requests,
) {
    if annotations.set().detections().is_empty() {
        return;
    }
    let header = egui::CollapsingHeader::new(RichText::new("Detections").color(palette.weak));
    header.id_salt("detections").show(ui, |ui| {
        let counts = annotations.counts();
        if !counts.is_some_and(|counts| Arc::ptr_eq(&counts.set, annotations.set())) {
            requests.command(AnnotationCommand::Count(slide.clone()));
        }
        let Some(counts) = counts else {
            ui.horizontal(|ui| {
                ui.spinner();
                ui.label("Counting…");
            });
            return;
        };
        colours_ui(ui, slide, annotations.detection_colours(), counts, palette, requests);
        ui.add_space(4.0);
        counts_ui(ui, counts, palette);
    });
}

/// Draws the choice of colours, the range of values and the colour scale.
fn colours_ui(
    ui: &mut Ui,
    slide: &SlideId,
    current: &DetectionColours,
    counts: &Counts,
    palette: &Palette,
    requests: &mut Requests,
) {
    let mut chosen = current.clone();
    ui.horizontal(|ui| {
        ui.label(RichText::new("Colour by").color(palette.weak));
        let choice = egui::ComboBox::from_id_salt("colour of detections").selected_text(label(current));
        choice.width(ui.available_width()).show_ui(ui, |ui| {
            for offered in choices(counts) {
                if ui.selectable_label(is_same(&offered, current), label(&offered)).clicked() {
                    chosen = offered;
                }
            }
        });
    });
    if let DetectionColours::Measured { range: (low, high), only_within, .. } = &mut chosen {
        let (bar, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 10.0), Sense::hover());
        scale_ui(ui, bar);
        ui.horizontal(|ui| {
            let speed = ((*high - *low).abs() / 200.0).max(1e-6);
            ui.add(number_field(low).speed(speed)).on_hover_text("Value of the darkest colour");
            let value = number_field(high).speed(speed);
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.add(value).on_hover_text("Value of the lightest colour");
            });
        });
        ui.checkbox(only_within, "Only values in this range")
            .on_hover_text("Does not draw detections with other values, or without a value");
    }
    if let DetectionColours::Density { scale, high, .. } = &mut chosen {
        let (bar, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 10.0), Sense::hover());
        scale_ui(ui, bar);
        ui.horizontal(|ui| {
            ui.label("0");
            let speed = (*high / 200.0).max(1e-6);
            let value = number_field(high).speed(speed).range(1e-6..=f64::MAX);
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.label(format!("per {}", scale.unit));
                ui.add(value.max_decimals(1)).on_hover_text("Density of the lightest colour");
            });
        });
        let text =
            format!("Number within {} of each place, divided by the area of that circle", scale.radius);
        ui.label(RichText::new(text).color(palette.weak).small());
    }
    if chosen != *current {
        requests.command(AnnotationCommand::ColourDetections { slide: slide.clone(), by: chosen });
    }
}

/// What detections can be coloured by.
fn choices(counts: &Counts) -> Vec<DetectionColours> {
    let density = |ClassDensity { class, scale, high }: &ClassDensity| DetectionColours::Density {
        class: class.clone(),
        scale: *scale,
        high: *high,
    };
    let measured = |MeasuredRange { name, range }: &MeasuredRange| DetectionColours::Measured {
        name: name.clone(),
        range: *range,
        only_within: false,
    };
    let mut choices = vec![DetectionColours::Class];
    choices.extend(counts.densities.iter().map(density));
    choices.extend(counts.measured.iter().map(measured));
    choices
}

/// Whether both colour by the same, with whatever range of values.
fn is_same(one: &DetectionColours, other: &DetectionColours) -> bool {
    use DetectionColours::{Class, Density, Measured};
    match (one, other) {
        (Class, Class) => true,
        (Measured { name, .. }, Measured { name: other, .. }) => name == other,
        (Density { class, .. }, Density { class: other, .. }) => class == other,
        _ => false,
    }
}

/// What colours detections, for display. A measurement and a class may be called like another choice; their labels differ.
fn label(colours: &DetectionColours) -> String {
    match colours {
        DetectionColours::Class => "Class".to_owned(),
        DetectionColours::Measured { name, .. } if name == "Class" || name.starts_with("Density of ") => {
            format!("{name} (measured)")
        }
        DetectionColours::Measured { name, .. } => name.clone(),
        DetectionColours::Density { class: None, .. } => "Density of all".to_owned(),
        DetectionColours::Density { class: Some(class), .. } if class == "all" => {
            "Density of the class all".to_owned()
        }
        DetectionColours::Density { class: Some(class), .. } => format!("Density of {class}"),
    }
}

fn scale_ui(ui: &Ui, bar: Rect) {
    const STEPS: u32 = 32;
    let mut mesh = egui::Mesh::default();
    for step in 0..=STEPS {
        let share = step as f32 / STEPS as f32;
        let x = egui::lerp(bar.x_range(), share);
        mesh.colored_vertex(Pos2::new(x, bar.top()), viridis(share));
        mesh.colored_vertex(Pos2::new(x, bar.bottom()), viridis(share));
        if step > 0 {
            let at = 2 * step;
            mesh.add_triangle(at - 2, at - 1, at);
            mesh.add_triangle(at - 1, at, at + 1);
        }
    }
    ui.painter().add(mesh);
}

/// Draws the numbers of detections on the slide and within each annotation.
fn counts_ui(ui: &mut Ui, counts: &Counts, palette: &Palette) {
    ScrollArea::vertical().id_salt("counts").max_height(220.0).show(ui, |ui| {
        Grid::new("counts").num_columns(3).striped(true).show(ui, |ui| {
            for head in ["", "Number", "per mm²"] {
                ui.label(RichText::new(head).color(palette.weak).small());
            }
            ui.end_row();
            for area in counts.areas.iter().take(MOST_LISTED) {
                area_ui(ui, area, palette);
            }
        });
        if counts.areas.len() > MOST_LISTED {
            let text = format!(
                "… and within {} more annotations",
                grouped((counts.areas.len() - MOST_LISTED) as u64)
            );
            ui.label(RichText::new(text).color(palette.weak));
        }
    });
    let hint = "Export annotations to a .csv file for the whole table.";
    ui.label(RichText::new(hint).color(palette.weak).small());
}

fn area_ui(ui: &mut Ui, area: &AreaCounts, palette: &Palette) {
    let row = |ui: &mut Ui, title: RichText, count: usize, color| {
        ui.label(title);
        ui.label(RichText::new(grouped(count as u64)).color(color));
        let density = area.per_mm2(count).map(|density| grouped(density.round() as u64));
        ui.label(RichText::new(density.unwrap_or_default()).color(palette.weak));
        ui.end_row();
    };
    let title = area.annotation.as_ref().map_or("Whole slide", |one| one.title.as_str());
    row(ui, RichText::new(title).color(palette.strong), area.total(), palette.strong);
    for (class, count) in &area.classes {
        let name = class.as_deref().unwrap_or("No class");
        row(ui, RichText::new(format!("   {name}")).color(palette.text), *count, palette.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::DensityScale;

    #[test]
    fn a_measurement_or_class_that_is_called_like_another_choice_is_told_apart() {
        let measured = |name: &str| DetectionColours::Measured {
            name: name.to_owned(),
            range: (0.0, 1.0),
            only_within: false,
        };
        let density = |class: Option<&str>| DetectionColours::Density {
            class: class.map(str::to_owned),
            scale: DensityScale::of(None),
            high: 1.0,
        };
        let choices = [
            DetectionColours::Class,
            measured("Class"),
            density(None),
            density(Some("all")),
            density(Some("Tumour")),
            measured("Density of all"),
            measured("Density of Tumour"),
            measured("Area"),
        ];
        for (place, one) in choices.iter().enumerate() {
            for other in &choices[..place] {
                assert!(!is_same(one, other) && label(one) != label(other), "{}", label(one));
            }
            assert!(is_same(one, one));
        }
        let range =
            DetectionColours::Measured { name: "Area".to_owned(), range: (2.0, 3.0), only_within: true };
        assert!(is_same(&range, &measured("Area")), "whatever the range is");
    }
}
