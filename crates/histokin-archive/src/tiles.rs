//! Storage of descriptors in the archive: the encoder's partition, and the type of its numbers.

use bytes::BytesMut;
use pgvector::{HalfVector, Vector};
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Row, Statement};
use serde::Serialize;
use strum::{EnumIter, EnumMessage, EnumString};

use super::error::During;
use super::{Archive, ArchiveError};
use histokin_core::descriptors::Recipe;

/// The SQL type in which descriptors are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, EnumIter, EnumMessage, EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Storage {
    /// 32-bit numbers, identical to the project's.
    #[default]
    Vector,
    /// 16-bit numbers: half the space, distances to about three digits.
    Halfvec,
}

impl Storage {
    /// Returns the name of the type in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::Halfvec => "halfvec",
        }
    }

    /// Returns the largest descriptor width that pgvector can index with this type.
    pub fn most(self) -> usize {
        match self {
            Self::Vector => 2000,
            Self::Halfvec => 4000,
        }
    }
}

/// A descriptor as it is sent to or received from the archive.
#[derive(Debug, Clone)]
pub(super) enum Numbers {
    /// 32-bit numbers.
    Full(Vector),
    /// 16-bit numbers.
    Half(HalfVector),
}

impl Numbers {
    /// Converts a descriptor to the archive's type.
    pub fn new(descriptor: &[f32], storage: Storage) -> Self {
        match storage {
            Storage::Vector => Self::Full(Vector::from(descriptor.to_vec())),
            Storage::Halfvec => Self::Half(HalfVector::from_f32_slice(descriptor)),
        }
    }

    /// Converts a descriptor from the archive's type.
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::Full(vector) => vector.into(),
            Self::Half(vector) => vector.to_vec().into_iter().map(f32::from).collect(),
        }
    }
}

impl ToSql for Numbers {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Full(vector) => vector.to_sql(kind, out),
            Self::Half(vector) => vector.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        <Vector as ToSql>::accepts(kind) || <HalfVector as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Numbers {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        if <HalfVector as FromSql>::accepts(kind) {
            return HalfVector::from_sql(kind, raw).map(Self::Half);
        }
        Vector::from_sql(kind, raw).map(Self::Full)
    }

    fn accepts(kind: &Type) -> bool {
        <Vector as FromSql>::accepts(kind) || <HalfVector as FromSql>::accepts(kind)
    }
}

/// An encoder of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownEncoder {
    pub(super) id: i16,
    /// Type in which its descriptors are stored.
    pub storage: Storage,
    /// Numbers in a descriptor.
    pub width: usize,
    /// Whether it has an approximate index; without one every answer is exact.
    pub indexed: bool,
}

impl KnownEncoder {
    /// Returns the name of the encoder's partition.
    pub(super) fn table(&self) -> String {
        format!("histokin.tiles_{}", self.id)
    }

    /// Returns the SQL expression that the index covers: the descriptor cast to its width, since the column
    /// has none.
    pub(super) fn indexed_descriptor(&self) -> String {
        format!("(descriptor::{}({}))", self.storage.sql(), self.width)
    }

    /// Reads an encoder from a row with [`ENCODER_COLUMNS`].
    pub(super) fn read(row: &Row) -> Self {
        let storage: String = row.get("storage");
        Self {
            id: row.get("encoder"),
            storage: if storage == "halfvec" { Storage::Halfvec } else { Storage::Vector },
            width: usize::try_from(row.get::<_, i32>("width")).unwrap_or(0),
            indexed: row.get("indexed"),
        }
    }
}

/// Columns that [`KnownEncoder::read`] expects. An index that is being built, or whose build failed, does not
/// count.
pub(super) const ENCODER_COLUMNS: &str = "e.encoder, e.storage, e.width, EXISTS (SELECT FROM pg_catalog.pg_index i \
    WHERE i.indexrelid = to_regclass('histokin.nearest_' || e.encoder) AND i.indisvalid) AS indexed";

impl Archive {
    /// Returns the encoder with this recipe, if the archive has it.
    ///
    /// # Errors
    /// When the archive fails.
    pub fn encoder(&mut self, recipe: &Recipe) -> Result<Option<KnownEncoder>, ArchiveError> {
        let sql = format!("SELECT {ENCODER_COLUMNS} FROM histokin.encoders e WHERE e.recipe = $1");
        let url = self.url().clone();
        let statement = self.statement(&sql, "looking for the encoder")?;
        let row = self
            .client
            .query_opt(&statement, &[&recipe.short_id()])
            .during(&url, "looking for the encoder")?;
        Ok(row.as_ref().map(KnownEncoder::read))
    }

    /// Returns the encoder with this recipe, or [`ArchiveError::NoSuchEncoder`].
    pub(super) fn require_encoder(&mut self, recipe: &Recipe) -> Result<KnownEncoder, ArchiveError> {
        let none =
            ArchiveError::NoSuchEncoder { url: self.url().clone(), encoder: recipe.encoder_name.clone() };
        self.encoder(recipe)?.ok_or(none)
    }

    /// Returns the number of tiles that the archive holds for an encoder.
    ///
    /// # Errors
    /// When the archive fails.
    pub fn tiles(&mut self, encoder: &KnownEncoder) -> Result<u64, ArchiveError> {
        let url = self.url().clone();
        let sql = "SELECT coalesce(sum(tiles), 0)::int8 FROM histokin.descriptions WHERE encoder = $1";
        let row = self.client.query_one(sql, &[&encoder.id]).during(&url, "counting tiles")?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }

    /// Builds the approximate index of an encoder, unless it has one.
    ///
    /// `links` and `candidates` are HNSW's `m` and `ef_construction`. `memory` is the server's
    /// `maintenance_work_mem`, such as `1GB`: an index that fits into it is built several times faster.
    ///
    /// # Errors
    /// When the archive fails or the login may not write.
    pub fn build_index(
        &mut self,
        encoder: &KnownEncoder,
        links: u16,
        candidates: u16,
        memory: &str,
    ) -> Result<(), ArchiveError> {
        let url = self.url().clone();
        let doing = "building the index";
        let (m, ef): (i32, i32) = (links.into(), candidates.into());
        let mut work = self.client.transaction().during(&url, doing)?;
        work.execute("SELECT set_config('maintenance_work_mem', $1, true)", &[&memory])
            .during(&url, doing)?;
        work.execute("SELECT histokin.build_index($1, $2, $3)", &[&encoder.id, &m, &ef])
            .during(&url, doing)?;
        work.commit().during(&url, doing)
    }

    /// Drops the approximate index of an encoder; every answer is exact from then on.
    ///
    /// # Errors
    /// When the archive fails or the login may not write.
    pub fn drop_index(&mut self, encoder: &KnownEncoder) -> Result<(), ArchiveError> {
        let url = self.url().clone();
        self.client
            .execute("SELECT histokin.drop_index($1)", &[&encoder.id])
            .during(&url, "dropping the index")?;
        Ok(())
    }

    /// Returns a prepared statement; each SQL text is prepared once per connection.
    pub(super) fn statement(&mut self, sql: &str, doing: &'static str) -> Result<Statement, ArchiveError> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        let url = self.url().clone();
        let prepared = self.client.prepare(sql).during(&url, doing)?;
        self.statements.insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }
}
