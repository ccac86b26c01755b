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
use crate::project::Project;
use crate::query::{PatientNames, USUAL_PATTERN};

/// What the help says of addresses and passwords.
const ABOUT_URLS: &str = "URL is postgresql://USER@HOST:PORT/DATABASE, without a password: that is taken from \
    PGPASSWORD, from ~/.pgpass (or the file that PGPASSFILE names), or asked for. The connection is encrypted and the \
    server's certificate verified against the system's certificates, or those in the file that sslrootcert in the \
    address names; sslmode=disable turns that off.";

#[derive(Debug, Args)]
#[command(after_help = ABOUT_URLS)]
pub struct ArchiveArgs {
    #[command(subcommand)]
    command: ArchiveCommand,
}

#[derive(Debug, Subcommand)]
enum ArchiveCommand {
    /// Set an archive up in a database, or bring it to this version.
    Init(InitArgs),
    /// Bring a project's descriptors into the archive; what is there already is left alone.
    Push(Box<PushArgs>),
    /// Take descriptors from the archive into a project.
    Pull(PullArgs),
    /// Tell what an archive holds.
    Status(UrlArgs),
    /// Take a slide out of the archive, with all that was pushed of it.
    Remove(RemoveArgs),
    /// Check that all is there, and measure which share of the truly nearest tiles searches find.
    Verify(VerifyArgs),
    /// Build the approximate indexes that are missing, or drop them.
    Index(IndexArgs),
}

#[derive(Debug, Args)]
struct UrlArgs {
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
    /// Write the SQL that would be run, and connect to nothing.
    #[arg(long)]
    print: bool,
}

