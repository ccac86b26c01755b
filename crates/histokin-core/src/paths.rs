//! Paths in a form that is the same on all systems, and their serialisation in text files.
//!
//! A file name need not be Unicode: on Unix it is a string of bytes, on Windows of 16-bit units. A name that is not valid
//! Unicode is written as text with U+FFFD in place of what is invalid, and additionally as its bytes in hexadecimal (on
//! Windows those of its generalised UTF-8).

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::platform::path_of_bytes;

/// Names that Windows gives to devices, whatever comes after a dot.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// Names of devices on Windows that a digit other than 0 follows.
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// Characters, besides those of control, that names of files cannot have on some system.
const FORBIDDEN: &str = "<>:\"/\\|?*";
/// Most bytes of a file's name without its ending. Systems allow 255 in all.
const LONGEST_STEM: usize = 200;

/// Returns the absolute path of an existing file or folder, without symbolic links, and on Windows in the form that users
/// know (`C:\…`, not `\\?\C:\…`) where that is possible.
///
/// # Errors
/// Returns the error of the system, such as when it does not exist.
pub fn canonical(path: &Path) -> io::Result<PathBuf> {
    dunce::canonicalize(path)
}

/// Returns the relative path that leads from the folder `from` to `to`, both absolute, with `/` between its parts as all
/// systems understand it. `None` if the two share no folder but the root of a file system.
pub fn relative(from: &Path, to: &Path) -> Option<PathBuf> {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b);
    let is_folder = |(part, _): &(Component<'_>, Component<'_>)| matches!(part, Component::Normal(_));
    let shared: Vec<_> = shared.collect();
    if !shared.iter().any(is_folder) {
        return None;
    }
    let up = from.components().skip(shared.len()).map(|_| OsStr::new(".."));
    let parts = up.chain(to.components().skip(shared.len()).map(Component::as_os_str));
    let mut path = OsString::new();
    for part in parts {
        if !path.is_empty() {
            path.push("/");
        }
        path.push(part);
    }
    Some(path.into())
}

/// Returns the file name of `path`, for display; where one of `others` has the same file name, with as many of its folders
/// as tell them apart, such as `case 1/slide.svs`.
pub fn telling_name<'a>(path: &Path, others: impl Iterator<Item = &'a Path>) -> String {
    let Some(file) = path.file_name() else { return path.display().to_string() };
    let namesakes = others.filter(|other| *other != path && other.file_name() == Some(file));
    let parts = |of: &Path| of.components().rev().map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>();
    let own = parts(path);
    let shared = |other: &Path| own.iter().zip(parts(other)).take_while(|(a, b)| **a == *b).count();
    // The parts that the most similar path shares, and the one that differs.
    let count = namesakes.map(|other| shared(other) + 1).max().unwrap_or(1).min(own.len());
    let telling: Vec<_> = own[..count].iter().rev().map(|part| part.to_string_lossy()).collect();
    telling.join("/").replacen("//", "/", 1)
}

/// Returns a name for a new file, without its ending, that every system allows: `text`, with `_` for what is forbidden
/// and before the name of a device of Windows, and no longer than systems allow.
pub fn portable_stem(text: &str) -> String {
    let is_forbidden = |letter: char| letter.is_control() || FORBIDDEN.contains(letter);
    let mut stem: String =
        text.chars().map(|letter| if is_forbidden(letter) { '_' } else { letter }).collect();
    stem.truncate(stem.floor_char_boundary(LONGEST_STEM));
    let first = stem.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let is_numbered = NUMBERED_DEVICES
        .iter()
        .filter_map(|device| first.strip_prefix(device))
        .any(|number| matches!(number.as_bytes(), [b'1'..=b'9']));
    if stem.is_empty() || is_numbered || DEVICES.contains(&first.as_str()) {
        stem.insert(0, '_');
    }
    stem
}

/// Names of the files that are written to one folder. All differ, also on systems that do not tell capitals from small
/// letters.
#[derive(Debug, Default)]
pub struct FileStems(HashSet<String>);

