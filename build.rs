//! Sets the run path (rpath) of the program and the tests; see `histokin-link`.

fn main() {
    histokin_link::set_rpath();
}
