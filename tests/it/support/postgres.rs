//! A real PostgreSQL server with pgvector in a temporary folder, started by whoever needs it first and gone with the
//! test process, however that ends.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use histokin::archive::credentials::{Credentials, Password};
use histokin::archive::{Archive, ArchiveError, ArchiveUrl, schema};

/// The owner of every server, and two logins.
pub const OWNER: &str = "postgres";
pub const WRITER: &str = "ada";
pub const READER: &str = "ben";

/// PostgreSQL refuses to run as root: then it runs as this user, "nobody".
const NOBODY: u32 = 65_534;

/// Does what it is told line by line, and when the test process is gone and its line closed, clears all away.
const KEEPER: &str = r#"
trap '' INT TERM HUP
folder=$1; shift
while read -r word; do
  case $word in
    start) "$@" </dev/null >>"$folder/log" 2>&1 & pid=$! ;;
    crash) kill -QUIT $pid; wait $pid 2>/dev/null; echo crashed ;;
  esac
done
[ -n "$pid" ] && kill -QUIT $pid 2>/dev/null && wait $pid 2>/dev/null
umount "$folder/small" 2>/dev/null
rm -rf "$folder"
"#;

/// Password of a login.
pub fn password(user: &str) -> String {
    format!("{user}-s3cret")
}

/// A running server.
pub struct Server {
    folder: PathBuf,
    pub port: u16,
    keeper: Mutex<Child>,
    line: Mutex<ChildStdin>,
}

impl Server {
    /// The server that tests share, each with a database of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(true))
    }

    /// A server of one's own, for what others must not notice.
    pub fn start(with_pgvector: bool) -> Self {
        let folder = new_folder();
        let fresh = fresh_cluster();
        run(Command::new("cp").arg("-r").arg(fresh.join("programs")).arg(fresh.join("data")).arg(&folder));
        if !with_pgvector {
            let extensions = folder.join("programs/pgsql/18/share/postgresql/extension");
            fs::remove_file(extensions.join("vector.control")).unwrap();
        }
        give_away(&folder);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&folder).args(as_nobody());
        keeper.arg(folder.join("programs/pgsql/18/bin/postgres")).arg("-D").arg(folder.join("data"));
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=64MB",
            "max_wal_size=512MB",
            "fsync=off",
            "log_min_messages=fatal",
        ] {
            keeper.args(["-c", setting]);
        }
        keeper.args(["-c", &format!("port={port}")]);
        let mut keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let line = keeper.stdin.take().unwrap();
        let server = Self { folder, port, keeper: Mutex::new(keeper), line: Mutex::new(line) };
        server.tell("start");
        server.wait_until_up();
        for user in [WRITER, READER] {
            let password = password(user);
            server.sql(OWNER, &format!("CREATE ROLE {user} LOGIN PASSWORD '{password}'"));
        }
        server
    }

    /// Kill the server as a power cut would, in the middle of whatever it does.
    pub fn crash(&self) {
        self.tell("crash");
        let mut keeper = self.keeper.lock().unwrap();
        let mut word = [0; 8];
        std::io::Read::read_exact(keeper.stdout.as_mut().unwrap(), &mut word).unwrap();
    }

    /// Bring it up again.
    pub fn restart(&self) {
        self.tell("start");
        self.wait_until_up();
    }

    fn tell(&self, word: &str) {
        writeln!(self.line.lock().unwrap(), "{word}").unwrap();
    }

    fn wait_until_up(&self) {
        let started = Instant::now();
        while self.psql(OWNER, "SELECT 1").is_err() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(120), "the server does not start: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Run SQL as the owner in a database; the rows, unaligned.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.psql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(self.folder.join("programs/pgsql/18/bin/psql"));
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", OWNER, "-d", database]);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let done = psql.env("PGPASSWORD", password(OWNER)).output().unwrap();
        match done.status.success() {
            true => Ok(String::from_utf8(done.stdout).unwrap().trim().to_owned()),
            false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        }
    }

    /// An empty database.
    pub fn database(&'static self) -> Database<'static> {
        Database::on(self, "")
    }

    /// A disk of `mib` MiB for a database to be on; `None`, and a line that says so, where none may be mounted.
    pub fn small_disk(&self, mib: u32) -> Option<()> {
        let place = self.folder.join("small");
        fs::create_dir(&place).unwrap();
        let size = format!("size={mib}m,uid={NOBODY},gid={NOBODY},mode=700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&place).output();
        if !mount.is_ok_and(|done| done.status.success()) {
            super::skipped::skip(format_args!("no small disk can be mounted here"));
            return None;
        }
        let place = place.display();
        self.sql(OWNER, &format!("CREATE TABLESPACE small LOCATION '{place}'"));
        Some(())
    }

    /// Fill the small disk but for half a MiB; the file that does it, for making room again.
    pub fn fill_small_disk(&self) -> PathBuf {
        let path = self.folder.join("small/filler");
        let mut filler = fs::File::create(&path).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
        let full = filler.metadata().unwrap().len();
        filler.set_len(full.saturating_sub(1 << 19)).unwrap();
        path
    }
}

/// A database of its own.
pub struct Database<'a> {
    server: &'a Server,
    pub name: String,
}

