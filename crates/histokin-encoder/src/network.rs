//! The encoder based on libtorch: converts tiles to tensors, runs the network, and returns descriptors.

use std::path::Path;

use image::RgbImage;
use tch::{Device, Kind, TchError, Tensor, nn};

use super::backbones::Backbone;
use super::batches::{check_finite, check_sizes, in_parts};
use super::compute::{Compute, is_out_of_memory};
use super::model::{Crops, FurtherNetwork, Model, Preprocessing, SelfDescription};
use super::readout::{Head, Readout};
use super::{DescriptorBatch, DeviceChoice, Encoder, EncoderError, EncoderSpec, weights};

/// Initial number of tiles per batch, reduced if memory runs out. Larger batches on the CPU only use more
/// memory; a GPU needs larger ones for full utilisation.
const CPU_BATCH: usize = 16;
const CUDA_BATCH: usize = 256;

/// Builds a model's network.
///
/// # Errors
/// [`EncoderError`] if the device cannot be used, or the weights are damaged or of another network.
pub(super) fn load_model(model: Model, device: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
    let compute = Compute::choose(device)?;
    let branch = Branch::load(&model, compute)?;
    Ok(Box::new(NetworkEncoder::new(branch, model.spec, compute, model.file.preprocessing)))
}

/// A network that computes descriptors `[N, width]` of a batch of images `[N, 3, H, W]`.
pub(super) trait Network: Send {
    /// Returns the edge length in pixels of which the edge of a tile has to be a multiple.
    fn tile_step(&self) -> u32 {
        1
    }

    fn forward(&self, images: &Tensor) -> Result<Tensor, TchError>;
}

/// Folded backbones and the readout that computes descriptors from their features.
pub(super) struct Branch {
    backbone: Backbone,
    /// Blocks whose pooled outputs are the features; empty for the last block.
    blocks: Vec<usize>,
    crops: Option<Crops>,
    /// Networks whose features follow those of the backbone.
    further: Vec<FurtherBranch>,
    readout: Readout,
}

/// A further network of a model.
struct FurtherBranch {
    backbone: Backbone,
    network: FurtherNetwork,
    /// Factor and summand, `[1, 3, 1, 1]`, that turn the input of the first network into that of this one.
    renormalisation: [Tensor; 2],
}

impl FurtherBranch {
    /// Computes the features of all its views of `images`, the input of the first network of a model with the views
    /// `crops`.
    fn features(&self, images: &Tensor, crops: Option<&Crops>) -> Result<Vec<Tensor>, TchError> {
        let [factor, summand] = &self.renormalisation;
        let of_view = |view: &Tensor| {
            self.backbone.features(&view.f_mul(factor)?.f_add(summand)?, &self.network.blocks)
        };
        match (crops, self.network.seen(crops)) {
            (Some(crops), Some(seen)) => {
                seen.iter().map(|um_per_px| of_view(&crops.view(images, *um_per_px)?)).collect()
            }
            _ => Ok(vec![of_view(images)?]),
        }
    }
}

impl Branch {
    /// Combines a folded backbone and a readout; `description` tells which features are taken out.
    pub fn new(backbone: Backbone, description: &SelfDescription, readout: Readout) -> Self {
        let SelfDescription { blocks, crops, .. } = description.clone();
        Self { backbone, blocks, crops, further: Vec::new(), readout }
    }

    /// Builds a model's network for inference on a device.
    ///
    /// # Errors
    /// [`EncoderError`] if the weights are damaged or of another network, or libtorch fails.
    pub fn load(model: &Model, compute: Compute) -> Result<Self, EncoderError> {
        let _no_grad = tch::no_grad_guard();
        let backbone = model.backbone(compute)?;
        let head = match model.head_tensors()? {
            None => None,
            Some((path, tensors)) => Some(load_head(model, path, &tensors, compute)?),
        };
        let description = model.file.described();
        let readout = Readout::new(&description, head);
        let further = further_branches(model, compute)?;
        Ok(Self { further, ..Self::new(backbone, &description, readout) })
    }
}

fn further_branches(model: &Model, compute: Compute) -> Result<Vec<FurtherBranch>, EncoderError> {
    let Preprocessing { input_mean, input_std, .. } = model.file.preprocessing;
    let per_channel = |values: [f32; 3]| {
        let values = Tensor::f_from_slice(&values)?.f_reshape([1, 3, 1, 1])?;
        values.f_to_device(compute.device)?.f_to_kind(compute.kind)
    };
    let branch = |(backbone, network): (Backbone, &FurtherNetwork)| {
        let [factor, summand] = network.renormalisation(input_mean, input_std);
        let renormalisation = [per_channel(factor)?, per_channel(summand)?];
        Ok(FurtherBranch { backbone, network: network.clone(), renormalisation })
    };
    let backbones = model.further_backbones(compute)?;
    let branches = backbones.into_iter().zip(&model.file.further_networks).map(branch);
    branches
        .collect::<Result<_, TchError>>()
        .map_err(|error| EncoderError::torch("building the network", &error))
}

