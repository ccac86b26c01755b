//! Runs the window frame by frame, as eframe does.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eframe::egui_wgpu::{RenderState, RendererOptions, ScreenDescriptor};
use eframe::wgpu;
use egui::{Event, Key, Modifiers, PointerButton, Pos2, RawInput, Rect, Vec2};
use histokin::encoder::DeviceChoice;
use histokin::project::Project;
use histokin::session::EmbeddingCommand;
use histokin::ui::{App, WindowOptions};

use crate::support;

/// Size of the window in points.
pub const SIZE: Vec2 = Vec2::new(1920.0, 1080.0);
/// Time between two frames at 60 Hz.
pub const FRAME: Duration = Duration::from_micros(16_667);
/// Position of the pointer: well inside the canvas, away from the overview.
pub const CENTER: Pos2 = Pos2::new(900.0, 500.0);

/// How far the drawing of a frame goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Drawn {
    /// Commands are recorded only.
    Recorded,
    /// Commands are also submitted to the GPU.
    Submitted,
}

/// The program's window without a display.
pub struct Window {
    context: egui::Context,
    /// The program.
    pub app: App,
    frame: eframe::Frame,
    gpu: RenderState,
    target: wgpu::Texture,
    started: Instant,
    events: Vec<Event>,
    _project: tempfile::TempDir,
}

impl Window {
    /// Opens the window with a slide.
    pub fn open(slide: PathBuf) -> Self {
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
        let mut app = App::new(&creation, project, options).expect("a window");
        // Embedding would compete for the cores.
        app.command(EmbeddingCommand::Pause);
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
        Self { context, app, frame, gpu, target, started, events: Vec::new(), _project: folder }
    }

    /// Returns the name of the graphics adapter and its API.
    pub fn adapter(&self) -> String {
        let info = self.gpu.adapter.get_info();
        format!("{} ({})", info.name, info.backend)
    }

    /// Waits until the slide is open and returns its name.
    pub fn slide_name(&mut self) -> String {
        let begun = Instant::now();
        while self.app.session().active().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the slide does not open");
            self.step(Drawn::Recorded);
        }
        self.app.session().active().map(|slide| slide.source.info().name()).unwrap_or_default()
    }

    /// Adds an input event to the next frame.
    pub fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Presses a key in the next frame.
    pub fn press(&mut self, key: Key) {
        let modifiers = Modifiers::NONE;
        self.event(Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers });
    }

    /// Runs one frame as eframe does; returns the CPU and wall time of this thread.
    pub fn step(&mut self, drawn: Drawn) -> (Duration, Duration) {
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
        // Wait for the driver and for the end of the frame, as with a screen.
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
        // Pending uploads are carried out in both cases.
        queue.submit(if drawn == Drawn::Submitted { commands } else { Vec::new() });
        for id in output.textures_delta.free.drain() {
            renderer.free_texture(&id);
        }
    }

    /// Runs frames until nothing in view is missing; returns the time until then.
    pub fn wait_until_sharp(&mut self) -> Duration {
        let begun = Instant::now();
        self.step(Drawn::Recorded);
        self.step(Drawn::Recorded);
        while !self.app.is_sharp() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the view does not become sharp");
            self.step(Drawn::Recorded);
        }
        // One more frame uploads the last tiles.
        self.step(Drawn::Recorded);
        begun.elapsed()
    }

    /// Runs frames with `act` before each; returns their CPU and wall times in milliseconds.
    pub fn measure(&mut self, frames: usize, drawn: Drawn, act: impl Fn(&mut Self, usize)) -> [Vec<f64>; 2] {
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

    /// Drags the slide back and forth, about 24 pixels per frame.
    pub fn pan(&mut self, frame: usize) {
        const STRETCH: usize = 40;
        let (stroke, step) = (frame / STRETCH, frame % STRETCH);
        let delta = [Vec2::new(-24.0, -6.0), Vec2::new(10.0, -10.0), Vec2::new(20.0, 14.0)][stroke % 3];
        let at = CENTER + delta * (step as f32 - STRETCH as f32 / 2.0);
        if step == 0 {
            self.release(CENTER);
            self.event(Event::PointerMoved(at));
            self.button(at, true);
        } else {
            self.event(Event::PointerMoved(at));
        }
    }

    /// Turns the wheel eight notches in and eight out, one notch every third frame.
    pub fn zoom(&mut self, frame: usize) {
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

    /// Moves the pointer over the slide.
    pub fn hover(&mut self, frame: usize) {
        let step = frame as f32;
        self.event(Event::PointerMoved(
            CENTER + Vec2::new((step * 0.37).sin() * 300.0, (step * 0.23).cos() * 200.0),
        ));
    }

    /// Presses or releases the primary button.
    pub fn button(&mut self, at: Pos2, pressed: bool) {
        let button = PointerButton::Primary;
        self.event(Event::PointerButton { pos: at, button, pressed, modifiers: Modifiers::NONE });
    }

    /// Releases the primary button.
    pub fn release(&mut self, at: Pos2) {
        self.button(at, false);
    }

    /// Returns the point of the overview at a share (0 to 1) across and down.
    pub fn overview_at(&self, across: f32, down: f32) -> Pos2 {
        self.app.overview_rect().lerp_inside(Vec2::new(across, down))
    }
}
