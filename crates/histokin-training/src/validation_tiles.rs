//! Validation: measuring the encoder on validation slides during training.

use std::collections::BTreeMap;

use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::{TchError, Tensor};

use super::config::{Method, TrainingConfig};
use super::slides::TrainingSlide;
use super::tile_reader::TileReader;
use super::{RetrievalValidation, TrainingError, Validation};
use histokin_encoder::trainable::TrainableNetwork;
use histokin_evaluation::addr::{self, AddrSettings, Limits};
use histokin_evaluation::intervals::Resampling;
use histokin_evaluation::retrieval::{self, Measure, RetrievalSettings, Score};
use histokin_evaluation::{Class, Descriptors, EvaluationError, Tiles};

/// Tiles embedded at once.
const BATCH: usize = 16;

/// The tiles of the validation slides that are used in every validation.
pub(super) struct ValidationTiles<'a> {
    slides: &'a [TrainingSlide],
    chosen: Vec<Vec<Chosen>>,
    /// Names of the classes, by index.
    classes: Vec<&'a str>,
    /// The tiles that could be read and their pooled features, where these are kept.
    kept: Option<(Read, Tensor)>,
}

/// One tile of a slide.
struct Chosen {
    /// Index among the slide's tiles.
    index: usize,
    /// Whether it was drawn regardless of its label: ADDR is measured on those tiles only, so that labels do
    /// not change it.
    is_any: bool,
}

