//! A monkey at the window: actions of the table, clicks, drags, turns of the wheel, typing, slides opened and taken
//! away, all at random from a seed. Whatever it does, the window lives on; what it opened is closed again, and memory
//! stays flat. `make test` lets it play for a moment, `make torture` for as long as it is told to.
//!
//! It plays in a process of its own, where memory is its own, and no dialog of the system can be opened.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eframe::egui_wgpu::WgpuSetup;
use eframe::wgpu;
use egui::{
    Event, Key, KeyboardShortcut, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2,
    TouchPhase, Vec2, ViewportEvent, ViewportId,
};
use egui_kittest::Harness;
use histokin::encoder::DeviceChoice;
use histokin::memory::Budget;
use histokin::project::Project;
use histokin::session::{
    EvaluationCommand, MessageCommand, QueryCommand, SlideCommand, SlideStatus, TrainingCommand,
};
use histokin::ui::{App, WindowOptions};
use image::{Rgb, RgbImage};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{asset, write_pyramid};
use crate::ui::{Dropped, SLIDE, wait};

/// Where the monkey plays.
const PLAYGROUND: &str = "HISTOKIN_MONKEY_FOLDER";
/// How many actions, and how many slides to open and take away, beyond the short form's.
const ACTIONS: &str = "HISTOKIN_TORTURE_ACTIONS";
const SLIDES: &str = "HISTOKIN_TORTURE_SLIDES";

const FEW_ACTIONS: usize = 300;
const FEW_SLIDES: usize = 4;
/// From here on memory is expected to be flat: caches have been filled by the first tenth.
const MANY_ACTIONS: usize = 5_000;
const MANY_SLIDES: usize = 100;
/// The window's usual size, in points.
const WINDOW: Vec2 = Vec2::new(1300.0, 860.0);
/// Growth of the memory in use that is let pass.
const GROWTH: f64 = 1.10;

/// Commands that reach beyond the test's folder: they start a browser, or work on slides of the source tree.
const OUTSIDE: [&str; 2] = ["Open the guide", "Open demonstration"];
/// Actions between two pictures of the window, which cost most of the time.
const RENDERED_EVERY: usize = 20;

fn asked_for(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |count| count.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn random() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(asked_for("HISTOKIN_TORTURE_SEED", 7) as u64)
}

/// Have one of the ignored tests below done in a process without display and without the user's own folders.
fn in_a_process_of_its_own(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let mut process = Process::new(std::env::current_exe().unwrap());
    process
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(PLAYGROUND, folder.path())
        .env("HOME", &home)
        // Nothing that could open a dialog is found.
        .env("PATH", folder.path())
        .env("MALLOC_ARENA_MAX", "2")
        .current_dir(&home)
        .stdin(Stdio::null());
    for name in ["DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"] {
        process.env_remove(name);
    }
    for name in ["XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
        process.env(name, home.join(name));
    }
    // A long form is watched; a short one only speaks when it fails.
    if std::env::var_os(ACTIONS).is_some() || std::env::var_os(SLIDES).is_some() {
        assert!(process.status().unwrap().success());
    } else {
        let output = process.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        println!("{}", String::from_utf8_lossy(&said));
        assert!(output.status.success(), "the monkey has won");
    }
}

#[test]
fn a_monkey_neither_ends_the_window_nor_makes_it_grow() {
    in_a_process_of_its_own("monkey::at_play");
}

#[test]
fn slides_that_are_opened_and_taken_away_leave_nothing_behind() {
    in_a_process_of_its_own("monkey::at_opening_slides");
}

/// What the process holds of the machine.
#[derive(Clone, Copy)]
struct Held {
    /// Memory of its own in RAM, in MiB, after what is free has been given back.
    own_mib: f64,
    /// Pages of files in RAM, in MiB: code of libraries that has run by now, descriptors that are mapped. The system
    /// takes them back when it likes.
    mapped_mib: f64,
    /// What has been asked of the allocator and not been given back, in MiB: the rest of its memory lies between that.
    asked_mib: f64,
    files: usize,
    threads: usize,
}

