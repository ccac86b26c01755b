//! Features of CLAM, TRIDENT, STAMP and others: where their tiles lie, and what is left out or refused.
//! `tests/fixtures/evaluation/neighbours_h5.py places` wrote the fixtures with h5py, as those programs do.

use std::path::{Path, PathBuf};

use hdf5_pure::{AttrValue, FileBuilder};
use histokin::interchange::{InterchangeError, PlacedFeatures, place, read_features};
use histokin::project::Project;
use histokin::slide::{self, SlideInfo};
use serde_json::{Value, json};

use crate::evaluate::Study;
use crate::support::write_pyramid;

fn folder_of_fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/evaluation")
}

/// A slide of 2100 × 1600 px of 0.5 µm.
fn slide_of(folder: &Path) -> SlideInfo {
    let path = folder.join("slide.tif");
    let picture = image::RgbImage::from_pixel(2100, 1600, image::Rgb([200, 100, 150]));
    write_pyramid(&path, &picture, 1, Some(0.5));
    slide::open(&path, None).unwrap().info().clone()
}

fn placed(path: &Path, info: &SlideInfo) -> Result<PlacedFeatures, InterchangeError> {
    place(read_features(path)?, info, None, path)
}

#[test]
fn tiles_lie_where_their_writer_put_them() {
    let folder = tempfile::tempdir().unwrap();
    let info = slide_of(folder.path());
    // Name, edge and step in level-0 pixels, edge as the encoder saw it, encoder.
    let known: [(&str, u32, i64, u32, Option<&str>); 7] = [
        ("clam_level", 512, 512, 256, None),
        ("trident_overlap", 512, 256, 256, Some("uni_v1")),
        ("trident_floats", 512, 512, 256, Some("uni_v1")),
        ("stamp", 512, 512, 224, Some("uni2-1ab2")),
        ("rectangles", 512, 512, 512, Some("resnet50")),
        ("structured", 512, 512, 512, None),
        ("transposed", 512, 512, 512, None),
    ];
    for (name, edge, step, tile_px, encoder) in known {
        let found = placed(&folder_of_fixtures().join(format!("places_{name}.h5")), &info).unwrap();
        let corners: Vec<[i64; 2]> = (0..12).map(|tile| [step * (tile % 4), step * (tile / 4)]).collect();
        assert_eq!((found.corners.as_slice(), found.tile_level0), (corners.as_slice(), edge), "{name}");
        assert_eq!((found.tile_px(), found.features.stated.encoder.as_deref()), (tile_px, encoder), "{name}");
        let numbers = (0..60).map(|number| number as f32 / 4.0);
        assert!(found.features.values.iter().copied().eq(numbers), "{name}: {:?}", found.features.values);
        let is_guessed = ["structured", "transposed"].contains(&name);
        assert_eq!(found.notes.iter().any(|note| note.contains("--tile-level0")), is_guessed, "{name}");
    }
}

/// A file of four tiles in a row, 100 px apart, with what is said of them.
struct Told {
    folder: tempfile::TempDir,
    info: SlideInfo,
}

impl Told {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let info = slide_of(folder.path());
        Self { folder, info }
    }

    fn write(&self, corners: &[[i64; 2]], attributes: &[(&str, AttrValue)]) -> PathBuf {
        let path = self.folder.path().join("slide.h5");
        let mut file = FileBuilder::new();
        let rows = corners.len() as u64;
        let values: Vec<f32> = (0..2 * corners.len()).map(|number| number as f32).collect();
        file.create_dataset("features").with_f32_data(&values).with_shape(&[rows, 2]);
        let places = file.create_dataset("coords");
        places.with_i64_data(corners.as_flattened()).with_shape(&[rows, 2]);
        for (name, value) in attributes {
            places.set_attr(name, value.clone());
        }
        std::fs::write(&path, file.finish().unwrap()).unwrap();
        path
    }

    fn refusal(&self, corners: &[[i64; 2]], attributes: &[(&str, AttrValue)]) -> String {
        placed(&self.write(corners, attributes), &self.info).unwrap_err().to_string()
    }
}

const ROW: [[i64; 2]; 4] = [[0, 0], [100, 0], [200, 0], [300, 0]];

