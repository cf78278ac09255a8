//! What each side was last seen to hold.

use std::time::Duration;

use tandem_domain::{RecordId, Side, Timestamp};
use tandem_store::{
    Confirmation, IndexedRecord, KnownRecord, NewLink, Resolution, RunKind, SeenRecord, Sight,
};

use super::{Subject, claim, claimed};
use crate::Make;

async fn index(
    store: &Subject,
    make: &Make,
    side: Side,
    records: Vec<IndexedRecord>,
    generation: i64,
) -> Vec<SeenRecord> {
    store
        .index_records(
            &Make::customers(),
            side,
            records,
            Vec::new(),
            generation,
            make.now(),
        )
        .await
        .expect("index_records")
}

async fn unchanged(store: &Subject, make: &Make, side: Side, record: &str, checksum: &str) -> bool {
    index(
        store,
        make,
        side,
        vec![Make::seen(record, checksum, &[])],
        1,
    )
    .await[0]
        .unchanged
}

async fn link(store: &Subject, make: &Make, link: &NewLink) {
    let inserted = store.insert_links(vec![link.clone()], make.now()).await;
    assert_eq!(inserted.expect("insert_links"), 1);
}

async fn by_keys(store: &Subject, side: Side, keys: &[&str]) -> Vec<KnownRecord> {
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    store
        .records_by_keys(&Make::customers(), side, &keys)
        .await
        .expect("records_by_keys")
}

async fn unseen(
    store: &Subject,
    side: Side,
    generation: i64,
    after: Option<&str>,
    limit: usize,
) -> Vec<RecordId> {
    let after = after.map(RecordId::new);
    store
        .unseen_records(&Make::customers(), side, generation, after.as_ref(), limit)
        .await
        .expect("unseen_records")
}

fn ids(texts: &[&str]) -> Vec<RecordId> {
    texts.iter().map(|text| RecordId::new(*text)).collect()
}

/// A record seen for the first time is not unchanged.
pub async fn a_record_seen_for_the_first_time_is_not_unchanged(store: Subject) {
    let make = Make::default();
    let seen = index(&store, &make, Side::A, vec![Make::seen("a1", "s1", &[])], 1).await;
    let expected = SeenRecord {
        id: RecordId::new("a1"),
        link: None,
        retired: false,
        ignored: false,
        unchanged: false,
        job: None,
    };
    assert_eq!(seen, vec![expected]);
    assert_eq!(
        index(&store, &make, Side::A, Vec::new(), 1).await,
        Vec::new()
    );
}

/// An unlinked record is compared with the index.
pub async fn an_unlinked_record_is_compared_with_the_index(store: Subject) {
    let make = Make::default();
    assert!(!unchanged(&store, &make, Side::A, "a1", "s1").await);
    assert!(unchanged(&store, &make, Side::A, "a1", "s1").await);
    assert!(!unchanged(&store, &make, Side::A, "a1", "s2").await);
    assert!(unchanged(&store, &make, Side::A, "a1", "s2").await);
    assert!(!unchanged(&store, &make, Side::B, "a1", "s2").await);
}

/// A linked record is compared with its link.
pub async fn a_linked_record_is_compared_with_its_link(store: Subject) {
    let make = Make::default();
    let pair = make.link("a1", "b1");
    link(&store, &make, &pair).await;
    assert!(unchanged(&store, &make, Side::A, "a1", "sum-a").await);
    assert!(!unchanged(&store, &make, Side::A, "a1", "s2").await);
    // The index has seen s2, the link has not: the record still differs.
    assert!(!unchanged(&store, &make, Side::A, "a1", "s2").await);
    assert!(unchanged(&store, &make, Side::B, "b1", "sum-b").await);
    let seen = index(&store, &make, Side::B, vec![Make::seen("b1", "x", &[])], 1).await;
    assert_eq!(seen[0].link, Some(pair.id));
}

/// The answers are in the order of the records.
pub async fn the_answers_are_in_the_order_of_the_records(store: Subject) {
    let make = Make::default();
    let records: Vec<IndexedRecord> = ["a9", "a1", "a5", "a3"]
        .iter()
        .map(|record| Make::seen(record, "s", &[]))
        .collect();
    let seen = index(&store, &make, Side::A, records, 1).await;
    let order: Vec<RecordId> = seen.into_iter().map(|one| one.id).collect();
    assert_eq!(order, ids(&["a9", "a1", "a5", "a3"]));
}

