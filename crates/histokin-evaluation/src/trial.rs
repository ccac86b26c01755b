//! A new encoder beside the one in use, before it is used: the same queries answered by both, and retrieval of
//! tissue classes across patients.
//!
//! Only a sample of the tiles is embedded with the new encoder, so that the answer takes a minute or two and
//! not as long as embedding all slides.

use std::collections::{BTreeMap, HashMap};

use image::RgbImage;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::comparison::{Comparison, ComparisonError, ComparisonSettings, compare};
use super::gather::{self, GatherError};
use super::labels;
use super::neighbours::Pool;
use super::report::Pictures;
use super::sample::{EncoderDescriptors, Sample, SampleError};
use super::study::{StudyError, labels_of};
use super::{Exclude, health};
use histokin_core::descriptors::Recipe;
use histokin_core::geometry::Level0Rect;
use histokin_core::slide::SlideInfo;
use histokin_core::tiling::{TileGrid, TileIndex};
use histokin_core::tissue::ColouredTissue;
use histokin_encoder::{Encoder, EncoderSpec};
use histokin_project::pipeline::embed_tiles;
use histokin_project::project::Project;

/// Number of tiles that are compared, shared equally between the slides.
const TILES: usize = 1200;

/// Number of queries that are shown.
const QUERIES: usize = 10;

/// Number of matches of each encoder that are shown for a query.
pub const MATCHES: usize = 5;

/// Number of tiles that are embedded between two reports of progress.
const AT_ONCE: usize = 64;

/// Share of the work that is done once the tiles are embedded.
const EMBEDDED: f64 = 0.9;

/// The comparison of a new encoder with the one in use.
pub struct Trial {
    /// The tiles that were compared.
    pub sample: Sample,
    /// Results of the encoder in use and of the new one, in this order; or why there are none.
    pub comparison: Result<Comparison, String>,
    /// Names of the two encoders.
    pub names: [String; 2],
    /// Queries with their matches.
    pub queries: Vec<TrialQuery>,
    /// Images of the queries and matches, by row of the tile.
    pub pictures: HashMap<u32, RgbImage>,
}

/// A query, answered by both encoders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialQuery {
    /// Row of the query tile.
    pub tile: u32,
    /// Rows of the best matches by the encoder in use and by the new one, best first.
    pub matches: [Vec<u32>; 2],
}

/// Compares `encoder`, which embeds tiles with `recipe`, with the encoder `current` on tiles of `project` that
/// are embedded with the latter. Queries are spread over classes, or over slides without labels.
///
/// `progress` receives the share (0 to 1) that is done and the current step, and returns whether to continue.
///
/// # Errors
/// [`StudyError`] if no tiles can be compared; [`ComparisonError::Stopped`] when `progress` returns false.
pub fn compare_with(
    project: &Project,
    current: &EncoderSpec,
    encoder: &mut dyn Encoder,
    recipe: &Recipe,
    settings: &ComparisonSettings,
    progress: &mut dyn FnMut(f64, &str) -> bool,
) -> Result<Trial, StudyError> {
    let slides = gather::slides_of(project)?;
    let own = gather::of_project(project, current, &slides)?;
    let (sample, own) = Sample::gather(slides, vec![own])?;
    let exclude = settings.retrieval.exclude;
    let (sample, target) = labelled(project, sample, &settings.class, exclude)?;
    if sample.rects.len() != sample.tiles.len() {
        return Err(SampleError::Empty.into());
    }
    let rows = choose(&sample, TILES, settings.retrieval.seed);
    let own = own.iter().map(|one| one.select(&rows));
    let sample = sample.select(&rows);
    let new =
        embed(project, &sample, encoder, recipe, &mut |share, doing| progress(EMBEDDED * share, doing))?;
    let described: Vec<EncoderDescriptors> = own.chain([new]).collect();
    let comparison = match compare(&sample, &described, &target, settings, &mut |share, doing| {
        progress(EMBEDDED + (1.0 - EMBEDDED) * share, doing)
    }) {
        Err(stopped @ ComparisonError::Stopped) => return Err(stopped.into()),
        other => other.map_err(|error| error.to_string()),
    };
    let queries = ask(&sample, &described, exclude, settings.retrieval.seed)?;
    let source = Pictures::of_project(project);
    let shown = queries.iter().flat_map(|query| query.matches.iter().flatten().chain([&query.tile]));
    let pictures = shown.filter_map(|tile| Some((*tile, source.tile(&sample, *tile)?))).collect();
    let names = [current.name.clone(), recipe.encoder_name.clone()];
    Ok(Trial { sample, comparison, names, queries, pictures })
}

