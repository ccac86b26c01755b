//! The inner loops of every search, compiled for the vector instructions of the machine they run on.
//!
//! Each loop is written once, in plain Rust that the compiler turns into vector instructions, and compiled
//! twice: for any processor, and for those with AVX2. Both do the same operations in the same order, so that
//! all machines give the same distances to the last bit. The `unsafe` of this module is the call of the second
//! version, behind the question whether the processor has what it needs.

/// Sums that run side by side: two AVX2 registers, so that one addition need not wait for the last.
const LANES: usize = 16;

/// Coordinates in a code.
pub const CODE_AXES: usize = 32;

/// Declare a function in two versions and choose between them when it is called.
macro_rules! vectorised {
    ($(#[$doc:meta])* pub fn $name:ident($($argument:ident: $type:ty),*) -> $out:ty = $inner:ident) => {
        $(#[$doc])*
        #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the processor was asked"))]
        pub fn $name($($argument: $type),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                #[target_feature(enable = "avx2")]
                fn with_avx2($($argument: $type),*) -> $out {
                    $inner($($argument),*)
                }
                // SAFETY: the processor has AVX2, which is all that the function asks for.
                return unsafe { with_avx2($($argument),*) };
            }
            $inner($($argument),*)
        }
    };
}

vectorised! {
    /// Squared Euclidean distance of two descriptors of equal width. The rounding error relative to the
    /// result is below `(width / 16 + 6) × 2⁻²⁴`.
    pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 = one
}

vectorised! {
    /// Squared distances of `query` to each of `rows` (`out.len() × query.len()`), into `out`; each is
    /// exactly what [`squared_distance`] gives.
    pub fn squared_distances(query: &[f32], rows: &[f32], out: &mut [f32]) -> () = many
}

vectorised! {
    /// Squared distances, in steps of the code, of `query` to each of `codes`, into `out`.
    pub fn code_distances(query: &[f32; CODE_AXES], codes: &[Code], out: &mut [f32]) -> () = many_codes
}

vectorised! {
    /// Each of `rows` (`n × mean.len()`) less `mean`, into `out`.
    pub fn centre(rows: &[f32], mean: &[f64], out: &mut [f64]) -> () = centre_rows
}

vectorised! {
    /// The nearest whole steps to `along`, in which lengths are measured by `per_unit` steps, cut off at `most`;
    /// and the norm, in steps, of what that leaves out.
    pub fn whole_steps(along: &[f64; CODE_AXES], per_unit: f64, most: f64) -> ([i8; CODE_AXES], f64) = round_steps
}

/// The first principal coordinates of a descriptor in whole steps, and what that leaves out. Made by
/// [`super::codes`].
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Code {
    /// Coordinates in steps, at most 127 in size.
    pub steps: [i8; CODE_AXES],
    /// Norm of what lies outside the coded axes.
    pub residual: f32,
    /// Norm of what rounding to steps has left out.
    pub error: f32,
}

#[inline(always)]
fn one(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_parts, b_parts) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_rest, b_rest) = (a_parts.remainder(), b_parts.remainder());
    for (x, y) in a_parts.zip(b_parts) {
        for lane in 0..LANES {
            let difference = x[lane] - y[lane];
            sums[lane] += difference * difference;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| (x - y) * (x - y)).sum();
    total(sums) + rest
}

#[inline(always)]
fn many(query: &[f32], rows: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        *out = one(query, row);
    }
}

#[inline(always)]
fn many_codes(query: &[f32; CODE_AXES], codes: &[Code], out: &mut [f32]) {
    for (code, out) in codes.iter().zip(out) {
        let mut sums = [0.0f32; LANES];
        for part in 0..CODE_AXES / LANES {
            for (lane, sum) in sums.iter_mut().enumerate() {
                let axis = part * LANES + lane;
                let difference = query[axis] - f32::from(code.steps[axis]);
                *sum += difference * difference;
            }
        }
        *out = total(sums);
    }
}

#[inline(always)]
fn centre_rows(rows: &[f32], mean: &[f64], out: &mut [f64]) {
    for (row, out) in rows.chunks_exact(mean.len()).zip(out.chunks_exact_mut(mean.len())) {
        for ((out, value), mean) in out.iter_mut().zip(row).zip(mean) {
            *out = f64::from(*value) - mean;
        }
    }
}

#[inline(always)]
fn round_steps(along: &[f64; CODE_AXES], per_unit: f64, most: f64) -> ([i8; CODE_AXES], f64) {
    let mut steps = [0; CODE_AXES];
    let mut lost = [0.0f64; CODE_AXES];
    for axis in 0..CODE_AXES {
        let exact = along[axis] * per_unit;
        // Ties to even: the one way of rounding that processors have an instruction for.
        let whole = exact.round_ties_even().clamp(-most, most);
        steps[axis] = whole as i8;
        lost[axis] = (exact - whole) * (exact - whole);
    }
    (steps, lost.iter().sum::<f64>().sqrt())
}

/// The sum over all lanes, pair by pair.
#[inline(always)]
fn total(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_version_gives_the_same_bits_and_the_right_distance(
            pairs in prop::collection::vec((-100.0f32..100.0, -100.0f32..100.0), 1..300)
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let chosen = squared_distance(&a, &b);
            prop_assert_eq!(chosen.to_bits(), one(&a, &b).to_bits());
            let mut of_many = [0.0];
            squared_distances(&a, &b, &mut of_many);
            prop_assert_eq!(chosen.to_bits(), of_many[0].to_bits());
            let exact: f64 = pairs.iter().map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
            let tolerance = exact * (pairs.len() as f64 / 16.0 + 6.0) * 2f64.powi(-23);
            prop_assert!((f64::from(chosen) - exact).abs() <= tolerance, "{chosen} is not {exact}");
        }
    }
}
