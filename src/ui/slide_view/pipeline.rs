//! Set-up of render pipelines that all layers share.

use eframe::wgpu;

/// What a render pipeline draws, and how.
pub struct PipelineParts<'a> {
    /// Name in messages of the graphics driver.
    pub label: &'a str,
    /// The shaders, with the constant `target_is_linear`.
    pub module: &'a wgpu::ShaderModule,
    /// Names of the vertex and the fragment shader.
    pub shaders: (&'a str, &'a str),
    /// Layouts of the bind groups.
    pub layouts: &'a [Option<&'a wgpu::BindGroupLayout>],
    /// Layouts of the vertex buffers.
    pub buffers: &'a [Option<wgpu::VertexBufferLayout<'a>>],
    /// How vertices form triangles.
    pub topology: wgpu::PrimitiveTopology,
    /// How colours are mixed with those of the target.
    pub blend: wgpu::BlendState,
}

/// Creates a render pipeline for targets of format `target`.
pub fn pipeline(
    device: &wgpu::Device,
    target: wgpu::TextureFormat,
    parts: &PipelineParts<'_>,
) -> wgpu::RenderPipeline {
    let &PipelineParts { label, module, shaders: (vertex, fragment), layouts, buffers, topology, blend } =
        parts;
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(label),
        bind_group_layouts: layouts,
        immediate_size: 0,
    });
    let constants = [("target_is_linear", f64::from(u8::from(target.is_srgb())))];
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(label),
        layout: Some(&layout),
        vertex: wgpu::VertexState {
            module,
            entry_point: Some(vertex),
            compilation_options: Default::default(),
            buffers,
        },
        primitive: wgpu::PrimitiveState { topology, ..Default::default() },
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module,
            entry_point: Some(fragment),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                ..Default::default()
            },
            targets: &[Some(wgpu::ColorTargetState {
                format: target,
                blend: Some(blend),
                write_mask: wgpu::ColorWrites::ALL,
            })],
        }),
        multiview_mask: None,
        cache: None,
    })
}

/// Returns the layout of a bind group with one uniform buffer, for the stages `visibility`.
pub fn uniform_layout(
    device: &wgpu::Device,
    label: &str,
    visibility: wgpu::ShaderStages,
) -> wgpu::BindGroupLayout {
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(label),
        entries: &[wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        }],
    })
}

/// Returns the layout of a bind group with a texture and its sampler, for fragment shaders.
pub fn texture_layout(
    device: &wgpu::Device,
    label: &str,
    view_dimension: wgpu::TextureViewDimension,
) -> wgpu::BindGroupLayout {
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty,
        count: None,
    };
    let texture = wgpu::BindingType::Texture {
        sample_type: wgpu::TextureSampleType::Float { filterable: true },
        view_dimension,
        multisampled: false,
    };
    let sampler = wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering);
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(label),
        entries: &[entry(0, texture), entry(1, sampler)],
    })
}
