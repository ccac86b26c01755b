//! Reading of documents: a feature collection, an array, a sequence of features, or a geometry.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::feature::Object;
use super::{GROUPS_MEMBER, other_kinds};
use crate::annotation::file::{FormatError, Read};
use crate::annotation::json::{Members, RawJson, repaired};
use crate::annotation::left_out::LeftOut;
use crate::annotation::watch::Watch;
use crate::annotation::{Group, identity};

/// Maximum nesting depth of collections and arrays.
const DEEPEST_COLLECTION: usize = 8;

/// Reads the annotations of a GeoJSON document. `source` is the name of its file, within which IDs are
/// unique.
///
/// Objects that cannot be read are left out and counted.
///
/// # Errors
/// Fails with the line if the text is not JSON, has another format, or none of its objects can be read.
pub fn read(text: &str, source: &str, watch: &Watch<'_>) -> Result<Read, FormatError> {
    match values(text) {
        Ok(values) => Reader::new(text, source).document(values, watch),
        // Unquoted non-finite numbers are not valid JSON.
        Err(error) => match repaired(text) {
            Some(text) => Reader::new(&text, source).document(values(&text)?, watch),
            None => Err(error),
        },
    }
}

/// Returns the JSON values of a text: one, or one feature per line.
fn values(text: &str) -> Result<Vec<&RawValue>, FormatError> {
    let stream = serde_json::Deserializer::from_str(text).into_iter();
    stream.collect::<Result<_, _>>().map_err(|error| FormatError::at(error.line(), one_line(&error)))
}

/// Why a part of the document cannot be read, and its position.
#[derive(Debug)]
pub struct Odd {
    /// Byte offset in the text.
    pub offset: usize,
    /// Cause, for the user.
    pub reason: String,
}

impl Odd {
    /// Adds the part of the object in which the error occurred.
    pub fn within(self, part: &str) -> Self {
        Self { reason: format!("{part}: {}", self.reason), ..self }
    }
}

/// One value of the document after parsing.
enum Parsed<'a> {
    Objects(Object),
    Collection(Members<'a>, Vec<&'a RawValue>),
    Array(Vec<&'a RawValue>),
}

