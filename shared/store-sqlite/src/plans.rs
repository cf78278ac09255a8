//! How SQLite carries out the statements: none may walk a table that grows. The statements are taken
//! from the source, so that one written tomorrow is checked too.

use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};
use tandem_domain::{ErrorCode, RecordId};
use tandem_store::{ChangeFilter, EventFilter, EventState, JobFilter, JobState};

use crate::{changes, events, jobs, open, rows, sql};

/// Tables that grow with use.
const GROWING: [&str; 11] = [
    "jobs",
    "job_attempts",
    "deliveries",
    "events",
    "links",
    "records",
    "record_keys",
    "intents",
    "changes",
    "conflicts",
    "surveyed",
];

/// Statements that may walk a small partial index of one: what waits, runs, or is dead.
const WALKS_A_PARTIAL_INDEX: [&str; 3] = ["any_dead_job", "count_jobs", "running_jobs"];

async fn schema() -> SqliteConnection {
    let mut conn = SqliteConnectOptions::new()
        .in_memory(true)
        .connect()
        .await
        .expect("an empty database");
    open::migrator().run(&mut conn).await.expect("the schema");
    conn
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.file_name().is_some_and(|name| name != "plans.rs") {
            files.push(path);
        }
    }
    files
}

/// All statements of the crate: string literals that begin with `-- name`.
fn statements() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = std::fs::read_to_string(file).expect("a source file");
        for part in text.split("\"-- ").skip(1) {
            let literal = part.split('"').next().expect("the end of the literal");
            let literal = literal.replace("\\n", "\n");
            let (name, body) = literal
                .split_once('\n')
                .expect("a name, then the statement");
            found.push((name.to_owned(), body.to_owned()));
        }
    }
    found
}

/// The steps of the plan of a statement.
async fn steps(conn: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let steps = sql::all(conn, sqlx::query(explain)).await;
    let steps = steps.unwrap_or_else(|error| panic!("{error}: {statement}"));
    steps
        .iter()
        .map(|step| rows::get(step, "detail").expect("a step"))
        .collect()
}

/// The steps of the plan that walk a growing table from end to end.
async fn walks(conn: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let steps = steps(conn, statement).await;
    steps
        .into_iter()
        .filter(|step| {
            let mut words = step.split_whitespace();
            words.next() == Some("SCAN")
                && words.next().is_some_and(|table| GROWING.contains(&table))
        })
        .collect()
}

/// A search by sync and side alone is a walk over all records of that side, once for each record
/// that is asked for.
#[tokio::test]
async fn records_are_found_by_key_without_a_walk_over_their_side() {
    let mut conn = schema().await;
    let statements = statements().into_iter();
    let by_keys: Vec<_> = statements
        .filter(|(name, _)| name.starts_with("records_by_keys"))
        .collect();
    assert_eq!(by_keys.len(), 2);
    for (name, statement) in by_keys {
        let steps = steps(&mut conn, &statement).await;
        let has = |end: &str| steps.iter().any(|step| step.ends_with(end));
        assert!(has("(sync=? AND side=? AND key=?)"), "{name}: {steps:?}");
        assert!(has("(sync=? AND side=? AND id=?)"), "{name}: {steps:?}");
        assert!(!has("(sync=? AND side=?)"), "{name}: {steps:?}");
    }
}

#[tokio::test]
async fn no_statement_walks_a_growing_table() {
    let mut conn = schema().await;
    let statements = statements();
    assert!(
        statements.len() > 70,
        "only {} statements found",
        statements.len()
    );
    let mut found = Vec::new();
    for (name, statement) in statements {
        let is_control = [
            "begin",
            "savepoint",
            "next_verb",
            "undo",
            "commit",
            "roll_back",
        ];
        if is_control.contains(&name.as_str()) || name.starts_with("list_") {
            continue;
        }
        let walks = walks(&mut conn, &statement).await;
        if WALKS_A_PARTIAL_INDEX.contains(&name.as_str()) {
            assert!(
                walks.iter().all(|walk| walk.contains("INDEX")),
                "{name}: {walks:?}"
            );
        } else if !walks.is_empty() {
            found.push((name, walks));
        }
    }
    assert_eq!(found, Vec::new());
}

#[test]
fn every_statement_has_a_name_of_its_own() {
    let mut names: Vec<String> = statements().into_iter().map(|(name, _)| name).collect();
    names.sort();
    for pair in names.windows(2) {
        assert_ne!(pair[0], pair[1]);
    }
    for name in names {
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(plain, "{name}");
    }
}

#[tokio::test]
async fn counting_waiting_jobs_reads_the_index_alone() {
    let mut conn = schema().await;
    let statements = statements();
    let (_, count) = statements
        .iter()
        .find(|(name, _)| name == "count_jobs")
        .expect("it is there");
    let walks = walks(&mut conn, count).await;
    assert!(walks[0].contains("COVERING INDEX jobs_due"), "{walks:?}");
}

#[tokio::test]
async fn lists_use_the_index_of_what_they_are_asked_for() {
    let mut conn = schema().await;
    let record = Some(RecordId::new("a1"));
    let of_record = JobFilter {
        record: record.clone(),
        limit: 9,
        ..JobFilter::default()
    };
    let dead = JobFilter {
        state: Some(JobState::Dead),
        code: Some(ErrorCode::Refused),
        limit: 9,
        ..JobFilter::default()
    };
    let events_of_record = EventFilter {
        record: record.clone(),
        ..EventFilter::default()
    };
    let quarantined = EventFilter {
        state: Some(EventState::Quarantined),
        ..EventFilter::default()
    };
    let changes_of_record = ChangeFilter {
        record,
        ..ChangeFilter::default()
    };
    let cases = [
        (jobs::read::list(&of_record), "jobs_record"),
        (jobs::read::list(&dead), "jobs_dead"),
        (events::read::list(&events_of_record), "events_record"),
        (events::read::list(&quarantined), "events_quarantined"),
        (changes::list(&changes_of_record), "changes_a"),
    ];
    for (list, index) in cases {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", list.sql().as_str()));
        let steps = sql::all(&mut conn, sqlx::query(explain))
            .await
            .expect("a plan");
        let used = steps.iter().any(|step| {
            rows::get::<&str>(step, "detail").is_ok_and(|detail| detail.contains(index))
        });
        let details: Vec<&str> = steps
            .iter()
            .filter_map(|step| rows::get(step, "detail").ok())
            .collect();
        assert!(used, "{index} is not used: {details:?}");
    }
}
