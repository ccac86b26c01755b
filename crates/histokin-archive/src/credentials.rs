//! The password of an archive: from the environment, a `.pgpass` file, or the person at the keyboard. It is held
//! in memory only.

use std::path::PathBuf;

use super::ArchiveError;
pub use histokin_project::project::Password;

/// Asks a person for the password of the named login; `None` when nobody answers.
pub type AskPassword = dyn Fn(&str) -> Option<Password>;

/// Where the password comes from, tried in this order: what a person has typed already, `PGPASSWORD`, the file that
/// `PGPASSFILE` names or `~/.pgpass`, and, where the server asks for one that none of them has, `ask`.
#[derive(Default)]
pub struct Credentials<'a> {
    pub typed: Option<Password>,
    pub ask: Option<&'a AskPassword>,
}

/// Which login a password is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
}

impl Credentials<'_> {
    /// The password, as far as it is known without asking.
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
        if is_open_to_others(&path) {
            let reason = "others may read it; run chmod 600 on it".to_owned();
            return Err(ArchiveError::PasswordFile { path, reason });
        }
        Ok(find(&text, login))
    }
}

fn password_file() -> Option<PathBuf> {
    match std::env::var_os("PGPASSFILE") {
        Some(path) => Some(PathBuf::from(path)),
        None => Some(directories::BaseDirs::new()?.home_dir().join(".pgpass")),
    }
}

fn is_open_to_others(path: &std::path::Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// The password of the first line that fits: `host:port:database:user:password`, where `*` fits all and a
/// backslash takes the next character as it is
/// (<https://www.postgresql.org/docs/current/libpq-pgpass.html>).
fn find(text: &str, login: &Login) -> Option<Password> {
    let wanted = [&login.host, &login.port.to_string(), &login.database, &login.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [at @ .., password] = fields.as_slice() else { return None };
        let fits =
            at.len() == 4 && at.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        fits.then(|| Password::new(password.clone()))
    })
}

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
