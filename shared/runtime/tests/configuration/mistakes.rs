//! What is said of a configuration that cannot work: each mistake with its place, and all of them at once.

use std::sync::Arc;

use tandem_runtime::Configuration;

use super::{CONNECTIONS, Noon, SYNC, build_with, environment, refusal};

/// What is said of a sync between the two test systems; its own text starts at line 15.
fn sync_refusal(text: &str) -> String {
    refusal(&format!("{CONNECTIONS}{SYNC}{text}"))
}

#[test]
fn all_missing_variables_of_the_environment_are_named_at_once() {
    let error = build_with(CONNECTIONS, &|_| None)
        .err()
        .expect("nothing is set");
    assert_eq!(
        error.to_string(),
        "tandem.yaml:4:20: connections.crm.credentials.token: the environment variable CRM_TOKEN is not set; set it and start again\n\
         tandem.yaml:5:27: connections.crm.webhook.secrets[0]: the environment variable CRM_HOOK is not set; set it and start again\n\
         tandem.yaml:9:20: connections.books.credentials.key: the environment variable BOOKS_KEY is not set; set it and start again"
    );
}

#[test]
fn what_is_wrong_with_a_connection_is_named_with_its_place() {
    for (from, to, expected) in [
        (
            "tests/manifests/crm.yaml",
            "hupspot",
            "tandem.yaml:3:16: connections.crm.connector: there is no connector `hupspot`; did you mean `hubspot`? The path of a manifest file works too",
        ),
        (
            "token: {",
            "tokken: {",
            "tandem.yaml:4:5: connections.crm.credentials: the credential `token` is missing: The access token\n\
             tandem.yaml:4:20: connections.crm.credentials.tokken: Test CRM has no credential `tokken`; did you mean `token`?",
        ),
        (
            "{ tenant: acme }",
            "{ region: us, zone: a }",
            "tandem.yaml:10:5: connections.books.variables: the variable `tenant` is missing: The tenant's name\n\
             tandem.yaml:10:36: connections.books.variables.zone: Test Books has no variable `zone`; there is `region`, `tenant`",
        ),
        (
            "http://127.0.0.1:9000",
            "127.0.0.1:9000",
            "tandem.yaml:8:15: connections.books.base_url: `127.0.0.1:9000` is not an address; write one such as https://example.com",
        ),
        (
            "http://127.0.0.1:9000",
            "{ env: BOOKS_KEY }",
            "tandem.yaml:8:5: connections.books.base_url: what the environment variable BOOKS_KEY holds is not an address; write one such as https://example.com",
        ),
        (
            ", public_url: https://tandem.example/",
            "",
            "tandem.yaml:5:5: connections.crm.webhook: the signatures of Test CRM cover the address that they are sent to; write `public_url`, the address of this server as Test CRM knows it, without /hooks",
        ),
        (
            "[ { env: CRM_HOOK } ]",
            "[]",
            "tandem.yaml:5:16: connections.crm.webhook.secrets: at least one secret is needed: webhooks are never taken unverified",
        ),
        (
            "    variables: { tenant: acme }\n",
            "    variables: { tenant: acme }\n    webhook: { secrets: [ { env: CRM_HOOK } ] }\n",
            "tandem.yaml:11:5: connections.books.webhook: Test Books sends no webhooks that Tandem understands; remove `webhook`, it is asked for changes instead",
        ),
    ] {
        assert_eq!(refusal(&CONNECTIONS.replace(from, to)), expected);
    }
}

