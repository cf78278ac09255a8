//! From a verified body to rows for the inbox. Whatever the body holds, the result can be stored.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tandem_connectors::webhook_events::EACH;
use tandem_domain::{Entropy, EventId, JobId, Timestamp};
use tandem_store::{EventKind, JobTarget, NewEvent};

use super::{Hook, HookState, ReadEvent, Unreadable};

/// Longer dedupe keys are replaced by their hash: index entries have limits.
const DEDUPE_KEY_BYTES_MAX: usize = 512;
/// No known system has longer ids; a longer one is not an id.
const RECORD_ID_BYTES_MAX: usize = 512;

/// Clocks of systems are known to about a second.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// What reading needs from outside: the time of arrival, and chance for new ids.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    /// When the body arrived (or is read again).
    pub at: Timestamp,
    /// For the ids of events and jobs.
    pub entropy: &'a dyn Entropy,
}

/// The events in a body. None for a handshake; one in quarantine for a body that cannot be read.
/// Those of a paused connection have their targets too: their jobs wait until it is resumed.
#[must_use]
pub fn new_events(state: &HookState, body: &[u8], arrival: Arrival<'_>) -> Vec<NewEvent> {
    match state {
        HookState::Active(hook) | HookState::Paused(hook) => read_all(hook, body, arrival),
        HookState::Misconfigured(_) | HookState::Deleted => Vec::new(),
    }
}

fn read_all(hook: &Hook, body: &[u8], arrival: Arrival<'_>) -> Vec<NewEvent> {
    // A reader that panics would be sent the same body for ever; in quarantine it waits for a fix.
    let read = catch_unwind(AssertUnwindSafe(|| (hook.read)(body)))
        .unwrap_or_else(|_| Err(Unreadable("reading it failed inside Tandem".to_owned())));
    match read {
        Ok(events) => events
            .into_iter()
            .enumerate()
            .map(|(index, event)| {
                let event = storable(event, body, index);
                new_event(hook, event, arrival)
            })
            .collect(),
        Err(unreadable) => vec![new_event(
            hook,
            quarantined(body_key(body), unreadable.to_string()),
            arrival,
        )],
    }
}

/// Whether two readings are of the same event of one body.
pub(crate) fn is_same(one: &str, another: &str) -> bool {
    let of_body = |key: &'_ str| match key.strip_prefix(EACH) {
        Some(_) => key
            .rsplit_once(':')
            .map_or(key.len(), |(start, _)| start.len()),
        None => key.len(),
    };
    one[..of_body(one)] == another[..of_body(another)]
}

fn quarantined(dedupe_key: String, problem: String) -> ReadEvent {
    ReadEvent {
        dedupe_key,
        stream: None,
        record: None,
        kind: EventKind::Other,
        occurred_at: None,
        occurred_again: None,
        problem: Some(problem),
    }
}

/// The dedupe key of a body that cannot be taken apart.
fn body_key(body: &[u8]) -> String {
    format!("body:{}", hex::encode(Sha256::digest(body)))
}

/// Makes an event fit for every storage: text columns of some take no NUL and have limits.
fn storable(mut event: ReadEvent, body: &[u8], index: usize) -> ReadEvent {
    if event.dedupe_key.is_empty() {
        event.dedupe_key = format!("{}#{index}", body_key(body));
        event
            .problem
            .get_or_insert_with(|| "the event has nothing to tell it from others by".to_owned());
    } else if !is_plain(&event.dedupe_key, DEDUPE_KEY_BYTES_MAX) {
        let hash = Sha256::digest(event.dedupe_key.as_bytes());
        event.dedupe_key = format!("sha256:{}", hex::encode(hash));
    }
    let odd_record = event
        .record
        .as_ref()
        .is_some_and(|record| !is_plain(record.as_str(), RECORD_ID_BYTES_MAX));
    if odd_record {
        event.record = None;
        event.problem.get_or_insert_with(|| {
            format!("the record id has control characters or more than {RECORD_ID_BYTES_MAX} bytes")
        });
    }
    event.problem = event.problem.map(|problem| problem.replace('\0', "\\0"));
    event
}

fn is_plain(text: &str, bytes_max: usize) -> bool {
    !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control)
}

