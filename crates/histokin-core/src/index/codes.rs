//! Descriptors compressed to 72 bytes: the first principal coordinates quantised to whole steps, and the
//! norms of what is lost. Distances of codes are lower bounds of the true ones, so most descriptors need not
//! be read. The steps have 16 bits: with 8, the rounding error is larger than the distance of near tiles in
//! large projects, and the bounds rule out nothing.
//!
//! With `c` the steps of length `s`, `e` the norm of the rounding error and `r` that of the component
//! orthogonal to the axes: `‖x − y‖² ≥ max(0, ‖s·c_x − P y‖ − e_x)² + (r_x − r_y)²`.

use super::basis::{Basis, Projected};
use super::distance::{CODE_AXES, Code, code_distances, whole_steps};

/// Number of steps on either side of zero.
const STEPS: f64 = 32_767.0;

/// Coordinates are clamped at this many standard deviations of the first axis, so that outliers do not
/// enlarge the step for all others; the clamped part counts as rounding error.
const WIDEST: f64 = 16.0;

/// Returns the step length for descriptors in this basis.
pub fn step(basis: &Basis) -> f64 {
    if basis.spread > 0.0 { WIDEST * basis.spread / STEPS } else { 1.0 }
}

/// Returns the code of a descriptor.
pub fn encode(projected: &Projected, step: f64) -> Code {
    let (steps, lost) = whole_steps(&first_coordinates(projected), 1.0 / step, STEPS);
    // Rounded up to keep the bound valid.
    let residual = projected.residual_after(CODE_AXES) as f32;
    Code { steps, residual, error: ((lost * step) as f32).next_up() }
}

/// Returns the coordinates that codes contain.
fn first_coordinates(projected: &Projected) -> [f64; CODE_AXES] {
    std::array::from_fn(|axis| projected.along[axis])
}

/// A query prepared for comparison with codes.
#[derive(Debug, Clone)]
pub struct CodeProbe {
    /// Coordinates in steps, unrounded.
    along: [f32; CODE_AXES],
    residual: f32,
    step: f32,
}

impl CodeProbe {
    /// Prepares a projected query for codes with steps of length `step`.
    pub fn new(projected: &Projected, step: f64) -> Self {
        Self {
            along: first_coordinates(projected).map(|value| (value / step) as f32),
            residual: projected.residual_after(CODE_AXES) as f32,
            step: step as f32,
        }
    }

    /// Writes lower bounds of the squared distances to the descriptors of `codes` into `out`.
    pub fn bounds(&self, codes: &[Code], out: &mut [f32]) {
        code_distances(&self.along, codes, out);
        for (bound, code) in out.iter_mut().zip(codes) {
            // Infinite where tiles are so equal that the query is too many steps away for 32 bits.
            let within = (self.step * bound.min(f32::MAX).sqrt() - code.error).max(0.0);
            let outside = self.residual - code.residual;
            *bound = within * within + outside * outside;
        }
    }

    /// Returns a lower bound of the squared distance to one descriptor.
    pub fn bound(&self, code: &Code) -> f32 {
        let mut bound = [0.0];
        self.bounds(std::slice::from_ref(code), &mut bound);
        bound[0]
    }
}