#[test]
fn contradictions_are_refused_by_name() {
    let told = Told::new();
    let number = AttrValue::I64;
    let text = told.refusal(
        &ROW,
        &[
            ("patch_size", number(100)),
            ("patch_size_level0", number(100)),
            ("downsample", AttrValue::F64(4.0)),
        ],
    );
    assert!(text.contains("patch_size_level0 100") && text.contains("downsample 4"), "{text}");
    let text = told.refusal(&ROW, &[("patch_size", number(100)), ("patch_level", number(3))]);
    assert!(text.contains("patch_level is 3") && text.contains("no downsample"), "{text}");
    let text = told.refusal(&ROW, &[("patch_size", number(400)), ("overlap", number(0))]);
    assert!(text.contains("100 level-0 px apart") && text.contains("overlap 0"), "{text}");
    let size = [("patch_size", number(100)), ("level0_width", number(9000)), ("level0_height", number(7000))];
    let text = told.refusal(&ROW, &size);
    assert!(text.contains("9000 × 7000") && text.contains("2100 × 1600"), "{text}");
    let text = told.refusal(&ROW, &[("unit", AttrValue::String("mm".into()))]);
    assert!(text.contains("\"mm\"") && text.contains("\"um\""), "{text}");
    let text = told.refusal(&[[0, 0], [2100, 0]], &[("patch_size", number(100))]);
    assert!(text.contains("1 of 2 tiles") && text.contains("2100, 0"), "{text}");
    let text = told.refusal(&[[0, 0], [130, 7]], &[]);
    assert!(text.contains("patch_size_level0") && text.contains("--tile-level0"), "{text}");
    // A size that differs by less than a tile is told and does not matter.
    let padded =
        [("patch_size", number(100)), ("level0_width", number(2150)), ("level0_height", number(1600))];
    let found = placed(&told.write(&ROW, &padded), &told.info).unwrap();
    assert!(found.notes[0].contains("2150 × 1600"), "{:?}", found.notes);
}

#[test]
fn files_without_tiles_are_refused_with_what_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |build: &dyn Fn(&mut FileBuilder)| {
        let mut file = FileBuilder::new();
        build(&mut file);
        let path = folder.path().join("a.h5");
        std::fs::write(&path, file.finish().unwrap()).unwrap();
        read_features(&path).unwrap_err().to_string()
    };
    let text =
        refusal(&|file| _ = file.create_dataset("tokens").with_f32_data(&[0.0; 6]).with_shape(&[3, 2]));
    assert!(text.contains("tokens (3 × 2 of f32)") && text.contains("features (or feats"), "{text}");
    let both = |file: &mut FileBuilder, shape: &[u64], tiles: u64| {
        let count = shape.iter().product::<u64>() as usize;
        file.create_dataset("features").with_f32_data(&vec![0.5; count]).with_shape(shape);
        file.create_dataset("coords").with_i64_data(&vec![7; 2 * tiles as usize]).with_shape(&[tiles, 2]);
    };
    let text = refusal(&|file| both(file, &[1, 8], 4));
    assert!(text.contains("describes the whole slide"), "{text}");
    let text = refusal(&|file| both(file, &[8], 4));
    assert!(text.contains("for the whole slide"), "{text}");
    let text = refusal(&|file| both(file, &[4, 5, 8], 4));
    assert!(text.contains("4 × 5 × 8"), "{text}");
    let text = refusal(&|file| {
        file.create_dataset("features").with_i32_data(&[1; 8]).with_shape(&[4, 2]);
        file.create_dataset("coords").with_i64_data(&[7; 8]).with_shape(&[4, 2]);
    });
    assert!(text.contains("of i32") && text.contains("scale"), "{text}");
    let text = refusal(&|file| {
        file.create_dataset("features").with_f32_data(&[1.0; 4]).with_shape(&[2, 2]);
        file.create_dataset("coords").with_f64_data(&[0.25, 0.0, 128.5, 0.0]).with_shape(&[2, 2]);
    });
    assert!(text.contains("fractional") && text.contains("unit"), "{text}");
}

fn safetensors(path: &Path, corners: &[[i64; 2]], values: &[f32]) {
    use safetensors::tensor::{Dtype, TensorView};
    let bytes = |numbers: &[u8]| numbers.to_vec();
    let (places, numbers): (Vec<u8>, Vec<u8>) = (
        corners.iter().flatten().flat_map(|place| bytes(&place.to_le_bytes())).collect(),
        values.iter().flat_map(|value| bytes(&value.to_le_bytes())).collect(),
    );
    let shape = vec![corners.len(), values.len() / corners.len()];
    let features = TensorView::new(Dtype::F32, shape, &numbers).unwrap();
    let coords = TensorView::new(Dtype::I64, vec![corners.len(), 2], &places).unwrap();
    let tensors = [("features", features), ("coords", coords)];
    std::fs::write(path, safetensors::serialize(tensors, None).unwrap()).unwrap();
}

