//! Networks opened for training: a backbone and a head with trainable parameters, and their conversion
//! to an encoder that can be used and saved.

mod features;
mod plan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::RgbImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, TchError, Tensor, nn};

use super::backbones::{Backbone, BackboneKind};
use super::device::Compute;
use super::model::{Model, Preprocessing, SelfDescription, model_folders};
use super::network::{Branch, NetworkEncoder, empty_head, to_tensor};
use super::readout::{FeatureScaling, HeadOutput, Readout};
use super::weights::{self, Tensors};
use super::{Encoder, EncoderError, EncoderId, EncoderSpec};
use histokin_core::stain::{LabStatistics, StainSetting};

pub use plan::{Depth, HeadKind, NetworkPlan, Start};

/// Prefix of the names of the head's parameters.
const HEAD: &str = "head.";

/// A network in training. Owned by one thread at a time.
pub struct TrainableNetwork {
    store: nn::VarStore,
    backbone: Backbone,
    readout: Readout,
    /// Length of a descriptor.
    width: usize,
    frozen: usize,
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
        if let Some(model) = &given
            && model.file.backbone != plan.backbone
        {
            return Err(EncoderError::Mismatch {
                path: model.weights.path().to_owned(),
                differences: format!("they are those of {}, not of {}", model.file.backbone, plan.backbone),
            });
        }
        let torch = |error: TchError| EncoderError::torch("building the network", &error);
        let store = nn::VarStore::new(compute.device);
        let backbone = plan.backbone.build(&store.root()).map_err(torch)?;
        let description = describe(plan, given.as_ref());
        let head = empty_head(&store.root(), description.feature_width(), description.hidden, plan.width);
        let readout = Readout::new(&description, Some(head.map_err(torch)?));
        let network = Self {
            frozen: {
                let used = backbone.blocks_used(&description.blocks);
                match plan.depth {
                    Depth::Head => used,
                    Depth::Last(count) => used.saturating_sub(count),
                    Depth::All => 0,
                }
            },
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
        network.randomise(plan.seed).map_err(torch)?;
        if let Some(model) = given {
            network.take_over(&model)?;
        }
        network.freeze();
        Ok(network)
    }

