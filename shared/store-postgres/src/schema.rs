//! The schema and its versions.
//!
//! A migration only adds (tables, columns with a default, indexes), so that processes of the version
//! before go on working while a fleet is upgraded one by one: a schema newer than the program is fine,
//! one that is older is not. Nor does it keep anybody from writing for long: an index of a table that grows is made
//! beside the writers.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr};
use tandem_store::StoreError;

use crate::{rows, sql};

/// Version, name, up, down. `migrations/sqlite` and `migrations/postgres` have the same names.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "spine",
        include_str!("../../../migrations/postgres/0001_spine.up.sql"),
        include_str!("../../../migrations/postgres/0001_spine.down.sql"),
    ),
    (
        2,
        "fleet",
        include_str!("../../../migrations/postgres/0002_fleet.up.sql"),
        include_str!("../../../migrations/postgres/0002_fleet.down.sql"),
    ),
    (
        3,
        "trust",
        include_str!("../../../migrations/postgres/0003_trust.up.sql"),
        include_str!("../../../migrations/postgres/0003_trust.down.sql"),
    ),
    (
        4,
        "waits",
        include_str!("../../../migrations/postgres/0004_waits.up.sql"),
        include_str!("../../../migrations/postgres/0004_waits.down.sql"),
    ),
    (
        5,
        "index",
        include_str!("../../../migrations/postgres/0005_index.up.sql"),
        include_str!("../../../migrations/postgres/0005_index.down.sql"),
    ),
    (
        6,
        "verbs",
        include_str!("../../../migrations/postgres/0006_verbs.up.sql"),
        include_str!("../../../migrations/postgres/0006_verbs.down.sql"),
    ),
    (
        7,
        "questions",
        include_str!("../../../migrations/postgres/0007_questions.up.sql"),
        include_str!("../../../migrations/postgres/0007_questions.down.sql"),
    ),
    (
        8,
        "left_alone",
        include_str!("../../../migrations/postgres/0008_left_alone.up.sql"),
        include_str!("../../../migrations/postgres/0008_left_alone.down.sql"),
    ),
    (
        9,
        "pauses",
        include_str!("../../../migrations/postgres/0009_pauses.up.sql"),
        include_str!("../../../migrations/postgres/0009_pauses.down.sql"),
    ),
    (
        10,
        "made",
        include_str!("../../../migrations/postgres/0010_made.up.sql"),
        include_str!("../../../migrations/postgres/0010_made.down.sql"),
    ),
    (
        11,
        "seen",
        include_str!("../../../migrations/postgres/0011_seen.up.sql"),
        include_str!("../../../migrations/postgres/0011_seen.down.sql"),
    ),
    (
        12,
        "said",
        include_str!("../../../migrations/postgres/0012_said.up.sql"),
        include_str!("../../../migrations/postgres/0012_said.down.sql"),
    ),
    (
        13,
        "addresses",
        include_str!("../../../migrations/postgres/0013_addresses.up.sql"),
        include_str!("../../../migrations/postgres/0013_addresses.down.sql"),
    ),
    (
        14,
        "held_up",
        include_str!("../../../migrations/postgres/0014_held_up.up.sql"),
        include_str!("../../../migrations/postgres/0014_held_up.down.sql"),
    ),
    (
        15,
        "filtered",
        include_str!("../../../migrations/postgres/0015_filtered.up.sql"),
        include_str!("../../../migrations/postgres/0015_filtered.down.sql"),
    ),
    (
        16,
        "links_filtered",
        include_str!("../../../migrations/postgres/0016_links_filtered.up.sql"),
        include_str!("../../../migrations/postgres/0016_links_filtered.down.sql"),
    ),
    (
        17,
        "clocks",
        include_str!("../../../migrations/postgres/0017_clocks.up.sql"),
        include_str!("../../../migrations/postgres/0017_clocks.down.sql"),
    ),
    (
        18,
        "signatures",
        include_str!("../../../migrations/postgres/0018_signatures.up.sql"),
        include_str!("../../../migrations/postgres/0018_signatures.down.sql"),
    ),
    (
        19,
        "offsets",
        include_str!("../../../migrations/postgres/0019_offsets.up.sql"),
        include_str!("../../../migrations/postgres/0019_offsets.down.sql"),
    ),
    (
        20,
        "discarded",
        include_str!("../../../migrations/postgres/0020_discarded.up.sql"),
        include_str!("../../../migrations/postgres/0020_discarded.down.sql"),
    ),
    (
        21,
        "refused",
        include_str!("../../../migrations/postgres/0021_refused.up.sql"),
        include_str!("../../../migrations/postgres/0021_refused.down.sql"),
    ),
    (
        22,
        "answered",
        include_str!("../../../migrations/postgres/0022_answered.up.sql"),
        include_str!("../../../migrations/postgres/0022_answered.down.sql"),
    ),
];

