//! The main result of an evaluation: how well each encoder finds tissue of a query's class in other patients.

use serde::Serialize;

use super::comparison::Comparison;
use super::retrieval::{Figure, Measure};
use super::{Class, Exclude};

/// The measure of the main result: share of the five nearest tiles that are of the query's class.
pub const MEASURE: Measure = Measure::P5;

/// P@5 of each class and encoder, with the answers from other patients (or slides) only.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Headline {
    /// Tiles that are excluded from the answers.
    pub exclude: Exclude,
    /// The mean over classes, then each class.
    pub rows: Vec<HeadlineRow>,
}

/// One row of the main result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadlineRow {
    /// The class; `None` for the mean over classes, in which every class has the same weight.
    pub class: Option<Class>,
    /// Number of queries.
    pub queries: usize,
    /// Precision that random matches would have.
    pub chance_level: f64,
    /// P@5 of each encoder, in the order of the comparison; `None` if not measured.
    pub precision: Vec<Option<Figure>>,
}

impl Headline {
    /// Returns the main result; `None` if no encoder has retrieval of classes.
    pub fn of(comparison: &Comparison) -> Option<Self> {
        let encoders = &comparison.encoders;
        let first = encoders.iter().find_map(|one| one.classes.as_ref())?;
        let place = Measure::ALL.iter().position(|measure| *measure == MEASURE)?;
        let mean = HeadlineRow {
            class: None,
            queries: first.scores.iter().map(|score| score.queries).sum(),
            chance_level: first.chance_level,
            precision: encoders.iter().map(|one| one.classes.as_ref()?.mean[place]).collect(),
        };
        let of_class = |class: Class| {
            encoders
                .iter()
                .map(|one| {
                    let scores = &one.classes.as_ref()?.scores;
                    scores.iter().find(|score| score.class == class)?.figure(MEASURE)
                })
                .collect()
        };
        let classes = first.scores.iter().map(|score| HeadlineRow {
            class: Some(score.class),
            queries: score.queries,
            chance_level: score.chance_level,
            precision: of_class(score.class),
        });
        Some(Self {
            exclude: comparison.settings.retrieval.exclude,
            rows: std::iter::once(mean).chain(classes).collect(),
        })
    }

    /// Returns its title.
    pub fn title(&self) -> &'static str {
        match self.exclude {
            Exclude::Patient => "Same class, other patient",
            Exclude::Slide => "Same class, other slide",
        }
    }

    /// Returns what the figures mean, as sentences.
    pub fn explanation(&self) -> String {
        let other = match self.exclude {
            Exclude::Patient => "patients (a slide whose patient is unknown counts as a patient of its own)",
            Exclude::Slide => "slides, which may be of the same patient",
        };
        format!(
            "P@5: share of the five nearest tiles that are of the query's class, from other {other}. Chance level: \
             the precision that random matches would have. In brackets: 95 % intervals from resampling patients. \
             In the mean every class has the same weight. The best value of each row is bold."
        )
    }
}

impl HeadlineRow {
    /// Returns the name of the row, given the names of the classes.
    pub fn name<'a>(&self, classes: &'a [String]) -> &'a str {
        self.class.map_or("Mean of classes", |class| &classes[usize::from(class.0)])
    }

    /// Returns whether the encoder at `index` has the highest precision of all.
    pub fn is_best(&self, index: usize) -> bool {
        let best = self.precision.iter().flatten().map(|figure| figure.value).fold(0.0, f64::max);
        self.precision[index].is_some_and(|figure| figure.value == best)
    }
}
