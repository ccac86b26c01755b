//! Maps of descriptors on a plane: principal components, which are fast, and UMAP (McInnes, Healy and
//! Melville 2018), which takes longer.

mod kept;
mod layout;

use nalgebra::DMatrix;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

use super::Descriptors;
use super::health::{mean, sample};
use super::neighbours::Pool;

pub use kept::MapStore;

/// Method by which a map is computed.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Serialize,
    Deserialize,
    EnumIter,
    EnumMessage,
    EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum MapKind {
    /// The two directions of largest variance.
    Pca,
    /// Keeps neighbours together.
    #[default]
    Umap,
}

impl MapKind {
    /// Returns the displayed name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pca => "PCA",
            Self::Umap => "UMAP",
        }
    }
}

/// Settings of UMAP.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UmapSettings {
    /// Size of the neighbourhood of a tile, including itself.
    pub neighbours: usize,
    /// Maximum number of tiles that are laid out; other tiles are placed among their nearest laid-out tiles.
    pub laid_out: usize,
    /// Seed of the sample and the layout.
    pub seed: u64,
}

impl Default for UmapSettings {
    fn default() -> Self {
        Self { neighbours: 15, laid_out: 50_000, seed: 0 }
    }
}

/// Returns the number of rounds of the layout, as in umap-learn.
fn rounds(tiles: usize) -> usize {
    if tiles <= 10_000 { 500 } else { 200 }
}

/// Returns the first two principal components of each descriptor. The axes are estimated from up to 20 000
/// descriptors.
pub fn pca(descriptors: Descriptors<'_>, seed: u64) -> Vec<[f32; 2]> {
    let axes = principal_axes(descriptors, 2, seed);
    let center = mean(descriptors);
    descriptors
        .values()
        .par_chunks_exact(descriptors.width())
        .map(|row| {
            let mut point = [0.0; 2];
            for (axis, value) in point.iter_mut().zip(axes.column_iter()) {
                let parts = row.iter().zip(&center).zip(value.iter());
                *axis = parts.map(|((value, mean), weight)| (f64::from(*value) - mean) * weight).sum::<f64>()
                    as f32;
            }
            point
        })
        .collect()
}

/// Returns the `count` directions of largest variance (width × count), by subspace iteration (Rutishauser
/// 1970), which avoids a full decomposition.
fn principal_axes(descriptors: Descriptors<'_>, count: usize, seed: u64) -> DMatrix<f64> {
    const SAMPLE: usize = 20_000;
    const ROUNDS: usize = 60;
    /// Additional directions, which speed up convergence.
    const SPARE: usize = 6;
    let width = descriptors.width();
    let rows = sample(descriptors.len(), SAMPLE, seed);
    let center = mean(descriptors);
    let centred = DMatrix::<f64>::from_fn(rows.len(), width, |row, column| {
        f64::from(descriptors.row(rows[row] as usize)[column]) - center[column]
    });
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let columns = (count + SPARE).min(width);
    let mut axes = DMatrix::<f64>::from_fn(width, columns, |_, _| random.random::<f64>() - 0.5);
    for _ in 0..ROUNDS {
        axes = (centred.transpose() * (&centred * &axes)).qr().q();
    }
    // Finds the principal directions within the subspace.
    let projected = &centred * &axes;
    let eigen = (projected.transpose() * &projected).symmetric_eigen();
    let mut order: Vec<usize> = (0..columns).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    let mut found = DMatrix::zeros(width, count);
    for (index, column) in order.into_iter().take(count).enumerate() {
        let axis = &axes * eigen.eigenvectors.column(column);
        // The sign of a direction is arbitrary; its largest entry is made positive.
        let sign = axis[axis.iamax()].signum();
        found.set_column(index, &(axis * sign));
    }
    found
}

