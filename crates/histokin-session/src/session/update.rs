//! How commands and events change the session, and which jobs follow.

use std::sync::Arc;

use super::state::{
    Colours, Place, Profile, Remedy, Severity, SlideState, SlideStatus, TilePicture, reserved,
};
use super::{
    Command, EmbedPlan, EncoderState, Event, Job, LoadJob, OpenJob, ScanJob, Session, SlideProgress,
};
use histokin_core::descriptors::DescriptorSet;
use histokin_core::geometry::{Level0Rect, MicronsPerPixel};
use histokin_core::index::Snapshot;
use histokin_core::slide::{SlideId, SlideInfo, SlideSource};
use histokin_core::tiling::TileGrid;

impl Session {
    pub(super) fn apply_command(&mut self, command: Command) -> Vec<Job> {
        match command {
            Command::Open(paths) => {
                let (others, mut jobs) = self.import_dropped(paths);
                if !others.is_empty() {
                    jobs.push(Job::Open(OpenJob::FindPaths(others)));
                }
                jobs
            }
            Command::Retry(path) => {
                self.withdraw(&Remedy::OpenAgain(path.clone()));
                vec![Job::Open(OpenJob::FindPaths(vec![path]))]
            }
            Command::Show(slide) => self.show(slide),
            Command::ReadAssociated { slide, name } => self.read_associated(&slide, name),
            Command::Remove(slide) => self.remove(&slide),
            Command::SetMpp { slide, mpp } => self.set_mpp(&slide, mpp),
            Command::LookAt { slide, field } => self.look_at(&slide, field),
            Command::ReadProfile(slide) => self.read_profile(&slide),
            Command::MeasureColours(slide) => self.measure_colours(&slide),
            Command::Annotate(action) => self.annotate(action),
            Command::TrustEncoder(trusted) => self.trust_encoder(trusted),
            Command::ChooseEncoder(name) => self.choose_encoder(name),
            Command::PauseEmbedding => {
                self.embedding.paused = true;
                self.embed_plan()
            }
            Command::ResumeEmbedding => {
                self.embedding.paused = false;
                self.embedding.cancelled = false;
                self.embed_plan()
            }
            Command::SetTissue(settings) => self.set_tissue(settings),
            Command::EmbedAgain(slide) => {
                self.withdraw(&Remedy::EmbedAgain(slide.clone()));
                self.set_status(&slide, SlideStatus::Checking);
                self.check_descriptors(&slide)
            }
            Command::CancelEmbedding => {
                self.embedding.cancelled = true;
                self.embed_plan()
            }
            Command::QueryAt { slide, point } => self.query_at(slide, point),
            Command::QueryRegion { slide, region } => self.query_region(&slide, region),
            Command::QueryTiles(tiles) => self.query_tiles(tiles),
            Command::MarkTiles { tiles, class } => self.mark_tiles(tiles, &class),
            Command::ReadTilePicture { slide, rect } => self.read_tile_picture(slide, rect),
            Command::MeasureDistances => self.measure_distances(),
            Command::QueryAnnotations { slide, ids } => self.query_annotations(&slide, &ids),
            Command::QueryClass(name) => self.query_class(&name),
            Command::QuerySlide(slide) => self.query_slide(&slide),
            Command::QueryPicture(picture) => self.query_picture(picture),
            Command::ReadPatients(path) => vec![Job::Load(LoadJob::ReadPatients(path))],
            Command::ListRecipes => self.list_recipes(),
            Command::CompareWith(recipe) => self.compare_with(recipe),
            Command::AddExample { slide, point, is_positive } => self.add_example(slide, point, is_positive),
            Command::RemoveExample { is_positive, place } => self.remove_example(is_positive, place),
            Command::SetQuery(settings) => self.set_query_settings(settings),
            Command::SetPatients(patients) => self.set_patients(patients),
            Command::SetArchive { url, password } => self.set_archive(url, password),
            Command::ClearQuery => self.clear_query(),
            Command::Recall(place) => self.recall(place),
            Command::Judge { rank, verdict } => self.judge(rank, verdict),
            Command::UndoJudgement => self.undo_judgement(),
            Command::ChooseMatch(rank) => self.choose_match(rank),
            Command::ChooseMatches(ranks) => self.choose_matches(ranks),
            Command::ClassifyMatches(class) => self.classify_matches(class),
            Command::UndoClassification => self.undo_classification(),
            Command::ExportMatches => self.export_matches(),
            Command::ExportHeatMap { tile, on } => self.export_heat_map(&tile, &on),
            Command::GoToExample { place, from } => self.go_to_example(place, from),
            Command::GoToMatch { rank, from } => self.go_to_match(rank, from),
            Command::ShowArchived(slide) => self.show_archived(slide),
            Command::GoToTile { slide, rect, from } => self.go_to_tile(slide, rect, from),
            Command::Evaluate(settings) => self.evaluate(*settings),
            Command::StopEvaluation => {
                self.stop_evaluation();
                Vec::new()
            }
            Command::WriteReport { pseudonymise } => self.write_report(pseudonymise),
            Command::Back => self.go_back(),
            Command::Train(command) => self.handle_training(command),
            Command::DismissMessage(id) => {
                self.messages.retain(|message| message.id != id);
                Vec::new()
            }
            Command::Report(text) => {
                self.notify(Severity::Error, text, None);
                Vec::new()
            }
        }
    }

