//! Choosing matches that do not all say the same: one for each spot, and ones that differ.

use super::{Found, QuerySettings};
use crate::index::{Snapshot, squared_distance};

/// Candidates looked at for each match that is chosen to differ.
const CANDIDATES: usize = 8;

/// The matches that `settings` ask for, from what `nearest(n)` gives: the `n` nearest tiles, nearest first.
pub fn choose(
    index: &Snapshot,
    settings: &QuerySettings,
    nearest: impl Fn(usize) -> Vec<Found>,
) -> Vec<Found> {
    let count = settings.count;
    let diversity = settings.diversity.clamp(0.0, 1.0);
    let wanted = if diversity > 0.0 { count * CANDIDATES } else { count };
    if settings.apart_um <= 0.0 {
        return differing(index, nearest(wanted), count, diversity);
    }
    let mut looked_at = 2 * wanted;
    loop {
        let found = nearest(looked_at);
        let is_all = found.len() < looked_at;
        let apart = apart(index, found, settings.apart_um, wanted);
        if is_all || apart.len() >= wanted {
            return differing(index, apart, count, diversity);
        }
        looked_at *= 4;
    }
}

/// The first `wanted` of `found` of which no two of a slide are within `apart_um` of each other: a tile that has
/// a better one so near is left out.
fn apart(index: &Snapshot, found: Vec<Found>, apart_um: f64, wanted: usize) -> Vec<Found> {
    let mut kept: Vec<Found> = Vec::new();
    for one in found {
        if kept.len() == wanted {
            break;
        }
        let set = &index.sets()[one.tile.set as usize];
        let (mpp, center) = (set.header.level0_mpp(), set.rect(one.tile.row).center());
        let is_near = |other: &&Found| {
            other.tile.set == one.tile.set
                && mpp.distance_um(set.rect(other.tile.row).center(), center) < apart_um
        };
        if kept.iter().rev().find(is_near).is_none() {
            kept.push(one);
        }
    }
    kept
}

/// `count` of `found`, each time the one that is near to the query and far from those chosen before: maximal
/// marginal relevance (Carbonell and Goldstein 1998) with distances in the place of similarities,
/// `argmin (1 − λ) d(q, x) − λ min d(s, x)` over the chosen `s`.
fn differing(index: &Snapshot, mut found: Vec<Found>, count: usize, diversity: f32) -> Vec<Found> {
    if diversity <= 0.0 || found.is_empty() {
        found.truncate(count);
        return found;
    }
    let descriptor = |one: &Found| index.sets()[one.tile.set as usize].descriptor(one.tile.row);
    let mut chosen = vec![found.remove(0)];
    let mut from_chosen = vec![f32::INFINITY; found.len()];
    while chosen.len() < count && !found.is_empty() {
        let last = descriptor(&chosen[chosen.len() - 1]);
        for (nearest, one) in from_chosen.iter_mut().zip(&found) {
            *nearest = nearest.min(squared_distance(last, descriptor(one)).sqrt());
        }
        let score = |place: usize| (1.0 - diversity) * found[place].distance - diversity * from_chosen[place];
        let best = (0..found.len()).min_by(|a, b| score(*a).total_cmp(&score(*b))).unwrap_or(0);
        from_chosen.remove(best);
        chosen.push(found.remove(best));
    }
    chosen
}
