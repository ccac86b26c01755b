//! Parts of a file that could not be read: their number, and a description of the first ones.

use serde::Serialize;

use crate::number_format::grouped;

/// Maximum number of omissions that are described; all are counted.
const DESCRIBED: usize = 20;

/// Maximum number of omissions that a sentence names.
const NAMED: usize = 3;

/// A part of a file that could not be read, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its position, counted from 1, such as `object 5` or `object 5, child 2`.
    pub object: String,
    /// Its ID in the file, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Line, from 1, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Cause, for the user.
    pub reason: String,
}

/// All omissions of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Omissions {
    /// Total number.
    pub count: usize,
    /// The first ones, described.
    pub first: Vec<LeftOut>,
}

impl Omissions {
    /// Counts an omission; `describe` is called only for the first ones.
    pub(super) fn add(&mut self, describe: impl FnOnce() -> LeftOut) {
        self.count += 1;
        if self.first.len() < DESCRIBED {
            self.first.push(describe());
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.count += other.count;
        let room = DESCRIBED.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }

    /// Returns a sentence with their number, followed by `one` or `many`, and the first ones; `None` if there
    /// are none.
    pub(super) fn sentence(&self, one: &str, many: &str) -> Option<String> {
        let what = match self.count {
            0 => return None,
            1 => one,
            _ => many,
        };
        let named = self.first.iter().take(NAMED).map(|one| {
            let id = one.id.as_ref().map(|id| format!(" (id {})", shortened(id))).unwrap_or_default();
            let line = one.line.map(|line| format!(", line {line}")).unwrap_or_default();
            format!("{}{id}{line}: {}", one.object, shortened(&one.reason))
        });
        let named = named.collect::<Vec<_>>().join("; ");
        let more = match self.count.saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("; and {} more", grouped(more as u64)),
        };
        Some(format!("{} {what}: {named}{more}.", grouped(self.count as u64)))
    }
}

/// Shortens a text from a file for a message.
fn shortened(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_are_named() {
        let mut omissions = Omissions::default();
        assert_eq!(omissions.sentence("object was left out", "objects were left out"), None);
        for number in 1..=2000 {
            omissions.add(|| LeftOut {
                object: format!("object {number}"),
                id: (number == 1).then(|| "a".to_owned()),
                line: Some(7),
                reason: "no number".to_owned(),
            });
        }
        assert_eq!((omissions.count, omissions.first.len()), (2000, DESCRIBED));
        assert_eq!(
            omissions.sentence("object was left out", "objects were left out").unwrap(),
            "2\u{202F}000 objects were left out: object 1 (id a), line 7: no number; object 2, line 7: no number; \
             object 3, line 7: no number; and 1\u{202F}997 more."
        );
    }
}
