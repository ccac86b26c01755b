//! Loss functions. Each takes descriptors `[T, D]` as computed by the network and returns a differentiable
//! scalar to be minimised.

use tch::{Kind, TchError, Tensor};

/// Added to squared distances so that the gradient of the square root stays finite where two descriptors are
/// equal.
const EPSILON: f64 = 1e-12;

/// Contrastive loss over `N` pairs. `descriptors` `[2N, D]` has the two tiles of each pair in consecutive
/// rows; `far` `[N]` is 1 for far pairs and 0 for near ones. With distance `d = ‖f1 − f2‖₂`, margin `m` and
/// `y` from `far`, it is the mean of `(1 − y)·d + y·max(0, m − d)` (Gildenblat and Klaiman 2019, equation 1),
/// or, if `squared`, of `(1 − y)·d² + y·max(0, m − d)²` (Hadsell et al. 2006, equation 4, without the factors
/// ½).
///
/// # Errors
/// Returns libtorch's error, for example if memory runs out.
pub fn contrastive(
    descriptors: &Tensor,
    far: &Tensor,
    margin: f64,
    squared: bool,
) -> Result<Tensor, TchError> {
    let pairs = descriptors.f_reshape([-1, 2, descriptors.size()[1]])?;
    let distance = distance(&pairs.f_select(1, 0)?, &pairs.f_select(1, 1)?)?;
    let short = distance.f_neg()?.f_add_scalar(margin)?.f_clamp_min(0.0)?;
    let (pull, push) = if squared { (distance.f_square()?, short.f_square()?) } else { (distance, short) };
    let near = far.f_neg()?.f_add_scalar(1.0)?;
    near.f_mul(&pull)?.f_add(&far.f_mul(&push)?)?.f_mean(None::<Kind>)
}

/// Triplet loss over `N` triplets. `descriptors` `[3N, D]` has anchor, near and far tile of each triplet in
/// consecutive rows. It is the mean of `max(0, ‖a − n‖ − ‖a − f‖ + m)` (Schroff et al. 2015, but with
/// distances that are not squared).
///
/// # Errors
/// Returns libtorch's error.
pub fn triplet(descriptors: &Tensor, margin: f64) -> Result<Tensor, TchError> {
    let triplets = descriptors.f_reshape([-1, 3, descriptors.size()[1]])?;
    let of = |index: i64| triplets.f_select(1, index);
    let near = distance(&of(0)?, &of(1)?)?;
    let far = distance(&of(0)?, &of(2)?)?;
    near.f_sub(&far)?.f_add_scalar(margin)?.f_clamp_min(0.0)?.f_mean(None::<Kind>)
}

/// NT-Xent loss over `N` near pairs (Chen et al. 2020, "A simple framework for contrastive learning",
/// equation 1): the mean over all `2N` tiles of `−log( exp(s(i, j)/τ) / Σ_{k ≠ i} exp(s(i, k)/τ) )`, with the
/// cosine similarity `s` and the tile's partner `j`. `ignored` `[2N, 2N]` (bool) marks tiles that are near
/// each other without being partners; they are left out of the sum.
///
/// # Errors
/// Returns libtorch's error.
pub fn nt_xent(descriptors: &Tensor, ignored: &Tensor, temperature: f64) -> Result<Tensor, TchError> {
    let count = descriptors.size()[0];
    let unit = unit_length(descriptors)?;
    let device = descriptors.device();
    let itself = Tensor::f_eye(count, (Kind::Bool, device))?;
    // The partner of row 2n is row 2n + 1, and vice versa.
    let partner = Tensor::f_arange(count, (Kind::Int64, device))?.f_bitwise_xor(1)?;
    let similar = unit.f_matmul(&unit.f_transpose(0, 1)?)?.f_div_scalar(temperature)?;
    let similar = similar.f_masked_fill(&itself.f_logical_or(ignored)?, f64::NEG_INFINITY)?;
    let logged = similar.f_log_softmax(1, None::<Kind>)?;
    logged.f_gather(1, &partner.f_unsqueeze(1)?, false)?.f_neg()?.f_mean(None::<Kind>)
}

/// Anti-collapse loss: measures how close `T` descriptors `[T, D]` are to lying on one line, as `ln(tr(C²) /
/// tr(C)²)` of their covariance `C`. It is 0 on a line and `−ln(min(T − 1, D))` if they spread equally over
/// all dimensions; its negative is the logarithm of the effective dimension (participation ratio), which does
/// not depend on scale. Without it, near and far pairs are most easily separated along one line, where all
/// other differences between tissues are lost.
///
/// # Errors
/// Returns libtorch's error.
pub fn anti_collapse_loss(descriptors: &Tensor) -> Result<Tensor, TchError> {
    let centred = descriptors.f_sub(&descriptors.f_mean_dim([0i64].as_slice(), true, None)?)?;
    // The Gram matrix of the tiles has the same traces as the covariance and is smaller.
    let products = centred.f_matmul(&centred.f_transpose(0, 1)?)?;
    let squares = products.f_square()?.f_sum(None::<Kind>)?.f_add_scalar(EPSILON)?;
    let trace = products.f_trace()?.f_square()?.f_add_scalar(EPSILON)?;
    squares.f_div(&trace)?.f_log()
}