#[test]
fn a_secret_that_anybody_could_guess_is_refused_with_its_connection_and_the_length_that_is_wanted()
{
    for (secret, has) in [
        ("          ", "is nothing but blanks"),
        ("x", "has 1 character"),
    ] {
        let guessed = |name: &str| match name {
            "CRM_HOOK" => Some(secret.to_owned()),
            other => environment(other),
        };
        let refused = build_with(CONNECTIONS, &guessed)
            .err()
            .expect("it is refused");
        let said = refused.to_string();
        for part in ["connections.crm.webhook.secrets[0]", has, "at least 8"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

/// The secret that signs webhooks is never sent, but a system knows it and may say it.
#[tokio::test]
async fn what_signs_the_webhooks_of_a_connection_does_not_show_in_its_errors() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _asked = stream.read(&mut [0; 8_192]).expect("a request");
            let said = "your secret: value of CRM_HOOK";
            let length = said.len();
            write!(
                stream,
                "HTTP/1.1 400 No\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{said}"
            )
            .expect("an answer");
        }
    });
    let text = CONNECTIONS.replace(
        "    webhook:",
        &format!("    base_url: http://{address}\n    webhook:"),
    );
    let built = build_with(&text, &environment).unwrap_or_else(|error| panic!("{error}"));
    let report = built.topology.connectors["crm"].check().await;
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    for outcome in report.streams.values() {
        let error = outcome.as_ref().expect_err("it is refused");
        assert!(error.contains("your secret: ***"), "{error}");
    }
}

#[test]
fn a_manifest_that_is_wrong_or_absent_is_named() {
    let absent = refusal(&CONNECTIONS.replace("crm.yaml", "none.yaml"));
    let start = "tandem.yaml:3:16: connections.crm.connector: the manifest tests/manifests/none.yaml cannot be read: ";
    assert!(absent.starts_with(start), "{absent}");
}

#[test]
fn what_is_wrong_with_the_ends_of_a_sync_is_named_with_its_place() {
    for (from, to, expected) in [
        (
            "connection: books",
            "connection: book",
            "tandem.yaml:14:22: syncs.customers.b.connection: there is no connection `book`; did you mean `books`?",
        ),
        (
            "stream: companies",
            "stream: company",
            "tandem.yaml:13:35: syncs.customers.a.stream: `crm` has no stream `company`; did you mean `companies`?",
        ),
        (
            "{ connection: books, stream: contacts }",
            "{ connection: crm, stream: companies }",
            "tandem.yaml:14:5: syncs.customers.b: both sides are the same stream; a sync holds two different ones in agreement",
        ),
    ] {
        let text = format!(
            "{CONNECTIONS}{SYNC}    match: [name]\n    fields: {{ name: {{}} }}\n    create: none\n"
        );
        assert_eq!(refusal(&text.replace(from, to)), expected);
    }
}

#[test]
fn what_is_wrong_with_a_mapping_is_named_with_its_place() {
    for (fields, expected) in [
        (
            "name: {}, fone: {}",
            "tandem.yaml:17:25: syncs.customers.fields.fone.a: crm.companies has no field `fone`; did you mean `phone`?\n\
             tandem.yaml:17:25: syncs.customers.fields.fone.b: books.contacts has no field `fone`; did you mean `phone`?",
        ),
        (
            "name: {}, x: { a: credit_limit, b: phone }",
            "tandem.yaml:17:25: syncs.customers.fields.x: it is decimal in crm.companies and text in books.contacts; map fields of the same type, or declare the type in a manifest of your own",
        ),
        (
            "name: {}, score: {}",
            "tandem.yaml:17:25: syncs.customers.fields.score.direction: neither crm.companies nor books.contacts lets this field be written; leave it out",
        ),
        (
            "name: {}, credit_limit: { equality: folded, transforms: [lower] }",
            "tandem.yaml:17:51: syncs.customers.fields.credit_limit.equality: only text can be folded, and this is decimal; leave `equality` out\n\
             tandem.yaml:17:59: syncs.customers.fields.credit_limit.transforms: only text can be transformed, and this is decimal; leave `transforms` out",
        ),
        (
            "name: { equality: { decimals: 2 } }",
            "tandem.yaml:17:23: syncs.customers.fields.name.equality: only numbers have decimals, and this is text; leave `equality` out",
        ),
        (
            "name: {}, other: { a: email, b: name }",
            "tandem.yaml:17:25: syncs.customers.fields.other: `name` and `other` both write `name` of books.contacts; let one of them only read it (`direction: b_to_a`)",
        ),
        (
            "email: {}",
            "tandem.yaml:15:13: syncs.customers.match[0]: no field `name` is mapped; there is `email`",
        ),
        (
            "",
            "tandem.yaml:17:5: syncs.customers.fields: at least one field must be mapped, or there is nothing to keep in agreement",
        ),
    ] {
        let text = format!("    match: [name]\n    create: none\n    fields: {{ {fields} }}\n");
        assert_eq!(sync_refusal(&text), expected, "{fields}");
    }
}

