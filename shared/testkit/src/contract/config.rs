//! Configuration and schedules.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tandem_domain::Timestamp;
use tandem_store::{
    Addressed, ConflictState, Moved, Pause, ScheduleKey, SchedulePurpose, ScheduleRow,
    StoredSchedule,
};

use super::Subject;
use crate::Make;

async fn apply(
    store: &Subject,
    make: &Make,
    crm: Option<Json>,
    customers: Option<Json>,
    schedules: Vec<ScheduleRow>,
) {
    let connections = crm
        .map(|document| (Make::crm(), document))
        .into_iter()
        .collect();
    let syncs = customers
        .map(|document| (Make::customers(), document))
        .into_iter()
        .collect();
    store
        .apply_config(connections, syncs, schedules, make.now())
        .await
        .expect("apply_config");
}

fn key() -> ScheduleKey {
    ScheduleKey {
        sync: Make::customers(),
        purpose: SchedulePurpose::PollA,
    }
}

fn schedule(spec: &str, next_at: Option<Timestamp>) -> ScheduleRow {
    ScheduleRow {
        key: key(),
        spec: spec.to_owned(),
        next_at,
    }
}

async fn only_schedule(store: &Subject) -> StoredSchedule {
    let mut schedules = store.schedules().await.expect("schedules");
    assert_eq!(schedules.len(), 1);
    schedules.remove(0)
}

async fn versions(store: &Subject) -> (i64, i64) {
    let connections = store.connections().await.expect("connections");
    let syncs = store.syncs().await.expect("syncs");
    (connections[0].version, syncs[0].version)
}

/// Applying stores documents at version one.
pub async fn applying_stores_documents_at_version_one(store: Subject) {
    let make = Make::default();
    let document = json!({"url": "https://crm.example", "fields": [1, null, "ü"]});
    apply(
        &store,
        &make,
        Some(document.clone()),
        Some(json!({"a": "crm"})),
        Vec::new(),
    )
    .await;
    let connections = store.connections().await.expect("connections");
    assert_eq!(connections.len(), 1);
    assert_eq!(
        (connections[0].name.clone(), connections[0].version),
        (Make::crm(), 1)
    );
    assert_eq!(connections[0].document, document);
    assert_eq!(
        (connections[0].pause.clone(), connections[0].deleted_at),
        (None, None)
    );
    let syncs = store.syncs().await.expect("syncs");
    assert_eq!(
        (syncs[0].name.clone(), syncs[0].version),
        (Make::customers(), 1)
    );
    assert_eq!(syncs[0].document, json!({"a": "crm"}));
}

/// The questions of a sync that is removed are closed, with the reason, and those of the others stay.
pub async fn the_questions_of_a_removed_sync_are_closed_with_the_reason(store: Subject) {
    let make = Make::default();
    let document = || Some(json!({}));
    apply(&store, &make, document(), document(), Vec::new()).await;
    let asked = make.conflict(None, "a1", Make::ambiguous());
    let opened = store.open_conflicts(vec![asked.clone()], make.now()).await;
    assert_eq!(opened.expect("opened"), 1);
    let found = async || {
        let found = store.conflict(asked.id).await.expect("asked");
        let found = found.expect("it is there");
        (found.state, found.closed_because)
    };
    apply(&store, &make, document(), document(), Vec::new()).await;
    assert_eq!(found().await, (ConflictState::Open, None));
    apply(&store, &make, document(), None, Vec::new()).await;
    let why = "the sync was removed from the configuration".to_owned();
    assert_eq!(found().await, (ConflictState::Closed, Some(why)));
    // Configured again it asks again.
    apply(&store, &make, document(), document(), Vec::new()).await;
    let again = make.conflict(None, "a1", Make::ambiguous());
    let opened = store.open_conflicts(vec![again], make.now()).await;
    assert_eq!(opened.expect("opened"), 1);
}

/// Only a changed document gets a new version.
pub async fn only_a_changed_document_gets_a_new_version(store: Subject) {
    let make = Make::default();
    apply(
        &store,
        &make,
        Some(json!({"x": 1})),
        Some(json!({})),
        Vec::new(),
    )
    .await;
    apply(
        &store,
        &make,
        Some(json!({"x": 1})),
        Some(json!({})),
        Vec::new(),
    )
    .await;
    assert_eq!(versions(&store).await, (1, 1));
    apply(
        &store,
        &make,
        Some(json!({"x": 2})),
        Some(json!({})),
        Vec::new(),
    )
    .await;
    assert_eq!(versions(&store).await, (2, 1));
    apply(
        &store,
        &make,
        Some(json!({"x": 2})),
        Some(json!({"y": 1})),
        Vec::new(),
    )
    .await;
    assert_eq!(versions(&store).await, (2, 2));
}

