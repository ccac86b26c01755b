//! The properties of a feature: kind, name, colours, class, measurements.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::value::RawValue;

use super::ASAP_PROPERTY;
use super::document::{Odd, Reader};
use crate::annotation::asap::AsapOrigin;
use crate::annotation::color::{self, AlphaPlace};
use crate::annotation::json::{Foreign, Members, RawJson};
use crate::annotation::{Annotation, AnnotationClass, ObjectKind};

impl<'a> Reader<'a> {
    /// Take over what is understood; all else is kept as it was written.
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
        for (place, (key, value)) in members.into_iter().enumerate() {
            if !last.as_ref().is_none_or(|last| last.contains(&place)) {
                continue;
            }
            // QuPath takes `type` for the kind of object where nothing else states it.
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

    /// Take over one property; `false` when it says nothing here and is to be kept as it is.
    fn property(&self, key: &str, value: &'a RawValue, annotation: &mut Annotation) -> Result<bool, Odd> {
        let raw = value.get();
        match key {
            _ if raw == "null" => return Ok(false),
            "objectType" | "object_type" => annotation.kind = ObjectKind::from_word(&self.text_of(value)?),
            "name" if raw.starts_with('"') => annotation.name = Some(self.text_of(value)?),
            "color" | "colorRGB" => {
                let Some(color) = self.color(value) else {
                    return Err(self.wrong(value, "it is no colour"));
                };
                annotation.color = Some(color);
                // QuPath reads neither lists of four nor names; a list of four says more than the colour.
                if raw.starts_with('[') && !is_plain_color(value) {
                    annotation.as_written_mut().color = Some((color, RawJson::from(value)));
                }
            }
            "classification" => {
                let Some(class) = self.class(value)? else { return Ok(false) };
                if raw.starts_with('{') && !is_plain_class(&self.members(value)?) {
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

    /// `[r, g, b]` from 0 to 255 or, as fractions, from 0 to 1, perhaps with an opacity; one integer as Java packs
    /// it, 0xAARRGGBB, signed; or a text as CSS has it.
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

    /// `{"name", "color"}`, `{"names", "color"}`, with `colorRGB` in older files, or a bare name.
    fn class(&self, value: &'a RawValue) -> Result<Option<AnnotationClass>, Odd> {
        if value.get().starts_with('"') {
            let name = self.text_of(value)?;
            return Ok((!name.is_empty()).then(|| AnnotationClass::named(&name)));
        }
        let members = self.members(value)?;
        let name = match (members.stated("names"), members.stated("name")) {
            (Some(names), _) => self.value::<Vec<Cow<'a, str>>>(names)?.join(": "),
            (_, Some(name)) => self.text_of(name)?,
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

    /// `{name: value}`, or `[{"name", "value"}]` in older files. What is no finite number is a string; what is
    /// neither is NaN here and goes back as it came.
    fn measurements(&self, value: &'a RawValue, annotation: &mut Annotation) -> Result<bool, Odd> {
        if value.get().starts_with('{') {
            let Members(members) = self.members(value)?;
            for (name, value) in members {
                let number = self.number(value);
                if !is_plain_number(value.get()) {
                    let place = annotation.measurements.len();
                    annotation.as_written_mut().measurements.push((place, RawJson::from(value)));
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
        // Rust reads "NaN", "inf" and "infinity" in either case as QuPath does.
        text.trim().parse().unwrap_or(f64::NAN)
    }
}

/// Places of the last of each key, which is what JSON readers go by; `None` when no key is repeated.
fn last_of_each(members: &[(Cow<'_, str>, &RawValue)]) -> Option<HashSet<usize>> {
    let mut seen = HashSet::with_capacity(members.len());
    let last: HashSet<usize> =
        (0..members.len()).rev().filter(|place| seen.insert(members[*place].0.as_ref())).collect();
    (last.len() < members.len()).then_some(last)
}

/// Whether a colour is written as it would be written here: three whole numbers.
fn is_plain_color(value: &RawValue) -> bool {
    serde_json::from_str::<[u8; 3]>(value.get()).is_ok()
}

/// Whether a class says no more than its name and colour, in QuPath's present form.
fn is_plain_class(members: &Members<'_>) -> bool {
    let [(name_key, name), (color_key, color)] = members.0.as_slice() else { return false };
    let is_plain_name = match name_key.as_ref() {
        "name" => !name.get().contains(": "),
        "names" => serde_json::from_str::<Vec<Cow<'_, str>>>(name.get())
            .is_ok_and(|names| names.len() > 1 && names.iter().all(|name| !name.contains(": "))),
        _ => false,
    };
    is_plain_name && color_key == "color" && is_plain_color(color)
}

/// Whether a measurement is written as its number would be written here.
fn is_plain_number(raw: &str) -> bool {
    /// Whole numbers with fewer digits are exact.
    const EXACT_DIGITS: usize = 15;
    match raw.as_bytes().first() {
        Some(b'"') => matches!(raw, "\"NaN\"" | "\"Infinity\"" | "\"-Infinity\""),
        Some(b'-' | b'0'..=b'9') => {
            let is_whole = !raw.contains(['.', 'e', 'E']);
            let is_finite = serde_json::from_str::<f64>(raw).is_ok_and(f64::is_finite);
            is_finite && (!is_whole || raw.len() <= EXACT_DIGITS)
        }
        _ => false,
    }
}
