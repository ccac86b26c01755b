//! What a file holds and was not read: counted, and the first of it named.

use serde::Serialize;

/// How many of the things left out are described; all of them are counted.
const DESCRIBED: usize = 20;

/// How many of them a sentence names.
const NAMED: usize = 3;

/// Something of a file that was not read, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Where it stands, counted from 1, such as `object 5` or `object 5, child 2`.
    pub object: String,
    /// Its id in the file, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    pub reason: String,
}

/// The things of one kind that were left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Omissions {
    pub count: usize,
    /// The first of them.
    pub first: Vec<LeftOut>,
}

impl Omissions {
    /// Count one; `describe` is asked only for the first few.
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

    /// A sentence that counts them, as `one` or `many`, and names the first; `None` when there are none.
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
            more => format!("; and {more} more"),
        };
        Some(format!("{} {what}: {named}{more}.", self.count))
    }
}

/// A text from a file, short enough for a message.
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
        for number in 1..=1000 {
            omissions.add(|| LeftOut {
                object: format!("object {number}"),
                id: (number == 1).then(|| "a".to_owned()),
                line: Some(7),
                reason: "no number".to_owned(),
            });
        }
        assert_eq!((omissions.count, omissions.first.len()), (1000, DESCRIBED));
        assert_eq!(
            omissions.sentence("object was left out", "objects were left out").unwrap(),
            "1000 objects were left out: object 1 (id a), line 7: no number; object 2, line 7: no number; \
             object 3, line 7: no number; and 997 more."
        );
    }
}
