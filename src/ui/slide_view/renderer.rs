//! The wgpu pipelines that draw slides and marks, and the egui paint callback that runs them.

use eframe::egui_wgpu::{self, CallbackResources, CallbackTrait, RenderState};
use eframe::wgpu;
use wgpu::util::DeviceExt as _;

use super::appearance::Shading;
use super::atlas::{LAYERS, Slot, TileAtlas};
use super::camera::{Camera, Viewport};
use super::offscreen::OffscreenRenderer;
use super::pipeline::{PipelineParts, pipeline, texture_layout, uniform_layout};
use crate::geometry::Level0Rect;
use crate::slide::colour_profile::ProfileTable;
use crate::slide::pyramid::{DisplayPyramid, TileKey};

/// A rectangle that is drawn over the slide.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Mark {
    at: [i32; 2],
    extent: [u32; 2],
    fill: [u8; 4],
    outline: [u8; 4],
    outline_px: f32,
}

impl Mark {
    /// Creates a mark. `fill` and `outline` are sRGB with straight alpha; the outline lies inside the edge
    /// and is `outline_px` physical pixels wide.
    pub fn new(rect: Level0Rect, fill: [u8; 4], outline: [u8; 4], outline_px: f32) -> Self {
        Self {
            at: [rect.x as i32, rect.y as i32],
            extent: [rect.width, rect.height],
            fill,
            outline,
            outline_px,
        }
    }
}

/// Marks in a GPU buffer, uploaded once and drawn in any number of frames.
#[derive(Clone)]
pub struct MarkSet {
    buffer: wgpu::Buffer,
    count: u32,
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct TileInstance {
    corners: [f32; 4],
    extent: [f32; 2],
    layer: u32,
    filtering: u32,
    opacity: f32,
}

/// How a tile's texels are mapped to screen pixels; numbers as in `tiles.wgsl`.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Filtering {
    Glass = 0,
    Exact = 1,
    Linear = 2,
    Averaged = 3,
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct TileView {
    orientation: [f32; 4],
    viewport: [f32; 2],
    colouring: u32,
    has_tone: u32,
    glass: [f32; 4],
    first: [f32; 4],
    second: [f32; 4],
    tone: [f32; 4],
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct MarkView {
    orientation: [f32; 4],
    viewport: [f32; 2],
    center: [i32; 2],
    center_fraction: [f32; 2],
    zoom: [f32; 2],
}

/// Everything that one canvas draws in one frame.
pub struct Picture<'a> {
    /// The slide, as a pyramid of display tiles.
    pub pyramid: &'a DisplayPyramid,
    /// The view on the slide.
    pub camera: &'a Camera,
    /// Size of the canvas.
    pub viewport: Viewport,
    /// Display tiles, drawn in this order.
    pub tiles: &'a [TileKey],
    /// Marks, drawn in this order over the tiles.
    pub marks: &'a [MarkSet],
    /// Colour of areas that were not scanned.
    pub glass: egui::Color32,
    /// Colour settings for the shader.
    pub shading: Shading,
    /// The slide's colour profile, if colours are shown through it.
    pub profile: Option<&'a ProfileTexture>,
}

/// A slide's colour profile as a GPU texture.
#[derive(Clone)]
pub struct ProfileTexture {
    bindings: wgpu::BindGroup,
}

/// GPU resources that all canvases share.
pub struct SlideRenderer {
    device: wgpu::Device,
    queue: wgpu::Queue,
    tile_pipeline: wgpu::RenderPipeline,
    mark_pipeline: wgpu::RenderPipeline,
    view_layout: wgpu::BindGroupLayout,
    texture_bindings: wgpu::BindGroup,
    profile_layout: wgpu::BindGroupLayout,
    /// Bound if a slide is shown without its profile; never sampled.
    no_profile: ProfileTexture,
    /// Display tiles on the GPU.
    pub atlas: TileAtlas,
}

/// GPU buffers that one canvas keeps between frames.
pub struct CanvasBuffers {
    tile_view: wgpu::Buffer,
    mark_view: wgpu::Buffer,
    tile_bindings: wgpu::BindGroup,
    mark_bindings: wgpu::BindGroup,
    instances: wgpu::Buffer,
}

/// Maximum tile instances per canvas: all layers of the atlas, and the glass under them.
const MOST_INSTANCES: usize = 300;

impl SlideRenderer {
    /// Creates a renderer for the window of `state`.
    pub fn new(state: &RenderState) -> Self {
        let (device, queue) = (state.device.clone(), state.queue.clone());
        let atlas = TileAtlas::new(&device, queue.clone(), LAYERS);
        Self::with_atlas(device, queue, state.target_format, atlas)
    }

