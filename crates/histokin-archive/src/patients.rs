//! Patients in the archive: the code taken from the file name, or a pseudonym of it.

use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use histokin_core::descriptors::hex;
use histokin_core::query::PatientNames;
use histokin_core::slide::SlideId;

/// Environment variable that holds the key for pseudonyms.
pub const KEY_VARIABLE: &str = "HISTOKIN_PSEUDONYM_KEY";

/// Minimum length of a key in bytes: codes are short, and a key that can be guessed reveals them.
const SHORTEST_KEY: usize = 16;

/// A secret key that turns codes into pseudonyms. Pushes with the same key give a patient the same pseudonym;
/// without the key the code cannot be recovered.
#[derive(Clone)]
pub struct PseudonymKey(Vec<u8>);

impl PseudonymKey {
    /// Creates a key from a secret text.
    ///
    /// # Errors
    /// A message when the secret is too short; it does not contain the secret.
    pub fn new(secret: &str) -> Result<Self, String> {
        match secret.len() >= SHORTEST_KEY {
            true => Ok(Self(secret.as_bytes().to_vec())),
            false => Err(format!("{KEY_VARIABLE} is too short: give at least {SHORTEST_KEY} characters")),
        }
    }

    /// Returns `P-` and the first 16 hexadecimal digits of the HMAC-SHA-256 of the code.
    fn pseudonym(&self, code: &str) -> String {
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        mac.update(code.as_bytes());
        format!("P-{}", &hex(&mac.finalize().into_bytes())[..16])
    }
}

/// How slides are named in the archive.
#[derive(Clone)]
pub struct PatientCodes {
    /// How a patient's code is found in a file name.
    pub names: PatientNames,
    /// With a key, no codes, file names or file locations are sent to the archive.
    pub key: Option<PseudonymKey>,
}

/// A slide as the archive names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSlide {
    /// File name, or a pseudonymous name.
    pub name: String,
    /// Path of the slide file; `None` with pseudonyms.
    pub location: Option<String>,
    /// Code or pseudonym of the patient, if the file name has a code.
    pub patient: Option<String>,
}

impl PatientCodes {
    /// Returns what is sent to the archive about the slide at `path`.
    pub fn name(&self, path: &Path, slide: &SlideId) -> NamedSlide {
        let code = self.patient(path);
        match self.key {
            Some(_) => {
                let patient = code.as_deref().unwrap_or("slide");
                NamedSlide { name: format!("{patient} {}", slide.short()), location: None, patient: code }
            }
            None => NamedSlide {
                name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
                location: Some(path.display().to_string()),
                patient: code,
            },
        }
    }

    /// Returns the code or pseudonym of the patient of the slide at `path`.
    pub fn patient(&self, path: &Path) -> Option<String> {
        let code = self.names.of(path)?;
        Some(self.key.as_ref().map_or_else(|| code.clone(), |key| key.pseudonym(&code)))
    }

    /// Returns whether codes are replaced by pseudonyms.
    pub fn is_pseudonymous(&self) -> bool {
        self.key.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_core::query::DEFAULT_PATTERN;

    #[test]
    fn pseudonyms_tell_nothing_and_stay_the_same() {
        let key = |secret: &str| PseudonymKey::new(secret);
        assert!(key("short").err().unwrap().contains("16 characters"));
        // RFC 4231, test case 2: HMAC-SHA-256 begins 5bdcc146bf60754e; its key is shorter than we allow.
        let known = PseudonymKey(b"Jefe".to_vec()).pseudonym("what do ya want for nothing?");
        assert_eq!(known, "P-5bdcc146bf60754e");
        let names = PatientNames::new(DEFAULT_PATTERN).unwrap();
        let codes = PatientCodes { names, key: Some(key("a secret of the clinic").unwrap()) };
        let slide = SlideId("0123456789abcdef".to_owned());
        let named = codes.name(Path::new("/clinic/Miller/Miller_12.svs"), &slide);
        assert_eq!(named.location, None);
        assert!(!format!("{named:?}").contains("Miller"), "{named:?}");
        let again = codes.patient(Path::new("/elsewhere/Miller_13.svs"));
        assert_eq!(named.patient, again);
        let plain = PatientCodes { key: None, ..codes };
        let named = plain.name(Path::new("/clinic/Miller_12.svs"), &slide);
        assert_eq!((named.name.as_str(), named.patient.as_deref()), ("Miller_12.svs", Some("Miller")));
        assert_eq!(named.location.as_deref(), Some("/clinic/Miller_12.svs"));
    }
}
