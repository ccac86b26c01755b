//! One feature, and the features nested in it at any depth.

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

/// QuPath 0.2 wrote the type of the object as its id.
const TYPES_AS_IDS: [&str; 6] = [
    "PathTileObject",
    "PathCellObject",
    "TMACoreObject",
    "PathDetectionObject",
    "PathRootObject",
    "PathAnnotationObject",
];

/// An object of the document with all that is nested in it.
#[derive(Debug, Default)]
pub struct Object {
    /// Each after its parent, with the place of that in this list.
    pub annotations: Vec<(Annotation, Option<usize>)>,
    pub left_out: Dropped,
    pub parts: Dropped,
}

/// What an object was read without: the first of it, and how much more there is.
#[derive(Debug, Default)]
pub struct Dropped {
    /// Why, where it stands within the object, and its id.
    pub first: Vec<(Odd, String, Option<String>)>,
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

/// A nested feature that is still to be read.
struct Nested<'a> {
    value: &'a RawValue,
    /// Place of its parent among the object's annotations.
    parent: Option<usize>,
    /// Its entry in the trail.
    place: usize,
}

/// How the nested features lie in each other: the entry around each, and its number there, counted from 1.
#[derive(Default)]
struct Trail(Vec<(Option<usize>, usize)>);

impl Trail {
    fn push(&mut self, around: Option<usize>, number: usize) -> usize {
        self.0.push((around, number));
        self.0.len() - 1
    }

    /// Such as `, child 2, child 1`; the outermost and the innermost where there are many.
    fn path(&self, place: Option<usize>) -> String {
        const MOST: usize = 8;
        let around = |place: &usize| self.0[*place].0;
        let numbers: Vec<usize> = std::iter::successors(place, around).map(|place| self.0[place].1).collect();
        let mut path: String =
            numbers.iter().rev().take(MOST).map(|number| format!(", child {number}")).collect();
        if numbers.len() > MOST {
            path += &format!(", … ({} deep)", numbers.len());
        }
        path
    }
}

impl<'a> Reader<'a> {
    /// A feature with the features in it, or a bare geometry.
    ///
    /// # Errors
    /// When it is neither.
    pub fn object(&self, members: &Members<'a>, item: &'a RawValue) -> Result<Object, Odd> {
        let kind = members.stated("type").map(|kind| self.text_of(kind)).transpose()?;
        let mut object = Object::default();
        match kind.as_deref() {
            Some("Feature") => {}
            Some(_) if members.get("coordinates").is_some() || members.get("geometries").is_some() => {
                let geometries =
                    self.geometries(item, &mut |odd| object.parts.add(odd, String::new, None))?;
                let annotation = |geometry| Annotation::read(id_from_text(item.get()), geometry);
                object
                    .annotations
                    .extend(geometries.into_iter().map(|geometry| (annotation(geometry), None)));
                return Ok(object);
            }
            // QuPath reads objects that forget to say that they are features.
            None if members.get("geometry").is_some() => {}
            Some(other) => {
                let reason = format!("{other:?} is neither a Feature, a FeatureCollection nor a geometry");
                return Err(self.wrong(item, reason));
            }
            None => return Err(self.wrong(item, "neither a Feature, a FeatureCollection nor a geometry")),
        }
        self.tree(members, item, &mut object);
        Ok(object)
    }

    /// Read a feature and, without recursion, all that is nested in it. What lies in a feature that cannot be
    /// understood goes to the feature around that.
    fn tree(&self, members: &Members<'a>, item: &'a RawValue, object: &mut Object) {
        let mut trail = Trail::default();
        let mut waiting: Vec<Nested<'a>> = Vec::new();
        self.feature(members, item, (None, None), object, &mut trail, &mut waiting);
        while let Some(Nested { value, parent, place }) = waiting.pop() {
            match self.members(value) {
                Ok(members) if is_feature(&members) => {
                    self.feature(&members, value, (parent, Some(place)), object, &mut trail, &mut waiting);
                }
                Ok(_) => {
                    let odd = self.wrong(value, "it is no Feature");
                    object.left_out.add(odd, || trail.path(Some(place)), None);
                }
                Err(odd) => object.left_out.add(odd, || trail.path(Some(place)), None),
            }
        }
    }

