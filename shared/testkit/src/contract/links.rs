//! Links and lanes.

use tandem_domain::{LinkId, RecordId, Side, Value};
use tandem_store::{
    Change, Confirmation, Doubt, Filtered, JobClass, JobState, Lane, Link, LinkStanding, LinkState,
    LinkUpdate, NewJob, NewLink, Operation, OwnWrite, Resolution, SideMemory, SideState, Unlinked,
};

use super::{Subject, claim_this, claimed, done, enqueue, finish, job};
use crate::Make;

async fn insert(store: &Subject, make: &Make, links: &[&NewLink]) -> usize {
    let links = links.iter().map(|link| (*link).clone()).collect();
    store
        .insert_links(links, make.now())
        .await
        .expect("insert_links")
}

async fn stored(store: &Subject, id: LinkId) -> Link {
    store
        .link(id)
        .await
        .expect("link")
        .expect("the link is there")
}

/// Retires a link under a job of its own.
async fn retire(store: &Subject, make: &Make, link: &NewLink) {
    let record = link.a.id.clone().expect("the link has a side a");
    let running = claimed(store, make, record.as_str()).await;
    let update = LinkUpdate::Update {
        id: link.id,
        expected_revision: stored(store, link.id).await.revision,
        a: link.a.clone(),
        b: link.b.clone(),
        base: link.base.clone(),
        state: LinkState::Retired,
    };
    let confirmation = Confirmation {
        link: Some(update),
        outcome: Some(done("retired")),
        ..Confirmation::default()
    };
    let answer = store
        .confirm(&link.sync, running.lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
}

/// A link comes back as it was inserted.
pub async fn a_link_comes_back_as_it_was_inserted(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    assert_eq!(insert(&store, &make, &[&link]).await, 1);
    let expected = Link {
        id: link.id,
        sync: link.sync.clone(),
        a: link.a,
        b: link.b,
        base: link.base,
        state: LinkState::Active,
        revision: 1,
        created_at: make.now(),
        updated_at: make.now(),
        kept_apart: false,
    };
    assert_eq!(stored(&store, link.id).await, expected);
    assert_eq!(store.link_count(&link.sync).await.expect("count"), 1);
    assert_eq!(store.link(make.link_id()).await.expect("link"), None);
}

/// A link whose record is linked already is left out.
pub async fn a_link_whose_record_is_linked_already_is_left_out(store: Subject) {
    let make = Make::default();
    insert(&store, &make, &[&make.link("a1", "b1")]).await;
    let (same_a, same_b) = (make.link("a1", "b2"), make.link("a2", "b1"));
    let fresh = make.link("a3", "b3");
    assert_eq!(insert(&store, &make, &[&same_a, &fresh, &same_b]).await, 1);
    assert_eq!(store.link(same_a.id).await.expect("link"), None);
    assert_eq!(store.link(same_b.id).await.expect("link"), None);
    assert_eq!(store.link_count(&fresh.sync).await.expect("count"), 2);
}

/// What lost its partner is counted by side, unless it is gone itself, left alone, or linked anew.
pub async fn what_lost_its_partner_is_counted_unless_it_is_gone_left_alone_or_linked_anew(
    store: Subject,
) {
    let make = Make::default();
    let counts = async || {
        let count = async |side| {
            let counted = store.partnerless_count(&Make::customers(), side).await;
            counted.expect("counted")
        };
        (count(Side::A).await, count(Side::B).await)
    };
    let gone = |state: &SideState| {
        let now = make.now();
        SideState {
            memory: SideMemory {
                doubt: Some(Doubt {
                    since: now,
                    looks: 2,
                    last: now,
                    is_older: false,
                }),
                ..state.memory.clone()
            },
            ..state.clone()
        }
    };
    let [one, two, three] =
        [("a1", "b1"), ("a2", "b2"), ("a3", "b3")].map(|(a, b)| make.link(a, b));
    insert(&store, &make, &[&one, &two, &three]).await;
    for (side, ids) in [(Side::A, ["a1", "a2", "a3"]), (Side::B, ["b1", "b2", "b3"])] {
        let seen = ids.map(|id| Make::seen(id, "sum", &[]));
        let indexed =
            store.index_records(&one.sync, side, seen.to_vec(), Vec::new(), 1, make.now());
        indexed.await.expect("index_records");
    }
    assert_eq!(counts().await, (0, 0), "all are linked");
    let first = NewLink {
        a: gone(&one.a),
        ..one.clone()
    };
    retire(&store, &make, &first).await;
    assert_eq!(counts().await, (0, 1), "b1 is there, a1 is gone");
    let deleted = |state: &SideState| SideState {
        memory: SideMemory {
            own_write: Some(OwnWrite {
                before: None,
                after: None,
                read_at: make.now(),
                replaced: String::new(),
                fields: Vec::new(),
                wrote: Vec::new(),
                others_moved: false,
                made: false,
                unread: true,
                left: "s".to_owned(),
            }),
            ..state.memory.clone()
        },
        ..state.clone()
    };
    let third = NewLink {
        a: gone(&three.a),
        b: deleted(&three.b),
        ..three.clone()
    };
    retire(&store, &make, &third).await;
    assert_eq!(counts().await, (0, 1), "we deleted b3");
    let second = NewLink {
        b: gone(&two.b),
        ..two.clone()
    };
    retire(&store, &make, &second).await;
    assert_eq!(counts().await, (1, 1));
    let anew = make.link("a4", "b1");
    insert(&store, &make, &[&anew]).await;
    assert_eq!(counts().await, (1, 0), "b1 has another partner");
    let asked = make.conflict(None, "a2", Make::field_conflict("name"));
    let opened = store.open_conflicts(vec![asked.clone()], make.now()).await;
    assert_eq!(opened.expect("asked"), 1);
    let job = make.job_id();
    let ignored = store
        .resolve_conflict(asked.id, Resolution::Ignore, job, make.now())
        .await;
    ignored.expect("answered").expect("it was open");
    assert_eq!(counts().await, (0, 0), "a2 is left alone by a person");
}

/// A link twice in one call is inserted once.
pub async fn a_link_twice_in_one_call_is_inserted_once(store: Subject) {
    let make = Make::default();
    let (first, second) = (make.link("a1", "b1"), make.link("a1", "b1"));
    assert_eq!(insert(&store, &make, &[&first, &second]).await, 1);
    assert_eq!(insert(&store, &make, &[&first]).await, 0);
    assert_eq!(insert(&store, &make, &[]).await, 0);
}

/// One record may be linked in two syncs.
pub async fn one_record_may_be_linked_in_two_syncs(store: Subject) {
    let make = Make::default();
    let other = NewLink {
        sync: Make::sync("invoices"),
        ..make.link("a1", "b1")
    };
    assert_eq!(
        insert(&store, &make, &[&make.link("a1", "b1"), &other]).await,
        2
    );
    let pair = store
        .pair(&other.sync, Side::A, &RecordId::new("a1"))
        .await
        .expect("pair");
    assert_eq!(pair.link.map(|link| link.id), Some(other.id));
}

/// Inserting a link moves waiting jobs into its lane.
pub async fn inserting_a_link_moves_waiting_jobs_into_its_lane(store: Subject) {
    let make = Make::default();
    let of_a = NewJob {
        class: JobClass::Poll,
        ..make.job("a1")
    };
    let of_a = enqueue(&store, &make, of_a).await;
    let of_b = enqueue(&store, &make, make.job_of(Make::reconcile(Side::B, "b1"))).await;
    let other = enqueue(&store, &make, make.job("a2")).await;
    let link = make.link("a1", "b1");
    insert(&store, &make, &[&link]).await;
    let (first, second) = (job(&store, of_a).await, job(&store, of_b).await);
    assert_eq!(
        (first.state, first.lane),
        (JobState::Available, Lane::of_link(link.id))
    );
    assert_eq!((first.class, first.merged), (JobClass::Interactive, 1));
    assert_eq!(second.state, JobState::Done);
    assert_eq!(second.note, Some(format!("merged into {of_a}")));
    let own = Lane::of_record(&link.sync, Side::A, &RecordId::new("a2"));
    assert_eq!(job(&store, other).await.lane, own);
}

/// Links are listed in order by page.
pub async fn links_are_listed_in_order_by_page(store: Subject) {
    let make = Make::default();
    let links: Vec<NewLink> = (0..5)
        .map(|number| make.link(&format!("a{number}"), &format!("b{number}")))
        .collect();
    insert(&store, &make, &links.iter().collect::<Vec<_>>()).await;
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .links(&Make::customers(), after, 2)
            .await
            .expect("links");
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        listed.extend(page.iter().map(|link| link.id));
    }
    assert_eq!(listed, links.iter().map(|link| link.id).collect::<Vec<_>>());
    let none = store
        .links(&Make::sync("invoices"), None, 9)
        .await
        .expect("links");
    assert_eq!(none, Vec::new());
}

