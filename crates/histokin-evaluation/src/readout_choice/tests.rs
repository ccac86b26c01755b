//! Made features in which one kind of readout is better by construction.

use super::*;
use crate::Class;
use crate::sample::{SampleSlide, SlideFeatures};
use histokin_encoder::DescriptorBatch;
use histokin_encoder::backbones::BackboneKind;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Number of tiles of a slide, in one row.
const TILES: usize = 80;

/// Number of features: the first tells the class, the others nothing.
const FEATURES: usize = 31;

/// Amplitude of the first feature; its variance is that of numbers drawn from −3 to 3.
const TISSUE: f32 = 1.732;

/// A patient's slide: features of its tiles, their classes, and the distance between their centres in µm.
struct Made {
    features: Vec<f32>,
    classes: Vec<u16>,
    apart_um: f64,
}

fn settings(width: usize) -> ReadoutSettings {
    ReadoutSettings { width, within_um: 300.0, components: 64, sharpness: 1.0, seed: 0, plain_features: true }
}

fn file() -> ModelFile {
    ModelFile::of_backbone("made", BackboneKind::Tiny, "none")
}

/// Chooses between `kinds` with one slide of each patient, all of whose tiles are labelled.
fn choose(
    patients: &[Made],
    kinds: &[ReadoutKind],
    width: usize,
    progress: Progress<'_>,
) -> Result<ReadoutChoice, ChoiceError> {
    let folder = tempfile::tempdir().unwrap();
    let inputs = patients[0].features.len() / patients[0].classes.len();
    let mut kept = KeptFeatures::new(folder.path(), inputs).unwrap();
    let (mut slides, mut tiles) = (Vec::new(), Vec::new());
    for (number, patient) in patients.iter().enumerate() {
        let middles_um: Vec<[f64; 2]> =
            (0..patient.classes.len()).map(|tile| [tile as f64 * patient.apart_um, 0.0]).collect();
        let features = DescriptorBatch { values: patient.features.clone(), width: inputs };
        let slide = SlideTiles { features, middles_um: middles_um.clone(), varied: Vec::new() };
        kept.add(&slide, &slide.features).unwrap();
        slides.push(SampleSlide {
            id: String::new(),
            name: format!("slide {number}"),
            also: Vec::new(),
            patient: Some(format!("patient {number}")),
            mpp: None,
        });
        tiles.push(SlideFeatures { centers_um: middles_um, ..SlideFeatures::default() });
    }
    let mut sample = Sample::of_tiles(slides, &tiles);
    sample.classes = vec!["tumour".into(), "stroma".into()];
    let classes = patients.iter().flat_map(|patient| &patient.classes);
    sample.tiles.classes = classes.map(|class| Some(Class(*class))).collect();
    let folds = Folds::of(&sample, 5).unwrap();
    let file = file();
    let mut readouts = Readouts { kept, file: &file, settings: settings(width) };
    readouts.choose(kinds, &sample, &folds, &Resampling { draws: 200, seed: 0 }, progress)
}

/// Tissue that is the same for twenty tiles, among noise that is another in every tile: what neighbourhoods are for.
fn steady_tissue(seed: u64) -> Made {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let classes: Vec<u16> = (0..TILES).map(|tile| (tile / 20 % 2) as u16).collect();
    let tile = |class: &u16| {
        let tissue = if *class == 0 { TISSUE } else { -TISSUE };
        [vec![tissue], (1..FEATURES).map(|_| random.random_range(-3.0..3.0)).collect()].concat()
    };
    Made { features: classes.iter().flat_map(tile).collect(), classes, apart_um: 200.0 }
}

/// Tissue that is another in every tile, among noise that changes every forty tiles: neighbourhoods take out the tissue.
fn restless_tissue(seed: u64) -> Made {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let classes: Vec<u16> = (0..TILES).map(|tile| (tile % 2) as u16).collect();
    let mut features = Vec::new();
    let mut around = [0.0_f32; FEATURES - 1];
    for (tile, class) in classes.iter().enumerate() {
        if tile % 40 == 0 {
            around.iter_mut().for_each(|value| *value = random.random_range(-3.0..3.0));
        }
        features.push(if *class == 0 { TISSUE } else { -TISSUE });
        features.extend(around.iter().map(|value| value + random.random_range(-0.9..0.9)));
    }
    Made { features, classes, apart_um: 200.0 }
}

fn precision_of(choice: &ReadoutChoice, kind: ReadoutKind) -> f64 {
    let judged = choice.readouts.iter().find(|readout| readout.kind == kind).unwrap();
    judged.found.as_ref().unwrap().precision.value
}

const PLAIN: ReadoutKind = ReadoutKind::Pca { whiten: false, cosine: false };
const NEAR: ReadoutKind = ReadoutKind::Neighbourhoods { views: 0 };

