//! The JSON documents of the command line: each field that one has is in `docs/guide/json.md`.

use std::collections::BTreeSet;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::support::asset;

/// The parts of the page by the subcommands in their headings.
fn sections() -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/json.md");
    let page = std::fs::read_to_string(page).unwrap();
    let sections = page.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
    sections.map(|(heading, text)| (heading.to_owned(), text.to_owned())).collect()
}

/// The keys of all objects in a document. Those below `free` are names that the user or a model has given.
fn keys(document: &Value, free: &[&str], found: &mut BTreeSet<String>) {
    match document {
        Value::Object(object) => {
            for (key, value) in object {
                found.insert(key.clone());
                if !free.contains(&key.as_str()) {
                    keys(value, free, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, free, found)),
        _ => {}
    }
}

#[test]
fn every_field_is_documented() {
    /// Objects whose keys are no fields of the document: names and IDs, settings, and descriptions of other formats.
    const FREE: [&str; 14] = [
        "properties",
        "architecture",
        "crops",
        "encoder",
        "per_slide",
        "per_class",
        "histogram",
        "labels",
        "mean",
        "ci95",
        "left_out_objects",
        "parts_left_out_objects",
        "warnings",
        "settings",
    ];
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let asset = |name: &str| asset(name).to_str().unwrap().to_owned();
    let (slides, slide) = (asset("slides"), asset("slides/CMU-1-Small-Region.svs"));
    let (project, s) = (at("project"), "CMU-1-Small-Region");
    let cut = "CMU-1-Small-Region-rotated-cut";
    let square = |class: &str, x: i32, y: i32| {
        let (right, bottom) = (x + 600, y + 600);
        format!(
            r#"{{"type":"Feature","geometry":{{"type":"Polygon","coordinates":
               [[[{x},{y}],[{right},{y}],[{right},{bottom}],[{x},{bottom}],[{x},{y}]]]}},
               "properties":{{"classification":{{"name":"{class}"}}}}}}"#
        )
    };
    let outlines = [square("upper", 700, 300), square("lower", 700, 1500)].join(",");
    std::fs::write(at("a.geojson"), format!(r#"{{"type":"FeatureCollection","features":[{outlines}]}}"#))
        .unwrap();
    let outlines = [square("upper", 100, 100), square("lower", 800, 700)].join(",");
    std::fs::write(at("b.geojson"), format!(r#"{{"type":"FeatureCollection","features":[{outlines}]}}"#))
        .unwrap();

    let marks = [format!("{s}:1000,1500"), format!("{s}:1000,1200"), format!("{cut}:500,700")];
    let calls: Vec<Vec<String>> = [
        format!("info|{slide}"),
        format!("embed|{project}|{slides}|--mpp|0.5|--device|cpu"),
        format!("tissue|{slide}|-o|{}", at("mask.png")),
        format!("query|{project}|--slide|{s}|--at|1000,1500|--rank|slides"),
        format!("heat-map|{project}|--slide|{s}|--at|1000,1500|--to|{}", at("maps")),
        format!("annotations|import|{project}|--slide|{s}|{}", at("a.geojson")),
        format!("annotations|import|{project}|--slide|{cut}|{}", at("b.geojson")),
        format!("annotations|export|{project}|--slide|{s}|-o|{}", at("out.geojson")),
        format!("annotations|list|{project}|--slide|{s}"),
        format!("annotations|count|{project}|--slide|{s}"),
        format!(
            "concepts|teach|{project}|--name|Gland|--same|{}|--same|{}|--different|{}",
            marks[0], marks[1], marks[2]
        ),
        format!("concepts|threshold|{project}|Gland|0.8"),
        format!("concepts|list|{project}"),
        format!("concepts|apply|{project}|Gland"),
        format!("concepts|export|{project}|Gland|--to|{}", at("areas")),
        format!("concepts|class-map|{project}|--to|{}", at("classes")),
        format!("concepts|remove|{project}|Gland"),
        format!("index|{project}|--verify"),
        "encoders|list".to_owned(),
        "encoders|show|tissue-context".to_owned(),
        format!("encoders|export|tissue-views|--onnx|{}", at("encoder.onnx")),
        format!("project-map|{project}|--kind|pca"),
        format!("export|{project}|--format|safetensors|--to|{}", at("features")),
        format!("import|{project}|{}|--name|other", at("features")),
        format!("evaluate|{project}|--exclude|slide|--device|cpu|--stain-tiles|4|--draws|100"),
        format!("fit-model|{slides}|--name|mine|--width|8|--tiles-per-slide|12|--models|{}", at("models")),
        format!(
            "train|{}|{slides}|--validate|{slide}|--backbone|tiny|--init|random|--depth|all|--anchor|0|--steps|2|--near-mm|0.3\
             |--far-mm|0.6|--tile-px|64|--batch|2|--device|cpu",
            at("trained")
        ),
    ]
    .iter()
    .map(|call| call.split('|').map(str::to_owned).collect())
    .collect();
    let sections = sections();
    let mut missing = Vec::new();
    for call in &calls {
        let mut command = Command::new(env!("CARGO_BIN_EXE_histokin"));
        let output = command.args(call).arg("--json").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let document: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{call:?}: {error}: {said}"));
        assert!(output.status.success(), "{call:?}: {said}");
        let heading = format!("`{}`", call[0]);
        let (_, section) =
            sections.iter().find(|(title, _)| title.contains(&heading)).expect("it has a section");
        let mut found = BTreeSet::new();
        keys(&document, &FREE, &mut found);
        // IDs of encoders are keys as well.
        let is_missing =
            |key: &String| !key.contains('-') && key.len() < 60 && !section.contains(&format!("`{key}`"));
        missing.extend(
            found.into_iter().filter(is_missing).map(|key| format!("{}: {key}", call[..2].join(" "))),
        );
    }
    assert!(missing.is_empty(), "docs/guide/json.md lacks {missing:#?}");
}
