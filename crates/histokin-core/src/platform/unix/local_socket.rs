//! Connections between programs of the same user on this computer.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A connection to another program of this user.
pub type LocalStream = UnixStream;

/// Accepts connections of other programs of this user.
#[derive(Debug)]
pub struct LocalListener(UnixListener);

/// The file by which other programs find a listener. Dropping it removes the file, unless another listener has replaced it.
#[derive(Debug)]
pub struct LocalAddress {
    path: PathBuf,
    /// Identity of the file.
    inode: Option<u64>,
}

/// Connects to the program that listens at `address`.
///
/// # Errors
/// If none does.
pub fn connect_local(address: &Path) -> io::Result<LocalStream> {
    UnixStream::connect(address)
}

/// Listens at `address`, a path whose folder is created if necessary. What a crashed program left there is replaced.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`] if another program listens there; otherwise the error of the system.
pub fn listen_locally(address: &Path) -> io::Result<(LocalListener, LocalAddress)> {
    if let Some(folder) = address.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let listener = match UnixListener::bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            match UnixStream::connect(address) {
                // Left by a program that crashed.
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(address)?;
                }
                _ => return Err(error),
            }
            UnixListener::bind(address)?
        }
        other => other?,
    };
    // Also in a folder that others can enter.
    std::fs::set_permissions(address, Permissions::from_mode(0o600))?;
    let inode = std::fs::metadata(address).ok().map(|socket| socket.ino());
    Ok((LocalListener(listener), LocalAddress { path: address.to_owned(), inode }))
}

impl LocalListener {
    /// Waits for the next connection.
    ///
    /// # Errors
    /// Returns the error of the system.
    pub fn accept(&self) -> io::Result<LocalStream> {
        self.0.accept().map(|(stream, _)| stream)
    }
}

impl Drop for LocalAddress {
    fn drop(&mut self) {
        let inode = std::fs::metadata(&self.path).ok().map(|socket| socket.ino());
        if inode.is_some() && inode == self.inode {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_user_can_reach_a_listener() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("runtime/a.socket");
        let _listening = listen_locally(&address).unwrap();
        for (path, wanted) in [(address.as_path(), 0o600), (address.parent().unwrap(), 0o700)] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, wanted);
        }
    }
}
