//! Histograms and curves of the report.

use egui::{Align2, Color32, FontId, Pos2, Rect, RichText, Sense, Shape, Stroke, Ui, Vec2};

use crate::evaluation::comparison::EncoderResult;
use crate::evaluation::feedback::JUDGEMENTS;
use crate::evaluation::retrieval::ANSWERS;
use crate::evaluation::study::Study;
use crate::number_format::decimal;
use crate::ui::theme::Palette;

/// Colours of series and classes by index, repeated cyclically: the scheme "bright" of Tol (2021, "Colour schemes",
/// SRON/EPS/TN/09-002), whose colours are told apart with colour vision deficiency, too.
pub const COLORS: [Color32; 7] = [
    Color32::from_rgb(0x44, 0x77, 0xAA),
    Color32::from_rgb(0xEE, 0x66, 0x77),
    Color32::from_rgb(0x22, 0x88, 0x33),
    Color32::from_rgb(0xCC, 0xBB, 0x44),
    Color32::from_rgb(0x66, 0xCC, 0xEE),
    Color32::from_rgb(0xAA, 0x33, 0x77),
    Color32::from_rgb(0xBB, 0xBB, 0xBB),
];

/// Height of a chart in points.
const HEIGHT: f32 = 220.0;

/// A frame with axes that start at 0.
struct Axes {
    inner: Rect,
    x_end: f64,
    y_end: f64,
}

impl Axes {
    /// Allocates the space and draws the frame; labels of the y axis are percentages.
    fn ui(ui: &mut Ui, x_end: f64, y_end: f64, palette: &Palette) -> Self {
        const STEPS: usize = 4;
        let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), HEIGHT), Sense::hover());
        ui.painter().rect_filled(rect, 6.0, palette.raised);
        let inner = Rect::from_min_max(rect.min + Vec2::new(44.0, 12.0), rect.max - Vec2::new(14.0, 24.0));
        let axes = Self { inner, x_end, y_end };
        let font = FontId::proportional(10.0);
        for step in 0..=STEPS {
            let share = step as f64 / STEPS as f64;
            let left = axes.at(0.0, share * y_end);
            ui.painter().hline(inner.x_range(), left.y, Stroke::new(1.0, palette.line));
            let digits = usize::from(y_end < 0.2);
            let label = format!("{} %", decimal(100.0 * share * y_end, digits));
            ui.painter().text(
                left - Vec2::new(6.0, 0.0),
                Align2::RIGHT_CENTER,
                label,
                font.clone(),
                palette.weak,
            );
            let below = axes.at(share * x_end, 0.0) + Vec2::new(0.0, 4.0);
            let digits = usize::from(x_end < 10.0);
            let label = decimal(share * x_end, digits);
            ui.painter().text(below, Align2::CENTER_TOP, label, font.clone(), palette.weak);
        }
        axes
    }

    fn at(&self, x: f64, y: f64) -> Pos2 {
        let across = self.inner.width() * (x / self.x_end) as f32;
        let up = self.inner.height() * (y / self.y_end) as f32;
        Pos2::new(self.inner.left() + across, self.inner.bottom() - up)
    }

    /// Draws the names of the series on the right, downwards from `from`, a share of the frame's height below
    /// its top.
    fn legend(&self, ui: &Ui, from: f32, names: &[(Color32, &str)], palette: &Palette) {
        let top = self.inner.right_top() + Vec2::new(-4.0, 4.0 + from * self.inner.height());
        for (index, (color, name)) in names.iter().enumerate() {
            let at = top + Vec2::new(0.0, 15.0 * index as f32);
            let font = FontId::proportional(11.0);
            let text = ui.painter().text(at, Align2::RIGHT_TOP, *name, font, palette.text);
            ui.painter().circle_filled(text.left_center() - Vec2::new(8.0, 0.0), 4.0, *color);
        }
    }
}

