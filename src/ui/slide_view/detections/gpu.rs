//! Tiles of detections on the GPU.

use eframe::wgpu;
use wgpu::util::DeviceExt as _;

use super::content::{OutlinePoint, TileContent};
use super::tile::{DetectionTile, SIDE};
use crate::annotation::Bounds;
use crate::ui::slide_view::annotation_mesh::{FillCorner, units};
use crate::ui::slide_view::pipeline::{PipelineParts, pipeline, texture_layout};

/// A tile in GPU buffers.
#[derive(Clone)]
pub struct TileBuffers {
    outlines: Option<(wgpu::Buffer, u32)>,
    triangles: Option<(wgpu::Buffer, wgpu::Buffer, u32)>,
    picture: Option<wgpu::BindGroup>,
    /// Memory on the GPU, in bytes.
    pub bytes: usize,
}

impl TileBuffers {
    /// Whether it has a picture, and so can stand in for finer tiles.
    pub fn has_picture(&self) -> bool {
        self.picture.is_some()
    }
}

/// A part of a tile that is drawn.
pub struct Drawn {
    /// The tile.
    pub buffers: TileBuffers,
    /// The tile of its picture.
    pub tile: DetectionTile,
    /// The area that is drawn of its picture.
    pub area: Bounds,
    /// Whether its outlines are drawn.
    pub with_outlines: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct PicturePart {
    area: [i32; 4],
    part: [f32; 4],
}

impl PicturePart {
    fn of(drawn: &Drawn) -> Self {
        let whole = drawn.tile.area();
        let ([left, top], [right, bottom]) = (units(drawn.area.min), units(drawn.area.max));
        let share = |at: f64, low: f64, side: f64| ((at - low) / side) as f32;
        let (width, height) = (whole.width(), whole.height());
        Self {
            area: [left, top, right, bottom],
            part: [
                share(drawn.area.min.x, whole.min.x, width),
                share(drawn.area.min.y, whole.min.y, height),
                share(drawn.area.max.x, whole.min.x, width),
                share(drawn.area.max.y, whole.min.y, height),
            ],
        }
    }
}

/// The parts of pictures that are drawn, in a GPU buffer that is made anew only when they change.
#[derive(Default)]
pub struct PictureParts {
    known: Vec<PicturePart>,
    buffer: Option<wgpu::Buffer>,
}

/// The render pipelines for tiles of detections. The view is that of the annotations.
#[derive(Clone)]
pub struct DetectionPipelines {
    device: wgpu::Device,
    queue: wgpu::Queue,
    outline: wgpu::RenderPipeline,
    picture: wgpu::RenderPipeline,
    texture_layout: wgpu::BindGroupLayout,
    sampler: wgpu::Sampler,
}

impl DetectionPipelines {
    /// Creates the pipelines for targets of format `target`. `view` is the layout of the annotations' view,
    /// and `module` holds their shaders.
    pub fn new(
        device: &wgpu::Device,
        queue: wgpu::Queue,
        target: wgpu::TextureFormat,
        view: &wgpu::BindGroupLayout,
        module: &wgpu::ShaderModule,
    ) -> Self {
        let texture_layout = texture_layout(device, "detections", wgpu::TextureViewDimension::D2);
        let sampler = device.create_sampler(&wgpu::SamplerDescriptor {
            label: Some("detections"),
            mag_filter: wgpu::FilterMode::Linear,
            min_filter: wgpu::FilterMode::Linear,
            ..Default::default()
        });
        let points = wgpu::vertex_attr_array![0 => Sint32x2, 2 => Unorm8x4];
        let next = wgpu::vertex_attr_array![1 => Sint32x2];
        let parts = wgpu::vertex_attr_array![0 => Sint32x4, 1 => Float32x4];
        let per_instance = |stride: usize, attributes| wgpu::VertexBufferLayout {
            array_stride: stride as u64,
            step_mode: wgpu::VertexStepMode::Instance,
            attributes,
        };
        let layouts = [Some(view), Some(&texture_layout)];
        let outlines = [
            Some(per_instance(size_of::<OutlinePoint>(), &points[..])),
            Some(per_instance(size_of::<OutlinePoint>(), &next[..])),
        ];
        let pictures = [Some(per_instance(size_of::<PicturePart>(), &parts[..]))];
        let (label, topology) = ("detections", wgpu::PrimitiveTopology::TriangleStrip);
        let outline = PipelineParts {
            label,
            module,
            shaders: ("place_outline", "shade_stroke"),
            layouts: &layouts[..1],
            buffers: &outlines,
            topology,
            blend: wgpu::BlendState::ALPHA_BLENDING,
        };
        let picture = PipelineParts {
            label,
            module,
            shaders: ("place_picture", "shade_picture"),
            layouts: &layouts,
            buffers: &pictures,
            topology,
            blend: wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING,
        };
        let [outline, picture] = [outline, picture].map(|parts| pipeline(device, target, &parts));
        Self { device: device.clone(), queue, outline, picture, texture_layout, sampler }
    }

