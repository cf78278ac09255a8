//! `sync`, `runs`, `links` and `explain`.

use serde_json::Value as Json;
use tandem_simulator::Field;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{Site, company, id_of, texts};

const COMPANIES: usize = 20;

#[tokio::test]
async fn a_plan_needs_no_database_and_changes_nothing() {
    let site = Site::start(COMPANIES).await;
    let before = (site.crm.state().records, site.books.state().records);
    let plan = site.json(0, &["sync", "plan", "customers"]).await;
    assert_eq!(plan["listed_a"].as_u64(), Some(before.0.len() as u64));
    assert_eq!(plan["linked"], 0);
    let creates =
        plan["create_a"].as_u64().expect("a number") + plan["create_b"].as_u64().expect("a number");
    assert!(creates > 0, "{plan}");
    let items = plan["items"].as_array().expect("a list");
    let planned = items
        .iter()
        .filter(|item| item["action"] == "create")
        .count();
    assert_eq!(planned as u64, creates);

    let text = site
        .tandem(&["sync", "plan", "customers", "--limit", "1"])
        .await
        .expect(0)
        .out;
    assert!(text.contains("nothing is changed by this"), "{text}");
    assert!(
        text.contains(&format!("{} more; --limit", items.len() - 1)),
        "{text}"
    );

    assert!(!site.data().exists(), "looking makes no folder");
    assert_eq!(
        (site.crm.state().records, site.books.state().records),
        before
    );
}

#[tokio::test]
async fn a_run_without_a_running_tandem_says_what_to_start() {
    let site = Site::start(5).await;
    site.tandem(&["apply"]).await.expect(0);
    for command in [
        &["sync", "run", "customers"][..],
        &["sync", "run", "customers", "--wait"],
    ] {
        let answer = site.tandem(command).await.expect(3);
        assert!(
            answer.err.contains("no `tandem up` is running on"),
            "{answer:?}"
        );
        assert!(answer.err.contains("tandem up --config"), "{answer:?}");
    }
    let status = site.json(0, &["sync", "status", "customers"]).await;
    assert_eq!(status["queue"]["available"], 0, "nothing is left waiting");
}

#[tokio::test]
async fn both_sides_are_brought_into_agreement_and_every_difference_is_found() {
    let site = Site::start(COMPANIES).await;
    let up = site.up().await;
    let ran = site.sync(0).await;
    assert_eq!(ran["ok"], true);
    assert_eq!(ran["run"]["state"], "succeeded");

    let agreed = site.json(0, &["sync", "verify", "customers"]).await;
    assert_eq!(agreed["agree"], true, "{agreed}");
    let email = "new@company.example";
    let new = site
        .crm
        .create(company(&[
            (Field::Name, "New Company"),
            (Field::Email, email),
        ]))
        .expect("created");
    let first = first_pair(&site).await;
    site.books
        .edit(&first.1, Field::City, "Elsewhere")
        .expect("edited");

    let differing = site.json(1, &["sync", "verify", "customers"]).await;
    assert_eq!(differing["agree"], false);
    let mut kinds = texts(&differing["differences"], "kind");
    kinds.sort_unstable();
    assert_eq!(kinds, ["field", "unlinked"], "{differing}");
    let text = site
        .tandem(&["sync", "verify", "customers"])
        .await
        .expect(1)
        .out;
    assert!(
        text.contains(&format!("crm {new} \"New Company\": has no partner")),
        "{text}"
    );
    assert!(text.contains("\"Elsewhere\" in books"), "{text}");
    assert!(
        text.contains("both sides do NOT agree: 2 differences"),
        "{text}"
    );

    site.sync(0).await;
    let text = site
        .tandem(&["sync", "verify", "customers"])
        .await
        .expect(0)
        .out;
    assert!(text.contains("both sides agree"), "{text}");
    id_of(&site.books, email);
    up.stop().await;
}

