//! A place to run commands in: two simulated systems, a configuration file, a data folder, and `tandem up`
//! as a child process where a test needs one.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tandem_simulator::{Field, Fields, SimConfig, SimKind, Simulator};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// Nothing here takes longer on a machine that works.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// The secret of the finance system's webhook.
pub const HOOK_SECRET: &str = "books-hook-secret";

/// What a command has answered.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// The one JSON document on standard output.
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Insists on the exit code.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// The program as built, without what the machine's own environment says about it.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    for name in [
        "TANDEM_CONFIG",
        "TANDEM_DATA",
        "TANDEM_API",
        "TANDEM_API_TOKEN",
        "TANDEM_API_TOKEN_FILE",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub async fn finish(mut command: Command, input: &str) -> Answer {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().expect("the program starts");
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(input.as_bytes())
            .await
            .expect("it reads its input");
    }
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("it ends in time").expect("it is waited for");
    Answer {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Runs the program without any systems.
pub async fn tandem(arguments: &[&str]) -> Answer {
    let mut command = program();
    command.args(arguments);
    finish(command, "").await
}

/// Two systems and a folder.
pub struct Site {
    pub crm: Simulator,
    pub books: Simulator,
    folder: TempDir,
}

/// A running `tandem up`.
pub struct Up {
    child: Child,
    pub address: String,
}

impl Site {
    /// Starts two calm systems with so many companies, and writes the configuration.
    pub async fn start(companies: usize) -> Self {
        let system = |kind| {
            Simulator::start(SimConfig {
                records: companies,
                ..SimConfig::new(kind)
            })
        };
        let crm = system(SimKind::Crm).await.expect("the CRM starts");
        let books = system(SimKind::Finance)
            .await
            .expect("the finance system starts");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let site = Self { crm, books, folder };
        site.write_config(&site.configuration());
        site
    }

    /// The configuration as it is to begin with: everything by hand.
    pub fn configuration(&self) -> String {
        format!(
            r#"server: {{ listen: "127.0.0.1:0" }}
connections:
  crm:
    connector: hubspot
    base_url: {crm}
    credentials: {{ token: {{ env: CRM_TOKEN }} }}
    limits: {{ timeout_secs: 5, requests_per_second: 10000 }}
  books:
    connector: xero
    base_url: {books}
    credentials: {{ client_id: {{ env: BOOKS_ID }}, client_secret: {{ env: BOOKS_SECRET }} }}
    variables: {{ tenant_id: "{tenant}", token_url: /connect/token }}
    webhook: {{ secrets: [ {{ env: BOOKS_HOOK }} ] }}
    limits: {{ timeout_secs: 5, requests_per_second: 10000 }}
syncs:
  customers:
    a: {{ connection: crm, stream: companies }}
    b: {{ connection: books, stream: contacts }}
    match: [email, name]
    fields: {{ name: {{}}, email: {{ equality: folded }}, phone: {{}}, city: {{}} }}
    schedule: {{ poll_a: manual, poll_b: manual, full: manual }}
"#,
            crm = self.crm.base_url(),
            books = self.books.base_url(),
            tenant = self.books.credentials().tenant_id,
        )
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("tandem.yaml")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn write_config(&self, text: &str) {
        std::fs::write(self.config(), text).expect("the configuration is written");
    }

    /// The program with the configuration, the data folder and the secrets in its environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let credentials = self.books.credentials();
        let mut command = program();
        command
            .args(arguments)
            .env("TANDEM_CONFIG", self.config())
            .env("TANDEM_DATA", self.data())
            .env("CRM_TOKEN", self.crm.api_token())
            .env("BOOKS_ID", &credentials.client_id)
            .env("BOOKS_SECRET", &credentials.client_secret)
            .env("BOOKS_HOOK", HOOK_SECRET);
        command
    }

    /// Runs a command to its end.
    pub async fn tandem(&self, arguments: &[&str]) -> Answer {
        finish(self.command(arguments), "").await
    }

    /// Runs a command with `--json`, insists on the exit code, and gives the document.
    pub async fn json(&self, code: i32, arguments: &[&str]) -> Json {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        self.tandem(&arguments).await.expect(code).json()
    }

    /// Starts `tandem up` and waits until it says that it is.
    pub async fn up(&self) -> Up {
        self.up_by(self.command(&["up"])).await
    }

    /// The same by a command of one's own.
    pub async fn up_by(&self, mut command: Command) -> Up {
        command.stdout(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let stderr = child.stderr.take().expect("its log is read");
        let mut lines = BufReader::new(stderr).lines();
        let told = async {
            while let Some(line) = lines.next_line().await.expect("its log is text") {
                if let Some((_, rest)) = line.split_once("address=") {
                    return rest
                        .split_whitespace()
                        .next()
                        .expect("an address")
                        .to_owned();
                }
            }
            panic!("tandem up ended before it was up");
        };
        let address = tokio::time::timeout(PATIENCE, told)
            .await
            .expect("it is up in time");
        // The log goes on being read, so that the process is never held up by a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Up { child, address }
    }

    /// Compares both sides whole, and waits until all is done.
    pub async fn sync(&self, code: i32) -> Json {
        self.json(code, &["sync", "run", "customers", "--wait"])
            .await
    }

    /// Asks until the answer is as wanted.
    pub async fn until(&self, arguments: &[&str], wanted: impl Fn(&Json) -> bool) -> Json {
        let asking = async {
            loop {
                let answer = self.json(0, arguments).await;
                if wanted(&answer) {
                    return answer;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let asked = tokio::time::timeout(PATIENCE, asking).await;
        asked.unwrap_or_else(|_| panic!("{arguments:?} never answered as wanted"))
    }
}

impl Up {
    /// Has it read its configuration again.
    pub fn hang_up(&self) {
        let id = self.child.id().expect("it runs");
        let pid = i32::try_from(id)
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process");
        kill_process(pid, Signal::HUP).expect("it is told");
    }

    /// Ends it.
    pub async fn stop(mut self) {
        self.child.kill().await.expect("it ends");
    }
}

/// A company with these fields.
pub fn company(fields: &[(Field, &str)]) -> Fields {
    let mut company = Fields::default();
    for (field, value) in fields {
        company.set(*field, *value);
    }
    company
}

/// The id of the record with this e-mail in a system.
pub fn id_of(system: &Simulator, email: &str) -> String {
    let state = system.state();
    let found = state
        .records
        .iter()
        .find(|record| record.fields.get(Field::Email) == email);
    found
        .unwrap_or_else(|| panic!("no record has {email}"))
        .id
        .clone()
}

/// The texts under a key in a list.
pub fn texts<'a>(list: &'a Json, key: &str) -> Vec<&'a str> {
    let rows = list
        .as_array()
        .unwrap_or_else(|| panic!("not a list: {list}"));
    rows.iter().filter_map(|row| row[key].as_str()).collect()
}