/// Labels the tiles with the project's labels, if any are of them, and returns the target classes as well.
fn labelled(
    project: &Project,
    sample: Sample,
    class: &str,
    exclude: Exclude,
) -> Result<(Sample, Vec<super::Class>), StudyError> {
    let Some(labels) = labels_of(project)? else { return Ok((sample, Vec::new())) };
    let mut with_labels = sample.clone();
    match with_labels.label(&labels, labels::COVERAGE, true) {
        Ok(()) => {
            // Without the target class, the table of all classes is enough.
            let target = with_labels.target_if_any(class, exclude).unwrap_or_default();
            Ok((with_labels, target))
        }
        Err(SampleError::NoLabelledTile { .. } | SampleError::UnknownSlides { .. }) => {
            Ok((sample, Vec::new()))
        }
        Err(other) => Err(other.into()),
    }
}

/// Chooses at most about `count` tiles, as many of each slide, labelled ones first. Returns ascending rows.
fn choose(sample: &Sample, count: usize, seed: u64) -> Vec<u32> {
    let of_slides = sample.tiles.rows_by_slide();
    let slides = of_slides.iter().filter(|rows| !rows.is_empty()).count();
    let share = count.div_ceil(slides.max(1));
    let mut chosen = Vec::new();
    for rows in of_slides {
        let is_labelled = |row: &u32| sample.tiles.classes[*row as usize].is_some();
        let (labelled, others): (Vec<u32>, Vec<u32>) = rows.into_iter().partition(is_labelled);
        let left = share.saturating_sub(labelled.len());
        for (rows, most) in [(labelled, share), (others, left)] {
            chosen.extend(health::sample(rows.len(), most, seed).iter().map(|place| rows[*place as usize]));
        }
    }
    chosen.sort_unstable();
    chosen
}

/// Embeds tiles around the centres of those of `sample`.
fn embed(
    project: &Project,
    sample: &Sample,
    encoder: &mut dyn Encoder,
    recipe: &Recipe,
    progress: &mut dyn FnMut(f64, &str) -> bool,
) -> Result<EncoderDescriptors, StudyError> {
    let mut values = Vec::new();
    let mut done = 0;
    for (slide, rows) in sample.slides.iter().zip(sample.tiles.rows_by_slide()) {
        if rows.is_empty() {
            continue;
        }
        let entry = project.find_slide(&slide.id).map_err(GatherError::Project)?;
        let source = project.open_slide(entry).map_err(GatherError::Slide)?;
        let grid = TileGrid::new(source.info(), recipe.tiles).map_err(GatherError::Slide)?;
        let tissue = ColouredTissue::of(source.as_ref()).map_err(GatherError::Slide)?;
        let rects: Vec<Level0Rect> =
            rows.iter().map(|row| around(&sample.rects[*row as usize], &grid, source.info())).collect();
        for part in rects.chunks(AT_ONCE) {
            let share = done as f64 / sample.tiles.len() as f64;
            if !progress(share, &format!("tiles of {}", slide.name)) {
                return Err(ComparisonError::Stopped.into());
            }
            values.extend(embed_tiles(source.as_ref(), Some(&tissue), part, encoder, recipe)?.concat());
            done += part.len();
        }
    }
    let EncoderSpec { id, name, width, .. } = encoder.spec();
    Ok(EncoderDescriptors { id: id.0.clone(), name: name.clone(), width: *width, values })
}

/// Returns a rectangle of the size of the grid's tiles around the centre of `tile`, moved to lie on the slide
/// if it fits.
fn around(tile: &Level0Rect, grid: &TileGrid, info: &SlideInfo) -> Level0Rect {
    let size = grid.rect(TileIndex(0));
    let centre = tile.center();
    let start = |centre: f64, size: u32, whole: u32| {
        let last = i64::from(whole) - i64::from(size);
        ((centre - f64::from(size) / 2.0).round() as i64).clamp(0, last.max(0))
    };
    let x = start(centre.x, size.width, info.width());
    let y = start(centre.y, size.height, info.height());
    Level0Rect::new(x, y, size.width, size.height)
}

