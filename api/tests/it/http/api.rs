//! The routes, each once.

use serde_json::{Value as Json, json};
use tandem_testkit::Make;

use crate::support::site::start;

#[tokio::test]
async fn connections_syncs_and_schedules_are_shown_paused_and_resumed() {
    let site = start().await;
    let connections = site.get("/api/v1/connections").await;
    assert_eq!(connections["items"].as_array().map(Vec::len), Some(2));
    for path in ["/api/v1/connections/crm", "/api/v1/syncs/customers"] {
        assert_eq!(
            site.post(&format!("{path}/pause"), None).await["paused"],
            true
        );
        assert_eq!(site.get(path).await["paused"], true);
        assert_eq!(
            site.post(&format!("{path}/resume"), None).await["paused"],
            false
        );
    }
    let schedule = "/api/v1/schedules/customers/poll_a";
    assert_eq!(
        site.post(&format!("{schedule}/pause"), None).await["paused"],
        true
    );
    let schedules = site.get("/api/v1/schedules?sync=customers").await;
    assert_eq!(schedules["items"][0]["purpose"], "poll_a");
    assert_eq!(schedules["items"][0]["paused"], true);
    let started = site.post(&format!("{schedule}/trigger"), None).await;
    assert!(
        started["job"]
            .as_str()
            .is_some_and(|id| id.starts_with("job_"))
    );
    let status = site.get("/api/v1/status").await;
    assert_eq!(status["syncs"][0]["name"], "customers");
    assert_eq!(status["queue"]["available"], 1);
}

#[tokio::test]
async fn a_run_is_started_by_hand() {
    let site = start().await;
    for body in [
        json!({"what": "backfill"}),
        json!({"what": "poll", "side": "a"}),
        json!({"what": "sweep", "side": "b"}),
    ] {
        let started = site.post("/api/v1/syncs/customers/start", Some(body)).await;
        let id = started["job"].as_str().expect("an id").to_owned();
        assert_eq!(
            site.get(&format!("/api/v1/jobs/{id}")).await["trigger"],
            "manual"
        );
    }
    assert_eq!(site.doorbell.rung().len(), 3);
    let wrong = site
        .call(
            "POST",
            "/api/v1/syncs/customers/start",
            Some(json!({"what": "poll"})),
        )
        .await;
    assert_eq!(wrong.status, 422);
}

#[tokio::test]
async fn jobs_are_paged_by_cursor() {
    let site = start().await;
    for number in 0..3 {
        site.dead_job(&number.to_string()).await;
    }
    let first = site.get("/api/v1/jobs?limit=2&state=dead").await;
    assert_eq!(first["items"].as_array().map(Vec::len), Some(2));
    let next = first["next"].as_str().expect("there is more").to_owned();
    let second = site
        .get(&format!("/api/v1/jobs?limit=2&state=dead&cursor={next}"))
        .await;
    assert_eq!(second["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(second["next"], json!(null));
}

#[tokio::test]
async fn dead_letters_are_listed_grouped_shown_replayed_and_discarded() {
    let site = start().await;
    let first = site.dead_job("1").await;
    let second = site.dead_job("2").await;
    let list = site.get("/api/v1/dead-letters").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(list["items"][0]["code"], "refused");
    let groups = site.get("/api/v1/dead-letters/groups").await;
    assert_eq!(groups["items"][0]["count"], 2);
    let shown = site.get(&format!("/api/v1/dead-letters/{first}")).await;
    assert_eq!(shown["job"]["failure"]["chain"][0], "the name is missing");
    let replayed = site
        .post(&format!("/api/v1/dead-letters/{first}/replay"), None)
        .await;
    assert_eq!(replayed["replayed"][0], first.to_string());
    let again = site
        .call(
            "POST",
            &format!("/api/v1/dead-letters/{first}/replay"),
            None,
        )
        .await;
    assert_eq!(again.status, 409);
    let body = json!({"ids": [second], "reason": "not needed"});
    let discarded = site.post("/api/v1/dead-letters/discard", Some(body)).await;
    assert_eq!(discarded["discarded"], 1);
}

#[tokio::test]
async fn a_dead_letter_is_replayed_with_values_of_the_operator() {
    let site = start().await;
    let letter = site.dead_job("1").await;
    let path = format!("/api/v1/dead-letters/{letter}/replay");
    let unknown = json!({"set": {"shoe_size": "44"}});
    let refused = site.call("POST", &path, Some(unknown)).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("shoe_size"), "{}", refused.body);
    let replayed = site
        .post(&path, Some(json!({"set": {"name": "Ann"}})))
        .await;
    assert_eq!(replayed["replayed"][0], letter.to_string());
    let again = json!({"set": {"name": "Ann"}});
    assert_eq!(site.call("POST", &path, Some(again)).await.status, 409);
}

#[tokio::test]
async fn dead_letters_are_exported_as_a_table() {
    let site = start().await;
    let letter = site.dead_job("1").await;
    let table = site.call("GET", "/api/v1/dead-letters/export", None).await;
    assert_eq!(table.status, 200);
    let lines: Vec<&str> = table.body.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("id,what,sync,"), "{}", lines[0]);
    assert!(lines[1].starts_with(&letter.to_string()), "{}", lines[1]);
    assert!(lines[1].ends_with("the name is missing"), "{}", lines[1]);
}

