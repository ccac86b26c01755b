//! `histokin decode`: decodes one slide on behalf of another process of this program.

use std::path::PathBuf;

use clap::Args;

use crate::geometry::MicronsPerPixel;
use crate::slide::isolated;

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
    /// Memory limit in bytes.
    #[arg(long)]
    memory: u64,
}

/// Runs `histokin decode`.
///
/// # Errors
/// When the slide cannot be opened, or the requesting process cannot be reached.
pub fn run(args: &DecodeArgs) -> anyhow::Result<()> {
    Ok(isolated::serve(&args.slide, args.slide_mpp, !args.no_raw_tiles, args.memory)?)
}
