//! Annotations on the GPU: a thread rebuilds their buffers whenever they change, and a frame only draws the
//! current buffers. Detections in compact form are drawn from tiles; see [`super::detections`].

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use eframe::egui_wgpu::{self, CallbackResources, CallbackTrait, RenderState};
use eframe::wgpu;
use uuid::Uuid;
use wgpu::util::DeviceExt as _;

use super::annotation_mesh::{FillCorner, Mesh, Mesher, StrokeInstance, UNITS_PER_PIXEL, units};
use super::camera::{Camera, Viewport};
use super::detections::{DetectionPaint, DetectionPipelines, DetectionTiles, FixedDetections, Shown};
use super::overlay::OnScreen;
use super::pipeline::{PipelineParts, pipeline, uniform_layout};
use crate::annotation::{AnnotationSet, DetectionColours};
use crate::session::SlideAnnotations;
use crate::slide::SlideId;
use crate::workers::Waker;
use crate::workers::job_queue::JobQueue;

/// The annotations to draw. Compared by pointer, so it counts as changed only if one of its parts is another
/// object.
#[derive(Clone)]
struct Order {
    slide: SlideId,
    set: Arc<AnnotationSet>,
    hidden: Arc<HashSet<Uuid>>,
}

impl Order {
    fn is(&self, other: &Self) -> bool {
        self.slide == other.slide
            && Arc::ptr_eq(&self.set, &other.set)
            && Arc::ptr_eq(&self.hidden, &other.hidden)
    }
}

/// A mesh in GPU buffers.
#[derive(Clone)]
struct Drawn {
    slide: SlideId,
    corners: wgpu::Buffer,
    indices: wgpu::Buffer,
    index_count: u32,
    strokes: wgpu::Buffer,
    stroke_count: u32,
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct View {
    orientation: [f32; 4],
    viewport: [f32; 2],
    center: [i32; 2],
    zoom: [f32; 2],
    scale: f32,
    unused: f32,
}

impl Drawn {
    fn new(device: &wgpu::Device, slide: SlideId, mesh: &Mesh) -> Self {
        let buffer = |contents: &[u8], usage| {
            device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some("annotations"),
                contents,
                usage,
            })
        };
        let Mesh { corners, indices, strokes } = mesh;
        Self {
            slide,
            corners: buffer(bytemuck::cast_slice(corners), wgpu::BufferUsages::VERTEX),
            indices: buffer(bytemuck::cast_slice(indices), wgpu::BufferUsages::INDEX),
            index_count: indices.len() as u32,
            strokes: buffer(bytemuck::cast_slice(strokes), wgpu::BufferUsages::VERTEX),
            stroke_count: strokes.len() as u32,
        }
    }
}

/// The render pipelines for annotations.
pub struct AnnotationPipelines {
    queue: wgpu::Queue,
    fill: wgpu::RenderPipeline,
    stroke: wgpu::RenderPipeline,
    detections: DetectionPipelines,
    view: wgpu::Buffer,
    bindings: wgpu::BindGroup,
}

