//! Stain normalisation against another library's results.

use histokin::stain::{LabNormaliser, LabStatistics};
use image::RgbImage;

use crate::support::shared_data;

fn picture(path: &std::path::Path) -> RgbImage {
    image::open(path).unwrap().into_rgb8()
}

/// Mean absolute difference in grey levels.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

/// Otsu's threshold on lightness: what is darker is tissue, as in histolab.
fn tissue(picture: &RgbImage) -> Vec<bool> {
    let grey: Vec<usize> = picture
        .pixels()
        .map(|p| {
            (p.0.map(f64::from).iter().zip([0.2125, 0.7154, 0.0721]).map(|(v, w)| v * w).sum::<f64>())
                as usize
        })
        .collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let separation = |threshold: &usize| {
        let (dark, light): (Vec<f64>, Vec<f64>) =
            grey.iter().map(|value| *value as f64).partition(|value| *value < *threshold as f64);
        let difference = mean(&light) - mean(&dark);
        let variance = dark.len() as f64 * light.len() as f64 * difference * difference;
        if variance.is_nan() { 0 } else { variance as u64 }
    };
    let threshold = (1..255).max_by_key(separation).unwrap();
    grey.iter().map(|value| *value < threshold).collect()
}

#[test]
fn close_to_histolabs_reinhard() {
    let Some(folder) = shared_data("stain/histolab") else { return };
    let [source, target, expected] =
        ["source", "target", "expected_reinhard"].map(|name| picture(&folder.join(format!("{name}.png"))));
    let (s, t) = (tissue(&source), tissue(&target));
    let from = LabStatistics::of_pixels(&source, |i| s[i]).unwrap();
    let to = LabStatistics::of_pixels(&target, |i| t[i]).unwrap();
    let mut ours = source.clone();
    LabNormaliser::new(from, to).apply(&mut ours);
    println!("all {:.3}, before {:.3}", difference(&ours, &expected), difference(&source, &expected));
    let mut mixed = source.clone();
    let mut n = 0;
    let mut sum = 0u64;
    for i in 0..s.len() {
        let (x, y) = (i as u32 % source.width(), i as u32 / source.width());
        if source.get_pixel(x, y) != expected.get_pixel(x, y) {
            mixed.put_pixel(x, y, *ours.get_pixel(x, y));
            n += 1;
            sum += ours
                .get_pixel(x, y)
                .0
                .iter()
                .zip(expected.get_pixel(x, y).0)
                .map(|(a, b)| u64::from(a.abs_diff(b)))
                .sum::<u64>();
        }
    }
    println!(
        "changed {n} of {}, otsu {}; mixed {:.3}; in the changed {:.3}",
        s.len(),
        s.iter().filter(|x| **x).count(),
        difference(&mixed, &expected),
        sum as f64 / n as f64 / 3.0
    );
}
