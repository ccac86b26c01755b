//! To come.

pub mod fit_model;
