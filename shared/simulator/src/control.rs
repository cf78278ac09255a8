//! The `/_sim` endpoints: what a demo, a test or a curious person asks of a simulator.
//!
//! They are outside the simulated API: no authorisation, no faults, no latency, not counted. Like
//! the API they are reachable from this machine alone.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::fields::{Changes, Field, Fields};
use crate::sim::Sim;

/// Why a simulated user could not do something.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("there is no live record {id:?}; /_sim/state lists those there are")]
    NoSuchRecord { id: String },
    #[error("field {field}: {problem}")]
    BadValue { field: Field, problem: String },
    #[error(
        "there is no field {name:?}; the fields are name, email, phone, city, country, tax_number, website, credit_limit and active"
    )]
    NoSuchField { name: String },
    #[error(
        "the body is not one of {{\"id\":..,\"fields\":{{..}}}}, {{\"create\":{{..}}}}, {{\"delete\":id}}: {problem}"
    )]
    BadBody { problem: String },
    #[error("the body is not {{\"rate\":0.05}}: {problem}")]
    BadRate { problem: String },
    #[error("the body is not {{\"held\":true}}: {problem}")]
    BadHold { problem: String },
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match &self {
            ControlError::NoSuchRecord { .. } => StatusCode::NOT_FOUND,
            ControlError::BadValue { .. }
            | ControlError::NoSuchField { .. }
            | ControlError::BadBody { .. }
            | ControlError::BadRate { .. }
            | ControlError::BadHold { .. } => StatusCode::BAD_REQUEST,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Command {
    Edit {
        id: String,
        fields: Map<String, Value>,
    },
    Create {
        create: Map<String, Value>,
    },
    Delete {
        delete: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultRate {
    rate: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    held: bool,
}

pub(crate) fn routes() -> Router<Arc<Sim>> {
    Router::new()
        .route("/_sim/state", get(state))
        .route("/_sim/quiet", post(quiet))
        .route("/_sim/edit", post(edit))
        .route("/_sim/faults", post(faults))
        .route("/_sim/hold", post(hold))
}

async fn state(State(sim): State<Arc<Sim>>) -> Response {
    Json(sim.state()).into_response()
}

async fn quiet(State(sim): State<Arc<Sim>>) -> Response {
    sim.quiet();
    Json(json!({ "quiet": true })).into_response()
}

async fn faults(State(sim): State<Arc<Sim>>, body: Bytes) -> Result<Response, ControlError> {
    let wanted: FaultRate =
        serde_json::from_slice(&body).map_err(|error| ControlError::BadRate {
            problem: error.to_string(),
        })?;
    sim.faults.set_rate(wanted.rate);
    Ok(Json(json!({ "rate": wanted.rate.clamp(0.0, 1.0) })).into_response())
}

async fn hold(State(sim): State<Arc<Sim>>, body: Bytes) -> Result<Response, ControlError> {
    let wanted: Hold = serde_json::from_slice(&body).map_err(|error| ControlError::BadHold {
        problem: error.to_string(),
    })?;
    sim.hold(wanted.held);
    Ok(Json(json!({ "held": wanted.held })).into_response())
}

async fn edit(State(sim): State<Arc<Sim>>, body: Bytes) -> Result<Response, ControlError> {
    let command: Command =
        serde_json::from_slice(&body).map_err(|error| ControlError::BadBody {
            problem: error.to_string(),
        })?;
    let id = match command {
        Command::Edit { id, fields } => {
            sim.user_edit(&id, as_changes(fields)?)?;
            id
        }
        Command::Create { create } => sim.user_create(Fields::from(as_changes(create)?))?,
        Command::Delete { delete } => {
            sim.user_delete(&delete)?;
            delete
        }
    };
    Ok(Json(json!({ "id": id })).into_response())
}

/// Takes numbers and booleans as well as text, since both read naturally in a hand-written body.
fn as_changes(given: Map<String, Value>) -> Result<Changes, ControlError> {
    let change = |(name, value): (String, Value)| {
        let Some(field) = Field::parse(&name) else {
            return Err(ControlError::NoSuchField { name });
        };
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(ControlError::BadValue {
                    field,
                    problem: "a list or object is no value".to_owned(),
                });
            }
        };
        Ok((field, text))
    };
    given.into_iter().map(change).collect()
}
