//! `histokin`: without a subcommand the window, else the command line.

use std::process::ExitCode;

use clap::Parser;
use histokin::cli::{self, Cli};

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HISTOKIN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,wgpu_hal=error,wgpu_core=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let cli = Cli::parse();
    cli.isolate_slides();
    let result = match &cli.command {
        Some(command) => cli::run(command),
        None => open_window(cli.window),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("histokin: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "gui")]
fn open_window(window: cli::WindowArgs) -> anyhow::Result<()> {
    if let Some(mib) = window.cache_mb {
        histokin::memory::Budget::of_process().set_limit((mib as usize) << 20);
    }
    histokin::ui::run(histokin::ui::WindowOptions {
        paths: window.paths,
        project: window.project,
        device: window.device,
        state_file: None,
        safe_gpu: window.safe_gpu,
    })
}

#[cfg(not(feature = "gui"))]
fn open_window(_: cli::WindowArgs) -> anyhow::Result<()> {
    anyhow::bail!("this build has no window; the subcommands are listed by `histokin --help`")
}
