//! Sets the library path for tests; see `histokin-link`.

fn main() {
    histokin_link::set_rpath();
}
