//! The `histokin` program: opens the window, or runs a subcommand.

use std::process::ExitCode;

use anyhow::Context;

use histokin::cli::{self, Cli, output};
use histokin::{encoder, logging};

fn main() -> ExitCode {
    let cli = Cli::of_process();
    // A decoder process must not write files; it reports errors to the process that started it.
    if !cli.is_decoder()
        && let Err(reason) = logging::start(cli.log.as_deref())
    {
        output::note(format_args!("histokin: {reason}"));
        return ExitCode::FAILURE;
    }
    if cli.trust_torchscript {
        encoder::trust::allow_all();
    }
    cli.isolate_slides();
    let chosen = cli.engine.map_or(Ok(()), encoder::engine::choose).map_err(anyhow::Error::from);
    let result = chosen.and_then(|()| match &cli.command {
        Some(command) => cli::run(command),
        None => open_window(cli.window),
    });
    match result.and_then(|()| output::finish().context("standard output")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format_args!("histokin: {}", cli::in_words(&error)));
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "gui")]
fn open_window(window: cli::WindowArgs) -> anyhow::Result<()> {
    let options = histokin::ui::WindowOptions {
        paths: window.paths,
        project: window.project,
        device: window.device,
        cache_mib: window.cache_mb,
        safe_gpu: window.safe_gpu,
        new_window: window.new_window,
        ..histokin::ui::WindowOptions::default()
    };
    if histokin::ui::hand_over(&options) {
        output::note(format_args!(
            "histokin: a window is open and takes this; --new-window opens another one"
        ));
        return Ok(());
    }
    histokin::ui::run(options)
}

#[cfg(not(feature = "gui"))]
fn open_window(_: cli::WindowArgs) -> anyhow::Result<()> {
    anyhow::bail!("this build has no window; the subcommands are listed by `histokin --help`")
}
