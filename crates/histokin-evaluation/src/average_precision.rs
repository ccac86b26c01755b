//! Average precision: how early the correct answers come in the ranking of a query's whole pool.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::Tiles;
use super::neighbours::Pool;

/// Maximum number of distances computed for average precision. If all queries would need more, queries are
/// drawn at random.
const RANKED_DISTANCES: usize = 1_000_000_000;

/// Returns the average precision of each query over its whole pool, or of as many random queries as
/// [`RANKED_DISTANCES`] allows.
pub(super) fn average_precisions(
    pool: &Pool<'_>,
    tiles: &Tiles,
    groups: &[u32],
    queries: &[u32],
    seed: u64,
) -> Vec<Option<f64>> {
    let feasible = (RANKED_DISTANCES / pool.rows().len().max(1)).max(1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut chosen: Vec<usize> = if queries.len() <= feasible {
        (0..queries.len()).collect()
    } else {
        rand::seq::index::sample(&mut random, queries.len(), feasible).into_vec()
    };
    chosen.sort_unstable();
    let rows: Vec<u32> = chosen.iter().map(|index| queries[*index]).collect();
    let measured: Vec<std::sync::OnceLock<f64>> = rows.iter().map(|_| std::sync::OnceLock::new()).collect();
    pool.distances(&rows, |index, distances| {
        let query = rows[index] as usize;
        let mut answers = Vec::with_capacity(distances.len());
        for (tile, distance) in pool.rows().iter().zip(distances) {
            if groups[*tile as usize] != groups[query] {
                let of_class = tiles.classes[*tile as usize] == tiles.classes[query];
                answers.push(ranked(*distance, of_class));
            }
        }
        if let Some(precision) = average_precision(answers) {
            // Every query is passed once.
            _ = measured[index].set(precision);
        }
    });
    let mut precisions = vec![None; queries.len()];
    for (index, value) in chosen.into_iter().zip(measured) {
        precisions[index] = value.into_inner();
    }
    precisions
}

/// Returns the average precision: the mean over the correct answers of the share of correct ones among all
/// answers that are no farther. `answers` are encoded by [`ranked`], in any order; `None` without correct
/// answers.
fn average_precision(mut answers: Vec<u32>) -> Option<f64> {
    sort(&mut answers);
    let mut correct = 0_usize;
    let mut sum = 0.0;
    for (rank, answer) in (1..).zip(&answers) {
        if answer & 1 == 1 {
            correct += 1;
            sum += correct as f64 / f64::from(rank);
        }
    }
    (correct > 0).then(|| sum / correct as f64)
}

/// Encodes an answer as a number that sorts by squared distance: the bits of a non-negative float sort like
/// its value, and the sign bit is free for whether the answer is correct. Incorrect answers sort before
/// correct ones at the same distance, so that ties do not raise the precision.
fn ranked(squared: f32, is_correct: bool) -> u32 {
    squared.max(0.0).to_bits() << 1 | u32::from(is_correct)
}

/// Sorts ascending, by radix sort if there are many numbers (Knuth, The Art of Computer Programming 3,
/// 5.2.5).
fn sort(numbers: &mut Vec<u32>) {
    const FEW: usize = 4096;
    const BITS: u32 = 11;
    if numbers.len() < FEW {
        return numbers.sort_unstable();
    }
    let mut other = vec![0; numbers.len()];
    for shift in [0, BITS, 2 * BITS] {
        let digit = |number: u32| (number >> shift) as usize & ((1 << BITS) - 1);
        let mut starts = [0_u32; 1 << BITS];
        numbers.iter().for_each(|number| starts[digit(*number)] += 1);
        let mut before = 0;
        for start in &mut starts {
            before += std::mem::replace(start, before);
        }
        for number in numbers.iter() {
            let next = &mut starts[digit(*number)];
            other[*next as usize] = *number;
            *next += 1;
        }
        std::mem::swap(numbers, &mut other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_precision_of_a_known_order() {
        let of = |right: &[f32], wrong: &[f32]| {
            let right = right.iter().map(|squared| ranked(*squared, true));
            average_precision(right.chain(wrong.iter().map(|squared| ranked(*squared, false))).collect())
        };
        // right, wrong, right, wrong, wrong, right: (1/1 + 2/3 + 3/6) / 3
        let value = of(&[6.0, 1.0, 3.0], &[2.0, 4.0, 5.0]).unwrap();
        assert!((value - (1.0 + 2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-12);
        assert_eq!(of(&[1.0, 2.0], &[]), Some(1.0));
        assert_eq!(of(&[1.0], &[1.0]), Some(0.5), "a tie counts against");
        assert_eq!(of(&[], &[1.0]), None);
    }

    #[test]
    fn many_numbers_are_sorted_digit_by_digit() {
        let mut numbers: Vec<u32> = (0..20_000_u32).map(|n| n.wrapping_mul(2_654_435_761)).collect();
        let mut expected = numbers.clone();
        expected.sort_unstable();
        sort(&mut numbers);
        assert_eq!(numbers, expected);
    }
}
