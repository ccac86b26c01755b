//! The connection to an archive: encrypted, authenticated, and checked for a supported version of the tables
//! and of pgvector before it is used.

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

/// Time after which a connection attempt to a server that does not answer fails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// TCP keepalive: idle time before the first probe.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// TCP keepalive: time between further probes.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// PostgreSQL's `lock_timeout`: how long to wait for another writer.
const LOCK_TIMEOUT: &str = "60s";

/// An open archive. Dropping it closes the connection and rolls back an unfinished transaction.
pub struct Archive {
    pub(super) client: Client,
    /// Prepared statements by SQL text.
    pub(super) statements: HashMap<String, Statement>,
    /// Search mode that the server's settings are set to at present.
    pub(super) mode: Option<Mode>,
    url: ArchiveUrl,
    encryption: Encryption,
}

/// Encryption of the connection.
#[derive(Debug, Clone)]
enum Encryption {
    Off,
    /// TLS with a verified certificate; trusts the certificates in this file, or the system's.
    Verified(Option<PathBuf>),
}

/// Cancels the running statement of an [`Archive`] from another thread.
#[derive(Clone)]
pub struct Canceller {
    token: CancelToken,
    encryption: Encryption,
    url: ArchiveUrl,
}

impl Canceller {
    /// Cancels the statement that the server is running, over a separate connection. The caller that waits
    /// for it gets [`ArchiveError::TooLong`]. Has no effect when no statement is running.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn cancel(&self) -> Result<(), ArchiveError> {
        let cancelled = match &self.encryption {
            Encryption::Off => self.token.cancel_query(NoTls),
            Encryption::Verified(roots) => self.token.cancel_query(tls::connector(roots.as_deref())?),
        };
        cancelled.during(&self.url, "cancelling a query")
    }
}

impl Archive {
    /// Connects to an archive that has been set up.
    ///
    /// # Errors
    /// When there is no connection, the login is refused, pgvector is missing or too old, or the archive is
    /// missing or of another version.
    pub fn open(url: &ArchiveUrl, credentials: &Credentials<'_>) -> Result<Self, ArchiveError> {
        let mut archive = Self::connect(url, credentials)?;
        archive.check()?;
        Ok(archive)
    }

    /// Connects to a database, whether or not it contains an archive.
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
        // Custom plans: a generic plan does not take the LIMIT of the query into account.
        let sql = "SELECT set_config('lock_timeout', $1, false), set_config('jit', 'off', false), \
                   set_config('plan_cache_mode', 'force_custom_plan', false)";
        client.execute(sql, &[&LOCK_TIMEOUT]).during(url, "connecting")?;
        Ok(Self { client, statements: HashMap::new(), mode: None, url: url.clone(), encryption })
    }

    /// Returns a handle that cancels a running statement of this connection.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            token: self.client.cancel_token(),
            encryption: self.encryption.clone(),
            url: self.url.clone(),
        }
    }

    /// Returns the address of the archive.
    pub fn url(&self) -> &ArchiveUrl {
        &self.url
    }

    /// Returns whether the connection has been lost.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Returns the version of the tables, or `None` without an archive.
    pub(super) fn version(&mut self) -> Result<Option<i32>, ArchiveError> {
        version(&mut self.client).during(&self.url, "reading the archive's version")
    }

    /// Checks that this program supports the archive and its pgvector, and sets the search path.
    pub(super) fn check(&mut self) -> Result<(), ArchiveError> {
        let url = self.url.clone();
        match self.version()? {
            None => return Err(ArchiveError::NoArchive { url }),
            Some(found) if found > VERSION => return Err(ArchiveError::NewerSchema { url, found }),
            Some(found) if found < VERSION => return Err(ArchiveError::OlderSchema { url, found }),
            Some(_) => {}
        }
        check_pgvector(&mut self.client, &url)?;
        // The search path holds only the schema of pgvector, wherever it was installed, and the system
        // catalog.
        let sql = "SELECT set_config('search_path', quote_ident(histokin.vector_schema()) || ', pg_catalog', false)";
        self.client.execute(sql, &[]).during(&url, "reading the archive's version")?;
        Ok(())
    }
}

/// Returns the version of the tables, or `None` without an archive.
pub(super) fn version(client: &mut impl GenericClient) -> Result<Option<i32>, postgres::Error> {
    let there: bool = client.query_one("SELECT to_regclass('histokin.migrations') IS NOT NULL", &[])?.get(0);
    if !there {
        return Ok(None);
    }
    Ok(client.query_one("SELECT max(version) FROM histokin.migrations", &[])?.get(0))
}

/// Checks that pgvector is installed in the database and new enough.
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

/// Returns the connection settings, and the file of trusted certificates if one is named. A verified
/// certificate is required unless the address disables encryption or names a local socket.
fn config(url: &ArchiveUrl) -> Result<(Config, Option<PathBuf>), ArchiveError> {
    let unusable = |reason: String| ArchiveError::Address { url: url.clone(), reason };
    let (base, parameters) = url.as_str().split_once('?').unwrap_or((url.as_str(), ""));
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
                    "sslmode={other} may go unencrypted; leave it out, or set sslmode=disable"
                )));
            }
            _ => kept.push(pair),
        }
    }
    let text = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
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

/// Returns the login whose password is needed.
fn login(config: &Config) -> Login {
    let from_system = || ["PGUSER", "USER", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    let user = config.get_user().map(str::to_owned).or_else(from_system).unwrap_or_default();
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        // libpq looks up sockets under this name.
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
