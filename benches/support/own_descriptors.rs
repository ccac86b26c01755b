//! Descriptors of real tissue, and as many more as are wanted: those in `../shared/data/descriptors`, or in the folder that
//! `HISTOKIN_BENCH_DESCRIPTORS` names, of 128 numbers each.

use std::path::{Path, PathBuf};

use histokin::index::squared_distance;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::made_descriptors::{WIDTH, gaussian};

/// Real descriptors, and what is between them.
pub struct OwnDescriptors {
    /// In the archive.
    pub rows: Vec<Vec<f32>>,
    /// Some rows that are near each row.
    near: Vec<[usize; 4]>,
    /// Left out of it.
    pub queries: Vec<Vec<f32>>,
    /// Whether all have length 1.
    are_unit: bool,
}

impl OwnDescriptors {
    /// A row that is near another is the nearest among one in this many, so that about as many are nearer, but among no
    /// more than the second number, since each is compared with all rows.
    const NEARER: (usize, usize) = (64, 512);
    /// Length of the noise, as a share of the distance of the two rows. With 0.15 and as many points as real tiles, of
    /// which there were 219,391, the 20th match comes 3 % nearer; with each doubling of real tiles it comes 3 to 4 %
    /// nearer.
    const NOISE: f32 = 0.1;

    /// Reads the descriptors, leaving out about `queries` of them. `None` where there are none.
    pub fn new(queries: usize, random: &mut ChaCha8Rng) -> Option<Self> {
        let all = read()?;
        let step = (all.len() / queries).max(2);
        let (queries, rows): (Vec<_>, Vec<_>) = (0..).zip(all).partition(|(number, _)| number % step == 1);
        let [queries, rows] =
            [queries, rows].map(|rows| rows.into_iter().map(|(_, row)| row).collect::<Vec<Vec<f32>>>());
        let chosen: [Vec<usize>; 4] = std::array::from_fn(|_| {
            (0..(rows.len() / Self::NEARER.0).clamp(2, Self::NEARER.1))
                .map(|_| random.random_range(0..rows.len()))
                .collect()
        });
        let nearest = |row: usize, among: &[usize]| {
            let distance = |other: &usize| squared_distance(&rows[row], &rows[*other]);
            let others = among.iter().copied().filter(|other| *other != row);
            others.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(row)
        };
        let near = (0..rows.len())
            .into_par_iter()
            .map(|row| chosen.each_ref().map(|among| nearest(row, among)))
            .collect();
        let are_unit = rows.iter().all(|row| (squared_distance(row, &[0.0; WIDTH]) - 1.0).abs() < 1e-3);
        Some(Self { rows, near, queries, are_unit })
    }

    /// Makes a descriptor between one of the rows and one that is near it.
    pub fn between(&self, random: &mut ChaCha8Rng) -> Vec<f32> {
        let a = random.random_range(0..self.rows.len());
        let (a, b) = (&self.rows[a], &self.rows[self.near[a][random.random_range(0..4)]]);
        let along = random.random_range(0.0f32..1.0);
        let noise = Self::NOISE * squared_distance(a, b).sqrt() / (WIDTH as f32).sqrt();
        let mut row: Vec<f32> =
            a.iter().zip(b).map(|(a, b)| a + along * (b - a) + noise * gaussian(random)).collect();
        if self.are_unit {
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            row.iter_mut().for_each(|value| *value /= length);
        }
        row
    }
}

fn read() -> Option<Vec<Vec<f32>>> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/descriptors");
    let folder = std::env::var_os("HISTOKIN_BENCH_DESCRIPTORS").map_or(shared, PathBuf::from);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort();
    let mut rows = Vec::new();
    for path in paths {
        let bytes = std::fs::read(path).ok()?;
        let tensors = safetensors::SafeTensors::deserialize(&bytes).ok()?;
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(tensors.tensor("features").ok()?.data());
        rows.extend(values.chunks_exact(WIDTH).map(<[f32]>::to_vec));
    }
    Some(rows).filter(|rows| !rows.is_empty())
}
