//! Complete operations on slides and projects, used by the command line, the workers and the tests.

mod baseline;
mod concepts;
mod control;
mod tiles;
mod embed;
mod export;
mod paths;
mod pdf;
mod picture;
mod selection;
mod thumbnails;

pub use baseline::{HSV_HISTOGRAM, HsvHistogram};
pub use concepts::{NO_CONCEPT, write_areas, write_class_map};
pub use control::EmbedControl;
pub use embed::{
    EmbedError, EmbedOutcome, EmbedProgress, EmbedRequest, EmbedSettings, EmbedSummary, embed_slide,
};
pub use export::{ExportError, Slides, answer_pages, answer_sheet, write_answer, write_matches, write_sheet};
pub use paths::{find_moved, find_slides};
pub use picture::{contact_sheet, render, thumbnail, write_picture};
pub use selection::TileSelection;
pub use thumbnails::ThumbnailCache;
pub use tiles::{embed_picture, embed_tiles};
