//! Marks: what the user says about tiles while a query is shown, and what that changes in its ranking.

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString, IntoStaticStr};

use super::{Example, Judgement, Query};

/// A tile or region that the user called the same as what is looked for, different, or unsure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// What was marked.
    pub example: Example,
    /// What the user said. An unsure mark only keeps its tile out of the answer.
    pub judgement: Judgement,
}

/// What a taught query compares tiles with.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    EnumIter,
    EnumMessage,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RankBy {
    /// The direction of all examples and marks: their mean, less half the mean of the different ones.
    #[default]
    Direction,
    /// The direction in which all examples and marks stand out most from how all tiles vary (a linear discriminant).
    /// It finds less in patients without marks; whether it finds more in the others depends on the encoder.
    Discriminant,
    /// The nearest positive example or mark; tiles at least as near to a negative one are left out.
    Nearest,
}

impl RankBy {
    /// Returns whether the examples and marks make one direction, so that judging a match ranks the others again.
    pub fn learns(self) -> bool {
        self != Self::Nearest
    }
}

/// Which of the best tiles an answer consists of, and in which order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Order {
    /// The best ones, best first.
    #[default]
    Best,
    /// Those that teach most when they are marked, the most useful first. Settings that keep matches apart or different
    /// from each other have no effect then.
    ToMark,
}

impl Query {
    /// Returns whether the query is answered by its [`direction`](super::direction()): it has marks, negative
    /// or several positive examples, and its settings do not say otherwise.
    pub fn ranks_by_direction(&self) -> bool {
        let says_something = |mark: &Mark| mark.judgement != Judgement::Unsure;
        let is_taught =
            self.positives.len() > 1 || !self.negatives.is_empty() || self.marks.iter().any(says_something);
        is_taught && self.settings.rank_by.learns()
    }

    /// Returns all examples, positive and negative, and everything that was marked.
    pub fn all_examples(&self) -> impl Iterator<Item = &Example> {
        let marked = self.marks.iter().map(|mark| &mark.example);
        self.positives.iter().chain(&self.negatives).chain(marked)
    }
}
