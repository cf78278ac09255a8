//! A question as it stands now: what its answers would do today, which of the records that it names cannot be chosen any
//! more, and why an answer would wait.

use serde::{Deserialize, Serialize};
use tandem_domain::line::line;
use tandem_domain::{RecordId, Side, SyncName};
use tandem_store::{Conflict, ConflictKind, ConflictState, LinkState};

use crate::edited_since;
use crate::views::ConflictView;
use crate::{Operator, OperatorError};

/// A candidate that cannot be chosen now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotOffered {
    /// The record.
    pub record: RecordId,
    /// Why, in words that complete "`record` …".
    pub because: String,
}

impl Operator {
    /// A question with all that is known of it now.
    pub(crate) async fn offered(&self, conflict: Conflict) -> Result<ConflictView, OperatorError> {
        let conflict = self.as_it_stands(conflict).await?;
        let is_closed = conflict.state == ConflictState::Closed;
        let (mut not_offered, mut waits) = (Vec::new(), None);
        if !is_closed {
            not_offered = self.not_offered(&conflict).await?;
            waits = self.waits(&conflict.sync).await?;
        }
        let ends = self.ends_of(&conflict.sync).await?;
        let edited = self.edited_since(&conflict, &ends).await?;
        let view = ConflictView {
            not_offered,
            waits,
            ..ConflictView::new(conflict, &ends)
        };
        Ok(edited_since::named(view, edited))
    }

    /// Why answers of a sync are not carried out now, and the command that has them go on; `None` when they are.
    pub(crate) async fn waits(&self, sync: &SyncName) -> Result<Option<String>, OperatorError> {
        match self.standstill(sync).await {
            Ok(words) => Ok(words),
            Err(OperatorError::Store(error)) => Err(error.into()),
            // It was removed.
            Err(_) => Ok(None),
        }
    }

    /// The candidates of a question that have a partner by now, or are left alone. Whether one is still in its system is
    /// found out when it is chosen.
    async fn not_offered(&self, conflict: &Conflict) -> Result<Vec<NotOffered>, OperatorError> {
        let ConflictKind::Ambiguous { candidates, .. } = &conflict.kind else {
            return Ok(Vec::new());
        };
        let mut out = Vec::new();
        for record in candidates {
            let because = self.is_out(conflict, record).await?;
            out.extend(because.map(|because| NotOffered {
                record: record.clone(),
                because,
            }));
        }
        Ok(out)
    }

    async fn is_out(
        &self,
        conflict: &Conflict,
        record: &RecordId,
    ) -> Result<Option<String>, OperatorError> {
        let (sync, side) = (&conflict.sync, conflict.side.other());
        let pair = self.store().pair(sync, side, record).await?;
        let link = pair.link.filter(|link| link.state == LinkState::Active);
        let Some(link) = link else {
            return Ok(pair.ignored.then(|| left_alone(conflict, record)));
        };
        let partner = link.side(conflict.side).id.as_ref();
        let partner = partner.map_or_else(String::new, |partner| {
            format!(" with `{}`", line(partner.as_str()))
        });
        Ok(Some(format!(
            "is linked{partner} ({}): `tandem links unlink {}` takes that pair apart",
            link.id, link.id
        )))
    }

    /// A question about a value that was not kept, with what both sides had when they were last looked at: that is what
    /// an answer gives to both, whatever they had when it was asked.
    pub(crate) async fn as_it_stands(
        &self,
        mut conflict: Conflict,
    ) -> Result<Conflict, OperatorError> {
        let (
            ConflictKind::NotKept {
                field, sent, kept, ..
            },
            Some(id),
        ) = (&mut conflict.kind, conflict.link)
        else {
            return Ok(conflict);
        };
        if conflict.state == ConflictState::Closed {
            return Ok(conflict);
        }
        let Some(link) = self.store().link(id).await? else {
            return Ok(conflict);
        };
        if let Some(base) = link.base.get(field) {
            *kept = base.side(conflict.side).clone();
            *sent = base.side(conflict.side.other()).clone();
        }
        for shown in &mut conflict.shown {
            if link.side(shown.side).id.as_ref() == Some(&shown.id) {
                let known = link.base.iter();
                let known =
                    known.map(|(field, base)| (field.clone(), base.side(shown.side).clone()));
                shown.fields.extend(known);
            }
        }
        Ok(conflict)
    }
}

fn left_alone(conflict: &Conflict, record: &RecordId) -> String {
    let (a, b) = match conflict.side {
        Side::A => (&conflict.record, record),
        Side::B => (record, &conflict.record),
    };
    format!(
        "is left alone, because a person said so: `tandem links link {} {} {}` has it take part again, as the partner",
        conflict.sync,
        line(a.as_str()),
        line(b.as_str())
    )
}
