//! `check`, `apply` and `export`.

use std::net::{Ipv4Addr, TcpListener};

use tandem_simulator::SimKind;

use crate::support::{Site, finish, texts};

#[tokio::test]
async fn a_mistake_in_the_configuration_is_named_with_file_line_column_and_field() {
    let site = Site::start(5).await;
    site.write_config(
        &site
            .configuration()
            .replace("  crm:\n    connector:", "  crm:\n    connecter:"),
    );
    let file = site.config().display().to_string();
    let expected = format!(
        "{file}:4:5: connections.crm: unknown field `connecter`; did you mean `connector`?"
    );

    let check = site.tandem(&["check"]).await.expect(1);
    assert!(check.out.contains(&expected), "{check:?}");
    let commands: [&[&str]; 4] = [
        &["apply"],
        &["sync", "plan", "customers"],
        &["sync", "verify", "customers"],
        &["up"],
    ];
    for command in commands {
        let answer = site.tandem(command).await.expect(3);
        assert!(answer.err.contains(&expected), "{answer:?}");
    }

    let json = site.json(1, &["check"]).await;
    assert_eq!(json["ok"], false);
    assert_eq!(json["problems"][0]["line"], 4);
    assert_eq!(json["problems"][0]["column"], 5);
    assert_eq!(json["problems"][0]["field"], "connections.crm");
}

