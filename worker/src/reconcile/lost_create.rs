//! A create whose end the journal does not know: look for its effect before anything is sent again.

use std::time::Duration;

use tandem_domain::Timestamp;
use tandem_store::{Confirmation, Intent, IntentOp, IntentState, IntentVerdict, Link, Waiting};

use super::create::keep_id;
use super::created::{Made, link_created, relink};
use super::effect::{Effect, find_effect, is_effect, is_made_by_others};
use super::looks::pause_within;
use super::not_there::look_again;
use super::read_back::read_created;
use super::shown::wait_until_whole;
use crate::executor::{Sent, Work, verdict};
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::{self, Reading};

/// A system without idempotency keys is sent a create again only when the first can no longer be under
/// way: after this many times as long as an answer is waited for.
pub(super) const RESEND_TIMEOUTS: u32 = 2;

/// The job that sent a create is taken for dead after this long.
pub(super) const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// The create among these whose effect may have happened.
pub(super) fn lost_create(intents: &[Intent]) -> Option<&Intent> {
    intents
        .iter()
        .find(|intent| intent.op == IntentOp::Create && intent.state != IntentState::Planned)
}

/// A record that was made, by the word of its system or by what a listing showed, shows within this time, or is gone: nothing is
/// more likely to be doubled.
const SHOWS_WITHIN: Duration = Duration::from_secs(600);

/// It is looked for at least so long before it is sent again: what is hidden for a moment would be doubled.
const LOOKED_FOR_MIN: Duration = Duration::from_secs(5);

/// Finds out what became of a create that was sent, and either links its effect or sends it again
/// under the same transaction id.
pub(super) async fn settle_create(
    work: Work<'_>,
    intent: &Intent,
    link: Option<&Link>,
) -> Result<Performed, WorkError> {
    let sent = intent.sent_at.unwrap_or(intent.created_at);
    let since = work.context.now().since(sent);
    let idempotent = work.can(intent.side, |stream| stream.idempotent_create);
    match find_effect(work, intent).await? {
        Some(Effect::Whole(found)) => {
            return match link {
                None => link_created(work, intent, Made::shown(&found), None).await,
                Some(link) => relink(work, intent, Made::shown(&found), link).await,
            };
        }
        Some(Effect::InPart(record)) => return wait_until_whole(work, intent.side, &record),
        // What was shown with our reference can be asked for under the same transaction id: the answer names it.
        Some(Effect::Hidden) if idempotent && intent.target.is_none() => {}
        Some(Effect::Hidden) if since < SHOWS_WITHIN => {
            return Ok(look_later(work, since, SHOWS_WITHIN - since));
        }
        Some(Effect::Hidden) => {
            // Somebody deleted it at once, or merged it.
            let reason = "it was made, and is not there any more; planned anew";
            return plan_anew(work, intent, reason).await;
        }
        None => {}
    }
    let lands_within = lands_within(work, intent);
    if !idempotent && began_to_wait_before(work, sent) {
        return Ok(work.again_after(Duration::ZERO, Waiting::Progress));
    }
    let looked_for = work.looked_for();
    let left = lands_within
        .saturating_sub(since)
        .max(LOOKED_FOR_MIN.saturating_sub(looked_for));
    if !idempotent && !left.is_zero() {
        return Ok(look_later(work, since, left));
    }
    if is_source_missing(work, intent).await? {
        return match look_again(work) {
            Some(again) => Ok(again),
            None => plan_anew(work, intent, "its source is gone; not sent again").await,
        };
    }
    if link.is_none() && is_made_by_others(work, intent).await? {
        let reason = "somebody made its like meanwhile; matched with that";
        return plan_anew(work, intent, reason).await;
    }
    resend(work, intent, link).await
}

/// After this long a create that was sent can no longer land.
pub(super) fn lands_within(work: Work<'_>, intent: &Intent) -> Duration {
    let timeout = work.sync.end(intent.side).connector.timeout();
    (timeout * RESEND_TIMEOUTS).max(work.sync.confirm_gone)
}

