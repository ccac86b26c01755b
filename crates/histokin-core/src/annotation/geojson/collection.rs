//! A feature collection in its usual form, split into its features without parsing them.
//!
//! What lies between the braces of a feature is left to the parser, as are all other members of the collection. Whatever is
//! not as expected makes the caller parse the whole document instead, which also finds what is wrong with it.

use crate::annotation::json::string_end;

/// Opening and closing bracket of objects and of arrays.
const OBJECT: [u8; 2] = *b"{}";
const ARRAY: [u8; 2] = *b"[]";

/// A collection whose features are split off one after the other.
pub struct Collection<'a> {
    text: &'a str,
    /// Start of the features, after their bracket.
    start: usize,
    /// End of what has been split off.
    at: usize,
    /// Whether the bracket at the end of the features has been passed.
    is_at_end: bool,
}

impl<'a> Collection<'a> {
    /// Returns the collection of a document; `None` if that is not an object with a list of features.
    pub fn of(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut at = past(bytes, space(bytes, 0), b'{')?;
        loop {
            at = space(bytes, at);
            let end = string_end(bytes, at)?;
            let key = &bytes[at + 1..end - 1];
            at = space(bytes, past(bytes, space(bytes, end), b':')?);
            if key == b"features" {
                let start = past(bytes, at, b'[')?;
                return Some(Self { text, start, at: start, is_at_end: false });
            }
            at = past(bytes, space(bytes, value_end(bytes, at)?), b',')?;
        }
    }

    /// Returns the text of the members before the features, as an object.
    pub fn head(&self) -> String {
        format!("{}]}}", &self.text[..self.start])
    }

    /// Returns the text of the collection without its features, once all of them have been split off.
    pub fn without_features(&self) -> String {
        format!("{}{}", &self.text[..self.start], &self.text[self.at.saturating_sub(1)..])
    }

    /// Returns the share of the text that has been split off, from 0 to 1.
    pub fn share(&self) -> f32 {
        self.at as f32 / self.text.len().max(1) as f32
    }

    /// Returns the next features, at most `most`, from brace to brace; none at the end. `None` if something else is there.
    pub fn next(&mut self, most: usize) -> Option<Vec<&'a str>> {
        let bytes = self.text.as_bytes();
        let mut features = Vec::new();
        while !self.is_at_end && features.len() < most {
            let mut at = space(bytes, self.at);
            let is_first = self.at == self.start;
            match bytes.get(at)? {
                b']' => {
                    self.at = at + 1;
                    self.is_at_end = true;
                    break;
                }
                b',' if !is_first => at = space(bytes, at + 1),
                b'{' if is_first => {}
                _ => return None,
            }
            if bytes.get(at) != Some(&b'{') {
                return None;
            }
            self.at = nested_end(bytes, at, OBJECT)?;
            features.push(self.text.get(at..self.at)?);
        }
        Some(features)
    }
}

/// Returns the position after `byte`, if it is at `at`.
fn past(bytes: &[u8], at: usize, byte: u8) -> Option<usize> {
    (bytes.get(at) == Some(&byte)).then_some(at + 1)
}

/// Returns the position after JSON's white space.
fn space(bytes: &[u8], at: usize) -> usize {
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    at + bytes[at.min(bytes.len())..].iter().take_while(is_space).count()
}

/// Returns the end of the object or array that begins at `start` with the bracket `opening`.
fn nested_end(bytes: &[u8], start: usize, [opening, closing]: [u8; 2]) -> Option<usize> {
    let (mut at, mut depth) = (start, 0_usize);
    loop {
        match *bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            byte if byte == opening => depth += 1,
            byte if byte == closing => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Returns the end of the value that begins at `start`.
fn value_end(bytes: &[u8], start: usize) -> Option<usize> {
    match bytes.get(start)? {
        b'"' => string_end(bytes, start),
        b'{' => nested_end(bytes, start, OBJECT),
        b'[' => nested_end(bytes, start, ARRAY),
        _ => Some(start + bytes[start..].iter().take_while(|byte| !matches!(byte, b',' | b'}')).count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_split_off_and_the_rest_remains() {
        let text = r#" {"type":"FeatureCollection", "a":["]",{"b":1}], "n" : -1.5,"features" : [ {"x":"}\"{"} ,{"y":[{}]}
            ] , "crs":{"features":[1]}} "#;
        let mut collection = Collection::of(text).unwrap();
        assert_eq!(collection.next(1).unwrap(), [r#"{"x":"}\"{"}"#]);
        assert_eq!(collection.next(5).unwrap(), [r#"{"y":[{}]}"#]);
        assert!(collection.next(5).unwrap().is_empty());
        let rest: serde_json::Value = serde_json::from_str(&collection.without_features()).unwrap();
        let expected = serde_json::json!({"type": "FeatureCollection", "a": ["]", {"b": 1}], "n": -1.5, "features": [],
            "crs": {"features": [1]}});
        assert_eq!(rest, expected);
        assert!(serde_json::from_str::<serde_json::Value>(&collection.head()).is_ok());
    }

    #[test]
    fn what_is_no_list_of_objects_is_not_split() {
        for text in [
            "",
            "[",
            "{",
            "{}",
            "{\"a\":",
            "{\"features\":{}}",
            "{\"type\":\"Feature\"}",
            "{\"a\":1 \"features\":[]}",
        ] {
            assert!(Collection::of(text).is_none(), "{text}");
        }
        for text in ["{", "{}", ",{}]", "{}{}]", "{},]", "{},1]", "[]]", "{\"a]", "{\"\\"] {
            let text = format!("{{\"features\":[{text}");
            let mut collection = Collection::of(&text).unwrap();
            assert!(collection.next(9).is_none(), "{text}");
        }
    }
}
