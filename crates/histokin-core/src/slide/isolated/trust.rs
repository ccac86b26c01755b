//! Which files are decoded in another process, and what is known of files.
//!
//! Unless the program was told otherwise, a file is not trusted that was never read to the end of a session, and
//! one is never trusted again that has crashed a decoder. What is known lies in the user's state folder: one line
//! for each thing that happened, with a hash in the place of the file's path. A line that says that a file is being
//! read without its counterpart was left by a process that died: perhaps of that file.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::Limits;
use crate::durable;

/// When slides are decoded in another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolate {
    /// Files that were not read before, and such as have crashed a decoder.
    #[default]
    Auto,
    Always,
    Never,
}

impl FromStr for Isolate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(format!("{text:?} is no such choice; there are auto, always and never")),
        }
    }
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It was read in another process without a crash.
    Sound,
    /// It is being read in this process.
    Begun,
    /// It is no longer read in this process.
    Ended,
    /// It has crashed a decoder.
    Crashed,
}

impl What {
    const ALL: [(Self, &str); 4] =
        [(Self::Sound, "sound"), (Self::Begun, "begun"), (Self::Ended, "ended"), (Self::Crashed, "crashed")];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(what, _)| *what == self).map_or("", |(_, word)| word)
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(what, _)| *what)
    }
}

/// How this process opens slides; absent in tests and in programs that use the library.
static RULE: OnceLock<Rule> = OnceLock::new();

struct Rule {
    when: Isolate,
    program: PathBuf,
    ledger: Mutex<Ledger>,
}

/// From now on, decode slides in another process when `when` says so. `program` is this program's file, `ledger`
/// where it is kept what is known of files; nowhere if absent.
pub fn isolate(when: Isolate, program: PathBuf, ledger: Option<PathBuf>) {
    let rule = Rule { when, program, ledger: Mutex::new(Ledger::read(ledger)) };
    if RULE.set(rule).is_err() {
        tracing::error!("slides were to be isolated in two ways; the first one holds");
    }
}

/// The program that is to decode the file at `path`, if that is not this process.
pub fn decoder_for(path: &Path) -> Option<(PathBuf, Limits)> {
    let rule = RULE.get()?;
    let apart = match rule.when {
        Isolate::Always => true,
        Isolate::Never => false,
        Isolate::Auto => !rule.ledger.lock().unwrap_or_else(PoisonError::into_inner).trusts(path),
    };
    apart.then(|| (rule.program.clone(), Limits::default()))
}

/// Keep in mind what happened to a file.
pub(super) fn note(path: &Path, what: What) {
    if let Some(rule) = RULE.get() {
        rule.ledger.lock().unwrap_or_else(PoisonError::into_inner).note(path, what);
    }
}

/// Says of a file that it is being read in this process, for as long as this lives.
pub struct InUse(PathBuf);

impl InUse {
    pub fn new(path: &Path) -> Self {
        note(path, What::Begun);
        Self(path.to_owned())
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        note(&self.0, What::Ended);
    }
}

/// What is known of one file as it looks now.
#[derive(Debug, Clone, Default, PartialEq)]
struct Record {
    sound: bool,
    crashed: bool,
    /// Processes that read it.
    readers: Vec<u32>,
}

impl Record {
    fn add(&mut self, what: What, pid: u32) {
        match what {
            What::Sound => {
                self.sound = true;
                self.readers.retain(|reader| is_alive(*reader));
            }
            What::Begun => self.readers.push(pid),
            What::Ended => {
                if let Some(place) = self.readers.iter().position(|reader| *reader == pid) {
                    self.readers.remove(place);
                }
            }
            What::Crashed => self.crashed = true,
        }
    }

    /// A reader that died has left its line behind.
    fn is_trusted(&self) -> bool {
        self.sound && !self.crashed && self.readers.iter().all(|reader| is_alive(*reader))
    }
}

struct Ledger {
    file: Option<PathBuf>,
    known: HashMap<String, Record>,
}

/// Lines after which the file is written anew with what still matters.
const MOST_LINES: usize = 20_000;

