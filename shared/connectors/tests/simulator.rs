//! The shipped HubSpot and Xero manifests against the simulated systems, which were written from the
//! vendors' descriptions without knowledge of the manifests.

use std::sync::Arc;

use tandem_connectors::{
    Catalog, ConnectionSettings, Connector, ConnectorError, Delete, Listing, Lookup, ReadOutcome,
    RemoteRecord, RestConnector, Secret, Write,
};
use tandem_domain::{Clock, FieldType, Fields, RecordId, StreamName, Timestamp, Value};
use tandem_simulator::{Fault, Loss, SimConfig, SimKind, Simulator};

/// The simulators run on the machine's clock, and so must whoever compares times with them.
struct MachineClock;

impl Clock for MachineClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the only real clock of these tests"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
    }
}

const fn deletion(transaction: &str) -> Delete<'_> {
    Delete {
        transaction,
        expected_version: None,
        current: None,
    }
}

struct Side {
    simulator: Simulator,
    connector: RestConnector,
    stream: StreamName,
}

async fn start(kind: SimKind, change: impl FnOnce(&mut SimConfig)) -> Side {
    let mut config = SimConfig {
        records: 700,
        hang_secs: 0.1,
        ..SimConfig::new(kind)
    };
    change(&mut config);
    let simulator = Simulator::start(config)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let secret = |name: &str, text: &str| (name.to_owned(), Secret::new(text));
    let variable = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let finance = simulator.credentials();
    let (name, stream, credentials, variables) = match kind {
        SimKind::Crm => (
            "hubspot",
            "companies",
            [secret("token", simulator.api_token())].into(),
            [].into(),
        ),
        SimKind::Finance => (
            "xero",
            "contacts",
            [
                secret("client_id", &finance.client_id),
                secret("client_secret", &finance.client_secret),
            ]
            .into(),
            [
                variable("tenant_id", &finance.tenant_id),
                variable("token_url", "/connect/token"),
            ]
            .into(),
        ),
    };
    let settings = ConnectionSettings {
        base_url: Some(simulator.base_url()),
        credentials,
        masked: Vec::new(),
        variables,
        timeout_secs: Some(5),
        concurrency: Some(8),
        requests_per_second: Some(0.0),
        rate_limit: None,
    };
    let manifest = Catalog::load(name).unwrap_or_else(|error| panic!("{error}"));
    let connector = RestConnector::new(name, manifest, &settings, Arc::new(MachineClock));
    Side {
        simulator,
        connector: connector.unwrap_or_else(|error| panic!("{error}")),
        stream: stream.parse().expect("a name"),
    }
}

async fn both(change: impl Fn(&mut SimConfig)) -> [Side; 2] {
    [
        start(SimKind::Crm, &change).await,
        start(SimKind::Finance, &change).await,
    ]
}

impl Side {
    async fn all(&self, listing: &Listing) -> Vec<RemoteRecord> {
        let mut records = Vec::new();
        let mut token = None;
        loop {
            let page = self
                .connector
                .list(&self.stream, listing, token.as_ref())
                .await;
            let page = page.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(page.unreadable, []);
            records.extend(page.records);
            token = page.next;
            if token.is_none() {
                return records;
            }
        }
    }

    async fn read(&self, id: &RecordId) -> Option<RemoteRecord> {
        let outcomes = self
            .connector
            .read(&self.stream, std::slice::from_ref(id))
            .await;
        match outcomes.unwrap_or_else(|error| panic!("{error}")).remove(0) {
            ReadOutcome::Found(record) => Some(*record),
            ReadOutcome::Missing => None,
            ReadOutcome::Unreadable(reason) => panic!("{reason}"),
        }
    }

    async fn create(&self, fields: &Fields, transaction: &str) -> Result<RecordId, ConnectorError> {
        let write = Write {
            fields,
            transaction,
            expected_version: None,
            current: None,
        };
        self.connector
            .create(&self.stream, &write)
            .await
            .map(|written| written.id)
    }

    async fn update(&self, current: &RemoteRecord, fields: &Fields, transaction: &str) {
        let write = Write {
            fields,
            transaction,
            expected_version: None,
            current: Some(current),
        };
        let written = self
            .connector
            .update(&self.stream, &current.id, &write)
            .await;
        written.unwrap_or_else(|error| panic!("{error}"));
    }
}

