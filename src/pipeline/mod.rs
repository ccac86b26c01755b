//! The steps composed: what the command line, the workers and the tests all call.

mod control;
mod embed;
mod paths;
mod picture;

pub use control::EmbedControl;
pub use embed::{EmbedError, EmbedOutcome, EmbedProgress, EmbedSettings, EmbedSummary, embed_slide};
pub use paths::{SLIDE_EXTENSIONS, find_moved, find_slides};
pub use picture::{contact_sheet, render, thumbnail};
