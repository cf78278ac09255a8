//! What a manifest consists of: connection, streams, fields, operations, webhook.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_saphyr::Spanned;
use tandem_domain::{FieldType, StreamName, Timestamp};

use super::{Auth, ErrorRule, Paths, Request, Statuses, Webhook, Zone};
use crate::budget::RateLimit;
use crate::path::Path;
use crate::template::{Node, Predicate, Text};
use crate::value_form::Form;

/// How to speak with one vendor's API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the manifest format.
    pub manifest: Spanned<u32>,
    /// Its name, as connections refer to it.
    pub name: String,
    /// The product's name.
    pub title: String,
    /// Where the vendor describes the API.
    #[serde(default)]
    pub documentation: Option<String>,
    /// The address of the system, unless the connection gives another.
    #[serde(default)]
    pub base_url: Option<Text>,
    /// What a connection can set, with a description; `default` makes it optional.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    /// The secrets that a connection must give, with a description.
    #[serde(default)]
    pub credentials: BTreeMap<String, String>,
    /// How to sign in.
    pub auth: Auth,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, Node>,
    /// How hard the system may be pushed.
    #[serde(default)]
    pub limits: Limits,
    /// How many requests the system takes in time, and where it says what is left.
    #[serde(default)]
    pub rate_limit: Option<Spanned<RateLimit>>,
    /// What a 2xx answer must fulfil to be a success.
    #[serde(default)]
    pub success: Option<Predicate>,
    /// What failures mean.
    #[serde(default)]
    pub errors: Vec<ErrorRule>,
    /// The record types.
    pub streams: BTreeMap<StreamName, Stream>,
    /// Its webhooks.
    #[serde(default)]
    pub webhook: Option<Webhook>,
}

/// Something that a connection can set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// What it is, for people.
    pub description: String,
    /// Its value when the connection does not set it; without one it must be set.
    #[serde(default)]
    pub default: Option<String>,
}

/// How hard the system may be pushed. A connection may override each.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests under way at once.
    pub concurrency: u32,
    /// Requests started in a second; 0 for no limit.
    pub requests_per_second: f64,
    /// How long one request may take, in seconds.
    pub timeout_secs: u32,
    /// The longest answer, in bytes.
    pub response_bytes_max: usize,
    /// The most values (texts, numbers, lists, objects) in an answer: each takes far more memory than it has bytes.
    pub response_values_max: usize,
    /// The longest value of a field, in bytes. It is copied for each use of it, and many records are at work at once.
    pub value_bytes_max: usize,
    /// How many bytes the values that a sync uses of one record may have together.
    pub record_bytes_max: usize,
    /// Whether a write answered with 503 may have happened all the same.
    pub unavailable_may_have_effect: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 16,
            requests_per_second: 0.0,
            timeout_secs: 30,
            response_bytes_max: 32 * 1024 * 1024,
            response_values_max: 1_000_000,
            value_bytes_max: 1024 * 1024,
            record_bytes_max: 2 * 1024 * 1024,
            unavailable_may_have_effect: false,
        }
    }
}

/// A record type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Where its id stands in a record.
    pub id: RecordKey,
    /// When it was last changed, by the system's clock.
    #[serde(default)]
    pub updated_at: Option<Stamp>,
    /// When it was made, by the system's clock: what tells a record from a later one under the same id.
    #[serde(default)]
    pub created_at: Option<Stamp>,
    /// What a guarded update or deletion compares.
    #[serde(default)]
    pub version: Option<Path>,
    /// How an archived record is known.
    #[serde(default)]
    pub archived: Option<Archived>,
    /// The field that keeps our transaction id from creation on.
    #[serde(default)]
    pub reference: Option<Path>,
    /// How the system is told to empty a field; `null` when absent.
    #[serde(default)]
    pub empty: Option<Json>,
    /// Its fields, by canonical name.
    pub fields: BTreeMap<String, Field>,
    /// Lists all records.
    pub list: List,
    /// Lists the records changed since an instant.
    #[serde(default)]
    pub changed_since: Option<List>,
    /// Reads records by id.
    pub read: Read,
    /// Ways to search; the first that fits is used.
    #[serde(default)]
    pub find: Vec<Finder>,
    /// Creates a record.
    #[serde(default)]
    pub create: Option<Create>,
    /// Changes a record.
    #[serde(default)]
    pub update: Option<Update>,
    /// Deletes or archives a record.
    #[serde(default)]
    pub delete: Option<Delete>,
}

