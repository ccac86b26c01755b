//! The kinds of readout that are fitted to a network's features without training, and how a model describes each.

use tch::{TchError, Tensor};

use super::backbones::BackboneKind;
use super::fitting::{Fitted, LinearHead, PcaFit, numbers};
use super::model::ModelFile;
use super::neighbourhoods::{NeighbourhoodFit, NeighbourhoodSettings, SlideTiles};
use super::network::scale_to_unit_length;
use super::prototypes::{PrototypeFit, PrototypeSettings};
use super::readout::{FeatureScaling, Head, HeadOutput, Readout};
use super::{DescriptorBatch, EncoderError};

/// A kind of readout, and how its descriptors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadoutKind {
    /// Principal components ([`PcaFit`]).
    Pca {
        /// Whether all components have the same variance.
        whiten: bool,
        /// Whether descriptors are compared by their angle instead of their distance.
        cosine: bool,
    },
    /// Whitened within neighbourhoods ([`NeighbourhoodFit`]), compared by the angle.
    Neighbourhoods {
        /// Number of varied views of each tile; what differs between them is reduced as well.
        views: u32,
    },
    /// Memberships in prototypes ([`PrototypeFit`]): of length 1, so that angle and distance rank alike.
    Prototypes,
}

/// Settings of all kinds; each kind uses some of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadoutSettings {
    /// Length of a descriptor.
    pub width: usize,
    /// With neighbourhoods: [`NeighbourhoodSettings::within_um`].
    pub within_um: f64,
    /// With prototypes: largest [`PrototypeSettings::components`].
    pub components: usize,
    /// With prototypes: [`PrototypeSettings::sharpness`].
    pub sharpness: f64,
    /// With prototypes: [`PrototypeSettings::seed`].
    pub seed: u64,
    /// With principal components: whether features stay as they are where [`FeatureScaling::Hellinger`] is possible.
    pub plain_features: bool,
}

impl ReadoutKind {
    /// Returns every kind once: each with all comparisons that make a difference, and neighbourhoods also with `views`
    /// varied views of each tile if there are any.
    pub fn all(views: u32) -> Vec<Self> {
        let pca = |whiten| [false, true].map(|cosine| Self::Pca { whiten, cosine });
        let mut kinds = [pca(false), pca(true)].concat();
        kinds.push(Self::Neighbourhoods { views: 0 });
        if views > 0 {
            kinds.push(Self::Neighbourhoods { views });
        }
        kinds.push(Self::Prototypes);
        kinds
    }

    /// Returns its name in words.
    pub fn name(self) -> String {
        match self {
            Self::Pca { whiten, cosine } => {
                let whitened = if whiten { ", whitened" } else { "" };
                format!("principal components{whitened}, {}", if cosine { "cosine" } else { "Euclidean" })
            }
            Self::Neighbourhoods { views: 0 } => "neighbourhoods, cosine".to_owned(),
            Self::Neighbourhoods { views: 1 } => "neighbourhoods and a varied view, cosine".to_owned(),
            Self::Neighbourhoods { views } => format!("neighbourhoods and {views} varied views, cosine"),
            Self::Prototypes => "prototypes".to_owned(),
        }
    }

    /// Returns whether `other` is made from the same fit and differs in what becomes of it.
    pub fn shares_fit(self, other: Self) -> bool {
        self == other || matches!((self, other), (Self::Pca { .. }, Self::Pca { .. }))
    }

    /// Returns how features of these blocks of a network are scaled before the head (none for the last block).
    pub fn scaling(
        self,
        backbone: BackboneKind,
        blocks: &[usize],
        settings: &ReadoutSettings,
    ) -> FeatureScaling {
        // Earlier blocks and transformers have negative outputs, and the other kinds scale the features in their own way.
        let is_possible = blocks.is_empty() && !matches!(backbone, BackboneKind::Vit(_));
        match self {
            Self::Pca { .. } if is_possible && !settings.plain_features => FeatureScaling::Hellinger,
            _ => FeatureScaling::None,
        }
    }