impl<'a> Database<'a> {
    /// An empty database on a server, made with further words of CREATE DATABASE.
    pub fn on(server: &'a Server, more: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("archive_{}", MADE.fetch_add(1, Ordering::Relaxed));
        server.sql(OWNER, &format!("CREATE DATABASE {name} {more}"));
        Self { server, name }
    }

    /// Its address for a login, through a port.
    pub fn url_at(&self, user: &str, port: u16) -> ArchiveUrl {
        format!("postgresql://{user}@127.0.0.1:{port}/{}?sslmode=disable", self.name).parse().unwrap()
    }

    pub fn url(&self, user: &str) -> ArchiveUrl {
        self.url_at(user, self.server.port)
    }

    /// Run SQL as the owner; the rows, unaligned.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }

    /// Set an archive up in it, with a writer and a reader.
    pub fn with_archive(self) -> Self {
        let mut owner = Archive::connect(&self.url(OWNER), &credentials(OWNER)).unwrap();
        schema::init(&mut owner).unwrap();
        self.sql(&format!("GRANT histokin_writer TO {WRITER}; GRANT histokin_reader TO {READER}"));
        self
    }

    pub fn open(&self, user: &str) -> Archive {
        self.try_open(user).unwrap()
    }

    pub fn try_open(&self, user: &str) -> Result<Archive, ArchiveError> {
        Archive::open(&self.url(user), &credentials(user))
    }
}

/// What a login says.
pub fn credentials(user: &str) -> Credentials<'static> {
    Credentials { typed: Some(Password::new(password(user))), ask: None }
}

/// The programs and an empty cluster, made once; they are gone with the test process, too.
fn fresh_cluster() -> &'static Path {
    static FRESH: OnceLock<(PathBuf, ChildStdin)> = OnceLock::new();
    let (folder, _) = FRESH.get_or_init(|| {
        let folder = new_folder();
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("third_party/postgres");
        assert!(installed.exists(), "PostgreSQL is missing: run scripts/setup.sh");
        // A user without rights may not reach the project's own folder.
        run(Command::new("cp").arg("-rL").arg(installed).arg(folder.join("programs")));
        fs::write(folder.join("password"), password(OWNER)).unwrap();
        give_away(&folder);
        let mut initdb = match as_nobody().split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(folder.join("programs/pgsql/18/bin/initdb"));
                command
            }
            None => Command::new(folder.join("programs/pgsql/18/bin/initdb")),
        };
        initdb.arg("-D").arg(folder.join("data")).arg("--pwfile").arg(folder.join("password"));
        initdb.args(["-U", OWNER, "--auth=scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
        run(&mut initdb);
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&folder).stdin(Stdio::piped());
        #[expect(
            clippy::zombie_processes,
            reason = "it outlives this process, to remove what this one leaves"
        )]
        let mut keeper = keeper.spawn().unwrap();
        (folder, keeper.stdin.take().unwrap())
    });
    folder
}

fn new_folder() -> PathBuf {
    tempfile::Builder::new().prefix("histokin-postgres-").tempdir().unwrap().keep()
}

/// Let the user that the server runs as have a folder.
fn give_away(folder: &Path) {
    if is_root() {
        run(Command::new("chown").args(["-R", &format!("{NOBODY}:{NOBODY}")]).arg(folder));
    }
}

/// What goes before a command that must not run as root.
fn as_nobody() -> Vec<String> {
    if !is_root() {
        return Vec::new();
    }
    let nobody = NOBODY.to_string();
    ["setpriv", "--reuid", &nobody, "--regid", &nobody, "--clear-groups"].map(str::to_owned).to_vec()
}

#[expect(unsafe_code, reason = "the system is asked by a C call")]
fn is_root() -> bool {
    // SAFETY: asks the system for a number.
    unsafe { libc::geteuid() == 0 }
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
