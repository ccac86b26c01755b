//! The encoders that a project's descriptors may be of.

use std::collections::BTreeMap;
use std::path::Path;

use super::Project;
use crate::pipeline::{HSV_HISTOGRAM, HsvHistogram};
use histokin_core::slide::SlideId;
use histokin_core::tiling::TileSettings;
use histokin_encoder::facts::network;
use histokin_encoder::model::About;
use histokin_encoder::speeds::{self, MeasuredSpeed};
use histokin_encoder::{self as encoder, Encoder, EncoderError, EncoderId, EncoderSpec, ModelSummary};

/// Where an encoder is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EncoderOrigin {
    /// It ships with histokin.
    Shipped,
    /// In the project: trained there, or the file that the project uses.
    Project,
    /// The user has added it.
    User,
    /// Nowhere here: only its descriptors are.
    Elsewhere,
}

/// An encoder of the list that the user chooses from.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedEncoder {
    /// Name or path by which it is loaded.
    pub which: String,
    /// Display name.
    pub name: String,
    /// Where it is kept.
    pub origin: EncoderOrigin,
    /// The network in a few words.
    pub network: String,
    /// What it is for, its source and its licence.
    pub about: About,
    /// Identity, if its files can be read.
    pub id: Option<EncoderId>,
    /// Length of a descriptor; 0 if unknown.
    pub width: usize,
    /// Tiles that it was made for.
    pub tiles: TileSettings,
    /// Why it cannot embed slides, if so.
    pub problem: Option<String>,
    /// Slides of the project that it has embedded.
    pub embedded: Vec<SlideId>,
    /// Its speed on this computer, if it was measured.
    pub speed: Option<MeasuredSpeed>,
}

