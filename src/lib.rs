//! histokin displays whole-slide images and finds where else on a user's slides the tissue under the pointer
//! occurs.
//!
//! Data passes through the libraries in this order:
//!
//! ```text
//! slide → tile grid → tissue → stain → encoder → descriptors → index → query → highlight
//! ```
//!
//! [`pipeline`] composes these steps; the command line ([`cli`]), the workers and the tests call it.
//! [`session`] holds all state of the running program and depends on neither threads nor a screen;
//! [`workers`] are its named threads, and [`ui`] draws it.
//!
//! Everything except the command line and the window is in `crates/` and re-exported here under the same
//! names.
//!
//! # Examples
//!
//! Embeds a slide into a project and finds the tiles that are most similar to one of them:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use histokin::encoder::{self, DeviceChoice};
//! use histokin::geometry::Level0Point;
//! use histokin::index::Snapshot;
//! use histokin::pipeline::{EmbedControl, EmbedRequest, EmbedSettings, TileSelection, embed_slide};
//! use histokin::project::Project;
//! use histokin::query::{self, AnnotationsBySlide, Example, Query};
//! use histokin::slide;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let slide = slide::open(Path::new("section.svs"), None)?;
//! let project = Project::open_or_create(Path::new("project"))?;
//! let mut encoder = encoder::load(encoder::DEFAULT, DeviceChoice::Auto)?;
//! let recipe = project.recipe(encoder.spec());
//! let store = project.descriptors();
//! let request = EmbedRequest {
//!     slide: slide.as_ref(),
//!     selection: &TileSelection::default(),
//!     tissue: None,
//!     recipe: &recipe,
//!     store: &store,
//!     settings: EmbedSettings::default(),
//! };
//! embed_slide(&request, encoder.as_mut(), &EmbedControl::default(), &mut |_| ())?;
//!
//! let id = slide.info().id.clone();
//! let set = store.open(&id, &recipe)?.ok_or("no tissue was found")?;
//! let index = Snapshot::build(vec![set.into()], None, None);
//! let example = Example::Tile { slide: id, at: Level0Point::new(1000.0, 1500.0) };
//! let query = Query { positives: vec![example], ..Query::default() };
//! for found in query::ask(&index, &query, &AnnotationsBySlide::new())?.matches {
//!     println!("{}. {:?} at distance {}", found.rank, found.rect, found.distance);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Measures how often the nearest tile of another slide has the query's class:
//!
//! ```
//! use histokin::evaluation::intervals::Resampling;
//! use histokin::evaluation::retrieval::{self, Measure, RetrievalSettings};
//! use histokin::evaluation::{Class, Descriptors, Tiles};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two tiles on each of two slides, with descriptors of two numbers.
//! let descriptors = Descriptors::new(&[0.0, 1.0, 1.0, 0.0, 0.1, 0.9, 0.9, 0.2], 2)?;
//! let (gland, muscle) = (Class(0), Class(1));
//! let tiles = Tiles {
//!     positions_um: vec![[112.0, 112.0], [336.0, 112.0], [112.0, 112.0], [336.0, 112.0]],
//!     slides: vec![0, 0, 1, 1],
//!     patients: vec![0, 0, 1, 1],
//!     classes: vec![Some(gland), Some(muscle), Some(gland), Some(muscle)],
//! };
//! let retrieval = retrieval::ask(descriptors, &tiles, &RetrievalSettings::default())?;
//! let score = retrieval.score(gland, &Resampling::default()).ok_or("no query")?;
//! let precision = score.figure(Measure::P1).ok_or("no match")?;
//! assert_eq!(precision.value, 1.0);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "archive")]
pub use histokin_archive as archive;
pub use histokin_core::{
    annotation, concept, descriptors, geometry, index, memory, query, slide, stain, tiling, tissue,
};
use histokin_core::{durable, number_format, paths, platform};
pub use histokin_encoder as encoder;
pub use histokin_evaluation as evaluation;
pub use histokin_project::{interchange, pipeline, project};
pub use histokin_session::{crash, session, workers};
pub use histokin_training as training;

pub mod logging;
pub mod cli;
#[cfg(feature = "gui")]
pub mod ui;
