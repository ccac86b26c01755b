//! `histokin archive`: a department's shared archive on PostgreSQL with pgvector.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::choice::choice;
use crate::archive::credentials::{Credentials, Password};
use crate::archive::pull::{self, PullOutcome, Wanted};
use crate::archive::push::{
    INDEX_CANDIDATES, INDEX_LINKS, INDEX_MEMORY, PushProgress, PushSettings, SlideOutcome, push,
};
use crate::archive::verify::{Verified, VerifySettings, verify};
use crate::archive::{
    Archive, ArchiveUrl, KEY_VARIABLE, PatientCodes, PseudonymKey, Storage, remove, schema, status,
};
use crate::descriptors::Recipe;
use crate::encoder;
use crate::number_format::counted;
use crate::project::Project;
use crate::query::{DEFAULT_PATTERN, PatientNames};

/// Help text on addresses and passwords.
const ABOUT_URLS: &str = "URL has the form postgresql://USER@HOST:PORT/DATABASE and contains no password. The \
    password is read from PGPASSWORD or from ~/.pgpass (or the file named by PGPASSFILE), or you are asked for \
    it. The connection is encrypted, and the server's certificate is verified against the system's certificates \
    or those in the file that the parameter sslrootcert of the address names; sslmode=disable turns both off.";

/// Options of `histokin archive`.
#[derive(Debug, Args)]
#[command(after_help = ABOUT_URLS)]
pub struct ArchiveArgs {
    #[command(subcommand)]
    command: ArchiveCommand,
}

#[derive(Debug, Subcommand)]
enum ArchiveCommand {
    /// Set up an archive in a database, or upgrade it to this version.
    Init(InitArgs),
    /// Copy a project's descriptors into the archive; slides that are already there unchanged are skipped.
    Push(Box<PushArgs>),
    /// Copy descriptors from the archive into a project.
    Pull(PullArgs),
    /// Show the contents of an archive.
    Status(UrlArgs),
    /// Remove a slide and everything stored for it from the archive.
    Remove(RemoveArgs),
    /// Check the archive for completeness, and measure the recall of its searches.
    Verify(VerifyArgs),
    /// Build missing approximate indexes, or drop all of them.
    Index(IndexArgs),
}

#[derive(Debug, Args)]
struct UrlArgs {
    /// Address of the database.
    url: String,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Address of the database.
    #[arg(required_unless_present = "print")]
    url: Option<String>,
    /// Print the SQL that would be run, without connecting to a database.
    #[arg(long)]
    print: bool,
    /// Write one JSON document.
    #[arg(long, conflicts_with = "print")]
    json: bool,
}

