//! A dead letter as text: what happened, in the order in which a person asks.

use tandem_domain::line::line;
use tandem_operator::views::{AttemptView, ChangeView, EventView, IntentView, JobDetail};
use tandem_operator::{DeadLetterDetail, Offers};

use crate::commands::events;
use crate::commands::output::{moment, shown, word};

/// All that explains it.
pub fn told(letter: &DeadLetterDetail) -> String {
    match letter {
        DeadLetterDetail::Event { event, offers } => {
            let id = event.event.id;
            format!(
                "{}\n\n{}",
                events::told(event),
                next(&id.to_string(), "the manifest or the configuration", offers)
            )
        }
        DeadLetterDetail::Job {
            job,
            intents,
            events,
            changes,
            offers,
        } => {
            let mut lines = head(job);
            let attempts: Vec<(usize, &AttemptView)> = (1..).zip(&job.attempts).collect();
            section(&mut lines, "Attempts", &attempts, attempt);
            section(
                &mut lines,
                "Writes journalled for this record",
                intents,
                intent,
            );
            section(&mut lines, "Events that caused it", events, event);
            section(&mut lines, "Last changes of this record", changes, change);
            let id = job.job.id.to_string();
            lines.push(format!("\n{}", next(&id, "the cause", offers)));
            lines.join("\n")
        }
    }
}

/// The verbs that do something, and why the others are not named.
fn next(id: &str, what: &str, offers: &Offers) -> String {
    let mut lines = Vec::new();
    if offers.replay {
        lines.push(format!("After {what} is mended: tandem dlq replay {id}"));
    }
    if offers.discard {
        lines.push(format!(
            "If it is not needed:   tandem dlq discard {id} --reason …"
        ));
    }
    lines.extend(offers.because.iter().map(|because| {
        let because = line(because);
        if offers.replay {
            format!("Now {because}")
        } else if offers.discard {
            format!("It cannot be replayed: {because}")
        } else {
            format!("Nothing is left to do: {because}")
        }
    }));
    lines.join("\n")
}

fn section<T>(lines: &mut Vec<String>, title: &str, rows: &[T], told: impl Fn(&T) -> Vec<String>) {
    if rows.is_empty() {
        return;
    }
    lines.push(format!("\n{title}"));
    lines.extend(rows.iter().flat_map(told).map(|line| format!("  {line}")));
}

fn head(detail: &JobDetail) -> Vec<String> {
    let job = &detail.job;
    let about = match (&job.sync, job.side, &job.record) {
        (Some(sync), Some(side), Some(record)) => {
            format!(
                " of record {} on side {side} of {sync}",
                line(record.as_str())
            )
        }
        (Some(sync), Some(side), None) => format!(" of side {side} of {sync}"),
        (Some(sync), None, _) => format!(" of {sync}"),
        (None, ..) => String::new(),
    };
    let mut lines = vec![
        format!("{}: {}{about}, {}", job.id, job.kind, job.state.as_str()),
        format!(
            "  caused by   {} at {}, {} more causes merged",
            job.trigger.as_str(),
            moment(job.created_at),
            job.merged
        ),
        format!(
            "  attempts    {}",
            counted_attempts(job.attempt, detail.attempts.len())
        ),
    ];
    lines.extend(
        job.ended_at
            .map(|at| format!("  gave up     {}", moment(at))),
    );
    if let Some(failure) = &job.failure {
        lines.push(format!("  failure     {}", failure.code));
        lines.extend(
            failure
                .chain
                .iter()
                .map(|message| format!("    {}", line(message))),
        );
    }
    lines.extend(
        job.note
            .iter()
            .map(|note| format!("  note        {}", line(note))),
    );
    lines
}

/// How many attempts count, and why more may have failed.
pub fn counted_attempts(counted: u32, failed: usize) -> String {
    if failed <= counted as usize {
        return counted.to_string();
    }
    format!(
        "{counted} that count; {failed} failed that are known: what failed before a replay or in an earlier try, and what failed \
         while a system was down or asked to wait, does not count"
    )
}

