//! All integration tests in one binary, so that they link once.

mod made;
mod support;

mod descriptors;
mod encoder;
mod index;
#[cfg(feature = "gui")]
mod ui;
