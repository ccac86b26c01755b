//! The command line as scripts use it: one JSON document on standard output, exit 0 only when all was done.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{asset, fixture, histokin, interruptible_program, json, over_white, text};

fn refused(arguments: &[&str]) -> String {
    let output = histokin(arguments).assert().failure().get_output().clone();
    assert!(output.stdout.is_empty(), "nothing on standard output");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn info_tells_what_is_known_of_a_slide() {
    let slide = asset("slides/CMU-1-Small-Region.svs");
    let info = json(&["info", text(&slide), "--json"]);
    assert_eq!((&info["width"], &info["height"]), (&2220.into(), &2967.into()));
    assert_eq!((&info["mpp_x"], &info["mpp_source"]), (&0.499.into(), &"slide".into()));
    assert_eq!(info["levels"][0]["downsample"], 1.0);
    let given = json(&["info", text(&slide), "--slide-mpp", "0.3", "--json"]);
    assert_eq!((&given["mpp_x"], &given["mpp_source"]), (&0.3.into(), &"user".into()));
    assert_eq!(given["slide_id"], info["slide_id"]);
}

#[test]
fn the_main_job_without_a_screen() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    let slides = asset("slides");
    let embedded =
        json(&["embed", text(&project), text(&slides), "--mpp", "0.5", "--device", "cpu", "--json"]);
    assert!(embedded["device"].as_str().unwrap().starts_with("CPU"), "{}", embedded["device"]);
    let of = |name: &str| {
        let all = embedded["slides"].as_array().unwrap();
        all.iter().find(|slide| slide["path"].as_str().unwrap().ends_with(name)).unwrap().clone()
    };
    let whole = of("CMU-1-Small-Region.svs");
    assert_eq!((&whole["tiles_grid"], &whole["tiles_failed"]), (&117.into(), &0.into()));
    assert!(project.join(whole["descriptors"].as_str().unwrap()).is_file());

    let ask = |scope: &str| {
        json(&[
            "query",
            text(&project),
            "--slide",
            "CMU-1-Small-Region",
            "--at",
            "1000,1500",
            "-k",
            "7",
            "--scope",
            scope,
            "--json",
        ])
    };
    let others = ask("others");
    assert_eq!(others["exact"], true);
    let matches = others["matches"].as_array().unwrap();
    assert_eq!(matches.len(), 7);
    let distances: Vec<f64> = matches.iter().map(|found| found["distance"].as_f64().unwrap()).collect();
    assert!(distances.is_sorted());
    assert!(matches.iter().all(|found| found["slide"] != whole["slide_id"]));
    assert!(
        ask("same")["matches"].as_array().unwrap().iter().all(|found| found["slide"] == whole["slide_id"])
    );

    // Questions of other kinds, and answers in other forms.
    let sheet = folder.path().join("sheet.png");
    let geojson = folder.path().join("geojson");
    let several = json(&[
        "query",
        text(&project),
        "--slide",
        "CMU-1-Small-Region",
        "--at",
        "1000,1500",
        "--rect",
        "900,1300,500,500",
        "--not-at",
        "700,2000",
        "-k",
        "9",
        "--exclude-um",
        "200",
        "--rank",
        "slides",
        "--apart-um",
        "300",
        "--sheet",
        text(&sheet),
        "--geojson",
        text(&geojson),
        "--json",
    ]);
    assert!(several["tiles"].as_array().unwrap().len() > 1);
    assert_eq!(several["slides"].as_array().unwrap().len(), 2);
    assert!(image::open(&sheet).is_ok());
    let written = std::fs::read_dir(&geojson).unwrap().count();
    let slides: std::collections::HashSet<_> =
        several["matches"].as_array().unwrap().iter().map(|found| found["slide"].to_string()).collect();
    assert_eq!(written, 2 * slides.len(), "for QuPath and for ASAP");
    let picture = folder.path().join("picture.png");
    let (slide, rect) = (asset("slides/CMU-1-Small-Region.svs"), whole_tile(&ask("same")["query"]));
    let arguments = ["render", text(&slide), "--rect", &rect, "--size", "224x224", "-o", text(&picture)];
    histokin(&arguments).assert().success();
    let positives =
        json(&["query", text(&project), "--image", text(&picture), "-k", "3", "--device", "cpu", "--json"]);
    assert_eq!(positives["matches"].as_array().unwrap().len(), 3);
    let verified = json(&["index", text(&project), "--verify", "--json"]);
    assert_eq!((&verified["differing_answers"], &verified["damaged_files"]), (&0.into(), &0.into()));

    // A second run finds everything done.
    let again = json(&["embed", text(&project), "--json"]);
    assert_eq!(again["slides"].as_array().unwrap().len(), 2);
    let glass = refused(&["query", text(&project), "--slide", "CMU-1-Small-Region", "--at", "20,20"]);
    assert!(glass.contains("no embedded tile"), "{glass}");
    let unknown = refused(&["query", text(&project), "--slide", "nothing", "--at", "1,1"]);
    assert!(unknown.contains("CMU-1-Small-Region.svs"), "the known ones are named: {unknown}");
}

