//! The demo's world: two simulated systems with wrong clocks, and Tandem between them.

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Context as _;
use tandem_domain::{Clock, JobId, Side, SyncName};
use tandem_runtime::process::Storage;
use tandem_runtime::{Configuration, SyncDefinition, SystemClock, SystemEntropy};
use tandem_simulator::{SimConfig, SimKind, SimState, Simulator, WebhookTarget};
use tandem_store::{Hints, JobClass, JobKind, NewJob, Store, Trigger};

use super::DemoArgs;
use crate::embedded::{DATABASE, Embedded, EmbeddedOptions};

/// The CRM's clock is ahead, finance's is behind: minutes apart, as seen in the field.
const CRM_SKEW_SECS: i64 = 140;
const FINANCE_SKEW_SECS: i64 = -95;
/// A request that is never answered is held longer than Tandem waits for it (`timeout_secs` below).
const HANG_SECS: f64 = 3.0;
const CRM_SECRET: &str = "demo-crm-webhook-secret";
const FINANCE_SECRET: &str = "demo-finance-webhook-key";
const SYNC: &str = "customers";

/// Everything that runs.
pub struct World {
    pub crm: Simulator,
    pub finance: Simulator,
    embedded: Embedded,
    folder: tempfile::TempDir,
}

impl World {
    /// Starts the two systems, then Tandem, then their webhooks.
    pub async fn start(args: &DemoArgs) -> anyhow::Result<Self> {
        let crm = simulator(SimKind::Crm, CRM_SKEW_SECS, args).await?;
        let finance = simulator(SimKind::Finance, FINANCE_SKEW_SECS, args).await?;
        let port = free_port()?;
        let text = configuration(&crm, &finance, port);
        let configuration = Configuration::parse(std::path::Path::new("demo.yaml"), &text)?;
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let credentials = finance.credentials().clone();
        let token = crm.api_token().to_owned();
        let environment = move |name: &str| match name {
            "DEMO_CRM_TOKEN" => Some(token.clone()),
            "DEMO_CRM_SECRET" => Some(CRM_SECRET.to_owned()),
            "DEMO_FINANCE_ID" => Some(credentials.client_id.clone()),
            "DEMO_FINANCE_SECRET" => Some(credentials.client_secret.clone()),
            "DEMO_FINANCE_HOOK" => Some(FINANCE_SECRET.to_owned()),
            _ => None,
        };
        let options = EmbeddedOptions {
            listen: None,
            prune: false,
            storage: Storage::Sqlite {
                file: folder.path().join(DATABASE),
                exclusive: true,
            },
            environment: Box::new(environment),
            file: None,
        };
        let embedded = Embedded::start(&configuration, options).await?;
        let hook = |name: &str, secret: &str| WebhookTarget {
            url: format!("http://127.0.0.1:{port}/hooks/{name}"),
            secret: secret.to_owned(),
        };
        crm.set_webhook(Some(hook("crm", CRM_SECRET)))?;
        finance.set_webhook(Some(hook("books", FINANCE_SECRET)))?;
        Ok(Self {
            crm,
            finance,
            embedded,
            folder,
        })
    }

    pub fn store(&self) -> &dyn Store {
        self.embedded.store.as_ref()
    }

    /// The one sync of the demo.
    pub fn sync(&self) -> Arc<SyncDefinition> {
        let syncs = &self.embedded.topology.syncs;
        // The configuration below has exactly one sync, and it was built from it.
        Arc::clone(
            syncs
                .values()
                .next()
                .expect("the demo's configuration has a sync"),
        )
    }

    /// What both systems hold, from themselves.
    pub fn states(&self) -> (SimState, SimState) {
        (self.crm.state(), self.finance.state())
    }

    /// Ends faults; what is under way goes on.
    pub fn quiet(&self) {
        self.crm.quiet();
        self.finance.quiet();
    }

    pub async fn start_first_sync(&self) -> anyhow::Result<()> {
        let sync: SyncName = SYNC.parse()?;
        self.enqueue(
            JobKind::Backfill { sync },
            JobClass::Backfill,
            Trigger::Manual,
        )
        .await
    }

