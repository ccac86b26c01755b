//! A second encoder beside the project's own: its answers to the same question.

use std::sync::Arc;

use super::super::state::Severity;
use super::super::{Job, LoadJob, Session};
use histokin_core::descriptors::Recipe;
use histokin_core::index::Snapshot;

/// The second encoder, and all that its descriptors can find.
pub struct SecondEncoder {
    pub recipe: Recipe,
    /// Nothing while the descriptors are being opened.
    pub index: Option<Arc<Snapshot>>,
}

impl Session {
    /// The recipes by which slides of this project have been described, as far as they were looked for.
    pub fn recipes(&self) -> &[Recipe] {
        &self.recipes
    }

    /// The encoder whose answers are shown beside those of the project's own.
    pub fn second_encoder(&self) -> Option<&SecondEncoder> {
        self.second_encoder.as_ref()
    }

    /// Look which encoders have described slides of this project.
    pub(in crate::session) fn list_recipes(&self) -> Vec<Job> {
        vec![Job::Load(LoadJob::ListRecipes(self.project.descriptors()))]
    }

    pub(in crate::session) fn recipes_found(&mut self, recipes: Vec<Recipe>) -> Vec<Job> {
        self.recipes = recipes;
        Vec::new()
    }

    /// Have another encoder answer, too, or no longer.
    pub(in crate::session) fn compare_with(&mut self, recipe: Option<Recipe>) -> Vec<Job> {
        if let Some(query) = &mut self.query {
            query.second_encoder = None;
        }
        let Some(recipe) = recipe else {
            self.second_encoder = None;
            return Vec::new();
        };
        self.second_encoder = Some(SecondEncoder { recipe: recipe.clone(), index: None });
        let slides = self.slides.iter().map(|slide| slide.id().clone()).collect();
        let (store, cache) = (self.project.descriptors(), self.project.index_cache());
        vec![Job::Load(LoadJob::OpenSecondEncoder { store, slides, recipe, cache })]
    }

    /// The second encoder's descriptors can be searched.
    pub(in crate::session) fn second_encoder_opened(
        &mut self,
        recipe: &Recipe,
        index: Arc<Snapshot>,
    ) -> Vec<Job> {
        let Some(second_encoder) =
            self.second_encoder.as_mut().filter(|second_encoder| second_encoder.recipe == *recipe)
        else {
            return Vec::new();
        };
        if index.is_empty() {
            self.second_encoder = None;
            let text = format!("No slide that is open was described by {}.", recipe.encoder_name);
            self.tell(Severity::Error, text, None);
            return Vec::new();
        }
        second_encoder.index = Some(index);
        self.search()
    }
}
