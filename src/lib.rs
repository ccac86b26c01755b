//! histokin shows a whole-slide image and, under the cursor, where else in the archive the same tissue
//! stands.
//!
//! The modules stand in the order in which data passes through the program:
//!
//! ```text
//! slide → tile grid → tissue → stain → encoder → descriptors → index → query → highlight
//! ```
//!
//! [`pipeline`] composes these steps; the command line ([`cli`]), the workers and the tests all call it.
//! [`session`] holds all state of the running program and knows neither threads nor screen; [`workers`]
//! are its named threads, and [`ui`] draws it.

pub mod geometry;
mod durable;
pub mod crash;
mod intake;
mod mapped;
mod paths;
pub mod logging;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod memory;
mod words;
mod two_means;
pub mod slide;
pub mod tiling;
pub mod tissue;
pub mod stain;
pub mod annotation;
pub mod encoder;
pub mod descriptors;
pub mod index;
pub mod query;
pub mod interchange;
pub mod evaluation;
pub mod project;
#[cfg(feature = "archive")]
pub mod archive;
pub mod pipeline;
pub mod training;
pub mod session;
pub mod workers;
pub mod cli;
#[cfg(feature = "gui")]
pub mod ui;
