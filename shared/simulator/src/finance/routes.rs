//! Reading one contact, creating and updating.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Uri};

use super::replies::{Lookup, fingerprint, success};
use super::wire::{ContactInput, ContactList, ContactView, ContactsInput};
use super::{not_found, validation_error};
use crate::book::Slot;
use crate::fields::Field;
use crate::server::json_answer;
use crate::sim::Sim;
use crate::world::{Actor, Patch, World};

const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// As in the real API.
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;

pub(super) async fn read(State(sim): State<Arc<Sim>>, Path(id): Path<String>) -> Response {
    let world = sim.world();
    match world.book.slot_of(&id) {
        None => not_found(),
        Some(slot) => json_answer(StatusCode::OK, contacts(&world, &[slot])),
    }
}

/// `PUT /Contacts` creates.
pub(super) async fn create(
    State(sim): State<Arc<Sim>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    once(&sim, uri.path(), &headers, &body, |world, by, now_ms| {
        let patches = parse_body(&body)?
            .into_iter()
            .map(new_contact)
            .collect::<Result<Vec<_>, _>>();
        let patches = patches.map_err(|problems| Box::new(validation_error(&problems)))?;
        Ok(patches
            .into_iter()
            .map(|patch| world.create(patch, by, now_ms))
            .collect())
    })
}

/// `POST /Contacts/{id}` changes what the body mentions and leaves the rest.
pub(super) async fn update(
    State(sim): State<Arc<Sim>>,
    uri: Uri,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    once(&sim, uri.path(), &headers, &body, |world, by, now_ms| {
        let slot = world
            .book
            .slot_of(&id)
            .ok_or_else(|| Box::new(not_found()))?;
        let mut inputs = parse_body(&body)?;
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return Err(Box::new(validation_error(&[
                "exactly one contact is updated at an address".to_owned(),
            ])));
        };
        let patch = input
            .into_patch()
            .map_err(|problems| Box::new(validation_error(&problems)))?;
        world.update(slot, patch, by, now_ms);
        Ok(vec![slot])
    })
}

/// Runs a write unless its idempotency key was answered before. Looking the key up, writing and
/// keeping the answer happen under the world's lock, so two equal requests at once write once.
fn once(
    sim: &Sim,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
    write: impl FnOnce(&mut World, Actor<'_>, i64) -> Result<Vec<Slot>, Box<Response>>,
) -> Response {
    let key = headers
        .get(IDEMPOTENCY_HEADER)
        .and_then(|value| value.to_str().ok());
    if key.is_some_and(|key| key.len() > IDEMPOTENCY_KEY_CHARS_MAX) {
        return validation_error(&[format!(
            "Idempotency-Key is longer than {IDEMPOTENCY_KEY_CHARS_MAX} characters"
        )]);
    }
    let honoured = key.filter(|_| sim.config.honour_idempotency_key);
    let request = fingerprint(path, body);
    sim.change(|world, now_ms| {
        match honoured.map_or(Lookup::Unused, |key| sim.replies.look_up(key, &request)) {
            Lookup::Replay(answer) => return answer,
            Lookup::Mismatch => {
                return validation_error(&[
                    "Idempotency-Key was used with a different request".to_owned()
                ]);
            }
            Lookup::Unused => {}
        }
        let slots = match write(
            world,
            Actor::Api {
                idempotency_key: key,
            },
            now_ms,
        ) {
            Ok(slots) => slots,
            Err(refusal) => return *refusal,
        };
        match serde_json::to_vec(&contacts(world, &slots)) {
            Err(error) => validation_error(&[error.to_string()]),
            Ok(bytes) => {
                let bytes = Bytes::from(bytes);
                if let Some(key) = honoured {
                    sim.replies.keep(key, request, bytes.clone());
                }
                success(bytes)
            }
        }
    })
}

fn parse_body(body: &[u8]) -> Result<Vec<ContactInput>, Box<Response>> {
    let input: ContactsInput = serde_json::from_slice(body)
        .map_err(|problem| Box::new(validation_error(&[format!("Invalid JSON: {problem}")])))?;
    Ok(input.contacts)
}

fn new_contact(input: ContactInput) -> Result<Patch, Vec<String>> {
    let mut patch = input.into_patch()?;
    if !patch.fields.contains_key(&Field::Name) {
        return Err(vec!["The contact name must be specified".to_owned()]);
    }
    if let Some(archived) = patch.archived {
        patch.fields.insert(
            Field::Active,
            if archived { "false" } else { "true" }.to_owned(),
        );
    }
    Ok(patch)
}

fn contacts<'a>(world: &'a World, slots: &[Slot]) -> ContactList<'a> {
    ContactList {
        contacts: slots
            .iter()
            .map(|slot| ContactView::from(world.book.get(*slot)))
            .collect(),
    }
}
