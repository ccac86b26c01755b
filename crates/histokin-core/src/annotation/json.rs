//! JSON values that are kept in their original notation.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// A JSON value in its original notation, including numbers of any precision and repeated keys.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// Returns the value as JSON text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Returns the content of the value, if it is a string.
    pub fn as_string(&self) -> Option<String> {
        serde_json::from_str(self.get()).ok()
    }
}

impl From<&RawValue> for RawJson {
    fn from(value: &RawValue) -> Self {
        Self(value.to_owned())
    }
}

impl From<&str> for RawJson {
    /// Makes a JSON string.
    fn from(text: &str) -> Self {
        let quoted = serde_json::Value::from(text).to_string();
        // A quoted string is always valid JSON; null is only a fallback to avoid a panic.
        Self(RawValue::from_string(quoted).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

/// Members of a file's objects that have no meaning in this program, in their order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Foreign {
    /// Members of the object itself.
    pub own: Vec<(String, RawJson)>,
    /// Members of the object's `properties`.
    pub properties: Vec<(String, RawJson)>,
}

/// The members of a JSON object in their order; keys may be repeated, as in files of QuPath.
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Returns the last value of a key, which is the one that JSON readers use.
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// Returns the last value of a key, unless it is `null`.
    pub fn stated(&self, key: &str) -> Option<&'a RawValue> {
        self.get(key).filter(|value| value.get() != "null")
    }

    /// Returns all members except those with the given keys, in their original notation.
    pub fn except(&self, known: &[&str]) -> Vec<(String, RawJson)> {
        let unknown = self.0.iter().filter(|(name, _)| !known.contains(&name.as_ref()));
        unknown.map(|(name, value)| (name.clone().into_owned(), RawJson::from(*value))).collect()
    }
}

/// A key, borrowed from the text if it has no escape sequences.
#[derive(Deserialize)]
pub struct Key<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(InOrder).map(Self)
    }
}

/// Converts the non-standard JSON of Python's `json.dump` and of QuPath before 0.4.4: numbers that are not
/// finite become the strings `"NaN"`, `"Infinity"` and `"-Infinity"`. Control characters in strings, such as tabs, are
/// escaped. What people leave in files that they edit is taken
/// out, as QuPath does: comments, and commas before a closing bracket. Record separators (RFC 8142) become spaces. Line
/// numbers do not change. Returns `None` if nothing had to be replaced.
pub fn repaired(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut copied = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'"' => {
                let end = string_end(bytes, at).unwrap_or(bytes.len()).min(bytes.len());
                if bytes[at..end].iter().any(u8::is_ascii_control) {
                    plain += &text[copied..at];
                    plain.extend(text[at..end].chars().map(escaped));
                    copied = end;
                }
                at = end;
                continue;
            }
            b'-' | b'+' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
                at + bytes[at..].iter().take_while(|byte| is_word(byte)).count()
            }
            b'/' => comment_end(bytes, at).unwrap_or(at + 1),
            _ => at + 1,
        };
        let instead = match &bytes[at..end] {
            b"\x1e" => Some(Cow::Borrowed(" ")),
            b"," => is_superfluous(bytes, end).then_some(Cow::Borrowed(" ")),
            [b'/', _, ..] => {
                Some(Cow::Owned(text[at..end].chars().filter(|letter| *letter == '\n').collect()))
            }
            word => not_finite(word).map(Cow::Borrowed),
        };
        if let Some(instead) = instead {
            plain += &text[copied..at];
            plain += &instead;
            copied = end;
        }
        at = end;
    }
    if copied == 0 {
        return None;
    }
    plain += &text[copied..];
    Some(plain)
}

/// Returns a character of a string as JSON states it.
fn escaped(letter: char) -> Cow<'static, str> {
    match letter.is_ascii_control() {
        true => Cow::Owned(format!("\\u{:04x}", u32::from(letter))),
        false => Cow::Owned(letter.to_string()),
    }
}

/// Returns the end of the comment that begins at `start`, if one does: `// …` to the end of the line, or `/* … */`.
fn comment_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = &bytes[start..];
    match rest.get(1)? {
        b'/' => Some(start + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())),
        b'*' => {
            let length = rest[2..].windows(2).position(|pair| pair == b"*/")?;
            Some(start + 2 + length + 2)
        }
        _ => None,
    }
}

/// Returns whether a closing bracket follows at `at`, after white space and comments.
fn is_superfluous(bytes: &[u8], mut at: usize) -> bool {
    loop {
        match bytes.get(at) {
            Some(b'/') => match comment_end(bytes, at) {
                Some(end) => at = end,
                None => return false,
            },
            Some(byte) if byte.is_ascii_whitespace() => at += 1,
            next => return matches!(next, Some(b']' | b'}')),
        }
    }
}

fn not_finite(word: &[u8]) -> Option<&'static str> {
    let is = |names: [&[u8]; 2]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
    match word {
        _ if word.eq_ignore_ascii_case(b"nan") => Some("\"NaN\""),
        _ if is([b"infinity", b"inf"]) => Some("\"Infinity\""),
        _ if is([b"-infinity", b"-inf"]) => Some("\"-Infinity\""),
        _ => None,
    }
}

/// Returns the position after the string that begins at `start`; `None` if none begins there, or it has no end.
pub fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    if bytes.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_order_and_precision_are_kept() {
        let members: Members<'_> =
            serde_json::from_str(r#"{"b": 1.00000000000000000001, "\u0061": {"x":1, "x":2}, "b": 3}"#)
                .unwrap();
        assert_eq!(members.get("b").unwrap().get(), "3");
        let kept = members.except(&["a"]);
        assert_eq!(kept[0].1.get(), "1.00000000000000000001");
        assert_eq!(kept.len(), 2);
        assert_eq!(RawJson::from("a \"quoted\" word").as_string().unwrap(), "a \"quoted\" word");
    }

    #[test]
    fn bare_numbers_that_are_not_finite_become_strings() {
        let text = r#"{"NaN":[NaN,-Infinity, Infinity,nan,1e5,-2],"a\"NaN":"NaN, \\","é":NaN}"#;
        let plain = r#"{"NaN":["NaN","-Infinity", "Infinity","NaN",1e5,-2],"a\"NaN":"NaN, \\","é":"NaN"}"#;
        assert_eq!(repaired(text).unwrap(), plain);
        assert_eq!(repaired(plain), None);
        assert_eq!(repaired("\u{1e}{}\n\u{1e}{}").unwrap(), " {}\n {}");
        assert_eq!(repaired("\"\\"), None);
        assert_eq!(repaired("\"a\\\"NaN"), None);
        assert_eq!(repaired("NaNa, infinit, NULL"), None);
    }

    #[test]
    fn comments_and_commas_before_brackets_are_taken_out() {
        let text = "{ // by hand\n\"a//b\": [1, 2, /* two\nlines */ ],\n \"c\": \",]\" , // é\n}";
        let plain = "{ \n\"a//b\": [1, 2  \n ],\n \"c\": \",]\"   \n}";
        assert_eq!(repaired(text).unwrap(), plain);
        for odd in ["[1 /", "[1 /* ", "[1, / ]", "[,"] {
            assert_eq!(repaired(odd), None, "{odd}");
        }
        assert_eq!(repaired("[1] //").unwrap(), "[1] ");
        assert_eq!(repaired("[\"a\tb\né\"]").unwrap(), "[\"a\\u0009b\\u000aé\"]");
    }
}
