//! Pages of long listings: what is kept of them, and where they go on.

use serde_json::json;
use tandem_domain::{RecordId, Side, Value};
use tandem_store::{
    ListingPlace, Progress, RowError, Run, RunKind, RunState, SideState, StoredPage, SurveyedRecord,
};

use super::Subject;
use crate::Make;

async fn begun(store: &Subject, make: &Make) -> Run {
    let run = make.run(RunKind::Backfill, None);
    store.begin_run(run, make.now()).await.expect("begin_run")
}

async fn ended(store: &Subject, make: &Make, run: &Run) {
    let progress = Progress::default();
    store
        .end_run(
            run.id,
            RunState::Succeeded,
            &progress,
            None,
            None,
            make.now(),
        )
        .await
        .expect("end_run");
}

fn record(make: &Make, id: &str, keys: &[&str]) -> SurveyedRecord {
    SurveyedRecord {
        id: RecordId::new(id),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        fields: [("name".to_owned(), Value::Text(format!("Name of {id}")))].into(),
        state: SideState {
            id: Some(RecordId::new(id)),
            version: Some("7".to_owned()),
            checksum: Some("sum".to_owned()),
            updated_at: Some(make.now()),
            ..SideState::default()
        },
        edited_at: Some(make.now()),
    }
}

fn place(token: &str) -> ListingPlace {
    ListingPlace {
        token: Some(json!({ "cursor": token })),
        has_ended: false,
        mapping: "as it was".to_owned(),
        latest: Some(Make::default().now()),
        progress: Progress {
            listed: 2,
            ..Progress::default()
        },
    }
}

fn page(side: Side, records: Vec<SurveyedRecord>, token: &str) -> StoredPage {
    StoredPage {
        side,
        records,
        unreadable: Vec::new(),
        place: place(token),
    }
}

async fn keep(store: &Subject, run: &Run, page: StoredPage) {
    store.keep_page(run, page).await.expect("keep_page");
}

async fn keys(
    store: &Subject,
    run: &Run,
    side: Side,
    after: Option<&str>,
    limit: usize,
) -> Vec<(String, Vec<String>)> {
    let after = after.map(RecordId::new);
    let found = store.surveyed_keys(run, side, after.as_ref(), limit).await;
    let found = found.expect("surveyed_keys").into_iter();
    found
        .map(|(id, keys)| (id.as_str().to_owned(), keys))
        .collect()
}

fn ids(found: &[(String, Vec<String>)]) -> Vec<&str> {
    found.iter().map(|(id, _)| id.as_str()).collect()
}

/// A listing goes on where its last stored page says.
pub async fn a_listing_goes_on_where_its_last_stored_page_says(store: Subject) {
    let make = Make::default();
    let run = begun(&store, &make).await;
    let stood = store.listing_place(&run, Side::A).await;
    assert_eq!(stood.expect("listing_place"), None);
    for token in ["one", "two"] {
        keep(&store, &run, page(Side::A, Vec::new(), token)).await;
    }
    let stood = store.listing_place(&run, Side::A).await;
    assert_eq!(stood.expect("listing_place"), Some(place("two")));
    let other = store.listing_place(&run, Side::B).await;
    assert_eq!(other.expect("listing_place"), None);
}

/// What the pages held is found by page and by id.
pub async fn what_the_pages_held_is_found_by_page_and_by_id(store: Subject) {
    let make = Make::default();
    let run = begun(&store, &make).await;
    let records = ["a3", "a1", "a2"].map(|id| record(&make, id, &["name:x"]));
    keep(&store, &run, page(Side::A, records.to_vec(), "one")).await;
    keep(
        &store,
        &run,
        page(Side::B, vec![record(&make, "b1", &[])], "one"),
    )
    .await;
    let first = keys(&store, &run, Side::A, None, 2).await;
    assert_eq!(ids(&first), ["a1", "a2"]);
    assert_eq!(first[0].1, ["name:x"]);
    assert_eq!(
        ids(&keys(&store, &run, Side::A, Some("a2"), 2).await),
        ["a3"]
    );
    let wanted = ["a3", "a1", "a9"].map(RecordId::new);
    let found = store
        .surveyed(&run, Side::A, &wanted)
        .await
        .expect("surveyed");
    let expected = ["a1", "a3"].map(|id| record(&make, id, &["name:x"]));
    assert_eq!(found, expected);
    assert_eq!(
        store
            .surveyed(&run, Side::B, &wanted)
            .await
            .expect("surveyed"),
        []
    );
}

/// A record that comes twice is kept as it came last.
pub async fn a_record_that_comes_twice_is_kept_as_it_came_last(store: Subject) {
    let make = Make::default();
    let run = begun(&store, &make).await;
    let twice = ["k1", "k2"].map(|key| record(&make, "a1", &[key]));
    keep(&store, &run, page(Side::A, twice.to_vec(), "one")).await;
    assert_eq!(keys(&store, &run, Side::A, None, 9).await[0].1, ["k2"]);
    keep(
        &store,
        &run,
        page(Side::A, vec![record(&make, "a1", &["k3"])], "two"),
    )
    .await;
    let found = keys(&store, &run, Side::A, None, 9).await;
    assert_eq!(found, [("a1".to_owned(), vec!["k3".to_owned()])]);
}

