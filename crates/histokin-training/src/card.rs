//! The card of an encoder: data, settings and results of its training.

use std::fmt::Write;

use super::run::{Run, RunStatus};

/// Returns the card of a run's encoder, in Markdown.
pub fn card(run: &Run) -> String {
    let (history, config) = (run.history(), &run.config);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# Encoder of {}\n", run.card.id);
    let how = match config.method {
        super::config::Method::Siamese => format!("siamese method, {} loss", config.loss.name()),
        super::config::Method::Npid => "instance discrimination (NPID)".to_owned(),
    };
    let _ = writeln!(
        text,
        "{} with {how}: tiles of {} px at {} µm/px, near below {} mm, far beyond {} mm, seed {}. histokin {} on {}.\n",
        config.backbone.shown_name(),
        config.tile_px,
        config.mpp,
        config.near_mm,
        config.far_mm,
        config.seed,
        run.card.program_version,
        run.card.device,
    );
    if let RunStatus::Finished { encoder_id, step, seconds, .. } = &run.card.status {
        let _ = writeln!(text, "{step} steps in {:.0} min. Encoder ID {encoder_id}.\n", seconds / 60.0);
    }
    for (title, validation) in [("Trained on", false), ("Validated on", true)] {
        let mut slides = run.card.slides.iter().filter(|slide| slide.validation == validation).peekable();
        if slides.peek().is_some() {
            let _ = writeln!(text, "## {title}\n");
            for slide in slides {
                let name = slide.path.file_name().unwrap_or_default().to_string_lossy();
                let _ = writeln!(text, "- {name} ({})", slide.id.short());
            }
            text.push('\n');
        }
    }
    if !history.validations.is_empty() {
        let _ = writeln!(
            text,
            "## Validation\n\n| step | ADDR | median over slides | P@1 | P@5 | chance level | tiles |\n|---|---|---|---|---|---|---|"
        );
        for validation in &history.validations {
            let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} |",
                validation.step,
                number(validation.addr_global),
                number(validation.addr_median),
                number(validation.retrieval.map(|found| found.p_at_1)),
                number(validation.retrieval.map(|found| found.p_at_5)),
                number(validation.retrieval.map(|found| found.chance_level)),
                validation.tiles
            );
        }
        text.push_str(
            "\nADDR is the mean descriptor distance of far pairs divided by that of near pairs. It does not say whether tissue \
             of the same class is found. P@1 and P@5 do: labelled tiles are searched for on the other validation slides, and \
             the share of correct matches is averaged over classes.\n\n",
        );
    }
    let _ = writeln!(text, "## Settings\n\n```toml\n{}```", config.to_toml());
    text
}
