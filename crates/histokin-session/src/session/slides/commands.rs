//! Commands on slides.

use std::path::PathBuf;

use histokin_core::geometry::{Level0Rect, MicronsPerPixel};
use histokin_core::slide::SlideId;
use histokin_core::slide::channel::ChannelDisplay;
use histokin_core::stain::SlideStain;

/// A command on the list of slides or on one slide.
#[derive(Debug, Clone, PartialEq)]
pub enum SlideCommand {
    /// Opens slides, and all slides in folders; for a folder that is a project, opens the project.
    Open(Vec<PathBuf>),
    /// Opens a file again after it could not be read.
    Retry(PathBuf),
    /// Removes a slide from the list; its descriptors stay on disk.
    Remove(SlideId),
    /// Sets the pixel size of a slide that is not calibrated.
    SetMpp {
        /// Slide to calibrate.
        slide: SlideId,
        /// Size of a level-0 pixel.
        mpp: MicronsPerPixel,
    },
    /// Reads an associated image of a slide, such as its macro image; it is shown once it has been read.
    ReadAssociated {
        /// Slide with the image.
        slide: SlideId,
        /// Name of the image, such as `macro`.
        name: String,
    },
    /// Reads the picture of a tile, to show it under the pointer.
    ReadTile {
        /// Slide with the tile.
        slide: SlideId,
        /// Tile in level-0 pixels.
        rect: Level0Rect,
    },
    /// Reads the embedded colour profile of a slide, to show its colours through it.
    ReadProfile(SlideId),
    /// Sets what a slide is stained with; `None` to guess it again.
    SetStain {
        /// The slide.
        slide: SlideId,
        /// The staining.
        stain: Option<SlideStain>,
    },
    /// Estimates the stain vectors of a slide from a region, and sets them.
    EstimateStains {
        /// The slide.
        slide: SlideId,
        /// Region with both stains, in level-0 pixels.
        region: Level0Rect,
    },
    /// Sets how the channels of a fluorescence slide are shown; empty for the default.
    SetChannels {
        /// The slide.
        slide: SlideId,
        /// One for each channel.
        channels: Vec<ChannelDisplay>,
    },
    /// Measures the colours of a slide's tissue, to show it normalised.
    MeasureColours(SlideId),
}