#[tokio::test]
async fn status_runs_links_and_explain_tell_what_was_done() {
    let site = Site::start(COMPANIES).await;
    let up = site.up().await;
    site.sync(0).await;
    let (crm, books) = first_pair(&site).await;
    site.crm.edit(&crm, Field::City, "Ghent").expect("edited");
    site.sync(0).await;

    let status = site.json(0, &["sync", "status", "customers"]).await;
    assert!(status["links"].as_u64() > Some(0), "{status}");
    assert_eq!(status["queue"]["dead"], 0);
    assert_eq!(status["runs"].as_array().map(Vec::len), Some(2));
    let text = site.tandem(&["sync", "status"]).await.expect(0).out;
    assert!(
        text.contains("customers: crm companies <-> books contacts"),
        "{text}"
    );

    let runs = site
        .json(
            0,
            &[
                "runs",
                "--sync",
                "customers",
                "--state",
                "succeeded",
                "--kind",
                "backfill",
            ],
        )
        .await;
    let ids = texts(&runs["items"], "id");
    assert_eq!(ids.len(), 2, "{runs}");
    let shown = site.tandem(&["runs", ids[0]]).await.expect(0).out;
    assert!(
        shown.contains("backfill of customers: succeeded"),
        "{shown}"
    );
    let page = site.json(0, &["runs", "--limit", "1"]).await;
    let next = page["next"].as_str().expect("there is more");
    let rest = site
        .json(0, &["runs", "--limit", "1", "--cursor", next])
        .await;
    assert_eq!(texts(&rest["items"], "id"), [ids[1]]);

    let story = site
        .tandem(&["explain", "customers", &crm])
        .await
        .expect(0)
        .out;
    assert!(
        story.contains(&format!("crm {crm} and books {books}: held equal")),
        "{story}"
    );
    assert!(story.contains("\"Ghent\""), "{story}");
    let story = site
        .json(0, &["explain", "customers", &books, "--side", "b"])
        .await;
    assert_eq!(story["link"]["a"]["id"], crm.as_str());
    let nothing = site
        .tandem(&["explain", "customers", "nobody"])
        .await
        .expect(3);
    assert!(nothing.err.contains("nobody"), "{nothing:?}");
    up.stop().await;
}

#[tokio::test]
async fn a_paused_sync_is_not_run_until_it_is_resumed() {
    let site = Site::start(5).await;
    let up = site.up().await;
    assert_eq!(
        site.json(
            0,
            &["sync", "pause", "customers", "--because", "the migration"]
        )
        .await["paused"],
        true
    );
    let answer = site.tandem(&["sync", "run", "customers"]).await.expect(3);
    assert!(
        answer.err.contains("paused") && answer.err.contains("resume it first"),
        "{answer:?}"
    );
    for command in [
        &["status"][..],
        &["sync", "list"],
        &["sync", "status", "customers"],
    ] {
        let text = site.tandem(command).await.expect(0).out;
        for part in [
            "PAUSED: paused since",
            "the migration",
            "tandem sync resume customers",
        ] {
            assert!(text.contains(part), "{command:?} says {part}: {text}");
        }
    }
    assert_eq!(
        site.json(0, &["sync", "resume", "customers"]).await["paused"],
        false
    );
    site.sync(0).await;
    up.stop().await;
}

#[tokio::test]
async fn a_paused_connection_is_told_of_wherever_one_looks_for_the_reason() {
    let site = Site::start(5).await;
    let up = site.up().await;
    let pause = ["connections", "pause", "crm", "--because", "their audit"];
    let said = site.tandem(&pause).await.expect(0).out;
    assert!(said.contains("crm is paused since"), "{said}");
    let commands: [&[&str]; 5] = [
        &["status"],
        &["sync", "status", "customers"],
        &["sync", "list"],
        &["connections", "list"],
        &["connections", "show", "crm"],
    ];
    for command in commands {
        let text = site.tandem(command).await.expect(0).out;
        for part in [
            "paused since",
            "(their audit)",
            "tandem connections resume crm",
        ] {
            assert!(text.contains(part), "{command:?} says {part}: {text}");
        }
    }
    for command in [
        &["sync", "run", "customers", "--wait"][..],
        &["sync", "run", "customers"],
        &["schedules", "trigger", "customers", "full"],
    ] {
        let refused = site.tandem(command).await.expect(3).err;
        assert!(
            refused.contains("the connection `crm` is paused since")
                && refused.contains("their audit"),
            "{command:?}: {refused}"
        );
    }
    site.tandem(&["connections", "resume", "crm"])
        .await
        .expect(0);
    site.sync(0).await;
    up.stop().await;
}

#[tokio::test]
async fn a_run_that_waits_says_for_what_and_ends_when_it_is_paused_or_its_time_is_over() {
    let site = Site::start(5).await;
    let mut command = site.command(&["up"]);
    command.env("CRM_TOKEN", "wrong");
    let up = site.up_by(command).await;
    let wait = ["sync", "run", "customers", "--wait", "--json"];
    let timed = site
        .tandem(&[&wait[..], &["--timeout", "1"]].concat())
        .await
        .expect(1);
    assert_eq!(timed.json()["state"], "waiting", "{timed:?}");
    assert_eq!(timed.json()["waiting"]["jobs"], 1);

    let mut waiting = site.command(&wait).spawn().expect("the program starts");
    let stderr = waiting.stderr.take().expect("it is read");
    let mut lines = BufReader::new(stderr).lines();
    // In a pipe each step is a line of its own.
    let mut line = lines.next_line().await.expect("text").expect("a line");
    assert!(line.starts_with("customers: "), "{line}");
    while !line.starts_with("waiting: ") {
        line = lines.next_line().await.expect("text").expect("a line");
    }
    // Its job waits until it is looked at again, and is held back from then on.
    let waits = [
        "for a system that answers and refuses the credentials",
        "jobs that are due and held back",
    ];
    assert!(waits.iter().any(|how| line.contains(how)), "{line}");
    assert!(
        line.contains("connection crm refuses the credentials"),
        "{line}"
    );
    let pause = ["connections", "pause", "crm", "--because", "their audit"];
    site.tandem(&pause).await.expect(0);
    let ended = waiting.wait_with_output().await.expect("it ends");
    assert_eq!(ended.status.code(), Some(1));
    let ended: Json = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!(
        (&ended["state"], &ended["ok"]),
        (&"paused".into(), &false.into())
    );
    let paused = ended["paused"].as_str().expect("in words");
    assert!(paused.contains("their audit"), "{paused}");
    up.stop().await;
}