#[test]
fn a_direction_that_a_system_does_not_allow_is_refused() {
    let text = "    match: [name]\n    create: none\n    fields:\n      name: { direction: both }\n      score: { a: score, b: score }\n";
    let text = format!("{CONNECTIONS}{SYNC}{text}").replace("stream: contacts", "stream: archive");
    assert_eq!(
        refusal(&text),
        "tandem.yaml:18:26: syncs.customers.fields.name.direction: books.archive does not let this field be written; write `direction: b_to_a`, or leave `direction` out\n\
         tandem.yaml:19:7: syncs.customers.fields.score.direction: neither crm.companies nor books.archive lets this field be written; leave it out"
    );
}

#[test]
fn what_is_wrong_with_a_policy_is_named_with_its_place() {
    for (policy, expected) in [
        (
            "create: both",
            "tandem.yaml:16:5: syncs.customers.fields: books.contacts refuses records without `number`: map it so that it is written, or let nothing be created there (`create: a`)",
        ),
        (
            "create: a\n    deletes: { a_gone: propagate, brake: { percent: 101 } }",
            "tandem.yaml:18:24: syncs.customers.deletes.a_gone: records cannot be deleted or archived in books.contacts; write `ignore` or `unlink`\n\
             tandem.yaml:18:53: syncs.customers.deletes.brake.percent: 101 is out of range: write 0 to 100 percent",
        ),
        (
            "create: a\n    filters: [ { side: b, field: fone, any_of: [x] }, { side: a, field: active, any_of: [maybe] } ]",
            "tandem.yaml:18:34: syncs.customers.filters[0].field: books.contacts has no field `fone`; did you mean `phone`?\n\
             tandem.yaml:18:90: syncs.customers.filters[1].any_of[0]: `maybe` is not a boolean, which `active` is",
        ),
        (
            "create: a\n    schedule: { poll_a: sometimes, time_zone: Mars }",
            "tandem.yaml:18:25: syncs.customers.schedule.poll_a: `sometimes` is not a schedule; write `every 5 minutes`, `hourly`, `every 4 hours`, `daily at 02:00`, `weekly`, five cron fields such as `0 2 * * 1-5`, or `manual`\n\
             tandem.yaml:18:47: syncs.customers.schedule.time_zone: `Mars` is not a time zone; write a name such as `Europe/Brussels` or `UTC`",
        ),
        (
            "create: a\n    schedule: { full: daily at 02:00, time_zone: Mars }",
            "tandem.yaml:18:50: syncs.customers.schedule.time_zone: `Mars` is not a time zone; write a name such as `Europe/Brussels` or `UTC`",
        ),
        (
            "create: a\n    deletes: { confirm_secs: 7200 }",
            "tandem.yaml:18:30: syncs.customers.deletes.confirm_secs: 7200 is out of range: write 1 to 3000 seconds",
        ),
        (
            "create: a\n    concurrency: 0",
            "tandem.yaml:18:18: syncs.customers.concurrency: 0 is out of range: write 1 to 10000 jobs at once; to run none, pause the sync",
        ),
    ] {
        let text = format!("    match: [name]\n    fields: {{ name: {{}} }}\n    {policy}\n");
        assert_eq!(sync_refusal(&text), expected, "{policy}");
    }
    let no_match = sync_refusal("    match: []\n    fields: { name: {} }\n    create: none\n");
    assert_eq!(
        no_match,
        "tandem.yaml:15:5: syncs.customers.match: at least one match key is needed, or every record that exists on both sides would be doubled"
    );
    let read_only = format!(
        "{CONNECTIONS}{SYNC}    match: [name]\n    fields: {{ name: {{}} }}\n    create: both\n"
    );
    assert_eq!(
        refusal(&read_only.replace("stream: contacts", "stream: archive")),
        "tandem.yaml:17:13: syncs.customers.create: records cannot be created in books.archive; write `create: a`"
    );
}