/// A failed attempt. They are numbered through: those that did not count, and those after a replay, bear numbers that others
/// bear as well.
pub fn attempt((number, attempt): &(usize, &AttemptView)) -> Vec<String> {
    let AttemptView {
        started_at,
        ended_at,
        code,
        chain,
        ..
    } = attempt;
    let took = ended_at.since(*started_at).as_millis();
    let first = format!("{number}. {}, {took} ms: {code}", moment(*started_at));
    std::iter::once(first)
        .chain(chain.iter().map(|message| format!("   {}", line(message))))
        .collect()
}

fn intent(intent: &IntentView) -> Vec<String> {
    let (op, state) = (word(&intent.op), word(&intent.state));
    let target = intent
        .target
        .as_ref()
        .map_or_else(String::new, |id| format!(" {}", line(id.as_str())));
    let mut lines = vec![format!(
        "{}: {op} on side {}{target}, {state}, sent {} times ({})",
        moment(intent.created_at),
        intent.side,
        intent.sends,
        intent.id
    )];
    if let Some(fields) = intent.fields.as_object() {
        lines.extend(
            fields
                .iter()
                .map(|(name, value)| format!("   {}: {}", line(name), shown(value))),
        );
    }
    lines.extend(
        intent
            .error
            .iter()
            .map(|error| format!("   {}", line(error))),
    );
    lines
}

fn event(event: &EventView) -> Vec<String> {
    let EventView {
        id,
        connection,
        received_at,
        ..
    } = event;
    vec![format!(
        "{}: {} from {connection} ({id})",
        moment(*received_at),
        word(&event.kind)
    )]
}

fn change(change: &ChangeView) -> Vec<String> {
    let fields: Vec<&str> = change
        .fields
        .iter()
        .map(|field| field.field.as_str())
        .collect();
    let fields = fields.join(", ");
    let (operation, outcome) = (word(&change.operation), word(&change.outcome));
    vec![format!(
        "{}: {operation}, {outcome}: {} ({})",
        moment(change.at),
        line(&fields),
        change.id
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_domain::{ErrorCode, Timestamp};

    #[test]
    fn only_verbs_that_do_something_are_offered_and_why_not_is_said() {
        let offers = |replay, discard, because: Option<&str>| Offers {
            replay,
            discard,
            because: because.map(str::to_owned),
        };
        for (offers, named, said) in [
            (offers(true, true, None), [true, true], "After the cause"),
            (
                offers(true, true, Some("a replay would wait: it is paused")),
                [true, true],
                "Now a replay would wait",
            ),
            (
                offers(false, true, Some("the sync `x` was removed")),
                [false, true],
                "It cannot be replayed: the sync `x` was removed",
            ),
            (
                offers(false, false, Some("the job is done")),
                [false, false],
                "Nothing is left to do: the job is done",
            ),
        ] {
            let told = next("job_1", "the cause", &offers);
            let verbs = ["dlq replay job_1", "dlq discard job_1"].map(|verb| told.contains(verb));
            assert_eq!(verbs, named, "{told}");
            assert!(told.contains(said), "{told}");
        }
    }

    #[test]
    fn more_failed_attempts_than_count_are_explained() {
        assert_eq!(counted_attempts(2, 2), "2");
        let told = counted_attempts(1, 3);
        assert!(told.contains("1 that count; 3 failed"), "{told}");
        assert!(
            told.contains("before a replay"),
            "it is not said to be the system: {told}"
        );
    }

    #[test]
    fn attempts_are_numbered_through_though_those_that_did_not_count_bear_one_number() {
        let failed = |secs| AttemptView {
            attempt: 1,
            started_at: Timestamp::from_secs(secs),
            ended_at: Timestamp::from_secs(secs + 1),
            code: ErrorCode::Unreachable,
            chain: vec!["refused".to_owned()],
        };
        let attempts = [failed(10), failed(20), failed(30)];
        let told: Vec<String> = (1..).zip(&attempts).flat_map(|one| attempt(&one)).collect();
        let numbers: Vec<&str> = told
            .iter()
            .filter_map(|line| line.split_once(". ").map(|(number, _)| number))
            .collect();
        assert_eq!(numbers, ["1", "2", "3"], "{told:?}");
    }
}