impl<'a> ValidationTiles<'a> {
    /// Chooses, from each slide, `validation_tiles` of all tiles and as many of the labelled ones.
    pub fn choose(slides: &'a [TrainingSlide], config: &TrainingConfig) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        let mut draw = |among: usize| {
            rand::seq::index::sample(&mut random, among, config.validation_tiles.min(among)).into_vec()
        };
        let any: Vec<Vec<usize>> = slides.iter().map(|slide| draw(slide.tiles.len())).collect();
        let mut chosen = Vec::new();
        for (slide, any) in slides.iter().zip(any) {
            let labelled: Vec<usize> =
                (0..slide.classes.len()).filter(|index| slide.classes[*index].is_some()).collect();
            // Neighbouring tiles share compressed blocks of the file, so tiles are read in the order of their
            // indices.
            let mut indices: BTreeMap<usize, bool> = any.into_iter().map(|index| (index, true)).collect();
            for drawn in draw(labelled.len()) {
                indices.entry(labelled[drawn]).or_insert(false);
            }
            chosen.push(indices.into_iter().map(|(index, is_any)| Chosen { index, is_any }).collect());
        }
        let mut classes: Vec<&str> =
            slides.iter().flat_map(|slide| &slide.classes).flatten().map(String::as_str).collect();
        classes.sort_unstable();
        classes.dedup();
        Self { slides, chosen, classes, kept: None }
    }

    /// Embeds the tiles and measures. Returns `None` if `should_continue` returns false in between.
    pub fn validate(
        &mut self,
        network: &TrainableNetwork,
        reader: &TileReader,
        config: &TrainingConfig,
        step: u64,
        should_continue: impl FnMut() -> bool,
    ) -> Result<Option<Validation>, TrainingError> {
        let began = std::time::Instant::now();
        let embedded = match config.kept_views {
            0 => self.embed(network, reader, should_continue)?,
            _ => self.embed_kept(network, reader, should_continue)?,
        };
        let Some((read, width)) = embedded else { return Ok(None) };
        let mut validation = Validation {
            step,
            loss: None,
            addr_global: None,
            addr_median: None,
            addr_ci95: None,
            bin: 0.0,
            near: Vec::new(),
            far: Vec::new(),
            retrieval: None,
            tiles: read.tiles.len(),
            seconds: 0.0,
        };
        let unusable = |error: EvaluationError| TrainingError::Config(error.to_string());
        validation.retrieval = retrieval(&read, width).map_err(unusable)?;
        let (values, tiles) = read.any(width);
        let descriptors = Descriptors::new(&values, width).map_err(unusable)?;
        let settings = AddrSettings {
            limits: Limits { near_mm: config.near_mm, far_mm: config.far_mm },
            ..AddrSettings::default()
        };
        // Without near and far pairs there is no ADDR; the user was told at the start.
        if let Ok(found) = addr::measure(descriptors, &tiles, &settings, &Resampling::default()) {
            validation.addr_global = Some(found.global);
            validation.addr_median = Some(found.median_per_slide);
            validation.addr_ci95 = found.ci95;
            validation.bin = found.histogram.bin;
            if config.method == Method::Siamese {
                validation.loss = Some(contrastive(&found.histogram, config));
            }
            validation.near = found.histogram.near;
            validation.far = found.histogram.far;
        }
        validation.seconds = began.elapsed().as_secs_f64();
        Ok(Some(validation))
    }

    /// Embeds the tiles with the network as it is now; also returns the length of a descriptor.
    fn embed(
        &self,
        network: &TrainableNetwork,
        reader: &TileReader,
        should_continue: impl FnMut() -> bool,
    ) -> Result<Option<(Read, usize)>, TrainingError> {
        let mut encoder = network.encoder()?;
        let mut values = Vec::new();
        let read = self.read(reader, should_continue, |pictures| {
            values.extend(encoder.encode(pictures)?.values);
            Ok(())
        })?;
        Ok(read.map(|read| (Read { values, ..read }, encoder.spec().width)))
    }

    /// Embeds the tiles with a network of which only the head learns: their features are computed once.
    fn embed_kept(
        &mut self,
        network: &TrainableNetwork,
        reader: &TileReader,
        should_continue: impl FnMut() -> bool,
    ) -> Result<Option<(Read, usize)>, TrainingError> {
        let torch = |error: TchError| TrainingError::torch("computing features of validation tiles", &error);
        if self.kept.is_none() {
            let mut pooled = Vec::new();
            let read = self.read(reader, should_continue, |pictures| {
                let part = network.images(pictures).and_then(|images| network.pooled(&images));
                pooled.push(part.and_then(|part| part.f_to_device(tch::Device::Cpu)).map_err(torch)?);
                Ok(())
            })?;
            let Some(read) = read else { return Ok(None) };
            if pooled.is_empty() {
                return Ok(Some((read, 1)));
            }
            self.kept = Some((read, Tensor::f_cat(&pooled, 0).map_err(torch)?));
        }
        let Some((read, pooled)) = &self.kept else { return Ok(None) };
        let described = network.described(pooled)?;
        Ok(Some((Read { values: described.values, ..read.clone() }, described.width)))
    }

    /// Reads the tiles in parts, and passes the pictures of each part to `take`. Returns `None` if `should_continue`
    /// returns false in between.
    fn read(
        &self,
        reader: &TileReader,
        mut should_continue: impl FnMut() -> bool,
        mut take: impl FnMut(&[RgbImage]) -> Result<(), TrainingError>,
    ) -> Result<Option<Read>, TrainingError> {
        let mut read = Read::default();
        for (number, (slide, chosen)) in (0_u32..).zip(self.slides.iter().zip(&self.chosen)) {
            for part in chosen.chunks(BATCH) {
                if !should_continue() {
                    return Ok(None);
                }
                let mut pictures = Vec::new();
                for tile in part {
                    match reader.read(slide, &slide.tiles[tile.index]) {
                        Ok(picture) => {
                            pictures.push(picture);
                            read.add(number, slide, tile, &self.classes);
                        }
                        Err(error) => tracing::warn!("{error}"),
                    }
                }
                if !pictures.is_empty() {
                    take(&pictures)?;
                }
            }
        }
        Ok(Some(read))
    }
}

/// The tiles that could be read.
#[derive(Clone, Default)]
struct Read {
    values: Vec<f32>,
    tiles: Tiles,
    /// Rows of the tiles that were drawn regardless of their labels.
    any: Vec<u32>,
}

impl Read {
    fn add(&mut self, number: u32, slide: &TrainingSlide, tile: &Chosen, classes: &[&str]) {
        if tile.is_any {
            self.any.push(self.tiles.len() as u32);
        }
        let class = slide.classes.get(tile.index).and_then(Option::as_deref);
        let class = class.and_then(|class| classes.binary_search(&class).ok());
        self.tiles.positions_um.push(slide.centres_mm[tile.index].map(|mm| mm * 1000.0));
        self.tiles.slides.push(number);
        self.tiles.patients.push(number);
        self.tiles.classes.push(class.map(|index| Class(index as u16)));
    }