#[test]
fn the_kind_that_is_better_by_construction_is_chosen_and_the_other_is_not() {
    let kinds = ReadoutKind::all(0);
    let steady: Vec<Made> = (0..4).map(steady_tissue).collect();
    let choice = choose(&steady, &kinds, FEATURES, &mut |_, _| true).unwrap();
    let table: Vec<_> = choice.readouts.iter().map(|one| (one.kind, one.found.clone())).collect();
    assert_eq!(choice.readouts[choice.best].kind, NEAR, "{table:?}");
    assert!(precision_of(&choice, NEAR) > precision_of(&choice, PLAIN) + 0.1, "{table:?}");
    assert_eq!(choice.judgement.queries, 4 * TILES);
    // Half of the tiles of other patients are of the query's class.
    assert!((choice.judgement.chance_level - 0.5).abs() < 1e-9);

    let restless: Vec<Made> = (10..14).map(restless_tissue).collect();
    let choice = choose(&restless, &kinds, FEATURES, &mut |_, _| true).unwrap();
    let table: Vec<_> = choice.readouts.iter().map(|one| (one.kind, one.found.clone())).collect();
    assert!(precision_of(&choice, PLAIN) > precision_of(&choice, NEAR) + 0.1, "{table:?}");
    assert_ne!(choice.readouts[choice.best].kind, NEAR, "{table:?}");
    for readout in &choice.readouts {
        let found = readout.found.as_ref().unwrap();
        let behind = found.behind.map_or(0.0, |behind| behind.value);
        let expected = found.precision.value - choice.judgement.precision.value;
        assert!((behind - expected).abs() < 1e-9 && expected <= 0.0, "{table:?}");
    }
}

#[test]
fn a_readout_is_fitted_without_the_patients_that_judge_it() {
    // Only the first patient's tiles have neighbours, so that nothing can be fitted when this patient is left out.
    let patients: Vec<Made> = (0..3)
        .map(|number| Made { apart_um: if number == 0 { 200.0 } else { 2000.0 }, ..steady_tissue(number) })
        .collect();
    let choice = choose(&patients, &[PLAIN, NEAR], 8, &mut |_, _| true).unwrap();
    assert_eq!(choice.best, 0);
    let reason = choice.readouts[1].found.as_ref().unwrap_err();
    assert!(reason.contains("nearer to each other than 300 µm"), "{reason}");
    // Tiles of two patients are too few for as many numbers, and those of all three would be enough.
    let mut few: Vec<Made> = (0..3).map(steady_tissue).collect();
    for patient in &mut few {
        patient.classes.truncate(12);
        (0..6).for_each(|tile| patient.classes[tile] = 1);
        patient.features.truncate(12 * FEATURES);
    }
    assert!(choose(&few, &[PLAIN], 23, &mut |_, _| true).is_ok());
    match choose(&few, &[PLAIN], 24, &mut |_, _| true) {
        Err(ChoiceError::NoneFitted { reason }) => assert!(reason.contains("24 components"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_sets_the_judged_patient_apart_is_not_known_to_its_readout() {
    // In each patient one feature varies most that is constant in all others. A readout of one number that knew the
    // patient would consist of a mixture of these features; without them, it consists of those of the other two.
    let patient = |number: usize| {
        let mut random = ChaCha8Rng::seed_from_u64(number as u64);
        let classes: Vec<u16> = (0..TILES).map(|tile| (tile % 2) as u16).collect();
        let row = |class: &u16| {
            let mut row = vec![0.0_f32; 4];
            row[number] = random.random_range(-9.0..9.0);
            row[3] = f32::from(*class);
            row
        };
        Made { features: classes.iter().flat_map(row).collect(), classes, apart_um: 200.0 }
    };
    let patients: Vec<Made> = (0..3).map(patient).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut kept = KeptFeatures::new(folder.path(), 4).unwrap();
    for patient in &patients {
        let features = DescriptorBatch { values: patient.features.clone(), width: 4 };
        let middles_um = vec![[0.0; 2]; TILES];
        kept.add(&SlideTiles { features: features.clone(), middles_um, varied: Vec::new() }, &features)
            .unwrap();
    }
    let file = file();
    let mut readouts = Readouts { kept, file: &file, settings: settings(2) };
    for left_out in 0..3 {
        let fit = readouts.fit(PLAIN, &|slide| slide != left_out, &mut |_| true).unwrap();
        let weight = fit.head(PLAIN, &settings(2)).unwrap().head.weight;
        let of_patient = weight[left_out].abs() + weight[4 + left_out].abs();
        assert!(of_patient < 1e-6, "{weight:?}");
    }
    let all = readouts.fit_to_all(PLAIN, &mut |_, _| true).unwrap().head.weight;
    assert!(
        (0..3).filter(|feature| all[*feature].abs() + all[4 + feature].abs() > 0.1).count() >= 2,
        "{all:?}"
    );
}

#[test]
fn the_choice_can_be_stopped_and_tells_how_far_it_is() {
    let patients: Vec<Made> = (0..2).map(steady_tissue).collect();
    let mut shares = Vec::new();
    let mut note = |share: f64, doing: &str| {
        shares.push(share);
        assert!(doing.contains("of 2"), "{doing}");
        true
    };
    choose(&patients, &[PLAIN, NEAR], 4, &mut note).unwrap();
    assert!(shares.is_sorted() && shares[0] == 0.0 && shares.iter().all(|share| *share < 1.0), "{shares:?}");
    let stopped = choose(&patients, &[PLAIN], 4, &mut |share, _| share < 0.5);
    assert!(matches!(stopped, Err(ChoiceError::Stopped)));
}
