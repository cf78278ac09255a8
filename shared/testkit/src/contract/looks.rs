//! Looks that many jobs take at once, each at its own record, pair or subject. A storage may gather them; each gets its own.

use std::sync::Arc;

use tandem_domain::{RecordId, Side, Value};
use tandem_store::{
    Change, ChangeFilter, Confirmation, ConflictKind, EventFilter, emptied_subject,
};
use tokio::task::JoinSet;

use super::{Subject, claimed, done};
use crate::Make;

/// How many look at once.
const LOOKS: usize = 12;

/// In the order in which they were asked.
async fn in_order<T: Send + 'static>(under_way: JoinSet<(usize, T)>) -> Vec<T> {
    let mut found = under_way.join_all().await;
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, one)| one).collect()
}

/// Of many records that are asked about at once, each gets its own newest events, and no more than were asked for.
pub async fn each_record_asked_about_at_once_gets_its_own_newest_events(store: Subject) {
    let make = Make::default();
    let events: Vec<_> = (0..LOOKS * 3)
        .map(|number| make.event(&format!("k{number}"), &format!("a{}", number % LOOKS)))
        .collect();
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    let recorded = store.record_deliveries(vec![make.delivery(events)], make.now());
    recorded.await.expect("record_deliveries");
    let mut looks = JoinSet::new();
    // The last of them knows no events.
    for number in 0..=LOOKS {
        let store = Arc::clone(&store);
        let filter = EventFilter {
            connection: Some(Make::crm()),
            record: Some(RecordId::new(format!("a{number}"))),
            limit: 1 + number % 3,
            ..EventFilter::default()
        };
        looks.spawn(async move { (number, store.events(&filter).await.expect("events")) });
    }
    for (number, found) in in_order(looks).await.into_iter().enumerate() {
        let of_record = ids.iter().skip(number).step_by(LOOKS).rev();
        let wanted: Vec<_> = match number {
            LOOKS => Vec::new(),
            _ => of_record.copied().take(1 + number % 3).collect(),
        };
        let found: Vec<_> = found.into_iter().map(|event| event.id).collect();
        assert_eq!(found, wanted, "a{number}");
    }
}

/// Of many pairs that are asked about at once, each gets its own newest changes, and no more than were asked for.
pub async fn each_pair_asked_about_at_once_gets_its_own_newest_changes(store: Subject) {
    let make = Make::default();
    let links: Vec<_> = (0..=LOOKS).map(|_| make.link_id()).collect();
    let changes: Vec<_> = (0..LOOKS * 3)
        .map(|number| Change {
            link: Some(links[number % LOOKS]),
            ..make.change("a", "b")
        })
        .collect();
    let ids: Vec<_> = changes.iter().map(|change| change.id).collect();
    let running = claimed(&store, &make, "logged").await;
    let confirmation = Confirmation {
        changes,
        outcome: Some(done("written_b")),
        ..Confirmation::default()
    };
    let sync = Make::customers();
    let confirmed = store.confirm(&sync, running.lease, confirmation, make.now());
    assert_eq!(confirmed.await.expect("confirm"), Ok(()));
    let mut looks = JoinSet::new();
    for (number, link) in links.into_iter().enumerate() {
        let store = Arc::clone(&store);
        let filter = ChangeFilter {
            link: Some(link),
            limit: 1 + number % 3,
            ..ChangeFilter::default()
        };
        looks.spawn(async move { (number, store.changes(&filter).await.expect("changes")) });
    }
    for (number, found) in in_order(looks).await.into_iter().enumerate() {
        let of_pair = ids.iter().skip(number).step_by(LOOKS).rev();
        let wanted: Vec<_> = match number {
            LOOKS => Vec::new(),
            _ => of_pair.copied().take(1 + number % 3).collect(),
        };
        let found: Vec<_> = found.into_iter().map(|change| change.id).collect();
        assert_eq!(found, wanted, "pair {number}");
    }
}

/// Of many subjects that are asked about at once, each gets its own question, also where several ask about the same.
pub async fn each_subject_asked_about_at_once_gets_its_own_question(store: Subject) {
    let make = Make::default();
    let name = |number: usize| format!("field{}", number % 4);
    let asked: Vec<_> = (0..3)
        .map(|number| {
            let kind = ConflictKind::Emptied {
                field: name(number),
                records: 11,
                value: Value::Null,
            };
            make.conflict(None, "a1", kind)
        })
        .collect();
    let ids: Vec<_> = asked.iter().map(|question| question.id).collect();
    let opened = store.open_conflicts(asked, make.now());
    assert_eq!(opened.await.expect("open_conflicts"), 3);
    let mut looks = JoinSet::new();
    for number in 0..LOOKS {
        let store = Arc::clone(&store);
        let subject = emptied_subject(&Make::customers(), Side::A, &name(number));
        looks.spawn(async move {
            let found = store.question_about(&subject).await;
            (number, found.expect("question_about").map(|it| it.id))
        });
    }
    for (number, found) in in_order(looks).await.into_iter().enumerate() {
        // Nobody asks about the fourth field.
        assert_eq!(found, ids.get(number % 4).copied(), "look {number}");
    }
}
