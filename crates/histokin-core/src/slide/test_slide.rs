//! A synthetic slide in memory, for tests: the colour of each pixel depends on its position, so that a wrong
//! offset is detected.

use std::collections::BTreeMap;
use std::path::PathBuf;

use image::{Rgba, RgbaImage};

use super::channel::SlideChannel;
use super::{Level, MppSource, Reader, SlideError, SlideId, SlideInfo, SlideSource};
use crate::geometry::{Downsample, Level0Point, Level0Rect, LevelRect, MicronsPerPixel};

/// A slide with one stored level, or with more through [`Self::with_levels`].
pub struct TestSlide {
    info: SlideInfo,
    unreadable: Option<Level0Point>,
}

impl TestSlide {
    /// A slide with one stored level at 0.5 µm/px.
    pub fn new(width: u32, height: u32) -> Self {
        let info = SlideInfo {
            id: SlideId(format!("test-{width}-{height}")),
            former_ids: Vec::new(),
            path: PathBuf::from(format!("test-{width}x{height}.svs")),
            vendor: "test".into(),
            reader: Reader::OpenSlide,
            levels: vec![Level::finest(width, height)],
            mpp: Some(MicronsPerPixel::square(0.5).expect("0.5 is a pixel size")),
            mpp_source: MppSource::Slide,
            objective_power: None,
            associated: Vec::new(),
            properties: BTreeMap::new(),
            channels: Vec::new(),
            warnings: Vec::new(),
        };
        Self { info, unreadable: None }
    }

    /// Returns the same image, said to be the sum of these channels.
    pub fn with_channels(mut self, channels: Vec<SlideChannel>) -> Self {
        self.info.channels = channels;
        self
    }

    /// Returns the same image with levels of these downsamples.
    pub fn with_levels(mut self, downsamples: &[f64]) -> Self {
        let size = |whole: u32, downsample: f64| (f64::from(whole) / downsample) as u32;
        let (width, height) = (self.info.width(), self.info.height());
        let level = |&downsample: &f64| Level {
            width: size(width, downsample),
            height: size(height, downsample),
            downsample: Downsample::square(downsample),
        };
        self.info.levels = downsamples.iter().map(level).collect();
        self
    }

    /// Makes every read that includes this level-0 pixel fail.
    pub fn with_unreadable(mut self, x: u32, y: u32) -> Self {
        self.unreadable = Some(Level0Point::new(f64::from(x), f64::from(y)));
        self
    }

    /// All pixels of level 0.
    pub fn pixels(&self) -> RgbaImage {
        RgbaImage::from_fn(self.info.width(), self.info.height(), |x, y| colour(x.into(), y.into()))
    }
}

fn colour(x: i64, y: i64) -> Rgba<u8> {
    Rgba([(x * 7 + y) as u8, (x / 3 + y * 5) as u8, (x * y / 11) as u8, 255])
}

impl SlideSource for TestSlide {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        let level = self.info.levels[region.level as usize];
        let step = level.downsample;
        let (across, down) = (|px: i64| (px as f64 * step.x) as i64, |px: i64| (px as f64 * step.y) as i64);
        let rect = Level0Rect::new(
            across(region.x),
            down(region.y),
            across(region.width.into()) as u32,
            down(region.height.into()) as u32,
        );
        if self.unreadable.is_some_and(|point| rect.contains(point)) {
            let (path, reason) = (self.info.path.clone(), "test damage".to_owned());
            return Err(SlideError::Read { path, region: *region, reason });
        }
        Ok(RgbaImage::from_fn(region.width, region.height, |x, y| {
            let (x, y) = (region.x + i64::from(x), region.y + i64::from(y));
            let inside = x >= 0 && y >= 0 && x < i64::from(level.width) && y < i64::from(level.height);
            if inside { colour(across(x), down(y)) } else { Rgba([0; 4]) }
        }))
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        let (path, available) = (self.info.path.clone(), "none".to_owned());
        Err(SlideError::NoSuchAssociated { path, name: name.to_owned(), available })
    }
}
