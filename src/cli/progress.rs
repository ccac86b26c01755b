//! Progress bars on standard error; if it is not a terminal, such as in the log of a cluster's job, a line of text at
//! intervals instead.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::number_format::{counted, grouped};
use crate::pipeline::EmbedProgress;
use crate::training::{Progress, Validation};

/// Interval between lines if standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Lines in place of a bar.
struct Lines {
    name: String,
    /// When the last line was written, or when the work began; `None` if a line is due at once.
    written: Cell<Option<Instant>>,
}

impl Lines {
    fn new(name: String) -> Self {
        Self { name, written: Cell::new(Some(Instant::now())) }
    }

    /// Writes a line if `bar` is not shown and the last line was written some time ago.
    fn write(&self, bar: &ProgressBar, text: &str) {
        let is_due = self.written.get().is_none_or(|then| then.elapsed() >= LINE_EVERY);
        if bar.is_hidden() && is_due {
            self.written.set(Some(Instant::now()));
            noteln!("{}: {text}", self.name);
        }
    }
}

/// A bar with this template of indicatif.
fn styled(template: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    // Templates are constant; if one were invalid, the default bar would be used.
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Progress bar for work of which the share that is done is known.
pub struct ShareBar {
    bar: ProgressBar,
    lines: Lines,
}

impl ShareBar {
    /// Shows an empty bar labelled `name`.
    pub fn new(name: impl Into<String>) -> Self {
        /// Steps of the bar.
        const STEPS: u64 = 1000;

        let name = name.into();
        let bar = styled("{prefix} {wide_bar} {percent} %  {msg}  {eta} left");
        bar.set_length(STEPS);
        bar.set_prefix(name.clone());
        Self { bar, lines: Lines::new(name) }
    }

    /// Shows the share (0 to 1) that is done, and what is being done.
    pub fn show(&self, share: f64, doing: &str) {
        let steps = self.bar.length().unwrap_or_default() as f64;
        self.bar.set_position((steps * share.clamp(0.0, 1.0)) as u64);
        self.bar.set_message(doing.to_owned());
        let separator = if doing.is_empty() { "" } else { ", " };
        self.lines.write(&self.bar, &format!("{:.0} % done{separator}{doing}", 100.0 * share));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Progress bar for embedding one slide.
pub struct EmbedBar {
    bar: ProgressBar,
    lines: Lines,
}

impl EmbedBar {
    /// Shows an empty bar labelled `name`.
    pub fn new(name: String) -> Self {
        let bar = styled("{msg:30!} {wide_bar} {pos}/{len} tiles  {per_sec}  {eta} left");
        bar.set_message(name.clone());
        Self { bar, lines: Lines::new(name) }
    }

    /// Updates the bar, or writes a line for a message.
    pub fn show(&self, progress: EmbedProgress) {
        match progress {
            EmbedProgress::FindingTissue { share } => {
                let text = format!("{:.0} % read", 100.0 * share);
                self.bar.set_message(format!("{text}  {}", self.lines.name));
                self.lines.write(&self.bar, &format!("{text} to find tissue"));
            }
            EmbedProgress::Started { done, total, .. } => {
                self.bar.set_message(self.lines.name.clone());
                self.bar.set_length(total.into());
                self.bar.set_position(done.into());
                self.bar.reset_eta();
                if done > 0 {
                    self.say(&format!(
                        "{}: {} embedded earlier",
                        self.lines.name,
                        counted(done.into(), "tile")
                    ));
                }
            }
            EmbedProgress::Tiles { done, total, tiles_per_second, .. } => {
                self.bar.set_position(done.into());
                let (done, total) = (grouped(done.into()), counted(total.into(), "tile"));
                self.lines.write(&self.bar, &format!("{done} of {total}, {tiles_per_second:.0} a second"));
            }
            EmbedProgress::Coarser { mpp, asked_mpp } => self.say(&format!(
                "{}: the slide is coarser ({mpp:.3} µm/px) than {asked_mpp} µm/px; its own spacing is used",
                self.lines.name
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

/// Progress bar for a training run.
pub struct TrainingBar {
    bar: ProgressBar,
    lines: Lines,
}

impl TrainingBar {
    /// Shows an empty bar labelled `name`.
    pub fn new(name: String) -> Self {
        let bar = styled("{prefix} {wide_bar} {pos}/{len} steps  {msg}");
        bar.set_prefix(name.clone());
        Self { bar, lines: Lines { name, written: Cell::new(None) } }
    }

    /// Updates the bar, or writes a line for a message.
    pub fn show(&self, progress: Progress) {
        match progress {
            Progress::Started { step, steps, device, .. } => {
                self.bar.set_length(steps);
                self.bar.set_position(step);
                self.say(&format!(
                    "{}: {steps} steps on {device}, starting after step {step}",
                    self.lines.name
                ));
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
                self.lines.write(&self.bar, &format!("step {}  {text}", record.step));
            }
            Progress::Keeping { done, total, seconds_left } => {
                let left = Duration::from_secs_f64(seconds_left.clamp(0.0, 1e9).round());
                let text =
                    format!("features of {done} of {total} tiles  {} left", indicatif::HumanDuration(left));
                self.bar.set_message(text.clone());
                self.lines.write(&self.bar, &text);
            }
            Progress::Validated(validation) => {
                self.say(&format!("{}: {}", self.lines.name, validation_line(&validation)));
            }
            Progress::Notice(text) => self.say(&text),
            Progress::Pairs(_) | Progress::Validating | Progress::Saved { .. } => {}
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_at_intervals_and_only_without_a_bar() {
        let hidden = ProgressBar::hidden();
        let lines = Lines { name: "a.svs".to_owned(), written: Cell::new(None) };
        lines.write(&hidden, "10 of 100 tiles");
        let written = lines.written.get();
        assert!(written.is_some(), "a line was due");
        lines.write(&hidden, "11 of 100 tiles");
        assert_eq!(lines.written.get(), written, "the next one is not yet");
    }
}
