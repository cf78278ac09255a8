//! Carrying a plan of a linked pair out: what is right before each write, what is sent, and what is read back.

use std::collections::BTreeSet;

use tandem_connectors::ConnectorError;
use tandem_domain::{RecordId, Side};
use tandem_engine::{Between, LinkFate, Plan, PlannedWrite, WriteOp};
use tandem_store::{
    Causes, Confirmation, IndexedRecord, Intent, IntentOp, IntentState, LinkSeen, Waiting,
};

use super::confirm::{finish, seen};
use super::held;
use super::intent::intent_for;
use super::linked::{Open, Round};
use super::looks::LOOK_AGAIN;
use super::met::Stood;
use super::open_write::has_landed;
use super::over_and_over;
use super::own_write;
use super::pair::look;
use super::read_back::read_back;
use super::recover::Recovery;
use super::taken;
use crate::executor::{Journalled, Sent, Work, verdict};
use crate::failure::WorkError;
use crate::readings::Reading;

/// One write that was carried out.
pub(super) struct Carried {
    pub(super) intent: Intent,
    pub(super) id: RecordId,
    pub(super) after: Option<Reading>,
    pub(super) between: Between,
    /// Whether only its answer has shown the record, and no reading of it.
    pub(super) unread: bool,
    pub(super) millis: u64,
    /// A record that stood there, with which a create was answered.
    pub(super) met: Option<Stood>,
}

/// What was written to one side, if anything was.
pub(super) fn write_to(carried: &[Carried], side: Side) -> Option<&Carried> {
    carried.iter().find(|one| one.intent.side == side)
}

/// Journals and sends what is planned. The statement that journals asks whether a newer cause has come since both
/// sides were read; a record whose reading is older than it took, and one that is written second or deleted, is read
/// again right before.
pub(super) async fn carry_out(
    work: Work<'_>,
    mut open: Open,
    planned: Plan,
    recovery: &Recovery,
    causes: Causes,
) -> Result<Round, WorkError> {
    if is_apart_from_late(work, &open, &planned) {
        return held::learn(work, &mut open).await.map(Round::Ended);
    }
    for write in &planned.writes {
        if let (WriteOp::Create, Some(source)) = (write.op, &open.link.side(write.side.other()).id)
        {
            taken::refuse_again(work, write.side, source, &write.fields).await?;
            over_and_over::refuse(work, write.side, source, None).await?;
        }
    }
    let mut steps: Vec<Step> = planned
        .writes
        .iter()
        .map(|write| Step::new(work, &open, &planned, recovery, write))
        .collect();
    // The first that is journalled counts as sent from then on, so it goes out before what is sent again.
    steps.sort_by_key(|step| step.is_again);
    let Some(first) = steps.first() else {
        return finish(work, open, planned, Vec::new())
            .await
            .map(Round::Ended);
    };
    if !is_as_read(work, &open, first, false).await? {
        return Ok(Round::Overtaken);
    }
    let fresh: Vec<Intent> = steps
        .iter()
        .filter(|step| !step.is_again)
        .map(|step| step.intent.clone())
        .collect();
    if !fresh.is_empty() {
        let seen = LinkSeen {
            id: open.link.id,
            revision: open.link.revision,
            causes,
        };
        match work.journal(Some(seen), &fresh).await? {
            Journalled::Yes => {}
            Journalled::Overtaken => return Ok(Round::Overtaken),
            Journalled::No(ended) => return Ok(Round::Ended(ended)),
        }
    }
    send_all(work, open, planned, steps).await
}

/// Whether writes of which only now is known that they took effect are about other fields than those of the plan. Of records
/// that are compared for the first time the plan knows more than the link does.
fn is_apart_from_late(work: Work<'_>, open: &Open, planned: &Plan) -> bool {
    let mut rules = work.sync.policy.fields.iter();
    let have_agreed = rules.all(|rule| open.link.base.contains_key(&rule.name));
    let mut late = open.late_intents().peekable();
    let is_any = late.peek().is_some();
    let fields: BTreeSet<&String> = late.flat_map(|intent| intent.fields.keys()).collect();
    let mut written = planned.writes.iter();
    is_any
        && have_agreed
        && planned.link == LinkFate::Keep
        && written.all(|write| {
            let is_update = write.op == WriteOp::Update;
            is_update && write.fields.keys().all(|field| !fields.contains(field))
        })
}