fn ada() -> Fields {
    let text = |text: &str| Value::Text(text.to_owned());
    [
        ("name", text("Ada & Söhne \"GmbH\"")),
        ("email", text("ada@soehne.example")),
        ("phone", text("+32 9 123")),
        ("city", text("Ghent")),
        ("country", text("BE")),
        ("tax_number", text("BE0403019261")),
        (
            "credit_limit",
            Value::parse(FieldType::Decimal, "1250000.50").expect("a decimal"),
        ),
        ("active", Value::Boolean(true)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

#[tokio::test]
async fn a_listing_holds_every_record_once() {
    for side in both(|_| {}).await {
        let mut ids: Vec<RecordId> = side
            .all(&Listing::All)
            .await
            .into_iter()
            .map(|record| record.id)
            .collect();
        let listed = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), listed);
        let held = side.simulator.state().records;
        assert!(listed > 500, "several pages are read");
        assert!(
            held.iter()
                .filter(|record| !record.archived)
                .all(|record| ids.binary_search(&RecordId::new(&record.id)).is_ok())
        );
    }
}

#[tokio::test]
async fn a_record_lives_through_create_find_update_and_archive() {
    for side in both(|_| {}).await {
        let id = side
            .create(&ada(), "txn_ada")
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let made = side.read(&id).await.expect("it was created");
        for (name, value) in &ada() {
            assert_eq!(made.fields.get(name), Some(value), "{name}");
        }
        assert_eq!(made.reference.as_deref(), Some("txn_ada"));
        let tells_its_making = side.stream.as_str() == "companies";
        assert_eq!(made.created_at.is_some(), tells_its_making);
        let since = made.updated_at.expect("both tell the time");
        assert!(
            side.all(&Listing::Since(since))
                .await
                .iter()
                .any(|record| record.id == id)
        );
        for lookup in [
            Lookup::Reference("txn_ada"),
            Lookup::Field {
                name: "email",
                value: &ada()["email"],
            },
            Lookup::Field {
                name: "name",
                value: &ada()["name"],
            },
        ] {
            let found = side
                .connector
                .find(&side.stream, &lookup)
                .await
                .unwrap_or_else(|error| panic!("{error}"));
            let found: Vec<RecordId> = found
                .expect("it can be searched")
                .into_iter()
                .map(|record| record.id)
                .collect();
            assert_eq!(found, std::slice::from_ref(&id), "{lookup:?}");
        }
        let change: Fields = [
            ("city".to_owned(), Value::Text("Lyon".to_owned())),
            ("phone".to_owned(), Value::Null),
        ]
        .into();
        side.update(&made, &change, "txn_2").await;
        let changed = side.read(&id).await.expect("it was changed");
        assert_eq!(
            changed.fields,
            Fields::from_iter(made.fields.clone().into_iter().chain(change))
        );
        side.connector
            .delete(&side.stream, &id, &deletion("txn_3"))
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(side.read(&id).await.is_none_or(|record| record.archived));
        side.connector
            .delete(&side.stream, &id, &deletion("txn_4"))
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

#[tokio::test]
async fn missing_records_are_told_from_found_ones_in_the_order_asked() {
    for side in both(|_| {}).await {
        let known = side.all(&Listing::All).await.swap_remove(3).id;
        let ids = [
            RecordId::new("999999999"),
            known.clone(),
            RecordId::new("888888888"),
        ];
        let outcomes = side
            .connector
            .read(&side.stream, &ids)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(outcomes[0], ReadOutcome::Missing);
        assert!(matches!(&outcomes[1], ReadOutcome::Found(record) if record.id == known));
        assert_eq!(outcomes[2], ReadOutcome::Missing);
    }
}

#[tokio::test]
async fn a_lost_answer_is_told_from_a_refusal_to_serve() {
    for side in both(|_| {}).await {
        side.simulator
            .fail_next_write(Fault::LostResponse(Loss::Dropped));
        let error = side
            .create(&ada(), "txn_lost")
            .await
            .expect_err("the answer is lost");
        assert!(
            matches!(error, ConnectorError::ResponseLost { .. }),
            "{error}"
        );
        let found = side
            .connector
            .find(&side.stream, &Lookup::Reference("txn_lost"))
            .await;
        assert_eq!(
            found
                .unwrap_or_else(|error| panic!("{error}"))
                .expect("it can be searched")
                .len(),
            1
        );
        side.simulator
            .fail_next_write(Fault::LostResponse(Loss::ServerError));
        let error = side
            .create(&ada(), "txn_500")
            .await
            .expect_err("500, yet saved");
        assert!(
            matches!(error, ConnectorError::ResponseLost { .. }),
            "{error}"
        );
        side.simulator.fail_next_write(Fault::Unavailable);
        let error = side
            .create(&ada(), "txn_503")
            .await
            .expect_err("nothing was done");
        assert!(
            matches!(error, ConnectorError::Unreachable { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn creating_again_with_the_same_key_gives_the_same_record() {
    let side = start(SimKind::Finance, |_| {}).await;
    let first = side
        .create(&ada(), "txn_same")
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let again = side
        .create(&ada(), "txn_same")
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(first, again);
    assert!(
        side.connector
            .stream(&side.stream)
            .expect("the stream")
            .capabilities
            .idempotent_create
    );
}

#[tokio::test]
async fn an_access_token_that_the_system_forgot_is_renewed() {
    // The connector thinks that the token lives for half a second, and the system agrees at best.
    let side = start(SimKind::Finance, |config| config.token_lifetime_secs = 1).await;
    let since = Listing::Since(MachineClock.now());
    let started = MachineClock.now();
    while MachineClock.now().since(started).as_millis() < 1_500 {
        side.all(&since).await;
    }
}

#[tokio::test]
async fn the_clock_of_a_system_that_is_ahead_is_measured() {
    for side in both(|config| config.clock_skew_secs = 90).await {
        for _ in 0..5 {
            side.connector
                .check()
                .await
                .unwrap_or_else(|error| panic!("{error}"));
        }
        let offset = side.connector.clock_offset_micros();
        assert!((89_400_000..=90_600_000).contains(&offset), "{offset}");
    }
}