/// Anchor loss: measures how far the distances between `T` descriptors `[T, D]` deviate from those between
/// the descriptors `[T, E]` of a reference encoder for the same tiles. It is 1 minus Pearson's correlation
/// over all pairs of tiles, from 0 (proportional up to an offset) to 2, so that differences known to the
/// reference encoder are kept (Park et al. 2019, "Relational knowledge distillation", with correlation in
/// place of scaled differences).
///
/// # Errors
/// Returns libtorch's error.
pub fn anchor_loss(descriptors: &Tensor, reference: &Tensor) -> Result<Tensor, TchError> {
    let rows = descriptors.size()[0];
    let mask = Tensor::f_ones([rows, rows], (Kind::Bool, descriptors.device()))?.f_triu(1)?;
    let centred = |x: &Tensor| {
        let distances = distances_between_all(x)?.f_masked_select(&mask)?;
        distances.f_sub(&distances.f_mean(None::<Kind>)?)
    };
    let (ours, theirs) = (centred(descriptors)?, centred(reference)?);
    let spread = |x: &Tensor| x.f_square()?.f_sum(None::<Kind>)?.f_add_scalar(EPSILON)?.f_sqrt();
    let together = ours.f_mul(&theirs)?.f_sum(None::<Kind>)?;
    together.f_div(&spread(&ours)?.f_mul(&spread(&theirs)?)?)?.f_neg()?.f_add_scalar(1.0)
}

/// Returns the distances `[T, T]` between all `T` descriptors.
fn distances_between_all(x: &Tensor) -> Result<Tensor, TchError> {
    let squares = x.f_square()?.f_sum_dim_intlist([1i64].as_slice(), true, None)?;
    let products = x.f_matmul(&x.f_transpose(0, 1)?)?.f_mul_scalar(-2.0)?;
    let squared = squares.f_add(&squares.f_transpose(0, 1)?)?.f_add(&products)?;
    squared.f_clamp_min(0.0)?.f_add_scalar(EPSILON)?.f_sqrt()
}

/// Returns the distances of `N` pairs `[N]`, as used by [`contrastive`]; if `unit`, between descriptors
/// scaled to length 1. Without gradients, for display only.
///
/// # Errors
/// Returns libtorch's error.
pub fn distances(first: &Tensor, second: &Tensor, unit: bool) -> Result<Tensor, TchError> {
    let _no_grad = tch::no_grad_guard();
    if unit {
        return distance(&unit_length(first)?, &unit_length(second)?);
    }
    distance(first, second)
}

/// Returns the descriptors scaled to length 1; a row of zeros stays as it is.
///
/// # Errors
/// Returns libtorch's error.
pub fn unit_length(descriptors: &Tensor) -> Result<Tensor, TchError> {
    let squares = descriptors.f_square()?.f_sum_dim_intlist([1i64].as_slice(), true, None)?;
    descriptors.f_mul(&squares.f_add_scalar(EPSILON)?.f_rsqrt()?)
}