/// The ids of the pairs that stand so, page by page.
async fn standing(store: &Subject, standing: LinkStanding) -> Vec<LinkId> {
    let (mut found, sync) = (Vec::new(), Make::customers());
    loop {
        let after = found.last().copied();
        let page = store.links_standing(&sync, standing, after, 1).await;
        let page = page.expect("links_standing");
        assert!(page.len() <= 1, "{page:?}");
        let Some(link) = page.first() else {
            return found;
        };
        found.push(link.id);
    }
}

/// Pairs are listed by how they stand, page by page; each stands in one way.
pub async fn pairs_are_listed_by_how_they_stand(store: Subject) {
    let make = Make::default();
    let links: Vec<NewLink> = (0..8)
        .map(|number| make.link(&format!("a{number}"), &format!("b{number}")))
        .collect();
    insert(&store, &make, &links.iter().collect::<Vec<_>>()).await;
    for retired in &links[2..4] {
        retire(&store, &make, retired).await;
    }
    for filtered in &links[4..6] {
        filter(&store, &make, filtered, true).await;
    }
    for apart in &links[6..] {
        let change = Change {
            operation: Operation::Unlink,
            link: Some(apart.id),
            ..make.change("a", "b")
        };
        let done = store.unlink_by_hand(apart.id, change, make.now()).await;
        assert_eq!(done.expect("taken apart"), Unlinked::Done);
    }
    let ids: Vec<LinkId> = links.iter().map(|link| link.id).collect();
    assert_eq!(standing(&store, LinkStanding::Active).await, ids[..2]);
    assert_eq!(standing(&store, LinkStanding::Retired).await, ids[2..4]);
    assert_eq!(standing(&store, LinkStanding::Filtered).await, ids[4..6]);
    assert_eq!(standing(&store, LinkStanding::LeftAlone).await, ids[6..]);
    let alone = store.left_alone(&ids).await.expect("asked");
    assert_eq!(alone.len(), 2, "{alone:?}");

    filter(&store, &make, &links[4], false).await;
    assert_eq!(standing(&store, LinkStanding::Filtered).await, [ids[5]]);
    let active = standing(&store, LinkStanding::Active).await;
    assert_eq!(active, [ids[0], ids[1], ids[4]]);
}

