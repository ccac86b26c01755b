//! What goes wrong around the program, made to happen.

mod comings_and_goings;
mod disk;
mod isolation;
mod panics;
mod second_window;
mod versions;