/// What the journal says of a write that is not sent any more.
const EDITED_MEANWHILE: &str = "the record was edited meanwhile; planned anew";

/// One write of a plan.
struct Step {
    intent: Intent,
    /// Whether it was sent before, and nobody knows what became of it.
    is_again: bool,
}

impl Step {
    fn new(
        work: Work<'_>,
        open: &Open,
        planned: &Plan,
        recovery: &Recovery,
        write: &PlannedWrite,
    ) -> Self {
        match recovery.again(write.side) {
            Some(intent) => Self {
                intent: intent.clone(),
                is_again: true,
            },
            None => Self {
                intent: intent_for(work, open, planned, write),
                is_again: false,
            },
        }
    }
}

/// Whether the record that is written is as the plan saw it. It is only asked again where the reading is old, or
/// `again` says so, or the write cannot be undone.
async fn is_as_read(
    work: Work<'_>,
    open: &Open,
    step: &Step,
    again: bool,
) -> Result<bool, WorkError> {
    let side = step.intent.side;
    let before = open.pair.look(side);
    let is_trusted =
        !again && step.intent.op == IntentOp::Update && before.is_fresh(work.context.now());
    if is_trusted {
        return Ok(true);
    }
    let mut now = look(work, &open.link, side).await?;
    if let (Some(before), Some(now)) = (&before.reading, &mut now.reading) {
        now.keep_as(before, None);
    }
    Ok(match (&before.reading, &now.reading) {
        (Some(before), Some(now)) => {
            before.fields == now.fields
                && before.filtered() == now.filtered()
                && before.record.version == now.record.version
                && before.record.archived == now.record.archived
        }
        (None, None) => before.merged_into.is_some() == now.merged_into.is_some(),
        _ => false,
    })
}

async fn send_all(
    work: Work<'_>,
    open: Open,
    planned: Plan,
    steps: Vec<Step>,
) -> Result<Round, WorkError> {
    let mut carried = Vec::with_capacity(steps.len());
    let mut was_journalled_as_sent = false;
    for step in &steps {
        let intent = &step.intent;
        if !carried.is_empty() {
            match is_as_read(work, &open, step, true).await {
                Ok(true) => {}
                Ok(false) => {
                    let how = Answered::before(intent, EDITED_MEANWHILE.to_owned());
                    how.note(work, &open, &carried).await?;
                    // The first sending of what is sent again may arrive yet: it stays open.
                    return if step.is_again {
                        Ok(Round::Overtaken)
                    } else {
                        put_off(work, intent).await
                    };
                }
                Err(error) => {
                    let how = Answered::before(intent, error.to_string());
                    how.note(work, &open, &carried).await?;
                    return Err(error);
                }
            }
        }
        // The journal marked the first as sent; each further one is fenced by the lease again.
        let is_marked = !step.is_again && !std::mem::replace(&mut was_journalled_as_sent, true);
        if !is_marked
            && !work
                .context
                .store
                .mark_sent(work.claimed.lease, intent.id, work.context.now())
                .await?
        {
            return Err(tandem_store::StoreError::LeaseLost.into());
        }
        let target = if intent.op == IntentOp::Create {
            None
        } else {
            open.pair.side(intent.side)
        };
        match work.send(intent, target).await {
            Sent::Written { written, millis } => {
                carried.push(read_back(work, &open.pair, intent, (written, millis)).await?);
            }
            Sent::NoEffect(error @ ConnectorError::VersionConflict { .. }) if step.is_again => {
                let how = Answered::before(intent, error.to_string());
                how.note(work, &open, &carried).await?;
                return conflicted_again(work, &open, intent).await;
            }
            // What was sent before may still arrive.
            Sent::NoEffect(error) if step.is_again => {
                return stop(
                    work,
                    (&open, &carried),
                    (intent, IntentState::Unknown),
                    vec![],
                    error,
                )
                .await;
            }
            Sent::NoEffect(error) => {
                let seen = seen(work, &open, &carried);
                let failed = (intent, IntentState::Failed);
                return stop(work, (&open, &carried), failed, seen, error).await;
            }
            Sent::Unknown(error) => {
                return stop(
                    work,
                    (&open, &carried),
                    (intent, IntentState::Unknown),
                    vec![],
                    error,
                )
                .await;
            }
        }
    }
    finish(work, open, planned, carried).await.map(Round::Ended)
}

