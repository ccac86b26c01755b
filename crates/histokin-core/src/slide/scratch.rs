//! Memory that a thread reuses for one tile after another, instead of having it allocated and zeroed for each.

use std::cell::RefCell;

/// Largest piece of memory that is kept, in bytes.
const MAX_KEPT: usize = 4 << 20;

thread_local! {
    /// Pieces that are not in use.
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `length` bytes of any value.
pub(super) fn with<T>(length: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut bytes = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if bytes.len() < length {
        bytes.resize(length, 0);
    }
    let result = work(&mut bytes[..length]);
    if bytes.len() <= MAX_KEPT {
        FREE.with_borrow_mut(|free| free.push(bytes));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_in_use_is_not_handed_out_again() {
        with(10, |outer| {
            outer.fill(1);
            with(20, |inner| inner.fill(2));
            assert_eq!(*outer, [1; 10]);
        });
        // What was used last is used first.
        with(4, |bytes| assert_eq!(*bytes, [1; 4]));
        with(MAX_KEPT + 1, |bytes| bytes.fill(3));
        with(1, |bytes| assert_ne!(*bytes, [3]));
    }
}
