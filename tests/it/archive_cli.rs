//! The archive on the command line, and what is never written down.

use std::path::Path;

use assert_cmd::Command;
use histokin::descriptors::{DescriptorHeader, DescriptorSet};
use histokin::encoder;
use histokin::project::Project;
use histokin::slide::SlideId;
use histokin::tiling::{TileGrid, TileIndex};
use serde_json::Value;

use crate::archive::rows;
use crate::support::postgres::{Database, OWNER, READER, Server, WRITER, password};

/// The program with a login's password in its environment.
fn histokin(user: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_histokin"));
    command.args(arguments).env("PGPASSWORD", password(user)).env("HISTOKIN_LOG", "trace");
    command
}

fn json(user: &str, arguments: &[&str]) -> Value {
    let output = histokin(user, arguments).assert().success().get_output().clone();
    assert_is_silent(&output.stderr);
    serde_json::from_slice(&output.stdout).expect("standard output is one JSON document")
}

fn refused(user: &str, arguments: &[&str]) -> String {
    let output = histokin(user, arguments).assert().failure().get_output().clone();
    assert_is_silent(&output.stderr);
    assert_is_silent(&output.stdout);
    String::from_utf8(output.stderr).unwrap()
}

/// No password stands in it.
fn assert_is_silent(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(!text.contains("s3cret"), "a password was written down: {text}");
}

fn assert_folder_is_silent(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => assert_folder_is_silent(&path),
            false => assert_is_silent(&std::fs::read(&path).unwrap()),
        }
    }
}

/// A project of slides that the program's own encoder might have described.
fn project(root: &Path, slides: &[&str]) {
    let mut project = Project::open_or_create(root).unwrap();
    let spec = encoder::spec(encoder::DEFAULT).unwrap();
    let recipe = project.recipe(&spec);
    for name in slides {
        let grid = TileGrid {
            tile_px: 224,
            tile_level0: 448,
            tile_level0_y: 448,
            effective_mpp: 1.0,
            columns: 20,
            rows: 10,
        };
        let id = SlideId(name.repeat(8));
        let header = DescriptorHeader::new(id.clone(), recipe.clone(), spec.width, &grid, 200);
        let few = rows(name.bytes().map(u64::from).sum(), 200);
        let wide: Vec<Vec<f32>> =
            few.iter().map(|row| row.iter().copied().cycle().take(spec.width).collect()).collect();
        let rows: Vec<(TileIndex, &[f32])> =
            (0..).map(TileIndex).zip(wide.iter().map(Vec::as_slice)).collect();
        project.descriptors().save(&DescriptorSet::from_rows(header, &rows, 0)).unwrap();
        project.list_slide(&id, &Path::new("/slides").join(format!("{name}_1.svs")));
    }
    project.save().unwrap();
}

fn url(database: &Database<'_>, user: &str) -> String {
    database.url(user).to_string()
}