/// What is noted where a plan ends in the middle. The writes that were carried out stay open in the journal until the base
/// moves with them; it knows that they were answered, so that nobody waits for them to land, and the change log does not call
/// their answers lost. The link keeps the times of change that they have left: who edits the record next moves them.
struct Answered<'a> {
    /// The write that was not carried out, or of which nobody knows.
    next: &'a Intent,
    /// Why.
    why: String,
    /// What becomes of it, where that is known.
    given_up: Option<IntentState>,
    /// Records for the index.
    seen: Vec<(Side, IndexedRecord)>,
}

impl<'a> Answered<'a> {
    const fn before(next: &'a Intent, why: String) -> Self {
        Self {
            next,
            why,
            given_up: None,
            seen: Vec::new(),
        }
    }

    async fn note(self, work: Work<'_>, open: &Open, carried: &[Carried]) -> Result<(), WorkError> {
        let answered = carried.iter().map(|before| {
            let why = format!(
                "this write was answered; what was to be written to side {} with it was not: {}",
                self.next.side, self.why
            );
            verdict(&before.intent, IntentState::Sent, Some(why))
        });
        let given_up = self.given_up;
        let given_up = given_up.map(|state| verdict(self.next, state, Some(self.why.clone())));
        let noted = Confirmation {
            verdicts: answered.chain(given_up).collect(),
            seen: self.seen,
            ..Confirmation::default()
        };
        if noted.verdicts.is_empty() {
            return Ok(());
        }
        let dated = Confirmation {
            link: own_write::dated(work, open, carried),
            ..noted.clone()
        };
        if !work.learned(dated).await? {
            work.learn(noted).await?;
        }
        Ok(())
    }
}

/// Gives up at a write.
async fn stop(
    work: Work<'_>,
    (open, carried): (&Open, &[Carried]),
    (intent, state): (&Intent, IntentState),
    seen: Vec<(Side, IndexedRecord)>,
    error: ConnectorError,
) -> Result<Round, WorkError> {
    let how = Answered {
        given_up: Some(state),
        seen,
        ..Answered::before(intent, error.to_string())
    };
    how.note(work, open, carried).await?;
    Err(error.into())
}

/// The record of the second write has changed since it was read: it is left alone, and everything is planned anew. The
/// first write stays open in the journal until the base moves with it.
async fn put_off(work: Work<'_>, intent: &Intent) -> Result<Round, WorkError> {
    let reason = EDITED_MEANWHILE.to_owned();
    work.close(intent, IntentState::Failed, Vec::new(), reason)
        .await?;
    Ok(Round::Overtaken)
}

/// A write that was sent again names the version that its first sending named. Either that one has landed, and made the
/// version another: then it stays open, and is known for ours when everything is planned anew. Or somebody has edited the
/// record: then it cannot arrive any more.
async fn conflicted_again(
    work: Work<'_>,
    open: &Open,
    intent: &Intent,
) -> Result<Round, WorkError> {
    let now = look(work, &open.link, intent.side).await?;
    if has_landed(work, &open.link, intent, &now) {
        return Ok(Round::Overtaken);
    }
    let shown = now.reading.and_then(|reading| reading.record.version);
    if shown.is_some() && shown == intent.expected_version {
        // It shows the very version that it refused, so it is behind: what has made it another does not show yet.
        let pause = work.again_after(LOOK_AGAIN, Waiting::Elsewhere);
        return Ok(Round::Ended(pause));
    }
    put_off(work, intent).await
}