/// The version that this program needs.
const NEEDED: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Migrations that only make an index of a table that may be long, and its name: it is made beside the writers
/// (`CONCURRENTLY`), which PostgreSQL does outside of a transaction alone.
const BESIDE_WRITERS: &[(i64, &str)] = &[
    (8, "records_left_alone"),
    (10, "intents_made"),
    (16, "links_filtered"),
];

/// The advisory lock of whoever changes the schema.
const LOCK_KEY: i64 = 0x7461_6e64_656d;
/// How often whoever waits for it asks.
const LOCK_PAUSE: Duration = Duration::from_millis(200);

fn migrator() -> Migrator {
    let both = |(version, name, up, down): (i64, &'static str, &'static str, &'static str)| {
        [
            (MigrationType::ReversibleUp, up),
            (MigrationType::ReversibleDown, down),
        ]
        .map(|(direction, text)| {
            Migration::new(version, name.into(), direction, text.into_sql_str(), false)
        })
    };
    let migrations = MIGRATIONS.iter().copied().flat_map(both);
    let mut migrator = Migrator::with_migrations(migrations.map(beside_writers).collect());
    // Its way to wait would stop whoever makes an index: see `lock`.
    migrator.set_locking(false);
    migrator
}

/// The migration as it is carried out. Its checksum stays that of its file, so that a database that has it already
/// is the same as before. Of a process that ended after the index and before the note of it, the index stays.
fn beside_writers(mut migration: Migration) -> Migration {
    let mut listed = BESIDE_WRITERS.iter();
    let is_listed = listed.any(|(version, _)| *version == migration.version);
    if is_listed && migration.migration_type == MigrationType::ReversibleUp {
        let text = migration.sql.as_str().replacen(
            "CREATE INDEX ",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ",
            1,
        );
        migration.sql = AssertSqlSafe(text).into_sql_str();
        migration.no_tx = true;
    }
    migration
}

/// Applies what is missing. Returns the version before and after. Of several processes one migrates and the others
/// wait; the lock of one that fails goes with its connection.
pub(crate) async fn migrate(conn: &mut PgConnection) -> Result<(i64, i64), StoreError> {
    lock(conn).await?;
    let before = version(conn).await?;
    drop_unfinished(conn, before).await?;
    migrator().run(&mut *conn).await.map_err(refused)?;
    let after = version(conn).await?;
    unlock(conn).await?;
    Ok((before, after))
}

