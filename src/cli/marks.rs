//! Options that mark tiles as the same tissue or as different tissue.

use clap::Args;

use crate::geometry::Level0Point;
use crate::project::Project;
use crate::query::{Example, Judgement, Mark};

/// Options that mark tiles.
#[derive(Debug, Args)]
pub struct MarkArgs {
    /// Tile of the same tissue: SLIDE:X,Y, with the position in level-0 pixels. May be given several times.
    #[arg(long, value_name = "SLIDE:X,Y", value_parser = parse_tile_at)]
    same: Vec<TileAt>,
    /// Tile of different tissue: SLIDE:X,Y, with the position in level-0 pixels. May be given several times.
    #[arg(long, value_name = "SLIDE:X,Y", value_parser = parse_tile_at)]
    different: Vec<TileAt>,
}

/// A position on a slide of the project.
#[derive(Debug, Clone, PartialEq)]
struct TileAt {
    /// ID, path, file name, or file name without extension.
    slide: String,
    at: Level0Point,
}

impl MarkArgs {
    /// Returns the marks, on slides of `project`.
    ///
    /// # Errors
    /// When a slide is not in the project.
    pub fn marks(&self, project: &Project) -> anyhow::Result<Vec<Mark>> {
        let mark = |judgement: Judgement| {
            move |tile: &TileAt| {
                let slide = project.find_slide(&tile.slide)?.id.clone();
                Ok(Mark { example: Example::Tile { slide, at: tile.at }, judgement })
            }
        };
        let same = self.same.iter().map(mark(Judgement::Same));
        same.chain(self.different.iter().map(mark(Judgement::Different))).collect()
    }
}

/// Parses `SLIDE:X,Y`; the slide's name may contain colons.
fn parse_tile_at(text: &str) -> Result<TileAt, String> {
    let (slide, at) = text
        .rsplit_once(':')
        .filter(|(slide, _)| !slide.is_empty())
        .ok_or_else(|| "give SLIDE:X,Y, such as liver-1:1200,800".to_owned())?;
    Ok(TileAt { slide: slide.to_owned(), at: super::parse_point(at)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slides_name_may_contain_colons() {
        let tile = parse_tile_at("C:/slides/a.svs:12,34.5").unwrap();
        assert_eq!(tile, TileAt { slide: "C:/slides/a.svs".to_owned(), at: Level0Point::new(12.0, 34.5) });
        for wrong in ["a.svs", ":1,2", "a.svs:1", "a.svs:1,x"] {
            assert!(parse_tile_at(wrong).is_err(), "{wrong}");
        }
    }
}
