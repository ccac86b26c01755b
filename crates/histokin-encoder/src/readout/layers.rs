//! The layers of a readout in libtorch.

use tch::{Kind, TchError, Tensor};

use super::{FeatureScaling, HeadOutput};
use crate::model::SelfDescription;
use crate::nuclear_stain::NuclearStain;

impl HeadOutput {
    /// Computes descriptors from the head's output `[N, D]`. The square roots are computed from logarithms,
    /// which keeps gradients finite for small memberships.
    fn of(self, answer: Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Linear => Ok(answer),
            Self::Memberships => answer.f_log_softmax(1, Kind::Float)?.f_mul_scalar(0.5)?.f_exp(),
        }
    }
}

impl FeatureScaling {
    /// Scales features `[N, F]`.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub(crate) fn of(self, features: Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::None => Ok(features),
            Self::Hellinger => {
                let sum = features.f_sum_dim_intlist([1i64].as_slice(), true, None)?;
                // The lower bound keeps a row of zeros at zero.
                features.f_div(&sum.f_clamp_min(f64::from(f32::MIN_POSITIVE))?)?.f_sqrt()
            }
        }
    }
}

/// The layers of a head: weight `[outputs, inputs]` and bias `[outputs]` of each.
#[derive(Debug)]
pub(crate) struct Head {
    /// A layer before the last one, whose negative outputs become 0.
    pub hidden: Option<(Tensor, Tensor)>,
    /// The last layer.
    pub last: (Tensor, Tensor),
}

impl Head {
    /// Computes the head's output `[N, D]` of features `[N, F]`.
    fn of(&self, features: &Tensor) -> Result<Tensor, TchError> {
        let (weight, bias) = &self.last;
        match &self.hidden {
            None => features.f_linear(weight, Some(bias)),
            Some((first, shift)) => {
                features.f_linear(first, Some(shift))?.f_relu()?.f_linear(weight, Some(bias))
            }
        }
    }

    /// Returns a head of copies, which later training does not change.
    fn detached(&self) -> Self {
        let copy = |(weight, bias): &(Tensor, Tensor)| (weight.copy().detach(), bias.copy().detach());
        Self { hidden: self.hidden.as_ref().map(copy), last: copy(&self.last) }
    }
}

/// The computation between a backbone's pooled features and the descriptor.
#[derive(Debug)]
pub(crate) struct Readout {
    scaling: FeatureScaling,
    head: Option<Head>,
    output: HeadOutput,
    /// Measurement that the stain switch uses, and its height.
    stain_switch: Option<(NuclearStain, f32)>,
}

impl Readout {
    /// Creates the readout that `description` specifies.
    pub fn new(description: &SelfDescription, head: Option<Head>) -> Self {
        let SelfDescription { feature_scaling, output, stain_switch, preprocessing, .. } = description;
        let (mean, std) = (preprocessing.input_mean[0], preprocessing.input_std[0]);
        let stain_switch = stain_switch.map(|height| (NuclearStain::new(mean, std), height));
        Self { scaling: *feature_scaling, head, output: *output, stain_switch }
    }

    /// Computes descriptors `[N, D]` of images `[N, 3, H, W]` from their pooled features. Without a head, the
    /// features, followed by the nuclear stain, are the descriptor.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn of(&self, pooled: Tensor, images: &Tensor) -> Result<Tensor, TchError> {
        // Full precision from here on, since the remaining computation is cheap.
        let mut features = self.scaling.of(pooled.f_to_kind(Kind::Float)?)?;
        if let Some((stain, _)) = &self.stain_switch {
            features = Tensor::f_cat(&[features, stain.of(images)?], 1)?;
        }
        let Some(head) = &self.head else { return Ok(features) };
        let answer = head.of(&features)?;
        let Some((_, height)) = self.stain_switch else { return self.output.of(answer) };
        let others = answer.size()[1] - 1;
        let switched = answer.f_narrow(1, others, 1)?.f_tanh()?.f_mul_scalar(f64::from(height))?;
        Tensor::f_cat(&[self.output.of(answer.f_narrow(1, 0, others)?)?, switched], 1)
    }

    /// Computes descriptors `[N, D]` of pooled features without their images, which a stain switch would need:
    /// without it.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn of_pooled(&self, pooled: Tensor) -> Result<Tensor, TchError> {
        let features = self.scaling.of(pooled.f_to_kind(Kind::Float)?)?;
        match &self.head {
            Some(head) => self.output.of(head.of(&features)?),
            None => Ok(features),
        }
    }

    /// Returns a readout with copies of the parameters, which later training does not change.
    pub fn detached(&self, description: &SelfDescription) -> Self {
        Self::new(description, self.head.as_ref().map(Head::detached))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::BackboneKind;
    use tch::Device;

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn plain() -> SelfDescription {
        SelfDescription::plain(String::new(), BackboneKind::Tiny)
    }

    fn described(description: &SelfDescription, head: Option<(Tensor, Tensor)>, pooled: &[f32]) -> Vec<f32> {
        let pooled = Tensor::from_slice(pooled).reshape([1, -1]);
        let grey = Tensor::zeros([1, 3, 8, 8], FLOAT);
        let head = head.map(|last| Head { hidden: None, last });
        let descriptors = Readout::new(description, head).of(pooled, &grey).unwrap();
        Vec::try_from(descriptors.flatten(0, 1)).unwrap()
    }

    #[test]
    fn the_last_number_is_the_switch_and_the_others_are_memberships() {
        let description =
            SelfDescription { output: HeadOutput::Memberships, stain_switch: Some(0.5), ..plain() };
        let stain = described(&description, None, &[7.0])[1];
        assert!(stain > 0.5, "grey absorbs: {stain}");
        // Two prototypes with one feature each, and a switch that depends on the stain only.
        let head = (Tensor::eye(3, FLOAT), Tensor::zeros([3], FLOAT));
        let found = described(&description, Some(head), &[0.0, 3.0_f32.ln()]);
        let expected = [0.5, 0.75_f32.sqrt(), 0.5 * stain.tanh()];
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
    }

    #[test]
    fn two_layers_follow_each_other_and_nothing_negative_passes_the_first() {
        let numbers = |values: &[f32], shape: [i64; 2]| Tensor::from_slice(values).reshape(shape);
        let hidden = (numbers(&[1.0, 0.0, 0.0, 1.0], [2, 2]), Tensor::from_slice(&[-1.0_f32, -1.0]));
        let last = (numbers(&[2.0, 5.0], [1, 2]), Tensor::from_slice(&[0.5_f32]));
        let readout = Readout::new(&plain(), Some(Head { hidden: Some(hidden), last }));
        let of = |pooled: [f32; 2]| {
            let pooled = Tensor::from_slice(&pooled).reshape([1, 2]);
            readout.of_pooled(pooled).unwrap().double_value(&[0, 0])
        };
        assert_eq!((of([3.0, 0.5]), of([0.0, 0.0]), of([2.0, 2.0])), (4.5, 0.5, 7.5));
    }

    #[test]
    fn hellinger_takes_roots_of_shares() {
        let description = SelfDescription { feature_scaling: FeatureScaling::Hellinger, ..plain() };
        assert_eq!(described(&description, None, &[1.0, 3.0]), [0.5, 0.75_f32.sqrt()]);
        assert_eq!(described(&description, None, &[0.0, 0.0]), [0.0, 0.0]);
    }
}
