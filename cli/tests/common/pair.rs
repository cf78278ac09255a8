//! Two simulated systems, and what a user's configuration file says of them.

use tandem_simulator::{SimConfig, SimKind};
use tokio::process::Command;

use super::system::SystemOptions;

/// The secrets that the configuration names.
pub const CRM_HOOK_SECRET: &str = "crm-webhook-secret";
pub const BOOKS_HOOK_SECRET: &str = "books-webhook-key";

/// Clocks are minutes apart, as seen in the field.
const CRM_SKEW_SECS: i64 = 140;
const BOOKS_SKEW_SECS: i64 = -95;

/// What a test may change about the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub polls: &'static str,
    /// When the sides are compared whole.
    pub full: &'static str,
    /// So many retries, after 1 s at first and 10 s at most.
    pub retries: u32,
    /// How long a system may take to answer.
    pub timeout_secs: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            polls: "every 2 seconds",
            full: "weekly",
            retries: 8,
            timeout_secs: 2,
        }
    }
}

/// The two systems of a test; they need not run.
#[derive(Clone, Debug)]
pub struct Pair {
    pub crm: SystemOptions,
    pub books: SystemOptions,
}

impl Pair {
    /// Two calm systems with one population.
    pub fn new(records: usize, seed: u64) -> Self {
        Self {
            crm: SystemOptions::new(SimKind::Crm, records, seed),
            books: SystemOptions::new(SimKind::Finance, records, seed),
        }
    }

    /// Has both systems tell what changes to the Tandem at this address.
    pub fn tell(&mut self, tandem: &str) {
        self.crm.webhook = Some((hook(tandem, "crm"), CRM_HOOK_SECRET.to_owned()));
        self.books.webhook = Some((hook(tandem, "books"), BOOKS_HOOK_SECRET.to_owned()));
    }

    /// Has users edit both systems, so many times a second each; this share of requests goes wrong, and
    /// neither clock is right.
    pub fn unsettle(&mut self, edits_per_second: f64, faults: f64) {
        for system in [&mut self.crm, &mut self.books] {
            system.edits_per_second = edits_per_second;
            system.faults = faults;
        }
        self.crm.skew_secs = CRM_SKEW_SECS;
        self.books.skew_secs = BOOKS_SKEW_SECS;
    }

    /// Connections and syncs, for a Tandem that its senders know under this address.
    pub fn configuration(&self, tandem: &str, settings: &Settings) -> String {
        format!(
            r#"connections:
  crm:
    connector: hubspot
    base_url: {crm}
    credentials: {{ token: {{ env: CRM_TOKEN }} }}
    webhook: {{ secrets: [ {{ env: CRM_HOOK }} ], public_url: "{tandem}" }}
    limits: {{ timeout_secs: {timeout}, concurrency: 16, requests_per_second: 10000 }}
  books:
    connector: xero
    base_url: {books}
    credentials: {{ client_id: {{ env: BOOKS_ID }}, client_secret: {{ env: BOOKS_SECRET }} }}
    variables: {{ tenant_id: "{tenant}", token_url: /connect/token }}
    webhook: {{ secrets: [ {{ env: BOOKS_HOOK }} ] }}
    limits: {{ timeout_secs: {timeout}, concurrency: 16, requests_per_second: 10000 }}
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
    deletes: {{ confirm_secs: 5 }}
    overlap_secs: 30
    schedule: {{ poll_a: "{polls}", poll_b: "{polls}", full: "{full}" }}
"#,
            crm = self.crm.base_url(),
            books = self.books.base_url(),
            tenant = SimConfig::new(SimKind::Finance).credentials.tenant_id,
            timeout = settings.timeout_secs,
            retries = settings.retries,
            polls = settings.polls,
            full = settings.full,
        )
    }
}

/// The webhook address of a connection.
pub fn hook(tandem: &str, connection: &str) -> String {
    format!("{tandem}/hooks/{connection}")
}

/// Puts the secrets that the configuration names into the environment of a program.
pub fn with_secrets(command: &mut Command) -> &mut Command {
    let known = SimConfig::new(SimKind::Finance);
    command
        .env("CRM_TOKEN", &known.api_token)
        .env("CRM_HOOK", CRM_HOOK_SECRET)
        .env("BOOKS_ID", &known.credentials.client_id)
        .env("BOOKS_SECRET", &known.credentials.client_secret)
        .env("BOOKS_HOOK", BOOKS_HOOK_SECRET)
}
