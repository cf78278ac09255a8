//! Rows as operators see them, in JSON alike for the API and the command line: instants as RFC 3339, values
//! as plain JSON, ids with their prefix. Not here: secrets, which no row holds.

mod attended;
mod config;
mod events;
mod health;
mod jobs;
mod pause;
pub(crate) mod questions;
mod records;
mod runs;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use tandem_domain::{Fields, Timestamp, Value};

pub use attended::nothing_runs;
pub(crate) use attended::{last_seen, unattended};
pub use config::{ConnectionView, ScheduleView, SyncView};
pub use events::{EventDetail, EventView};
pub(crate) use health::doubted_clock;
pub use health::{BADLY_SIGNED_SHOWN, HealthView, Signed};
pub use jobs::{AttemptView, JobDetail, JobView};
pub use pause::PauseView;
pub(crate) use pause::Rest;
pub use questions::{Part, ShownView};
pub use records::{
    BaseView, ChangeView, Choice, ConflictView, FieldView, FilteredView, IntentView, LinkView,
    SideView, StandingView,
};
pub use runs::RunView;

/// An instant in RFC 3339.
pub(crate) mod when {
    use serde::{Deserialize, Deserializer, Serializer};
    use tandem_domain::Timestamp;

    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An instant in RFC 3339, or null.
pub(crate) mod when_opt {
    use serde::{Deserialize, Deserializer, Serializer};
    use tandem_domain::Timestamp;

    pub fn serialize<S: Serializer>(
        at: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.collect_str(at),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}

/// An instant to the second.
pub(crate) fn to_the_second(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// A canonical value as plain JSON. Decimals stay texts: a JSON number would lose digits.
#[must_use]
pub fn plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(truth) => json!(truth),
        Value::Integer(number) => json!(number),
        Value::Text(_)
        | Value::Reference(_)
        | Value::Decimal(_)
        | Value::Date(_)
        | Value::Instant(_) => Json::String(value.to_string()),
        Value::Money(money) => {
            json!({ "amount": money.amount.to_string(), "currency": money.currency })
        }
        Value::Lines(lines) => Json::Array(lines.iter().map(plain_fields).collect()),
    }
}

/// Fields as a plain JSON object.
#[must_use]
pub fn plain_fields(fields: &Fields) -> Json {
    let object: Map<String, Json> = fields
        .iter()
        .map(|(name, value)| (name.clone(), plain(value)))
        .collect();
    Json::Object(object)
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to give as cursor for the next page; null when this was the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of rows, of which at most `limit` were asked for; `cursor` tells where a row stands.
    pub fn new(items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Self {
        let next = (items.len() >= limit)
            .then(|| items.last().map(cursor))
            .flatten();
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::{FieldType, Value};

    use super::*;

    #[test]
    fn values_are_shown_as_plain_json() {
        let money = Value::parse(FieldType::Money, "12.50 EUR").expect("money");
        assert_eq!(plain(&money), json!({"amount": "12.50", "currency": "EUR"}));
        assert_eq!(plain(&Value::Null), Json::Null);
        assert_eq!(plain(&Value::Integer(7)), json!(7));
        assert_eq!(plain(&Value::Text("Ada".to_owned())), json!("Ada"));
    }

    #[test]
    fn only_a_full_page_has_a_next_one() {
        let full = Page::new(vec![1, 2], 2, ToString::to_string);
        assert_eq!(full.next.as_deref(), Some("2"));
        let last = Page::new(vec![1], 2, ToString::to_string);
        assert_eq!(last.next, None);
    }
}
