//! How PostgreSQL carries out the statements: none may walk a table that grows, not even by a plan that was
//! made while the table was empty. The statements are taken from the source, so that one written tomorrow
//! is checked too.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Executor as _, Postgres, Row as _};
use tandem_domain::{ErrorCode, RecordId};
use tandem_store::{ChangeFilter, EventFilter, EventState, JobFilter, JobState};
use tandem_testkit::servers::{TestDatabase, shared_database};

use crate::{PostgresOptions, PostgresStore, changes, events, jobs};

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

/// Indexes of what runs, is dead (one a lane at most), is open, or was set aside by a person: so few that walking them is no walk.
const SMALL_INDEXES: [&str; 10] = [
    "jobs_dead_lane",
    "jobs_running_lane",
    "jobs_leases",
    "intents_open_source",
    "intents_open_key",
    "intents_open_age",
    "conflicts_subject",
    "conflicts_link",
    "conflicts_record",
    "records_left_alone",
];

/// Columns of few values: an index that is asked for these alone gives a large part of its table.
const COARSE: [&str; 5] = ["sync", "side", "state", "class", "connection"];

/// They count: what waits and what is dead, the links of a sync; and so read the indexes of these.
const COUNT_AN_INDEX: [&str; 5] = [
    "count_jobs",
    "link_count",
    "count_left_alone",
    "count_partnerless_a",
    "count_partnerless_b",
];

/// A connection of the storage, with plans as they are kept for good: made for no particular values.
async fn connection() -> (PoolConnection<Postgres>, TestDatabase) {
    let database = shared_database().await;
    PostgresStore::migrate(database.url())
        .await
        .expect("the schema");
    let store = PostgresStore::open(database.url(), PostgresOptions::default())
        .await
        .expect("the storage");
    let mut conn = store.pool.acquire().await.expect("a connection");
    conn.execute("SET plan_cache_mode = force_generic_plan")
        .await
        .expect("a setting");
    (conn, database)
}

/// Runs text that holds no value from outside.
async fn run(conn: &mut PoolConnection<Postgres>, text: String) {
    let outcome = sqlx::raw_sql(AssertSqlSafe(text.clone()))
        .execute(&mut **conn)
        .await;
    outcome.unwrap_or_else(|error| panic!("{error}: {text}"));
}

/// The plan that EXPLAIN gives.
async fn explain(conn: &mut PoolConnection<Postgres>, what: &str) -> Value {
    let row = sqlx::raw_sql(AssertSqlSafe(what.to_owned()))
        .fetch_one(&mut **conn)
        .await
        .unwrap_or_else(|error| panic!("{error}: {what}"));
    let text: String = row.try_get_unchecked(0).expect("a plan");
    let plan: Value = serde_json::from_str(&text).expect("JSON");
    plan[0]["Plan"].clone()
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
    const QUOTE: &str = "\u{1}";
    let mut found = Vec::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = std::fs::read_to_string(file).expect("a source file");
        let text = text.replace("\\\"", QUOTE);
        for part in text.split("\"-- ").skip(1) {
            let literal = part.split('"').next().expect("the end of the literal");
            let literal = literal.replace("\\n", "\n").replace(QUOTE, "\"");
            let (name, body) = literal
                .split_once('\n')
                .expect("a name, then the statement");
            found.push((name.to_owned(), body.to_owned()));
        }
    }
    found
}

/// How many values a statement takes.
fn parameters(statement: &str) -> usize {
    let numbers = statement.split('$').skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest[..end.unwrap_or(rest.len())].parse().unwrap_or(0)
    });
    numbers.max().unwrap_or(0)
}

/// The plan of a statement, for whatever values.
async fn plan(conn: &mut PoolConnection<Postgres>, statement: &str) -> Value {
    run(conn, format!("PREPARE checked AS {statement}")).await;
    let values = vec!["NULL"; parameters(statement)].join(", ");
    let execute = match values.as_str() {
        "" => "EXECUTE checked".to_owned(),
        values => format!("EXECUTE checked ({values})"),
    };
    let plan = explain(conn, &format!("EXPLAIN (FORMAT JSON) {execute}")).await;
    run(conn, "DEALLOCATE checked".to_owned()).await;
    plan
}

/// The nodes of a plan, each with whether it only gives the first rows of those below.
fn nodes<'p>(plan: &'p Value, is_limited: bool, into: &mut Vec<(&'p Value, bool)>) {
    into.push((plan, is_limited));
    let limits = plan["Node Type"] == "Limit";
    for below in plan["Plans"].as_array().into_iter().flatten() {
        nodes(below, limits, into);
    }
}

/// The columns of each index, in order.
type Indexes = HashMap<String, Vec<String>>;

