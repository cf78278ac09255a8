//! Looking at connections, jobs and changes, by hand and by filter.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use tokio::process::Command;

use crate::support::{Site, texts};

#[tokio::test]
async fn connections_are_listed_paused_and_reset() {
    let site = Site::start(3).await;
    site.tandem(&["apply"]).await.expect(0);
    let list = site.tandem(&["connections", "list"]).await.expect(0).out;
    assert!(
        list.contains("books") && list.contains("xero") && list.contains("in use"),
        "{list}"
    );
    site.tandem(&["connections", "pause", "crm"])
        .await
        .expect(0);
    let shown = site
        .tandem(&["connections", "show", "crm"])
        .await
        .expect(0)
        .out;
    assert!(
        shown.starts_with("crm: PAUSED") && shown.contains("hubspot"),
        "{shown}"
    );
    assert!(
        shown.contains("CRM_TOKEN") && !shown.contains(site.crm.api_token()),
        "{shown}"
    );
    site.tandem(&["connections", "resume", "crm"])
        .await
        .expect(0);
    let reset = site
        .tandem(&["connections", "reset", "crm"])
        .await
        .expect(0)
        .out;
    assert!(reset.contains("crm is tried again"), "{reset}");
    let unknown = site
        .tandem(&["connections", "reset", "cmr"])
        .await
        .expect(3);
    assert!(
        unknown.err.contains("there is no connection `cmr`"),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn jobs_and_changes_are_found_by_what_and_when() {
    let site = Site::start(5).await;
    let up = site.up().await;
    site.sync(0).await;
    let done = site
        .json(
            0,
            &["jobs", "list", "--state", "done", "--sync", "customers"],
        )
        .await;
    let jobs = texts(&done["items"], "id");
    assert!(!jobs.is_empty(), "{done}");
    let shown = site.tandem(&["jobs", "show", jobs[0]]).await.expect(0).out;
    assert!(
        shown.contains("customers") && shown.contains("caused by"),
        "{shown}"
    );

    let all = site.json(0, &["changes", "--since", "1h"]).await;
    let whole = texts(&all["items"], "id").len();
    assert!(whole > 0, "{all}");
    let none = site
        .tandem(&["changes", "--until", "1h"])
        .await
        .expect(0)
        .out;
    assert!(
        none.starts_with("no changes with --until ")
            && none.contains("there are others, which `tandem changes` lists"),
        "{none}"
    );
    let creates = site.json(0, &["changes", "--operation", "create"]).await;
    for operation in texts(&creates["items"], "operation") {
        assert_eq!(operation, "create");
    }
    let first = &all["items"][0];
    let record = first["a"]
        .as_str()
        .or(first["b"].as_str())
        .expect("a record");
    let of_it = site
        .json(0, &["changes", "--record", record, "--sync", "customers"])
        .await;
    let found = texts(&of_it["items"], "id").len();
    assert!(found > 0 && found <= whole, "{of_it}");
    let text = site
        .tandem(&["changes", "--record", record])
        .await
        .expect(0)
        .out;
    assert!(
        text.contains("customers") && text.contains(record),
        "{text}"
    );

    let wrong = site
        .tandem(&["jobs", "list", "--since", "yesterday"])
        .await
        .expect(2);
    assert!(wrong.err.contains("2h, 3 days"), "{wrong:?}");
    let typo = site
        .tandem(&["changes", "--sync", "custmers"])
        .await
        .expect(3);
    assert!(
        typo.err
            .contains("there is no sync `custmers`; did you mean `customers`?"),
        "{typo:?}"
    );
    up.stop().await;
}

#[tokio::test]
async fn a_backup_that_fails_or_is_killed_in_the_middle_leaves_the_one_before_as_it_was() {
    let site = Site::start(3).await;
    site.tandem(&["apply"]).await.expect(0);
    let copy = site.data().join("copy.db");
    let unfinished = site.data().join("copy.db.unfinished");
    let backup = ["db", "backup", copy.to_str().expect("UTF-8"), "--replace"];
    let failed = cut_short(site.command(&backup)).output().await;
    let failed = failed.expect("it ran");
    assert_eq!(failed.status.code(), Some(3), "{failed:?}");
    assert!(!copy.exists() && !unfinished.exists(), "nothing is left");
    site.tandem(&backup).await.expect(0);
    let before = std::fs::read(&copy).expect("the copy");
    let failed = cut_short(site.command(&backup)).output().await;
    assert_eq!(failed.expect("it ran").status.code(), Some(3));
    assert_eq!(std::fs::read(&copy).expect("the copy"), before);
    std::fs::remove_file(&copy).expect("removed");
    let mut killed = site.command(&backup).spawn().expect("it starts");
    while !unfinished.exists() && killed.try_wait().expect("its state").is_none() {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    killed.kill().await.expect("killed");
    let left = std::fs::read(&copy).unwrap_or_default();
    assert!(
        left.is_empty() || left.len() == before.len(),
        "half a copy has not its name"
    );
    site.tandem(&backup).await.expect(0);
    assert!(!unfinished.exists());
    assert_eq!(std::fs::read(&copy).expect("the copy").len(), before.len());
}

/// The same command in a shell that lets it write no more than a part of a database into a file.
fn cut_short(command: Command) -> Command {
    const FIRST: &str = "ulimit -f 64; exec \"$0\" \"$@\"";
    let whole = command.as_std();
    let mut cut = Command::new("sh");
    cut.args(["-c", FIRST])
        .arg(whole.get_program())
        .args(whole.get_args());
    for (name, value) in whole.get_envs() {
        match value {
            Some(value) => cut.env(name, value),
            None => cut.env_remove(name),
        };
    }
    cut
}

#[tokio::test]
async fn the_database_is_checked_and_copied_while_it_is_in_use() {
    let site = Site::start(3).await;
    let missing = site.tandem(&["db", "check"]).await.expect(3);
    assert!(
        missing.err.contains("there is no database at"),
        "{missing:?}"
    );
    let up = site.up().await;
    let copy = site.data().join("copy.db");
    let copy = copy.to_str().expect("UTF-8");
    let made = site.json(0, &["db", "backup", copy]).await;
    assert!(
        made["bytes"].as_u64().is_some_and(|bytes| bytes > 0),
        "{made}"
    );
    let kept = site.tandem(&["db", "backup", copy]).await.expect(3);
    assert!(kept.err.contains("was kept"), "{kept:?}");
    site.tandem(&["db", "backup", copy, "--replace"])
        .await
        .expect(0);
    for name in [
        "tandem.db",
        "tandem.db-wal",
        "tandem.db-shm",
        "tandem.db.lock",
        "api-token",
    ] {
        let own = site.data().join(name);
        let before = std::fs::read(&own).expect("it is there").len();
        let own = own.to_str().expect("UTF-8");
        let refused = site
            .tandem(&["db", "backup", own, "--replace"])
            .await
            .expect(3);
        assert!(
            refused.err.contains("is a file that Tandem works with"),
            "{refused:?}"
        );
        assert!(std::fs::read(own).expect("it is there").len() >= before);
    }
    // As a person would make it for a database: one that others may look into is refused.
    let elsewhere = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .expect("a folder");
    std::fs::copy(copy, elsewhere.path().join("tandem.db")).expect("copied");
    let folder = elsewhere.path().to_str().expect("UTF-8");
    site.tandem(&["db", "check", "--data", folder])
        .await
        .expect(0);
    site.tandem(&["connections", "show", "crm", "--data", folder])
        .await
        .expect(0);
    up.stop().await;

    std::fs::write(
        elsewhere.path().join("tandem.db"),
        "no database, and long enough ".repeat(99),
    )
    .expect("written");
    let damaged = site.json(1, &["db", "check", "--data", folder]).await;
    assert_eq!(damaged["ok"], false);
    let advice = damaged["problems"][0]["advice"].as_str().expect("advice");
    assert!(advice.contains("tandem db backup"), "{damaged}");
    let url = ["--database-url", "postgres://me:s3cret@db.example/tandem"];
    let told = site
        .tandem(&["db", "backup", "x.dump", url[0], url[1]])
        .await
        .expect(3);
    assert!(
        told.err.contains("pg_dump --format=custom --file='x.dump'"),
        "{told:?}"
    );
    assert!(!told.err.contains("s3cret"), "{told:?}");
}

#[tokio::test]
async fn a_database_that_has_lost_its_contents_is_told_of_and_left_as_it_is() {
    let site = Site::start(3).await;
    let up = site.up().await;
    up.stop().await;
    let at = |name: &str| site.data().join(name);
    std::fs::write(at("tandem.db"), "").expect("it is emptied");
    let _ = std::fs::remove_file(at("tandem.db-shm"));
    let log = vec![7; 16_000];
    std::fs::write(at("tandem.db-wal"), &log).expect("a log");
    let parts = [
        "has lost its contents",
        "tandem.db is empty (0 bytes)",
        "tandem.db-wal (16000 bytes)",
        "api-token",
        "Nothing was changed",
        "Keep a copy of the whole folder",
    ];
    for (command, code) in [
        (vec!["db", "check"], 1),
        (vec!["status"], 3),
        (vec!["conflicts", "list"], 3),
        (vec!["apply"], 3),
        (vec!["apply", "--dry-run"], 3),
        (vec!["up"], 3),
    ] {
        let answer = site.tandem(&command).await.expect(code);
        let said = format!("{}{}", answer.out, answer.err);
        for part in parts {
            assert!(said.contains(part), "{command:?} without {part}: {said}");
        }
        let left = std::fs::read(at("tandem.db-wal")).expect("the log is left");
        assert!(left == log, "{command:?} changed the log");
        let size = std::fs::metadata(at("tandem.db"))
            .expect("it is left")
            .len();
        assert_eq!(size, 0, "{command:?} wrote into the file");
    }
    for name in ["tandem.db-wal", "api-token", "tandem.db.lock"] {
        std::fs::remove_file(at(name)).expect("it is there");
    }
    site.up().await.stop().await;
}

#[tokio::test]
async fn the_status_is_shown_again_and_again_until_it_is_stopped() {
    let site = Site::start(3).await;
    site.tandem(&["apply"]).await.expect(0);
    let mut command = site.command(&["status", "--watch", "1", "--json"]);
    let mut child = command.spawn().expect("it starts");
    let out = child.stdout.take().expect("its output");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(out));
    let mut shown = 0;
    while shown < 2 {
        let line = lines.next_line().await.expect("text").expect("it goes on");
        let status: serde_json::Value = serde_json::from_str(&line).expect("a document a line");
        shown += usize::from(status["at"].is_string());
    }
    child.kill().await.expect("it ends");
    let once = site.tandem(&["status"]).await.expect(0).out;
    assert_eq!(once, site.tandem(&["sync", "status"]).await.expect(0).out);
}

#[tokio::test]
async fn an_empty_list_names_its_filters_and_what_there_is_without_them() {
    let site = Site::start(3).await;
    site.tandem(&["apply"]).await.expect(0);
    let said = async |command: &[&str]| site.tandem(command).await.expect(0).out;
    assert_eq!(said(&["runs"]).await.trim(), "there are no runs");
    let filtered = ["runs", "--sync", "customers", "--since", "2026-01-31"];
    assert_eq!(
        said(&filtered).await.trim(),
        "no runs with --sync customers --since 2026-01-31T00:00:00Z, and none without these filters"
    );
    let replay = ["dlq", "replay", "--all", "--sync", "customers"];
    assert_eq!(
        said(&replay).await.trim(),
        "no dead letters with --sync customers, and none without these filters: nothing to replay"
    );
    assert!(
        said(&["links", "customers"])
            .await
            .contains("tandem sync run customers")
    );

    let up = site.up().await;
    site.sync(0).await;
    up.stop().await;
    let failed = ["runs", "--state", "failed"];
    assert_eq!(
        said(&failed).await.trim(),
        "no runs with --state failed; there are others, which `tandem runs` lists without these filters"
    );
}

#[tokio::test]
async fn watching_takes_seconds_and_says_where_a_name_belongs() {
    let site = Site::start(3).await;
    site.tandem(&["apply"]).await.expect(0);
    let turned = site
        .tandem(&["status", "--watch", "customers"])
        .await
        .expect(2);
    assert!(
        turned.err.contains("tandem status NAME --watch"),
        "{turned:?}"
    );
}