/// Draws histograms of the descriptor distances of near and far pairs; a click on a bin selects it.
pub fn distances_ui(ui: &mut Ui, one: &EncoderResult, chosen: &mut Option<usize>, palette: &Palette) {
    let title = "Descriptor distances of near and far pairs, as shares of the pairs";
    ui.label(RichText::new(title).small().color(palette.weak));
    let Some(addr) = &one.addr else {
        ui.label("No slide has both near and far pairs.");
        return;
    };
    let histogram = &addr.histogram;
    let bins = histogram.near.len();
    let highest = histogram.near.iter().chain(&histogram.far).copied().fold(1e-6, f64::max);
    let axes = Axes::ui(ui, histogram.bin * bins as f64, 1.05 * highest, palette);
    for bin in 0..bins {
        let [from, to] = histogram.range(bin);
        let column = Rect::from_two_pos(axes.at(from, 0.0), axes.at(to, axes.y_end));
        let response = ui.interact(column, ui.scope_id().with(("distances", bin)), Sense::click());
        let [from, to] = [from, to].map(|distance| decimal(distance, 3));
        let name = format!("pairs whose descriptors are {from} to {to} apart");
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name.as_str()));
        if response.clicked() {
            *chosen = (*chosen != Some(bin)).then_some(bin);
        }
        if *chosen == Some(bin) || response.hovered() {
            ui.painter().rect_filled(column, 0.0, palette.pressed);
        }
        let shares = [histogram.near[bin], histogram.far[bin]].map(|share| decimal(100.0 * share, 1));
        response.on_hover_text(format!(
            "{from} to {to}: {} % of the near pairs, {} % of the far ones. Click to see examples.",
            shares[0], shares[1]
        ));
    }
    let series = [(palette.query, "far", &histogram.far), (palette.accent, "near", &histogram.near)];
    for (color, _, shares) in series {
        for (bin, share) in shares.iter().enumerate() {
            let [left, right] = histogram.range(bin);
            let bar = Rect::from_two_pos(axes.at(left, 0.0), axes.at(right, *share));
            ui.painter().rect_filled(bar, 0.0, color.gamma_multiply(0.55));
        }
    }
    axes.legend(ui, 0.0, &series.map(|(color, name, _)| (color, name)), palette);
}

/// Draws the precision of the matches without a judgement by number of judgements, for every encoder.
pub fn feedback_ui(ui: &mut Ui, study: &Study, palette: &Palette) {
    let title = "P@20 of the matches without a judgement over the number of judgements, mean over classes";
    ui.label(RichText::new(title).small().color(palette.weak));
    let curves: Vec<_> = study
        .comparison
        .encoders
        .iter()
        .zip(COLORS.iter().cycle())
        .filter_map(|(one, color)| Some((*color, one.name.as_str(), one.feedback.as_ref()?)))
        .collect();
    let axes = Axes::ui(ui, JUDGEMENTS[JUDGEMENTS.len() - 1] as f64, 1.0, palette);
    for (color, _, curve) in &curves {
        let points = curve.judgements.iter().zip(&curve.precision);
        let points = points
            .filter_map(|(judgements, precision)| {
                Some(axes.at(*judgements as f64, precision.as_ref()?.value))
            })
            .collect();
        ui.painter().add(Shape::line(points, Stroke::new(2.0, *color)));
    }
    let names: Vec<(Color32, &str)> = curves.iter().map(|(color, name, _)| (*color, *name)).collect();
    axes.legend(ui, 0.0, &names, palette);
}

/// Draws the precision by number of answers for every encoder, and the chance level.
pub fn precision_ui(ui: &mut Ui, study: &Study, palette: &Palette) {
    let class = &study.comparison.settings.class;
    let title =
        format!("Precision at k for queries of {class}: share of that class among the first k matches");
    ui.label(RichText::new(title).small().color(palette.weak));
    let targets: Vec<_> = study
        .comparison
        .encoders
        .iter()
        .zip(COLORS.iter().cycle())
        .filter_map(|(one, color)| Some((one, one.target.as_ref()?, *color)))
        .collect();
    let Some((_, first, _)) = targets.first() else {
        ui.label("Retrieval needs labels: annotate tissue with classes, or add tables or masks to the project's folder “labels”.");
        return;
    };
    let axes = Axes::ui(ui, ANSWERS as f64, 1.0, palette);
    let chance = axes.at(0.0, first.score.chance_level);
    ui.painter().add(Shape::dashed_line(
        &[chance, Pos2::new(axes.inner.right(), chance.y)],
        Stroke::new(1.0, palette.weak),
        5.0,
        4.0,
    ));
    for (_, target, color) in &targets {
        let queries = &target.retrieval.queries;
        let mean = |count: usize| {
            queries.iter().map(|query| query.precision(count)).sum::<f64>() / queries.len().max(1) as f64
        };
        let points = (1..=ANSWERS).map(|count| axes.at(count as f64, mean(count))).collect();
        ui.painter().add(Shape::line(points, Stroke::new(2.0, *color)));
    }
    let mut names: Vec<(Color32, &str)> =
        targets.iter().map(|(one, _, color)| (*color, one.name.as_str())).collect();
    names.push((palette.weak, "chance level"));
    // In the lower half: the curves of useful encoders are in the upper half.
    axes.legend(ui, 0.5, &names, palette);
}
