//! Commands on the encoder and on embedding.

use histokin_core::slide::SlideId;
use histokin_core::tissue::TissueSettings;

/// A command on the encoder or on the embedding of slides.
#[derive(Debug, Clone, PartialEq)]
pub enum EmbeddingCommand {
    /// Allows or forbids running an encoder that is a TorchScript module not run here before.
    TrustEncoder(bool),
    /// Embeds with an encoder that is part of histokin, given by its name, from now on.
    ChooseEncoder(String),
    /// Lists the encoders that can be chosen by name.
    ListEncoders,
    /// Reads the encoder of this name or path and offers it.
    ExamineEncoder(String),
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
