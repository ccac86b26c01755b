//! The list of a project's slides: adding a slide, and recognising one that is already listed.
//!
//! A slide is identified by its content ([`SlideId`]). Projects of earlier versions use a former ID
//! ([`SlideInfo::former_ids`]), which different slides may share. When such a slide is opened, its entry gets
//! the new ID and keeps the former one as an alias; files named after the former ID are found through it and
//! never renamed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Project, SlideEntry};
use histokin_core::geometry::MicronsPerPixel;
use histokin_core::query::QueryHistory;
use histokin_core::slide::channel::ChannelDisplay;
use histokin_core::slide::{self, SlideError, SlideId, SlideInfo, SlideSource};
use histokin_core::stain::SlideStain;

/// Former IDs of slides by current ID; stored data of a slide may be under any of them.
pub type FormerIds = Arc<HashMap<SlideId, Vec<SlideId>>>;

impl Project {
    /// Returns the listed slides.
    pub fn slides(&self) -> &[SlideEntry] {
        &self.file.slides
    }

    fn entry(&self, id: &SlideId) -> Option<&SlideEntry> {
        self.file.slides.iter().find(|entry| entry.id == *id)
    }

    /// Returns the entry of this slide, by its ID or else by a former ID; in the latter case it may be
    /// another slide.
    fn entry_of(&self, info: &SlideInfo) -> Option<&SlideEntry> {
        let by_former = || self.file.slides.iter().find(|entry| info.former_ids.contains(&entry.id));
        self.entry(&info.id).or_else(by_former)
    }

    /// Returns the path listed for this slide if it differs from the opened one. The content of the file
    /// there decides how the slide is added.
    pub fn other_listed_path(&self, info: &SlideInfo) -> Option<PathBuf> {
        let entry = self.entry_of(info)?;
        (entry.path() != self.stored_path(&info.path)).then(|| self.slide_path(entry))
    }

    /// Adds a slide or updates its entry, opening the file at its listed path if necessary. Returns messages
    /// for the user.
    pub fn add_or_update(&mut self, info: &SlideInfo) -> Vec<String> {
        let there = self.other_listed_path(info).and_then(|path| slide::open(&path, None).ok());
        self.add_slide(info, there.as_ref().map(|source| source.info()))
    }