/// Where the id of a record stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordKey {
    /// The place.
    pub path: Path,
    /// Whether requests need it as a number.
    #[serde(default)]
    pub number: bool,
}

/// Where an instant stands; of several, the latest counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// The places.
    pub path: Paths,
    /// How it is written.
    #[serde(default)]
    pub form: Form,
    /// The zone of times that are written without one; UTC when absent.
    #[serde(default)]
    pub time_zone: Option<Spanned<Zone>>,
}

impl Stamp {
    /// Reads the instant that stands here.
    pub(crate) fn decode(&self, json: &Json) -> Option<Timestamp> {
        let zone = self.time_zone.as_ref().map(|zone| &zone.value);
        self.form.decode_instant_in(json, zone)
    }

    /// The same time once more, where it is a local one that comes twice and does not say which it is.
    pub(crate) fn again(&self, json: &Json) -> Option<Timestamp> {
        let zone = &self.time_zone.as_ref()?.value;
        zone.again(self.form.local_time(json)?)
    }

    /// From where on to ask for changes that bear such times.
    pub(crate) fn asked_from(&self, since: Timestamp) -> Timestamp {
        let zone = self.time_zone.as_ref();
        zone.map_or(since, |zone| zone.value.asked_from(since))
    }
}

/// How an archived record is known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archived {
    /// The place of the flag or status.
    pub path: Path,
    /// What it says when the record is archived.
    pub equals: String,
}

/// A field of a record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Where it stands in a record.
    pub path: Spanned<Path>,
    /// Where the rest of a text stands that the system keeps in two parts, such as first and last name.
    #[serde(default)]
    pub rest: Option<Path>,
    /// The type of its canonical value.
    #[serde(default, rename = "type")]
    pub field_type: FieldType,
    /// How the system writes it.
    #[serde(default)]
    pub form: Form,
    /// The system's words for canonical values: `ACTIVE: "true"`.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Where the currency of a `money` field stands.
    #[serde(default)]
    pub currency: Option<Path>,
    /// The fields of a line, for `lines`.
    #[serde(default)]
    pub lines: BTreeMap<String, Field>,
    /// Whether it can be written.
    #[serde(default = "yes")]
    pub writable: bool,
    /// Whether a create without it is refused.
    #[serde(default)]
    pub required: bool,
}

const fn yes() -> bool {
    true
}

/// A listing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// The request for a page.
    pub request: Request,
    /// Where the records stand in the answer.
    pub records: Paths,
    /// How pages follow each other; without it there is one page.
    #[serde(default)]
    pub paging: Option<Paging>,
    /// How the system shows that a page is the last, where the kind of paging does not tell.
    #[serde(default)]
    pub ends: Ends,
}

/// How a system shows that a listing has ended. Each is a way of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ends {
    /// Holds for the last page: an expression over `status`, `headers`, `body`, `rows` (of the page) and `limit`.
    pub when: Option<Predicate>,
    /// The statuses that answer a request for a page past the last. Of the first page they are failures.
    pub status: Option<Statuses>,
    /// Whether the page past the last is the last page again, even if that is the first one and full.
    pub repeats: bool,
}

