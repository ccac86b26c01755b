//! The state of the running program and its worker threads.
//!
//! [`session`] holds all state and uses neither threads nor the screen; [`workers`] are the named threads;
//! [`crash`] turns a panic in a worker into a report.

pub mod crash;
pub mod session;
pub mod workers;
