//! Time to sharp views at new and revisited positions, a fling across the slide, and many slides within one
//! memory budget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::{Event, Key};
use histokin::memory::Budget;
use histokin::slide;
use histokin::slide::pyramid::{DisplayPyramid, SlideKey, TileKey};
use histokin::workers::tile_loader::{TileLoader, ViewKey};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::support;
use crate::window::{Drawn, SIZE, Window};

const NEW_VIEWS: usize = 40;
const SEEN_AGAIN: usize = 30;

/// Result of a jump to a position.
struct Jump {
    /// Milliseconds until the whole view was sharp.
    sharp_ms: f64,
    /// Frames until then; 1 is the next frame.
    frames: usize,
    /// Whether the first frame showed at least a coarser level everywhere.
    covered: bool,
    /// Number of display tiles missing in the first frame.
    lacked: usize,
}

/// Jumps to new positions at 1:1, and back to them.
pub fn new_views(window: &mut Window) {
    window.press(Key::Num7);
    window.wait_until_sharp();
    // Views far enough apart to share no tiles, in random order.
    let (width, height) = {
        let info = window.app.session().active().expect("a slide").source.info();
        (f64::from(info.width()), f64::from(info.height()))
    };
    let count = |length: f64, view: f32| ((length / f64::from(view) / 1.9) as usize).max(1);
    let (columns, rows) = (count(width, SIZE.x), count(height, SIZE.y));
    let mut positions: Vec<(f32, f32)> = (0..columns * rows)
        .map(|view| {
            let share = |index: usize, count: usize| (index as f32 + 0.5) / count as f32;
            (share(view % columns, columns), share(view / columns, rows))
        })
        .collect();
    positions.shuffle(&mut ChaCha8Rng::seed_from_u64(11));
    let cold: Vec<Jump> = positions.iter().take(NEW_VIEWS).map(|&at| jump(window, at)).collect();
    let cold: Vec<Jump> = cold.into_iter().filter(|jump| jump.lacked > 0).collect();
    let visited = &positions[..positions.len().min(NEW_VIEWS)];
    let again: Vec<Jump> =
        visited.iter().rev().skip(1).take(SEEN_AGAIN).map(|&at| jump(window, at)).collect();
    let mut times: Vec<f64> = cold.iter().map(|jump| jump.sharp_ms).collect();
    times.sort_by(f64::total_cmp);
    println!(
        "cold, a new view at 1:1 (aim: p50 ≤ 100 ms, p95 ≤ 250 ms): sharp after p50 {:.0} ms, p95 {:.0} ms, most {:.0} ms ({} views, {:.1} tiles each); a coarser level everywhere in the next frame: {} of {}",
        support::percentile(&times, 0.5),
        support::percentile(&times, 0.95),
        support::percentile(&times, 1.0),
        cold.len(),
        cold.iter().map(|jump| jump.lacked as f64).sum::<f64>() / cold.len().max(1) as f64,
        cold.iter().filter(|jump| jump.covered).count(),
        cold.len(),
    );
    let at_once = again.iter().filter(|jump| jump.frames == 1).count();
    println!("revisited (aim: the next frame): sharp in the next frame {at_once} of {}", again.len());
}

fn jump(window: &mut Window, (across, down): (f32, f32)) -> Jump {
    let at = window.overview_at(across, down);
    window.event(Event::PointerMoved(at));
    window.step(Drawn::Recorded);
    window.button(at, true);
    let begun = Instant::now();
    window.step(Drawn::Recorded);
    let first = window.app.missing_tiles();
    let mut frames = 1;
    while window.app.missing_tiles().sharp > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the view does not become sharp");
        window.step(Drawn::Recorded);
        frames += 1;
    }
    let sharp_ms = begun.elapsed().as_secs_f64() * 1000.0;
    window.release(at);
    window.wait_until_sharp();
    Jump { sharp_ms, frames, covered: first.all == 0, lacked: first.sharp }
}

/// Drags across the slide with the overview, faster than tiles can be decoded.
pub fn fling(window: &mut Window) {
    window.press(Key::Num7);
    window.wait_until_sharp();
    // Empties the caches: tiles seen before would not be decoded again.
    let limit = Budget::of_process().limit();
    Budget::of_process().set_limit(0);
    Budget::of_process().set_limit(limit);
    let before = window.app.loader_counts();
    for sweep in 0..6 {
        for step in 0..20 {
            let across = if sweep % 2 == 0 { step as f32 / 19.0 } else { 1.0 - step as f32 / 19.0 };
            let at = window.overview_at(across, (sweep as f32 + 0.5) / 6.0);
            window.event(Event::PointerMoved(at));
            if sweep + step == 0 {
                window.button(at, true);
            }
            window.step(Drawn::Recorded);
        }
    }
    let at = window.overview_at(0.5, 0.5);
    window.release(at);
    window.wait_until_sharp();
    let after = window.app.loader_counts();
    let decoded = after.decoded - before.decoded;
    let late = after.late - before.late;
    println!(
        "fling across the slide: {decoded} tiles decoded, {} dropped before; no longer wanted when their decoding began (aim ≤ 5 %): at most {late} ({:.1} %), the number no longer wanted on arrival",
        after.dropped - before.dropped,
        100.0 * late as f64 / decoded.max(1) as f64,
    );
}

/// Views a hundred open slides in turn, with a memory budget for only a few of their tiles.
pub fn hundred_slides() {
    const SLIDES: u32 = 100;
    const LIMIT: usize = 256 << 20;

    let paths = support::slides();
    let budget = Budget::new(LIMIT);
    let loader = TileLoader::start(2, budget.clone(), Arc::new(|| ())).expect("threads");
    let pyramids: Vec<Arc<DisplayPyramid>> = (0..SLIDES)
        .map(|number| {
            let path = &paths[number as usize % paths.len()];
            let source = slide::open(path, None).expect("a slide");
            Arc::new(DisplayPyramid::new(SlideKey(number), source))
        })
        .collect();
    pyramids.iter().for_each(|pyramid| loader.add_slide(pyramid.clone()));
    let before = support::resident_mib();
    let (mut most, mut tiles) = (0, 0);
    for pyramid in &pyramids {
        let level = pyramid.levels()[0];
        let wanted: Vec<TileKey> = (0..24)
            .map(|index| TileKey {
                slide: pyramid.key(),
                level: 0,
                column: (index % 6) % level.columns(),
                row: (index / 6) % level.rows(),
            })
            .collect();
        loader.want(ViewKey(0), wanted);
        while !loader.is_idle() {
            tiles += loader.take_loaded(64).len();
            most = most.max(budget.used());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    println!(
        "{SLIDES} slides open, {tiles} tiles of 1 MiB loaded: at most {} MiB cached with a budget of {} MiB; resident memory grew by {:.0} MiB",
        most >> 20,
        LIMIT >> 20,
        support::resident_mib() - before,
    );
    assert!(most <= LIMIT, "the budget is kept");
}
