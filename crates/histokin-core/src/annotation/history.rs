//! Unlimited undo and redo.

use super::{AnnotationSet, Change, Edit};

/// The changes of one set that can be undone or redone.
#[derive(Debug, Default)]
pub struct History {
    done: Vec<Change>,
    undone: Vec<Change>,
}

impl History {
    /// Applies an edit that can be undone, and returns the change, if any. Changes undone before can then no
    /// longer be redone.
    pub fn apply(&mut self, set: &mut AnnotationSet, edit: Edit) -> Option<&Change> {
        let change = set.apply(edit)?;
        self.undone.clear();
        self.done.push(change);
        self.done.last()
    }

    /// Undoes the latest change and returns it; `None` if there is none.
    pub fn undo(&mut self, set: &mut AnnotationSet) -> Option<&Change> {
        let change = self.done.pop()?;
        set.undo(&change);
        self.undone.push(change);
        self.undone.last()
    }

    /// Redoes the change that was undone last and returns it; `None` if there is none.
    pub fn redo(&mut self, set: &mut AnnotationSet) -> Option<&Change> {
        let change = self.undone.pop()?;
        set.redo(&change);
        self.done.push(change);
        self.done.last()
    }

    /// Returns the name of the change that undo would revert.
    pub fn undo_title(&self) -> Option<&'static str> {
        self.done.last().map(|change| change.title)
    }

    /// Returns the name of the change that redo would apply.
    pub fn redo_title(&self) -> Option<&'static str> {
        self.undone.last().map(|change| change.title)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Annotation, AnnotationClass, Bounds, ObjectKind, Shape};
    use super::*;
    use crate::geometry::Level0Point;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn square(x: f64, side: f64) -> Shape {
        Shape::Rectangle(Bounds::between(Level0Point::new(x, 0.0), Level0Point::new(x + side, side)))
    }

    /// Makes an edit from numbers for its type, its annotations and its parameters.
    fn edit(set: &AnnotationSet, (kind, which, how): (u8, usize, u8)) -> Edit {
        let picked: Vec<Uuid> = set
            .iter()
            .enumerate()
            .filter(|(i, _)| (which >> (i % 8)) & 1 == 1)
            .map(|(_, one)| one.id)
            .collect();
        let id = picked.first().copied().unwrap_or_else(super::super::new_id);
        let how = f64::from(how);
        match kind % 9 {
            0 | 1 => Edit::Add(
                (0..=which % 3).map(|i| Annotation::new(square(how + i as f64, 50.0), None)).collect(),
            ),
            2 => Edit::Remove(picked),
            3 => Edit::Reshape { id, shape: square(how, 10.0) },
            4 => Edit::Translate { ids: picked, dx: how, dy: -how },
            5 => Edit::Paint { id, area: square(how + 20.0, 30.0) },
            6 => Edit::Erase { ids: picked, area: square(how, 60.0) },
            7 => Edit::Classify { ids: picked, class: Some(AnnotationClass::named("Stroma")) },
            _ => Edit::Lock { ids: picked, locked: how > 100.0 },
        }
    }

    proptest! {
        #[test]
        fn undoing_everything_and_redoing_it_leads_back(
            edits in prop::collection::vec((any::<u8>(), any::<usize>(), any::<u8>()), 1..40)
        ) {
            undone_and_redone(AnnotationSet::default(), edits)?;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn undoing_edits_of_many_detections_and_redoing_them_leads_back(
            edits in prop::collection::vec((any::<u8>(), any::<usize>(), any::<u8>()), 1..12)
        ) {
            let detection = |number: u32| {
                let mut one = Annotation::new(square(f64::from(number) * 3.0, 2.0), None);
                one.kind = ObjectKind::Detection;
                one
            };
            let set = AnnotationSet::packed((0..2400).map(detection));
            prop_assert_eq!(set.detections().len(), 2400);
            undone_and_redone(set, edits)?;
        }
    }

    /// Makes edits, undoes all of them and redoes them.
    fn undone_and_redone(mut set: AnnotationSet, edits: Vec<(u8, usize, u8)>) -> Result<(), TestCaseError> {
        let mut history = History::default();
        let mut states = vec![set.clone()];
        for numbers in edits {
            let edit = edit(&set, numbers);
            if history.apply(&mut set, edit).is_some() {
                states.push(set.clone());
            }
        }
        for state in states.iter().rev().skip(1) {
            prop_assert!(history.undo(&mut set).is_some());
            prop_assert!(set.iter().eq(state.iter()));
        }
        prop_assert!(history.undo(&mut set).is_none());
        for state in &states[1..] {
            prop_assert!(history.redo(&mut set).is_some());
            prop_assert!(set.iter().eq(state.iter()));
        }
        prop_assert!(history.redo(&mut set).is_none());
        Ok(())
    }

    #[test]
    fn many_detections_are_removed_in_one_step_and_what_is_below_them_gets_their_parent() {
        let tumour = Annotation::new(square(0.0, 1e6), None);
        let detection = |number: u32| {
            let mut one = Annotation::new(square(f64::from(number) * 3.0, 2.0), None);
            (one.kind, one.parent) = (ObjectKind::Detection, Some(tumour.id));
            one
        };
        let mut all: Vec<Annotation> = (0..2400).map(detection).collect();
        let removed: Vec<Uuid> = all[..2000].iter().map(|one| one.id).collect();
        let mut below = Annotation::new(square(1.0, 1.0), None);
        below.parent = Some(removed[7]);
        all[2300].parent = Some(removed[7]);
        let (moved, drawn) = (all[2300].id, below.id);
        let mut set = AnnotationSet::packed(all.into_iter().chain([tumour.clone(), below]));
        let before = set.clone();
        let mut history = History::default();
        let change = history.apply(&mut set, Edit::Remove(removed)).unwrap();
        assert_eq!(change.kept_below_removed(), 2);
        assert_eq!((set.len(), set.detections().len()), (402, 400));
        for kept in [moved, drawn] {
            assert_eq!(set.get(kept).unwrap().parent, Some(tumour.id));
        }
        let after = set.clone();
        history.undo(&mut set);
        assert!(set == before && history.undo_title().is_none());
        history.redo(&mut set);
        assert!(set == after);
    }

    #[test]
    fn a_locked_annotation_keeps_its_shape_and_what_is_erased_whole_is_gone() {
        let (mut set, mut history) = (AnnotationSet::default(), History::default());
        let annotation = Annotation::new(square(0.0, 10.0), None);
        let id = annotation.id;
        history.apply(&mut set, Edit::Add(vec![annotation]));
        history.apply(&mut set, Edit::Lock { ids: vec![id], locked: true });
        let erase = Edit::Erase { ids: vec![id], area: square(-5.0, 100.0) };
        assert!(history.apply(&mut set, erase.clone()).is_none());
        history.undo(&mut set);
        assert!(history.apply(&mut set, erase).is_some());
        assert!(set.is_empty());
        history.undo(&mut set);
        assert_eq!(set.len(), 1);
        assert_eq!(history.undo_title(), Some("new annotation"));
        assert_eq!(history.redo_title(), Some("eraser"));
    }
}