#[tokio::test]
async fn a_secret_that_is_not_set_is_named() {
    let site = Site::start(5).await;
    let mut command = site.command(&["apply"]);
    command.env_remove("CRM_TOKEN");
    let answer = finish(command, "").await.expect(3);
    assert!(
        answer
            .err
            .contains("the environment variable CRM_TOKEN is not set"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn check_reports_every_system_and_every_stream() {
    let site = Site::start(5).await;
    let json = site.json(0, &["check", "--fields"]).await;
    assert_eq!(json["ok"], true);
    assert_eq!(texts(&json["connections"], "name"), ["books", "crm"]);
    let crm = &json["connections"][1];
    assert_eq!(crm["connector"], "hubspot");
    assert_eq!(crm["streams"][0]["name"], "companies");
    assert_eq!(crm["streams"][0]["syncs"][0], "customers");
    assert_eq!(crm["streams"][0]["fields"]["name"]["type"], "text");
    assert!(
        crm["latency_ms"].is_u64() && crm["clock_offset_ms"].is_i64(),
        "{crm}"
    );

    let text = site.tandem(&["check"]).await.expect(0).out;
    assert!(text.contains("crm (hubspot): answers in"), "{text}");
    assert!(
        text.contains("credentials accepted") && text.contains("asked for the first page"),
        "{text}"
    );
    assert_eq!(crm["credentials"], "accepted");
    assert!(text.contains("all in order; syncs: customers"), "{text}");
}

#[tokio::test]
async fn check_says_of_an_empty_configuration_that_it_keeps_nothing_equal_and_what_to_write() {
    let site = Site::start(1).await;
    let empty = site.config().with_file_name("empty.yaml");
    std::fs::write(&empty, "# nothing yet\n").expect("it is written");
    let empty = empty.to_str().expect("a path");
    let said = site
        .tandem(&["check", "--config", empty])
        .await
        .expect(0)
        .out;
    for part in ["no connections and no syncs", "`connections:`", "`syncs:`"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("all in order"), "{said}");
}

#[tokio::test]
async fn check_says_no_when_credentials_are_refused_or_a_system_is_away() {
    let mut site = Site::start(5).await;
    let mut command = site.command(&["check", "--json"]);
    command.env("CRM_TOKEN", "wrong");
    let json = finish(command, "").await.expect(1).json();
    assert_eq!(json["connections"][0]["ok"], true);
    assert_eq!(json["connections"][1]["ok"], false);
    assert_eq!(json["connections"][1]["code"], "unauthorized");

    let stand_in = Site::start(1).await;
    std::mem::replace(&mut site.crm, stand_in.crm)
        .shutdown()
        .await;
    let json = site.json(1, &["check"]).await;
    assert_eq!(
        json["connections"][1]["code"],
        "unreachable",
        "{:?}: {json}",
        SimKind::Crm
    );
}

#[tokio::test]
async fn apply_says_what_changes_and_export_gives_it_back() {
    let site = Site::start(5).await;
    let first = site.tandem(&["apply"]).await.expect(0);
    assert!(first.out.contains("added sync customers"), "{first:?}");
    assert!(first.out.contains("added connection crm"), "{first:?}");
    let second = site.tandem(&["apply"]).await.expect(0);
    assert!(second.out.starts_with("nothing has changed"), "{second:?}");

    site.write_config(
        &site
            .configuration()
            .replace("poll_a: manual", "poll_a: every 5 minutes"),
    );
    let third = site.json(0, &["apply"]).await;
    let told: Vec<String> = third["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|edit| {
            let field = &edit["fields"][0];
            format!(
                "{} {}: {} {} -> {}",
                edit["what"], edit["change"], field["field"], field["before"], field["after"]
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            r#""schedule" "changed": "spec" "manual" -> "every 5 minutes""#,
            r#""sync" "changed": "schedule.poll_a" "manual" -> "every 5 minutes""#,
        ]
    );

    let exported = site.tandem(&["export"]).await.expect(0);
    assert!(
        !exported.out.contains(site.crm.api_token()),
        "a secret is never exported"
    );
    site.write_config(&exported.out);
    let fourth = site.json(0, &["apply"]).await;
    assert_eq!(
        fourth["changes"].as_array().map(Vec::len),
        Some(0),
        "{fourth}"
    );
    assert_eq!(
        site.json(0, &["export"]).await["syncs"]["customers"]["a"]["connection"],
        "crm"
    );
}

#[tokio::test]
async fn a_file_that_names_nothing_removes_nothing_unless_it_is_told_to() {
    let site = Site::start(5).await;
    site.tandem(&["apply"]).await.expect(0);
    site.write_config("{}\n");

    let refused = site.tandem(&["apply"]).await.expect(3);
    for part in [
        "sync customers: 0 links, 0 jobs",
        "connection crm",
        "Nothing was changed",
        "--prune",
    ] {
        assert!(refused.err.contains(part), "{part}: {refused:?}");
    }
    let up = site.tandem(&["up"]).await.expect(3);
    assert!(up.err.contains("sync customers: 0 links"), "{up:?}");
    assert!(up.err.contains("--prune"), "{up:?}");

    let dry = site.json(0, &["apply", "--dry-run"]).await;
    assert_eq!(
        texts(&dry["removed"], "name"),
        ["books", "crm", "customers"]
    );
    let export = site.json(0, &["export"]).await;
    assert!(export["syncs"]["customers"].is_object(), "{export}");

    let pruned = site.tandem(&["apply", "--prune"]).await.expect(0);
    assert!(pruned.out.contains("removed sync customers"), "{pruned:?}");
    let export = site.json(0, &["export"]).await;
    assert_eq!(
        export["syncs"].as_object().map(serde_json::Map::len),
        Some(0)
    );
}

#[tokio::test]
async fn a_dry_run_says_what_would_change_and_makes_nothing() {
    let site = Site::start(5).await;
    let dry = site.tandem(&["apply", "--dry-run"]).await.expect(0);
    assert!(dry.out.contains("Nothing was stored"), "{dry:?}");
    assert!(dry.out.contains("added sync customers"), "{dry:?}");
    assert!(!site.data().exists());
}

#[tokio::test]
async fn tandem_up_listens_where_the_environment_says_rather_than_where_the_file_does() {
    let site = Site::start(1).await;
    let place = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let wanted = place.local_addr().expect("it is bound").to_string();
    drop(place);
    let mut command = site.command(&["up"]);
    command.env("TANDEM_LISTEN", &wanted);
    let up = site.up_by(command).await;
    assert_eq!(up.address, wanted);
    up.stop().await;
    let mut command = site.command(&["up"]);
    command.env("TANDEM_LISTEN", "here");
    let refused = finish(command, "").await;
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("here"), "{refused:?}");
}
