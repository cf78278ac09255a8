//! What many jobs of one process ask at once is gathered and carried out together; each gets its own answer.

use futures::future::join_all;
use tandem_domain::{RecordId, Side};
use tandem_store::{
    ChangeFilter, ClaimedJob, Confirmation, IntentState, JobState, JournalError, NewLink,
    StoreError,
};
use tandem_testkit::Make;

use super::{Two, done, update};

const PAIRS: usize = 24;

/// What is wrong with a call, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    None,
    OtherRevision,
    OtherLease,
}

const FLAWS: [Flaw; 3] = [Flaw::None, Flaw::OtherRevision, Flaw::OtherLease];

fn flaw(number: usize) -> Flaw {
    FLAWS[number % FLAWS.len()]
}

fn answer(flaw: Flaw) -> Result<(), JournalError> {
    match flaw {
        Flaw::None => Ok(()),
        Flaw::OtherRevision => Err(JournalError::Superseded),
        Flaw::OtherLease => Err(JournalError::LeaseLost),
    }
}

/// Linked pairs, each with a claimed job in the lane of its link.
async fn pairs(two: &Two) -> Vec<(NewLink, ClaimedJob)> {
    let mut pairs = Vec::with_capacity(PAIRS);
    for number in 0..PAIRS {
        let a = format!("a{number}");
        let link = two.make.link(&a, &format!("b{number}"));
        two.insert(&link).await;
        let mut claimed = two.claimed(Side::A, &a).await;
        if flaw(number) == Flaw::OtherLease {
            claimed.lease.token = two.make.tokens(1)[0];
        }
        pairs.push((link, claimed));
    }
    pairs
}

fn ending(two: &Two, link: &NewLink) -> Confirmation {
    Confirmation {
        outcome: Some(done()),
        changes: vec![two.make.change("a", "b")],
        ..update(link, &two.make)
    }
}

async fn confirm_at_once(
    two: &Two,
    pairs: &[(NewLink, ClaimedJob)],
    confirmations: Vec<Confirmation>,
) -> Vec<Result<Result<(), JournalError>, StoreError>> {
    // Nobody gets the lock of a job before all have asked.
    let holder = two.hold("SELECT id FROM jobs FOR UPDATE").await;
    let customers = Make::customers();
    let calls = pairs.iter().zip(confirmations).map(|((_, claimed), what)| {
        two.one
            .confirm(&customers, claimed.lease, what, two.make.now())
    });
    let letting_go = async {
        two.wait_for_waiting(1, || false).await;
        drop(holder);
    };
    let (answers, ()) = tokio::join!(join_all(calls), letting_go);
    answers
}

async fn changes_logged(two: &Two) -> usize {
    let all = ChangeFilter {
        limit: 100,
        ..ChangeFilter::default()
    };
    two.one.changes(&all).await.expect("changes").len()
}

#[tokio::test]
async fn a_confirmation_that_is_refused_keeps_none_of_the_others_from_its_end() {
    let two = Two::open().await;
    let pairs = pairs(&two).await;
    let mut confirmations: Vec<Confirmation> =
        pairs.iter().map(|(link, _)| ending(&two, link)).collect();
    for (number, confirmation) in confirmations.iter_mut().enumerate() {
        if let Some(tandem_store::LinkUpdate::Update {
            expected_revision, ..
        }) = &mut confirmation.link
            && flaw(number) == Flaw::OtherRevision
        {
            *expected_revision += 1;
        }
    }
    let answers = confirm_at_once(&two, &pairs, confirmations).await;
    for (number, (given, (link, claimed))) in answers.into_iter().zip(&pairs).enumerate() {
        let flaw = flaw(number);
        assert_eq!(given.expect("confirm"), answer(flaw), "{number}");
        let job = two.one.job(claimed.job.id).await.expect("job");
        let link = two.one.link(link.id).await.expect("link").expect("a link");
        let (state, revision) = match flaw {
            Flaw::None => (JobState::Done, 2),
            Flaw::OtherRevision | Flaw::OtherLease => (JobState::Running, 1),
        };
        assert_eq!(job.map(|job| job.state), Some(state), "{number}");
        assert_eq!(link.revision, revision, "{number}");
    }
    assert_eq!(changes_logged(&two).await, PAIRS / FLAWS.len());
}

#[tokio::test]
async fn a_confirmation_that_cannot_be_stored_fails_alone() {
    let two = Two::open().await;
    let mut pairs = pairs(&two).await;
    let mut numbers = (0..PAIRS).map(flaw);
    pairs.retain(|_| numbers.next() == Some(Flaw::None));
    let mut confirmations: Vec<Confirmation> =
        pairs.iter().map(|(link, _)| ending(&two, link)).collect();
    // The log has an entry of this id already, which only a defect can bring about.
    let twice = confirmations[1].changes[0].clone();
    confirmations[1].changes.push(twice);
    let answers = confirm_at_once(&two, &pairs, confirmations).await;
    for (number, given) in answers.into_iter().enumerate() {
        match number {
            1 => assert!(given.is_err(), "{given:?}"),
            _ => assert_eq!(given.expect("confirm"), Ok(()), "{number}"),
        }
    }
    assert_eq!(changes_logged(&two).await, pairs.len() - 1);
}

#[tokio::test]
async fn each_journals_for_itself() {
    let two = Two::open().await;
    let pairs = pairs(&two).await;
    let holder = two.hold("SELECT id FROM jobs FOR UPDATE").await;
    let calls = pairs.iter().enumerate().map(|(number, (link, claimed))| {
        let revision = match flaw(number) {
            Flaw::OtherRevision => 2,
            Flaw::None | Flaw::OtherLease => 1,
        };
        let intents = vec![two.make.update(link)];
        let (store, now) = (&two.one, two.make.now());
        store.journal(
            claimed.lease,
            Some((link.id, revision).into()),
            intents,
            now,
        )
    });
    let letting_go = async {
        two.wait_for_waiting(1, || false).await;
        drop(holder);
    };
    let (answers, ()) = tokio::join!(join_all(calls), letting_go);
    for (number, given) in answers.into_iter().enumerate() {
        assert_eq!(given.expect("journal"), answer(flaw(number)), "{number}");
        let journalled = two.intents_of(&format!("a{number}")).await;
        let states: Vec<IntentState> = journalled.iter().map(|intent| intent.state).collect();
        match flaw(number) {
            Flaw::None => assert_eq!(states, [IntentState::Sent], "{number}"),
            Flaw::OtherRevision | Flaw::OtherLease => assert_eq!(states, [], "{number}"),
        }
    }
}

#[tokio::test]
async fn each_that_asks_for_a_pair_is_told_of_its_own() {
    let two = Two::open().await;
    let pairs = pairs(&two).await;
    let customers = Make::customers();
    let asked: Vec<(Side, RecordId)> = (0..PAIRS + 3)
        .flat_map(|number| {
            [
                (Side::A, RecordId::new(format!("a{number}"))),
                (Side::B, RecordId::new(format!("b{number}"))),
            ]
        })
        .collect();
    let calls = asked
        .iter()
        .map(|(side, record)| two.one.pair(&customers, *side, record));
    for (given, (side, record)) in join_all(calls).await.into_iter().zip(&asked) {
        let link = given.expect("pair").link;
        let known = pairs.iter().find(|(link, _)| match side {
            Side::A => link.a.id.as_ref() == Some(record),
            Side::B => link.b.id.as_ref() == Some(record),
        });
        assert_eq!(
            link.map(|link| link.id),
            known.map(|(link, _)| link.id),
            "{record}"
        );
    }
}