    pub(super) fn apply_event(&mut self, event: Event) -> Vec<Job> {
        match event {
            Event::ProjectOpened(project) => {
                let left = self.leave_training();
                self.stop_evaluation();
                let fresh = Session::new(*project);
                let kept = std::mem::replace(self, fresh);
                self.messages = kept.messages;
                self.next_message = kept.next_message;
                self.generation = kept.generation + 1;
                let mut jobs = self.first_jobs();
                jobs.extend(left);
                jobs
            }
            Event::PathsFound(paths) => {
                paths.into_iter().map(|path| Job::Open(OpenJob::OpenSlide { path, user_mpp: None })).collect()
            }
            Event::SlideOpened(source) => match self.project.other_listed_path(source.info()) {
                Some(path) => vec![Job::Open(OpenJob::CheckListedPath { source, path })],
                None => self.slide_opened(source, None),
            },
            Event::ListedPathChecked { source, there } => self.slide_opened(source, there.as_deref()),
            Event::SlideFailed { path, reason } => {
                self.notify(Severity::Error, reason, Some(Remedy::OpenAgain(path)));
                Vec::new()
            }
            Event::SlideMissing { path, reason } => self.slide_missing(path, reason),
            Event::SlideUnavailable { slide, reason } => self.slide_unavailable(&slide, reason),
            Event::SlideAvailable { slide } => self.slide_back(&slide),
            Event::AssociatedRead { slide, name, picture } => {
                self.associated.insert((slide, name), TilePicture::from(picture));
                Vec::new()
            }
            Event::ThumbnailMade { slide, thumbnail } => {
                if let Some(state) = self.slide_mut(&slide) {
                    state.thumbnail = Some(Arc::new(reserved(thumbnail)));
                }
                Vec::new()
            }
            Event::TissueFound { slide, tissue } => {
                // Computed with settings that have changed since.
                if !tissue.settings.same_mask(&self.project.settings().tissue) {
                    return Vec::new();
                }
                if let Some(state) = self.slide_mut(&slide) {
                    state.tissue = Some(tissue);
                }
                Vec::new()
            }
            Event::ProfileRead { slide, profile } => {
                if let Some(state) = self.slide_mut(&slide) {
                    state.profile = profile.map_or(Profile::None, Profile::Known);
                }
                Vec::new()
            }
            Event::ColoursMeasured { slide, colours } => {
                if let Some(state) = self.slide_mut(&slide) {
                    state.colours = colours.map_or(Colours::None, Colours::Known);
                }
                Vec::new()
            }
            Event::EncoderKnown(spec) => {
                self.encoder = EncoderState::Known(spec);
                let ids: Vec<SlideId> = self.slides.iter().map(|slide| slide.id().clone()).collect();
                ids.iter().flat_map(|id| self.check_descriptors(id)).collect()
            }
            Event::EncoderRuns { device } => {
                self.embedding.device = Some(device);
                Vec::new()
            }
            Event::EncoderUntrusted { path } => {
                self.encoder = EncoderState::Untrusted(path);
                Vec::new()
            }
            Event::EncoderFailed { reason } => {
                self.encoder = EncoderState::Failed(reason.clone());
                self.notify(Severity::Error, reason, None);
                Vec::new()
            }
            Event::EmbeddingStarted { slide, progress } => {
                self.set_status(&slide, SlideStatus::Embedding(progress))
            }
            Event::EmbeddingProgress { slide, progress, tiles_per_second } => {
                self.embedding.tiles_per_second = tiles_per_second;
                self.set_status(&slide, SlideStatus::Embedding(progress))
            }
            Event::DescriptorsReady { set, finished } => self.descriptors_ready(set, finished),
            Event::NoTiles { slide, why } => self.report_no_tiles(&slide, &why),
            Event::EmbeddingInterrupted { slide } => {
                let progress = self.slide(&slide).and_then(|state| state.status.progress());
                self.set_status(&slide, SlideStatus::Waiting(progress.unwrap_or_default()))
            }
            Event::EmbeddingFailed { slide, reason } => {
                self.notify(Severity::Error, reason.clone(), Some(Remedy::EmbedAgain(slide.clone())));
                self.set_status(&slide, SlideStatus::Failed(reason));
                self.change_over()
            }
            Event::NoDescriptors { slide } => self.no_descriptors(&slide),
            Event::IndexBuilt(index) => {
                self.index = self.without_outdated(index);
                self.index_building = false;
                let mut jobs = self.search();
                jobs.extend(self.index_if_stale());
                jobs
            }
            Event::IndexFailed => {
                self.index_building = false;
                Vec::new()
            }
            Event::ArchiveAnswered { generation, answer } => self.archive_answered(generation, answer),
            Event::Answered { generation, answer, second_encoder } => {
                self.answered(generation, answer, second_encoder)
            }
            Event::PictureEmbedded(embedded) => self.picture_embedded(embedded.map(|shown| *shown)),
            Event::PatientsRead { path, patients } => self.patients_read(&path, patients),
            Event::RecipesFound(recipes) => self.recipes_found(recipes),
            Event::SecondEncoderOpened { recipe, index } => self.second_encoder_opened(&recipe, index),
            Event::TilesEmbedded { slide, rects, descriptors } => {
                self.tiles_embedded(&slide, &rects, descriptors)
            }
            Event::HistoryLoaded(query_history) => self.history_loaded(*query_history),
            Event::TilePictureRead { slide, rect, picture } => {
                self.tile_pictures.insert((slide, rect), TilePicture::from(picture));
                Vec::new()
            }
            Event::Training(event) => self.absorb_training(event),
            Event::Annotations(event) => self.annotations_event(event),
            event @ (Event::EvaluationProgress { .. } | Event::Evaluated(_)) => {
                self.absorb_evaluation(event);
                Vec::new()
            }
            Event::DistancesMeasured { generation, distances } => {
                self.distances_measured(generation, distances);
                Vec::new()
            }
            Event::ReportWritten(result) => {
                self.report_written(result);
                Vec::new()
            }
            Event::Crashed(crash) => {
                self.notify(Severity::Error, crash.summary, Some(Remedy::Report(crash.report)));
                Vec::new()
            }
            Event::Notice(text) => {
                self.notify(Severity::Note, text, None);
                Vec::new()
            }
            Event::Trouble(text) => {
                self.notify(Severity::Error, text, None);
                Vec::new()
            }
        }
    }

