//! Reading of a feature and of the features nested in it at any depth.

use std::borrow::Cow;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::document::{Odd, Reader};
use super::{CHILDREN, FEATURE_MEMBERS, OWN_ID, SOURCE};
use crate::annotation::file::id_from_text;
use crate::annotation::identity::id_in_file;
use crate::annotation::json::{Foreign, Members, RawJson};
use crate::annotation::shape::{Geometry, Written};
use crate::annotation::{Annotation, ObjectKind, Shape};

/// Types of objects that QuPath 0.2 wrote in place of their IDs.
const TYPES_AS_IDS: [&str; 6] = [
    "PathTileObject",
    "PathCellObject",
    "TMACoreObject",
    "PathDetectionObject",
    "PathRootObject",
    "PathAnnotationObject",
];

/// An object of the document with all objects nested in it.
#[derive(Debug, Default)]
pub struct Object {
    /// Annotations, each after its parent, with the parent's index in this list.
    pub annotations: Vec<(Annotation, Option<usize>)>,
    /// Nested objects that could not be read.
    pub left_out: Dropped,
    /// Parts of objects that could not be read.
    pub parts: Dropped,
}

/// Omissions of an object: the first ones, and the number of further ones.
#[derive(Debug, Default)]
pub struct Dropped {
    /// The cause, the path within the object, and the ID of each.
    pub first: Vec<(Odd, String, Option<String>)>,
    /// Number of further ones.
    pub more: usize,
}

impl Dropped {
    fn add(&mut self, odd: Odd, path: impl FnOnce() -> String, id: Option<String>) {
        const MOST: usize = 20;
        match self.first.len() < MOST {
            true => self.first.push((odd, path(), id)),
            false => self.more += 1,
        }
    }
}

/// A nested feature that has not been read yet.
struct Nested<'a> {
    value: &'a RawValue,
    /// Index of its parent among the object's annotations.
    parent: Option<usize>,
    /// Index of its entry in the paths.
    entry: usize,
}

/// Paths of the nested features: for each, the entry of the feature around it, and its number there, from 1.
#[derive(Default)]
struct Paths(Vec<(Option<usize>, usize)>);

impl Paths {
    fn push(&mut self, around: Option<usize>, number: usize) -> usize {
        self.0.push((around, number));
        self.0.len() - 1
    }

    /// Returns a path such as `, child 2, child 1`; shortened to the outermost features if it is long.
    fn path(&self, entry: Option<usize>) -> String {
        const MOST: usize = 8;
        let around = |entry: &usize| self.0[*entry].0;
        let numbers: Vec<usize> = std::iter::successors(entry, around).map(|entry| self.0[entry].1).collect();
        let mut path: String =
            numbers.iter().rev().take(MOST).map(|number| format!(", child {number}")).collect();
        if numbers.len() > MOST {
            path += &format!(", … ({} deep)", numbers.len());
        }
        path
    }
}