    /// Creates a renderer for targets of `format` that draws tiles from `atlas`.
    pub fn with_atlas(
        device: wgpu::Device,
        queue: wgpu::Queue,
        format: wgpu::TextureFormat,
        atlas: TileAtlas,
    ) -> Self {
        let view_layout = uniform_layout(&device, "slide view", wgpu::ShaderStages::VERTEX_FRAGMENT);
        let texture_layout = texture_layout(&device, "slide tiles", wgpu::TextureViewDimension::D2Array);
        let texture_bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("slide tiles"),
            layout: &texture_layout,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::TextureView(&atlas.texture().create_view(
                        &wgpu::TextureViewDescriptor {
                            dimension: Some(wgpu::TextureViewDimension::D2Array),
                            ..Default::default()
                        },
                    )),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::Sampler(&device.create_sampler(
                        &wgpu::SamplerDescriptor {
                            mag_filter: wgpu::FilterMode::Linear,
                            min_filter: wgpu::FilterMode::Linear,
                            ..Default::default()
                        },
                    )),
                },
            ],
        });
        let profile_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("slide profile"),
            entries: &[wgpu::BindGroupLayoutEntry {
                binding: 0,
                visibility: wgpu::ShaderStages::FRAGMENT,
                ty: wgpu::BindingType::Texture {
                    sample_type: wgpu::TextureSampleType::Float { filterable: true },
                    view_dimension: wgpu::TextureViewDimension::D3,
                    multisampled: false,
                },
                count: None,
            }],
        });
        let no_profile = profile_texture(&device, &queue, &profile_layout, 1, &[[0.0; 3]]);
        let (topology, blend) = (wgpu::PrimitiveTopology::TriangleStrip, wgpu::BlendState::ALPHA_BLENDING);
        let tile_pipeline = pipeline(
            &device,
            format,
            &PipelineParts {
                label: "slide tiles",
                module: &device.create_shader_module(wgpu::include_wgsl!("tiles.wgsl")),
                shaders: ("place_tile", "shade_tile"),
                layouts: &[Some(&view_layout), Some(&texture_layout), Some(&profile_layout)],
                buffers: &[Some(wgpu::VertexBufferLayout {
                    array_stride: size_of::<TileInstance>() as u64,
                    step_mode: wgpu::VertexStepMode::Instance,
                    attributes: &wgpu::vertex_attr_array![
                        0 => Float32x4, 1 => Float32x2, 2 => Uint32, 3 => Uint32, 4 => Float32
                    ],
                })],
                topology,
                blend,
            },
        );
        let mark_pipeline = pipeline(
            &device,
            format,
            &PipelineParts {
                label: "slide marks",
                module: &device.create_shader_module(wgpu::include_wgsl!("marks.wgsl")),
                shaders: ("place_mark", "shade_mark"),
                layouts: &[Some(&view_layout)],
                buffers: &[Some(wgpu::VertexBufferLayout {
                    array_stride: size_of::<Mark>() as u64,
                    step_mode: wgpu::VertexStepMode::Instance,
                    attributes: &wgpu::vertex_attr_array![
                        0 => Sint32x2, 1 => Uint32x2, 2 => Unorm8x4, 3 => Unorm8x4, 4 => Float32
                    ],
                })],
                topology,
                blend,
            },
        );
        Self {
            device,
            queue,
            tile_pipeline,
            mark_pipeline,
            view_layout,
            texture_bindings,
            profile_layout,
            no_profile,
            atlas,
        }
    }

    /// Returns a function that creates an offscreen renderer on the same GPU device, on the calling thread.
    pub fn offscreen_renderer(&self) -> impl FnOnce() -> OffscreenRenderer + Send + 'static {
        let (device, queue) = (self.device.clone(), self.queue.clone());
        move || OffscreenRenderer::on(device, queue)
    }

    /// Creates the buffers of one canvas.
    pub fn canvas_buffers(&self) -> CanvasBuffers {
        let uniform = |size: usize| {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("slide view"),
                size: size as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let (tile_view, mark_view) = (uniform(size_of::<TileView>()), uniform(size_of::<MarkView>()));
        let bindings = |buffer: &wgpu::Buffer| {
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("slide view"),
                layout: &self.view_layout,
                entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
            })
        };
        CanvasBuffers {
            tile_bindings: bindings(&tile_view),
            mark_bindings: bindings(&mark_view),
            tile_view,
            mark_view,
            instances: self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("slide tile instances"),
                size: (MOST_INSTANCES * size_of::<TileInstance>()) as u64,
                usage: wgpu::BufferUsages::VERTEX | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }),
        }
    }

    /// Uploads a slide's colour profile.
    pub fn profile(&self, table: &ProfileTable) -> ProfileTexture {
        let edge = ProfileTable::EDGE as u32;
        profile_texture(&self.device, &self.queue, &self.profile_layout, edge, table.entries())
    }

    /// Uploads marks.
    pub fn mark_set(&self, marks: &[Mark]) -> MarkSet {
        let buffer = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("slide marks"),
            contents: bytemuck::cast_slice(marks),
            usage: wgpu::BufferUsages::VERTEX,
        });
        MarkSet { buffer, count: marks.len() as u32 }
    }

    /// Returns a paint callback that draws `picture` into `rect`.
    pub fn paint(
        &mut self,
        rect: egui::Rect,
        canvas: &CanvasBuffers,
        picture: &Picture<'_>,
    ) -> egui::PaintCallback {
        egui_wgpu::Callback::new_paint_callback(rect, self.prepare(canvas, picture))
    }

    /// Uploads everything that `picture` needs, and returns the object that draws it.
    pub fn prepare(&mut self, canvas: &CanvasBuffers, picture: &Picture<'_>) -> CanvasPaint {
        let &Picture { pyramid, camera, viewport, tiles, marks, glass, shading, profile } = picture;
        let [brightness, contrast, exponent] = shading.tone;
        let [[a, b], [c, d]] = camera.rotation_matrix();
        let orientation = [a as f32, b as f32, c as f32, d as f32];
        let screen = [viewport.width as f32, viewport.height as f32];
        let tile_view = TileView {
            orientation,
            viewport: screen,
            colouring: shading.colouring,
            has_tone: shading.has_tone,
            glass: glass.to_normalized_gamma_f32(),
            first: shading.first,
            second: shading.second,
            tone: [brightness, contrast, exponent, f32::from(u8::from(profile.is_some()))],
        };
        let (x, y) = (camera.center.x.floor(), camera.center.y.floor());
        let mark_view = MarkView {
            orientation,
            viewport: screen,
            center: [x as i32, y as i32],
            center_fraction: [(camera.center.x - x) as f32, (camera.center.y - y) as f32],
            zoom: [camera.zooms().0 as f32, camera.zooms().1 as f32],
        };
        let mut instances = vec![glass_instance(pyramid, camera)];
        instances.extend(tiles.iter().take(MOST_INSTANCES - 1).filter_map(|tile| {
            let (slot, opacity) = self.atlas.draw(*tile)?;
            let filtering = filtering(pyramid, camera, *tile, shading.smooth);
            Some(tile_instance(pyramid, camera, *tile, &slot, filtering, opacity))
        }));
        self.queue.write_buffer(&canvas.tile_view, 0, bytemuck::bytes_of(&tile_view));
        self.queue.write_buffer(&canvas.mark_view, 0, bytemuck::bytes_of(&mark_view));
        self.queue.write_buffer(&canvas.instances, 0, bytemuck::cast_slice(&instances));
        CanvasPaint {
            tile_pipeline: self.tile_pipeline.clone(),
            mark_pipeline: self.mark_pipeline.clone(),
            texture_bindings: self.texture_bindings.clone(),
            profile_bindings: profile.unwrap_or(&self.no_profile).bindings.clone(),
            tile_bindings: canvas.tile_bindings.clone(),
            mark_bindings: canvas.mark_bindings.clone(),
            instances: canvas.instances.clone(),
            instance_count: instances.len() as u32,
            marks: marks.iter().filter(|set| set.count > 0).cloned().collect(),
        }
    }
}