    /// Adds an opened slide; `there` is the slide at the other path under which the project lists it, if any.
    fn slide_opened(&mut self, source: Arc<dyn SlideSource>, there: Option<&SlideInfo>) -> Vec<Job> {
        let info = source.info();
        let id = info.id.clone();
        // A slide that was calibrated before keeps the user's pixel size, whatever path it is opened from.
        if let Some(mpp) = self.project.user_mpp_of(info)
            && info.mpp != Some(mpp)
            && there.is_none_or(|there| there.id == id)
        {
            return vec![Job::Open(OpenJob::OpenSlide { path: info.path.clone(), user_mpp: Some(mpp) })];
        }
        self.no_longer_missing(&id);
        let mut jobs = self.list(info, there);
        jobs.push(Job::SaveProject(Box::new(self.project.clone())));
        let fresh = SlideState {
            source: source.clone(),
            thumbnail: None,
            tissue: None,
            colours: Colours::Unknown,
            profile: Profile::Unknown,
            status: SlideStatus::Checking,
            unavailable: None,
        };
        self.drop_other_tiles(&source);
        match self.slides.iter_mut().find(|slide| *slide.id() == id) {
            // Opened again: the pixels are the same, but path or calibration may have changed.
            Some(known) => *known = SlideState { thumbnail: known.thumbnail.take(), ..fresh },
            None => self.slides.push(fresh),
        }
        if self.active.is_none() {
            self.active = Some(id.clone());
        }
        jobs.extend(self.load_annotations(&id));
        jobs.push(Job::Scan(ScanJob::MakeThumbnail(source.clone())));
        // Queries of the history may have examples on this slide.
        jobs.extend(self.read_pictures());
        jobs.push(self.find_tissue(source.clone()));
        jobs.extend(self.check_descriptors(&id));
        jobs.extend(self.arrive(source.info()));
        jobs
    }