fn new_event(hook: &Hook, event: ReadEvent, arrival: Arrival<'_>) -> NewEvent {
    let offset_micros = (hook.clock_offset_micros)();
    let targets = match event.problem {
        None => targets_of(hook, &event, arrival),
        Some(_) => Vec::new(),
    };
    let id = EventId::new(arrival.at, arrival.entropy);
    let occurred_at = happened(&event, arrival.at.shifted(offset_micros));
    NewEvent {
        id,
        dedupe_key: match event.dedupe_key.strip_prefix(EACH) {
            Some(_) => format!("{}:{id}", event.dedupe_key),
            None => event.dedupe_key,
        },
        stream: event.stream,
        record: event.record,
        kind: event.kind,
        occurred_at: occurred_at.map(|at| at.shifted(offset_micros.saturating_neg())),
        clock_offset: offset_micros,
        problem: event.problem,
        targets,
    }
}

/// When an event happened, by the clock of its sender, which showed `theirs` when it arrived. Of a local time that comes
/// twice it is the later one, unless that is still to come: events are told soon.
fn happened(event: &ReadEvent, theirs: Timestamp) -> Option<Timestamp> {
    let again = event.occurred_again;
    again
        .filter(|again| *again <= theirs.plus(CLOCK_SLACK))
        .or(event.occurred_at)
}

fn targets_of(hook: &Hook, event: &ReadEvent, arrival: Arrival<'_>) -> Vec<JobTarget> {
    let (Some(stream), Some(_)) = (&event.stream, &event.record) else {
        return Vec::new();
    };
    (hook.targets)(stream)
        .into_iter()
        .map(|target| JobTarget {
            sync: target.sync,
            side: target.side,
            job: JobId::new(arrival.at, arrival.entropy),
            run_at: arrival.at.plus(target.quiet),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(dedupe_key: &str, record: &str) -> ReadEvent {
        ReadEvent {
            dedupe_key: dedupe_key.to_owned(),
            record: Some(tandem_domain::RecordId::new(record)),
            problem: None,
            ..quarantined(String::new(), String::new())
        }
    }

    #[test]
    fn a_usable_event_is_left_as_it_is() {
        let usable = event("crm:1", "7");
        assert_eq!(storable(usable.clone(), b"{}", 0), usable);
    }

    #[test]
    fn an_event_of_a_local_time_that_comes_twice_happened_right_before_it_was_told() {
        let at = Timestamp::from_secs;
        let told = ReadEvent {
            occurred_at: Some(at(1_000)),
            occurred_again: Some(at(4_600)),
            ..event("crm:1", "7")
        };
        assert_eq!(happened(&told, at(1_003)), Some(at(1_000)));
        assert_eq!(happened(&told, at(4_603)), Some(at(4_600)));
        let clear = ReadEvent {
            occurred_again: None,
            ..told
        };
        assert_eq!(happened(&clear, at(4_603)), Some(at(1_000)));
    }

    #[test]
    fn a_dedupe_key_that_no_column_takes_is_replaced_by_its_hash() {
        for key in ["a\0b", &"x".repeat(DEDUPE_KEY_BYTES_MAX + 1)] {
            let stored = storable(event(key, "7"), b"{}", 0);
            assert!(stored.dedupe_key.starts_with("sha256:"), "{key}");
            assert_eq!(stored.problem, None);
            assert_eq!(stored, storable(event(key, "7"), b"{}", 3));
        }
    }

    #[test]
    fn an_event_without_a_key_is_quarantined_under_its_place_in_the_body() {
        let stored = storable(event("", "7"), b"{}", 2);
        assert!(stored.dedupe_key.starts_with("body:") && stored.dedupe_key.ends_with("#2"));
        assert!(stored.problem.is_some());
    }

    #[test]
    fn an_event_of_which_each_delivery_counts_is_known_again_only_by_its_own_readings() {
        let key = format!("{EACH}sha256:ab#1");
        let (first, again) = (format!("{key}:evt_1"), format!("{key}:evt_2"));
        assert!(is_same(&first, &again));
        assert!(!is_same(&first, &format!("{EACH}sha256:ab:evt_1")));
        assert!(is_same("crm:1", "crm:1") && !is_same("crm:1", "crm:2"));
    }

    #[test]
    fn a_record_id_with_control_characters_is_quarantined() {
        let stored = storable(event("k", "7\0"), b"{}", 0);
        assert_eq!(stored.record, None);
        assert!(stored.problem.is_some());
    }
}