/// Records are found by any of their keys.
pub async fn records_are_found_by_any_of_their_keys(store: Subject) {
    let make = Make::default();
    let records = vec![
        Make::seen("b1", "s", &["email:x@y.z", "name:ann"]),
        Make::seen("b2", "s", &["name:ann"]),
        Make::seen("b3", "s", &["name:bob"]),
    ];
    index(&store, &make, Side::B, records, 1).await;
    let pair = make.link("a1", "b1");
    link(&store, &make, &pair).await;
    let known = |id: &str, keys: &[&str], link| KnownRecord {
        id: RecordId::new(id),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        link,
        ignored: false,
    };
    let ann = known("b1", &["email:x@y.z", "name:ann"], Some(pair.id));
    let other = known("b2", &["name:ann"], None);
    let found = by_keys(&store, Side::B, &["name:ann", "email:x@y.z"]).await;
    assert_eq!(found, vec![ann, other]);
    assert_eq!(by_keys(&store, Side::B, &["name:eve"]).await, Vec::new());
    assert_eq!(by_keys(&store, Side::B, &[]).await, Vec::new());
    assert_eq!(by_keys(&store, Side::A, &["name:ann"]).await, Vec::new());
}

/// Keys that a record has no more do not find it.
pub async fn keys_that_a_record_has_no_more_do_not_find_it(store: Subject) {
    let make = Make::default();
    index(
        &store,
        &make,
        Side::A,
        vec![Make::seen("a1", "s", &["k1", "k2"])],
        1,
    )
    .await;
    index(
        &store,
        &make,
        Side::A,
        vec![Make::seen("a1", "s", &["k2", "k3"])],
        2,
    )
    .await;
    assert_eq!(by_keys(&store, Side::A, &["k1"]).await, Vec::new());
    for key in ["k2", "k3"] {
        assert_eq!(by_keys(&store, Side::A, &[key]).await.len(), 1, "{key}");
    }
    index(&store, &make, Side::A, vec![Make::seen("a1", "s", &[])], 3).await;
    assert_eq!(by_keys(&store, Side::A, &["k2", "k3"]).await, Vec::new());
}

async fn three_links(store: &Subject, make: &Make) {
    for number in 1..=3 {
        link(
            store,
            make,
            &make.link(&format!("a{number}"), &format!("b{number}")),
        )
        .await;
    }
    let seen = ["a1", "a2", "a3", "a4"].map(|record| Make::seen(record, "s", &[]));
    index(store, make, Side::A, seen.to_vec(), 1).await;
}

/// Linked records that a listing did not show are unseen.
pub async fn linked_records_that_a_listing_did_not_show_are_unseen(store: Subject) {
    let make = Make::default();
    three_links(&store, &make).await;
    assert_eq!(unseen(&store, Side::A, 1, None, 9).await, Vec::new());
    index(&store, &make, Side::A, vec![Make::seen("a2", "s", &[])], 2).await;
    assert_eq!(
        unseen(&store, Side::A, 2, None, 9).await,
        ids(&["a1", "a3"])
    );
}

/// Unseen records are paged in order of id.
pub async fn unseen_records_are_paged_in_order_of_id(store: Subject) {
    let make = Make::default();
    three_links(&store, &make).await;
    assert_eq!(
        unseen(&store, Side::A, 2, None, 2).await,
        ids(&["a1", "a2"])
    );
    assert_eq!(
        unseen(&store, Side::A, 2, Some("a2"), 2).await,
        ids(&["a3"])
    );
    assert_eq!(unseen(&store, Side::A, 2, Some("a3"), 2).await, Vec::new());
}

