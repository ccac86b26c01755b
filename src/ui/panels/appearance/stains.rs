//! What a slide is stained with, and its stains one at a time.

use egui::{ComboBox, RichText, Ui, Vec2};

use super::choice_ui;
use crate::annotation::Bounds;
use crate::geometry::{Level0Point, Level0Rect};
use crate::number_format::decimal;
use crate::session::{Colours, EncoderState, Session, SlideCommand, SlideState};
use crate::slide::SlideId;
use crate::stain::separation::ShownAs;
use crate::stain::{SlideStain, StainType, StainVectors};
use crate::ui::app::Requests;
use crate::ui::slide_view::{Appearance, Colouring};
use crate::ui::theme::Palette;

/// Draws the choice of colours, the kind of staining and the estimation of stain vectors from `field`, the part in view.
pub fn stains_ui(
    ui: &mut Ui,
    appearance: &mut Appearance,
    field: Option<Level0Rect>,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let slide = session.active();
    let stain = slide.map(|slide| session.stain(slide.id())).unwrap_or_default();
    if let Some(slide) = slide {
        ui.horizontal(|ui| {
            ui.label(RichText::new("Stain").color(palette.weak));
            stain_type_ui(ui, slide.id(), session, palette, requests);
        });
        ui.add_space(4.0);
    }
    let is_separable = stain.separated_by().is_some();
    egui::Grid::new("colouring").num_columns(2).spacing(Vec2::new(10.0, 4.0)).show(ui, |ui| {
        for pair in Colouring::ALL.chunks(2) {
            for &colouring in pair {
                let possible = is_separable || !matches!(colouring, Colouring::Stain(_));
                ui.add_enabled_ui(possible, |ui| {
                    choice_ui(ui, &mut appearance.colouring, colouring, colouring.name(&stain), palette);
                });
            }
            ui.end_row();
        }
    });
    if matches!(appearance.colouring, Colouring::Stain(_)) && is_separable {
        ui.horizontal(|ui| {
            ui.label(RichText::new("Show as").color(palette.weak));
            choice_ui(ui, &mut appearance.shown_as, ShownAs::Colour, "Colour", palette);
            choice_ui(ui, &mut appearance.shown_as, ShownAs::Density, "Optical density", palette);
        });
        if let Some(slide) = slide {
            vectors_ui(ui, slide, &stain, field, session, palette, requests);
        }
    }
    if appearance.colouring == Colouring::Normalised
        && let Some(hint) = normalised_hint(session, &stain)
    {
        ui.label(RichText::new(hint).small().color(palette.query));
    }
}

/// Draws the choice of what a slide is stained with.
pub fn stain_type_ui(
    ui: &mut Ui,
    slide: &SlideId,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let (stain, is_set) = (session.stain(slide), session.is_stain_set(slide));
    let mut set_to = |stain: Option<SlideStain>| {
        requests.command(SlideCommand::SetStain { slide: slide.clone(), stain });
    };
    let combo = ComboBox::from_id_salt(("stain", slide)).selected_text(stain.kind.name()).width(150.0);
    let shown = combo.show_ui(ui, |ui| {
        for kind in StainType::ALL {
            if ui.selectable_label(is_set && stain.kind == kind, kind.name()).clicked() {
                let fit =
                    |vectors: &StainVectors| stain.kind == kind || StainType::fitting(vectors) == Some(kind);
                let vectors = stain.vectors.filter(fit);
                set_to(Some(SlideStain { kind, vectors }));
            }
        }
        if ui.selectable_label(!is_set, "Guess from the slide").clicked() {
            set_to(None);
        }
    });
    shown.response.accessible_name(format!("Stain: {}", stain.kind.name()));
    let source = if is_set { "set by you" } else { "guessed" };
    ui.label(RichText::new(source).small().color(palette.weak));
}

/// Draws the stain vectors in use, and how to replace them.
fn vectors_ui(
    ui: &mut Ui,
    slide: &SlideState,
    stain: &SlideStain,
    field: Option<Level0Rect>,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let Some(vectors) = stain.separated_by() else { return };
    let id = slide.id();
    for (name, [r, g, b]) in stain.kind.stain_names().into_iter().zip(vectors.unit_vectors()).take(2) {
        let text = format!("{name}: {}  {}  {}", decimal(r, 3), decimal(g, 3), decimal(b, 3));
        ui.label(RichText::new(text).small().color(palette.weak))
            .on_hover_text("Optical density in red, green and blue of a layer with a total of 1");
    }
    let in_view = field.and_then(|field| on_slide(field, slide));
    let selected = session.annotations(id).and_then(|annotations| {
        let bounds = annotations.selected().filter_map(|annotation| annotation.bounds());
        let corners: Vec<Level0Point> = bounds.flat_map(|bounds| [bounds.min, bounds.max]).collect();
        on_slide(level0_rect(Bounds::around(&corners)?), slide)
    });
    ui.horizontal_wrapped(|ui| {
        let mut estimate = |ui: &mut Ui, name: &str, region: Option<Level0Rect>, hint: &str| {
            let button = ui.add_enabled(region.is_some(), egui::Button::new(name).small());
            if button.on_hover_text(hint).clicked()
                && let Some(region) = region
            {
                requests.command(SlideCommand::EstimateStains { slide: id.clone(), region });
            }
        };
        estimate(
            ui,
            "Estimate from view",
            in_view,
            "Estimate both stain vectors from the part in view, which has to show both stains",
        );
        if selected.is_some() {
            let hint = "Estimate both stain vectors from the selected annotations, which have to contain both stains";
            estimate(ui, "Estimate from selection", selected, hint);
        }
        if stain.vectors.is_some() && ui.add(egui::Button::new("Default vectors").small()).clicked() {
            let stain = Some(SlideStain::usual(stain.kind));
            requests.command(SlideCommand::SetStain { slide: id.clone(), stain });
        }
    });
}

/// The part of `region` that lies on the slide.
fn on_slide(region: Level0Rect, slide: &SlideState) -> Option<Level0Rect> {
    let info = slide.source.info();
    let clip = |from: i64, to: i64, end: u32| (from.clamp(0, end.into()), to.clamp(0, end.into()));
    let (left, right) = clip(region.x, region.right(), info.width());
    let (top, bottom) = clip(region.y, region.bottom(), info.height());
    let is_empty = left >= right || top >= bottom;
    (!is_empty).then(|| Level0Rect::new(left, top, (right - left) as u32, (bottom - top) as u32))
}

fn level0_rect(bounds: Bounds) -> Level0Rect {
    let (low, high) = (bounds.min, bounds.max);
    let side = |from: f64, to: f64| (to - from).ceil().max(1.0) as u32;
    Level0Rect::new(low.x.floor() as i64, low.y.floor() as i64, side(low.x, high.x), side(low.y, high.y))
}

/// Reason why the active slide cannot be shown stain-normalised, or not yet; `None` if it can.
fn normalised_hint(session: &Session, stain: &SlideStain) -> Option<&'static str> {
    let slide = session.active()?;
    match (session.encoder(), slide.colours) {
        (EncoderState::Known(_), Colours::Known(_)) if !stain.kind.can_be_normalised() => {
            Some("Normalisation is for H&E; this slide has another stain.")
        }
        (EncoderState::Known(_), Colours::Known(_)) => None,
        (EncoderState::Known(_), Colours::None) => {
            Some("This slide has too little tissue for stain normalisation.")
        }
        (EncoderState::Known(_), _) => Some("Measuring the colours of the tissue…"),
        _ => Some("No encoder is available to provide the reference colours."),
    }
}