    /// Puts the content of a tile into GPU buffers.
    pub fn upload(&self, content: &TileContent) -> TileBuffers {
        let buffer = |contents: &[u8], usage| {
            let label = Some("detections");
            self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label, contents, usage })
        };
        let TileContent { outlines, corners, indices, picture } = content;
        let bytes = size_of_val(&outlines[..]) + size_of_val(&corners[..]) + size_of_val(&indices[..]);
        let outlines = (outlines.len() > 1).then(|| {
            let points = buffer(bytemuck::cast_slice(outlines), wgpu::BufferUsages::VERTEX);
            (points, outlines.len() as u32 - 1)
        });
        let triangles = (!indices.is_empty()).then(|| {
            let corners = buffer(bytemuck::cast_slice::<FillCorner, u8>(corners), wgpu::BufferUsages::VERTEX);
            let of_triangles = buffer(bytemuck::cast_slice(indices), wgpu::BufferUsages::INDEX);
            (corners, of_triangles, indices.len() as u32)
        });
        let bytes = bytes + picture.as_ref().map_or(0, Vec::len);
        let picture = picture.as_ref().map(|pixels| self.texture(pixels));
        TileBuffers { outlines, triangles, picture, bytes }
    }

    fn texture(&self, pixels: &[u8]) -> wgpu::BindGroup {
        let texture = self.device.create_texture_with_data(
            &self.queue,
            &wgpu::TextureDescriptor {
                label: Some("detections"),
                size: wgpu::Extent3d { width: SIDE, height: SIDE, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: wgpu::TextureFormat::Rgba8Unorm,
                usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            },
            wgpu::util::TextureDataOrder::LayerMajor,
            pixels,
        );
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("detections"),
            layout: &self.texture_layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::TextureView(&view) },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::Sampler(&self.sampler) },
            ],
        })
    }

    /// Prepares drawing tiles. `fill` is the annotations' pipeline for triangles; without it, areas are only
    /// outlined. `known` is what was drawn before.
    pub fn prepare(
        &self,
        drawn: Vec<Drawn>,
        fill: Option<&wgpu::RenderPipeline>,
        known: &mut PictureParts,
    ) -> DetectionPaint {
        let parts: Vec<PicturePart> = drawn.iter().map(PicturePart::of).collect();
        if known.known != parts {
            known.known = parts;
            known.buffer = None;
        }
        let parts = known.buffer.get_or_insert_with(|| {
            self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some("parts of detection tiles"),
                contents: bytemuck::cast_slice(&known.known),
                usage: wgpu::BufferUsages::VERTEX,
            })
        });
        let parts = parts.clone();
        DetectionPaint {
            outline: self.outline.clone(),
            picture: self.picture.clone(),
            fill: fill.cloned(),
            drawn,
            parts,
        }
    }
}

/// Draws tiles, once the annotations' view is bound.
pub struct DetectionPaint {
    outline: wgpu::RenderPipeline,
    picture: wgpu::RenderPipeline,
    fill: Option<wgpu::RenderPipeline>,
    drawn: Vec<Drawn>,
    parts: wgpu::Buffer,
}

impl DetectionPaint {
    /// Draws pictures, then areas, then outlines.
    pub fn draw(&self, pass: &mut wgpu::RenderPass<'static>) {
        pass.set_pipeline(&self.picture);
        pass.set_vertex_buffer(0, self.parts.slice(..));
        for (index, drawn) in (0..).zip(&self.drawn) {
            if let Some(picture) = &drawn.buffers.picture {
                pass.set_bind_group(1, picture, &[]);
                pass.draw(0..4, index..index + 1);
            }
        }
        let outlined = || self.drawn.iter().filter(|drawn| drawn.with_outlines);
        if let Some(fill) = &self.fill {
            pass.set_pipeline(fill);
            for (corners, indices, count) in outlined().filter_map(|drawn| drawn.buffers.triangles.as_ref()) {
                pass.set_vertex_buffer(0, corners.slice(..));
                pass.set_index_buffer(indices.slice(..), wgpu::IndexFormat::Uint32);
                pass.draw_indexed(0..*count, 0, 0..1);
            }
        }
        pass.set_pipeline(&self.outline);
        for (points, count) in outlined().filter_map(|drawn| drawn.buffers.outlines.as_ref()) {
            // The second slot is one point ahead.
            pass.set_vertex_buffer(0, points.slice(..));
            pass.set_vertex_buffer(1, points.slice(size_of::<OutlinePoint>() as u64..));
            pass.draw(0..4, 0..*count);
        }
    }
}