impl<'a> Reader<'a, '_> {
    /// Reads a feature with the features nested in it, or a bare geometry.
    ///
    /// # Errors
    /// Fails if it is neither.
    pub fn object(&self, members: &Members<'a>, item: &'a RawValue) -> Result<Object, Odd> {
        let kind = members.stated("type").map(|kind| self.text_of(kind)).transpose()?;
        let mut object = Object::default();
        match kind.as_deref() {
            Some(kind) if kind.eq_ignore_ascii_case("Feature") => {}
            Some(_) if members.get("coordinates").is_some() || members.get("geometries").is_some() => {
                let geometries =
                    self.geometries(item, &mut |odd| object.parts.add(odd, String::new, None))?;
                let annotation = |geometry| Annotation::read(id_from_text(item.get()), geometry);
                object
                    .annotations
                    .extend(geometries.into_iter().map(|geometry| (annotation(geometry), None)));
                return Ok(object);
            }
            // QuPath also reads features without a type.
            None if members.get("geometry").is_some() => {}
            Some(other) => {
                let reason = format!("{other:?} is neither a Feature, a FeatureCollection nor a geometry");
                return Err(self.wrong(item, reason));
            }
            None => return Err(self.wrong(item, "neither a Feature, a FeatureCollection nor a geometry")),
        }
        self.tree(members, item.get(), None, &mut object);
        Ok(object)
    }

    /// Reads a feature, whose geometry may have been read, and, without recursion, all features nested in it. Children of a
    /// feature that cannot be read get the feature around it as their parent.
    pub fn tree(
        &self,
        members: &Members<'a>,
        text: &'a str,
        geometry: Option<Geometry>,
        object: &mut Object,
    ) {
        let mut paths = Paths::default();
        let mut waiting: Vec<Nested<'a>> = Vec::new();
        self.feature((members, text, geometry), (None, None), object, &mut paths, &mut waiting);
        while let Some(Nested { value, parent, entry }) = waiting.pop() {
            match self.members(value) {
                Ok(members) if is_feature(&members) => {
                    let of = (&members, value.get(), None);
                    self.feature(of, (parent, Some(entry)), object, &mut paths, &mut waiting);
                }
                Ok(_) => {
                    let odd = self.wrong(value, "it is not a Feature");
                    object.left_out.add(odd, || paths.path(Some(entry)), None);
                }
                Err(odd) => object.left_out.add(odd, || paths.path(Some(entry)), None),
            }
        }
    }

    fn feature(
        &self,
        (members, text, geometry): (&Members<'a>, &'a str, Option<Geometry>),
        (parent, entry): (Option<usize>, Option<usize>),
        object: &mut Object,
        paths: &mut Paths,
        waiting: &mut Vec<Nested<'a>>,
    ) {
        let mut properties = Members(Vec::new());
        if let Some(stated) = members.stated("properties") {
            match self.members(stated) {
                Ok(members) => properties = members,
                Err(odd) => object.parts.add(odd.within("properties"), || paths.path(entry), None),
            }
        }
        let mut children = Vec::new();
        for list in members.stated(CHILDREN).into_iter().chain(take_children(&mut properties)) {
            let read = match self.may_descend(list) {
                true => self.list(list),
                false => Err(self.wrong(list, "objects are nested too deeply")),
            };
            match read {
                Ok(list) if list.is_empty() => properties.0.push((Cow::Borrowed(CHILDREN), list_of_none())),
                Ok(list) => children.extend(list),
                Err(odd) => object.left_out.add(odd.within(CHILDREN), || paths.path(entry), None),
            }
        }
        let parts = &mut object.parts;
        let mut part = |odd| parts.add(odd, || paths.path(entry), None);
        let around = match self.annotations((members, text, geometry), properties, &mut part) {
            Ok(annotations) => {
                let index = object.annotations.len();
                object.annotations.extend(annotations.into_iter().map(|annotation| (annotation, parent)));
                Some(index)
            }
            Err(odd) => {
                let id = members.stated("id").map(|id| id.get().trim_matches('"').to_owned());
                object.left_out.add(odd, || paths.path(entry), id);
                parent
            }
        };
        for (number, value) in children.into_iter().enumerate().rev() {
            waiting.push(Nested { value, parent: around, entry: paths.push(entry, number + 1) });
        }
    }

    /// Reads a feature without the features nested in it: one annotation, or several if its geometry mixes
    /// areas, lines and points.
    fn annotations(
        &self,
        (members, text, geometry): (&Members<'a>, &'a str, Option<Geometry>),
        properties: Members<'a>,
        part: &mut impl FnMut(Odd),
    ) -> Result<Vec<Annotation>, Odd> {
        let mut foreign = Foreign { own: members.except(&FEATURE_MEMBERS), properties: Vec::new() };
        let mut geometries = match (geometry, members.get("geometry")) {
            (Some(geometry), _) => vec![geometry],
            (None, Some(stated)) => self.geometries(stated, part).map_err(|odd| odd.within("geometry"))?,
            (None, None) => vec![nowhere(None)],
        };
        let mut annotation = Annotation::read(Uuid::nil(), geometries.remove(0));
        if let Some(nucleus) = members.get("nucleusGeometry") {
            match self.geometries(nucleus, part).as_deref() {
                Ok([geometry]) => annotation.nucleus = Some(geometry.clone()),
                Ok(_) => foreign.own.push(("nucleusGeometry".to_owned(), RawJson::from(nucleus))),
                Err(_) => {
                    part(self.wrong(nucleus, "its nucleus cannot be read"));
                    foreign.own.push(("nucleusGeometry".to_owned(), RawJson::from(nucleus)));
                }
            }
        }
        self.identify(members, text, &mut annotation, &mut foreign);
        self.properties(properties, &mut annotation, &mut foreign, part);
        annotation.foreign = foreign;
        let first = annotation.id;
        let mut annotations = vec![annotation];
        for (number, geometry) in geometries.into_iter().enumerate() {
            let mut further = annotations[0].clone();
            further.id = id_from_text(&format!("{first} part {}", number + 2));
            further.foreign.own.retain(|(key, _)| key != "id");
            further.geometry = geometry;
            annotations.push(further);
        }
        Ok(annotations)
    }

    /// Sets the ID of an annotation from its feature. An ID that is not a UUID is kept as it is, and
    /// identifies the annotation within its file. For a feature without an ID, it is derived from the text of
    /// the feature.
    fn identify(
        &self,
        members: &Members<'a>,
        text: &'a str,
        annotation: &mut Annotation,
        foreign: &mut Foreign,
    ) {
        let own = members.stated(OWN_ID).and_then(|own| Uuid::parse_str(&self.text_of(own).ok()?).ok());
        let stated = members.stated("id").filter(|id| {
            let legacy = TYPES_AS_IDS.iter().find(|kind| **kind == id.get().trim_matches('"'));
            if let Some(kind) = legacy {
                annotation.kind = ObjectKind::from_word(kind);
            }
            legacy.is_none()
        });
        let Some(id) = stated else {
            annotation.id = own.unwrap_or_else(|| id_from_text(text));
            return;
        };
        let stated = self.text_of(id).ok();
        let uuid = stated.as_deref().and_then(|stated| Uuid::parse_str(stated).ok());
        if uuid.is_some_and(|uuid| Some(uuid.hyphenated().to_string()) == stated)
            && own.is_none_or(|own| Some(own) == uuid)
        {
            annotation.id = uuid.unwrap_or_default();
            return;
        }
        foreign.own.push(("id".to_owned(), RawJson::from(id)));
        if uuid.is_none() {
            let source = members.stated(SOURCE).and_then(|source| self.text_of(source).ok());
            let source = source.unwrap_or_else(|| self.source().to_owned());
            annotation.id = own.unwrap_or_else(|| id_in_file(&source, id.get()));
            annotation.as_written_mut().source = Some(source);
        } else {
            annotation.id = own.or(uuid).unwrap_or_default();
        }
    }
}

