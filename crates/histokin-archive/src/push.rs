//! Bringing a project's descriptors into the archive, slide by slide. A slide is pushed in one transaction, and one
//! that is there already, the same to the last bit, is left alone: pushing again goes on where it stopped.

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

/// From this many tiles on an approximate index is worth having: below, comparing with all takes tens of
/// milliseconds and is exact.
pub const INDEX_FROM: u64 = 50_000;

/// HNSW's `m` and `ef_construction`: links of a tile, and candidates that are looked at for choosing them.
pub const INDEX_LINKS: u16 = 16;
pub const INDEX_CANDIDATES: u16 = 128;

/// Memory that the server may take to build an index.
pub const INDEX_MEMORY: &str = "1GB";

/// Tiles between two reports of progress.
const REPORT_EVERY: usize = 4096;

/// How a project is pushed.
#[derive(Clone)]
pub struct PushSettings {
    /// How descriptors of an encoder that is new to the archive are kept.
    pub storage: Storage,
    /// Parts that the tiles of a new encoder are cut into, by slide.
    pub parts: u16,
    pub patients: PatientCodes,
    /// Whether small pictures of the tiles go along.
    pub thumbnails: bool,
    /// Only these slides, where they are named.
    pub only: Option<Vec<SlideId>>,
    /// Whether an index is built once there are tiles enough for one.
    pub index: bool,
}

/// What has become of a slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlideOutcome {
    Pushed {
        tiles: usize,
    },
    /// The archive had it already.
    Unchanged,
    /// The project has no finished descriptors of it.
    NotEmbedded,
}

/// What a push tells while it runs.
pub enum PushProgress<'a> {
    Slide {
        name: &'a str,
        place: usize,
        of: usize,
    },
    Tiles {
        done: usize,
        total: usize,
    },
    Done {
        name: &'a str,
        outcome: SlideOutcome,
    },
    /// Something that the user should know, although the work goes on.
    Notice(String),
    Indexing {
        tiles: u64,
    },
}

/// What a push amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PushSummary {
    pub pushed: usize,
    pub unchanged: usize,
    pub not_embedded: usize,
    /// Tiles of the slides that were pushed.
    pub tiles: usize,
    pub indexed: bool,
}

/// A slide as it goes into the archive.
pub struct SlideToPush<'a> {
    pub set: &'a DescriptorSet,
    pub named: NamedSlide,
    pub is_pseudonymous: bool,
    /// For each tile the class of the annotation in which its centre lies; empty without annotations.
    pub classes: Vec<Option<i16>>,
    /// For each tile a small JPEG; empty without.
    pub thumbnails: Vec<Vec<u8>>,
    /// What [`SlideToPush::content`] says of all this.
    pub content: String,
}

impl SlideToPush<'_> {
    /// One text that changes with anything that is kept of a slide's tiles.
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