#[tokio::test]
async fn a_run_that_is_not_waited_for_is_done_by_the_running_tandem() {
    let site = Site::start(5).await;
    let up = site.up().await;
    let started = site.json(0, &["sync", "run", "customers"]).await;
    assert!(
        started["job"]
            .as_str()
            .is_some_and(|job| job.starts_with("job_")),
        "{started}"
    );
    site.until(&["runs", "--state", "succeeded"], |runs| {
        !texts(&runs["items"], "id").is_empty()
    })
    .await;
    up.stop().await;
}

/// The ids of the first linked pair on both sides; also shows that links are listed.
async fn first_pair(site: &Site) -> (String, String) {
    let links = site.json(0, &["links", "customers"]).await;
    let first = &links["items"][0];
    let id = first["id"].as_str().expect("a link");
    let shown = site.json(0, &["links", "customers", id]).await;
    assert_eq!(shown["base"], first["base"]);
    let of = |side: &Json| side["id"].as_str().expect("an id").to_owned();
    (of(&first["a"]), of(&first["b"]))
}

#[tokio::test]
async fn a_connection_in_trouble_is_told_of_in_status_with_what_to_do() {
    let site = Site::start(5).await;
    let mut command = site.command(&["up"]);
    command.env("CRM_TOKEN", "wrong");
    let up = site.up_by(command).await;
    let status = site
        .until(&["sync", "status"], |status| {
            let connections = status["connections"].as_array().expect("a list");
            let crm = connections.iter().find(|one| one["name"] == "crm");
            crm.is_some_and(|crm| crm["health"]["state"] == "unauthorized")
        })
        .await;
    assert_eq!(status["connections"][1]["health"]["in_trouble"], true);
    let text = site.tandem(&["sync", "status"]).await.expect(0).out;
    assert!(
        text.contains("! connection crm: refuses the credentials since"),
        "{text}"
    );
    assert!(text.contains("tandem check"), "{text}");
    up.stop().await;
}

#[tokio::test]
async fn that_nothing_runs_is_said_at_once_by_status_and_connections() {
    let site = Site::start(5).await;
    site.tandem(&["apply"]).await.expect(0);
    let commands: [&[&str]; 3] = [
        &["status"],
        &["status", "customers"],
        &["connections", "list"],
    ];
    for command in commands {
        let text = site.tandem(command).await.expect(0).out;
        assert!(text.contains("! nothing runs on"), "{command:?}: {text}");
    }
    let up = site.up().await;
    site.sync(0).await;
    for command in commands {
        let text = site.tandem(command).await.expect(0).out;
        assert!(!text.contains("nothing runs"), "{command:?}: {text}");
    }
    up.stop().await;
    for command in commands {
        let text = site.tandem(command).await.expect(0).out;
        assert!(text.contains("! nothing runs on"), "{command:?}: {text}");
        assert!(
            text.contains("last told of its connections at"),
            "{command:?}: {text}"
        );
    }
    let status = site.json(0, &["status"]).await;
    assert!(status["unattended"].is_string(), "{status}");
}

#[tokio::test]
async fn a_name_that_is_not_there_is_answered_with_the_nearest_and_the_known_ones() {
    let site = Site::start(5).await;
    site.tandem(&["apply"]).await.expect(0);
    let commands: [&[&str]; 6] = [
        &["dlq", "list", "--sync", "costumers"],
        &["dlq", "list", "--group", "--sync", "costumers"],
        &["conflicts", "list", "--sync", "costumers"],
        &["runs", "--sync", "costumers"],
        &["jobs", "list", "--sync", "costumers"],
        &["changes", "--sync", "costumers"],
    ];
    for command in commands {
        let answer = site.tandem(command).await.expect(3);
        assert!(
            answer
                .err
                .contains("there is no sync `costumers`; did you mean `customers`?"),
            "{command:?}: {answer:?}"
        );
    }
    let answer = site
        .tandem(&["events", "list", "--connection", "crn"])
        .await
        .expect(3);
    assert!(
        answer
            .err
            .contains("there is no connection `crn`; did you mean `crm`? There is `books`, `crm`"),
        "{answer:?}"
    );
}
