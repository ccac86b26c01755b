//! libtorch and ONNX Runtime embed alike, and encoders run as ONNX models elsewhere.

use std::path::Path;
use std::process::Command;

use histokin::encoder::engine::Engine;
use histokin::encoder::{self, DeviceChoice, Encoder, EncoderError, onnx};
use image::RgbImage;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::skipped::skip;
use crate::support::{asset, histokin, json};

/// The default encoder in ONNX Runtime, or `None` and a note that the test skips where there is none.
fn in_onnx_runtime() -> Option<Box<dyn Encoder>> {
    match encoder::load_in(encoder::DEFAULT, DeviceChoice::Cpu, Engine::OnnxRuntime) {
        Err(EncoderError::Engine { reason, .. }) => {
            skip(format_args!("there is no ONNX Runtime: {reason}"));
            None
        }
        loaded => Some(loaded.unwrap()),
    }
}

fn tile(seed: u32) -> RgbImage {
    RgbImage::from_fn(224, 224, |x, y| {
        image::Rgb([(200 + x * seed % 50) as u8, (x * y % (90 + seed)) as u8, (150 + y % 80) as u8])
    })
}

/// All numbers of a descriptor file.
fn numbers(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let features = file.tensor("features").unwrap();
    features.data().chunks_exact(4).map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect()
}

#[test]
fn a_project_goes_on_in_the_other_engine() {
    if in_onnx_runtime().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let slide = asset("slides/CMU-1-Small-Region.svs");
    let embed = |project: &str, engine: &str| {
        let project = folder.path().join(project);
        let [project, slide] = [&project, &slide].map(|path| path.to_str().unwrap());
        json(&["embed", project, slide, "--engine", engine, "--device", "cpu", "--json"])
    };
    let (first, other) = (embed("torch", "torch"), embed("onnxruntime", "onnxruntime"));
    assert_eq!((&first["device"], &other["device"]), (&"CPU".into(), &"CPU (ONNX Runtime)".into()));
    assert_eq!(first["encoder_id"], other["encoder_id"]);
    let file = |project: &str, embedded: &Value| {
        folder.path().join(project).join(embedded["slides"][0]["descriptors"].as_str().unwrap())
    };
    let (first_file, other_file) = (file("torch", &first), file("onnxruntime", &other));
    assert_eq!(first_file.file_name(), other_file.file_name(), "one recipe");
    let (found, expected) = (numbers(&other_file), numbers(&first_file));
    assert!(found.len() == expected.len() && found.len() > 128);
    // Descriptors have length 1.
    let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{worst}");
    // The slide is embedded: there is nothing to do.
    let again = embed("torch", "onnxruntime");
    assert_eq!(again["slides"][0]["tiles_kept"], expected.len() / 128, "{again}");
    assert_eq!(numbers(&first_file), expected);
}

#[test]
fn processors_get_onnx_runtime_by_default_and_libtorch_where_its_library_is_missing() {
    if in_onnx_runtime().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (project, nothing) = (folder.path().join("project"), folder.path().join("nothing"));
    std::fs::create_dir(&nothing).unwrap();
    let slide = asset("slides/CMU-1-Small-Region.svs");
    let embed = |library: Option<&Path>| {
        let [project, slide] = [&project, &slide].map(|path| path.to_str().unwrap());
        let mut command = histokin(&["--log", "info", "embed", project, slide, "--device", "cpu", "--json"]);
        if let Some(library) = library {
            command.env("HISTOKIN_ONNXRUNTIME", library);
        }
        let output = command.assert().success().get_output().clone();
        let embedded: Value = serde_json::from_slice(&output.stdout).unwrap();
        (embedded, String::from_utf8(output.stderr).unwrap())
    };
    let (first, log) = embed(Some(&nothing));
    assert_eq!(first["device"], "CPU");
    let reason = log.lines().find(|line| line.contains("runs in libtorch")).unwrap_or(&log);
    assert!(reason.contains(encoder::DEFAULT) && reason.contains(nothing.to_str().unwrap()), "{log}");
    let (second, log) = embed(None);
    assert_eq!(second["device"], "CPU (ONNX Runtime)");
    assert!(!log.contains("runs in libtorch"), "{log}");
    assert_eq!(first["encoder_id"], second["encoder_id"]);
    // Nothing is embedded again.
    let [first, second] = [&first, &second].map(|embedded| &embedded["slides"][0]);
    assert_eq!((&first["tiles_kept"], &second["tiles_kept"]), (&0.into(), &first["tiles_tissue"]));
}