/// Makes the geometry of an object without a position, with its notation in the file.
pub(super) fn nowhere(written: Option<&RawValue>) -> Geometry {
    let written = written.map(|written| Written::Nowhere(RawJson::from(written)));
    Geometry::read(Shape::Points(Vec::new()), written, Foreign::default())
}

fn is_feature(members: &Members<'_>) -> bool {
    members.get("geometry").is_some() || members.get("type").is_some_and(|kind| kind.get() == "\"Feature\"")
}

/// Removes the lists of nested features from a feature's properties. QuPath also reads `children`.
fn take_children<'a>(properties: &mut Members<'a>) -> Vec<&'a RawValue> {
    let mut taken = Vec::new();
    for key in [CHILDREN, "children"] {
        let Some(list) = properties.get(key).filter(|list| list.get().starts_with('[')) else { continue };
        let holds_features = || {
            let list: Result<Vec<Members<'_>>, _> = serde_json::from_str(list.get());
            list.is_ok_and(|list| !list.is_empty() && list.iter().all(is_feature))
        };
        if key == CHILDREN || holds_features() {
            properties.0.retain(|(known, _)| known != key);
            taken.push(list);
        }
    }
    taken
}

/// Returns an empty list of nested features, to preserve one in a file.
fn list_of_none() -> &'static RawValue {
    static NONE: std::sync::LazyLock<Box<RawValue>> = std::sync::LazyLock::new(|| {
        RawValue::from_string("[]".to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
    });
    &NONE
}
