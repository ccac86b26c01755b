//! The slides of a project: how a file that was opened becomes one of them, or is known again.
//!
//! A slide is known by its content ([`SlideId`]). Projects of earlier versions know it by a former id
//! ([`SlideInfo::former_ids`]), which different slides may share. Once such a slide is opened, its entry takes the
//! new id and keeps the former one as an alias: files that are named after it are found by it, and never renamed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Project, SlideEntry};
use histokin_core::geometry::MicronsPerPixel;
use histokin_core::query::QueryHistory;
use histokin_core::slide::{self, SlideError, SlideId, SlideInfo, SlideSource};

/// Former ids of slides, by their id: what is kept of a slide may lie under any of them.
pub type FormerIds = Arc<HashMap<SlideId, Vec<SlideId>>>;

impl Project {
    pub fn slides(&self) -> &[SlideEntry] {
        &self.file.slides
    }

    fn entry(&self, id: &SlideId) -> Option<&SlideEntry> {
        self.file.slides.iter().find(|entry| entry.id == *id)
    }

    /// The entry that may be this slide: that of its id, else of a former id.
    fn entry_of(&self, info: &SlideInfo) -> Option<&SlideEntry> {
        let by_former = || self.file.slides.iter().find(|entry| info.former_ids.contains(&entry.id));
        self.entry(&info.id).or_else(by_former)
    }

    /// The place at which the project has listed this slide, if that is another one than where it was opened. What
    /// lies there decides how the slide is added.
    pub fn listed_elsewhere(&self, info: &SlideInfo) -> Option<PathBuf> {
        let entry = self.entry_of(info)?;
        (entry.path() != self.stored_path(&info.path)).then(|| self.slide_path(entry))
    }

    /// Add a slide, or know it again, looking at the file at its listed place where that matters. What the user
    /// should know of it is returned, as sentences.
    pub fn take_in(&mut self, info: &SlideInfo) -> Vec<String> {
        let there = self.listed_elsewhere(info).and_then(|path| slide::open(&path, None).ok());
        self.add_slide(info, there.as_ref().map(|source| source.info()))
    }

    /// Add a slide, or know it again. `there` is the slide at [`Self::listed_elsewhere`], if one can be read there.
    /// What the user should know of it is returned, as sentences.
    ///
    /// The entry of a slide keeps its place for as long as the slide can be read there. A former id that stands for
    /// two slides is that of the slide at the listed place, which keeps the annotations and judgements; descriptors
    /// are used for neither of them, as they may be of either.
    pub fn add_slide(&mut self, info: &SlideInfo, there: Option<&SlideInfo>) -> Vec<String> {
        let mut notes = Vec::new();
        let path = self.stored_path(&info.path);
        let is_there = there.is_some_and(|there| there.id == info.id);
        if let Some(known) = self.entry_of(info).cloned() {
            let listed_at = self.slide_path(&known);
            let shares = |there: &&SlideInfo| there.id != info.id && there.goes_by(&known.id);
            if is_there && known.path() != path {
                notes.push(format!(
                    "{}: the same slide as {}, which the project has listed; the two are one slide in it",
                    info.path.display(),
                    listed_at.display()
                ));
            }
            if known.id == info.id {
                if !is_there {
                    self.change(&known.id, |entry| entry.set_path(path.clone()));
                }
            } else if let Some(there) = there.filter(shares) {
                self.rename(&known.id, &there.id);
                notes.extend(self.add_beside(info, &known.id));
            } else {
                if !is_there && known.path() != path {
                    notes.push(format!(
                        "{}: taken for the slide that was listed as {}, which is not there any more",
                        info.path.display(),
                        listed_at.display()
                    ));
                    self.change(&known.id, |entry| entry.set_path(path.clone()));
                }
                self.rename(&known.id, &info.id);
            }
        } else if !self.list_again(info) {
            match info.former_ids.iter().find(|id| self.owner_of(id).is_some()).cloned() {
                Some(shared) => notes.extend(self.add_beside(info, &shared)),
                None => self.file.slides.push(SlideEntry::new(info.id.clone(), path.clone())),
            }
        }
        if !is_there {
            notes.extend(self.take_off_replaced(info, &path));
        }
        notes
    }

    /// Add a slide whose former id belongs to another one.
    fn add_beside(&mut self, info: &SlideInfo, shared: &SlideId) -> Option<String> {
        let path = self.stored_path(&info.path);
        self.file.slides.push(SlideEntry::new(info.id.clone(), path.clone()));
        let owner = self.owner_of(shared)?;
        // One that was replaced by this one is told as that.
        if owner.path() == path || self.file.shared_ids.contains(shared) {
            return None;
        }
        let owner = self.slide_path(owner);
        self.file.shared_ids.push(shared.clone());
        Some(format!(
            "{} and {}: an earlier version of histokin took these two slides for one. Annotations and judgements \
             stay with {}, whose file the project has listed, and {} begins without any; please look whether they \
             are where they belong. Descriptors may be of either and are made anew for both",
            owner.display(),
            info.path.display(),
            owner.display(),
            info.path.display()
        ))
    }

    /// The slide that a former id belongs to.
    fn owner_of(&self, former: &SlideId) -> Option<&SlideEntry> {
        self.file.slides.iter().chain(&self.file.unlisted).find(|entry| entry.former_ids.contains(former))
    }

    fn change(&mut self, id: &SlideId, change: impl FnOnce(&mut SlideEntry)) {
        if let Some(entry) = self.file.slides.iter_mut().find(|entry| entry.id == *id) {
            change(entry);
        }
    }

    /// Give a slide that is listed under a former id its own.
    fn rename(&mut self, former: &SlideId, id: &SlideId) {
        self.change(former, |entry| {
            entry.former_ids.insert(0, former.clone());
            entry.id = id.clone();
        });
    }

