//! Two simulated systems, a configuration file as a user writes it, and a data folder that stays.

use std::path::PathBuf;
use std::time::Duration;

use tandem_simulator::{Comparison, SimConfig, SimKind, SimState, compare};
use tempfile::TempDir;
use tokio::process::Command;

use crate::http::within;
use crate::system::{System, SystemOptions, free_port, program};
use crate::tandem::{Tandem, dead_jobs, open_jobs};

/// The secrets that the configuration names.
pub const CRM_HOOK_SECRET: &str = "crm-webhook-secret";
pub const BOOKS_HOOK_SECRET: &str = "books-webhook-key";

/// What a test may change about the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub polls: &'static str,
    /// So many retries, after 1 s at first and 10 s at most.
    pub retries: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            polls: "every 2 seconds",
            retries: 8,
        }
    }
}

/// Where everything is.
pub struct Site {
    folder: TempDir,
    pub crm: SystemOptions,
    pub books: SystemOptions,
    port: u16,
}

/// What both systems hold.
pub struct States {
    pub crm: SimState,
    pub books: SimState,
}

impl Site {
    /// Chooses ports, and writes the configuration; nothing runs yet.
    pub fn new(records: usize, seed: u64, settings: &Settings) -> Self {
        let site = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            crm: SystemOptions::new(SimKind::Crm, records, seed),
            books: SystemOptions::new(SimKind::Finance, records, seed),
            port: free_port(),
        };
        std::fs::write(site.config(), site.configuration(settings))
            .expect("the configuration can be written");
        site
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("tandem.yaml")
    }

    fn configuration(&self, settings: &Settings) -> String {
        format!(
            r#"server: {{ listen: "127.0.0.1:{port}", shutdown_secs: 5 }}
worker: {{ shutdown_secs: 5 }}
connections:
  crm:
    connector: hubspot
    base_url: {crm}
    credentials: {{ token: {{ env: CRM_TOKEN }} }}
    webhook: {{ secrets: [ {{ env: CRM_HOOK }} ], public_url: "{tandem}" }}
    limits: {{ timeout_secs: 2, concurrency: 16, requests_per_second: 10000 }}
  books:
    connector: xero
    base_url: {books}
    credentials: {{ client_id: {{ env: BOOKS_ID }}, client_secret: {{ env: BOOKS_SECRET }} }}
    variables: {{ tenant_id: "{tenant}", token_url: /connect/token }}
    webhook: {{ secrets: [ {{ env: BOOKS_HOOK }} ] }}
    limits: {{ timeout_secs: 2, concurrency: 16, requests_per_second: 10000 }}
syncs:
  customers:
    a: {{ connection: crm, stream: companies }}
    b: {{ connection: books, stream: contacts }}
    match: [email, name]
    # Nobody is there to answer questions: of two that match, the first is linked.
    ambiguous: first
    conflict: last_write_wins
    fields:
      name: {{}}
      email: {{ equality: folded }}
      phone: {{}}
      city: {{}}
      country: {{}}
      tax_number: {{}}
      website: {{}}
      credit_limit: {{ equality: {{ decimals: 2 }} }}
    retry: {{ retries: {retries}, base_secs: 1, max_secs: 10 }}
    overlap_secs: 30
    schedule: {{ poll_a: "{polls}", poll_b: "{polls}", full: "weekly" }}
"#,
            port = self.port,
            crm = self.crm.base_url(),
            books = self.books.base_url(),
            tandem = self.base_url(),
            tenant = SimConfig::new(SimKind::Finance).credentials.tenant_id,
            retries = settings.retries,
            polls = settings.polls,
        )
    }

    /// The address of Tandem.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The webhook address of a connection.
    pub fn hook(&self, connection: &str) -> String {
        format!("{}/hooks/{connection}", self.base_url())
    }

    /// Has both systems tell Tandem what changes.
    pub fn with_webhooks(mut self) -> Self {
        self.crm.webhook = Some((self.hook("crm"), CRM_HOOK_SECRET.to_owned()));
        self.books.webhook = Some((self.hook("books"), BOOKS_HOOK_SECRET.to_owned()));
        self
    }

    /// `tandem` with the configuration, the data folder and the secrets in its environment.
    pub fn command(&self) -> Command {
        let known = SimConfig::new(SimKind::Finance);
        let mut command = program();
        command
            .env("TANDEM_CONFIG", self.config())
            .env("TANDEM_DATA", self.folder.path().join("data"))
            .env("CRM_TOKEN", &known.api_token)
            .env("CRM_HOOK", CRM_HOOK_SECRET)
            .env("BOOKS_ID", &known.credentials.client_id)
            .env("BOOKS_SECRET", &known.credentials.client_secret)
            .env("BOOKS_HOOK", BOOKS_HOOK_SECRET)
            .env("NO_COLOR", "1");
        command
    }

    /// Starts `tandem up`; it need not be ready.
    pub fn spawn(&self) -> Tandem {
        let log = self.folder.path().join("tandem.log");
        Tandem::spawn(self.command(), self.base_url(), &log)
    }

    /// Starts `tandem up`, and waits until it is ready.
    pub async fn up(&self) -> Tandem {
        self.spawn().ready().await
    }

    /// Leaves the data folder and the log for a person to look at.
    pub fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }
}

/// What both systems hold.
pub async fn states(crm: &System, books: &System) -> States {
    States {
        crm: crm.state().await,
        books: books.state().await,
    }
}

/// Waits until Tandem has nothing left to do and both systems agree, for so long at most. Gives the last
/// verdict, and whether that was so.
pub async fn agreement(
    (crm, books): (&System, &System),
    initial: &States,
    tandem: &Tandem,
    limit: Duration,
) -> (Comparison, bool) {
    let judge = async || {
        let now = states(crm, books).await;
        compare(&now.crm, &now.books, &initial.crm, &initial.books)
    };
    let settled = within(limit, async || {
        let status = tandem.status().await?;
        let idle = open_jobs(&status)? == 0 && dead_jobs(&status)? == 0;
        if !idle {
            return None;
        }
        let verdict = judge().await;
        verdict.agree.then_some(verdict)
    });
    match settled.await {
        Some(verdict) => (verdict, true),
        None => (judge().await, false),
    }
}
