//! Commands on the encoder and on embedding.

use super::EncoderChange;
use histokin_core::slide::SlideId;
use histokin_core::tissue::TissueSettings;

/// A command on the encoder or on the embedding of slides.
#[derive(Debug, Clone, PartialEq)]
pub enum EmbeddingCommand {
    /// Allows or forbids running an encoder that is a TorchScript module not run here before.
    TrustEncoder(bool),
    /// Embeds with an encoder that is part of histokin, given by its name, from now on.
    ChooseEncoder(String),
    /// Lists the encoders that can be chosen.
    ListEncoders,
    /// Adds, renames or removes one of the user's encoders.
    ChangeEncoders(EncoderChange),
    /// Shows which tiles of the open slides the encoder that the user looks at finds similar.
    Preview,
    /// Stops the preview.
    StopPreview,
    /// Compares the encoder that the user looks at with the project's.
    Compare,
    /// Stops the comparison.
    StopComparison,
    /// Discards all descriptors by the project's encoder, and embeds all slides again.
    EmbedAllAgain,
    /// Reads the encoder of this name or path and offers it.
    ExamineEncoder(String),
    /// Reads the encoder at a path that the user has given, offers it, and shows which tiles it finds similar.
    OfferEncoder(String),
    /// Embeds with the offered encoder from now on.
    UseOfferedEncoder,
    /// Takes the offered encoder away.
    DismissOffer,
    /// Pauses embedding.
    Pause,
    /// Resumes embedding after a pause or a cancellation.
    Resume,
    /// Stops embedding; the tiles done so far are kept, and resuming continues from there.
    Cancel,
    /// Changes the tissue settings and with them which tiles are embedded. Tiles are added and removed; those
    /// that stay are not embedded again.
    SetTissue(TissueSettings),
    /// Embeds a slide again after a failure; continues where it stopped.
    EmbedAgain(SlideId),
}
