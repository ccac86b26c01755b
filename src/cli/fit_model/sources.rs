//! The slides that a readout is fitted to, the tiles chosen from each, and what the network says of these.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::FitModelArgs;
use super::views::read_varied;
use crate::encoder::neighbourhoods::SlideTiles;
use crate::encoder::{DescriptorBatch, Encoder, EncoderSpec};
use crate::evaluation::labels::{Labels, SlideLabels};
use crate::evaluation::sample::SampleSlide;
use crate::geometry::{Level0Rect, MicronsPerPixel};
use crate::slide::{self, SlideSource};
use crate::stain::{LabNormaliser, LabStatistics, StainSetting};
use crate::tiling::{TileGrid, TileIndex, TileSettings, read_tile};
use crate::tissue::{TissueMask, selection};

/// Number of tiles per call of the encoder.
const BATCH: usize = 16;

/// A slide to fit to, and the tiles chosen from it.
pub struct Source {
    /// The slide.
    pub slide: Arc<dyn SlideSource>,
    /// Where its tiles lie.
    pub grid: TileGrid,
    /// Tiles to fit to, in order.
    pub tiles: Vec<TileIndex>,
    /// Labelled tiles to judge readouts on, in order.
    pub judged: Vec<TileIndex>,
    /// Colours of its tissue.
    pub statistics: LabStatistics,
}

/// Opens slides and chooses tiles of each.
///
/// # Errors
/// When a slide cannot be read, has no pixel size or no tissue.
pub fn sources(
    args: &FitModelArgs,
    slides: Vec<Arc<dyn SlideSource>>,
    settings: TileSettings,
    labels: Option<&Labels>,
) -> anyhow::Result<Vec<Source>> {
    let mut random = ChaCha8Rng::seed_from_u64(args.seed);
    // Apart from the choice of tiles to fit to, so that this does not depend on labels.
    let mut of_labels = ChaCha8Rng::seed_from_u64(args.seed);
    of_labels.set_stream(2);
    let of_slide = |slide| choose_tiles(slide, settings, args, labels, [&mut random, &mut of_labels]);
    slides.into_iter().map(of_slide).collect()
}

/// Opens the slides, and those in folders, with this pixel size if one is given.
///
/// # Errors
/// When one cannot be opened, or there is none.
pub fn open(paths: &[PathBuf], mpp: Option<MicronsPerPixel>) -> anyhow::Result<Vec<Arc<dyn SlideSource>>> {
    super::super::slides_in(paths)?.iter().map(|path| Ok(slide::open(path, mpp)?)).collect()
}

fn choose_tiles(
    slide: Arc<dyn SlideSource>,
    settings: TileSettings,
    args: &FitModelArgs,
    labels: Option<&Labels>,
    [random, of_labels]: [&mut ChaCha8Rng; 2],
) -> anyhow::Result<Source> {
    let settings = match slide.info().mpp {
        // How much neighbours differ depends on how much tissue a tile covers.
        Some(mpp) if args.neighbourhoods || labels.is_some() => of_same_field(settings, mpp),
        _ => settings,
    };
    let grid = TileGrid::new(slide.info(), settings)?;
    let tissue = TissueMask::of(slide.as_ref())?;
    let statistics = LabStatistics::of_slide(slide.as_ref())?
        .with_context(|| format!("{}: there is no tissue to fit to", slide.info().path.display()))?;
    let of_tissue: Vec<TileIndex> = selection::tiles(&tissue, &grid, &tissue.settings);
    let most = args.tiles_per_slide;
    let mut tiles: Vec<TileIndex> =
        rand::seq::index::sample(random, of_tissue.len(), most.min(of_tissue.len()))
            .into_iter()
            .map(|index| of_tissue[index])
            .collect();
    // Neighbouring tiles share compressed blocks of the file, so reading them in order is faster.
    tiles.sort();
    let labels = match labels {
        Some(labels) => SampleSlide::of(slide.info())?.labels(labels),
        None => None,
    };
    let judged = match labels {
        Some(labels) => labelled(&of_tissue, &grid, &labels, args, of_labels),
        None => Vec::new(),
    };
    Ok(Source { slide, grid, tiles, judged, statistics })
}

/// Returns labelled tiles, in order: at most as many as are fitted to, and as many of each class as there can be.
fn labelled(
    of_tissue: &[TileIndex],
    grid: &TileGrid,
    labels: &SlideLabels,
    args: &FitModelArgs,
    random: &mut ChaCha8Rng,
) -> Vec<TileIndex> {
    let rects: Vec<Level0Rect> = of_tissue.iter().map(|tile| grid.rect(*tile)).collect();
    let (classes, _) = labels.classes_of(&rects, args.labelling.coverage);
    let mut of_class: BTreeMap<&str, Vec<TileIndex>> = BTreeMap::new();
    for (tile, class) in of_tissue.iter().zip(classes) {
        if let Some(class) = class {
            of_class.entry(class).or_default().push(*tile);
        }
    }
    of_class.values_mut().for_each(|tiles| tiles.shuffle(random));
    let longest = of_class.values().map(Vec::len).max().unwrap_or(0);
    let in_turn = (0..longest).flat_map(|place| of_class.values().filter_map(move |tiles| tiles.get(place)));
    let mut chosen: Vec<TileIndex> = in_turn.take(args.tiles_per_slide).copied().collect();
    chosen.sort();
    chosen
}

