//! Looking at slides that are not learned from.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::TrainingError;
use super::config::{JudgedBy, Method, TrainingConfig};
use super::slides::TrainingSlide;
use super::tile_reader::TileReader;
use histokin_encoder::Encoder;
use histokin_evaluation::addr::{self, AddrSettings, Limits};
use histokin_evaluation::intervals::Resampling;
use histokin_evaluation::retrieval::{self, Measure, RetrievalSettings, Score};
use histokin_evaluation::{Class, Descriptors, EvaluationError, Tiles};

/// Tiles encoded at once.
const BATCH: usize = 16;

/// What one look found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    pub step: u64,
    /// The contrastive loss over all near and all far pairs, half and half, with the run's margin; the other
    /// losses depend on what else is in a batch, and are not comparable from look to look.
    pub loss: Option<f64>,
    /// Mean descriptor distance of all far pairs over that of all near ones; none where no validation slide
    /// has both kinds.
    pub addr_global: Option<f64>,
    pub addr_median: Option<f64>,
    /// 95 % interval of the global one from resampling slides, where there are several.
    pub addr_ci95: Option<[f64; 2]>,
    /// Width of the histograms' bins in descriptor distance.
    pub bin: f64,
    /// Share of near and of far pairs in each bin.
    pub near: Vec<f64>,
    pub far: Vec<f64>,
    /// Retrieval of labelled tiles; none where no class is on two validation slides.
    #[serde(default)]
    pub retrieval: Option<RetrievalValidation>,
    pub tiles: usize,
    pub seconds: f64,
}

/// Labelled tiles that asked for tiles like them among the labelled tiles of the other validation slides. Every
/// figure is the mean over classes of the mean over queries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RetrievalValidation {
    pub p_at_1: f64,
    pub p_at_5: f64,
    /// What guessing would score.
    pub base_rate: f64,
    pub classes: usize,
    pub queries: usize,
}

impl Validation {
    /// The figure that tells which look is the best.
    pub fn figure(&self, judged_by: JudgedBy) -> Option<f64> {
        match (judged_by, &self.retrieval) {
            (JudgedBy::Retrieval, Some(found)) => Some(found.p_at_5),
            _ => self.addr_global,
        }
    }
}

/// The tiles of the validation slides that every look is taken at.
pub(super) struct ValidationTiles<'a> {
    slides: &'a [TrainingSlide],
    chosen: Vec<Vec<Chosen>>,
    /// Names of the classes, by number.
    classes: Vec<&'a str>,
}

/// One tile of a slide.
struct Chosen {
    /// Its place among the slide's tiles.
    place: usize,
    /// Whether it is one of the tiles that were drawn whatever they show: ADDR is measured on those, so that labels
    /// do not change it.
    is_any: bool,
}

