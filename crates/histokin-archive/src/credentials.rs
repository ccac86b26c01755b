//! The password of an archive: from the environment, a `.pgpass` file, or user input. It is kept in memory
//! only.

use std::path::PathBuf;

use histokin_core::platform;

use super::ArchiveError;
pub use histokin_project::project::Password;

/// Asks the user for the password of the named login; returns `None` when none is given.
pub type AskPassword = dyn Fn(&str) -> Option<Password>;

/// Sources of the password, tried in this order: a password typed earlier, `PGPASSWORD`, the file named by
/// `PGPASSFILE` or `~/.pgpass`, and, if the server requires a password and none was found, `ask`.
#[derive(Default)]
pub struct Credentials<'a> {
    /// Password that the user has typed earlier.
    pub typed: Option<Password>,
    /// Function that asks the user, called at most once per connection.
    pub ask: Option<&'a AskPassword>,
}

/// A login that a password belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Host name; `localhost` for a socket.
    pub host: String,
    /// Port of the server.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// Name of the database user.
    pub user: String,
}

impl Credentials<'_> {
    /// Returns the password if it is known without asking the user.
    pub(super) fn known(&self, login: &Login) -> Result<Option<Password>, ArchiveError> {
        if let Some(typed) = &self.typed {
            return Ok(Some(typed.clone()));
        }
        if let Ok(password) = std::env::var("PGPASSWORD") {
            return Ok(Some(Password::new(password)));
        }
        let Some(path) = password_file() else { return Ok(None) };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ArchiveError::PasswordFile { path, reason: source.to_string() }),
        };
        if platform::is_open_to_others(&path) {
            let reason = "others may read it; run chmod 600 on it".to_owned();
            return Err(ArchiveError::PasswordFile { path, reason });
        }
        Ok(find(&text, login))
    }
}

/// Returns the path in `PGPASSFILE`, or the one that PostgreSQL's programs use without it.
fn password_file() -> Option<PathBuf> {
    match std::env::var_os("PGPASSFILE") {
        Some(path) => Some(PathBuf::from(path)),
        None => platform::password_file(),
    }
}

/// Returns the password of the first line that matches. A line is `host:port:database:user:password`, where
/// `*` matches any value and a backslash escapes the next character
/// (<https://www.postgresql.org/docs/current/libpq-pgpass.html>).
fn find(text: &str, login: &Login) -> Option<Password> {
    let wanted = [&login.host, &login.port.to_string(), &login.database, &login.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [login @ .., password] = fields.as_slice() else { return None };
        let matches = login.len() == 4
            && login.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        matches.then(|| Password::new(password.clone()))
    })
}

/// Splits a line into its fields, at most five, and removes the escapes.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let is_last = fields.len() == 5;
        match (character, fields.last_mut()) {
            (':', _) if !is_last => fields.push(String::new()),
            ('\\', Some(field)) => field.extend(characters.next()),
            (other, Some(field)) => field.push(other),
            (_, None) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_is_read_as_libpq_reads_it() {
        let text = "# comment:5432:*:*:no\n\
                    db:5432:archive:ada:wrong port\n\
                    db:5433:archive:ada:pass\\:word\\\\ with: colon\n\
                    *:*:*:*:any\n";
        let login = |port| Login {
            host: "db".to_owned(),
            port,
            database: "archive".to_owned(),
            user: "ada".to_owned(),
        };
        assert_eq!(find(text, &login(5433)).unwrap().as_str(), "pass:word\\ with: colon");
        assert_eq!(find(text, &login(1)).unwrap().as_str(), "any");
        assert_eq!(find("db:5433:archive:ada", &login(5433)), None);
        assert_eq!(format!("{:?}", find(text, &login(1))), "Some(Password(…))");
    }
}
