//! Mistakes in manifests are reported with file, line, column and field.

use tandem_connectors::manifest::{Manifest, Problem};

const GOOD: &str = r#"manifest: 1
name: acme
title: Acme
base_url: https://acme.example
variables:
  tenant: { description: The tenant }
credentials:
  token: The key
auth:
  headers:
    Authorization: Bearer {{ credentials.token }}
streams:
  items:
    id: { path: /id }
    fields:
      name: { path: /name }
      price: { path: /price, type: decimal }
    list:
      request:
        method: GET
        path: /items
        query:
          offset: =offset
      records: /data
      paging:
        offset: { size: 10 }
    read:
      request: { method: GET, path: "/items/{{ id }}" }
      records: ""
    update:
      request:
        method: PATCH
        path: /items/{{ id }}
        body:
          name: =fields.name
webhook:
  signature: { scheme: github }
  events: ""
  key: "{{ event.id }}"
  type: "{{ event.type }}"
  types:
    item.changed: { stream: items, kind: updated }
  record: /id
"#;

fn problems_after(from: &str, to: &str) -> Vec<Problem> {
    assert!(GOOD.contains(from), "the good manifest has `{from}`");
    let text = GOOD.replacen(from, to, 1);
    let error = Manifest::parse("acme.yaml", &text).expect_err("a mistake was put in");
    assert!(error.to_string().starts_with("acme.yaml:"), "{error}");
    error.problems
}

