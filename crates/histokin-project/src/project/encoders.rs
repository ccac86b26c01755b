//! The encoders that a project's descriptors may be of.

use super::Project;
use crate::pipeline::{HSV_HISTOGRAM, HsvHistogram};
use histokin_encoder::{self as encoder, Encoder, EncoderId, EncoderSpec};

impl Project {
    /// Returns the encoders that are known here: the project's own, those of the program, and those in the
    /// project's folder `models`, each with the name or path by which it is loaded. Files that are not models
    /// and models without weights are left out.
    pub fn encoders(&self) -> Vec<(EncoderSpec, String)> {
        let files = std::fs::read_dir(self.root.join("models")).into_iter().flatten().flatten();
        let mut stored: Vec<String> = files.map(|file| file.path().to_string_lossy().into_owned()).collect();
        stored.sort();
        let available = encoder::available().into_iter().map(|model| model.name);
        let mut found: Vec<(EncoderSpec, String)> = Vec::new();
        for name in std::iter::once(self.encoder_name()).chain(available).chain(stored) {
            if let Ok(spec) = encoder::spec(&name)
                && found.iter().all(|(known, _)| known.id != spec.id)
            {
                found.push((spec, name));
            }
        }
        found
    }

    /// Returns the name or path of the encoder with this ID; `None` if it is not known here.
    pub fn encoder_with_id(&self, id: &EncoderId) -> Option<String> {
        if HsvHistogram::new(self.settings().tiles).spec().id == *id {
            return Some(HSV_HISTOGRAM.to_owned());
        }
        self.encoders().into_iter().find(|(spec, _)| spec.id == *id).map(|(_, name)| name)
    }
}