#[test]
fn a_department_shares_its_slides() {
    let database = Server::shared().database();
    let (owner, writer, reader) = (url(&database, OWNER), url(&database, WRITER), url(&database, READER));
    let none = refused(OWNER, &["archive", "status", &owner]);
    assert!(none.contains("there is no archive in this database"), "{none}");
    let sql = histokin(OWNER, &["archive", "init", "--print"]).assert().success().get_output().stdout.clone();
    assert!(String::from_utf8(sql).unwrap().contains("CREATE ROLE histokin_reader NOLOGIN"));
    histokin(OWNER, &["archive", "init", &owner]).assert().success();
    database.sql(&format!("GRANT histokin_writer TO {WRITER}; GRANT histokin_reader TO {READER}"));

    let folder = tempfile::tempdir().unwrap();
    let (here, elsewhere) = (folder.path().join("here"), folder.path().join("elsewhere"));
    let (here_text, elsewhere_text) = (here.to_str().unwrap(), elsewhere.to_str().unwrap());
    project(&here, &["a", "b", "c"]);
    project(&elsewhere, &["a"]);
    let pushed = json(WRITER, &["archive", "push", here_text, &writer, "--json"]);
    assert_eq!((&pushed["pushed"], &pushed["tiles"]), (&3.into(), &600.into()));
    let again = json(WRITER, &["archive", "push", here_text, &writer, "--json"]);
    assert_eq!((&again["pushed"], &again["unchanged"]), (&0.into(), &3.into()));
    let denied = refused(READER, &["archive", "remove", &reader, "a_1.svs"]);
    assert!(denied.contains("lacks the permission"), "{denied}");

    let at = ["query", elsewhere_text, "--slide", "a_1", "--at", "500,500", "-k", "30", "--json"];
    let alone = json(READER, &at);
    assert_eq!((&alone["archive"], &alone["searched"]), (&Value::Null, &200.into()));
    let together = json(READER, &[at.as_slice(), &["--archive", &reader]].concat());
    let whole =
        json(READER, &["query", here_text, "--slide", "a_1", "--at", "500,500", "-k", "30", "--json"]);
    let ranking = |answer: &Value| -> Vec<(Value, Value, Value)> {
        let matches = answer["matches"].as_array().unwrap();
        matches
            .iter()
            .map(|found| (found["slide"].clone(), found["x"].clone(), found["distance"].clone()))
            .collect()
    };
    assert_eq!(ranking(&together), ranking(&whole), "one ranking");
    assert_eq!((&together["exact"], &together["archive"]["searched"]), (&true.into(), &400.into()));
    let far =
        together["matches"].as_array().unwrap().iter().find(|found| !found["archive"].is_null()).unwrap();
    assert_eq!(far["archive"]["reachable"], false);
    assert!(far["archive"]["location"].as_str().unwrap().starts_with("/slides/"));
    // A concept is searched for in the archive by its direction.
    json(
        READER,
        &["concepts", "teach", elsewhere_text, "--name", "Gland", "--same", "a_1:500,500", "--json"],
    );
    let file = elsewhere.join("concepts/gland.toml");
    json(READER, &["concepts", "import", here_text, file.to_str().unwrap(), "--json"]);
    let of = |project| ["query", project, "--concept", "gland", "-k", "30", "--json"];
    let together = json(READER, &[of(elsewhere_text).as_slice(), &["--archive", &reader]].concat());
    assert_eq!(ranking(&together), ranking(&json(READER, &of(here_text))), "one ranking");
    let missing = refused(
        READER,
        &["query", elsewhere_text, "--slide", "a_1", "--at", "500,500", "--scope", "archive"],
    );
    assert!(missing.contains("--archive postgresql://"), "{missing}");

    let pulled = json(READER, &["archive", "pull", elsewhere_text, &reader, "--all", "--json"]);
    assert_eq!((&pulled["pulled"], &pulled["had"]), (&2.into(), &1.into()));
    let index = json(READER, &["index", elsewhere_text, "--verify", "--json"]);
    assert_eq!((&index["slides"], &index["slides_missing"]), (&3.into(), &0.into()));
    let verified = json(READER, &["archive", "verify", &reader, "--json"]);
    assert_eq!(verified["encoders"][0]["faults"], Value::Array(Vec::new()));
    histokin(WRITER, &["archive", "remove", &writer, "b_1.svs"]).assert().success();
    let status = json(READER, &["archive", "status", &reader, "--json"]);
    assert_eq!((&status["slides"], &status["can_write"]), (&2.into(), &false.into()));
    assert_folder_is_silent(folder.path());
}

#[test]
fn addresses_with_passwords_are_refused_and_nobody_is_asked_without_a_terminal() {
    let secret = format!("postgresql://{WRITER}:{}@127.0.0.1/archive", password(WRITER));
    let words = refused(WRITER, &["archive", "status", &secret]);
    assert!(words.contains("contains a password"), "{words}");
    let database = Server::shared().database().with_archive();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pgpass");
    let with_file = |url: &str| {
        let mut command = histokin(READER, &["archive", "status", url, "--json"]);
        command.env_remove("PGPASSWORD").env("PGPASSFILE", &file);
        command
    };
    let reader = url(&database, READER);
    let words = with_file(&reader).assert().failure().get_output().stderr.clone();
    assert!(String::from_utf8(words).unwrap().contains("the server refused the login"));
    std::fs::write(&file, format!("127.0.0.1:*:*:{READER}:{}\n", password(READER))).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let words = with_file(&reader).assert().failure().get_output().stderr.clone();
    assert!(String::from_utf8(words).unwrap().contains("others may read it"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    with_file(&reader).assert().success();
}
