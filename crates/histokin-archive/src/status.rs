//! What an archive holds.

use serde::Serialize;

use super::error::During;
use super::tiles::{ENCODER_COLUMNS, KnownEncoder, Storage};
use super::{Archive, ArchiveError};

/// What an archive holds, and what this login may do in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// PostgreSQL's version.
    pub server: String,
    pub pgvector: String,
    /// Version of the archive's tables.
    pub version: i32,
    pub login: String,
    pub can_write: bool,
    pub slides: u64,
    pub patients: u64,
    /// Patients that are known by a pseudonym only.
    pub pseudonyms: u64,
    /// Tiles with a small picture.
    pub thumbnails: u64,
    /// Bytes that all of it takes on the server.
    pub bytes: u64,
    pub encoders: Vec<EncoderStatus>,
}

/// What an archive holds of one encoder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EncoderStatus {
    pub name: String,
    /// The twelve characters of descriptor files' names.
    pub recipe: String,
    pub width: usize,
    pub storage: Storage,
    pub parts: i32,
    pub slides: u64,
    pub tiles: u64,
    /// Bytes of the tiles, indexes included.
    pub bytes: u64,
    /// Bytes of the approximate index, if there is one.
    pub index_bytes: Option<u64>,
    pub recalls: Vec<MeasuredRecall>,
}

/// Which share of the truly nearest tiles searches have found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredRecall {
    /// Candidates that a search keeps in hand.
    pub ef_search: i32,
    pub recall: f32,
    pub neighbours: i32,
    pub queries: i32,
    /// Tiles that the archive held when it was measured.
    pub tiles: i64,
}

/// Look at an archive.
///
/// # Errors
/// When the archive fails.
pub fn status(archive: &mut Archive) -> Result<Status, ArchiveError> {
    let (url, doing) = (archive.url().clone(), "looking at the archive");
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
    /// All encoders that the archive knows, in the order in which they came.
    pub fn encoders(&mut self) -> Result<Vec<(KnownEncoder, EncoderStatus)>, ArchiveError> {
        let (url, doing) = (self.url().clone(), "looking at the encoders");
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
