//! What the fuzz targets share: bytes as a file, for readers that take a path.

use std::cell::OnceCell;
use std::path::Path;

thread_local! {
    /// In memory where there is a file system for that.
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// Call `read` with a folder, and empty it afterwards.
pub fn in_folder(read: impl FnOnce(&Path)) {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| {
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            made.expect("a folder for temporary files")
        });
        read(folder.path());
        for entry in std::fs::read_dir(folder.path()).expect("it is there").flatten() {
            let _ = std::fs::remove_file(entry.path());
        }
    });
}

/// Call `read` with the path of a file of these bytes.
pub fn as_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    in_folder(|folder| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("memory");
        read(&path);
    });
}
