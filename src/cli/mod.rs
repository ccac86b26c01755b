//! The command line: the same core without a screen. Results go to standard output, progress and
//! messages to standard error.

#[macro_use]
pub mod output;

mod annotations;
#[cfg(feature = "archive")]
mod archive;
mod choice;
mod decode;
mod embed;
mod evaluate;
mod export;
pub mod fit_model;
mod heat_map;
mod import;
mod index;
mod info;
mod interrupt;
mod progress;
mod project_map;
mod query;
mod render;
mod tissue;
mod tissue_options;
mod train;

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::encoder::{self, DeviceChoice, EncoderSpec, ImportedEncoder};
use crate::evaluation::baseline::{HSV_HISTOGRAM, HsvHistogram};
use crate::geometry::{Level0Point, Level0Rect};
use crate::project::Project;
use crate::slide::isolated::trust::{self, Isolate};
use crate::slide::{SlideInfo, computed};

/// Show a whole-slide image, and where else in the archive the same tissue stands.
///
/// Without a subcommand the window opens on the slides, folders or project that are named.
#[derive(Debug, Parser)]
#[command(version, subcommand_precedence_over_arg = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub window: WindowArgs,
    /// Decode slides in a process of its own, which they may crash: `auto` does so for files that were not read
    /// before and for those that have crashed a decoder; the others are always and never.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_value = "auto",
        default_missing_value = "always"
    )]
    pub isolate: Isolate,
    /// What is noted on standard error and in the log: error, warn, info, debug or trace.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<String>,
    /// Let TorchScript modules run that have not run here before, and remember them. They are programs: whoever made
    /// one decides what it does on this machine.
    #[arg(long, global = true)]
    pub trust_torchscript: bool,
}

/// What the window opens with.
#[derive(Debug, Args)]
pub struct WindowArgs {
    /// Slides, folders of slides, or a project's folder.
    pub paths: Vec<PathBuf>,
    /// Project folder to work in, made when it is not there [default: a folder of your own data].
    #[arg(long)]
    pub project: Option<PathBuf>,
    /// Where the encoder runs: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Memory in MiB for what is kept of slides to be quick [default: a quarter of the machine's, at most 4096].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(64..))]
    pub cache_mb: Option<u32>,
    /// Draw with OpenGL, where the Vulkan driver draws wrongly or not at all.
    #[arg(long)]
    pub safe_gpu: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell what is known of a slide.
    Info(info::InfoArgs),
    /// Embed the tissue of slides into a project.
    Embed(embed::EmbedArgs),
    /// Measure how good encoders are on labelled slides, side by side.
    Evaluate(Box<evaluate::EvaluateArgs>),
    /// Write descriptors in the formats of other programs.
    Export(export::ExportArgs),
    /// Take features that another program made into a project, to search and measure them.
    Import(import::ImportArgs),
    /// Lay the descriptors of all slides out on a plane.
    ProjectMap(project_map::ProjectMapArgs),
    /// Find the tiles, or slides, most like a tile, a region, a slide or a picture.
    Query(Box<query::QueryArgs>),
    /// Draw how like one tile all tiles of slides are.
    HeatMap(heat_map::HeatMapArgs),
    /// Build a project's index, or check it.
    Index(index::IndexArgs),
    /// Bring annotations of QuPath, ASAP and ImageScope into a project, and take them out.
    Annotations(annotations::AnnotationsArgs),
    /// Share descriptors with a department's archive on PostgreSQL.
    #[cfg(feature = "archive")]
    Archive(Box<archive::ArchiveArgs>),
    /// Draw a region of a slide as the viewer shows it.
    Render(render::RenderArgs),
    /// Write the tissue mask of a slide.
    Tissue(tissue::TissueArgs),
    /// Make an encoder from a network's published weights and the tissue of slides.
    FitModel(fit_model::FitModelArgs),
    /// Train an encoder on slides, without labels.
    Train(Box<train::TrainArgs>),
    /// Decode a slide for another process of this program.
    #[command(hide = true)]
    Decode(decode::DecodeArgs),
}

/// An error with its causes, each said once: many tell their cause themselves.
pub fn in_words(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !said.contains(&cause) {
            let between = if said.is_empty() { "" } else { ": " };
            said = said + between + &cause;
        }
    }
    said
}

/// What is to be known of a slide before its results are used, a line each, with what to do about it.
fn warning_lines(info: &SlideInfo) -> impl Iterator<Item = String> {
    info.warnings.iter().map(|warning| {
        let remedy = match warning.suggested_mpp() {
            Some(mpp) => format!(" (to set it: --slide-mpp {})", mpp.x),
            None if warning.concerns_pixel_size() => " (to set it: --slide-mpp M)".to_owned(),
            None => String::new(),
        };
        format!("{}{remedy}", warning.text())
    })
}

