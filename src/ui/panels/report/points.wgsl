// Draws the points of a map: one instanced quad each, shaded as a soft disc.

struct View {
    // Map position of the canvas centre.
    center: vec2<f32>,
    // Clip-space units per map unit.
    scale: vec2<f32>,
    // Radius of a point in clip-space units.
    radius: vec2<f32>,
    unused: vec2<f32>,
};

override target_is_linear: bool = false;

@group(0) @binding(0) var<uniform> view: View;

struct Point {
    @location(0) at: vec2<f32>,
    // sRGB with straight alpha.
    @location(1) color: vec4<f32>,
};

struct Fragment {
    @builtin(position) position: vec4<f32>,
    // Position relative to the point's centre, in radii.
    @location(0) local: vec2<f32>,
    @location(1) @interpolate(flat) color: vec4<f32>,
};

@vertex
fn place_point(@builtin(vertex_index) corner: u32, point: Point) -> Fragment {
    let local = vec2<f32>(f32(corner & 1u), f32(corner >> 1u)) * 2.0 - 1.0;
    let at = (point.at - view.center) * view.scale + local * view.radius;
    var out: Fragment;
    out.position = vec4<f32>(at, 0.0, 1.0);
    out.local = local;
    out.color = point.color;
    return out;
}

fn linear_from_srgb(color: vec3<f32>) -> vec3<f32> {
    let low = color / 12.92;
    let high = pow((color + 0.055) / 1.055, vec3<f32>(2.4));
    return select(high, low, color <= vec3<f32>(0.04045));
}

@fragment
fn shade_point(in: Fragment) -> @location(0) vec4<f32> {
    let disc = 1.0 - smoothstep(0.75, 1.0, length(in.local));
    var color = vec4<f32>(in.color.rgb, in.color.a * disc);
    if target_is_linear {
        color = vec4<f32>(linear_from_srgb(color.rgb), color.a);
    }
    return color;
}
