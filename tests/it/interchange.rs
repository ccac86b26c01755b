//! Descriptors out to other programs, and theirs in.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use histokin::geometry::LevelRect;

use crate::evaluate::Study;

/// A study whose slides are embedded with the colour histogram.
fn embedded() -> Study {
    let study = Study::new();
    study.json(&[]);
    study
}

fn export(study: &Study, format: &str) {
    let export = ["export", "project", "--encoder", "hsv-histogram", "--format", format, "--to", format];
    study.histokin(&export).assert().success();
}

fn output(study: &Study, arguments: &[&str]) -> Value {
    let output = study.histokin(arguments).assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

fn refused(study: &Study, arguments: &[&str]) -> String {
    String::from_utf8(study.histokin(arguments).assert().failure().get_output().stderr.clone()).unwrap()
}

/// Have the script of the fixtures run by a Python with h5py: the one that `make interop` fetches, else the
/// system's. `None` and a line that says so where there is none.
fn python(arguments: &[&str]) -> Option<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fetched = root.join("target/python/bin/python");
    let python = if fetched.exists() { fetched } else { "python3".into() };
    let has_h5py = Command::new(&python).args(["-c", "import h5py, pyarrow"]).output();
    if !has_h5py.is_ok_and(|output| output.status.success()) {
        crate::support::skipped::skip(format_args!(
            "there is no Python with h5py and pyarrow; `make interop` fetches them"
        ));
        return None;
    }
    let script = root.join("tests/fixtures/evaluation/neighbours_h5.py");
    let output = Command::new(&python).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

#[test]
fn other_programs_find_in_exported_files_what_they_look_for() {
    let study = embedded();
    ["trident", "clam", "npy", "parquet"].iter().for_each(|format| export(&study, format));
    let check = |file: &str| -> Option<Value> {
        let path = study.path(file);
        Some(serde_json::from_slice(&python(&["check", path.to_str().unwrap()])?).unwrap())
    };
    let Some(npy) = check("npy/alpha.npy") else { return };
    let tiles = npy["shape"][0].as_u64().unwrap();
    assert_eq!((&npy["dtype"], &npy["shape"][1]), (&json!("float32"), &json!(128)));
    let table = std::fs::read_to_string(study.path("npy/alpha.csv")).unwrap();
    assert_eq!(table.lines().count() as u64, 1 + tiles);

    let trident = check("trident/alpha.h5").unwrap();
    assert_eq!(trident["features"]["values"], npy["values"]);
    assert_eq!(
        (&trident["features"]["dtype"], &trident["coords"]["dtype"]),
        (&json!("float32"), &json!("int64"))
    );
    let (features, coords) = (&trident["features"]["attrs"], &trident["coords"]["attrs"]);
    assert_eq!((&features["name"], &features["encoder"]), (&json!("alpha"), &json!("hsv-histogram")));
    for (name, value) in
        [("patch_size", 100), ("patch_size_level0", 100), ("overlap", 0), ("level0_width", 1700)]
    {
        assert_eq!(coords[name], value, "{name}");
    }
    let clam = check("clam/alpha.h5").unwrap();
    assert_eq!(clam["features"]["values"], npy["values"]);
    assert_eq!(clam["coords"]["dtype"], "int32");
    assert_eq!(clam["coords"]["values"], trident["coords"]["values"]);
    assert_eq!(clam["coords"]["attrs"], json!({}));

    let parquet = check("parquet/alpha.parquet").unwrap();
    assert_eq!(parquet["descriptor"], npy["values"]);
    let corners: Vec<Value> =
        (0..tiles as usize).map(|row| json!([parquet["x"][row], parquet["y"][row]])).collect();
    assert_eq!(json!(corners), trident["coords"]["values"]);
    assert_eq!((&parquet["slide"][0], &parquet["width"][0]), (&json!("alpha"), &json!(100)));

    // What h5py has written anew, in TRIDENT's way, comes back in.
    std::fs::create_dir(study.path("anew")).unwrap();
    for slide in ["alpha", "beta", "gamma"] {
        let (from, to) =
            (study.path(&format!("trident/{slide}.h5")), study.path(&format!("anew/{slide}.h5")));
        python(&["copy", from.to_str().unwrap(), to.to_str().unwrap()]);
    }
    let imported = output(&study, &["import", "project", "anew", "--name", "round", "--json"]);
    assert_eq!(imported["slides"].as_array().unwrap().len(), 3);
    let both = study.json(&["--labels", "labels.csv", "--encoder", "round"]);
    assert_eq!(both["encoders"][0]["retrieval"], both["encoders"][1]["retrieval"]);
}

#[test]
fn imported_features_are_searched_and_measured_like_our_own() {
    let study = embedded();
    export(&study, "clam");
    let ask = ["query", "project", "--slide", "alpha", "--at", "250,650", "-k", "7", "--json"];
    let imported = output(&study, &["import", "project", "clam", "--name", "elsewhere", "--use", "--json"]);
    assert_eq!(imported["encoder"]["width"], 128);
    assert_eq!(imported["encoder"]["tiles"]["tile_px"], 100, "from the step between tiles");
    let found = output(&study, &ask);
    let first = &found["matches"][0];
    assert_eq!((found["matches"].as_array().unwrap().len(), &found["exact"]), (7, &json!(true)));
    assert!(first["distance"].as_f64().unwrap() < found["matches"][6]["distance"].as_f64().unwrap());
    // A tile is described by its file alone: what is not in it cannot be asked for.
    let nowhere = refused(&study, &["query", "project", "--slide", "alpha", "--at", "5,5"]);
    assert!(nowhere.contains("another program"), "{nowhere}");
    let both = study.json(&["--labels", "labels.csv", "--encoder", "elsewhere"]);
    assert_eq!(both["encoders"][0]["retrieval"], both["encoders"][1]["retrieval"]);
    let verified = output(&study, &["index", "project", "--verify", "--json"]);
    assert_eq!(verified["differing_answers"], 0);

    let folder = study.path("heat");
    let heat = ["heat-map", "project", "--slide", "alpha", "--at", "250,650", "--to", "heat", "--on", "beta"];
    study.histokin(&heat).assert().success();
    let picture = image::open(folder.join("beta.png")).unwrap().into_luma_alpha8();
    assert_eq!(picture.dimensions(), (17, 12));
    assert!(picture.pixels().any(|pixel| pixel.0[1] == 255) && picture.get_pixel(16, 0).0[1] == 0);
    let world = std::fs::read_to_string(folder.join("beta.pgw")).unwrap();
    assert_eq!(world.lines().collect::<Vec<_>>(), ["100", "0", "0", "100", "50", "50"]);
    // The same as a slide of its own, each tile a square of pixels in its true size.
    let pyramid = histokin::slide::open(&folder.join("beta.tif"), None).unwrap();
    let info = pyramid.info();
    assert_eq!((info.vendor.as_str(), info.width() % 17, info.height() % 12), ("generic-tiff", 0, 0));
    let edge = info.width() / 17;
    let slide = histokin::slide::open(&study.path("beta.tif"), None).unwrap();
    let tile_um = 100.0 * slide.info().mpp.unwrap().x();
    assert!((info.mpp.unwrap().x() * f64::from(edge) - tile_um).abs() < 1e-3 * tile_um);
    let whole = LevelRect { level: 0, x: 0, y: 0, width: info.width(), height: info.height() };
    for (x, y, pixel) in pyramid.read(&whole).unwrap().enumerate_pixels() {
        let [grey, alpha] = picture.get_pixel(x / edge, y / edge).0;
        assert_eq!(pixel.0, if alpha == 0 { [0; 4] } else { [grey, grey, grey, 255] }, "at {x}, {y}");
    }
}

/// Features of 1500 numbers whose tiles lie on no grid of ours, one of them twice.
fn wide(path: &Path, seed: u32) -> Vec<Vec<f32>> {
    use safetensors::tensor::{Dtype, TensorView};
    let corners: Vec<[i64; 2]> = (0..60).map(|tile| [37 + 90 * (tile % 10), 61 + 90 * (tile / 10)]).collect();
    let value = |tile: u32, number: u32| {
        let hash = (tile * 7919 + number * 104_729 + seed).wrapping_mul(2_654_435_761) >> 16;
        (hash % 1000) as f32 / 1000.0 / (1.0 + number as f32).sqrt()
    };
    let mut rows: Vec<Vec<f32>> =
        (0..60).map(|tile| (0..1500).map(|number| value(tile, number)).collect()).collect();
    rows.push(rows[3].clone());
    let corners = [corners.as_slice(), &corners[3..4]].concat();
    let (values, places): (Vec<u8>, Vec<u8>) = (
        rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect(),
        corners.iter().flatten().flat_map(|place| place.to_le_bytes()).collect(),
    );
    let features = TensorView::new(Dtype::F32, vec![61, 1500], &values).unwrap();
    let coords = TensorView::new(Dtype::I64, vec![61, 2], &places).unwrap();
    let bytes = safetensors::serialize([("features", features), ("coords", coords)], None).unwrap();
    std::fs::write(path, bytes).unwrap();
    rows
}

#[test]
fn features_of_any_width_are_ranked_by_all_their_numbers() {
    let study = Study::new();
    std::fs::create_dir(study.path("uni")).unwrap();
    let own = wide(&study.path("uni/alpha.safetensors"), 1);
    let other = wide(&study.path("uni/beta.safetensors"), 2);
    let imported = output(&study, &["import", "project", "uni", "--use", "--json"]);
    assert_eq!(imported["encoder"]["name"], "uni", "called as the folder is");
    assert_eq!((&imported["slides"][0]["tiles"], &imported["slides"][0]["doubled"]), (&json!(60), &json!(1)));

    let ask =
        ["query", "project", "--slide", "alpha", "--at", "350,200", "-k", "5", "--scope", "others", "--json"];
    let found = output(&study, &ask);
    // 350, 200 lies in the fourth column and the second row.
    assert_eq!((&found["query"]["x"], &found["query"]["y"]), (&json!(307), &json!(151)));
    let distance = |row: &[f32]| {
        let parts = row.iter().zip(&own[13]).map(|(a, b)| f64::from(a - b).powi(2));
        parts.sum::<f64>().sqrt()
    };
    let mut expected: Vec<f64> = other[..60].iter().map(|row| distance(row)).collect();
    expected.sort_by(f64::total_cmp);
    assert_eq!(found["matches"].as_array().unwrap().len(), 5);
    for (found, expected) in found["matches"].as_array().unwrap().iter().zip(expected) {
        assert!((found["distance"].as_f64().unwrap() - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn features_that_do_not_fit_are_refused_with_words() {
    let study = embedded();
    export(&study, "clam");
    let import = |file: &str| refused(&study, &["import", "project", file]);
    std::fs::rename(study.path("clam/alpha.h5"), study.path("clam/delta.h5")).unwrap();
    let unknown = import("clam");
    assert!(unknown.contains("delta") && unknown.contains("--some-slides"), "{unknown}");
    std::fs::write(study.path("alpha.h5"), b"\x89HDF\r\n\x1a\nand then nothing").unwrap();
    let broken = import("alpha.h5");
    assert!(broken.contains("alpha.h5") && broken.contains("cannot be read as descriptors"), "{broken}");
    std::fs::write(study.path("alpha.csv"), b"1,2").unwrap();
    assert!(import("alpha.csv").contains(".h5"));
    // The features of a larger slide.
    wide(&study.path("small.safetensors"), 1);
    let small = image::RgbImage::from_pixel(300, 300, image::Rgb([200, 100, 150]));
    crate::support::write_pyramid(&study.path("small.tif"), &small, 1, Some(8.0));
    let mut project = histokin::project::Project::open(&study.project()).unwrap();
    project.add_or_update(histokin::slide::open(&study.path("small.tif"), None).unwrap().info());
    project.save().unwrap();
    let outside = import("small.safetensors");
    assert!(outside.contains("lie outside") && outside.contains("another slide"), "{outside}");
}
