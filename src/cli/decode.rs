//! `histokin decode`: decodes one slide on behalf of another process of this program.

use std::path::PathBuf;

use clap::Args;

use crate::geometry::MicronsPerPixel;
use crate::slide::channel::ChannelDisplay;
use crate::slide::{OpenSettings, isolated};

/// The channels of a slide, as one argument.
#[derive(Debug, Clone, Default)]
struct Channels(Vec<ChannelDisplay>);

fn parse_channels(text: &str) -> Result<Channels, String> {
    serde_json::from_str(text).map(Channels).map_err(|error| error.to_string())
}

/// Options of `histokin decode`.
#[derive(Debug, Args)]
pub struct DecodeArgs {
    /// The slide.
    slide: PathBuf,
    /// Pixel size of the slide in µm, overriding the one in the file: M or MX,MY.
    #[arg(long, value_parser = super::parse_mpp)]
    slide_mpp: Option<MicronsPerPixel>,
    /// Read all pixels through OpenSlide.
    #[arg(long)]
    no_raw_tiles: bool,
    /// How the channels are shown, as JSON.
    #[arg(long, value_parser = parse_channels)]
    channels: Option<Channels>,
    /// Memory limit in bytes.
    #[arg(long)]
    memory: u64,
}

/// Runs `histokin decode`.
///
/// # Errors
/// When the slide cannot be opened, or the requesting process cannot be reached.
pub fn run(args: &DecodeArgs) -> anyhow::Result<()> {
    let settings = OpenSettings {
        user_mpp: args.slide_mpp,
        raw_tiles_allowed: !args.no_raw_tiles,
        channels: args.channels.clone().unwrap_or_default().0,
    };
    Ok(isolated::serve(&args.slide, &settings, args.memory)?)
}
