//! What a simulated system is told before it starts.

/// Which system is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SimKind {
    /// HubSpot-shaped: companies.
    Crm,
    /// Xero-shaped: contacts.
    Finance,
}

impl SimKind {
    /// `crm` or `finance`.
    pub fn name(self) -> &'static str {
        match self {
            SimKind::Crm => "crm",
            SimKind::Finance => "finance",
        }
    }
}

/// Where webhooks go and what they are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookTarget {
    /// An `http://` address; the simulators speak no TLS.
    pub url: String,
    /// The signing secret as the vendor shows it: used as text, never decoded.
    pub secret: String,
}

/// The finance system's OAuth client and tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinanceCredentials {
    pub client_id: String,
    pub client_secret: String,
    pub tenant_id: String,
}

/// Everything a simulated system is told before it starts.
#[derive(Clone, Debug)]
pub struct SimConfig {
    pub kind: SimKind,
    /// The loopback port; a free one is taken when there is none.
    pub port: Option<u16>,
    /// Number of companies in the population that both systems share, *not* of records here:
    /// about 80 % of them start in each system.
    pub records: usize,
    /// The same seed for both systems gives them the same population.
    pub seed: u64,
    /// Share of requests and webhooks that go wrong, 0 to 1.
    pub faults: f64,
    /// Random edits by simulated users.
    pub edits_per_second: f64,
    pub webhook: Option<WebhookTarget>,
    /// How far this system's clock is ahead of the machine's.
    pub clock_skew_secs: i64,
    /// Added to every API request.
    pub latency_ms: u64,
    /// How long a request that is never answered is held before its connection is closed.
    pub hang_secs: f64,
    /// Whether the finance system replays its answer to a repeated `Idempotency-Key`.
    pub honour_idempotency_key: bool,
    /// The CRM's bearer token.
    pub api_token: String,
    pub credentials: FinanceCredentials,
    /// Life of the finance system's access tokens.
    pub token_lifetime_secs: u64,
}

impl SimConfig {
    /// A calm system: no faults, no edits, no webhooks, a right clock.
    pub fn new(kind: SimKind) -> SimConfig {
        SimConfig {
            kind,
            port: None,
            records: 100,
            seed: 1,
            faults: 0.0,
            edits_per_second: 0.0,
            webhook: None,
            clock_skew_secs: 0,
            latency_ms: 0,
            hang_secs: 5.0,
            honour_idempotency_key: true,
            api_token: "sim-crm-token".to_owned(),
            credentials: FinanceCredentials {
                client_id: "sim-finance-client".to_owned(),
                client_secret: "sim-finance-secret".to_owned(),
                tenant_id: "6d1f0c52-7c3e-4b7a-9a53-5f1e2c0a9b11".to_owned(),
            },
            token_lifetime_secs: 1_800,
        }
    }
}
