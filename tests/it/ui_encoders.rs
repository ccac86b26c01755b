//! The card of encoders: what is known of one is shown before the project changes to it.

use std::path::Path;

use egui_kittest::kittest::Queryable;
use histokin::session::{EmbeddingCommand, EncoderChoice, EncoderState};

use crate::support::asset;
use crate::ui::{SLIDE, wait, window};

#[test]
fn a_chosen_file_is_shown_with_what_is_known_of_it_and_then_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![asset(SLIDE)]);
    wait(&mut harness, "slide and encoder are known", |app| {
        app.session().active().is_some() && matches!(app.session().encoder(), EncoderState::Known(_))
    });
    harness.get_by_label("Encoders…").click();
    wait(&mut harness, "the encoders are listed", |app| !app.session().embedding().listed().is_empty());
    harness.get_by_label_contains("This project uses tissue-whitened");
    harness.get_by_label("tissue-prototypes");

    let weights = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("crates/histokin-encoder/tests/fixtures/vit/hugging_face_vit.safetensors");
    let which = weights.to_str().unwrap().to_owned();
    harness.state_mut().command(EmbeddingCommand::ExamineEncoder(which.clone()));
    wait(&mut harness, "the file is read", |app| {
        matches!(app.session().embedding().choice(), EncoderChoice::Offered(_))
    });
    harness.get_by_label("vision transformer of 2 blocks of 32 numbers, patches of 16 px");
    harness.get_by_label("64 px at 0.5 µm/px");
    harness.get_by_label("Use for this project").click();
    wait(&mut harness, "the encoder is used", |app| app.session().project().encoder_name() == which);
    let tiles = harness.state().session().project().settings().tiles;
    assert_eq!((tiles.tile_px, tiles.mpp), (64, 0.5));

    harness.state_mut().command(EmbeddingCommand::ExamineEncoder("no-such-encoder".into()));
    wait(&mut harness, "it is refused", |app| {
        matches!(app.session().embedding().choice(), EncoderChoice::Refused(_))
    });
    harness.get_by_label_contains("no encoder \"no-such-encoder\"");
    harness.get_by_label("Cancel").click();
    harness.run_steps(3);
    harness.get_by_label("From file…");
}
