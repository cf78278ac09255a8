//! Brings one pair into agreement, whatever it was that happened.

mod announced;
mod answered;
mod awaited;
mod back_and_forth;
mod change_log;
mod changed;
mod confirm;
mod create;
mod created;
mod delete_hold;
mod deleted_late;
mod deleted_over;
mod doubled;
mod doubt;
mod effect;
mod emptied;
mod emptied_moot;
mod ending;
mod events_around;
mod filtered;
mod former;
mod held;
mod intent;
mod kept;
mod lands_again;
mod late_delete;
mod link_to;
mod linked;
mod looks;
mod lookup;
mod lost_create;
mod lost_update;
mod made_again;
mod met;
mod moot;
mod named;
mod never_shown;
mod not_deleted;
mod not_deleted_told;
mod not_made;
mod not_there;
mod open_write;
mod out_of_date;
mod over_and_over;
mod overwritten;
mod own_write;
mod pair;
mod questions;
mod read_back;
mod recover;
mod replaced;
mod restored;
mod revive;
mod seen;
mod sending;
mod set_back;
mod set_back_asked;
mod set_back_over;
mod shown;
mod taken;
mod touched;
mod unclear;
mod under;
mod unlinked;
mod unshown;
mod went_back;
mod went_under;

pub use emptied_moot::close_moot as close_moot_questions_about_fields;
pub use out_of_date::{Shows, still_shows};
pub use pair::unsaid;
pub use restored::stays_asked;
pub use set_back::says_of_side;
pub use set_back_over::close_moot as close_moot_questions_about_sides;

use tandem_domain::{RecordId, Side};
use tandem_queue::LeaseEnd;
use tandem_runtime::SyncDefinition;
use tandem_store::{ClaimedJob, Lane, LinkState, Waiting};

use crate::context::Context;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

pub async fn run(
    context: &Context,
    sync: &SyncDefinition,
    claimed: &ClaimedJob,
    until: &LeaseEnd,
    side: Side,
    record: &RecordId,
) -> Result<Performed, WorkError> {
    let mut pair = context.store.pair(&sync.name, side, record).await?;
    if pair.ignored {
        return Ok(Performed::done(
            "ignored: an operator said to leave this record alone",
        ));
    }
    let work = Work {
        context,
        sync,
        claimed,
        until,
    };
    match pair.link.take() {
        Some(link) if link.state == LinkState::Retired => {
            revive::run(work, link, side, record, pair).await
        }
        Some(link) if claimed.job.lane != Lane::of_link(link.id) => {
            // The link is younger than the job: from now on its lane keeps both records' jobs apart.
            if context
                .store
                .relane(claimed.lease, link.id, context.now())
                .await?
            {
                context.doorbell.ring(&[claimed.job.id]);
                Ok(Performed::Settled)
            } else {
                Err(tandem_store::StoreError::LeaseLost.into())
            }
        }
        Some(link) => match touched::pause(work, &link, &pair.intents) {
            Some(pause) => Ok(work.again_after(pause, Waiting::Gate)),
            None => linked::run(work, link, pair).await,
        },
        None => unlinked::run(work, side, record, pair).await,
    }
}
