//! The command-line interface. Results go to standard output, progress and messages to standard error.

#[macro_use]
pub mod output;

mod annotations;
#[cfg(feature = "archive")]
mod archive;
mod choice;
mod concepts;
mod decode;
mod embed;
mod encoders;
mod evaluate;
mod export;
pub mod fit_model;
mod heat_map;
mod import;
mod index;
mod info;
pub mod label_options;
mod marks;
mod progress;
mod project_map;
mod query;
mod render;
mod tissue;
mod tissue_options;
mod train;
mod values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use values::{
    count, image_file, parse_colours, parse_distance, parse_log, parse_mpp, parse_point, parse_rect,
    parse_share, parse_size, parse_um, project_folder, sheet_file, shown_name,
};

use crate::encoder::engine::EngineChoice;
use crate::encoder::{self, DeviceChoice, Encoder, EncoderSpec, ImportedEncoder};
use crate::pipeline::{HSV_HISTOGRAM, HsvHistogram};
use crate::project::Project;
use crate::slide::isolated::trust::{self, IsolationMode};
use crate::slide::{SlideId, SlideInfo, computed};

/// Heading of the options that all subcommands have.
const FOR_ALL: &str = "For all subcommands";

/// Help text on what the subcommands write, and on their exit status.
const ABOUT_OUTPUT: &str = "Results go to standard output, progress and messages to standard error. With --json, a \
    subcommand writes one JSON document. Exit status: 0 if everything was done, 1 if something failed, 2 if an option is \
    wrong. For research, not for diagnosis.";

/// View whole-slide images and find where else on your slides the same tissue occurs.
///
/// Without a subcommand, the window opens with the given slides, folders or project.
#[derive(Debug, Parser)]
#[command(version, after_help = ABOUT_OUTPUT)]
pub struct Cli {
    /// The subcommand, or `None` to open the window.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of the window.
    #[command(flatten)]
    pub window: WindowArgs,
    /// Decode slides in a separate process, so that a damaged file cannot crash the program: auto, always or
    /// never. auto does so for files that were not read before and for those that have crashed a decoder.
    #[arg(
        long,
        global = true,
        help_heading = FOR_ALL,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_value = "auto",
        default_missing_value = "always"
    )]
    pub isolate: IsolationMode,
    /// Least severe messages to write to standard error and to the log file: error, warn, info, debug or
    /// trace.
    #[arg(long, global = true, help_heading = FOR_ALL, value_name = "LEVEL", value_parser = parse_log)]
    pub log: Option<String>,
    /// Run TorchScript modules that have not run on this computer before, and remember them as trusted. A
    /// module is a program that can do anything that you can do on this computer: use only modules from
    /// sources that you trust.
    #[arg(long, global = true, help_heading = FOR_ALL)]
    pub trust_torchscript: bool,
    /// What runs encoders. All compute the same descriptors. Training, fit-model and TorchScript modules use
    /// libtorch in any case [default: the window's setting, otherwise automatic].
    #[arg(
        long,
        global = true,
        help_heading = FOR_ALL,
        value_name = "ENGINE",
        value_parser = choice::choice::<EngineChoice>()
    )]
    pub engine: Option<EngineChoice>,
}

/// Options of the window.
#[derive(Debug, Args)]
pub struct WindowArgs {
    /// Slides, folders of slides, or a project folder.
    #[arg(value_name = "SLIDE or FOLDER")]
    pub paths: Vec<PathBuf>,
    /// Project folder to work in, created if it does not exist [default: the one that was open last].
    #[arg(long, value_name = "FOLDER")]
    pub project: Option<PathBuf>,
    /// Where the encoder runs: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// Memory for caches in MiB [default: a quarter of the computer's memory, at most 4096].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(64..))]
    pub cache_mb: Option<u32>,
    /// Open another window even if one is open. Without this or another option, an open window takes the files.
    #[arg(long)]
    pub new_window: bool,
    /// Draw with OpenGL instead of Vulkan, for computers whose Vulkan driver fails or draws incorrectly.
    #[arg(long)]
    pub safe_gpu: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the properties of slides: size, pixel size, levels and warnings.
    Info(info::InfoArgs),
    /// Compute the descriptors of slides' tissue tiles and store them in a project.
    Embed(embed::EmbedArgs),
    /// List, show, add, rename, remove and export encoders.
    Encoders(encoders::EncodersArgs),
    /// Compare encoders on labelled slides.
    Evaluate(Box<evaluate::EvaluateArgs>),
    /// Export descriptors in the formats of other programs (HDF5, NPY, Parquet, safetensors).
    Export(export::ExportArgs),
    /// Import features that another program computed, to search and evaluate them.
    Import(import::ImportArgs),
    /// Project the descriptors of all slides onto a plane (UMAP or PCA).
    ProjectMap(project_map::ProjectMapArgs),
    /// Find the tiles or slides most similar to a tile, a region, a slide or an image.
    Query(Box<query::QueryArgs>),
    /// Teach concepts by marked tiles, and find them on all slides.
    Concepts(concepts::ConceptsArgs),
    /// Write similarity maps: how similar each tile of a slide is to one tile.
    HeatMap(heat_map::HeatMapArgs),
    /// Build or check a project's index.
    Index(index::IndexArgs),
    /// Import, export and list annotations (QuPath, ASAP, Aperio ImageScope).
    Annotations(annotations::AnnotationsArgs),
    /// Share descriptors with a department's archive on PostgreSQL.
    #[cfg(feature = "archive")]
    Archive(Box<archive::ArchiveArgs>),
    /// Write a region of a slide as an image, as the viewer shows it.
    Render(render::RenderArgs),
    /// Write the tissue mask of a slide, and count the tiles that would be embedded.
    Tissue(tissue::TissueArgs),
    /// Make an encoder from the weights of a network by fitting a readout to the tissue of slides, without training.
    FitModel(Box<fit_model::FitModelArgs>),
    /// Train an encoder on slides, without labels.
    Train(Box<train::TrainArgs>),
    /// Decode a slide on behalf of another process of this program.
    #[command(hide = true)]
    Decode(decode::DecodeArgs),
}

