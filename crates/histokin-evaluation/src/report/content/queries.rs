//! Sections with images: the best and worst queries and their answers.

use super::super::super::comparison::Comparison;
use super::super::super::retrieval::QueryOutcome;
use super::super::super::sample::Sample;
use super::super::gallery::{Pictures, SHOWN_ANSWERS, extremes};
use super::{Block, Tile, TileRole};

/// Returns galleries of the first encoder's best and worst queries of the target class.
pub fn galleries(sample: &Sample, comparison: &Comparison, pictures: &Pictures<'_>) -> Vec<Block> {
    let Some((one, target)) = comparison.encoders.iter().find_map(|one| Some((one, one.target.as_ref()?)))
    else {
        return Vec::new();
    };
    let [best, worst] = extremes(target, sample);
    let mut blocks = Vec::new();
    for (title, queries) in [("Best queries", best), ("Worst queries", worst)] {
        let rows: Vec<Vec<Tile>> = queries
            .iter()
            .map(|query| gallery_row(sample, query, pictures))
            .filter(|row| !row.is_empty())
            .collect();
        if !rows.is_empty() {
            blocks.push(Block::Heading(format!("{title}, {}", one.name)));
            blocks.push(Block::Gallery(rows));
        }
    }
    if !blocks.is_empty() {
        blocks.push(Block::Caption(format!(
            "The query, then its {SHOWN_ANSWERS} nearest tiles in order; a green frame marks the query's class, a \
             red frame another. Below: slide, and the tile's top-left corner in level-0 pixels."
        )));
    }
    blocks
}

fn gallery_row(sample: &Sample, query: &QueryOutcome, pictures: &Pictures<'_>) -> Vec<Tile> {
    let answers = query.answers.iter().zip(&query.hits).take(SHOWN_ANSWERS);
    let answers =
        answers.map(|(answer, hit)| (answer.tile, if *hit { TileRole::Hit } else { TileRole::Miss }));
    std::iter::once((query.tile, TileRole::Query))
        .chain(answers)
        .filter_map(|(tile, role)| {
            let class = sample.tiles.classes[tile as usize];
            let rect = sample.rects.get(tile as usize)?;
            Some(Tile {
                jpeg: pictures.jpeg(sample, tile)?,
                slide: sample.slides[sample.tiles.slides[tile as usize] as usize].name.clone(),
                class: class.map_or("unlabelled", |class| &sample.classes[usize::from(class.0)]).to_owned(),
                corner: [rect.x, rect.y],
                role,
            })
        })
        .collect()
}