    /// Adds a slide or updates its entry. `there` is the slide at [`Self::other_listed_path`], if one can be
    /// read there. Returns messages for the user.
    ///
    /// The entry of a slide keeps its path for as long as the slide can be read there. A former ID shared by
    /// two slides belongs to the slide at the listed path, which keeps the annotations and judgements;
    /// descriptors are used for neither slide, as they may belong to either.
    pub fn add_slide(&mut self, info: &SlideInfo, there: Option<&SlideInfo>) -> Vec<String> {
        let mut notes = Vec::new();
        let path = self.stored_path(&info.path);
        let is_there = there.is_some_and(|there| there.id == info.id);
        if let Some(known) = self.entry_of(info).cloned() {
            let listed_at = self.slide_path(&known);
            let shares = |there: &&SlideInfo| there.id != info.id && there.has_id(&known.id);
            if is_there && known.path() != path {
                notes.push(format!(
                    "{}: the same slide as {}, which is already in the project; both files count as one slide",
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
                        "{}: treated as the slide that was listed as {}, which is no longer there",
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
            notes.extend(self.remove_replaced(info, &path));
        }
        notes
    }

    /// Adds a slide whose former ID belongs to another slide.
    fn add_beside(&mut self, info: &SlideInfo, shared: &SlideId) -> Option<String> {
        let path = self.stored_path(&info.path);
        self.file.slides.push(SlideEntry::new(info.id.clone(), path.clone()));
        let owner = self.owner_of(shared)?;
        // A slide that this one replaces gets a separate message.
        if owner.path() == path || self.file.shared_ids.contains(shared) {
            return None;
        }
        let owner = self.slide_path(owner);
        self.file.shared_ids.push(shared.clone());
        Some(format!(
            "{} and {}: an earlier version of histokin gave these two slides the same ID. Annotations and judgements \
             stay with {}, whose file was already in the project, and {} starts without any; please check that they \
             are assigned correctly. Descriptors may belong to either slide and are computed again for both",
            owner.display(),
            info.path.display(),
            owner.display(),
            info.path.display()
        ))
    }

    /// Returns the slide that a former ID belongs to.
    fn owner_of(&self, former: &SlideId) -> Option<&SlideEntry> {
        self.file.slides.iter().chain(&self.file.unlisted).find(|entry| entry.former_ids.contains(former))
    }

    fn change(&mut self, id: &SlideId, change: impl FnOnce(&mut SlideEntry)) {
        if let Some(entry) = self.file.slides.iter_mut().find(|entry| entry.id == *id) {
            change(entry);
        }
    }

    /// Replaces the former ID under which a slide is listed with its current one.
    fn rename(&mut self, former: &SlideId, id: &SlideId) {
        self.change(former, |entry| {
            entry.former_ids.insert(0, former.clone());
            entry.id = id.clone();
        });
    }

    /// Relists a slide that was removed from the list while data of it was kept; returns whether there was
    /// one.
    fn list_again(&mut self, info: &SlideInfo) -> bool {
        let is_same = |entry: &SlideEntry| info.has_id(&entry.id);
        let Some(index) = self.file.unlisted.iter().position(is_same) else { return false };
        let mut entry = self.file.unlisted.remove(index);
        entry.set_path(self.stored_path(&info.path));
        if entry.id != info.id {
            entry.former_ids.insert(0, std::mem::replace(&mut entry.id, info.id.clone()));
        }
        self.file.slides.push(entry);
        true
    }

    /// Removes slides from the list whose file was replaced with this slide.
    fn remove_replaced(&mut self, info: &SlideInfo, path: &Path) -> Option<String> {
        let is_replaced = |entry: &SlideEntry| entry.path() == path && entry.id != info.id;
        let (replaced, kept) = std::mem::take(&mut self.file.slides).into_iter().partition(is_replaced);
        self.file.slides = kept;
        let replaced: Vec<SlideEntry> = replaced;
        let id = replaced.first()?.id.short().to_owned();
        self.file.unlisted.extend(replaced);
        Some(format!(
            "{}: holds another slide than before. It starts without annotations and descriptors; those of the \
             replaced slide ({id}) are kept and reappear when that slide is opened",
            info.path.display()
        ))
    }

    /// Lists a slide with the given path, at which there may be no file. A slide that is already listed is
    /// left unchanged.
    pub fn list_slide(&mut self, id: &SlideId, path: &Path) {
        if self.entry(id).is_none() {
            let path = self.stored_path(path);
            self.file.slides.push(SlideEntry::new(id.clone(), path));
        }
    }

    /// Lists a slide, with an absolute path, from a note written by a concurrent process. A slide that is listed already
    /// keeps what is known of it; the process may have worked in a project of its own.
    pub(super) fn list_noted(&mut self, noted: SlideEntry) {
        let is_same = |entry: &&mut SlideEntry| entry.id == noted.id || noted.former_ids.contains(&entry.id);
        let Some(known) = self.file.slides.iter_mut().find(is_same) else {
            self.file.slides.push(noted);
            return;
        };
        known.id = noted.id;
        let is_new = |id: &SlideId| *id != known.id && !known.former_ids.contains(id);
        let added: Vec<SlideId> = noted.former_ids.into_iter().filter(is_new).collect();
        known.former_ids.extend(added);
        known.user_mpp = noted.user_mpp.or(known.user_mpp);
    }

    /// Removes a slide from the project's list; its descriptors are kept.
    pub fn remove_slide(&mut self, id: &SlideId) {
        let (removed, kept) =
            std::mem::take(&mut self.file.slides).into_iter().partition(|entry| entry.id == *id);
        self.file.slides = kept;
        let removed: Vec<SlideEntry> = removed;
        // Data of slides without former IDs is found by the current ID, so they need no entry.
        self.file.unlisted.extend(removed.into_iter().filter(|entry| !entry.former_ids.is_empty()));
    }

    /// Sets the pixel size that the user gave for a slide.
    pub fn set_user_mpp(&mut self, id: &SlideId, mpp: MicronsPerPixel) {
        self.change(id, |entry| entry.user_mpp = Some(mpp));
    }

    /// Returns the pixel size that the user gave for a slide.
    pub fn user_mpp(&self, id: &SlideId) -> Option<MicronsPerPixel> {
        self.entry(id)?.user_mpp
    }

    /// Returns the pixel size that the user gave for a slide, which may be listed under a former ID.
    pub fn user_mpp_of(&self, info: &SlideInfo) -> Option<MicronsPerPixel> {
        self.entry_of(info)?.user_mpp
    }

    /// Sets what the user says a slide is stained with; `None` to guess it again.
    pub fn set_stain(&mut self, id: &SlideId, stain: Option<SlideStain>) {
        self.change(id, |entry| entry.stain = stain);
    }

    /// Returns what the user says a slide is stained with.
    pub fn stain(&self, id: &SlideId) -> Option<SlideStain> {
        self.entry(id)?.stain
    }

    /// Sets how the channels of a slide are shown; empty for the default.
    pub fn set_channels(&mut self, id: &SlideId, channels: Vec<ChannelDisplay>) {
        self.change(id, |entry| entry.channels = channels);
    }

    /// Returns how the user has set the channels of a slide to be shown; empty if that was not done.
    pub fn channels(&self, id: &SlideId) -> &[ChannelDisplay] {
        self.entry(id).map_or(&[], |entry| &entry.channels)
    }

    /// Opens the file of a slide of the project. The source has the ID under which the project lists the
    /// slide.
    ///
    /// # Errors
    /// As [`slide::open`], and [`SlideError::Replaced`] when the file is another slide.
    pub fn open_slide(&self, entry: &SlideEntry) -> Result<Arc<dyn SlideSource>, SlideError> {
        self.open_with_channels(entry, Vec::new())
    }

    /// Opens the file of a slide as [`Self::open_slide`] does, to be looked at: its channels are shown as the user has set
    /// them. What is embedded is read from slides that are opened without.
    ///
    /// # Errors
    /// As [`Self::open_slide`].
    pub fn open_slide_as_shown(&self, entry: &SlideEntry) -> Result<Arc<dyn SlideSource>, SlideError> {
        self.open_with_channels(entry, entry.channels.clone())
    }

    fn open_with_channels(
        &self,
        entry: &SlideEntry,
        channels: Vec<ChannelDisplay>,
    ) -> Result<Arc<dyn SlideSource>, SlideError> {
        let path = self.slide_path(entry);
        let source = slide::open_with_channels(&path, entry.user_mpp, channels)?;
        if !source.info().has_id(&entry.id) {
            return Err(SlideError::Replaced { path, id: entry.id.clone() });
        }
        Ok(slide::with_id(source, &entry.id))
    }

    /// Returns the former IDs under which annotations and judgements may be stored.
    pub fn former_ids(&self) -> FormerIds {
        self.former_ids_but(&[])
    }

    /// Returns the former IDs under which descriptors may be stored: those that are not shared by several
    /// slides.
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

    /// Reads the project's query history, with current slide IDs.
    ///
    /// # Errors
    /// As [`QueryHistory::load`].
    pub fn query_history(&self) -> std::io::Result<QueryHistory> {
        let mut query_history = QueryHistory::load(self.root())?;
        query_history.rename_slides(&self.former_ids());
        Ok(query_history)
    }

    /// Returns the former IDs that turned out to be shared by several slides.
    pub fn shared_ids(&self) -> &[SlideId] {
        &self.file.shared_ids
    }

    /// Returns the current ID of a slide, given its current or a former ID.
    pub fn current_id(&self, id: &SlideId) -> SlideId {
        let is_former = |entry: &&SlideEntry| entry.former_ids.contains(id);
        self.file.slides.iter().find(is_former).map_or(id, |entry| &entry.id).clone()
    }
}
