// Draws highlighted rectangles of the slide: one instanced quad each, with fill and outline.

struct View {
    // Rows of the rotation and mirroring from slide axes to screen axes.
    orientation: vec4<f32>,
    // Size of the canvas in physical pixels.
    viewport: vec2<f32>,
    // Level-0 position of the canvas centre: the integer part here, the fraction in `center_fraction`. Split,
    // the position keeps its full precision on slides of any size.
    center: vec2<i32>,
    center_fraction: vec2<f32>,
    // Screen pixels per level-0 pixel, across and down the slide.
    zoom: vec2<f32>,
};

override target_is_linear: bool = false;

@group(0) @binding(0) var<uniform> view: View;

struct Mark {
    // Top-left and size in level-0 pixels.
    @location(0) at: vec2<i32>,
    @location(1) extent: vec2<u32>,
    // sRGB with straight alpha.
    @location(2) fill: vec4<f32>,
    @location(3) outline: vec4<f32>,
    // Width of the outline in screen pixels, inwards from the edge.
    @location(4) outline_px: f32,
};

struct Fragment {
    @builtin(position) position: vec4<f32>,
    // Position in screen pixels from the mark's top-left, and the mark's size in screen pixels.
    @location(0) local: vec2<f32>,
    @location(1) @interpolate(flat) extent: vec2<f32>,
    @location(2) @interpolate(flat) fill: vec4<f32>,
    @location(3) @interpolate(flat) outline: vec4<f32>,
    @location(4) @interpolate(flat) outline_px: f32,
};

// Minimum size of a mark on the screen, to keep it visible when the whole slide is shown.
const LEAST_PX: f32 = 5.0;

@vertex
fn place_mark(@builtin(vertex_index) corner: u32, mark: Mark) -> Fragment {
    let unit = vec2<f32>(f32(corner & 1u), f32(corner >> 1u));
    let true_extent = vec2<f32>(mark.extent) * view.zoom;
    let extent = max(true_extent, vec2<f32>(LEAST_PX));
    let top_left = (vec2<f32>(mark.at - view.center) - view.center_fraction) * view.zoom
        - (extent - true_extent) * 0.5;
    let at = top_left + unit * extent;
    let turned = vec2<f32>(dot(view.orientation.xy, at), dot(view.orientation.zw, at));
    let clip = turned / (view.viewport * 0.5);
    var out: Fragment;
    out.position = vec4<f32>(clip.x, -clip.y, 0.0, 1.0);
    out.local = unit * extent;
    out.extent = extent;
    // A tint keeps a small mark visible. A large one is an outline alone, because a tint hides the tissue.
    let strength = 1.0 - smoothstep(16.0, 96.0, extent.x);
    out.fill = vec4<f32>(mark.fill.rgb, mark.fill.a * strength);
    out.outline = mark.outline;
    out.outline_px = mark.outline_px;
    return out;
}

fn linear_from_srgb(color: vec3<f32>) -> vec3<f32> {
    let low = color / 12.92;
    let high = pow((color + 0.055) / 1.055, vec3<f32>(2.4));
    return select(high, low, color <= vec3<f32>(0.04045));
}

@fragment
fn shade_mark(in: Fragment) -> @location(0) vec4<f32> {
    let from_edge = min(min(in.local.x, in.extent.x - in.local.x), min(in.local.y, in.extent.y - in.local.y));
    var color = select(in.fill, in.outline, from_edge < in.outline_px);
    if target_is_linear {
        color = vec4<f32>(linear_from_srgb(color.rgb), color.a);
    }
    return color;
}
