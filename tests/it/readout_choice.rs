//! `histokin fit-model --labels`: the readout is chosen by labels.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use histokin::cli::fit_model::{self, FitModelArgs};
use histokin::cli::label_options::LabelOptions;
use histokin::encoder;

use crate::support::{asset, fit_model_args};

/// The names of two slides, without their endings.
const SLIDES: [&str; 2] = ["CMU-1-Small-Region", "CMU-1-Small-Region-rotated-cut"];

/// Options for a readout of 8 numbers on the features of a small transformer, `fitted` in the folder `models`.
fn args(models: &Path, labels: Option<PathBuf>) -> FitModelArgs {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("crates/histokin-encoder/tests/fixtures/vit/hugging_face_vit.safetensors");
    FitModelArgs {
        slides: vec![
            asset(&format!("slides/{}.svs", SLIDES[0])),
            asset(&format!("slides/{}.tif", SLIDES[1])),
        ],
        labels,
        ..fit_model_args(models, &weights)
    }
}

/// A table of labels: the upper and the lower half of each slide of its patient, with these classes.
fn table(folder: &Path, name: &str, slides: &[(&str, &str, [&str; 2])]) -> PathBuf {
    let mut text = "slide,x,y,width,height,label,patient\n".to_owned();
    for (slide, patient, classes) in slides {
        for (half, class) in classes.iter().enumerate() {
            text += &format!("{slide},0,{},3000,750,{class},{patient}\n", 750 * half);
        }
    }
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

const BOTH: [&str; 2] = ["upper", "lower"];

#[test]
fn the_best_kind_by_labels_is_fitted_to_all_slides_and_the_model_says_how_it_was_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let labels = table(folder.path(), "labels.csv", &[(SLIDES[0], "a", BOTH), (SLIDES[1], "b", BOTH)]);
    let asked = FitModelArgs { views: 1, ..args(folder.path(), Some(labels)) };
    let made = fit_model::run(&asked).unwrap();
    let choice = &made["choice"];
    assert_eq!((&choice["patients"], &choice["folds"]), (&2.into(), &2.into()));
    let tried = choice["readouts"].as_array().unwrap();
    let options: Vec<&str> = tried.iter().map(|readout| readout["options"].as_str().unwrap()).collect();
    let all =
        ["", "--cosine", "--whiten", "--whiten --cosine", "--neighbourhoods", "--neighbourhoods --views 1"];
    assert_eq!((&options[..6], options[6]), (&all[..], "--prototypes"));
    let precision = |readout: &serde_json::Value| readout["class_p_at_5"].as_f64().unwrap();
    let best = tried.iter().map(precision).fold(0.0, f64::max);
    assert_eq!(precision(choice), best, "{choice}");
    let chosen = choice["chosen"].as_str().unwrap();
    assert_eq!(made["readout"], chosen);
    let of_chosen = tried.iter().find(|readout| readout["options"] == chosen).unwrap();
    assert!(precision(of_chosen) == best && of_chosen["minus_best"].is_null(), "{choice}");
    // Labelled tiles of both classes, at most as many of a slide as are fitted to.
    let labelled = choice["labelled_tiles"].as_u64().unwrap();
    assert!((40..=80).contains(&labelled), "{labelled}");

    let model = folder.path().join("fitted");
    let mut files: Vec<String> = std::fs::read_dir(&model)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, ["card.md", "head.safetensors", "model.toml"], "nothing else stays");
    let card = std::fs::read_to_string(model.join("card.md")).unwrap();
    assert!(card.contains("chosen by labels") && card.contains("neighbourhoods, cosine"), "{card}");
    let described = std::fs::read_to_string(model.join("model.toml")).unwrap();
    assert!(described.contains("was chosen by labels: P@5"), "{described}");

    // It is the readout that these options fit.
    let plain = FitModelArgs {
        name: "plain".into(),
        whiten: chosen.contains("--whiten"),
        cosine: chosen.contains("--cosine"),
        neighbourhoods: chosen.contains("--neighbourhoods"),
        prototypes: chosen.contains("--prototypes"),
        views: u32::from(chosen.contains("--views")),
        ..args(folder.path(), None)
    };
    let plain = fit_model::run(&plain).unwrap();
    assert_eq!((&plain["encoder_id"], &plain["readout"]), (&made["encoder_id"], &made["readout"]));
    assert!(plain["choice"].is_null());
    let spec = encoder::spec(model.to_str().unwrap()).unwrap();
    assert_eq!(spec.width, 8);
}

