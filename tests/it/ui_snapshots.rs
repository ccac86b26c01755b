//! Panels beside pictures of them in `tests/snapshots`, so that a change of their look is seen when it is made.
//!
//! After an intended change, write the pictures anew with `UPDATE_SNAPSHOTS=1 cargo test --test it ui_snapshots::` and look
//! at them.

use egui_kittest::kittest::Queryable;
use egui_kittest::{Harness, SnapshotOptions};
use histokin::ui::App;
use image::RgbaImage;

use crate::support::asset;
use crate::ui::{SLIDE, picture, wait, window};

/// Letters are drawn by the processor, but their edges are blended by whatever draws the window: some pixels may differ.
fn compare(picture: &RgbaImage, name: &str) {
    let differing = (picture.width() * picture.height()) as usize / 500;
    egui_kittest::image_snapshot_options(picture, name, &SnapshotOptions::new().max_failed_pixels(differing));
}

/// The part of the window at `left`, `top` (points), of `size`.
fn part(harness: &mut Harness<'_, App>, (left, top): (u32, u32), (width, height): (u32, u32)) -> RgbaImage {
    let window = picture(harness);
    image::imageops::crop_imm(&window, left, top, width, height).to_image()
}

#[test]
fn the_window_without_slides_says_how_to_begin() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), Vec::new());
    harness.run_steps(8);
    compare(&part(&mut harness, (400, 300), (500, 240)), "welcome");
    compare(&part(&mut harness, (1000, 40), (300, 340)), "similar-tissue");
}

#[test]
fn the_card_of_embedding_settings() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path(), vec![asset(SLIDE)]);
    wait(&mut harness, "the slide is open", |app| app.session().active().is_some());
    harness.get_by_label("Embedding settings…").click();
    harness.run_steps(20);
    let card = harness.get_by_label("Detect tissue").rect();
    // Without the slide beside the card.
    let (left, top) = (card.left() as u32 - 10, card.top() as u32 - 44);
    compare(&part(&mut harness, (left, top), (270, 220)), "embedding-settings");
}