    fn any(&self, width: usize) -> (Vec<f32>, Tiles) {
        let row = |row: &u32| &self.values[*row as usize * width..][..width];
        (self.any.iter().flat_map(row).copied().collect(), self.tiles.select(&self.any))
    }
}

/// Searches for labelled tiles on the other slides.
fn retrieval(read: &Read, width: usize) -> Result<Option<RetrievalValidation>, EvaluationError> {
    if read.tiles.classes.iter().all(Option::is_none) {
        return Ok(None);
    }
    let descriptors = Descriptors::new(&read.values, width)?;
    let found = retrieval::ask(descriptors, &read.tiles, &RetrievalSettings::default())?;
    let scores: Vec<Score> =
        found.classes().into_iter().filter_map(|class| found.score(class, &Resampling::default())).collect();
    if scores.is_empty() {
        return Ok(None);
    }
    let mean = |of: &dyn Fn(&Score) -> f64| scores.iter().map(of).sum::<f64>() / scores.len() as f64;
    let figure = |score: &Score, measure| score.figure(measure).map_or(0.0, |figure| figure.value);
    Ok(Some(RetrievalValidation {
        p_at_1: mean(&|score| figure(score, Measure::P1)),
        p_at_5: mean(&|score| figure(score, Measure::P5)),
        chance_level: mean(&|score| score.chance_level),
        classes: scores.len(),
        queries: scores.iter().map(|score| score.queries).sum(),
    }))
}

/// `½ · mean(d of near) + ½ · mean(max(0, m − d) of far)`, from the histograms, with each bin at its centre.
fn contrastive(histogram: &addr::DistanceHistogram, config: &TrainingConfig) -> f64 {
    let middle = |index: usize| (index as f64 + 0.5) * histogram.bin;
    let near: f64 = histogram.near.iter().enumerate().map(|(index, share)| share * middle(index)).sum();
    let short = |index: usize| (config.margin - middle(index)).max(0.0);
    let far: f64 = histogram.far.iter().enumerate().map(|(index, share)| share * short(index)).sum();
    0.5 * (near + far)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two slides, each with two tiles of two classes and one tile of a class that only this slide has.
    fn labelled(values: [f32; 10]) -> Read {
        let mut read = Read { values: values.to_vec(), ..Read::default() };
        for slide in 0..2_u32 {
            for class in [0, 0, 1, 1, 2 + slide as u16] {
                read.tiles.positions_um.push([0.0; 2]);
                read.tiles.slides.push(slide);
                read.tiles.patients.push(slide);
                read.tiles.classes.push(Some(Class(class)));
            }
        }
        read
    }

    #[test]
    fn like_tiles_of_other_slides_are_counted_in_the_mean_over_classes() {
        // On a line: class 0 is close together, and one tile of class 1 is closest to a tile of another
        // class.
        let read = labelled([0.0, 0.1, 5.0, 9.0, 20.0, 0.2, 0.3, 5.1, 5.2, 9.1]);
        let found = retrieval(&read, 1).unwrap().unwrap();
        assert_eq!((found.classes, found.queries), (2, 8));
        // Every tile of class 0 finds one of its class; of class 1, the tile at 9.0 finds another class.
        assert!((found.p_at_1 - (1.0 + 0.75) / 2.0).abs() < 1e-9, "{found:?}");
        // All five tiles of the other slide are matches, and two of them are correct.
        assert!((found.p_at_5 - 0.4).abs() < 1e-9 && (found.chance_level - 0.4).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn without_two_labelled_slides_there_is_no_retrieval() {
        let mut read = labelled([0.0; 10]);
        read.tiles.slides = vec![0; 10];
        read.tiles.patients = vec![0; 10];
        assert_eq!(retrieval(&read, 1).unwrap(), None);
        read.tiles.classes = vec![None; 10];
        assert_eq!(retrieval(&read, 1).unwrap(), None);
    }
}