impl Held {
    #[expect(unsafe_code, reason = "only the C library can give its free memory back")]
    fn now() -> Self {
        // SAFETY: it may be called at any time, from any thread.
        #[cfg(target_env = "gnu")]
        let asked = unsafe {
            libc::malloc_trim(0);
            let known = libc::mallinfo2();
            known.uordblks + known.hblkhd
        };
        #[cfg(not(target_env = "gnu"))]
        let asked = 0;
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let number = |name: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        Self {
            own_mib: (number("RssAnon:") + number("RssShmem:")) / 1024.0,
            mapped_mib: number("RssFile:") / 1024.0,
            asked_mib: asked as f64 / f64::from(1 << 20),
            files: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: number("Threads:") as usize,
        }
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { own_mib, mapped_mib, asked_mib, files, threads } = self;
        write!(f, "{own_mib:.0} MiB ({asked_mib:.0} in use), {mapped_mib:.0} MiB of files, ")?;
        write!(f, "{files} files open, {threads} threads")
    }
}

/// Say what has been done and what it cost; fail if something was not given back.
fn judge(what: &str, began: Instant, warm: Held, end: Held, is_memory_judged: bool) {
    let grown = end.own_mib / warm.own_mib;
    println!("{what} in {:.0} s", began.elapsed().as_secs_f64());
    println!("  after warming up: {warm}");
    println!("  at the end:       {end}; memory {:+.1} %", 100.0 * (grown - 1.0));
    // A file may be written just then.
    assert!(end.files <= warm.files + 2, "{} files are still open", end.files - warm.files);
    if is_memory_judged {
        // Pools grow by some threads.
        assert!(end.threads <= warm.threads + 16, "{} threads are still there", end.threads - warm.threads);
        assert!(grown <= GROWTH, "memory has grown by {:.1} %", 100.0 * (grown - 1.0));
    }
}

/// What the monkey did last, told when it ends in a panic.
#[derive(Default)]
struct Diary {
    last: VecDeque<String>,
    done: usize,
}

impl Diary {
    fn note(&mut self, action: String) {
        self.done += 1;
        self.last.push_back(action);
        if self.last.len() > 25 {
            self.last.pop_front();
        }
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut text = String::new();
            for (back, action) in self.last.iter().enumerate() {
                let _ = write!(text, "\n  {}: {action}", self.done + back + 1 - self.last.len());
            }
            println!("after {} actions, the last ones:{text}", self.done);
        }
    }
}

/// A device whose driver holds little more than is used. The usual one holds blocks of hundreds of MiB, which come into
/// use by and by: in software that looks as if the program grew.
fn frugal() -> WgpuSetup {
    let mut setup = egui_kittest::wgpu::default_wgpu_setup();
    if let WgpuSetup::CreateNew(new) = &mut setup {
        let usual = new.device_descriptor.clone();
        new.device_descriptor = Arc::new(move |adapter| wgpu::DeviceDescriptor {
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..usual(adapter)
        });
    }
    setup
}

/// A window that shows a box for what its fonts do not have, as the program does.
fn open_window(project: &Path, options: WindowOptions) -> Harness<'static, App> {
    let project = Project::open_or_create(project).expect("a project");
    let options = WindowOptions { device: DeviceChoice::Cpu, ..options };
    Harness::builder()
        .with_size(WINDOW)
        .with_render_cursor(false)
        .allow_missing_glyphs()
        .wgpu_setup(frugal())
        .build_eframe(|context| App::new(context, project, options).expect("a window"))
}

struct Monkey {
    random: ChaCha8Rng,
    harness: Harness<'static, App>,
    diary: Diary,
    table: Vec<(&'static str, &'static [KeyboardShortcut])>,
    paths: Vec<PathBuf>,
}

/// What it types: numbers, words, paths that are not there, and more than fits.
const TYPED: [&str; 10] =
    ["7", "0.25", "-1", "1e9", "tumour", "lung", "nowhere.svs", "ß∂𝛼", "\u{202e}x", "a, b; c"];
const KEYS: [Key; 14] = [
    Key::Enter,
    Key::Escape,
    Key::Tab,
    Key::Backspace,
    Key::Delete,
    Key::ArrowDown,
    Key::ArrowUp,
    Key::ArrowLeft,
    Key::Home,
    Key::End,
    Key::PageDown,
    Key::Space,
    Key::A,
    Key::Q,
];

