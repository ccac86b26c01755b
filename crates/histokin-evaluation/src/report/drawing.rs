//! Drawings of a report: marks in units of their own, which become SVG on the page and paths in the PDF.

use std::fmt::Write;

/// Colours of series and classes, by number; they repeat after these. On a dark page `style.css` has lighter ones.
pub const SERIES_COLORS: [[u8; 3]; 8] = [
    [0x2f, 0x7f, 0xb8],
    [0xd9, 0x80, 0x32],
    [0x2e, 0x8b, 0x57],
    [0xb0, 0x4a, 0x8f],
    [0x8a, 0x6d, 0x3b],
    [0x6a, 0x5a, 0xcd],
    [0xc0, 0x50, 0x4d],
    [0x4f, 0x9d, 0xa6],
];

/// What a mark is, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Grid,
    /// A dashed line for what guessing would score, and its swatch.
    Base,
    BaseSwatch,
    Near,
    Far,
    /// A line of a series.
    Series(usize),
    /// A filled mark of a series or class.
    Filled(usize),
    /// A tile of unknown class.
    Unknown,
    Cell,
    /// A cell of the diagonal.
    OwnCell,
    Text(TextStyle),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextStyle {
    Tick,
    Axis,
    Value,
}

/// Where a text begins, seen from its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

type Place = (f64, f64);

/// One thing that is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    Line {
        style: Style,
        points: Vec<Place>,
    },
    Area {
        style: Style,
        points: Vec<Place>,
    },
    Rect {
        style: Style,
        /// 0 to 1.
        opacity: f64,
        corner: Place,
        size: Place,
        /// What it shows, for the pointer.
        title: String,
    },
    Dot {
        style: Style,
        center: Place,
        radius: f64,
    },
    Text {
        style: TextStyle,
        at: Place,
        anchor: Anchor,
        /// Whether it rises to the right, for long names above narrow columns.
        rising: bool,
        text: String,
    },
}

/// By how many degrees rising text is turned.
pub const RISE: f64 = 35.0;

/// A picture of lines, areas and text.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    pub width: f64,
    pub height: f64,
    pub marks: Vec<Mark>,
    /// What it shows, for those who cannot see it.
    pub label: String,
}

impl Drawing {
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, marks: Vec::new(), label: String::new() }
    }

    pub fn line(&mut self, style: Style, points: impl IntoIterator<Item = Place>) {
        self.marks.push(Mark::Line { style, points: points.into_iter().collect() });
    }

    pub fn area(&mut self, style: Style, points: impl IntoIterator<Item = Place>) {
        self.marks.push(Mark::Area { style, points: points.into_iter().collect() });
    }

    pub fn rect(&mut self, style: Style, opacity: f64, corner: Place, size: Place, title: &str) {
        self.marks.push(Mark::Rect { style, opacity, corner, size, title: title.to_owned() });
    }

    pub fn dot(&mut self, style: Style, center: Place, radius: f64) {
        self.marks.push(Mark::Dot { style, center, radius });
    }

    pub fn text(&mut self, style: TextStyle, at: Place, anchor: Anchor, text: &str) {
        self.marks.push(Mark::Text { style, at, anchor, rising: false, text: text.to_owned() });
    }

    pub fn rising_text(&mut self, style: TextStyle, at: Place, text: &str) {
        let text = text.to_owned();
        self.marks.push(Mark::Text { style, at, anchor: Anchor::Start, rising: true, text });
    }

    /// The drawing with what it shows.
    pub fn labelled(self, label: &str) -> Self {
        Self { label: label.to_owned(), ..self }
    }

    /// As SVG whose colours the page's style sheet gives.
    pub fn svg(&self) -> String {
        let mut text = format!(
            "<svg viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-label=\"{}\">\n",
            self.width,
            self.height,
            escaped(&self.label)
        );
        for mark in &self.marks {
            // Writing into a String cannot fail.
            _ = write_svg(&mut text, mark);
        }
        text + "</svg>\n"
    }
}

fn write_svg(out: &mut String, mark: &Mark) -> std::fmt::Result {
    match mark {
        Mark::Line { style, points } => {
            writeln!(out, "<polyline class=\"{}\" points=\"{}\"/>", class(*style), coordinates(points))
        }
        Mark::Area { style, points } => {
            writeln!(out, "<polygon class=\"{}\" points=\"{}\"/>", class(*style), coordinates(points))
        }
        Mark::Rect { style, opacity, corner: (x, y), size: (width, height), title } => writeln!(
            out,
            "<rect class=\"{}\" fill-opacity=\"{opacity:.3}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\"><title>{}</title></rect>",
            class(*style),
            escaped(title)
        ),
        Mark::Dot { style, center: (x, y), radius } => {
            writeln!(
                out,
                "<circle class=\"{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"/>",
                class(*style)
            )
        }
        Mark::Text { style, at: (x, y), anchor, rising, text } => {
            let style = class(Style::Text(*style));
            let place = if *rising {
                format!("transform=\"translate({x:.1} {y:.1}) rotate(-{RISE})\"")
            } else {
                format!("x=\"{x:.1}\" y=\"{y:.1}\"")
            };
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            writeln!(out, "<text class=\"{style}\" {place} text-anchor=\"{anchor}\">{}</text>", escaped(text))
        }
    }
}

fn coordinates(points: &[Place]) -> String {
    points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// Its name in the style sheet.
fn class(style: Style) -> String {
    let series = |number: usize| number % SERIES_COLORS.len();
    match style {
        Style::Grid => "grid".to_owned(),
        Style::Base => "base".to_owned(),
        Style::BaseSwatch => "base-swatch".to_owned(),
        Style::Near => "near".to_owned(),
        Style::Far => "far".to_owned(),
        Style::Series(number) => format!("series s{}", series(number)),
        Style::Filled(number) => format!("f{}", series(number)),
        Style::Unknown => "unknown".to_owned(),
        Style::Cell => "cell".to_owned(),
        Style::OwnCell => "cell own".to_owned(),
        Style::Text(TextStyle::Tick) => "tick".to_owned(),
        Style::Text(TextStyle::Axis) => "axis".to_owned(),
        Style::Text(TextStyle::Value) => "value".to_owned(),
    }
}

/// Text as it may stand in HTML and SVG.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_the_pdf_have_the_same_colours() {
        let css = include_str!("style.css");
        for (number, [r, g, b]) in SERIES_COLORS.into_iter().enumerate() {
            let wanted = format!("--s{number}: #{r:02x}{g:02x}{b:02x}");
            assert!(css.contains(&wanted), "{wanted}");
        }
    }

    #[test]
    fn what_stands_in_names_cannot_break_the_page() {
        let mut drawing = Drawing::new(10.0, 10.0);
        drawing.text(TextStyle::Tick, (1.0, 2.0), Anchor::End, "<b>\"&");
        let svg = drawing.labelled("a < b").svg();
        assert!(svg.contains("&lt;b&gt;&quot;&amp;") && svg.contains("a &lt; b"), "{svg}");
    }
}