    /// Adds a slide to the project's list, and updates everything that refers to one of its former IDs.
    fn list(&mut self, info: &SlideInfo, there: Option<&SlideInfo>) -> Vec<Job> {
        let shared_before = self.project.shared_ids().len();
        for note in self.project.add_slide(info, there) {
            self.notify(Severity::Note, note, None);
        }
        self.query_history.rename_slides(&self.project.former_ids());
        // Descriptors that could belong to either of two slides are used for neither.
        let shared = self.project.shared_ids().get(shared_before..).unwrap_or_default().to_vec();
        let owners: Vec<SlideId> = shared.iter().map(|id| self.project.current_id(id)).collect();
        let mut jobs = Vec::new();
        for owner in owners {
            if self.sets.remove(&owner).is_some() {
                self.index = Arc::new(self.index.without(&owner));
                self.index_stale = true;
            }
            self.set_status(&owner, SlideStatus::Checking);
            jobs.extend(self.check_descriptors(&owner));
        }
        // A slide whose file was replaced by this one is no longer listed.
        let is_listed = |id: &SlideId| self.project.slides().iter().any(|entry| entry.id == *id);
        let gone: Vec<SlideId> =
            self.slides.iter().map(|state| state.id().clone()).filter(|id| !is_listed(id)).collect();
        jobs.extend(gone.iter().flat_map(|id| self.remove(id)));
        jobs
    }

    /// Allows the encoder to run, or continues without one.
    fn trust_encoder(&mut self, trusted: bool) -> Vec<Job> {
        let EncoderState::Untrusted(module) = &self.encoder else { return Vec::new() };
        let module = module.clone();
        if trusted {
            self.encoder = EncoderState::Unknown;
            return vec![Job::Open(OpenJob::TrustEncoder { module, encoder: self.project.encoder_name() })];
        }
        let reason =
            format!("{}: was not allowed to run; slides can be viewed but not embedded", module.display());
        self.encoder = EncoderState::Failed(reason.clone());
        self.notify(Severity::Note, reason, None);
        Vec::new()
    }

    /// Removes the descriptors of a slide whose calibration has changed, since they belong to other tiles.
    fn drop_other_tiles(&mut self, source: &Arc<dyn SlideSource>) {
        let slide = &source.info().id;
        if self.sets.get(slide).is_some_and(|set| !self.has_tiles_of(set, source.info())) {
            self.sets.remove(slide);
            self.index = Arc::new(self.index.without(slide));
            self.index_stale = true;
        }
    }

    /// Whether a set belongs to the current tiles of the slide.
    fn has_tiles_of(&self, set: &DescriptorSet, info: &SlideInfo) -> bool {
        TileGrid::new(info, set.header.recipe.tiles).is_ok_and(|grid| grid == set.header.tile_grid())
    }