impl Ledger {
    fn read(file: Option<PathBuf>) -> Self {
        let text = file.as_deref().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        let mut known: HashMap<String, Record> = HashMap::new();
        let mut lines = 0;
        // A torn line at the end says nothing.
        for line in text.lines() {
            lines += 1;
            let mut words = line.split(' ');
            if let (Some(key), Some(Ok(pid)), Some(Some(what)), None) =
                (words.next(), words.next().map(str::parse), words.next().map(What::of), words.next())
            {
                known.entry(key.to_owned()).or_default().add(what, pid);
            }
        }
        let ledger = Self { file, known };
        if lines > MOST_LINES {
            ledger.rewrite();
        }
        ledger
    }

    fn rewrite(&self) {
        let Some(file) = &self.file else { return };
        let mut text = String::new();
        for (key, record) in &self.known {
            let mut line = |what: What, pid: u32| text.push_str(&format!("{key} {pid} {}\n", what.word()));
            record.sound.then(|| line(What::Sound, 0));
            record.readers.iter().for_each(|pid| line(What::Begun, *pid));
            record.crashed.then(|| line(What::Crashed, 0));
        }
        if let Err(error) = durable::write(file, text.as_bytes()) {
            tracing::warn!("{}: {error}", file.display());
        }
    }

    fn trusts(&self, path: &Path) -> bool {
        key(path).is_some_and(|key| self.known.get(&key).is_some_and(Record::is_trusted))
    }

    fn note(&mut self, path: &Path, what: What) {
        let Some(key) = key(path) else { return };
        let pid = std::process::id();
        self.known.entry(key.clone()).or_default().add(what, pid);
        let Some(file) = &self.file else { return };
        let line = format!("{key} {pid} {}\n", what.word());
        let append = || -> std::io::Result<()> {
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)?;
            }
            OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())
        };
        if let Err(error) = append() {
            tracing::warn!("{}: {error}", file.display());
        }
    }
}

/// A hash of a file's path, size and time of change: a file that changes is another one. `None` where there is none.
fn key(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let whole = std::path::absolute(path).ok()?;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let mut hash = Sha256::new();
    hash.update(whole.as_os_str().as_encoded_bytes());
    hash.update(metadata.len().to_le_bytes());
    hash.update(modified.map_or(0, |age| age.as_nanos()).to_le_bytes());
    Some(hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "only the C library asks whether a process lives")]
fn is_alive(pid: u32) -> bool {
    // SAFETY: signal 0 asks only whether there is such a process.
    let asked = unsafe { libc::kill(pid.cast_signed(), 0) };
    asked == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

#[cfg(not(unix))]
fn is_alive(pid: u32) -> bool {
    pid == std::process::id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_trusted_after_a_sound_session_and_never_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let (slide, file) = (folder.path().join("a.svs"), folder.path().join("state/ledger"));
        std::fs::write(&slide, "pixels").unwrap();
        let again = || Ledger::read(Some(file.clone()));
        let mut ledger = again();
        assert!(!ledger.trusts(&slide));
        ledger.note(&slide, What::Sound);
        assert!(ledger.trusts(&slide) && again().trusts(&slide));
        // Somebody else's process read it in place and died: process 1 lives, and 4,000,000 is no process.
        for (pid, trusted) in [(1, true), (4_000_000, false)] {
            let line = format!("{} {pid} begun\ntorn", key(&slide).unwrap());
            let before = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, before.clone() + &line).unwrap();
            assert_eq!(again().trusts(&slide), trusted);
            std::fs::write(&file, before).unwrap();
        }
        ledger.note(&slide, What::Begun);
        ledger.note(&slide, What::Ended);
        assert!(again().trusts(&slide));
        ledger.note(&slide, What::Crashed);
        ledger.note(&slide, What::Sound);
        assert!(!ledger.trusts(&slide) && !again().trusts(&slide));
        again().rewrite();
        assert!(!again().trusts(&slide));
        // Another file under the same name is another file.
        std::fs::write(&slide, "other pixels").unwrap();
        assert_eq!(again().known.get(&key(&slide).unwrap()), None);
        assert!(!std::fs::read_to_string(&file).unwrap().contains("a.svs"));
    }
}
