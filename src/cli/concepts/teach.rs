//! `histokin concepts teach`.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::Args;

use super::super::index::load_index;
use super::super::marks::MarkArgs;
use crate::annotation::AnnotationClass;
use crate::concept::Concept;
use crate::project::Project;
use crate::query::builder::{QueryBuilder, SlideGeometry};
use crate::query::{Judgement, Mark, Query, ShownExample};
use crate::slide::SlideId;
use crate::tiling::TileGrid;

/// Options of `histokin concepts teach`.
#[derive(Debug, Args)]
pub struct TeachArgs {
    /// The project folder.
    #[arg(value_parser = super::super::project_folder())]
    project: PathBuf,
    /// Name of the concept.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Annotation class of what it finds [default: the concept's name, or with --add the class that it has].
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    #[command(flatten)]
    marks: MarkArgs,
    /// Use the tiles within annotations of this class as tiles of the same tissue, and those within annotations of all
    /// other classes as different.
    #[arg(long, value_name = "CLASS")]
    from_annotations: Option<String>,
    /// Add the marks to an existing concept of this name.
    #[arg(long)]
    add: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs `histokin concepts teach`.
///
/// # Errors
/// When a marked tile is not embedded, or the concept cannot be saved.
pub fn run(args: &TeachArgs) -> anyhow::Result<()> {
    let mut project = super::writable(&args.project)?;
    let known = super::load(&project)?.find(&args.name).ok().cloned();
    if let Some(known) = known.as_ref().filter(|_| !args.add) {
        bail!("there is a concept {:?} already; add marks to it with --add, or remove it first", known.name);
    }
    let (index, _) = load_index(&project)?;
    let mut query = Query { marks: args.marks.marks(&project)?, ..Query::default() };
    if let Some(class) = &args.from_annotations {
        query.marks.extend(annotated(&project, &index, class)?);
    }
    let says_same = query.marks.iter().any(|mark| mark.judgement == Judgement::Same);
    if !says_same && known.is_none() {
        bail!("nothing to teach: give tiles of the same tissue with --same, or --from-annotations");
    }
    let class = match (&args.class, &known) {
        (None, Some(known)) => known.class.clone(),
        (named, _) => AnnotationClass::among(named.as_deref().unwrap_or(&args.name), &project.classes()),
    };
    let patients = super::patients(&project);
    let concept = match known {
        None => Concept::taught(&args.name, class.clone(), &index, &query, &patients),
        Some(known) => known
            .with_marks(&index, &query, &patients)
            .map(|taught| Concept { class: class.clone(), ..taught }),
    };
    let concept = concept
        .map_err(|problem| anyhow!(problem.naming(|slide| super::super::slide_name(&project, slide))))?;
    project.concepts().save(&concept)?;
    if project.add_classes([&class]) {
        project.save()?;
    }
    super::show(&concept, args.json)
}

/// Returns the annotations of a class as marks of the same tissue, and those of all other classes as different.
fn annotated(project: &Project, index: &crate::index::Snapshot, class: &str) -> anyhow::Result<Vec<Mark>> {
    let annotations = super::super::query::annotations(project)?;
    let build = QueryBuilder { index, annotations: &annotations, slides: &EmbeddedOnly };
    let mark = |judgement: Judgement| move |shown: ShownExample| Mark { example: shown.example, judgement };
    let tiles =
        build.class(class).map_err(|problem| match super::super::query::instead_of(class, &annotations) {
            Some(known) => anyhow!("{problem}; {known}"),
            None => anyhow::Error::from(problem),
        })?;
    let mut marks: Vec<Mark> = tiles.into_iter().map(mark(Judgement::Same)).collect();
    let mut others: Vec<String> = annotations
        .values()
        .flat_map(|set| set.classes())
        .map(|other| other.name)
        .filter(|other| other != class)
        .collect();
    others.sort_unstable();
    others.dedup();
    // A class without an embedded tile teaches nothing.
    for examples in others.into_iter().filter_map(|other| build.class(&other).ok()) {
        marks.extend(examples.into_iter().map(mark(Judgement::Different)));
    }
    Ok(marks)
}

/// Annotations select embedded tiles only, so that no slide has to be opened.
struct EmbeddedOnly;

impl SlideGeometry for EmbeddedOnly {
    fn grid(&self, slide: &SlideId) -> Result<TileGrid, String> {
        Err(format!("slide {slide} is not embedded there"))
    }

    fn extent(&self, slide: &SlideId) -> Result<crate::geometry::Level0Rect, String> {
        Err(format!("slide {slide} is not open"))
    }
}