impl Project {
    /// Returns the encoders that are known here: the project's own, those of the program, and those in the
    /// project's folder `models`, each with the name or path by which it is loaded. Files that are not models
    /// and models without weights are left out.
    pub fn encoders(&self) -> Vec<(EncoderSpec, String)> {
        let available = encoder::available().into_iter().map(|model| model.name);
        let mut found: Vec<(EncoderSpec, String)> = Vec::new();
        for name in std::iter::once(self.encoder_name()).chain(available).chain(self.stored_models()) {
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

    /// Returns the paths in the project's folder `models`.
    fn stored_models(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.root.join("models")).into_iter().flatten().flatten();
        let mut stored: Vec<String> = files.map(|file| file.path().to_string_lossy().into_owned()).collect();
        stored.sort();
        stored
    }

    /// Lists the encoders that ship, the project's, the user's, and those of which only descriptors are here, with what
    /// a user chooses by. `trained` are files of encoders that were trained in the project. Reads the encoders' files
    /// and the descriptors' headers.
    pub fn list_encoders(&self, trained: &[impl AsRef<Path>]) -> Vec<ListedEncoder> {
        let mut list: Vec<ListedEncoder> = encoder::available().iter().map(named).collect();
        let trained = trained.iter().map(|path| path.as_ref().to_string_lossy().into_owned());
        let stored = self.stored_models().into_iter().filter(|path| encoder::is_encoder(Path::new(path)));
        for which in std::iter::once(self.encoder_name()).chain(trained).chain(stored) {
            if list.iter().all(|known| known.which != which) {
                let found = of_path(which);
                if found.id.is_none() || list.iter().all(|known| known.id != found.id) {
                    list.push(found);
                }
            }
        }
        let mut embedded: BTreeMap<EncoderId, (String, TileSettings, Vec<SlideId>)> = BTreeMap::new();
        for header in self.descriptors().headers() {
            let recipe = header.recipe;
            let entry = embedded
                .entry(recipe.encoder_id)
                .or_insert_with(|| (recipe.encoder_name, recipe.tiles, Vec::new()));
            let slide = self.current_id(&header.slide_id);
            if !entry.2.contains(&slide) {
                entry.2.push(slide);
            }
        }
        let speeds = speeds::measured();
        for one in &mut list {
            let Some(id) = &one.id else { continue };
            // Several names may stand for one encoder.
            one.embedded = embedded.get(id).map(|(_, _, slides)| slides.clone()).unwrap_or_default();
            one.speed = speeds.get(id).cloned();
        }
        embedded.retain(|id, _| list.iter().all(|one| one.id.as_ref() != Some(id)));
        let others = embedded.into_iter().filter(|(_, (name, ..))| name != HSV_HISTOGRAM);
        list.extend(others.map(|(id, (name, tiles, slides))| elsewhere(id, name, tiles, slides)));
        list.sort_by(|a, b| (a.origin, &a.name, &a.which).cmp(&(b.origin, &b.name, &b.which)));
        list
    }
}

/// Describes a model that is chosen by its name.
fn named(model: &ModelSummary) -> ListedEncoder {
    let origin = if model.is_own() { EncoderOrigin::User } else { EncoderOrigin::Shipped };
    let spec = match model.problem {
        None => encoder::spec(&model.folder.to_string_lossy()).map_err(|error| error.to_string()),
        Some(ref problem) => Err(problem.clone()),
    };
    let file = model.file.as_ref();
    ListedEncoder {
        network: file.map(network).unwrap_or_default(),
        about: file.map(|file| file.about.clone()).unwrap_or_default(),
        tiles: file.map(|file| file.preprocessing.tiles()).unwrap_or_default(),
        ..of_spec(model.name.clone(), model.name.clone(), origin, spec)
    }
}

/// Describes an encoder that is chosen by its path.
fn of_path(which: String) -> ListedEncoder {
    let path = Path::new(&which);
    let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    match encoder::describe(&which) {
        Ok(described) => ListedEncoder {
            network: network(&described.file),
            about: described.file.about,
            ..of_spec(which, described.spec.name.clone(), EncoderOrigin::Project, Ok(described.spec))
        },
        // A module has no description, but may have been allowed to run.
        Err(EncoderError::TorchScript { .. }) => {
            let spec = encoder::spec(&which).map_err(|error| error.to_string());
            let listed = of_spec(which, name, EncoderOrigin::Project, spec);
            ListedEncoder { network: "TorchScript module".to_owned(), ..listed }
        }
        Err(error @ EncoderError::Imported { .. }) => {
            let spec = encoder::spec(&which).map_err(|error| error.to_string());
            let listed = of_spec(which, name, EncoderOrigin::Project, spec);
            ListedEncoder { problem: Some(error.to_string()), ..listed }
        }
        Err(error) => of_spec(which, name, EncoderOrigin::Project, Err(error.to_string())),
    }
}

fn of_spec(
    which: String,
    name: String,
    origin: EncoderOrigin,
    spec: Result<EncoderSpec, String>,
) -> ListedEncoder {
    let (spec, problem) = match spec {
        Ok(spec) => (Some(spec), None),
        Err(problem) => (None, Some(problem)),
    };
    ListedEncoder {
        which,
        name,
        origin,
        network: String::new(),
        about: About::default(),
        width: spec.as_ref().map_or(0, |spec| spec.width),
        tiles: spec.as_ref().map(|spec| spec.tiles).unwrap_or_default(),
        id: spec.map(|spec| spec.id),
        problem,
        embedded: Vec::new(),
        speed: None,
    }
}

fn elsewhere(id: EncoderId, name: String, tiles: TileSettings, embedded: Vec<SlideId>) -> ListedEncoder {
    let problem = match id.is_imported() {
        true => "its features were imported; slides are embedded with it elsewhere",
        false => "its files are not here; slides that it has embedded can be searched",
    };
    ListedEncoder {
        tiles,
        embedded,
        id: Some(id),
        problem: Some(problem.to_owned()),
        ..of_spec(String::new(), name, EncoderOrigin::Elsewhere, Err(String::new()))
    }
}