impl AnnotationPipelines {
    /// Creates the pipelines for targets of format `target`.
    pub fn new(device: &wgpu::Device, queue: wgpu::Queue, target: wgpu::TextureFormat) -> Self {
        let view = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("annotation view"),
            size: size_of::<View>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let layout = uniform_layout(device, "annotation view", wgpu::ShaderStages::VERTEX);
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("annotation view"),
            layout: &layout,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: view.as_entire_binding() }],
        });
        let module = device.create_shader_module(wgpu::include_wgsl!("annotations.wgsl"));
        let corner = wgpu::vertex_attr_array![0 => Sint32x2, 1 => Unorm8x4];
        let stroke_attributes =
            wgpu::vertex_attr_array![0 => Sint32x2, 1 => Sint32x2, 2 => Unorm8x4, 3 => Float32];
        let of = |shaders, topology, buffer| {
            let parts = PipelineParts {
                label: "annotations",
                module: &module,
                shaders,
                layouts: &[Some(&layout)],
                buffers: &[Some(buffer)],
                topology,
                blend: wgpu::BlendState::ALPHA_BLENDING,
            };
            pipeline(device, target, &parts)
        };
        let fill = of(
            ("place_fill", "shade_fill"),
            wgpu::PrimitiveTopology::TriangleList,
            wgpu::VertexBufferLayout {
                array_stride: size_of::<FillCorner>() as u64,
                step_mode: wgpu::VertexStepMode::Vertex,
                attributes: &corner,
            },
        );
        let stroke = of(
            ("place_stroke", "shade_stroke"),
            wgpu::PrimitiveTopology::TriangleStrip,
            wgpu::VertexBufferLayout {
                array_stride: size_of::<StrokeInstance>() as u64,
                step_mode: wgpu::VertexStepMode::Instance,
                attributes: &stroke_attributes,
            },
        );
        let detections = DetectionPipelines::new(device, queue.clone(), target, &layout, &module);
        Self { queue, fill, stroke, detections, view, bindings }
    }

    /// Prepares drawing detections and above them other annotations as seen by `camera`, with `scale`
    /// physical pixels per point.
    fn prepare(
        &self,
        detections: Option<DetectionPaint>,
        drawn: Option<Drawn>,
        camera: &Camera,
        viewport: Viewport,
        scale: f32,
    ) -> AnnotationPaint {
        let [[a, b], [c, d]] = camera.rotation_matrix();
        let zooms = camera.zooms();
        let view = View {
            orientation: [a as f32, b as f32, c as f32, d as f32],
            viewport: [viewport.width as f32, viewport.height as f32],
            center: units(camera.center),
            zoom: [(zooms.0 / UNITS_PER_PIXEL) as f32, (zooms.1 / UNITS_PER_PIXEL) as f32],
            scale,
            unused: 0.0,
        };
        self.queue.write_buffer(&self.view, 0, bytemuck::bytes_of(&view));
        AnnotationPaint {
            fill_pipeline: self.fill.clone(),
            stroke_pipeline: self.stroke.clone(),
            bindings: self.bindings.clone(),
            detections,
            drawn,
        }
    }
}

/// Annotations that do not change, for offscreen pictures.
pub struct FixedAnnotations {
    detections: FixedDetections,
    drawn: Drawn,
    /// Physical pixels per point.
    scale: f32,
    /// Whether areas are filled, not only outlined.
    fills: bool,
}

impl FixedAnnotations {
    /// Creates the buffers of all annotations of `set` that are not `hidden`; areas are outlined, and filled if `fills`.
    /// `scale` is pixels per point and sets the line width.
    pub fn new(
        device: &wgpu::Device,
        pipelines: &AnnotationPipelines,
        set: &AnnotationSet,
        hidden: &HashSet<Uuid>,
        colours: &Arc<DetectionColours>,
        fills: bool,
        scale: f32,
    ) -> Self {
        let mesh = Mesher::default().mesh(set, hidden);
        let shown = Shown {
            detections: set.detections().clone(),
            parts: Arc::default(),
            hidden: Arc::new(hidden.clone()),
            colours: colours.clone(),
        };
        let detections = FixedDetections::new(&pipelines.detections, shown);
        let mut drawn = Drawn::new(device, SlideId(String::new()), &mesh);
        if !fills {
            drawn.index_count = 0;
        }
        Self { detections, drawn, fills, scale }
    }

    /// Draws the annotations as seen by `camera`.
    pub fn draw(
        &self,
        pipelines: &AnnotationPipelines,
        camera: &Camera,
        viewport: Viewport,
        pass: &mut wgpu::RenderPass<'static>,
    ) {
        let fill = self.fills.then_some(&pipelines.fill);
        let detections = self.detections.paint(camera, viewport, fill);
        let drawn = (self.drawn.stroke_count > 0).then(|| self.drawn.clone());
        if detections.is_some() || drawn.is_some() {
            pipelines.prepare(detections, drawn, camera, viewport, self.scale).draw(pass);
        }
    }
}

/// Draws the annotations of one canvas.
pub struct AnnotationLayer {
    pipelines: AnnotationPipelines,
    orders: Arc<JobQueue<Order>>,
    ready: Receiver<Drawn>,
    thread: Option<JoinHandle<()>>,
    requested: Option<Order>,
    drawn: Option<Drawn>,
    detections: DetectionTiles,
    /// Whether areas are filled, not only outlined.
    pub fills: bool,
}