/// Says that a filter leaves the record of side b of a link out, or lets it in again.
async fn filter(store: &Subject, make: &Make, link: &NewLink, is_out: bool) {
    let record = link.a.id.clone().expect("the link has a side a");
    let running = claimed(store, make, record.as_str()).await;
    let filtered = Filtered {
        field: "kind".to_owned(),
        value: Value::Text("supplier".to_owned()),
        since: make.now(),
    };
    let b = SideState {
        memory: SideMemory {
            filtered: is_out.then_some(filtered),
            ..link.b.memory.clone()
        },
        ..link.b.clone()
    };
    let before = stored(store, link.id).await;
    let confirmation = Confirmation {
        link: Some(before.with_sides(link.a.clone(), b.clone())),
        outcome: Some(done("filtered")),
        ..Confirmation::default()
    };
    let answer = store
        .confirm(&link.sync, running.lease, confirmation, make.now())
        .await;
    assert_eq!(answer.expect("confirm"), Ok(()));
    let after = stored(store, link.id).await;
    assert_eq!((after.b, after.base), (b, before.base));
}

/// A pair without anything known is empty.
pub async fn a_pair_without_anything_known_is_empty(store: Subject) {
    let pair = store
        .pair(&Make::customers(), Side::A, &RecordId::new("a1"))
        .await
        .expect("pair");
    assert!(pair.link.is_none() && pair.intents.is_empty() && pair.rulings.is_empty());
    assert!(pair.open_fields.is_empty() && pair.held.is_none() && !pair.ignored);
}

