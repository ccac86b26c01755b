//! Plots of training runs, which can be zoomed and compared.

use egui::{Align, Color32, FontId, Frame, Layout, RichText, Slider, Stroke, Ui, Vec2};
use egui_plot::{AxisHints, Bar, BarChart, HLine, HoverPosition, Line, LineStyle, Plot, Points};

use crate::number_format::{decimal, rounded, scientific};
use crate::training::Validation;
use crate::training::run::{History, StepRecord};
use crate::ui::theme::{Palette, rank_color};

/// What a chart says that needs far pairs where validations had none.
const NO_FAR_PAIRS: &str = "no far pairs on the validation slides";

/// Time constant of the exponential average of curves, in steps.
const SMOOTH_OVER: f64 = 20.0;

/// Maximum number of points drawn per curve; longer curves are thinned to every second, third, … point.
const MAX_POINTS: usize = 2000;

/// Width for the numbers at the vertical axis in points.
const AXIS_WIDTH: f32 = 34.0;

/// Explanation of the mouse actions, for the plots' tooltips.
const HANDLING: &str =
    "Drag to pan, drag with the right button or use Ctrl + wheel to zoom, double-click to show all.";

/// A run to plot.
pub struct PlottedRun<'a> {
    /// Name of the run.
    pub name: &'a str,
    /// Recorded steps and validations.
    pub history: &'a History,
}

