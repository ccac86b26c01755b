//! The folder in which descriptors of slides are kept ([`project`]), the work that fills it ([`pipeline`]), and
//! other programs' formats of descriptors ([`interchange`]).

pub mod interchange;
pub mod project;
pub mod pipeline;
