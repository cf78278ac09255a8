//! Two calm simulated systems, and what Tandem's configuration says of them.

use std::net::SocketAddr;

use anyhow::Context as _;
use tandem_simulator::{SimConfig, SimKind, Simulator, WebhookTarget};

use crate::hubspot::SECRET as CRM_SECRET;

/// The sync between them.
pub const SYNC: &str = "customers";
const FINANCE_SECRET: &str = "bench-finance-key";

/// What is wanted.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Companies in the population of the systems.
    pub records: usize,
    /// Jobs, and requests to one system, at once in a process.
    pub concurrency: usize,
    /// How long each request to a system takes at least.
    pub latency_ms: u64,
    /// Whether the systems tell what changes.
    pub webhooks: bool,
}

/// The two systems.
pub struct Systems {
    pub crm: Simulator,
    pub finance: Simulator,
}

impl Systems {
    /// Starts both.
    pub async fn start(plan: Plan) -> anyhow::Result<Self> {
        let config = |kind| SimConfig {
            records: plan.records,
            latency_ms: plan.latency_ms,
            ..SimConfig::new(kind)
        };
        Ok(Self {
            crm: Simulator::start(config(SimKind::Crm)).await?,
            finance: Simulator::start(config(SimKind::Finance)).await?,
        })
    }

    /// The secrets that the configuration names.
    pub fn secrets(&self) -> [(&'static str, String); 5] {
        let credentials = self.finance.credentials().clone();
        [
            ("CRM_TOKEN", self.crm.api_token().to_owned()),
            ("CRM_SECRET", CRM_SECRET.to_owned()),
            ("FINANCE_ID", credentials.client_id),
            ("FINANCE_SECRET", credentials.client_secret),
            ("FINANCE_HOOK", FINANCE_SECRET.to_owned()),
        ]
    }

    /// Has both tell what changes.
    pub fn tell(&self, tandem: SocketAddr) -> anyhow::Result<()> {
        let hook = |name: &str, secret: &str| WebhookTarget {
            url: format!("http://{tandem}/hooks/{name}"),
            secret: secret.to_owned(),
        };
        self.crm.set_webhook(Some(hook("crm", CRM_SECRET)))?;
        self.finance
            .set_webhook(Some(hook("books", FINANCE_SECRET)))?;
        Ok(())
    }

    /// Ends both.
    pub async fn stop(self) {
        self.crm.shutdown().await;
        self.finance.shutdown().await;
    }
}

/// Where a system listens.
pub fn address(system: &Simulator) -> anyhow::Result<SocketAddr> {
    let url = system.base_url();
    url.trim_start_matches("http://")
        .parse()
        .with_context(|| format!("the address {url}"))
}

/// What Tandem is told; `finance_url` is where it finds the finance system.
pub fn configuration(
    systems: &Systems,
    finance_url: &str,
    tandem: SocketAddr,
    plan: Plan,
) -> String {
    let concurrency = plan.concurrency;
    format!(
        r#"
server: {{ listen: "{tandem}" }}
worker: {{ concurrency: {concurrency} }}
connections:
  crm:
    connector: hubspot
    base_url: {crm}
    credentials: {{ token: {{ env: CRM_TOKEN }} }}
    webhook: {{ secrets: [ {{ env: CRM_SECRET }} ], public_url: "http://{tandem}" }}
    limits: {{ concurrency: {concurrency}, requests_per_second: 100000 }}
  books:
    connector: xero
    base_url: {finance_url}
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
        crm = systems.crm.base_url(),
        tenant = systems.finance.credentials().tenant_id,
    )
}