/// What is linked meanwhile is not given for matching.
pub async fn what_is_linked_meanwhile_is_not_given_for_matching(store: Subject) {
    let make = Make::default();
    let run = begun(&store, &make).await;
    for (side, one, other) in [(Side::A, "a1", "a2"), (Side::B, "b1", "b2")] {
        let records = [one, other].map(|id| record(&make, id, &[]));
        keep(&store, &run, page(side, records.to_vec(), "one")).await;
    }
    let links = vec![make.link("a1", "b1")];
    store
        .insert_links(links, make.now())
        .await
        .expect("insert_links");
    assert_eq!(ids(&keys(&store, &run, Side::A, None, 9).await), ["a2"]);
    assert_eq!(ids(&keys(&store, &run, Side::B, None, 9).await), ["b2"]);
}

/// A run that has ended keeps no further page, and those that it had are forgotten.
pub async fn the_pages_of_a_run_that_has_ended_are_forgotten(store: Subject) {
    let make = Make::default();
    let run = begun(&store, &make).await;
    let records = ["a1", "a2", "a3"].map(|id| record(&make, id, &[]));
    keep(&store, &run, page(Side::A, records.to_vec(), "one")).await;
    assert_eq!(store.forget_pages(9).await.expect("forget_pages"), 0);
    ended(&store, &make, &run).await;
    keep(
        &store,
        &run,
        page(Side::A, vec![record(&make, "a4", &[])], "two"),
    )
    .await;
    assert_eq!(keys(&store, &run, Side::A, None, 9).await.len(), 3);
    assert_eq!(store.forget_pages(2).await.expect("forget_pages"), 2);
    assert_eq!(store.forget_pages(2).await.expect("forget_pages"), 1);
    assert_eq!(keys(&store, &run, Side::A, None, 9).await, []);
    let stood = store.listing_place(&run, Side::A).await;
    assert_eq!(stood.expect("listing_place"), None);
}

/// A record that could not be read is not unseen.
pub async fn a_record_that_could_not_be_read_is_not_unseen(store: Subject) {
    let make = Make::default();
    let links = vec![make.link("a1", "b1"), make.link("a2", "b2")];
    store
        .insert_links(links, make.now())
        .await
        .expect("insert_links");
    make.clock.advance(std::time::Duration::from_secs(1));
    let run = begun(&store, &make).await;
    let unreadable = StoredPage {
        unreadable: vec![RecordId::new("a1"), RecordId::new("a1")],
        ..page(Side::A, Vec::new(), "one")
    };
    keep(&store, &run, unreadable).await;
    let unseen = store
        .unseen_records(&Make::customers(), Side::A, run.number, None, 9)
        .await;
    assert_eq!(unseen.expect("unseen_records"), [RecordId::new("a2")]);
}

/// A record that could not be read counts as changed when it can be.
pub async fn a_record_that_could_not_be_read_counts_as_changed_when_it_can_be(store: Subject) {
    let make = Make::default();
    let run = begun(&store, &make).await;
    let unreadable = StoredPage {
        unreadable: vec![RecordId::new("a1")],
        ..page(Side::A, Vec::new(), "one")
    };
    keep(&store, &run, unreadable).await;
    let seen = vec![Make::seen("a1", "s1", &["k1"])];
    let known = store
        .index_records(
            &Make::customers(),
            Side::A,
            seen,
            Vec::new(),
            run.number,
            make.now(),
        )
        .await
        .expect("index_records");
    assert!(!known[0].unchanged);
}

/// A run that has stored pages is not given up with the process that ran it.
pub async fn a_run_that_has_stored_pages_is_not_given_up_with_its_process(store: Subject) {
    let make = Make::default();
    let with_pages = begun(&store, &make).await;
    keep(&store, &with_pages, page(Side::A, Vec::new(), "one")).await;
    let poll = make.run(RunKind::Poll, Some(Side::A));
    let poll = store.begin_run(poll, make.now()).await.expect("begin_run");
    make.clock.advance(std::time::Duration::from_secs(1));
    let failed = store
        .fail_orphaned_runs(make.now(), "it died", make.now())
        .await;
    assert_eq!(failed.expect("fail_orphaned_runs"), 1);
    let state = |run: Option<Run>| run.expect("it is there").state;
    let left = store.run(with_pages.id).await.expect("run");
    assert_eq!(state(left), RunState::Running);
    assert_eq!(
        state(store.run(poll.id).await.expect("run")),
        RunState::Failed
    );
}

/// The form of the stored keys is kept by sync.
pub async fn the_form_of_the_stored_keys_is_kept_by_sync(store: Subject) {
    let sync = Make::customers();
    assert_eq!(store.key_form(&sync).await.expect("key_form"), None);
    for form in ["email:", "email:; name+city:"] {
        store.set_key_form(&sync, form).await.expect("set_key_form");
        assert_eq!(
            store.key_form(&sync).await.expect("key_form").as_deref(),
            Some(form)
        );
    }
    let other = "orders".parse().expect("a name");
    assert_eq!(store.key_form(&other).await.expect("key_form"), None);
}

/// Unreadable records are kept with their run.
pub async fn unreadable_records_are_kept_with_their_run(store: Subject) {
    let make = Make::default();
    let run = begun(&store, &make).await;
    let mut progress = Progress::default();
    progress.add_unreadable(RowError {
        side: Side::B,
        record: Some(RecordId::new("b7")),
        reason: "`limit` is not a number".to_owned(),
    });
    store
        .progress_run(run.id, &progress)
        .await
        .expect("progress_run");
    let stored = store.run(run.id).await.expect("run").expect("it is there");
    assert_eq!(stored.progress, progress);
}
