//! The connection to an archive: encrypted, with a login, and checked for what the program needs before anything
//! else is asked.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use postgres::config::{Host, SslMode};
use postgres::{CancelToken, Client, Config, GenericClient, NoTls, Statement};

use super::credentials::{Credentials, Login, Password};
use super::error::{During, OLDEST_PGVECTOR, of_connecting, wants_password};
use super::schema::VERSION;
use super::search::Mode;
use super::{ArchiveError, ArchiveUrl, tls};

/// A server that does not answer is given up after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How soon a line that has gone dead is noticed: silence before the first question, and between the next ones.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// Another writer is waited for this long.
const LOCK_TIMEOUT: &str = "60s";

/// An open archive. Dropping it closes the connection; a transaction that was not finished leaves nothing behind.
pub struct Archive {
    pub(super) client: Client,
    /// What the server keeps prepared, by its text.
    pub(super) statements: HashMap<String, Statement>,
    /// How searches are done at present.
    pub(super) mode: Option<Mode>,
    url: ArchiveUrl,
    encryption: Encryption,
}

/// Whether and how the line is encrypted.
#[derive(Debug, Clone)]
enum Encryption {
    Off,
    /// With the certificates in a file to trust, or else the system's.
    Verified(Option<PathBuf>),
}

/// Ends what an [`Archive`] is being asked, from another thread.
#[derive(Clone)]
pub struct Canceller {
    token: CancelToken,
    encryption: Encryption,
    url: ArchiveUrl,
}

impl Canceller {
    /// Have the server give up the statement that it is at work on, over a connection of its own; whoever waits for it
    /// gets [`ArchiveError::TooLong`]. Without effect where it is at work on none.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn cancel(&self) -> Result<(), ArchiveError> {
        let cancelled = match &self.encryption {
            Encryption::Off => self.token.cancel_query(NoTls),
            Encryption::Verified(roots) => self.token.cancel_query(tls::connector(roots.as_deref())?),
        };
        cancelled.during(&self.url, "cancelling a question")
    }
}

impl Archive {
    /// Connect to an archive that has been set up.
    ///
    /// # Errors
    /// When there is no connection, the login is refused, pgvector is missing or too old, or the archive is not
    /// there or of another version.
    pub fn open(url: &ArchiveUrl, credentials: &Credentials<'_>) -> Result<Self, ArchiveError> {
        let mut archive = Self::connect(url, credentials)?;
        archive.check()?;
        Ok(archive)
    }

    /// Connect to a database, whether or not there is an archive in it.
    ///
    /// # Errors
    /// When there is no connection or the login is refused.
    pub fn connect(url: &ArchiveUrl, credentials: &Credentials<'_>) -> Result<Self, ArchiveError> {
        let (mut config, roots) = config(url)?;
        let login = login(&config);
        config.user(&login.user);
        let known = credentials.known(&login)?;
        let is_known = known.is_some();
        let encryption = match config.get_ssl_mode() {
            SslMode::Disable => Encryption::Off,
            _ => Encryption::Verified(roots),
        };
        let connect = |password: Option<Password>, config: &mut Config| {
            if let Some(password) = password {
                config.password(password.as_str());
            }
            match &encryption {
                Encryption::Off => Ok(config.connect(NoTls)),
                Encryption::Verified(roots) => {
                    Ok::<_, ArchiveError>(config.connect(tls::connector(roots.as_deref())?))
                }
            }
        };
        let mut client = connect(known, &mut config)?;
        if let (Err(error), Some(ask), false) = (&client, credentials.ask, is_known)
            && wants_password(error)
            && let Some(answer) = ask(&login.user)
        {
            client = connect(Some(answer), &mut config)?;
        }
        let mut client = client.map_err(|error| of_connecting(&error, url))?;
        // A plan is made for the very question: one for any question takes no account of how few matches it wants.
        let sql = "SELECT set_config('lock_timeout', $1, false), set_config('jit', 'off', false), \
                   set_config('plan_cache_mode', 'force_custom_plan', false)";
        client.execute(sql, &[&LOCK_TIMEOUT]).during(url, "connecting")?;
        Ok(Self { client, statements: HashMap::new(), mode: None, url: url.clone(), encryption })
    }

    /// What ends a question to this archive while it is asked.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            token: self.client.cancel_token(),
            encryption: self.encryption.clone(),
            url: self.url.clone(),
        }
    }

    /// Where the archive is.
    pub fn url(&self) -> &ArchiveUrl {
        &self.url
    }

    /// Whether the connection has been lost.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Version of the tables, if there are any.
    pub(super) fn version(&mut self) -> Result<Option<i32>, ArchiveError> {
        version(&mut self.client).during(&self.url, "looking at the archive")
    }

    /// Make sure that the archive is what this program can work with.
    pub(super) fn check(&mut self) -> Result<(), ArchiveError> {
        let url = self.url.clone();
        match self.version()? {
            None => return Err(ArchiveError::NoArchive { url }),
            Some(found) if found > VERSION => return Err(ArchiveError::NewerSchema { url, found }),
            Some(found) if found < VERSION => return Err(ArchiveError::OlderSchema { url, found }),
            Some(_) => {}
        }
        check_pgvector(&mut self.client, &url)?;
        // Types and operators of pgvector are found wherever it was installed; nothing else is.
        let sql = "SELECT set_config('search_path', quote_ident(histokin.vector_schema()) || ', pg_catalog', false)";
        self.client.execute(sql, &[]).during(&url, "looking at the archive")?;
        Ok(())
    }
}

