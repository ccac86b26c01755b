//! Progress bars on standard error; where that is no terminal, plain lines now and then.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::pipeline::EmbedProgress;
use crate::training::{Progress, Validation};

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
            EmbedProgress::Coarser { mpp, asked_mpp } => self.say(&format!(
                "{}: the slide is coarser ({mpp:.3} µm/px) than the {asked_mpp} µm/px asked for; its own resolution is used",
                self.name
            )),
            EmbedProgress::Notice(text) => self.say(&text),
            EmbedProgress::Searchable(_) => {}
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Write a line without disturbing the bar.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| noteln!("{text}"));
    }
}

/// Without a terminal a line is written this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The bar of a training run.
pub struct TrainingBar {
    bar: ProgressBar,
    name: String,
    line_written: Cell<Option<Instant>>,
}

impl TrainingBar {
    pub fn new(name: String) -> Self {
        let bar = ProgressBar::new(0);
        let style = "{prefix} {wide_bar} {pos}/{len} steps  {msg}";
        // The template is a constant; should it ever be wrong, the plain bar serves.
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(name.clone());
        Self { bar, name, line_written: Cell::new(None) }
    }

    pub fn show(&self, progress: Progress) {
        match progress {
            Progress::Began { step, steps, device, .. } => {
                self.bar.set_length(steps);
                self.bar.set_position(step);
                self.say(&format!("{}: {steps} steps on {device}, beginning after step {step}", self.name));
            }
            Progress::Step { record, pairs_per_second, seconds_left, .. } => {
                let left = Duration::from_secs_f64(seconds_left.clamp(0.0, 1e9).round());
                let text = format!(
                    "loss {:.4}  {pairs_per_second:.1} pairs/s  {} left",
                    record.loss,
                    indicatif::HumanDuration(left)
                );
                self.bar.set_position(record.step);
                self.bar.set_message(text.clone());
                let is_due = self.line_written.get().is_none_or(|then| then.elapsed() >= LINE_EVERY);
                if self.bar.is_hidden() && is_due {
                    self.line_written.set(Some(Instant::now()));
                    noteln!("{}: step {}  {text}", self.name, record.step);
                }
            }
            Progress::Validated(look) => self.say(&format!("{}: {}", self.name, words(&look))),
            Progress::Notice(text) => self.say(&text),
            Progress::Pairs(_) | Progress::Validating | Progress::Saved { .. } => {}
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Write a line without disturbing the bar.
    fn say(&self, text: &str) {
        self.bar.suspend(|| noteln!("{text}"));
    }
}

fn words(look: &Validation) -> String {
    let number = |value: Option<f64>| value.map_or("none".to_owned(), |value| format!("{value:.3}"));
    let loss = look.loss.map(|loss| format!(", loss {loss:.3}")).unwrap_or_default();
    let found =
        look.retrieval.map(|found| format!(", P@5 {:.3} (base {:.3})", found.p_at_5, found.base_rate));
    let found = found.unwrap_or_default();
    format!(
        "step {}: ADDR {} (median {}){loss}{found} on {} validation tiles",
        look.step,
        number(look.addr_global),
        number(look.addr_median),
        look.tiles
    )
}
