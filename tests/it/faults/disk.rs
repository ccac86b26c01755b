//! Disks that are full or take no files: the old files stay, the message says what to do, and the work is kept.

use std::fs;
use std::path::Path;
use std::process::{Command as Process, Output};

use histokin::annotation::{Bounds, Shape, read_file};
use histokin::geometry::Level0Point;
use histokin::project::Project;
use histokin::session::{AnnotationCommand, Remedy};
use serde_json::json;

use crate::support::running::Running;
use crate::support::{asset, fixture};

/// Run a script in which `$P` is a disk of its own, of one MiB, `$BIN` the program, `$T` a folder on the usual disk.
/// `None`, with words, where the system lets nobody mount one.
fn on_a_small_disk(folder: &Path, script: &str) -> Option<Output> {
    let disk = folder.join("disk");
    fs::create_dir_all(&disk).unwrap();
    let inside = |script: &str| {
        let script = format!("set -e; mount -t tmpfs -o size=1m none \"$P\"; {script}");
        let mut command = Process::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        command
            .env("P", &disk)
            .env("T", folder)
            .env("HOME", folder)
            .env("BIN", env!("CARGO_BIN_EXE_histokin"));
        command.env("SLIDE", asset("slides/CMU-1-Small-Region.svs")).output()
    };
    if !inside("true").is_ok_and(|output| output.status.success()) {
        crate::support::skipped::skip(format_args!("this system lets nobody mount a disk of their own"));
        return None;
    }
    Some(inside(script).unwrap())
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Annotations of `count` rectangles, named `version`.
fn marks(count: usize, version: &str) -> String {
    let features: Vec<_> = (0..count)
        .map(|x| {
            json!({
                "type": "Feature",
                "id": format!("00000000-0000-4000-8000-{x:012}"),
                "geometry": { "type": "Polygon",
                    "coordinates": [[[x, 0], [x + 9, 0], [x + 9, 9], [x, 9], [x, 0]]] },
                "properties": { "objectType": "annotation", "name": version },
            })
        })
        .collect();
    json!({ "type": "FeatureCollection", "features": features }).to_string()
}

#[test]
fn on_a_full_disk_old_files_stay_and_work_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::copy(fixture("tiny.pt"), at("tiny.pt")).unwrap();
    fs::write(at("tiny.pt.toml"), "tile_px = 64\nmpp = 0.5\n").unwrap();
    fs::write(at("few.geojson"), marks(20, "few")).unwrap();
    fs::write(at("many.geojson"), marks(900, "many")).unwrap();
    // What is to fail says so in a file; all else ends the script.
    let script = r#"
        fails() { name="$1"; shift; if "$@" >"$T/$name.out" 2>"$T/$name"; then echo "$name did not fail"; exit 9; fi; }
        embed() { "$BIN" embed "$P/project" "$SLIDE" --encoder "$T/tiny.pt" --trust-torchscript --device cpu; }
        marks() { "$BIN" annotations "$@"; }
        fill() { dd if=/dev/zero of="$P/filler" bs=4k >/dev/null 2>&1 || true; }
        mkdir "$P/project"
        cp "$T/tiny.pt" "$P/" ; rm "$P/tiny.pt"
        # Room for the project, not for its descriptors.
        "$BIN" annotations list "$P/project" --slide x >/dev/null 2>&1 || true
        fill; fails no-room embed
        rm "$P/filler"; embed
        cp "$P/project/project.toml" "$T/project-before.toml"
        marks import "$P/project" --slide CMU-1-Small-Region "$T/few.geojson"
        marks export "$P/project" --slide CMU-1-Small-Region -o "$P/out.geojson"
        cp "$P/out.geojson" "$T/out-before.geojson"
        mkdir "$T/before"; cp "$P"/project/annotations/*.geojson "$T/before/"
        fill
        fails import marks import "$P/project" --slide CMU-1-Small-Region "$T/many.geojson"
        mkdir "$T/after"; cp "$P"/project/annotations/*.geojson "$T/after/"
        fails export marks export "$P/project" --slide CMU-1-Small-Region -o "$P/more.geojson"
        fails picture "$BIN" render "$SLIDE" --rect 0,0,900,900 --size 900x900 -o "$P/picture.png"
        cp "$P/out.geojson" "$T/out-after.geojson"
        ls -A "$P" "$P/project" "$P/project/annotations" > "$T/left"
        marks export "$P/project" --slide CMU-1-Small-Region -o "$T/elsewhere.geojson"
        rm "$P/filler" "$P/out.geojson"
        marks import "$P/project" --slide CMU-1-Small-Region "$T/many.geojson"
        mkdir "$T/room"; cp "$P"/project/annotations/*.geojson "$T/room/"
        # Descriptors: the disk fills while they are gathered, and they go on from where they were.
        rm "$P"/project/descriptors/*
        dd if=/dev/zero of="$P/filler" bs=1k count=$(( $(df -k --output=avail "$P" | tail -1) - 24 )) >/dev/null 2>&1
        fails embedding embed
        ls -l "$P/project/descriptors" > "$T/journal"
        rm "$P/filler"; embed
        cp "$P"/project/descriptors/*.safetensors "$T/"
        # And a disk that is read-only from now on.
        cp "$P/project/project.toml" "$T/project-room.toml"
        mount -o remount,ro "$P"
        fails ro-embed embed
        fails ro-import marks import "$P/project" --slide CMU-1-Small-Region "$T/few.geojson"
        fails ro-export marks export "$P/project" --slide CMU-1-Small-Region -o "$P/out.geojson"
        marks list "$P/project" --slide CMU-1-Small-Region > "$T/ro-list"
        "$BIN" query "$P/project" --slide CMU-1-Small-Region --at 1000,1500 -k 3 > "$T/ro-query"
    "#;
    let Some(output) = on_a_small_disk(folder.path(), script) else { return };
    let heard =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{heard}");
    for name in ["no-room", "import", "export", "picture", "embedding"] {
        let words = read(&at(name));
        assert!(
            words.contains("the disk is full: free some space, or save to another location"),
            "{name}: {words}"
        );
    }
    assert_eq!(read(&at("out-after.geojson")), read(&at("out-before.geojson")));
    let set_in = |name: &str| {
        let entry = fs::read_dir(at(name)).unwrap().next().unwrap().unwrap();
        read_file(&entry.path()).unwrap().set
    };
    assert_eq!(set_in("before"), set_in("after"));
    assert_eq!((set_in("before").len(), set_in("room").len()), (20, 900));
    assert_eq!(read_file(&at("elsewhere.geojson")).unwrap().set.len(), 20);
    let left = read(&at("left"));
    assert!(
        !left.contains(".writing-") && !left.contains("more.geojson") && !left.contains("picture"),
        "{left}"
    );
    assert!(read(&at("journal")).contains(".partial"), "{}", read(&at("journal")));

    assert!(read(&at("ro-embed")).contains("read-only"), "{}", read(&at("ro-embed")));
    assert!(read(&at("ro-import")).contains("read-only"), "{}", read(&at("ro-import")));
    assert!(
        read(&at("ro-export")).contains("is read-only: save to another location"),
        "{}",
        read(&at("ro-export"))
    );
    assert_eq!(read(&at("ro-list")).lines().count(), 900);
    assert!(read(&at("ro-query")).contains("nearest of"));
}

#[test]
fn annotations_that_cannot_be_saved_stay_are_told_and_are_saved_when_they_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    let mut running = Running::on(Project::open_or_create(&root).unwrap().claim().unwrap());
    let slide = running.slide();
    let square = |x: f64| {
        Shape::Rectangle(Bounds::between(Level0Point::new(x, 5.0), Level0Point::new(x + 90.0, 80.0)))
    };
    let annotations = root.join("annotations");
    let kept = annotations.join(format!("{slide}.geojson"));
    running.draw(square(5.0), None);
    running.until("it is saved", |_| kept.exists());
    // Nothing can be written there any more.
    fs::remove_dir_all(&annotations).unwrap();
    fs::write(&annotations, "in the way").unwrap();
    running.draw(square(500.0), None);
    running.until("it is told", |session| session.unsaved_annotations().next() == Some(&slide));
    let remedy = Some(Remedy::SaveAnnotations(slide.clone()));
    let message = running.session.messages().iter().find(|message| message.remedy == remedy).unwrap();
    assert!(message.text.contains("CMU-1") && message.text.contains("not saved"), "{}", message.text);
    let reason = running.session.annotations(&slide).unwrap().unsaved().unwrap().to_owned();
    assert!(message.text.contains(&reason));

    // They can be saved elsewhere.
    let path = folder.path().join("elsewhere.geojson");
    running.handle(AnnotationCommand::Export { slide: slide.clone(), path: path.clone() });
    running.until("they are elsewhere", |_| path.exists());
    assert_eq!(read_file(&path).unwrap().set.len(), 2);
    assert!(running.session.unsaved_annotations().next().is_some(), "the project still lacks them");

    // When the disk takes files again, they are saved by themselves, and at once when that is asked for.
    fs::remove_file(&annotations).unwrap();
    running.handle(AnnotationCommand::SaveAgain(slide.clone()));
    running.until("they are saved", |session| session.unsaved_annotations().next().is_none());
    assert!(
        !running.session.messages().iter().any(|message| message.remedy == remedy),
        "the error is taken back"
    );
    assert_eq!(read_file(&kept).unwrap().set, **running.session.annotations(&slide).unwrap().set());
}
