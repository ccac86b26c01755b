//! Slides, tissue detection, tiling, stain normalisation, descriptors, and the search among them.
//!
//! The modules are listed in the order in which data passes through the program:
//!
//! ```text
//! slide → tile grid → tissue → stain → descriptors → index → query → concept
//! ```
//!
//! This crate contains no user interface, neural network, database or command-line code.

pub mod geometry;
pub mod platform;
pub mod durable;
pub mod untrusted;
pub mod text;
pub mod table;
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
pub mod concept;
