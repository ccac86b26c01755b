//! Passwords, which are held only in memory and never displayed.

use std::fmt;

/// A password. Its `Debug` output does not reveal it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps the text of a password.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the password in clear text, for the server that requires it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}