impl Cli {
    /// Read what the process was started with; on a mistake say what it is, and end.
    pub fn of_process() -> Self {
        let matches = Self::command().get_matches();
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        // Options for all of the program may stand before a subcommand; those of the window would be lost there.
        let mut window = WindowArgs::augment_args(clap::Command::new("window"));
        window.build();
        let is_given = |arg: &&clap::Arg| {
            let id = arg.get_id().as_str();
            matches.ids().any(|known| known == id)
                && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        let given = window.get_arguments().find(is_given);
        if let (Some(subcommand), Some(arg)) = (matches.subcommand_name(), given) {
            let text =
                format!("'{arg}' is for the window and stands before '{subcommand}', where it means nothing");
            Self::command().error(ErrorKind::ArgumentConflict, text).exit();
        }
        cli
    }

    /// Whether this process only decodes a slide for another one.
    pub fn is_decoder(&self) -> bool {
        matches!(self.command, Some(Command::Decode(_)))
    }

    /// Have slides decoded as the user wants it, from here on, and what is computed for them kept in the user's cache.
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
                tracing::warn!("slides are decoded in this process, whose file is unknown: {error}")
            }
        }
    }
}

/// Run a subcommand and write its result to standard output.
pub fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Info(args) => info::run(args),
        Command::Embed(args) => embed::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Export(args) => export::run(args),
        Command::Import(args) => import::run(args),
        Command::ProjectMap(args) => project_map::run(args),
        Command::Query(args) => query::run(args),
        Command::HeatMap(args) => heat_map::run(args),
        Command::Index(args) => index::run(args),
        Command::Annotations(args) => annotations::run(args),
        #[cfg(feature = "archive")]
        Command::Archive(args) => archive::run(args),
        Command::Render(args) => render::run(args),
        Command::Tissue(args) => tissue::run(args),
        Command::FitModel(args) => print_json(&fit_model::run(args)?),
        Command::Train(args) => train::run(args),
        Command::Decode(args) => decode::run(args),
    }
}

/// The encoder that a project's command means: `asked` by name or path, the colour histogram, features that were
/// imported under that name, or the project's own where nothing is asked.
fn spec_in(project: &Project, asked: Option<&str>) -> anyhow::Result<EncoderSpec> {
    let which = encoder_in(project, asked);
    if which == HSV_HISTOGRAM {
        return Ok(HsvHistogram::of_project(project)?);
    }
    Ok(encoder::spec(&which)?)
}

/// Name or path of that encoder.
fn encoder_in(project: &Project, asked: Option<&str>) -> String {
    let Some(asked) = asked else { return project.encoder_name() };
    let imported = project.root().join(ImportedEncoder::file(asked));
    if imported.is_file() { imported.to_string_lossy().into_owned() } else { asked.to_owned() }
}

/// The name or path of a slide, which need not be UTF-8: as it is shown.
fn shown_name() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(|name| name.to_string_lossy().into_owned())
}

/// `X,Y` in level-0 pixels.
fn parse_point(text: &str) -> Result<Level0Point, String> {
    match numbers(text, ',')?[..] {
        [x, y] => Ok(Level0Point::new(x, y)),
        _ => Err("give X,Y in level-0 pixels, such as 1200,800".to_owned()),
    }
}

/// `X,Y,W,H` in level-0 pixels.
fn parse_rect(text: &str) -> Result<Level0Rect, String> {
    match numbers(text, ',')?[..] {
        [x, y, width, height] if (1.0..=4e9).contains(&width) && (1.0..=4e9).contains(&height) => {
            Ok(Level0Rect::new(x as i64, y as i64, width as u32, height as u32))
        }
        _ => Err("give X,Y,WIDTH,HEIGHT in level-0 pixels, such as 0,0,1000,800".to_owned()),
    }
}

/// `WxH` in pixels of the picture.
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
        .ok_or_else(|| format!("{text:?} holds something that is not a number"))
}

/// `M` or `MX,MY` in µm per pixel.
fn parse_mpp(text: &str) -> Result<crate::geometry::MicronsPerPixel, String> {
    let mpp = match numbers(text, ',')?[..] {
        [mpp] => crate::geometry::MicronsPerPixel::square(mpp),
        [x, y] => crate::geometry::MicronsPerPixel { x, y },
        _ => return Err("give µm per pixel, such as 0.25".to_owned()),
    };
    if mpp.is_plausible() { Ok(mpp) } else { Err(format!("{text} µm is no possible pixel size")) }
}

/// Write one JSON document to standard output.
fn print_json(document: &serde_json::Value) -> anyhow::Result<()> {
    outln!("{}", serde_json::to_string_pretty(document)?);
    Ok(())
}
