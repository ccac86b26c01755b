//! A progress bar on standard error; silent where that is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

use crate::pipeline::EmbedProgress;

/// The bar of one slide's embedding.
pub struct EmbedBar {
    bar: ProgressBar,
    name: String,
}

impl EmbedBar {
    pub fn new(name: String) -> Self {
        let bar = ProgressBar::new(0);
        let style = "{msg:30!} {wide_bar} {pos}/{len} tiles  {per_sec}  {eta} left";
        // The template is a constant; should it ever be wrong, the plain bar serves.
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(name.clone());
        Self { bar, name }
    }

    pub fn show(&self, progress: EmbedProgress) {
        match progress {
            EmbedProgress::Started { done, total, .. } => {
                self.bar.set_length(total.into());
                self.bar.set_position(done.into());
                self.bar.reset_eta();
                if done > 0 {
                    self.say(&format!("{}: {done} tiles were embedded before", self.name));
                }
            }
            EmbedProgress::Tiles { done, .. } => self.bar.set_position(done.into()),
            EmbedProgress::Notice(text) => self.say(&text),
            EmbedProgress::Searchable(_) => {}
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Write a line without disturbing the bar.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}
