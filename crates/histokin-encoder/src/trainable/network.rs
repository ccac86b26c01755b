//! Networks opened for training: a backbone and a head with trainable parameters, and their conversion
//! to an encoder that can be used and saved.

mod features;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::RgbImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, TchError, Tensor, nn};

use crate::backbones::vit::adapter;
use crate::backbones::{Backbone, BackboneKind};
use crate::compute::Compute;
use crate::model::{Base, Model, Preprocessing, SelfDescription, model_folders};
use crate::network::{Branch, NetworkEncoder, empty_head, to_tensor};
use crate::readout::{FeatureScaling, HeadOutput, Readout};
use crate::weights::{self, Tensors};
use crate::{DeviceChoice, Encoder, EncoderError, EncoderId, EncoderSpec};
use histokin_core::stain::{LabStatistics, StainSetting};
use histokin_core::tiling::TileSettings;

use super::{Depth, HeadKind, NetworkPlan, Start};

/// Prefix of the names of the head's parameters.
const HEAD: &str = "head.";

/// A network in training. Owned by one thread at a time.
pub struct TrainableNetwork {
    store: nn::VarStore,
    backbone: Backbone,
    readout: Readout,
    /// Length of a descriptor.
    width: usize,
    /// Number of blocks through which no gradient flows.
    frozen: usize,
    /// Whether adapters are trained in place of blocks.
    is_adapted: bool,
    batch_statistics: bool,
    description: SelfDescription,
    compute: Compute,
    /// Whether the backbone runs with automatic mixed precision (16-bit arithmetic where that is safe).
    mixed_precision: bool,
    /// Whether the head has prototypes, and not those of another encoder.
    new_prototypes: bool,
}

impl TrainableNetwork {
    /// Builds the network and sets its initial weights.
    ///
    /// # Errors
    /// [`EncoderError`] if weights are missing, damaged or of another network, or do not fit into the
    /// device's memory.
    pub fn new(plan: &NetworkPlan) -> Result<Self, EncoderError> {
        let chosen = Compute::choose(plan.device)?;
        // 16-bit parameters cannot represent small updates, so they stay 32-bit; only the arithmetic is
        // 16-bit.
        let compute = Compute { kind: Kind::Float, ..chosen };
        let given = match &plan.start {
            Start::Random => None,
            Start::ImageNet => Some(Model::read_single(&published_weights(plan.backbone)?)?),
            Start::From(which) => Some(Model::find(which)?),
        };
        if let Some(model) = &given {
            let refused = |reason: String| EncoderError::File { path: model.path().to_owned(), reason };
            model.located_file().check_single().map_err(refused)?;
        }
        if let Some(model) = &given
            && model.file.backbone != plan.backbone
        {
            return Err(EncoderError::Mismatch {
                path: model.weights.path().to_owned(),
                differences: format!(
                    "they are those of {}, not of {}",
                    model.file.backbone.shown_name(),
                    plan.backbone.shown_name()
                ),
            });
        }
        let torch = |error: TchError| EncoderError::torch("building the network", &error);
        let store = nn::VarStore::new(compute.device);
        let mut backbone = plan.backbone.build(&store.root()).map_err(torch)?;
        let is_adapted = match plan.depth {
            Depth::Lora(rank) if backbone.adapt(&store.root(), rank).map_err(torch)? => true,
            Depth::Lora(_) => {
                return Err(EncoderError::NotAdaptable { backbone: plan.backbone.shown_name() });
            }
            Depth::Head | Depth::Last(_) | Depth::All => false,
        };
        let description = describe(plan, given.as_ref())?;
        let head = empty_head(&store.root(), description.feature_width(), description.hidden, plan.width);
        let readout = Readout::new(&description, Some(head.map_err(torch)?));
        let network = Self {
            frozen: {
                let used = backbone.blocks_used(&description.blocks);
                match plan.depth {
                    Depth::Head => used,
                    Depth::Last(count) => used.saturating_sub(count),
                    // The gradient of the first block's adapter comes through all others.
                    Depth::Lora(_) | Depth::All => 0,
                }
            },
            is_adapted,
            description,
            store,
            backbone,
            width: plan.width,
            readout,
            batch_statistics: plan.batch_statistics,
            compute,
            mixed_precision: chosen.kind == Kind::Half,
            new_prototypes: plan.head == HeadKind::Prototypes && !keeps_head(plan, given.as_ref()),
        };
        network.randomise(plan, given.is_some()).map_err(torch)?;
        if let Some(model) = given {
            network.take_over(&model)?;
        }
        network.freeze();
        Ok(network)
    }