/// Edges in screen pixels from the canvas centre. Neighbouring tiles compute their common edge from the same
/// numbers, so no seam appears between them.
fn corners(camera: &Camera, x: (f64, f64), y: (f64, f64)) -> [f32; 4] {
    let zooms = camera.zooms();
    let across = |x: f64| ((x - camera.center.x) * zooms.0) as f32;
    let down = |y: f64| ((y - camera.center.y) * zooms.1) as f32;
    [across(x.0), down(y.0), across(x.1), down(y.1)]
}

fn glass_instance(pyramid: &DisplayPyramid, camera: &Camera) -> TileInstance {
    let level = pyramid.levels()[0];
    TileInstance {
        corners: corners(camera, (0.0, level.width.into()), (0.0, level.height.into())),
        extent: [1.0, 1.0],
        layer: 0,
        filtering: Filtering::Glass as u32,
        opacity: 1.0,
    }
}

fn tile_instance(
    pyramid: &DisplayPyramid,
    camera: &Camera,
    tile: TileKey,
    slot: &Slot,
    filtering: Filtering,
    opacity: f32,
) -> TileInstance {
    let downsample = pyramid.levels()[tile.level as usize].downsample;
    let (x, y) = pyramid.tile_span(tile);
    // If the level's size was rounded up, only the part on the slide is shown.
    let texels = |(start, end): (f64, f64), px: u32, downsample: f64| {
        f64::from(px).min((end - start) / downsample) as f32
    };
    TileInstance {
        corners: corners(camera, x, y),
        extent: [texels(x, slot.extent.0, downsample.x), texels(y, slot.extent.1, downsample.y)],
        layer: slot.layer,
        filtering: filtering as u32,
        opacity,
    }
}

