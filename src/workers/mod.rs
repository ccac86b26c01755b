//! Named threads.

pub mod tile_loader;
