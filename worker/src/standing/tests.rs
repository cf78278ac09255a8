//! What waits while a connection is paused or leads elsewhere, and while a configuration is taken over.

use std::path::Path;

use tandem_domain::SyncName;
use tandem_runtime::Configuration;
use tandem_store::Pause;
use tandem_testkit::TestClock;

use super::*;

const OLD: &str = "hubspot at http://old.example";
const NEW: &str = "hubspot at http://new.example";

/// A sync between a CRM at this address and a finance system.
fn built(base_url: &str) -> Built {
    let text = format!(
        "connections:
  crm: {{ connector: hubspot, base_url: {base_url}, credentials: {{ token: {{ env: TOKEN }} }} }}
  books:
    connector: xero
    credentials: {{ client_id: {{ env: TOKEN }}, client_secret: {{ env: TOKEN }} }}
    variables: {{ tenant_id: acme }}
syncs:
  customers:
    a: {{ connection: crm, stream: companies }}
    b: {{ connection: books, stream: contacts }}
    match: [email]
    fields: {{ name: {{}}, email: {{}} }}
"
    );
    let environment = |_: &str| Some("value".to_owned());
    let configuration = Configuration::parse(Path::new("tandem.yaml"), &text).expect("it is fine");
    let built = configuration.build(&environment, Arc::new(TestClock::default()));
    built.unwrap_or_else(|error| panic!("{error}"))
}

fn crm(linked_to: Option<&str>, pause: Option<Pause>) -> [ConnectionRow; 1] {
    [ConnectionRow {
        name: "crm".parse().expect("a name"),
        document: serde_json::Value::Null,
        version: 1,
        pause,
        linked_to: linked_to.map(ToOwned::to_owned),
        deleted_at: None,
        reset_at: None,
    }]
}

fn customers() -> SyncName {
    "customers".parse().expect("a name")
}

fn standing(built: &Built) -> (Arc<SyncLimits>, Standing) {
    let limits = Arc::new(SyncLimits::default());
    let topology = LiveTopology::new(Arc::clone(&built.topology));
    let standing = Standing::new(Arc::clone(&limits), Arc::new(topology), built);
    (limits, standing)
}

#[test]
fn jobs_wait_while_a_connection_is_paused_or_leads_elsewhere_than_its_records_were_linked() {
    let (limits, standing) = standing(&built("http://new.example"));
    let name = "crm".parse().expect("a name");
    let cases = [
        (crm(None, None), false, false),
        (crm(Some(NEW), None), false, false),
        (crm(Some(OLD), None), true, true),
        (crm(Some(NEW), Some(Pause::default())), true, false),
        (crm(Some(OLD), Some(Pause::default())), true, true),
        (crm(Some(NEW), None), false, false),
    ];
    for (rows, waits, astray) in cases {
        standing.follow(standing.seen(), &rows);
        assert_eq!(limits.is_paused(&customers()), waits, "{rows:?}");
        assert_eq!(standing.is_astray(&name), astray, "{rows:?}");
    }
}

#[test]
fn a_configuration_that_leads_elsewhere_is_worked_by_only_once_its_jobs_wait() {
    let (limits, standing) = standing(&built("http://old.example"));
    let before = standing.seen();
    standing.follow(before, &crm(Some(OLD), None));
    assert!(!limits.is_paused(&customers()));

    let mut replaced = false;
    standing.take_over(&built("http://new.example"), &crm(Some(OLD), None), || {
        replaced = true;
        assert!(limits.is_paused(&customers()), "before it is worked by");
    });
    assert!(replaced && limits.is_paused(&customers()));
    // Another process changed the records' address, and this was read while the old configuration held.
    standing.follow(before, &crm(Some(NEW), None));
    assert!(
        limits.is_paused(&customers()),
        "that says nothing of this one"
    );

    standing.take_over(&built("http://old.example"), &crm(Some(OLD), None), || {
        assert!(
            limits.is_paused(&customers()),
            "what led elsewhere is still worked by"
        );
    });
    assert!(!limits.is_paused(&customers()));
}

#[tokio::test]
async fn nothing_is_known_before_the_storage_was_asked() {
    use futures::FutureExt as _;
    let (_, standing) = standing(&built("http://old.example"));
    assert_eq!(standing.known().now_or_never(), None);
    standing.follow(standing.seen(), &crm(None, None));
    assert_eq!(standing.known().now_or_never(), Some(()));
}
