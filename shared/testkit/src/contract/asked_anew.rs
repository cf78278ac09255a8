//! Questions whose values change: while they are open, and after they were answered.

use tandem_domain::{ConflictId, Fields, RecordId, Side, Value};
use tandem_store::{
    Confirmation, Conflict, ConflictKind, ConflictState, Earlier, Fact, Moot, NewConflict, NewLink,
    Resolution,
};

use super::Subject;
use super::conflicts::{confirm, open};
use crate::Make;

async fn linked(store: &Subject, make: &Make) -> NewLink {
    let link = make.link("a1", "b1");
    let linked = store.insert_links(vec![link.clone()], make.now()).await;
    assert_eq!(linked.expect("linked"), 1);
    link
}

async fn stored(store: &Subject, id: ConflictId) -> Conflict {
    let stored = store.conflict(id).await.expect("asked");
    stored.expect("it is there")
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn name(value: &str) -> Fields {
    [("name".to_owned(), text(value))].into()
}

fn contested(make: &Make, link: &NewLink, b: &str, again: Option<Earlier>) -> NewConflict {
    let kind = ConflictKind::Field {
        field: "name".to_owned(),
        a: text("one"),
        b: text(b),
        again,
    };
    make.conflict(Some(link.id), "a1", kind)
}

async fn answer(store: &Subject, make: &Make, question: &NewConflict) {
    let take = Resolution::Take { side: Side::A };
    let answered = store.resolve_conflict(question.id, take, make.job_id(), make.now());
    assert!(answered.await.expect("answered").is_some());
}

/// An answer that was given for other values ends with the reason, and in the same step the same is asked anew: the new
/// question says what was answered, and the pair does too.
pub async fn an_answer_for_other_values_ends_and_the_same_is_asked_anew(store: Subject) {
    let make = Make::default();
    let link = linked(&store, &make).await;
    let first = contested(&make, &link, "two", None);
    open(&store, &make, &[&first]).await;
    answer(&store, &make, &first).await;
    let earlier = Earlier {
        took: Side::A,
        a: name("one"),
        b: name("two"),
    };
    let anew = contested(&make, &link, "three", Some(earlier.clone()));
    let step = Confirmation {
        moot: vec![Moot {
            question: first.id,
            was: ConflictState::Answered,
            fact: Fact::Outdated,
        }],
        conflicts: vec![anew.clone()],
        ..Confirmation::default()
    };
    confirm(&store, &make, step).await;
    let closed = stored(&store, first.id).await;
    assert_eq!(
        (closed.state, closed.closed_because.as_deref()),
        (ConflictState::Closed, Some(Fact::Outdated.because()))
    );
    assert_eq!(closed.kind, first.kind, "it says what it was answered for");
    assert_eq!(stored(&store, anew.id).await.kind, anew.kind);
    let pair = store
        .pair(&Make::customers(), Side::B, &RecordId::new("b1"))
        .await;
    let pair = pair.expect("asked");
    assert_eq!(pair.rulings, []);
    let [asked] = pair.open_fields.try_into().expect("one question");
    assert_eq!((asked.question, asked.again), (anew.id, Some(earlier)));
}

/// Who changes a pair back is asked with the values of now, as long as nobody has answered.
pub async fn a_question_about_a_pair_that_goes_back_and_forth_takes_over_the_values_of_now(
    store: Subject,
) {
    let make = Make::default();
    let link = linked(&store, &make).await;
    let with = |b: &str| {
        let kind = ConflictKind::BackAndForth {
            a: name("one"),
            b: name(b),
            writes: 12,
            since: make.now(),
            again: None,
        };
        make.conflict(Some(link.id), "a1", kind)
    };
    let (first, second, third) = (with("two"), with("three"), with("four"));
    assert_eq!(open(&store, &make, &[&first]).await, 1);
    assert_eq!(open(&store, &make, &[&second]).await, 1);
    assert_eq!(open(&store, &make, &[&second]).await, 0, "nothing is new");
    assert_eq!(stored(&store, first.id).await.kind, second.kind);
    answer(&store, &make, &first).await;
    assert_eq!(open(&store, &make, &[&third]).await, 0);
    assert_eq!(stored(&store, first.id).await.kind, second.kind);
}

/// A field of which it is asked whether a value was kept, and that both sides have changed since, is asked about as a
/// contest: the older question shows values that are not there any more. Not the other way round.
pub async fn that_a_field_is_contested_takes_the_place_of_whether_its_value_was_kept(
    store: Subject,
) {
    let make = Make::default();
    let link = linked(&store, &make).await;
    let kind = ConflictKind::NotKept {
        field: "name".to_owned(),
        sent: text("zero"),
        kept: text("ZERO"),
        beside: Fields::new(),
    };
    let not_kept = make.conflict(Some(link.id), "a1", kind);
    let contested = contested(&make, &link, "two", None);
    open(&store, &make, &[&not_kept]).await;
    assert_eq!(open(&store, &make, &[&contested]).await, 1);
    assert_eq!(stored(&store, not_kept.id).await.kind, contested.kind);
    assert_eq!(open(&store, &make, &[&not_kept]).await, 0);
    assert_eq!(stored(&store, not_kept.id).await.kind, contested.kind);
}
