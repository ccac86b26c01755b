//! One training step, from a batch to gradients and new weights, and the state that a checkpoint saves.

use std::path::Path;

use tch::{Kind, TchError, Tensor};

use super::TrainingError;
use super::checkpoint::{Checkpoint, CheckpointHeader};
use super::config::{LossKind, Method, TrainingConfig};
use super::kept_features::KeptFeatures;
use super::loader::Batch;
use super::losses;
use super::memory_bank::MemoryBank;
use super::optimiser::{AdamW, LossScale, learning_rate};
use super::pairs::{PairSampler, Relation};
use super::run::StepRecord;
use super::slides::TrainingSlide;
use histokin_encoder::engine::Engine;
use histokin_encoder::trainable::{NetworkPlan, Start, TrainableNetwork};
use histokin_encoder::{self as encoder, DeviceChoice, Encoder, EncoderError, is_out_of_memory};

/// Smallest number of groups in a batch: with fewer, its statistics and comparisons mean nothing.
const LEAST_GROUPS: usize = 2;

/// Everything that changes during training.
pub(super) struct Learner {
    pub network: TrainableNetwork,
    /// Encoder whose distances the anchor loss keeps.
    reference: Option<Box<dyn Encoder>>,
    optimiser: AdamW,
    bank: Option<MemoryBank>,
    scale: LossScale,
    /// Features from which the head learns, without running the network.
    pub kept: Option<KeptFeatures>,
}

/// Result of a step.
pub(super) struct Learned {
    pub record: StepRecord,
    /// Descriptor distance of every pair of the batch, in the order of the groups.
    pub distances: Vec<f32>,
}

/// Why a step failed.
pub(super) enum StepError {
    /// The loss or its gradient is not finite.
    NotFinite(f64),
    /// The device had too little memory for the batch; no weights were changed.
    TooLarge(TchError),
    Torch(TchError),
    /// Error of the reference encoder.
    Reference(EncoderError),
}

impl From<EncoderError> for StepError {
    fn from(error: EncoderError) -> Self {
        Self::Reference(error)
    }
}

impl From<TchError> for StepError {
    fn from(error: TchError) -> Self {
        Self::Torch(error)
    }
}

impl Learner {
    pub fn new(
        config: &TrainingConfig,
        instances: usize,
        device: DeviceChoice,
    ) -> Result<Self, TrainingError> {
        let Ok(start) = config.init.parse::<Start>();
        let network = TrainableNetwork::new(&NetworkPlan {
            backbone: config.backbone,
            start,
            head: config.head,
            width: config.width,
            depth: config.depth,
            batch_statistics: config.batch_statistics,
            l2_normalise: config.compares_angles(),
            tiles: config.tiles(),
            seed: config.seed,
            device,
        })?;
        let torch = |error: TchError| TrainingError::torch("preparing the training", &error);
        let reference = (config.method == Method::Siamese && config.anchor > 0.0)
            .then(|| encoder::load_in(encoder::LEARNING_REFERENCE, device, Engine::Torch))
            .transpose()?;
        let optimiser = AdamW::new(network.learning(), config.weight_decay).map_err(torch)?;
        let bank = match config.method {
            Method::Siamese => None,
            Method::Npid => Some(
                MemoryBank::new(
                    instances,
                    config.width,
                    config.temperature,
                    config.npid_momentum,
                    config.seed,
                    network.device(),
                )
                .map_err(torch)?,
            ),
        };
        let scale = if network.mixed_precision() { LossScale::HALF } else { LossScale::NONE };
        Ok(Self { network, reference, optimiser, bank, scale, kept: None })
    }

    /// Trains on one batch, or on its first half, quarter, … if the device has too little memory. `halved` is
    /// called with the remaining number of groups each time. `step` is counted from 0.
    pub fn step(
        &mut self,
        batch: &mut Batch,
        step: u64,
        config: &TrainingConfig,
        sampler: &PairSampler,
        slides: &[TrainingSlide],
        halved: &mut dyn FnMut(usize),
    ) -> Result<Learned, StepError> {
        within_memory(batch, halved, |batch| self.step_whole(batch, step, config, sampler, slides))
    }