/// `X,Y,W,H` of a place of an answer.
fn whole_tile(place: &Value) -> String {
    ["x", "y", "width", "height"].map(|key| place[key].to_string()).join(",")
}

#[test]
fn rendering_at_one_to_one_gives_the_slides_own_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let (slide, out) = (asset("slides/CMU-1-Small-Region.svs"), folder.path().join("region.png"));
    let arguments =
        ["render", text(&slide), "--rect", "700,900,300,200", "--size", "300x200", "-o", text(&out)];
    histokin(&arguments).assert().success();
    let source = histokin::slide::open(&slide, None).unwrap();
    let region = histokin::geometry::LevelRect { level: 0, x: 700, y: 900, width: 300, height: 200 };
    let expected = over_white(&source.read(&region).unwrap());
    assert_eq!(image::open(&out).unwrap().into_rgb8(), expected);
}

#[test]
fn one_stain_is_rendered_without_a_graphics_driver() {
    use histokin::stain::StainVectors;
    use histokin::stain::separation::{Separation, ShownAs};

    let folder = tempfile::tempdir().unwrap();
    let slide = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stain/ihc.png");
    let own = image::open(&slide).unwrap().into_rgb8();
    let out = folder.path().join("stain.png");
    let all = |more: &[&str]| -> Vec<String> {
        let fixed =
            ["render", text(&slide), "--rect", "0,0,64,64", "--size", "64x64", "--cpu", "-o", text(&out)];
        fixed.iter().chain(more).map(|part| (*part).to_owned()).collect()
    };
    let render = |more: &[&str]| {
        let arguments = all(more);
        histokin(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).assert().success();
        image::open(&out).unwrap().into_rgb8()
    };
    let shown = |vectors: &StainVectors, index: usize, shown_as: ShownAs| {
        let mut picture = own.clone();
        // Ink stays dark, but for dense DAB, which is as dark.
        let keeps_black = *vectors != StainVectors::HAEMATOXYLIN_DAB;
        Separation::new(vectors, index, keeps_black).show(&mut picture, shown_as);
        picture
    };
    let (he, h_dab) = (StainVectors::HAEMATOXYLIN_EOSIN, StainVectors::HAEMATOXYLIN_DAB);
    assert_eq!(render(&["--stain", "dab"]), shown(&h_dab, 1, ShownAs::Colour));
    assert_eq!(render(&["--stain", "dab", "--density"]), shown(&h_dab, 1, ShownAs::Density));
    assert_eq!(render(&["--stain", "eosin"]), shown(&he, 1, ShownAs::Colour));
    // Haematoxylin belongs to both; what the slide looks like decides, or the user.
    assert_eq!(render(&["--stain", "haematoxylin"]), shown(&h_dab, 0, ShownAs::Colour));
    assert_eq!(render(&["--stain", "haematoxylin", "--staining", "he"]), shown(&he, 0, ShownAs::Colour));
    let mine = StainVectors::of_two([0.7, 0.6, 0.3], [0.2, 0.5, 0.8]).unwrap();
    let staining = ["--stain", "second", "--staining", "0.7,0.6,0.3/0.2,0.5,0.8"];
    assert_eq!(render(&staining), shown(&mine, 1, ShownAs::Colour));

    for (wrong, reason) in [
        (["--stain", "dab", "--staining", "he"], "no DAB"),
        (["--stain", "dab", "--staining", "1,0,0/1,0,0"], "too similar"),
        (["--stain", "dab", "--staining", "blue"], "neither he nor h-dab"),
    ] {
        let arguments = all(&wrong);
        let message = refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(message.contains(reason), "{message}");
    }
}

