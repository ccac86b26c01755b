//! JSON that is passed on as it was written.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// A JSON value in the very words of a file: numbers of any precision and repeated keys stay as they were.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// The value as text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The string that the value is, if it is one.
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
    /// A JSON string.
    fn from(text: &str) -> Self {
        let quoted = serde_json::Value::from(text).to_string();
        // A quoted string is JSON by construction; were it not, an empty one would stand for it.
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

/// Members of a file's objects that mean nothing here, in their order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Foreign {
    /// Of the object itself.
    pub own: Vec<(String, RawJson)>,
    /// Of the object's `properties`.
    pub properties: Vec<(String, RawJson)>,
}

/// The members of a JSON object in their order; keys may be repeated, as QuPath does.
pub struct Members<'a>(pub Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The last value of a key, which is what JSON readers go by.
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// All members but those of the given keys, as they were written.
    pub fn except(&self, known: &[&str]) -> Vec<(String, RawJson)> {
        let unknown = self.0.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        unknown.map(|(name, value)| (name.clone(), RawJson::from(*value))).collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(InOrder).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_order_and_precision_are_kept() {
        let members: Members<'_> =
            serde_json::from_str(r#"{"b": 1.00000000000000000001, "a": {"x":1, "x":2}, "b": 3}"#).unwrap();
        assert_eq!(members.get("b").unwrap().get(), "3");
        let kept = members.except(&["a"]);
        assert_eq!(kept[0].1.get(), "1.00000000000000000001");
        assert_eq!(kept.len(), 2);
        assert_eq!(RawJson::from("a \"quoted\" word").as_string().unwrap(), "a \"quoted\" word");
    }
}
