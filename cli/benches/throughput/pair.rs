//! Two calm simulated systems with Tandem between them, wired as `tandem up` is.

use std::net::TcpListener;
use std::path::Path;

use anyhow::Context as _;
use tandem_domain::{Clock, JobId, SyncName};
use tandem_runtime::process::Storage;
use tandem_runtime::{Configuration, SystemClock, SystemEntropy};
use tandem_simulator::{SimConfig, SimKind, Simulator, WebhookTarget};
use tandem_store::{Hints, JobClass, JobKind, NewJob, Store, Trigger};

use crate::embedded::{DATABASE, Embedded, EmbeddedOptions};

const CRM_SECRET: &str = "bench-crm-secret";
const FINANCE_SECRET: &str = "bench-finance-key";
const SYNC: &str = "customers";

/// Everything that runs.
pub struct Pair {
    pub crm: Simulator,
    pub finance: Simulator,
    embedded: Embedded,
}

impl Pair {
    /// Starts the two systems, then Tandem, then their webhooks.
    pub async fn start(folder: &Path, records: usize, concurrency: usize) -> anyhow::Result<Self> {
        let crm = Simulator::start(SimConfig {
            records,
            ..SimConfig::new(SimKind::Crm)
        })
        .await?;
        let finance = Simulator::start(SimConfig {
            records,
            ..SimConfig::new(SimKind::Finance)
        })
        .await?;
        let port = free_port()?;
        let text = configuration(&crm, &finance, port, concurrency);
        let configuration = Configuration::parse(Path::new("bench.yaml"), &text)?;
        let credentials = finance.credentials().clone();
        let token = crm.api_token().to_owned();
        let environment = move |name: &str| match name {
            "CRM_TOKEN" => Some(token.clone()),
            "CRM_SECRET" => Some(CRM_SECRET.to_owned()),
            "FINANCE_ID" => Some(credentials.client_id.clone()),
            "FINANCE_SECRET" => Some(credentials.client_secret.clone()),
            "FINANCE_HOOK" => Some(FINANCE_SECRET.to_owned()),
            _ => None,
        };
        let options = EmbeddedOptions {
            storage: Storage::Sqlite {
                file: folder.join(DATABASE),
                exclusive: true,
            },
            environment: Box::new(environment),
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
        })
    }

    pub fn store(&self) -> &dyn Store {
        self.embedded.store.as_ref()
    }

    pub fn sync(&self) -> anyhow::Result<SyncName> {
        Ok(SYNC.parse()?)
    }

    pub async fn start_first_sync(&self) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let job = NewJob {
            id: JobId::new(now, &SystemEntropy),
            kind: JobKind::Backfill { sync: self.sync()? },
            class: JobClass::Backfill,
            trigger: Trigger::Manual,
            run_at: now,
            hints: Hints::default(),
            traceparent: None,
        };
        let ids = self.store().enqueue(vec![job], now).await?;
        self.embedded.doorbell.ring(&ids);
        Ok(())
    }

    /// Stops Tandem; the systems stay, and tell nobody any more.
    pub async fn stop_tandem(self) -> anyhow::Result<(Simulator, Simulator)> {
        self.crm.set_webhook(None)?;
        self.finance.set_webhook(None)?;
        self.embedded.stop().await?;
        Ok((self.crm, self.finance))
    }
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener
        .local_addr()
        .context("looking for a free port")?
        .port())
}

fn configuration(crm: &Simulator, finance: &Simulator, port: u16, concurrency: usize) -> String {
    format!(
        r#"
server: {{ listen: "127.0.0.1:{port}" }}
worker: {{ concurrency: {concurrency} }}
connections:
  crm:
    connector: hubspot
    base_url: {crm}
    credentials: {{ token: {{ env: CRM_TOKEN }} }}
    webhook: {{ secrets: [ {{ env: CRM_SECRET }} ], public_url: "http://127.0.0.1:{port}" }}
    limits: {{ concurrency: {concurrency}, requests_per_second: 100000 }}
  books:
    connector: xero
    base_url: {books}
    credentials: {{ client_id: {{ env: FINANCE_ID }}, client_secret: {{ env: FINANCE_SECRET }} }}
    variables: {{ tenant_id: "{tenant}", token_url: "/connect/token" }}
    webhook: {{ secrets: [ {{ env: FINANCE_HOOK }} ] }}
    limits: {{ concurrency: {concurrency}, requests_per_second: 100000 }}
syncs:
  {SYNC}:
    a: {{ connection: crm, stream: companies }}
    b: {{ connection: books, stream: contacts }}
    match: [email, name]
    conflict: last_write_wins
    concurrency: {concurrency}
    fields:
      name: {{}}
      email: {{ equality: folded }}
      phone: {{}}
      city: {{}}
      country: {{}}
      tax_number: {{}}
      website: {{}}
      credit_limit: {{ equality: {{ decimals: 2 }} }}
    schedule: {{ poll_a: manual, poll_b: manual, full: manual }}
"#,
        crm = crm.base_url(),
        books = finance.base_url(),
        tenant = finance.credentials().tenant_id,
    )
}
