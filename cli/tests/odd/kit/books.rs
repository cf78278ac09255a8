//! What a system holds, and how a well-behaved one answers. Odd ones answer otherwise where a test says so.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use tandem_domain::{Clock, Timestamp};
use tandem_runtime::SystemClock;

pub use serde_json::json;

/// One record, in the system's own shape.
#[derive(Clone, Debug)]
pub struct Row {
    pub fields: Map<String, Json>,
    /// When it was made and last changed, by the system's clock.
    pub made: Timestamp,
    pub changed: Timestamp,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub body: Json,
    /// The idempotency key, if it names one.
    pub key: Option<String>,
}

impl Asked {
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    /// The id of the record that the address names.
    pub fn id(&self) -> Option<&str> {
        self.path.strip_prefix("/people/")
    }

    /// Whether it reads this record by its id.
    pub fn reads(&self, id: &str) -> bool {
        self.method == "GET" && self.id() == Some(id)
    }

    pub fn lists(&self) -> bool {
        self.is("GET", "/people")
    }

    pub fn writes(&self) -> bool {
        self.method != "GET"
    }

    /// A number of the query.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.query.get(name)?.parse().ok()
    }
}

/// An answer: status, headers beside the usual ones, body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Answer {
    pub fn new(status: u16, body: &Json) -> Self {
        Self {
            status,
            headers: vec![],
            body: body.to_string(),
        }
    }

    pub fn ok(body: &Json) -> Self {
        Self::new(200, body)
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn no_such_record() -> Self {
        Self::new(404, &json!({ "message": "no such record" }))
    }
}

/// What a system keeps of a value that is written to a field.
type Kept = Box<dyn Fn(&str, Json) -> Json + Send>;

/// All that a system holds, and all that it was asked.
pub struct Books {
    pub rows: BTreeMap<String, Row>,
    /// Every request, with the status of its answer.
    pub log: Vec<(Asked, u16)>,
    /// What it makes of what it is told.
    pub kept: Kept,
    /// Rows of a page.
    pub page: usize,
    /// How long each request takes: half of it on its way here, half on its way back.
    pub latency: Duration,
    keys: BTreeMap<String, String>,
    next_id: u64,
}

impl Books {
    pub fn new(first_id: u64) -> Self {
        Self {
            rows: BTreeMap::new(),
            log: Vec::new(),
            kept: Box::new(|_, value| value),
            page: 10,
            latency: Duration::ZERO,
            keys: BTreeMap::new(),
            next_id: first_id,
        }
    }

    /// A person makes a record.
    pub fn add(&mut self, fields: &Json) -> String {
        let id = self.next_id.to_string();
        self.next_id += 1;
        self.add_as(&id, fields);
        id
    }

    /// The vendor makes a record under an id of its choice.
    pub fn add_as(&mut self, id: &str, fields: &Json) {
        let now = SystemClock.now();
        let row = Row {
            fields: fields.as_object().cloned().unwrap_or_default(),
            made: now,
            changed: now,
        };
        self.rows.insert(id.to_owned(), row);
    }

    /// A person edits a record.
    pub fn edit(&mut self, id: &str, fields: &Json) {
        let row = self.rows.get_mut(id).expect("there is such a record");
        let fields = fields.as_object().cloned().unwrap_or_default();
        row.fields.extend(fields);
        row.changed = SystemClock.now();
    }

    /// The text of a field; empty where it has none.
    pub fn text(&self, id: &str, field: &str) -> String {
        let value = self.rows.get(id).and_then(|row| row.fields.get(field));
        value.and_then(Json::as_str).unwrap_or_default().to_owned()
    }

    /// The texts of a field of all records, in order.
    pub fn all(&self, field: &str) -> Vec<String> {
        let mut texts: Vec<_> = self.rows.keys().map(|id| self.text(id, field)).collect();
        texts.sort();
        texts
    }

    /// How many requests were made that fit.
    pub fn count(&self, fits: impl Fn(&Asked) -> bool) -> usize {
        self.log.iter().filter(|(asked, _)| fits(asked)).count()
    }

    /// How many writes it was asked for.
    pub fn writes(&self) -> usize {
        self.count(Asked::writes)
    }

    /// A record as it is shown.
    pub fn shown(&self, id: &str) -> Json {
        let row = &self.rows[id];
        let mut shown = row.fields.clone();
        shown.insert("id".to_owned(), json!(id));
        shown.insert("made".to_owned(), json!(row.made.to_string()));
        shown.insert("changed".to_owned(), json!(row.changed.to_string()));
        Json::Object(shown)
    }

    /// The ids that a listing shows, oldest change first.
    pub fn listed(&self, asked: &Asked) -> Vec<String> {
        let since = asked.query.get("since");
        let since = since.map(|text| text.parse().expect("an instant is sent"));
        let rows = self.rows.iter();
        let mut rows: Vec<_> = rows
            .filter(|(_, row)| since.is_none_or(|since: Timestamp| row.changed >= since))
            .collect();
        rows.sort_by_key(|(id, row)| (row.changed, (*id).clone()));
        rows.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// The page that was asked for, by its number.
    pub fn page_of(&self, asked: &Asked) -> Vec<String> {
        let number = asked.number("page").unwrap_or(1);
        let ids = self.listed(asked).into_iter();
        ids.skip((number - 1) * self.page).take(self.page).collect()
    }

    /// An answer with these records.
    pub fn page(&self, ids: &[String]) -> Json {
        let rows: Vec<Json> = ids.iter().map(|id| self.shown(id)).collect();
        json!({ "people": rows })
    }

    /// How a well-behaved system answers.
    pub fn answer(&mut self, asked: &Asked) -> Answer {
        match (asked.method.as_str(), asked.id()) {
            ("GET", None) if asked.path == "/people" => {
                Answer::ok(&self.page(&self.page_of(asked)))
            }
            ("GET", None) if asked.path == "/search" => Answer::ok(&self.found(asked)),
            ("POST", None) => self.create(asked),
            (_, Some(id)) if !self.rows.contains_key(id) => Answer::no_such_record(),
            ("GET", Some(id)) => Answer::ok(&self.shown(id)),
            ("PATCH", Some(id)) => self.update(id, &asked.body),
            ("DELETE", Some(id)) => {
                self.rows.remove(id);
                Answer::ok(&json!({}))
            }
            _ => Answer::new(405, &json!({ "message": "not here" })),
        }
    }

    fn found(&self, asked: &Asked) -> Json {
        let (field, value) = (&asked.query["field"], asked.query["value"].to_lowercase());
        let ids = self.rows.keys();
        let ids: Vec<String> = ids
            .filter(|id| self.text(id, field).to_lowercase() == value)
            .cloned()
            .collect();
        self.page(&ids)
    }

    fn create(&mut self, asked: &Asked) -> Answer {
        let known = asked.key.as_ref().and_then(|key| self.keys.get(key));
        if let Some(id) = known {
            return Answer::ok(&self.shown(id));
        }
        let id = self.add(&json!({}));
        if let Some(key) = &asked.key {
            self.keys.insert(key.clone(), id.clone());
        }
        self.update(&id, &asked.body)
    }

    fn update(&mut self, id: &str, body: &Json) -> Answer {
        let sent = body.as_object().cloned().unwrap_or_default();
        let kept: Map<String, Json> = sent
            .into_iter()
            .map(|(field, value)| {
                let value = (self.kept)(&field, value);
                (field, value)
            })
            .collect();
        self.edit(id, &Json::Object(kept));
        Answer::ok(&self.shown(id))
    }
}
