//! Offscreen rendering of slides, with the same pipelines as the canvas.
//!
//! A picture of any size is drawn in blocks. For each block, the tiles of the one level that it needs are
//! decoded first, without coarser tiles in their place and without fading. Drawing blocks until the picture
//! is done, so it is meant for the command line and for separate threads, never for the UI thread.

use std::collections::HashSet;
use std::sync::Arc;

use eframe::{egui_wgpu, wgpu};
use image::{RgbImage, RgbaImage, imageops};
use rayon::prelude::*;
use uuid::Uuid;

use super::annotation_layer::{AnnotationPipelines, FixedAnnotations};
use super::appearance::Shading;
use super::atlas::TileAtlas;
use super::camera::{Camera, ScreenPoint, Viewport};
use super::renderer::{CanvasBuffers, MarkSet, Picture, ProfileTexture, SlideRenderer};
use super::scale;
use super::tile_plan::{TileState, plan_tiles};
use crate::annotation::{AnnotationSet, DetectionColours};
use crate::geometry::{Level0Point, MicronsPerPixel};
use crate::slide::colour_profile::ProfileTable;
use crate::slide::pyramid::{DisplayPyramid, DisplayTile, TileKey};
use crate::ui::start::SOFTWARE_DRIVER;
use crate::ui::theme::Palette;

/// Edge of a block in pixels before stretching. Rotated by 45° and at the worst ratio of texels to pixels, a
/// block needs 7 × 7 tiles.
const BLOCK_PX: u32 = 1024;
/// Maximum number of tiles on the GPU, at 1 MiB each.
const LAYERS: u32 = 64;
/// Not the sRGB variant: colours are stored as they are in the slide.
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

/// What a picture shows.
pub struct OffscreenPicture<'a> {
    /// The slide, as a pyramid of display tiles.
    pub pyramid: &'a DisplayPyramid,
    /// Centre, rotation and mirroring; the zoom is ignored.
    pub camera: Camera,
    /// Width and height along the picture's own axes, in drawn pixels.
    pub span: (f64, f64),
    /// Width and height of the picture in pixels.
    pub size: (u32, u32),
    /// Colour settings for the shader.
    pub shading: Shading,
    /// The slide's colour profile, if colours are shown through it.
    pub profile: Option<&'a ProfileTable>,
    /// Rectangles drawn over the slide.
    pub marks: &'a [MarkSet],
    /// Annotations drawn over the slide.
    pub annotations: Option<OffscreenAnnotations<'a>>,
}

/// The annotations on a picture.
#[derive(Clone, Copy)]
pub struct OffscreenAnnotations<'a> {
    /// All annotations of the slide.
    pub set: &'a AnnotationSet,
    /// IDs of annotations that are not drawn.
    pub hidden: &'a HashSet<Uuid>,
    /// How detections in compact form are coloured.
    pub colours: &'a Arc<DetectionColours>,
    /// Whether areas are filled, not only outlined.
    pub filled: bool,
    /// Line width: pixels of the picture per point.
    pub pixels_per_point: f32,
}

/// A scale bar in the lower left corner of a picture.
#[derive(Debug, Clone, Copy)]
pub struct ScaleBar {
    /// Spacing of the slide; without it, the bar reads "Not calibrated".
    pub mpp: Option<MicronsPerPixel>,
    /// Size of the bar and its text: pixels of the picture per point.
    pub pixels_per_point: f32,
}

/// Size of the scale bar with its margins, in points.
const BAR_ROOM: egui::Vec2 = egui::Vec2::new(224.0, 72.0);

/// Error of offscreen rendering.
#[derive(Debug, thiserror::Error)]
pub enum OffscreenError {
    /// No graphics adapter works; holds the driver's message.
    #[error(
        "no graphics device can draw images ({0}). Install the driver of the graphics card, or one that draws without a \
         card{SOFTWARE_DRIVER}"
    )]
    NoDevice(String),
    /// A part of the slide cannot be read; holds the reason.
    #[error("{0}")]
    Unreadable(String),
    /// The graphics device failed while drawing; holds the driver's message.
    #[error("the graphics device failed while drawing the image ({0}); try a smaller image")]
    Device(String),
}

