//! How descriptors lie in the archive: the encoder's partition, and the type of its numbers.

use bytes::BytesMut;
use pgvector::{HalfVector, Vector};
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Row, Statement};
use serde::Serialize;
use strum::{EnumIter, EnumMessage, EnumString};

use super::error::During;
use super::{Archive, ArchiveError};
use histokin_core::descriptors::Recipe;

/// The type that descriptors are kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, EnumIter, EnumMessage, EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Storage {
    /// 32-bit numbers: the project's own, to the last bit.
    #[default]
    Vector,
    /// 16-bit numbers: half the room, distances to about three digits.
    Halfvec,
}

impl Storage {
    /// Name of the type in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::Halfvec => "halfvec",
        }
    }

    /// Most numbers that pgvector's index takes of this type.
    pub fn most(self) -> usize {
        match self {
            Self::Vector => 2000,
            Self::Halfvec => 4000,
        }
    }
}

/// Numbers of a descriptor on their way to or from the archive.
#[derive(Debug, Clone)]
pub(super) enum Numbers {
    Full(Vector),
    Half(HalfVector),
}

impl Numbers {
    pub fn new(descriptor: &[f32], storage: Storage) -> Self {
        match storage {
            Storage::Vector => Self::Full(Vector::from(descriptor.to_vec())),
            Storage::Halfvec => Self::Half(HalfVector::from_f32_slice(descriptor)),
        }
    }

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

/// An encoder that the archive knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownEncoder {
    pub(super) id: i16,
    pub storage: Storage,
    /// Numbers in a descriptor.
    pub width: usize,
    /// Whether there is an approximate index; without one every answer is exact.
    pub indexed: bool,
}

impl KnownEncoder {
    /// The encoder's partition.
    pub(super) fn table(&self) -> String {
        format!("histokin.tiles_{}", self.id)
    }

    /// The descriptor as the index has it: with its width, which the column leaves open.
    pub(super) fn indexed_descriptor(&self) -> String {
        format!("(descriptor::{}({}))", self.storage.sql(), self.width)
    }

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

/// Columns that [`KnownEncoder::read`] reads. An index that is still being built, or failed, counts as none.
pub(super) const ENCODER_COLUMNS: &str = "e.encoder, e.storage, e.width, EXISTS (SELECT FROM pg_catalog.pg_index i \
    WHERE i.indexrelid = to_regclass('histokin.nearest_' || e.encoder) AND i.indisvalid) AS indexed";

impl Archive {
    /// The encoder that makes such descriptors, if the archive knows it.
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

    /// The encoder that makes such descriptors.
    pub(super) fn require_encoder(&mut self, recipe: &Recipe) -> Result<KnownEncoder, ArchiveError> {
        let none =
            ArchiveError::NoSuchEncoder { url: self.url().clone(), encoder: recipe.encoder_name.clone() };
        self.encoder(recipe)?.ok_or(none)
    }

    /// Tiles that an encoder has in the archive.
    pub fn tiles(&mut self, encoder: &KnownEncoder) -> Result<u64, ArchiveError> {
        let url = self.url().clone();
        let sql = "SELECT coalesce(sum(tiles), 0)::int8 FROM histokin.descriptions WHERE encoder = $1";
        let row = self.client.query_one(sql, &[&encoder.id]).during(&url, "counting tiles")?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }

    /// Build the approximate index of an encoder, unless there is one. `links` and `candidates` are HNSW's `m` and
    /// `ef_construction`; `memory` is what the server may take for it, such as `1GB`: an index that fits in there is
    /// built several times quicker.
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

    /// Drop the approximate index of an encoder: every answer is exact from then on.
    pub fn drop_index(&mut self, encoder: &KnownEncoder) -> Result<(), ArchiveError> {
        let url = self.url().clone();
        self.client
            .execute("SELECT histokin.drop_index($1)", &[&encoder.id])
            .during(&url, "dropping the index")?;
        Ok(())
    }

    /// A statement that the server keeps prepared for this connection.
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