#[derive(Debug, Args)]
struct PushArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Address of the database.
    url: String,
    /// Push only this slide: ID, path, file name, or file name without extension. May be given several times.
    #[arg(long = "slide", value_name = "SLIDE", value_parser = super::shown_name())]
    slides: Vec<String>,
    /// Also store a thumbnail of each tile (about 2 kB), for users who have no access to the slide files.
    #[arg(long)]
    thumbnails: bool,
    /// Storage type for descriptors of an encoder that is new to the archive: vector (32-bit numbers) or
    /// halfvec (16-bit numbers).
    #[arg(long, value_parser = choice::<Storage>(), default_value = "vector")]
    storage: Storage,
    /// Number of partitions, by slide, for the tiles of a new encoder: one for every 20 million tiles
    /// expected.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    parts: u16,
    /// Regular expression that extracts the patient code from a file name: its first group, or the whole
    /// match.
    #[arg(long, value_name = "REGEX", default_value = DEFAULT_PATTERN, hide_default_value = true)]
    patient_pattern: String,
    /// Store pseudonyms instead of patient codes, and neither names nor locations of files. The secret key is
    /// read from HISTOKIN_PSEUDONYM_KEY; the same key gives the same pseudonyms.
    #[arg(long)]
    pseudonymise: bool,
    /// Build no index. Useful for many pushes in a row; run `archive index` after the last one.
    #[arg(long)]
    no_index: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct PullArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Address of the database.
    url: String,
    /// Slide to pull: ID, the beginning of the ID, or name. May be given several times [default: slides of
    /// the project that have no descriptors].
    #[arg(long = "slide", value_name = "SLIDE")]
    slides: Vec<String>,
    /// Pull all slides that the archive contains for the project's encoder.
    #[arg(long, conflicts_with = "slides")]
    all: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// Address of the database.
    url: String,
    /// The slide: ID, the beginning of the ID, or name.
    #[arg(value_parser = super::shown_name())]
    slide: String,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// Address of the database.
    url: String,
    /// Number of query tiles; each is also compared with all tiles of its encoder.
    #[arg(long, value_name = "TILES", default_value_t = VerifySettings::default().queries)]
    queries: usize,
    /// Number of nearest tiles per query.
    #[arg(short, long = "matches", value_name = "NUMBER", default_value_t = VerifySettings::default().neighbours, value_parser = super::count(1, 10_000))]
    k: usize,
    /// Recall to reach, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = VerifySettings::default().least_recall, value_parser = super::parse_share)]
    recall: f32,
    /// Number of slides per encoder whose descriptors are compared with their checksum.
    #[arg(long, value_name = "SLIDES", default_value_t = VerifySettings::default().checksums)]
    checksums: usize,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct IndexArgs {
    /// Address of the database.
    url: String,
    /// Drop the indexes. All searches are exact afterwards, and slower the more tiles there are.
    #[arg(long)]
    drop: bool,
    /// Number of links per tile (parameter m of HNSW).
    #[arg(long, value_name = "NUMBER", default_value_t = INDEX_LINKS, value_parser = clap::value_parser!(u16).range(2..=100))]
    links: u16,
    /// Number of candidates considered for the links (ef_construction of HNSW); at least twice the links.
    #[arg(long, value_name = "NUMBER", default_value_t = INDEX_CANDIDATES, value_parser = clap::value_parser!(u16).range(4..=1000))]
    candidates: u16,
    /// Memory that the server may use, as PostgreSQL writes it, such as 2GB; an index that fits into it is built several
    /// times faster.
    #[arg(long, value_name = "MEMORY", default_value = INDEX_MEMORY)]
    memory: String,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// Connects to an archive that has been set up. Prompts for a password at a terminal if none is known.
///
/// The address is passed as text and parsed here: clap would print an invalid one, including any password in
/// it.
///
/// # Errors
/// When the address is invalid, or the server cannot be reached or has no archive.
pub fn open(url: &str) -> anyhow::Result<Archive> {
    let url: ArchiveUrl = url.parse()?;
    Ok(Archive::open(&url, &Credentials { typed: None, ask: Some(&ask) })?)
}

fn ask(user: &str) -> Option<Password> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    rpassword::prompt_password(format!("Password of {user}: ")).ok().map(Password::new)
}

/// Runs `histokin archive`.
///
/// # Errors
/// When the server or the project reports an error, or a check finds faults.
pub fn run(args: &ArchiveArgs) -> anyhow::Result<()> {
    match &args.command {
        ArchiveCommand::Init(args) => run_init(args),
        ArchiveCommand::Push(args) => run_push(args),
        ArchiveCommand::Pull(args) => run_pull(args),
        ArchiveCommand::Status(args) => run_status(args),
        ArchiveCommand::Remove(args) => {
            let mut archive = open(&args.url)?;
            let slide = archive.find_slide(&args.slide)?;
            let tiles = remove::remove(&mut archive, &slide)?;
            if args.json {
                return super::print_json(&json!({ "removed": slide, "tiles": tiles }));
            }
            outln!("{slide}: removed, with {}", counted(tiles, "tile"));
            Ok(())
        }
        ArchiveCommand::Verify(args) => run_verify(args),
        ArchiveCommand::Index(args) => run_index(args),
    }
}

fn run_init(args: &InitArgs) -> anyhow::Result<()> {
    let Some(url) = args.url.as_ref().filter(|_| !args.print) else {
        out!("{}", schema::script());
        return Ok(());
    };
    let url: &ArchiveUrl = &url.parse()?;
    let mut archive = Archive::connect(url, &Credentials { typed: None, ask: Some(&ask) })?;
    let done = schema::init(&mut archive)?;
    if args.json {
        return super::print_json(&json!({ "version": done.version, "version_before": done.before }));
    }
    match done.before {
        Some(before) if before == done.version => outln!("{url}: the archive is up to date"),
        Some(before) => outln!("{url}: the archive was upgraded from version {before} to {}", done.version),
        None => {
            outln!("{url}: the archive has been set up. Grant logins read or write access with");
            outln!("    GRANT histokin_reader TO login;  or  GRANT histokin_writer TO login;");
        }
    }
    Ok(())
}

