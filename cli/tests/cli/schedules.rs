//! `schedules`: when syncs run by themselves.

use crate::support::{Site, texts};

#[tokio::test]
async fn schedules_are_listed_paused_and_resumed() {
    let site = Site::start(5).await;
    site.write_config(
        &site
            .configuration()
            .replace("full: manual", "full: daily at 02:00"),
    );
    site.tandem(&["apply"]).await.expect(0);
    let list = site
        .json(0, &["schedules", "list", "--sync", "customers"])
        .await;
    assert_eq!(texts(&list, "purpose"), ["full", "poll_a", "poll_b"]);
    assert!(list[0]["next_at"].is_string(), "{list}");

    assert_eq!(
        site.json(0, &["schedules", "pause", "customers", "full"])
            .await["paused"],
        true
    );
    let text = site.tandem(&["schedules", "list"]).await.expect(0).out;
    assert!(text.contains("daily at 02:00 UTC  paused"), "{text}");
    assert_eq!(
        site.json(0, &["schedules", "resume", "customers", "full"])
            .await["paused"],
        false
    );
}

#[tokio::test]
async fn a_schedule_is_triggered_by_hand() {
    let site = Site::start(5).await;
    let up = site.up().await;
    let triggered = site
        .json(0, &["schedules", "trigger", "customers", "full"])
        .await;
    assert!(
        triggered["job"]
            .as_str()
            .is_some_and(|job| job.starts_with("job_")),
        "{triggered}"
    );
    let runs = site
        .until(&["runs", "--state", "succeeded"], |runs| {
            !texts(&runs["items"], "id").is_empty()
        })
        .await;
    assert_eq!(runs["items"][0]["trigger"], "manual");
    up.stop().await;
}
