//! Sets the run path of the libraries that the tests load; see `histokin-link`.

fn main() {
    histokin_link::set_rpath();
}
