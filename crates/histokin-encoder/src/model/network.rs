//! A model's network in libtorch.

use std::path::Path;

use tch::{Kind, TchError, nn};

use super::{FurtherNetwork, FurtherWeights, Model};
use crate::EncoderError;
use crate::backbones::{Backbone, BackboneKind};
use crate::compute::Compute;
use crate::weight_files::WeightFiles;
use crate::weights::{self, Tensors};

impl Model {
    /// Returns the parameters of the backbone by their own names, and any other tensors beside them.
    ///
    /// # Errors
    /// [`EncoderError`] if the weights are damaged.
    pub fn tensors(&self) -> Result<Tensors, EncoderError> {
        match self.file.backbone {
            BackboneKind::Vit(_) => self.vit()?.tensors(),
            kind => self.weights.network(kind, &self.prefix),
        }
    }

    /// Builds the backbone with its weights for inference on a device.
    ///
    /// # Errors
    /// [`EncoderError`] if the weights are damaged or of another network, or libtorch fails.
    pub fn backbone(&self, compute: Compute) -> Result<Backbone, EncoderError> {
        if let BackboneKind::Vit(architecture) = self.file.backbone {
            return Ok(self.vit()?.network(architecture, compute)?.into());
        }
        convolutional(self.file.backbone, &self.weights, &self.prefix, compute)
    }

    /// Builds each of the further networks as [`Model::backbone`].
    ///
    /// # Errors
    /// As [`Model::backbone`].
    pub fn further_backbones(&self, compute: Compute) -> Result<Vec<Backbone>, EncoderError> {
        let build = |(network, weights): (&FurtherNetwork, &FurtherWeights)| {
            convolutional(network.backbone, &weights.files, &weights.prefix, compute)
        };
        self.further_networks().map(build).collect()
    }

    /// Returns the tensors `head.weight` and `head.bias`, those of a hidden layer, and the path of their file, if there
    /// is a head.
    ///
    /// # Errors
    /// [`EncoderError`] if one is missing or damaged.
    pub fn head_tensors(&self) -> Result<Option<(&Path, Tensors)>, EncoderError> {
        let Some(files) = self.head_files() else { return Ok(None) };
        let read = |name: &str| Ok((name.to_owned(), files.tensor(name)?));
        let tensors = self.head_names().map(read).collect::<Result<_, EncoderError>>()?;
        Ok(Some((files.path(), tensors)))
    }
}

/// Builds a convolutional network, whose parameters have names with this prefix, for inference on a device.
fn convolutional(
    kind: BackboneKind,
    files: &WeightFiles,
    prefix: &str,
    compute: Compute,
) -> Result<Backbone, EncoderError> {
    let torch = |error: TchError| EncoderError::torch("building the network", &error);
    let store = nn::VarStore::new(compute.device);
    let backbone = kind.build(&store.root()).map_err(torch)?;
    weights::fill(&store, &files.network(kind, prefix)?, files.path(), |name| kind.is_beside(name))?;
    let backbone = backbone.folded().map_err(torch)?;
    match compute.kind {
        Kind::Float => Ok(backbone),
        kind => backbone.to_kind(kind).map_err(torch),
    }
}
