//! Inner loops of every search, compiled for the vector instructions of the processor.
//!
//! Each loop is written once in plain Rust that the compiler vectorises, and compiled twice: for any
//! processor and for those with AVX2. Both versions do the same operations in the same order, so distances
//! are bit-identical on all machines. The only `unsafe` code is the call of the AVX2 version after the check
//! that the processor supports it.

/// Number of parallel sums: two AVX2 registers, so that consecutive additions do not depend on each other.
const LANES: usize = 16;

/// Number of coordinates in a code.
pub const CODE_AXES: usize = 32;

/// Declares a function in two versions and selects one when it is called.
macro_rules! vectorised {
    ($(#[$doc:meta])* pub fn $name:ident($($argument:ident: $type:ty),*) -> $out:ty = $inner:ident) => {
        $(#[$doc])*
        #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "AVX2 support is checked first"))]
        pub fn $name($($argument: $type),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                #[target_feature(enable = "avx2")]
                fn with_avx2($($argument: $type),*) -> $out {
                    $inner($($argument),*)
                }
                // SAFETY: the processor has AVX2, the only requirement of the function.
                return unsafe { with_avx2($($argument),*) };
            }
            $inner($($argument),*)
        }
    };
}

pub(super) use vectorised;

vectorised! {
    /// Returns the squared Euclidean distance of two descriptors of equal width. The relative rounding error
    /// is below `(width / 16 + 6) × 2⁻²⁴`.
    pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 = one
}

vectorised! {
    /// Writes the squared distances of `query` to each of `rows` (`out.len() × query.len()`) into `out`; the
    /// results are identical to those of [`squared_distance`].
    pub fn squared_distances(query: &[f32], rows: &[f32], out: &mut [f32]) -> () = many
}

vectorised! {
    /// Writes the squared distances of `query` to each of `codes`, in steps of the code, into `out`.
    pub fn code_distances(query: &[f32; CODE_AXES], codes: &[Code], out: &mut [f32]) -> () = many_codes
}

vectorised! {
    /// Subtracts `mean` from each of `rows` (`n × mean.len()`) and writes the result into `out`.
    pub fn centre(rows: &[f32], mean: &[f64], out: &mut [f64]) -> () = centre_rows
}

vectorised! {
    /// Rounds `along`, at `per_unit` steps per unit of length, to whole steps clamped to ±`most`. Returns the
    /// steps and the norm of the rounding error, in steps.
    pub fn whole_steps(along: &[f64; CODE_AXES], per_unit: f64, most: f64) -> ([i16; CODE_AXES], f64) = round_steps
}

/// The first principal coordinates of a descriptor in whole steps, and the norms of what is lost. Created by
/// [`super::codes`].
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Code {
    /// Coordinates in steps, from −32,767 to 32,767.
    pub steps: [i16; CODE_AXES],
    /// Norm of the component orthogonal to the coded axes.
    pub residual: f32,
    /// Norm of the rounding error.
    pub error: f32,
}

/// Asks the processor to load memory that will be needed soon; does nothing where it cannot be asked.
#[inline(always)]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "prefetching reads nothing"))]
pub fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const CACHE_LINE: usize = 64;
        let start = values.as_ptr().cast::<i8>();
        let last = size_of_val(values).saturating_sub(1);
        for offset in (0..last).step_by(CACHE_LINE).chain([last]) {
            // SAFETY: every x86-64 processor has the instruction, which cannot fault for any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
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
fn round_steps(along: &[f64; CODE_AXES], per_unit: f64, most: f64) -> ([i16; CODE_AXES], f64) {
    let mut steps = [0; CODE_AXES];
    let mut lost = [0.0f64; CODE_AXES];
    for axis in 0..CODE_AXES {
        let exact = along[axis] * per_unit;
        // Ties to even, the rounding mode that processors have an instruction for.
        let whole = exact.round_ties_even().clamp(-most, most);
        steps[axis] = whole as i16;
        lost[axis] = (exact - whole) * (exact - whole);
    }
    (steps, lost.iter().sum::<f64>().sqrt())
}

/// Returns the sum of the squares of some numbers, several at a time.
#[inline(always)]
pub fn sum_of_squares(numbers: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    for numbers in numbers.chunks(sums.len()) {
        sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number * number);
    }
    sums.iter().sum()
}

/// Returns the pairwise sum over all lanes.
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
