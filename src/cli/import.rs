//! `histokin import`: imports features of other programs as descriptors of a project.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::encoder::{EncoderSpec, ImportedEncoder};
use crate::interchange::{Imported, encoder_of, feature_files, place, read_features};
use crate::number_format::counted;
use crate::paths;
use crate::project::{Project, ProjectError, ProjectSettings, SlideEntry};

/// Options of `histokin import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The project folder. Files are matched to its slides by name.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Feature files of TRIDENT, CLAM or STAMP (.h5) or of this program (.safetensors), or folders of them.
    #[arg(required = true, value_name = "FEATURES")]
    files: Vec<PathBuf>,
    /// Name for the encoder of these features [default: as the file states, else the folder's name].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Slide of the project that a single file belongs to, if the file is not named like the slide.
    #[arg(long, value_name = "SLIDE", value_parser = super::shown_name())]
    slide: Option<String>,
    /// Edge length of a tile in level-0 pixels [default: as the file states, else the most frequent step
    /// between tiles].
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tile_level0: Option<u32>,
    /// Skip files whose slides are not in the project.
    #[arg(long)]
    some_slides: bool,
    /// Use these descriptors for all further searches in the project, in the window and with `histokin
    /// query`.
    #[arg(long = "use")]
    use_them: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs `histokin import`.
///
/// # Errors
/// When files cannot be read, do not belong to slides of the project, or do not fit together.
pub fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let mut project = Project::open(&args.project)?;
    if args.use_them {
        // The project's own file is written in the end, which must not undo what another program has done meanwhile.
        project = project.claim()?;
        project.require_writable()?;
    }
    let (files, unread) = files(args, &project)?;
    let mut known: Option<(ImportedEncoder, EncoderSpec)> = None;
    let mut written = Vec::new();
    let mut failed = unread;
    for (path, entry) in &files {
        match import_one(path, entry, args, &project, &mut known, written.is_empty()) {
            Ok(done) => written.extend(done),
            // With a single file, its error is the error of the command.
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
        let slides = counted(written.len() as u64, "slide");
        outln!("{}: descriptors of {} numbers for {slides}", encoder.name, encoder.width);
        if !args.use_them {
            outln!("to search with them, run this again with --use, or use `--encoder {}`", encoder.name);
        }
    }
    if failed > 0 {
        bail!("{failed} of {total} files were not imported");
    }
    Ok(())
}

/// Reports the tiles of a file that were left out.
fn report_left_out(path: &Path, imported: &Imported, notes: &[String]) {
    let left_out = [
        (imported.not_finite, "with NaN or infinite numbers"),
        (imported.beside, "that start left of the slide or above it"),
        (imported.doubled, "at the same position as another tile"),
    ];
    let left_out = left_out.iter().filter(|(tiles, _)| *tiles > 0);
    let left_out =
        left_out.map(|(tiles, which)| format!("left out {} {which}", counted(*tiles as u64, "tile")));
    for line in left_out.chain(notes.iter().cloned()) {
        noteln!("{}: {line}", path.display());
    }
}

/// Imports one file. Returns a summary, or `None` if the file has no tiles. The first file determines the
/// encoder that all files must have.
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
    if features.positions.is_empty() {
        noteln!("{}: contains no tiles and is skipped", path.display());
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
            "{}: descriptors of {} numbers for tiles of {} px, but the earlier files have {} numbers for tiles of \
             {} px; import the files of one encoder at a time",
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
    report_left_out(path, &imported, &notes);
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

/// Returns the files with their slides, and the number of given files that cannot be read. Fails on an
/// unknown slide, before anything is imported.
fn files(args: &ImportArgs, project: &Project) -> anyhow::Result<(Vec<(PathBuf, SlideEntry)>, usize)> {
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    let mut all = Vec::new();
    let mut unread = 0;
    for path in &args.files {
        if !path.exists() {
            bail!("{}: there is no such file or folder", path.display());
        }
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
        bail!("--slide names one slide, but there are {} files; name the files like their slides", all.len());
    }
    for path in all {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match project.find_slide(args.slide.as_deref().unwrap_or(&stem)) {
            Ok(entry) => found.push((path, entry.clone())),
            Err(error @ ProjectError::Ambiguous { .. }) => return Err(error.into()),
            Err(error) if args.slide.is_some() => return Err(error.into()),
            Err(_) => unknown.push(stem),
        }
    }
    if !unknown.is_empty() && !args.some_slides {
        bail!(
            "these slides are not in the project: {}; embed or open them in it first, name the files like the \
             slides, or give --some-slides to skip them",
            unknown.join(", ")
        );
    }
    Ok((found, unread))
}
