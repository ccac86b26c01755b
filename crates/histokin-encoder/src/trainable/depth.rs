//! Which part of a network is trained.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The part of the network that is trained; always includes the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Depth {
    /// The head only.
    Head,
    /// The head and this many of the backbone's last blocks.
    Last(usize),
    /// The head and low-rank adapters of this rank in every block of a vision transformer.
    Lora(usize),
    /// The whole network.
    All,
}

impl Depth {
    /// Ranks of adapters that can be chosen.
    pub const RANKS: std::ops::RangeInclusive<usize> = 4..=16;
}

impl FromStr for Depth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |count: &str| count.parse::<usize>().map_err(|_| format!("{count:?} is not a number"));
        match text.split_once('-') {
            None if text == "head" => Ok(Self::Head),
            None if text == "all" => Ok(Self::All),
            Some(("last", count)) => number(count).map(Self::Last),
            Some(("lora", rank)) => match number(rank)? {
                rank if Self::RANKS.contains(&rank) => Ok(Self::Lora(rank)),
                rank => Err(format!("adapters have a rank of 4 to 16, not {rank}")),
            },
            _ => Err(format!(
                "{text:?} is not a depth; use head, all, last-N such as last-6, or lora-RANK such as lora-8"
            )),
        }
    }
}

impl TryFrom<String> for Depth {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Depth> for String {
    fn from(depth: Depth) -> Self {
        depth.to_string()
    }
}

impl std::fmt::Display for Depth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Last(count) => write!(f, "last-{count}"),
            Self::Lora(rank) => write!(f, "lora-{rank}"),
            Self::All => f.write_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_read_back_as_written() {
        for depth in [Depth::Head, Depth::Last(6), Depth::Lora(8), Depth::All] {
            assert_eq!(depth.to_string().parse(), Ok(depth));
        }
        for wrong in ["last-", "some", "lora-3", "lora-17", "lora"] {
            assert!(wrong.parse::<Depth>().is_err(), "{wrong}");
        }
    }
}