    /// Removes the sets from a new index that were removed or replaced while it was being built.
    fn without_outdated(&self, index: Arc<Snapshot>) -> Arc<Snapshot> {
        let is_current = |set: &Arc<DescriptorSet>| {
            let now = self.sets.get(&set.header.slide_id);
            now.is_some_and(|now| now.header.same_work(&set.header))
        };
        if index.sets().iter().all(is_current) { index } else { Arc::new(index.only(is_current)) }
    }

    fn read_profile(&mut self, slide: &SlideId) -> Vec<Job> {
        let Some(state) = self.slide_mut(slide) else { return Vec::new() };
        if !matches!(state.profile, Profile::Unknown) {
            return Vec::new();
        }
        state.profile = Profile::Reading;
        vec![Job::Scan(ScanJob::ReadProfile(state.source.clone()))]
    }

    fn measure_colours(&mut self, slide: &SlideId) -> Vec<Job> {
        let Some(state) = self.slide_mut(slide) else { return Vec::new() };
        match state.colours {
            Colours::Unknown => {
                state.colours = Colours::Measuring;
                vec![Job::Scan(ScanJob::MeasureColours(state.source.clone()))]
            }
            _ => Vec::new(),
        }
    }

    /// Requests the descriptors of earlier runs for a slide.
    fn check_descriptors(&mut self, slide: &SlideId) -> Vec<Job> {
        let Some(recipe) = self.recipe() else { return Vec::new() };
        let store = self.project.descriptors();
        match self.slide_mut(slide) {
            Some(state) if state.source.info().mpp.is_none() => {
                state.status = SlideStatus::NeedsMpp;
                Vec::new()
            }
            Some(_) => vec![Job::Load(LoadJob::LoadDescriptors { store, slide: slide.clone(), recipe })],
            None => Vec::new(),
        }
    }

    fn no_descriptors(&mut self, slide: &SlideId) -> Vec<Job> {
        let imported = self.recipe().filter(|recipe| recipe.encoder_id.is_imported());
        if let Some(state) = self.slide_mut(slide) {
            state.status = match imported {
                Some(recipe) => SlideStatus::Failed(format!(
                    "no features of {} were imported for this slide",
                    recipe.encoder_name
                )),
                None => SlideStatus::Waiting(SlideProgress::default()),
            };
        }
        self.embed_plan()
    }

    pub(super) fn show(&mut self, slide: SlideId) -> Vec<Job> {
        if self.slide(&slide).is_none() || self.active.as_ref() == Some(&slide) {
            return Vec::new();
        }
        self.active = Some(slide);
        self.field = None;
        self.embed_plan()
    }

    fn remove(&mut self, slide: &SlideId) -> Vec<Job> {
        self.slides.retain(|state| state.id() != slide);
        self.sets.remove(slide);
        self.associated.retain(|(owner, _), _| owner != slide);
        self.project.remove_slide(slide);
        self.back.retain(|place| place.slide != *slide);
        if self.active.as_ref() == Some(slide) {
            self.active = self.slides.first().map(|state| state.id().clone());
        }
        self.forget_slide_in_query(slide);
        // Its tiles must not be found any more, even while a build is running.
        self.index = Arc::new(self.index.without(slide));
        if let Some(index) =
            self.second_encoder.as_mut().and_then(|second_encoder| second_encoder.index.as_mut())
        {
            *index = Arc::new(index.without(slide));
        }
        self.index_stale = true;
        let mut jobs = vec![Job::SaveProject(Box::new(self.project.clone()))];
        jobs.extend(self.embed_plan());
        jobs.extend(self.search());
        jobs.extend(self.index_if_stale());
        jobs
    }

    fn set_mpp(&mut self, slide: &SlideId, mpp: MicronsPerPixel) -> Vec<Job> {
        let Some(path) = self.slide(slide).map(|state| state.source.info().path.clone()) else {
            return Vec::new();
        };
        if !mpp.is_plausible() {
            let text = format!(
                "{} × {} µm is not a possible pixel size; give µm per pixel, such as 0.25",
                mpp.x, mpp.y
            );
            self.notify(Severity::Error, text, None);
            return Vec::new();
        }
        self.project.set_user_mpp(slide, mpp);
        vec![Job::Open(OpenJob::OpenSlide { path, user_mpp: Some(mpp) })]
    }

