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
