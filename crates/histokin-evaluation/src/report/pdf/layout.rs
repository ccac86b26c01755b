//! Where things stand: pages that fill from top to bottom.

use super::font::Typeface;
use super::paint::{Color, Ink, Weight};

/// A4 upright, in points.
pub const PAGE: [f32; 2] = [595.28, 841.89];
const MARGIN: f32 = 44.0;
/// Room across a page.
pub const WIDTH: f32 = PAGE[0] - 2.0 * MARGIN;
/// Where the text of a page ends; the page's number stands below.
const BOTTOM: f32 = PAGE[1] - MARGIN - 10.0;

/// Space from one line to the next, in sizes of the text.
const LEADING: f32 = 1.35;

/// Pages that are being filled.
pub struct Layout<'a> {
    pages: Vec<Vec<Ink>>,
    /// Where the next thing stands, from the page's top.
    y: f32,
    typeface: &'a Typeface,
}

impl<'a> Layout<'a> {
    pub fn new(typeface: &'a Typeface) -> Self {
        Self { pages: vec![Vec::new()], y: MARGIN, typeface }
    }

    pub fn into_pages(self) -> Vec<Vec<Ink>> {
        self.pages
    }

    /// Width of a text in points.
    pub fn width_of(&self, text: &str, size: f32, weight: Weight) -> f32 {
        self.typeface.width_of(text, size) + weight.outline() * size
    }

    /// A text in lines no wider than `width`; a word that is wider is broken.
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

    /// A text cut to `width`, with an ellipsis where something is missing.
    pub fn cut(&self, text: &str, size: f32, width: f32) -> String {
        if self.width_of(text, size, Weight::Regular) <= width {
            return text.to_owned();
        }
        let mut kept: String = text.to_owned();
        while kept.pop().is_some() && self.width_of(&format!("{kept}…"), size, Weight::Regular) > width {}
        kept + "…"
    }

    /// Leave room free.
    pub fn gap(&mut self, height: f32) {
        // None is needed at the top of a page.
        if self.y > MARGIN {
            self.y += height;
        }
    }

    /// Begin a new page where less than `height` is left on this one; whether one was begun.
    pub fn make_room(&mut self, height: f32) -> bool {
        if self.y + height <= BOTTOM || self.y <= MARGIN {
            return false;
        }
        self.pages.push(Vec::new());
        self.y = MARGIN;
        true
    }

    /// Go on below what was put.
    pub fn advance(&mut self, height: f32) {
        self.y += height;
    }

    /// Put something that is drawn from (0, 0) at `at` from here.
    pub fn ink_at(&mut self, at: [f32; 2], ink: Ink) {
        let moved = ink.moved([MARGIN + at[0], self.y + at[1]]);
        if let Some(page) = self.pages.last_mut() {
            page.push(moved);
        }
    }

    /// Put text whose baseline begins at `at` from here.
    pub fn text_at(&mut self, at: [f32; 2], size: f32, weight: Weight, color: Color, text: &str) {
        if !text.is_empty() {
            let text = text.to_owned();
            self.ink_at([0.0; 2], Ink::Text { at, size, weight, color, rise: 0.0, text });
        }
    }

    /// Put a filled rectangle at `at` from here.
    pub fn area_at(&mut self, at: [f32; 2], size: [f32; 2], color: Color) {
        let ([x, y], [w, h]) = (at, size);
        let points = vec![[x, y], [x + w, y], [x + w, y + h], [x, y + h]];
        self.ink_at([0.0; 2], Ink::Area { points, color, opacity: 1.0 });
    }

    /// A line across the page.
    pub fn rule(&mut self, color: Color) {
        let points = vec![[0.0, 0.0], [WIDTH, 0.0]];
        self.ink_at([0.0; 2], Ink::Line { points, width: 0.5, color, dashed: false });
    }

    /// Lines of text, on as many pages as they need.
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