impl AnnotationLayer {
    /// Creates the pipelines and starts the threads that build the buffers.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(state: &RenderState, waker: Waker) -> std::io::Result<Self> {
        let device = state.device.clone();
        let pipelines = AnnotationPipelines::new(&device, state.queue.clone(), state.target_format);
        let detections = DetectionTiles::start(&pipelines.detections, waker.clone())?;
        let orders = Arc::new(JobQueue::default());
        let (sender, ready) = bounded(1);
        let waiting = orders.clone();
        let thread = std::thread::Builder::new()
            .name("annotation-mesher".into())
            .spawn(move || make_buffers(&device, &waiting, &sender, &waker))?;
        Ok(Self {
            pipelines,
            orders,
            ready,
            thread: Some(thread),
            requested: None,
            drawn: None,
            detections,
            fills: true,
        })
    }

    /// Returns a paint callback that draws the latest buffers of a slide's annotations; requests new buffers
    /// if something has changed. `None` if there is nothing to draw yet.
    pub fn paint(
        &mut self,
        on_screen: &OnScreen<'_>,
        slide: &SlideId,
        annotations: &SlideAnnotations,
    ) -> Option<egui::PaintCallback> {
        let (set, hidden) = (annotations.set(), annotations.hidden());
        if self.requested.as_ref().is_some_and(|requested| requested.slide != *slide) {
            self.detections.clear();
        }
        let order = Order { slide: slide.clone(), set: set.clone(), hidden: hidden.clone() };
        if !self.requested.as_ref().is_some_and(|requested| requested.is(&order)) {
            self.requested = Some(order.clone());
            self.orders.replace(order);
        }
        while let Ok(drawn) = self.ready.try_recv() {
            self.drawn = Some(drawn);
        }
        let mut drawn = self.drawn.clone().filter(|drawn| drawn.slide == *slide && drawn.stroke_count > 0);
        if let Some(drawn) = drawn.as_mut().filter(|_| !self.fills) {
            drawn.index_count = 0;
        }
        let &OnScreen { camera, viewport, rect, scale } = on_screen;
        let shown = Shown {
            detections: set.detections().clone(),
            parts: annotations.parts().clone(),
            hidden: hidden.clone(),
            colours: annotations.detection_colours().clone(),
        };
        let fill = self.fills.then_some(&self.pipelines.fill);
        let detections = self.detections.paint(shown, camera, viewport, fill);
        if detections.is_none() && drawn.is_none() {
            return None;
        }
        let paint = self.pipelines.prepare(detections, drawn, camera, viewport, scale);
        Some(egui_wgpu::Callback::new_paint_callback(rect, paint))
    }
}

impl Drop for AnnotationLayer {
    fn drop(&mut self) {
        self.orders.close();
        // Disconnect the channel: the thread must not block on sending.
        self.ready = crossbeam_channel::never();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that draws annotations had panicked");
        }
    }
}

fn make_buffers(device: &wgpu::Device, orders: &JobQueue<Order>, ready: &Sender<Drawn>, waker: &Waker) {
    let mut mesher = Mesher::default();
    let mut slide = None;
    while let Some(order) = orders.take() {
        if slide.as_ref() != Some(&order.slide) {
            mesher = Mesher::default();
            slide = Some(order.slide.clone());
        }
        let mesh = mesher.mesh(&order.set, &order.hidden);
        let drawn = Drawn::new(device, order.slide, &mesh);
        if ready.send(drawn).is_err() {
            return;
        }
        waker();
    }
}

/// Draws in egui's render pass.
struct AnnotationPaint {
    fill_pipeline: wgpu::RenderPipeline,
    stroke_pipeline: wgpu::RenderPipeline,
    bindings: wgpu::BindGroup,
    detections: Option<DetectionPaint>,
    drawn: Option<Drawn>,
}

impl CallbackTrait for AnnotationPaint {
    fn paint(
        &self,
        _info: egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        _resources: &CallbackResources,
    ) {
        self.draw(pass);
    }
}

impl AnnotationPaint {
    fn draw(&self, pass: &mut wgpu::RenderPass<'static>) {
        pass.set_bind_group(0, &self.bindings, &[]);
        if let Some(detections) = &self.detections {
            detections.draw(pass);
        }
        let Some(drawn) = &self.drawn else { return };
        if drawn.index_count > 0 {
            pass.set_pipeline(&self.fill_pipeline);
            pass.set_vertex_buffer(0, drawn.corners.slice(..));
            pass.set_index_buffer(drawn.indices.slice(..), wgpu::IndexFormat::Uint32);
            pass.draw_indexed(0..drawn.index_count, 0, 0..1);
        }
        pass.set_pipeline(&self.stroke_pipeline);
        pass.set_vertex_buffer(0, drawn.strokes.slice(..));
        pass.draw(0..4, 0..drawn.stroke_count);
    }
}
