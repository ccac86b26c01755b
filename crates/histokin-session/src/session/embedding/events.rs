//! Events of embedding.

use std::path::PathBuf;
use std::sync::Arc;

use super::{EncoderChange, EncoderOffer, SlideProgress};
use histokin_core::descriptors::DescriptorSet;
use histokin_core::slide::SlideId;
use histokin_core::tissue::selection::NoTiles;
use histokin_encoder::EncoderSpec;
use histokin_evaluation::preview::EncoderPreview;
use histokin_evaluation::trial::Trial;
use histokin_project::project::ListedEncoder;

/// A report on the encoder or on the embedding of slides.
pub enum EmbeddingEvent {
    /// The specification of the encoder is known (libtorch need not be loaded yet).
    EncoderKnown {
        /// Its name or path.
        which: String,
        /// Its specification.
        spec: Box<EncoderSpec>,
    },
    /// The encoders that can be chosen were listed.
    EncodersListed(Vec<ListedEncoder>),
    /// The user's encoders were changed, or could not be.
    EncodersChanged(Result<EncoderChange, String>),
    /// Progress of a preview of the encoder that the user looks at.
    PreviewProgress {
        /// Name or path of the encoder.
        which: String,
        /// Share that is done, from 0 to 1.
        share: f64,
        /// What is being done, for display.
        doing: String,
    },
    /// A preview was computed, or could not be.
    Previewed {
        /// Name or path of the encoder.
        which: String,
        /// The preview, or why there is none.
        result: Result<Arc<EncoderPreview>, String>,
    },
    /// Progress of a comparison of an encoder with the project's.
    ComparisonProgress {
        /// Name or path of the encoder.
        which: String,
        /// Share that is done, from 0 to 1.
        share: f64,
        /// What is being done, for display.
        doing: String,
    },
    /// An encoder was compared with the project's, or could not be.
    Compared {
        /// Name or path of the encoder.
        which: String,
        /// The comparison, or why there is none.
        result: Result<Arc<Trial>, String>,
    },
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
        /// Its name or path.
        which: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// An encoder is a TorchScript module, which is a program, and the user has not allowed it to run.
    EncoderUntrusted {
        /// Its name or path, as the project has it.
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
