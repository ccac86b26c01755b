//! `histokin decode`: decode one slide for another process of this program.

use std::path::PathBuf;

use clap::Args;

use crate::geometry::MicronsPerPixel;
use crate::slide::isolated;

#[derive(Debug, Args)]
pub struct DecodeArgs {
    slide: PathBuf,
    #[arg(long, value_parser = super::parse_mpp)]
    slide_mpp: Option<MicronsPerPixel>,
    /// Leave all pixels to OpenSlide.
    #[arg(long)]
    no_raw_tiles: bool,
    /// Most bytes of memory.
    #[arg(long)]
    memory: u64,
}

pub fn run(args: &DecodeArgs) -> anyhow::Result<()> {
    Ok(isolated::serve(&args.slide, args.slide_mpp, !args.no_raw_tiles, args.memory)?)
}
