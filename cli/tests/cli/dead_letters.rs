//! `dlq` and `events`: what gave up, why, and what becomes of it.

use tandem_simulator::Field;

use crate::support::{HOOK_SECRET, Site, Up, company, finish, id_of, texts};

const EMAIL: &str = "nameless@company.example";

/// Systems whose records are looked at again for no longer than a second: one that lacks a value which the other side needs
/// may only show it late, so it is refused after that.
async fn site() -> Site {
    let site = Site::start(5).await;
    let schedule = "    schedule: {";
    let brief = format!("    deletes: {{ confirm_secs: 1 }}\n{schedule}");
    site.write_config(&site.configuration().replace(schedule, &brief));
    site
}

/// A CRM company that finance refuses, because it has no name. Gives its id and that of the dead letter.
async fn refused(site: &Site) -> (String, String) {
    let record = site
        .crm
        .create(company(&[(Field::Email, EMAIL), (Field::City, "Bruges")]))
        .expect("created");
    let ran = site.sync(1).await;
    assert_eq!(ran["dead"], 1, "{ran}");
    let list = site.json(0, &["dlq", "list", "--sync", "customers"]).await;
    let ids = texts(&list["items"], "id");
    assert_eq!(ids.len(), 1, "{list}");
    (record, ids[0].to_owned())
}

#[tokio::test]
async fn a_refused_record_is_shown_with_its_cause_mended_and_replayed() {
    let site = site().await;
    let up = site.up().await;
    site.sync(0).await;
    let (record, letter) = refused(&site).await;

    let groups = site.json(0, &["dlq", "list", "--group"]).await;
    assert_eq!(groups["count"], 1);
    assert_eq!(groups["items"][0]["code"], "refused");
    let none = site
        .tandem(&["dlq", "list", "--code", "unreachable"])
        .await
        .expect(0);
    assert_eq!(
        none.out.trim(),
        "no dead letters with --code unreachable; there are others, which `tandem dlq list` lists without these filters"
    );

    let shown = site.tandem(&["dlq", "show", &letter]).await.expect(0).out;
    assert!(
        shown.contains(&format!(
            "reconcile of record {record} on side a of customers, dead"
        )),
        "{shown}"
    );
    assert!(
        shown.contains("Attempts") && shown.contains("The contact name must be specified"),
        "{shown}"
    );
    assert!(
        shown.contains("Writes journalled") && shown.contains("city: \"Bruges\""),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("tandem dlq replay {letter}")),
        "{shown}"
    );
    let json = site.json(0, &["dlq", "show", &letter]).await;
    assert_eq!(json["job"]["attempts"][0]["code"], "refused", "{json}");
    assert_eq!(json["intents"][0]["op"], "create");

    site.crm
        .edit(&record, Field::Name, "Named At Last")
        .expect("edited");
    let replayed = site.json(0, &["dlq", "replay", &letter]).await;
    assert_eq!(replayed["replayed"][0], letter.as_str());
    site.until(&["sync", "status", "customers"], |status| {
        status["queue"]["dead"] == 0
            && status["queue"]["available"] == 0
            && status["queue"]["running"] == 0
    })
    .await;
    id_of(&site.books, EMAIL);
    let again = site.tandem(&["dlq", "replay", &letter]).await.expect(1);
    assert!(
        again.out.contains("left as it is") && again.out.contains("the job is done"),
        "{again:?}"
    );
    up.stop().await;
}

#[tokio::test]
async fn what_finance_refuses_is_given_its_missing_value_where_it_stands() {
    let site = site().await;
    let mapped = "city: {}, credit_limit: { equality: { decimals: 2 } }";
    let written = std::fs::read_to_string(site.config()).expect("it is there");
    site.write_config(&written.replace("city: {}", mapped));
    let up = site.up().await;
    site.sync(0).await;
    let (record, letter) = refused(&site).await;

    let table = site.tandem(&["dlq", "export"]).await.expect(0).out;
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(
        table.lines().any(|line| line.starts_with(&letter)),
        "{table}"
    );

    let unknown = site
        .tandem(&["dlq", "replay", &letter, "--set", "shoe_size=44"])
        .await
        .expect(3);
    assert!(unknown.err.contains("`shoe_size`"), "{unknown:?}");
    let words = site
        .tandem(&["dlq", "replay", &letter, "--set", "credit_limit=plenty"])
        .await
        .expect(3);
    for part in [
        "`credit_limit`",
        "decimal",
        "`plenty`",
        "nothing was replayed",
    ] {
        assert!(words.err.contains(part), "{part}: {words:?}");
    }
    let replayed = site
        .json(
            0,
            &["dlq", "replay", &letter, "--set", "name=Given At Last"],
        )
        .await;
    assert_eq!(replayed["replayed"][0], letter.as_str());
    site.until(&["sync", "status", "customers"], |status| {
        status["queue"]["dead"] == 0
            && status["queue"]["available"] == 0
            && status["queue"]["running"] == 0
    })
    .await;
    id_of(&site.books, EMAIL);
    let crm = site.crm.state();
    let given = crm.records.iter().find(|one| one.id == record);
    let name = given.map(|one| one.fields.get(Field::Name));
    assert_eq!(name, Some("Given At Last"), "the CRM has it too");
    up.stop().await;
}

