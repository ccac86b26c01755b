//! The archive's tables: plain SQL files, run in order, each once and in a transaction of its own.

use super::error::During;
use super::{Archive, ArchiveError};

/// A step from one version of the tables to the next.
pub struct Migration {
    pub version: i32,
    pub sql: &'static str,
}

/// Every step, in order.
pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, sql: include_str!("migrations/0001_archive.sql") }];

/// The version that this program works with.
pub const VERSION: i32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Taken while the tables are changed, so that two who set an archive up do it one after the other. An arbitrary
/// number, "histokin" in ASCII.
const LOCK: i64 = 0x6869_7374_6f6b_696e;

/// What `init` has found and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialised {
    /// Version before, if there was an archive.
    pub before: Option<i32>,
    pub version: i32,
}

/// All steps as one script, for an administrator to read or to run with psql.
pub fn script() -> String {
    let step = |step: &Migration| {
        let version = step.version;
        format!(
            "BEGIN;\n{}\nINSERT INTO histokin.migrations (version) VALUES ({version});\nCOMMIT;\n",
            step.sql
        )
    };
    MIGRATIONS.iter().map(step).collect()
}

/// Make the archive's tables, or bring them to this program's version. What is there already stays.
///
/// # Errors
/// When pgvector is missing or too old, the login may not do it, or the archive is of a newer histokin.
pub fn init(archive: &mut Archive) -> Result<Initialised, ArchiveError> {
    let url = archive.url().clone();
    let before = archive.version()?;
    if let Some(found) = before.filter(|found| *found > VERSION) {
        return Err(ArchiveError::NewerSchema { url, found });
    }
    let doing = "setting the archive up";
    for step in MIGRATIONS {
        let mut work = archive.client.transaction().during(&url, doing)?;
        work.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).during(&url, doing)?;
        let done = super::connection::version(&mut work).during(&url, doing)?;
        if done.is_some_and(|version| version >= step.version) {
            continue;
        }
        work.batch_execute(step.sql).during(&url, doing)?;
        work.execute("INSERT INTO histokin.migrations (version) VALUES ($1)", &[&step.version])
            .during(&url, doing)?;
        super::connection::check_pgvector(&mut work, &url)?;
        work.commit().during(&url, doing)?;
    }
    archive.check()?;
    Ok(Initialised { before, version: VERSION })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_in_order_and_their_files_named_so() {
        assert!(MIGRATIONS.iter().map(|step| step.version).eq(1..=MIGRATIONS.len() as i32));
        assert!(script().contains("CREATE ROLE histokin_reader NOLOGIN"));
    }
}
