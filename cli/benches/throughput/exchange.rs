//! What reconciling a change takes at least: the requests that read both sides and write one, sent plainly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;
use tandem_domain::RecordId;
use tandem_simulator::Simulator;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::{self, Connection};
use crate::systems::{Systems, address};

/// Reading both sides and writing one.
pub const REQUESTS_PER_CHANGE: usize = 3;

/// The ids of a linked pair.
pub type Linked = (RecordId, RecordId);

/// A phone number that was not in use before.
pub fn phone(prefix: &str, number: usize) -> String {
    format!("{prefix}{number:06}")
}

/// The requests of one change.
pub struct Exchange {
    read_crm: Vec<u8>,
    read_finance: Vec<u8>,
    write_finance: Vec<u8>,
}

/// The requests of a change of each pair.
pub async fn exchanges(systems: &Systems, linked: &[Linked]) -> anyhow::Result<Vec<Exchange>> {
    let Systems { crm, finance } = systems;
    let token = access_token(finance, address(finance)?).await?;
    linked
        .iter()
        .enumerate()
        .map(|(number, ids)| exchange(crm, finance, &token, ids, number))
        .collect()
}

/// Sends the requests that the changes take, without anything between. Returns how long it took.
pub async fn plainly(
    systems: &Systems,
    linked: &[Linked],
    concurrency: usize,
) -> anyhow::Result<Duration> {
    let (crm, finance) = (address(&systems.crm)?, address(&systems.finance)?);
    let exchanges: Arc<[Exchange]> = exchanges(systems, linked).await?.into();
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..concurrency {
        let (exchanges, next) = (Arc::clone(&exchanges), Arc::clone(&next));
        senders.spawn(async move {
            let mut both = Both::open(crm, finance).await?;
            while let Some(one) = exchanges.get(next.fetch_add(1, Ordering::Relaxed)) {
                both.change(one).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    Ok(began.elapsed())
}

/// A connection to each system.
pub struct Both {
    crm: Connection,
    finance: Connection,
}

impl Both {
    /// Connects.
    pub async fn open(crm: SocketAddr, finance: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            crm: Connection::open(crm).await?,
            finance: Connection::open(finance).await?,
        })
    }

    /// Reads both sides at once, then writes one.
    pub async fn change(&mut self, one: &Exchange) -> anyhow::Result<()> {
        futures::try_join!(
            self.crm.exchange(&one.read_crm),
            self.finance.exchange(&one.read_finance)
        )?;
        self.finance.exchange(&one.write_finance).await?;
        Ok(())
    }
}

fn exchange(
    crm: &Simulator,
    finance: &Simulator,
    token: &str,
    (crm_id, finance_id): &Linked,
    number: usize,
) -> anyhow::Result<Exchange> {
    let header = |name: &str, value: String| (name.to_owned(), value);
    let to_crm = [
        header("authorization", format!("Bearer {}", crm.api_token())),
        header("content-type", "application/json".to_owned()),
    ];
    let mut to_finance = vec![
        header("authorization", format!("Bearer {token}")),
        header("xero-tenant-id", finance.credentials().tenant_id.clone()),
        header("content-type", "application/json".to_owned()),
    ];
    let properties =
        "name email phone city country website tax_number credit_limit active tandem_key";
    let batch = json!({
        "inputs": [{ "id": crm_id }],
        "properties": properties.split(' ').collect::<Vec<_>>(),
    });
    let write = json!({
        "Contacts": [{ "Phones": [{ "PhoneType": "DEFAULT", "PhoneNumber": phone("+32471", number) }] }],
    });
    let list =
        format!("/api.xro/2.0/Contacts?IDs={finance_id}&page=1&pageSize=100&includeArchived=true");
    let read_crm = client::request(
        "POST",
        "/crm/v3/objects/companies/batch/read",
        &to_crm,
        &serde_json::to_vec(&batch)?,
    );
    let read_finance = client::request("GET", &list, &to_finance, b"");
    to_finance.push(header("idempotency-key", format!("bench-{number}")));
    let target = format!("/api.xro/2.0/Contacts/{finance_id}");
    let write_finance = client::request("POST", &target, &to_finance, &serde_json::to_vec(&write)?);
    Ok(Exchange {
        read_crm,
        read_finance,
        write_finance,
    })
}

async fn access_token(finance: &Simulator, address: SocketAddr) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Issued {
        access_token: String,
    }
    let credentials = finance.credentials();
    let basic = BASE64.encode(format!(
        "{}:{}",
        credentials.client_id, credentials.client_secret
    ));
    let headers = [("authorization".to_owned(), format!("Basic {basic}"))];
    let request = client::request(
        "POST",
        "/connect/token",
        &headers,
        b"grant_type=client_credentials",
    );
    let mut connection = Connection::open(address).await?;
    let issued: Issued = serde_json::from_slice(connection.exchange(&request).await?)?;
    Ok(issued.access_token)
}
