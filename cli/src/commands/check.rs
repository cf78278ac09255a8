//! `tandem check`: is the configuration right, and do the systems it names answer as it needs? Reads only.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use futures::future::join_all;
use serde::Serialize;
use tandem_connectors::manifest::{Auth, Manifest};
use tandem_connectors::{Capabilities, CheckReport, Connector, ConnectorError, FieldInfo};
use tandem_domain::{ConnectionName, ErrorCode, StreamName, SyncName};
use tandem_runtime::Topology;
use tandem_runtime::addresses::{Move, moves};
use tandem_runtime::config::{Built, ConfigError};
use tandem_runtime::ends::{OTHER_END_ADVICE, OtherEnd, other_ends};

use super::options::{ConfigOptions, DataOptions, NO, StorageOptions};
use super::output::{fitted, or_dash, say, say_json, spinner, table, word};
use super::storage::{build_of, load, now, open_to_look};
use crate::removal::{Removal, listed, removals};

/// What to look at. Exit code 1 when the configuration is wrong, a system does not answer, a stream that a sync
/// needs cannot be read, a connection or a side of a sync leads elsewhere than its records were linked, or the configuration
/// leaves out what is stored, so that `apply` and `up` would refuse it.
#[derive(Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigOptions,
    /// Also list the fields of every stream.
    #[arg(long)]
    fields: bool,
    #[command(flatten)]
    data: DataOptions,
}

/// What was found.
#[derive(Serialize)]
struct Findings {
    ok: bool,
    problems: Vec<ConfigProblem>,
    connections: Vec<CheckedConnection>,
    /// Connections that lead elsewhere than their records were linked.
    moved: Vec<Move>,
    /// Sides of linked syncs that the configuration points elsewhere.
    other_ends: Vec<OtherEnd>,
    /// What is stored and the configuration does not name.
    removed: Vec<Removal>,
    /// Why that could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_unknown: Option<String>,
    syncs: Vec<SyncName>,
}

/// A mistake in the configuration.
#[derive(Serialize)]
struct ConfigProblem {
    file: Option<String>,
    line: Option<u64>,
    column: Option<u64>,
    field: String,
    message: String,
}

/// What is known of the credentials of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Credentials {
    /// A request that carried them was answered.
    Accepted,
    /// Its requests carry none.
    NotUsed,
    /// Nothing was asked that was answered well.
    NotChecked,
}

impl Credentials {
    fn of(manifest: &Manifest, streams: &[CheckedStream]) -> Self {
        let are_none = matches!(manifest.auth, Auth::None) && manifest.credentials.is_empty();
        match (are_none, streams.iter().any(|stream| stream.ok)) {
            (true, _) => Self::NotUsed,
            (false, true) => Self::Accepted,
            (false, false) => Self::NotChecked,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Accepted => "credentials accepted",
            Self::NotUsed => "its requests carry no credentials",
            Self::NotChecked => "credentials NOT checked",
        }
    }
}

/// A connection.
#[derive(Serialize)]
struct CheckedConnection {
    name: ConnectionName,
    connector: String,
    ok: bool,
    code: Option<ErrorCode>,
    error: Option<String>,
    credentials: Credentials,
    latency_ms: Option<u64>,
    clock_offset_ms: Option<i64>,
    /// Why its clock is not used.
    clock_doubt: Option<String>,
    streams: Vec<CheckedStream>,
}

/// A stream of a connection.
#[derive(Serialize)]
struct CheckedStream {
    name: StreamName,
    /// The syncs that need it.
    syncs: Vec<SyncName>,
    ok: bool,
    error: Option<String>,
    /// How many records the first page has.
    first_page: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Capabilities>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<std::collections::BTreeMap<String, FieldInfo>>,
}

/// Checks.
pub async fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let built = load(&args.config.config).and_then(|configuration| build_of(&configuration));
    let findings = match built {
        Ok(built) => {
            let (beside, mut findings) = tokio::join!(
                beside_stored(&args.data.storage, &built),
                examine(&built, args.fields)
            );
            match beside {
                Ok(beside) => findings.take(beside),
                // It is the systems that are checked.
                Err(error) => findings.moved_unknown = Some(format!("{error:#}")),
            }
            findings
        }
        Err(error) => refused(&error),
    };
    if args.data.output.json {
        say_json(&findings)?;
    } else {
        say(&told(&findings))?;
    }
    Ok(if findings.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    })
}

fn refused(error: &ConfigError) -> Findings {
    let problems = error.problems.iter().map(|problem| ConfigProblem {
        file: problem.file.as_ref().map(|file| file.display().to_string()),
        line: problem.mark.map(|mark| mark.line),
        column: problem.mark.map(|mark| mark.column),
        field: problem.field.to_string(),
        message: problem.message.clone(),
    });
    Findings {
        ok: false,
        problems: problems.collect(),
        connections: Vec::new(),
        moved: Vec::new(),
        other_ends: Vec::new(),
        removed: Vec::new(),
        moved_unknown: None,
        syncs: Vec::new(),
    }
}