impl FileStems {
    /// Returns the name of a new file, without its ending, as [`portable_stem`] makes it of `text`. As long as another file
    /// has that name, a dash and `distinction` follow.
    pub fn next(&mut self, text: &str, distinction: &str) -> String {
        let mut stem = portable_stem(text);
        while !self.0.insert(stem.to_lowercase()) {
            stem = format!("{stem}-{distinction}");
        }
        stem
    }
}

/// A path that is serialised as its bytes in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HexPath(PathBuf);

impl HexPath {
    /// Returns the path itself.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Serialize for HexPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = text.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let read =
            bytes.1.is_empty().then(|| bytes.0.iter().map(byte).collect::<Option<Vec<u8>>>()).flatten();
        let path = read.filter(|bytes| !bytes.contains(&0)).and_then(path_of_bytes);
        path.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a hexadecimal path")))
    }
}

/// Returns a path as text, and also as bytes where it is not valid UTF-8.
pub fn in_text(path: PathBuf) -> (String, Option<HexPath>) {
    match path.into_os_string().into_string() {
        Ok(text) => (text, None),
        Err(path) => (path.to_string_lossy().into_owned(), Some(HexPath(path.into()))),
    }
}

/// Returns a path as a JSON string, with U+FFFD in place of invalid UTF-8.
pub fn shown(path: &Path) -> Value {
    json!(path.to_string_lossy())
}

/// Adds a path to a JSON object as `key`, and its bytes in hexadecimal as `key_bytes` if it is not valid
/// UTF-8.
pub fn put(object: &mut Value, key: &str, path: &Path) {
    object[key] = shown(path);
    if path.to_str().is_none() {
        object[format!("{key}_bytes")] = json!(hex(path));
    }
}

/// For `#[serde(with)]`: a path as a string, or as an object with its bytes if it is not valid UTF-8.
pub mod whole {
    use super::{Deserialize, Deserializer, HexPath, Path, PathBuf, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(PathBuf),
        Bytes { bytes: HexPath },
    }

    /// Serialises a path.
    ///
    /// # Errors
    /// Returns the error of the serialiser.
    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        let path = path.to_owned();
        let written = match path.to_str() {
            Some(_) => Written::Text(path),
            None => Written::Bytes { bytes: HexPath(path) },
        };
        written.serialize(serializer)
    }

    /// Deserialises a path.
    ///
    /// # Errors
    /// Fails if the value has another form or its hexadecimal bytes are invalid.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(path) | Written::Bytes { bytes: HexPath(path) } => path,
        })
    }
}

/// Like [`whole`], for lists.
pub mod whole_list {
    use super::{Deserialize, Deserializer, PathBuf, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "super::whole")] PathBuf);

    /// Serialises a list of paths.
    ///
    /// # Errors
    /// Returns the error of the serialiser.
    pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().cloned().map(One))
    }

    /// Deserialises a list of paths.
    ///
    /// # Errors
    /// Fails if the value has another form or its hexadecimal bytes are invalid.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        let paths = Vec::<One>::deserialize(deserializer)?;
        Ok(paths.into_iter().map(|One(path)| path).collect())
    }
}

/// Like [`whole`], for optional paths; to be combined with
/// `#[serde(default, skip_serializing_if = "Option::is_none")]`.
pub mod whole_option {
    use super::{Deserialize, Deserializer, PathBuf, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "super::whole")] PathBuf);

    /// Serialises an optional path.
    ///
    /// # Errors
    /// Returns the error of the serialiser.
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.clone().map(One).serialize(serializer)
    }

    /// Deserialises an optional path.
    ///
    /// # Errors
    /// Fails if the value has another form or its hexadecimal bytes are invalid.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<One>::deserialize(deserializer)?.map(|One(path)| path))
    }
}