/// GPU resources of a picture besides its tiles.
#[derive(Clone, Copy)]
struct Extras<'a> {
    profile: Option<&'a ProfileTexture>,
    annotations: Option<&'a FixedAnnotations>,
}

/// Draws pictures of slides offscreen.
pub struct OffscreenRenderer {
    device: wgpu::Device,
    queue: wgpu::Queue,
    renderer: SlideRenderer,
    buffers: CanvasBuffers,
    annotation_pipelines: AnnotationPipelines,
}

impl OffscreenRenderer {
    /// Creates a renderer on its own device, a software one if there is no other. Needs no window.
    ///
    /// # Errors
    /// [`OffscreenError::NoDevice`] if no adapter works.
    pub fn headless() -> Result<Self, OffscreenError> {
        let no_device = |error: &dyn std::fmt::Display| OffscreenError::NoDevice(error.to_string());
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
            .map_err(|error| no_device(&error))?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("slide stills"),
            required_limits: wgpu::Limits::downlevel_defaults().using_resolution(adapter.limits()),
            ..Default::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| no_device(&error))?;
        Ok(Self::on(device, queue))
    }

    /// Creates a renderer on an existing device.
    pub fn on(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let atlas = TileAtlas::new(&device, queue.clone(), LAYERS);
        let renderer = SlideRenderer::with_atlas(device.clone(), queue.clone(), FORMAT, atlas);
        let buffers = renderer.canvas_buffers();
        let annotation_pipelines = AnnotationPipelines::new(&device, queue.clone(), FORMAT);
        Self { device, queue, renderer, buffers, annotation_pipelines }
    }

    /// Draws `still`. Areas outside the slide and areas that were never scanned are white, or black in fluorescence.
    ///
    /// # Errors
    /// [`OffscreenError::Unreadable`] if a part of the picture cannot be read, [`OffscreenError::Device`] if
    /// the device is lost.
    pub fn draw(&mut self, still: &OffscreenPicture<'_>) -> Result<RgbImage, OffscreenError> {
        let (width, height) = still.size;
        // If the aspect ratios of picture and span differ, the view has the resolution that the finer axis
        // needs and is stretched into the picture.
        let zoom = (f64::from(width) / still.span.0).max(f64::from(height) / still.span.1);
        let whole = Viewport::new(still.span.0 * zoom, still.span.1 * zoom);
        let camera = Camera { zoom, ..still.camera };
        let stretch = (whole.width / f64::from(width), whole.height / f64::from(height));
        let profile = still.profile.map(|table| self.renderer.profile(table));
        let annotations = still.annotations.map(|shown| {
            let OffscreenAnnotations { set, hidden, colours, filled, pixels_per_point } = shown;
            FixedAnnotations::new(
                &self.device,
                &self.annotation_pipelines,
                set,
                hidden,
                colours,
                filled,
                pixels_per_point,
            )
        });
        let extras = Extras { profile: profile.as_ref(), annotations: annotations.as_ref() };
        let mut picture = RgbImage::new(width, height);
        // Non-square pixels need more tiles along one axis.
        let block_px = f64::from(BLOCK_PX) / camera.stretch.x.max(camera.stretch.y).sqrt();
        let edge = |stretch: f64| (block_px / stretch).max(1.0) as u32;
        let block = (edge(stretch.0), edge(stretch.1));
        for top in (0..height).step_by(block.1 as usize) {
            for left in (0..width).step_by(block.0 as usize) {
                let size = (block.0.min(width - left), block.1.min(height - top));
                let middle = |start: u32, length: u32| f64::from(start) + f64::from(length) / 2.0;
                let at =
                    ScreenPoint { x: middle(left, size.0) * stretch.0, y: middle(top, size.1) * stretch.1 };
                let view = Camera { center: camera.level0_from_screen(at, whole), ..camera };
                let viewport = Viewport::new(f64::from(size.0) * stretch.0, f64::from(size.1) * stretch.1);
                let drawn = self.draw_block(still, &view, viewport, size, extras)?;
                let opaque = RgbImage::from_fn(size.0, size.1, |x, y| {
                    let [r, g, b, _] = drawn.get_pixel(x, y).0;
                    image::Rgb([r, g, b])
                });
                imageops::replace(&mut picture, &opaque, left.into(), top.into());
            }
        }
        Ok(picture)
    }

    fn draw_block(
        &mut self,
        still: &OffscreenPicture<'_>,
        camera: &Camera,
        viewport: Viewport,
        size: (u32, u32),
        extras: Extras<'_>,
    ) -> Result<RgbaImage, OffscreenError> {
        // If every tile counts as loaded, the plan lists exactly the tiles of the level that fits.
        let tiles = plan_tiles(still.pyramid, camera, viewport, |_| TileState::Shown).draw;
        let missing: Vec<TileKey> = tiles
            .iter()
            .copied()
            .filter(|tile| self.renderer.atlas.state(*tile) == TileState::Missing)
            .collect();
        let decoded: Vec<(TileKey, DisplayTile)> =
            missing.into_par_iter().map(|tile| (tile, decode(still.pyramid, tile))).collect();
        for (key, tile) in decoded {
            if let Some(gap) = tile.gaps.first() {
                return Err(OffscreenError::Unreadable(gap.reason.clone()));
            }
            self.renderer.atlas.place(key, std::sync::Arc::new(tile), &tiles);
        }
        let (glass, ground) = match still.pyramid.source().info().is_fluorescence() {
            true => (egui::Color32::BLACK, wgpu::Color::BLACK),
            false => (egui::Color32::WHITE, wgpu::Color::WHITE),
        };
        let picture = Picture {
            pyramid: still.pyramid,
            camera,
            viewport,
            tiles: &tiles,
            marks: still.marks,
            glass,
            shading: still.shading,
            profile: extras.profile,
        };
        let target = self.target(size);
        let drawing = self.renderer.prepare(&self.buffers, &picture);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let view = target.create_view(&Default::default());
            let mut pass = begin_pass(&mut encoder, &view, ground);
            drawing.draw(&mut pass);
            if let Some(annotations) = extras.annotations {
                annotations.draw(&self.annotation_pipelines, camera, viewport, &mut pass);
            }
        }
        self.read_back(encoder, &target, size)
    }

    /// Draws a scale bar into `picture`, at `zoom` pixels of the picture per drawn pixel.
    ///
    /// # Errors
    /// [`OffscreenError::Device`] if the device is lost.
    pub fn stamp(&self, bar: &ScaleBar, zoom: f64, picture: &mut RgbImage) -> Result<(), OffscreenError> {
        // The same bar as on the canvas, painted by an egui context without a window.
        let points = bar.pixels_per_point.clamp(0.25, 30.0);
        let context = egui::Context::default();
        crate::ui::theme::install(&context);
        let room = egui::Rect::from_min_size(egui::Pos2::ZERO, BAR_ROOM);
        let mut input = egui::RawInput { screen_rect: Some(room), ..Default::default() };
        input.viewports.entry(egui::ViewportId::ROOT).or_default().native_pixels_per_point = Some(points);
        let camera = Camera { zoom, ..Camera::upright(Level0Point::default()) };
        let palette = Palette::of(egui::Theme::Dark);
        let mut output = context.run_ui(input, |ui| {
            scale::bar_ui(&ui.ctx().debug_painter(), room, &camera, bar.mpp, points, &palette);
        });
        let shapes = context.tessellate(output.shapes, points);
        let size = [(BAR_ROOM.x * points) as u32, (BAR_ROOM.y * points) as u32];
        let overlay = self.draw_shapes(&shapes, &output.textures_delta, size, points);
        // egui panics if texture updates are dropped unhandled; they are handled in `draw_shapes`.
        output.textures_delta.clear();
        let overlay = overlay?;
        let (left, top) = (0, picture.height() as i64 - i64::from(size[1]));
        for (x, y, over) in overlay.enumerate_pixels() {
            let (x, y) = (i64::from(x) + left, i64::from(y) + top);
            if (0..i64::from(picture.width())).contains(&x) && (0..i64::from(picture.height())).contains(&y) {
                let under = picture.get_pixel_mut(x as u32, y as u32);
                // egui's colours have premultiplied alpha.
                let blend = |channel: usize| {
                    let kept = u32::from(under[channel]) * (255 - u32::from(over[3])) / 255;
                    (u32::from(over[channel]) + kept).min(255) as u8
                };
                *under = image::Rgb(std::array::from_fn(blend));
            }
        }
        Ok(())
    }

    /// Draws egui's shapes on a transparent background.
    fn draw_shapes(
        &self,
        shapes: &[egui::ClippedPrimitive],
        textures: &egui::TexturesDelta,
        size: [u32; 2],
        pixels_per_point: f32,
    ) -> Result<RgbaImage, OffscreenError> {
        let options = egui_wgpu::RendererOptions { dithering: false, ..Default::default() };
        let mut renderer = egui_wgpu::Renderer::new(&self.device, FORMAT, options);
        for (id, deltas) in &textures.set {
            for delta in deltas {
                renderer.update_texture(&self.device, &self.queue, *id, delta);
            }
        }
        let screen = egui_wgpu::ScreenDescriptor { size_in_pixels: size, pixels_per_point };
        let target = self.target((size[0], size[1]));
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let uploads = renderer.update_buffers(&self.device, &self.queue, &mut encoder, shapes, &screen);
        self.queue.submit(uploads);
        {
            let view = target.create_view(&Default::default());
            renderer.render(&mut begin_pass(&mut encoder, &view, wgpu::Color::TRANSPARENT), shapes, &screen);
        }
        self.read_back(encoder, &target, (size[0], size[1]))
    }

    /// Creates a texture of the given size to draw on.
    fn target(&self, (width, height): (u32, u32)) -> wgpu::Texture {
        self.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("slide still"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        })
    }

    /// Submits `encoder` and reads the target back.
    fn read_back(
        &self,
        mut encoder: wgpu::CommandEncoder,
        target: &wgpu::Texture,
        (width, height): (u32, u32),
    ) -> Result<RgbaImage, OffscreenError> {
        let failed = |error: &dyn std::fmt::Display| OffscreenError::Device(error.to_string());
        let row = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("slide still"),
            size: u64::from(row) * u64::from(height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        encoder.copy_texture_to_buffer(
            target.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(row),
                    rows_per_image: None,
                },
            },
            wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        );
        self.queue.submit([encoder.finish()]);
        let (mapped, is_mapped) = crossbeam_channel::bounded(1);
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            let _ = mapped.send(result); // The receiver waits below, or has stopped after a device loss.
        });
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| failed(&error))?;
        let result = is_mapped.recv().map_err(|error| failed(&error))?;
        result.map_err(|error| failed(&error))?;
        let bytes = buffer.get_mapped_range(..).map_err(|error| failed(&error))?;
        let pixels: Vec<u8> =
            bytes.chunks(row as usize).flat_map(|line| &line[..width as usize * 4]).copied().collect();
        RgbaImage::from_raw(width, height, pixels)
            .ok_or_else(|| OffscreenError::Device("it returned fewer pixels than were drawn".to_owned()))
    }
}

fn begin_pass(
    encoder: &mut wgpu::CommandEncoder,
    view: &wgpu::TextureView,
    ground: wgpu::Color,
) -> wgpu::RenderPass<'static> {
    let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(ground), store: wgpu::StoreOp::Store };
    let attachment = wgpu::RenderPassColorAttachment { view, depth_slice: None, resolve_target: None, ops };
    encoder
        .begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("slide still"),
            color_attachments: &[Some(attachment)],
            ..Default::default()
        })
        .forget_lifetime()
}

/// Decodes one tile, and recursively the finer tiles that it is computed from.
fn decode(pyramid: &DisplayPyramid, tile: TileKey) -> DisplayTile {
    let mut finer = |finer| Some(std::sync::Arc::new(decode(pyramid, finer)));
    let abandoned = || DisplayTile { pixels: RgbaImage::new(0, 0), gaps: Vec::new() };
    // `finer` always returns a tile, so decoding is never abandoned.
    pyramid.decode(tile, &mut finer).unwrap_or_else(abandoned)
}
