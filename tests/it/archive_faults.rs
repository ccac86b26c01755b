//! What goes wrong with an archive: clear words, nothing half there, and the next push goes on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use histokin::archive::credentials::{Credentials, Password};
use histokin::archive::push::{PushProgress, PushSettings, push};
use histokin::archive::search::{SearchSettings, ask};
use histokin::archive::verify::{VerifySettings, verify};
use histokin::archive::{Archive, ArchiveError, schema};
use histokin::descriptors::Row;
use histokin::index::Snapshot;
use histokin::query::{Example, Query, QuerySettings};

use crate::archive::{project, push_all, settings};
use crate::made;
use crate::support::postgres::{Database, OWNER, READER, Server, WRITER, credentials, password};
use crate::support::proxy::{Certificate, Line, encrypting};

/// What the archive holds, in slides and tiles.
fn held(database: &Database<'_>) -> (String, String) {
    let slides =
        database.sql("SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM histokin.slides");
    (slides, database.sql("SELECT count(*) FROM histokin.tiles_vector"))
}

fn is_sound(archive: &mut Archive) {
    let verified = verify(archive, &VerifySettings { queries: 0, ..VerifySettings::default() }, &mut |_| ());
    assert_eq!(verified.unwrap().iter().flat_map(|one| &one.faults).count(), 0);
}

#[test]
fn a_server_that_dies_in_the_middle_of_a_push() {
    let server = Server::start(true);
    let database = Database::on(&server, "").with_archive();
    let (_folder, project, _) = project(&[("a", 500), ("b", 9000), ("c", 400)]);
    let mut writer = database.open(WRITER);
    let mut crashed = false;
    let error = push(&mut writer, &project, &made::recipe(), &settings(), &mut |progress| {
        if let PushProgress::Tiles { done: 4096, total: 9000 } = progress {
            server.crash();
            crashed = true;
        }
    });
    let error = error.unwrap_err();
    assert!(crashed && error.is_lost(), "{error}");
    assert!(error.to_string().contains("run the same command again to continue"), "{error}");
    let down = database.try_open(WRITER).err().unwrap();
    assert!(matches!(down, ArchiveError::Unreachable { .. }), "{down}");

    server.restart();
    assert_eq!(held(&database), ("a_1.svs".to_owned(), "500".to_owned()), "nothing half there");
    let mut writer = database.open(WRITER);
    is_sound(&mut writer);
    let rest = push_all(&mut writer, &project, &settings());
    assert_eq!((rest.unchanged, rest.pushed, rest.tiles), (1, 2, 9400));
    is_sound(&mut writer);
}

#[test]
fn a_disk_that_is_full() {
    let server = Server::start(true);
    let Some(()) = server.small_disk(24) else { return };
    let database = Database::on(&server, "TABLESPACE small").with_archive();
    let (_folder, project, _) = project(&[("a", 500), ("b", 20_000)]);
    let only = PushSettings { only: Some(vec![project.slides()[0].id.clone()]), ..settings() };
    push_all(&mut database.open(WRITER), &project, &only);
    let filler = server.fill_small_disk();
    let mut writer = database.open(WRITER);
    let error = push(&mut writer, &project, &made::recipe(), &settings(), &mut |_| ()).unwrap_err();
    assert!(matches!(error, ArchiveError::Full { .. }), "{error}");
    assert!(error.to_string().contains("free some space there and try again"), "{error}");
    assert_eq!(held(&database), ("a_1.svs".to_owned(), "500".to_owned()), "nothing half there");
    is_sound(&mut database.open(WRITER));
    std::fs::remove_file(filler).unwrap();
    let rest = push_all(&mut database.open(WRITER), &project, &settings());
    assert_eq!((rest.unchanged, rest.pushed, rest.tiles), (1, 1, 20_000));
}

