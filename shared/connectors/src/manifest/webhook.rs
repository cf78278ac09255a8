//! What a manifest says about webhooks: how they are signed, and where their events say what.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::Spanned;
use tandem_domain::StreamName;

use super::{Paths, Stamp};
use crate::path::Path;
use crate::template::{Place, Predicate, Text};
use crate::webhook::{Scheme, SchemeOptions};

/// The system's webhooks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// How requests are signed.
    pub signature: Signature,
    /// Where the events stand in a body: a list, or one event.
    pub events: Path,
    /// What tells an event from every other: made of signed data only, and the same when it is sent again.
    #[serde(default)]
    pub key: Option<Text>,
    /// What becomes of an event that comes again.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// The event's type, to be looked up in `types`.
    #[serde(rename = "type")]
    pub event_type: Text,
    /// The types that matter. Others are acknowledged and dropped.
    pub types: BTreeMap<String, EventType>,
    /// Where the ids of its records stand.
    pub record: RecordIds,
    /// When it happened.
    #[serde(default)]
    pub occurred_at: Option<Stamp>,
}

/// What becomes of an event that comes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// It is known by its `key`, and dropped.
    #[default]
    Drop,
    /// Every event is one of its own. For systems whose events hold neither an id nor a time: the third of
    /// A, B, A could not be told from the first.
    Keep,
}

/// Where the ids of an event's records stand.
#[derive(Debug)]
pub enum RecordIds {
    /// Paths in the event. The first that leads anywhere counts; it may lead to several ids, or to a list of them.
    Paths(Paths),
    /// An expression over `event` and `body` that gives an id or a list of ids.
    Expression(Predicate),
}

impl<'de> Deserialize<'de> for RecordIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<OneOrMany>::deserialize(deserializer)?;
        let OneOrMany(paths) = &spanned.value;
        if let [only] = paths.as_slice()
            && let Some(source) = only.strip_prefix('=')
        {
            return Predicate::parse(source, Place::of(&spanned))
                .map(Self::Expression)
                .map_err(de::Error::custom);
        }
        let paths: Result<Vec<Path>, _> = paths.iter().map(|text| text.parse()).collect();
        paths
            .map(|paths| Self::Paths(Paths(paths)))
            .map_err(de::Error::custom)
    }
}

/// A text, or a list of texts.
struct OneOrMany(Vec<String>);

struct OneOrManyVisitor;

impl<'de> de::Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a path such as `/id`, a list of paths, or an expression after a `=`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany(vec![text.to_owned()]))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<OneOrMany, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = access.next_element()? {
            texts.push(text);
        }
        Ok(OneOrMany(texts))
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

impl Webhook {
    /// Whether an expression looks at the whole body.
    pub(crate) fn uses_body(&self) -> bool {
        let mut found =
            matches!(&self.record, RecordIds::Expression(ids) if ids.expr().looks_at("body"));
        let texts = [Some(&self.event_type), self.key.as_ref()];
        for text in texts.into_iter().flatten() {
            text.each_expr(&mut |expr| found |= expr.looks_at("body"));
        }
        found
    }
}

/// How webhook requests are signed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The scheme.
    pub scheme: Spanned<Scheme>,
    /// What the scheme leaves open.
    #[serde(default)]
    pub options: SchemeOptions,
}

/// What an event type means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventType {
    /// The stream of the record.
    pub stream: Spanned<StreamName>,
    /// What happened to it.
    pub kind: EventKind,
}

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It is new.
    Created,
    /// It changed.
    Updated,
    /// It was deleted or archived.
    Deleted,
}
