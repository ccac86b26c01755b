//! histokin shows a whole-slide image and, under the cursor, where else in the archive the same tissue
//! stands.
//!
//! The libraries stand in the order in which data passes through the program:
//!
//! ```text
//! slide → tile grid → tissue → stain → encoder → descriptors → index → query → highlight
//! ```
//!
//! [`pipeline`] composes these steps; the command line ([`cli`]), the workers and the tests all call it.
//! [`session`] holds all state of the running program and knows neither threads nor screen; [`workers`]
//! are its named threads, and [`ui`] draws it.
//!
//! All but the command line and the window lie in `crates/`, and go by the same names here.

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
