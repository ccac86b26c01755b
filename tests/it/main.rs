//! it

mod encoder;
