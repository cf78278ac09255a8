//! `--api`: the same commands on a Tandem elsewhere.

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tandem_simulator::Field;

use crate::support::{Site, company, finish, program, texts};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A site with something of everything: pairs, changes, a question, a dead letter, an event in quarantine.
async fn eventful() -> Site {
    let site = Site::start(5).await;
    let twin = |name: &str| company(&[(Field::Name, name), (Field::Email, "t@company.example")]);
    site.crm.create(twin("Twin")).expect("created");
    site.crm.create(twin("Twin Too")).expect("created");
    site.books.create(twin("Twin")).expect("created");
    let nameless = company(&[(Field::Email, "nameless@company.example")]);
    site.crm.create(nameless).expect("created");
    site
}

#[tokio::test]
async fn commands_answer_through_the_api_as_they_do_on_the_folder() {
    let site = eventful().await;
    let up = site.up().await;
    site.sync(1).await;
    let api = format!("http://{}", up.address);
    let first = |list: &serde_json::Value, key: &str| texts(&list["items"], key)[0].to_owned();
    let job = first(&site.json(0, &["jobs", "list"]).await, "id");
    let run = first(&site.json(0, &["runs"]).await, "id");
    let letter = first(&site.json(0, &["dlq", "list"]).await, "id");
    let question = first(&site.json(0, &["conflicts", "list"]).await, "id");
    let record = first(&site.json(0, &["conflicts", "list"]).await, "record");
    let link = first(&site.json(0, &["links", "customers"]).await, "id");
    let commands: &[&[&str]] = &[
        &["connections", "list"],
        &["connections", "show", "crm"],
        &["schedules", "list", "--sync", "customers"],
        &["jobs", "list", "--since", "2 days", "--limit", "3"],
        &["jobs", "show", &job],
        &["runs"],
        &["runs", &run],
        &["changes", "--operation", "link"],
        &["links", "customers"],
        &["links", "customers", &link],
        &["explain", "customers", &record],
        &["dlq", "list"],
        &["dlq", "list", "--group"],
        &["dlq", "show", &letter],
        &["dlq", "export"],
        &["events", "list"],
        &["conflicts", "list", "--sync", "customers"],
        &["conflicts", "show", &question],
        &["sync", "status", "customers"],
    ];
    for command in commands {
        let through_api: Vec<&str> = command.iter().copied().chain(["--api", &api]).collect();
        let here = site.json(0, command).await;
        assert_eq!(site.json(0, &through_api).await, here, "{command:?}");
        let text = site.tandem(command).await.expect(0).out;
        assert_eq!(
            site.tandem(&through_api).await.expect(0).out,
            text,
            "{command:?}"
        );
    }
    up.stop().await;
}

#[tokio::test]
async fn what_is_told_through_the_api_is_done() {
    let site = eventful().await;
    let up = site.up().await;
    let api = format!("http://{}", up.address);
    let ran = site
        .json(1, &["sync", "run", "customers", "--wait", "--api", &api])
        .await;
    assert_eq!(ran["dead"], 1, "{ran}");
    for (verb, paused) in [("pause", true), ("resume", false)] {
        let sync = site
            .json(0, &["sync", verb, "customers", "--api", &api])
            .await;
        assert_eq!(sync["paused"], paused);
        let connection = site
            .json(0, &["connections", verb, "crm", "--api", &api])
            .await;
        assert_eq!(connection["paused"], paused);
        let schedule = ["schedules", verb, "customers", "full", "--api", &api];
        assert_eq!(site.json(0, &schedule).await["paused"], paused);
    }
    let reset = site
        .json(0, &["connections", "reset", "crm", "--api", &api])
        .await;
    assert!(reset["reset_at"].is_string(), "{reset}");
    let letters = site.json(0, &["dlq", "list", "--api", &api]).await;
    let letter = texts(&letters["items"], "id")[0].to_owned();
    let discard = [
        "dlq",
        "discard",
        &letter,
        "--reason",
        "not needed",
        "--api",
        &api,
    ];
    assert_eq!(site.json(0, &discard).await["discarded"], 1);
    let again = site.json(1, &discard).await;
    assert_eq!(
        again["skipped"][0]["reason"], "the job is discarded",
        "{again}"
    );
    up.stop().await;
}

