//! What operating systems do differently. Each module here has the same functions, described by the one for Unix; code
//! elsewhere calls them without knowing the system.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    #[test]
    fn this_process_is_alive_and_uses_memory() {
        assert!(is_alive(std::process::id()));
        assert!(!host_name().is_empty());
        let (used, all) = (resident_bytes().unwrap(), memory_bytes().unwrap());
        assert!(used > 1 << 16 && used < all, "{used} of {all}");
        #[cfg(any(target_os = "linux", windows))]
        assert!(process_age().unwrap() < Duration::from_secs(24 * 3600));
    }

    #[test]
    fn a_locked_file_is_read_by_all_and_locked_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::fs::write(&path, "held").unwrap();
        let [first, second] = [(); 2].map(|()| std::fs::File::options().write(true).open(&path).unwrap());
        try_lock(&first).unwrap();
        assert!(matches!(try_lock(&second), Err(std::fs::TryLockError::WouldBlock)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "held");
        unlock(&first).unwrap();
        try_lock(&second).unwrap();
    }

    #[test]
    fn a_process_that_ended_is_not_alive() {
        let mut ended = Command::new(std::env::current_exe().unwrap())
            .arg("--list")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let id = ended.id();
        assert!(is_alive(id));
        ended.wait().unwrap();
        drop(ended);
        assert!(!is_alive(id));
    }

    #[test]
    fn a_pipe_is_read_until_its_end_and_not_longer_than_allowed() {
        let mut lists = Command::new(std::env::current_exe().unwrap())
            .arg("--list")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = lists.stdout.take().unwrap();
        let (mut text, mut buffer) = (Vec::new(), [0; 100]);
        loop {
            match read_within(&mut pipe, &mut buffer, Duration::from_secs(60)).unwrap() {
                0 => break,
                count => text.extend_from_slice(&buffer[..count]),
            }
        }
        lists.wait().unwrap();
        assert!(String::from_utf8(text).unwrap().contains("a_pipe_is_read_until_its_end"));

        // This one waits for input that never comes, and so writes nothing.
        let mut silent = silent_process().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut pipe = silent.stdout.take().unwrap();
        let error = read_within(&mut pipe, &mut buffer, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        silent.kill().unwrap();
        silent.wait().unwrap();
    }

    fn silent_process() -> Command {
        if cfg!(windows) {
            let mut command = Command::new("findstr");
            command.arg("x");
            command
        } else {
            Command::new("cat")
        }
    }
}