/// A pair is found from either side.
pub async fn a_pair_is_found_from_either_side(store: Subject) {
    let make = Make::default();
    let link = make.link("x1", "x2");
    insert(&store, &make, &[&link]).await;
    for (side, record, found) in [
        (Side::A, "x1", Some(link.id)),
        (Side::B, "x2", Some(link.id)),
        (Side::A, "x2", None),
        (Side::B, "x1", None),
    ] {
        let pair = store
            .pair(&link.sync, side, &RecordId::new(record))
            .await
            .expect("pair");
        assert_eq!(pair.link.map(|link| link.id), found, "{side} {record}");
    }
}

/// An active link comes before a retired one.
pub async fn an_active_link_comes_before_a_retired_one(store: Subject) {
    let make = Make::default();
    let old = make.link("a1", "b1");
    insert(&store, &make, &[&old]).await;
    retire(&store, &make, &old).await;
    let record = RecordId::new("a1");
    let pair = store.pair(&old.sync, Side::A, &record).await.expect("pair");
    assert_eq!(
        pair.link.map(|link| (link.id, link.state)),
        Some((old.id, LinkState::Retired))
    );
    let own = enqueue(&store, &make, make.job("a1")).await;
    assert_eq!(
        job(&store, own).await.lane,
        Lane::of_record(&old.sync, Side::A, &record)
    );
    let new = make.link("a1", "b2");
    assert_eq!(insert(&store, &make, &[&new]).await, 1);
    let pair = store.pair(&old.sync, Side::A, &record).await.expect("pair");
    assert_eq!(
        pair.link.map(|link| (link.id, link.state)),
        Some((new.id, LinkState::Active))
    );
    assert_eq!(store.link_count(&old.sync).await.expect("count"), 1);
}

/// Relane hands the job back into the lane of the link.
pub async fn relane_hands_the_job_back_into_the_lane_of_the_link(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let link = make.link("a1", "b1");
    insert(&store, &make, &[&link]).await;
    assert!(
        store
            .relane(running.lease, link.id, make.now())
            .await
            .expect("relane")
    );
    let back = job(&store, running.job.id).await;
    assert_eq!((back.state, back.attempt), (JobState::Available, 0));
    assert_eq!(
        (back.lane, back.run_at),
        (Lane::of_link(link.id), make.now())
    );
    assert_eq!(
        claim_this(&store, &make, running.job.id).await.job.attempt,
        1
    );
}

/// Relane merges into the job that waits there.
pub async fn relane_merges_into_the_job_that_waits_there(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let link = make.link("a1", "b1");
    insert(&store, &make, &[&link]).await;
    let waiting = enqueue(&store, &make, make.job("a1")).await;
    assert!(
        store
            .relane(running.lease, link.id, make.now())
            .await
            .expect("relane")
    );
    let merged = job(&store, running.job.id).await;
    assert_eq!(merged.state, JobState::Done);
    assert_eq!(merged.note, Some(format!("merged into {waiting}")));
    assert_eq!(job(&store, waiting).await.merged, 1);
}

/// Relane without the lease changes nothing.
pub async fn relane_without_the_lease_changes_nothing(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let link = make.link("a1", "b1");
    insert(&store, &make, &[&link]).await;
    assert!(finish(&store, &make, &running, done("echo")).await);
    assert!(
        !store
            .relane(running.lease, link.id, make.now())
            .await
            .expect("relane")
    );
    assert_eq!(job(&store, running.job.id).await.state, JobState::Done);
}
