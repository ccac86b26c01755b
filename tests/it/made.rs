//! Things made for tests: descriptor sets with known content, and an encoder that needs no network.

use std::ops::Range;
use std::sync::Arc;

use histokin::descriptors::made::made_set;
use histokin::descriptors::{DescriptorSet, Recipe, Row};
use histokin::encoder::{DescriptorBatch, Encoder, EncoderError, EncoderId, EncoderSpec};
use histokin::query::Example;
use histokin::stain::{LabStatistics, StainSetting};
use histokin::tiling::TileSettings;
use image::RgbImage;

/// A recipe of the test encoder.
pub fn recipe() -> Recipe {
    Recipe {
        encoder_id: EncoderId("test-encoder".repeat(4)),
        encoder_name: "test".to_owned(),
        tiles: TileSettings { tile_px: 224, mpp: 1.0 },
        stain: StainSetting::None,
    }
}

/// A set of `rows` on a grid 100 tiles wide, the first tiles of it.
pub fn set(slide: &str, width: usize, rows: &[Vec<f32>]) -> Arc<DescriptorSet> {
    made_set(slide, recipe(), width, rows)
}

/// An example of the descriptors of `rows` of `set`, as if they came from elsewhere.
pub fn example(name: &str, set: &DescriptorSet, rows: Range<u32>) -> Example {
    Example::Descriptors {
        file: None,
        name: name.to_owned(),
        position: None,
        descriptors: rows.map(|row| set.descriptor(Row(row)).to_vec()).collect(),
        recipe: None,
    }
}

/// Describes a tile by the mean colour of its four quarters: twelve numbers.
pub struct QuarterColours {
    spec: EncoderSpec,
    /// Tiles encoded so far.
    pub encoded: usize,
}

impl QuarterColours {
    pub fn new() -> Self {
        let recipe = recipe();
        let spec = EncoderSpec {
            id: recipe.encoder_id,
            name: recipe.encoder_name,
            width: 12,
            tiles: recipe.tiles,
            stain: StainSetting::None,
            stain_reference: LabStatistics { mean: [65.0, 20.0, -10.0], std: [15.0, 8.0, 6.0] },
        };
        Self { spec, encoded: 0 }
    }
}

impl Encoder for QuarterColours {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn device(&self) -> String {
        "CPU".to_owned()
    }

    fn encode(&mut self, tiles: &[RgbImage]) -> Result<DescriptorBatch, EncoderError> {
        self.encoded += tiles.len();
        let mut values = Vec::new();
        for tile in tiles {
            let half = tile.width() / 2;
            for (left, top) in [(0, 0), (half, 0), (0, half), (half, half)] {
                let quarter = image::imageops::crop_imm(tile, left, top, half, half).to_image();
                for channel in 0..3 {
                    let sum: f32 = quarter.pixels().map(|pixel| f32::from(pixel.0[channel])).sum();
                    values.push(sum / (half * half) as f32 / 255.0);
                }
            }
        }
        Ok(DescriptorBatch { values, width: 12 })
    }
}
