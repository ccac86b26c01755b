// Squared distances of one descriptor to all of a slide, a thread a tile. Descriptors lie four numbers by four
// numbers, all tiles' first four before all tiles' next four, so that neighbouring threads read neighbouring words.

struct Extent {
    tiles: u32,
    // Groups of four numbers in a descriptor, the last one filled up with zeros.
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