/// Push all slides of a project that `recipe` describes.
///
/// # Errors
/// When the archive or a file of the project fails; slides before that one are in the archive.
pub fn push(
    archive: &mut Archive,
    project: &Project,
    recipe: &Recipe,
    settings: &PushSettings,
    tell: &mut dyn FnMut(PushProgress<'_>),
) -> Result<PushSummary, ArchiveError> {
    let store = project.descriptors();
    let is_wanted = |slide: &SlideId| settings.only.as_ref().is_none_or(|only| only.contains(slide));
    let entries: Vec<_> = project.slides().iter().filter(|entry| is_wanted(&entry.id)).collect();
    let former = project.former_ids();
    let mut summary = PushSummary::default();
    let mut encoder = None;
    for (place, entry) in (1..).zip(&entries) {
        let path = project.slide_path(entry);
        let named = settings.patients.name(&path, &entry.id);
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        tell(PushProgress::Slide { name: &name, place, of: entries.len() });
        let outcome = match store.open(&entry.id, recipe)? {
            None => SlideOutcome::NotEmbedded,
            Some(set) => {
                let known = match encoder {
                    Some(known) => known,
                    None => add_encoder(archive, recipe, set.width(), settings, tell)?,
                };
                encoder = Some(known);
                for id in former.get(&entry.id).into_iter().flatten() {
                    if !archive.rename_slide(id, &set)? {
                        continue;
                    }
                    tell(PushProgress::Notice(format!(
                        "{name}: the archive knows it by its new id from now on"
                    )));
                }
                let classes = classes::of_project(archive, project, &set, tell)?;
                let pictures = settings.thumbnails.then(|| thumbnails::Source::new(project, entry));
                let pictures = pictures
                    .and_then(|source| source.map_err(|error| tell(PushProgress::Notice(error))).ok());
                let content = SlideToPush::content(&set, &classes, pictures.is_some());
                let has = content_in_archive(archive, &known, &entry.id)?;
                let thumbnails = match pictures.filter(|_| has.as_ref() != Some(&content)) {
                    Some(source) => source.read(&set, tell),
                    None => Vec::new(),
                };
                let is_pseudonymous = settings.patients.is_pseudonymous();
                let slide = SlideToPush { set: &set, named, is_pseudonymous, classes, thumbnails, content };
                push_slide(archive, &known, &slide, tell)?
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
        tell(PushProgress::Done { name: &name, outcome });
    }
    if let Some(encoder) = encoder.filter(|encoder| settings.index && !encoder.indexed) {
        let tiles = archive.tiles(&encoder)?;
        if tiles >= INDEX_FROM {
            tell(PushProgress::Indexing { tiles });
            archive.build_index(&encoder, INDEX_LINKS, INDEX_CANDIDATES, INDEX_MEMORY)?;
            summary.indexed = true;
        }
    }
    Ok(summary)
}

fn add_encoder(
    archive: &mut Archive,
    recipe: &Recipe,
    width: usize,
    settings: &PushSettings,
    tell: &mut dyn FnMut(PushProgress<'_>),
) -> Result<KnownEncoder, ArchiveError> {
    let encoder = archive.add_encoder(recipe, width, settings.storage, settings.parts)?;
    if encoder.storage != settings.storage {
        let kept = encoder.storage.sql();
        tell(PushProgress::Notice(format!(
            "the archive keeps descriptors of this encoder as {kept} already"
        )));
    }
    Ok(encoder)
}

impl Archive {
    /// Make an encoder known to the archive; one that is known stays as it is.
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
    /// Have a slide that earlier versions of the program pushed under `former` go by the id of `set`, if it is that
    /// slide: if the archive has these very descriptors of it, and does not know the new id yet. Whether it was so.
    ///
    /// # Errors
    /// When the archive fails; then nothing has changed.
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

/// What the archive holds of a slide, as [`SlideToPush::content`] says it.
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

/// Push one slide in one transaction.
///
/// # Errors
/// When the archive fails; then it holds of this slide what it held before.
pub fn push_slide(
    archive: &mut Archive,
    encoder: &KnownEncoder,
    slide: &SlideToPush<'_>,
    tell: &mut dyn FnMut(PushProgress<'_>),
) -> Result<SlideOutcome, ArchiveError> {
    let (url, doing) = (archive.url().clone(), "pushing a slide");
    let id = &slide.set.header.slide_id;
    if slide.set.coords().iter().flatten().any(|at| i32::try_from(*at).is_err()) {
        return Err(ArchiveError::TooLarge { slide: id.clone() });
    }
    let mut work = archive.client.transaction().during(&url, doing)?;
    lock(&mut work, id, &url)?;
    let has: Option<String> =
        work.query_opt(CONTENT, &[&encoder.id, &id.0]).during(&url, doing)?.map(|row| row.get(0));
    let number = name_slide(&mut work, slide, &url)?;
    if has.as_ref() == Some(&slide.content) {
        work.commit().during(&url, doing)?;
        return Ok(SlideOutcome::Unchanged);
    }
    if has.is_some() {
        let tiles =
            format!("DELETE FROM histokin.tiles_{} WHERE encoder = $1 AND slide = $2", encoder.storage.sql());
        work.execute(&tiles, &[&encoder.id, &number]).during(&url, doing)?;
        work.execute(
            "DELETE FROM histokin.thumbnails WHERE encoder = $1 AND slide = $2",
            &[&encoder.id, &number],
        )
        .during(&url, doing)?;
    }
    copy_tiles(&mut work, encoder, slide, number, &url, tell)?;
    copy_thumbnails(&mut work, encoder, slide, number, &url)?;
    describe(&mut work, encoder, slide, number, &url)?;
    work.commit().during(&url, doing)?;
    Ok(SlideOutcome::Pushed { tiles: slide.set.len() })
}

/// Two who change the same slide do it one after the other.
pub(super) fn lock(
    work: &mut Transaction<'_>,
    slide: &SlideId,
    url: &ArchiveUrl,
) -> Result<(), ArchiveError> {
    work.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&slide.0])
        .during(url, "waiting for the slide")?;
    Ok(())
}

/// Note what a slide is called, where it lies and whose it is; its number.
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

/// A code that was replaced by a pseudonym, or whose last slide has gone, is forgotten.
pub(super) fn drop_patients_without_slides(
    work: &mut Transaction<'_>,
    url: &ArchiveUrl,
) -> Result<(), ArchiveError> {
    let sql = "DELETE FROM histokin.patients p \
               WHERE NOT EXISTS (SELECT FROM histokin.slides s WHERE s.patient = p.patient)";
    work.execute(sql, &[]).during(url, "forgetting patients")?;
    Ok(())
}

fn copy_tiles(
    work: &mut Transaction<'_>,
    encoder: &KnownEncoder,
    slide: &SlideToPush<'_>,
    number: i32,
    url: &ArchiveUrl,
    tell: &mut dyn FnMut(PushProgress<'_>),
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
            tell(PushProgress::Tiles { done: row + 1, total });
        }
    }
    writer.finish().during(url, doing)?;
    Ok(())
}

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
        // A tile whose picture could not be read has none.
        if !jpeg.is_empty() {
            let (x, y) = (*x as i32, *y as i32);
            writer.write(&[&encoder.id, &number, &x, &y, jpeg]).during(url, doing)?;
        }
    }
    writer.finish().during(url, doing)?;
    Ok(())
}

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
        .during(url, "describing a slide")?;
    Ok(())
}
