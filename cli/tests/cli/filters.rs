//! A filter that can match nothing is said to be wrong; it must not look like an empty list.

use crate::support::Site;

/// An id of the right form that nothing has.
const NO_LINK: &str = "lnk_00000000000000000000000000";
const NO_QUESTION: &str = "cfl_00000000000000000000000000";

#[tokio::test]
async fn a_filter_that_names_nothing_there_is_an_error_in_every_list() {
    let site = Site::start(3).await;
    site.tandem(&["apply"]).await.expect(0);
    let sync = "there is no sync `costumers`; did you mean `customers`?";
    let cases: [(&[&str], &str); 14] = [
        (
            &["events", "list", "--connection", "cmr"],
            "there is no connection `cmr`; there is `books`, `crm`",
        ),
        (&["runs", "--sync", "costumers"], sync),
        (&["changes", "--sync", "costumers"], sync),
        (&["jobs", "list", "--sync", "costumers"], sync),
        (&["dlq", "list", "--sync", "costumers"], sync),
        (&["dlq", "list", "--group", "--sync", "costumers"], sync),
        (&["dlq", "export", "--sync", "costumers"], sync),
        (&["dlq", "replay", "--all", "--sync", "costumers"], sync),
        (&["conflicts", "list", "--sync", "costumers"], sync),
        (&["schedules", "list", "--sync", "costumers"], sync),
        (&["links", "costumers"], sync),
        (&["changes", "--link", NO_LINK], "there is no link"),
        (&["links", "customers", NO_LINK], "there is no link"),
        (
            &["dlq", "list", "--cause", "nothing like it"],
            "no dead letter has the cause `nothing like it`",
        ),
    ];
    for (arguments, said) in cases {
        let answer = site.tandem(arguments).await.expect(3);
        assert!(answer.err.contains(said), "{arguments:?}: {answer:?}");
        assert_eq!(answer.out, "", "{arguments:?}");
    }
}

#[tokio::test]
async fn a_word_that_no_list_knows_is_an_error_that_names_those_it_knows() {
    let site = Site::start(0).await;
    site.tandem(&["apply"]).await.expect(0);
    let cases: [(&[&str], &str); 12] = [
        (&["runs", "--kind", "sweeep"], "backfill, poll, sweep"),
        (&["runs", "--state", "don"], "running, succeeded, partial"),
        (&["jobs", "list", "--state", "ded"], "running, done, dead"),
        (&["jobs", "list", "--code", "refusd"], "refused, version"),
        (&["events", "list", "--state", "acc"], "accepted, ignored"),
        (&["changes", "--operation", "creat"], "create, update"),
        (&["dlq", "list", "--code", "refusd"], "refused, version"),
        (&["dlq", "export", "--code", "refusd"], "refused, version"),
        (&["conflicts", "list", "--state", "opn"], "open, answered"),
        (&["conflicts", "list", "--kind", "fild"], "field, ambiguous"),
        (
            &["links", "customers", "--state", "act"],
            "active, filtered",
        ),
        (
            &["schedules", "pause", "customers", "pol"],
            "poll_a, poll_b",
        ),
    ];
    for (arguments, known) in cases {
        let answer = site.tandem(arguments).await.expect(2);
        let typed = arguments.last().expect("a word");
        assert!(answer.err.contains(known), "{arguments:?}: {answer:?}");
        assert!(answer.err.contains(typed), "{arguments:?}: {answer:?}");
        assert_eq!(answer.out, "", "{arguments:?}");
    }
}

#[tokio::test]
async fn a_record_of_which_nothing_is_known_is_an_error_and_no_empty_list() {
    let site = Site::start(1).await;
    let up = site.up().await;
    site.sync(0).await;
    up.stop().await;
    let linked = site.json(0, &["links", "customers"]).await;
    let known = linked["items"][0]["a"]["id"]
        .as_str()
        .expect("it is linked");
    let mistyped = format!("{known}0");
    let lists: [&[&str]; 4] = [
        &["events", "list"],
        &["jobs", "list", "--state", "dead"],
        &["changes", "--operation", "delete"],
        &["events", "list", "--json"],
    ];
    for list in lists {
        let of = |record| [list, &["--record", record][..]].concat();
        let answer = site.tandem(&of(&mistyped)).await.expect(3);
        let said = format!("nothing is known of a record `{mistyped}`: check the id");
        assert!(answer.err.contains(&said), "{list:?}: {answer:?}");
        assert_eq!(answer.out, "", "{list:?}");
        // Of this one something is known, though not what is asked for.
        site.tandem(&of(known)).await.expect(0);
    }
}

#[tokio::test]
async fn a_span_that_ends_before_it_begins_is_an_error_in_every_list() {
    let site = Site::start(3).await;
    site.tandem(&["apply"]).await.expect(0);
    let lists: [&[&str]; 9] = [
        &["events", "list"],
        &["runs"],
        &["changes"],
        &["jobs", "list"],
        &["dlq", "list"],
        &["dlq", "export"],
        &["dlq", "list", "--group"],
        &["conflicts", "list"],
        &["conflicts", "resolve", "--all", "--ignore", "--yes"],
    ];
    for list in lists {
        let span = ["--since", "2026-02-01", "--until", "2026-01-01"];
        let arguments: Vec<&str> = list.iter().copied().chain(span).collect();
        let answer = site.tandem(&arguments).await.expect(3);
        let said = "the span ends before it begins";
        assert!(answer.err.contains(said), "{arguments:?}: {answer:?}");
    }
}

#[tokio::test]
async fn an_id_and_a_filter_together_are_refused() {
    let site = Site::start(3).await;
    site.tandem(&["apply"]).await.expect(0);
    for filter in [
        &["--kind", "field"][..],
        &["--sync", "customers"],
        &["--since", "2h"],
        &["--until", "2h"],
    ] {
        let resolve = ["conflicts", "resolve", NO_QUESTION, "--take", "a"];
        let arguments: Vec<&str> = resolve.iter().chain(filter).copied().collect();
        let answer = site.tandem(&arguments).await.expect(3);
        let said = format!("names one question, and {} would choose", filter[0]);
        assert!(answer.err.contains(&said), "{answer:?}");
    }
    let letter = "job_00000000000000000000000000";
    for verb in [&["dlq", "replay"][..], &["dlq", "discard", "--reason", "x"]] {
        let more = [letter, "--sync", "customers"];
        let arguments: Vec<&str> = verb.iter().copied().chain(more).collect();
        let answer = site.tandem(&arguments).await.expect(3);
        assert!(answer.err.contains("--sync would choose"), "{answer:?}");
    }
}