#[tokio::test]
async fn all_dead_letters_of_a_cause_are_replayed_at_once() {
    let site = start().await;
    site.dead_job("1").await;
    site.dead_job("2").await;
    let body = json!({"matching": {"cause": "the name is missing"}});
    let outcome = site.post("/api/v1/dead-letters/replay", Some(body)).await;
    assert_eq!(outcome["replayed"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn links_changes_runs_and_stories_are_shown() {
    let site = start().await;
    let link = site.make.link("a1", "b1");
    let id = link.id;
    let now = site.make.now();
    site.store
        .insert_links(vec![link], now)
        .await
        .expect("linked");
    let at = "/api/v1/syncs/customers/links";
    let links = site.get(at).await;
    assert_eq!(site.get(&format!("{at}?state=active")).await, links);
    let filtered = site.get(&format!("{at}?state=filtered")).await;
    assert_eq!(filtered["items"], json!([]));
    assert_eq!(
        links["items"][0]["base"]["name"],
        json!({"a": "Ann", "b": "Ann"})
    );
    assert_eq!(
        site.get(&format!("/api/v1/links/{id}")).await["a"]["id"],
        "a1"
    );
    assert_eq!(
        site.get("/api/v1/changes?sync=customers").await["items"],
        json!([])
    );
    let run = site.make.run(tandem_store::RunKind::Backfill, None);
    let run_id = run.id;
    site.store.begin_run(run, now).await.expect("it begins");
    assert_eq!(
        site.get("/api/v1/runs?kind=backfill").await["items"][0]["state"],
        "running"
    );
    assert_eq!(
        site.get(&format!("/api/v1/runs/{run_id}")).await["kind"],
        "backfill"
    );
    let story = site.get("/api/v1/syncs/customers/explain?record=b1").await;
    assert_eq!(story["link"]["id"], id.to_string());
    let text = "GET /api/v1/syncs/customers/explain?record=b1 HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\nConnection: close\r\n\r\n";
    let text = site.send(text.as_bytes()).await;
    assert!(
        text.body.starts_with("books b1 in sync customers"),
        "{}",
        text.body
    );
}

#[tokio::test]
async fn a_question_is_shown_with_its_answers_and_answered() {
    let site = start().await;
    let question = site.make.conflict(None, "7", Make::ambiguous());
    let id = question.id;
    site.store
        .open_conflicts(vec![question], site.make.now())
        .await
        .expect("it is opened");
    let list = site.get("/api/v1/conflicts?state=open").await;
    assert_eq!(
        list["items"][0]["answers"],
        json!(["link_to", "create_new", "ignore"])
    );
    let path = format!("/api/v1/conflicts/{id}/resolve");
    let wrong = site
        .call("POST", &path, Some(json!({"answer": "approve"})))
        .await;
    assert_eq!(wrong.status, 422);
    // A partner is not believed unseen.
    let link_to = |record: &str| json!({"answer": "link_to", "record": record});
    for empty in ["", " "] {
        let nobody = site.call("POST", &path, Some(link_to(empty))).await;
        assert_eq!(nobody.status, 422, "{}", nobody.body);
        assert!(nobody.body.contains("names no record"), "{}", nobody.body);
    }
    let away = site.call("POST", &path, Some(link_to("away-1"))).await;
    assert_eq!(away.status, 502, "{}", away.body);
    let gone = site.call("POST", &path, Some(link_to("gone-1"))).await;
    assert_eq!(gone.status, 422, "{}", gone.body);
    assert!(gone.body.contains("gone-1"), "{}", gone.body);
    let question = format!("/api/v1/conflicts/{id}");
    assert_eq!(site.get(&question).await["state"], "open");
    let body = json!({"answer": "ignore"});
    assert_eq!(site.post(&path, Some(body)).await["state"], "closed");
    assert_eq!(site.get(&question).await["resolution"]["answer"], "ignore");
}

#[tokio::test]
async fn a_question_is_answered_with_a_record_that_is_there_and_promised_to_nobody_else() {
    let site = start().await;
    let questions = ["7", "8"].map(|record| site.make.conflict(None, record, Make::ambiguous()));
    let [id, other] = [questions[0].id, questions[1].id];
    site.store
        .open_conflicts(questions.to_vec(), site.make.now())
        .await
        .expect("they are opened");
    let path = |id| format!("/api/v1/conflicts/{id}/resolve");
    let nobody = Some(json!({"answer": "link_to", "record": "gone-typo"}));
    let refused = site.call("POST", &path(id), nobody).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("`gone-typo`"), "{}", refused.body);
    let still = site.get(&format!("/api/v1/conflicts/{id}")).await;
    assert_eq!(still["state"], "open");
    let body = || Some(json!({"answer": "link_to", "record": "b2"}));
    site.post(&path(id), body()).await;
    let promised = site.call("POST", &path(other), body()).await;
    assert_eq!(promised.status, 409, "{}", promised.body);
    assert!(
        promised.body.contains("is to be linked with `7`"),
        "{}",
        promised.body
    );
    let answered = site.get(&format!("/api/v1/conflicts/{id}")).await;
    assert_ne!(answered["state"], "open");
    assert_eq!(answered["resolution"]["answer"], "link_to");
    assert_eq!(answered["resolution"]["record"], "b2");
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_told_so_in_its_own_words() {
    let site = start().await;
    for (path, status, part) in [
        (
            "/api/v1/jobs?limit=0",
            400,
            "a page has from 1 to 1000 rows",
        ),
        (
            "/api/v1/dead-letters?cursor=here",
            400,
            "copy the id from a list",
        ),
        ("/api/v1/jobs?limit=-1", 400, "a whole number is expected"),
        (
            "/api/v1/jobs?sync=customer",
            400,
            "did you mean `customers`?",
        ),
        ("/api/v1/conflicts?state=opne", 400, "did you mean `open`?"),
        (
            "/api/v1/jobs?synk=customers",
            400,
            "`synk` is not known here; did you mean `sync`?",
        ),
        (
            "/api/v1/events?connection=cr",
            400,
            "there is no connection `cr`",
        ),
        (
            "/api/v1/changes?record=nowhere",
            400,
            "nothing is known of a record `nowhere`",
        ),
        (
            "/api/v1/jobs?since=bla",
            400,
            "`bla` is not an instant such as 2026-01-31T12:00:00Z: a day, a time, and a zone",
        ),
        // What takes no parameters says so, be it a list or not.
        (
            "/api/v1/connections?limit=0",
            400,
            "`limit` is not known here",
        ),
        (
            "/api/v1/status?verbose=1",
            400,
            "`verbose` is not known here",
        ),
        ("/api/v1/syncs?state=x", 400, "`state` is not known here"),
        ("/api/v1/syncs/customers?x=1", 400, "`x` is not known here"),
        ("/api/v1/connections/crm?x=1", 400, "`x` is not known here"),
    ] {
        let answer = site.call("GET", path, None).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
        for word in ["deserialize", "variant", "usize", "u64", "parse", "year"] {
            assert!(!answer.body.contains(word), "{path}: {}", answer.body);
        }
    }
    let pause = "/api/v1/syncs/customers/pause?because=audit";
    let answer = site.call("POST", pause, None).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_eq!(site.get("/api/v1/syncs/customers").await["paused"], false);
}

#[tokio::test]
async fn what_is_wrong_with_several_filters_is_said_at_once() {
    let site = start().await;
    let span = "since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z";
    for list in ["jobs", "runs", "changes", "dead-letters", "conflicts"] {
        let path = format!("/api/v1/{list}?limit=0&sync=customer&{span}");
        let answer = site.call("GET", &path, None).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        for part in [
            "a page has from 1 to 1000 rows",
            "did you mean `customers`?",
            "the span ends before it begins",
        ] {
            assert!(answer.body.contains(part), "{path}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn records_are_linked_over_values_that_differ_only_when_that_is_confirmed() {
    let site = start().await;
    let at = "/api/v1/syncs/customers/links";
    let preview = site.get(&format!("{at}/preview?a=ann-1&b=bob-1")).await;
    assert_eq!(
        preview["written_over"],
        json!([{"field": "name", "a": "ann", "b": "bob", "stays": null}])
    );
    assert_eq!(preview["b"]["connection"], "books");
    for body in [
        json!({"a": "ann-1", "b": "bob-1"}),
        json!({"a": "ann-1", "b": "bob-1", "confirm": false}),
    ] {
        let refused = site.call("POST", at, Some(body)).await;
        assert_eq!(refused.status, 409, "{}", refused.body);
        let problem: Json = serde_json::from_str(&refused.body).expect("JSON");
        let detail = problem["detail"].as_str().expect("a detail");
        for part in [
            "\"ann\" (ann-1) of crm",
            "\"bob\" (bob-1) of books",
            "`name`, \"ann\" in crm and \"bob\" in books",
            "\"confirm\": true",
        ] {
            assert!(detail.contains(part), "{part}: {detail}");
        }
        assert_eq!(site.get(at).await["items"], json!([]), "nothing was done");
    }
    let meant = json!({"a": "ann-1", "b": "bob-1", "confirm": true});
    assert_eq!(site.post(at, Some(meant)).await["b"]["id"], "bob-1");
    let same = json!({"a": "ann-2", "b": "ann-3"});
    assert_eq!(site.post(at, Some(same)).await["state"], "active");
}
