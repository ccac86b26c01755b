//! The features of a document in their hierarchy, in the order in which they are written.

use std::collections::{HashMap, HashSet};
use std::io;

use rayon::prelude::*;
use uuid::Uuid;

use super::write::{Purpose, begin_feature, template_text, write_properties};
use crate::annotation::AnnotationSet;
use crate::annotation::change::Place;
use crate::annotation::detections::FeatureTexts;
use crate::annotation::watch::Watch;

/// The annotations of a set as a hierarchy.
pub struct Tree<'a> {
    set: &'a AnnotationSet,
    outermost: Vec<Place>,
    children: HashMap<Uuid, Vec<Place>>,
}

impl<'a> Tree<'a> {
    /// Arranges the annotations of a set.
    pub fn of(set: &'a AnnotationSet) -> Self {
        let mut tree = Self { set, outermost: Vec::with_capacity(set.len()), children: HashMap::new() };
        let mut known: HashMap<Uuid, bool> = HashMap::new();
        for (place, parent) in set.places_with_parents() {
            let parent =
                parent.filter(|parent| *known.entry(*parent).or_insert_with(|| set.contains(*parent)));
            match parent {
                Some(parent) => tree.children.entry(parent).or_default().push(place),
                None => tree.outermost.push(place),
            }
        }
        tree.break_cycles();
        tree
    }

    /// Makes annotations outermost whose parents form a cycle, since they would not be written otherwise.
    fn break_cycles(&mut self) {
        if self.children.is_empty() {
            return;
        }
        let mut reached: HashSet<Place> = HashSet::new();
        let mut waiting: Vec<Place> = self.outermost.clone();
        while let Some(place) = waiting.pop() {
            reached.insert(place);
            waiting.extend(self.children_of(place));
        }
        let all = self.set.places_with_parents().map(|(place, _)| place);
        let lost: Vec<Place> = all.filter(|place| !reached.contains(place)).collect();
        for place in &lost {
            self.children.remove(&self.set.id(*place));
        }
        self.outermost.extend(lost);
    }

    fn children_of(&self, place: Place) -> &[Place] {
        match self.children.is_empty() {
            true => &[],
            false => self.children.get(&self.set.id(place)).map_or(&[], Vec::as_slice),
        }
    }

    /// Writes all features, without recursion, since files may nest objects to any depth.
    ///
    /// # Errors
    /// Returns the error of `out`, or one after `watch` has stopped it.
    pub fn write(&self, purpose: Purpose, watch: &Watch<'_>, out: &mut impl io::Write) -> io::Result<()> {
        /// The children of one annotation, or the outermost ones, and the number of those that are written.
        struct Siblings<'t> {
            places: &'t [Place],
            written: usize,
            before: &'static str,
            between: &'static str,
        }
        let outermost = Siblings { places: &self.outermost, written: 0, before: "\n", between: ",\n" };
        let mut open = vec![outermost];
        let mut done = 0;
        while let Some(siblings) = open.last_mut() {
            let Siblings { places, written, before, between } = siblings;
            let rest = &places[*written..];
            let separator = if *written == 0 { *before } else { *between };
            let leaves = rest.iter().take_while(|place| self.children_of(**place).is_empty()).count();
            if leaves > 0 {
                out.write_all(separator.as_bytes())?;
                let share = |more: usize| (done + more) as f32 / self.set.len().max(1) as f32;
                self.write_leaves(
                    &rest[..leaves],
                    (purpose, between),
                    &|more| watch.go_on(share(more)),
                    out,
                )?;
                *written += leaves;
                done += leaves;
                continue;
            }
            let Some(parent) = rest.first() else {
                open.pop();
                if !open.is_empty() {
                    out.write_all(b"]}}")?;
                }
                continue;
            };
            out.write_all(separator.as_bytes())?;
            out.write_all(self.begun(*parent, purpose, true).as_bytes())?;
            *written += 1;
            open.push(Siblings { places: self.children_of(*parent), written: 0, before: "", between: "," });
        }
        Ok(())
    }

    /// Writes features without children: while some are written, those after them are prepared, on all cores. `go_on` is
    /// called with the number of those that are written.
    fn write_leaves(
        &self,
        places: &[Place],
        form: (Purpose, &str),
        go_on: &dyn Fn(usize) -> bool,
        out: &mut impl io::Write,
    ) -> io::Result<()> {
        /// Number of features that are in memory as text at a time, and of those that are prepared at a time by one core.
        const BATCH: usize = 8192;
        const AT_A_TIME: usize = 512;
        let texts = |places: &[Place]| -> Vec<Vec<u8>> {
            places.par_chunks(AT_A_TIME).map(|places| self.leaves(places, form)).collect()
        };
        let mut batches = places.chunks(BATCH);
        let mut ready = batches.next().map(texts).unwrap_or_default();
        let mut written = 0;
        while !ready.is_empty() {
            if !go_on(written) {
                return Err(io::Error::other("writing was stopped"));
            }
            let mut next = Vec::new();
            rayon::in_place_scope(|scope| {
                if let Some(batch) = batches.next() {
                    let (next, texts) = (&mut next, &texts);
                    scope.spawn(move |_| *next = texts(batch));
                }
                ready.iter().enumerate().try_for_each(|(number, text)| {
                    let separator = if written + number == 0 { "" } else { form.1 };
                    out.write_all(separator.as_bytes())?;
                    out.write_all(text)
                })
            })?;
            written += BATCH;
            ready = next;
        }
        Ok(())
    }

    /// Returns features without children, with separators between them.
    fn leaves(&self, places: &[Place], (purpose, between): (Purpose, &str)) -> Vec<u8> {
        let detections = self.set.detections();
        let template = |index: usize| template_text(&detections.templates()[index]);
        let mut texts = FeatureTexts::new(detections, template);
        let mut out = Vec::new();
        for (number, place) in places.iter().enumerate() {
            if number > 0 {
                out.extend_from_slice(between.as_bytes());
            }
            let is_put = place.slot().is_some_and(|slot| texts.put(slot, &mut out));
            if !is_put {
                out.extend_from_slice(self.begun(*place, purpose, false).as_bytes());
                out.push(b'}');
            }
        }
        out
    }

    /// Returns a feature with its properties, but not its end.
    fn begun(&self, place: Place, purpose: Purpose, has_children: bool) -> String {
        let mut text = String::new();
        if let Some(annotation) = self.set.annotation(place) {
            begin_feature(&mut text, &annotation, purpose);
            write_properties(&mut text, &annotation, has_children);
        }
        text
    }
}