    /// Initialises weights with uniform random numbers whose variance preserves that of the signal through
    /// ReLUs (He et al. 2015, "Delving deep into rectifiers", section 2.2). Uses a separate generator, since
    /// libtorch's is shared by all threads.
    fn randomise(&self, seed: u64) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for (name, mut variable) in self.variables() {
            let shape = variable.size();
            if shape.len() < 2 {
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
        let layers: Vec<(String, Tensor)> =
            self.variables().into_iter().filter(|(name, _)| name.starts_with(HEAD)).collect();
        let fits = |(name, layer): &(String, Tensor)| {
            tensors.get(name).is_some_and(|known| known.size() == layer.size())
        };
        if !is_kind || !layers.iter().all(fits) {
            tensors.extend(layers.iter().map(|(name, layer)| (name.clone(), layer.copy())));
        }
        weights::fill(&self.store, &tensors, model.weights.path(), |name| model.is_beside_backbone(name))
    }

    fn freeze(&self) {
        let _no_grad = tch::no_grad_guard();
        let used = self.backbone.blocks_used(&self.description.blocks);
        let learning = self.backbone.parameters(self.frozen..used);
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

    /// Sets all parameters and running statistics to those of a checkpoint; `path` is used in error messages.
    ///
    /// # Errors
    /// [`EncoderError::Mismatch`] if the checkpoint is of another network.
    pub fn restore(&self, tensors: &Tensors, path: &Path) -> Result<(), EncoderError> {
        weights::fill(&self.store, tensors, path, |_| false)
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
            let blocks = &self.description.blocks;
            self.backbone.learning_features(images, blocks, self.frozen, self.batch_statistics)
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
        let branch = Branch::new(backbone, self.description.blocks.clone(), readout);
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

    /// Writes the network as a single self-describing file for `--encoder` and returns its identity.
    ///
    /// # Errors
    /// [`EncoderError::File`] if the file cannot be written; [`EncoderError::Torch`] if libtorch fails.
    pub fn write(&self, path: &Path, name: &str) -> Result<EncoderId, EncoderError> {
        let description = SelfDescription { name: name.to_owned(), ..self.description.clone() };
        let bytes = weights::serialise(&self.variables(), Some(description.to_header()), path)?;
        weights::write_whole(path, &bytes)?;
        Ok(Model::read_single(path)?.spec.id)
    }
}

fn describe(plan: &NetworkPlan, given: Option<&Model>) -> SelfDescription {
    let start = match given {
        Some(model) => model.file.described(),
        None => SelfDescription::plain(String::new(), plan.backbone),
    };
    // A random head has neither prototypes nor a stain switch.
    let keeps_head = keeps_head(plan, given);
    let (hidden, output) = match plan.head {
        HeadKind::Init if keeps_head => (start.hidden, start.output),
        HeadKind::Init | HeadKind::Linear => (None, HeadOutput::Linear),
        HeadKind::TwoLayers => (Some(2 * plan.width), HeadOutput::Linear),
        HeadKind::Prototypes => (None, HeadOutput::Memberships),
    };
    SelfDescription {
        name: String::new(),
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
    }
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
            "ImageNet weights of {kind} are not here. `make setup` fetches those of mobilenet_v2 and \
             efficientnet_lite0; those of a ResNet come from torchvision: name the file as the starting \
             weights (--init FILE.pth), or begin with --init random"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceChoice;
    use histokin_core::tiling::TileSettings;

    fn plan(depth: Depth) -> NetworkPlan {
        NetworkPlan {
            backbone: BackboneKind::Tiny,
            start: Start::Random,
            head: HeadKind::Init,
            width: 8,
            depth,
            batch_statistics: true,
            l2_normalise: false,
            tiles: TileSettings { tile_px: 32, mpp: 2.0 },
            seed: 3,
            device: DeviceChoice::Cpu,
        }
    }

    fn tiles() -> Vec<RgbImage> {
        (0..4)
            .map(|seed| {
                RgbImage::from_fn(32, 32, |x, y| image::Rgb([(x * 7) as u8, (y * seed * 5) as u8, 90]))
            })
            .collect()
    }

    #[test]
    fn depths_read_back_as_written() {
        for depth in [Depth::Head, Depth::Last(6), Depth::All] {
            assert_eq!(depth.to_string().parse(), Ok(depth));
        }
        assert!("last-".parse::<Depth>().is_err() && "some".parse::<Depth>().is_err());
    }

    #[test]
    fn only_what_is_not_frozen_learns() {
        let count = |depth| TrainableNetwork::new(&plan(depth)).unwrap().learning().len();
        // For each of four blocks a kernel and the batch-norm's scale and shift; weight and bias of the head.
        assert_eq!([Depth::Head, Depth::Last(1), Depth::All].map(count), [2, 5, 14]);
        let network = TrainableNetwork::new(&plan(Depth::Last(1))).unwrap();
        let images = network.images(&tiles()).unwrap();
        network.forward(&images).unwrap().square().sum(Kind::Float).backward();
        for (name, variable) in network.variables() {
            let learns =
                name.starts_with("head.") || (name.starts_with("tiny.3") && !name.contains("running"));
            assert_eq!(variable.grad().defined(), learns, "{name}");
        }
    }

    #[test]
    fn one_seed_gives_one_network() {
        let weights = |seed| {
            let network = TrainableNetwork::new(&NetworkPlan { seed, ..plan(Depth::All) }).unwrap();
            network.variables()["tiny.2.conv.weight"].copy()
        };
        assert_eq!(weights(5), weights(5));
        assert_ne!(weights(5), weights(6));
    }

    #[test]
    fn a_written_network_is_an_encoder_and_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.safetensors");
        let network = TrainableNetwork::new(&plan(Depth::All)).unwrap();
        let id = network.write(&path, "mine").unwrap();
        let which = path.to_str().unwrap();
        let mut loaded = crate::load(which, DeviceChoice::Cpu).unwrap();
        let spec = loaded.spec().clone();
        assert_eq!((spec.id, spec.name.as_str(), spec.width), (id.clone(), "mine", 8));
        assert_eq!((spec.tiles.tile_px, spec.tiles.mpp), (32, 2.0));
        assert_eq!(crate::spec(which).unwrap().id, id);
        let expected = network.encoder().unwrap().encode(&tiles()).unwrap();
        assert_eq!(loaded.encode(&tiles()).unwrap().values, expected.values);

        let again = TrainableNetwork::new(&NetworkPlan {
            start: Start::From(which.to_owned()),
            seed: 99,
            ..plan(Depth::Head)
        });
        assert_eq!(again.unwrap().variables()["head.weight"], network.variables()["head.weight"]);
        let wider = NetworkPlan { start: Start::From(which.to_owned()), width: 9, ..plan(Depth::Head) };
        assert!(TrainableNetwork::new(&wider).is_ok());
        let other = NetworkPlan { backbone: BackboneKind::Resnet18, ..wider };
        let text = TrainableNetwork::new(&other).err().unwrap().to_string();
        assert!(text.contains("tiny") && text.contains("resnet18"), "{text}");
    }

    #[test]
    fn heads_of_every_kind_are_written_read_and_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        for head in [HeadKind::Linear, HeadKind::TwoLayers, HeadKind::Prototypes] {
            let path = folder.path().join(format!("{head:?}.safetensors"));
            let plan = NetworkPlan { head, batch_statistics: false, ..plan(Depth::Head) };
            let network = TrainableNetwork::new(&plan).unwrap();
            let parameters = network.learning().len();
            assert_eq!(parameters, if head == HeadKind::TwoLayers { 4 } else { 2 }, "{head:?}");
            // Features that were computed before give the same descriptors.
            let images = network.images(&tiles()).unwrap();
            let pooled = network.pooled(&images).unwrap();
            let apart =
                network.forward_pooled(pooled.shallow_clone()).unwrap() - network.forward(&images).unwrap();
            assert!(apart.abs().max().double_value(&[]) < 1e-5, "{head:?}");
            network.write(&path, "mine").unwrap();
            let which = path.to_str().unwrap();
            let used = crate::load(which, DeviceChoice::Cpu).unwrap().encode(&tiles()).unwrap().values;
            let described = network.described(&pooled).unwrap().values;
            assert!(described.iter().zip(&used).all(|(a, b)| (a - b).abs() < 1e-4), "{head:?}");
            for kind in [HeadKind::Init, head] {
                let start = Start::From(which.to_owned());
                let again = NetworkPlan { head: kind, start, seed: 99, ..plan.clone() };
                let again = TrainableNetwork::new(&again).unwrap();
                assert_eq!(
                    again.variables()["head.weight"],
                    network.variables()["head.weight"],
                    "{head:?} {kind:?}"
                );
                assert!(!again.needs_prototypes());
            }
        }
        let which = folder.path().join("TwoLayers.safetensors").to_str().unwrap().to_owned();
        let other =
            NetworkPlan { head: HeadKind::Prototypes, start: Start::From(which), ..plan(Depth::Head) };
        assert!(TrainableNetwork::new(&other).unwrap().needs_prototypes());
    }

    #[test]
    fn learning_features_without_batch_statistics_are_those_of_use() {
        let network =
            TrainableNetwork::new(&NetworkPlan { batch_statistics: false, ..plan(Depth::All) }).unwrap();
        let learning = network.forward(&network.images(&tiles()).unwrap()).unwrap();
        let learning = Vec::<f32>::try_from(learning.detach().flatten(0, 1)).unwrap();
        let used = network.encoder().unwrap().encode(&tiles()).unwrap().values;
        assert!(learning.iter().zip(&used).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn weights_that_nobody_ships_say_where_they_come_from() {
        let plan =
            NetworkPlan { backbone: BackboneKind::Resnet34, start: Start::ImageNet, ..plan(Depth::All) };
        let text = TrainableNetwork::new(&plan).err().unwrap().to_string();
        assert!(text.contains("resnet34") && text.contains("--init"), "{text}");
    }
}