#[test]
fn labels_that_cannot_decide_are_refused_with_what_is_missing_before_the_network_runs() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |slides: &[(&str, &str, [&str; 2])]| {
        let labels = table(folder.path(), "labels.csv", slides);
        let asked = FitModelArgs { name: "refused".into(), ..args(folder.path(), Some(labels)) };
        let text = fit_model::run(&asked).unwrap_err().to_string();
        assert!(!folder.path().join("refused").exists(), "{text}");
        text
    };
    let one = refused(&[(SLIDES[0], "a", BOTH), (SLIDES[1], "a", BOTH)]);
    assert!(one.contains("one patient only (a)") && one.contains("second patient"), "{one}");
    let same = refused(&[(SLIDES[0], "a", ["upper"; 2]), (SLIDES[1], "b", ["upper"; 2])]);
    assert!(same.contains("all labelled tiles are of class \"upper\""), "{same}");
    let apart = refused(&[(SLIDES[0], "a", ["upper"; 2]), (SLIDES[1], "b", ["lower"; 2])]);
    assert!(apart.contains("lower, upper"), "{apart}");
    let unknown = refused(&[("other", "a", BOTH)]);
    assert!(unknown.contains("other") && unknown.contains("--some-slides"), "{unknown}");

    // Eight numbers cannot be found in the six tiles of the other slide.
    let labels = table(folder.path(), "labels.csv", &[(SLIDES[0], "a", BOTH), (SLIDES[1], "b", BOTH)]);
    let few = FitModelArgs { tiles_per_slide: 6, ..args(folder.path(), Some(labels.clone())) };
    let few = fit_model::run(&few).unwrap_err().to_string();
    assert!(few.contains("without the patients that judge it") && few.contains("6 tiles"), "{few}");

    let options = |given: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_histokin"));
        let stderr = command.arg("fit-model").args(given).assert().failure().get_output().stderr.clone();
        String::from_utf8(stderr).unwrap()
    };
    let labels = labels.to_str().unwrap();
    let slide = asset("slides/CMU-1-Small-Region.svs");
    let slide = slide.to_str().unwrap();
    let both = options(&[slide, "--name", "m", "--labels", labels, "--whiten"]);
    assert!(both.contains("cannot be used with"), "{both}");
    let alone = options(&[slide, "--name", "m", "--some-slides"]);
    assert!(alone.contains("--labels"), "{alone}");
    let views = options(&[slide, "--name", "m", "--views", "2"]);
    assert!(views.contains("--neighbourhoods") && views.contains("--labels"), "{views}");
}

#[test]
fn patients_may_be_told_by_a_pattern_of_slide_names() {
    let folder = tempfile::tempdir().unwrap();
    let slides = [(SLIDES[0], "", BOTH), (SLIDES[1], "", BOTH)];
    let labels = table(folder.path(), "labels.csv", &slides);
    // Both slides are of one patient then.
    let labelling = LabelOptions { patients: Some("^(CMU-1)".parse().unwrap()), ..LabelOptions::default() };
    let asked = FitModelArgs { labelling, ..args(folder.path(), Some(labels.clone())) };
    let one = fit_model::run(&asked).unwrap_err().to_string();
    assert!(one.contains("one patient only (CMU-1)"), "{one}");
    // Without a patient, a slide counts as one of its own.
    let made = fit_model::run(&args(folder.path(), Some(labels))).unwrap();
    assert_eq!(made["choice"]["patients"], 2);
}
