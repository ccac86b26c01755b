//! What is seen of validation slides while learning, and what is kept of tiles that were read.

use std::path::Path;

use histokin::encoder::DeviceChoice;
use histokin::training::config::{JudgedBy, TrainingConfig};
use histokin::training::run::Run;
use histokin::training::slides::TrainingSlide;
use histokin::training::{Control, Progress, Setup, labels, train};

use crate::training::{TestFolder, UM, config, prepare, run, setup, two_textures};

/// Two validation slides, their halves labelled: one in a table, one by an annotation of the project.
fn labelled(test_folder: &TestFolder, config: &TrainingConfig) -> Vec<TrainingSlide> {
    let project = test_folder.folder.path();
    let made = |name: &str, columns: u32| {
        let path = test_folder.slide(name, &two_textures(columns), Some(UM));
        prepare(&path, config)
    };
    let mut slides = vec![made("first.tif", 1536), made("second.tif", 1600)];
    std::fs::create_dir_all(project.join("labels")).unwrap();
    let table = "slide,x,y,width,height,label\nfirst,0,0,768,704,stripes\nfirst,768,0,768,704,dots\n";
    std::fs::write(project.join("labels/halves.csv"), table).unwrap();
    std::fs::create_dir_all(project.join("annotations")).unwrap();
    let feature = |class: &str, left: u32| {
        let right = left + 800;
        format!(
            r#"{{"type":"Feature","properties":{{"classification":{{"name":"{class}"}}}},"geometry":{{"type":"Polygon",
            "coordinates":[[[{left},0],[{right},0],[{right},704],[{left},704],[{left},0]]]}}}}"#
        )
    };
    let drawn = format!(
        r#"{{"type":"FeatureCollection","features":[{},{}]}}"#,
        feature("stripes", 0),
        feature("dots", 800)
    );
    let id = &slides[1].source.info().id;
    std::fs::write(project.join(format!("annotations/{id}.geojson")), drawn).unwrap();
    let found = labels::apply(project, "", &mut slides).unwrap();
    assert!(found > 800, "{found} of {} tiles", slides.iter().map(|slide| slide.tiles.len()).sum::<usize>());
    slides
}

#[test]
fn like_tissue_is_looked_for_on_labelled_slides_and_decides_when_it_is_enough() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let config = TrainingConfig {
        steps: 200,
        validate_every: 10,
        early_stopping: 2,
        judged_by: JudgedBy::Retrieval,
        ..config()
    };
    let validation = labelled(&test_folder, &config);
    let parts = Setup { validation, ..setup(&test_folder, &config, &[&path], &[]) };
    let mut notices = Vec::new();
    let outcome = train(parts, &Control::default(), &mut |progress| {
        if let Progress::Notice(text) = progress {
            notices.push(text);
        }
    });
    let outcome = outcome.unwrap();
    let looks = &outcome.history.validations;
    let found = looks.last().unwrap().retrieval.unwrap();
    assert!(found.classes == 2 && found.queries > 100, "{found:?}");
    assert!((found.chance_level - 0.5).abs() < 0.1 && found.p_at_5 > 0.9, "{found:?}");
    // Nothing is better than all right: two looks later it ends, with the encoder of the best look.
    assert!(outcome.steps < 200, "it went on to the end");
    assert!(notices.iter().any(|text| text.contains("2 validations without improvement")), "{notices:?}");
    let figures: Vec<f64> = looks[1..].iter().map(|look| look.retrieval.unwrap().p_at_5).collect();
    let best = figures.iter().copied().fold(0.0, f64::max);
    let first_best = 10 * (1 + figures.iter().position(|figure| *figure == best).unwrap() as u64);
    assert_eq!(outcome.encoder.unwrap().1, first_best);
    assert_eq!(outcome.steps, first_best + 20);

    let card = Run::find(test_folder.folder.path(), "run-001").unwrap();
    let exported = test_folder.folder.path().join("exported/mine.safetensors");
    card.export(&exported).unwrap();
    let text = std::fs::read_to_string(exported.with_extension("md")).unwrap();
    assert!(text.contains("P@5") && text.contains("judged_by = \"retrieval\""), "{text}");
}

#[test]
fn labels_do_not_change_what_addr_is_measured_on() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let config = TrainingConfig { steps: 2, validate_every: 2, judged_by: JudgedBy::Addr, ..config() };
    let with = labelled(&test_folder, &config);
    let mut without = labelled(&test_folder, &config);
    without.iter_mut().for_each(|slide| slide.classes.clear());
    let addr = |validation| {
        let outcome = run(Setup { validation, ..setup(&test_folder, &config, &[&path], &[]) }).unwrap();
        outcome.history.validations.iter().map(|look| look.addr_global.unwrap()).collect::<Vec<_>>()
    };
    // Other tiles stand beside them when they are encoded, which moves the last digits.
    let both: Vec<(f64, f64)> = addr(with).into_iter().zip(addr(without)).collect();
    assert!(both.len() == 2 && both.iter().all(|(a, b)| (a - b).abs() < 1e-5), "{both:?}");
}

#[test]
fn labels_that_were_asked_for_have_to_fit() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let mut slides = vec![prepare(&path, &config())];
    let table = test_folder.folder.path().join("other.csv");
    std::fs::write(&table, "slide,x,y,width,height,label\nanother,0,0,768,704,stripes\n").unwrap();
    let error = labels::apply(test_folder.folder.path(), table.to_str().unwrap(), &mut slides).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("other.csv") && text.contains("textures.tif"), "{text}");
    assert_eq!(labels::apply(test_folder.folder.path(), "", &mut slides).unwrap(), 0);
}

#[test]
fn tiles_kept_on_the_disk_change_nothing_and_are_gone_afterwards() {
    let test_folder = TestFolder::new();
    let path = test_folder.textures();
    let mut encoders = Vec::new();
    for megabytes in [0, 50] {
        let config = TrainingConfig { tile_cache_mb: megabytes, steps: 20, ..config() };
        let parts = setup(&test_folder, &config, &[&path], &[&path]);
        let (device, folder) = (parts.device, parts.run.folder().to_owned());
        assert_eq!(device, DeviceChoice::Cpu);
        let mut kept = 0;
        let outcome = train(parts, &Control::default(), &mut |progress| {
            if let Progress::Step { pace, .. } = progress {
                kept = pace.cached;
                assert!(pace.memory.is_none_or(|bytes| bytes > 1 << 20));
            }
        });
        assert_eq!(kept > 0, megabytes > 0);
        encoders.push(outcome.unwrap().encoder.unwrap());
        assert!(files(&folder).iter().all(|name| !name.starts_with(".tmp")), "{:?}", files(&folder));
    }
    assert_eq!(encoders[0], encoders[1]);
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}
