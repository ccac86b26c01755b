//! What slides are stained with, and how the channels of fluorescence slides are shown.

use std::sync::Arc;

use super::super::{Job, OpenJob, ScanJob, Session};
use histokin_core::geometry::Level0Rect;
use histokin_core::slide::channel::{self, ChannelDisplay};
use histokin_core::slide::{SlideId, SlideSource};
use histokin_core::stain::{SlideStain, StainSetting, StainType, StainVectors};

impl Session {
    /// Returns what a slide is stained with, as set by the user or else as guessed; H&E until it is guessed.
    pub fn stain(&self, slide: &SlideId) -> SlideStain {
        self.project.stain(slide).unwrap_or_else(|| SlideStain::usual(self.guessed_stain(slide)))
    }

    /// Whether the user has set what a slide is stained with.
    pub fn is_stain_set(&self, slide: &SlideId) -> bool {
        self.project.stain(slide).is_some()
    }

    fn guessed_stain(&self, slide: &SlideId) -> StainType {
        match self.slide(slide) {
            Some(state) if state.source.info().is_fluorescence() => StainType::Fluorescence,
            Some(state) => state.guessed_stain.unwrap_or_default(),
            None => StainType::default(),
        }
    }

    /// Sets what a slide is stained with. If that decides whether tiles are stain-normalised, all slides are embedded
    /// again.
    pub(super) fn set_stain(&mut self, slide: &SlideId, stain: Option<SlideStain>) -> Vec<Job> {
        let before = self.normalisation();
        self.project.set_stain(slide, stain);
        let mut jobs = vec![self.save_project()];
        jobs.extend(self.embed_again_unless_normalised_as(before));
        jobs
    }

    /// Whether tiles are stain-normalised, once the encoder is known. It depends on the stains of all listed slides.
    pub(super) fn normalisation(&self) -> Option<StainSetting> {
        self.recipe().map(|recipe| recipe.stain)
    }

    /// Embeds all slides again if the stain normalisation is another one than `before`.
    pub(super) fn embed_again_unless_normalised_as(&mut self, before: Option<StainSetting>) -> Vec<Job> {
        let now = self.normalisation();
        if before == now {
            return Vec::new();
        }
        let normalised = if now.is_some_and(|stain| stain.is_lab()) { "with" } else { "without" };
        let text = format!(
            "The slides are embedded again {normalised} stain normalisation, which is for H&E only; until that is done, \
             searches use the current descriptors"
        );
        self.embed_again(self.project.settings().clone(), text)
    }

    pub(super) fn estimate_stains(&mut self, slide: &SlideId, region: Level0Rect) -> Vec<Job> {
        let Some(state) = self.slide(slide) else { return Vec::new() };
        vec![Job::Scan(ScanJob::EstimateStains { slide: state.source.clone(), region })]
    }

    pub(super) fn stains_estimated(
        &mut self,
        slide: &SlideId,
        vectors: Result<StainVectors, String>,
    ) -> Vec<Job> {
        match vectors {
            Ok(vectors) => {
                let kind = self.stain(slide).kind;
                if kind == StainType::Fluorescence {
                    // Set by the user in the meantime; it is separated by no vectors.
                    return Vec::new();
                }
                let fitting = StainType::fitting(&vectors).filter(|_| kind != StainType::Other);
                if let Some(fitting) = fitting.filter(|fitting| *fitting != kind) {
                    // Changing the kind may embed all slides again, so the user decides.
                    self.messages.note(format!(
                        "{}: the estimated stains are those of {}, and the slide counts as {}. If that is wrong, choose {} \
                         as its stain; the estimated vectors stay.",
                        self.slides.name(slide),
                        fitting.name(),
                        kind.name(),
                        fitting.name()
                    ));
                }
                self.set_stain(slide, Some(SlideStain { kind, vectors: Some(vectors) }))
            }
            Err(reason) => {
                let name = self.slides.name(slide);
                self.messages.error(format!("{name}: the stain vectors were not estimated: {reason}"));
                Vec::new()
            }
        }
    }

    /// Sets how the channels of a slide are shown. The slide is opened again for the view, the lists and exported images;
    /// what is embedded stays as it is.
    pub(super) fn set_channels(&mut self, slide: &SlideId, channels: Vec<ChannelDisplay>) -> Vec<Job> {
        let Some(state) = self.slide(slide) else { return Vec::new() };
        let source = state.source.clone();
        let automatic = source.info().channels.iter().map(|channel| &channel.automatic);
        let is_default = automatic.eq(channels.iter());
        self.project.set_channels(slide, if is_default { Vec::new() } else { channels });
        let mut jobs = vec![self.save_project()];
        match self.open_with_channels(&source) {
            Some(job) => jobs.push(job),
            None => jobs.extend(self.show_channels(slide, None)),
        }
        jobs
    }

    /// Returns the job that opens a slide with its channels shown as the user has set them; `None` for the default.
    pub(super) fn open_with_channels(&self, source: &Arc<dyn SlideSource>) -> Option<Job> {
        let info = source.info();
        let channels = self.project.channels(&info.id).to_vec();
        channel::fits(&channels, &info.channels)
            .then(|| Job::Open(OpenJob::ApplyChannels { slide: source.clone(), channels }))
    }