/// How the configuration stands beside what is kept here.
struct BesideStored {
    moved: Vec<Move>,
    other_ends: Vec<OtherEnd>,
    removed: Vec<Removal>,
}

/// Compares it as `apply` does before it stores anything.
async fn beside_stored(storage: &StorageOptions, built: &Built) -> anyhow::Result<BesideStored> {
    let looked_at = open_to_look(storage).await?;
    let store = looked_at.store.as_ref();
    Ok(BesideStored {
        moved: moves(store, built).await?,
        other_ends: other_ends(store, built).await?,
        removed: removals(store, &built.documents, now()).await?,
    })
}

impl Findings {
    fn take(&mut self, beside: BesideStored) {
        let BesideStored {
            moved,
            other_ends,
            removed,
        } = beside;
        self.ok &= moved.is_empty() && other_ends.is_empty() && removed.is_empty();
        self.moved = moved;
        self.other_ends = other_ends;
        self.removed = removed;
    }
}

/// Asks all systems at once.
async fn examine(built: &Built, fields: bool) -> Findings {
    let progress = spinner("asking the systems");
    let asked = built
        .topology
        .connectors
        .iter()
        .map(|(name, connector)| async move {
            let result = connector.check().await;
            let manifest = &built.connections.get(name)?.manifest;
            Some(connection(
                &built.topology,
                name,
                manifest,
                connector,
                result,
                fields,
            ))
        });
    let connections: Vec<CheckedConnection> = join_all(asked).await.into_iter().flatten().collect();
    progress.finish_and_clear();
    Findings {
        ok: connections.iter().all(|connection| connection.ok),
        problems: Vec::new(),
        connections,
        moved: Vec::new(),
        other_ends: Vec::new(),
        removed: Vec::new(),
        moved_unknown: None,
        syncs: built.topology.syncs.keys().cloned().collect(),
    }
}

fn connection(
    topology: &Topology,
    name: &ConnectionName,
    manifest: &Manifest,
    connector: &Arc<dyn Connector>,
    result: Result<CheckReport, ConnectorError>,
    fields: bool,
) -> CheckedConnection {
    match result {
        Ok(report) => {
            let streams = report.streams.into_iter().map(|(stream, read)| {
                let info = connector.stream(&stream);
                CheckedStream {
                    syncs: topology
                        .ends_of(name, &stream)
                        .map(|(sync, _)| sync.name.clone())
                        .collect(),
                    ok: read.is_ok(),
                    first_page: read.as_ref().ok().copied(),
                    error: read.err(),
                    capabilities: info.map(|info| info.capabilities),
                    fields: info.filter(|_| fields).map(|info| info.fields.clone()),
                    name: stream,
                }
            });
            let streams: Vec<CheckedStream> = streams.collect();
            CheckedConnection {
                name: name.clone(),
                connector: manifest.name.to_string(),
                credentials: Credentials::of(manifest, &streams),
                // A stream that no sync needs may be closed to these credentials.
                ok: streams
                    .iter()
                    .all(|stream| stream.ok || stream.syncs.is_empty()),
                code: None,
                error: None,
                latency_ms: Some(report.latency_ms),
                clock_offset_ms: report.clock_offset_ms,
                clock_doubt: report.clock_doubt,
                streams,
            }
        }
        Err(error) => CheckedConnection {
            name: name.clone(),
            connector: manifest.name.to_string(),
            credentials: Credentials::NotChecked,
            ok: false,
            code: Some(error.code()),
            error: Some(error.to_string()),
            latency_ms: None,
            clock_offset_ms: None,
            clock_doubt: None,
            streams: Vec::new(),
        },
    }
}

/// What is said of a configuration that keeps nothing equal.
const NOTHING: &str = "the configuration has no connections and no syncs, so there was nothing to check, and nothing would be kept \
     equal. Write under `connections:` the two systems, each with its `connector`, and under `syncs:` which of their streams \
     are kept equal, side `a` and side `b`, and by which `fields`; the README has one to begin with, and deploy/samples more";
const NO_SYNC: &str = "the connections are in order, but the configuration has no syncs, so nothing would be kept equal. Write \
     under `syncs:` which of their streams are kept equal, side `a` and side `b`, and by which `fields`";

