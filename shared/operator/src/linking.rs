//! What linking two records by hand would do, found out before anybody is asked whether it is meant: why it cannot be done,
//! and which values it would write over.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tandem_domain::line::line;
use tandem_domain::{BaseValue, LinkId, RecordId, Side, Stays, SyncName, Value, called};
use tandem_store::{Link, LinkState};

use crate::systems::Standing;
use crate::views::questions::quoted;
use crate::views::{StandingView, plain, plain_fields};
use crate::{Operator, OperatorError};

/// Two records that can be linked by hand, and what that would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkingView {
    /// The record on side a as its system holds it now.
    pub a: StandingView,
    /// The record on side b as its system holds it now.
    pub b: StandingView,
    /// The pair that they are already, where it is left alone: it takes part again.
    pub pair: Option<LinkId>,
    /// The values that would be written over.
    pub written_over: Vec<WrittenOverView>,
    /// The same in words, one sentence part a value, each with the names of both systems.
    pub told: Vec<String>,
}

/// A value that linking would write over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WrittenOverView {
    /// The mapped field.
    pub field: String,
    /// What the record on side a holds.
    pub a: Json,
    /// What the record on side b holds.
    pub b: Json,
    /// The side whose value stays; null where the later edit wins, which is found out when the two are compared.
    pub stays: Option<Side>,
}

/// Two records that can be linked.
pub(crate) struct Linking {
    pub(crate) a: Standing,
    pub(crate) b: Standing,
    /// Their pair, which is left alone.
    pub(crate) pair: Option<Link>,
    pub(crate) over: Vec<WrittenOver>,
}

/// A value that linking would write over.
pub(crate) struct WrittenOver {
    field: String,
    a: Value,
    b: Value,
    stays: Option<Side>,
}

impl Operator {
    /// What linking two records by hand would do.
    ///
    /// # Errors
    /// As [`Operator::link_by_hand`], but for what has to be confirmed: that is the answer.
    pub async fn linking(
        &self,
        sync: &SyncName,
        a: &RecordId,
        b: &RecordId,
    ) -> Result<LinkingView, OperatorError> {
        let linking = self.require_linkable(sync, a, b).await?;
        let pair = linking.pair.as_ref().map(|link| link.id);
        let view = |side, standing: &Standing| StandingView {
            sync: sync.clone(),
            side,
            connection: self.parts.systems.name(sync, side),
            record: standing.id.clone(),
            out_of_use: standing.out_of_use,
            fields: plain_fields(&standing.fields),
            link: pair,
            ignored: pair.is_some(),
        };
        Ok(LinkingView {
            a: view(Side::A, &linking.a),
            b: view(Side::B, &linking.b),
            pair,
            told: self.told(sync, &linking.over),
            written_over: linking.over.iter().map(WrittenOver::view).collect(),
        })
    }

    /// Refuses two records that cannot be linked now.
    pub(crate) async fn require_linkable(
        &self,
        sync: &SyncName,
        a: &RecordId,
        b: &RecordId,
    ) -> Result<Linking, OperatorError> {
        self.known_sync(sync).await?;
        let pair = self.pair_left_alone(sync, a, b).await?;
        if pair.is_none() {
            for (side, record) in [(Side::A, a), (Side::B, b)] {
                self.require_unclaimed(sync, side, record).await?;
            }
        }
        let (a, b) = if pair.is_some() {
            // What becomes of a pair of which one is out of use the policy says.
            (
                self.present(sync, Side::A, a).await?,
                self.present(sync, Side::B, b).await?,
            )
        } else {
            (
                self.in_use(sync, Side::A, a).await?,
                self.in_use(sync, Side::B, b).await?,
            )
        };
        let over = self.written_over(sync, pair.as_ref(), &a, &b);
        Ok(Linking { a, b, pair, over })
    }

    /// The pair that these two are, if it is left alone.
    async fn pair_left_alone(
        &self,
        sync: &SyncName,
        a: &RecordId,
        b: &RecordId,
    ) -> Result<Option<Link>, OperatorError> {
        let pair = self.store().pair(sync, Side::A, a).await?;
        let is_left_alone = pair.ignored;
        Ok(pair.link.filter(|link| {
            is_left_alone
                && link.state == LinkState::Active
                && link.side(Side::B).id.as_ref() == Some(b)
        }))
    }

