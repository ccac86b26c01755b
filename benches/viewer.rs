//! What the window's thread spends on a frame, and how long a view takes until it is sharp.
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

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eframe::egui_wgpu::{RenderState, RendererOptions, ScreenDescriptor};
use eframe::wgpu;
use egui::{Event, Key, Modifiers, PointerButton, Pos2, RawInput, Rect, Vec2};
use histokin::annotation::{Annotation, Edit, Shape};
use histokin::encoder::DeviceChoice;
use histokin::geometry::Level0Point;
use histokin::project::Project;
use histokin::session::{Annotate, Command};
use histokin::ui::{App, WindowOptions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SIZE: Vec2 = Vec2::new(1920.0, 1080.0);
/// Time between two frames of a screen.
const FRAME: Duration = Duration::from_micros(16_667);
/// Where the pointer works: well inside the canvas, away from the overview.
const CENTER: Pos2 = Pos2::new(900.0, 500.0);
const FRAMES: usize = 600;
const FRAMES_SUBMITTED: usize = 40;
const NEW_VIEWS: usize = 40;
const ANNOTATIONS: i32 = 10_000;

fn main() {
    println!("machine: {}", support::machine());
    let mut window = Window::open(support::slide());
    println!("drawn by {}, slide {}", window.adapter(), window.slide_name());
    window.wait_until_sharp();
    println!(
        "UI thread, ms a frame                         CPU: p50    p95    p99     clock: p50    p95    p99"
    );
    window.event(Event::Key {
        key: Key::Num5,
        physical_key: None,
        pressed: true,
        repeat: false,
        modifiers: Modifiers::NONE,
    });
    window.wait_until_sharp();
    let submitted = window.measure(FRAMES_SUBMITTED, Drawn::Submitted, Window::pan);
    report("panning, commands submitted too", submitted);
    let still = window.measure(FRAMES, Drawn::Recorded, |_, _| {});
    report("nothing moves", still);
    let panning = window.measure(FRAMES, Drawn::Recorded, Window::pan);
    report("panning", panning);
    let zooming = window.measure(FRAMES, Drawn::Recorded, Window::zoom);
    report("zooming", zooming);
    window.annotate();
    let panning = window.measure(FRAMES, Drawn::Recorded, Window::pan);
    report("panning, 10,000 annotations in view", panning);
    let zooming = window.measure(FRAMES, Drawn::Recorded, Window::zoom);
    report("zooming, 10,000 annotations in view", zooming);
    window.fling();
    window.new_views();
}

/// CPU and clock time of frames in milliseconds.
fn report(what: &str, mut times: [Vec<f64>; 2]) {
    print!("  {what:44}");
    for (times, gap) in times.iter_mut().zip(["", "           "]) {
        times.sort_by(f64::total_cmp);
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|p| support::percentile(times, p));
        print!("{gap} {p50:6.2} {p95:6.2} {p99:6.2}");
    }
    println!();
}

/// How far a frame goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drawn {
    /// Its commands are recorded.
    Recorded,
    /// They are drawn, too.
    Submitted,
}

/// The window's frames, one by one.
struct Window {
    context: egui::Context,
    app: App,
    frame: eframe::Frame,
    gpu: RenderState,
    target: wgpu::Texture,
    started: Instant,
    events: Vec<Event>,
    chance: ChaCha8Rng,
    _project: tempfile::TempDir,
}

