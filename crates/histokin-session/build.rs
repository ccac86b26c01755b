//! Makes the tests find their shared libraries; see `histokin-link`.

fn main() {
    histokin_link::set_rpath();
}
