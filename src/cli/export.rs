//! `histokin export`: writes descriptors in the formats of other programs.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::durable;
use crate::interchange::{Layout, write_h5, write_npy, write_parquet};
use crate::number_format::counted;
use crate::paths::FileStems;
use crate::project::Project;

/// Options of `histokin export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Encoder whose descriptors are exported: its name or path, or its encoder_id [default: the project's encoder].
    #[arg(long, value_name = "ENCODER")]
    encoder: Option<String>,
    /// Format of the files.
    #[arg(long)]
    format: Format,
    /// Folder for the files, one per slide; created if it does not exist.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// HDF5 as TRIDENT writes features.
    Trident,
    /// HDF5 as CLAM writes features.
    Clam,
    /// This program's own format; each file has the name of its slide.
    Safetensors,
    /// NPY, and a separate table of the tiles.
    Npy,
    /// Parquet: a table of the tiles, each with its descriptor as a list of numbers.
    Parquet,
}

/// Runs `histokin export`.
///
/// # Errors
/// When descriptors cannot be read or files cannot be written, or no slide is embedded.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let spec = super::spec_in(&project, args.encoder.as_deref())?;
    let (store, recipe) = (project.descriptors(), project.recipe(&spec));
    std::fs::create_dir_all(&args.to)
        .with_context(|| format!("{}: the folder cannot be created", args.to.display()))?;
    let (mut written, mut stems) = (Vec::new(), FileStems::default());
    for entry in project.slides() {
        let Some(set) = store.open(&entry.id, &recipe)? else { continue };
        let path = project.slide_path(entry);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // Files in two folders may have the same name.
        let stem = stems.next(&name, entry.id.short());
        let file = match args.format {
            Format::Safetensors => {
                let file = format!("{stem}.safetensors");
                let own = store.path(&entry.id, &recipe);
                let bytes =
                    std::fs::read(&own).with_context(|| format!("{}: cannot be read", own.display()))?;
                durable::write(&args.to.join(&file), &bytes)
                    .with_context(|| format!("{}: cannot be written", args.to.join(&file).display()))?;
                file
            }
            Format::Trident | Format::Clam => {
                let layout = if args.format == Format::Trident { Layout::Trident } else { Layout::Clam };
                let file = format!("{stem}.h5");
                let source = project.open_slide(entry)?;
                let info = source.info();
                let size = [info.width(), info.height()];
                write_h5(&args.to.join(&file), layout, &set, &name, info.require_mpp()?, size)?;
                file
            }
            Format::Npy => {
                write_npy(&args.to, &set, &stem)?;
                format!("{stem}.npy")
            }
            Format::Parquet => {
                let file = format!("{stem}.parquet");
                write_parquet(&args.to.join(&file), &set, &name)?;
                file
            }
        };
        written.push(json!({"slide": name, "file": file, "tiles": set.len(), "descriptor_len": set.width()}));
    }
    if written.is_empty() {
        bail!(
            "no slide of the project is embedded with {}; embed them first: histokin embed {} --encoder {}",
            spec.name,
            args.project.display(),
            spec.name
        );
    }
    if args.json {
        super::print_json(&json!({"encoder_id": spec.id, "files": written}))
    } else {
        outln!("{} in {}", counted(written.len() as u64, "file"), args.to.display());
        Ok(())
    }
}