impl Window {
    fn open(slide: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the project");
        let project = Project::open_or_create(folder.path()).expect("a project");
        let setup = egui_kittest::wgpu::default_wgpu_setup();
        let gpu = egui_kittest::wgpu::create_render_state(setup, RendererOptions::default());
        let context = egui::Context::default();
        let mut creation = eframe::CreationContext::_new_kittest(context.clone());
        creation.wgpu_render_state = Some(gpu.clone());
        let mut frame = eframe::Frame::_new_kittest();
        frame.wgpu_render_state = Some(gpu.clone());
        let options =
            WindowOptions { paths: vec![slide], device: DeviceChoice::Cpu, ..WindowOptions::default() };
        let app = App::new(&creation, project, options).expect("a window");
        let target = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("screen"),
            size: wgpu::Extent3d { width: SIZE.x as u32, height: SIZE.y as u32, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: gpu.target_format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
            view_formats: &[],
        });
        let started = Instant::now();
        let chance = ChaCha8Rng::seed_from_u64(11);
        Self { context, app, frame, gpu, target, started, events: Vec::new(), chance, _project: folder }
    }

    fn adapter(&self) -> String {
        let info = self.gpu.adapter.get_info();
        format!("{} ({})", info.name, info.backend)
    }

    fn slide_name(&mut self) -> String {
        let patience = Instant::now();
        while self.app.session().active().is_none() {
            assert!(patience.elapsed() < Duration::from_secs(60), "the slide does not open");
            self.step(Drawn::Recorded);
        }
        self.app.session().active().map(|slide| slide.source.info().name()).unwrap_or_default()
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Put annotations of forty corners each over the view, as an import does.
    fn annotate(&mut self) {
        let field = self.app.field().expect("a view");
        let step = (f64::from(field.width) / 125.0, f64::from(field.height) / 80.0);
        let annotations = (0..ANNOTATIONS).map(|number| {
            let (column, row) = (f64::from(number % 125), f64::from(number / 125));
            let (x, y) = (field.x as f64 + column * step.0, field.y as f64 + row * step.1);
            let corner = |corner: i32| {
                let angle = f64::from(corner) / 40.0 * std::f64::consts::TAU;
                Level0Point::new(x + 0.4 * step.0 * angle.cos(), y + 0.4 * step.1 * angle.sin())
            };
            Annotation::new(Shape::polygon((0..40).map(corner).collect()), None)
        });
        let slide = self.app.session().active().expect("a slide").id().clone();
        let edit = Edit::Add(annotations.collect());
        self.app.command(Command::Annotate(Annotate::Edit { slide: slide.clone(), edit }));
        let drawn = self.app.session().annotations(&slide).map(|annotations| annotations.set().len());
        assert_eq!(drawn, Some(ANNOTATIONS as usize), "annotations are drawn");
        self.app.command(Command::Annotate(Annotate::Select { slide, ids: Vec::new() }));
        // Their buffers are made by a thread of their own; it is done long before this.
        for _ in 0..120 {
            self.step(Drawn::Recorded);
        }
    }

    /// One frame as eframe makes it; CPU and clock time of this thread.
    fn step(&mut self, drawn: Drawn) -> (Duration, Duration) {
        let begun = Instant::now();
        let cpu = support::thread_cpu();
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, SIZE)),
            time: Some(self.started.elapsed().as_secs_f64()),
            predicted_dt: FRAME.as_secs_f32(),
            events: std::mem::take(&mut self.events),
            focused: true,
            ..RawInput::default()
        };
        let (app, frame) = (&mut self.app, &mut self.frame);
        let output = self.context.run_ui(input, |ui| {
            eframe::App::logic(app, ui.ctx(), frame);
            eframe::App::ui(app, ui, frame);
        });
        self.draw(output, drawn);
        let spent = (support::thread_cpu() - cpu, begun.elapsed());
        // The screen's pace; the driver is waited for, as a screen would.
        self.gpu.device.poll(wgpu::PollType::wait_indefinitely()).expect("the driver works");
        std::thread::sleep(FRAME.saturating_sub(begun.elapsed()));
        spent
    }

    fn draw(&mut self, mut output: egui::FullOutput, drawn: Drawn) {
        let (device, queue) = (&self.gpu.device, &self.gpu.queue);
        let mut renderer = self.gpu.renderer.write();
        for (id, images) in output.textures_delta.set.drain() {
            images.iter().for_each(|image| renderer.update_texture(device, queue, id, image));
        }
        let scale = output.pixels_per_point;
        let screen =
            ScreenDescriptor { size_in_pixels: [SIZE.x as u32, SIZE.y as u32], pixels_per_point: scale };
        let shapes = self.context.tessellate(output.shapes, scale);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut commands = renderer.update_buffers(device, queue, &mut encoder, &shapes, &screen);
        let view = self.target.create_view(&wgpu::TextureViewDescriptor::default());
        let attachment = wgpu::RenderPassColorAttachment {
            view: &view,
            resolve_target: None,
            ops: wgpu::Operations {
                load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                store: wgpu::StoreOp::Store,
            },
            depth_slice: None,
        };
        let pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(attachment)],
            ..wgpu::RenderPassDescriptor::default()
        });
        renderer.render(&mut pass.forget_lifetime(), &shapes, &screen);
        commands.push(encoder.finish());
        // Uploads are carried out in any case.
        queue.submit(if drawn == Drawn::Submitted { commands } else { Vec::new() });
        for id in output.textures_delta.free.drain() {
            renderer.free_texture(&id);
        }
    }

    /// Frames until nothing in view is missing; the time until then.
    fn wait_until_sharp(&mut self) -> Duration {
        let begun = Instant::now();
        self.step(Drawn::Recorded);
        self.step(Drawn::Recorded);
        while !self.app.is_sharp() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the view does not become sharp");
            self.step(Drawn::Recorded);
        }
        // What came last is uploaded.
        self.step(Drawn::Recorded);
        begun.elapsed()
    }

    /// Milliseconds until a view is sharp that the pointer now jumps to.
    fn time_to_sharp(&mut self) -> f64 {
        let begun = Instant::now();
        self.step(Drawn::Recorded);
        while !self.app.is_sharp() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the view does not become sharp");
            self.step(Drawn::Recorded);
        }
        self.step(Drawn::Recorded);
        begun.elapsed().as_secs_f64() * 1000.0
    }

    fn measure(&mut self, frames: usize, drawn: Drawn, act: impl Fn(&mut Self, usize)) -> [Vec<f64>; 2] {
        let mut times = [Vec::new(), Vec::new()];
        for frame in 0..frames {
            act(self, frame);
            let (cpu, clock) = self.step(drawn);
            times[0].push(cpu.as_secs_f64() * 1000.0);
            times[1].push(clock.as_secs_f64() * 1000.0);
        }
        self.release(CENTER);
        self.wait_until_sharp();
        times
    }

    /// The hand drags the slide to and fro, 24 pixels a frame.
    fn pan(&mut self, frame: usize) {
        const STRETCH: usize = 40;
        let (stroke, place) = (frame / STRETCH, frame % STRETCH);
        let way = [Vec2::new(-24.0, -6.0), Vec2::new(10.0, -10.0), Vec2::new(20.0, 14.0)][stroke % 3];
        let at = CENTER + way * (place as f32 - STRETCH as f32 / 2.0);
        if place == 0 {
            self.release(CENTER);
            self.event(Event::PointerMoved(at));
            self.button(at, true);
        } else {
            self.event(Event::PointerMoved(at));
        }
    }

    /// The wheel turns, eight notches in and eight out, one in every third frame.
    fn zoom(&mut self, frame: usize) {
        self.event(Event::PointerMoved(CENTER));
        if frame.is_multiple_of(3) {
            let notch = if (frame / 24).is_multiple_of(2) { 1.0 } else { -1.0 };
            self.event(Event::MouseWheel {
                unit: egui::MouseWheelUnit::Line,
                delta: Vec2::new(0.0, notch),
                phase: egui::TouchPhase::Move,
                source: egui::MouseWheelSource::Wheel,
                modifiers: Modifiers::NONE,
            });
        }
    }

    fn button(&mut self, at: Pos2, pressed: bool) {
        let button = PointerButton::Primary;
        self.event(Event::PointerButton { pos: at, button, pressed, modifiers: Modifiers::NONE });
    }

    fn release(&mut self, at: Pos2) {
        self.button(at, false);
    }

    /// Dragged across the slide with the overview, faster than anything can be decoded.
    fn fling(&mut self) {
        self.event(Event::Key {
            key: Key::Num7,
            physical_key: None,
            pressed: true,
            repeat: false,
            modifiers: Modifiers::NONE,
        });
        self.wait_until_sharp();
        let before = self.app.loader_counts();
        for sweep in 0..6 {
            for place in 0..20 {
                let across = if sweep % 2 == 0 { place as f32 / 19.0 } else { 1.0 - place as f32 / 19.0 };
                let at = self.overview_at(across, (sweep as f32 + 0.5) / 6.0);
                self.event(Event::PointerMoved(at));
                if sweep + place == 0 {
                    self.button(at, true);
                }
                self.step(Drawn::Recorded);
            }
        }
        let at = self.overview_at(0.5, 0.5);
        self.release(at);
        self.wait_until_sharp();
        let after = self.app.loader_counts();
        let (decoded, late) = (after.decoded - before.decoded, after.late - before.late);
        println!(
            "fling across the slide: {decoded} tiles decoded, {} given up before; at most {late} ({:.1} %) were \
             unwanted when their decoding began (all that were when they arrived)",
            after.dropped - before.dropped,
            100.0 * late as f64 / decoded.max(1) as f64
        );
    }

    /// A point of the overview by its share across and down.
    fn overview_at(&self, across: f32, down: f32) -> Pos2 {
        let overview = self.context.read_response(egui::Id::unique("slide overview"));
        let rect = overview.expect("a slide is shown").rect;
        rect.lerp_inside(Vec2::new(across, down))
    }

    /// Jumps to places not seen before at 1:1, and back to them.
    fn new_views(&mut self) {
        let mut places = Vec::new();
        for _ in 0..NEW_VIEWS {
            let share = |chance: &mut ChaCha8Rng| chance.random_range(0.1..0.9_f32);
            places.push((share(&mut self.chance), share(&mut self.chance)));
        }
        let mut cold = Vec::new();
        for &(across, down) in &places {
            cold.push(self.jump(across, down));
        }
        // The last few are on the graphics card or in memory.
        let again: Vec<f64> =
            places.iter().rev().take(8).map(|&(across, down)| self.jump(across, down)).collect();
        for (what, mut times) in [("cold, a new view at 1:1", cold), ("seen before", again)] {
            times.sort_by(f64::total_cmp);
            println!(
                "{what}: sharp after p50 {:.0} ms, p95 {:.0} ms ({} views; counted in frames of 16.7 ms)",
                support::percentile(&times, 0.5),
                support::percentile(&times, 0.95),
                times.len()
            );
        }
        let counts = self.app.loader_counts();
        println!("loader: {} tiles decoded, {} from memory in all", counts.decoded, counts.from_memory);
    }

    fn jump(&mut self, across: f32, down: f32) -> f64 {
        let at = self.overview_at(across, down);
        self.event(Event::PointerMoved(at));
        self.step(Drawn::Recorded);
        self.button(at, true);
        let sharp = self.time_to_sharp();
        self.release(at);
        self.wait_until_sharp();
        sharp
    }
}
