//! How Tandem speaks to other systems: the [`Connector`] trait, declarative manifests, webhook signatures.

mod batched;
pub mod budget;
mod catalog;
mod class_object;
mod clock_state;
mod connector;
mod json_view;
mod lenient_json;
mod listing_guard;
mod long_numbers;
pub mod manifest;
mod needed_fields;
mod path;
mod percent;
pub mod pulse;
mod raw_record;
mod redactor;
mod rest;
mod send_right;
mod settings;
mod short_file;
mod strict_json;
mod template;
mod value_form;
pub mod webhook;
pub mod webhook_events;

pub use batched::BatchedReads;
pub use catalog::{Catalog, CatalogError};
pub use clock_state::{ClockDoubt, ClockState};
pub use connector::{
    CREDENTIALS_ADVICE, Capabilities, CheckReport, Connector, ConnectorError, Delete, FieldInfo,
    Listing, Lookup, Page, PageToken, ReadOutcome, RemoteRecord, StreamInfo, UnreadableRow, Write,
    Written,
};
pub use listing_guard::ListingGuard;
pub use needed_fields::NeededFields;
pub use path::{Path, PathError};
pub use raw_record::RawRecord;
pub use rest::{RestConnector, http_client};
pub use send_right::{SendRight, with_send_right};
pub use settings::{ConnectionSettings, Credentials, Secret};
pub use short_file::{open_regular, read_at_most, read_short_file};
pub use template::{Expr, Node, Place, Predicate, TemplateError, Text};
pub use value_form::Form;
