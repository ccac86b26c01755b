//! An encoder that the user looks at before the project changes to it.

use super::super::{EncoderJob, Job, Session};
use super::EmbeddingState;
use super::encoder::embedded_again_with;
use histokin_core::tiling::TileSettings;
use histokin_encoder::vit_settings::OpenSettings;
use histokin_project::project::ProjectSettings;

/// An encoder that could be used, with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderOffer {
    /// Its name or path.
    pub which: String,
    /// Its display name.
    pub name: String,
    /// Tiles that it was made for.
    pub tiles: TileSettings,
    /// What is known of it: labels and texts, in the order in which they are shown.
    pub facts: Vec<(String, String)>,
    /// What its weights leave open, if anything.
    pub open: Option<OpenSettings>,
}

/// The look at an encoder.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum EncoderChoice {
    /// None is looked at.
    #[default]
    None,
    /// The encoder of this name or path is being read.
    Reading(String),
    /// It can be used.
    Offered(Box<EncoderOffer>),
    /// It cannot be used, for this reason.
    Refused(String),
}

impl EmbeddingState {
    /// The encoder that the user looks at.
    pub fn choice(&self) -> &EncoderChoice {
        &self.choice
    }
}

impl Session {
    /// Has the encoder of this name or path read.
    pub(super) fn examine_encoder(&mut self, which: String) -> Vec<Job> {
        self.forget_trials();
        self.embedding.is_given = false;
        self.embedding.choice = EncoderChoice::Reading(which.clone());
        vec![Job::Encoders(EncoderJob::Examine(which))]
    }

    /// Has an encoder read that the user has given, and shows which tiles it finds similar.
    pub(in crate::session) fn offer_encoder(&mut self, path: String) -> Vec<Job> {
        let jobs = self.examine_encoder(path);
        self.embedding.is_given = true;
        jobs
    }

    /// Takes over what was found, unless the user looks at another encoder by now.
    pub(super) fn encoder_examined(
        &mut self,
        which: &str,
        found: Result<Box<EncoderOffer>, String>,
    ) -> Vec<Job> {
        if self.embedding.choice != EncoderChoice::Reading(which.to_owned()) {
            return Vec::new();
        }
        match found {
            Ok(offer) => self.embedding.choice = EncoderChoice::Offered(offer),
            Err(reason) => self.embedding.choice = EncoderChoice::Refused(reason),
        }
        match std::mem::take(&mut self.embedding.is_given) && !self.slides.list.is_empty() {
            true => self.preview_encoder(),
            false => Vec::new(),
        }
    }

    /// Changes the project to the offered encoder and the tiles that it was made for, and embeds all slides again.
    pub(super) fn use_offered_encoder(&mut self) -> Vec<Job> {
        let EncoderChoice::Offered(offer) = std::mem::take(&mut self.embedding.choice) else {
            return Vec::new();
        };
        self.forget_trials();
        let EncoderOffer { which, name, tiles, .. } = *offer;
        let kept = self.project.settings().clone();
        let settings = ProjectSettings { encoder: Some(which), keeps_encoder: true, tiles, ..kept };
        self.embed_again(settings, embedded_again_with(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::OpenJob;
    use super::*;
    use histokin_project::project::Project;

    fn offer(which: &str) -> Box<EncoderOffer> {
        let tiles = TileSettings { tile_px: 224, mpp: 0.5 };
        Box::new(EncoderOffer {
            which: which.into(),
            name: "UNI2-h".into(),
            tiles,
            facts: Vec::new(),
            open: None,
        })
    }

    #[test]
    fn an_offered_encoder_is_used_with_the_tiles_that_it_was_made_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Session::new(Project::open_or_create(folder.path()).unwrap());
        let jobs = session.examine_encoder("uni2.bin".into());
        assert!(matches!(&jobs[..], [Job::Encoders(EncoderJob::Examine(which))] if which == "uni2.bin"));
        session.encoder_examined("earlier.bin", Err("damaged".into()));
        assert_eq!(session.embedding().choice(), &EncoderChoice::Reading("uni2.bin".into()));
        session.encoder_examined("uni2.bin", Ok(offer("uni2.bin")));
        let jobs = session.use_offered_encoder();
        assert!(
            jobs.iter()
                .any(|job| matches!(job, Job::Open(OpenJob::ReadEncoderSpec(which)) if which == "uni2.bin"))
        );
        let settings = session.project().settings();
        assert_eq!((settings.encoder.as_deref(), settings.tiles.mpp), (Some("uni2.bin"), 0.5));
        assert_eq!(session.embedding().choice(), &EncoderChoice::None);
    }

    #[test]
    fn what_cannot_be_used_says_why_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Session::new(Project::open_or_create(folder.path()).unwrap());
        let before = session.project().settings().clone();
        session.examine_encoder("text.bin".into());
        session.encoder_examined("text.bin", Err("a text model".into()));
        assert_eq!(session.embedding().choice(), &EncoderChoice::Refused("a text model".into()));
        assert!(session.use_offered_encoder().is_empty());
        assert_eq!(session.project().settings(), &before);
    }
}