    /// Makes `file` describe a readout of this kind, but for the head's file.
    pub fn describe(self, file: &mut ModelFile, settings: &ReadoutSettings) {
        file.feature_scaling = self.scaling(file.backbone, &file.blocks, settings);
        file.output = match self {
            Self::Prototypes => HeadOutput::Memberships,
            _ => HeadOutput::Linear,
        };
        file.preprocessing.l2_normalise = match self {
            Self::Pca { cosine, .. } => cosine,
            Self::Neighbourhoods { .. } => true,
            Self::Prototypes => false,
        };
    }
}

/// The fit of a readout of any kind to slides that come one by one.
#[derive(Debug)]
pub enum ReadoutFit {
    /// Of [`ReadoutKind::Pca`].
    Pca(PcaFit),
    /// Of [`ReadoutKind::Neighbourhoods`].
    Neighbourhoods(NeighbourhoodFit),
    /// Of [`ReadoutKind::Prototypes`].
    Prototypes(Box<PrototypeFit>),
}

impl ReadoutFit {
    /// Creates a fit to tiles of `inputs` features.
    ///
    /// # Errors
    /// [`EncoderError::Torch`] if libtorch fails.
    pub fn new(kind: ReadoutKind, inputs: usize, settings: &ReadoutSettings) -> Result<Self, EncoderError> {
        let ReadoutSettings { width, within_um, components, sharpness, seed, .. } = *settings;
        Ok(match kind {
            ReadoutKind::Pca { .. } => Self::Pca(PcaFit::new(inputs)?),
            ReadoutKind::Neighbourhoods { .. } => {
                let settings = NeighbourhoodSettings { within_um, ..NeighbourhoodSettings::new(width) };
                Self::Neighbourhoods(NeighbourhoodFit::new(inputs, settings)?)
            }
            ReadoutKind::Prototypes => {
                let components = components.min(inputs);
                let settings = PrototypeSettings { count: width, components, sharpness, seed };
                Self::Prototypes(Box::new(PrototypeFit::new(inputs, settings)?))
            }
        })
    }

    /// Adds the tiles of a slide, with features scaled as the kind wants them ([`ReadoutKind::scaling`]). Varied views
    /// count for neighbourhoods only.
    ///
    /// # Errors
    /// [`EncoderError::Torch`] if libtorch fails.
    pub fn add(&mut self, slide: &SlideTiles) -> Result<(), EncoderError> {
        match self {
            Self::Pca(fit) => fit.add(&slide.features),
            Self::Neighbourhoods(fit) => fit.add(slide),
            Self::Prototypes(fit) => fit.add(&slide.features),
        }
    }

    /// Returns the head of a readout of `kind`, which shares this fit.
    ///
    /// # Errors
    /// [`EncoderError::TooFewTiles`] or [`EncoderError::NoNeighbours`] if the tiles are not enough;
    /// [`EncoderError::Torch`] if libtorch fails.
    pub fn head(&self, kind: ReadoutKind, settings: &ReadoutSettings) -> Result<Fitted, EncoderError> {
        match self {
            Self::Pca(fit) => {
                let whiten = matches!(kind, ReadoutKind::Pca { whiten: true, .. });
                fit.head(settings.width, whiten)
            }
            Self::Neighbourhoods(fit) => fit.head(),
            Self::Prototypes(fit) => fit.head(),
        }
    }
}

/// Scales pooled features, one row per tile.
///
/// # Errors
/// [`EncoderError::Torch`] if libtorch fails.
pub fn scaled(pooled: &DescriptorBatch, scaling: FeatureScaling) -> Result<DescriptorBatch, EncoderError> {
    let of = || numbers(&scaling.of(rows(pooled)?)?);
    let values = of().map_err(|error| EncoderError::torch("scaling features", &error))?;
    Ok(DescriptorBatch { values, width: pooled.width })
}

/// Computes the descriptors that the readout `head` of the model `file` gives for pooled features, as an encoder of this
/// model does for tiles. The model has no stain switch and no hidden layer.
///
/// # Errors
/// [`EncoderError::Torch`] if libtorch fails.
pub fn read_out(
    pooled: &DescriptorBatch,
    file: &ModelFile,
    head: &LinearHead,
) -> Result<DescriptorBatch, EncoderError> {
    let _no_grad = tch::no_grad_guard();
    let of = || -> Result<Vec<f32>, TchError> {
        let weight =
            Tensor::f_from_slice(&head.weight)?.f_reshape([head.outputs as i64, head.inputs as i64])?;
        let head = Head { hidden: None, last: (weight, Tensor::f_from_slice(&head.bias)?) };
        numbers(&Readout::new(&file.described(), Some(head)).of_pooled(rows(pooled)?)?)
    };
    let mut values = of().map_err(|error| EncoderError::torch("applying a readout", &error))?;
    if file.preprocessing.l2_normalise {
        values.chunks_exact_mut(head.outputs).for_each(scale_to_unit_length);
    }
    Ok(DescriptorBatch { values, width: head.outputs })
}

