//! Reading of the properties of a feature: type, name, colours, class, measurements.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::value::RawValue;

use super::ASAP_PROPERTY;
use super::document::{Odd, Reader};
use crate::annotation::asap::AsapOrigin;
use crate::annotation::color::{self, AlphaPlace};
use crate::annotation::json::{Foreign, Members, RawJson};
use crate::annotation::{Annotation, AnnotationClass, ObjectKind};

/// A class as it was read.
#[derive(Debug, Clone)]
pub struct ReadClass {
    class: AnnotationClass,
    /// Whether it would be written back in the same notation.
    is_plain: bool,
}

impl<'a> Reader<'a, '_> {
    /// Applies known properties to the annotation and keeps all others unchanged in `foreign`. Properties
    /// that cannot be read are passed to `part`.
    pub fn properties(
        &self,
        Members(members): Members<'a>,
        annotation: &mut Annotation,
        foreign: &mut Foreign,
        part: &mut impl FnMut(Odd),
    ) {
        let states_kind = members.iter().any(|(key, value)| {
            matches!(key.as_ref(), "objectType" | "object_type") && value.get().starts_with('"')
        });
        let last = last_of_each(&members);
        for (index, (key, value)) in members.into_iter().enumerate() {
            if !last.as_ref().is_none_or(|last| last.contains(&index)) {
                continue;
            }
            // QuPath uses `type` as the object type if no other property states it.
            if key == "type"
                && !states_kind
                && let Ok(word) = self.text_of(value)
            {
                match ObjectKind::from_word(&word) {
                    ObjectKind::Other(_) => {}
                    kind => annotation.kind = kind,
                }
            }
            match self.property(&key, value, annotation) {
                Ok(true) => {}
                Ok(false) => foreign.properties.push((key.into_owned(), RawJson::from(value))),
                Err(odd) => {
                    part(odd.within(&format!("properties: {key}")));
                    foreign.properties.push((key.into_owned(), RawJson::from(value)));
                }
            }
        }
    }

    /// Applies one property; returns `false` if it has no meaning here and must be kept unchanged.
    fn property(&self, key: &str, value: &'a RawValue, annotation: &mut Annotation) -> Result<bool, Odd> {
        let raw = value.get();
        match key {
            _ if raw == "null" => return Ok(false),
            "objectType" | "object_type" => annotation.kind = ObjectKind::from_word(&self.text_of(value)?),
            "name" if raw.starts_with('"') => annotation.name = Some(self.text_of(value)?),
            "color" | "colorRGB" => {
                let Some(color) = self.color(value) else {
                    return Err(self.wrong(value, "it is not a colour"));
                };
                annotation.color = Some(color);
                // QuPath reads neither lists of four numbers nor names. A list of four also states the
                // opacity.
                if raw.starts_with('[') && !is_plain_color(value) {
                    annotation.as_written_mut().color = Some((color, RawJson::from(value)));
                }
            }
            "classification" => {
                let known = match self.known_class(raw) {
                    Some(known) => known,
                    None => self.remember_class(raw, self.read_class(value)?),
                };
                let Some(ReadClass { class, is_plain }) = known else { return Ok(false) };
                if !is_plain {
                    annotation.as_written_mut().class = Some((class.clone(), RawJson::from(value)));
                }
                annotation.class = Some(class);
            }
            "isLocked" if raw == "true" => annotation.locked = true,
            "measurements" if raw.starts_with(['{', '[']) => return self.measurements(value, annotation),
            "metadata" if raw.starts_with('{') => annotation.metadata = self.members(value)?.except(&[]),
            ASAP_PROPERTY => match serde_json::from_str::<AsapOrigin>(raw) {
                Ok(origin) => annotation.asap = Some(origin),
                Err(_) => return Ok(false),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads a colour: `[r, g, b]` from 0 to 255 or, as fractions, from 0 to 1, optionally with an opacity;
    /// one signed integer, packed as 0xAARRGGBB as in Java; or a text as in CSS.
    fn color(&self, value: &'a RawValue) -> Option<[u8; 3]> {
        let raw = value.get();
        if raw.starts_with('[') {
            let channels: Vec<f64> = serde_json::from_str(raw).ok()?;
            let [r, g, b] = *channels.first_chunk::<3>().filter(|_| channels.len() <= 4)?;
            let rgb = [r, g, b];
            if !rgb.iter().all(|channel| (0.0..=255.0).contains(channel)) {
                return None;
            }
            let is_fraction =
                rgb.iter().all(|channel| *channel <= 1.0) && rgb.iter().any(|one| one.fract() > 0.0);
            let scale = if is_fraction { 255.0 } else { 1.0 };
            return Some(rgb.map(|channel| (channel * scale).round() as u8));
        }
        if raw.starts_with('"') {
            let text = self.text_of(value).ok()?;
            let packed = || text.trim().parse().ok().map(color::from_argb);
            return color::parse(&text, AlphaPlace::Last).or_else(packed);
        }
        serde_json::from_str::<i64>(raw).ok().map(color::from_argb)
    }

    /// Reads a class, and whether it is in the notation of this program. `None` if it has no name.
    fn read_class(&self, value: &'a RawValue) -> Result<Option<ReadClass>, Odd> {
        let Some(class) = self.class(value)? else { return Ok(None) };
        let is_plain = !value.get().starts_with('{') || is_plain_class(&self.members(value)?);
        Ok(Some(ReadClass { class, is_plain }))
    }

    /// Reads a class: `{"name", "color"}`, `{"names", "color"}`, with `colorRGB` in older files, or a bare
    /// name or number.
    fn class(&self, value: &'a RawValue) -> Result<Option<AnnotationClass>, Odd> {
        if value.get().starts_with('"') {
            let name = self.text_of(value)?;
            return Ok((!name.is_empty()).then(|| AnnotationClass::named(&name)));
        }
        if is_number(value) {
            return Ok(Some(AnnotationClass::named(value.get())));
        }
        let members = self.members(value)?;
        let name = match (members.stated("names"), members.stated("name")) {
            (Some(names), _) => {
                let names = self.list(names)?.into_iter().map(|name| self.class_name(name));
                names.collect::<Result<Vec<_>, _>>()?.join(": ")
            }
            (_, Some(name)) => self.class_name(name)?,
            _ => return Ok(None),
        };
        if name.is_empty() {
            return Ok(None);
        }
        let color = ["color", "colorRGB"].iter().find_map(|key| self.color(members.stated(key)?));
        Ok(Some(match color {
            Some(color) => AnnotationClass::new(name, color),
            None => AnnotationClass::named(&name),
        }))
    }

    /// Returns the name of a class, which programs that number their classes write as a number.
    fn class_name(&self, value: &'a RawValue) -> Result<String, Odd> {
        if is_number(value) { Ok(value.get().to_owned()) } else { self.text_of(value) }
    }

    /// Reads measurements: `{name: value}`, or `[{"name", "value"}]` in older files. Non-finite numbers are
    /// strings; other values are read as NaN and written back unchanged.
    fn measurements(&self, value: &'a RawValue, annotation: &mut Annotation) -> Result<bool, Odd> {
        if value.get().starts_with('{') {
            let Members(members) = self.members(value)?;
            for (name, value) in members {
                let number = self.number(value);
                if !is_plain_number(value.get(), number) {
                    let index = annotation.measurements.len();
                    annotation.as_written_mut().measurements.push((index, RawJson::from(value)));
                }
                annotation.measurements.push((name.into_owned(), number));
            }
            return Ok(true);
        }
        let mut measurements = Vec::new();
        for item in self.list(value)? {
            let members = self.members(item)?;
            let name = members.get("name").ok_or_else(|| self.wrong(item, "a measurement without a name"))?;
            let number = members.get("value").map_or(f64::NAN, |value| self.number(value));
            measurements.push((self.text_of(name)?, number));
        }
        annotation.measurements = measurements;
        Ok(true)
    }

    fn number(&self, value: &'a RawValue) -> f64 {
        let raw = value.get();
        if let Ok(number) = serde_json::from_str(raw) {
            return number;
        }
        let text =
            if raw.starts_with('"') { self.text_of(value).unwrap_or_default() } else { raw.to_owned() };
        // Like QuPath, Rust parses "NaN", "inf" and "infinity" in upper and lower case.
        text.trim().parse().unwrap_or(f64::NAN)
    }
}

/// Returns the index of the last value of each key, which is the one that JSON readers use; `None` if no key
/// is repeated.
fn last_of_each(members: &[(Cow<'_, str>, &RawValue)]) -> Option<HashSet<usize>> {
    /// Number of members up to which comparing all is faster than a set.
    const FEW: usize = 12;
    let is_new = |index: usize| members[..index].iter().all(|(key, _)| *key != members[index].0);
    if members.len() <= FEW && (1..members.len()).all(is_new) {
        return None;
    }
    let mut seen = HashSet::with_capacity(members.len());
    let last: HashSet<usize> =
        (0..members.len()).rev().filter(|index| seen.insert(members[*index].0.as_ref())).collect();
    (last.len() < members.len()).then_some(last)
}

/// Returns whether a value is a number.
fn is_number(value: &RawValue) -> bool {
    value.get().starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// Returns whether a colour is in the notation of this program: three integers.
fn is_plain_color(value: &RawValue) -> bool {
    serde_json::from_str::<[u8; 3]>(value.get()).is_ok()
}

/// Returns whether a class consists only of its name and colour, in the form of current versions of QuPath.
fn is_plain_class(members: &Members<'_>) -> bool {
    let [(name_key, name), (color_key, color)] = members.0.as_slice() else { return false };
    let is_plain_name = match name_key.as_ref() {
        "name" => name.get().starts_with('"') && !name.get().contains(": "),
        "names" => serde_json::from_str::<Vec<Cow<'_, str>>>(name.get())
            .is_ok_and(|names| names.len() > 1 && names.iter().all(|name| !name.contains(": "))),
        _ => false,
    };
    is_plain_name && color_key == "color" && is_plain_color(color)
}

/// Returns whether a measurement is in the notation in which this program would write its number.
fn is_plain_number(raw: &str, number: f64) -> bool {
    /// Maximum number of characters of integers that are exact.
    const EXACT_DIGITS: usize = 15;
    match raw.as_bytes().first() {
        Some(b'"') => matches!(raw, "\"NaN\"" | "\"Infinity\"" | "\"-Infinity\""),
        Some(b'-' | b'0'..=b'9') => {
            let is_whole = !raw.contains(['.', 'e', 'E']);
            number.is_finite() && (!is_whole || raw.len() <= EXACT_DIGITS)
        }
        _ => false,
    }
}
