//! `histokin import`: features that other programs made become descriptors of a project.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::encoder::{EncoderSpec, ImportedEncoder};
use crate::interchange::{Imported, encoder_of, feature_files, place, read_features};
use crate::paths;
use crate::project::{Project, ProjectSettings, SlideEntry};

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The project's folder; its slides are known by the names of the files.
    project: PathBuf,
    /// Features of TRIDENT, CLAM or STAMP (.h5) or of this program (.safetensors), or a folder of them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What to call the encoder that made them [default: as the file says, else the folder's name].
    #[arg(long)]
    name: Option<String>,
    /// Slide of the project that a single file belongs to, where its name does not tell.
    #[arg(long, value_parser = super::shown_name())]
    slide: Option<String>,
    /// Edge of a tile in level-0 pixels [default: as the file says, else the most frequent step
    /// between tiles].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tile_level0: Option<u32>,
    /// Pass over files whose slides are not in the project.
    #[arg(long)]
    some_slides: bool,
    /// Search the project by these descriptors from now on, in the window and by `histokin query`.
    #[arg(long = "use")]
    use_them: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let mut project = Project::open(&args.project)?;
    let (files, unread) = files(args, &project)?;
    let mut known: Option<(ImportedEncoder, EncoderSpec)> = None;
    let mut written = Vec::new();
    let mut failed = unread;
    for (path, entry) in &files {
        match import_one(path, entry, args, &project, &mut known, written.is_empty()) {
            Ok(done) => written.extend(done),
            // A single file's error is that of the command.
            Err(error) if files.len() + unread == 1 => return Err(error),
            Err(error) => {
                noteln!("{}", super::in_words(&error));
                failed += 1;
            }
        }
    }
    let total = files.len() + unread;
    if failed > 0 && written.is_empty() {
        bail!("none of the {total} files was imported");
    }
    let Some((encoder, spec)) = known else { bail!("none of the files belongs to a slide of the project") };
    let file = ImportedEncoder::file(&encoder.name);
    if args.use_them {
        let settings = project.settings().clone();
        let encoder = Some(file.to_string_lossy().into_owned());
        project.set_settings(ProjectSettings { encoder, ..settings });
        project.save()?;
    }
    if args.json {
        super::print_json(&json!({
            "encoder_id": spec.id,
            "encoder": encoder,
            "file": paths::shown(&file),
            "in_use": args.use_them,
            "slides": written,
        }))?;
    } else {
        outln!("{}: descriptors of {} numbers for {} slides", encoder.name, encoder.width, written.len());
        if !args.use_them {
            outln!("to search by them, run this again with --use; `--encoder {}` names them", encoder.name);
        }
    }
    if failed > 0 {
        bail!("{failed} of {total} files were not imported");
    }
    Ok(())
}

/// Say what fell away of a file.
fn told(path: &Path, imported: &Imported, notes: &[String]) {
    let left_out = [
        (imported.not_finite, "hold NaN or an infinity"),
        (imported.beside, "begin left of the slide or above it"),
        (imported.doubled, "lie at the place of another tile"),
    ];
    let left_out = left_out.iter().filter(|(tiles, _)| *tiles > 0);
    let left_out = left_out.map(|(tiles, why)| format!("{tiles} tiles left out that {why}"));
    for line in left_out.chain(notes.iter().cloned()) {
        noteln!("{}: {line}", path.display());
    }
}

/// Import one file; what it amounts to, or nothing where it holds no tile. The first one decides which encoder the
/// files are of.
fn import_one(
    path: &Path,
    entry: &SlideEntry,
    args: &ImportArgs,
    project: &Project,
    known: &mut Option<(ImportedEncoder, EncoderSpec)>,
    is_first: bool,
) -> anyhow::Result<Option<Value>> {
    let source = project.open_slide(entry)?;
    let features = read_features(path)?;
    if features.places.is_empty() {
        noteln!("{}: it holds no tile and is passed over", path.display());
        return Ok(None);
    }
    let mut placed = place(features, source.info(), args.tile_level0, path)?;
    let notes = std::mem::take(&mut placed.notes);
    let (encoder, spec) = match known {
        Some(known) => &*known,
        None => {
            let encoder = encoder_of(&placed, args.name.as_deref(), path);
            let spec = encoder.spec()?;
            known.insert((encoder, spec))
        }
    };
    if placed.features.width != encoder.width || placed.tile_px() != encoder.tiles.tile_px {
        bail!(
            "{}: descriptors of {} numbers of tiles of {} px, those before of {} numbers of tiles of {} px; \
             import the files of one encoder at a time",
            path.display(),
            placed.features.width,
            placed.tile_px(),
            encoder.width,
            encoder.tiles.tile_px,
        );
    }
    let imported = placed.into_set(source.info(), project.recipe(spec), path)?;
    if is_first {
        let file = project.root().join(ImportedEncoder::file(&encoder.name));
        encoder.write(&file).with_context(|| format!("{}: cannot be written", file.display()))?;
    }
    project.descriptors().save(&imported.set)?;
    told(path, &imported, &notes);
    Ok(Some(json!({
        "slide_id": entry.id,
        "slide": source.info().name(),
        "tiles": imported.set.len(),
        "doubled": imported.doubled,
        "beside": imported.beside,
        "not_finite": imported.not_finite,
        "notes": notes,
    })))
}

/// The files with the slides that they belong to, and how many of those that were named cannot be read. Nothing is
/// imported while a slide is unknown.
fn files(args: &ImportArgs, project: &Project) -> anyhow::Result<(Vec<(PathBuf, SlideEntry)>, usize)> {
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    let mut all = Vec::new();
    let mut unread = 0;
    for path in &args.files {
        match feature_files(path) {
            Ok(files) => all.extend(files),
            Err(error) if args.files.len() == 1 => return Err(error.into()),
            Err(error) => {
                noteln!("{error}");
                unread += 1;
            }
        }
    }
    if args.slide.is_some() && all.len() != 1 {
        bail!("--slide names one slide, but there are {} files; name them as their slides are", all.len());
    }
    for path in all {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match project.find_slide(args.slide.as_deref().unwrap_or(&stem)) {
            Ok(entry) => found.push((path, entry.clone())),
            Err(error) if args.slide.is_some() => return Err(error.into()),
            Err(_) => unknown.push(stem),
        }
    }
    if !unknown.is_empty() && !args.some_slides {
        bail!(
            "the project has no slides {}; embed or open them in it first, name the files as the slides are, or \
             give --some-slides to pass over them",
            unknown.join(", ")
        );
    }
    Ok((found, unread))
}