/// Returns features as a matrix, `[N, F]`.
fn rows(batch: &DescriptorBatch) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(&batch.values)?.f_reshape([batch.rows().len() as i64, batch.width as i64])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(backbone: BackboneKind) -> ModelFile {
        ModelFile::of_backbone("made", backbone, "none")
    }

    const SETTINGS: ReadoutSettings = ReadoutSettings {
        width: 2,
        within_um: 500.0,
        components: 64,
        sharpness: 1.0,
        seed: 0,
        plain_features: false,
    };

    #[test]
    fn every_kind_is_there_once_and_angles_only_where_they_rank_otherwise() {
        let names: Vec<String> = ReadoutKind::all(3).into_iter().map(ReadoutKind::name).collect();
        assert_eq!(
            names,
            [
                "principal components, Euclidean",
                "principal components, cosine",
                "principal components, whitened, Euclidean",
                "principal components, whitened, cosine",
                "neighbourhoods, cosine",
                "neighbourhoods and 3 varied views, cosine",
                "prototypes",
            ]
        );
        assert_eq!(ReadoutKind::all(0).len(), 6);
        let shared: Vec<usize> =
            ReadoutKind::all(3).chunk_by(|a, b| a.shares_fit(*b)).map(<[ReadoutKind]>::len).collect();
        assert_eq!(shared, [4, 1, 1, 1]);
    }

    #[test]
    fn features_are_scaled_for_components_of_the_last_block_of_a_convolutional_network_alone() {
        let pca = ReadoutKind::Pca { whiten: false, cosine: true };
        let of = |kind: ReadoutKind, blocks: &[usize], settings: &ReadoutSettings| {
            kind.scaling(BackboneKind::Tiny, blocks, settings)
        };
        assert_eq!(of(pca, &[], &SETTINGS), FeatureScaling::Hellinger);
        assert_eq!(of(pca, &[1], &SETTINGS), FeatureScaling::None);
        let plain = ReadoutSettings { plain_features: true, ..SETTINGS };
        assert_eq!(of(pca, &[], &plain), FeatureScaling::None);
        assert_eq!(of(ReadoutKind::Prototypes, &[], &SETTINGS), FeatureScaling::None);
        let mut file = file(BackboneKind::Tiny);
        pca.describe(&mut file, &SETTINGS);
        assert!(file.preprocessing.l2_normalise && file.feature_scaling == FeatureScaling::Hellinger);
        ReadoutKind::Prototypes.describe(&mut file, &SETTINGS);
        assert!(!file.preprocessing.l2_normalise && file.output == HeadOutput::Memberships);
    }

    #[test]
    fn descriptors_are_those_of_the_formula() {
        let pooled = DescriptorBatch { values: vec![1.0, 3.0, 0.0, 4.0], width: 2 };
        let shares = scaled(&pooled, FeatureScaling::Hellinger).unwrap();
        assert_eq!((shares.values, shares.width), (vec![0.5, 0.75_f32.sqrt(), 0.0, 1.0], 2));
        let head =
            LinearHead { weight: vec![1.0, 0.0, 0.0, 2.0], bias: vec![0.0, -2.0], inputs: 2, outputs: 2 };
        let mut file = file(BackboneKind::Tiny);
        assert_eq!(read_out(&pooled, &file, &head).unwrap().values, [1.0, 4.0, 0.0, 6.0]);
        file.preprocessing.l2_normalise = true;
        let found = read_out(&pooled, &file, &head).unwrap().values;
        let length = 17.0_f32.sqrt();
        assert_eq!(found.len(), 4);
        assert!(found.iter().zip([1.0 / length, 4.0 / length, 0.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-6));
        let none = DescriptorBatch { values: Vec::new(), width: 2 };
        assert!(read_out(&none, &file, &head).unwrap().values.is_empty());
    }
}
