//! A row of `jobs` as a [`Job`], and a [`JobKind`] as columns.

use sqlx::sqlite::SqliteRow;
use tandem_domain::{ErrorCode, RecordId, Side, SyncName};
use tandem_store::{Edits, Failure, Hints, Job, JobClass, JobKind, Lane, StoreError, Waits};

use crate::rows;

/// The columns that a kind takes.
pub(super) struct KindColumns {
    pub(super) sync: String,
    pub(super) side: Option<&'static str>,
    pub(super) record: Option<String>,
}

/// Takes a kind apart.
pub(super) fn kind_columns(kind: &JobKind) -> KindColumns {
    let columns = |sync: &SyncName, side: Option<Side>, record: Option<&RecordId>| KindColumns {
        sync: sync.as_str().to_owned(),
        side: side.map(Side::as_str),
        record: record.map(|record| record.as_str().to_owned()),
    };
    match kind {
        JobKind::Reconcile { sync, side, record } => columns(sync, Some(*side), Some(record)),
        JobKind::Poll { sync, side } | JobKind::Sweep { sync, side } => {
            columns(sync, Some(*side), None)
        }
        JobKind::Backfill { sync } => columns(sync, None, None),
        JobKind::Noop { number } => KindColumns {
            sync: String::new(),
            side: None,
            record: Some(number.to_string()),
        },
    }
}

fn kind(row: &SqliteRow) -> Result<JobKind, StoreError> {
    let sync = || rows::parsed(row, "sync");
    let side = || rows::parsed(row, "side");
    match rows::get::<&str>(row, "kind")? {
        "reconcile" => Ok(JobKind::Reconcile {
            sync: sync()?,
            side: side()?,
            record: rows::record(row, "record")?,
        }),
        "poll" => Ok(JobKind::Poll {
            sync: sync()?,
            side: side()?,
        }),
        "sweep" => Ok(JobKind::Sweep {
            sync: sync()?,
            side: side()?,
        }),
        "backfill" => Ok(JobKind::Backfill { sync: sync()? }),
        "noop" => Ok(JobKind::Noop {
            number: rows::parsed(row, "record")?,
        }),
        other => Err(StoreError::Corrupt {
            what: "job",
            reason: format!("`{other}` is not a kind of job"),
        }),
    }
}

fn class(row: &SqliteRow) -> Result<JobClass, StoreError> {
    let rank: i64 = rows::get(row, "class")?;
    JobClass::ALL
        .into_iter()
        .find(|class| class.rank() == rank)
        .ok_or_else(|| StoreError::Corrupt {
            what: "job",
            reason: format!("{rank} is not a class"),
        })
}

fn failure(row: &SqliteRow) -> Result<Option<Failure>, StoreError> {
    let (code, newer) = rows::word_or_text::<ErrorCode>(row, "failure_code")?;
    let mut chain: Vec<String> = match (code, &newer) {
        (None, None) => return Ok(None),
        _ => rows::document(row, "failure_chain")?,
    };
    if let Some(newer) = newer {
        chain.insert(
            0,
            format!("`{newer}`, as a newer version of Tandem calls it"),
        );
    }
    Ok(Some(Failure {
        code: code.unwrap_or(ErrorCode::Internal),
        chain,
    }))
}

/// Reads a whole row.
pub(super) fn job(row: &SqliteRow) -> Result<Job, StoreError> {
    let (reason, waits_for_newer) = rows::word_or_text(row, "waits_for")?;
    Ok(Job {
        id: rows::parsed(row, "id")?,
        kind: kind(row)?,
        lane: Lane::from_stored(rows::get(row, "lane")?),
        class: class(row)?,
        trigger: rows::word(row, "cause")?,
        state: rows::word(row, "state")?,
        attempt: rows::small(row, "attempt")?,
        merged: rows::small(row, "merged")?,
        run_at: rows::instant(row, "run_at")?,
        created_at: rows::instant(row, "created_at")?,
        ended_at: rows::instant_opt(row, "ended_at")?,
        hints: Hints {
            edited_a: rows::instant_opt(row, "edited_a")?,
            edited_b: rows::instant_opt(row, "edited_b")?,
        },
        traceparent: rows::get(row, "traceparent")?,
        failure: failure(row)?,
        note: rows::get(row, "note")?,
        edits: edits(row)?,
        waits: Waits {
            count: rows::small(row, "waits")?,
            since: rows::instant_opt(row, "waits_since")?,
            reason,
            steps: rows::small(row, "steps")?,
        },
        waits_for_newer,
        crashes: rows::small(row, "crashes")?,
    })
}

fn edits(row: &SqliteRow) -> Result<Edits, StoreError> {
    let text: Option<&str> = rows::get(row, "edits")?;
    let edits = text.map(serde_json::from_str).transpose();
    let edits = edits.map_err(|error| StoreError::Corrupt {
        what: "edits of a job",
        reason: error.to_string(),
    })?;
    Ok(edits.unwrap_or_default())
}