/// A missing document is marked deleted and can come back.
pub async fn a_missing_document_is_marked_deleted_and_can_come_back(store: Subject) {
    let make = Make::default();
    apply(&store, &make, Some(json!({})), Some(json!({})), Vec::new()).await;
    apply(&store, &make, None, None, Vec::new()).await;
    let deleted = Some(make.now());
    assert_eq!(
        store.connections().await.expect("connections")[0].deleted_at,
        deleted
    );
    assert_eq!(store.syncs().await.expect("syncs")[0].deleted_at, deleted);
    assert!(
        !store
            .pause_sync(&Make::customers(), Some("by hand"), make.now())
            .await
            .expect("pause")
    );
    apply(&store, &make, Some(json!({})), Some(json!({})), Vec::new()).await;
    assert_eq!(
        store.connections().await.expect("connections")[0].deleted_at,
        None
    );
    assert_eq!(versions(&store).await, (2, 2));
}

/// Unchanged schedules keep their clocks and pauses.
pub async fn unchanged_schedules_keep_their_clocks_and_pauses(store: Subject) {
    let make = Make::default();
    let first = Some(make.after(10));
    apply(
        &store,
        &make,
        None,
        None,
        vec![schedule("every 5 minutes", first)],
    )
    .await;
    let edited = store
        .edit_schedule(&key(), Some(true), None, make.now())
        .await;
    assert!(edited.expect("edit"));
    apply(
        &store,
        &make,
        None,
        None,
        vec![schedule("every 5 minutes", Some(make.after(99)))],
    )
    .await;
    let expected = StoredSchedule {
        key: key(),
        spec: "every 5 minutes".to_owned(),
        paused: true,
        next_at: first,
        last_at: None,
    };
    assert_eq!(only_schedule(&store).await, expected);
}

/// A schedule with other words gets a new clock.
pub async fn a_schedule_with_other_words_gets_a_new_clock(store: Subject) {
    let make = Make::default();
    apply(
        &store,
        &make,
        None,
        None,
        vec![schedule("every 5 minutes", Some(make.after(10)))],
    )
    .await;
    apply(&store, &make, None, None, vec![schedule("manual", None)]).await;
    let stored = only_schedule(&store).await;
    assert_eq!((stored.spec.as_str(), stored.next_at), ("manual", None));
}

/// Missing schedules are removed.
pub async fn missing_schedules_are_removed(store: Subject) {
    let make = Make::default();
    let full = ScheduleRow {
        key: ScheduleKey {
            purpose: SchedulePurpose::Full,
            ..key()
        },
        ..schedule("manual", None)
    };
    apply(
        &store,
        &make,
        None,
        None,
        vec![schedule("manual", None), full.clone()],
    )
    .await;
    assert_eq!(store.schedules().await.expect("schedules").len(), 2);
    apply(&store, &make, None, None, vec![full.clone()]).await;
    assert_eq!(only_schedule(&store).await.key, full.key);
}

/// A due schedule is advanced once.
pub async fn a_due_schedule_is_advanced_once(store: Subject) {
    let make = Make::default();
    let (due, next) = (make.after(10), make.after(310));
    apply(
        &store,
        &make,
        None,
        None,
        vec![schedule("every 5 minutes", Some(due))],
    )
    .await;
    let advance = async |expected| {
        store
            .advance_schedule(&key(), expected, Some(next), due)
            .await
            .expect("advance")
    };
    assert!(advance(due).await);
    assert!(!advance(due).await);
    let stored = only_schedule(&store).await;
    assert_eq!((stored.next_at, stored.last_at), (Some(next), Some(due)));
}

/// Two schedulers give one tick.
pub async fn two_schedulers_give_one_tick(store: Subject) {
    let make = Make::default();
    let due = make.after(10);
    apply(
        &store,
        &make,
        None,
        None,
        vec![schedule("every 5 minutes", Some(due))],
    )
    .await;
    let schedulers: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            let next = make.after(310);
            tokio::spawn(async move {
                store
                    .advance_schedule(&key(), due, Some(next), due)
                    .await
                    .expect("advance")
            })
        })
        .collect();
    let mut ticks = 0;
    for scheduler in schedulers {
        ticks += usize::from(scheduler.await.expect("a scheduler does not panic"));
    }
    assert_eq!(ticks, 1);
}

/// A paused schedule is not advanced.
pub async fn a_paused_schedule_is_not_advanced(store: Subject) {
    let make = Make::default();
    let due = make.after(10);
    apply(
        &store,
        &make,
        None,
        None,
        vec![schedule("every 5 minutes", Some(due))],
    )
    .await;
    for (paused, advanced) in [(true, false), (false, true)] {
        let edited = store
            .edit_schedule(&key(), Some(paused), None, make.now())
            .await;
        assert!(edited.expect("edit"));
        let answer = store.advance_schedule(&key(), due, None, due).await;
        assert_eq!(answer.expect("advance"), advanced);
    }
}