    fn step_whole(
        &mut self,
        batch: &Batch,
        step: u64,
        config: &TrainingConfig,
        sampler: &PairSampler,
        slides: &[TrainingSlide],
    ) -> Result<Learned, StepError> {
        self.optimiser.zero_gradients();
        let (descriptors, instances, value) =
            self.gradients(batch, step, config, sampler, slides).map_err(|error| match error {
                StepError::Torch(error) if is_out_of_memory(&error) => StepError::TooLarge(error),
                other => other,
            })?;
        let norm = self.optimiser.gradient_norm()? / self.scale.factor;
        let lr = learning_rate(step, config.warmup_steps, config.steps, config.lr);
        if norm.is_finite() {
            let clip =
                if config.clip_norm > 0.0 && norm > config.clip_norm { config.clip_norm / norm } else { 1.0 };
            self.optimiser.step(lr, clip / self.scale.factor)?;
            if let Some(bank) = &mut self.bank {
                bank.update(&descriptors, &instances)?;
            }
        } else if !self.network.mixed_precision() || self.scale.factor < 1.0 {
            return Err(StepError::NotFinite(norm));
        }
        if self.network.mixed_precision() {
            self.scale = self.scale.after(!norm.is_finite());
        }
        let distances = pair_distances(&descriptors, batch, config.compares_angles())?;
        let mean = |relation: Relation| {
            let pairs = batch.groups.iter().flat_map(|group| &group.pairs).zip(&distances);
            let of: Vec<f64> = pairs
                .filter(|(pair, _)| pair.relation == relation)
                .map(|(_, distance)| f64::from(*distance))
                .collect();
            (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64)
        };
        let record = StepRecord {
            step: step + 1,
            loss: value,
            lr,
            near: mean(Relation::Near),
            far: mean(Relation::Far),
            gradient: norm,
        };
        Ok(Learned { record, distances })
    }

    /// Computes descriptors and loss of a batch and the gradients of the parameters. Returns descriptors, the
    /// instances of the groups, and the loss.
    fn gradients(
        &mut self,
        batch: &Batch,
        step: u64,
        config: &TrainingConfig,
        sampler: &PairSampler,
        slides: &[TrainingSlide],
    ) -> Result<(Tensor, Tensor, f64), StepError> {
        let device = self.network.device();
        let descriptors = match &self.kept {
            Some(kept) => self.network.forward_pooled(kept.of(&batch.rows, &self.network)?)?,
            None => self.network.forward(&self.network.images(&batch.tiles)?)?,
        };
        let instances: Vec<i64> = batch.groups.iter().map(|group| group.instance as i64).collect();
        let instances = Tensor::f_from_slice(&instances)?.f_to_device(device)?;
        let loss = match &mut self.bank {
            None => {
                let loss = siamese_loss(&descriptors, batch, config, slides)?;
                match &mut self.reference {
                    None => loss,
                    Some(reference) => {
                        let reference = reference.encode(&batch.tiles)?;
                        let rows = Tensor::f_from_slice(&reference.values)?
                            .f_reshape([-1, reference.width as i64])?;
                        let lost = losses::anchor_loss(&descriptors, &rows.f_to_device(device)?)?;
                        loss.f_add(&lost.f_mul_scalar(config.anchor)?)?
                    }
                }
            }
            Some(bank) if config.npid_noise == 0 => bank.full_softmax(&descriptors, &instances)?,
            Some(bank) => {
                let rows = batch.groups.len();
                let noise = Tensor::f_from_slice(&sampler.noise(step, rows * config.npid_noise))?
                    .f_reshape([rows as i64, config.npid_noise as i64])?
                    .f_to_device(device)?;
                bank.noise_contrastive(&descriptors, &instances, &noise)?
            }
        };
        let value = loss.f_double_value(&[])?;
        if !value.is_finite() {
            return Err(StepError::NotFinite(value));
        }
        loss.f_mul_scalar(self.scale.factor)?.f_backward()?;
        Ok((descriptors, instances, value))
    }

