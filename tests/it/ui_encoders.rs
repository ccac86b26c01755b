//! The page of encoders: what is known of one, and what it finds, is shown before the project changes to it.

use std::path::Path;

use egui::accesskit::Role;
use egui_kittest::kittest::Queryable;
use histokin::session::{EmbeddingCommand, EncoderChoice, EncoderState, PreviewState, SlideCommand};

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
    harness.run_steps(3);
    harness.get_by_label_contains("This project uses tissue-views");
    wait(&mut harness, "the encoders are listed", |app| app.session().encoders().is_some());
    harness.get_by_role_and_label(Role::Button, "tissue-prototypes").click();
    wait(&mut harness, "it is read", |app| {
        matches!(app.session().embedding().choice(), EncoderChoice::Offered(_))
    });
    harness.get_by_label_contains("what training starts from");
    harness.get_by_label("MIT, as histokin; the network's weights BSD-3-Clause");

    let weights = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("crates/histokin-encoder/tests/fixtures/vit/hugging_face_vit.safetensors");
    let which = weights.to_str().unwrap().to_owned();
    // As dropped on the window.
    harness.state_mut().command(SlideCommand::Open(vec![weights.clone()]));
    wait(&mut harness, "the file is read and tried", |app| {
        matches!(app.session().encoder_preview(), PreviewState::Done(_))
    });
    let PreviewState::Done(preview) = harness.state().session().encoder_preview() else { unreachable!() };
    assert!(preview.tiles.len() > 60 && preview.tiles_per_second > 0.0, "{}", preview.tiles.len());
    assert!(preview.queries.iter().all(|query| query.nearest.len() == 5), "{:?}", preview.queries);
    harness.get_by_label_contains("its nearest tiles among");
    harness.get_by_label("vision transformer of 2 blocks of 32 numbers, patches of 16 px");
    harness.get_by_label("64 px at 0.5 µm/px");
    // What the file leaves open is asked for, with the guess filled in.
    harness.get_by_label("Add to my encoders…").click();
    harness.run_steps(3);
    harness.get_by_label_contains("some is assumed");
    let heads = harness.get_by_role_and_label(Role::SpinButton, "Attention heads").value();
    assert_eq!(heads.as_deref(), Some("1"));
    harness.get_by_role_and_label(Role::SpinButton, "Mean of colours, red");
    harness.get_by_label("Output: class token");
    harness.get_by_label("Keep it as it is").click();
    harness.run_steps(3);
    assert!(harness.query_by_label_contains("some is assumed").is_none());
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
    // The page's cross and the button above the list of slides both lead back to the slide.
    harness.get_all_by_label("Encoders…").next().expect("a button").click();
    harness.run_steps(3);
    harness.get_by_label("slide canvas");
}
