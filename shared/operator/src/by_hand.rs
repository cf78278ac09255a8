//! Linking two records by hand and taking a pair apart; looking at a record where it lives.

use std::collections::BTreeMap;

use tandem_domain::{ChangeId, ConflictId, LinkId, RecordId, Side, SyncName};
use tandem_store::{
    Change, HandLink, Hints, IntentOp, JobClass, JobKind, Link, LinkState, NewJob, NewLink,
    Operation, Outcome, SideState, TakeUp, Trigger, Unlinked,
};

use crate::conflicts::Confirmed;
use crate::error::after;
use crate::systems::Standing;
use crate::views::{LinkView, StandingView, plain_fields};
use crate::{Operator, OperatorError};

impl Operator {
    /// A record as its system holds it now, and how it is linked.
    ///
    /// # Errors
    /// When there is no such sync or record, its system does not answer, or the storage fails.
    pub async fn look(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<StandingView, OperatorError> {
        self.known_sync(sync).await?;
        let standing = self.present(sync, side, record).await?;
        let pair = self.store().pair(sync, side, record).await?;
        let link = pair.link.filter(|link| link.state == LinkState::Active);
        Ok(StandingView {
            sync: sync.clone(),
            side,
            connection: self.parts.systems.name(sync, side),
            record: standing.id,
            out_of_use: standing.out_of_use,
            fields: plain_fields(&standing.fields),
            link: link.map(|link| link.id),
            ignored: pair.ignored,
        })
    }

    /// Links two records by hand. Both must be there now and linked to nothing else. A job compares them. A pair that
    /// was to be left alone takes part again. Where that writes over a value it has to be confirmed.
    ///
    /// # Errors
    /// When there is no such sync, a record is not there or is linked, values would be written over and nobody has
    /// confirmed that, a system does not answer, or the storage fails.
    pub async fn link_by_hand(
        &self,
        sync: &SyncName,
        a: &RecordId,
        b: &RecordId,
        confirmed: Confirmed,
    ) -> Result<LinkView, OperatorError> {
        let linking = self.require_linkable(sync, a, b).await?;
        if !confirmed.0 {
            self.require_confirmed(sync, &linking)?;
        }
        if let Some(link) = linking.pair
            && self.take_up(sync, Side::A, a, None).await?
        {
            return after("the records are linked", self.link(link.id).await);
        }
        self.link_free(sync, a, b).await
    }

    async fn link_free(
        &self,
        sync: &SyncName,
        a: &RecordId,
        b: &RecordId,
    ) -> Result<LinkView, OperatorError> {
        let now = self.now();
        let id = LinkId::new(now, self.entropy());
        let hand = HandLink {
            link: NewLink {
                id,
                sync: sync.clone(),
                a: blank(a),
                b: blank(b),
                base: BTreeMap::new(),
            },
            change: self.change_by_hand(sync, id, Operation::Link, Some(a), Some(b)),
            job: self.job_about(sync, Side::A, a),
        };
        let Some(job) = self.store().link_by_hand(hand, now).await? else {
            return Err(OperatorError::NotNow {
                problem: format!(
                    "`{a}` and `{b}` were not linked: meanwhile one of them got a partner, or one is being made for it"
                ),
                advice: "see what it is with `explain`, and try again",
            });
        };
        self.ring(&[job]);
        tracing::info!(link = %id, %sync, %a, %b, "an operator linked two records");
        after("the records are linked", self.link(id).await)
    }

    /// Has a record take part again, and its partner with it. Says whether it was left alone.
    pub(crate) async fn take_up(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
        question: Option<ConflictId>,
    ) -> Result<bool, OperatorError> {
        let now = self.now();
        let taken = TakeUp {
            sync: sync.clone(),
            side,
            record: record.clone(),
            question,
            job: self.job_about(sync, side, record),
        };
        let Some(job) = self.store().take_up(taken, now).await? else {
            return Ok(false);
        };
        self.ring(&[job]);
        tracing::info!(%sync, %side, %record, "an operator had a record take part again");
        Ok(true)
    }

    /// A job that looks at a record because a person said so.
    fn job_about(&self, sync: &SyncName, side: Side, record: &RecordId) -> NewJob {
        let now = self.now();
        NewJob {
            id: self.new_job_id(now),
            kind: JobKind::Reconcile {
                sync: sync.clone(),
                side,
                record: record.clone(),
            },
            class: JobClass::Interactive,
            trigger: Trigger::Manual,
            run_at: now,
            hints: Hints::default(),
            traceparent: None,
        }
    }

    /// Takes a pair apart. Both records stay as they are, and are left alone until they are linked by hand again.
    ///
    /// # Errors
    /// When there is no such link, it is not active, a write of it is under way, or the storage fails.
    pub async fn unlink_by_hand(&self, id: LinkId) -> Result<LinkView, OperatorError> {
        let link = self.store().link(id).await?.ok_or_else(|| {
            OperatorError::not_found("link", id, "list the links of the sync to see their ids")
        })?;
        let Link { sync, a, b, .. } = &link;
        let change = Change {
            error: Some("a person took the pair apart; both records stay".to_owned()),
            ..self.change_by_hand(sync, id, Operation::Unlink, a.id.as_ref(), b.id.as_ref())
        };
        match self.store().unlink_by_hand(id, change, self.now()).await? {
            Unlinked::Done => {
                tracing::info!(link = %id, %sync, "an operator took a pair apart");
                after("the pair is taken apart", self.link(id).await)
            }
            Unlinked::NotLinked => Err(OperatorError::NotNow {
                problem: format!("the pair {id} is not linked any more"),
                advice: "nothing is left to do",
            }),
            Unlinked::WriteUnderWay => Err(OperatorError::NotNow {
                problem: format!("a write of the pair {id} is under way"),
                advice: "try again in a moment; `explain` shows the write",
            }),
        }
    }

    /// The record as it is now, if its system has one of this id. No system is asked for a record without an id: what it
    /// makes of that nobody knows.
    pub(crate) async fn read_named(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Option<Standing>, OperatorError> {
        if record.as_str().trim().is_empty() {
            return Err(OperatorError::Invalid {
                problem: format!(
                    "an empty text names no record of {}",
                    self.parts.systems.name(sync, side)
                ),
                advice: "give the id that it has there",
            });
        }
        self.parts.systems.read(sync, side, record).await
    }

    /// The record as it is now; an error when its system has none of this id.
    pub(crate) async fn present(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Standing, OperatorError> {
        let standing = self.read_named(sync, side, record).await?;
        standing.ok_or_else(|| OperatorError::Invalid {
            problem: format!(
                "{} has no record `{record}` now",
                self.parts.systems.name(sync, side)
            ),
            advice: "check the id in the system",
        })
    }

    /// The record as it is now; an error also when it is archived.
    pub(crate) async fn in_use(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Standing, OperatorError> {
        let standing = self.present(sync, side, record).await?;
        if standing.out_of_use {
            return Err(OperatorError::NotNow {
                problem: format!(
                    "the record `{record}` of {} is archived or inactive, which counts as gone",
                    self.parts.systems.name(sync, side)
                ),
                advice: "take it into use again in its system first",
            });
        }
        Ok(standing)
    }

    /// Refuses a record that has a partner.
    pub(crate) async fn require_free(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<(), OperatorError> {
        let pair = self.store().pair(sync, side, record).await?;
        self.require_partnerless(sync, side, record, pair.link.as_ref())
    }

    /// Refuses a record that has a partner, or for which one is being made.
    pub(crate) async fn require_unclaimed(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<(), OperatorError> {
        let pair = self.store().pair(sync, side, record).await?;
        self.require_partnerless(sync, side, record, pair.link.as_ref())?;
        let mut intents = pair.intents.iter();
        let Some(create) = intents.find(|intent| intent.op == IntentOp::Create) else {
            return Ok(());
        };
        Err(OperatorError::NotNow {
            problem: format!(
                "a partner of the record `{record}` of {} is being made in {} ({})",
                self.parts.systems.name(sync, side),
                self.parts.systems.name(sync, side.other()),
                create.id
            ),
            advice: "see what becomes of it with `explain`, and try again",
        })
    }

    fn require_partnerless(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
        link: Option<&Link>,
    ) -> Result<(), OperatorError> {
        let Some(link) = link.filter(|link| link.state == LinkState::Active) else {
            return Ok(());
        };
        let partner = link.side(side.other()).id.as_ref();
        Err(OperatorError::NotNow {
            problem: format!(
                "the record `{record}` of {} is linked with `{}` already ({}); `tandem links unlink {}` takes that pair apart",
                self.parts.systems.name(sync, side),
                partner.map_or("a record that is gone", |partner| partner.as_str()),
                link.id,
                link.id
            ),
            advice: "do that first, or choose another record",
        })
    }

    fn change_by_hand(
        &self,
        sync: &SyncName,
        link: LinkId,
        operation: Operation,
        a: Option<&RecordId>,
        b: Option<&RecordId>,
    ) -> Change {
        let now = self.now();
        Change {
            id: ChangeId::new(now, self.entropy()),
            sync: sync.clone(),
            link: Some(link),
            a: a.cloned(),
            b: b.cloned(),
            operation,
            written: None,
            intent: None,
            trigger: Trigger::Manual,
            job: None,
            run: None,
            fields: Vec::new(),
            outcome: Outcome::Applied,
            error: None,
            duration_ms: 0,
            at: now,
        }
    }
}

fn blank(record: &RecordId) -> SideState {
    SideState {
        id: Some(record.clone()),
        ..SideState::default()
    }
}