/// A schedule is made due.
pub async fn a_schedule_is_made_due(store: Subject) {
    let make = Make::default();
    apply(&store, &make, None, None, vec![schedule("manual", None)]).await;
    let edited = store
        .edit_schedule(&key(), None, Some(make.now()), make.now())
        .await;
    assert!(edited.expect("edit"));
    let stored = only_schedule(&store).await;
    assert_eq!((stored.next_at, stored.paused), (Some(make.now()), false));
    let unknown = ScheduleKey {
        sync: Make::sync("invoices"),
        ..key()
    };
    let edited = store
        .edit_schedule(&unknown, Some(true), None, make.now())
        .await;
    assert!(!edited.expect("edit"));
}

/// Connections and syncs are paused and resumed, and say since when and why.
pub async fn connections_and_syncs_are_paused_and_resumed(store: Subject) {
    let make = Make::default();
    let pause = |because: Option<&'static str>, at| {
        let store = &store;
        async move {
            let connection = store.pause_connection(&Make::crm(), because, at).await;
            let sync = store.pause_sync(&Make::customers(), because, at).await;
            (connection.expect("pause"), sync.expect("pause"))
        }
    };
    let pauses = || async {
        let connections = store.connections().await.expect("connections");
        let syncs = store.syncs().await.expect("syncs");
        assert_eq!(connections[0].pause, syncs[0].pause);
        connections[0].pause.clone()
    };
    assert_eq!(pause(Some("x"), make.now()).await, (false, false));
    apply(&store, &make, Some(json!({})), Some(json!({})), Vec::new()).await;
    assert_eq!(pauses().await, None);
    let first = Pause {
        since: Some(make.now()),
        because: Some("the audit".to_owned()),
        moved: None,
    };
    assert_eq!(pause(Some("the audit"), make.now()).await, (true, true));
    assert_eq!(pauses().await, Some(first.clone()));
    assert_eq!(pause(Some("another"), make.after(9)).await, (true, true));
    assert_eq!(pauses().await, Some(first), "it is paused since then");
    assert_eq!(pause(None, make.after(10)).await, (true, true));
    assert_eq!(pauses().await, None);
    let later = Pause {
        since: Some(make.after(11)),
        because: Some("another".to_owned()),
        moved: None,
    };
    assert_eq!(pause(Some("another"), make.after(11)).await, (true, true));
    assert_eq!(pauses().await, Some(later));
    assert_eq!(versions(&store).await, (1, 1));
}

/// The CRM is about to be worked with at this address.
async fn note(store: &Subject, address: &str, at: Timestamp) {
    let addressed = Addressed {
        connection: Make::crm(),
        address: address.to_owned(),
        syncs: vec!["another".parse().expect("a name"), Make::customers()],
    };
    let noted = store.note_addresses(vec![addressed], at).await;
    noted.expect("the address is kept");
}

/// How the CRM is paused, and where its records are.
async fn standing(store: &Subject) -> (Option<Pause>, Option<String>) {
    let mut rows = store.connections().await.expect("connections");
    let row = rows.remove(0);
    (row.pause, row.linked_to)
}

fn moved(at: Timestamp, linked_to: &str, address: &str) -> Pause {
    Pause {
        since: Some(at),
        because: None,
        moved: Some(Moved {
            linked_to: linked_to.to_owned(),
            address: address.to_owned(),
        }),
    }
}

async fn with_a_link(store: &Subject, make: &Make) {
    apply(store, make, Some(json!({})), Some(json!({})), Vec::new()).await;
    let linked = store
        .insert_links(vec![make.link("a1", "b1")], make.now())
        .await;
    linked.expect("it is linked");
}