/// Waits for the right to change the schema. One statement that waited for it would hold a snapshot, and whoever
/// makes an index beside the writers waits for the end of every snapshot: each would wait for the other. So it is
/// asked for again and again.
async fn lock(conn: &mut PgConnection) -> Result<(), StoreError> {
    const LOCK: &str = "-- lock_schema
SELECT pg_try_advisory_lock($1) AS locked";
    loop {
        let row = sql::one(&mut *conn, sqlx::query(LOCK).bind(LOCK_KEY)).await?;
        if rows::get(&row, "locked")? {
            return Ok(());
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

async fn unlock(conn: &mut PgConnection) -> Result<(), StoreError> {
    const UNLOCK: &str = "-- unlock_schema
SELECT pg_advisory_unlock($1)";
    let unlock = sqlx::query(UNLOCK).bind(LOCK_KEY);
    sql::one(conn, unlock).await?;
    Ok(())
}

/// An index whose making was broken off is there and is of no use. It goes, so that its migration makes it anew.
/// Those of migrations up to `version` have been made, whatever became of them since.
async fn drop_unfinished(conn: &mut PgConnection, version: i64) -> Result<(), StoreError> {
    const UNFINISHED: &str = "-- unfinished_indexes
SELECT c.relname::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relname = ANY ($1) AND pg_table_is_visible(c.oid)";
    let missing = BESIDE_WRITERS.iter().filter(|(of, _)| *of > version);
    let names: Vec<&str> = missing.map(|(_, name)| *name).collect();
    let asked = sqlx::query(UNFINISHED).bind(names);
    for row in sql::all(&mut *conn, asked).await? {
        let name: String = rows::get(&row, "name")?;
        // One of the names above.
        let drop = AssertSqlSafe(format!("DROP INDEX CONCURRENTLY {name}"));
        let dropped = sqlx::raw_sql(drop).execute(&mut *conn).await;
        dropped.map_err(|error| StoreError::Schema(error.to_string()))?;
    }
    Ok(())
}

/// The version found, and the one that this program needs.
pub(crate) async fn versions(conn: &mut PgConnection) -> Result<(i64, i64), StoreError> {
    Ok((version(conn).await?, NEEDED))
}

/// Undoes what was applied after `version`.
pub(crate) async fn roll_back(conn: &mut PgConnection, version: i64) -> Result<(), StoreError> {
    lock(conn).await?;
    let undone = migrator().undo(&mut *conn, version).await;
    undone.map_err(refused)?;
    unlock(conn).await
}

fn refused(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) => StoreError::Schema(format!(
            "it is at version {version}, and this program knows only up to {NEEDED}: a newer Tandem has migrated this database; run that one"
        )),
        MigrateError::VersionMismatch(version) => StoreError::Schema(format!(
            "version {version} was made by another build of Tandem"
        )),
        other => StoreError::Schema(other.to_string()),
    }
}

/// Checks that the schema has all that this program needs.
pub(crate) async fn check(conn: &mut PgConnection) -> Result<(), StoreError> {
    judge(version(conn).await?)
}

fn judge(found: i64) -> Result<(), StoreError> {
    if found >= NEEDED {
        return Ok(());
    }
    let state = match found {
        0 => "it is empty".to_owned(),
        version => format!("it is at version {version}"),
    };
    Err(StoreError::Schema(format!(
        "{state}, and this program needs version {NEEDED}: run `tandem db migrate`"
    )))
}

/// The newest version that was applied whole; 0 when none was.
async fn version(conn: &mut PgConnection) -> Result<i64, StoreError> {
    const EXISTS: &str = "-- has_schema
SELECT to_regclass('_sqlx_migrations') IS NOT NULL AS found";
    const VERSION: &str = "-- schema_version
SELECT coalesce(max(version), 0) AS version FROM _sqlx_migrations WHERE success";
    let row = sql::one(&mut *conn, sqlx::query(EXISTS)).await?;
    if !rows::get::<bool>(&row, "found")? {
        return Ok(0);
    }
    let row = sql::one(conn, sqlx::query(VERSION)).await?;
    rows::get(&row, "version")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_migration_of_the_folder_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/postgres");
        let files = std::fs::read_dir(folder)
            .expect("the folder is there")
            .count();
        assert_eq!(files, MIGRATIONS.len() * 2);
    }

    /// Up to here the first versions of the tables were made.
    const FIRST_TABLES: i64 = 4;

    #[test]
    fn an_index_of_a_table_that_is_there_is_made_beside_those_who_write_to_it() {
        let later = MIGRATIONS.iter().filter(|(of, ..)| *of > FIRST_TABLES);
        let of_indexes = later.filter(|(_, _, up, _)| up.contains("INDEX"));
        let found: Vec<i64> = of_indexes.map(|(version, ..)| *version).collect();
        let listed: Vec<i64> = BESIDE_WRITERS.iter().map(|(version, _)| *version).collect();
        assert_eq!(found, listed);
        for migration in migrator().iter().filter(|one| one.no_tx) {
            let text = migration.sql.as_str();
            let (version, statements) = (migration.version, text.matches(';').count());
            let (_, name) = BESIDE_WRITERS
                .iter()
                .find(|(of, _)| *of == version)
                .expect("only these are carried out outside of a transaction");
            let begins = format!("CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON ");
            assert!(text.contains(&begins) && statements == 1, "{text}");
        }
        assert_eq!(migrator().iter().filter(|one| one.no_tx).count(), 3);
    }

    #[test]
    fn a_migration_counts_as_the_same_however_it_is_carried_out() {
        for (version, _, up, _) in MIGRATIONS {
            let migrator = migrator();
            let mut of = migrator.iter().filter(|one| one.version == *version);
            let is_up = |one: &&Migration| one.migration_type == MigrationType::ReversibleUp;
            let carried_out = of.find(is_up).expect("it is in the list");
            let file = Migration::new(
                *version,
                "".into(),
                MigrationType::ReversibleUp,
                up.into_sql_str(),
                false,
            );
            assert_eq!(carried_out.checksum, file.checksum);
        }
    }

    #[test]
    fn both_storages_have_the_same_migrations() {
        let names = |storage: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
            let mut names: Vec<String> = std::fs::read_dir(folder.join(storage))
                .expect("the folder is there")
                .map(|entry| {
                    entry
                        .expect("an entry")
                        .file_name()
                        .to_string_lossy()
                        .into_owned()
                })
                .collect();
            names.sort();
            names
        };
        assert_eq!(names("postgres"), names("sqlite"));
    }
}
