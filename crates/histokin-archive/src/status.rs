//! Status of an archive: its content and its version.

use serde::Serialize;

use super::error::During;
use super::tiles::{ENCODER_COLUMNS, KnownEncoder, Storage};
use super::{Archive, ArchiveError};

/// Content of an archive, and rights of the login.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Version of PostgreSQL.
    pub server: String,
    /// Version of pgvector.
    pub pgvector: String,
    /// Version of the archive's tables.
    pub version: i32,
    /// Name of the database user.
    pub login: String,
    /// Whether the login may push slides.
    pub can_write: bool,
    /// Number of slides.
    pub slides: u64,
    /// Number of patients.
    pub patients: u64,
    /// Number of patients that are known by a pseudonym only.
    pub pseudonyms: u64,
    /// Number of tiles with a thumbnail.
    pub thumbnails: u64,
    /// Size of all tables and indexes on the server, in bytes.
    pub bytes: u64,
    /// Status of each encoder.
    pub encoders: Vec<EncoderStatus>,
}

/// Content of an archive for one encoder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EncoderStatus {
    /// Name of the encoder.
    pub name: String,
    /// Short ID of the recipe: the twelve characters in the names of descriptor files.
    pub recipe: String,
    /// Numbers in a descriptor.
    pub width: usize,
    /// Type in which descriptors are stored.
    pub storage: Storage,
    /// Number of partitions of its tiles.
    pub parts: i32,
    /// Number of slides.
    pub slides: u64,
    /// Number of tiles.
    pub tiles: u64,
    /// Size of the tiles and their indexes in bytes.
    pub bytes: u64,
    /// Size of the approximate index in bytes, if there is one.
    pub index_bytes: Option<u64>,
    /// Recalls measured by `archive verify`.
    pub recalls: Vec<MeasuredRecall>,
}

/// A measured recall: the share of the truly nearest tiles that index searches found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredRecall {
    /// Candidates that the index search kept (pgvector's `hnsw.ef_search`).
    pub ef_search: i32,
    /// Recall from 0 to 1.
    pub recall: f32,
    /// Number of nearest tiles compared per query.
    pub neighbours: i32,
    /// Number of queries.
    pub queries: i32,
    /// Number of tiles in the archive at the time.
    pub tiles: i64,
}

/// Reads the status of an archive.
///
/// # Errors
/// When the archive fails.
pub fn status(archive: &mut Archive) -> Result<Status, ArchiveError> {
    let (url, doing) = (archive.url().clone(), "reading the status");
    let sql = "SELECT split_part(current_setting('server_version'), ' ', 1), \
               (SELECT extversion FROM pg_extension WHERE extname = 'vector'), \
               (SELECT max(version) FROM histokin.migrations), session_user::text, \
               has_table_privilege('histokin.descriptions', 'INSERT'), \
               (SELECT count(*) FROM histokin.slides), (SELECT count(*) FROM histokin.patients), \
               (SELECT count(*) FROM histokin.patients WHERE pseudonym), \
               (SELECT count(*) FROM histokin.thumbnails), \
               (SELECT sum(pg_total_relation_size(c.oid))::int8 FROM pg_class c \
                WHERE c.relnamespace = 'histokin'::regnamespace AND c.relkind = 'r')";
    let row = archive.client.query_one(sql, &[]).during(&url, doing)?;
    let count = |column: usize| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
    Ok(Status {
        server: row.get(0),
        pgvector: row.get(1),
        version: row.get(2),
        login: row.get(3),
        can_write: row.get(4),
        slides: count(5),
        patients: count(6),
        pseudonyms: count(7),
        thumbnails: count(8),
        bytes: count(9),
        encoders: archive.encoders()?.into_iter().map(|(_, status)| status).collect(),
    })
}

impl Archive {
    /// Returns all encoders of the archive and their status, in the order in which they were added.
    ///
    /// # Errors
    /// When the archive fails.
    pub fn encoders(&mut self) -> Result<Vec<(KnownEncoder, EncoderStatus)>, ArchiveError> {
        let (url, doing) = (self.url().clone(), "listing the encoders");
        let sql = format!(
            "SELECT {ENCODER_COLUMNS}, e.name, e.recipe, e.parts, \
             (SELECT count(*) FROM histokin.descriptions d WHERE d.encoder = e.encoder) AS slides, \
             (SELECT coalesce(sum(d.tiles), 0)::int8 FROM histokin.descriptions d WHERE d.encoder = e.encoder) AS tiles, \
             (SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::int8 \
              FROM pg_partition_tree('histokin.tiles_' || e.encoder)) AS bytes, \
             greatest(pg_relation_size(to_regclass('histokin.nearest_' || e.encoder)), \
              (SELECT sum(pg_relation_size(relid))::int8 \
               FROM pg_partition_tree(to_regclass('histokin.nearest_' || e.encoder)))) AS index_bytes \
             FROM histokin.encoders e ORDER BY e.encoder"
        );
        let rows = self.client.query(&sql, &[]).during(&url, doing)?;
        let mut encoders = Vec::new();
        for row in &rows {
            let encoder = KnownEncoder::read(row);
            let count = |column: &str| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
            let index_bytes = row.get::<_, Option<i64>>("index_bytes").map(|bytes| bytes.max(0) as u64);
            let status = EncoderStatus {
                name: row.get("name"),
                recipe: row.get("recipe"),
                width: encoder.width,
                storage: encoder.storage,
                parts: row.get("parts"),
                slides: count("slides"),
                tiles: count("tiles"),
                bytes: count("bytes"),
                index_bytes: index_bytes.filter(|_| encoder.indexed),
                recalls: self.recalls(&encoder)?,
            };
            encoders.push((encoder, status));
        }
        Ok(encoders)
    }

    /// Returns the recalls measured for an encoder, by ascending `ef_search`.
    fn recalls(&mut self, encoder: &KnownEncoder) -> Result<Vec<MeasuredRecall>, ArchiveError> {
        let url = self.url().clone();
        let sql = "SELECT ef_search, recall, neighbours, queries, tiles FROM histokin.recalls \
                   WHERE encoder = $1 ORDER BY ef_search";
        let rows = self.client.query(sql, &[&encoder.id]).during(&url, "looking for the measured recall")?;
        let recall = |row: &postgres::Row| MeasuredRecall {
            ef_search: row.get(0),
            recall: row.get(1),
            neighbours: row.get(2),
            queries: row.get(3),
            tiles: row.get(4),
        };
        Ok(rows.iter().map(recall).collect())
    }
}
