//! The layout of UMAP (McInnes, Healy and Melville 2018, arXiv 1802.03426): a weighted graph of neighbours,
//! and points on the plane pulled along its edges and pushed apart elsewhere.
//!
//! Written out here since the crate for it (umap-rs 0.4.5) reached a trustworthiness of 0.60 where umap-learn
//! reaches 0.99, and its layouts do not repeat.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::neighbours::Neighbour;

/// The curve 1 / (1 + a d^2b) by which points attract each other, as umap-learn fits it for a least distance
/// of 0.1 and a spread of 1.
const A: f32 = 1.576_943;
const B: f32 = 0.895_061;

/// Points that each pulled one is pushed away from.
const PUSHES: f64 = 5.0;

/// Largest step of a point in one round, per axis.
const STEP: f32 = 4.0;

/// An edge of the graph; each stands in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    from: u32,
    to: u32,
    /// Above 0, up to 1.
    weight: f32,
}

/// Edges between tiles and their nearest ones (`neighbours[i]` of tile i, without itself, by place, nearest
/// first): how sure it is that two are connected, seen from either end (sections 3.1 and 3.2 of the paper).
pub fn graph(neighbours: &[Vec<(u32, f32)>]) -> Vec<Edge> {
    let weights: Vec<Vec<(u32, f32)>> = neighbours.par_iter().map(|found| memberships(found)).collect();
    let back = |from: u32, to: u32| {
        weights[to as usize].iter().find(|(other, _)| *other == from).map(|(_, weight)| *weight)
    };
    let mut edges = Vec::new();
    for (from, found) in (0..).zip(&weights) {
        for &(to, weight) in found {
            let other = back(from, to);
            let either = weight + other.unwrap_or(0.0) - weight * other.unwrap_or(0.0);
            edges.push(Edge { from, to, weight: either });
            if other.is_none() {
                edges.push(Edge { from: to, to: from, weight: either });
            }
        }
    }
    edges
}

/// Weights that fall off from the nearest neighbour on, so fast that they sum to log2 of the neighbourhood.
fn memberships(found: &[(u32, f32)]) -> Vec<(u32, f32)> {
    const ROUNDS: usize = 64;
    let wanted = ((found.len() + 1) as f32).log2();
    let nearest = found.iter().map(|(_, distance)| *distance).find(|distance| *distance > 0.0).unwrap_or(0.0);
    let beyond = |distance: f32| (distance - nearest).max(0.0);
    let sum = |scale: f32| found.iter().map(|(_, distance)| (-beyond(*distance) / scale).exp()).sum::<f32>();
    let (mut low, mut high, mut scale) = (0.0_f32, f32::INFINITY, 1.0_f32);
    for _ in 0..ROUNDS {
        if sum(scale) > wanted {
            high = scale;
            scale = (low + high) / 2.0;
        } else {
            low = scale;
            scale = if high.is_finite() { (low + high) / 2.0 } else { scale * 2.0 };
        }
    }
    let mean = found.iter().map(|(_, distance)| *distance).sum::<f32>() / found.len().max(1) as f32;
    let scale = scale.max(1e-3 * mean).max(f32::MIN_POSITIVE);
    found.iter().map(|(other, distance)| (*other, (-beyond(*distance) / scale).exp())).collect()
}

/// When an edge is pulled next, and pushed away from others next, in rounds.
struct Schedule {
    every: f64,
    pull: f64,
    push: f64,
}

/// Move the points of `plane` for so many rounds. `tell` hears the share (0 to 1) that is done, and answers
/// whether to go on; `None` when it was stopped. The same seed gives the same layout.
pub fn lay_out(
    edges: &[Edge],
    mut plane: Vec<[f32; 2]>,
    rounds: usize,
    seed: u64,
    tell: &mut dyn FnMut(f64) -> bool,
) -> Option<Vec<[f32; 2]>> {
    let largest = edges.iter().map(|edge| edge.weight).fold(0.0, f32::max);
    let strong: Vec<&Edge> = edges.iter().filter(|edge| edge.weight * rounds as f32 >= largest).collect();
    let mut schedules: Vec<Schedule> = strong
        .iter()
        .map(|edge| {
            let every = f64::from(largest / edge.weight);
            Schedule { every, pull: every, push: every / PUSHES }
        })
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for round in 0..rounds {
        if !tell(round as f64 / rounds as f64) {
            return None;
        }
        let rate = 1.0 - round as f32 / rounds as f32;
        let now = round as f64;
        for (edge, schedule) in strong.iter().zip(&mut schedules).filter(|(_, schedule)| schedule.pull <= now)
        {
            let (from, to) = (edge.from as usize, edge.to as usize);
            let step = pull(plane[from], plane[to]);
            for axis in 0..2 {
                plane[from][axis] += rate * step[axis];
                plane[to][axis] -= rate * step[axis];
            }
            schedule.pull += schedule.every;
            let pushes = ((now - schedule.push) / (schedule.every / PUSHES)) as usize;
            for _ in 0..pushes {
                let other = random.random_range(0..plane.len());
                if other != from {
                    let step = push(plane[from], plane[other]);
                    plane[from][0] += rate * step[0];
                    plane[from][1] += rate * step[1];
                }
            }
            schedule.push += pushes as f64 * schedule.every / PUSHES;
        }
    }
    Some(plane)
}

fn difference(a: [f32; 2], b: [f32; 2]) -> ([f32; 2], f32) {
    let apart = [a[0] - b[0], a[1] - b[1]];
    (apart, apart[0] * apart[0] + apart[1] * apart[1])
}

/// The step of `a` towards `b`: the gradient of the logarithm of the curve.
fn pull(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    let (apart, squared) = difference(a, b);
    if squared <= 0.0 {
        return [0.0; 2];
    }
    let power = squared.powf(B);
    let strength = -2.0 * A * B * power / squared / (A * power + 1.0);
    apart.map(|value| (strength * value).clamp(-STEP, STEP))
}

/// The step of `a` away from `b`.
fn push(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    let (apart, squared) = difference(a, b);
    if squared <= 0.0 {
        return [STEP; 2];
    }
    let strength = 2.0 * B / ((0.001 + squared) * (A * squared.powf(B) + 1.0));
    apart.map(|value| (strength * value).clamp(-STEP, STEP))
}

/// Neighbours by their place among `rows`, which ascend.
pub fn by_place(found: Vec<Neighbour>, rows: &[u32]) -> Vec<(u32, f32)> {
    let place = |tile: u32| rows.partition_point(|row| *row < tile) as u32;
    found.into_iter().map(|neighbour| (place(neighbour.tile), neighbour.distance)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_sum_to_the_logarithm_of_the_neighbourhood() {
        let found: Vec<(u32, f32)> = (1..15).map(|other| (other, 0.5 + 0.1 * other as f32)).collect();
        let weights = memberships(&found);
        assert_eq!(weights[0].1, 1.0, "the nearest is certain");
        let sum: f32 = weights.iter().map(|(_, weight)| weight).sum();
        assert!((sum - 15.0_f32.log2()).abs() < 1e-3, "{sum}");
    }

    #[test]
    fn edges_stand_in_both_directions_with_one_weight() {
        let edges = graph(&[vec![(1, 1.0), (2, 2.0)], vec![(0, 1.0), (2, 3.0)], vec![(1, 3.0)]]);
        for edge in &edges {
            assert!(edges.iter().any(|other| {
                (other.from, other.to) == (edge.to, edge.from) && (other.weight - edge.weight).abs() < 1e-6
            }));
        }
        assert_eq!(edges.len(), 6);
    }
}