    pub async fn poll(&self, side: Side) -> anyhow::Result<()> {
        let sync: SyncName = SYNC.parse()?;
        self.enqueue(
            JobKind::Poll { sync, side },
            JobClass::Poll,
            Trigger::Schedule,
        )
        .await
    }

    async fn enqueue(
        &self,
        kind: JobKind,
        class: JobClass,
        trigger: Trigger,
    ) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let job = NewJob {
            id: JobId::new(now, &SystemEntropy),
            kind,
            class,
            trigger,
            run_at: now,
            hints: Hints::default(),
            traceparent: None,
        };
        let ids = self.store().enqueue(vec![job], now).await?;
        self.embedded.doorbell.ring(&ids);
        Ok(())
    }

    /// Rings for jobs that an operator caused.
    pub fn ring(&self, jobs: &[JobId]) {
        self.embedded.doorbell.ring(jobs);
    }

    pub fn introduction(&self) -> String {
        format!(
            "  crm    HubSpot-shaped  {}  clock {CRM_SKEW_SECS:+} s, signed webhooks\n  \
             books  Xero-shaped     {}  clock {FINANCE_SKEW_SECS:+} s, signed webhooks\n  \
             tandem                 http://{}\n",
            self.crm.base_url(),
            self.finance.base_url(),
            self.embedded.address
        )
    }

    pub fn addresses(&self) -> String {
        format!(
            "\nStaying up. Look at {}/_sim/state and {}/_sim/state, http://{}/api/v1/status; the database is in {}. Ctrl-C ends it.",
            self.crm.base_url(),
            self.finance.base_url(),
            self.embedded.address,
            self.folder.path().display()
        )
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.embedded.stop().await?;
        self.crm.shutdown().await;
        self.finance.shutdown().await;
        Ok(())
    }
}

async fn simulator(kind: SimKind, skew: i64, args: &DemoArgs) -> anyhow::Result<Simulator> {
    let config = SimConfig {
        records: args.records,
        seed: args.seed,
        faults: args.faults,
        clock_skew_secs: skew,
        hang_secs: HANG_SECS,
        ..SimConfig::new(kind)
    };
    Simulator::start(config)
        .await
        .with_context(|| format!("starting the simulated {}", kind.name()))
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener
        .local_addr()
        .context("looking for a free port")?
        .port())
}

/// The same words that a user would write.
fn configuration(crm: &Simulator, finance: &Simulator, port: u16) -> String {
    format!(
        r#"
server: {{ listen: "127.0.0.1:{port}" }}
connections:
  crm:
    connector: hubspot
    base_url: {crm}
    credentials: {{ token: {{ env: DEMO_CRM_TOKEN }} }}
    webhook: {{ secrets: [ {{ env: DEMO_CRM_SECRET }} ], public_url: "http://127.0.0.1:{port}" }}
    limits: {{ timeout_secs: 2, concurrency: 16, requests_per_second: 10000 }}
  books:
    connector: xero
    base_url: {books}
    credentials: {{ client_id: {{ env: DEMO_FINANCE_ID }}, client_secret: {{ env: DEMO_FINANCE_SECRET }} }}
    variables: {{ tenant_id: "{tenant}", token_url: "/connect/token" }}
    webhook: {{ secrets: [ {{ env: DEMO_FINANCE_HOOK }} ] }}
    limits: {{ timeout_secs: 2, concurrency: 16, requests_per_second: 10000 }}
syncs:
  {SYNC}:
    a: {{ connection: crm, stream: companies }}
    b: {{ connection: books, stream: contacts }}
    match: [email, name]
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
    retry: {{ retries: 8, base_secs: 1, max_secs: 10 }}
    overlap_secs: 30
    deletes: {{ confirm_secs: 5 }}
    schedule: {{ poll_a: "every 5 seconds", poll_b: "every 5 seconds", full: manual }}
"#,
        crm = crm.base_url(),
        books = finance.base_url(),
        tenant = finance.credentials().tenant_id,
    )
}
