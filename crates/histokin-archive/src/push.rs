//! Pushing a project's descriptors to the archive, slide by slide. Each slide is pushed in one transaction,
//! and a slide that is already there with identical content is skipped, so repeating an interrupted push
//! resumes it.

use postgres::Transaction;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use sha2::{Digest, Sha256};

use super::error::During;
use super::patients::NamedSlide;
use super::tiles::{KnownEncoder, Numbers, Storage};
use super::{Archive, ArchiveError, ArchiveUrl, PatientCodes};
use histokin_core::descriptors::{DescriptorSet, Recipe, Row, hex};
use histokin_core::slide::SlideId;
use histokin_project::project::Project;

mod classes;
mod thumbnails;

pub use classes::classes_of;
pub use thumbnails::THUMBNAIL_PX;

/// Number of tiles from which an approximate index is built. With fewer, comparing with all tiles takes tens
/// of milliseconds and is exact.
pub const INDEX_FROM: u64 = 50_000;

/// HNSW's `m`: links of a tile.
pub const INDEX_LINKS: u16 = 16;
/// HNSW's `ef_construction`: candidates from which the links of a tile are chosen.
pub const INDEX_CANDIDATES: u16 = 128;

/// Memory for building an index, as PostgreSQL's `maintenance_work_mem`.
pub const INDEX_MEMORY: &str = "1GB";

/// Tiles between two reports of progress.
const REPORT_EVERY: usize = 4096;

/// Settings of a push.
#[derive(Clone)]
pub struct PushSettings {
    /// Type in which the descriptors of a new encoder are stored.
    pub storage: Storage,
    /// Number of partitions, by slide, of the tiles of a new encoder.
    pub parts: u16,
    /// How slides and patients are named in the archive.
    pub patients: PatientCodes,
    /// Whether thumbnails of the tiles are pushed too.
    pub thumbnails: bool,
    /// Only these slides; `None` for all.
    pub only: Option<Vec<SlideId>>,
    /// Whether an index is built once there are at least [`INDEX_FROM`] tiles.
    pub index: bool,
}

/// Outcome of pushing a slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlideOutcome {
    /// The slide was pushed.
    Pushed {
        /// Number of its tiles.
        tiles: usize,
    },
    /// The archive already had identical content.
    Unchanged,
    /// The project has no complete descriptors of the slide.
    NotEmbedded,
}

/// Progress of a push.
pub enum PushProgress<'a> {
    /// Work on a slide begins.
    Slide {
        /// File name of the slide.
        name: &'a str,
        /// Number of the slide, from 1.
        number: usize,
        /// Number of slides in the push.
        of: usize,
    },
    /// Some tiles of the current slide were sent.
    Tiles {
        /// Tiles sent so far.
        done: usize,
        /// Tiles of the slide.
        total: usize,
    },
    /// Work on a slide has ended.
    Done {
        /// File name of the slide.
        name: &'a str,
        /// What was done with it.
        outcome: SlideOutcome,
    },
    /// A message for the user; the push continues.
    Notice(String),
    /// The build of the index begins.
    Indexing {
        /// Tiles that it covers.
        tiles: u64,
    },
}

/// Totals of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PushSummary {
    /// Slides that were pushed.
    pub pushed: usize,
    /// Slides that the archive already had.
    pub unchanged: usize,
    /// Slides without complete descriptors.
    pub not_embedded: usize,
    /// Tiles of the slides that were pushed.
    pub tiles: usize,
    /// Whether an index was built.
    pub indexed: bool,
}

/// A slide with everything that is pushed for it.
pub struct SlideToPush<'a> {
    /// Descriptors of the slide.
    pub set: &'a DescriptorSet,
    /// Name, location and patient of the slide as they are stored.
    pub named: NamedSlide,
    /// Whether the patient in [`SlideToPush::named`] is a pseudonym.
    pub is_pseudonymous: bool,
    /// For each tile the archive's number of the class of the annotation that contains its centre; empty
    /// without annotations.
    pub classes: Vec<Option<i16>>,
    /// For each tile a small JPEG; empty without thumbnails.
    pub thumbnails: Vec<Vec<u8>>,
    /// Result of [`SlideToPush::content`] for these.
    pub content: String,
}

