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

use std::path::PathBuf;

use anyhow::Context;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::encoder::engine::EngineChoice;
use crate::encoder::{self, DeviceChoice, Encoder, EncoderSpec, ImportedEncoder};
use crate::geometry::{Level0Point, Level0Rect, MicronsPerPixel};
use crate::pipeline::{HSV_HISTOGRAM, HsvHistogram};
use crate::project::Project;
use crate::slide::isolated::trust::{self, IsolationMode};
use crate::slide::{SlideId, SlideInfo, computed};

/// View whole-slide images and find where else in an archive the same tissue occurs.
///
/// Without a subcommand, the window opens with the given slides, folders or project.
#[derive(Debug, Parser)]
#[command(version)]
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
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_value = "auto",
        default_missing_value = "always"
    )]
    pub isolate: IsolationMode,
    /// Least severe messages to write to standard error and to the log file: error, warn, info, debug or
    /// trace.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<String>,
    /// Run TorchScript modules that have not run on this computer before, and remember them as trusted. A
    /// module is a program that can do anything that you can do on this computer: use only modules from
    /// sources that you trust.
    #[arg(long, global = true)]
    pub trust_torchscript: bool,
    /// What runs encoders. All compute the same descriptors. Training, fit-model and TorchScript modules use
    /// libtorch in any case [default: the window's setting, otherwise automatic].
    #[arg(long, global = true, value_name = "ENGINE", value_parser = choice::choice::<EngineChoice>())]
    pub engine: Option<EngineChoice>,
}

/// Options of the window.
#[derive(Debug, Args)]
pub struct WindowArgs {
    /// Slides, folders of slides, or a project folder.
    pub paths: Vec<PathBuf>,
    /// Project folder to work in, created if it does not exist [default: a folder in your user data].
    #[arg(long)]
    pub project: Option<PathBuf>,
    /// Where the encoder runs: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
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
    /// Print the properties of slides.
    Info(info::InfoArgs),
    /// Compute the descriptors of slides' tissue tiles and store them in a project.
    Embed(embed::EmbedArgs),
    /// List, show, add, rename and remove encoders.
    Encoders(encoders::EncodersArgs),
    /// Compare encoders on labelled slides.
    Evaluate(Box<evaluate::EvaluateArgs>),
    /// Export descriptors in the formats of other programs.
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
    /// Write the tissue mask of a slide.
    Tissue(tissue::TissueArgs),
    /// Make an encoder from the published weights of a network and the tissue of slides, without training.
    FitModel(fit_model::FitModelArgs),
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
        let matches = Self::command().get_matches();
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
        Command::FitModel(args) => print_json(&fit_model::run(args)?),
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

/// Parses the name or path of a slide; bytes that are not UTF-8 are replaced.
fn shown_name() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(|name| name.to_string_lossy().into_owned())
}

/// Parses `X,Y` in level-0 pixels.
fn parse_point(text: &str) -> Result<Level0Point, String> {
    match numbers(text, ',')?[..] {
        [x, y] => Ok(Level0Point::new(x, y)),
        _ => Err("give X,Y in level-0 pixels, such as 1200,800".to_owned()),
    }
}

/// Parses `X,Y,W,H` in level-0 pixels.
fn parse_rect(text: &str) -> Result<Level0Rect, String> {
    match numbers(text, ',')?[..] {
        [x, y, width, height] if (1.0..=4e9).contains(&width) && (1.0..=4e9).contains(&height) => {
            Ok(Level0Rect::new(x as i64, y as i64, width as u32, height as u32))
        }
        _ => Err("give X,Y,WIDTH,HEIGHT in level-0 pixels, such as 0,0,1000,800".to_owned()),
    }
}

/// Parses `WxH` in pixels of the output image.
fn parse_size(text: &str) -> Result<(u32, u32), String> {
    match numbers(text, 'x')?[..] {
        [width, height] if (1.0..=32_768.0).contains(&width) && (1.0..=32_768.0).contains(&height) => {
            Ok((width as u32, height as u32))
        }
        _ => Err("give WIDTHxHEIGHT in pixels, such as 1000x800, at most 32768 each".to_owned()),
    }
}

fn numbers(text: &str, separator: char) -> Result<Vec<f64>, String> {
    text.split(separator)
        .map(|part| part.trim().parse::<f64>().ok().filter(|number| number.is_finite()))
        .collect::<Option<_>>()
        .ok_or_else(|| format!("{text:?} contains something that is not a number"))
}

/// Parses a descriptor distance.
fn parse_distance(text: &str) -> Result<f32, String> {
    let distance = text.parse::<f32>().ok().filter(|distance| distance.is_finite() && *distance >= 0.0);
    distance.ok_or_else(|| "give a distance of descriptors: 0 or more".to_owned())
}

/// Parses a length in µm.
fn parse_um(text: &str) -> Result<f64, String> {
    let um = text.parse::<f64>().ok().filter(|um| um.is_finite() && *um >= 0.0);
    um.ok_or_else(|| "give a length in µm: 0 or more".to_owned())
}

/// Parses a number from 0 to 1.
fn parse_unit(text: &str) -> Result<f32, String> {
    let number = text.parse::<f32>().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "give a number from 0 to 1".to_owned())
}

/// Parses `M` or `MX,MY` in µm per pixel.
fn parse_mpp(text: &str) -> Result<MicronsPerPixel, String> {
    let mpp = match numbers(text, ',')?[..] {
        [um] => MicronsPerPixel::square(um),
        [x, y] => MicronsPerPixel::new(x, y),
        _ => return Err("give µm per pixel, such as 0.25".to_owned()),
    };
    mpp.map_err(|error| error.to_string())
}

/// Writes one JSON document to standard output.
fn print_json(document: &serde_json::Value) -> anyhow::Result<()> {
    outln!("{}", serde_json::to_string_pretty(document)?);
    Ok(())
}