#[cfg(feature = "gui")]
#[test]
fn rendering_turns_recolours_and_reduces_as_the_window_does() {
    use histokin::stain::StainVectors;
    use histokin::stain::separation::Separation;
    use image::imageops;

    let folder = tempfile::tempdir().unwrap();
    let (slide, out) = (asset("slides/CMU-1-Small-Region.svs"), folder.path().join("region.png"));
    let render = |rect: &str, size: &str, more: &[&str]| {
        let all =
            [&["render", text(&slide), "--rect", rect, "--size", size, "-o", text(&out)], more].concat();
        histokin(&all).assert().success();
        image::open(&out).unwrap().into_rgb8()
    };
    let source = histokin::slide::open(&slide, None).unwrap();
    let own = |x, y, width, height| {
        let region = histokin::geometry::LevelRect { level: 0, x, y, width, height };
        over_white(&source.read(&region).unwrap())
    };
    // Larger than a block, and beyond the slide's edge.
    assert_eq!(render("-100,40,1500,1100", "1500x1100", &[]), own(-100, 40, 1500, 1100));
    let turned = render("700,900,300,200", "300x200", &["--rotate", "90"]);
    assert_eq!(turned, imageops::rotate90(&own(750, 850, 200, 300)));

    let separation = Separation::new(&StainVectors::HAEMATOXYLIN_EOSIN, 0, true);
    let stained = render("700,900,300,200", "300x200", &["--view", "h"]);
    let pairs = stained.pixels().zip(own(700, 900, 300, 200).pixels().copied().collect::<Vec<_>>());
    for (shown, slide) in pairs {
        let expected = separation.apply(slide.0.map(|value| f32::from(value) / 255.0));
        let near = (0..3).all(|i| (f32::from(shown[i]) - expected[i] * 255.0).abs() <= 1.0);
        assert!(near, "{shown:?} of {slide:?}");
    }

    // Reduced and stretched: near what a better filter makes of it.
    let reduced = render("0,0,2220,2967", "333x297", &[]);
    let reference = render("0,0,2220,2967", "333x297", &["--cpu"]);
    let sum: u64 = reduced.iter().zip(reference.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    let mean = sum as f64 / reduced.as_raw().len() as f64;
    assert!(mean < 4.0, "{mean} grey levels apart");

    let refusal = refused(&[
        "render",
        text(&slide),
        "--rect",
        "0,0,9,9",
        "--size",
        "9x9",
        "--cpu",
        "--view",
        "e",
        "-o",
        "x.png",
    ]);
    assert!(refusal.contains("--cpu"), "{refusal}");
}

#[cfg(feature = "gui")]
#[test]
fn a_colour_profile_is_applied_when_asked_for_and_only_then() {
    use histokin::slide::colour_profile::ProfileTable;
    use image::ImageEncoder;

    let folder = tempfile::tempdir().unwrap();
    let (slide, out) = (folder.path().join("slide.png"), folder.path().join("out.png"));
    let pixels = image::RgbImage::from_fn(300, 200, |x, y| image::Rgb([x as u8, y as u8, (x + y) as u8]));
    let mut encoder = image::codecs::png::PngEncoder::new(std::fs::File::create(&slide).unwrap());
    encoder.set_icc_profile(moxcms::ColorProfile::new_display_p3().encode().unwrap()).unwrap();
    encoder.write_image(pixels.as_raw(), 300, 200, image::ExtendedColorType::Rgb8).unwrap();

    let render = |slide: &Path, more: &[&str]| {
        let plain = ["render", text(slide), "--rect", "0,0,300,200", "--size", "300x200", "-o", text(&out)];
        histokin(&[&plain, more].concat()).assert().success();
        image::open(&out).unwrap().into_rgb8()
    };
    assert_eq!(render(&slide, &[]), pixels, "the slide's own numbers");
    let seen = render(&slide, &["--icc"]);
    let table = ProfileTable::of(&*histokin::slide::open(&slide, None).unwrap()).unwrap().unwrap();
    for (seen, own) in seen.pixels().zip(pixels.pixels()) {
        let expected = table.apply(own.0);
        let near = (0..3).all(|i| (f32::from(seen[i]) - expected[i] * 255.0).abs() <= 1.0);
        assert!(near, "{seen:?} for {own:?}");
    }
    assert_ne!(seen, pixels);
    let without = asset("slides/CMU-1-Small-Region.svs");
    let arguments =
        ["render", text(&without), "--rect", "0,0,9,9", "--size", "9x9", "--icc", "-o", text(&out)];
    assert!(refused(&arguments).contains("no colour profile"));
}

#[test]
fn the_tissue_mask_is_a_picture_and_its_share() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("mask.png");
    let told = json(&["tissue", text(&asset("slides/CMU-1-Small-Region.svs")), "-o", text(&out), "--json"]);
    let mask = image::open(&out).unwrap().into_luma8();
    let share = mask.pixels().filter(|pixel| pixel.0[0] > 127).count() as f64 / mask.len() as f64;
    assert!((share - told["tissue_fraction"].as_f64().unwrap()).abs() < 0.01);
    assert!((0.2..0.7).contains(&share), "{share}");
}