fn distance(first: &Tensor, second: &Tensor) -> Result<Tensor, TchError> {
    let squares = first.f_sub(second)?.f_square()?.f_sum_dim_intlist([1i64].as_slice(), false, None)?;
    squares.f_add_scalar(EPSILON)?.f_sqrt()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tch::Device;

    fn random(rows: i64, seed: i64) -> Tensor {
        let index = Tensor::arange(rows * 5, (Kind::Double, Device::Cpu));
        ((index * 0.731 + seed as f64).sin() * 1.3).reshape([rows, 5])
    }

    /// Compares the gradient with the central difference of the loss, in double precision.
    pub fn check_gradient(at: &Tensor, loss: impl Fn(&Tensor) -> Tensor) {
        const STEP: f64 = 1e-6;
        let x = at.copy().set_requires_grad(true);
        loss(&x).backward();
        let gradient = x.grad();
        assert!(gradient.abs().max().double_value(&[]) > 1e-3, "the loss does not depend on its input");
        for index in 0..at.numel() as i64 {
            let moved = |by: f64| {
                let x = at.copy().flatten(0, -1);
                let _ = x.get(index).f_add_scalar_(by).unwrap();
                loss(&x.reshape(at.size())).double_value(&[])
            };
            let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let found = gradient.flatten(0, -1).double_value(&[index]);
            assert!(
                (slope - found).abs() < 1e-4 * (1.0 + slope.abs()),
                "{index}: {found} instead of {slope}"
            );
        }
    }

    fn far() -> Tensor {
        Tensor::from_slice(&[0.0, 1.0, 0.0, 1.0])
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let pairs = random(8, 1);
        for squared in [false, true] {
            check_gradient(&pairs, |x| contrastive(x, &far(), 3.5, squared).unwrap());
        }
        check_gradient(&random(9, 2), |x| triplet(x, 1.5).unwrap());
        check_gradient(&pairs, |x| anti_collapse_loss(x).unwrap());
        check_gradient(&pairs, |x| anchor_loss(x, &random(8, 7)).unwrap());
        let mut ignored = Tensor::zeros([8, 8], (Kind::Bool, Device::Cpu));
        let _ = ignored.get(0).get(4).fill_(1);
        check_gradient(&pairs, |x| nt_xent(x, &ignored, 0.5).unwrap());
        ignored = Tensor::zeros([8, 8], (Kind::Bool, Device::Cpu));
        check_gradient(&pairs, |x| nt_xent(x, &ignored, 0.5).unwrap());
    }

    #[test]
    fn contrastive_is_the_papers_formula() {
        let x = Tensor::from_slice(&[0.0_f32, 0.0, 3.0, 4.0, 1.0, 1.0, 1.0, 3.0]).reshape([4, 2]);
        let far = Tensor::from_slice(&[0.0_f32, 1.0]);
        // Near pair with d = 5; far pair with d = 2, which lacks 8 to the margin of 10.
        assert!((contrastive(&x, &far, 10.0, false).unwrap().double_value(&[]) - 6.5).abs() < 1e-5);
        assert!(
            (contrastive(&x, &far, 10.0, true).unwrap().double_value(&[]) - (25.0 + 64.0) / 2.0).abs() < 1e-4
        );
        assert!((contrastive(&x, &far, 1.0, false).unwrap().double_value(&[]) - 2.5).abs() < 1e-5);
    }

    #[test]
    fn concentration_counts_the_dimensions_that_are_used() {
        let of = |x: &Tensor| anti_collapse_loss(x).unwrap().double_value(&[]);
        let line = Tensor::arange(6, (Kind::Double, Device::Cpu)).reshape([6, 1]).expand([6, 5], false);
        assert!(of(&line).abs() < 1e-6);
        // The corners of an octahedron spread equally over three dimensions, whatever its position and size.
        let corners = Tensor::eye(3, (Kind::Double, Device::Cpu));
        let corners = Tensor::cat(&[&corners, &(-&corners)], 0);
        assert!((of(&corners) + 3f64.ln()).abs() < 1e-6);
        assert!((of(&(corners * 70.0 + 9.0)) + 3f64.ln()).abs() < 1e-6);
        assert!(of(&Tensor::ones([4, 5], (Kind::Double, Device::Cpu))).is_finite());
    }

    #[test]
    fn distances_that_rise_and_fall_together_agree() {
        let of = |x: &Tensor, y: &Tensor| anchor_loss(x, y).unwrap().double_value(&[]);
        let x = random(7, 5);
        assert!(of(&x, &x).abs() < 1e-9);
        assert!(of(&x, &(&x * 12.0 + 3.0)).abs() < 1e-9, "neither scale nor offset matters");
        // Three points on a line in two orders: distances 1, 1, 2 and 1, 2, 1.
        let line = |at: [f64; 3]| Tensor::from_slice(&at).reshape([3, 1]);
        let direct = 1.0 - (-1.0 / 3.0) / (2.0 / 3.0);
        assert!((of(&line([0.0, 1.0, 2.0]), &line([1.0, 0.0, 2.0])) - direct).abs() < 1e-6);
    }

    #[test]
    fn nt_xent_is_the_direct_sum() {
        let x = random(6, 4);
        let ignored = Tensor::zeros([6, 6], (Kind::Bool, Device::Cpu));
        let _ = ignored.get(2).get(5).fill_(1);
        let rows: Vec<Vec<f64>> = (0..6).map(|i| (0..5).map(|j| x.double_value(&[i, j])).collect()).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = |i: usize, j: usize| {
            dot(&rows[i], &rows[j]) / (dot(&rows[i], &rows[i]) * dot(&rows[j], &rows[j])).sqrt()
        };
        let of = |i: usize| {
            let weight = |j: usize| (cosine(i, j) / 0.2).exp();
            let all: f64 = (0..6).filter(|j| *j != i && (i, *j) != (2, 5)).map(weight).sum();
            -(weight(i ^ 1) / all).ln()
        };
        let direct = (0..6).map(of).sum::<f64>() / 6.0;
        assert!((nt_xent(&x, &ignored, 0.2).unwrap().double_value(&[]) - direct).abs() < 1e-5);
    }

    #[test]
    fn equal_descriptors_have_no_endless_slope() {
        let x = Tensor::ones([2, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        contrastive(&x, &Tensor::from_slice(&[0.0_f32]), 1.0, false).unwrap().backward();
        assert_eq!(x.grad().abs().max().double_value(&[]), 0.0);
    }
}