/// Confirming does not lower the generation.
pub async fn confirming_does_not_lower_the_generation(store: Subject) {
    let make = Make::default();
    three_links(&store, &make).await;
    let seen = ["a1", "a2", "a3"].map(|record| Make::seen(record, "s", &[]));
    index(&store, &make, Side::A, seen.to_vec(), 7).await;
    let running = claimed(&store, &make, "a1").await;
    let confirmation = Confirmation {
        seen: vec![(Side::A, Make::seen("a1", "s", &[]))],
        ..Confirmation::default()
    };
    let answer = store
        .confirm(&Make::customers(), running.lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
    assert_eq!(unseen(&store, Side::A, 7, None, 9).await, Vec::new());
}

/// A record confirmed during a run is not unseen by it.
pub async fn a_record_confirmed_during_a_run_is_not_unseen_by_it(store: Subject) {
    let make = Make::default();
    three_links(&store, &make).await;
    let sweep = make.run(RunKind::Sweep, Some(Side::A));
    let run = store.begin_run(sweep, make.now()).await.expect("begin_run");
    let later = make.run(RunKind::Sweep, Some(Side::B));
    let later = store.begin_run(later, make.now()).await.expect("begin_run");
    let running = claimed(&store, &make, "a1").await;
    let confirmation = Confirmation {
        seen: vec![(Side::A, Make::seen("a1", "s", &[]))],
        ..Confirmation::default()
    };
    let answer = store
        .confirm(&Make::customers(), running.lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
    // a2 and a3 were last seen in generation 1.
    let expected = if run.number > 1 {
        ids(&["a2", "a3"])
    } else {
        Vec::new()
    };
    assert_eq!(unseen(&store, Side::A, run.number, None, 9).await, expected);
    assert_eq!(
        unseen(&store, Side::A, later.number, None, 9).await,
        ids(&["a2", "a3"])
    );
    let next = unseen(&store, Side::A, later.number + 1, None, 9).await;
    assert_eq!(next, ids(&["a1", "a2", "a3"]));
}

/// When the listing began that last showed a record is known, as long as it showed it in use.
pub async fn when_a_record_was_last_listed_is_known(store: Subject) {
    let make = Make::default();
    let listed = async |record: &str| {
        let (sync, record) = (Make::customers(), RecordId::new(record));
        let listed = store.listed_at(&sync, Side::A, &record).await;
        listed.expect("listed_at")
    };
    let mut began = Vec::new();
    for checksum in ["s", "s", "gone:s"] {
        make.clock.advance(Duration::from_secs(60));
        let sweep = make.run(RunKind::Sweep, Some(Side::A));
        let run = store.begin_run(sweep, make.now()).await.expect("begin_run");
        began.push(make.now());
        make.clock.advance(Duration::from_secs(1));
        let seen = vec![Make::seen("a1", checksum, &[])];
        index(&store, &make, Side::A, seen, run.number).await;
        let expected = (checksum == "s").then_some(make.now());
        let expected = expected.and(began.last().copied());
        assert_eq!(listed("a1").await, expected);
        let state = tandem_store::RunState::Succeeded;
        let nothing = tandem_store::Progress::default();
        let ended = store.end_run(run.id, state, &nothing, None, None, make.now());
        ended.await.expect("end_run");
    }
    assert_eq!(listed("a2").await, None);
    // That our create was answered shows it in no listing.
    let running = claimed(&store, &make, "a3").await;
    let answered = IndexedRecord {
        sight: Sight::Answered,
        ..Make::seen("a3", "s", &[])
    };
    let confirmation = Confirmation {
        seen: vec![(Side::A, answered)],
        ..Confirmation::default()
    };
    let sync = Make::customers();
    let confirmed = store.confirm(&sync, running.lease, confirmation, make.now());
    assert_eq!(confirmed.await.expect("confirm"), Ok(()));
    assert_eq!(listed("a3").await, None);
}

/// What an answer to a write has shown is waited for until a listing or a reading shows the same, or all that was written.
pub async fn what_only_an_answer_has_shown_is_known_until_it_is_shown(store: Subject) {
    let make = Make::default();
    let sync = Make::customers();
    let see = |record: &'static str, checksum: &'static str, sight: Sight| {
        let (store, make, sync) = (&store, &make, &sync);
        async move {
            let running = claimed(store, make, record).await;
            let seen = IndexedRecord {
                sight,
                ..Make::seen(record, checksum, &[])
            };
            let confirmation = Confirmation {
                seen: vec![(Side::A, seen)],
                outcome: Some(tandem_store::JobOutcome::Done {
                    note: "done".to_owned(),
                }),
                ..Confirmation::default()
            };
            let confirmed = store.confirm(sync, running.lease, confirmation, make.now());
            assert_eq!(confirmed.await.expect("confirm"), Ok(()));
        }
    };
    let answered = |id: &'static str| {
        let id = RecordId::new(id);
        let (store, sync) = (&store, &sync);
        async move {
            let answered = store.answered_only(sync, Side::A, &id);
            answered.await.expect("answered_only")
        }
    };
    see("a1", "old", Sight::Shown).await;
    assert_eq!(answered("a1").await, None);
    see("a1", "new", Sight::Answered).await;
    assert_eq!(answered("a1").await.as_deref(), Some("new"));
    see("a1", "old", Sight::Shown).await;
    assert_eq!(
        answered("a1").await.as_deref(),
        Some("new"),
        "it shows another"
    );
    see("a1", "new", Sight::Shown).await;
    assert_eq!(answered("a1").await, None);
    for first in [Sight::Answered, Sight::Confirmed] {
        see("a2", "new", first).await;
        see("a2", "beside", Sight::Confirmed).await;
        assert_eq!(answered("a2").await, None);
    }
    assert_eq!(answered("a3").await, None);
}

/// A record never indexed counts as seen when its link was last written.
pub async fn a_record_never_indexed_counts_as_seen_when_its_link_was_last_written(store: Subject) {
    let make = Make::default();
    let earlier = make.link("a1", "b1");
    link(&store, &make, &earlier).await;
    make.clock.advance(Duration::from_secs(1));
    let sweep = make.run(RunKind::Sweep, Some(Side::A));
    let run = store.begin_run(sweep, make.now()).await.expect("begin_run");
    make.clock.advance(Duration::from_secs(1));
    link(&store, &make, &make.link("a2", "b2")).await;
    assert_eq!(
        unseen(&store, Side::A, run.number, None, 9).await,
        ids(&["a1"])
    );
}

/// An ignored record is known as such.
pub async fn an_ignored_record_is_known_as_such(store: Subject) {
    let make = Make::default();
    index(
        &store,
        &make,
        Side::A,
        vec![Make::seen("a1", "s", &["k1"])],
        1,
    )
    .await;
    let question = make.conflict(None, "a1", Make::ambiguous());
    let id = question.id;
    store
        .open_conflicts(vec![question], make.now())
        .await
        .expect("open");
    store
        .resolve_conflict(id, Resolution::Ignore, make.job_id(), make.now())
        .await
        .expect("resolve");
    assert!(by_keys(&store, Side::A, &["k1"]).await[0].ignored);
    index(
        &store,
        &make,
        Side::A,
        vec![Make::seen("a1", "s2", &["k1"])],
        2,
    )
    .await;
    assert!(by_keys(&store, Side::A, &["k1"]).await[0].ignored);
}

/// A record that is new or changed is indexed together with its job; one that is unchanged causes none.
pub async fn what_is_new_or_changed_is_indexed_together_with_its_job(store: Subject) {
    let make = Make::default();
    for (checksums, expected) in [
        (["s1", "s1"], [true, true]),
        (["s1", "s2"], [false, true]),
        (["s1", "s2"], [false, false]),
    ] {
        let ids = ["a1", "a2"];
        let jobs: Vec<_> = ids.map(|id| make.job(id)).to_vec();
        let records = ids
            .into_iter()
            .zip(checksums)
            .map(|(id, checksum)| Make::seen(id, checksum, &[]))
            .collect();
        let seen = store
            .index_records(
                &Make::customers(),
                Side::A,
                records,
                jobs.clone(),
                1,
                make.now(),
            )
            .await
            .expect("index_records");
        for ((record, given), is_expected) in seen.iter().zip(&jobs).zip(expected) {
            assert_eq!(record.job, is_expected.then_some(given.id), "{record:?}");
            let stored = store.job(given.id).await.expect("asked");
            assert_eq!(stored.is_some(), is_expected);
        }
        while let Some(one) = claim(&store, &make, 1).await.pop() {
            let done = tandem_store::JobOutcome::Done {
                note: String::new(),
            };
            let ended = store.finish(vec![(one.lease, done)], make.now()).await;
            assert_eq!(ended.expect("finish"), [true]);
        }
    }
}

/// Of records that a filter leaves out only those are kept that were known, or are linked; one that took part has changed
/// when it is first left out, because a person may be asked about it; and so has one that the filter lets in again, though
/// its mapped fields have not.
pub async fn of_records_that_a_filter_leaves_out_only_what_is_known_or_linked_is_kept(
    store: Subject,
) {
    let make = Make::default();
    let seen = async |record: &str, checksum: &str, generation| {
        let shown = IndexedRecord {
            filtered: tandem_store::says_filtered(checksum),
            ..Make::seen(record, checksum, &[&format!("0:{record}")])
        };
        index(&store, &make, Side::A, vec![shown], generation)
            .await
            .remove(0)
    };
    let stranger = seen("a1", "filtered:s", 1).await;
    assert!(stranger.unchanged && stranger.link.is_none());
    assert_eq!(by_keys(&store, Side::A, &["0:a1"]).await, Vec::new());
    assert!(!seen("a1", "s", 1).await.unchanged, "it is let in");

    let left_out = seen("a1", "filtered:s", 2).await;
    assert!(!left_out.unchanged, "it took part when it was last seen");
    for checksum in ["filtered:s", "filtered:t", "gone:filtered:t"] {
        assert!(seen("a1", checksum, 2).await.unchanged, "that is known");
    }
    assert!(!seen("a1", "s", 3).await.unchanged, "it is let in again");
    assert!(seen("a1", "s", 3).await.unchanged);

    let pair = make.link("a2", "b2");
    link(&store, &make, &pair).await;
    let linked = seen("a2", "filtered:s", 4).await;
    assert!(!linked.unchanged, "its pair is to rest");
    assert_eq!(linked.link, Some(pair.id));
    assert_eq!(unseen(&store, Side::A, 4, None, 9).await, ids(&[]));
}

/// Retires the link between a1 and b1.
async fn retire(store: &Subject, make: &Make) {
    let pair = make.link("a1", "b1");
    link(store, make, &pair).await;
    let running = claimed(store, make, "a1").await;
    let confirmation = Confirmation {
        link: Some(tandem_store::LinkUpdate::Update {
            id: pair.id,
            expected_revision: 1,
            a: pair.a,
            b: pair.b,
            base: pair.base,
            state: tandem_store::LinkState::Retired,
        }),
        ..Confirmation::default()
    };
    let answer = store
        .confirm(&Make::customers(), running.lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
}

/// A record that is seen though its link is retired gets a job while its partner is in use too.
pub async fn a_record_that_is_seen_though_its_link_is_retired_gets_a_job(store: Subject) {
    let make = Make::default();
    index(&store, &make, Side::A, vec![Make::seen("a1", "s", &[])], 1).await;
    retire(&store, &make).await;
    let seen = async |side, id: &str, checksum: &str| {
        index(&store, &make, side, vec![Make::seen(id, checksum, &[])], 1)
            .await
            .remove(0)
    };
    let left_alone = seen(Side::A, "a1", "s").await;
    assert!(
        left_alone.retired && left_alone.unchanged,
        "b1 is not there"
    );
    assert!(
        !seen(Side::B, "b1", "t").await.unchanged,
        "b1 is there again"
    );
    assert!(!seen(Side::B, "b1", "t").await.unchanged, "a1 is there too");
    assert!(!seen(Side::A, "a1", "s").await.unchanged);
    assert!(
        !seen(Side::B, "b1", "gone:t").await.unchanged,
        "it is archived"
    );
    assert!(seen(Side::A, "a1", "s").await.unchanged);
}

/// A record of a retired pair that is as it was when that was last looked at gets no job, whatever its partner is.
pub async fn a_retired_pair_that_was_looked_at_gets_a_job_once_its_record_shows_something_else(
    store: Subject,
) {
    let make = Make::default();
    let dated = |checksum: &str, secs: i64| IndexedRecord {
        updated_at: Some(Timestamp::from_secs(secs)),
        ..Make::seen("a1", checksum, &[])
    };
    index(&store, &make, Side::A, vec![dated("s", 10)], 1).await;
    index(&store, &make, Side::B, vec![Make::seen("b1", "t", &[])], 1).await;
    retire(&store, &make).await;
    let see = async |record: IndexedRecord| {
        let seen = index(&store, &make, Side::A, vec![record], 1).await;
        (seen[0].retired, seen[0].unchanged)
    };
    assert_eq!(see(dated("s", 10)).await, (true, false));
    let running = claimed(&store, &make, "a1").await;
    let pair = store
        .pair(&Make::customers(), Side::A, &RecordId::new("a1"))
        .await;
    let link = pair.expect("pair").link.expect("it is retired");
    let mut a = link.a.clone();
    a.checksum = Some(dated("s", 10).looked_at());
    let confirmation = Confirmation {
        link: Some(tandem_store::LinkUpdate::Update {
            id: link.id,
            expected_revision: link.revision,
            a,
            b: link.b,
            base: link.base,
            state: tandem_store::LinkState::Retired,
        }),
        ..Confirmation::default()
    };
    let answer = store
        .confirm(&Make::customers(), running.lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
    assert_eq!(see(dated("s", 10)).await, (true, true));
    for changed in [dated("u", 10), dated("s", 11)] {
        assert_eq!(see(changed).await, (true, false));
    }
    assert!(!unchanged(&store, &make, Side::B, "b1", "t").await);
}

/// A record that an operator said to leave alone gets no job because its retired link's partner is there.
pub async fn an_ignored_record_gets_no_job_for_its_retired_link(store: Subject) {
    let make = Make::default();
    index(&store, &make, Side::A, vec![Make::seen("a1", "s", &[])], 1).await;
    index(&store, &make, Side::B, vec![Make::seen("b1", "t", &[])], 1).await;
    retire(&store, &make).await;
    assert!(!unchanged(&store, &make, Side::A, "a1", "s").await);
    let question = make.conflict(None, "a1", Make::ambiguous());
    let id = question.id;
    let opened = store.open_conflicts(vec![question], make.now()).await;
    opened.expect("open");
    store
        .resolve_conflict(id, Resolution::Ignore, make.job_id(), make.now())
        .await
        .expect("resolve");
    let seen = index(&store, &make, Side::A, vec![Make::seen("a1", "s", &[])], 1).await;
    assert!(seen[0].unchanged && seen[0].ignored);
}

/// A row that shows a record only in part takes no key away, and one that is dated later is not unchanged.
pub async fn a_row_that_shows_a_record_in_part_takes_nothing_away(store: Subject) {
    let make = Make::default();
    let dated = |record: IndexedRecord, secs: i64| IndexedRecord {
        updated_at: Some(Timestamp::from_secs(secs)),
        ..record
    };
    let in_part = |record: IndexedRecord| IndexedRecord {
        in_part: true,
        filtered: false,
        ..record
    };
    let see = async |record: IndexedRecord| {
        let seen = index(&store, &make, Side::A, vec![record], 1).await;
        seen[0].unchanged
    };
    let whole = || dated(Make::seen("a1", "c", &["email:x", "name:x"]), 10);
    assert!(!see(whole()).await);
    let part = |secs| in_part(dated(Make::seen("a1", "c", &["name:y"]), secs));
    assert!(see(part(10)).await, "nothing says that it has changed");
    for key in ["email:x", "name:x", "name:y"] {
        let found = by_keys(&store, Side::A, &[key]).await;
        assert_eq!(found.len(), 1, "{key}");
        assert_eq!(found[0].keys, ["name:y", "email:x", "name:x"]);
    }
    assert!(!see(part(11)).await, "what is left out may have changed");
    assert!(see(dated(Make::seen("a1", "c", &["name:y"]), 12)).await);
    assert_eq!(by_keys(&store, Side::A, &["email:x"]).await, []);
}

/// So it is with a record that is linked: what counts is when the link's record was last read.
pub async fn a_row_in_part_of_a_linked_record_is_compared_with_when_it_was_read(store: Subject) {
    let make = Make::default();
    for side in Side::BOTH {
        let mut new = make.link(&format!("a{side}"), &format!("b{side}"));
        let state = match side {
            Side::A => &mut new.a,
            Side::B => &mut new.b,
        };
        state.checksum = Some("c".to_owned());
        state.updated_at = Some(Timestamp::from_secs(20));
        let id = state.id.clone().expect("it has an id");
        link(&store, &make, &new).await;
        for (secs, unchanged) in [(20, true), (21, false), (19, true)] {
            let record = IndexedRecord {
                updated_at: Some(Timestamp::from_secs(secs)),
                in_part: true,
                filtered: false,
                ..Make::seen(id.as_str(), "c", &[])
            };
            let seen = index(&store, &make, side, vec![record], 1).await;
            assert_eq!(seen[0].unchanged, unchanged, "{side} {secs}");
        }
    }
}