/// Chooses the filtering of a tile. `smooth` selects interpolated instead of square pixels beyond 1:1.
fn filtering(pyramid: &DisplayPyramid, camera: &Camera, tile: TileKey, smooth: bool) -> Filtering {
    /// Rotated pixels are visible as squares from this size on, in screen pixels.
    const SQUARES_SEEN: f64 = 2.5;

    let downsample = pyramid.levels()[tile.level as usize].downsample;
    let zooms = camera.zooms();
    let (across, down) = (downsample.x * zooms.0, downsample.y * zooms.1);
    let aligned = camera.quarter_turns().is_some();
    match across.min(down) {
        size if size < 1.0 / 1.02 => Filtering::Averaged,
        // Coarser tiles shown in place of missing ones are always smoothed.
        _ if tile.level > 0 => Filtering::Linear,
        size if aligned && (size - 1.0).abs() < 1e-9 && across == down => Filtering::Exact,
        size if !smooth && (aligned || size > SQUARES_SEEN) => Filtering::Exact,
        _ => Filtering::Linear,
    }
}

/// Draws one canvas.
pub struct CanvasPaint {
    tile_pipeline: wgpu::RenderPipeline,
    mark_pipeline: wgpu::RenderPipeline,
    texture_bindings: wgpu::BindGroup,
    profile_bindings: wgpu::BindGroup,
    tile_bindings: wgpu::BindGroup,
    mark_bindings: wgpu::BindGroup,
    instances: wgpu::Buffer,
    instance_count: u32,
    marks: Vec<MarkSet>,
}

impl CallbackTrait for CanvasPaint {
    fn paint(
        &self,
        _info: egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        _resources: &CallbackResources,
    ) {
        self.draw(pass);
    }
}

impl CanvasPaint {
    /// Records the draw calls of the canvas.
    pub fn draw(&self, pass: &mut wgpu::RenderPass<'static>) {
        pass.set_pipeline(&self.tile_pipeline);
        pass.set_bind_group(0, &self.tile_bindings, &[]);
        pass.set_bind_group(1, &self.texture_bindings, &[]);
        pass.set_bind_group(2, &self.profile_bindings, &[]);
        pass.set_vertex_buffer(0, self.instances.slice(..));
        pass.draw(0..4, 0..self.instance_count);
        if !self.marks.is_empty() {
            pass.set_pipeline(&self.mark_pipeline);
            pass.set_bind_group(0, &self.mark_bindings, &[]);
            for set in &self.marks {
                pass.set_vertex_buffer(0, set.buffer.slice(..));
                pass.draw(0..4, 0..set.count);
            }
        }
    }
}

/// Uploads a cube of `edge`³ colours: red along x, green along y, blue along z.
fn profile_texture(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    layout: &wgpu::BindGroupLayout,
    edge: u32,
    entries: &[[f32; 3]],
) -> ProfileTexture {
    let texels: Vec<u16> = entries
        .iter()
        .flat_map(|&[r, g, b]| [r, g, b, 1.0].map(|value| half::f16::from_f32(value).to_bits()))
        .collect();
    let texture = device.create_texture_with_data(
        queue,
        &wgpu::TextureDescriptor {
            label: Some("slide profile"),
            size: wgpu::Extent3d { width: edge, height: edge, depth_or_array_layers: edge },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D3,
            format: wgpu::TextureFormat::Rgba16Float,
            usage: wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        },
        wgpu::util::TextureDataOrder::LayerMajor,
        bytemuck::cast_slice(&texels),
    );
    let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
    let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("slide profile"),
        layout,
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::TextureView(&view) }],
    });
    ProfileTexture { bindings }
}
