//! Decides which files are decoded in another process, based on a record of what happened to each file.
//!
//! By default, a file is not trusted until it has been read for a whole session without a crash, and it is
//! never trusted again after crashing a decoder. The record is stored in the user's state folder, with one
//! line per event and a hash in place of the file's path. A line for the start of reading without a matching
//! line for its end was left by a process that died, possibly because of that file.

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
use crate::platform::is_alive;

/// When slides are decoded in another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationMode {
    /// For files that have not been read before or have crashed a decoder.
    #[default]
    Auto,
    /// For all files.
    Always,
    /// For no file.
    Never,
}

impl FromStr for IsolationMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(format!("{text:?} is not one of auto, always and never")),
        }
    }
}

/// An event in reading a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It was read in another process without a crash.
    Sound,
    /// Reading in this process has begun.
    Begun,
    /// Reading in this process has ended.
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

/// How this process opens slides; not set in tests and in programs that use the library.
static RULE: OnceLock<Rule> = OnceLock::new();

struct Rule {
    when: IsolationMode,
    program: PathBuf,
    ledger: Mutex<Ledger>,
}

/// Sets when slides are decoded in another process from now on. `program` is the path of this program,
/// `ledger` the file with the record of events; if it is `None`, the record is kept in memory only.
pub fn isolate(when: IsolationMode, program: PathBuf, ledger: Option<PathBuf>) {
    let rule = Rule { when, program, ledger: Mutex::new(Ledger::read(ledger)) };
    if RULE.set(rule).is_err() {
        tracing::error!("slide isolation was configured twice; the first setting applies");
    }
}

/// Returns the program that has to decode the file at `path`, and its limits; `None` if this process decodes
/// it.
pub fn decoder_for(path: &Path) -> Option<(PathBuf, Limits)> {
    let rule = RULE.get()?;
    let is_isolated = match rule.when {
        IsolationMode::Always => true,
        IsolationMode::Never => false,
        IsolationMode::Auto => !rule.ledger.lock().unwrap_or_else(PoisonError::into_inner).trusts(path),
    };
    is_isolated.then(|| (rule.program.clone(), Limits::default()))
}

/// Records an event of a file.
pub(super) fn note(path: &Path, what: What) {
    if let Some(rule) = RULE.get() {
        rule.ledger.lock().unwrap_or_else(PoisonError::into_inner).note(path, what);
    }
}

/// Marks a file as being read in this process, until it is dropped.
pub struct InUse(PathBuf);

impl InUse {
    /// Records that reading of the file has begun.
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

/// The record of one file in its current version.
#[derive(Debug, Clone, Default, PartialEq)]
struct Record {
    sound: bool,
    crashed: bool,
    /// IDs of the processes that are reading it.
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
                if let Some(index) = self.readers.iter().position(|reader| *reader == pid) {
                    self.readers.remove(index);
                }
            }
            What::Crashed => self.crashed = true,
        }
    }

    /// Whether the file is trusted: it was sound, has not crashed, and no reader died while reading it.
    fn is_trusted(&self) -> bool {
        self.sound && !self.crashed && self.readers.iter().all(|reader| is_alive(*reader))
    }
}

struct Ledger {
    file: Option<PathBuf>,
    known: HashMap<String, Record>,
}

/// Number of lines above which the file is rewritten with only the information that is still needed.
const MAX_LINES: usize = 20_000;

impl Ledger {
    fn read(file: Option<PathBuf>) -> Self {
        let text = file.as_deref().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        let mut known: HashMap<String, Record> = HashMap::new();
        let mut lines = 0;
        // An incomplete line at the end is ignored.
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
        if lines > MAX_LINES {
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

/// Hash of a file's path, size and modification time, so that a modified file counts as a different one.
/// `None` if the file does not exist.
fn key(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let absolute = std::path::absolute(path).ok()?;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let mut hash = Sha256::new();
    hash.update(absolute.as_os_str().as_encoded_bytes());
    hash.update(metadata.len().to_le_bytes());
    hash.update(modified.map_or(0, |age| age.as_nanos()).to_le_bytes());
    Some(hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
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
        // Other processes began to read the file: process 1 exists, 4,000,000 does not.
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
        // Another file under the same name has a record of its own.
        std::fs::write(&slide, "other pixels").unwrap();
        assert_eq!(again().known.get(&key(&slide).unwrap()), None);
        assert!(!std::fs::read_to_string(&file).unwrap().contains("a.svs"));
    }
}
