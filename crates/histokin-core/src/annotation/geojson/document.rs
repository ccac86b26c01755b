//! Reading of documents: a feature collection, an array, a sequence of features, or a geometry.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::collection::Collection;
use super::feature::Object;
use super::properties::ReadClass;
use super::{GROUPS_MEMBER, other_kinds};
use crate::annotation::file::{FormatError, ORIGIN_MEMBER, Read, stated_origin};
use crate::annotation::json::{Members, RawJson, repaired};
use crate::annotation::left_out::LeftOut;
use crate::annotation::watch::{Part, Watch};
use crate::annotation::{Group, identity};
use crate::geometry::Level0Point;
use crate::number_format::grouped;

/// Maximum nesting depth of collections and arrays.
const DEEPEST_COLLECTION: usize = 8;

/// Number of objects that are parsed in parallel. A small batch limits memory, since its content is in memory twice for a
/// moment.
const BATCH: usize = 4096;

/// Reads the annotations of a GeoJSON document. `source` is the name of its file, within which IDs are
/// unique.
///
/// Objects that cannot be read are left out and counted.
///
/// # Errors
/// Fails with the line if the text is not JSON, has another format, or none of its objects can be read.
pub fn read(text: &str, source: &str, watch: &Watch<'_>) -> Result<Read, FormatError> {
    gather(text, source, watch).map(Gathering::finish)
}

/// Reads the annotations of a GeoJSON document like [`read`], up to the last step, for which the text is not needed any
/// more. Once `watch` has stopped, what is returned is not complete.
///
/// # Errors
/// As for [`read`].
pub fn gather<'s>(text: &str, source: &'s str, watch: &Watch<'_>) -> Result<Gathering<'s>, FormatError> {
    let reader = Reader::new(text, source);
    if let Some(gathering) = Collection::of(text).and_then(|collection| reader.in_turn(collection, watch)) {
        return Ok(gathering);
    }
    match values(text) {
        Ok(values) => reader.document(values, watch),
        // Unquoted non-finite numbers, comments and superfluous commas are not valid JSON.
        Err(error) => match repaired(text) {
            Some(text) => Reader::new(&text, source).document(values(&text)?, watch),
            None => Err(error),
        },
    }
}

/// The annotations of a document, not yet as a set.
pub struct Gathering<'s> {
    read: Read,
    inserter: identity::Inserter<'s>,
}

impl Gathering<'_> {
    /// Makes a set of the annotations.
    pub fn finish(mut self) -> Read {
        let repeated = self.inserter.finish(&mut self.read.set);
        if repeated > 0 {
            self.read
                .notes
                .push(format!("Objects with the ID of another object in the file, all kept: {repeated}."));
        }
        self.read
    }
}

