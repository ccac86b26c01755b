//! The libraries that the program and the tests load; see `histokin-link`.

fn main() {
    histokin_link::tell_loader();
}
