//! A configuration, a data folder, and a `tandem up`.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::manifest::Manifest;
use super::mock::Mock;
use crate::common::http::{ANSWER_MAX, client, get, get_text, within};
use crate::common::program;
use crate::common::system::free_port;

/// Nothing that these tests wait for takes longer, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(45);
const HOOK_TOKEN: &str = "hook-token-of-the-tests";

/// What happens to the partner of a record of side a that is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletes {
    #[default]
    Ignore,
    Propagate,
}

/// Two systems and the Tandem between them.
pub struct Site {
    pub a: Mock,
    pub b: Mock,
    folder: TempDir,
    port: u16,
    tandem: Option<Child>,
}

impl Site {
    /// Writes manifests and configuration; nothing runs yet but the systems.
    pub fn new(a: Mock, b: Mock, (of_a, of_b): (Manifest, Manifest), deletes: Deletes) -> Self {
        let site = Self {
            a,
            b,
            folder: tempfile::tempdir().expect("a temporary folder"),
            port: free_port(),
            tandem: None,
        };
        site.write("a.yaml", &of_a.text());
        site.write("b.yaml", &of_b.text());
        site.write("tandem.yaml", &site.configuration(deletes));
        site
    }

    /// Two systems of the plain manifest, and Tandem up between them.
    pub async fn up(a: Mock, b: Mock) -> Self {
        Self::new(a, b, Default::default(), Deletes::Ignore)
            .started()
            .await
    }

    pub async fn started(mut self) -> Self {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log());
        let mut command = self.command();
        command
            .arg("up")
            .env("RUST_LOG", "info")
            .stdout(Stdio::null())
            .stderr(log.expect("the log can be written"));
        self.tandem = Some(command.spawn().expect("the program starts"));
        let ready = format!("{}/health/ready", self.base_url());
        self.until("tandem is up", async || get_text(&ready).await.is_some())
            .await;
        self
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("it can be written");
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("tandem.log")
    }

    fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn configuration(&self, deletes: Deletes) -> String {
        let deletes = match deletes {
            Deletes::Ignore => "{ a_gone: ignore, b_gone: ignore }",
            Deletes::Propagate => "{ a_gone: propagate, b_gone: ignore }",
        };
        format!(
            r#"server: {{ listen: "127.0.0.1:{port}", shutdown_secs: 2 }}
worker: {{ shutdown_secs: 2 }}
connections:
  left:
    connector: a.yaml
    base_url: {a}
    limits: {{ requests_per_second: 0, timeout_secs: 2 }}
    webhook: {{ secrets: [ {{ env: HOOK_TOKEN }} ] }}
  right:
    connector: b.yaml
    base_url: {b}
    limits: {{ requests_per_second: 0, timeout_secs: 2 }}
    webhook: {{ secrets: [ {{ env: HOOK_TOKEN }} ] }}
syncs:
  people:
    a: {{ connection: left, stream: people }}
    b: {{ connection: right, stream: people }}
    match: [email, name]
    fields: {{ name: {{}}, email: {{ equality: folded }}, city: {{}}, note: {{}} }}
    deletes: {deletes}
    overlap_secs: 5
    retry: {{ retries: 6, base_secs: 1, max_secs: 2 }}
    schedule: {{ poll_a: every 2 seconds, poll_b: every 2 seconds, full: weekly }}
"#,
            port = self.port,
            a = self.a.base_url(),
            b = self.b.base_url(),
        )
    }

    fn command(&self) -> Command {
        let mut command = program::tandem();
        command
            .env("HOOK_TOKEN", HOOK_TOKEN)
            .env("TANDEM_CONFIG", self.folder.path().join("tandem.yaml"))
            .env("TANDEM_DATA", self.folder.path().join("data"));
        command
    }

    /// `tandem` with these arguments; gives the exit code and what it said.
    pub async fn tandem(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.command().args(arguments).output().await;
        let output = output.expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// Compares both sides whole, once, and waits for its end.
    pub async fn compare_whole(&self) -> Option<i32> {
        self.tandem(&["sync", "run", "people", "--wait"]).await.0
    }

    /// Waits for a condition; at the deadline says what there is instead.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let met = within(PATIENCE, async || holds().await.then_some(())).await;
        assert!(met.is_some(), "it never came that {what}. {}", self.story());
    }

    /// What both systems hold, and the end of Tandem's log.
    pub fn story(&self) -> String {
        let held = |mock: &Mock| {
            let books = mock.books();
            let rows: Vec<String> = books
                .rows
                .iter()
                .map(|(id, row)| format!("{id}: {}", Json::Object(row.fields.clone())))
                .collect();
            rows.join("\n  ")
        };
        format!(
            "\na\n  {}\nb\n  {}\nlog\n{}",
            held(&self.a),
            held(&self.b),
            program::tail(&self.log())
        )
    }

    /// The list that an address of the API answers.
    pub async fn listed(&self, path: &str) -> Vec<Json> {
        let url = format!("{}/api/v1{path}", self.base_url());
        let page: Option<Json> = get(&url).await;
        let page = page.unwrap_or_else(|| panic!("{url} answers. {}", self.story()));
        page["items"].as_array().cloned().unwrap_or_default()
    }

    /// What Prometheus would read.
    pub async fn metrics(&self) -> String {
        let text = get_text(&format!("{}/metrics", self.base_url())).await;
        text.unwrap_or_else(|| panic!("the metrics can be read. {}", self.story()))
    }

    /// The questions of a kind, whatever became of them.
    pub async fn questions(&self, kind: &str) -> Vec<Json> {
        self.listed(&format!("/conflicts?kind={kind}")).await
    }

    pub async fn dead_letters(&self) -> Vec<Json> {
        self.listed("/dead-letters").await
    }

    /// The first sync has ended.
    pub async fn first_sync(&self) {
        self.until("the first sync ends", async || {
            let runs = self.listed("/runs?kind=backfill").await;
            runs.iter()
                .any(|run| run["state"] == "succeeded" || run["state"] == "partial")
        })
        .await;
    }

    /// A webhook of the system of a connection; gives the status of the answer.
    pub async fn hook(&self, connection: &str, events: &[Json]) -> u16 {
        let url = format!("{}/hooks/{connection}?token={HOOK_TOKEN}", self.base_url());
        let body = json!({ "events": events }).to_string();
        let request = client().post(url).timeout(ANSWER_MAX);
        let request = request.header("content-type", "application/json");
        let answer = request.body(body).send().await;
        answer.expect("tandem answers").status().as_u16()
    }

    /// After two more whole comparisons nothing more has been written to either side.
    pub async fn rests(&self) {
        self.compare_whole().await;
        let writes = || (self.a.books().writes(), self.b.books().writes());
        let before = writes();
        self.compare_whole().await;
        assert_eq!(writes(), before, "it goes on writing. {}", self.story());
    }
}