fn output(study: &Study, arguments: &[&str]) -> Value {
    let output = study.histokin(arguments).assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn bad_tiles_are_left_out_and_what_is_imported_can_be_read_back() {
    let study = Study::new();
    let mut corners: Vec<[i64; 2]> = (0..12).map(|tile| [100 * (tile % 4), 100 * (tile / 4)]).collect();
    corners.extend([[-50, 100], [0, 0]]);
    let mut values: Vec<f32> = (0..14 * 8).map(|number| (number as f32).sin()).collect();
    values[8 * 5 + 3] = f32::NAN;
    values[8 * 7] = f32::NEG_INFINITY;
    safetensors(&study.path("alpha.safetensors"), &corners, &values);
    let import = ["import", "project", "alpha.safetensors", "--name", "other", "--use", "--json"];
    let imported = output(&study, &import);
    let slide = &imported["slides"][0];
    let counted = ["tiles", "not_finite", "beside", "doubled"].map(|name| slide[name].as_u64().unwrap());
    assert_eq!(counted, [10, 2, 1, 1]);
    // The two slides without features of this encoder are named, and make it fail.
    let verified = study.histokin(&["index", "project", "--verify", "--json"]).assert().failure();
    let verified: Value = serde_json::from_slice(&verified.get_output().stdout).unwrap();
    assert_eq!(verified["differing_answers"], 0, "{verified}");
    let ask = ["query", "project", "--slide", "alpha", "--at", "10,10", "-k", "50", "--json"];
    assert_eq!(output(&study, &ask)["matches"].as_array().unwrap().len(), 9);

    safetensors(&study.path("beta.safetensors"), &corners, &[f32::NAN; 14 * 8]);
    let refused = study.histokin(&["import", "project", "beta.safetensors"]).assert().failure();
    let text = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(text.contains("every one of its 14 tiles"), "{text}");
}

#[test]
fn equal_descriptors_are_found_and_mapped() {
    for tiles in [1_i64, 2, 3, 16, 150] {
        let study = Study::new();
        let corners: Vec<[i64; 2]> = (0..tiles).map(|tile| [100 * (tile % 15), 100 * (tile / 15)]).collect();
        safetensors(&study.path("alpha.safetensors"), &corners, &vec![0.5; 16 * tiles as usize]);
        let import =
            ["import", "project", "alpha.safetensors", "--name", "same", "--use", "--tile-level0", "100"];
        study.histokin(&import).assert().success();
        let ask = ["query", "project", "--slide", "alpha", "--at", "10,10", "-k", "10000", "--json"];
        let found = output(&study, &ask);
        let matches = found["matches"].as_array().unwrap();
        assert_eq!(matches.len() as i64, tiles - 1);
        assert!(matches.iter().all(|found| found["distance"] == json!(0.0)), "{found}");
        study.histokin(&["project-map", "project", "--json"]).assert().success();
    }
}

#[test]
fn what_another_program_writes_meanwhile_is_not_undone() {
    let study = Study::new();
    let values: Vec<f32> = (0..16).map(|number| number as f32).collect();
    safetensors(&study.path("alpha.safetensors"), &[[0, 0], [100, 0]], &values);
    let import = ["import", "project", "alpha.safetensors", "--name", "other"];
    let project = Project::open(&study.project()).unwrap().claim().unwrap();
    let refused = study.histokin(&[&import[..], &["--use"]].concat()).assert().failure();
    let text = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(text.contains("it is in use by"), "{text}");
    assert_eq!(
        std::fs::read_dir(project.root().join("descriptors")).unwrap().count(),
        0,
        "before anything is written"
    );
    // Descriptors alone are files of their own.
    study.histokin(&import).assert().success();
    drop(project);
    study.histokin(&[&import[..], &["--use"]].concat()).assert().success();
}

#[test]
fn files_without_a_tile_do_not_stop_the_others() {
    let study = Study::new();
    std::fs::create_dir(study.path("set")).unwrap();
    let mut file = FileBuilder::new();
    // TRIDENT writes this where it found no tissue.
    file.create_dataset("features").with_f32_data(&[]).with_shape(&[0, 8]);
    file.create_dataset("coords").with_i64_data(&[]).with_shape(&[0, 2]);
    std::fs::write(study.path("set/alpha.h5"), file.finish().unwrap()).unwrap();
    let values: Vec<f32> = (0..16).map(|number| number as f32).collect();
    safetensors(&study.path("set/beta.safetensors"), &[[0, 0], [100, 0]], &values);
    let imported = output(&study, &["import", "project", "set", "--json"]);
    assert_eq!(imported["slides"].as_array().unwrap().len(), 1);
    assert_eq!(Project::open(&study.project()).unwrap().slides().len(), 3);
}