/// Returns the JSON values of a text: one, or one feature per line.
fn values(text: &str) -> Result<Vec<&RawValue>, FormatError> {
    let stream = serde_json::Deserializer::from_str(text).into_iter();
    stream.collect::<Result<_, _>>().map_err(|error| {
        let reason = match error.is_eof() {
            true => "it ends early: it was not copied or written to its end".to_owned(),
            false => one_line(&error),
        };
        FormatError::at(error.line(), reason)
    })
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
pub struct Reader<'a, 's> {
    text: &'a str,
    source: &'s str,
    /// Remaining bytes of nested objects that may be parsed. Limited because each nested object is parsed
    /// once for every object around it.
    nested_left: AtomicU64,
    /// Classes by their text, of which documents repeat a few.
    classes: RwLock<Vec<(&'a str, Option<ReadClass>)>>,
}

impl<'a, 's> Reader<'a, 's> {
    fn new(text: &'a str, source: &'s str) -> Self {
        /// Minimum limit in bytes, for small files with deep nesting. Usual files nest objects three or four
        /// deep.
        const MIN_NESTED: u64 = 512 << 20;
        let most = (text.len() as u64).saturating_mul(8).saturating_add(MIN_NESTED);
        Self { text, source, nested_left: AtomicU64::new(most), classes: RwLock::default() }
    }

    /// Returns what was read of the text of a class before, if that is known: `None` within if it has no name.
    pub fn known_class(&self, text: &str) -> Option<Option<ReadClass>> {
        let known = self.classes.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(of, _)| *of == text).map(|(_, class)| class.clone())
    }

    /// Remembers what was read of the text of a class, and returns it.
    pub fn remember_class(&self, text: &'a str, class: Option<ReadClass>) -> Option<ReadClass> {
        /// Number of classes beyond which searching them takes longer than reading one.
        const MOST: usize = 32;
        let mut known = self.classes.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST {
            known.push((text, class.clone()));
        }
        class
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

    fn document(&self, values: Vec<&'a RawValue>, watch: &Watch<'_>) -> Result<Gathering<'s>, FormatError> {
        let mut gathered = Gathered::new(self, watch, identity::Inserter::new(self.source));
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

    /// Reads a collection in its usual form feature by feature: while some are parsed, those before them are packed, and
    /// those after them are split off. `None` if it has another form or cannot be read; parts may have been passed on then.
    fn in_turn(&self, mut collection: Collection<'a>, watch: &Watch<'_>) -> Option<Gathering<'s>> {
        let inserter = match watch.wants_parts() {
            true => identity::Inserter::in_parts(self.source),
            false => identity::Inserter::new(self.source),
        };
        let mut gathered = Gathered::new(self, watch, inserter);
        let head = collection.head();
        let stated: Option<&RawValue> =
            serde_json::from_str::<Members<'_>>(&head).ok()?.stated(ORIGIN_MEMBER);
        let stated: Option<(f64, f64)> = stated.and_then(|origin| serde_json::from_str(origin.get()).ok());
        gathered.origin = stated.and_then(stated_origin);
        let mut batch = collection.next(BATCH)?;
        let mut parsed: Vec<Result<Parsed<'a>, Odd>> = Vec::new();
        while !(batch.is_empty() && parsed.is_empty()) {
            if !watch.go_on(collection.share()) {
                break;
            }
            let (next, now) = rayon::join(
                || {
                    gathered.take_all(parsed, 1);
                    collection.next(BATCH)
                },
                || batch.par_iter().map(|text| self.feature_of(text)).collect::<Option<Vec<_>>>(),
            );
            (batch, parsed) = (next?, now?);
        }
        if watch.has_stopped() {
            return Some(gathered.incomplete());
        }
        let rest = collection.without_features();
        let members: Members<'_> = serde_json::from_str(&rest).ok()?;
        if members.0.iter().filter(|(key, _)| key == "features").count() != 1 {
            return None;
        }
        gathered.take_members(&members);
        gathered.finish().ok()
    }

    /// Reads one feature of a collection; `None` if it is not valid JSON, or a collection itself.
    fn feature_of(&self, text: &'a str) -> Option<Result<Parsed<'a>, Odd>> {
        if let Some(object) = self.plain(text) {
            return Some(Ok(Parsed::Objects(object)));
        }
        let parsed = self.parse(serde_json::from_str(text).ok()?);
        let is_collection = matches!(parsed, Ok(Parsed::Collection(..) | Parsed::Array(_)));
        (!is_collection).then_some(parsed)
    }

    fn parse(&self, value: &'a RawValue) -> Result<Parsed<'a>, Odd> {
        if value.get().starts_with('[') {
            return self.list(value).map(Parsed::Array);
        }
        let members = self.members(value)?;
        match members.get("features") {
            // Go writes an empty list so.
            Some(features) if features.get() == "null" => Ok(Parsed::Collection(members, Vec::new())),
            Some(features) => Ok(Parsed::Collection(members, self.list(features)?)),
            None => self.object(&members, value).map(Parsed::Objects),
        }
    }
}

/// The objects read so far, in the order of the document.
struct Gathered<'r, 'a, 's> {
    reader: &'r Reader<'a, 's>,
    watch: &'r Watch<'r>,
    read: Read,
    inserter: identity::Inserter<'s>,
    /// Origin of the coordinates that is stated before the features.
    origin: Option<Level0Point>,
    /// Number of objects so far, without children.
    number: usize,
    /// Error of the first object that was left out.
    first_error: Option<FormatError>,
}

impl<'r, 'a, 's> Gathered<'r, 'a, 's> {
    fn new(reader: &'r Reader<'a, 's>, watch: &'r Watch<'r>, inserter: identity::Inserter<'s>) -> Self {
        Self { reader, watch, read: Read::default(), inserter, origin: None, number: 0, first_error: None }
    }

    fn level(&mut self, values: &[&'a RawValue], depth: usize) {
        for batch in values.chunks(BATCH) {
            let offset = batch.first().map_or(0, |value| self.reader.wrong(value, "").offset);
            if !self.watch.go_on(offset as f32 / self.reader.text.len() as f32) {
                return;
            }
            let parsed: Vec<_> = batch.par_iter().map(|value| self.reader.parse(value)).collect();
            self.take_all(parsed, depth);
        }
    }

    fn take_all(&mut self, parsed: Vec<Result<Parsed<'a>, Odd>>, depth: usize) {
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

    fn take_members(&mut self, members: &Members<'_>) {
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
            let part = self.inserter.insert(annotation, parent.map(|parent| parent + offset));
            if let Some(detections) = part {
                self.watch.pass_on(Part { detections, origin: self.origin });
            }
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

    /// Returns what was read before it was stopped.
    fn incomplete(self) -> Gathering<'s> {
        Gathering { read: self.read, inserter: self.inserter }
    }

    fn finish(self) -> Result<Gathering<'s>, FormatError> {
        if let Some(error) = self.first_error.filter(|_| self.inserter.count() == 0) {
            return Err(match self.read.left_out.count {
                1 => error,
                count => error.within(format!("none of its {} objects can be read", grouped(count as u64))),
            });
        }
        Ok(Gathering { read: self.read, inserter: self.inserter })
    }
}

/// Returns a parser's message without the position, which is relative to the parsed part.
pub(super) fn one_line(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or(&message).to_owned()
}