impl Monkey {
    fn new(folder: &Path) -> Self {
        Budget::of_process().set_limit(64 << 20);
        let options =
            WindowOptions { state_file: Some(folder.join("window.toml")), ..WindowOptions::default() };
        let broken = folder.join("broken.svs");
        std::fs::write(&broken, "this is no slide").unwrap();
        // Copies: it writes annotations beside slides, too.
        let copy = |slide: &str| {
            let to = folder.join(Path::new(slide).file_name().unwrap());
            std::fs::copy(asset(slide), &to).unwrap();
            to
        };
        let paths = vec![copy(SLIDE), copy("slides/CMU-1-Small-Region-rotated-cut.tif"), broken];
        Self {
            random: random(),
            harness: open_window(&folder.join("project"), options),
            diary: Diary::default(),
            table: histokin::ui::actions().filter(|(name, _)| !OUTSIDE.contains(name)).collect(),
            paths,
        }
    }

    /// Have the frame drawn. A machine that is busy otherwise may take longer than is waited for the picture.
    fn draw(&mut self) {
        if let Err(reason) = self.harness.render() {
            assert!(reason.contains("timed out"), "{reason}");
        }
    }

    fn choose<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())].clone()
    }

    fn place(&mut self) -> Pos2 {
        let size = self.harness.ctx.content_rect().size();
        Pos2::new(
            self.random.random_range(0.0..size.x.max(1.0)),
            self.random.random_range(0.0..size.y.max(1.0)),
        )
    }

    fn modifiers(&mut self) -> Modifiers {
        self.choose(&[
            Modifiers::NONE,
            Modifiers::NONE,
            Modifiers::NONE,
            Modifiers::SHIFT,
            Modifiers::COMMAND,
            Modifiers::ALT,
        ])
    }

    fn event(&mut self, event: Event) {
        self.harness.event(event);
        self.harness.step();
    }

    fn button(&mut self, pos: Pos2, button: PointerButton, pressed: bool, modifiers: Modifiers) {
        self.event(Event::PointerButton { pos, button, pressed, modifiers });
    }

    /// One thing that a hand could do.
    fn act(&mut self) {
        let action = match self.random.random_range(0..100) {
            0..40 => self.use_the_table(),
            40..60 => self.click(),
            60..72 => self.drag(),
            72..82 => self.turn_the_wheel(),
            82..90 => self.type_something(),
            90..94 => self.change_the_window(),
            _ => self.change_the_slides(),
        };
        self.diary.note(action);
        self.harness.step();
        if self.diary.done.is_multiple_of(RENDERED_EVERY) {
            self.draw();
        }
        let session = self.harness.state().session();
        for message in session.messages() {
            assert!(!message.text.contains("error in histokin itself"), "{message:?}");
        }
        // Hours of learning are no part of this.
        if session.training().running().active {
            self.harness.state_mut().command(TrainingCommand::Stop);
        }
    }

    fn use_the_table(&mut self) -> String {
        let table = self.table.clone();
        let (name, shortcuts) = self.choose(&table);
        if let Some(shortcut) = shortcuts.first() {
            self.harness.key_press_modifiers(shortcut.modifiers, shortcut.logical_key);
            self.harness.step();
        } else {
            self.harness.key_press_modifiers(Modifiers::COMMAND, Key::K);
            self.harness.step();
            self.event(Event::Text(name.to_owned()));
            self.harness.key_press(Key::Enter);
            self.harness.step();
        }
        name.to_owned()
    }

    fn click(&mut self) -> String {
        let (at, modifiers) = (self.place(), self.modifiers());
        let button = self.choose(&[
            PointerButton::Primary,
            PointerButton::Primary,
            PointerButton::Primary,
            PointerButton::Secondary,
        ]);
        self.event(Event::PointerMoved(at));
        let times = self.random.random_range(1..=2);
        for _ in 0..times {
            self.button(at, button, true, modifiers);
            self.button(at, button, false, modifiers);
        }
        format!("click {button:?} at {at:?}, {times} times, {modifiers:?}")
    }

    fn drag(&mut self) -> String {
        let (from, to, modifiers) = (self.place(), self.place(), self.modifiers());
        let button = self.choose(&[PointerButton::Primary, PointerButton::Primary, PointerButton::Middle]);
        self.event(Event::PointerMoved(from));
        self.button(from, button, true, modifiers);
        for step in 1..=4 {
            self.event(Event::PointerMoved(from + (to - from) * (step as f32 / 4.0)));
        }
        match self.random.random_range(0..20) {
            0 => self.event(Event::PointerGone),
            1 => self.event(Event::WindowFocused(false)),
            _ => {}
        }
        self.button(to, button, false, modifiers);
        self.event(Event::WindowFocused(true));
        format!("drag {button:?} from {from:?} to {to:?}, {modifiers:?}")
    }

    fn turn_the_wheel(&mut self) -> String {
        let (at, modifiers) = (self.place(), self.modifiers());
        self.event(Event::PointerMoved(at));
        let amount = self.random.random_range(-300.0..300.0);
        let delta = self.choose(&[Vec2::new(0.0, amount), Vec2::new(amount, 0.0)]);
        if self.random.random_bool(0.3) {
            self.event(Event::Zoom((amount / 200.0).exp()));
        } else {
            let source = self.choose(&[MouseWheelSource::Wheel, MouseWheelSource::Trackpad]);
            let (unit, phase) = (MouseWheelUnit::Point, TouchPhase::Move);
            self.event(Event::MouseWheel { unit, delta, phase, modifiers, source });
        }
        format!("wheel {delta:?} at {at:?}, {modifiers:?}")
    }

    fn type_something(&mut self) -> String {
        if self.random.random_bool(0.5) {
            let key = self.choose(&KEYS);
            self.harness.key_press(key);
            self.harness.step();
            return format!("key {key:?}");
        }
        let mut text = self.choose(&TYPED).to_owned();
        if self.random.random_bool(0.1) {
            text = text.repeat(200);
        }
        let event = self.choose(&[Event::Text(text.clone()), Event::Paste(text.clone())]);
        self.event(event);
        format!("typed {:?}", text.chars().take(12).collect::<String>())
    }

    fn change_the_window(&mut self) -> String {
        match self.random.random_range(0..4) {
            0 => {
                let size = Vec2::new(
                    self.random.random_range(240.0..1800.0),
                    self.random.random_range(160.0..1200.0),
                );
                self.harness.set_size(size);
                format!("size {size:?}")
            }
            1 => {
                let scale = self.choose(&[1.0, 1.25, 2.0]);
                self.harness.set_pixels_per_point(scale);
                format!("{scale} pixels a point")
            }
            2 => {
                self.harness.set_size(WINDOW);
                self.harness.ctx.set_zoom_factor(1.0);
                "usual size".to_owned()
            }
            _ => {
                let root = self.harness.input_mut().viewports.entry(ViewportId::ROOT).or_default();
                root.events.push(ViewportEvent::Close);
                "the close button".to_owned()
            }
        }
    }

    fn change_the_slides(&mut self) -> String {
        let slides = self.harness.state().session().slides();
        let ids: Vec<_> = slides.iter().map(|slide| slide.id().clone()).collect();
        if !ids.is_empty() && self.random.random_bool(0.4) {
            let id = self.choose(&ids);
            self.harness.state_mut().command(SlideCommand::Remove(id));
            return "a slide is taken off the list".to_owned();
        }
        let paths = self.paths.clone();
        let path = self.choose(&paths);
        let said = format!("open {}", path.display());
        if self.random.random_bool(0.3) {
            let dropped = Arc::new(Dropped(path)) as egui::DroppedFileHandle;
            self.harness.input_mut().dropped_files.push(dropped);
        } else {
            self.harness.state_mut().command(SlideCommand::Open(vec![path]));
        }
        said
    }

    /// Have everything closed, as the window was at its start, and wait until workers rest.
    fn come_to_rest(&mut self) -> Held {
        // Pictures of the window's size, and glyphs of its scale, are held in memory.
        self.harness.set_size(WINDOW);
        self.harness.set_pixels_per_point(1.0);
        self.harness.ctx.set_zoom_factor(1.0);
        for _ in 0..6 {
            self.harness.key_press(Key::Escape);
            self.harness.step();
        }
        // One pane, and letters of the usual size: tiles of further panes and further glyphs are held, too.
        for key in [Key::Num1, Key::Num0] {
            self.harness.key_press_modifiers(Modifiers::COMMAND, key);
            self.harness.step();
        }
        let app = self.harness.state_mut();
        let ids: Vec<_> = app.session().slides().iter().map(|slide| slide.id().clone()).collect();
        ids.into_iter().for_each(|id| app.command(SlideCommand::Remove(id)));
        app.command(QueryCommand::Clear);
        app.command(EvaluationCommand::Stop);
        let told: Vec<u64> = app.session().messages().iter().map(|message| message.id).collect();
        told.into_iter().for_each(|id| app.command(MessageCommand::Dismiss(id)));
        // Whatever was under way ends by now; what comes of it is taken over.
        for _ in 0..40 {
            self.harness.run_steps(2);
            std::thread::sleep(Duration::from_millis(50));
        }
        self.draw();
        Held::now()
    }

    /// Use once what is loaded when it is first needed: the encoder, the index, all of a slide's tiles.
    fn warm_up(&mut self) {
        self.harness.state_mut().command(SlideCommand::Open(vec![self.paths[0].clone()]));
        wait(&mut self.harness, "a slide is embedded and can be searched", |app| {
            let slide = app.session().active();
            slide.is_some_and(|slide| matches!(slide.status, SlideStatus::Embedded(_)))
                && app.session().searchable_tiles() > 0
        });
        self.draw();
    }
}