#[tokio::test]
async fn dead_letters_are_replayed_all_at_once_or_discarded_with_a_reason() {
    let site = site().await;
    let up = site.up().await;
    site.sync(0).await;
    let (_, letter) = refused(&site).await;

    let other = site
        .json(0, &["dlq", "replay", "--all", "--code", "unreachable"])
        .await;
    assert_eq!(other["replayed"].as_array().map(Vec::len), Some(0));
    let unasked = ["dlq", "replay", "--all", "--code", "refused"];
    let unasked = site.tandem(&unasked).await.expect(3);
    let counted =
        "dead letters to be put to work again: 1 (1 refused): nothing was done. Say --yes to do it";
    assert!(unasked.err.contains(counted), "{unasked:?}");
    let all = site
        .json(0, &["dlq", "replay", "--all", "--code", "refused", "--yes"])
        .await;
    assert_eq!(all["replayed"].as_array().map(Vec::len), Some(1), "{all}");
    site.until(&["sync", "status", "customers"], |status| {
        status["queue"]["dead"] == 1
    })
    .await;

    let reasonless = site.tandem(&["dlq", "discard", &letter]).await.expect(2);
    assert!(reasonless.err.contains("--reason"), "{reasonless:?}");
    let unasked = site
        .tandem(&[
            "dlq", "discard", "--all", "--code", "refused", "--reason", "x",
        ])
        .await
        .expect(3);
    assert!(
        unasked
            .err
            .contains("to be discarded for good: 1 (1 refused)")
            && unasked.err.contains("--yes"),
        "{unasked:?}"
    );
    let discarded = site
        .json(
            0,
            &[
                "dlq",
                "discard",
                "--all",
                "--sync",
                "customers",
                "--reason",
                "a test company",
                "--yes",
            ],
        )
        .await;
    assert_eq!(discarded["discarded"], 1);
    assert!(texts(&site.json(0, &["dlq", "list"]).await["items"], "id").is_empty());
    up.stop().await;
}

/// Sends what finance could never have meant, well signed.
async fn send_nonsense(site: &Site, up: &Up, body: &str) -> String {
    let mut command = site.command(&[
        "webhook",
        "send",
        "--scheme",
        "xero",
        "--secret-env",
        "HOOK",
        "--body",
        body,
    ]);
    command
        .args(["--url", &format!("http://{}/hooks/books", up.address)])
        .env("HOOK", HOOK_SECRET);
    finish(command, "").await.expect(0);
    let list = site.until(&["events", "list", "--state", "quarantined"], |list| {
        !texts(&list["items"], "id").is_empty()
    });
    texts(&list.await["items"], "id")[0].to_owned()
}

#[tokio::test]
async fn an_event_that_cannot_be_understood_waits_among_the_dead_letters() {
    let site = Site::start(5).await;
    let up = site.up().await;
    let body = r#"{"events":[{"surprise":true}]}"#;
    let event = send_nonsense(&site, &up, body).await;

    assert_eq!(
        texts(&site.json(0, &["dlq", "list"]).await["items"], "id"),
        [event.as_str()]
    );
    for command in ["dlq", "events"] {
        let shown = site.tandem(&[command, "show", &event]).await.expect(0).out;
        assert!(shown.contains(body) && shown.contains("problem"), "{shown}");
    }
    for command in [
        &["dlq", "replay", &event][..],
        &["events", "replay", &event],
        &["dlq", "replay", "--all", "--yes"],
    ] {
        let replayed = site.tandem(command).await.expect(1);
        assert!(
            replayed.out.contains("still cannot be understood"),
            "{replayed:?}"
        );
    }
    let discarded = site
        .json(0, &["events", "discard", &event, "--reason", "nonsense"])
        .await;
    assert_eq!(discarded["discarded"], 1);
    let shown = site.json(0, &["events", "show", &event]).await;
    assert_eq!(shown["state"], "discarded");
    assert_eq!(shown["discarded_because"], "nonsense");
    for list in [&["events", "show", &event][..], &["events", "list"]] {
        let shown = site.tandem(list).await.expect(0);
        assert!(shown.out.contains("because: nonsense"), "{shown:?}");
    }
    up.stop().await;
}

#[tokio::test]
async fn events_are_read_again_by_the_stored_configuration_when_no_file_is_named() {
    let site = Site::start(5).await;
    let up = site.up().await;
    let event = send_nonsense(&site, &up, r#"{"events":[{}]}"#).await;
    let mut command = site.command(&["events", "replay", &event]);
    command.env_remove("TANDEM_CONFIG");
    let replayed = finish(command, "").await.expect(1);
    assert!(
        replayed.out.contains("still cannot be understood"),
        "{replayed:?}"
    );

    let mut command = site.command(&["events", "replay", &event]);
    command.env_remove("TANDEM_CONFIG").env_remove("BOOKS_HOOK");
    let refused = finish(command, "").await.expect(3);
    assert!(refused.err.contains("BOOKS_HOOK is not set"), "{refused:?}");
    up.stop().await;
}