/// Draws all plots. The first run is the current one; the others are compared with it. `validation` is the
/// index of the validation whose distances are shown, `None` for the latest. `height` is that of a plot in
/// points.
pub fn plots_ui(
    ui: &mut Ui,
    runs: &[PlottedRun<'_>],
    validation: &mut Option<usize>,
    height: f32,
    palette: &Palette,
) {
    let Some(own) = runs.first() else { return };
    if runs.len() > 1 {
        names_ui(ui, runs, palette);
    }
    let each = |points: &dyn Fn(&History) -> Vec<[f64; 2]>, trace: Trace| -> Vec<Series> {
        let series = runs.iter().enumerate().map(|(index, run)| {
            Series::new(run.name, color(index, runs.len(), palette), points(run.history), trace)
        });
        series.collect()
    };
    ui.columns(3, |columns| {
        let every_step = steps(own.history, |step| Some(step.loss));
        let mut loss = vec![Series::new("every step", palette.accent, every_step, Trace::Faint)];
        loss.extend(each(&smoothed, Trace::Line));
        let validated = validations(own.history, |one| one.loss);
        loss.push(Series::new("validation", palette.query, validated, Trace::Dotted));
        let hint = "Training loss averaged over 20 steps, including the anchor and anti-collapse losses. Dots: \
                    contrastive loss alone on the validation slides.";
        Chart::new("Loss", hint, "step").base(0.0).ui(&mut columns[0], loss, height, palette);
        let hint = "Average descriptor distance ratio: mean distance of far pairs divided by that of near pairs. \
                    Dots: on the validation slides; faint: on the latest batches. 1 is chance level. ADDR \
                    does not measure whether similar tissue is found.";
        let live = live_addr(own.history);
        let mut addr = vec![Series::new("latest batches", palette.accent, live, Trace::Faint)];
        addr.extend(each(&|history| validations(history, |one| one.addr_global), Trace::Dotted));
        let chart = Chart::new("ADDR", hint, "step").base(1.0).level("chance level", 1.0);
        let chart = match own.history.validations.is_empty() {
            true => chart,
            false => chart.empty(NO_FAR_PAIRS),
        };
        chart.ui(&mut columns[1], addr, height, palette);
        let hint = "Precision at 5: share of correct matches among the first five when labelled tiles are queries \
                    on the other validation slides, as the mean over classes. Needs a class that is labelled \
                    on at least two validation slides.";
        let precision = |history: &History| {
            validations(history, |one| one.retrieval.map(|found| 100.0 * found.p_at_5))
        };
        let latest = own.history.validations.iter().rev().find_map(|one| one.retrieval);
        let chart = Chart::new("Correct matches (P@5, %)", hint, "step");
        let chart = match latest {
            Some(found) => chart.level("chance level", 100.0 * found.chance_level),
            None if own.history.validations.is_empty() => chart,
            None => chart.empty("no class is labelled on two validation slides"),
        };
        chart.ui(&mut columns[2], each(&precision, Trace::Dotted), height, palette);

        histograms_ui(&mut columns[0], own.history, validation, height, palette);
        let hint = "Mean descriptor distance of near and of far pairs in each batch, averaged over 20 steps";
        let mean_of = |of: fn(&StepRecord) -> Option<f64>| averaged(steps(own.history, of));
        let distances = vec![
            Series::new("near", palette.accent, mean_of(|step| step.near), Trace::Line),
            Series::new("far", palette.query, mean_of(|step| step.far), Trace::Line),
        ];
        let chart = Chart::new("Distances during training", hint, "step").base(0.0);
        chart.ui(&mut columns[1], distances, height, palette);
        let rate = each(&|history| steps(history, |step| Some(step.lr)), Trace::Line);
        let hint = "Rises during the warm-up, then decays along a cosine";
        Chart::new("Learning rate", hint, "step").base(0.0).ui(&mut columns[2], rate, height, palette);
    });
}

/// Draws the names of the runs in their colours.
fn names_ui(ui: &mut Ui, runs: &[PlottedRun<'_>], palette: &Palette) {
    ui.horizontal_wrapped(|ui| {
        for (index, run) in runs.iter().enumerate() {
            let text = RichText::new(format!("● {}", run.name)).small();
            ui.label(text.color(color(index, runs.len(), palette)));
        }
    });
}

fn color(index: usize, count: usize, palette: &Palette) -> Color32 {
    if index == 0 { palette.accent } else { rank_color(index + 1, count + 1) }
}

/// Draws the near and far distances of one validation, and those of the first validation as outlines for
/// comparison.
fn histograms_ui(ui: &mut Ui, history: &History, chosen: &mut Option<usize>, height: f32, palette: &Palette) {
    let validations: Vec<&Validation> =
        history.validations.iter().filter(|one| !one.near.is_empty()).collect();
    let last = validations.len().saturating_sub(1);
    let shown = chosen.unwrap_or(last).min(last);
    let mut series = Vec::new();
    if let (Some(first), Some(current)) = (validations.first(), validations.get(shown)) {
        let sides = |one: &Validation| {
            [("near", one.near.clone(), palette.accent), ("far", one.far.clone(), palette.query)]
        };
        let bin = current.bin;
        for (name, shares, color) in sides(current) {
            let bars =
                (0..).zip(&shares).map(|(index, share)| [(f64::from(index) + 0.5) * bin, share * 100.0]);
            series.push(Series::new(name, color, bars.collect(), Trace::Bars(bin)));
        }
        if shown > 0 {
            for (name, shares, color) in sides(first) {
                let name = format!("{name}, step {}", first.step);
                series.push(Series::new(&name, color, outline(first.bin, &shares), Trace::Outline));
            }
        }
    }
    let hint = "Share of pairs in % by descriptor distance on the validation slides; lines: at the first \
                validation. The distributions of near and far pairs should separate during training.";
    let chart = Chart::new("Pair distances (%)", hint, "distance").base(0.0);
    let chart = if history.validations.is_empty() { chart } else { chart.empty(NO_FAR_PAIRS) };
    chart.ui_with(ui, series, height, palette, |ui| {
        if validations.len() > 1 {
            let mut index = shown;
            ui.spacing_mut().slider_width = 60.0;
            let slider = Slider::new(&mut index, 0..=last).show_value(false);
            let step = validations[shown].step;
            let slider = ui.add(slider).on_hover_text("The validation to show");
            if slider.accessible_name("The validation to show").changed() {
                *chosen = (index < last).then_some(index);
            }
            ui.label(RichText::new(format!("step {step}")).small().color(palette.weak));
        }
    });
}

/// Returns the outline of a histogram as a curve.
fn outline(bin: f64, shares: &[f64]) -> Vec<[f64; 2]> {
    let edges = |(index, share): (usize, &f64)| {
        let left = index as f64 * bin;
        [[left, share * 100.0], [left + bin, share * 100.0]]
    };
    shares.iter().enumerate().flat_map(edges).collect()
}

fn steps(history: &History, of: impl Fn(&StepRecord) -> Option<f64>) -> Vec<[f64; 2]> {
    history.steps.iter().filter_map(|step| Some([step.step as f64, of(step)?])).collect()
}

fn validations(history: &History, of: impl Fn(&Validation) -> Option<f64>) -> Vec<[f64; 2]> {
    history.validations.iter().filter_map(|one| Some([one.step as f64, of(one)?])).collect()
}

fn smoothed(history: &History) -> Vec<[f64; 2]> {
    averaged(steps(history, |step| Some(step.loss)))
}

fn averaged(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    let mut mean = None;
    let follow = |[step, value]: [f64; 2]| {
        let next = mean.map_or(value, |mean: f64| mean + (value - mean) / SMOOTH_OVER);
        mean = Some(next);
        [step, next]
    };
    points.into_iter().map(follow).collect()
}

/// Running ADDR of the latest batches, for every step.
fn live_addr(history: &History) -> Vec<[f64; 2]> {
    let (mut near, mut far) = (None, None);
    let follow = |mean: &mut Option<f64>, value: Option<f64>| {
        let next = |value: f64| mean.map_or(value, |mean| mean + (value - mean) / SMOOTH_OVER);
        if let Some(value) = value {
            *mean = Some(next(value));
        }
        *mean
    };
    let at = |step: &StepRecord| {
        let (near, far) = (follow(&mut near, step.near), follow(&mut far, step.far));
        Some([step.step as f64, far? / near.filter(|near| *near > 0.0)?])
    };
    history.steps.iter().filter_map(at).collect()
}

/// Thins a curve to at most [`MAX_POINTS`] points, always including the last.
fn thinned(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    let every = points.len().div_ceil(MAX_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    points
        .into_iter()
        .enumerate()
        .filter(|(index, _)| (last - index).is_multiple_of(every))
        .map(|(_, point)| point)
        .collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Trace {
    /// A line.
    Line,
    /// A faint line behind the others, without tooltip.
    Faint,
    /// A line with a dot at every point.
    Dotted,
    /// Bars of this width, centred on the points.
    Bars(f64),
    /// A thin line, without tooltip.
    Outline,
}

struct Series {
    name: String,
    color: Color32,
    points: Vec<[f64; 2]>,
    trace: Trace,
}

impl Series {
    fn new(name: &str, color: Color32, points: Vec<[f64; 2]>, trace: Trace) -> Self {
        let finite = |point: &[f64; 2]| point[0].is_finite() && point[1].is_finite();
        let points = points.into_iter().filter(finite).collect();
        Self { name: name.to_owned(), color, points: thinned(points), trace }
    }

    fn show(self, plot: &mut egui_plot::PlotUi<'_>) {
        let Self { name, color, points, trace } = self;
        match trace {
            Trace::Bars(width) => {
                let bar = |[x, y]: [f64; 2]| {
                    let fill = color.gamma_multiply(0.5);
                    Bar::new(x, y).width(width).fill(fill).stroke(Stroke::new(0.0, fill))
                };
                let bars = points.into_iter().map(bar).collect();
                plot.bar_chart(BarChart::new(name, bars).color(color).allow_hover(false));
            }
            Trace::Faint => {
                let line = Line::new(name, points).color(color.gamma_multiply(0.3)).width(1.0);
                plot.line(line.allow_hover(false));
            }
            Trace::Outline => {
                let line = Line::new(name, points).color(color.gamma_multiply(0.8)).width(1.0);
                plot.line(line.allow_hover(false));
            }
            Trace::Line => plot.line(Line::new(name, points).color(color).width(1.8)),
            Trace::Dotted => {
                plot.line(Line::new(name.clone(), points.clone()).color(color).width(1.5).allow_hover(false));
                plot.points(Points::new(name, points).color(color).radius(3.0));
            }
        }
    }
}

struct Chart<'a> {
    title: &'a str,
    hint: &'a str,
    /// Name of the horizontal axis.
    unit: &'a str,
    /// Value that the vertical axis always includes.
    base: Option<f64>,
    /// Name and value of a reference level.
    level: Option<(&'a str, f64)>,
    /// Text shown if there is nothing to draw.
    empty: &'a str,
}

impl<'a> Chart<'a> {
    fn new(title: &'a str, hint: &'a str, unit: &'a str) -> Self {
        Self { title, hint, unit, base: None, level: None, empty: "no data yet" }
    }

    fn base(self, base: f64) -> Self {
        Self { base: Some(base), ..self }
    }

    fn level(self, name: &'a str, level: f64) -> Self {
        Self { level: Some((name, level)), ..self }
    }

    fn empty(self, empty: &'a str) -> Self {
        Self { empty, ..self }
    }

    fn ui(self, ui: &mut Ui, series: Vec<Series>, height: f32, palette: &Palette) {
        self.ui_with(ui, series, height, palette, |_| {});
    }

    /// Draws the plot; `add` draws to the right of its title.
    fn ui_with(
        self,
        ui: &mut Ui,
        series: Vec<Series>,
        height: f32,
        palette: &Palette,
        add: impl FnOnce(&mut Ui),
    ) {
        ui.horizontal(|ui| {
            ui.set_min_height(20.0);
            let title = RichText::new(self.title).small().color(palette.text);
            ui.label(title).on_hover_text(format!("{}\n\n{HANDLING}", self.hint));
            for name in ["near", "far"] {
                if let Some(one) = series.iter().find(|one| one.name == name) {
                    ui.label(RichText::new(name).small().color(one.color));
                }
            }
            ui.with_layout(Layout::right_to_left(Align::Center), add);
        });
        let frame = Frame::new().fill(palette.raised).corner_radius(4).inner_margin(4);
        frame.show(ui, |ui| {
            if series.iter().all(|series| series.points.is_empty()) {
                let size = Vec2::new(ui.available_width(), height);
                ui.allocate_ui_with_layout(
                    size,
                    Layout::centered_and_justified(egui::Direction::TopDown),
                    |ui| {
                        ui.label(RichText::new(self.empty).small().color(palette.weak));
                    },
                );
                return;
            }
            self.plot_ui(ui, series, height, palette);
        });
        ui.add_space(4.0);
    }

    fn plot_ui(&self, ui: &mut Ui, series: Vec<Series>, height: f32, palette: &Palette) {
        let axis = |hints: AxisHints<'static>| {
            let hints = hints.formatter(|mark, _| number(mark.value));
            hints.tick_label_font(FontId::proportional(10.5)).tick_label_color(palette.weak)
        };
        let unit = self.unit.to_owned();
        let read_out = move |at: &HoverPosition<'_>| match at {
            HoverPosition::NearDataPoint { plot_name, position, .. } => {
                Some(format!("{plot_name}\n{} at {unit} {}", number(position.y), number(position.x)))
            }
            HoverPosition::Elsewhere { .. } => None,
        };
        let mut plot = Plot::new(self.title)
            .height(height)
            .allow_scroll(false)
            .show_background(false)
            .show_crosshair(false)
            .set_margin_fraction(Vec2::new(0.02, 0.08))
            .grid_color(palette.line)
            .grid_spacing(26.0..=90.0)
            .y_grid_spacer(egui_plot::uniform_grid_spacer(round_steps))
            .cursor_color(palette.weak)
            .custom_x_axes(vec![axis(AxisHints::new_x())])
            .custom_y_axes(vec![axis(AxisHints::new_y()).min_thickness(AXIS_WIDTH)])
            .label_formatter(read_out);
        if let Some(base) = self.base {
            plot = plot.include_y(base);
        }
        let level = self.level.map(|(name, level)| {
            let stroke = Stroke::new(1.0, palette.weak);
            HLine::new(name, level).stroke(stroke).style(LineStyle::dashed_dense()).allow_hover(false)
        });
        plot.show(ui, move |plot| {
            if let Some(level) = level {
                plot.hline(level);
            }
            series.into_iter().for_each(|series| series.show(plot));
        });
    }
}

/// Grid spacings of 1, 2 or 5 times a power of ten: powers of ten alone leave low plots with a single number.
fn round_steps(grid: egui_plot::GridInput) -> [f64; 3] {
    let power = 10f64.powf(grid.base_step_size.log10().floor());
    let step =
        [1.0, 2.0, 5.0].map(|times| times * power).into_iter().find(|step| *step >= grid.base_step_size);
    let step = step.unwrap_or(10.0 * power);
    [step, 10.0 * step, 100.0 * step]
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 1e-12 => "0".into(),
        size if size < 1e-3 => scientific(value, 1),
        size if size < 10.0 => rounded(value, 3),
        size if size < 1000.0 => rounded(value, 1),
        _ => decimal(value, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_thinned_and_keep_their_end() {
        let long: Vec<[f64; 2]> = (0..7001).map(|step| [f64::from(step), 0.0]).collect();
        let thin = thinned(long.clone());
        assert!(thin.len() <= MAX_POINTS && thin.len() > MAX_POINTS / 2, "{}", thin.len());
        assert_eq!(thin.last(), long.last());
        assert_eq!(thinned(long[..50].to_vec()), long[..50]);
        assert!(thinned(Vec::new()).is_empty());
    }

    #[test]
    fn averages_follow_slowly_and_numbers_are_short() {
        let level = averaged(vec![[1.0, 2.0], [2.0, 2.0], [3.0, 22.0]]);
        assert_eq!(level, [[1.0, 2.0], [2.0, 2.0], [3.0, 3.0]]);
        assert_eq!(
            [0.0, 5e-5, 1.25, 40.0, 12345.6].map(number),
            ["0", "5.0e-5", "1.25", "40", "12\u{202F}346"]
        );
    }

    #[test]
    fn addr_is_followed_from_batch_to_batch() {
        let step = |step, near, far| StepRecord { step, loss: 0.0, lr: 0.0, near, far, gradient: 0.0 };
        let steps = vec![step(1, Some(2.0), None), step(2, None, Some(3.0)), step(3, Some(2.0), Some(23.0))];
        let history = History { steps, validations: Vec::new() };
        assert_eq!(live_addr(&history), [[2.0, 1.5], [3.0, 2.0]]);
    }

    #[test]
    fn lines_are_round_numbers_apart() {
        let steps =
            |base_step_size| round_steps(egui_plot::GridInput { bounds: (0.0, 1.0), base_step_size })[0];
        for (base, step) in [(1.0, 1.0), (1.2, 2.0), (0.3, 0.5), (60.0, 100.0)] {
            assert!((steps(base) / step - 1.0).abs() < 1e-9, "{base}: {}", steps(base));
        }
    }

    #[test]
    fn a_histograms_outline_has_both_edges_of_every_bin() {
        assert_eq!(outline(0.5, &[0.2, 0.8]), [[0.0, 20.0], [0.5, 20.0], [0.5, 80.0], [1.0, 80.0]]);
    }
}