fn only(from: &str, to: &str) -> Problem {
    let mut problems = problems_after(from, to);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[track_caller]
fn expect(problem: &Problem, line: u64, field: &str, message: &str) {
    assert_eq!(problem.line, line, "{problem:?}");
    assert_eq!(problem.field, field, "{problem:?}");
    assert!(problem.message.contains(message), "{problem:?}");
    assert!(problem.column > 0);
}

#[test]
fn the_good_manifest_is_good() {
    Manifest::parse("acme.yaml", GOOD).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_unknown_field_is_named_with_its_line() {
    let problem = only(
        "    id: { path: /id }\n",
        "    id: { path: /id }\n    idd: x\n",
    );
    expect(&problem, 15, "streams.items.idd", "unknown field `idd`");
}

#[test]
fn a_stream_without_an_id_is_refused() {
    let problem = only("    id: { path: /id }\n", "");
    assert!(
        problem.message.contains("missing field `id`"),
        "{problem:?}"
    );
}

#[test]
fn an_unknown_type_of_field_is_refused_with_the_known_ones() {
    let problem = only("type: decimal", "type: number");
    expect(
        &problem,
        17,
        "streams.items.fields.price",
        "unknown variant `number`",
    );
    assert!(problem.message.contains("decimal"), "{problem:?}");
}

#[test]
fn a_syntax_error_in_an_expression_is_found_at_load() {
    let problem = only("=fields.name", "=fields.name +");
    expect(
        &problem,
        35,
        "streams.items.update.request.body.name",
        "syntax error",
    );
}

#[test]
fn a_template_without_an_end_is_found_at_load() {
    let problem = only("path: /items/{{ id }}\n", "path: /items/{{ id\n");
    expect(
        &problem,
        33,
        "streams.items.update.request.path",
        "has no `}}`",
    );
}

#[test]
fn a_field_that_the_stream_does_not_have_is_found_in_an_expression() {
    let problem = only("=fields.name", "=fields.nmae");
    expect(
        &problem,
        35,
        "streams.items.update.request.body.name",
        "`fields` has no `nmae`",
    );
}

#[test]
fn a_value_that_is_not_offered_at_its_place_is_named_with_those_that_are() {
    let problem = only("offset: =offset", "offset: =page");
    expect(
        &problem,
        23,
        "streams.items.list.request.query.offset",
        "`page` is not available here",
    );
    assert!(
        problem.message.contains("variables, offset, limit"),
        "{problem:?}"
    );
}

#[test]
fn a_secret_that_is_not_declared_is_found() {
    let problem = only("credentials.token }}", "credentials.key }}");
    expect(
        &problem,
        11,
        "auth.headers.Authorization",
        "`credentials` has no `key`",
    );
}

#[test]
fn secrets_are_not_offered_to_requests_outside_auth() {
    let problem = only("offset: =offset", "offset: =credentials.token");
    expect(
        &problem,
        23,
        "streams.items.list.request.query.offset",
        "`credentials` is not available here",
    );
}

#[test]
fn an_unknown_signature_scheme_is_refused() {
    let problem = only("scheme: github", "scheme: githob");
    expect(
        &problem,
        37,
        "webhook.signature",
        "unknown variant `githob`",
    );
}

#[test]
fn an_option_that_the_scheme_does_not_take_is_refused() {
    let problem = only(
        "{ scheme: github }",
        "{ scheme: github, options: { header: X } }",
    );
    expect(
        &problem,
        37,
        "webhook.signature",
        "scheme github takes no option `header`",
    );
}

#[test]
fn an_event_for_a_stream_that_is_not_there_is_refused() {
    let problem = only("stream: items", "stream: itmes");
    expect(
        &problem,
        42,
        "webhook.types.item.changed",
        "the manifest has no stream `itmes`",
    );
}

#[test]
fn a_path_that_is_none_and_yaml_that_is_none_are_refused() {
    let problem = only("path: /name", "path: name");
    expect(&problem, 16, "streams.items.fields.name", "is not a path");
    let problem = only("records: /data", "records: [/data");
    assert!(problem.line >= 24, "{problem:?}");
}

#[test]
fn every_mistake_of_meaning_is_reported_at_once() {
    let problems = problems_after("offset: =offset\n", "offset: =page\n          x: =since\n");
    let lines: Vec<u64> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [23, 24]);
}

#[test]
fn another_format_and_a_name_given_twice_are_refused() {
    let problem = only("manifest: 1", "manifest: 2");
    expect(&problem, 1, "manifest", "format 1");
    let problem = only("      price:", "      name:");
    expect(&problem, 17, "streams.items.fields.name", "duplicate");
}

#[test]
fn a_status_that_does_not_exist_is_refused() {
    let problem = only(
        "auth:",
        "errors:\n  - { status: 4x, class: refused }\nauth:",
    );
    expect(&problem, 10, "errors.status", "is not an HTTP status");
}

#[test]
fn rate_limit_headers_refer_to_limits_that_exist() {
    let limit = "rate_limit: { buckets: [ { name: minute, requests: 60, per_secs: 60 } ], headers: [ { limit: hour, remaining: X } ] }\nstreams:\n";
    let problem = only("streams:\n", limit);
    expect(
        &problem,
        12,
        "rate_limit",
        "names the limit `hour`, which is neither a bucket nor `daily`",
    );
}

#[test]
fn an_unknown_filter_is_a_mistake_when_the_file_is_read() {
    let problem = only(
        "body:\n          name: =fields.name",
        "body:\n          name: =fields.name|uper",
    );
    assert!(problem.message.contains("no filter `uper`"), "{problem:?}");
    let problem = only("key: \"{{ event.id }}\"", "key: \"{{ event.id|lowr }}\"");
    assert!(problem.message.contains("no filter `lowr`"), "{problem:?}");
}

#[test]
fn a_key_that_tells_nothing_apart_is_a_mistake() {
    for key in ["key: \"\"", "key: event"] {
        let problem = only("key: \"{{ event.id }}\"", key);
        assert!(
            problem.message.contains("the same for every event"),
            "{problem:?}"
        );
    }
    let problem = only("  key: \"{{ event.id }}\"\n", "");
    assert!(
        problem.message.contains("`duplicates: keep`"),
        "{problem:?}"
    );
    let problem = only(
        "  key: \"{{ event.id }}\"\n",
        "  key: \"{{ event.id }}\"\n  duplicates: keep\n",
    );
    assert!(problem.message.contains("of no use"), "{problem:?}");
    let problem = only("type: \"{{ event.type }}\"", "type: \"\"");
    assert!(problem.message.contains("`type` is empty"), "{problem:?}");
}

#[test]
fn the_record_of_an_event_may_be_an_expression_over_the_body() {
    let text = GOOD.replacen("record: /id", "record: =body.ids", 1);
    Manifest::parse("acme.yaml", &text).unwrap_or_else(|error| panic!("{error}"));
    let problem = only("record: /id", "record: =boddy.ids");
    assert!(
        problem.message.contains("`boddy` is not available"),
        "{problem:?}"
    );
}

#[test]
fn a_time_zone_must_exist_and_have_something_to_say() {
    let id = "    id: { path: /id }\n";
    let stamped = |stamp: &str| format!("{id}    updated_at: {stamp}\n");
    let wrong = only(id, &stamped("{ path: /modified, time_zone: Europe/Viena }"));
    expect(
        &wrong,
        15,
        "streams.items.updated_at",
        "`Europe/Viena` is not a time zone; write a name such as Europe/Vienna",
    );
    let idle = only(
        id,
        &stamped("{ path: /modified, form: epoch_ms, time_zone: UTC }"),
    );
    assert!(idle.message.contains("leave `time_zone` out"), "{idle:?}");
    for zone in ["Europe/Vienna", "\"+01:00\""] {
        let stamp = stamped(&format!("{{ path: /modified, time_zone: {zone} }}"));
        let text = GOOD.replacen(id, &stamp, 1);
        Manifest::parse("acme.yaml", &text).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_page_without_rows_and_headers_that_are_made_of_the_request_are_mistakes() {
    let size = only("offset: { size: 10 }", "offset: { size: 0 }");
    assert!(size.message.contains("at least 1"), "{size:?}");
    let at_list = "path: /items\n        query:";
    for name in ["Host", "content-length", "Transfer-Encoding"] {
        let with = format!("path: /items\n        headers: {{ {name}: x }}\n        query:");
        let of_request = only(at_list, &with);
        let of_all = only("auth:\n", &format!("headers: {{ {name}: x }}\nauth:\n"));
        for problem in [of_request, of_all] {
            assert!(problem.message.contains(name), "{problem:?}");
        }
    }
}