async fn indexes(conn: &mut PoolConnection<Postgres>) -> Indexes {
    const COLUMNS: &str = "SELECT i.indexrelid::regclass::text AS index, a.attname::text AS name
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid
        ORDER BY i.indexrelid, a.attnum";
    let rows = sqlx::raw_sql(COLUMNS).fetch_all(&mut **conn).await;
    let mut indexes = Indexes::new();
    for row in rows.expect("the catalogue") {
        let index: String = row.try_get("index").expect("a name");
        let column: String = row.try_get("name").expect("a name");
        indexes.entry(index).or_default().push(column);
    }
    indexes
}

/// Whether the condition of an index scan leads to few rows: it names a column of many values, and all
/// columns that come before that in the index.
fn is_selective(node: &Value, indexes: &Indexes) -> bool {
    let columns = node["Index Name"]
        .as_str()
        .and_then(|index| indexes.get(index));
    let (Some(condition), Some(columns)) = (node["Index Cond"].as_str(), columns) else {
        return false;
    };
    // In `((sync = g.sync) AND (id = g.id))`, what follows a bracket is a column of the index.
    let named: Vec<&str> = condition
        .split('(')
        .filter_map(|rest| rest.split([' ', ')']).next())
        .collect();
    columns
        .iter()
        .take_while(|column| named.contains(&column.as_str()))
        .any(|column| !COARSE.contains(&column.as_str()))
}

/// What a plan walks from end to end: growing tables, and large indexes of them, or a coarse part of one.
fn walks(plan: &Value, indexes: &Indexes) -> Vec<String> {
    let mut all = Vec::new();
    nodes(plan, false, &mut all);
    all.iter()
        .filter(|(node, is_limited)| {
            let is_growing = GROWING.iter().any(|table| node["Relation Name"] == *table);
            let scans = matches!(
                node["Node Type"].as_str(),
                Some("Seq Scan" | "Index Scan" | "Index Only Scan")
            );
            let is_small = SMALL_INDEXES
                .iter()
                .any(|index| node["Index Name"] == *index);
            is_growing && scans && !is_selective(node, indexes) && !is_small && !is_limited
        })
        .map(|(node, _)| {
            let (kind, index) = (&node["Node Type"], &node["Index Name"]);
            format!("{kind} {index} {}", node["Index Cond"])
        })
        .collect()
}

#[tokio::test]
async fn no_statement_walks_a_growing_table() {
    let (mut conn, _database) = connection().await;
    let indexes = indexes(&mut conn).await;
    let statements = statements();
    assert!(
        statements.len() > 70,
        "only {} statements found",
        statements.len()
    );
    let mut found = Vec::new();
    for (name, statement) in statements {
        let first = statement.split_whitespace().next().unwrap_or_default();
        let is_query = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&first);
        if !is_query || name.starts_with("list_") || name == "schema_version" {
            continue;
        }
        let walks = walks(&plan(&mut conn, &statement).await, &indexes);
        if COUNT_AN_INDEX.contains(&name.as_str()) {
            assert!(walks.iter().all(|walk| walk.contains("Index")), "{walks:?}");
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
async fn lists_use_the_index_of_what_they_are_asked_for() {
    let (mut conn, _database) = connection().await;
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
        let plan = plan(&mut conn, list.sql().as_str()).await;
        assert!(plan.to_string().contains(index), "{index}: {plan}");
    }
}

/// A queue, and statements that were planned when it was empty.
struct Queue {
    conn: PoolConnection<Postgres>,
    _database: TestDatabase,
}

/// Jobs that the claims of the test ask for.
const CLAIMED: usize = 100;

impl Queue {
    async fn empty() -> Self {
        let (mut conn, _database) = connection().await;
        // Statistics change when the test says so.
        run(
            &mut conn,
            "ALTER TABLE jobs SET (autovacuum_enabled = off)".to_owned(),
        )
        .await;
        let queries = [
            ("claim", jobs::claim::CLAIM),
            ("next_due", jobs::read::NEXT_DUE),
            ("counts", jobs::read::COUNTS),
        ];
        for (name, text) in queries {
            run(&mut conn, format!("PREPARE {name} AS {text}")).await;
        }
        let mut queue = Self { conn, _database };
        for statement in [claiming("{}"), NEXT_DUE.to_owned(), COUNTS.to_owned()] {
            queue.blocks(&statement).await;
        }
        queue
    }

    /// Jobs of five syncs and three classes.
    async fn add(&mut self, state: &str, count: usize) {
        let ended_at = if state == "done" { "g" } else { "NULL" };
        let insert = format!(
            "INSERT INTO jobs (id, kind, sync, side, record, lane, class, cause, state, run_at,
                               created_at, ended_at)
             SELECT 'job_' || lpad(g::text, 26, '0') || '{state}', 'reconcile', 'sync' || g % 5, 'a',
                    'r' || g % 100000, 'lane/{state}/{count}/' || g, g % 3, 'webhook', '{state}', g, g,
                    {ended_at}
             FROM generate_series((SELECT count(*) FROM jobs), (SELECT count(*) FROM jobs) + {count} - 1) g"
        );
        run(&mut self.conn, insert).await;
    }

    /// How many pages a statement touches. What it changes is undone.
    async fn blocks(&mut self, statement: &str) -> i64 {
        run(&mut self.conn, "BEGIN".to_owned()).await;
        let explaining = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}");
        let plan = explain(&mut self.conn, &explaining).await;
        run(&mut self.conn, "ROLLBACK".to_owned()).await;
        let count = |what: &str| plan[what].as_i64().expect("a count");
        count("Shared Hit Blocks") + count("Shared Read Blocks")
    }
}

