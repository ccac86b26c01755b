//! Project folders with the descriptors of slides ([`project`]), the computation of descriptors
//! ([`pipeline`]), descriptor formats of other programs ([`interchange`]), and text in PDF files ([`typeface`]).

pub mod interchange;
pub mod project;
pub mod pipeline;
pub mod typeface;