#[test]
fn every_mistake_of_a_file_is_reported_at_once_whatever_it_is_and_however_many_there_are() {
    let text = "\
connections:
  crm:
    connector: manifests/crm.yaml
    bas_url: http://localhost
    credentials: { token: hunter2 }
    limits: { concurrency: many, requests_per_second: -3, timeout_secs: 0 }
  books:
    credentials: { key: { env: BOOKS_KEYS } }
  Other:
    connector: manifests/crm.yaml
syncs:
  customers:
    a: { connection: crm, stream: compannies }
    b: { connection: crm }
    match: [name]
    conflict: last_writer_wins
    concurrency: 0
    fields: { name: { equality: fold }, email: {}, phone: { direktion: both } }
  people: {}
worker: { lease_secs: 0 }
server: { listen: everywhere, header_secs: 0 }
retentoin: {}
";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("tandem.yaml");
    let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests/");
    std::fs::write(&file, text.replace("manifests/", manifests)).expect("a file");
    let error = Configuration::load_to_build(&file, &|_| None, Arc::new(Noon))
        .expect_err("it is full of mistakes");
    let told: Vec<String> = error
        .problems
        .iter()
        .map(|problem| {
            let mark = problem.mark.expect("each has its place");
            format!(
                "{}:{} {}: {}",
                mark.line, mark.column, problem.field, problem.message
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "4:5 connections.crm: unknown field `bas_url`; did you mean `base_url`?",
            "5:27 connections.crm.credentials.token: a secret is written out here; keep it in the environment or in a file and write { env: NAME } or { file: PATH }",
            "6:28 connections.crm.limits.concurrency: expected a whole number that is not negative",
            "6:55 connections.crm.limits.requests_per_second: -3 is out of range: write 0 to 100000 requests a second; 0 is no limit",
            "6:73 connections.crm.limits.timeout_secs: 0 is out of range: write 1 to 3600 seconds",
            "7:3 connections.books: the field `connector` is missing",
            "8:20 connections.books.credentials.key: the environment variable BOOKS_KEYS is not set; set it and start again",
            "9:3 connections.Other: `Other` is not a name: use 1 to 64 lower-case letters, digits, `-` and `_`, starting with a letter",
            "13:35 syncs.customers.a.stream: `crm` has no stream `compannies`; did you mean `companies`?",
            "14:5 syncs.customers.b: the field `stream` is missing",
            "16:15 syncs.customers.conflict: unknown word `last_writer_wins`; did you mean `last_write_wins`?",
            "17:18 syncs.customers.concurrency: 0 is out of range: write 1 to 10000 jobs at once; to run none, pause the sync",
            "18:33 syncs.customers.fields.name.equality: unknown word `fold`; did you mean `folded`?",
            "18:61 syncs.customers.fields.phone: unknown field `direktion`; did you mean `direction`?",
            "19:3 syncs.people: the field `a` is missing",
            "19:3 syncs.people: the field `b` is missing",
            "19:3 syncs.people: the field `match` is missing",
            "19:3 syncs.people: the field `fields` is missing",
            "20:23 worker.lease_secs: 0 is out of range: write 3 to 3600 seconds",
            "21:19 server.listen: `everywhere` is not an address to listen on; write one such as 127.0.0.1:8080 or [::]:8080",
            "21:44 server.header_secs: 0 is out of range: write 1 to 3600 seconds",
            "22:1 : unknown field `retentoin`; did you mean `retention`?",
        ]
    );
}

#[test]
fn mistakes_of_a_sync_are_told_also_where_one_of_its_ends_is_not_known() {
    let sync = "\
syncs:
  customers:
    a: { connection: crm, stream: companies }
    b: { connection: boks, stream: contacts }
    match: [emial]
    fields: { name: { a: nmae }, email: {} }
    filters: [ { side: a, field: activ, any_of: [true] }, { side: b, field: unknown, any_of: [x] } ]
";
    assert_eq!(
        refusal(&format!("{CONNECTIONS}{sync}")),
        "\
tandem.yaml:14:22: syncs.customers.b.connection: there is no connection `boks`; did you mean `books`?
tandem.yaml:15:13: syncs.customers.match[0]: no field `emial` is mapped; did you mean `email`?
tandem.yaml:16:26: syncs.customers.fields.name.a: crm.companies has no field `nmae`; did you mean `name`?
tandem.yaml:17:34: syncs.customers.filters[0].field: crm.companies has no field `activ`; did you mean `active`?"
    );
}