/// Returns the head from `tensors`.
fn load_head(
    model: &Model,
    path: &Path,
    tensors: &weights::Tensors,
    compute: Compute,
) -> Result<Head, EncoderError> {
    let store = nn::VarStore::new(compute.device);
    let (features, hidden) = (model.file.feature_width(), model.file.hidden);
    let head = empty_head(&store.root(), features, hidden, model.spec.width)
        .map_err(|error| EncoderError::torch("building the head", &error))?;
    weights::fill(&store, tensors, path, |name| !name.starts_with("head."))?;
    Ok(head)
}

/// Adds the layers of a head to `root`, all zero: `head.weight`, `head.bias` and, with a hidden layer,
/// `head.hidden.weight` and `head.hidden.bias`.
///
/// # Errors
/// An error of libtorch, such as lack of memory.
pub(super) fn empty_head(
    root: &nn::Path,
    features: usize,
    hidden: Option<usize>,
    width: usize,
) -> Result<Head, TchError> {
    let layer = |path: &nn::Path, outputs: usize, inputs: usize| {
        let shape = [outputs as i64, inputs as i64];
        Ok::<_, TchError>((path.f_zeros("weight", &shape)?, path.f_zeros("bias", &shape[..1])?))
    };
    let root = root / "head";
    let first = hidden.map(|hidden| layer(&(&root / "hidden"), hidden, features)).transpose()?;
    Ok(Head { hidden: first, last: layer(&root, width, hidden.unwrap_or(features))? })
}

impl Network for Branch {
    fn tile_step(&self) -> u32 {
        match self.crops {
            // Views are scaled to the size that the network needs.
            Some(_) => 1,
            None => self.backbone.tile_step(),
        }
    }

    fn forward(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let features = |images: &Tensor| self.backbone.features(images, &self.blocks);
        let crops = self.crops.as_ref();
        let mut all = vec![match crops {
            Some(crops) => crops.features(images, features)?,
            None => features(images)?,
        }];
        for network in &self.further {
            all.extend(network.features(images, crops)?);
        }
        let features = match all.len() {
            1 => all.remove(0),
            _ => Tensor::f_cat(&all, 1)?,
        };
        self.readout.of(features, images)
    }
}

/// A network with its properties, device and preprocessing.
pub(super) struct NetworkEncoder<N> {
    network: N,
    spec: EncoderSpec,
    compute: Compute,
    preprocessing: Preprocessing,
    /// Maximum number of tiles per batch; halved when the device runs out of memory.
    largest_batch: usize,
}

impl<N: Network> NetworkEncoder<N> {
    /// Creates the encoder; the batch size depends on the device.
    pub fn new(network: N, spec: EncoderSpec, compute: Compute, preprocessing: Preprocessing) -> Self {
        let largest_batch = if compute.device == Device::Cpu { CPU_BATCH } else { CUDA_BATCH };
        Self { network, spec, compute, preprocessing, largest_batch }
    }

    fn forward(&self, tiles: &[RgbImage]) -> Result<Vec<f32>, TchError> {
        let images = to_tensor(tiles, &self.preprocessing, self.compute)?;
        let answer = self.network.forward(&images)?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
        let expected = [tiles.len() as i64, self.spec.width as i64];
        if answer.size() != expected {
            return Err(TchError::Shape(format!(
                "the network returned {:?}, not {expected:?}",
                answer.size()
            )));
        }
        let answer = answer.f_contiguous()?;
        let mut values = vec![0.0; answer.numel()];
        let count = values.len();
        answer.f_copy_data(&mut values, count)?;
        Ok(values)
    }
}

/// Converts tiles of one size to a normalised tensor `[N, 3, H, W]`, (x − mean) / std, on the device,
/// channels last.
pub(super) fn to_tensor(
    tiles: &[RgbImage],
    preprocessing: &Preprocessing,
    compute: Compute,
) -> Result<Tensor, TchError> {
    let (width, height) = tiles[0].dimensions();
    let bytes: Vec<u8> = tiles.iter().flat_map(|tile| tile.as_raw()).copied().collect();
    let shape = [tiles.len() as i64, i64::from(height), i64::from(width), 3];
    // Bytes are transferred to the device and converted to floating point there. The permutation only
    // relabels the axes, so the tensor stays channels-last in memory, like the folded kernels.
    let pixels = Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8)?
        .f_to_device(compute.device)?
        .f_permute([0, 3, 1, 2])?
        .f_to_kind(Kind::Float)?;
    let Preprocessing { input_mean, input_std, .. } = preprocessing;
    let per_channel =
        |value: [f32; 3]| Tensor::f_from_slice(&value)?.f_reshape([1, 3, 1, 1])?.f_to_device(compute.device);
    let scale = per_channel(input_std.map(|std| 1.0 / (255.0 * std)))?;
    let shift = per_channel([0, 1, 2].map(|channel| -input_mean[channel] / input_std[channel]))?;
    pixels.f_mul(&scale)?.f_add_(&shift)?.f_to_kind(compute.kind)
}

