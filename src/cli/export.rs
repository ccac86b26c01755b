//! `histokin export`: descriptors in the formats of other programs.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::durable;
use crate::interchange::{Layout, write_h5, write_npy, write_parquet};
use crate::project::Project;

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The project's folder.
    project: PathBuf,
    /// Whose descriptors [default: the project's encoder].
    #[arg(long)]
    encoder: Option<String>,
    /// What the files are to be.
    #[arg(long)]
    format: Format,
    /// Folder for the files, one a slide; made when it is not there.
    #[arg(long)]
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
    /// The program's own format, a file a slide, named as the slide.
    Safetensors,
    /// NPY, with the tiles in a table beside it.
    Npy,
    /// Parquet: a table of tiles, a list of numbers each.
    Parquet,
}

pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let spec = super::spec_in(&project, args.encoder.as_deref())?;
    let (store, recipe) = (project.descriptors(), project.recipe(&spec));
    std::fs::create_dir_all(&args.to)
        .with_context(|| format!("{}: the folder cannot be made", args.to.display()))?;
    let mut written = Vec::new();
    for entry in project.slides() {
        let Some(set) = store.open(&entry.id, &recipe)? else { continue };
        let path = project.slide_path(entry);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file = match args.format {
            Format::Safetensors => {
                let file = format!("{name}.safetensors");
                let own = store.path(&entry.id, &recipe);
                let bytes =
                    std::fs::read(&own).with_context(|| format!("{}: cannot be read", own.display()))?;
                durable::write(&args.to.join(&file), &bytes)
                    .with_context(|| format!("{}: cannot be written", args.to.join(&file).display()))?;
                file
            }
            Format::Trident | Format::Clam => {
                let layout = if args.format == Format::Trident { Layout::Trident } else { Layout::Clam };
                let file = format!("{name}.h5");
                let source = project.open_slide(entry)?;
                let info = source.info();
                let size = [info.width(), info.height()];
                write_h5(&args.to.join(&file), layout, &set, &name, info.require_mpp()?, size)?;
                file
            }
            Format::Npy => {
                write_npy(&args.to, &set, &name)?;
                format!("{name}.npy")
            }
            Format::Parquet => {
                let file = format!("{name}.parquet");
                write_parquet(&args.to.join(&file), &set, &name)?;
                file
            }
        };
        written.push(json!({"slide": name, "file": file, "tiles": set.len(), "descriptor_len": set.width()}));
    }
    if written.is_empty() {
        bail!("no slide of the project is embedded with {}; embed them first", spec.name);
    }
    if args.json {
        super::print_json(&json!({"encoder_id": spec.id, "files": written}))
    } else {
        outln!("{} files in {}", written.len(), args.to.display());
        Ok(())
    }
}
