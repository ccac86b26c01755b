//! histokin displays whole-slide images and finds where else in an archive the tissue under the cursor
//! occurs.
//!
//! Data passes through the libraries in this order:
//!
//! ```text
//! slide → tile grid → tissue → stain → encoder → descriptors → index → query → highlight
//! ```
//!
//! [`pipeline`] composes these steps; the command line ([`cli`]), the workers and the tests call it.
//! [`session`] holds all state of the running program and depends on neither threads nor a screen;
//! [`workers`] are its named threads, and [`ui`] draws it.
//!
//! Everything except the command line and the window is in `crates/` and re-exported here under the same
//! names.

#[cfg(feature = "archive")]
pub use histokin_archive as archive;
pub use histokin_core::{
    annotation, descriptors, geometry, index, memory, query, slide, stain, tiling, tissue,
};
use histokin_core::{durable, number_format, paths};
pub use histokin_encoder as encoder;
pub use histokin_evaluation as evaluation;
pub use histokin_project::{interchange, pipeline, project};
pub use histokin_session::{crash, session, workers};
pub use histokin_training as training;

pub mod logging;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod cli;
#[cfg(feature = "gui")]
pub mod ui;
