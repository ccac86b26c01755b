//! Progress bars on standard error; if it is not a terminal, a line of text at intervals instead.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::number_format::counted;
use crate::pipeline::EmbedProgress;
use crate::training::{Progress, Validation};

/// Progress bar for embedding one slide.
pub struct EmbedBar {
    bar: ProgressBar,
    name: String,
}

impl EmbedBar {
    /// Shows an empty bar labelled `name`.
    pub fn new(name: String) -> Self {
        let bar = ProgressBar::new(0);
        let style = "{msg:30!} {wide_bar} {pos}/{len} tiles  {per_sec}  {eta} left";
        // The template is constant; if it were invalid, the default bar would be used.
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(name.clone());
        Self { bar, name }
    }

    /// Updates the bar, or writes a line for a message.
    pub fn show(&self, progress: EmbedProgress) {
        match progress {
            EmbedProgress::FindingTissue { share } => {
                self.bar.set_message(format!("{:.0} % read  {}", 100.0 * share, self.name));
            }
            EmbedProgress::Started { done, total, .. } => {
                self.bar.set_message(self.name.clone());
                self.bar.set_length(total.into());
                self.bar.set_position(done.into());
                self.bar.reset_eta();
                if done > 0 {
                    self.say(&format!("{}: {} embedded earlier", self.name, counted(done.into(), "tile")));
                }
            }
            EmbedProgress::Tiles { done, .. } => self.bar.set_position(done.into()),
            EmbedProgress::Coarser { mpp, asked_mpp } => self.say(&format!(
                "{}: the slide is coarser ({mpp:.3} µm/px) than {asked_mpp} µm/px; its own spacing is used",
                self.name
            )),
            EmbedProgress::Notice(text) => self.say(&text),
            EmbedProgress::Searchable(_) => {}
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Writes a line above the bar.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| noteln!("{text}"));
    }
}

/// Interval between lines if standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Progress bar for a training run.
pub struct TrainingBar {
    bar: ProgressBar,
    name: String,
    line_written: Cell<Option<Instant>>,
}

impl TrainingBar {
    /// Shows an empty bar labelled `name`.
    pub fn new(name: String) -> Self {
        let bar = ProgressBar::new(0);
        let style = "{prefix} {wide_bar} {pos}/{len} steps  {msg}";
        // The template is constant; if it were invalid, the default bar would be used.
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(name.clone());
        Self { bar, name, line_written: Cell::new(None) }
    }

    /// Updates the bar, or writes a line for a message.
    pub fn show(&self, progress: Progress) {
        match progress {
            Progress::Started { step, steps, device, .. } => {
                self.bar.set_length(steps);
                self.bar.set_position(step);
                self.say(&format!("{}: {steps} steps on {device}, starting after step {step}", self.name));
            }
            Progress::Step { record, pace } => {
                let left = Duration::from_secs_f64(pace.seconds_left.clamp(0.0, 1e9).round());
                let text = format!(
                    "loss {:.4}  {:.1} pairs/s  {} left",
                    record.loss,
                    pace.pairs_per_second,
                    indicatif::HumanDuration(left)
                );
                self.bar.set_position(record.step);
                self.bar.set_message(text.clone());
                self.line(&format!("step {}  {text}", record.step));
            }
            Progress::Keeping { done, total, seconds_left } => {
                let left = Duration::from_secs_f64(seconds_left.clamp(0.0, 1e9).round());
                let text =
                    format!("features of {done} of {total} tiles  {} left", indicatif::HumanDuration(left));
                self.bar.set_message(text.clone());
                self.line(&text);
            }
            Progress::Validated(validation) => {
                self.say(&format!("{}: {}", self.name, validation_line(&validation)));
            }
            Progress::Notice(text) => self.say(&text),
            Progress::Pairs(_) | Progress::Validating | Progress::Saved { .. } => {}
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Writes a line where no bar is shown, now and then.
    fn line(&self, text: &str) {
        let is_due = self.line_written.get().is_none_or(|then| then.elapsed() >= LINE_EVERY);
        if self.bar.is_hidden() && is_due {
            self.line_written.set(Some(Instant::now()));
            noteln!("{}: {text}", self.name);
        }
    }

    /// Writes a line above the bar.
    fn say(&self, text: &str) {
        self.bar.suspend(|| noteln!("{text}"));
    }
}

fn validation_line(validation: &Validation) -> String {
    let number = |value: Option<f64>| value.map_or("none".to_owned(), |value| format!("{value:.3}"));
    let loss = validation.loss.map(|loss| format!(", loss {loss:.3}")).unwrap_or_default();
    let retrieval = validation
        .retrieval
        .map(|found| format!(", P@5 {:.3} (chance {:.3})", found.p_at_5, found.chance_level))
        .unwrap_or_default();
    format!(
        "step {}: ADDR {} (median {}){loss}{retrieval} on {} validation tiles",
        validation.step,
        number(validation.addr_global),
        number(validation.addr_median),
        validation.tiles
    )
}