#[test]
fn what_cannot_be_done_is_said_with_the_file_and_a_way_out() {
    let missing = refused(&["info", "no/such/slide.svs", "--json"]);
    assert!(missing.contains("no/such/slide.svs"), "{missing}");
    let folder = tempfile::tempdir().unwrap();
    let nowhere = refused(&["query", text(folder.path()), "--slide", "a", "--at", "1,1"]);
    assert!(nowhere.contains("histokin embed"), "{nowhere}");
    std::fs::write(folder.path().join("project.toml"), "format = 99\n").unwrap();
    let newer = refused(&["embed", text(folder.path()), text(&asset("slides"))]);
    assert!(newer.contains("newer version") && newer.contains("read-only"), "{newer}");
}

#[cfg(unix)]
#[test]
fn no_project_is_made_where_nothing_can_be_embedded() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("new");
    let (nowhere, no_slide) = (folder.path().join("nosuch.svs"), folder.path().join("text.svs"));
    std::fs::write(&no_slide, "no slide").unwrap();
    let words = refused(&["embed", text(&project), text(&nowhere), text(&no_slide), "--device", "cpu"]);
    for part in ["nosuch.svs", "text.svs", "was not created"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let slide = asset("slides/CMU-1-Small-Region.svs");
    for wrong in [["--encoder", "no-such-encoder"], ["--mpp", "-3"]] {
        refused(&[&["embed", text(&project), text(&slide)][..], &wrong].concat());
    }
    assert!(!project.exists());
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    let wrong = [
        "-k=0",
        "--exclude-um=-1",
        "--apart-um=nan",
        "--max-distance=-0.5",
        "--max-distance=nan",
        "--diverse=2",
    ];
    for option in wrong {
        let text = refused(&["query", "project", option]);
        assert!(text.contains("invalid value"), "{option}: {text}");
    }
}

#[test]
fn embedding_that_is_asked_to_end_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (project, slide) = (folder.path().join("project"), asset("slides/CMU-1-Small-Region.svs"));
    let encoder = folder.path().join("tiny.pt");
    std::fs::copy(fixture("tiny.pt"), &encoder).unwrap();
    histokin::encoder::trust::allow_for_now(&encoder).unwrap();
    // Many tiles, one by one.
    std::fs::write(folder.path().join("tiny.pt.toml"), "tile_px = 64\nmpp = 0.5\n").unwrap();
    let embed = || {
        let mut process = interruptible_program();
        process.args(["embed", text(&project), text(&slide), "--encoder", text(&encoder), "--batch", "1"]);
        process.args(["--device", "cpu", "--trust-torchscript"]).env("HOME", folder.path());
        process.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for signal in ["-TERM", "-INT"] {
        let process = embed();
        let journal = || {
            let entries = std::fs::read_dir(project.join("descriptors")).into_iter().flatten().flatten();
            let mut journals =
                entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "partial"));
            journals.next().map_or(0, |journal| journal.metadata().map_or(0, |data| data.len()))
        };
        let (timeout, before) = (Instant::now(), journal());
        while journal() <= before {
            assert!(timeout.elapsed() < Duration::from_secs(120), "no tile was embedded");
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = process.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let ended = process.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(
            said.contains("CMU-1-Small-Region.svs") && said.contains("run the same command to continue"),
            "{said}"
        );
        assert!(journal() > before, "what is done is kept");
        assert_eq!(std::fs::read(project.join("project.lock")).unwrap(), b"", "the project is given back");
    }
}