    /// The values that making these two equal by the rules of the sync would write over.
    pub(crate) fn written_over(
        &self,
        sync: &SyncName,
        pair: Option<&Link>,
        a: &Standing,
        b: &Standing,
    ) -> Vec<WrittenOver> {
        let both = a.fields.iter().filter_map(|(field, value)| {
            // Of what one system says nothing there is nothing to compare.
            Some((field, value, b.fields.get(field)?))
        });
        let over = both.filter_map(|(field, a, b)| {
            let base = pair.and_then(|link| link.base.get(field));
            let stays = self.stays(sync, (field, a, b), base)?;
            Some(WrittenOver {
                field: field.clone(),
                a: a.clone(),
                b: b.clone(),
                stays,
            })
        });
        over.collect()
    }

    /// Whose value stays in a field where one is written over: `Some(None)` where that is found out later. `None` where none is.
    fn stays(
        &self,
        sync: &SyncName,
        (field, a, b): (&str, &Value, &Value),
        base: Option<&BaseValue>,
    ) -> Option<Option<Side>> {
        let systems = &self.parts.systems;
        let same = |one: &Value, other: &Value| systems.same(sync, field, one, other);
        if same(a, b) {
            return None;
        }
        let changed = base.map(|base| [!same(a, &base.a), !same(b, &base.b)]);
        if changed == Some([false, false]) {
            return None;
        }
        let is_lost = |side: Side| match side {
            Side::A => !a.is_null(),
            Side::B => !b.is_null(),
        };
        let rule = systems.stays(sync, field);
        if let Stays::Authority(side) = rule {
            return is_lost(side.other()).then_some(Some(side));
        }
        let only = match changed {
            Some([true, false]) => Some(Side::A),
            Some([false, true]) => Some(Side::B),
            _ => None,
        };
        if let Some(side) = only {
            return is_lost(side.other()).then_some(Some(side));
        }
        // A value beats an empty field, unless both are known to have been edited since they agreed.
        if changed.is_none() && (a.is_null() || b.is_null()) {
            return None;
        }
        match rule {
            Stays::Authority(side) | Stays::Preferred(side) => {
                is_lost(side.other()).then_some(Some(side))
            }
            Stays::Later => Some(None),
            Stays::Asked => None,
        }
    }

    /// What would be written over, in words.
    pub(crate) fn told(&self, sync: &SyncName, over: &[WrittenOver]) -> Vec<String> {
        let systems = &self.parts.systems;
        let [crm, books] = Side::BOTH.map(|side| systems.name(sync, side));
        let told = over.iter().map(|over| {
            let field = line(&over.field);
            let (a, b) = (quoted(&over.a), quoted(&over.b));
            match over.stays {
                Some(Side::A) => format!("`{field}` of {books}, {b}, by {a} of {crm}"),
                Some(Side::B) => format!("`{field}` of {crm}, {a}, by {b} of {books}"),
                None => format!(
                    "`{field}`, {a} in {crm} and {b} in {books}: the earlier edit by the later one"
                ),
            }
        });
        told.collect()
    }

    /// Refuses to write over what a person may not have seen.
    pub(crate) fn require_confirmed(
        &self,
        sync: &SyncName,
        linking: &Linking,
    ) -> Result<(), OperatorError> {
        if linking.over.is_empty() {
            return Ok(());
        }
        let systems = &self.parts.systems;
        Err(OperatorError::Unconfirmed {
            problem: format!(
                "{} of {} and {} of {} do not hold the same. Linking makes the two equal by the rules of the sync, and so writes over {}",
                named(&linking.a),
                systems.name(sync, Side::A),
                named(&linking.b),
                systems.name(sync, Side::B),
                self.told(sync, &linking.over).join("; ")
            ),
            advice: CONFIRM,
        })
    }
}

/// How to say that it is meant.
pub(crate) const CONFIRM: &str =
    "nothing was done; if it is meant, say so with `--yes`, or with `\"confirm\": true` in the API";

impl WrittenOver {
    fn view(&self) -> WrittenOverView {
        WrittenOverView {
            field: self.field.clone(),
            a: plain(&self.a),
            b: plain(&self.b),
            stays: self.stays,
        }
    }
}

/// A record by its name and id.
pub(crate) fn named(standing: &Standing) -> String {
    match called(&standing.fields) {
        Some(name) => format!("\"{}\" ({})", line(&name), line(standing.id.as_str())),
        None => format!("`{}`", line(standing.id.as_str())),
    }
}
