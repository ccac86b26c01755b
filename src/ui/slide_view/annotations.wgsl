// Draws annotations: their areas as triangles; their outlines, lines and points as strokes with round ends.
// Positions are integers in units of 1/64 level-0 pixel, which keeps their precision on slides of any size.

struct View {
    // Rows of the rotation and mirroring from slide axes to screen axes.
    orientation: vec4<f32>,
    // Size of the canvas in physical pixels.
    viewport: vec2<f32>,
    // Canvas centre, in the units of positions.
    center: vec2<i32>,
    // Screen pixels per position unit, along x and y of the slide.
    zoom: vec2<f32>,
    // Physical pixels per point.
    scale: f32,
};

override target_is_linear: bool = false;

@group(0) @binding(0) var<uniform> view: View;

fn screen(at: vec2<i32>) -> vec2<f32> {
    let from_center = vec2<f32>(at - view.center) * view.zoom;
    return vec2<f32>(dot(view.orientation.xy, from_center), dot(view.orientation.zw, from_center));
}

fn clip(at: vec2<f32>) -> vec4<f32> {
    let clip = at / (view.viewport * 0.5);
    return vec4<f32>(clip.x, -clip.y, 0.0, 1.0);
}

fn linear_from_srgb(color: vec3<f32>) -> vec3<f32> {
    let low = color / 12.92;
    let high = pow((color + 0.055) / 1.055, vec3<f32>(2.4));
    return select(high, low, color <= vec3<f32>(0.04045));
}

fn target_color(color: vec4<f32>) -> vec4<f32> {
    if target_is_linear {
        return vec4<f32>(linear_from_srgb(color.rgb), color.a);
    }
    return color;
}

struct Fill {
    @builtin(position) position: vec4<f32>,
    @location(0) @interpolate(flat) color: vec4<f32>,
};

@vertex
fn place_fill(@location(0) at: vec2<i32>, @location(1) color: vec4<f32>) -> Fill {
    var out: Fill;
    out.position = clip(screen(at));
    out.color = color;
    return out;
}

@fragment
fn shade_fill(in: Fill) -> @location(0) vec4<f32> {
    return target_color(in.color);
}

struct Stroke {
    @location(0) begin: vec2<i32>,
    @location(1) end: vec2<i32>,
    // sRGB with straight alpha.
    @location(2) color: vec4<f32>,
    // Half the width, in points.
    @location(3) radius: f32,
};

struct StrokeFragment {
    @builtin(position) position: vec4<f32>,
    // Position in screen pixels: along the stroke from its start, and across it from its centre line.
    @location(0) local: vec2<f32>,
    @location(1) @interpolate(flat) length: f32,
    @location(2) @interpolate(flat) color: vec4<f32>,
    @location(3) @interpolate(flat) radius: f32,
};

fn placed(corner: u32, stroke: Stroke) -> StrokeFragment {
    let begin = screen(stroke.begin);
    let reach = screen(stroke.end) - begin;
    let length = length(reach);
    let along = select(vec2<f32>(1.0, 0.0), reach / length, length > 0.0001);
    let across = vec2<f32>(-along.y, along.x);
    let radius = stroke.radius * view.scale;
    // One more pixel for the antialiased edge.
    let margin = radius + 1.0;
    let local = vec2<f32>(
        select(-margin, length + margin, (corner & 1u) == 1u),
        select(-margin, margin, (corner >> 1u) == 1u),
    );
    var out: StrokeFragment;
    out.position = clip(begin + along * local.x + across * local.y);
    out.local = local;
    out.length = length;
    out.color = stroke.color;
    out.radius = radius;
    return out;
}

@vertex
fn place_stroke(@builtin(vertex_index) corner: u32, stroke: Stroke) -> StrokeFragment {
    return placed(corner, stroke);
}

// A point of an outline and the one after it. Alpha says what begins there: 1 a stroke, 0.5 a dot, 0 nothing.
struct OutlinePoint {
    @location(0) at: vec2<i32>,
    @location(1) next: vec2<i32>,
    @location(2) color: vec4<f32>,
};

// Half the width of outlines and the radius of dots, in points.
const OUTLINE_RADIUS: f32 = 0.8;
const DOT_RADIUS: f32 = 3.0;

@vertex
fn place_outline(@builtin(vertex_index) corner: u32, point: OutlinePoint) -> StrokeFragment {
    let is_dot = point.color.a < 0.75;
    let end = select(point.next, point.at, is_dot);
    let radius = select(OUTLINE_RADIUS, DOT_RADIUS, is_dot);
    var out = placed(corner, Stroke(point.at, end, vec4<f32>(point.color.rgb, 1.0), radius));
    if point.color.a < 0.25 {
        // Outside of the view.
        out.position = vec4<f32>(2.0, 2.0, 2.0, 1.0);
    }
    return out;
}

@fragment
fn shade_stroke(in: StrokeFragment) -> @location(0) vec4<f32> {
    let beyond = max(max(-in.local.x, in.local.x - in.length), 0.0);
    let distance = length(vec2<f32>(beyond, in.local.y));
    let coverage = clamp(in.radius + 0.5 - distance, 0.0, 1.0);
    return target_color(vec4<f32>(in.color.rgb, in.color.a * coverage));
}

@group(1) @binding(0) var picture: texture_2d<f32>;
@group(1) @binding(1) var picture_sampler: sampler;

struct PicturePart {
    // Left, top, right and bottom on the slide.
    @location(0) area: vec4<i32>,
    // The same within the picture, from 0 to 1.
    @location(1) part: vec4<f32>,
};

struct PictureFragment {
    @builtin(position) position: vec4<f32>,
    @location(0) at: vec2<f32>,
};

@vertex
fn place_picture(@builtin(vertex_index) corner: u32, shown: PicturePart) -> PictureFragment {
    let is_right = (corner & 1u) == 1u;
    let is_low = (corner >> 1u) == 1u;
    var out: PictureFragment;
    out.position = clip(screen(vec2<i32>(
        select(shown.area.x, shown.area.z, is_right),
        select(shown.area.y, shown.area.w, is_low),
    )));
    out.at = vec2<f32>(
        select(shown.part.x, shown.part.z, is_right),
        select(shown.part.y, shown.part.w, is_low),
    );
    return out;
}

// Pictures hold sRGB times alpha.
@fragment
fn shade_picture(in: PictureFragment) -> @location(0) vec4<f32> {
    let color = textureSample(picture, picture_sampler, in.at);
    let plain = color.rgb / max(color.a, 0.001);
    return vec4<f32>(target_color(vec4<f32>(plain, 1.0)).rgb * color.a, color.a);
}