#[tokio::test]
async fn the_token_is_taken_from_a_file_from_the_environment_or_from_the_data_folder() {
    let site = Site::start(3).await;
    let mut command = site.command(&["up"]);
    command.env("TANDEM_API_TOKEN", TOKEN);
    let up = site.up_by(command).await;
    let api = format!("http://{}", up.address);
    let elsewhere = tempfile::tempdir().expect("a folder");
    let ask = |data: std::path::PathBuf| {
        let mut command = program();
        command.args(["connections", "list", "--json", "--api", &api]);
        command.env("TANDEM_DATA", data);
        command
    };
    let refused = finish(ask(elsewhere.path().to_owned()), "").await.expect(3);
    assert!(
        refused
            .err
            .contains("--api-token-file FILE or TANDEM_API_TOKEN"),
        "{refused:?}"
    );

    let mut with_variable = ask(elsewhere.path().to_owned());
    with_variable.env("TANDEM_API_TOKEN", TOKEN);
    finish(with_variable, "").await.expect(0);

    let file = elsewhere.path().join("api-token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("written");
    finish(ask(elsewhere.path().to_owned()), "").await.expect(0);

    let mut with_file = ask("nowhere".into());
    with_file.arg("--api-token-file").arg(&file);
    finish(with_file, "").await.expect(0);

    std::fs::write(&file, "another-token-of-32-characters!!").expect("written");
    let mut with_wrong = ask("nowhere".into());
    with_wrong.arg("--api-token-file").arg(&file);
    let refused = finish(with_wrong, "").await.expect(3);
    assert!(
        refused.err.contains("does not accept the token"),
        "{refused:?}"
    );
    up.stop().await;
}

#[tokio::test]
async fn what_needs_the_database_itself_says_so_and_a_dead_address_is_named() {
    let site = Site::start(3).await;
    site.tandem(&["apply"]).await.expect(0);
    for command in [
        &["export"] as &[&str],
        &["apply"],
        &["sync", "plan", "customers"],
        &["up"],
    ] {
        let arguments: Vec<&str> = command
            .iter()
            .copied()
            .chain(["--api", "http://127.0.0.1:9"])
            .collect();
        let refused = site.tandem(&arguments).await.expect(3);
        assert!(
            refused.err.contains("needs the database itself"),
            "{refused:?}"
        );
    }
    let nobody = site
        .tandem(&["jobs", "list", "--api", "http://127.0.0.1:9"])
        .await
        .expect(3);
    assert!(
        nobody
            .err
            .contains("no Tandem answers at http://127.0.0.1:9/"),
        "{nobody:?}"
    );
    let nonsense = site
        .tandem(&["jobs", "list", "--api", "tandem"])
        .await
        .expect(3);
    assert!(nonsense.err.contains("write http://tandem"), "{nonsense:?}");
}

#[tokio::test]
async fn a_pause_that_is_stored_is_answered_so_where_it_cannot_be_seen_whether_jobs_have_ended() {
    let site = Site::start(3).await;
    let up = site.up().await;
    site.sync(0).await;
    let api = format!("http://{}", up.address);
    let jobs = async |statement: &'static str| {
        let file = site.data().join("tandem.db");
        let options = SqliteConnectOptions::new().filename(file);
        let mut database = options.connect().await.expect("the database opens");
        let done = sqlx::query(statement).execute(&mut database).await;
        done.expect("the table is renamed");
    };
    jobs("ALTER TABLE jobs RENAME TO jobs_away").await;
    let connection = site.json(0, &["connections", "pause", "crm"]).await;
    let pause_sync = ["sync", "pause", "customers", "--api", &api];
    let sync = site.json(0, &pause_sync).await;
    for paused in [connection, sync] {
        assert_eq!(paused["paused"], true, "{paused}");
        let words = paused["pause"]["words"].to_string();
        assert!(words.contains("the pause is stored and holds"), "{words}");
        assert!(
            words.contains("tandem jobs list --state running"),
            "{words}"
        );
        assert!(paused["pause"]["unseen"].is_string(), "{paused}");
    }
    jobs("ALTER TABLE jobs_away RENAME TO jobs").await;
    up.stop().await;
}