#[test]
fn a_database_without_pgvector_or_archive() {
    let server = Server::start(false);
    let database = Database::on(&server, "");
    let mut owner = Archive::connect(&database.url(OWNER), &credentials(OWNER)).unwrap();
    let error = schema::init(&mut owner).unwrap_err();
    assert!(matches!(error, ArchiveError::NoPgvector { .. }), "{error}");
    assert!(error.to_string().contains("CREATE EXTENSION vector"), "{error}");
    assert_eq!(database.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'histokin'"), "0");
    let error = database.try_open(OWNER).err().unwrap();
    assert!(error.to_string().contains("histokin archive init"), "{error}");
    let elsewhere = Server::shared().database().with_archive();
    elsewhere.sql("DROP EXTENSION vector CASCADE");
    let error = elsewhere.try_open(WRITER).err().unwrap();
    assert!(matches!(error, ArchiveError::NoPgvector { .. }), "{error}");
}

#[test]
fn an_archive_of_another_version() {
    let database = Server::shared().database().with_archive();
    database.sql("INSERT INTO histokin.migrations (version) VALUES (99)");
    let error = database.try_open(READER).err().unwrap();
    assert!(
        error.to_string().contains("version 99") && error.to_string().contains("update histokin"),
        "{error}"
    );
    let mut owner = Archive::connect(&database.url(OWNER), &credentials(OWNER)).unwrap();
    assert!(matches!(schema::init(&mut owner), Err(ArchiveError::NewerSchema { found: 99, .. })));
    database.sql("DELETE FROM histokin.migrations; INSERT INTO histokin.migrations (version) VALUES (0)");
    let error = database.try_open(READER).err().unwrap();
    assert!(matches!(error, ArchiveError::OlderSchema { found: 0, .. }), "{error}");
}

#[test]
fn a_wrong_password_and_a_missing_one() {
    let server = Server::shared();
    let database = server.database().with_archive();
    let url = database.url(WRITER);
    let with = |credentials: &Credentials<'_>| Archive::open(&url, credentials);
    let wrong = Credentials { typed: Some(Password::new("gu3ss".to_owned())), ask: None };
    let error = with(&wrong).err().unwrap();
    assert!(matches!(error, ArchiveError::LoginRefused { .. }), "{error}");
    assert!(
        !error.to_string().contains("gu3ss")
            && !format!("{error:?} {wrong_typed:?}", wrong_typed = wrong.typed).contains("gu3ss")
    );
    let right = |user: &str| Some(Password::new(password(user)));
    assert!(with(&Credentials { typed: None, ask: Some(&right) }).is_ok(), "asked, and answered");
    let silent = |_: &str| None;
    let error = with(&Credentials { typed: None, ask: Some(&silent) }).err().unwrap();
    assert!(matches!(error, ArchiveError::LoginRefused { .. }), "{error}");
    let nowhere = format!("postgresql://{WRITER}@127.0.0.1:{}/nowhere?sslmode=disable", server.port);
    let error = Archive::open(&nowhere.parse().unwrap(), &credentials(WRITER)).err().unwrap();
    assert!(matches!(error, ArchiveError::NoDatabase { .. }), "{error}");
}

#[test]
fn a_line_that_is_cut_during_a_query_and_during_a_push() {
    let server = Server::shared();
    let database = server.database().with_archive();
    let (_folder, project, sets) = project(&[("a", 300), ("b", 6000)]);
    let line = Line::to(server.port);
    let url = database.url_at(WRITER, line.port);
    let only = PushSettings { only: Some(vec![project.slides()[0].id.clone()]), ..settings() };
    push_all(&mut Archive::open(&url, &credentials(WRITER)).unwrap(), &project, &only);

    let index = Snapshot::build(vec![sets[1].clone()], None, None);
    let at = sets[1].rect(Row(3)).center();
    let positives = vec![Example::Tile { slide: sets[1].header.slide_id.clone(), at }];
    let query = Query { positives, settings: QuerySettings::default(), ..Query::default() };
    let mut archive = Archive::open(&url, &credentials(WRITER)).unwrap();
    let asked =
        |archive: &mut Archive| ask(archive, &index, &made::recipe(), &query, &SearchSettings::default());
    assert!(asked(&mut archive).is_ok());
    line.cut_at_the_next_request();
    let error = asked(&mut archive).unwrap_err();
    assert!(error.is_lost() && error.to_string().contains("connection was lost"), "{error}");
    assert!(asked(&mut Archive::open(&url, &credentials(WRITER)).unwrap()).is_ok(), "a fresh line serves");

    let mut archive = Archive::open(&url, &credentials(WRITER)).unwrap();
    let error = push(&mut archive, &project, &made::recipe(), &settings(), &mut |progress| {
        if let PushProgress::Tiles { done: 4096, .. } = progress {
            line.cut_at_the_next_request();
        }
    });
    assert!(error.unwrap_err().is_lost());
    assert_eq!(held(&database), ("a_1.svs".to_owned(), "300".to_owned()));
    let rest = push_all(&mut database.open(WRITER), &project, &settings());
    assert_eq!((rest.pushed, rest.unchanged), (1, 1));
}

#[test]
fn a_search_that_takes_too_long_is_given_up() {
    let database = Server::shared().database().with_archive();
    let (_folder, project, sets) = project(&[("a", 40_000)]);
    push_all(&mut database.open(WRITER), &project, &settings());
    let mut reader = database.open(READER);
    let positives = vec![made::example("many", &sets[0], 0..200)];
    let query = Query { positives, settings: QuerySettings::default(), ..Query::default() };
    let hasty = SearchSettings { timeout: Some(Duration::from_millis(20)), ..SearchSettings::default() };
    let error = ask(&mut reader, &Snapshot::empty(), &made::recipe(), &query, &hasty).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLong { .. }), "{error}");
    let short = Query { positives: query.positives[..1].to_vec(), ..query.clone() };
    assert!(
        ask(&mut reader, &Snapshot::empty(), &made::recipe(), &short, &SearchSettings::default()).is_ok()
    );
}

