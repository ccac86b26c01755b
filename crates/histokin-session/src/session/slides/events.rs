//! Events of the workers that open and read slides.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbaImage;

use histokin_core::geometry::Level0Rect;
use histokin_core::slide::channel::ChannelDisplay;
use histokin_core::slide::colour_profile::ProfileTable;
use histokin_core::slide::{SlideId, SlideInfo, SlideSource};
use histokin_core::stain::{LabStatistics, StainType, StainVectors};
use histokin_core::tissue::TissueMask;

/// A report on slides and their pictures.
pub enum SlideEvent {
    /// A slide was opened.
    Opened(Arc<dyn SlideSource>),
    /// The path under which the project lists a slide that was opened from another path was checked.
    ListedPathChecked {
        /// The slide as opened.
        source: Arc<dyn SlideSource>,
        /// The slide at the listed path, if there is one.
        there: Option<Box<SlideInfo>>,
    },
    /// A file could not be opened as a slide.
    Failed {
        /// Path of the file.
        path: PathBuf,
        /// Why it could not be opened.
        reason: String,
    },
    /// There is no file at `path`, or no longer.
    Missing {
        /// Path of the missing file.
        path: PathBuf,
        /// Message for the user.
        reason: String,
    },
    /// An open slide can no longer be read: its file is gone or has changed.
    Unavailable {
        /// The slide.
        slide: SlideId,
        /// Why it cannot be read.
        reason: String,
    },
    /// An unavailable slide can be read again.
    Available {
        /// The slide.
        slide: SlideId,
    },
    /// An associated image was read, or could not be.
    AssociatedRead {
        /// Slide with the image.
        slide: SlideId,
        /// Name of the image.
        name: String,
        /// Its pixels, or why it could not be read.
        picture: Result<RgbaImage, String>,
    },
    /// The thumbnail of a tile was read, or could not be.
    TileRead {
        /// Slide of the tile.
        slide: SlideId,
        /// Tile in level-0 pixels.
        rect: Level0Rect,
        /// Its pixels, or why it could not be read.
        picture: Result<RgbaImage, String>,
    },
    /// The thumbnail of a slide was made.
    ThumbnailMade {
        /// The slide.
        slide: SlideId,
        /// Its thumbnail.
        thumbnail: RgbaImage,
        /// What the slide is stained with, as guessed from it.
        stain: StainType,
    },
    /// The stain vectors of a slide were estimated, or could not be.
    StainsEstimated {
        /// The slide.
        slide: SlideId,
        /// The vectors, or why there are none.
        vectors: Result<StainVectors, String>,
    },
    /// A slide was opened with its channels shown in another way.
    ChannelsApplied {
        /// The slide.
        slide: SlideId,
        /// How the channels are shown; empty for the default.
        channels: Vec<ChannelDisplay>,
        /// The slide shown in this way, or why it could not be opened.
        source: Result<Arc<dyn SlideSource>, String>,
    },
    /// No thumbnail of a slide is stored.
    NoThumbnail {
        /// The slide.
        slide: SlideId,
    },
    /// A slide is read to find its tissue; a slide without coarse levels takes long.
    FindingTissue {
        /// The slide.
        slide: SlideId,
        /// Share (0 to 1) of the slide that has been read.
        share: f64,
    },
    /// The tissue mask of a slide was computed.
    TissueFound {
        /// The slide.
        slide: SlideId,
        /// Its tissue mask.
        tissue: Arc<TissueMask>,
    },
    /// The embedded colour profile of a slide was read.
    ProfileRead {
        /// The slide.
        slide: SlideId,
        /// Its profile; `None` if it embeds no usable one.
        profile: Option<Arc<ProfileTable>>,
    },
    /// The colours of a slide's tissue were measured.
    ColoursMeasured {
        /// The slide.
        slide: SlideId,
        /// Their statistics; `None` if the slide has too little tissue.
        colours: Option<LabStatistics>,
    },
}