#[test]
fn a_library_that_is_not_there_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    let slide = asset("slides/CMU-1-Small-Region.svs");
    let [project, slide] = [&project, &slide].map(|path| path.to_str().unwrap());
    let refused = histokin(&["--engine", "onnxruntime", "embed", project, slide])
        .env("HISTOKIN_ONNXRUNTIME", folder.path())
        .assert()
        .failure();
    let text = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    let named = folder.path().to_str().unwrap();
    assert!(text.contains("HISTOKIN_ONNXRUNTIME") && text.contains(named), "{text}");
    let wrong = histokin(&["--engine", "tensorflow", "embed", project, slide]).assert().failure();
    let text = String::from_utf8(wrong.get_output().stderr.clone()).unwrap();
    assert!(text.contains("torch, onnxruntime"), "{text}");
}

/// A Python with onnxruntime: the one that `make interop` fetches, else the system's. `None` and a note where there is
/// none.
fn python() -> Option<std::path::PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    let python = if fetched.exists() { fetched } else { "python3".into() };
    let has_it = Command::new(&python).args(["-c", "import onnxruntime, numpy"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        skip(format_args!("there is no Python with onnxruntime; `make interop` fetches it"));
        return None;
    }
    Some(python)
}

#[test]
fn other_programs_run_an_exported_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("encoder.onnx");
    let written =
        json(&["encoders", "export", encoder::DEFAULT, "--onnx", model.to_str().unwrap(), "--json"]);
    assert_eq!(written["bytes"], std::fs::metadata(&model).unwrap().len());
    assert_eq!(written["properties"]["stain_normalisation"], "none");
    let mut encoder = encoder::load_in(encoder::DEFAULT, DeviceChoice::Cpu, Engine::Torch).unwrap();
    assert_eq!(written["encoder_id"], encoder.spec().id.to_string());
    let Some(python) = python() else { return };
    let tiles = [tile(1), tile(3)];
    let bytes: Vec<u8> = tiles.iter().flat_map(|tile| tile.as_raw()).copied().collect();
    std::fs::write(folder.path().join("tiles"), bytes).unwrap();
    let script = "import json, numpy, onnxruntime\n\
                  session = onnxruntime.InferenceSession('encoder.onnx')\n\
                  tiles = numpy.fromfile('tiles', numpy.uint8).reshape(2, 224, 224, 3)\n\
                  found, = session.run(None, {'tiles': tiles})\n\
                  properties = session.get_modelmeta().custom_metadata_map\n\
                  print(json.dumps([found.ravel().tolist(), properties]))";
    let output = Command::new(python).args(["-c", script]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (found, properties): (Vec<f32>, Value) = serde_json::from_slice(&output.stdout).unwrap();
    let expected = encoder.encode(&tiles).unwrap().values;
    let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(found.len() == expected.len() && worst < 1e-4, "{worst}");
    assert_eq!(properties["histokin.encoder_id"], encoder.spec().id.to_string());
}

#[test]
fn an_encoder_that_cannot_be_written_as_onnx_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoder.onnx");
    let refused = onnx::export("no-such-encoder", &path).unwrap_err();
    assert!(matches!(refused, EncoderError::Unknown { .. }), "{refused}");
    let beyond = folder.path().join("missing/encoder.onnx");
    let refused = onnx::export(encoder::DEFAULT, &beyond).unwrap_err().to_string();
    assert!(refused.contains("missing"), "{refused}");
    assert!(!path.exists());
}
