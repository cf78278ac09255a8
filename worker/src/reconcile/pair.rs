//! Both records of a link, as the systems show them now.

use tandem_connectors::ConnectorError;
use tandem_domain::Side;
use tandem_engine::{Gone, Presence};
use tandem_store::Link;

use crate::executor::Work;
use crate::readings::{self, Reading};

/// Both records as first read.
pub(super) struct Pair {
    pub(super) a: Option<Reading>,
    pub(super) b: Option<Reading>,
}

impl Pair {
    pub(super) const fn side(&self, side: Side) -> Option<&Reading> {
        match side {
            Side::A => self.a.as_ref(),
            Side::B => self.b.as_ref(),
        }
    }
}

pub(super) async fn read_both(work: Work<'_>, link: &Link) -> Result<Pair, ConnectorError> {
    let hints = work.claimed.job.hints;
    let read = async |side: Side| match &link.side(side).id {
        Some(id) => readings::read(work.sync, side, id, hints).await,
        None => Ok(None),
    };
    let (a, b) = futures::try_join!(read(Side::A), read(Side::B))?;
    Ok(Pair { a, b })
}

/// A record that is out of use, and whose partner is deleted, is not made again elsewhere: it counts as
/// gone even where the sync keeps such records in agreement.
pub(super) fn presence(side: Side, pair: &Pair) -> Presence {
    match pair.side(side) {
        None => Presence::Gone(Gone::Deleted),
        Some(reading) if reading.record.archived && pair.side(side.other()).is_none() => {
            Presence::Gone(Gone::Archived)
        }
        Some(reading) => reading.presence(),
    }
}
