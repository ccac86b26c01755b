// Draws display tiles: one instanced quad per tile, sampled from a texture array.

struct View {
    // Rows of the rotation and mirroring from slide axes to screen axes.
    orientation: vec4<f32>,
    // Size of the canvas in physical pixels.
    viewport: vec2<f32>,
    // 0: the slide's own colours; 1: one stain; 2: normalised in CIELAB; 3: optical density of one stain.
    coloring: u32,
    // Whether `tone` changes anything.
    has_tone: u32,
    // Colour of areas that were not scanned, sRGB.
    glass: vec4<f32>,
    // One stain or its density: weights of the optical densities. Normalised: factors of the CIELAB channels.
    first: vec4<f32>,
    // One stain: its optical densities, and 1 if black stays dark. Normalised: offsets of the CIELAB channels.
    second: vec4<f32>,
    // Brightness, contrast, 1 / gamma, and 1 if the slide's colour profile is applied.
    tone: vec4<f32>,
};

// Whether the target converts linear light to sRGB on writing; colours in this shader are sRGB.
override target_is_linear: bool = false;

@group(0) @binding(0) var<uniform> view: View;
@group(1) @binding(0) var tiles: texture_2d_array<f32>;
@group(1) @binding(1) var smooth_sampler: sampler;

// The slide's colour profile: a lookup table from its RGB values to sRGB.
@group(2) @binding(0) var profile: texture_3d<f32>;

struct Tile {
    // Top-left and bottom-right in screen pixels from the canvas centre, before rotation and mirroring.
    @location(0) corners: vec4<f32>,
    // Size of the tile in texels.
    @location(1) extent: vec2<f32>,
    // Layer of the texture array.
    @location(2) layer: u32,
    // 0: glass, without a texture; 1: exact texels; 2: linear; 3: linear, averaged over the screen pixel.
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
    // Edge tiles fill only a part of their layer: do not sample beyond their outermost texels.
    let inside = clamp(texel, vec2<f32>(0.5), extent - 0.5);
    let size = vec2<f32>(textureDimensions(tiles));
    return textureSampleLevel(tiles, smooth_sampler, inside / size, layer, 0.0);
}

fn linear_from_srgb(color: vec3<f32>) -> vec3<f32> {
    let low = color / 12.92;
    let high = pow((color + 0.055) / 1.055, vec3<f32>(2.4));
    return select(high, low, color <= vec3<f32>(0.04045));
}

fn srgb_from_linear(color: vec3<f32>) -> vec3<f32> {
    let inside = clamp(color, vec3<f32>(0.0), vec3<f32>(1.0));
    let low = inside * 12.92;
    let high = 1.055 * pow(inside, vec3<f32>(1.0 / 2.4)) - 0.055;
    return select(high, low, inside <= vec3<f32>(0.0031308));
}

// As `stain::separation::blackness` and `glassiness`.
fn blackness(color: vec3<f32>) -> f32 {
    return 1.0 - smoothstep(0.10, 0.22, max(color.r, max(color.g, color.b)));
}

fn glassiness(color: vec3<f32>) -> f32 {
    return smoothstep(0.86, 0.94, min(color.r, min(color.g, color.b)));
}

// As `stain::separation::Separation::apply`.
fn one_stain(color: vec3<f32>) -> vec3<f32> {
    let density = -log(max(color, vec3<f32>(1.0 / 255.0)));
    let amount = max(dot(view.first.xyz, density), 0.0);
    return mix(exp(-amount * view.second.xyz), color, blackness(color) * view.second.w);
}

// As `stain::separation::Separation::grey`.
fn stain_density(color: vec3<f32>) -> vec3<f32> {
    let density = -log(max(color, vec3<f32>(1.0 / 255.0)));
    return vec3<f32>(1.0 - clamp(dot(view.first.xyz, density), 0.0, 1.0));
}

// As `stain::LabNormaliser::shown`. Linear sRGB to XYZ over the D65 white point, and back; by columns.
const XYZ_FROM_RGB = mat3x3<f32>(
    0.412453 / 0.95047, 0.212671, 0.019334 / 1.08883,
    0.357580 / 0.95047, 0.715160, 0.119193 / 1.08883,
    0.180423 / 0.95047, 0.072169, 0.950227 / 1.08883,
);
const RGB_FROM_XYZ = mat3x3<f32>(
    3.240479 * 0.95047, -0.969256 * 0.95047, 0.055648 * 0.95047,
    -1.537150, 1.875992, -0.204043,
    -0.498535 * 1.08883, 0.041556 * 1.08883, 1.057311 * 1.08883,
);

fn normalized(color: vec3<f32>) -> vec3<f32> {
    let xyz = clamp(XYZ_FROM_RGB * linear_from_srgb(color), vec3<f32>(0.0), vec3<f32>(1.0));
    let f = select(pow(xyz, vec3<f32>(1.0 / 3.0)), (903.3 * xyz + 16.0) / 116.0, xyz <= vec3<f32>(0.008856));
    let lab = vec3<f32>(116.0 * f.y - 16.0, 500.0 * (f.x - f.y), 200.0 * (f.y - f.z));
    let mapped = lab * view.first.xyz + view.second.xyz;
    let y = (mapped.x + 16.0) / 116.0;
    let g = vec3<f32>(y + mapped.y / 500.0, y, y - mapped.z / 200.0);
    let back = select((116.0 * g - 16.0) / 903.3, g * g * g, g > vec3<f32>(0.206893));
    return mix(srgb_from_linear(RGB_FROM_XYZ * back), color, max(glassiness(color), blackness(color)));
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
    if view.tone.w == 1.0 {
        // Table entries are at texel centres.
        let edge = vec3<f32>(textureDimensions(profile));
        shown = textureSampleLevel(profile, smooth_sampler, (shown * (edge - 1.0) + 0.5) / edge, 0.0).rgb;
    }
    // Steps that are off are skipped: the slide's own pixels pass unchanged.
    if view.coloring == 1u {
        shown = one_stain(shown);
    } else if view.coloring == 2u {
        shown = normalized(shown);
    } else if view.coloring == 3u {
        shown = stain_density(shown);
    }
    if view.has_tone == 1u {
        let toned = (shown - 0.5) * view.tone.y + 0.5 + view.tone.x;
        shown = pow(clamp(toned, vec3<f32>(0.0), vec3<f32>(1.0)), vec3<f32>(view.tone.z));
    }
    if target_is_linear {
        shown = linear_from_srgb(shown);
    }
    return vec4<f32>(shown, in.opacity);
}