impl SlideToPush<'_> {
    /// Returns a SHA-256, in hexadecimal, of what is stored for a slide's tiles: descriptors, classes and
    /// whether there are thumbnails.
    pub fn content(set: &DescriptorSet, classes: &[Option<i16>], has_thumbnails: bool) -> String {
        let mut hash = Sha256::new();
        hash.update(set.content_checksum());
        for class in classes {
            hash.update(class.unwrap_or(-1).to_le_bytes());
        }
        hash.update([u8::from(has_thumbnails)]);
        hex(&hash.finalize())
    }
}

/// Pushes the descriptors that the project has for `recipe`, of all slides or those in the settings. `report`
/// receives progress.
///
/// # Errors
/// When the archive fails or a file of the project cannot be read; slides before that one are in the archive.
pub fn push(
    archive: &mut Archive,
    project: &Project,
    recipe: &Recipe,
    settings: &PushSettings,
    report: &mut dyn FnMut(PushProgress<'_>),
) -> Result<PushSummary, ArchiveError> {
    let store = project.descriptors();
    let is_wanted = |slide: &SlideId| settings.only.as_ref().is_none_or(|only| only.contains(slide));
    let entries: Vec<_> = project.slides().iter().filter(|entry| is_wanted(&entry.id)).collect();
    let former = project.former_ids();
    let mut summary = PushSummary::default();
    let mut encoder = None;
    for (number, entry) in (1..).zip(&entries) {
        let path = project.slide_path(entry);
        let named = settings.patients.name(&path, &entry.id);
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        report(PushProgress::Slide { name: &name, number, of: entries.len() });
        let outcome = match store.open(&entry.id, recipe)? {
            None => SlideOutcome::NotEmbedded,
            Some(set) => {
                let known = match encoder {
                    Some(known) => known,
                    None => add_encoder(archive, recipe, set.width(), settings, report)?,
                };
                encoder = Some(known);
                for id in former.get(&entry.id).into_iter().flatten() {
                    if !archive.rename_slide(id, &set)? {
                        continue;
                    }
                    report(PushProgress::Notice(format!("{name}: its ID in the archive was updated")));
                }
                let classes = classes::of_project(archive, project, &set, report)?;
                let source = settings.thumbnails.then(|| thumbnails::Source::new(project, entry));
                let source = source
                    .and_then(|opened| opened.map_err(|error| report(PushProgress::Notice(error))).ok());
                let content = SlideToPush::content(&set, &classes, source.is_some());
                let existing = content_in_archive(archive, &known, &entry.id)?;
                let thumbnails = match source.filter(|_| existing.as_ref() != Some(&content)) {
                    Some(source) => source.read(&set, report),
                    None => Vec::new(),
                };
                let is_pseudonymous = settings.patients.is_pseudonymous();
                let slide = SlideToPush { set: &set, named, is_pseudonymous, classes, thumbnails, content };
                push_slide(archive, &known, &slide, report)?
            }
        };
        match outcome {
            SlideOutcome::Pushed { tiles } => {
                summary.pushed += 1;
                summary.tiles += tiles;
            }
            SlideOutcome::Unchanged => summary.unchanged += 1,
            SlideOutcome::NotEmbedded => summary.not_embedded += 1,
        }
        report(PushProgress::Done { name: &name, outcome });
    }
    if let Some(encoder) = encoder.filter(|encoder| settings.index && !encoder.indexed) {
        let tiles = archive.tiles(&encoder)?;
        if tiles >= INDEX_FROM {
            report(PushProgress::Indexing { tiles });
            archive.build_index(&encoder, INDEX_LINKS, INDEX_CANDIDATES, INDEX_MEMORY)?;
            summary.indexed = true;
        }
    }
    Ok(summary)
}

/// Adds the encoder to the archive and notifies the user if it is stored with another type than requested.
fn add_encoder(
    archive: &mut Archive,
    recipe: &Recipe,
    width: usize,
    settings: &PushSettings,
    report: &mut dyn FnMut(PushProgress<'_>),
) -> Result<KnownEncoder, ArchiveError> {
    let encoder = archive.add_encoder(recipe, width, settings.storage, settings.parts)?;
    if encoder.storage != settings.storage {
        let kept = encoder.storage.sql();
        report(PushProgress::Notice(format!(
            "the archive already stores descriptors of this encoder as {kept}"
        )));
    }
    Ok(encoder)
}

impl Archive {
    /// Adds an encoder to the archive, with its descriptors of `width` numbers in `parts` partitions. An
    /// encoder that exists is returned unchanged.
    ///
    /// # Errors
    /// [`ArchiveError::TooWide`] for more numbers than pgvector can index, or when the archive fails.
    pub fn add_encoder(
        &mut self,
        recipe: &Recipe,
        width: usize,
        storage: Storage,
        parts: u16,
    ) -> Result<KnownEncoder, ArchiveError> {
        if width > storage.most() {
            return Err(ArchiveError::TooWide { width, storage: storage.sql(), most: storage.most() });
        }
        let (url, doing) = (self.url().clone(), "adding the encoder");
        let details = serde_json::to_string(recipe).expect("a recipe is plain numbers and text");
        let (width, parts) = (width as i32, i32::from(parts.max(1)));
        let sql = "SELECT histokin.add_encoder($1, $2, $3::text::json, $4, $5, $6)";
        self.client
            .execute(
                sql,
                &[&recipe.short_id(), &recipe.encoder_name, &details, &width, &storage.sql(), &parts],
            )
            .during(&url, doing)?;
        self.require_encoder(recipe)
    }
}

impl Archive {
    /// Renames a slide that earlier versions of the program pushed under the ID `former` to the ID of `set`.
    /// This is done only if the archive holds identical descriptors for it and no slide with the new ID.
    /// Returns whether the slide was renamed.
    ///
    /// # Errors
    /// When the archive fails; nothing is changed then.
    fn rename_slide(&mut self, former: &SlideId, set: &DescriptorSet) -> Result<bool, ArchiveError> {
        let (url, doing) = (self.url().clone(), "renaming a slide");
        let id = &set.header.slide_id;
        let mut work = self.client.transaction().during(&url, doing)?;
        lock(&mut work, former, &url)?;
        lock(&mut work, id, &url)?;
        let sql = "UPDATE histokin.slides s SET slide_id = $2 WHERE s.slide_id = $1 \
                   AND NOT EXISTS (SELECT FROM histokin.slides WHERE slide_id = $2) \
                   AND EXISTS (SELECT FROM histokin.descriptions d WHERE d.slide = s.slide AND d.checksum = $3) \
                   RETURNING s.slide";
        let row = work.query_opt(sql, &[&former.0, &id.0, &set.content_checksum()]).during(&url, doing)?;
        if let Some(row) = &row {
            let sql = "UPDATE histokin.descriptions SET header = \
                       jsonb_set(header::jsonb, '{slide_id}', to_jsonb($2::text))::json WHERE slide = $1";
            work.execute(sql, &[&row.get::<_, i32>(0), &id.0]).during(&url, doing)?;
        }
        work.commit().during(&url, doing)?;
        Ok(row.is_some())
    }
}

/// Returns the [`SlideToPush::content`] with which the archive holds a slide.
fn content_in_archive(
    archive: &mut Archive,
    encoder: &KnownEncoder,
    slide: &SlideId,
) -> Result<Option<String>, ArchiveError> {
    let url = archive.url().clone();
    let row =
        archive.client.query_opt(CONTENT, &[&encoder.id, &slide.0]).during(&url, "looking for a slide")?;
    Ok(row.map(|row| row.get(0)))
}

const CONTENT: &str = "SELECT d.content FROM histokin.descriptions d JOIN histokin.slides s USING (slide) \
                       WHERE d.encoder = $1 AND s.slide_id = $2";

/// Pushes one slide in one transaction.
///
/// # Errors
/// When the archive fails or a coordinate does not fit into 32 bits; the slide's content in the archive is
/// then unchanged.
pub fn push_slide(
    archive: &mut Archive,
    encoder: &KnownEncoder,
    slide: &SlideToPush<'_>,
    report: &mut dyn FnMut(PushProgress<'_>),
) -> Result<SlideOutcome, ArchiveError> {
    let (url, doing) = (archive.url().clone(), "pushing a slide");
    let id = &slide.set.header.slide_id;
    if slide.set.coords().iter().flatten().any(|at| i32::try_from(*at).is_err()) {
        return Err(ArchiveError::TooLarge { slide: id.clone() });
    }
    let mut work = archive.client.transaction().during(&url, doing)?;
    lock(&mut work, id, &url)?;
    let existing: Option<String> =
        work.query_opt(CONTENT, &[&encoder.id, &id.0]).during(&url, doing)?.map(|row| row.get(0));
    let number = name_slide(&mut work, slide, &url)?;
    if existing.as_ref() == Some(&slide.content) {
        work.commit().during(&url, doing)?;
        return Ok(SlideOutcome::Unchanged);
    }
    if existing.is_some() {
        let tiles =
            format!("DELETE FROM histokin.tiles_{} WHERE encoder = $1 AND slide = $2", encoder.storage.sql());
        work.execute(&tiles, &[&encoder.id, &number]).during(&url, doing)?;
        work.execute(
            "DELETE FROM histokin.thumbnails WHERE encoder = $1 AND slide = $2",
            &[&encoder.id, &number],
        )
        .during(&url, doing)?;
    }
    copy_tiles(&mut work, encoder, slide, number, &url, report)?;
    copy_thumbnails(&mut work, encoder, slide, number, &url)?;
    describe(&mut work, encoder, slide, number, &url)?;
    work.commit().during(&url, doing)?;
    Ok(SlideOutcome::Pushed { tiles: slide.set.len() })
}

/// Takes a lock on a slide until the transaction ends, so that concurrent changes of a slide are serialised.
pub(super) fn lock(
    work: &mut Transaction<'_>,
    slide: &SlideId,
    url: &ArchiveUrl,
) -> Result<(), ArchiveError> {
    work.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&slide.0])
        .during(url, "waiting for the slide")?;
    Ok(())
}

/// Stores a slide's name, location and patient, and returns its number.
fn name_slide(
    work: &mut Transaction<'_>,
    slide: &SlideToPush<'_>,
    url: &ArchiveUrl,
) -> Result<i32, ArchiveError> {
    let doing = "naming a slide";
    let NamedSlide { name, location, patient } = &slide.named;
    let patient: Option<i32> = match patient {
        Some(code) => {
            work.execute(
                "INSERT INTO histokin.patients (code, pseudonym) VALUES ($1, $2) ON CONFLICT (code) DO NOTHING",
                &[code, &slide.is_pseudonymous],
            )
            .during(url, doing)?;
            let sql = "SELECT patient FROM histokin.patients WHERE code = $1";
            Some(work.query_one(sql, &[code]).during(url, doing)?.get(0))
        }
        None => None,
    };
    let id = &slide.set.header.slide_id.0;
    let sql = "INSERT INTO histokin.slides AS s (slide_id, name, location, patient) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (slide_id) DO UPDATE SET name = excluded.name, location = excluded.location, \
               patient = excluded.patient WHERE (s.name, s.location, s.patient) \
               IS DISTINCT FROM (excluded.name, excluded.location, excluded.patient) RETURNING slide";
    let changed = work.query_opt(sql, &[id, name, location, &patient]).during(url, doing)?;
    match changed {
        Some(row) => {
            drop_patients_without_slides(work, url)?;
            Ok(row.get(0))
        }
        None => {
            let sql = "SELECT slide FROM histokin.slides WHERE slide_id = $1";
            Ok(work.query_one(sql, &[id]).during(url, doing)?.get(0))
        }
    }
}

/// Deletes patients without slides: their code was replaced by a pseudonym, or their last slide was removed.
pub(super) fn drop_patients_without_slides(
    work: &mut Transaction<'_>,
    url: &ArchiveUrl,
) -> Result<(), ArchiveError> {
    let sql = "DELETE FROM histokin.patients p \
               WHERE NOT EXISTS (SELECT FROM histokin.slides s WHERE s.patient = p.patient)";
    work.execute(sql, &[]).during(url, "removing patients without slides")?;
    Ok(())
}

/// Inserts the tiles of a slide with a binary COPY.
fn copy_tiles(
    work: &mut Transaction<'_>,
    encoder: &KnownEncoder,
    slide: &SlideToPush<'_>,
    number: i32,
    url: &ArchiveUrl,
    report: &mut dyn FnMut(PushProgress<'_>),
) -> Result<(), ArchiveError> {
    let doing = "pushing tiles";
    let storage = encoder.storage;
    let probe = work.prepare(&format!("SELECT NULL::{}", storage.sql())).during(url, doing)?;
    let numbers = probe.columns()[0].type_().clone();
    let sql = format!(
        "COPY histokin.tiles_{} (slide, x, y, encoder, class, descriptor) FROM STDIN BINARY",
        storage.sql()
    );
    let sink = work.copy_in(&sql).during(url, doing)?;
    let types = [Type::INT4, Type::INT4, Type::INT4, Type::INT2, Type::INT2, numbers];
    let mut writer = BinaryCopyInWriter::new(sink, &types);
    let total = slide.set.len();
    for (row, [x, y]) in slide.set.coords().iter().enumerate() {
        let (x, y) = (*x as i32, *y as i32);
        let class = slide.classes.get(row).copied().flatten();
        let descriptor = Numbers::new(slide.set.descriptor(Row(row as u32)), storage);
        writer.write(&[&number, &x, &y, &encoder.id, &class, &descriptor]).during(url, doing)?;
        if (row + 1) % REPORT_EVERY == 0 || row + 1 == total {
            report(PushProgress::Tiles { done: row + 1, total });
        }
    }
    writer.finish().during(url, doing)?;
    Ok(())
}

/// Inserts the thumbnails of a slide with a binary COPY.
fn copy_thumbnails(
    work: &mut Transaction<'_>,
    encoder: &KnownEncoder,
    slide: &SlideToPush<'_>,
    number: i32,
    url: &ArchiveUrl,
) -> Result<(), ArchiveError> {
    let doing = "pushing thumbnails";
    if slide.thumbnails.is_empty() {
        return Ok(());
    }
    let sink = work
        .copy_in("COPY histokin.thumbnails (encoder, slide, x, y, jpeg) FROM STDIN BINARY")
        .during(url, doing)?;
    let types = [Type::INT2, Type::INT4, Type::INT4, Type::INT4, Type::BYTEA];
    let mut writer = BinaryCopyInWriter::new(sink, &types);
    for ([x, y], jpeg) in slide.set.coords().iter().zip(&slide.thumbnails) {
        // A tile that could not be read has no thumbnail.
        if !jpeg.is_empty() {
            let (x, y) = (*x as i32, *y as i32);
            writer.write(&[&encoder.id, &number, &x, &y, jpeg]).during(url, doing)?;
        }
    }
    writer.finish().during(url, doing)?;
    Ok(())
}

/// Inserts or updates the row of `descriptions` that makes a slide visible for an encoder.
fn describe(
    work: &mut Transaction<'_>,
    encoder: &KnownEncoder,
    slide: &SlideToPush<'_>,
    number: i32,
    url: &ArchiveUrl,
) -> Result<(), ArchiveError> {
    let set = slide.set;
    let header = serde_json::to_string(&set.header).expect("a header is plain numbers and text");
    let (tiles, failed) = (set.len() as i32, set.tiles_failed as i32);
    let sql = "INSERT INTO histokin.descriptions (encoder, slide, header, tiles, tiles_failed, checksum, content) \
               VALUES ($1, $2, $3::text::json, $4, $5, $6, $7) ON CONFLICT (encoder, slide) DO UPDATE SET \
               header = excluded.header, tiles = excluded.tiles, tiles_failed = excluded.tiles_failed, \
               checksum = excluded.checksum, content = excluded.content, pushed_at = now(), \
               pushed_by = session_user";
    let checksum = set.content_checksum();
    work.execute(sql, &[&encoder.id, &number, &header, &tiles, &failed, &checksum, &slide.content])
        .during(url, "pushing a slide")?;
    Ok(())
}
