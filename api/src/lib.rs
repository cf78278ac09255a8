//! What Tandem offers over HTTP: the ingress for webhooks, the API for operators, health and metrics.
//!
//! Thin on purpose: what a webhook means and what an operator can do is in `tandem-operator`. This crate
//! has no SQL, speaks to no connected system, and never reads a clock.

mod address;
mod http;
mod ingress;
mod server;
pub mod service;
mod systems;

pub use http::{ApiAccess, ApiToken, BadToken, HttpParts, MetricsAccess, RenderMetrics, router};
pub use ingress::{
    BODY_BYTES_MAX, FailureLimit, HOOKS_PREFIX, Ingress, IngressLimits, IngressParts,
    follow_clocks, follow_connections,
};
pub use server::{Peer, ServerLimits, Surface, serve};
pub use systems::ConfiguredSystems;