/// With links, another address pauses a connection until it is resumed or has the old one again. That is no new version.
pub async fn a_connection_with_links_is_paused_while_its_address_is_another(store: Subject) {
    let make = Make::default();
    with_a_link(&store, &make).await;
    assert_eq!(standing(&store).await, (None, None));
    // An older database: what it was linked under is not known, so the first address is believed.
    note(&store, "one", make.now()).await;
    assert_eq!(standing(&store).await, (None, Some("one".to_owned())));
    note(&store, "two", make.after(1)).await;
    let paused = moved(make.after(1), "one", "two");
    assert_eq!(
        standing(&store).await,
        (Some(paused.clone()), Some("one".to_owned()))
    );
    note(&store, "two", make.after(2)).await;
    assert_eq!(standing(&store).await.0, Some(paused), "since it changed");
    note(&store, "three", make.after(3)).await;
    assert_eq!(
        standing(&store).await.0,
        Some(moved(make.after(3), "one", "three"))
    );
    note(&store, "one", make.after(4)).await;
    assert_eq!(standing(&store).await, (None, Some("one".to_owned())));

    note(&store, "two", make.after(5)).await;
    let resumed = store
        .pause_connection(&Make::crm(), None, make.after(6))
        .await;
    assert!(resumed.expect("resumed"));
    assert_eq!(standing(&store).await, (None, Some("two".to_owned())));
    note(&store, "two", make.after(7)).await;
    assert_eq!(standing(&store).await.0, None);
    note(&store, "one", make.after(8)).await;
    assert_eq!(
        standing(&store).await.0,
        Some(moved(make.after(8), "two", "one"))
    );
    assert_eq!(versions(&store).await, (1, 1));
}

/// Without links there is nothing that belongs to the old address.
pub async fn a_connection_without_links_takes_each_address(store: Subject) {
    let make = Make::default();
    apply(&store, &make, Some(json!({})), Some(json!({})), Vec::new()).await;
    for address in ["one", "two"] {
        note(&store, address, make.now()).await;
        assert_eq!(standing(&store).await, (None, Some(address.to_owned())));
    }
}

/// Whoever ends a pause of their own has not said anything of the address.
pub async fn the_pause_of_a_person_and_that_of_an_address_end_one_after_the_other(store: Subject) {
    let make = Make::default();
    with_a_link(&store, &make).await;
    note(&store, "one", make.now()).await;
    let switch = |because: Option<&'static str>, at| {
        let store = &store;
        async move {
            let switched = store.pause_connection(&Make::crm(), because, at).await;
            assert!(switched.expect("it is switched"));
        }
    };
    switch(Some("the audit"), make.after(1)).await;
    note(&store, "two", make.after(2)).await;
    let by_both = Pause {
        because: Some("the audit".to_owned()),
        ..moved(make.after(1), "one", "two")
    };
    assert_eq!(standing(&store).await.0, Some(by_both));
    switch(None, make.after(3)).await;
    assert_eq!(
        standing(&store).await,
        (
            Some(moved(make.after(2), "one", "two")),
            Some("one".to_owned())
        )
    );
    switch(None, make.after(4)).await;
    assert_eq!(standing(&store).await, (None, Some("two".to_owned())));

    switch(Some("again"), make.after(5)).await;
    note(&store, "one", make.after(6)).await;
    note(&store, "two", make.after(7)).await;
    let by_person = Pause {
        since: Some(make.after(5)),
        because: Some("again".to_owned()),
        moved: None,
    };
    assert_eq!(standing(&store).await.0, Some(by_person));
}

/// A connection says when it was last reset, which is no new version of it.
pub async fn a_reset_of_a_connection_is_told_to_all_who_look(store: Subject) {
    let make = Make::default();
    let reset = |at| {
        let store = &store;
        async move {
            store
                .reset_connection(&Make::crm(), at)
                .await
                .expect("reset")
        }
    };
    assert!(!reset(make.now()).await);
    apply(&store, &make, Some(json!({})), Some(json!({})), Vec::new()).await;
    assert_eq!(
        store.connections().await.expect("connections")[0].reset_at,
        None
    );
    assert!(reset(make.now()).await);
    assert!(reset(make.after(5)).await);
    let stored = store.connections().await.expect("connections");
    assert_eq!(stored[0].reset_at, Some(make.after(5)));
    assert_eq!(versions(&store).await, (1, 1));
}

/// What a process has to say is replaced, and taken back.
pub async fn a_notice_of_a_process_is_replaced_and_taken_back(store: Subject) {
    let make = Make::default();
    let put = |process: &'static str, text: Option<&'static str>| {
        let store = &store;
        async move {
            let put = store.put_notice(process, text, Make::default().now());
            put.await.expect("put");
        }
    };
    put("up", Some("one")).await;
    put("up", Some("other")).await;
    put("worker", Some("third")).await;
    put("worker", None).await;
    put("worker", None).await;
    let notices = store.notices().await.expect("notices");
    assert_eq!(notices.len(), 1);
    assert_eq!(
        (notices[0].process.as_str(), notices[0].text.as_str()),
        ("up", "other")
    );
    assert_eq!(notices[0].at, make.now());
}

/// A storage is closed, and a second time does no more.
pub async fn a_storage_is_closed_also_twice_over(store: Subject) {
    store.ping().await.expect("it answers");
    store.close().await.expect("it is closed");
    store.close().await.expect("nothing is left to do");
}

/// The storage answers.
pub async fn the_storage_answers(store: Subject) {
    store.ping().await.expect("ping");
}
