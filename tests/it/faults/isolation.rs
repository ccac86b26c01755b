//! Slides that are decoded in another process, which is made to crash, hang and run out of memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use histokin::geometry::LevelRect;
use histokin::slide::isolated::{self, Limits};
use histokin::slide::{self, SlideSource};
use image::{Rgb, RgbImage};

use crate::support::{asset, write_pyramid};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_histokin"))
}

fn regions(slide: &dyn SlideSource) -> Vec<LevelRect> {
    let info = slide.info();
    let last = info.levels.len() as u32 - 1;
    vec![
        LevelRect { level: 0, x: 500, y: 700, width: 512, height: 512 },
        LevelRect { level: 0, x: -20, y: -20, width: 100, height: 60 },
        LevelRect { level: last, x: 0, y: 0, width: 200, height: 300 },
    ]
}

/// Processes that decode this file, started by this one.
fn decoders_of(path: &Path) -> Vec<i32> {
    let mine = format!("PPid:\t{}\n", std::process::id());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let named =
            command.windows(path.as_os_str().len()).any(|part| part == path.as_os_str().as_encoded_bytes());
        if status.contains(&mine) && named {
            found.push(pid);
        }
    }
    found
}

fn words(outcome: Result<image::RgbaImage, slide::SlideError>) -> String {
    outcome.map(|_| "it was read").unwrap_err().to_string()
}

#[expect(unsafe_code, reason = "signals are sent by the C library")]
fn signal(pid: i32, signal: i32) {
    // SAFETY: a child of this process that it has not waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

fn slide_of_its_own() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    let picture =
        RgbImage::from_fn(1400, 1300, |x, y| Rgb([(x / 6) as u8, (y / 6) as u8, (x * y / 999) as u8]));
    write_pyramid(&path, &picture, 2, Some(0.5));
    (folder, path)
}

#[test]
fn the_same_pixels_come_out_and_all_else_that_is_known() {
    for name in ["slides/CMU-1-Small-Region.svs"] {
        let path = asset(name);
        let (here, apart) =
            (slide::open(&path, None).unwrap(), isolated::open(program(), &path, Limits::default()).unwrap());
        assert_eq!(format!("{:?}", here.info()), format!("{:?}", apart.info()));
        for region in regions(here.as_ref()) {
            assert!(here.read(&region).unwrap() == apart.read(&region).unwrap(), "{region:?}");
        }
        for associated in &here.info().associated {
            assert!(here.associated(associated).unwrap() == apart.associated(associated).unwrap());
        }
        assert_eq!(here.icc_profile().unwrap(), apart.icc_profile().unwrap());
        let words = |slide: &dyn SlideSource| slide.associated("nothing").unwrap_err().to_string();
        assert_eq!(words(here.as_ref()), words(apart.as_ref()));
        // Many at once, each by a process of its own.
        std::thread::scope(|scope| {
            for at in 0..4 {
                let (here, apart) = (&here, &apart);
                scope.spawn(move || {
                    let region = LevelRect { level: 0, x: at * 300, y: at * 200, width: 400, height: 300 };
                    assert!(here.read(&region).unwrap() == apart.read(&region).unwrap());
                });
            }
        });
    }
}

#[test]
fn what_is_no_slide_is_refused_in_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.svs");
    fs::write(&path, "not a slide").unwrap();
    let here = slide::open(&path, None).err().unwrap().to_string();
    let apart = isolated::open(program(), &path, Limits::default()).err().unwrap().to_string();
    assert_eq!(here, apart);
}

#[test]
fn a_decoder_that_crashes_costs_one_read_and_is_started_anew() {
    let (_folder, path) = slide_of_its_own();
    let slide = isolated::open(program(), &path, Limits::default()).unwrap();
    let region = regions(slide.as_ref())[0];
    let sound = slide.read(&region).unwrap();
    let [decoder] = decoders_of(&path)[..] else { panic!("one process decodes it") };
    signal(decoder, libc::SIGABRT);
    let error = words(slide.read(&region));
    assert!(
        error.contains("crashed") && error.contains("signal: 6") && error.contains("slide.tif"),
        "{error}"
    );
    assert!(slide.read(&region).unwrap() == sound);
    drop(slide);
    assert!(decoders_of(&path).is_empty());
}

#[test]
fn a_decoder_that_hangs_is_ended() {
    let (_folder, path) = slide_of_its_own();
    let limits = Limits { reading: Duration::from_secs(3), ..Limits::default() };
    let slide = isolated::open(program(), &path, limits).unwrap();
    let region = regions(slide.as_ref())[0];
    let sound = slide.read(&region).unwrap();
    let [decoder] = decoders_of(&path)[..] else { panic!("one process decodes it") };
    signal(decoder, libc::SIGSTOP);
    let error = words(slide.read(&region));
    assert!(error.contains("did not answer within 3 s"), "{error}");
    assert!(!decoders_of(&path).contains(&decoder));
    assert!(slide.read(&region).unwrap() == sound);
}

#[test]
fn a_decoder_gets_no_more_memory_than_it_may_have() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.png");
    // 224 MB as it is kept, and more while it is decoded.
    RgbImage::from_pixel(8000, 7000, Rgb([200, 150, 180])).save(&path).unwrap();
    let limits = Limits { reading: Duration::from_secs(300), ..Limits::default() };
    let little = Limits { memory: 160 << 20, ..limits };
    let slide = isolated::open(program(), &path, little).unwrap();
    let region = LevelRect { level: 0, x: 0, y: 0, width: 64, height: 64 };
    let error = words(slide.read(&region));
    assert!(error.contains("large.png"), "{error}");
    let slide = isolated::open(program(), &path, limits).unwrap();
    assert_eq!(slide.read(&region).unwrap().get_pixel(5, 5).0, [200, 150, 180, 255]);
}

/// As the program does it: a slide that was not read before is decoded apart, and trusted from then on.
#[test]
fn the_program_trusts_what_it_has_read_before() {
    let (folder, path) = slide_of_its_own();
    let out = folder.path().join("part.png");
    let ledger = folder.path().join("state/histokin/slides-read");
    let render = |isolate: &str| {
        let mut command = assert_cmd::Command::new(program());
        command.env("HOME", folder.path()).env("XDG_STATE_HOME", folder.path().join("state"));
        command.args(["tissue", path.to_str().unwrap(), "-o", out.to_str().unwrap(), isolate]);
        command.assert().success();
        fs::read_to_string(&ledger).unwrap_or_default()
    };
    let words = |ledger: &str| -> Vec<String> {
        ledger.lines().filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())).collect()
    };
    assert_eq!(words(&render("--isolate=never")), ["begun", "ended"]);
    assert_eq!(words(&render("--isolate=auto"))[2..], ["sound"]);
    assert_eq!(words(&render("--isolate=auto"))[3..], ["begun", "ended"]);
    assert_eq!(words(&render("--isolate"))[5..], ["sound"]);
}