/// The monkey itself.
#[test]
#[ignore = "started by another test, in a process of its own"]
fn at_play() {
    let Some(folder) = std::env::var_os(PLAYGROUND).map(PathBuf::from) else { return };
    let actions = asked_for(ACTIONS, FEW_ACTIONS);
    let mut monkey = Monkey::new(&folder);
    let began = Instant::now();
    monkey.warm_up();
    let warm_after = actions / 10;
    let report_every = (actions / 20).max(1000);
    let mut warm = None;
    while monkey.diary.done < actions {
        if monkey.diary.done == warm_after && warm.is_none() {
            warm = Some(monkey.come_to_rest());
        }
        monkey.act();
        if monkey.diary.done.is_multiple_of(report_every) {
            let held = monkey.come_to_rest();
            println!("{} actions, {:.0} s: {held}", monkey.diary.done, began.elapsed().as_secs_f64());
        }
    }
    let end = monkey.come_to_rest();
    let warm = warm.expect("it was warm by then");
    judge(&format!("{actions} actions"), began, warm, end, actions >= MANY_ACTIONS);
}

/// A small slide like no other: blotches of tissue on glass.
fn make_slide(path: &Path, random: &mut impl Rng) {
    let mut picture = RgbImage::from_pixel(512, 384, Rgb([244, 243, 245]));
    for _ in 0..40 {
        let (x, y) = (random.random_range(0..480), random.random_range(0..350));
        let colour =
            [random.random_range(150..220), random.random_range(60..140), random.random_range(140..200)];
        for (dx, dy) in (0..32).flat_map(|dx| (0..32).map(move |dy| (dx, dy))) {
            picture.put_pixel(x + dx, y + dy, Rgb(colour));
        }
    }
    write_pyramid(path, &picture, 2, Some(0.5));
}