    /// Returns the current state as a checkpoint, with `header` completed.
    pub fn checkpoint(&self, mut header: CheckpointHeader) -> Checkpoint {
        let (bank, normaliser) = self.bank.as_ref().map(MemoryBank::state).unzip();
        header.optimiser_steps = self.optimiser.steps();
        header.loss_scale = self.scale.factor;
        header.bank_normaliser = normaliser.flatten();
        Checkpoint { header, weights: self.network.state(), optimiser: self.optimiser.state(), bank }
    }

    /// Restores the state of a checkpoint that was read from `path`.
    pub fn restore(&mut self, kept: &Checkpoint, path: &Path) -> Result<(), TrainingError> {
        let torch = |error: TchError| TrainingError::torch("restoring a checkpoint", &error);
        let other = || TrainingError::File {
            path: path.to_owned(),
            reason: "the checkpoint belongs to other settings or slides than this run; start a new run"
                .into(),
        };
        self.network.restore(&kept.weights, path)?;
        if !self.optimiser.restore(&kept.optimiser, kept.header.optimiser_steps).map_err(torch)? {
            return Err(other());
        }
        match (&mut self.bank, &kept.bank) {
            (None, None) => {}
            (Some(bank), Some(features)) => {
                if !bank.restore(features, kept.header.bank_normaliser).map_err(torch)? {
                    return Err(other());
                }
            }
            _ => return Err(other()),
        }
        if self.network.mixed_precision() {
            self.scale = LossScale::resumed(kept.header.loss_scale);
        }
        Ok(())
    }
}

/// Runs `learn` on `batch`, and again on its first half each time the device has too little memory. A batch
/// of fewer than four groups is not halved.
fn within_memory(
    batch: &mut Batch,
    halved: &mut dyn FnMut(usize),
    mut learn: impl FnMut(&Batch) -> Result<Learned, StepError>,
) -> Result<Learned, StepError> {
    loop {
        match learn(batch) {
            Err(StepError::TooLarge(_)) if batch.groups.len() >= 2 * LEAST_GROUPS => {
                batch.truncate(batch.groups.len() / 2);
                halved(batch.groups.len());
            }
            Err(StepError::TooLarge(error)) => return Err(StepError::Torch(error)),
            other => return other,
        }
    }
}

fn siamese_loss(
    descriptors: &Tensor,
    batch: &Batch,
    config: &TrainingConfig,
    slides: &[TrainingSlide],
) -> Result<Tensor, TchError> {
    let loss = match config.loss {
        LossKind::Contrastive | LossKind::ContrastiveSquared => {
            let is_far =
                |group: &super::pairs::Group| group.pairs.iter().any(|pair| pair.relation == Relation::Far);
            let far: Vec<f32> = batch.groups.iter().map(|group| f32::from(u8::from(is_far(group)))).collect();
            let far = Tensor::f_from_slice(&far)?.f_to_device(descriptors.device())?;
            losses::contrastive(descriptors, &far, config.margin, config.loss == LossKind::ContrastiveSquared)
        }
        LossKind::Triplet => losses::triplet(descriptors, config.margin),
        LossKind::NtXent => {
            let ignored = neighbours(batch, config.near_mm, slides);
            let count = batch.count() as i64;
            let ignored = Tensor::f_from_slice(&ignored)?
                .f_reshape([count, count])?
                .f_to_kind(Kind::Bool)?
                .f_to_device(descriptors.device())?;
            losses::nt_xent(descriptors, &ignored, config.temperature)
        }
    }?;
    if config.anti_collapse == 0.0 {
        return Ok(loss);
    }
    loss.f_add(&losses::anti_collapse_loss(descriptors)?.f_mul_scalar(config.anti_collapse)?)
}

