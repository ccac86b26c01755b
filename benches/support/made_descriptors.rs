//! Descriptors that are made up, on slides that are.

#![allow(dead_code, reason = "each benchmark uses a part of this module")]

use histokin::descriptors::{DescriptorHeader, DescriptorSet, Recipe};
use histokin::encoder::EncoderId;
use histokin::slide::SlideId;
use histokin::stain::StainSetting;
use histokin::tiling::{TileGrid, TileIndex, TileSettings};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Length of a descriptor.
pub const WIDTH: usize = 128;

/// Returns the recipe of the descriptors.
pub fn recipe() -> Recipe {
    Recipe {
        encoder_id: EncoderId("bench".to_owned()),
        encoder_name: "bench".to_owned(),
        tiles: TileSettings::default(),
        stain: StainSetting::None,
    }
}

/// Returns the ID of the slide with this number.
pub fn slide_id(slide: usize) -> SlideId {
    SlideId(format!("{slide:08x}{slide:08x}"))
}

/// Makes the descriptors of the slide with this number from its rows.
pub fn set(slide: usize, rows: &[Vec<f32>]) -> DescriptorSet {
    let columns = 250;
    let grid = TileGrid {
        tile_px: 224,
        tile_level0: 224,
        tile_level0_y: 224,
        effective_mpp: 1.0,
        columns,
        rows: (rows.len() as u32).div_ceil(columns),
    };
    let header = DescriptorHeader::new(slide_id(slide), recipe(), WIDTH, &grid, rows.len() as u32);
    let rows: Vec<(TileIndex, &[f32])> = (0..).map(TileIndex).zip(rows.iter().map(Vec::as_slice)).collect();
    DescriptorSet::from_rows(header, &rows, 0)
}

/// Clusters of descriptors whose spread decreases from axis to axis.
pub struct Clusters {
    centres: Vec<Vec<f32>>,
}

impl Clusters {
    /// Makes `count` clusters.
    pub fn new(count: usize, random: &mut ChaCha8Rng) -> Self {
        let mut centre = || -> Vec<f32> { (0..WIDTH).map(|axis| gaussian(random) * decay(axis)).collect() };
        Self { centres: (0..count).map(|_| centre()).collect() }
    }

    /// Returns the number of clusters.
    pub fn count(&self) -> usize {
        self.centres.len()
    }

    /// Makes a descriptor of a cluster. `spread` is the standard deviation within it, as a share of that of the
    /// centres.
    pub fn near(&self, cluster: usize, spread: f32, random: &mut ChaCha8Rng) -> Vec<f32> {
        let near = |(axis, value): (usize, &f32)| value + spread * gaussian(random) * decay(axis);
        self.centres[cluster].iter().enumerate().map(near).collect()
    }
}

/// Standard deviation along an axis, similar to that of real descriptors.
fn decay(axis: usize) -> f32 {
    0.93f32.powi(axis as i32)
}

/// Normally distributed random number (Box and Muller 1958).
pub fn gaussian(random: &mut ChaCha8Rng) -> f32 {
    let (radius, turn): (f64, f64) = (random.random_range(1e-12..1.0), random.random_range(0.0..1.0));
    ((-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()) as f32
}
