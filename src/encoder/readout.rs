//! From a network's pooled features to descriptors: scaling, stain features, head, and what becomes of its answer.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use super::model::SelfDescription;
use super::stain_features::StainFeatures;

/// What becomes of the head's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadOutput {
    /// It is the descriptor.
    #[default]
    Linear,
    /// The answer tells, as logarithms, how much a tile is like each of a set of prototypes; the descriptor is the
    /// square root of its membership (softmax) in each: descriptors have length 1, and their distance is √2 times
    /// the Hellinger distance of the memberships.
    Memberships,
}

impl HeadOutput {
    pub(super) fn is_linear(&self) -> bool {
        *self == Self::Linear
    }

    /// Descriptors of the head's answer `[N, D]`. Roots of small memberships are taken as logarithms, so that the slope
    /// stays finite for learning.
    fn of(self, answer: Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Linear => Ok(answer),
            Self::Memberships => answer.f_log_softmax(1, Kind::Float)?.f_mul_scalar(0.5)?.f_exp(),
        }
    }
}

/// How pooled features are scaled before the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureScaling {
    #[default]
    None,
    /// The square root of each feature's share in their sum: Euclidean distances then are Hellinger
    /// distances, which weigh rare features up (Arandjelović and Zisserman 2012, "Three things everyone
    /// should know to improve object retrieval", section 3). Every backbone ends in a ReLU, so that no
    /// feature is negative.
    Hellinger,
}

impl FeatureScaling {
    fn of(self, features: Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::None => Ok(features),
            Self::Hellinger => {
                let sum = features.f_sum_dim_intlist([1i64].as_slice(), true, None)?;
                // A tile without any feature keeps its row of zeros.
                features.f_div(&sum.f_clamp_min(f64::from(f32::MIN_POSITIVE))?)?.f_sqrt()
            }
        }
    }
}

/// What stands between a backbone and its descriptors.
#[derive(Debug)]
pub(super) struct Readout {
    scaling: FeatureScaling,
    /// Read from the images where the description wants them.
    stain: Option<StainFeatures>,
    /// Weight `[D, F]` and bias `[D]`.
    head: Option<(Tensor, Tensor)>,
    output: HeadOutput,
    /// Heights `[S]` of the switches, which are the descriptor's last numbers.
    switches: Option<Tensor>,
}

impl Readout {
    /// As `description` has it, on a device.
    pub fn new(
        description: &SelfDescription,
        head: Option<(Tensor, Tensor)>,
        device: Device,
    ) -> Result<Self, TchError> {
        let SelfDescription { feature_scaling, output, switches, preprocessing, .. } = description;
        let stain = match description.stain_features {
            true => Some(StainFeatures::new(preprocessing.input_mean, preprocessing.input_std, device)?),
            false => None,
        };
        let switches = match &switches[..] {
            [] => None,
            heights => Some(Tensor::f_from_slice(heights)?.f_to_device(device)?),
        };
        Ok(Self { scaling: *feature_scaling, stain, head, output: *output, switches })
    }

    /// Descriptors `[N, D]` of images `[N, 3, H, W]`, given their pooled features.
    pub fn of(&self, pooled: Tensor, images: &Tensor) -> Result<Tensor, TchError> {
        // In full precision from here on: what follows costs next to nothing.
        let mut features = self.scaling.of(pooled.f_to_kind(Kind::Float)?)?;
        if let Some(stain) = &self.stain {
            features = Tensor::f_cat(&[features, stain.of(images)?], 1)?;
        }
        let answer = match &self.head {
            None => features,
            Some((weight, bias)) => features.f_linear(weight, Some(bias))?,
        };
        let Some(heights) = &self.switches else { return self.output.of(answer) };
        let count = heights.size()[0];
        let width = answer.size()[1] - count;
        let switched = answer.f_narrow(1, width, count)?.f_tanh()?.f_mul(heights)?;
        Tensor::f_cat(&[self.output.of(answer.f_narrow(1, 0, width)?)?, switched], 1)
    }

    /// The same with parameters of its own, which later learning does not change.
    pub fn detached(&self, description: &SelfDescription, device: Device) -> Result<Self, TchError> {
        let head = self.head.as_ref().map(|(weight, bias)| (weight.copy().detach(), bias.copy().detach()));
        Self::new(description, head, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::backbones::BackboneKind;

    fn description() -> SelfDescription {
        SelfDescription::plain(String::new(), BackboneKind::Tiny)
    }

    fn described(description: &SelfDescription, head: Option<(Tensor, Tensor)>, pooled: &[f32]) -> Vec<f32> {
        let readout = Readout::new(description, head, Device::Cpu).unwrap();
        let pooled = Tensor::from_slice(pooled).reshape([1, -1]);
        let images = Tensor::zeros([1, 3, 8, 8], (Kind::Float, Device::Cpu));
        Vec::try_from(readout.of(pooled, &images).unwrap().flatten(0, 1)).unwrap()
    }

    fn identity(width: i64) -> (Tensor, Tensor) {
        let float = (Kind::Float, Device::Cpu);
        (Tensor::eye(width, float), Tensor::zeros([width], float))
    }

    #[test]
    fn the_last_numbers_are_switches_and_the_others_memberships() {
        let description =
            SelfDescription { output: HeadOutput::Memberships, switches: vec![0.5, 2.0], ..description() };
        let found = described(&description, Some(identity(4)), &[0.0, 3.0_f32.ln(), 20.0, -20.0]);
        let expected = [0.5, 0.75_f32.sqrt(), 0.5, -2.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
    }

    #[test]
    fn stain_features_stand_after_the_networks() {
        let description = SelfDescription { stain_features: true, ..description() };
        let found = described(&description, None, &[7.0, 8.0]);
        assert_eq!((found.len(), &found[..2]), (5, &[7.0, 8.0][..]));
        assert!(found[2] > 0.0 && found[3] > 0.0 && found[4] > 0.0, "grey absorbs: {found:?}");
    }

    #[test]
    fn hellinger_takes_roots_of_shares() {
        let description = SelfDescription { feature_scaling: FeatureScaling::Hellinger, ..description() };
        assert_eq!(described(&description, None, &[1.0, 3.0]), [0.5, 0.75_f32.sqrt()]);
        assert_eq!(described(&description, None, &[0.0, 0.0]), [0.0, 0.0]);
    }
}