    fn look_at(&mut self, slide: &SlideId, field: Level0Rect) -> Vec<Job> {
        if self.active.as_ref() != Some(slide) || self.field == Some(field) {
            return Vec::new();
        }
        self.field = Some(field);
        if self.is_embedding_left() { self.embed_plan() } else { Vec::new() }
    }

    fn set_status(&mut self, slide: &SlideId, status: SlideStatus) -> Vec<Job> {
        if let Some(state) = self.slide_mut(slide) {
            state.status = status;
        }
        Vec::new()
    }

    /// Makes the plan of the embedder: the slide in view first, then the others in list order.
    pub(super) fn embed_plan(&self) -> Vec<Job> {
        let Some(recipe) = self.recipe() else { return Vec::new() };
        let waiting = |state: &&SlideState| {
            let is_left = matches!(state.status, SlideStatus::Waiting(_) | SlideStatus::Embedding(_));
            is_left && state.unavailable.is_none()
        };
        let mut targets: Vec<&SlideState> = self.slides.iter().filter(waiting).collect();
        targets.sort_by_key(|state| self.active.as_ref() != Some(state.id()));
        let in_view = targets.first().is_some_and(|state| self.active.as_ref() == Some(state.id()));
        let encoder = self.project.encoder_name();
        vec![Job::Embed(EmbedPlan {
            recipe,
            encoder,
            store: self.project.descriptors(),
            claim: self.project.shared_claim(),
            targets: if self.embedding.cancelled || self.project.read_only().is_some() {
                Vec::new()
            } else {
                targets.into_iter().filter_map(|state| self.embed_target(state)).collect()
            },
            focus: self.field.filter(|_| in_view),
            paused: self.embedding.paused,
        })]
    }

    fn descriptors_ready(&mut self, set: Arc<DescriptorSet>, finished: bool) -> Vec<Job> {
        let slide = set.header.slide_id.clone();
        let Some(state) = self.slide(&slide) else { return Vec::new() };
        if self.recipe().as_ref() != Some(&set.header.recipe) {
            return Vec::new();
        }
        if !self.has_tiles_of(&set, state.source.info()) {
            // From an earlier calibration: the slide is embedded again.
            return if finished { self.no_descriptors(&slide) } else { Vec::new() };
        }
        if finished && self.is_selected_otherwise(&set) {
            // Searchable until the currently selected tiles are embedded.
            let jobs = self.take_set(set, false);
            return jobs.into_iter().chain(self.no_descriptors(&slide)).collect();
        }
        if finished {
            let done = set.len() as u32 + set.tiles_failed;
            let progress = SlideProgress { done, total: done, failed: set.tiles_failed };
            self.set_status(&slide, SlideStatus::Embedded(progress));
            if set.tiles_failed > 0 {
                let name = self.slide(&slide).map(|state| state.source.info().name()).unwrap_or_default();
                let text = format!(
                    "{name}: {} of {done} tissue tiles could not be read and cannot be found by similarity",
                    set.tiles_failed
                );
                self.notify(Severity::Error, text, None);
            }
        }
        self.take_set(set, finished)
    }

    /// Makes a set searchable.
    fn take_set(&mut self, set: Arc<DescriptorSet>, finished: bool) -> Vec<Job> {
        if self.is_of_another_encoder(&set) {
            return self.keep_apart(set, finished);
        }
        self.sets.insert(set.header.slide_id.clone(), set);
        self.index_stale = true;
        self.index_if_stale()
    }

    /// Removes the messages about a problem that has been solved.
    pub(super) fn withdraw(&mut self, remedy: &Remedy) {
        self.messages.retain(|message| message.remedy.as_ref() != Some(remedy));
    }

    fn go_back(&mut self) -> Vec<Job> {
        match self.back.pop() {
            Some(place) => {
                if let Some(query) = &mut self.query {
                    query.visited = None;
                }
                self.go_to(place)
            }
            None => Vec::new(),
        }
    }

    pub(super) fn go_to(&mut self, place: Place) -> Vec<Job> {
        let jobs = self.show(place.slide.clone());
        self.destination = Some(place);
        jobs
    }
}