fn hex(path: &Path) -> String {
    path.as_os_str().as_encoded_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_have_slashes_and_need_a_shared_folder() {
        let root = if cfg!(windows) { "C:\\" } else { "/" };
        let at = |path: &str| Path::new(root).join(path.split('/').collect::<PathBuf>());
        let from = at("study/project");
        for (to, expected) in [
            ("study/slides/a.svs", Some("../slides/a.svs")),
            ("study/project/a.svs", Some("a.svs")),
            ("study/a.svs", Some("../a.svs")),
            ("other/a.svs", None),
        ] {
            let found = relative(&from, &at(to));
            assert_eq!(found.as_deref().and_then(Path::to_str), expected, "{to}");
        }
    }

    #[test]
    fn names_of_devices_are_avoided() {
        for (stem, expected) in [
            ("con", "_con"),
            ("AUX.liver", "_AUX.liver"),
            ("Lpt9", "_Lpt9"),
            ("nul ", "_nul "),
            ("com0", "com0"),
            ("com10", "com10"),
            ("consensus", "consensus"),
            ("prn-1", "prn-1"),
        ] {
            assert_eq!(portable_stem(stem), expected);
        }
    }

    #[test]
    fn names_of_files_are_allowed_on_every_system() {
        assert_eq!(portable_stem("HE 1/2: \"a\"\n<b>|c?*\\"), "HE 1_2_ _a___b__c___");
        assert_eq!(portable_stem("Größe (µm) 肝"), "Größe (µm) 肝");
        assert_eq!(portable_stem(""), "_");
        let long = portable_stem(&"肝".repeat(100));
        assert_eq!(long, "肝".repeat(LONGEST_STEM / 3));
    }

    #[test]
    fn files_of_one_folder_have_names_that_differ_in_more_than_capitals() {
        let mut stems = FileStems::default();
        assert_eq!(stems.next("Liver", "1"), "Liver");
        assert_eq!(stems.next("liver", "2"), "liver-2");
        assert_eq!(stems.next("Liver", "3"), "Liver-3");
        assert_eq!(stems.next("liver-3", "5"), "liver-3-5");
        assert_eq!(stems.next("nul", "4"), "_nul");
    }

    #[test]
    fn files_of_the_same_name_are_told_apart_by_their_folders() {
        let paths = ["/s/P1/a.svs", "/s/P2/a.svs", "/s/P2/b.svs", "/t/P2/a.svs", "/s/P3/c.svs", "/c.svs"]
            .map(Path::new);
        let names = paths.map(|path| telling_name(path, paths.into_iter()));
        assert_eq!(names, ["P1/a.svs", "s/P2/a.svs", "b.svs", "t/P2/a.svs", "P3/c.svs", "/c.svs"]);
    }

    #[cfg(unix)]
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Paths {
        #[serde(with = "whole")]
        one: PathBuf,
        #[serde(with = "whole_list")]
        many: Vec<PathBuf>,
        #[serde(default, with = "whole_option", skip_serializing_if = "Option::is_none")]
        none: Option<PathBuf>,
    }

    #[cfg(unix)]
    #[test]
    fn paths_of_any_bytes_come_back_from_json_and_toml() {
        let latin = path_of_bytes(b"/slides/caf\xe9.svs".to_vec()).unwrap();
        for path in [PathBuf::from("/slides/café \u{fffd}.svs"), latin.clone()] {
            let paths = Paths { one: path.clone(), many: vec![path.clone(), "b".into()], none: None };
            let some = Paths { none: Some(path), one: "a".into(), many: Vec::new() };
            for paths in [paths, some] {
                let text = serde_json::to_string(&paths).unwrap();
                assert_eq!(serde_json::from_str::<Paths>(&text).unwrap(), paths);
                let text = toml::to_string(&paths).unwrap();
                assert_eq!(toml::from_str::<Paths>(&text).unwrap(), paths);
            }
        }
        let mut object = json!({});
        put(&mut object, "path", &latin);
        put(&mut object, "other", Path::new("a"));
        let expected = json!({
            "path": "/slides/caf\u{fffd}.svs", "path_bytes": "2f736c696465732f636166e92e737673", "other": "a"
        });
        assert_eq!(object, expected);
        for nonsense in ["\"zz\"", "\"6\"", "\"00\"", "7"] {
            assert!(serde_json::from_str::<HexPath>(nonsense).is_err(), "{nonsense}");
        }
    }
}