    /// Initialises weights with uniform random numbers whose variance preserves that of the signal through
    /// ReLUs (He et al. 2015, "Delving deep into rectifiers", section 2.2). Uses a separate generator, since
    /// libtorch's is shared by all threads.
    fn randomise(&self, plan: &NetworkPlan, is_given: bool) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        // A transformer's many weights are not made twice where they are given. Of other networks they are, since which
        // numbers the head gets depends on it.
        let is_taken_over = is_given && matches!(plan.backbone, BackboneKind::Vit(_));
        for (name, mut variable) in self.variables() {
            let shape = variable.size();
            let is_new = name.starts_with(HEAD) || name.ends_with(adapter::DOWN) || !is_taken_over;
            if shape.len() < 2 || name.ends_with(adapter::UP) || !is_new {
                continue;
            }
            let fan_in: i64 = shape[1..].iter().product();
            let gain = if name == "head.weight" { 3.0 } else { 6.0 };
            let bound = (gain / fan_in as f64).sqrt() as f32;
            let values: Vec<f32> =
                (0..variable.numel()).map(|_| random.random_range(-bound..=bound)).collect();
            variable.f_copy_(&Tensor::f_from_slice(&values)?.f_reshape(&shape)?)?;
        }
        Ok(())
    }

    fn take_over(&self, model: &Model) -> Result<(), EncoderError> {
        let mut tensors = model.tensors()?;
        if let Some((_, head)) = model.head_tensors()? {
            tensors.extend(head);
        }
        // Without a head of the right kind and shape, the random head is kept.
        let (own, known) = (&self.description, &model.file);
        let is_kind = (own.hidden, own.output) == (known.hidden, known.output);
        let variables = self.variables();
        let layers = || variables.iter().filter(|(name, _)| name.starts_with(HEAD));
        let fits = |(name, layer): (&String, &Tensor)| {
            tensors.get(name).is_some_and(|known| known.size() == layer.size())
        };
        if !is_kind || !layers().all(fits) {
            tensors.extend(layers().map(|(name, layer)| (name.clone(), layer.copy())));
        }
        let is_adapter = |name: &str| name.ends_with(adapter::DOWN) || name.ends_with(adapter::UP);
        let adapters = variables.iter().filter(|(name, _)| is_adapter(name));
        tensors.extend(adapters.map(|(name, adapter)| (name.clone(), adapter.copy())));
        let kind = model.file.backbone;
        weights::fill(&self.store, &tensors, model.weights.path(), |name| kind.is_beside(name))
    }

    fn freeze(&self) {
        let _no_grad = tch::no_grad_guard();
        let used = self.backbone.blocks_used(&self.description.blocks);
        let first = if self.is_adapted { used } else { self.frozen };
        let learning = self.backbone.parameters(first..used);
        for variable in self.backbone.parameters(0..usize::MAX) {
            let learns = learning.iter().any(|other| other.data_ptr() == variable.data_ptr());
            let _ = variable.set_requires_grad(learns);
        }
    }

    /// Returns all parameters and running statistics, by name.
    pub fn variables(&self) -> Tensors {
        self.store.variables().into_iter().collect()
    }

    /// Returns the parameters that are trained, by name.
    pub fn learning(&self) -> BTreeMap<String, Tensor> {
        self.variables().into_iter().filter(|(_, variable)| variable.requires_grad()).collect()
    }

    /// Returns what training changes, by name: what a checkpoint keeps. Of a network whose other weights stay in the
    /// file from which training started, these are the parameters that are trained; otherwise all parameters and
    /// running statistics.
    pub fn state(&self) -> Tensors {
        match self.description.base {
            Some(_) => self.learning(),
            None => self.variables(),
        }
    }

    /// Sets the [state](Self::state) to that of a checkpoint; `path` is used in error messages.
    ///
    /// # Errors
    /// [`EncoderError::Mismatch`] if the checkpoint is of another network.
    pub fn restore(&self, tensors: &Tensors, path: &Path) -> Result<(), EncoderError> {
        weights::fill_variables(&self.state(), tensors, path, |_| false)
    }

    /// Converts tiles to the network's input, `[N, 3, H, W]` on its device.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn images(&self, tiles: &[RgbImage]) -> Result<Tensor, TchError> {
        to_tensor(tiles, &self.description.preprocessing, self.compute)
    }

    /// Computes descriptors `[N, D]` of `images`, through which gradients flow to the trained parameters.
    /// They are not scaled to length 1.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let features = tch::autocast(self.mixed_precision, || {
            let SelfDescription { blocks, crops, .. } = &self.description;
            let features = |images: &Tensor| {
                self.backbone.learning_features(images, blocks, self.frozen, self.batch_statistics)
            };
            match crops {
                Some(crops) => crops.features(images, features),
                None => features(images),
            }
        })?;
        let features = match self.description.feature_scaling {
            FeatureScaling::None => features,
            // The square root's gradient at zero is infinite. Features are about 1, so adding 1e-6 bounds it
            // without changing them noticeably.
            FeatureScaling::Hellinger => features.f_to_kind(Kind::Float)?.f_add_scalar(1e-6)?,
        };
        self.readout.of(features, images)
    }

    /// Returns the device that the network is on.
    pub fn device(&self) -> Device {
        self.compute.device
    }

    /// Returns the display name of the device.
    pub fn device_name(&self) -> String {
        self.compute.name()
    }

    /// Returns whether the backbone runs with automatic mixed precision.
    pub fn mixed_precision(&self) -> bool {
        self.mixed_precision
    }

    /// Returns the reference colours for stain normalisation, if the setting `asked` and the initial model
    /// both use it: a network that started from a model for original colours continues with original colours.
    pub fn stain_reference(&self, asked: StainSetting) -> Option<LabStatistics> {
        let Preprocessing { stain, stain_reference, .. } = self.description.preprocessing;
        (asked.is_lab() && stain.is_lab()).then_some(stain_reference)
    }

    /// Returns a copy of the network as an encoder; later training does not change it.
    ///
    /// # Errors
    /// [`EncoderError::Torch`] if the copy does not fit into the device's memory.
    pub fn encoder(&self) -> Result<Box<dyn Encoder>, EncoderError> {
        let torch = |error: TchError| EncoderError::torch("copying the network", &error);
        let _no_grad = tch::no_grad_guard();
        let backbone = self.backbone.folded().map_err(torch)?;
        let readout = self.readout.detached(&self.description);
        let branch = Branch::new(backbone, &self.description, readout);
        let preprocessing = self.description.preprocessing.clone();
        let spec = EncoderSpec {
            id: EncoderId("still learning".into()),
            name: self.description.name.clone(),
            width: self.width,
            tiles: preprocessing.tiles(),
            stain: preprocessing.stain,
            stain_reference: preprocessing.stain_reference,
        };
        Ok(Box::new(NetworkEncoder::new(branch, spec, self.compute, preprocessing)))
    }

    /// Writes the network as a single self-describing file for `--encoder` and returns its identity. Where most of a
    /// vision transformer's weights have stayed as they were, only the others are written, with the path of the file
    /// that has those.
    ///
    /// # Errors
    /// [`EncoderError::File`] if the file cannot be written; [`EncoderError::Torch`] if libtorch fails.
    pub fn write(&self, path: &Path, name: &str) -> Result<EncoderId, EncoderError> {
        let description = SelfDescription { name: name.to_owned(), ..self.description.clone() };
        let mut tensors = self.state();
        if description.base.is_none() {
            let torch = |error: TchError| EncoderError::torch("adding adapters", &error);
            if let Some(merged) = self.backbone.transformer_parameters().map_err(torch)? {
                tensors.retain(|name, _| name.starts_with(HEAD));
                tensors.extend(merged);
            }
        }
        let bytes = weights::serialise(&tensors, Some(description.to_header()), path)?;
        weights::write_whole(path, &bytes)?;
        Ok(Model::read_single(path)?.spec.id)
    }
}

