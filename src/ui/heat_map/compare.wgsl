// Squared Euclidean distances between one descriptor and all descriptors of a slide, one thread per tile.
// Descriptors are stored in groups of four values: the first group of all tiles, then the second group of all
// tiles, and so on, so that neighbouring threads read neighbouring words.

struct Extent {
    tiles: u32,
    // Groups of four values per descriptor; the last one is padded with zeros.
    fours: u32,
    unused: vec2<u32>,
}

@group(0) @binding(0) var<uniform> extent: Extent;
@group(0) @binding(1) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> descriptors: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> squared: array<f32>;

@compute @workgroup_size(64)
fn compare(@builtin(global_invocation_id) id: vec3<u32>) {
    let tile = id.x;
    if tile >= extent.tiles {
        return;
    }
    var sums = vec4<f32>(0.0);
    for (var four = 0u; four < extent.fours; four++) {
        let difference = query[four] - descriptors[four * extent.tiles + tile];
        sums += difference * difference;
    }
    squared[tile] = (sums.x + sums.z) + (sums.y + sums.w);
}