/// Returns the file name of a slide, with folders where others in the project have the same one; the beginning of its ID if
/// it is not listed.
fn slide_name(project: &Project, slide: &SlideId) -> String {
    let Ok(entry) = project.find_slide(&slide.0) else { return slide.short().to_owned() };
    let paths: Vec<PathBuf> = project.slides().iter().map(|entry| project.slide_path(entry)).collect();
    crate::paths::telling_name(&project.slide_path(entry), paths.iter().map(PathBuf::as_path))
}

/// Returns all slides among `paths`, and those in folders. A file that is named is returned whatever it is.
///
/// # Errors
/// When there is none, with the folders that were searched.
fn slides_in(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let found = crate::pipeline::find_slides(paths);
    if found.is_empty() && !paths.is_empty() {
        if let Some((path, kind)) =
            paths.iter().find_map(|path| Some((path, crate::slide::folder_kind(path)?)))
        {
            anyhow::bail!(
                "{}: it is {kind}, which histokin cannot read; export it as a pyramidal tiled TIFF with another program",
                path.display()
            );
        }
        let folders: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        anyhow::bail!(
            "{}: no slides in this folder or below it; name files to try them whatever they are",
            folders.join(", ")
        );
    }
    Ok(found)
}

/// Formats an error with its causes. A cause that an outer error's text already contains is left out.
pub fn in_words(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            let separator = if text.is_empty() { "" } else { ": " };
            text = text + separator + &cause;
        }
    }
    text
}

/// Warnings about a slide, one line each, with the option that resolves it.
fn warning_lines(info: &SlideInfo) -> impl Iterator<Item = String> {
    info.warnings.iter().map(|warning| {
        let remedy = match warning.suggested_mpp() {
            Some(mpp) => format!(" (to set it: --slide-mpp {})", mpp.x()),
            None if warning.concerns_pixel_size() => " (to set it: --slide-mpp M)".to_owned(),
            None => String::new(),
        };
        format!("{}{remedy}", warning.text())
    })
}