/// Returns the display name of the device that `choice` selects on this computer for training. Loads libtorch.
///
/// # Errors
/// [`EncoderError::Device`] if libtorch cannot be loaded, or a CUDA device is requested and cannot be used.
pub fn device_name(choice: DeviceChoice) -> Result<String, EncoderError> {
    Ok(Compute::choose(choice)?.name())
}

fn describe(plan: &NetworkPlan, given: Option<&Model>) -> Result<SelfDescription, EncoderError> {
    let start = match given {
        Some(model) => model.file.described(),
        None => SelfDescription::plain(String::new(), plan.backbone),
    };
    if let (Some(crops), Some(model)) = (&start.crops, given)
        && crops.tiles() != plan.tiles
    {
        let TileSettings { tile_px, mpp } = crops.tiles();
        return Err(EncoderError::File {
            path: model.path().to_owned(),
            reason: format!(
                "its crops need tiles of {tile_px} px at {} µm/px; set tile_px and mpp to these",
                histokin_core::number_format::plain(mpp)
            ),
        });
    }
    // A random head has neither prototypes nor a stain switch.
    let keeps_head = keeps_head(plan, given);
    let (hidden, output) = match plan.head {
        HeadKind::Init if keeps_head => (start.hidden, start.output),
        HeadKind::Init | HeadKind::Linear => (None, HeadOutput::Linear),
        HeadKind::TwoLayers => (Some(2 * plan.width), HeadOutput::Linear),
        HeadKind::Prototypes => (None, HeadOutput::Memberships),
    };
    Ok(SelfDescription {
        name: String::new(),
        base: base(plan, given)?,
        // Prototypes are found among the features as they are.
        feature_scaling: match output {
            HeadOutput::Memberships if !keeps_head => FeatureScaling::None,
            _ => start.feature_scaling,
        },
        hidden,
        output,
        stain_switch: start.stain_switch.filter(|_| keeps_head),
        preprocessing: Preprocessing {
            tile_px: plan.tiles.tile_px,
            mpp: plan.tiles.mpp,
            l2_normalise: plan.l2_normalise,
            ..start.preprocessing
        },
        ..start
    })
}

