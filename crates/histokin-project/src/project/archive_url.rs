//! Address of an archive. It is stored in the project and displayed, so it never contains a password.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Address of an archive: `postgresql://USER@HOST:PORT/DATABASE`, without a password.
///
/// The parameters are those of libpq. The connection is encrypted, and the server's certificate is verified
/// against the system's certificates or those in the file `sslrootcert`; only `sslmode=disable` turns this
/// off.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArchiveUrl(String);

/// Reason why an address is rejected. Messages never repeat the address, as it may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The text is not a PostgreSQL URL.
    #[error("the address of an archive must look like postgresql://USER@HOST/DATABASE")]
    NotPostgres,
    /// The URL contains a password.
    #[error(
        "the archive's address contains a password, which would be stored in files and shell histories; leave it out and \
         give it in PGPASSWORD, in ~/.pgpass, or when asked for it"
    )]
    HoldsPassword,
}

impl ArchiveUrl {
    /// Returns the address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ArchiveUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let rest = ["postgresql://", "postgres://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or(UrlError::NotPostgres)?;
        let (base, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = base.split('/').next().unwrap_or_default();
        // Everything before the last @ is user and password, even if it contains an unescaped @.
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        let is_password = |pair: &str| {
            let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
            name.contains('%') || name == "password" || name == "sslpassword"
        };
        if user.contains(':') || user.contains('@') || parameters.split('&').any(is_password) {
            return Err(UrlError::HoldsPassword);
        }
        if base.is_empty() && parameters.is_empty() || text.contains(char::is_whitespace) {
            return Err(UrlError::NotPostgres);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ArchiveUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        text.parse()
    }
}

impl From<ArchiveUrl> for String {
    fn from(url: ArchiveUrl) -> Self {
        url.0
    }
}

impl fmt::Display for ArchiveUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_no_password() {
        let url = |text: &str| text.parse::<ArchiveUrl>();
        for fine in [
            "postgresql://ada@db.clinic.example/archive",
            "postgres://db:5433/archive?sslrootcert=/etc/clinic.pem",
            "postgresql:///archive?host=/var/run/postgresql",
            "postgresql://ada@[::1]:5432/archive",
        ] {
            assert_eq!(url(fine).unwrap().to_string(), fine);
        }
        for secret in [
            "postgresql://ada:secret@db/archive",
            "postgresql://ada:se@cret@db/archive",
            "postgresql://db/archive?password=secret",
            "postgresql://db/archive?user=ada&PASSWORD=secret",
            "postgresql://db/archive?pass%77ord=secret",
        ] {
            let error = url(secret).unwrap_err();
            assert_eq!(error, UrlError::HoldsPassword, "{secret}");
            assert!(!error.to_string().contains("secret"));
            assert!(serde_json::from_value::<ArchiveUrl>(secret.into()).is_err());
        }
        for other in ["", "http://db/archive", "postgresql://", "db/archive", "postgresql://db/a b"] {
            assert_eq!(url(other).unwrap_err(), UrlError::NotPostgres, "{other}");
        }
    }
}
