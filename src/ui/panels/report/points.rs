//! The wgpu pipeline that draws the points of a map, and the paint callback that runs it in egui.

use eframe::egui_wgpu::{self, CallbackResources, CallbackTrait, RenderState};
use eframe::wgpu;
use wgpu::util::DeviceExt as _;

use crate::ui::slide_view::pipeline::{PipelineParts, pipeline, uniform_layout};

/// A point of the map, as laid out in the vertex buffer.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct MapPoint {
    /// Position on the map.
    pub at: [f32; 2],
    /// sRGB with straight alpha.
    pub color: [u8; 4],
}

/// Points on the GPU, uploaded once and drawn any number of times.
#[derive(Clone)]
pub struct PointSet {
    buffer: wgpu::Buffer,
    count: u32,
}

/// The visible part of the map, as laid out in the uniform buffer.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct PointView {
    /// Map position of the canvas centre.
    pub center: [f32; 2],
    /// Clip-space units (2 across the canvas, y upwards) per map unit.
    pub scale: [f32; 2],
    /// Radius of a point in clip-space units.
    pub radius: [f32; 2],
    /// Padding.
    pub unused: [f32; 2],
}

/// GPU resources for drawing maps.
pub struct MapRenderer {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::RenderPipeline,
    view: wgpu::Buffer,
    bindings: wgpu::BindGroup,
}

impl MapRenderer {
    /// Creates the pipeline and its buffers.
    pub fn new(state: &RenderState) -> Self {
        let (device, queue) = (state.device.clone(), state.queue.clone());
        let layout = uniform_layout(&device, "map view", wgpu::ShaderStages::VERTEX);
        let view = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("map view"),
            size: size_of::<PointView>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("map view"),
            layout: &layout,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: view.as_entire_binding() }],
        });
        let module = device.create_shader_module(wgpu::include_wgsl!("points.wgsl"));
        let attributes = wgpu::vertex_attr_array![0 => Float32x2, 1 => Unorm8x4];
        let parts = PipelineParts {
            label: "map points",
            module: &module,
            shaders: ("place_point", "shade_point"),
            layouts: &[Some(&layout)],
            buffers: &[Some(wgpu::VertexBufferLayout {
                array_stride: size_of::<MapPoint>() as u64,
                step_mode: wgpu::VertexStepMode::Instance,
                attributes: &attributes,
            })],
            topology: wgpu::PrimitiveTopology::TriangleStrip,
            blend: wgpu::BlendState::ALPHA_BLENDING,
        };
        let pipeline = pipeline(&device, state.target_format, &parts);
        Self { device, queue, pipeline, view, bindings }
    }

    /// Uploads points to the GPU.
    pub fn upload(&self, points: &[MapPoint]) -> PointSet {
        let buffer = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("map points"),
            contents: bytemuck::cast_slice(points),
            usage: wgpu::BufferUsages::VERTEX,
        });
        PointSet { buffer, count: points.len() as u32 }
    }

    /// Returns a paint callback that draws `points` into `rect`. Supports one map per frame.
    pub fn paint(&self, rect: egui::Rect, view: PointView, points: &PointSet) -> egui::PaintCallback {
        self.queue.write_buffer(&self.view, 0, bytemuck::bytes_of(&view));
        egui_wgpu::Callback::new_paint_callback(
            rect,
            MapPaint {
                pipeline: self.pipeline.clone(),
                bindings: self.bindings.clone(),
                points: points.clone(),
            },
        )
    }
}

struct MapPaint {
    pipeline: wgpu::RenderPipeline,
    bindings: wgpu::BindGroup,
    points: PointSet,
}

impl CallbackTrait for MapPaint {
    fn paint(
        &self,
        _info: egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        _resources: &CallbackResources,
    ) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.set_vertex_buffer(0, self.points.buffer.slice(..));
        pass.draw(0..4, 0..self.points.count);
    }
}
