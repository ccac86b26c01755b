//! Diagnostic information for support: versions, devices and counts. Contains no path and no name of a slide,
//! a patient or a person, so it can be sent to anyone.

use std::fmt::Write as _;

use crate::encoder;
use crate::memory::Budget;
use crate::session::{EncoderState, Session, Severity, SlideStatus};
use crate::slide;

/// Returns the diagnostics as lines of text; `graphics` names the graphics card and driver.
pub fn text(session: &Session, graphics: &str) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what}: {value}");
    };
    line("histokin", env!("CARGO_PKG_VERSION").to_owned());
    line("OpenSlide", slide::openslide_version());
    line("system", format!("{} {}", system(), std::env::consts::ARCH));
    line("processors", std::thread::available_parallelism().map_or(0, usize::from).to_string());
    let budget = Budget::of_process();
    line("memory for slides", format!("{} of {} MiB", budget.used() >> 20, budget.limit() >> 20));
    line("graphics", graphics.to_owned());
    line("encoder", encoder(session));
    line("encoder runs on", session.embedding().device.clone().unwrap_or_else(|| "not known yet".to_owned()));
    let tiles = session.project().settings().tiles;
    let stain = session.project().settings().stain;
    line("tiles", format!("{} px at {} µm/px, stain {stain:?}", tiles.tile_px, tiles.mpp));
    let slides = session.slides();
    let with = |is: fn(&SlideStatus) -> bool| slides.iter().filter(|slide| is(&slide.status)).count();
    line(
        "slides",
        format!(
            "{} in the project, {} open, {} embedded, {} without pixel size, {} failed",
            session.project().slides().len(),
            slides.len(),
            with(|status| matches!(status, SlideStatus::Embedded(_))),
            with(|status| matches!(status, SlideStatus::NeedsMpp)),
            with(|status| matches!(status, SlideStatus::Failed(_))),
        ),
    );
    line("searchable tiles", session.searchable_tiles().to_string());
    let errors = session.messages().iter().filter(|message| message.severity == Severity::Error).count();
    line("errors on the screen", errors.to_string());
    text
}

/// Kind and identity of the encoder. The name of the user's own encoder is left out, since it may be a file
/// name.
fn encoder(session: &Session) -> String {
    match session.encoder() {
        EncoderState::Unknown => "not known yet".to_owned(),
        EncoderState::Known(spec)
            if [encoder::DEFAULT, encoder::PREVIOUS_DEFAULT, encoder::FIRST_DEFAULT]
                .contains(&spec.name.as_str()) =>
        {
            spec.name.clone()
        }
        EncoderState::Known(spec) => format!("the user's own, {} values, {}", spec.width, spec.id.short()),
        EncoderState::Untrusted(_) => "TorchScript, not allowed to run".to_owned(),
        EncoderState::Failed(_) => "cannot be used".to_owned(),
    }
}

/// Name and version of the operating system, if known.
fn system() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| std::env::consts::OS.to_owned(), |name| name.trim_matches('"').to_owned())
}
