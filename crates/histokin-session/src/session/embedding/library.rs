//! The encoders that the user chooses from, and changes to the user's own.

use super::super::{EncoderJob, Job, LoadJob, Session};
use super::{EncoderChoice, SlideStatus};
use histokin_encoder::vit_settings::OpenSettings;
use histokin_project::project::{ListedEncoder, ProjectSettings};

/// A change to the user's encoders.
#[derive(Debug, Clone, PartialEq)]
pub enum EncoderChange {
    /// Adds the encoder of a name or path under a name.
    Add {
        /// Its name or path.
        which: String,
        /// Its name from now on.
        name: String,
        /// What its weights leave open; `None` for what was found or assumed.
        open: Option<Box<OpenSettings>>,
    },
    /// Renames an encoder.
    Rename {
        /// Its name so far.
        from: String,
        /// Its name from now on.
        to: String,
    },
    /// Removes the encoder of this name; its weights and descriptors stay.
    Remove(String),
}

impl Session {
    /// The encoders that can be chosen; `None` before they were listed.
    pub fn encoders(&self) -> Option<&[ListedEncoder]> {
        self.embedding.listed.as_deref()
    }

    pub(in crate::session) fn list_encoders(&self) -> Vec<Job> {
        vec![Job::Encoders(EncoderJob::List(Box::new(self.project.clone())))]
    }

    pub(super) fn change_encoders(&mut self, change: EncoderChange) -> Vec<Job> {
        match &change {
            EncoderChange::Add { which, .. } => {
                // It is loaded and tried first.
                self.forget_trials();
                self.embedding.choice = EncoderChoice::Reading(which.clone());
            }
            EncoderChange::Remove(name) if self.project.encoder_name() == *name => {
                self.messages.error(format!(
                    "{name} is in use by this project; choose another encoder for it, then remove this one."
                ));
                return Vec::new();
            }
            EncoderChange::Rename { .. } | EncoderChange::Remove(_) => {}
        }
        vec![Job::Encoders(EncoderJob::Change(change))]
    }

    /// Takes in what has become of a change. The project follows an encoder of its own to its new name.
    pub(super) fn encoders_changed(&mut self, change: Result<EncoderChange, String>) -> Vec<Job> {
        let mut jobs = Vec::new();
        match change {
            Err(reason) if matches!(self.embedding.choice, EncoderChoice::Reading(_)) => {
                self.embedding.choice = EncoderChoice::Refused(reason);
            }
            Err(reason) => self.messages.error(reason),
            Ok(EncoderChange::Add { name, .. }) => {
                self.messages.note(format!("{name} was added to your encoders; its file stays where it is."));
                jobs.extend(self.examine_encoder(name));
            }
            Ok(EncoderChange::Rename { from, to }) => {
                if self.project.settings().encoder.as_ref() == Some(&from) {
                    let kept = self.project.settings().clone();
                    self.project.set_settings(ProjectSettings { encoder: Some(to.clone()), ..kept });
                    jobs.push(self.save_project());
                    // The embedder loads it by its name.
                    jobs.extend(self.embed_plan());
                }
                jobs.extend(self.examine_encoder(to));
            }
            Ok(EncoderChange::Remove(name)) => {
                self.messages.note(format!("{name} was removed; its file and descriptors are kept."));
                self.embedding.choice = EncoderChoice::None;
            }
        }
        jobs.extend(self.list_encoders());
        jobs
    }

    /// Discards the descriptors of all slides by the project's encoder and embeds the slides again. What is in memory
    /// is searched until new descriptors replace it.
    pub(super) fn embed_all_again(&mut self) -> Vec<Job> {
        let Some(recipe) = self.recipe().filter(|recipe| !recipe.encoder_id.is_imported()) else {
            return Vec::new();
        };
        (self.embedding.paused, self.embedding.cancelled) = (false, false);
        let mut slides = Vec::new();
        for slide in &mut self.slides.list {
            if slide.status != SlideStatus::NeedsMpp {
                slide.status = SlideStatus::Checking;
                slides.push(slide.id().clone());
            }
        }
        self.messages.note(format!("All slides are embedded again with {}.", recipe.encoder_name));
        // The plan is empty now, so that no slide is written to while its descriptors are discarded.
        let mut jobs = self.embed_plan();
        let store = self.project.descriptors();
        jobs.push(Job::Load(LoadJob::DiscardDescriptors { store, slides, recipe }));
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_project::project::Project;

    #[test]
    fn the_project_follows_its_encoder_to_a_new_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Session::new(Project::open_or_create(folder.path()).unwrap());
        session.project.settings_mut().encoder = Some("mine".into());
        let rename = |from: &str| EncoderChange::Rename { from: from.into(), to: "ours".into() };
        session.encoders_changed(Err("there is an encoder of this name".into()));
        session.encoders_changed(Ok(rename("another")));
        assert_eq!(session.project().encoder_name(), "mine");
        let jobs = session.encoders_changed(Ok(rename("mine")));
        assert_eq!(session.project().encoder_name(), "ours");
        assert!(jobs.iter().any(|job| matches!(job, Job::SaveProject(_))));
        assert!(jobs.iter().any(|job| matches!(job, Job::Encoders(EncoderJob::List(_)))));
    }

    #[test]
    fn an_encoder_that_the_project_uses_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Session::new(Project::open_or_create(folder.path()).unwrap());
        session.project.settings_mut().encoder = Some("mine".into());
        let mut remove = |name: &str| session.change_encoders(EncoderChange::Remove(name.into()));
        assert!(remove("mine").is_empty());
        assert!(matches!(&remove("another")[..], [Job::Encoders(EncoderJob::Change(_))]));
        assert!(session.messages().iter().any(|message| message.text.contains("in use")));
    }
}