#[test]
#[ignore = "started by another test, in a process of its own"]
fn at_opening_slides() {
    let Some(folder) = std::env::var_os(PLAYGROUND).map(PathBuf::from) else { return };
    let slides = asked_for(SLIDES, FEW_SLIDES);
    let mut monkey = Monkey::new(&folder);
    let began = Instant::now();
    monkey.warm_up();
    let mut warm = None;
    for number in 0..slides {
        // A few at least, so that all threads have read one.
        if number == (slides / 10).max(2) {
            warm = Some(monkey.come_to_rest());
        }
        let path = folder.join(format!("slide-{number}.tif"));
        make_slide(&path, &mut monkey.random);
        monkey.harness.state_mut().command(SlideCommand::Open(vec![path.clone()]));
        wait(&mut monkey.harness, "the slide is shown", |app| {
            app.session().active().is_some_and(|slide| slide.source.info().path == path)
        });
        monkey.harness.run_steps(3);
        monkey.draw();
        let id = monkey.harness.state().session().active().unwrap().id().clone();
        monkey.harness.state_mut().command(SlideCommand::Remove(id.clone()));
        wait(&mut monkey.harness, "the slide is gone", |app| app.session().slide(&id).is_none());
        std::fs::remove_file(&path).unwrap();
        if number % 100 == 99 {
            let held = monkey.come_to_rest();
            println!("{} slides, {:.0} s: {held}", number + 1, began.elapsed().as_secs_f64());
        }
    }
    let end = monkey.come_to_rest();
    let warm = warm.expect("it was warm by then");
    judge(&format!("{slides} slides opened and taken away"), began, warm, end, slides >= MANY_SLIDES);
}
