//! Page layout: pages are filled from top to bottom.

use histokin_project::typeface::Typeface;

use super::paint::{Color, Ink, Weight};

/// Size of an A4 page in portrait orientation, in points.
pub const PAGE: [f32; 2] = [595.28, 841.89];
/// Page margin in points.
const MARGIN: f32 = 44.0;
/// Width of the text area in points.
pub const WIDTH: f32 = PAGE[0] - 2.0 * MARGIN;
/// Lower end of the text area; the footer is below.
const BOTTOM: f32 = PAGE[1] - MARGIN - 10.0;

/// Line spacing as a multiple of the text size.
const LEADING: f32 = 1.35;

/// Pages that are being filled. Positions are in points, relative to the current position.
pub struct Layout<'a> {
    pages: Vec<Vec<Ink>>,
    /// Current vertical position, from the top of the page.
    y: f32,
    typeface: &'a Typeface,
}

impl<'a> Layout<'a> {
    /// Creates a layout with one empty page.
    pub fn new(typeface: &'a Typeface) -> Self {
        Self { pages: vec![Vec::new()], y: MARGIN, typeface }
    }

    /// Returns the marks of each page.
    pub fn into_pages(self) -> Vec<Vec<Ink>> {
        self.pages
    }

    /// Returns the width of a text in points.
    pub fn width_of(&self, text: &str, size: f32, weight: Weight) -> f32 {
        self.typeface.width_of(text, size) + weight.outline() * size
    }

    /// Breaks a text into lines no wider than `width`; a wider word is split.
    pub fn lines_of(&self, text: &str, size: f32, weight: Weight, width: f32) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            let last = lines.last().cloned().unwrap_or_default();
            let joined = if last.is_empty() { word.to_owned() } else { format!("{last} {word}") };
            if self.width_of(&joined, size, weight) <= width {
                lines.pop();
                lines.push(joined);
                continue;
            }
            if last.is_empty() {
                lines.pop();
            }
            let mut part = String::new();
            for c in word.chars() {
                if !part.is_empty() && self.width_of(&format!("{part}{c}"), size, weight) > width {
                    lines.push(std::mem::take(&mut part));
                }
                part.push(c);
            }
            lines.push(part);
        }
        lines
    }

    /// Truncates a text to `width`, with an ellipsis if anything is cut off.
    pub fn cut(&self, text: &str, size: f32, width: f32) -> String {
        self.typeface.cut(text, size, width)
    }

    /// Adds vertical space, except at the top of a page.
    pub fn gap(&mut self, height: f32) {
        if self.y > MARGIN {
            self.y += height;
        }
    }

    /// Begins a new page if less than `height` is left on the current one. Returns whether a page was begun.
    pub fn make_room(&mut self, height: f32) -> bool {
        if self.y + height <= BOTTOM || self.y <= MARGIN {
            return false;
        }
        self.pages.push(Vec::new());
        self.y = MARGIN;
        true
    }

    /// Moves the current position down.
    pub fn advance(&mut self, height: f32) {
        self.y += height;
    }

    /// Places a mark with its origin at `at`.
    pub fn ink_at(&mut self, at: [f32; 2], ink: Ink) {
        let moved = ink.moved([MARGIN + at[0], self.y + at[1]]);
        if let Some(page) = self.pages.last_mut() {
            page.push(moved);
        }
    }

    /// Places a text whose baseline begins at `at`.
    pub fn text_at(&mut self, at: [f32; 2], size: f32, weight: Weight, color: Color, text: &str) {
        if !text.is_empty() {
            let text = text.to_owned();
            self.ink_at([0.0; 2], Ink::Text { at, size, weight, color, rise: 0.0, text });
        }
    }

    /// Places a filled rectangle with its top-left corner at `at`.
    pub fn area_at(&mut self, at: [f32; 2], size: [f32; 2], color: Color) {
        let ([x, y], [w, h]) = (at, size);
        let points = vec![[x, y], [x + w, y], [x + w, y + h], [x, y + h]];
        self.ink_at([0.0; 2], Ink::Area { points, color, opacity: 1.0 });
    }

    /// Places a line across the page.
    pub fn rule(&mut self, color: Color) {
        let points = vec![[0.0, 0.0], [WIDTH, 0.0]];
        self.ink_at([0.0; 2], Ink::Line { points, width: 0.5, color, dashed: false });
    }

    /// Adds a paragraph, on as many pages as it needs.
    pub fn paragraph(&mut self, text: &str, size: f32, weight: Weight, color: Color) {
        for line in self.lines_of(text, size, weight, WIDTH) {
            self.make_room(size * LEADING);
            self.text_at([0.0, size], size, weight, color, &line);
            self.advance(size * LEADING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_to_the_width_and_pages_to_the_height() {
        let typeface = Typeface::new().unwrap();
        let mut layout = Layout::new(&typeface);
        let text = "slides ".repeat(60) + &"x".repeat(200);
        let lines = layout.lines_of(&text, 9.0, Weight::Regular, 200.0);
        assert!(lines.iter().all(|line| layout.width_of(line, 9.0, Weight::Regular) <= 200.0));
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        assert!(layout.cut(&text, 9.0, 50.0).ends_with('…'));
        let bold = layout.width_of("slide", 9.0, Weight::Bold);
        assert!(bold > layout.width_of("slide", 9.0, Weight::Regular));
        for _ in 0..40 {
            layout.paragraph(&text, 9.0, Weight::Regular, [0; 3]);
        }
        assert!(layout.into_pages().len() > 2);
    }
}
