//! How a sync is written.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tandem_domain::{ConnectionName, RetryPolicy, Side, StreamName};
use tandem_engine::{
    Ambiguous, ConflictPolicy, Creates, DeletePolicy, Direction, Equality, Transform,
};

use crate::topology::{Archived, DeleteBrake};

/// A poll starts this much before the last one's end, in seconds, unless the sync says otherwise:
/// slow transactions commit late, under the time at which they began.
const OVERLAP_SECS: u32 = 120;
/// How many jobs of a sync run at once unless it says otherwise.
const CONCURRENCY: usize = 32;

/// A sync: two streams held in agreement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncConfig {
    /// Side a, usually the CRM.
    pub a: EndConfig,
    /// Side b, usually the finance system.
    pub b: EndConfig,
    /// The match keys, strongest first.
    #[serde(rename = "match")]
    pub match_keys: Vec<MatchKey>,
    /// Where missing records are created; wherever the streams allow it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<Creates>,
    /// What happens when both sides changed a field.
    #[serde(default)]
    pub conflict: ConflictPolicy,
    /// Who wins when the later edit is asked for and the times say nothing.
    #[serde(default = "side_a")]
    pub prefer: Side,
    /// What happens when a match is not clear.
    #[serde(default)]
    pub ambiguous: Ambiguous,
    /// What happens when a record is gone.
    #[serde(default)]
    pub deletes: DeletesConfig,
    /// Which records take part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<FilterConfig>,
    /// The mapping, by the name of the mapped field.
    pub fields: BTreeMap<String, FieldConfig>,
    /// How failed jobs are tried again.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// An event waits this long before its job runs, in seconds.
    #[serde(default)]
    pub quiet_secs: u32,
    /// A poll starts this much before the last one's end, in seconds.
    #[serde(default = "overlap_secs")]
    pub overlap_secs: u32,
    /// How many of its jobs run at once.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// When it runs by itself.
    #[serde(default)]
    pub schedule: ScheduleConfig,
}

const fn side_a() -> Side {
    Side::A
}

const fn overlap_secs() -> u32 {
    OVERLAP_SECS
}

const fn concurrency() -> usize {
    CONCURRENCY
}

impl SyncConfig {
    /// One side.
    #[must_use]
    pub const fn end(&self, side: Side) -> &EndConfig {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

/// One side of a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndConfig {
    /// The connection.
    pub connection: ConnectionName,
    /// The record type in it.
    pub stream: StreamName,
}

/// A match key: one mapped field, or several taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchKey(pub Vec<String>);

impl Serialize for MatchKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MatchKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MatchKeyVisitor)
    }
}

struct MatchKeyVisitor;

impl<'de> Visitor<'de> for MatchKeyVisitor {
    type Value = MatchKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field, or a list of fields")
    }

    fn visit_str<E>(self, field: &str) -> Result<MatchKey, E> {
        Ok(MatchKey(vec![field.to_owned()]))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<MatchKey, S::Error> {
        let mut fields = Vec::new();
        while let Some(field) = list.next_element()? {
            fields.push(field);
        }
        if fields.is_empty() {
            return Err(de::Error::custom("a match key needs at least one field"));
        }
        Ok(MatchKey(fields))
    }
}

/// What happens when a record is gone, and how much of it is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeletesConfig {
    /// When side a's record is gone.
    pub a_gone: DeletePolicy,
    /// When side b's record is gone.
    pub b_gone: DeletePolicy,
    /// What archived and inactive records count as.
    pub archived: Archived,
    /// A record that its system does not show is looked for again, and believed to be gone after so many seconds.
    pub confirm_secs: u32,
    /// More deletes than this are held for approval.
    pub brake: BrakeConfig,
}

impl Default for DeletesConfig {
    fn default() -> Self {
        Self {
            a_gone: DeletePolicy::default(),
            b_gone: DeletePolicy::default(),
            archived: Archived::default(),
            confirm_secs: 30,
            brake: BrakeConfig::default(),
        }
    }
}

/// See [`DeleteBrake`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrakeConfig {
    /// Deletes up to this number always pass.
    pub count: u32,
    /// In percent of the sync's links.
    pub percent: u32,
}

impl Default for BrakeConfig {
    fn default() -> Self {
        let DeleteBrake { count, percent } = DeleteBrake::default();
        Self { count, percent }
    }
}

/// Only records whose field has one of these values take part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// The side it looks at.
    pub side: Side,
    /// The field of that side's stream.
    pub field: String,
    /// The values that take part, in their plain text form; an empty text stands for no value.
    pub any_of: Vec<PlainText>,
}

/// A value in its plain text form, whether it was written as a text, a number or a truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PlainText(pub String);

impl<'de> Deserialize<'de> for PlainText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainTextVisitor)
    }
}

struct PlainTextVisitor;

impl Visitor<'_> for PlainTextVisitor {
    type Value = PlainText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true or false")
    }

    fn visit_str<E>(self, value: &str) -> Result<PlainText, E> {
        Ok(PlainText(value.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<PlainText, E> {
        Ok(PlainText(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<PlainText, E> {
        Ok(PlainText(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<PlainText, E> {
        Ok(PlainText(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<PlainText, E> {
        Ok(PlainText(value.to_string()))
    }
}

/// One rule of the mapping. `{}` maps the field of the same name on both sides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldConfig {
    /// The field of side a's stream; the rule's own name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<String>,
    /// The field of side b's stream; the rule's own name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<String>,
    /// Which way it flows; wherever it can be written when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// When two values count as the same.
    pub equality: Equality,
    /// Overrides the conflict policy of the sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<ConflictPolicy>,
    /// Applied to the values of both sides before anything else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<Transform>,
}

impl FieldConfig {
    /// The field of a side's stream, for the rule of this name.
    #[must_use]
    pub fn stream_field<'a>(&'a self, name: &'a str, side: Side) -> &'a str {
        match side {
            Side::A => self.a.as_deref(),
            Side::B => self.b.as_deref(),
        }
        .unwrap_or(name)
    }
}

/// When a sync runs by itself: presets, cron, or `manual`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// When side a is asked for changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_a: Option<String>,
    /// When side b is asked for changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_b: Option<String>,
    /// When both sides are compared whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<String>,
    /// Whose wall clock the schedules mean; UTC when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}