/// Computes a UMAP of descriptors. `progress` receives the share (0 to 1) that is done and returns whether to
/// continue; the result is `None` if it returned false. With too few tiles for a neighbourhood, returns the
/// principal components.
pub fn umap(
    descriptors: Descriptors<'_>,
    settings: &UmapSettings,
    progress: &mut dyn FnMut(f64) -> bool,
) -> Option<Vec<[f32; 2]>> {
    let plane = pca(descriptors, settings.seed);
    if descriptors.len() <= settings.neighbours + 1 {
        return Some(plane);
    }
    let rows = sample(descriptors.len(), settings.laid_out, settings.seed);
    let own: Vec<u32> = (0..descriptors.len() as u32).collect();
    let pool = Pool::new(descriptors, &own, rows.clone());
    let mut neighbours = Vec::with_capacity(rows.len());
    for queries in rows.chunks(2048) {
        if !progress(NEIGHBOURS_DONE * neighbours.len() as f64 / rows.len() as f64) {
            return None;
        }
        let found = pool.nearest(queries, settings.neighbours - 1);
        neighbours.extend(found.into_iter().map(|found| layout::by_place(found, &rows)));
    }
    let edges = layout::graph(&neighbours);
    let start = start(&rows, &plane, settings.seed);
    let layout = layout::lay_out(&edges, start, rounds(rows.len()), settings.seed, &mut |share| {
        progress(NEIGHBOURS_DONE + (LAYOUT_DONE - NEIGHBOURS_DONE) * share)
    })?;
    if rows.len() == descriptors.len() {
        return Some(layout);
    }
    place_others(&pool, descriptors.len(), &rows, &layout, progress)
}

/// Share of the work that is done once the neighbours are found.
const NEIGHBOURS_DONE: f64 = 0.3;
/// Share of the work that is done once the layout is computed.
const LAYOUT_DONE: f64 = 0.9;

/// Returns the initial layout: the principal components scaled to a width of 10, with a little noise so that
/// no two points coincide.
fn start(rows: &[u32], plane: &[[f32; 2]], seed: u64) -> Vec<[f32; 2]> {
    let bounds = |axis: usize| {
        plane.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), point| {
            (low.min(point[axis]), high.max(point[axis]))
        })
    };
    let bounds = [bounds(0), bounds(1)];
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut at = |row: u32, axis: usize| {
        let (low, high) = bounds[axis];
        let share = if high > low { (plane[row as usize][axis] - low) / (high - low) } else { 0.5 };
        10.0 * share + 1e-3 * (random.random::<f32>() - 0.5)
    };
    rows.iter().map(|row| [at(*row, 0), at(*row, 1)]).collect()
}

/// Places every other tile at the mean of its five nearest laid-out tiles, weighted by inverse distance.
fn place_others(
    pool: &Pool<'_>,
    count: usize,
    rows: &[u32],
    layout: &[[f32; 2]],
    progress: &mut dyn FnMut(f64) -> bool,
) -> Option<Vec<[f32; 2]>> {
    let mut points = vec![[0.0; 2]; count];
    for (row, point) in rows.iter().zip(layout) {
        points[*row as usize] = *point;
    }
    let others: Vec<u32> = (0..count as u32).filter(|row| rows.binary_search(row).is_err()).collect();
    for (chunk, queries) in others.chunks(8192).enumerate() {
        if !progress(LAYOUT_DONE + (1.0 - LAYOUT_DONE) * (chunk * 8192) as f64 / others.len() as f64) {
            return None;
        }
        for (query, found) in queries.iter().zip(pool.nearest(queries, 5)) {
            let mut sum = [0.0; 2];
            let mut weights = 0.0;
            for neighbour in found {
                let weight = 1.0 / (neighbour.distance + 1e-6);
                let at = layout[rows.partition_point(|row| *row < neighbour.tile)];
                sum.iter_mut().zip(at).for_each(|(sum, at)| *sum += weight * at);
                weights += weight;
            }
            points[*query as usize] = sum.map(|sum| sum / weights);
        }
    }
    Some(points)
}

