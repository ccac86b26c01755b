//! Time that the window's thread needs per frame, time until a new view is sharp, and time until the window
//! opens.
//!
//!     cargo bench --bench viewer            (add `--profile dev` to avoid a release build)
//!
//! The window runs without a display, at 1920 × 1080 pixels, with any available Vulkan driver, frame by frame
//! as in eframe (input, state, layout, tessellation, uploads, command recording). The CPU time of the thread
//! that does this is measured; the loader's threads decode concurrently. The wall time is printed as well: on
//! a busy machine, the difference is how long the thread waited for a core.
//!
//! A software driver would rasterise on the same cores that are measured, unlike a GPU. Commands are
//! therefore submitted only in the frames that are named so, to show the cost of submission.

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
const FRAMES_OF_TOOL: usize = 160;

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
    for count in crowd::DETECTIONS {
        crowd::detect(&mut window, count);
        move_about(&mut window, &format!(", {count} detections"));
        let hovering = window.measure(FRAMES_OF_TOOL, Drawn::Recorded, Window::hover);
        report(&format!("pointer over {count} detections"), hovering);
        crowd::undo(&mut window);
    }
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

/// Prints quantiles of CPU and wall time of frames in milliseconds.
fn report(what: &str, mut times: [Vec<f64>; 2]) {
    print!("  {what:46}");
    for (times, gap) in times.iter_mut().zip(["", "           "]) {
        times.sort_by(f64::total_cmp);
        let [p50, p95, p99, most] = [0.5, 0.95, 0.99, 1.0].map(|p| support::percentile(times, p));
        print!("{gap} {p50:6.2} {p95:6.2} {p99:6.2} {most:6.2}");
    }
    println!();
}
