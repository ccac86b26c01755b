//! Kills while annotations are imported and exported, descriptors exported and pictures written.

use std::fs;
use std::path::PathBuf;
use std::process::Child;

use histokin::annotation::{AnnotationSet, read_file};
use histokin::project::Project;
use serde_json::json;

use super::{Work, files, histokin, text, torture};
use crate::support::asset;

const SLIDE: &str = "CMU-1-Small-Region";

/// Annotations in each of the two files.
const COUNT: usize = 3000;

/// Two files with the same annotations in two versions take each other's place.
struct Importing {
    folder: tempfile::TempDir,
    turn: usize,
}

impl Importing {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut project = Project::open_or_create(&folder.path().join("project")).unwrap();
        project.add_or_update(
            histokin::slide::open(&asset(&format!("slides/{SLIDE}.svs")), None).unwrap().info(),
        );
        project.save().unwrap();
        for version in ["even", "odd"] {
            let features: Vec<_> = (0..COUNT)
                .map(|number| {
                    let (x, y) = (number % 60 * 30, number / 60 * 30);
                    json!({
                        "type": "Feature",
                        "id": format!("00000000-0000-4000-8000-{number:012}"),
                        "geometry": { "type": "Polygon", "coordinates": [[
                            [x, y], [x + 20, y], [x + 20, y + 20], [x, y + 20], [x, y]
                        ]] },
                        "properties": { "objectType": "annotation", "name": version },
                    })
                })
                .collect();
            let document = json!({ "type": "FeatureCollection", "features": features });
            fs::write(folder.path().join(format!("{version}.geojson")), document.to_string()).unwrap();
        }
        Self { folder, turn: 0 }
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }
}

impl Work for Importing {
    fn name(&self) -> &'static str {
        "importing annotations"
    }

    fn start(&mut self) -> Child {
        self.turn += 1;
        let version = if self.turn.is_multiple_of(2) { "even" } else { "odd" };
        let (project, file) = (self.project(), self.folder.path().join(format!("{version}.geojson")));
        let arguments = ["annotations", "import", text(&project), "--slide", SLIDE, text(&file)];
        histokin(self.folder.path(), &arguments).arg("--isolate=never").spawn().unwrap()
    }

    fn check(&mut self, _ended: bool) {
        files::check(&self.project());
        let project = Project::open(&self.project()).unwrap();
        let loaded = project.annotations().load(&project.slides()[0].id).unwrap();
        assert_eq!(loaded.trouble, None);
        check_version(&loaded.set);
    }
}

/// All of one version, none of the other.
fn check_version(set: &AnnotationSet) {
    assert_eq!(set.len(), COUNT);
    let first = set.iter().next().unwrap().name.clone();
    assert!(set.iter().all(|one| one.name == first), "two versions are mixed");
}

/// What is written for other programs.
struct Exporting {
    folder: tempfile::TempDir,
    turn: usize,
}

impl Exporting {
    fn new() -> Self {
        let mut importing = Importing::new();
        assert!(importing.start().wait().unwrap().success());
        Self { folder: importing.folder, turn: 0 }
    }
}

impl Work for Exporting {
    fn name(&self) -> &'static str {
        "exporting"
    }

    fn start(&mut self) -> Child {
        self.turn += 1;
        let (project, out) = (self.folder.path().join("project"), self.folder.path().join("out"));
        fs::create_dir_all(&out).unwrap();
        let slide = asset(&format!("slides/{SLIDE}.svs"));
        let (marks, mask) = (out.join("marks.geojson"), out.join("mask.png"));
        let export = ["annotations", "export", text(&project), "--slide", SLIDE, "-o", text(&marks)];
        let tissue = ["tissue", text(&slide), "-o", text(&mask)];
        let arguments: &[&str] = if self.turn.is_multiple_of(2) { &export } else { &tissue };
        histokin(self.folder.path(), arguments).arg("--isolate=never").spawn().unwrap()
    }

    fn check(&mut self, _ended: bool) {
        let out = self.folder.path().join("out");
        files::check(&out);
        if out.join("marks.geojson").exists() {
            check_version(&read_file(&out.join("marks.geojson")).unwrap().set);
        }
    }
}

#[test]
fn importing_survives_kills() {
    torture(&mut Importing::new(), 0.15);
}

#[test]
fn exporting_survives_kills() {
    torture(&mut Exporting::new(), 0.15);
}
