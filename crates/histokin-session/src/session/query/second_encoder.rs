//! A second encoder besides the project's own: its answers to the same query.

use std::sync::Arc;

use super::super::{Job, LoadJob, Session};
use histokin_core::descriptors::Recipe;
use histokin_core::index::Snapshot;

/// The second encoder and the index of its descriptors.
pub struct SecondEncoder {
    /// Recipe of its descriptors.
    pub recipe: Recipe,
    /// `None` while the descriptors are being opened.
    pub index: Option<Arc<Snapshot>>,
}

impl Session {
    /// Recipes by which slides of this project have been embedded, as far as they were looked up.
    pub fn recipes(&self) -> &[Recipe] {
        &self.query.recipes
    }

    /// The encoder whose answers are shown besides those of the project's own.
    pub fn second_encoder(&self) -> Option<&SecondEncoder> {
        self.query.second_encoder.as_ref()
    }

    /// Requests the recipes by which slides of this project have been embedded.
    pub(in crate::session) fn list_recipes(&self) -> Vec<Job> {
        vec![Job::Load(LoadJob::ListRecipes(self.project.descriptors()))]
    }

    /// Sets the second encoder, or none.
    pub(in crate::session) fn compare_with(&mut self, recipe: Option<Recipe>) -> Vec<Job> {
        if let Some(query) = &mut self.query.current {
            query.second_encoder = None;
        }
        let Some(recipe) = recipe else {
            self.query.second_encoder = None;
            return Vec::new();
        };
        self.query.second_encoder = Some(SecondEncoder { recipe: recipe.clone(), index: None });
        let slides = self.slides.ids();
        let (store, cache) = (self.project.descriptors(), self.project.index_cache());
        vec![Job::Load(LoadJob::OpenSecondEncoder { store, slides, recipe, cache })]
    }

    /// Takes in the index of the second encoder.
    pub(in crate::session) fn second_encoder_opened(
        &mut self,
        recipe: &Recipe,
        index: Arc<Snapshot>,
    ) -> Vec<Job> {
        let current = self.query.second_encoder.as_mut().filter(|encoder| encoder.recipe == *recipe);
        let Some(second_encoder) = current else { return Vec::new() };
        if index.is_empty() {
            self.query.second_encoder = None;
            let text = format!("No open slide has descriptors of {}.", recipe.encoder_name);
            self.messages.error(text);
            return Vec::new();
        }
        second_encoder.index = Some(index);
        self.search()
    }
}
