//! Undo and redo without limit.

use super::{AnnotationSet, Change, Edit};

/// The changes of one set, and those that were taken back.
#[derive(Debug, Default)]
pub struct History {
    done: Vec<Change>,
    undone: Vec<Change>,
}

impl History {
    /// Make an edit that can be taken back; what was taken back before can no longer be done again. The
    /// change, if there was one.
    pub fn apply(&mut self, set: &mut AnnotationSet, edit: Edit) -> Option<&Change> {
        let change = set.apply(edit)?;
        self.undone.clear();
        self.done.push(change);
        self.done.last()
    }

    /// Take back the newest change.
    pub fn undo(&mut self, set: &mut AnnotationSet) -> Option<&Change> {
        let change = self.done.pop()?;
        set.undo(&change);
        self.undone.push(change);
        self.undone.last()
    }

    /// Do the change again that was taken back last.
    pub fn redo(&mut self, set: &mut AnnotationSet) -> Option<&Change> {
        let change = self.undone.pop()?;
        set.redo(&change);
        self.done.push(change);
        self.done.last()
    }

    /// What undoing would take back.
    pub fn undo_title(&self) -> Option<&'static str> {
        self.done.last().map(|change| change.title)
    }

    /// What redoing would do again.
    pub fn redo_title(&self) -> Option<&'static str> {
        self.undone.last().map(|change| change.title)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Annotation, AnnotationClass, Bounds, Shape};
    use super::*;
    use crate::geometry::Level0Point;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn square(x: f64, side: f64) -> Shape {
        Shape::Rectangle(Bounds::between(Level0Point::new(x, 0.0), Level0Point::new(x + side, side)))
    }

    /// A number for the kind of edit, one for whom it concerns, and one for how.
    fn edit(set: &AnnotationSet, (kind, whom, how): (u8, usize, u8)) -> Edit {
        let picked: Vec<Uuid> = set
            .iter()
            .enumerate()
            .filter(|(i, _)| (whom >> (i % 8)) & 1 == 1)
            .map(|(_, one)| one.id)
            .collect();
        let id = picked.first().copied().unwrap_or_else(super::super::new_id);
        let how = f64::from(how);
        match kind % 9 {
            0 | 1 => Edit::Add(
                (0..=whom % 3).map(|i| Annotation::new(square(how + i as f64, 50.0), None)).collect(),
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
            let (mut set, mut history) = (AnnotationSet::default(), History::default());
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
        }
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
