//! Training of the head alone, from pooled features that were computed before.

use sha2::{Digest, Sha256};
use tch::{TchError, Tensor};

use super::{HEAD, TrainableNetwork};
use crate::fitting::{LinearHead, numbers};
use crate::model::{Preprocessing, SelfDescription};
use crate::network::scale_to_unit_length;
use crate::readout::{FeatureScaling, HeadOutput};
use crate::{DescriptorBatch, EncoderError};
use histokin_core::descriptors::hex;

impl TrainableNetwork {
    /// Computes the pooled features `[N, F]` of `images`, without gradients.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn pooled(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let _no_grad = tch::no_grad_guard();
        let SelfDescription { blocks, crops, .. } = &self.description;
        let features = |images: &Tensor| self.backbone.features(images, blocks);
        tch::autocast(self.mixed_precision, || match crops {
            Some(crops) => crops.features(images, features),
            None => features(images),
        })
    }

    /// Computes descriptors `[N, D]` of pooled features, through which gradients flow to the head. They are not
    /// scaled to length 1.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn forward_pooled(&self, pooled: Tensor) -> Result<Tensor, TchError> {
        let pooled = match self.description.feature_scaling {
            FeatureScaling::None => pooled,
            // As in `forward`.
            FeatureScaling::Hellinger => pooled.f_add_scalar(1e-6)?,
        };
        self.readout.of_pooled(pooled)
    }

    /// Returns the descriptors of pooled features as the finished encoder would, one row per tile.
    ///
    /// # Errors
    /// [`EncoderError::Torch`] if libtorch fails.
    pub fn described(&self, pooled: &Tensor) -> Result<DescriptorBatch, EncoderError> {
        let _no_grad = tch::no_grad_guard();
        let described = || numbers(&self.readout.of_pooled(pooled.f_to_device(self.compute.device)?)?);
        let mut values = described().map_err(|error| EncoderError::torch("applying the head", &error))?;
        if self.description.preprocessing.l2_normalise {
            values.chunks_exact_mut(self.width).for_each(scale_to_unit_length);
        }
        Ok(DescriptorBatch { values, width: self.width })
    }

    /// Returns the number of pooled features; `None` if the head cannot learn from features without their images,
    /// since it has a stain switch.
    pub fn features_alone(&self) -> Option<usize> {
        self.description.stain_switch.is_none().then(|| self.description.feature_width())
    }

    /// Returns a text that is the same for networks with the same pooled features of tiles that were read in the same
    /// way, which `reading` tells. Weights are hashed one by one, so that no copy of a large network is made.
    ///
    /// # Errors
    /// [`EncoderError::Torch`] if the weights cannot be read from the device.
    pub fn features_id(&self, reading: &str) -> Result<String, EncoderError> {
        let _no_grad = tch::no_grad_guard();
        let description = SelfDescription {
            name: String::new(),
            feature_scaling: FeatureScaling::None,
            hidden: None,
            output: HeadOutput::Linear,
            base: None,
            preprocessing: Preprocessing { l2_normalise: false, ..self.description.preprocessing.clone() },
            ..self.description.clone()
        };
        let description = description.to_header().into_values().collect::<String>();
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        add(reading.as_bytes());
        add(description.as_bytes());
        for (name, weight) in self.variables().iter().filter(|(name, _)| !name.starts_with(HEAD)) {
            let values =
                numbers(weight).map_err(|error| EncoderError::torch("reading parameters", &error))?;
            add(name.as_bytes());
            add(bytemuck::cast_slice(&values));
        }
        Ok(hex(&hash.finalize()))
    }

    /// Whether the head compares tiles with prototypes that it did not take over from another encoder.
    pub fn needs_prototypes(&self) -> bool {
        self.new_prototypes
    }

    /// Sets the head to one that was fitted to the network's pooled features.
    ///
    /// # Errors
    /// [`EncoderError::Torch`] if the shapes differ or libtorch fails.
    pub fn set_head(&self, head: &LinearHead) -> Result<(), EncoderError> {
        let _no_grad = tch::no_grad_guard();
        let variables = self.variables();
        let set = |name: &str, values: &[f32], shape: &[i64]| -> Result<(), TchError> {
            let values = Tensor::f_from_slice(values)?.f_reshape(shape)?;
            variables[name].shallow_clone().f_copy_(&values)
        };
        let (outputs, inputs) = (head.outputs as i64, head.inputs as i64);
        set("head.weight", &head.weight, &[outputs, inputs])
            .and_then(|()| set("head.bias", &head.bias, &[outputs]))
            .map_err(|error| EncoderError::torch("setting the head", &error))
    }
}
