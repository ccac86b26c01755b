//! Curves of runs.

use egui::{Align2, Color32, FontId, Pos2, Rect, Response, RichText, Sense, Shape, Stroke, Ui, Vec2};

use crate::training::Validation;
use crate::training::run::{History, StepRecord};
use crate::ui::theme::{Palette, rank_color};

/// Steps over which the training loss is averaged, so that its course can be seen.
const SMOOTH_OVER: f64 = 20.0;

/// Room for the numbers at the axes, in points.
const AXIS: Vec2 = Vec2::new(44.0, 18.0);

/// One run's curves.
pub struct Course<'a> {
    pub name: &'a str,
    pub history: &'a History,
}

/// Draw the four plots in two rows: the first course is the one of this run, the others are compared with it.
pub fn plots_ui(ui: &mut Ui, courses: &[Course<'_>], height: f32, palette: &Palette) {
    let color =
        |place: usize| if place == 0 { palette.accent } else { rank_color(place + 1, courses.len() + 1) };
    let each = |points: &dyn Fn(&History) -> Vec<[f64; 2]>, dotted: bool| -> Vec<Series> {
        let series = courses.iter().enumerate().map(|(place, course)| Series {
            name: course.name.to_owned(),
            color: color(place),
            points: points(course.history),
            shape: if dotted { Trace::Dotted } else { Trace::Line },
        });
        series.collect()
    };
    let looks = |of: &dyn Fn(&Validation) -> Option<f64>, history: &History| -> Vec<[f64; 2]> {
        history.validations.iter().filter_map(|look| Some([look.step as f64, of(look)?])).collect()
    };
    ui.columns(2, |columns| {
        let mut loss = each(&smoothed, false);
        if let Some(first) = courses.first() {
            let points = looks(&|look| look.loss, first.history);
            loss.push(Series { name: "validation".into(), color: palette.query, points, shape: Trace::Dots });
        }
        let hint = "What is made small, averaged over 20 steps; dots: contrastive loss on the validation slides";
        Plot { title: "Loss", hint, unit: "step", base: 0.0, line: None }.ui(&mut columns[0], &loss, height, palette);
        let hint = "On the validation slides: mean descriptor distance of far tiles over that of near ones. 1 is \
                    chance. It says nothing of whether like tissue is found.";
        let addr = each(&|history| looks(&|look| look.addr_global, history), true);
        let plot = Plot { title: "ADDR", hint, unit: "step", base: 1.0, line: Some(1.0) };
        plot.ui(&mut columns[1], &addr, height, palette);
        let hint = "Share of pairs in % by the distance of their descriptors, at the last look at the validation \
                    slides: near and far should drift apart";
        let bars = courses.first().and_then(|course| course.history.validations.last());
        let bars = bars.map_or(Vec::new(), |look| histograms(look, palette));
        let plot = Plot { title: "Near and far distances", hint, unit: "distance", base: 0.0, line: None };
        plot.ui(&mut columns[0], &bars, height, palette);
        let hint = "Rises over the warm-up, then falls along a cosine";
        let rate = each(&|history| history.steps.iter().map(|step| [step.step as f64, step.lr]).collect(), false);
        let plot = Plot { title: "Learning rate", hint, unit: "step", base: 0.0, line: None };
        plot.ui(&mut columns[1], &rate, height, palette);
    });
}

fn smoothed(history: &History) -> Vec<[f64; 2]> {
    let mut mean = None;
    let follow = |step: &StepRecord| {
        let next = mean.map_or(step.loss, |mean: f64| mean + (step.loss - mean) / SMOOTH_OVER);
        mean = Some(next);
        [step.step as f64, next]
    };
    history.steps.iter().map(follow).collect()
}

fn histograms(look: &Validation, palette: &Palette) -> Vec<Series> {
    let series = [("near", &look.near, palette.accent), ("far", &look.far, palette.query)];
    series
        .into_iter()
        .map(|(name, shares, color)| Series {
            name: name.into(),
            color,
            points: (0..)
                .zip(shares)
                .map(|(index, share)| [f64::from(index) * look.bin, share * 100.0])
                .collect(),
            shape: Trace::Bars(look.bin),
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Trace {
    Line,
    Dots,
    /// A line with a dot at every point.
    Dotted,
    /// Bars of this width, each beginning at its point.
    Bars(f64),
}

struct Series {
    name: String,
    color: Color32,
    points: Vec<[f64; 2]>,
    shape: Trace,
}

struct Plot<'a> {
    title: &'a str,
    hint: &'a str,
    /// What stands along the horizontal axis.
    unit: &'a str,
    /// Always to be seen on the vertical axis.
    base: f64,
    /// A level to compare with.
    line: Option<f64>,
}

/// Where numbers lie on the screen.
struct Scale {
    area: Rect,
    x: [f64; 2],
    y: [f64; 2],
}

impl Scale {
    fn at(&self, [x, y]: [f64; 2]) -> Pos2 {
        let share = |value: f64, [from, to]: [f64; 2]| ((value - from) / (to - from)) as f32;
        Pos2::new(
            self.area.left() + share(x, self.x) * self.area.width(),
            self.area.bottom() - share(y, self.y) * self.area.height(),
        )
    }
}

impl Plot<'_> {
    fn ui(&self, ui: &mut Ui, series: &[Series], height: f32, palette: &Palette) {
        ui.horizontal(|ui| {
            ui.label(RichText::new(self.title).small().color(palette.weak)).on_hover_text(self.hint);
            let several = series.iter().filter(|series| !series.points.is_empty()).count() > 1;
            for series in series.iter().filter(|series| several && !series.points.is_empty()) {
                ui.label(RichText::new(&series.name).small().color(series.color));
            }
        });
        let size = Vec2::new(ui.available_width(), height);
        let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
        let area = Rect::from_min_max(rect.min + Vec2::new(AXIS.x, 4.0), rect.max - Vec2::new(6.0, AXIS.y));
        let points = || series.iter().flat_map(|series| &series.points);
        if points().next().is_none() {
            ui.painter().rect_filled(area, 4.0, palette.raised);
            let font = FontId::proportional(12.0);
            ui.painter().text(area.center(), Align2::CENTER_CENTER, "nothing yet", font, palette.weak);
            return;
        }
        let scale = Scale {
            area,
            x: range(points().map(|point| point[0]).chain([0.0])),
            y: range(points().map(|point| point[1]).chain([self.base])),
        };
        self.axes(ui, &scale, palette);
        for series in series {
            series.draw(ui, &scale);
        }
        self.read_out(ui, &response, series, &scale, palette);
    }

    fn axes(&self, ui: &Ui, scale: &Scale, palette: &Palette) {
        let painter = ui.painter();
        let font = FontId::proportional(11.0);
        let thin = Stroke::new(1.0, palette.line);
        for tick in ticks(scale.y, 4) {
            let at = scale.at([scale.x[0], tick]);
            painter.hline(scale.area.x_range(), at.y, thin);
            let place = at - Vec2::new(5.0, 0.0);
            painter.text(place, Align2::RIGHT_CENTER, number(tick), font.clone(), palette.weak);
        }
        for tick in ticks(scale.x, 5) {
            let at = scale.at([tick, scale.y[0]]) + Vec2::new(0.0, 3.0);
            painter.text(at, Align2::CENTER_TOP, number(tick), font.clone(), palette.weak);
        }
        if let Some(level) = self.line {
            painter.hline(scale.area.x_range(), scale.at([0.0, level]).y, Stroke::new(1.0, palette.weak));
        }
    }

    /// What stands under the pointer, in words.
    fn read_out(&self, ui: &Ui, response: &Response, series: &[Series], scale: &Scale, palette: &Palette) {
        let Some(pointer) = response.hover_pos().filter(|pointer| scale.area.contains(*pointer)) else {
            return;
        };
        let away = |point: &[f64; 2]| (scale.at(*point).x - pointer.x).abs();
        let mut lines = Vec::new();
        for series in series {
            let nearest = series.points.iter().min_by(|a, b| away(a).total_cmp(&away(b)));
            if let Some([x, y]) = nearest {
                lines.push(format!("{}: {} at {} {}", series.name, number(*y), self.unit, number(*x)));
            }
        }
        ui.painter().vline(pointer.x, scale.area.y_range(), Stroke::new(1.0, palette.weak));
        response.clone().on_hover_text_at_pointer(lines.join("\n"));
    }
}

impl Series {
    fn draw(&self, ui: &Ui, scale: &Scale) {
        let painter = ui.painter().with_clip_rect(scale.area.expand(4.0));
        let at = |point: &[f64; 2]| scale.at(*point);
        match self.shape {
            Trace::Bars(width) => {
                for [x, y] in &self.points {
                    let bar = Rect::from_two_pos(at(&[*x, 0.0]), at(&[x + width, *y]));
                    painter.rect_filled(bar, 0.0, self.color.gamma_multiply(0.45));
                }
            }
            Trace::Line | Trace::Dotted => {
                let line = self.points.iter().map(at).collect();
                painter.add(Shape::line(line, Stroke::new(1.5, self.color)));
            }
            Trace::Dots => {}
        }
        if matches!(self.shape, Trace::Dots | Trace::Dotted) {
            for point in &self.points {
                painter.circle_filled(at(point), 3.0, self.color);
            }
        }
    }
}

/// From the least to the greatest, never empty, with a little air above.
fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let finite = values.filter(|value| value.is_finite());
    let [from, to] = finite.fold([f64::MAX, f64::MIN], |[from, to], value| [from.min(value), to.max(value)]);
    if to > from { [from, to + (to - from) * 0.05] } else { [from, from + 1.0] }
}

/// Round numbers in a range, about `count` of them.
fn ticks([from, to]: [f64; 2], count: usize) -> Vec<f64> {
    let rough = (to - from) / count as f64;
    let power = 10.0_f64.powf(rough.log10().floor());
    let step =
        power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough).unwrap_or(10.0);
    let first = (from / step).ceil() as i64;
    (first..).map(|index| index as f64 * step).take_while(|tick| *tick <= to).collect()
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 1e-3 => format!("{value:.1e}"),
        size if size < 10.0 => format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        size if size < 1000.0 => format!("{value:.1}").trim_end_matches(".0").to_owned(),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_in_range() {
        let tidy = |range, count| ticks(range, count).into_iter().map(number).collect::<Vec<_>>().join(" ");
        assert_eq!(tidy([0.0, 630.0], 5), "0 200 400 600");
        assert_eq!(tidy([1.0, 1.13], 4), "1 1.05 1.1");
        assert_eq!(tidy([0.0, 1.05e-4], 4), "0 5.0e-5 1.0e-4");
    }

    #[test]
    fn a_range_is_never_empty() {
        assert_eq!(range([3.0].into_iter()), [3.0, 4.0]);
        assert_eq!(range([0.0, 10.0, f64::NAN].into_iter()), [0.0, 10.5]);
    }
}
