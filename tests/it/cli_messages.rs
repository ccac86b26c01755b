//! What the command line says of wrong options and of what is missing, and with which exit status.

use std::path::Path;

use assert_cmd::Command;

use crate::support::asset;

/// Runs the program; returns its exit status, standard output and standard error.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_histokin"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs the program, which has to end with this exit status and to say these words on standard error only.
fn refused(folder: &Path, arguments: &[&str], status: i32, words: &[&str]) {
    let (code, out, err) = run(folder, arguments);
    assert_eq!(code, status, "{arguments:?}: {err}");
    assert!(out.is_empty(), "{arguments:?}: {out}");
    for word in words {
        assert!(err.contains(word), "{arguments:?}: {word} is not in: {err}");
    }
}

#[test]
fn wrong_options_are_refused_with_what_is_expected_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let slide = asset("slides/CMU-1-Small-Region.svs");
    let slide = slide.to_str().unwrap();
    let render = |size: &'static str, out: &'static str| {
        ["render", slide, "--rect", "0,0,9,9", "--size", size, "-o", out]
    };
    let cases: [(&[&str], &str); 15] = [
        (&["quary", "project", "--slide", "a"], "the subcommand 'query'"),
        (&["fitmodel"], "the subcommand 'fit-model'"),
        (&["--log", "loud", "info", slide], "error, warn, info, debug or trace"),
        (&["info", "--slide-mpp", "big", slide], "big"),
        (&["query", "project", "--slide", "a", "--at", "1000"], "such as 1200,800"),
        (&["query", "project", "--slide", "a", "--at", "1,1", "-k", "0"], "1..=1000000"),
        (&["query", "project", "--slide", "a", "--at", "1,1", "--exclude-um=-5"], "in µm, 0 or more"),
        (&["query", "project", "--slide", "a", "--at", "1,1", "--max-distance", "nan"], "0 or more"),
        (&["query", "project", "--slide", "a", "--at", "1,1", "--diverse", "5"], "from 0 to 1"),
        (&["query", "project", "--slide", "a", "--at", "1,1", "--scope", "other"], "'others'"),
        (&["query", "project", "--slide", "a", "--at", "1,1", "--sheet", "a.doc"], ".pdf, .png"),
        (&["embed", "project", slide, "--batch", "0"], "1..=1024"),
        (&["embed", slide], "the project's folder comes first"),
        (&render("9", "a.png"), "such as 1000x800"),
        (&render("9x9", "a.pmg"), ".png, .jpg"),
    ];
    for (arguments, words) in cases {
        refused(folder.path(), arguments, 2, &[words]);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn what_is_missing_is_named_with_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join("notes")).unwrap();
    std::fs::write(at.join("notes/read me.txt"), "no slide").unwrap();
    refused(at, &["embed", "project", "notes"], 1, &["notes", "no slides in this folder"]);
    refused(at, &["embed", "project"], 1, &["project: not a project"]);
    assert!(!at.join("project").exists(), "a project without slides is not made");
    refused(at, &["info", "notes"], 1, &["notes", "no slides in this folder"]);
    refused(at, &["encoders", "remove", "mine"], 1, &["you have added no encoder \"mine\""]);

    let slide = asset("slides/CMU-1-Small-Region.svs");
    let (code, out, err) = run(at, &["embed", "project", slide.to_str().unwrap(), "--device", "cpu"]);
    assert!(code == 0 && out.contains("tissue tile"), "{out}{err}");
    let query = |more: &[&'static str]| -> Vec<&'static str> {
        ["query", "project", "--slide", "CMU-1-Small-Region"]
            .into_iter()
            .chain(more.iter().copied())
            .collect()
    };
    refused(at, &query(&["--at", "-500,-500"]), 1, &["outside the slide"]);
    refused(at, &query(&["--at", "1000,1500", "--class", "Tumour"]), 1, &["\"Tumour\"", "no classes yet"]);
    let outline = r#"{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Polygon",
        "coordinates":[[[600,900],[1400,900],[1400,1900],[600,900]]]},
        "properties":{"classification":{"name":"Tumour"}}}]}"#;
    std::fs::write(at.join("outline.geojson"), outline).unwrap();
    let import = ["annotations", "import", "project", "--slide", "CMU-1-Small-Region", "outline.geojson"];
    assert_eq!(run(at, &import).0, 0);
    for option in ["--class", "--like-class"] {
        refused(
            at,
            &query(&["--at", "1000,1500", option, "tumour"]),
            1,
            &["\"tumour\"", "the classes Tumour"],
        );
    }
    let other = query(&["--at", "1000,1500", "--encoder", "tissue-whitened"]);
    refused(at, &other, 1, &["histokin embed project --encoder tissue-whitened"]);
    refused(at, &["import", "project", "nothing.h5"], 1, &["nothing.h5", "no such file"]);
    refused(
        at,
        &["heat-map", "project", "--slide", "CMU-1-Small-Region", "--at", "9,9", "--to", "maps"],
        1,
        &["not tissue"],
    );
    // The file of a project stands for its folder.
    assert_eq!(run(at, &["index", "project/project.toml"]).0, 0);
}

