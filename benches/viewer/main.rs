//! What the window's thread spends on a frame, how long a view takes until it is sharp, and how soon the window is
//! there.
//!
//!     cargo bench --bench viewer            (add `--profile dev` to save the release build)
//!
//! The window itself runs here without a display, 1920 × 1080 pixels large, drawn by whatever Vulkan driver
//! there is: one frame after the other as eframe makes them (input, state, layout, tessellation, uploads,
//! recording the commands). Measured is the CPU time of the one thread that does this; the loader's threads
//! decode beside it. The time on the clock is told as well: on a machine with other work it says how long the
//! thread was kept from its core.
//!
//! A software driver would rasterise on the very cores that are measured, which a graphics card does not. So
//! the commands are submitted only in the frames named so, to tell what submitting adds.

mod crowd;
mod start;
mod views;
mod window;

#[path = "../support/mod.rs"]
mod support;

use egui::Key;

use window::{Drawn, Window};

const FRAMES: usize = 600;
const FRAMES_SUBMITTED: usize = 40;

fn main() {
    println!("machine: {}", support::machine());
    start::report();
    views::hundred_slides();
    let mut window = Window::open(support::slide());
    println!("drawn by {}, slide {}, embedding paused", window.adapter(), window.slide_name());
    window.wait_until_sharp();
    views::new_views(&mut window);
    views::fling(&mut window);
    window.press(Key::Num5);
    window.wait_until_sharp();
    println!(
        "UI thread, ms a frame (aim: p95 ≤ 4, p99 ≤ 8)      CPU: p50    p95    p99    most     clock: p50    p95    p99    most"
    );
    let submitted = window.measure(FRAMES_SUBMITTED, Drawn::Submitted, Window::pan);
    report("panning, commands submitted too", submitted);
    let still = window.measure(FRAMES, Drawn::Recorded, |_, _| {});
    report("nothing moves", still);
    move_about(&mut window, "");
    crowd::highlight(&mut window);
    crowd::annotate(&mut window);
    move_about(&mut window, ", crowded");
    println!(
        "  (crowded: {} highlighted tiles and {} annotations in view)",
        crowd::HIGHLIGHTED,
        crowd::ANNOTATIONS
    );
}

fn move_about(window: &mut Window, how: &str) {
    let panning = window.measure(FRAMES, Drawn::Recorded, Window::pan);
    report(&format!("panning{how}"), panning);
    let zooming = window.measure(FRAMES, Drawn::Recorded, Window::zoom);
    report(&format!("zooming{how}"), zooming);
}

/// CPU and clock time of frames in milliseconds.
fn report(what: &str, mut times: [Vec<f64>; 2]) {
    print!("  {what:46}");
    for (times, gap) in times.iter_mut().zip(["", "           "]) {
        times.sort_by(f64::total_cmp);
        let [p50, p95, p99, most] = [0.5, 0.95, 0.99, 1.0].map(|p| support::percentile(times, p));
        print!("{gap} {p50:6.2} {p95:6.2} {p99:6.2} {most:6.2}");
    }
    println!();
}
