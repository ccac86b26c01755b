//! Slides, their tissue and tiles, descriptors of them, and the search among these.
//!
//! The modules stand in the order in which data passes through the program:
//!
//! ```text
//! slide → tile grid → tissue → stain → descriptors → index → query
//! ```
//!
//! It knows no screen, no network of layers, no database and no command line.

pub mod geometry;
pub mod durable;
pub mod untrusted;
pub mod mapped;
pub mod paths;
pub mod memory;
pub mod number_format;
pub mod two_class_threshold;
pub mod slide;
pub mod tiling;
pub mod tissue;
pub mod stain;
pub mod annotation;
pub mod descriptors;
pub mod index;
pub mod query;