#[test]
fn two_writers_on_one_slide() {
    let database = Server::shared().database().with_archive();
    let (_folder, project, _) = project(&[("a", 5000), ("b", 5000)]);
    let both: Vec<_> = std::thread::scope(|scope| {
        let push = || push_all(&mut database.open(WRITER), &project, &settings());
        let writers: Vec<_> = (0..2).map(|_| scope.spawn(push)).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let pushed: usize = both.iter().map(|summary| summary.pushed).sum();
    let unchanged: usize = both.iter().map(|summary| summary.unchanged).sum();
    assert_eq!((pushed, unchanged), (2, 2), "each slide is pushed once, by whoever came first");
    assert_eq!(held(&database).1, "10000");
    is_sound(&mut database.open(WRITER));
}

#[test]
fn the_line_is_encrypted_and_the_server_has_to_prove_itself() {
    let server = Server::shared();
    let database = server.database().with_archive();
    let folder = tempfile::tempdir().unwrap();
    let trusted = Certificate::of("localhost");
    let file = folder.path().join("clinic.pem");
    std::fs::write(&file, &trusted.authority).unwrap();
    let url = |host: &str, port: u16, more: &str| {
        format!("postgresql://{WRITER}@{host}:{port}/{}{more}", database.name).parse().unwrap()
    };
    let roots = format!("?sslrootcert={}", file.display());
    let (port, passed) = encrypting(server.port, &trusted);
    let archive = Archive::open(&url("localhost", port, &roots), &credentials(WRITER)).unwrap();
    assert!(passed.swap(false, Ordering::SeqCst));
    archive.canceller().cancel().unwrap();
    // The other end of the handshake may come to its end a moment later.
    let started = std::time::Instant::now();
    while !passed.load(Ordering::SeqCst) {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "questions are cancelled over an encrypted line, too"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    // Not in the system's certificates; another name; another authority; no encryption at all.
    let refused = |url| {
        let error = Archive::open(&url, &credentials(WRITER)).err().unwrap();
        assert!(
            matches!(error, ArchiveError::NotTrusted { .. } | ArchiveError::Certificates { .. }),
            "{error}"
        );
    };
    refused(url("localhost", port, ""));
    refused(url("127.0.0.1", port, &roots));
    let (port, passed) = encrypting(server.port, &Certificate::of("localhost"));
    refused(url("localhost", port, &roots));
    assert!(!passed.load(Ordering::SeqCst), "nothing was said to a server that is not trusted");
    refused(url("localhost", server.port, &roots));
}
