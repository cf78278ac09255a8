//! What shows that a system was set back.

use std::time::Duration;

use tandem_domain::{ConflictId, LinkId, RecordId, Side};
use tandem_store::{
    Confirmation, Conflict, ConflictKind, Fact, NewConflict, NotedPair, Resolution, SetBackCount,
    SetBackSign, set_back_subject,
};

use super::Subject;
use super::conflicts::{confirm, open};
use crate::Make;

const LIMIT: u64 = 3;

async fn note(store: &Subject, make: &Make, link: LinkId, sign: SetBackSign) {
    let sync = Make::customers();
    let noted = store.note_set_back(&sync, Side::A, link, sign, LIMIT, make.now());
    noted.await.expect("the storage answers");
}

async fn count(store: &Subject, make: &Make, side: Side, ago: Duration) -> [u64; 3] {
    let since = make.now().minus(ago);
    let counted = store.set_back_count(&Make::customers(), side, since).await;
    let SetBackCount {
        doubted,
        older,
        missing,
    } = counted.expect("the storage answers");
    [doubted, older, missing]
}

/// What pairs show of a side is counted by sign, and each pair once: what it shows last.
pub async fn what_pairs_show_of_a_side_is_counted_once_each(store: Subject) {
    let make = Make::default();
    let hour = Duration::from_secs(3_600);
    let (first, second) = (make.link_id(), make.link_id());
    note(&store, &make, first, SetBackSign::Doubted).await;
    note(&store, &make, second, SetBackSign::Missing).await;
    assert_eq!(count(&store, &make, Side::A, hour).await, [1, 0, 1]);
    assert_eq!(count(&store, &make, Side::B, hour).await, [0, 0, 0]);
    for _ in 0..2 {
        note(&store, &make, first, SetBackSign::Older).await;
        assert_eq!(count(&store, &make, Side::A, hour).await, [0, 1, 1]);
    }
    make.clock.advance(hour);
    note(&store, &make, first, SetBackSign::Missing).await;
    let minute = Duration::from_secs(60);
    assert_eq!(count(&store, &make, Side::A, minute).await, [0, 0, 1]);
    assert_eq!(count(&store, &make, Side::A, hour).await, [0, 0, 2]);
    for _ in 0..5 {
        note(&store, &make, make.link_id(), SetBackSign::Older).await;
    }
    assert_eq!(
        count(&store, &make, Side::A, hour).await,
        [0, LIMIT, 2],
        "no more than the limit are kept"
    );
    let sync = Make::customers();
    let brake = store.admit_delete(&sync, first, 1, make.now(), make.now());
    assert!(
        brake.await.expect("it answers"),
        "deletes are counted apart"
    );
}

/// The pairs that are set back are listed in order, with what they showed last, until they are forgotten, one by one or all.
pub async fn pairs_that_are_set_back_are_listed_until_they_are_forgotten(store: Subject) {
    let make = Make::default();
    let sync = Make::customers();
    let listed = async |limit: usize| {
        let links = store.set_back_links(&sync, Side::A, limit).await;
        links.expect("the storage answers")
    };
    let forget = async |link: Option<LinkId>, until| {
        let forgotten = store.forget_set_back(&sync, Side::A, link, until).await;
        forgotten.expect("the storage answers");
    };
    let links = [make.link_id(), make.link_id(), make.link_id()];
    note(&store, &make, links[0], SetBackSign::Older).await;
    note(&store, &make, links[1], SetBackSign::Missing).await;
    note(&store, &make, links[2], SetBackSign::Doubted).await;
    let mut noted = [
        (links[0], SetBackSign::Older),
        (links[1], SetBackSign::Missing),
    ]
    .map(|(link, sign)| NotedPair { link, sign });
    noted.sort_by_key(|noted| noted.link.to_string());
    assert_eq!(listed(9).await, noted);
    assert_eq!(listed(1).await, noted[..1]);
    let before = make.now().minus(Duration::from_secs(1));
    forget(Some(links[0]), before).await;
    forget(None, before).await;
    assert_eq!(listed(9).await.len(), 2, "they were noted later");
    forget(Some(links[0]), make.now()).await;
    let missing = NotedPair {
        link: links[1],
        sign: SetBackSign::Missing,
    };
    assert_eq!(listed(9).await, [missing]);
    note(&store, &make, links[1], SetBackSign::Older).await;
    let older = NotedPair {
        sign: SetBackSign::Older,
        ..missing
    };
    assert_eq!(
        listed(9).await,
        [older],
        "it is listed as what it shows last"
    );
    forget(None, make.now()).await;
    assert_eq!(listed(9).await, []);
    let all = Duration::from_secs(3_600);
    assert_eq!(count(&store, &make, Side::A, all).await, [0, 0, 0]);
}

/// Whether a system was set back is one question for a side, which takes over the counts of now, and outlives the record
/// that it names.
pub async fn a_system_that_was_set_back_is_one_question(store: Subject) {
    let make = Make::default();
    let asked = |record: &str, older: u64| -> NewConflict {
        let kind = ConflictKind::SetBack {
            system: "crm".to_owned(),
            older,
            missing: 4,
            reason: "it is older".to_owned(),
        };
        make.conflict(None, record, kind)
    };
    let (first, second) = (asked("a1", 3), asked("a2", 8));
    assert_eq!(open(&store, &make, &[&first]).await, 1);
    assert_eq!(open(&store, &make, &[&second]).await, 1, "another number");
    assert_eq!(open(&store, &make, &[&second]).await, 0);
    let subject = set_back_subject(&Make::customers(), Side::A);
    assert_eq!(first.subject(), subject);
    let about = async || -> Option<Conflict> {
        let found = store.question_about(&subject).await;
        found.expect("the storage answers")
    };
    let found = about().await.expect("it is open");
    assert_eq!((found.id, found.kind), (first.id, second.kind.clone()));
    let (sync, record) = (Make::customers(), RecordId::new("a1"));
    let gone = store.close_questions_of(&sync, Side::A, &record, Fact::Gone, make.now());
    let none: Vec<ConflictId> = Vec::new();
    assert_eq!(gone.await.expect("it answers"), none, "it is about a side");
    let take = Resolution::Take { side: Side::B };
    let answered = store.resolve_conflict(first.id, take.clone(), make.job_id(), make.now());
    assert!(answered.await.expect("resolve").is_some());
    assert_eq!(open(&store, &make, &[&asked("a3", 9)]).await, 0);
    let found = about().await.expect("it is answered");
    assert_eq!((found.resolution, found.kind), (Some(take), second.kind));
    let confirmation = Confirmation {
        used_rulings: vec![first.id],
        ..Confirmation::default()
    };
    confirm(&store, &make, confirmation).await;
    assert_eq!(about().await, None, "it is closed");
}
