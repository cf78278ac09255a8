//! How Tandem speaks to other systems: the [`Connector`] trait, declarative manifests, webhook signatures.

mod connector;
pub mod webhook;

pub use connector::{
    Capabilities, CheckReport, Connector, ConnectorError, FieldInfo, Listing, Lookup, Page, PageToken, ReadOutcome,
    RemoteRecord, StreamInfo, UnreadableRow, Write, Written,
};