    /// List a slide again that was taken off the list with something kept of it; whether there was one.
    fn list_again(&mut self, info: &SlideInfo) -> bool {
        let is_it = |entry: &SlideEntry| info.goes_by(&entry.id);
        let Some(place) = self.file.unlisted.iter().position(is_it) else { return false };
        let mut entry = self.file.unlisted.remove(place);
        entry.set_path(self.stored_path(&info.path));
        if entry.id != info.id {
            entry.former_ids.insert(0, std::mem::replace(&mut entry.id, info.id.clone()));
        }
        self.file.slides.push(entry);
        true
    }

    /// Take slides off the list in the place of whose file this one lies now.
    fn take_off_replaced(&mut self, info: &SlideInfo, path: &Path) -> Option<String> {
        let is_replaced = |entry: &SlideEntry| entry.path() == path && entry.id != info.id;
        let (replaced, kept) = std::mem::take(&mut self.file.slides).into_iter().partition(is_replaced);
        self.file.slides = kept;
        let replaced: Vec<SlideEntry> = replaced;
        let id = replaced.first()?.id.short().to_owned();
        self.file.unlisted.extend(replaced);
        Some(format!(
            "{}: holds another slide than before. It begins anew; annotations and descriptors of the slide that it \
             replaced ({id}) are kept, and are there again once that slide is opened",
            info.path.display()
        ))
    }

    /// List a slide whose file may not be at hand: `path` is where it lies, or is said to. One that is listed already
    /// stays as it is.
    pub fn list_slide(&mut self, id: &SlideId, path: &Path) {
        if self.entry(id).is_none() {
            let path = self.stored_path(path);
            self.file.slides.push(SlideEntry::new(id.clone(), path));
        }
    }

    /// List a slide that a job beside this one has noted, with an absolute path.
    pub(super) fn list_noted(&mut self, noted: SlideEntry) {
        let is_same = |entry: &&mut SlideEntry| entry.id == noted.id || noted.former_ids.contains(&entry.id);
        match self.file.slides.iter_mut().find(is_same) {
            Some(known) => {
                known.id = noted.id;
                known.former_ids = noted.former_ids;
            }
            None => self.file.slides.push(noted),
        }
    }

    /// Take a slide off the project's list; its descriptors stay.
    pub fn remove_slide(&mut self, id: &SlideId) {
        let (removed, kept) =
            std::mem::take(&mut self.file.slides).into_iter().partition(|entry| entry.id == *id);
        self.file.slides = kept;
        let removed: Vec<SlideEntry> = removed;
        // By its own id alone it is found without being remembered.
        self.file.unlisted.extend(removed.into_iter().filter(|entry| !entry.former_ids.is_empty()));
    }

    /// Keep the pixel size that the user gave for a slide.
    pub fn set_user_mpp(&mut self, id: &SlideId, mpp: MicronsPerPixel) {
        self.change(id, |entry| entry.user_mpp = Some(mpp));
    }

    /// The pixel size that the user gave for a slide.
    pub fn user_mpp(&self, id: &SlideId) -> Option<MicronsPerPixel> {
        self.entry(id)?.user_mpp
    }

    /// The pixel size that the user gave for a slide, which may be listed under a former id.
    pub fn user_mpp_of(&self, info: &SlideInfo) -> Option<MicronsPerPixel> {
        self.entry_of(info)?.user_mpp
    }

    /// Open the file of a slide of the project. The source goes by the id that the project knows the slide by.
    ///
    /// # Errors
    /// As [`slide::open`], and [`SlideError::Replaced`] when another slide lies there.
    pub fn open_slide(&self, entry: &SlideEntry) -> Result<Arc<dyn SlideSource>, SlideError> {
        let path = self.slide_path(entry);
        let source = slide::open(&path, entry.user_mpp)?;
        if !source.info().goes_by(&entry.id) {
            return Err(SlideError::Replaced { path, id: entry.id.clone() });
        }
        Ok(slide::known_as(source, &entry.id))
    }

    /// Under which ids annotations and judgements of earlier versions lie.
    pub fn former_ids(&self) -> FormerIds {
        self.former_ids_but(&[])
    }

    /// Under which ids descriptors of earlier versions lie: those that stood for one slide alone.
    pub(super) fn former_ids_of_descriptors(&self) -> FormerIds {
        self.former_ids_but(&self.file.shared_ids)
    }

    fn former_ids_but(&self, left_out: &[SlideId]) -> FormerIds {
        let with_former = self.file.slides.iter().filter(|entry| !entry.former_ids.is_empty());
        let ids = with_former.map(|entry| {
            let former = entry.former_ids.iter().filter(|id| !left_out.contains(id));
            (entry.id.clone(), former.cloned().collect())
        });
        Arc::new(ids.collect())
    }

    /// What the project keeps of its queries.
    ///
    /// # Errors
    /// What is wrong with which file; it is left as it is.
    pub fn query_history(&self) -> std::io::Result<QueryHistory> {
        let mut query_history = QueryHistory::load(self.root())?;
        query_history.rename_slides(&self.former_ids());
        Ok(query_history)
    }

    /// Former ids that turned out to stand for several slides.
    pub fn shared_ids(&self) -> &[SlideId] {
        &self.file.shared_ids
    }

    /// The id by which the project knows a slide that is called by this one, which may be a former one.
    pub fn current_id(&self, id: &SlideId) -> SlideId {
        let is_former = |entry: &&SlideEntry| entry.former_ids.contains(id);
        self.file.slides.iter().find(is_former).map_or(id, |entry| &entry.id).clone()
    }
}