/// Returns the file of a vision transformer in which those weights stay that are not trained; `None` if all are
/// trained, or that file itself holds changes of another.
fn base(plan: &NetworkPlan, given: Option<&Model>) -> Result<Option<Base>, EncoderError> {
    let is_vit = matches!(plan.backbone, BackboneKind::Vit(_));
    let given = given.filter(|model| is_vit && plan.depth != Depth::All && model.changes.is_none());
    let Some(model) = given else { return Ok(None) };
    let path = model.weights.path();
    let weights = std::path::absolute(path)
        .map_err(|error| EncoderError::File { path: path.to_owned(), reason: error.to_string() })?;
    Ok(Some(Base { weights, digests: model.weights.digests()? }))
}

/// Whether the network goes on with the head of the model it starts from.
fn keeps_head(plan: &NetworkPlan, given: Option<&Model>) -> bool {
    given.is_some_and(|model| {
        let (hidden, output) = (model.file.hidden, model.file.output);
        let is_kind = match plan.head {
            HeadKind::Init => true,
            HeadKind::Linear => hidden.is_none() && output == HeadOutput::Linear,
            HeadKind::TwoLayers => hidden == Some(2 * plan.width) && output == HeadOutput::Linear,
            HeadKind::Prototypes => output == HeadOutput::Memberships,
        };
        is_kind && model.spec.width == plan.width
    })
}

/// Returns the path of a backbone's published weights.
fn published_weights(kind: BackboneKind) -> Result<PathBuf, EncoderError> {
    let mut places = model_folders().into_iter().map(|folder| folder.join("weights"));
    let files =
        |folder: PathBuf| ["safetensors", "pth"].map(|ending| folder.join(format!("{kind}.{ending}")));
    places.clone().flat_map(files).find(|path| path.is_file()).ok_or_else(|| EncoderError::File {
        path: places.next_back().unwrap_or_default().join(format!("{kind}.safetensors")),
        reason: format!(
            "ImageNet weights of {} are not here. `make setup` fetches those of MobileNetV2 and \
             EfficientNet-Lite0 to Lite2; those of a ResNet come from torchvision: name the file as the starting \
             weights (--init FILE.pth), or begin with --init random",
            kind.shown_name()
        ),
    })
}
