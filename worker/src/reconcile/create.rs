//! Makes the partner of a record that has none.

use tandem_domain::{ConflictId, RecordId, Side, Value};
use tandem_engine::{Plan, PlannedWrite, Presence, Ruled, View, key_texts};
use tandem_store::{Intent, IntentState, Waiting};

use super::created::{Made, Source, link_created};
use super::not_there::look_again;
use super::over_and_over;
use super::read_back::read_created;
use super::set_back;
use super::taken;
use super::unlinked::Here;
use crate::executor::{About, Journalled, SUPERSEDED_PAUSE, Sent, Work};
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::{edits, trace};

pub(super) async fn create(
    work: Work<'_>,
    here: &Here,
    used_rulings: Vec<ConflictId>,
) -> Result<Performed, WorkError> {
    let planned = plan_create(work, here)?;
    let Some(write) = planned.writes.first() else {
        return Ok(Performed::done(
            "no partner, and the sync creates none on that side",
        ));
    };
    if let Some(held) = set_back::refuse_create(work, write.side).await? {
        return Ok(held);
    }
    let match_key = key_texts(&work.sync.policy, &here.reading.fields)
        .into_iter()
        .next();
    let is_empty = write.fields.values().all(Value::is_null);
    let has_no_key = match_key.is_none() && !work.sync.policy.match_keys.is_empty();
    if (is_empty || has_no_key || lacks_required(work, write))
        && let Some(again) = look_again(work)
    {
        // Some systems show a new record before they show what is in it.
        return Ok(again);
    }
    if is_empty {
        return Ok(Performed::done(
            "nothing to create yet: it has no value in the fields of the sync",
        ));
    }
    taken::refuse_again(work, write.side, here.id(), &write.fields).await?;
    over_and_over::refuse(work, write.side, here.id(), match_key.as_deref()).await?;
    let intent = work.intent(
        write,
        About {
            link: None,
            source: Some(here.id()),
            target: None,
            match_key,
            decided: Vec::new(),
        },
    );
    match work.journal(None, std::slice::from_ref(&intent)).await? {
        Journalled::Yes => {}
        Journalled::Overtaken => return Ok(work.again_after(SUPERSEDED_PAUSE, Waiting::Superseded)),
        Journalled::No(ended) => return Ok(ended),
    }
    match work.send(&intent, None).await {
        Sent::Written { written, millis } => {
            let id = written.id.clone();
            let created = match read_created(work, write.side, written).await {
                Ok(created) => created,
                Err(error) => return keep_id(work, &intent, &id, error).await,
            };
            let source = Source {
                reading: &here.reading,
                between: created.between,
                used_rulings,
                millis,
            };
            let made = Made {
                reading: &created.reading,
                unread: created.unread,
            };
            link_created(work, &intent, made, Some(source)).await
        }
        Sent::NoEffect(error) => {
            let seen = vec![(here.side, here.reading.indexed(work.sync))];
            work.give_up_having_seen(&intent, IntentState::Failed, seen, error)
                .await
        }
        Sent::Unknown(error) => work.give_up(&intent, IntentState::Unknown, error).await,
    }
}

/// Whether a field without which the system refuses a create has no value.
fn lacks_required(work: Work<'_>, write: &PlannedWrite) -> bool {
    let end = work.sync.end(write.side);
    let Some(stream) = end.connector.stream(&end.stream) else {
        return false;
    };
    let mut rules = work.sync.policy.fields.iter();
    rules.any(|rule| {
        let info = stream.fields.get(rule.stream_field(write.side));
        let sent = write.fields.get(&rule.name);
        info.is_some_and(|info| info.required) && sent.is_none_or(Value::is_null)
    })
}

pub(super) fn plan_create(work: Work<'_>, here: &Here) -> Result<Plan, WorkError> {
    let (mut a, mut b) = (here.reading.presence(), Presence::Never);
    if here.side == Side::B {
        std::mem::swap(&mut a, &mut b);
    }
    let ruled = Ruled {
        values: edits::values(work.sync, &work.claimed.job.edits)?,
        ..Ruled::default()
    };
    let view = View {
        base: None,
        a: &a,
        b: &b,
        ruled: &ruled,
    };
    Ok(trace::planned(&work.sync.policy, view))
}

/// What was made cannot be read yet. Its id is kept in the journal: it is looked for by that, and not made again.
pub(super) async fn keep_id(
    work: Work<'_>,
    intent: &Intent,
    id: &RecordId,
    error: WorkError,
) -> Result<Performed, WorkError> {
    let known = Intent {
        target: Some(id.clone()),
        ..intent.clone()
    };
    work.close(&known, IntentState::Unknown, Vec::new(), error.to_string())
        .await?;
    Err(error)
}
