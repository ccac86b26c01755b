// Draws display tiles: one instanced quad each, out of a texture array.

struct View {
    // Rows of the turn and flip from slide axes to screen axes.
    orientation: vec4<f32>,
    // Extent of the canvas in physical pixels.
    viewport: vec2<f32>,
    unused: vec2<f32>,
    // Colour of empty glass, sRGB.
    glass: vec4<f32>,
};

// Whether the target converts linear light to sRGB when it is written; our colours are sRGB throughout.
override target_is_linear: bool = false;

@group(0) @binding(0) var<uniform> view: View;
@group(1) @binding(0) var tiles: texture_2d_array<f32>;
@group(1) @binding(1) var smooth_sampler: sampler;

struct Tile {
    // Top-left and bottom-right in screen pixels from the canvas centre, before turn and flip.
    @location(0) corners: vec4<f32>,
    // Extent of the tile in texels.
    @location(1) extent: vec2<f32>,
    // Layer of the texture array.
    @location(2) layer: u32,
    // 0: glass without a picture; 1: exact texels; 2: linear; 3: linear, averaged over the screen pixel.
    @location(3) filtering: u32,
    // 0 to 1, less than 1 while the tile fades in.
    @location(4) opacity: f32,
};

struct Fragment {
    @builtin(position) position: vec4<f32>,
    @location(0) texel: vec2<f32>,
    @location(1) @interpolate(flat) extent: vec2<f32>,
    @location(2) @interpolate(flat) layer: u32,
    @location(3) @interpolate(flat) filtering: u32,
    @location(4) @interpolate(flat) opacity: f32,
};

@vertex
fn place_tile(@builtin(vertex_index) corner: u32, tile: Tile) -> Fragment {
    let unit = vec2<f32>(f32(corner & 1u), f32(corner >> 1u));
    let at = mix(tile.corners.xy, tile.corners.zw, unit);
    let turned = vec2<f32>(dot(view.orientation.xy, at), dot(view.orientation.zw, at));
    let clip = turned / (view.viewport * 0.5);
    var out: Fragment;
    out.position = vec4<f32>(clip.x, -clip.y, 0.0, 1.0);
    out.texel = unit * tile.extent;
    out.extent = tile.extent;
    out.layer = tile.layer;
    out.filtering = tile.filtering;
    out.opacity = tile.opacity;
    return out;
}

fn sample_linear(texel: vec2<f32>, extent: vec2<f32>, layer: u32) -> vec4<f32> {
    // Edge tiles fill only a part of their layer: never sample beyond their outermost texels.
    let inside = clamp(texel, vec2<f32>(0.5), extent - 0.5);
    let size = vec2<f32>(textureDimensions(tiles));
    return textureSampleLevel(tiles, smooth_sampler, inside / size, layer, 0.0);
}

fn linear_from_srgb(color: vec3<f32>) -> vec3<f32> {
    let low = color / 12.92;
    let high = pow((color + 0.055) / 1.055, vec3<f32>(2.4));
    return select(high, low, color <= vec3<f32>(0.04045));
}

@fragment
fn shade_tile(in: Fragment) -> @location(0) vec4<f32> {
    let across = dpdx(in.texel) * 0.25;
    let down = dpdy(in.texel) * 0.25;
    var color = vec4<f32>(0.0);
    switch in.filtering {
        case 0u: {
            color = vec4<f32>(0.0);
        }
        case 1u: {
            let last = vec2<i32>(in.extent) - 1;
            let texel = clamp(vec2<i32>(floor(in.texel)), vec2<i32>(0), last);
            color = textureLoad(tiles, texel, in.layer, 0);
        }
        case 2u: {
            color = sample_linear(in.texel, in.extent, in.layer);
        }
        default: {
            color = 0.25 * (sample_linear(in.texel - across - down, in.extent, in.layer)
                + sample_linear(in.texel + across - down, in.extent, in.layer)
                + sample_linear(in.texel - across + down, in.extent, in.layer)
                + sample_linear(in.texel + across + down, in.extent, in.layer));
        }
    }
    var shown = color.rgb;
    if color.a < 1.0 {
        shown = mix(view.glass.rgb, color.rgb, color.a);
    }
    if target_is_linear {
        shown = linear_from_srgb(shown);
    }
    return vec4<f32>(shown, in.opacity);
}