/// Answers some queries with each encoder, from other slides or patients. If all tiles are of one, only the
/// query itself is left out.
fn ask(
    sample: &Sample,
    described: &[EncoderDescriptors],
    exclude: Exclude,
    seed: u64,
) -> Result<Vec<TrialQuery>, StudyError> {
    let tiles = queries(sample, seed);
    let mut groups = sample.tiles.groups(exclude).to_vec();
    if groups.iter().all(|group| *group == groups[0]) {
        groups = (0..sample.tiles.len() as u32).collect();
    }
    let mut asked: Vec<TrialQuery> =
        tiles.iter().map(|tile| TrialQuery { tile: *tile, matches: Default::default() }).collect();
    for (index, one) in described.iter().take(2).enumerate() {
        let rows = (0..sample.tiles.len() as u32).collect();
        let descriptors = one.descriptors().map_err(ComparisonError::Evaluation)?;
        let found = Pool::new(descriptors, &groups, rows).nearest(&tiles, MATCHES);
        for (query, answers) in asked.iter_mut().zip(found) {
            query.matches[index] = answers.iter().map(|answer| answer.tile).collect();
        }
    }
    Ok(asked)
}

/// Returns the rows of the queries: one of each class in turn, or of each slide if no tile is labelled.
fn queries(sample: &Sample, seed: u64) -> Vec<u32> {
    let is_labelled = sample.tiles.classes.iter().any(Option::is_some);
    let mut kinds: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (row, (class, slide)) in (0..).zip(sample.tiles.classes.iter().zip(&sample.tiles.slides)) {
        let kind = if is_labelled { class.map(|class| u32::from(class.0)) } else { Some(*slide) };
        if let Some(kind) = kind {
            kinds.entry(kind).or_default().push(row);
        }
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    kinds.values_mut().for_each(|rows| rows.shuffle(&mut random));
    let longest = kinds.values().map(Vec::len).max().unwrap_or(0);
    let in_turn = (0..longest).flat_map(|place| kinds.values().filter_map(move |rows| rows.get(place)));
    in_turn.take(QUERIES).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, Tiles};

    /// Six tiles on each of three slides; the first of each slide is of class 0, the second of class 1.
    fn sample() -> Sample {
        let mut tiles = Tiles::default();
        for slide in 0..3_u32 {
            for tile in 0..6_u32 {
                tiles.positions_um.push([f64::from(tile), 0.0]);
                tiles.slides.push(slide);
                tiles.patients.push(slide);
                tiles.classes.push((tile < 2).then_some(Class(tile as u16)));
            }
        }
        of(tiles)
    }

    fn of(tiles: Tiles) -> Sample {
        let mut sample = Sample::default();
        sample.tiles = tiles;
        sample
    }

    #[test]
    fn every_slide_gives_as_many_tiles_and_labelled_ones_first() {
        let rows = choose(&sample(), 9, 0);
        assert_eq!(rows.len(), 9);
        for slide in 0..3 {
            let own: Vec<u32> = rows.iter().copied().filter(|row| row / 6 == slide).collect();
            assert_eq!(own.len(), 3);
            assert_eq!(own[..2], [6 * slide, 6 * slide + 1], "the labelled ones");
        }
    }

    #[test]
    fn queries_are_of_all_classes_in_turn() {
        let sample = sample();
        let classes: Vec<_> =
            queries(&sample, 0).iter().map(|row| sample.tiles.classes[*row as usize].unwrap().0).collect();
        assert_eq!(classes, [0, 1, 0, 1, 0, 1]);
        let unlabelled = of(Tiles { classes: vec![None; 18], ..sample.tiles.clone() });
        let slides: Vec<u32> = queries(&unlabelled, 0).iter().map(|row| row / 6).collect();
        assert_eq!(slides, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn both_encoders_answer_from_other_slides() {
        let sample = sample();
        // The first encoder tells tiles apart by their position on the slide, the second only by their slide.
        let of = |sign: f32| EncoderDescriptors {
            id: String::new(),
            name: String::new(),
            width: 1,
            values: (0..18).map(|row| sign * (row % 6) as f32 + (row / 6) as f32 * 0.1).collect(),
        };
        let asked = ask(&sample, &[of(1.0), of(0.0)], Exclude::Slide, 0).unwrap();
        assert_eq!(asked.len(), queries(&sample, 0).len());
        for query in asked {
            assert_eq!(query.matches.len(), 2);
            for matches in &query.matches {
                assert_eq!(matches.len(), MATCHES);
                assert!(matches.iter().all(|row| row / 6 != query.tile / 6));
            }
            assert_eq!(query.matches[0][0] % 6, query.tile % 6);
        }
    }
}
