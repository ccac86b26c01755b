//! Events of embedding.

use std::path::PathBuf;
use std::sync::Arc;

use super::{EncoderOffer, ListedEncoder, SlideProgress};
use histokin_core::descriptors::DescriptorSet;
use histokin_core::slide::SlideId;
use histokin_core::tissue::selection::NoTiles;
use histokin_encoder::EncoderSpec;

/// A report on the encoder or on the embedding of slides.
pub enum EmbeddingEvent {
    /// The specification of an encoder is known (libtorch need not be loaded yet).
    EncoderKnown {
        /// Name or path of the encoder.
        which: String,
        /// Its specification.
        spec: Box<EncoderSpec>,
    },
    /// The encoders that can be chosen by name were listed.
    EncodersListed(Vec<ListedEncoder>),
    /// An encoder that the user looks at was read.
    EncoderExamined {
        /// Its name or path.
        which: String,
        /// What is known of it, or why it cannot be used.
        found: Result<Box<EncoderOffer>, String>,
    },
    /// The encoder is loaded and ready.
    EncoderRuns {
        /// Name of the device on which it runs.
        device: String,
    },
    /// An encoder cannot be used.
    EncoderFailed {
        /// Name or path of the encoder.
        which: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// An encoder is a TorchScript module, which is a program, and the user has not allowed it to run.
    EncoderUntrusted {
        /// Name or path of the encoder.
        which: String,
        /// File of the module.
        path: PathBuf,
    },
    /// No earlier run has embedded this slide.
    NoDescriptors {
        /// The slide.
        slide: SlideId,
    },
    /// Embedding of a slide has started.
    Started {
        /// The slide.
        slide: SlideId,
        /// Progress at the start.
        progress: SlideProgress,
    },
    /// More tiles of a slide were embedded.
    Progress {
        /// The slide.
        slide: SlideId,
        /// Progress so far.
        progress: SlideProgress,
        /// Current speed.
        tiles_per_second: f64,
    },
    /// Descriptors of a slide can be searched.
    DescriptorsReady {
        /// The descriptors.
        set: Arc<DescriptorSet>,
        /// Whether the slide is done.
        finished: bool,
    },
    /// A slide was embedded and has no tile.
    NoTiles {
        /// The slide.
        slide: SlideId,
        /// Why it has no tile.
        why: NoTiles,
    },
    /// Embedding of a slide was interrupted by other work or stopped; it continues later where it was.
    Interrupted {
        /// The slide.
        slide: SlideId,
    },
    /// A slide could not be embedded.
    Failed {
        /// The slide.
        slide: SlideId,
        /// Why it failed.
        reason: String,
    },
}