impl Cli {
    /// Parses the arguments of this process. Invalid arguments end the process with a message.
    pub fn of_process() -> Self {
        let matches = Self::command().try_get_matches().unwrap_or_else(|error| {
            if error.use_stderr() {
                Self::refuse_misspelt_subcommand();
            }
            error.exit()
        });
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        // Global options may precede a subcommand; options of the window would have no effect there.
        let mut window = WindowArgs::augment_args(clap::Command::new("window"));
        window.build();
        let is_given = |arg: &&clap::Arg| {
            let id = arg.get_id().as_str();
            matches.ids().any(|known| known == id)
                && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        let refuse = |arg: &dyn std::fmt::Display, subcommand: &str| {
            let text = format!("'{arg}' is an option of the window and has no effect before '{subcommand}'");
            Self::command().error(ErrorKind::ArgumentConflict, text).exit()
        };
        let given = window.get_arguments().find(is_given);
        if let (Some(subcommand), Some(arg)) = (matches.subcommand_name(), given) {
            refuse(arg, subcommand);
        }
        if cli.command.is_none() {
            Self::refuse_misspelt_subcommand();
        }
        // After a path, clap takes the name of a subcommand for another path.
        let is_subcommand = |path: &&PathBuf| {
            let name = path.to_str().unwrap_or_default();
            Self::command().find_subcommand(name).is_some() && !path.exists()
        };
        if let [first, others @ ..] = &cli.window.paths[..]
            && let Some(subcommand) = others.iter().find(is_subcommand)
        {
            refuse(&first.display(), &subcommand.display().to_string());
        }
        cli
    }

    /// Ends the process with a message if its first argument looks like a misspelt subcommand, which clap takes for a path.
    fn refuse_misspelt_subcommand() {
        let is_word = |first: &OsString| {
            let bytes = first.as_encoded_bytes();
            bytes.first().is_some_and(u8::is_ascii_alphabetic)
                && bytes.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_'))
        };
        let first = std::env::args_os().nth(1).filter(is_word).filter(|first| !Path::new(first).exists());
        let Some(first) = first else { return };
        let command = Self::command();
        let names: Vec<&str> = command
            .get_subcommands()
            .filter(|subcommand| !subcommand.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        if names.iter().any(|name| first == *name) {
            return;
        }
        if let Some(meant) = values::similar(&first, names.into_iter()) {
            let text = format!(
                "there is no file or folder '{}'; did you mean the subcommand '{meant}'?",
                Path::new(&first).display()
            );
            Self::command().error(ErrorKind::InvalidSubcommand, text).exit();
        }
    }

    /// Returns whether this process only decodes a slide on behalf of another process.
    pub fn is_decoder(&self) -> bool {
        matches!(self.command, Some(Command::Decode(_)))
    }

    /// Applies `--isolate` to all slides opened from now on, and stores computed levels in the user's cache
    /// folder.
    pub fn isolate_slides(&self) {
        if self.is_decoder() {
            return;
        }
        let folders = directories::ProjectDirs::from("", "", "histokin");
        computed::keep_in(folders.as_ref().map(|folders| folders.cache_dir().join("levels")));
        match std::env::current_exe() {
            Ok(program) => {
                let ledger = folders.map(|folders| {
                    folders.state_dir().unwrap_or_else(|| folders.data_local_dir()).join("slides-read")
                });
                trust::isolate(self.isolate, program, ledger);
            }
            Err(error) => {
                tracing::warn!("slides are decoded in this process: its executable is unknown: {error}")
            }
        }
    }
}

/// Runs a subcommand and writes its result to standard output.
///
/// # Errors
/// When the subcommand fails.
pub fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Info(args) => info::run(args),
        Command::Embed(args) => embed::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Export(args) => export::run(args),
        Command::Import(args) => import::run(args),
        Command::ProjectMap(args) => project_map::run(args),
        Command::Query(args) => query::run(args),
        Command::Concepts(args) => concepts::run(args),
        Command::HeatMap(args) => heat_map::run(args),
        Command::Index(args) => index::run(args),
        Command::Annotations(args) => annotations::run(args),
        #[cfg(feature = "archive")]
        Command::Archive(args) => archive::run(args),
        Command::Render(args) => render::run(args),
        Command::Tissue(args) => tissue::run(args),
        Command::Encoders(args) => encoders::run(args),
        Command::FitModel(args) => fit_model::run_and_print(args),
        Command::Train(args) => train::run(args),
        Command::Decode(args) => decode::run(args),
    }
}

/// Returns the encoder that `requested` names: a name or path, the ID of an encoder whose descriptors the project
/// has, the colour histogram, or features imported under that name. Without a request, the project's encoder.
fn spec_in(project: &Project, requested: Option<&str>) -> anyhow::Result<EncoderSpec> {
    let which = encoder_in(project, requested)?;
    if which == HSV_HISTOGRAM {
        return Ok(HsvHistogram::new(project.settings().tiles).spec().clone());
    }
    Ok(encoder::spec(&which)?)
}

/// Name or path of the encoder that [`spec_in`] returns.
fn encoder_in(project: &Project, requested: Option<&str>) -> anyhow::Result<String> {
    let Some(requested) = requested else { return Ok(project.encoder_name()) };
    let imported = project.root().join(ImportedEncoder::file(requested));
    if imported.is_file() {
        return Ok(imported.to_string_lossy().into_owned());
    }
    let recipes = project.descriptors().recipes();
    let Some(recipe) = recipes.into_iter().find(|recipe| recipe.encoder_id.0 == requested) else {
        return Ok(requested.to_owned());
    };
    project.encoder_with_id(&recipe.encoder_id).with_context(|| {
        format!(
            "the project has descriptors of {} ({requested}), but this encoder is not found; give its path",
            recipe.encoder_name
        )
    })
}

/// Writes one JSON document to standard output.
fn print_json(document: &serde_json::Value) -> anyhow::Result<()> {
    outln!("{}", serde_json::to_string_pretty(document)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command, its subcommands and theirs, by their full names.
    fn all_of(command: &clap::Command, before: &str, into: &mut Vec<(String, clap::Command)>) {
        let name = format!("{before} {}", command.get_name()).trim().to_owned();
        for subcommand in
            command.get_subcommands().filter(|one| one.get_name() != "help" && !one.is_hide_set())
        {
            all_of(subcommand, &name, into);
        }
        into.push((name, command.clone()));
    }

    #[test]
    fn every_option_says_what_it_does_in_the_same_style() {
        let mut command = Cli::command();
        command.build();
        let mut commands = Vec::new();
        all_of(&command, "", &mut commands);
        let mut options = 0;
        for (name, command) in &commands {
            assert!(command.get_about().is_some(), "{name} has no description");
            for arg in command.get_arguments() {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty() && !help.ends_with('.'), "{name} {arg}: {help:?}");
                for value in
                    arg.get_value_names().into_iter().flatten().filter(|_| arg.get_action().takes_values())
                {
                    assert!(!value.contains('_'), "{name} {arg}: {value} is the name of a field");
                }
                options += 1;
            }
        }
        assert!(options > 200, "{options} options were looked at");
    }
}