/// How pages follow each other. `size` is `limit` in the request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Paging {
    /// The answer holds a token for the next page: `cursor` in the request, absent at first.
    Cursor {
        /// Where the token stands.
        next: Path,
        /// Rows a page.
        #[serde(default)]
        size: Option<u32>,
    },
    /// Rows are skipped: `offset` in the request. Guaranteed is only what the system's order guarantees:
    /// a row made or removed meanwhile shifts the rest. Two things narrow that: pages overlap by
    /// `overlap` rows, and when `total` changes between pages the listing starts afresh.
    Offset {
        /// Rows a page, of each array if there are several.
        size: u32,
        /// Where the number of all rows stands.
        #[serde(default)]
        total: Option<Paths>,
        /// How many rows of the page before are asked for again.
        #[serde(default)]
        overlap: u32,
    },
    /// Pages are numbered: `page` in the request.
    Page {
        /// Rows a page.
        size: u32,
        /// The number of the first page.
        #[serde(default = "one")]
        first: u32,
    },
    /// The answer names the next page in a `Link` header with `rel="next"` (RFC 8288).
    Link {
        /// Rows a page.
        #[serde(default)]
        size: Option<u32>,
    },
    /// The next page starts after the last row of this one: `last.<name>` in the request. Neither skips
    /// nor repeats a row, whatever happens meanwhile.
    Keyset {
        /// Rows a page.
        size: u32,
        /// What to keep of the last row, by name.
        last: BTreeMap<String, Path>,
    },
}

const fn one() -> u32 {
    1
}

/// Reading by id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// The request, with `id`, or with `ids` when `max` is more than 1.
    pub request: Request,
    /// How many ids one request may name.
    #[serde(default = "one")]
    pub max: u32,
    /// Where the records stand. An id that is absent from a complete answer is missing.
    pub records: Paths,
    /// What says for certain that there is no such record (one id a request).
    #[serde(default)]
    pub missing: Option<Predicate>,
    /// What must hold for an absent id to count as missing (several ids a request).
    #[serde(default)]
    pub complete: Option<Predicate>,
}

/// A search.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finder {
    /// The fields that it can search by; `reference` stands for the external reference.
    pub by: Vec<Spanned<String>>,
    /// The request, with `name` and `value`.
    pub request: Request,
    /// Where the records stand.
    pub records: Paths,
    /// Whether the system answers more than asked for, so that the answers must be compared again.
    #[serde(default)]
    pub fuzzy: bool,
}

/// A request that goes before a write: looking up an id that the write needs, or making the record ready.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Whether it is needed; always when absent.
    #[serde(default)]
    pub when: Option<Node>,
    /// The request, which sees what the write sees.
    pub request: Request,
    /// Whether it changes something in the system.
    #[serde(default)]
    pub writes: bool,
    /// What to keep of the answer, by name, as `kept.<name>`.
    #[serde(default)]
    pub keep: BTreeMap<String, Path>,
    /// The message with which the write is refused when something to keep is not there.
    #[serde(default)]
    pub refuse: Option<Text>,
}

/// Creating.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// Values that the requests use more than once, by name, as `let.<name>`.
    #[serde(default, rename = "let")]
    pub values: BTreeMap<String, Node>,
    /// Requests that go before.
    #[serde(default)]
    pub before: Vec<Step>,
    /// The request, with `fields`, `record` and `transaction`.
    pub request: Request,
    /// Where the new id stands in the answer.
    pub id: Path,
    /// Where the record stands, if the answer holds it whole.
    #[serde(default)]
    pub record: Option<Path>,
    /// Whether sending it twice with the same `transaction` creates once.
    #[serde(default)]
    pub idempotent: bool,
}

/// Changing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Values that the requests use more than once, by name, as `let.<name>`.
    #[serde(default, rename = "let")]
    pub values: BTreeMap<String, Node>,
    /// Requests that go before.
    #[serde(default)]
    pub before: Vec<Step>,
    /// The request, with `id`, `fields`, `record`, `current`, `expected_version` and `transaction`.
    pub request: Request,
    /// Where the record stands, if the answer holds it whole.
    #[serde(default)]
    pub record: Option<Path>,
}

/// Deleting or archiving.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// The request, with `id`, `current`, `expected_version` and `transaction`.
    pub request: Request,
}

impl Update {
    /// Whether an expression of the update looks at a value of this name.
    pub(crate) fn uses(&self, name: &str) -> bool {
        let mut found = self.request.uses(name);
        let mut look = |expr: &crate::template::Expr| found |= expr.looks_at(name);
        let conditions = self.before.iter().flat_map(|step| &step.when);
        self.values
            .values()
            .chain(conditions)
            .for_each(|node| node.each_expr(&mut look));
        found || self.before.iter().any(|step| step.request.uses(name))
    }
}
