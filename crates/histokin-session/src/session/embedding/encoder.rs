//! The project's encoder: its choice, permission to run it, and the suggestion to change to a newer one.

use super::super::{Job, OpenJob, Remedy, Session, Severity};
use super::{EncoderState, SlideStatus};
use histokin_encoder as encoder;
use histokin_project::project::ProjectSettings;

impl Session {
    /// Suggests the default encoder if the project uses an earlier default without an explicit choice, or
    /// an encoder that is no longer shipped.
    pub(in crate::session) fn offer_default_encoder(&mut self) {
        if self.project.read_only().is_some() {
            return;
        }
        let text = if self.project.has_former_default() {
            format!(
                "This project uses {}, the default encoder of earlier versions, and keeps it. The default is now \
                 {}, which finds more of the same tissue in other patients. Switching to it embeds all slides again; \
                 searches use the current descriptors until that is done, and these are kept.",
                self.project.encoder_name(),
                encoder::DEFAULT
            )
        } else if let Some(text) = encoder::removed(&self.project.encoder_name()) {
            text
        } else {
            return;
        };
        self.messages.add(Severity::Note, text, Some(Remedy::NewerEncoder(self.project.encoder_name())));
    }

    /// Changes the project's encoder to `name` and embeds all slides again. If the project already uses this
    /// encoder, it is only recorded in the project's settings as an explicit choice.
    pub(super) fn choose_encoder(&mut self, name: String) -> Vec<Job> {
        let settings = ProjectSettings {
            encoder: Some(name.clone()),
            keeps_encoder: true,
            ..self.project.settings().clone()
        };
        if self.project.encoder_name() == name {
            self.messages.withdraw(&Remedy::NewerEncoder(name));
            self.project.set_settings(settings);
            return vec![self.save_project()];
        }
        self.embed_again(settings, embedded_again_with(&name))
    }

    /// Allows the encoder to run, or continues without one.
    pub(super) fn trust_encoder(&mut self, trusted: bool) -> Vec<Job> {
        let EncoderState::Untrusted(module) = &self.embedding.encoder else { return Vec::new() };
        let module = module.clone();
        if trusted {
            self.embedding.encoder = EncoderState::Unknown;
            return vec![Job::Open(OpenJob::TrustEncoder { module, encoder: self.project.encoder_name() })];
        }
        let reason =
            format!("{}: was not allowed to run; slides can be viewed but not embedded", module.display());
        self.embedding.encoder = EncoderState::Failed(reason.clone());
        self.messages.note(reason);
        Vec::new()
    }

    /// Embeds all slides again with `settings`. Searches use the existing descriptors until that is done.
    pub(in crate::session) fn embed_again(&mut self, settings: ProjectSettings, text: String) -> Vec<Job> {
        self.messages.withdraw(&Remedy::NewerEncoder(self.project.encoder_name()));
        self.project.set_settings(settings);
        self.embedding.encoder = EncoderState::Unknown;
        self.embedding.incoming.clear();
        for slide in &mut self.slides.list {
            if slide.status != SlideStatus::NeedsMpp {
                slide.status = SlideStatus::Checking;
            }
        }
        self.messages.note(text);
        let which = self.project.encoder_name();
        vec![self.save_project(), Job::Open(OpenJob::ReadEncoderSpec(which))]
    }
}

/// Returns the message that the slides are embedded again with the encoder of this name.
pub(super) fn embedded_again_with(name: &str) -> String {
    format!(
        "The slides are embedded again with {name}; until that is done, searches use the current descriptors"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_project::project::Project;

    /// Returns a started session of a project with this encoder.
    fn session(encoder: Option<&str>) -> (tempfile::TempDir, Session) {
        let folder = tempfile::tempdir().unwrap();
        let mut project = Project::open_or_create(folder.path()).unwrap();
        project.settings_mut().encoder = encoder.map(str::to_owned);
        let mut session = Session::new(project);
        session.first_jobs();
        (folder, session)
    }

    fn learned(jobs: &[Job]) -> Option<&str> {
        jobs.iter().find_map(|job| match job {
            Job::Open(OpenJob::ReadEncoderSpec(which)) => Some(which.as_str()),
            _ => None,
        })
    }

    #[test]
    fn new_projects_have_the_default_and_are_offered_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Session::new(Project::open_or_create(folder.path()).unwrap());
        let jobs = session.first_jobs();
        assert_eq!(learned(&jobs), Some(encoder::DEFAULT));
        assert!(session.messages().is_empty());
    }

    #[test]
    fn projects_of_the_former_default_go_on_with_it_until_the_new_one_is_taken() {
        let (_folder, mut session) = session(None);
        assert_eq!(session.project().encoder_name(), encoder::FIRST_DEFAULT);
        let remedy = Remedy::NewerEncoder(encoder::FIRST_DEFAULT.to_owned());
        assert_eq!(session.messages()[0].remedy.as_ref(), Some(&remedy));
        let jobs = session.choose_encoder(encoder::DEFAULT.to_owned());
        assert_eq!(learned(&jobs), Some(encoder::DEFAULT));
        assert!(session.messages().iter().all(|message| message.remedy.is_none()));
    }

    #[test]
    fn the_previous_default_is_suggested_to_change_until_it_is_chosen() {
        let (folder, mut session) = session(Some(encoder::PREVIOUS_DEFAULT));
        let message = &session.messages()[0];
        assert!(message.text.contains(encoder::PREVIOUS_DEFAULT) && message.text.contains(encoder::DEFAULT));
        session.choose_encoder(encoder::PREVIOUS_DEFAULT.to_owned());
        session.project().save().unwrap();
        let mut again = Session::new(Project::open(folder.path()).unwrap());
        again.first_jobs();
        assert!(again.messages().is_empty());
    }

    #[test]
    fn any_change_of_the_encoder_withdraws_the_suggestion() {
        let (_folder, mut session) = session(None);
        assert!(session.messages().iter().any(|message| message.remedy.is_some()));
        let settings =
            ProjectSettings { encoder: Some("mine".into()), ..session.project().settings().clone() };
        session.embed_again(settings, "embedded again".into());
        assert!(session.messages().iter().all(|message| message.remedy.is_none()));
    }

    #[test]
    fn staying_is_kept_and_embeds_nothing() {
        let (folder, mut session) = session(None);
        let jobs = session.choose_encoder(encoder::FIRST_DEFAULT.to_owned());
        assert!(matches!(jobs[..], [Job::SaveProject(_)]), "{}", jobs.len());
        session.project().save().unwrap();
        let mut again = Session::new(Project::open(folder.path()).unwrap());
        again.first_jobs();
        assert!(again.messages().is_empty());
        assert_eq!(again.project().encoder_name(), encoder::FIRST_DEFAULT);
    }

    #[test]
    fn an_encoder_that_is_gone_is_named_with_what_to_do() {
        let (_folder, session) = session(Some("tissue-neighbours"));
        let message = &session.messages()[0];
        assert!(message.text.contains("tissue-neighbours") && message.text.contains(encoder::DEFAULT));
        assert!(matches!(message.remedy, Some(Remedy::NewerEncoder(_))));
    }
}