/// Returns the trustworthiness of a map (Venna and Kaski 2001): 1 if the `count` nearest points of every
/// point on the map are also its nearest descriptors, and lower the farther down they rank. Suitable for up
/// to a few thousand tiles.
pub fn trustworthiness(descriptors: Descriptors<'_>, points: &[[f32; 2]], count: usize) -> f64 {
    let tiles = descriptors.len();
    let order = |distance: &dyn Fn(usize) -> f32, own: usize| {
        let mut others: Vec<(f32, usize)> =
            (0..tiles).filter(|other| *other != own).map(|other| (distance(other), other)).collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        others.into_iter().map(|(_, other)| other).collect::<Vec<_>>()
    };
    let penalty: usize = (0..tiles)
        .into_par_iter()
        .map(|own| {
            let mut rank = vec![0_usize; tiles];
            for (index, other) in
                order(&|other| descriptors.distance(own, other), own).into_iter().enumerate()
            {
                rank[other] = index + 1;
            }
            let flat = |other: usize| {
                let ([ax, ay], [bx, by]) = (points[own], points[other]);
                (ax - bx).hypot(ay - by)
            };
            order(&flat, own)
                .into_iter()
                .take(count)
                .map(|other| rank[other].saturating_sub(count))
                .sum::<usize>()
        })
        .sum();
    let (n, k) = (tiles as f64, count as f64);
    1.0 - penalty as f64 * 2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five clusters in twelve dimensions.
    fn clouds(tiles: usize) -> Vec<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        (0..tiles)
            .flat_map(|tile| {
                (0..12).map(|axis| if axis % 5 == tile % 5 { 6.0 } else { 0.0 }).collect::<Vec<f32>>()
            })
            .map(|at| at + random.random::<f32>())
            .collect()
    }

    #[test]
    fn principal_components_are_those_of_a_known_cloud() {
        let values: Vec<f32> = (0..500)
            .flat_map(|index| {
                let angle = index as f32 * 0.37;
                let (a, b) = (3.0 * angle.sin(), (angle * 1.7).cos());
                [1.0 + 0.6 * a - 0.8 * b, 2.0 + 0.8 * a + 0.6 * b, 5.0]
            })
            .collect();
        let points = pca(Descriptors::new(&values, 3).unwrap(), 0);
        assert_eq!(points.len(), 500);
        for (index, point) in points.iter().enumerate() {
            let angle = index as f32 * 0.37;
            assert!((point[0] - 3.0 * angle.sin()).abs() < 0.15, "{point:?}");
            assert!((point[1].abs() - (angle * 1.7).cos().abs()).abs() < 0.15, "{point:?}");
        }
    }

    #[test]
    fn clouds_stay_apart_and_neighbours_together() {
        let values = clouds(600);
        let descriptors = Descriptors::new(&values, 12).unwrap();
        let mut shares = Vec::new();
        let settings = UmapSettings { laid_out: 400, ..UmapSettings::default() };
        let points = umap(descriptors, &settings, &mut |share| {
            shares.push(share);
            true
        })
        .unwrap();
        assert!(shares.is_sorted() && shares.len() > 20);
        assert_eq!(points.len(), 600, "tiles that were not laid out are placed, too");
        let trust = trustworthiness(descriptors, &points, 12);
        assert!(trust > 0.9, "{trust}");
        assert_eq!(umap(descriptors, &settings, &mut |_| false), None);
    }

    #[test]
    fn a_map_that_is_the_descriptors_is_trusted_fully() {
        let values: Vec<f32> = (0..400).map(|number| ((number * 37) % 101) as f32).collect();
        let points: Vec<[f32; 2]> = values.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
        assert_eq!(trustworthiness(Descriptors::new(&values, 2).unwrap(), &points, 10), 1.0);
    }
}
