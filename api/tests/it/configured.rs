//! Hooks as a configuration makes them.

use std::path::Path;
use std::sync::Arc;

use tandem_api::service::{Clocks, hooks};
use tandem_domain::Clock as _;
use tandem_operator::hooks::{Arrival, new_events};
use tandem_runtime::Configuration;

use crate::support::{Counter, StoppedClock};

const MANIFEST: &str = "\
manifest: 1
name: crm
title: A CRM whose events are told apart by a time
base_url: https://crm.example
credentials: { token: The access token }
auth: { headers: { Authorization: 'Bearer {{ credentials.token }}' } }
streams:
  companies:
    id: { path: /id }
    fields: { name: { path: /name } }
    list: { request: { method: GET, path: /companies }, records: /results }
    read: { request: { method: GET, path: '/companies/{{ id }}' }, records: '', missing: '=status == 404' }
webhook:
  signature: { scheme: slack }
  events: ''
  key: \"{{ event.at|time('%s') }}\"
  type: '{{ event.type }}'
  types: { changed: { stream: companies, kind: updated } }
  record: /record
";

const CONFIGURATION: &str = "\
connections:
  crm:
    connector: repeating.yaml
    credentials: { token: { env: TOKEN } }
    webhook: { secrets: [ { env: HOOK } ] }
syncs: {}
";

#[test]
fn what_is_said_of_an_event_that_cannot_be_understood_shows_no_secret_that_it_repeats() {
    const TOKEN: &str = "s3cret-token-of-the-crm";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let manifest = folder.join("repeating.yaml");
    std::fs::write(manifest, MANIFEST).expect("the folder is there");
    let configuration = Configuration::parse(&folder.join("tandem.yaml"), CONFIGURATION);
    let environment = |name: &str| match name {
        "TOKEN" => Some(TOKEN.to_owned()),
        _ => Some("secret-of-the-webhook".to_owned()),
    };
    let built = configuration
        .expect("it is fine")
        .build(&environment, Arc::new(StoppedClock))
        .expect("it can be built");
    let clocks = Clocks {
        kept: Arc::default(),
        own: Arc::new(StoppedClock),
    };
    let hooks = hooks(&built, "http://127.0.0.1:1", &clocks);
    let arrival = Arrival {
        at: StoppedClock.now(),
        entropy: &Counter::default(),
    };
    let body = format!(r#"[{{ "at": "bad token {TOKEN}", "type": "changed", "record": "7" }}]"#);
    let (_, hook) = hooks.iter().next().expect("there is one");
    let events = new_events(hook, body.as_bytes(), arrival);
    let problem = events[0].problem.as_deref().expect("it is no time");
    assert!(
        problem.contains("`bad token ***` is not an instant"),
        "{problem}"
    );
}