/// Recipe of the project's encoder.
fn recipe(project: &Project) -> anyhow::Result<Recipe> {
    Ok(project.recipe(&encoder::spec(&project.encoder_name())?))
}

/// Patient codes by file name, with the pseudonym key if pseudonyms are requested.
fn patients(pattern: &str, pseudonymise: bool) -> anyhow::Result<PatientCodes> {
    let names = PatientNames::new(pattern).with_context(|| format!("--patient-pattern {pattern:?}"))?;
    let key = match pseudonymise {
        true => {
            let secret = std::env::var(KEY_VARIABLE).with_context(|| {
                format!("--pseudonymise needs a secret key in {KEY_VARIABLE}; keep it, or pseudonyms change")
            })?;
            Some(PseudonymKey::new(&secret).map_err(anyhow::Error::msg)?)
        }
        false => None,
    };
    Ok(PatientCodes { names, key })
}

fn run_push(args: &PushArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let patients = patients(&args.patient_pattern, args.pseudonymise)?;
    let named = args.slides.iter().map(|name| Ok(project.find_slide(name)?.id.clone()));
    let named: Vec<_> = named.collect::<anyhow::Result<_>>()?;
    let settings = PushSettings {
        storage: args.storage,
        parts: args.parts,
        patients,
        thumbnails: args.thumbnails,
        only: (!named.is_empty()).then_some(named),
        index: !args.no_index,
    };
    let recipe = recipe(&project)?;
    let mut archive = open(&args.url)?;
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{msg:30!} {wide_bar} {pos}/{len} tiles  {per_sec}");
    // The template is constant; if it were invalid, the default bar would be used.
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let say = |text: String| bar.suspend(|| noteln!("{text}"));
    let summary = push(&mut archive, &project, &recipe, &settings, &mut |progress| match progress {
        PushProgress::Slide { name, number, of } => {
            bar.reset();
            bar.set_message(format!("{number}/{of} {name}"));
        }
        PushProgress::Tiles { done, total } => {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
        PushProgress::Done { name, outcome } => match outcome {
            SlideOutcome::Pushed { tiles } => {
                say(format!("{name}: {} pushed", counted(tiles as u64, "tile")));
            }
            SlideOutcome::Unchanged => say(format!("{name}: already in the archive")),
            SlideOutcome::NotEmbedded => say(format!("{name}: not embedded yet")),
        },
        PushProgress::Notice(text) => say(text),
        PushProgress::Indexing { tiles } => {
            say(format!("building the index of {tiles} tiles: about a minute per million tiles"));
        }
    });
    bar.finish_and_clear();
    let summary = summary?;
    if args.json {
        super::print_json(&json!({
            "pushed": summary.pushed,
            "unchanged": summary.unchanged,
            "not_embedded": summary.not_embedded,
            "tiles": summary.tiles,
            "indexed": summary.indexed,
        }))?;
    } else {
        outln!(
            "{} pushed ({}), {} already in the archive, {} not embedded yet",
            counted(summary.pushed as u64, "slide"),
            counted(summary.tiles as u64, "tile"),
            summary.unchanged,
            summary.not_embedded
        );
    }
    Ok(())
}

fn run_pull(args: &PullArgs) -> anyhow::Result<()> {
    let mut project = Project::open(&args.project)?.claim()?;
    project.require_writable()?;
    let recipe = recipe(&project)?;
    let wanted = match (args.all, args.slides.as_slice()) {
        (true, _) => Wanted::All,
        (false, []) => Wanted::Missing,
        (false, named) => Wanted::Named(named.to_vec()),
    };
    let mut archive = open(&args.url)?;
    let outcomes =
        pull::pull(&mut archive, &mut project, &recipe, &wanted, &mut |name, outcome| match outcome {
            PullOutcome::Pulled { tiles } => noteln!("{name}: {} pulled", counted(*tiles as u64, "tile")),
            PullOutcome::Had => noteln!("{name}: already in the project"),
            PullOutcome::NotInArchive => noteln!("{name}: not in the archive"),
            PullOutcome::NoPlace => {
                noteln!("{name}: the archive does not have the location of its file; open the slide first")
            }
        })?;
    let count = |is: fn(&PullOutcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    let pulled = count(|outcome| matches!(outcome, PullOutcome::Pulled { .. }));
    let had = count(|outcome| *outcome == PullOutcome::Had);
    let left_out = outcomes.len() - pulled - had;
    if args.json {
        super::print_json(&json!({"pulled": pulled, "had": had, "left_out": left_out}))?;
    } else {
        let pulled = counted(pulled as u64, "slide");
        outln!("{pulled} pulled, {had} already in the project, {left_out} left out");
    }
    Ok(())
}

fn run_status(args: &UrlArgs) -> anyhow::Result<()> {
    let status = status::status(&mut open(&args.url)?)?;
    if args.json {
        return super::print_json(&serde_json::to_value(&status)?);
    }
    let may = if status.can_write { "may read and write" } else { "may read" };
    outln!("PostgreSQL {}, pgvector {}; {} {may}", status.server, status.pgvector, status.login);
    outln!(
        "{} of {} ({} by pseudonym), {}, {:.1} MiB",
        counted(status.slides, "slide"),
        counted(status.patients, "patient"),
        status.pseudonyms,
        counted(status.thumbnails, "thumbnail"),
        mib(status.bytes)
    );
    for encoder in &status.encoders {
        outln!(
            "{} ({}, {} numbers as {}): {} of {}, {:.1} MiB",
            encoder.name,
            encoder.recipe,
            encoder.width,
            encoder.storage.sql(),
            counted(encoder.tiles, "tile"),
            counted(encoder.slides, "slide"),
            mib(encoder.bytes)
        );
        match (encoder.index_bytes, encoder.recalls.last()) {
            (None, _) => outln!("    no index: all searches are exact"),
            (Some(bytes), None) => outln!("    index of {:.1} MiB; recall not measured yet", mib(bytes)),
            (Some(bytes), Some(last)) => outln!(
                "    index of {:.1} MiB; recall {:.2} % with {} candidates, at {} tiles",
                mib(bytes),
                100.0 * last.recall,
                last.ef_search,
                last.tiles
            ),
        }
    }
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn run_verify(args: &VerifyArgs) -> anyhow::Result<()> {
    let settings = VerifySettings {
        queries: args.queries,
        neighbours: args.k,
        least_recall: args.recall,
        checksums: args.checksums,
    };
    let verified = verify(&mut open(&args.url)?, &settings, &mut |text| noteln!("{text}"))?;
    if args.json {
        super::print_json(&json!({"encoders": verified}))?;
    } else {
        verified.iter().for_each(print_verified);
    }
    let faults: usize = verified.iter().map(|one| one.faults.len()).sum();
    if faults > 0 {
        bail!("{} found", counted(faults as u64, "fault"));
    }
    Ok(())
}

fn print_verified(one: &Verified) {
    outln!(
        "{}: {}, checksum compared for {}",
        one.name,
        counted(one.tiles, "tile"),
        counted(one.checked as u64, "slide")
    );
    one.faults.iter().for_each(|fault| outln!("    {fault}"));
    if one.recalls.is_empty() {
        outln!("    no index: all searches are exact");
        return;
    }
    outln!("    exact search: {:.1} ms", one.exact_ms);
    for tried in &one.recalls {
        outln!(
            "    {:>4} candidates: recall {:.2} %, {:.1} ms",
            tried.ef_search,
            100.0 * tried.recall,
            tried.median_ms
        );
    }
    if !one.noted {
        outln!("    result not stored in the archive: this login has read access only");
    }
}

fn run_index(args: &IndexArgs) -> anyhow::Result<()> {
    if args.candidates < 2 * args.links {
        bail!("--candidates {}: give at least twice the links ({})", args.candidates, 2 * args.links);
    }
    let mut archive = open(&args.url)?;
    let mut done = Vec::new();
    for (encoder, status) in archive.encoders()? {
        let (text, outcome, seconds) = if args.drop {
            archive.drop_index(&encoder)?;
            ("index dropped".to_owned(), "dropped", None)
        } else if encoder.indexed {
            ("already has an index".to_owned(), "had", None)
        } else {
            noteln!("{}: building the index of {}", status.name, counted(status.tiles, "tile"));
            let started = std::time::Instant::now();
            archive.build_index(&encoder, args.links, args.candidates, &args.memory)?;
            let seconds = started.elapsed().as_secs_f64();
            (format!("index built in {seconds:.1} s"), "built", Some(seconds))
        };
        if !args.json {
            outln!("{}: {text}", status.name);
        }
        done.push(
            json!({ "name": status.name, "tiles": status.tiles, "index": outcome, "seconds": seconds }),
        );
    }
    if args.json { super::print_json(&json!({ "encoders": done })) } else { Ok(()) }
}