/// Returns a matrix, row by row: 1 for two tiles of a batch that are near each other but not in the same
/// group, else 0.
fn neighbours(batch: &Batch, near_mm: f64, slides: &[TrainingSlide]) -> Vec<u8> {
    let tiles: Vec<(usize, usize, [f64; 2])> = batch
        .groups
        .iter()
        .enumerate()
        .flat_map(|(group, of)| of.tiles.iter().map(move |tile| (group, tile)))
        .map(|(group, tile)| {
            let um = slides[tile.slide].source.info().mpp.map_or([1.0; 2], |mpp| [mpp.x(), mpp.y()]);
            let centre = tile.rect.center();
            (group, tile.slide, [centre.x * um[0] / 1000.0, centre.y * um[1] / 1000.0])
        })
        .collect();
    let mut ignored = Vec::with_capacity(tiles.len() * tiles.len());
    for (group, slide, at) in &tiles {
        for (other_group, other_slide, other_at) in &tiles {
            let apart = (at[0] - other_at[0]).hypot(at[1] - other_at[1]);
            ignored.push(u8::from(group != other_group && slide == other_slide && apart < near_mm));
        }
    }
    ignored
}

fn pair_distances(descriptors: &Tensor, batch: &Batch, unit: bool) -> Result<Vec<f32>, TchError> {
    let (mut first, mut second, mut at) = (Vec::new(), Vec::new(), 0);
    for group in &batch.groups {
        first.extend(group.pairs.iter().map(|pair| (at + pair.first) as i64));
        second.extend(group.pairs.iter().map(|pair| (at + pair.second) as i64));
        at += group.tiles.len();
    }
    if first.is_empty() {
        return Ok(Vec::new());
    }
    let of = |rows: &[i64]| {
        descriptors.f_index_select(0, &Tensor::f_from_slice(rows)?.f_to_device(descriptors.device())?)
    };
    let found = losses::distances(&of(&first)?, &of(&second)?, unit)?.f_to_device(tch::Device::Cpu)?;
    let mut values = vec![0.0_f32; first.len()];
    let count = values.len();
    found.f_contiguous()?.f_copy_data(&mut values, count)?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::{Group, TileRef};
    use histokin_core::geometry::Level0Rect;

    fn batch(groups: usize) -> Batch {
        let tile = TileRef { slide: 0, rect: Level0Rect::new(0, 0, 8, 8) };
        let group = |instance| Group { tiles: vec![tile; 2], pairs: Vec::new(), instance };
        Batch {
            groups: (0..groups).map(group).collect(),
            tiles: vec![image::RgbImage::new(8, 8); 2 * groups],
            rows: Vec::new(),
            unreadable: 0,
        }
    }

    fn learned() -> Learned {
        let record = StepRecord { step: 1, loss: 0.0, lr: 0.0, near: None, far: None, gradient: 0.0 };
        Learned { record, distances: Vec::new() }
    }

    fn no_room() -> StepError {
        StepError::TooLarge(TchError::Torch("CUDA out of memory. Tried to allocate 2.00 GiB".into()))
    }

    #[test]
    fn a_batch_without_room_is_halved_until_it_fits() {
        let (mut batch, mut reported, mut tried) = (batch(48), Vec::new(), Vec::new());
        let outcome = within_memory(&mut batch, &mut |groups| reported.push(groups), |batch| {
            tried.push((batch.groups.len(), batch.tiles.len()));
            if batch.groups.len() > 15 { Err(no_room()) } else { Ok(learned()) }
        });
        assert!(outcome.is_ok());
        assert_eq!(tried, [(48, 96), (24, 48), (12, 24)]);
        assert_eq!(reported, [24, 12]);
    }

    #[test]
    fn where_even_the_least_batch_has_no_room_that_is_said() {
        let mut tried = 0;
        let outcome = within_memory(&mut batch(9), &mut |_| {}, |_| {
            tried += 1;
            Err(no_room())
        });
        let Err(StepError::Torch(error)) = outcome else { panic!("the error is not returned as it is") };
        assert!(matches!(TrainingError::torch("a training step", &error), TrainingError::OutOfMemory { .. }));
        // Tried with 9, 4 and 2 groups.
        assert_eq!(tried, 3);
    }
}