#[test]
fn a_folder_of_slides_stands_for_its_slides() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("ein Ordner für Präparate");
    std::fs::create_dir(&at).unwrap();
    for name in ["CMU-1-Small-Region.svs", "CMU-1-Small-Region-rotated-cut.tif"] {
        std::fs::copy(asset("slides").join(name), at.join(name)).unwrap();
    }
    std::fs::write(at.join("notes.txt"), "no slide").unwrap();
    let (code, out, err) = run(folder.path(), &["info", at.to_str().unwrap(), "--json"]);
    assert_eq!(code, 0, "{err}");
    let slides: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(slides.as_array().map(Vec::len), Some(2), "{out}");
}

#[test]
fn a_readout_is_fitted_to_the_weights_that_ship_from_any_folder() {
    let folder = tempfile::tempdir().unwrap();
    let slides = asset("slides");
    let arguments =
        ["fit-model", slides.to_str().unwrap(), "--name", "mine", "--width", "8", "--tiles-per-slide", "12"];
    let (code, out, err) = run(folder.path(), &arguments);
    assert_eq!(code, 0, "{err}");
    let model = Path::new("models").join("mine");
    assert!(out.contains("8 numbers") && out.contains(&format!("--encoder {}", model.display())), "{out}");
    assert!(folder.path().join(model).join("model.toml").is_file());
}

#[test]
fn the_example_of_the_guide_is_what_the_program_writes() {
    let folder = tempfile::tempdir().unwrap();
    let slides = asset("slides");
    let embed = ["embed", "target/demo/project", slides.to_str().unwrap(), "--mpp", "0.5", "--device", "cpu"];
    let (code, _, err) = run(folder.path(), &embed);
    assert_eq!(code, 0, "{err}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/command-line.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example: Vec<&str> = page.split("    $ histokin ").nth(1).unwrap().lines().collect();
    let arguments: Vec<&str> = example[0].split_whitespace().collect();
    let shown: Vec<&str> = example[1..].iter().take_while(|line| !line.is_empty()).copied().collect();
    let (code, out, err) = run(folder.path(), &arguments);
    assert_eq!(code, 0, "{err}");
    let written: Vec<&str> = out.lines().collect();
    let head = |line: &str| line.trim().split(", in ").next().unwrap().to_owned();
    assert_eq!(head(shown[0]), head(written[0]));
    assert_eq!(shown.len(), written.len(), "{out}");
    for (shown, written) in shown.iter().zip(&written).skip(1) {
        let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (mut shown, mut written) = (columns(shown), columns(written));
        let [shown_distance, distance]: [f64; 2] =
            [&mut shown, &mut written].map(|line| line.remove(1).parse().unwrap());
        assert!((shown_distance - distance).abs() < 0.002 && shown == written, "{out}");
    }
}
