//! Project folders with the descriptors of slides ([`project`]), the computation of descriptors
//! ([`pipeline`]), and descriptor formats of other programs ([`interchange`]).

pub mod interchange;
pub mod project;
pub mod pipeline;