impl Queue {
    /// Whether claims touch hardly more pages than in a short queue: each look-up may go a page deeper.
    async fn is_as_quick_as(&mut self, small: &[i64]) {
        for (statement, small) in claims().iter().zip(small) {
            let large = self.blocks(statement).await;
            assert!(large <= small * 3 / 2, "{small} -> {large}: {statement}");
        }
    }
}

const NEXT_DUE: &str = "EXECUTE next_due";
const COUNTS: &str = "EXECUTE counts (NULL, 5000000)";

/// A claim of [`CLAIMED`] jobs that leaves the syncs alone which are blocked.
fn claiming(blocked: &str) -> String {
    let tokens = vec!["token"; CLAIMED].join(",");
    format!(
        "EXECUTE claim ('{{{tokens}}}', '{blocked}', '{{70,20,10}}', 5000000, 6000000, 216, {CLAIMED})"
    )
}

/// The first page of a list of jobs.
fn listing(state: Option<JobState>, record: Option<&str>) -> String {
    let filter = JobFilter {
        state,
        record: record.map(RecordId::new),
        ..JobFilter::default()
    };
    let mut text = jobs::read::list(&filter).sql().as_str().to_owned();
    let record = record.map(|record| format!("'{record}'"));
    for (place, value) in record.into_iter().chain(["50".to_owned()]).enumerate() {
        text = text.replace(&format!("${}", place + 1), &value);
    }
    text
}

/// Statements are planned when the queue is empty, and again by the statistics of a moment when nothing
/// waits; they are used when there are a million rows.
#[tokio::test]
async fn a_million_done_jobs_and_a_hundred_thousand_waiting_do_not_slow_a_claim() {
    let mut queue = Queue::empty().await;
    queue.add("available", 10_000).await;
    let mut small = Vec::new();
    for statement in claims() {
        small.push(queue.blocks(&statement).await);
    }
    queue.add("done", 1_000_000).await;
    queue.add("available", 90_000).await;
    queue.is_as_quick_as(&small).await;
    run(&mut queue.conn, REMOVE_WAITING.to_owned()).await;
    run(&mut queue.conn, "VACUUM ANALYZE jobs".to_owned()).await;
    for statement in claims() {
        queue.blocks(&statement).await;
    }
    queue.add("available", 100_000).await;
    queue.is_as_quick_as(&small).await;
    run(&mut queue.conn, "VACUUM ANALYZE jobs".to_owned()).await;
    queue.is_as_quick_as(&small).await;
    lists_touch_few_pages(&mut queue).await;
    counts_read_what_waits(&mut queue).await;
}

const REMOVE_WAITING: &str = "DELETE FROM jobs WHERE state = 'available'";

fn claims() -> [String; 3] {
    [claiming("{}"), claiming("{sync1}"), NEXT_DUE.to_owned()]
}

async fn lists_touch_few_pages(queue: &mut Queue) {
    const PAGES_MAX: i64 = 100;
    let lists = [
        listing(None, None),
        listing(None, Some("r7")),
        listing(Some(JobState::Available), None),
        listing(Some(JobState::Running), None),
        listing(Some(JobState::Dead), None),
    ];
    for list in lists {
        let pages = queue.blocks(&list).await;
        assert!(pages <= PAGES_MAX, "{pages}: {list}");
    }
}

/// Each waiting job once, and nothing of the million that are done.
async fn counts_read_what_waits(queue: &mut Queue) {
    let explaining = format!("EXPLAIN (ANALYZE, FORMAT JSON) {COUNTS}");
    let plan = explain(&mut queue.conn, &explaining).await;
    let mut all = Vec::new();
    nodes(&plan, false, &mut all);
    let rows = |node: &Value, what: &str| node[what].as_i64().unwrap_or(0);
    let read: i64 = all
        .iter()
        .filter(|(node, _)| node["Relation Name"] == "jobs")
        .map(|(node, _)| rows(node, "Actual Rows") + rows(node, "Rows Removed by Filter"))
        .sum();
    assert_eq!(read, 100_000);
}