/// Finds out what became of a create that can no longer land and that nobody works on, seen from a record with its match
/// key. It is not sent again: this record, or what else is found, is its effect, or the source is matched with what is
/// there.
pub(super) async fn settle_forgotten(
    work: Work<'_>,
    intent: &Intent,
    like: &Reading,
) -> Result<Performed, WorkError> {
    if is_effect(work, intent, like).await? {
        return link_created(work, intent, Made::shown(like), None).await;
    }
    let sent = intent.sent_at.unwrap_or(intent.created_at);
    let since = work.context.now().since(sent);
    match find_effect(work, intent).await? {
        Some(Effect::Whole(found)) => link_created(work, intent, Made::shown(&found), None).await,
        Some(Effect::InPart(record)) => wait_until_whole(work, intent.side, &record),
        Some(Effect::Hidden) if since < SHOWS_WITHIN => {
            Ok(look_later(work, since, SHOWS_WITHIN - since))
        }
        Some(Effect::Hidden) | None => {
            let reason = "it was never seen, and its like is there; matched with that";
            // Its dead letter may be replayed meanwhile, and then it is under way again.
            let given_up = IntentVerdict {
                sends: Some(intent.sends),
                ..verdict(intent, IntentState::Failed, Some(reason.to_owned()))
            };
            let given_up = Confirmation {
                verdicts: vec![given_up],
                ..Confirmation::default()
            };
            work.learn(given_up).await?;
            Ok(work.again_after(Duration::ZERO, Waiting::Progress))
        }
    }
}

/// Whether the job began to wait before this was sent. That was for something else, and says nothing of how long the
/// effect has been looked for.
fn began_to_wait_before(work: Work<'_>, sent: Timestamp) -> bool {
    let since = work.claimed.job.waits.since;
    since.is_some_and(|since| since < sent)
}

fn look_later(work: Work<'_>, since: Duration, left: Duration) -> Performed {
    work.again_after(pause_within(since, left), Waiting::Elsewhere)
}

/// Whether the record that the create carries over cannot be read. Somebody may have deleted it, merged it into another, or
/// made it again under another id: then its partner is that one's.
pub(super) async fn is_source_missing(work: Work<'_>, intent: &Intent) -> Result<bool, WorkError> {
    let Some(source) = &intent.source else {
        return Ok(false);
    };
    let side = intent.side.other();
    let reading = readings::read(work.sync, side, source, work.claimed.job.hints).await?;
    Ok(reading.is_none())
}

/// Gives a create up. What it was made from is looked at, matched and planned anew.
pub(super) async fn plan_anew(
    work: Work<'_>,
    intent: &Intent,
    why: &str,
) -> Result<Performed, WorkError> {
    work.close(intent, IntentState::Failed, Vec::new(), why.to_owned())
        .await?;
    Ok(work.again_after(Duration::ZERO, Waiting::Progress))
}

pub(super) async fn resend(
    work: Work<'_>,
    intent: &Intent,
    link: Option<&Link>,
) -> Result<Performed, WorkError> {
    if !work
        .context
        .store
        .mark_sent(work.claimed.lease, intent.id, work.context.now())
        .await?
    {
        return Err(tandem_store::StoreError::LeaseLost.into());
    }
    // What it makes is made now, and not when it was sent the last time.
    let intent = &Intent {
        sent_at: Some(work.context.now()),
        ..intent.clone()
    };
    match work.send(intent, None).await {
        Sent::Written { written, .. } => {
            let id = written.id.clone();
            let created = match read_created(work, intent.side, written).await {
                Ok(created) => created,
                Err(error) => return keep_id(work, intent, &id, error).await,
            };
            let made = Made {
                reading: &created.reading,
                unread: created.unread,
            };
            match link {
                None => link_created(work, intent, made, None).await,
                Some(link) => relink(work, intent, made, link).await,
            }
        }
        // The first sending may have had its effect, whatever becomes of the second.
        Sent::Unknown(error) | Sent::NoEffect(error) => {
            work.give_up(intent, IntentState::Unknown, error).await
        }
    }
}