#[derive(Debug, Args)]
struct PushArgs {
    /// The project's folder.
    project: PathBuf,
    url: String,
    /// Only these slides: id, path, file name or file stem; may be given several times.
    #[arg(long = "slide", value_name = "SLIDE")]
    slides: Vec<String>,
    /// Let a small picture of each tile go along, for those who cannot reach the slides: some 2 kB a tile.
    #[arg(long)]
    thumbnails: bool,
    /// How descriptors of an encoder that is new to the archive are kept: vector (32 bits a number) or halfvec (16).
    #[arg(long, value_parser = choice::<Storage>(), default_value = "vector")]
    storage: Storage,
    /// Parts that the tiles of a new encoder are cut into, by slide: one for each 20 million tiles to come.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    parts: u16,
    /// How file names tell patients apart: a regular expression, its first group if it has one.
    #[arg(long, default_value = USUAL_PATTERN, hide_default_value = true)]
    patient_pattern: String,
    /// Push pseudonyms in place of patient codes, and neither names nor places of files. The key is taken from
    /// HISTOKIN_PSEUDONYM_KEY: the same key gives the same pseudonyms.
    #[arg(long)]
    pseudonymise: bool,
    /// Build no index, however many tiles there are: for many pushes in a row, with `archive index` behind them.
    #[arg(long)]
    no_index: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct PullArgs {
    /// The project's folder.
    project: PathBuf,
    url: String,
    /// These slides: id, its first characters, or name; otherwise those of the project that it has no descriptors of.
    #[arg(long = "slide", value_name = "SLIDE")]
    slides: Vec<String>,
    /// All slides that the archive holds for the project's encoder.
    #[arg(long, conflicts_with = "slides")]
    all: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    url: String,
    /// The slide: id, its first characters, or name.
    slide: String,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    url: String,
    /// Tiles that are asked for; each is compared with all tiles of its encoder once.
    #[arg(long, default_value_t = VerifySettings::default().queries)]
    queries: usize,
    /// Nearest tiles of each that are compared.
    #[arg(short, default_value_t = VerifySettings::default().neighbours)]
    k: usize,
    /// Recall that is to be reached.
    #[arg(long, default_value_t = VerifySettings::default().least_recall)]
    recall: f32,
    /// Slides of each encoder whose descriptors are compared with their checksum.
    #[arg(long, default_value_t = VerifySettings::default().checksums)]
    checksums: usize,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct IndexArgs {
    url: String,
    /// Drop the indexes: every answer is exact from then on, and slower the more tiles there are.
    #[arg(long)]
    drop: bool,
    /// Links of a tile (HNSW's m).
    #[arg(long, default_value_t = INDEX_LINKS, value_parser = clap::value_parser!(u16).range(2..=100))]
    links: u16,
    /// Candidates that are looked at for choosing them (HNSW's ef_construction); at least twice the links.
    #[arg(long, default_value_t = INDEX_CANDIDATES, value_parser = clap::value_parser!(u16).range(4..=1000))]
    candidates: u16,
    /// Memory that the server may take: an index that fits in there is built several times quicker.
    #[arg(long, default_value = INDEX_MEMORY)]
    memory: String,
}

/// Connect to an archive that has been set up; a person at a terminal is asked for a password where none is known.
/// The address is taken as text: what reads the command line would repeat a wrong one, password and all.
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
            outln!("{slide}: removed, with {tiles} tiles");
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
    match done.before {
        Some(before) if before == done.version => outln!("{url}: the archive is up to date"),
        Some(before) => outln!("{url}: the archive was brought from version {before} to {}", done.version),
        None => {
            outln!("{url}: the archive has been set up. Let logins read or write it with");
            outln!("    GRANT histokin_reader TO login;  or  GRANT histokin_writer TO login;");
        }
    }
    Ok(())
}

/// A project's recipe: what its own encoder makes.
fn recipe(project: &Project) -> anyhow::Result<Recipe> {
    Ok(project.recipe(&encoder::spec(&project.encoder_name())?))
}

/// How file names tell patients, and the key of pseudonyms where they are asked for.
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
    // The template is a constant; should it ever be wrong, the plain bar serves.
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let say = |text: String| bar.suspend(|| noteln!("{text}"));
    let summary = push(&mut archive, &project, &recipe, &settings, &mut |progress| match progress {
        PushProgress::Slide { name, place, of } => {
            bar.reset();
            bar.set_message(format!("{place}/{of} {name}"));
        }
        PushProgress::Tiles { done, total } => {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
        PushProgress::Done { name, outcome } => match outcome {
            SlideOutcome::Pushed { tiles } => say(format!("{name}: {tiles} tiles pushed")),
            SlideOutcome::Unchanged => say(format!("{name}: was there already")),
            SlideOutcome::NotEmbedded => say(format!("{name}: not embedded yet")),
        },
        PushProgress::Notice(text) => say(text),
        PushProgress::Indexing { tiles } => {
            say(format!("building the index of {tiles} tiles: this takes a minute or so for each million"));
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
            "{} slides pushed ({} tiles), {} were there already, {} are not embedded yet",
            summary.pushed,
            summary.tiles,
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
            PullOutcome::Pulled { tiles } => noteln!("{name}: {tiles} tiles pulled"),
            PullOutcome::Had => noteln!("{name}: is in the project already"),
            PullOutcome::NotThere => noteln!("{name}: the archive does not have it"),
            PullOutcome::NoPlace => {
                noteln!("{name}: the archive does not say where its file lies; open the slide first")
            }
        })?;
    let count = |is: fn(&PullOutcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    let pulled = count(|outcome| matches!(outcome, PullOutcome::Pulled { .. }));
    let had = count(|outcome| *outcome == PullOutcome::Had);
    let left_out = outcomes.len() - pulled - had;
    if args.json {
        super::print_json(&json!({"pulled": pulled, "had": had, "left_out": left_out}))?;
    } else {
        outln!("{pulled} slides pulled, {had} were in the project already, {left_out} left out");
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
        "{} slides of {} patients ({} by pseudonym), {} thumbnails, {:.1} MiB",
        status.slides,
        status.patients,
        status.pseudonyms,
        status.thumbnails,
        mib(status.bytes)
    );
    for encoder in &status.encoders {
        outln!(
            "{} ({}, {} numbers as {}): {} tiles of {} slides, {:.1} MiB",
            encoder.name,
            encoder.recipe,
            encoder.width,
            encoder.storage.sql(),
            encoder.tiles,
            encoder.slides,
            mib(encoder.bytes)
        );
        match (encoder.index_bytes, encoder.recalls.last()) {
            (None, _) => outln!("    no index: every answer is exact"),
            (Some(bytes), None) => outln!("    index of {:.1} MiB; recall not measured yet", mib(bytes)),
            (Some(bytes), Some(last)) => outln!(
                "    index of {:.1} MiB; recall {:.2} % with {} candidates in hand, at {} tiles",
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
        neighbours: args.k.max(1),
        least_recall: args.recall,
        checksums: args.checksums,
    };
    let verified = verify(&mut open(&args.url)?, &settings, &mut |text| noteln!("{text}"))?;
    if args.json {
        super::print_json(&json!({"encoders": verified}))?;
    } else {
        verified.iter().for_each(tell_verified);
    }
    let faults: usize = verified.iter().map(|one| one.faults.len()).sum();
    if faults > 0 {
        bail!("{faults} faults were found");
    }
    Ok(())
}

fn tell_verified(one: &Verified) {
    outln!("{}: {} tiles, {} slides compared with their checksum", one.name, one.tiles, one.checked);
    one.faults.iter().for_each(|fault| outln!("    {fault}"));
    if one.recalls.is_empty() {
        outln!("    no index: every answer is exact");
        return;
    }
    outln!("    comparing with all: {:.1} ms", one.exact_ms);
    for tried in &one.recalls {
        outln!(
            "    {:>4} candidates in hand: recall {:.2} %, {:.1} ms",
            tried.ef_search,
            100.0 * tried.recall,
            tried.median_ms
        );
    }
    if !one.noted {
        outln!("    not noted in the archive: this login may only read it");
    }
}

fn run_index(args: &IndexArgs) -> anyhow::Result<()> {
    if args.candidates < 2 * args.links {
        bail!("--candidates {}: give at least twice the links ({})", args.candidates, 2 * args.links);
    }
    let mut archive = open(&args.url)?;
    for (encoder, status) in archive.encoders()? {
        if args.drop {
            archive.drop_index(&encoder)?;
            outln!("{}: no index any more", status.name);
            continue;
        }
        if encoder.indexed {
            outln!("{}: has an index already", status.name);
            continue;
        }
        noteln!("{}: building the index of {} tiles", status.name, status.tiles);
        let started = std::time::Instant::now();
        archive.build_index(&encoder, args.links, args.candidates, &args.memory)?;
        outln!("{}: index built in {:.1} s", status.name, started.elapsed().as_secs_f64());
    }
    Ok(())
}
