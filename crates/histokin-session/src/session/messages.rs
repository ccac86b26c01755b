//! Messages to the user.

use std::path::PathBuf;

use crate::crash::Crash;
use histokin_core::slide::SlideId;

/// A command on messages.
#[derive(Debug, Clone, PartialEq)]
pub enum MessageCommand {
    /// Dismisses a message, by its ID.
    Dismiss(u64),
    /// Shows an error of the window itself to the user.
    Report(String),
}

/// A message of a worker.
pub enum MessageEvent {
    /// A message that may interest the user.
    Note(String),
    /// An error of which the user should know.
    Error(String),
    /// A job failed because of an error in the program. If the session waits for the job's result, the event
    /// with that result is sent too.
    Crashed(Crash),
}

/// Severity of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Information.
    Note,
    /// An error.
    Error,
}

/// A message to the user; stays until it is dismissed or withdrawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Number by which it is dismissed; unique within a session.
    pub id: u64,
    /// Severity of the message.
    pub severity: Severity,
    /// Text as shown.
    pub text: String,
    /// What the user can do about it, if anything.
    pub remedy: Option<Remedy>,
}

/// What the user can do about an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Remedy {
    /// Open the file again, or choose its new path.
    OpenAgain(PathBuf),
    /// Open another project, in this folder.
    OpenProject(PathBuf),
    /// Retry saving a slide's annotations, or export them.
    SaveAnnotations(SlideId),
    /// Embed a slide again.
    EmbedAgain(SlideId),
    /// Change to the default encoder, or stay with the project's, which is named.
    NewerEncoder(String),
    /// Copy a report of an error in the program.
    Report(String),
}

/// The messages of a session.
#[derive(Default)]
pub(super) struct Messages {
    list: Vec<Message>,
    next_id: u64,
}

impl Messages {
    pub(super) fn handle(&mut self, command: MessageCommand) {
        match command {
            MessageCommand::Dismiss(id) => self.list.retain(|message| message.id != id),
            MessageCommand::Report(text) => self.error(text),
        }
    }

    pub(super) fn absorb(&mut self, event: MessageEvent) {
        match event {
            MessageEvent::Note(text) => self.note(text),
            MessageEvent::Error(text) => self.error(text),
            MessageEvent::Crashed(crash) => {
                self.add(Severity::Error, crash.summary, Some(Remedy::Report(crash.report)));
            }
        }
    }

    /// Adds an error about which the user can do nothing here.
    pub(super) fn error(&mut self, text: impl Into<String>) {
        self.add(Severity::Error, text.into(), None);
    }

    /// Adds a note.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.add(Severity::Note, text.into(), None);
    }

    /// Adds a message with what the user can do about it.
    pub(super) fn add(&mut self, severity: Severity, text: String, remedy: Option<Remedy>) {
        let text = without_error_numbers(&text);
        // A repeated message is shown once.
        if self.list.iter().any(|message| message.text == text) {
            return;
        }
        self.list.push(Message { id: self.next_id, severity, text, remedy });
        self.next_id += 1;
    }

    /// Removes messages of a project that is left: what can be done about them would be done to the next one, and they
    /// come again when the project is opened again.
    pub(super) fn leave_project(&mut self) {
        self.list.retain(|message| match message.remedy {
            None | Some(Remedy::OpenProject(_) | Remedy::Report(_)) => true,
            Some(
                Remedy::OpenAgain(_)
                | Remedy::SaveAnnotations(_)
                | Remedy::EmbedAgain(_)
                | Remedy::NewerEncoder(_),
            ) => false,
        });
    }

    /// Removes the messages about a problem that has been solved.
    pub(super) fn withdraw(&mut self, remedy: &Remedy) {
        self.list.retain(|message| message.remedy.as_ref() != Some(remedy));
    }
}

/// Removes the numbers of errors of the system, such as " (os error 28)", which mean nothing to users.
pub(super) fn without_error_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches('-').trim_start_matches(|digit: char| digit.is_ascii_digit());
        match rest.strip_prefix(')') {
            Some(rest) if rest.len() < part.len() - 1 => kept.push_str(rest),
            _ => kept.extend([" (os error ", part]),
        }
    }
    kept
}

impl super::Session {
    /// Messages that have not been dismissed, the oldest first.
    pub fn messages(&self) -> &[Message] {
        &self.messages.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_no_numbers_of_errors() {
        let mut messages = Messages::default();
        let full = std::io::Error::from_raw_os_error(28);
        messages.error(format!("a.svs: {full}; b.svs: {full}."));
        assert!(!messages.list[0].text.contains("os error"), "{}", messages.list[0].text);
        assert!(messages.list[0].text.ends_with('.') && messages.list[0].text.contains("; b.svs: "));
        for text in ["slide (os error in it).svs", "slide (os error ", "(os error )", "plain"] {
            assert_eq!(without_error_numbers(text), text);
        }
    }
}
