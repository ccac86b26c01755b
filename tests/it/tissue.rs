//! tissue