impl<N: Network> Encoder for NetworkEncoder<N> {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn device(&self) -> String {
        self.compute.name()
    }

    fn encode(&mut self, tiles: &[RgbImage]) -> Result<DescriptorBatch, EncoderError> {
        let _no_grad = tch::no_grad_guard();
        let width = self.spec.width;
        check_sizes(tiles)?;
        let step = self.network.tile_step();
        if let Some(odd) = tiles.first().filter(|tile| tile.width() % step != 0 || tile.height() % step != 0)
        {
            return Err(EncoderError::TileSize {
                name: self.spec.name.clone(),
                size: odd.dimensions(),
                step,
            });
        }
        let mut values = Vec::with_capacity(tiles.len() * width);
        let mut largest = self.largest_batch;
        let outcome = in_parts(tiles.len(), &mut largest, is_out_of_memory, |part| {
            values.extend(self.forward(&tiles[part])?);
            Ok(())
        });
        self.largest_batch = largest;
        outcome.map_err(|error| EncoderError::torch("encoding", &error))?;
        check_finite(&values, width, &self.spec.name)?;
        if self.preprocessing.l2_normalise {
            values.chunks_exact_mut(width).for_each(scale_to_unit_length);
        }
        Ok(DescriptorBatch { values, width })
    }
}

/// Scales `row` to unit length; a row of zeros is left unchanged.
pub(super) fn scale_to_unit_length(row: &mut [f32]) {
    let length = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        row.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncoderId;
    use std::cell::RefCell;

    /// A network that returns the mean of each colour channel and fails on batches above a simulated memory
    /// limit.
    struct ChannelMeans {
        memory: usize,
        batches: RefCell<Vec<i64>>,
        answer: f64,
    }

    impl Network for ChannelMeans {
        fn forward(&self, images: &Tensor) -> Result<Tensor, TchError> {
            let count = images.size()[0];
            self.batches.borrow_mut().push(count);
            if count as usize > self.memory {
                return Err(TchError::Torch("CUDA out of memory. Tried to allocate 1.00 GiB".into()));
            }
            images.f_mean_dim([2i64, 3].as_slice(), false, None)?.f_add_scalar(self.answer)
        }
    }

    fn encoder(memory: usize, answer: f64, l2_normalise: bool) -> NetworkEncoder<ChannelMeans> {
        let preprocessing = Preprocessing {
            input_mean: [0.5, 0.25, 0.0],
            input_std: [0.5, 0.25, 1.0],
            l2_normalise,
            ..Preprocessing::default()
        };
        let spec = EncoderSpec {
            id: EncoderId("0".into()),
            name: "means".into(),
            width: 3,
            tiles: preprocessing.tiles(),
            stain: preprocessing.stain,
            stain_reference: preprocessing.stain_reference,
        };
        let network = ChannelMeans { memory, batches: RefCell::default(), answer };
        NetworkEncoder::new(network, spec, Compute::CPU, preprocessing)
    }

    fn tiles(count: u8) -> Vec<RgbImage> {
        (0..count).map(|index| RgbImage::from_pixel(8, 8, image::Rgb([255, 0, index]))).collect()
    }

    #[test]
    fn input_is_normalised_channel_by_channel_and_rows_keep_their_order() {
        let batch = encoder(64, 0.0, false).encode(&tiles(3)).unwrap();
        assert_eq!((batch.values.len(), batch.width), (9, 3));
        for (index, row) in batch.rows().enumerate() {
            let expected = [1.0, -1.0, index as f32 / 255.0];
            assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{row:?}");
        }
    }

    #[test]
    fn lack_of_memory_shrinks_the_batches_and_is_remembered() {
        let mut encoder = encoder(5, 0.0, false);
        let all = encoder.encode(&tiles(20)).unwrap();
        assert_eq!(all.values.len(), 60);
        assert!((all.values[59] - 19.0 / 255.0).abs() < 1e-6);
        encoder.encode(&tiles(8)).unwrap();
        assert_eq!(*encoder.network.batches.borrow(), [16, 8, 4, 4, 4, 4, 4, 4, 4]);
    }

    #[test]
    fn nothing_that_is_not_finite_leaves_the_encoder() {
        let error = encoder(64, f64::NAN, false).encode(&tiles(2)).unwrap_err();
        assert!(matches!(error, EncoderError::NotFinite { count: 2, .. }), "{error}");
    }

    #[test]
    fn descriptors_have_length_one_where_the_model_says_so() {
        let batch = encoder(64, 0.3, true).encode(&tiles(2)).unwrap();
        assert_eq!(batch.rows().len(), 2);
        for row in batch.rows() {
            assert!((row.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn tiles_of_several_sizes_are_refused_and_none_are_fine() {
        let mut mixed = tiles(2);
        mixed.push(RgbImage::new(9, 8));
        assert!(matches!(encoder(64, 0.0, false).encode(&mixed), Err(EncoderError::UnequalTiles { .. })));
        assert!(encoder(64, 0.0, false).encode(&[]).unwrap().values.is_empty());
    }
}