fn told(findings: &Findings) -> String {
    let mut text = String::new();
    for problem in &findings.problems {
        let place: Vec<String> = [
            problem.file.clone(),
            problem.line.map(|line| line.to_string()),
            problem.column.map(|column| column.to_string()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let field = if problem.field.is_empty() {
            String::new()
        } else {
            format!("{}: ", problem.field)
        };
        let _ = writeln!(text, "{}: {field}{}", place.join(":"), problem.message);
    }
    for connection in &findings.connections {
        tell_connection(&mut text, connection);
    }
    for moved in &findings.moved {
        let _ = writeln!(text, "! {moved}");
    }
    for end in &findings.other_ends {
        let _ = writeln!(text, "! {end}. {OTHER_END_ADVICE}");
    }
    if !findings.removed.is_empty() {
        let _ = writeln!(
            text,
            "! the configuration does not name what is stored:\n{}\n  `tandem apply` and `tandem up` refuse it unless they are \
             told --prune, which removes this. Links stay with the name of their sync",
            listed(&findings.removed)
        );
    }
    if let Some(reason) = &findings.moved_unknown {
        let _ = writeln!(
            text,
            "whether the configuration fits what is stored, and a connection leads elsewhere than its records were linked, was NOT \
             looked at: {reason}"
        );
    }
    let verdict = if findings.ok {
        let syncs: Vec<&str> = findings.syncs.iter().map(SyncName::as_str).collect();
        match (findings.connections.is_empty(), syncs.is_empty()) {
            (true, true) => NOTHING.to_owned(),
            (_, true) => NO_SYNC.to_owned(),
            (_, false) => format!("all in order; syncs: {}", syncs.join(", ")),
        }
    } else if findings.problems.is_empty() {
        "NOT in order: see above, mend it, and check again".to_owned()
    } else {
        "the configuration is NOT in order; no system was asked".to_owned()
    };
    let _ = write!(text, "\n{verdict}");
    text
}

/// Writing to a `String` cannot fail, so its results are not looked at here and above.
fn tell_connection(text: &mut String, connection: &CheckedConnection) {
    let CheckedConnection {
        name, connector, ..
    } = connection;
    if let Some(error) = &connection.error {
        let _ = writeln!(text, "{name} ({connector}): FAILED\n  {error}");
        return;
    }
    let latency = or_dash(connection.latency_ms);
    let clock = connection.clock_offset_ms.map_or_else(
        || match connection.clock_doubt {
            Some(_) => "clock NOT used".to_owned(),
            None => "clock not known".to_owned(),
        },
        |offset| format!("clock {:+.1} s", offset as f64 / 1_000.0),
    );
    let credentials = connection.credentials.words();
    if connection.streams.is_empty() {
        let _ = writeln!(
            text,
            "{name} ({connector}): NOT asked anything: its manifest has no stream that could be read; {credentials}"
        );
        return;
    }
    let _ = writeln!(
        text,
        "{name} ({connector}): answers in {latency} ms, {credentials}, {clock}; asked for the first page of each stream"
    );
    if let Some(doubt) = &connection.clock_doubt {
        let _ = writeln!(text, "  ! {doubt}");
    }
    for stream in &connection.streams {
        let needed = if stream.syncs.is_empty() {
            ", used by no sync"
        } else {
            ""
        };
        match (&stream.error, stream.first_page) {
            (Some(error), _) => {
                let _ = writeln!(
                    text,
                    "  {}: CANNOT be read{needed}\n    {error}",
                    stream.name
                );
            }
            (None, rows) => {
                let _ = writeln!(
                    text,
                    "  {}: can be read, {} on the first page{needed}",
                    stream.name,
                    or_dash(rows)
                );
            }
        }
        if let Some(fields) = &stream.fields {
            let mut listed = table(&["field", "type", "writable", "required"]);
            for (field, info) in fields {
                let truth = |yes: bool| if yes { "yes" } else { "no" };
                listed.add_row([
                    field.clone(),
                    word(&info.field_type),
                    truth(info.writable).to_owned(),
                    truth(info.required).to_owned(),
                ]);
            }
            for line in fitted(&listed).lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(auth: &str, streams: &str) -> Manifest {
        let text = format!("manifest: 1\nname: tests\ntitle: Tests\n{auth}\nstreams: {streams}\n");
        Manifest::parse("tests.yaml", &text).expect("a manifest")
    }

    fn stream(ok: bool) -> CheckedStream {
        CheckedStream {
            name: "people".parse().expect("a name"),
            syncs: Vec::new(),
            ok,
            error: None,
            first_page: None,
            capabilities: None,
            fields: None,
        }
    }

    #[test]
    fn credentials_count_as_accepted_only_where_something_was_asked_with_them_and_answered() {
        let open = manifest("auth: none", "{}");
        let closed = manifest(
            "credentials: { token: A token }\nauth: { headers: { Authorization: \"Bearer {{ credentials.token }}\" } }",
            "{}",
        );
        let of = |manifest: &Manifest, streams: &[bool]| {
            let streams: Vec<CheckedStream> = streams.iter().map(|ok| stream(*ok)).collect();
            Credentials::of(manifest, &streams)
        };
        assert_eq!(of(&open, &[true]), Credentials::NotUsed);
        assert_eq!(of(&closed, &[false, true]), Credentials::Accepted);
        assert_eq!(of(&closed, &[false]), Credentials::NotChecked);
        assert_eq!(of(&closed, &[]), Credentials::NotChecked);
    }
}
