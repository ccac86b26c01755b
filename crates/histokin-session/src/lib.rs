//! [`session`] holds all state of the running program and knows neither threads nor screen; [`workers`] are its named
//! threads. [`crash`] keeps what a thread says that panics.

pub mod crash;
pub mod session;
pub mod workers;