/// Version of the tables, if there are any.
pub(super) fn version(client: &mut impl GenericClient) -> Result<Option<i32>, postgres::Error> {
    let there: bool = client.query_one("SELECT to_regclass('histokin.migrations') IS NOT NULL", &[])?.get(0);
    if !there {
        return Ok(None);
    }
    Ok(client.query_one("SELECT max(version) FROM histokin.migrations", &[])?.get(0))
}

pub(super) fn check_pgvector(client: &mut impl GenericClient, url: &ArchiveUrl) -> Result<(), ArchiveError> {
    let found = client
        .query_opt("SELECT extversion FROM pg_extension WHERE extname = 'vector'", &[])
        .during(url, "looking for pgvector")?;
    let Some(found) = found else {
        let reason = "the database does not have the extension vector".to_owned();
        return Err(ArchiveError::NoPgvector { url: url.clone(), reason });
    };
    let found: String = found.get(0);
    let mut numbers = found.split('.').map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < OLDEST_PGVECTOR {
        return Err(ArchiveError::OldPgvector { url: url.clone(), found });
    }
    Ok(())
}

/// How to connect, and the file of certificates to trust, if one is named. Encryption with a verified certificate is
/// asked for unless the address turns it off or names a socket of this machine.
fn config(url: &ArchiveUrl) -> Result<(Config, Option<PathBuf>), ArchiveError> {
    let unusable = |reason: String| ArchiveError::Address { url: url.clone(), reason };
    let (place, parameters) = url.as_str().split_once('?').unwrap_or((url.as_str(), ""));
    let mut kept = Vec::new();
    let mut roots = std::env::var_os("PGSSLROOTCERT").map(PathBuf::from);
    let mut mode = SslMode::Require;
    for pair in parameters.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslrootcert", "system")) => roots = None,
            Some(("sslrootcert", path)) => {
                let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
                roots = Some(PathBuf::from(path.as_ref()));
            }
            Some(("sslmode", "disable")) => mode = SslMode::Disable,
            Some(("sslmode", "require" | "verify-ca" | "verify-full")) => {}
            Some(("sslmode", other)) => {
                return Err(unusable(format!(
                    "sslmode={other} may go unencrypted; leave it out, or say disable"
                )));
            }
            _ => kept.push(pair),
        }
    }
    let text = if kept.is_empty() { place.to_owned() } else { format!("{place}?{}", kept.join("&")) };
    let mut config: Config = text.parse().map_err(|error: postgres::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        unusable(cause.unwrap_or_else(|| error.to_string()))
    })?;
    #[cfg(unix)]
    if !config.get_hosts().is_empty() && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_))) {
        mode = SslMode::Disable;
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(unusable("it names no host".to_owned()));
    }
    config
        .ssl_mode(mode)
        .application_name("histokin")
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_EVERY);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    Ok((config, roots))
}

/// Whose password is looked for.
fn login(config: &Config) -> Login {
    let from_system = || ["PGUSER", "USER", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    let user = config.get_user().map(str::to_owned).or_else(from_system).unwrap_or_default();
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        // libpq's word for a socket.
        _ => "localhost".to_owned(),
    };
    Login {
        host,
        port: config.get_ports().first().copied().unwrap_or(5432),
        database: config.get_dbname().unwrap_or(&user).to_owned(),
        user,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_verified_unless_the_address_says_otherwise() {
        let mode = |text: &str| config(&text.parse().unwrap()).map(|(config, _)| config.get_ssl_mode());
        for address in ["postgresql://db/a", "postgresql://db/a?sslmode=require", "postgresql://localhost/a"]
        {
            assert_eq!(mode(address).unwrap(), SslMode::Require, "{address}");
        }
        assert_eq!(mode("postgresql://db/a?sslmode=disable").unwrap(), SslMode::Disable);
        let error = mode("postgresql://db/a?sslmode=prefer").unwrap_err().to_string();
        assert!(error.contains("may go unencrypted"), "{error}");
        let (_, roots) = config(&"postgresql://db/a?sslrootcert=/a%20b.pem".parse().unwrap()).unwrap();
        assert_eq!(roots.unwrap(), PathBuf::from("/a b.pem"));
        assert!(mode("postgresql://db/a?nonsense=1").unwrap_err().to_string().contains("nonsense"));
    }
}
