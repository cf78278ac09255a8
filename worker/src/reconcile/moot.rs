//! Which questions of a pair end with a plan: those whose answer it carried out, and those that nobody has to answer any
//! more. What ends which kind is not decided here, but by [`Fact::ends`].

use tandem_domain::{ConflictId, RecordId, Side};
use tandem_engine::{LinkFate, Plan, Settled, WriteOp};
use tandem_store::{
    Confirmation, ConflictKind, ConflictState, Fact, Moot, NewConflict, QuestionKind, Resolution,
    Ruling,
};

use super::answered;
use super::linked::Open;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

/// The questions that end.
pub(super) struct Ended {
    /// Those whose answer was carried out.
    pub(super) used: Vec<ConflictId>,
    /// The others, and why.
    pub(super) moot: Vec<Moot>,
}

/// The questions of a pair that end when its plan was carried out.
pub(super) fn ended(work: Work<'_>, open: &Open, planned: &Plan, settled: &Settled) -> Ended {
    let known = known(open, planned);
    let (mut used, mut moot) = (Vec::new(), answered::ended(work, open));
    for ruling in &open.context.rulings {
        let Some(kind) = QuestionKind::of(&ruling.asked) else {
            continue;
        };
        // Those hold for other records too.
        if matches!(kind, QuestionKind::Emptied | QuestionKind::SetBack) {
            continue;
        }
        let fact = why(known, kind).filter(|_| !is_carried_out(ruling, kind, planned));
        match fact {
            Some(fact) => moot.push(Moot {
                question: ruling.conflict,
                was: ConflictState::Answered,
                fact,
            }),
            None => used.push(ruling.conflict),
        }
    }
    let context = &open.context;
    let asked = [
        (context.held, QuestionKind::Ambiguous),
        (context.replaced, QuestionKind::Replaced),
        (context.back_and_forth, QuestionKind::BackAndForth),
        (context.delete_held, QuestionKind::DeleteHeld),
        (context.not_deleted, QuestionKind::NotDeleted),
        (context.not_made, QuestionKind::NotMade),
    ];
    let of_pair = asked
        .into_iter()
        .filter_map(|(question, kind)| Some((question?, why(known, kind)?)));
    let of_fields = context.open_fields.iter().filter_map(|asked| {
        let fact = why(known, asked.kind)?;
        let is_true = fact != Fact::Agree || agrees(work, settled, &asked.field);
        is_true.then_some((asked.question, fact))
    });
    let open = of_pair.chain(of_fields);
    moot.extend(open.map(|(question, fact)| Moot {
        question,
        was: ConflictState::Open,
        fact,
    }));
    Ended { used, moot }
}

/// What is known of the pair now; of a field on its own it is asked whether both sides agree in it.
fn known(open: &Open, planned: &Plan) -> &'static [Fact] {
    if planned.link != LinkFate::Keep {
        return &[Fact::PairEnded];
    }
    let is_written = |op: WriteOp| planned.writes.iter().any(|write| write.op == op);
    let both_are_here = Side::BOTH
        .into_iter()
        .all(|side| open.pair.side(side).is_some());
    if !is_written(WriteOp::Delete) && (both_are_here || is_written(WriteOp::Create)) {
        &[Fact::Linked, Fact::Whole, Fact::Same, Fact::Agree]
    } else {
        &[Fact::Linked, Fact::Same, Fact::Agree]
    }
}

fn why(known: &[Fact], kind: QuestionKind) -> Option<Fact> {
    known.iter().copied().find(|fact| fact.ends(kind))
}

/// Whether the plan did what a person has said.
fn is_carried_out(ruling: &Ruling, kind: QuestionKind, planned: &Plan) -> bool {
    let is_kept = planned.link == LinkFate::Keep;
    match (kind, &ruling.resolution) {
        // It changes nothing.
        (_, Resolution::Dismiss) => true,
        (QuestionKind::DeleteHeld | QuestionKind::NotDeleted, Resolution::Approve) => {
            let mut writes = planned.writes.iter();
            writes.any(|write| write.op == WriteOp::Delete)
        }
        (QuestionKind::DeleteHeld | QuestionKind::NotMade, _) => !is_kept,
        // What a record matches is no question of a pair.
        (QuestionKind::Ambiguous | QuestionKind::Doubled, _) => false,
        (QuestionKind::Replaced, _) => true,
        (
            QuestionKind::Field
            | QuestionKind::NotKept
            | QuestionKind::NotDeleted
            | QuestionKind::BackAndForth
            | QuestionKind::Overwritten
            | QuestionKind::Emptied
            | QuestionKind::SetBack,
            _,
        ) => is_kept,
    }
}

/// Whether what is to be asked is why a value was not kept, and both sides hold the same by now: nobody would look at the pair
/// again to close it.
pub(super) fn is_kept(work: Work<'_>, settled: &Settled, asked: &NewConflict) -> bool {
    let ConflictKind::NotKept { field, .. } = &asked.kind else {
        return false;
    };
    settled.known_a.contains_key(field) && agrees(work, settled, field)
}

/// Whether both sides agree in a field.
fn agrees(work: Work<'_>, settled: &Settled, field: &str) -> bool {
    let rule = work.sync.policy.rule(field);
    let (a, b) = (settled.known_a.get(field), settled.known_b.get(field));
    match (rule, a, b) {
        (Some(rule), Some(a), Some(b)) => tandem_engine::same(rule.equality, a, b),
        _ => true,
    }
}

/// An answer that cannot be carried out any more ends, and a person sees why. The job begins again, and asks again if it
/// has to.
pub(super) async fn give_up(
    work: Work<'_>,
    (question, was): (ConflictId, ConflictState),
    fact: Fact,
) -> Result<Performed, WorkError> {
    let confirmation = Confirmation {
        moot: vec![Moot {
            question,
            was,
            fact,
        }],
        outcome: Some(work.next_step()),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// Closes the questions about a record that gets no partner as it is now, and gives up their answers: who answered today
/// does not mean what the record is in a year. When it takes part again it is asked anew.
pub(super) async fn takes_no_part(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
    fact: Fact,
) -> Result<(), WorkError> {
    let (store, now) = (&work.context.store, work.context.now());
    let closed = store.close_questions_of(&work.sync.name, side, record, fact, now);
    let closed = closed.await?;
    if !closed.is_empty() {
        tracing::info!(sync = %work.sync.name, %record, questions = closed.len(), because = fact.because(), "questions about a record were closed");
    }
    Ok(())
}