    fn feature(
        &self,
        members: &Members<'a>,
        item: &'a RawValue,
        (parent, place): (Option<usize>, Option<usize>),
        object: &mut Object,
        trail: &mut Trail,
        waiting: &mut Vec<Nested<'a>>,
    ) {
        let mut properties = Members(Vec::new());
        if let Some(stated) = members.stated("properties") {
            match self.members(stated) {
                Ok(members) => properties = members,
                Err(odd) => object.parts.add(odd.within("properties"), || trail.path(place), None),
            }
        }
        let mut children = Vec::new();
        for list in members.stated(CHILDREN).into_iter().chain(take_children(&mut properties)) {
            let read = match self.may_descend(list) {
                true => self.list(list),
                false => Err(self.wrong(list, "objects lie too deep in each other")),
            };
            match read {
                Ok(list) if list.is_empty() => properties.0.push((Cow::Borrowed(CHILDREN), list_of_none())),
                Ok(list) => children.extend(list),
                Err(odd) => object.left_out.add(odd.within(CHILDREN), || trail.path(place), None),
            }
        }
        let parts = &mut object.parts;
        let mut part = |odd| parts.add(odd, || trail.path(place), None);
        let around = match self.annotations(members, item, properties, &mut part) {
            Ok(annotations) => {
                let place = object.annotations.len();
                object.annotations.extend(annotations.into_iter().map(|annotation| (annotation, parent)));
                Some(place)
            }
            Err(odd) => {
                let id = members.stated("id").map(|id| id.get().trim_matches('"').to_owned());
                object.left_out.add(odd, || trail.path(place), id);
                parent
            }
        };
        for (number, value) in children.into_iter().enumerate().rev() {
            waiting.push(Nested { value, parent: around, place: trail.push(place, number + 1) });
        }
    }

    /// A feature without what is nested in it: one annotation, or several where its geometry mixes areas, lines
    /// and points.
    fn annotations(
        &self,
        members: &Members<'a>,
        item: &'a RawValue,
        properties: Members<'a>,
        part: &mut impl FnMut(Odd),
    ) -> Result<Vec<Annotation>, Odd> {
        let mut foreign = Foreign { own: members.except(&FEATURE_MEMBERS), properties: Vec::new() };
        let mut geometries = match members.get("geometry") {
            Some(geometry) => self.geometries(geometry, part).map_err(|odd| odd.within("geometry"))?,
            None => vec![nowhere(None)],
        };
        let mut annotation = Annotation::read(Uuid::nil(), geometries.remove(0));
        if let Some(nucleus) = members.get("nucleusGeometry") {
            match self.geometries(nucleus, part).as_deref() {
                Ok([geometry]) => annotation.nucleus = Some(geometry.clone()),
                Ok(_) => foreign.own.push(("nucleusGeometry".to_owned(), RawJson::from(nucleus))),
                Err(_) => {
                    part(self.wrong(nucleus, "its nucleus cannot be understood"));
                    foreign.own.push(("nucleusGeometry".to_owned(), RawJson::from(nucleus)));
                }
            }
        }
        self.identify(members, item, &mut annotation, &mut foreign);
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

    /// Take over the feature's id. What is no UUID is kept as it is, and identifies it within its file; a feature
    /// without one is known by its text.
    fn identify(
        &self,
        members: &Members<'a>,
        item: &'a RawValue,
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
            annotation.id = own.unwrap_or_else(|| id_from_text(item.get()));
            return;
        };
        let text = self.text_of(id).ok();
        let uuid = text.as_deref().and_then(|text| Uuid::parse_str(text).ok());
        if uuid.is_some_and(|uuid| Some(uuid.hyphenated().to_string()) == text)
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

/// The geometry of what lies nowhere, with how its file says so.
pub(super) fn nowhere(written: Option<&RawValue>) -> Geometry {
    let written = written.map(|written| Written::Nowhere(RawJson::from(written)));
    Geometry::read(Shape::Points(Vec::new()), written, Foreign::default())
}

fn is_feature(members: &Members<'_>) -> bool {
    members.get("geometry").is_some() || members.get("type").is_some_and(|kind| kind.get() == "\"Feature\"")
}

/// Take the lists of nested features out of a feature's properties; QuPath reads `children`, too.
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

/// An empty list of nested features, which a file may state.
fn list_of_none() -> &'static RawValue {
    static NONE: std::sync::LazyLock<Box<RawValue>> = std::sync::LazyLock::new(|| {
        RawValue::from_string("[]".to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
    });
    &NONE
}
