//! A project's folder: its settings, its questions and judgements.

#![no_main]

use histokin::project::Project;
use histokin::query::QueryBook;
use histokin::training::TrainingConfig;

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    for name in ["project.toml", "queries.json", "judgements.csv", "training.toml"] {
        histokin_fuzz::as_file(name, file, |path| {
            let folder = path.parent().expect("it lies in a folder");
            if let Ok(project) = Project::open(folder) {
                for entry in project.slides() {
                    let inside = project.annotations().path(&entry.id);
                    assert_eq!(inside.parent(), Some(project.root().join("annotations").as_path()));
                }
            }
            let _ = QueryBook::load(folder);
            let _ = TrainingConfig::read(path);
        });
    }
});
