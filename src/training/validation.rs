//! Looking at slides that are not learned from.

use serde::{Deserialize, Serialize};

use super::TrainingError;
use super::config::{Method, TrainingConfig};
use super::slides::TrainingSlide;
use crate::encoder::Encoder;
use crate::evaluation::addr::{self, AddrSettings, Limits};
use crate::evaluation::intervals::Resampling;
use crate::evaluation::{Descriptors, Tiles};
use crate::stain::StainSetting;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

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
    pub tiles: usize,
    pub seconds: f64,
}

/// The tiles of the validation slides that every look is taken at.
pub(super) struct Held<'a> {
    slides: &'a [TrainingSlide],
    /// Places among each slide's tiles.
    chosen: Vec<Vec<usize>>,
}

impl<'a> Held<'a> {
    pub fn choose(slides: &'a [TrainingSlide], config: &TrainingConfig) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        let chosen = slides
            .iter()
            .map(|slide| {
                let all = slide.tiles.len();
                let mut places =
                    rand::seq::index::sample(&mut random, all, config.validation_tiles.min(all)).into_vec();
                // Neighbours share the file's compressed blocks: read them one after the other.
                places.sort_unstable();
                places
            })
            .collect();
        Self { slides, chosen }
    }

    /// Encode the tiles and measure. `go_on` is asked now and then; when it says no, there is no result.
    pub fn look(
        &self,
        encoder: &mut dyn Encoder,
        config: &TrainingConfig,
        step: u64,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Option<Validation>, TrainingError> {
        let began = std::time::Instant::now();
        let reference = (config.stain == StainSetting::Lab).then_some(encoder.spec().stain_reference);
        let (mut values, mut tiles) = (Vec::new(), Tiles::default());
        for (number, (slide, chosen)) in (0_u32..).zip(self.slides.iter().zip(&self.chosen)) {
            for part in chosen.chunks(BATCH) {
                if !go_on() {
                    return Ok(None);
                }
                let (mut pictures, mut centres) = (Vec::new(), Vec::new());
                for place in part {
                    match slide.read(&slide.tiles[*place], reference) {
                        Ok(picture) => {
                            pictures.push(picture);
                            centres.push(slide.centres_mm[*place].map(|mm| mm * 1000.0));
                        }
                        Err(error) => tracing::warn!("{error}"),
                    }
                }
                values.extend(encoder.encode(&pictures)?.values);
                let count = centres.len();
                tiles.positions_um.extend(centres);
                tiles.slides.extend(std::iter::repeat_n(number, count));
                tiles.patients.extend(std::iter::repeat_n(number, count));
                tiles.classes.extend(std::iter::repeat_n(None, count));
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
            tiles: tiles.len(),
            seconds: began.elapsed().as_secs_f64(),
        };
        let unusable = |error: crate::evaluation::EvaluationError| TrainingError::Config(error.to_string());
        let descriptors = Descriptors::new(&values, encoder.spec().width).map_err(unusable)?;
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
        Ok(Some(validation))
    }
}

/// `½ · mean(d of near) + ½ · mean(max(0, m − d) of far)`, from the histograms, each bin at its middle.
fn contrastive(histogram: &addr::DistanceHistogram, config: &TrainingConfig) -> f64 {
    let middle = |index: usize| (index as f64 + 0.5) * histogram.bin;
    let near: f64 = histogram.near.iter().enumerate().map(|(index, share)| share * middle(index)).sum();
    let short = |index: usize| (config.margin - middle(index)).max(0.0);
    let far: f64 = histogram.far.iter().enumerate().map(|(index, share)| share * short(index)).sum();
    0.5 * (near + far)
}