/// A reader of one document.
pub struct Reader<'a> {
    text: &'a str,
    source: &'a str,
    /// Remaining bytes of nested objects that may be parsed. Limited because each nested object is parsed
    /// once for every object around it.
    nested_left: AtomicU64,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, source: &'a str) -> Self {
        /// Minimum limit in bytes, for small files with deep nesting. Usual files nest objects three or four
        /// deep.
        const MIN_NESTED: u64 = 512 << 20;
        let most = (text.len() as u64).saturating_mul(8).saturating_add(MIN_NESTED);
        Self { text, source, nested_left: AtomicU64::new(most) }
    }

    /// Returns the name of the file.
    pub fn source(&self) -> &str {
        self.source
    }

    /// Makes an error about a part of the document.
    pub fn wrong(&self, part: &RawValue, reason: impl Into<String>) -> Odd {
        // Every part is a slice of the text, so the difference of the addresses is its offset.
        let offset = (part.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        Odd { offset, reason: reason.into() }
    }

    /// Deserialises a part of the document.
    ///
    /// # Errors
    /// Fails if the part has another type.
    pub fn value<T: Deserialize<'a>>(&self, part: &'a RawValue) -> Result<T, Odd> {
        serde_json::from_str(part.get()).map_err(|error| self.wrong(part, one_line(&error)))
    }

    /// Returns the items of a part that is an array.
    ///
    /// # Errors
    /// Fails if the part has another type.
    pub fn list(&self, part: &'a RawValue) -> Result<Vec<&'a RawValue>, Odd> {
        self.value(part)
    }

    /// Returns the members of a part that is an object.
    ///
    /// # Errors
    /// Fails if the part has another type.
    pub fn members(&self, part: &'a RawValue) -> Result<Members<'a>, Odd> {
        self.value(part)
    }

    /// Returns the content of a part that is a string.
    ///
    /// # Errors
    /// Fails if the part has another type.
    pub fn text_of(&self, part: &'a RawValue) -> Result<String, Odd> {
        self.value(part)
    }

    /// Returns whether a list of nested objects may be parsed, and subtracts its size from the remaining
    /// bytes.
    pub fn may_descend(&self, list: &RawValue) -> bool {
        let bytes = list.get().len() as u64;
        self.nested_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .is_ok()
    }

    fn error(&self, odd: Odd) -> FormatError {
        FormatError::at_offset(self.text, odd.offset, odd.reason)
    }

    fn document(&self, values: Vec<&'a RawValue>, watch: &Watch<'_>) -> Result<Read, FormatError> {
        let mut gathered = Gathered {
            reader: self,
            watch,
            read: Read::default(),
            inserter: identity::Inserter::new(self.source),
            number: 0,
            first_error: None,
        };
        let [whole] = values[..] else {
            gathered.level(&values, 0);
            return gathered.finish();
        };
        // If the only object of the document cannot be read, reading fails.
        let read = self.parse(whole).map_err(|odd| self.error(odd)).and_then(|parsed| {
            gathered.take(parsed, 0);
            gathered.finish()
        });
        read.map_err(|error| other_kinds::of(whole).map_or(error, |kind| FormatError::at(1, kind)))
    }

    fn parse(&self, value: &'a RawValue) -> Result<Parsed<'a>, Odd> {
        if value.get().starts_with('[') {
            return self.list(value).map(Parsed::Array);
        }
        let members = self.members(value)?;
        match members.get("features") {
            Some(features) => Ok(Parsed::Collection(members, self.list(features)?)),
            None => self.object(&members, value).map(Parsed::Objects),
        }
    }
}

/// The objects read so far, in the order of the document.
struct Gathered<'r, 'a> {
    reader: &'r Reader<'a>,
    watch: &'r Watch<'r>,
    read: Read,
    inserter: identity::Inserter<'r>,
    /// Number of objects so far, without children.
    number: usize,
    /// Error of the first object that was left out.
    first_error: Option<FormatError>,
}

impl<'a> Gathered<'_, 'a> {
    fn level(&mut self, values: &[&'a RawValue], depth: usize) {
        /// Number of objects that are parsed in parallel. A small batch limits memory, since its content is
        /// in memory twice for a moment.
        const BATCH: usize = 4096;
        for batch in values.chunks(BATCH) {
            let offset = batch.first().map_or(0, |value| self.reader.wrong(value, "").offset);
            if !self.watch.go_on(offset as f32 / self.reader.text.len() as f32) {
                return;
            }
            let parsed: Vec<_> = batch.par_iter().map(|value| self.reader.parse(value)).collect();
            for parsed in parsed {
                match parsed {
                    Ok(parsed) => self.take(parsed, depth),
                    Err(odd) => {
                        self.number += 1;
                        self.leave_out(odd, format!("object {}", self.number), None);
                    }
                }
            }
        }
    }

    fn take(&mut self, parsed: Parsed<'a>, depth: usize) {
        match parsed {
            Parsed::Objects(object) => self.take_object(object),
            Parsed::Array(values) | Parsed::Collection(_, values) if depth >= DEEPEST_COLLECTION => {
                self.number += 1;
                let reason = "collections are nested too deeply".to_owned();
                let offset = values.first().map_or(0, |value| self.reader.wrong(value, "").offset);
                self.leave_out(Odd { offset, reason }, format!("object {}", self.number), None);
            }
            Parsed::Array(values) => self.level(&values, depth + 1),
            Parsed::Collection(members, values) => {
                self.take_members(&members);
                self.level(&values, depth + 1);
            }
        }
    }

    fn take_members(&mut self, members: &Members<'a>) {
        let set = &mut self.read.set;
        let mut known = vec!["type", "features"];
        let groups = members.get(GROUPS_MEMBER);
        if let Some(groups) = groups.and_then(|groups| serde_json::from_str::<Vec<Group>>(groups.get()).ok())
        {
            set.declare_groups(groups);
            known.push(GROUPS_MEMBER);
        }
        let further: Vec<(String, RawJson)> = members.except(&known);
        set.take_members(further);
    }

    fn take_object(&mut self, object: Object) {
        self.number += 1;
        let offset = self.inserter.count();
        let number = self.number;
        for (annotation, parent) in object.annotations {
            self.inserter.insert(annotation, parent.map(|parent| parent + offset));
        }
        let objects = object.left_out;
        for (odd, path, id) in objects.first {
            self.leave_out(odd, format!("object {number}{path}"), id);
        }
        self.read.left_out.count += objects.more;
        let reader = self.reader;
        for (odd, path, id) in object.parts.first {
            self.read.parts.add(|| {
                let FormatError { line, reason } = reader.error(odd);
                LeftOut { object: format!("object {number}{path}"), id, line, reason }
            });
        }
        self.read.parts.count += object.parts.more;
    }

    fn leave_out(&mut self, odd: Odd, object: String, id: Option<String>) {
        let (reader, first_error) = (self.reader, &mut self.first_error);
        self.read.left_out.add(|| {
            let error = reader.error(odd);
            let (line, reason) = (error.line, error.reason.clone());
            first_error.get_or_insert_with(|| error.within(&object));
            LeftOut { object, id, line, reason }
        });
    }

    fn finish(mut self) -> Result<Read, FormatError> {
        if let Some(error) = self.first_error.filter(|_| self.inserter.count() == 0) {
            return Err(match self.read.left_out.count {
                1 => error,
                count => error.within(format!("none of its {count} objects can be read")),
            });
        }
        let repeated = self.inserter.finish(&mut self.read.set);
        if repeated > 0 {
            self.read
                .notes
                .push(format!("Objects with the ID of another object in the file, all kept: {repeated}."));
        }
        Ok(self.read)
    }
}

/// Returns a parser's message without the position, which is relative to the parsed part.
pub(super) fn one_line(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or(&message).to_owned()
}
