//! Packed detections as GeoJSON, without unpacking them: from the text of their template, and the integers of their record.

use std::collections::HashMap;

use super::Detections;
use super::record::{POLYGONS, Positions, RECTANGLE, RecordReader};
use crate::annotation::geojson::Number;

/// The text of features with one template.
pub struct TemplateText {
    /// Up to the ID, and from there to the geometry.
    pub before_id: String,
    pub before_geometry: String,
    /// Further members of the geometry and of the nucleus, each with a comma before it.
    pub of_geometry: String,
    pub of_nucleus: Option<String>,
    /// What is before each measured value.
    pub before_values: Vec<String>,
    pub end: String,
}

/// Writes features of some detections.
pub struct FeatureTexts<'a, F> {
    detections: &'a Detections,
    /// Makes the text of a template, by its index; `None` if its detections cannot be written in this way.
    text_of: F,
    known: HashMap<u32, Option<TemplateText>>,
}

impl<'a, F: Fn(usize) -> Option<TemplateText>> FeatureTexts<'a, F> {
    /// Makes a writer that has the texts of templates made by `text_of`.
    pub fn new(detections: &'a Detections, text_of: F) -> Self {
        Self { detections, text_of, known: HashMap::new() }
    }

    /// Appends the feature of a slot's detection. Returns false, with nothing written, if that is edited or cannot be written
    /// in this way.
    pub fn put(&mut self, slot: u32, out: &mut Vec<u8>) -> bool {
        if self.detections.change_of(slot).is_some() {
            return false;
        }
        let template = self.detections.template_of[slot as usize];
        let known = self.known.entry(template).or_insert_with(|| (self.text_of)(template as usize));
        let Some(text) = known else { return false };
        let mut id = [0; 36];
        out.extend_from_slice(text.before_id.as_bytes());
        out.extend_from_slice(self.detections.id(slot).hyphenated().encode_lower(&mut id).as_bytes());
        out.extend_from_slice(text.before_geometry.as_bytes());
        let mut values = self.detections.record(slot);
        let mut record = values.clone();
        text.before_values.iter().for_each(|_| _ = record.number());
        put_geometry(&mut record, &text.of_geometry, out);
        if let Some(own) = &text.of_nucleus {
            out.extend_from_slice(b",\"nucleusGeometry\":");
            put_geometry(&mut record, own, out);
        }
        for before in &text.before_values {
            out.extend_from_slice(before.as_bytes());
            match values.decimal() {
                Ok((whole, decimals)) => put_decimal(whole, decimals, out),
                Err(exact) => put_exact(exact, out),
            }
        }
        out.extend_from_slice(text.end.as_bytes());
        true
    }
}

/// Appends a geometry with further members.
fn put_geometry(record: &mut RecordReader<'_>, own: &str, out: &mut Vec<u8>) {
    let mut positions = Positions::new(record.take());
    let count = if positions.kind == RECTANGLE { 1 } else { record.take() };
    if count == 0 {
        // QuPath reads this as an object without a position.
        return out.extend_from_slice(b"{}");
    }
    let is_several = count > 1;
    let kind = match (positions.kind, is_several) {
        (RECTANGLE | POLYGONS, false) => "Polygon",
        (RECTANGLE | POLYGONS, true) => "MultiPolygon",
        (_, false) => "Point",
        (_, true) => "MultiPoint",
    };
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"coordinates\":");
    match positions.kind {
        RECTANGLE => put_corners(&mut positions, record, out),
        POLYGONS => put_list(count, is_several, out, |out| {
            let rings = record.take();
            put_list(rings, true, out, |out| put_ring(&mut positions, record, out));
        }),
        _ => put_list(count, is_several, out, |out| put_position(&mut positions, record, out)),
    }
    out.extend_from_slice(own.as_bytes());
    out.push(b'}');
}

/// Appends `count` items with commas between them, in brackets if `is_list`.
fn put_list(count: u64, is_list: bool, out: &mut Vec<u8>, mut put_item: impl FnMut(&mut Vec<u8>)) {
    out.extend_from_slice(if is_list { b"[" } else { b"" });
    for number in 0..count {
        out.extend_from_slice(if number > 0 { b"," } else { b"" });
        put_item(out);
    }
    out.extend_from_slice(if is_list { b"]" } else { b"" });
}

/// Appends a ring, with its first position repeated at the end.
fn put_ring(positions: &mut Positions, record: &mut RecordReader<'_>, out: &mut Vec<u8>) {
    let count = record.take();
    let start = out.len() + 1;
    let mut first = start..start;
    put_list(count, true, out, |out| {
        put_position(positions, record, out);
        if first.is_empty() {
            first.end = out.len();
        }
    });
    if count > 0 {
        out.pop();
        out.push(b',');
        out.extend_from_within(first);
        out.push(b']');
    }
}

fn put_position(positions: &mut Positions, record: &mut RecordReader<'_>, out: &mut Vec<u8>) {
    out.push(b'[');
    match positions.next_decimal(record) {
        Ok(([x, y], decimals)) => {
            put_decimal(x, decimals, out);
            out.push(b',');
            put_decimal(y, decimals, out);
        }
        Err([x, y]) => {
            put_exact(x, out);
            out.push(b',');
            put_exact(y, out);
        }
    }
    out.push(b']');
}

/// Appends a rectangle as a polygon, in QuPath's order of the corners.
fn put_corners(positions: &mut Positions, record: &mut RecordReader<'_>, out: &mut Vec<u8>) {
    let mut sides = || {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        match positions.next_decimal(record) {
            Ok(([of_x, of_y], decimals)) => {
                put_decimal(of_x, decimals, &mut x);
                put_decimal(of_y, decimals, &mut y);
            }
            Err([of_x, of_y]) => {
                put_exact(of_x, &mut x);
                put_exact(of_y, &mut y);
            }
        }
        (x, y)
    };
    let ((left, top), (right, bottom)) = (sides(), sides());
    let corners = [(&left, &top), (&right, &top), (&right, &bottom), (&left, &bottom), (&left, &top)];
    for (number, (x, y)) in corners.into_iter().enumerate() {
        out.extend_from_slice(if number == 0 { b"[[[" } else { b",[" });
        out.extend_from_slice(x);
        out.push(b',');
        out.extend_from_slice(y);
        out.push(b']');
    }
    out.extend_from_slice(b"]]");
}

/// Appends the number `whole` / 10^`decimals`, without zeros at its end.
fn put_decimal(whole: i64, mut decimals: usize, out: &mut Vec<u8>) {
    let mut rest = whole.unsigned_abs();
    while decimals > 0 && rest.is_multiple_of(10) {
        rest /= 10;
        decimals -= 1;
    }
    // From the last digit; a u64 has at most 20.
    let mut digits = [0; 32];
    let (mut at, mut place) = (digits.len(), 0);
    let mut prepend = |byte: u8| {
        at -= 1;
        digits[at] = byte;
    };
    while rest > 0 || place <= decimals {
        if place == decimals && decimals > 0 {
            prepend(b'.');
        }
        prepend(b'0' + (rest % 10) as u8);
        rest /= 10;
        place += 1;
    }
    if whole < 0 {
        prepend(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

fn put_exact(value: f64, out: &mut Vec<u8>) {
    // Fails only for writers that fail, which a vector does not.
    _ = serde_json::to_writer(out, &Number(value));
}
