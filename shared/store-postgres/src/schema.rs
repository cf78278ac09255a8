//! The schema and its versions.
//!
//! A migration only adds (tables, columns with a default, indexes), so that processes of the version
//! before go on working while a fleet is upgraded one by one: a schema newer than the program is fine,
//! one that is older is not.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlSafeStr};
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
];

/// The version that this program needs.
const NEEDED: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

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
    // It takes an advisory lock, so that of several processes one migrates and the others wait.
    Migrator::with_migrations(MIGRATIONS.iter().copied().flat_map(both).collect())
}

/// Applies what is missing. Returns the version before and after.
pub(crate) async fn migrate(conn: &mut PgConnection) -> Result<(i64, i64), StoreError> {
    let before = version(conn).await?;
    migrator().run(&mut *conn).await.map_err(refused)?;
    Ok((before, version(conn).await?))
}

/// The version found, and the one that this program needs.
pub(crate) async fn versions(conn: &mut PgConnection) -> Result<(i64, i64), StoreError> {
    Ok((version(conn).await?, NEEDED))
}

/// Undoes what was applied after `version`.
pub(crate) async fn roll_back(conn: &mut PgConnection, version: i64) -> Result<(), StoreError> {
    migrator().undo(conn, version).await.map_err(refused)
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
