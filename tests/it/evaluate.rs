//! `histokin evaluate`: from slides and labels to figures and a report.

use std::path::PathBuf;

use assert_cmd::Command;
use histokin::project::{Project, ProjectSettings};
use histokin::slide;
use histokin::stain::StainSetting;
use histokin::tiling::TileSettings;
use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::support::{shared_data, write_pyramid};

/// µm per pixel of the made slides: 13 mm of tissue in 1600 pixels.
const MPP: f64 = 8.0;

/// A section: pink tissue, and violet tumour in its left third. `seed` changes the colours a little.
fn section(seed: u32) -> RgbImage {
    RgbImage::from_fn(1700, 1200, |x, y| {
        let noise = (x.wrapping_mul(73) ^ y.wrapping_mul(151) ^ seed.wrapping_mul(977)) % 23;
        let tone = |value: u32| (value + noise + seed % 5) as u8;
        match (x, y) {
            (50..570, 50..1150) => Rgb([tone(95), tone(45), tone(125)]),
            (570..1650, 50..1150) => Rgb([tone(205), tone(120), tone(165)]),
            _ => Rgb([250, 250, 250]),
        }
    })
}

pub struct Study {
    pub folder: tempfile::TempDir,
}

impl Study {
    /// A project of three slides with tiles of 100 pixels, and labels of their regions.
    pub fn new() -> Self {
        let study = Self { folder: tempfile::tempdir().unwrap() };
        let mut project = Project::open_or_create(&study.project()).unwrap();
        project.set_settings(ProjectSettings {
            encoder: None,
            tiles: TileSettings { tile_px: 100, mpp: MPP },
            stain: StainSetting::None,
            ..ProjectSettings::default()
        });
        for (seed, name) in (1..).zip(["alpha", "beta", "gamma"]) {
            let path = study.path(&format!("{name}.tif"));
            write_pyramid(&path, &section(seed), 2, Some(MPP));
            project.add_or_update(slide::open(&path, None).unwrap().info());
        }
        project.save().unwrap();
        study.write(
            "labels.csv",
            "slide,x,y,width,height,label,is_tumour,patient\n\
             alpha,50,50,520,1100,carcinoma,1,P1\nalpha.tif,600,50,1000,1100,stroma,0,P1\n\
             beta,50,50,520,1100,carcinoma,1,P2\nbeta,600,50,1000,1100,stroma,0,P2\n\
             gamma,600,50,1000,1100,stroma,0,P3\n",
        );
        study
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn project(&self) -> PathBuf {
        self.path("project")
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program, in the study's folder.
    pub fn histokin(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_histokin"));
        command.current_dir(self.folder.path()).args(arguments);
        command
    }

    fn evaluate(&self, arguments: &[&str]) -> Command {
        let mut command = self.histokin(&[]);
        command
            .args([
                "evaluate",
                "project",
                "--encoder",
                "hsv-histogram",
                "--draws",
                "200",
                "--stain-tiles",
                "6",
            ])
            .args(arguments);
        command
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.evaluate(arguments).arg("--json").assert().success().get_output().stdout.clone();
        serde_json::from_slice(&output).unwrap()
    }

    pub fn refused(&self, arguments: &[&str]) -> String {
        let with_report = [arguments, &["--report", "never"]].concat();
        let output = self.evaluate(&with_report).assert().failure().get_output().clone();
        assert!(!self.path("never").exists(), "no half-written report");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn figures_report_and_tables_come_from_one_command() {
    let study = Study::new();
    let found = study.json(&["--labels", "labels.csv", "--report", "out", "--pseudonymise"]);
    assert!(!is_at_chance_level(&found));
    let one = &found["encoders"][0];
    assert_eq!((&one["name"], &one["descriptor_len"]), (&"hsv-histogram".into(), &128.into()));
    assert!(one["addr"]["global"].as_f64().unwrap() > 1.0);
    let retrieval = &one["retrieval"];
    assert_eq!((&retrieval["class"], &retrieval["p_at_1"]), (&"tumour".into(), &1.0.into()));
    assert!(retrieval["chance_level"].as_f64().unwrap() < 0.6);
    assert!(retrieval["ci95"]["p_at_5"].is_array());
    assert_eq!(one["tissue_classes"]["per_class"]["carcinoma"]["p_at_5"], 1.0);
    assert_eq!(one["feedback"]["judgements"], serde_json::json!([0, 5, 10, 20]));
    assert!(one["feedback"]["queries"].as_u64().unwrap() > 0, "{}", one["feedback"]);
    let stain = &one["stain_robustness"];
    assert_eq!(stain["tiles"], 6);
    for share in [&stain["nearest_stays"]["value"], &stain["finds_itself"]["value"]] {
        assert!((0.0..=1.0).contains(&share.as_f64().unwrap()), "{stain}");
    }
    assert_eq!(found["data"]["patients"], 3);
    assert_eq!(found["data"]["slides"][0]["patient"], "patient 1");

    let maps = std::fs::read_dir(study.project().join("maps")).unwrap();
    assert_eq!(maps.count(), 1, "the map is kept for the next report");
    let page = std::fs::read_to_string(study.path("out/report.html")).unwrap();
    let machine = study.folder.path().to_str().unwrap();
    assert!(!page.contains(machine) && !page.contains("P1<"), "neither paths nor names of patients");
    assert!(page.contains("data:image/jpeg;base64,") && page.matches("<svg").count() >= 4);
    assert!(!page.contains("http://") && !page.contains("https://"), "nothing is fetched from elsewhere");
    let pdf = std::fs::read(study.path("out/report.pdf")).unwrap();
    assert!(pdf.starts_with(b"%PDF-1.") && pdf.ends_with(b"%%EOF"));
    let count = |what: &[u8]| pdf.windows(what.len()).filter(|part| *part == what).count();
    assert!(count(b"/DCTDecode") > 8 && count(b"/Type /Page\n") > 1, "pictures and pages");
    assert_eq!(count(machine.as_bytes()), 0);
    let kept: Value = serde_json::from_slice(&std::fs::read(study.path("out/report.json")).unwrap()).unwrap();
    assert_eq!(kept, found);
    for table in
        ["across_patients.csv", "feedback.csv", "encoders.csv", "paired.csv", "classes.csv", "queries.csv"]
    {
        assert!(
            std::fs::read_to_string(study.path("out").join(table)).unwrap().lines().count() >= 1,
            "{table}"
        );
    }
    let again = study.json(&["--labels", "labels.csv", "--pseudonymise"]);
    assert_eq!(again, found, "the same command gives the same figures");
}

#[test]
fn the_report_begins_with_the_same_class_in_other_patients() {
    let study = Study::new();
    let found = study.json(&["--labels", "labels.csv", "--report", "out"]);
    let id = found["encoders"][0]["encoder_id"].as_str().unwrap();
    let across = &found["across_patients"];
    assert_eq!(across["exclude"], "patient");
    let classes = across["classes"].as_array().unwrap();
    assert_eq!(classes.iter().map(|row| &row["class"]).collect::<Vec<_>>(), ["carcinoma", "stroma"]);
    for row in classes.iter().chain([&across["mean_of_classes"]]) {
        let chance = row["chance_level"].as_f64().unwrap();
        assert!(chance > 0.0 && chance < 1.0, "{row}");
        assert_eq!(row["encoders"][id]["p_at_5"], 1.0, "{row}");
        assert_eq!(row["encoders"][id]["ci95"], serde_json::json!([1.0, 1.0]), "{row}");
    }
    let page = std::fs::read_to_string(study.path("out/report.html")).unwrap();
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    let order =
        ["Same class, other patient", "Matches after judgements", "<details>", "ADDR and tumour tiles"];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{order:?}");
    let rows = |table: &str| std::fs::read_to_string(study.path("out").join(table)).unwrap();
    assert_eq!(rows("across_patients.csv").lines().count(), 1 + 3);
    assert_eq!(rows("feedback.csv").lines().count(), 1 + 4);

    let text = study.evaluate(&["--labels", "labels.csv"]).assert().success().get_output().stdout.clone();
    let text = String::from_utf8(text).unwrap();
    let heading = text.find("Same class, other patient: P@5").unwrap();
    assert!(heading < text.find("ADDR and tumour tiles").unwrap(), "{text}");
}

#[test]
fn an_encoder_is_named_by_the_id_that_the_command_line_prints() {
    let study = Study::new();
    let id = study.json(&[])["encoders"][0]["encoder_id"].as_str().unwrap().to_owned();
    let run = |id: &str| {
        let arguments =
            ["evaluate", "project", "--encoder", id, "--draws", "200", "--stain-tiles", "0", "--json"];
        study.histokin(&arguments).assert()
    };
    let found: Value = serde_json::from_slice(&run(&id).success().get_output().stdout).unwrap();
    assert_eq!(found["encoders"][0]["name"], "hsv-histogram");
    let refused = String::from_utf8(run("0123").failure().get_output().stderr.clone()).unwrap();
    assert!(refused.contains("there is no encoder \"0123\""), "{refused}");
}

#[test]
fn without_the_baseline_no_histograms_are_stored() {
    let study = Study::new();
    let recipes = || {
        let stored = Project::open(&study.project()).unwrap().descriptors().recipes();
        stored.into_iter().map(|recipe| recipe.encoder_name).collect::<Vec<_>>()
    };
    let evaluate = |more: &[&str]| {
        let all = ["evaluate", "project", "--draws", "100", "--stain-tiles", "0", "--json"];
        study.histokin(&[&all, more].concat()).assert().success();
    };
    evaluate(&["--no-baseline"]);
    assert_eq!(recipes().len(), 1, "{:?}", recipes());
    evaluate(&[]);
    assert_eq!(recipes().len(), 2, "{:?}", recipes());
}

#[test]
fn beside_addr_stands_a_control_that_knows_no_tissue() {
    let study = Study::new();
    let found = study.json(&["--labels", "labels.csv", "--report", "out"]);
    let control = &found["control"];
    assert_eq!(control["name"], "Control: left or right half of the slide");
    let addr = |of: &Value| of["addr"]["global"].as_f64().unwrap();
    assert!(addr(control) > 1.5, "{}", addr(control));
    // All tumour lies on the left, together with some of the stroma.
    let precision = control["precision"]["value"].as_f64().unwrap();
    let chance = found["encoders"][0]["retrieval"]["chance_level"].as_f64().unwrap();
    assert!(chance < precision && precision < 0.6, "{chance} and {precision}");
    for file in ["report.html", "encoders.csv"] {
        let text = std::fs::read_to_string(study.path("out").join(file)).unwrap();
        assert!(text.contains("Control: left or right half of the slide"), "{file}");
    }
}

#[test]
fn labels_without_tumour_are_measured_by_their_classes() {
    let study = Study::new();
    study.write(
        "tissues.csv",
        "slide,x,y,width,height,label\nalpha,50,50,520,1100,fat\nalpha,600,50,1000,1100,stroma\n\
         beta,50,50,520,1100,fat\nbeta,600,50,1000,1100,stroma\n",
    );
    let found = study.json(&["--labels", "tissues.csv"]);
    assert_eq!(found["across_patients"]["classes"].as_array().unwrap().len(), 2);
    assert_eq!(found["encoders"][0]["retrieval"], Value::Null);
    assert!(found["notes"].to_string().contains("No retrieval of tumour"), "{}", found["notes"]);
    let refused = study.refused(&["--labels", "tissues.csv", "--class", "tumour"]);
    assert!(refused.contains("no labelled tile of class"), "{refused}");
}

#[test]
fn labels_that_lie_beside_a_slide_are_told() {
    let study = Study::new();
    let both = "slide,x,y,width,height,label\nalpha,50,50,520,1100,fat\nalpha,600,50,1000,1100,stroma\n\
         beta,50,50,520,1100,fat\nbeta,600,50,1000,1100,stroma\n";
    std::fs::create_dir(study.path("drawn")).unwrap();
    study.write("drawn/labels.csv", &format!("{both}gamma,60000,50,520,1100,fat\n"));
    let square = "[[60000,0],[60900,0],[60900,900],[60000,0]]";
    study.write(
        "drawn/beta.geojson",
        &format!(
            r#"{{"type":"Feature","geometry":{{"type":"Polygon","coordinates":[{square}]}},
            "properties":{{"unit":"um","classification":{{"name":"fat"}}}}}}"#
        ),
    );
    let notes = study.json(&["--labels", "drawn"])["notes"].to_string();
    for part in [
        "Labels of 1 slide, such as gamma, cover none of its tiles",
        "beta.geojson: 1 of 1 annotation lie beyond the slide",
        "beta.geojson: It states the unit “um”",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}

/// Whether the report says that the class is not found better than at chance level.
fn is_at_chance_level(found: &Value) -> bool {
    let notes = found["notes"].as_array().unwrap();
    notes
        .iter()
        .any(|note| note.as_str().unwrap().contains("tumour is not found better than at chance level"))
}

#[test]
fn a_class_that_is_found_at_chance_level_is_named() {
    let study = Study::new();
    // What is called tumour on one slide looks like what is none on the other.
    study.write(
        "crossed.csv",
        "slide,x,y,width,height,label\n\
         alpha,50,50,520,1100,tumour\nalpha,600,50,1000,1100,stroma\n\
         beta,50,50,520,1100,stroma\nbeta,600,50,1000,1100,tumour\n",
    );
    assert!(is_at_chance_level(&study.json(&["--labels", "crossed.csv"])));
}

#[test]
fn slides_named_after_patients_get_numbers_in_pseudonymous_reports() {
    let study = Study::new();
    study.write("patients.csv", "slide,patient\nalpha,ALPHA\nbeta,bet\ngamma,P3\n");
    let arguments = ["--labels", "labels.csv", "--patient-list", "patients.csv", "--pseudonymise"];
    let found = study.json(&[&arguments[..], &["--report", "out"]].concat());
    let names: Vec<&str> = found["data"]["slides"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slide| slide["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["slide 1", "slide 2", "gamma"]);
    for file in ["report.html", "report.json", "queries.csv"] {
        let text = std::fs::read_to_string(study.path("out").join(file)).unwrap();
        assert!(!text.contains("alpha") && !text.contains("ALPHA") && !text.contains("beta"), "{file}");
    }
}

#[test]
fn patients_are_given_as_in_queries_and_by_the_former_name_of_the_option() {
    let study = Study::new();
    let [found, former] = ["--patient-pattern", "--patients"].map(|option| {
        study.json(&["--labels", "labels.csv", option, "^(al|be|ga)"])["data"]["slides"].clone()
    });
    let patients: Vec<&str> =
        found.as_array().unwrap().iter().map(|slide| slide["patient"].as_str().unwrap()).collect();
    assert_eq!(patients, ["al", "be", "ga"]);
    assert_eq!(former, found);
}

#[test]
fn a_project_that_another_program_writes_to_is_evaluated_unless_something_has_to_be_embedded() {
    let study = Study::new();
    let held = Project::open_to_write(&study.project()).unwrap();
    let words = study.refused(&["--labels", "labels.csv"]);
    assert!(words.contains("read-only") && words.contains("in use"), "{words}");
    drop(held);
    study.json(&["--labels", "labels.csv"]);
    let _held = Project::open_to_write(&study.project()).unwrap();
    study.json(&["--labels", "labels.csv"]);
}

#[test]
fn what_is_drawn_in_the_program_labels_the_tiles() {
    let study = Study::new();
    let area = |class: &str, left: u32, right: u32| {
        format!(
            "{{\"type\":\"Feature\",\"geometry\":{{\"type\":\"Polygon\",\"coordinates\":[[[{left},50],[{right},50],\
             [{right},1150],[{left},1150],[{left},50]]]}},\"properties\":{{\"classification\":{{\"name\":\"{class}\",\
             \"color\":[9,9,9]}}}}}}"
        )
    };
    let drawn = format!("[{},{}]", area("Tumour", 50, 570), area("Stroma", 600, 1600));
    study.write("drawn.geojson", &drawn);
    for slide in ["alpha", "beta"] {
        let import = ["annotations", "import", "project", "--slide", slide, "drawn.geojson"];
        study.histokin(&import).assert().success();
    }
    // A table beside them that spells a class otherwise adds to it.
    std::fs::create_dir(study.path("project/labels")).unwrap();
    study.write("project/labels/more.csv", "slide,x,y,width,height,label\ngamma,600,50,1000,1100,stroma\n");
    let found = study.json(&[]);
    assert_eq!(found["data"]["classes"], serde_json::json!(["Stroma", "Tumour"]));
    assert_eq!(found["encoders"][0]["retrieval"]["p_at_1"], 1.0);
    let listed = study.json(&["--labels", "labels.csv"]);
    let queries = |found: &Value| found["encoders"][0]["retrieval"]["queries"].clone();
    assert_eq!(queries(&found), queries(&listed), "the same areas from a table");
}

#[test]
fn descriptors_made_elsewhere_are_compared_on_the_same_tiles() {
    let study = Study::new();
    study.json(&["--labels", "labels.csv"]);
    // The same descriptors as files of their own, one of them without its last tile.
    let exported = study.path("elsewhere");
    Command::new(env!("CARGO_BIN_EXE_histokin"))
        .current_dir(study.folder.path())
        .args([
            "export",
            "project",
            "--encoder",
            "hsv-histogram",
            "--format",
            "safetensors",
            "--to",
            "elsewhere",
        ])
        .assert()
        .success();
    assert!(exported.join("alpha.safetensors").is_file());
    let both = study.json(&["--labels", "labels.csv", "--features", "elsewhere"]);
    assert_eq!(both["encoders"][0]["retrieval"], both["encoders"][1]["retrieval"]);
    let paired = both["paired"].as_array().unwrap();
    assert_eq!(paired.len(), 7);
    assert!(paired.iter().all(|pair| pair["difference"] == 0.0));

    Command::new(env!("CARGO_BIN_EXE_histokin"))
        .current_dir(study.folder.path())
        .args(["export", "project", "--encoder", "hsv-histogram", "--format", "trident", "--to", "hdf5"])
        .assert()
        .success();
    assert!(study.path("hdf5").join("alpha.h5").is_file());
    let again = study.json(&["--labels", "labels.csv", "--features", "hdf5"]);
    assert_eq!(again["encoders"][0]["retrieval"], again["encoders"][1]["retrieval"]);

    let strange = study.path("strange");
    std::fs::create_dir(&strange).unwrap();
    std::fs::copy(exported.join("alpha.safetensors"), strange.join("delta.safetensors")).unwrap();
    assert!(study.refused(&["--features", "strange"]).contains("delta"));
    std::fs::write(strange.join("delta.safetensors"), b"nothing").unwrap();
    assert!(study.refused(&["--features", "strange"]).contains("cannot be read as descriptors"));
    // Everything that does not fit is named at once, in all folders.
    std::fs::copy(exported.join("alpha.safetensors"), strange.join("epsilon.safetensors")).unwrap();
    std::fs::remove_file(exported.join("beta.safetensors")).unwrap();
    std::fs::write(exported.join("gamma.safetensors"), b"nothing").unwrap();
    let refusal = study.refused(&["--features", "strange", "--features", "elsewhere"]);
    for named in ["4 problems", "delta", "epsilon", "slides beta;", "gamma"] {
        assert!(refusal.contains(named), "{named}: {refusal}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_words() {
    let study = Study::new();
    let labels = |name: &str, rows: &str| {
        study.write(name, &format!("slide,x,y,width,height,label\n{rows}"));
        study.refused(&["--labels", name])
    };
    let both = "alpha,50,50,520,1100,tumour\nalpha,600,50,1000,1100,stroma\n";
    let unknown = labels("unknown.csv", &format!("{both}omega,0,0,99,99,tumour\n"));
    assert!(unknown.contains("omega") && unknown.contains("--some-slides"), "{unknown}");
    let one_class = labels("one.csv", "alpha,50,50,520,1100,tumour\nbeta,50,50,520,1100,tumour\n");
    assert!(one_class.contains("every match is correct"), "{one_class}");
    let none = labels("none.csv", "alpha,50,50,520,1100,stroma\nbeta,50,50,520,1100,fat\n");
    assert!(none.contains("no labelled tile of class \"tumour\"") && none.contains("fat"), "{none}");
    let one_slide = labels("slide.csv", both);
    assert!(one_slide.contains("one patient only"), "{one_slide}");
    let overlapping = labels("over.csv", "alpha,50,50,1500,1100,tumour\nalpha,50,50,1500,1100,stroma\n");
    assert!(overlapping.contains("lie in two classes"), "{overlapping}");
    let broken = labels("broken.csv", "alpha,50,fifty,520,1100,tumour\n");
    assert!(broken.contains("line 2") && broken.contains("fifty"), "{broken}");
    let far = study.refused(&["--far-mm", "50"]);
    assert!(far.contains("--far-mm"), "{far}");
    let limits = study.refused(&["--near-mm", "12"]);
    assert!(limits.contains("--near-mm"), "{limits}");
}

#[test]
fn feature_files_of_the_neighbours_are_understood() {
    use histokin::interchange::{TilePositions, read_features};
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/evaluation");
    for name in ["trident.h5", "trident_half.h5", "clam.h5"] {
        let found = read_features(&folder.join(name)).unwrap();
        assert_eq!((found.width, found.values.len()), (5, 60), "{name}");
        let expected = (0..60).map(|number| number as f32 / 4.0);
        assert!(found.values.iter().zip(expected).all(|(value, expected)| *value == expected), "{name}");
        let TilePositions::Corners(corners) = found.positions else { panic!("{name}") };
        assert_eq!((corners[5], corners.len()), ([512, 512], 12), "{name}");
        assert_eq!(found.stated.tile_level0(None, None), Ok((name != "clam.h5").then_some(512)));
        assert_eq!(found.stated.encoder.as_deref(), (name != "clam.h5").then_some("uni_v1"));
    }
}

/// The figures of the shared labelled descriptors come out of the command as they are published.
#[test]
fn descriptors_without_a_project_are_measured() {
    let Some(folder) = shared_data("descriptors") else { return };
    let expected: Value =
        serde_json::from_slice(&std::fs::read(folder.join("addr.expected.json")).unwrap()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_histokin"))
        .args(["evaluate", "--features", folder.to_str().unwrap(), "--json"])
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    let found: Value = serde_json::from_slice(&output).unwrap();
    let addr = &found["encoders"][0]["addr"];
    assert!((addr["global"].as_f64().unwrap() - expected["addr"].as_f64().unwrap()).abs() < 1e-4);
    assert_eq!(addr["skipped"], expected["skipped"]);
    assert_eq!(found["encoders"][0]["retrieval"], Value::Null);
}

/// Camelyon16 in small: the true names and places of files, slides made on the spot.
#[test]
fn camelyon16_is_evaluated_by_one_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join("CAMELYON16").join(name);
    for part in ["testing/images", "testing/lesion_annotations", "training/normal"] {
        std::fs::create_dir_all(path(part)).unwrap();
    }
    for (seed, name) in (1..).zip(["test_001", "test_002", "test_003"]) {
        write_pyramid(&path(&format!("testing/images/{name}.tif")), &section(seed), 2, Some(MPP));
    }
    write_pyramid(&path("training/normal/normal_001.tif"), &section(9), 2, Some(MPP));
    let outline = |group: &str, corners: [(i32, i32); 4]| {
        let corners: String = (0..)
            .zip(corners)
            .map(|(order, (x, y))| format!("<Coordinate Order=\"{order}\" X=\"{x}\" Y=\"{y}\" />"))
            .collect();
        format!(
            "<Annotation Name=\"Annotation\" Type=\"Polygon\" PartOfGroup=\"{group}\" Color=\"#F4FA58\">\
             <Coordinates>{corners}</Coordinates></Annotation>"
        )
    };
    let whole = [(50, 50), (570, 50), (570, 1150), (50, 1150)];
    let hole = [(200, 200), (400, 200), (400, 600), (200, 600)];
    for name in ["test_001", "test_002"] {
        let text = format!(
            "<?xml version=\"1.0\"?><ASAP_Annotations><Annotations>{}{}</Annotations><AnnotationGroups>\
             <Group Name=\"_0\" PartOfGroup=\"None\" Color=\"#00ff00\"><Attributes /></Group>\
             <Group Name=\"_2\" PartOfGroup=\"None\" Color=\"#ff0000\"><Attributes /></Group>\
             </AnnotationGroups></ASAP_Annotations>",
            outline("_0", whole),
            outline("_2", hole)
        );
        std::fs::write(path(&format!("testing/lesion_annotations/{name}.xml")), text).unwrap();
    }
    std::fs::write(
        path("testing/reference.csv"),
        "test_001,Tumor,IDC,Macro\ntest_002,Tumor,IDC,Micro\ntest_003,Normal,None,None\n",
    )
    .unwrap();
    // The project's tiles would be 224 pixels at 1 µm/px; these slides are coarser.
    let mut project = Project::open_or_create(&folder.path().join("kept")).unwrap();
    project.set_settings(ProjectSettings {
        encoder: None,
        tiles: TileSettings { tile_px: 100, mpp: MPP },
        stain: StainSetting::None,
        ..ProjectSettings::default()
    });
    project.save().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_histokin"))
        .current_dir(folder.path())
        .args([
            "evaluate",
            "CAMELYON16",
            "--into",
            "kept",
            "--encoder",
            "hsv-histogram",
            "--draws",
            "200",
            "--stain-tiles",
            "0",
            "--json",
        ])
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    let found: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(found["data"]["slides"].as_array().unwrap().len(), 3, "the test slides alone");
    assert_eq!(found["data"]["labels"]["conflicting"], 0);
    let retrieval = &found["encoders"][0]["retrieval"];
    // Up to 68 tiles of tumour on each of two slides, less the eight of the hole; those at the edge of the
    // section may be no tissue.
    let queries = retrieval["queries"].as_u64().unwrap();
    assert!((80..=120).contains(&queries), "{queries}");
    assert!(retrieval["p_at_1"].as_f64().unwrap() > 0.5);
}

#[test]
fn malformed_annotations_are_refused_with_their_line() {
    let study = Study::new();
    std::fs::create_dir(study.path("drawn")).unwrap();
    study.write("drawn/alpha.xml", "<ASAP_Annotations>\n<Annotations>\n<Annotation");
    let xml = study.refused(&["--labels", "drawn"]);
    assert!(xml.contains("alpha.xml") && xml.contains("line"), "{xml}");
    std::fs::remove_file(study.path("drawn/alpha.xml")).unwrap();
    study.write("drawn/alpha.geojson", "{\"type\":\"FeatureCollection\",\n\"features\":[{]}");
    let geojson = study.refused(&["--labels", "drawn"]);
    assert!(geojson.contains("alpha.geojson") && geojson.contains("line"), "{geojson}");
}