impl<'a> ValidationTiles<'a> {
    /// Of each slide `validation_tiles` of all tiles, and as many of the labelled ones.
    pub fn choose(slides: &'a [TrainingSlide], config: &TrainingConfig) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        let mut draw = |among: usize| {
            rand::seq::index::sample(&mut random, among, config.validation_tiles.min(among)).into_vec()
        };
        let any: Vec<Vec<usize>> = slides.iter().map(|slide| draw(slide.tiles.len())).collect();
        let mut chosen = Vec::new();
        for (slide, any) in slides.iter().zip(any) {
            let labelled: Vec<usize> =
                (0..slide.classes.len()).filter(|place| slide.classes[*place].is_some()).collect();
            // Neighbours share the file's compressed blocks: in the order of their places they are read one after
            // the other.
            let mut places: BTreeMap<usize, bool> = any.into_iter().map(|place| (place, true)).collect();
            for drawn in draw(labelled.len()) {
                places.entry(labelled[drawn]).or_insert(false);
            }
            chosen.push(places.into_iter().map(|(place, is_any)| Chosen { place, is_any }).collect());
        }
        let mut classes: Vec<&str> =
            slides.iter().flat_map(|slide| &slide.classes).flatten().map(String::as_str).collect();
        classes.sort_unstable();
        classes.dedup();
        Self { slides, chosen, classes }
    }

    /// Encode the tiles and measure. `go_on` is asked now and then; when it says no, there is no result.
    pub fn validate(
        &self,
        encoder: &mut dyn Encoder,
        reader: &TileReader,
        config: &TrainingConfig,
        step: u64,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Option<Validation>, TrainingError> {
        let began = std::time::Instant::now();
        let mut read = Read::default();
        for (number, (slide, chosen)) in (0_u32..).zip(self.slides.iter().zip(&self.chosen)) {
            for part in chosen.chunks(BATCH) {
                if !go_on() {
                    return Ok(None);
                }
                let mut pictures = Vec::new();
                for tile in part {
                    match reader.read(slide, &slide.tiles[tile.place]) {
                        Ok(picture) => {
                            pictures.push(picture);
                            read.add(number, slide, tile, &self.classes);
                        }
                        Err(error) => tracing::warn!("{error}"),
                    }
                }
                read.values.extend(encoder.encode(&pictures)?.values);
            }
        }
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
        let width = encoder.spec().width;
        validation.retrieval = retrieval(&read, width).map_err(unusable)?;
        let (values, tiles) = read.any(width);
        let descriptors = Descriptors::new(&values, width).map_err(unusable)?;
        let settings = AddrSettings {
            limits: Limits { near_mm: config.near_mm, far_mm: config.far_mm },
            ..AddrSettings::default()
        };
        // Slides without both kinds of pairs leave the look without figures; that was said at the start.
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
}

/// The tiles that could be read.
#[derive(Default)]
struct Read {
    values: Vec<f32>,
    tiles: Tiles,
    /// Rows of those that were drawn whatever they show.
    any: Vec<u32>,
}

impl Read {
    fn add(&mut self, number: u32, slide: &TrainingSlide, tile: &Chosen, classes: &[&str]) {
        if tile.is_any {
            self.any.push(self.tiles.len() as u32);
        }
        let class = slide.classes.get(tile.place).and_then(Option::as_deref);
        let class = class.and_then(|class| classes.binary_search(&class).ok());
        self.tiles.positions_um.push(slide.centres_mm[tile.place].map(|mm| mm * 1000.0));
        self.tiles.slides.push(number);
        self.tiles.patients.push(number);
        self.tiles.classes.push(class.map(|index| Class(index as u16)));
    }

    fn any(&self, width: usize) -> (Vec<f32>, Tiles) {
        let row = |row: &u32| &self.values[*row as usize * width..][..width];
        (self.any.iter().flat_map(row).copied().collect(), self.tiles.select(&self.any))
    }
}

/// Labelled tiles ask for tiles of other slides.
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
        base_rate: mean(&|score| score.base_rate),
        classes: scores.len(),
        queries: scores.iter().map(|score| score.queries).sum(),
    }))
}

/// `½ · mean(d of near) + ½ · mean(max(0, m − d) of far)`, from the histograms, each bin at its middle.
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

    /// Two slides with two tiles of each of two classes, and one class that is on one slide only.
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
        // On a line: class 0 lies together, and one of class 1's tiles lies among the strangers.
        let read = labelled([0.0, 0.1, 5.0, 9.0, 20.0, 0.2, 0.3, 5.1, 5.2, 9.1]);
        let found = retrieval(&read, 1).unwrap().unwrap();
        assert_eq!((found.classes, found.queries), (2, 8));
        // Every tile of class 0 finds one of its own; of class 1 the tile at 9.0 finds the stranger at 9.1.
        assert!((found.p_at_1 - (1.0 + 0.75) / 2.0).abs() < 1e-9, "{found:?}");
        // All five tiles of the other slide are answers: two of them are right.
        assert!((found.p_at_5 - 0.4).abs() < 1e-9 && (found.base_rate - 0.4).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn without_two_labelled_slides_there_is_no_retrieval() {
        let mut read = labelled([0.0; 10]);
        read.tiles.slides = vec![0; 10];
        assert_eq!(retrieval(&read, 1).unwrap(), None);
        read.tiles.classes = vec![None; 10];
        assert_eq!(retrieval(&read, 1).unwrap(), None);
    }
}
