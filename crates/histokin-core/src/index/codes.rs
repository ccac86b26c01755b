//! Descriptors in forty bytes: the first principal coordinates rounded to whole steps, and how much that
//! leaves out. A distance of codes bounds the true one from below, so that most descriptors need not be read.
//!
//! With `c` the steps of length `s`, `e` the norm of what rounding left out and `r` that of what lies outside
//! the axes: `‖x − y‖² ≥ max(0, ‖s·c_x − P y‖ − e_x)² + (r_x − r_y)²`.

use super::basis::{Basis, Projected};
use super::distance::{CODE_AXES, Code, code_distances, whole_steps};

/// Steps on either side of zero.
const STEPS: f64 = 127.0;

/// Coordinates beyond this many standard deviations of the first axis are cut off rather than allowed to make
/// the steps of all others longer; what is cut off counts as left out.
const WIDEST: f64 = 6.0;

/// How long a step is for descriptors in this basis.
pub fn step(basis: &Basis) -> f64 {
    if basis.spread > 0.0 { WIDEST * basis.spread / STEPS } else { 1.0 }
}

/// The code of a descriptor.
pub fn encode(projected: &Projected, step: f64) -> Code {
    let (steps, lost) = whole_steps(&projected.along, 1.0 / step, STEPS);
    // Rounded up, so that the bound holds.
    Code { steps, residual: projected.residual as f32, error: ((lost * step) as f32).next_up() }
}

/// A query as codes are compared with it.
#[derive(Debug, Clone)]
pub struct CodeProbe {
    /// Coordinates in steps, not rounded to whole ones.
    along: [f32; CODE_AXES],
    residual: f32,
    step: f32,
}

impl CodeProbe {
    pub fn new(projected: &Projected, step: f64) -> Self {
        Self {
            along: projected.along.map(|value| (value / step) as f32),
            residual: projected.residual as f32,
            step: step as f32,
        }
    }

    /// Lower bounds of the squared distances to the descriptors of `codes`, into `out`.
    pub fn bounds(&self, codes: &[Code], out: &mut [f32]) {
        code_distances(&self.along, codes, out);
        for (bound, code) in out.iter_mut().zip(codes) {
            let within = (self.step * bound.sqrt() - code.error).max(0.0);
            let outside = self.residual - code.residual;
            *bound = within * within + outside * outside;
        }
    }

    /// Lower bound of the squared distance to one descriptor.
    pub fn bound(&self, code: &Code) -> f32 {
        let mut bound = [0.0];
        self.bounds(std::slice::from_ref(code), &mut bound);
        bound[0]
    }
}
