//! Connections between programs of the same user. They go through a port of this computer that no other one can reach. The
//! file at the address names the port and a secret; it lies among the user's files, which other users cannot read, and who
//! connects has to say the secret.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{durable, untrusted};

/// A connection to another program of this user.
pub type LocalStream = TcpStream;

/// Length of a secret in bytes.
const SECRET: usize = 32;

/// How long to wait for a connection. Windows takes two seconds to report that nobody listens at a port, as after a crash.
const CONNECTING: Duration = Duration::from_millis(500);

/// How long to wait for the secret.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Accepts connections of other programs of this user.
#[derive(Debug)]
pub struct LocalListener {
    listener: TcpListener,
    secret: String,
}

/// The file by which other programs find a listener. Dropping it removes the file, unless another listener has replaced it.
#[derive(Debug)]
pub struct LocalAddress {
    path: PathBuf,
    content: String,
}

/// Connects to the program that listens at `address`.
#[expect(clippy::missing_errors_doc, reason = "described for Unix")]
pub fn connect_local(address: &Path) -> io::Result<LocalStream> {
    let text = untrusted::read_text(address, 1000)?;
    let (port, secret) = text.split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
    let port: u16 = port.parse().map_err(|_| io::ErrorKind::InvalidData)?;
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CONNECTING)?;
    stream.write_all(secret.as_bytes())?;
    Ok(stream)
}

/// Listens at `address`, a path whose folder is created if necessary.
#[expect(clippy::missing_errors_doc, reason = "described for Unix")]
pub fn listen_locally(address: &Path) -> io::Result<(LocalListener, LocalAddress)> {
    if let Some(folder) = address.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if connect_local(address).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut secret = String::new();
    for byte in rand::random::<[u8; SECRET / 2]>() {
        let _ = write!(secret, "{byte:02x}");
    }
    let content = format!("{} {secret}", listener.local_addr()?.port());
    durable::write(address, content.as_bytes())?;
    Ok((LocalListener { listener, secret }, LocalAddress { path: address.to_owned(), content }))
}

impl LocalListener {
    /// Waits for the next connection of who knows the secret.
    #[expect(clippy::missing_errors_doc, reason = "described for Unix")]
    pub fn accept(&self) -> io::Result<LocalStream> {
        let (mut stream, _) = self.listener.accept()?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut secret = [0; SECRET];
        stream.read_exact(&mut secret)?;
        match secret == self.secret.as_bytes() {
            true => Ok(stream),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

impl Drop for LocalAddress {
    fn drop(&mut self) {
        if untrusted::read_text(&self.path, 1000).is_ok_and(|found| found == self.content) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