/// Tiles as wide in µm as `settings` have them, of fewer pixels on a slide that is coarser.
fn of_same_field(settings: TileSettings, slide: MicronsPerPixel) -> TileSettings {
    /// Networks halve a tile five times.
    const FEWEST: u32 = 32;
    let mpp = settings.mpp.max(slide.mean());
    let tile_px = (f64::from(settings.tile_px) * settings.mpp / mpp).round() as u32;
    TileSettings { tile_px: tile_px.max(FEWEST), mpp }
}

impl Source {
    /// Returns what the network says of the tiles to fit to, and of `views` varied views of each; reports the number of
    /// tiles that are done to `progress`.
    ///
    /// # Errors
    /// When a tile cannot be read, or the encoder fails.
    pub fn described(
        &self,
        encoder: &mut dyn Encoder,
        views: u32,
        random: &mut ChaCha8Rng,
        progress: &mut dyn FnMut(usize),
    ) -> anyhow::Result<SlideTiles> {
        let normaliser = self.normaliser(encoder);
        let (slide, edge) = (self.slide.as_ref(), self.grid.tile_px);
        let mut features = DescriptorBatch { values: Vec::new(), width: encoder.spec().width };
        let mut varied = vec![features.clone(); views as usize];
        for (batch, done) in self.tiles.chunks(BATCH).zip((0..).step_by(BATCH)) {
            progress(done);
            features.values.extend(self.encoded(batch, encoder, normaliser.as_ref())?);
            for (number, varied) in (0..).zip(&mut varied) {
                let view = |tile: &TileIndex| {
                    read_varied(slide, &self.grid.rect(*tile), edge, normaliser.as_ref(), number, random)
                };
                let pictures = batch.iter().map(view).collect::<Result<Vec<_>, _>>()?;
                varied.values.extend(encoder.encode(&pictures)?.values);
            }
        }
        Ok(SlideTiles { features, middles_um: self.middles_um(&self.tiles)?, varied })
    }

    /// Returns what the network says of the tiles to judge on; `fitted` are the features of those to fit to.
    ///
    /// # Errors
    /// When a tile cannot be read, or the encoder fails.
    pub fn described_judged(
        &self,
        encoder: &mut dyn Encoder,
        fitted: &DescriptorBatch,
    ) -> anyhow::Result<DescriptorBatch> {
        let normaliser = self.normaliser(encoder);
        let width = fitted.width;
        let others: Vec<TileIndex> =
            self.judged.iter().filter(|tile| self.tiles.binary_search(tile).is_err()).copied().collect();
        let mut read = Vec::with_capacity(others.len() * width);
        for batch in others.chunks(BATCH) {
            read.extend(self.encoded(batch, encoder, normaliser.as_ref())?);
        }
        let mut read = read.chunks_exact(width);
        let mut values = Vec::with_capacity(self.judged.len() * width);
        for tile in &self.judged {
            match self.tiles.binary_search(tile) {
                Ok(known) => values.extend(&fitted.values[known * width..][..width]),
                Err(_) => values.extend(read.next().into_iter().flatten()),
            }
        }
        Ok(DescriptorBatch { values, width })
    }

    /// Returns the centres of tiles on the slide, in µm.
    ///
    /// # Errors
    /// If the slide has no pixel size.
    pub fn middles_um(&self, tiles: &[TileIndex]) -> anyhow::Result<Vec<[f64; 2]>> {
        // There is one: no grid is laid on a slide without a pixel size.
        let mpp = self.slide.info().require_mpp()?;
        let middle = |tile: &TileIndex| {
            let middle = self.grid.rect(*tile).center();
            [middle.x * mpp.x(), middle.y * mpp.y()]
        };
        Ok(tiles.iter().map(middle).collect())
    }

    fn normaliser(&self, encoder: &dyn Encoder) -> Option<LabNormaliser> {
        let EncoderSpec { stain, stain_reference, .. } = encoder.spec();
        (*stain == StainSetting::Lab).then(|| LabNormaliser::new(self.statistics, *stain_reference))
    }

    /// Reads a few tiles and encodes them.
    fn encoded(
        &self,
        tiles: &[TileIndex],
        encoder: &mut dyn Encoder,
        normaliser: Option<&LabNormaliser>,
    ) -> anyhow::Result<Vec<f32>> {
        let read = |tile: &TileIndex| {
            let mut picture = read_tile(self.slide.as_ref(), &self.grid.rect(*tile), self.grid.tile_px)?;
            if let Some(normaliser) = normaliser {
                normaliser.apply(&mut picture);
            }
            anyhow::Ok(picture)
        };
        let pictures = tiles.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(encoder.encode(&pictures)?.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarser_slides_get_fewer_pixels_of_the_same_field() {
        let settings = TileSettings { tile_px: 224, mpp: 1.0 };
        let on = |mpp: f64| of_same_field(settings, MicronsPerPixel::square(mpp).unwrap());
        assert_eq!(on(2.0), TileSettings { tile_px: 112, mpp: 2.0 });
        assert_eq!(on(2.5), TileSettings { tile_px: 90, mpp: 2.5 });
        assert_eq!(on(0.25), settings);
        assert_eq!(on(30.0).tile_px, 32);
    }
}