    pub(super) fn channels_applied(
        &mut self,
        slide: &SlideId,
        channels: &[ChannelDisplay],
        source: Result<Arc<dyn SlideSource>, String>,
    ) -> Vec<Job> {
        // The user may have changed them since.
        if self.project.channels(slide) != channels {
            return Vec::new();
        }
        match source {
            Ok(source) => self.show_channels(slide, Some(source)),
            Err(reason) => {
                self.messages.error(reason);
                // A slide that was opened just now waits for this with its thumbnail.
                let state = self.slide(slide).filter(|state| state.thumbnail.is_none());
                let shown = state.map(|state| state.shown().clone());
                shown.map(|shown| self.read_thumbnail(shown)).into_iter().collect()
            }
        }
    }

    /// Shows a slide as `source`, or by default.
    fn show_channels(&mut self, slide: &SlideId, source: Option<Arc<dyn SlideSource>>) -> Vec<Job> {
        let Some(state) = self.slides.get_mut(slide) else { return Vec::new() };
        state.with_channels = source;
        state.thumbnail = None;
        let shown = state.shown().clone();
        self.slides.tile_pictures.retain(|(of, _), _| of != slide);
        let mut jobs = vec![self.read_thumbnail(shown)];
        jobs.extend(self.read_pictures());
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SlideCommand, SlideEvent};
    use super::*;
    use crate::session::{EmbeddingEvent, PictureJob};
    use histokin_core::descriptors::EncoderId;
    use histokin_core::slide::test_slide::TestSlide;
    use histokin_core::stain::LabStatistics;
    use histokin_core::tiling::TileSettings;
    use histokin_encoder::EncoderSpec;
    use histokin_project::project::Project;

    /// A session with two slides and an encoder of normalised tiles.
    fn session() -> (tempfile::TempDir, Session, [SlideId; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Session::new(Project::open_or_create(folder.path()).unwrap());
        know_encoder(&mut session);
        let ids = [640, 660].map(|width| {
            let slide = Arc::new(TestSlide::new(width, 480));
            session.absorb(SlideEvent::Opened(slide.clone()));
            slide.info().id.clone()
        });
        (folder, session, ids)
    }

    fn know_encoder(session: &mut Session) {
        let spec = EncoderSpec {
            id: EncoderId("of normalised tiles".to_owned()),
            name: "of normalised tiles".to_owned(),
            width: 128,
            tiles: TileSettings::default(),
            stain: StainSetting::Lab,
            stain_reference: LabStatistics { mean: [75.5, 15.8, -9.8], std: [10.5, 5.5, 4.1] },
        };
        let which = session.project().encoder_name();
        session.absorb(EmbeddingEvent::EncoderKnown { which, spec: Box::new(spec) });
    }

    fn embeds_again(jobs: &[Job]) -> bool {
        jobs.iter().any(|job| matches!(job, Job::Open(OpenJob::ReadEncoderSpec(_))))
    }

    #[test]
    fn all_slides_are_embedded_again_when_the_only_one_of_another_stain_comes_or_goes() {
        let (_folder, mut session, [first, second]) = session();
        assert_eq!(session.normalisation(), Some(StainSetting::Lab));
        let dab = Some(SlideStain::usual(StainType::HaematoxylinDab));
        assert!(embeds_again(&session.handle(SlideCommand::SetStain { slide: first.clone(), stain: dab })));
        know_encoder(&mut session);
        assert_eq!(session.normalisation(), Some(StainSetting::None));
        // Another one changes nothing.
        assert!(!embeds_again(&session.handle(SlideCommand::SetStain { slide: second.clone(), stain: dab })));
        assert!(!embeds_again(&session.handle(SlideCommand::Remove(second))));
        assert!(embeds_again(&session.handle(SlideCommand::Remove(first))));
        know_encoder(&mut session);
        assert_eq!(session.normalisation(), Some(StainSetting::Lab));
    }

    #[test]
    fn estimated_vectors_that_are_those_of_another_kind_are_told_and_kept() {
        let (_folder, mut session, [slide, other]) = session();
        let estimated = |session: &mut Session, slide: &SlideId, vectors: StainVectors| {
            session.absorb(SlideEvent::StainsEstimated { slide: slide.clone(), vectors: Ok(vectors) });
            session.stain(slide)
        };
        let he = StainVectors::HAEMATOXYLIN_EOSIN;
        let stain = estimated(&mut session, &slide, he);
        assert_eq!((stain.kind, stain.vectors), (StainType::HaematoxylinEosin, Some(he)));
        let is_told = |session: &Session| session.messages().iter().any(|one| one.text.contains("H-DAB"));
        assert!(!is_told(&session));
        let dab = StainVectors::HAEMATOXYLIN_DAB;
        let stain = estimated(&mut session, &slide, dab);
        assert_eq!((stain.kind, stain.vectors), (StainType::HaematoxylinEosin, Some(dab)));
        assert!(is_told(&session));
        let fluorescence = SlideStain::usual(StainType::Fluorescence);
        session.handle(SlideCommand::SetStain { slide: other.clone(), stain: Some(fluorescence) });
        assert_eq!(estimated(&mut session, &other, he), fluorescence, "which has no stain vectors");
    }

    #[test]
    fn a_slide_whose_channels_cannot_be_applied_gets_its_thumbnail_all_the_same() {
        let (_folder, mut session, [slide, _]) = session();
        let source = Err("it cannot be read".to_owned());
        let jobs = session.absorb(SlideEvent::ChannelsApplied { slide, channels: Vec::new(), source });
        assert!(jobs.iter().any(|job| matches!(job, Job::Picture(PictureJob::ReadThumbnail { .. }))));
    }
}