#[test]
fn options_may_stand_before_the_subcommand_but_not_those_of_the_window() {
    let slide = asset("slides/CMU-1-Small-Region.svs");
    // The level `info` is also the name of a subcommand.
    let info = json(&["--isolate=never", "--log", "info", "info", text(&slide), "--json"]);
    assert_eq!(info["width"], 2220);
    for window in [["--project", "somewhere"], ["--cache-mb", "100"], ["--device", "cpu"]] {
        let said = refused(&[&window[..], &["info", text(&slide)]].concat());
        assert!(said.contains(window[0]) && said.contains("before 'info'"), "{said}");
    }
    assert!(refused(&["elsewhere.svs", "info", text(&slide)]).contains("before 'info'"));
}

/// A biopsy of 140 × 120 µm on a slide of 2 µm/px.
fn biopsy(path: &Path) {
    let picture = image::RgbImage::from_fn(600, 500, |x, y| {
        let (across, down) = ((f64::from(x) - 300.0) / 35.0, (f64::from(y) - 250.0) / 30.0);
        match across * across + down * down < 1.0 {
            true if x % 9 == 0 || y % 7 == 0 => image::Rgb([140, 95, 165]),
            true => image::Rgb([215, 145, 190]),
            false => image::Rgb([243, 242, 244]),
        }
    });
    crate::support::write_pyramid(path, &picture, 1, Some(2.0));
}

#[test]
fn tissue_settings_are_kept_in_the_project_and_a_slide_without_tiles_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (project, slide) = (folder.path().join("project"), folder.path().join("biopsy.tif"));
    biopsy(&slide);
    let embed = |options: &[&str]| {
        let usual = ["embed", text(&project), text(&slide), "--device", "cpu", "--json"];
        let tiles = ["--tile-px", "112", "--mpp", "2"];
        let arguments = [&usual[..], &tiles[..], options].concat();
        let output = histokin(&arguments).assert().success().get_output().clone();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        (told["slides"][0].clone(), String::from_utf8(output.stderr).unwrap())
    };
    let (usual, warned) = embed(&[]);
    assert!(usual["tiles_tissue"].as_u64().unwrap() >= 1 && usual["no_tiles"].is_null(), "{usual}");
    assert!(!warned.contains("warning"), "{warned}");

    let (none, warned) = embed(&["--tile-share", "95%"]);
    assert_eq!((&none["tiles_tissue"], &none["tiles_failed"]), (&0.into(), &0.into()));
    assert!(warned.contains("biopsy.tif: warning: no tiles to embed: 0.01"), "{warned}");
    assert!(warned.contains("mm² of tissue found") && warned.contains("--tile-share"), "{warned}");
    // Kept in the project: the next run is told the same.
    assert_eq!(embed(&[]).0["tiles_tissue"], 0);
    let (small, warned) = embed(&["--tile-share", "auto", "--smallest-piece", "0.02mm2"]);
    assert_eq!(small["tiles_tissue"], 0);
    assert!(warned.contains("--smallest-piece"), "{warned}");
    let (second_encoder, warned) = embed(&["--smallest-piece", "default", "--within", "Tumour"]);
    assert_eq!(second_encoder["tiles_tissue"], 0);
    assert!(warned.contains("\"Tumour\"") && warned.contains("--within everywhere"), "{warned}");
    let (again, _) = embed(&["--within", "everywhere"]);
    assert_eq!(
        (&again["tiles_tissue"], &again["tiles_kept"]),
        (&usual["tiles_tissue"], &usual["tiles_tissue"])
    );
    let kept = std::fs::read_to_string(project.join("project.toml")).unwrap();
    assert!(!kept.contains("smallest_piece"), "the usual settings leave no trace: {kept}");

    let mask = folder.path().join("mask.png");
    let tissue = ["tissue", text(&slide), "-o", text(&mask), "--project", text(&project), "--json"];
    let told = json(&[&tissue[..], &["--tissue", "off"]].concat());
    assert_eq!(told["settings"]["detection"], "off");
    assert!(std::fs::read_to_string(project.join("project.toml")).unwrap().contains("off"));
    assert_eq!(json(&tissue)["settings"]["detection"], "off", "kept for the next time");
    let wrong = refused(&["embed", text(&project), text(&slide), "--smallest-piece", "8000"]);
    assert!(wrong.contains("unit"), "{wrong}");
}
