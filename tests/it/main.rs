//! All integration tests in one binary, so that they link once.

mod made;

mod descriptors;
mod encoder;
mod index;
