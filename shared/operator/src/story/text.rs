//! A story as text, for people.

use std::fmt;

use serde_json::Value as Json;
use tandem_domain::Side;
use tandem_domain::line::{json, line};
use tandem_store::{
    ConflictState, IntentOp, JobState, LinkStanding, LinkState, Operation, Outcome,
};

use super::{Story, WaitsFor};
use crate::views::{ChangeView, ConflictView, EventView, FieldView, IntentView, JobView, LinkView};

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} {} in sync {} (side a is {}, side b is {})",
            self.ends.name(self.side),
            line(self.record.as_str()),
            self.sync,
            self.ends.name(Side::A),
            self.ends.name(Side::B)
        )?;
        if let Some(name) = self.link.as_ref().and_then(|link| link.name.as_ref()) {
            writeln!(f, "called \"{}\"", line(name))?;
        }
        self.write_link(f)?;
        section(f, "Changes", &self.changes, |f, change| {
            self.write_change(f, change)
        })?;
        section(f, "Writes", &self.intents, |f, intent| {
            self.write_intent(f, intent)
        })?;
        section(f, "Events", &self.events, write_event)?;
        let runs: Vec<_> = self.jobs.chunk_by(end_alike).collect();
        section(f, "Jobs", &runs, |f, run| self.write_run(f, run))?;
        section(f, "Questions", &self.conflicts, write_question)?;
        self.write_end(f)
    }
}

fn section<T>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    rows: &[T],
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}")?;
    rows.iter().try_for_each(|row| write(f, row))
}

impl Story {
    fn write_link(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(link) = &self.link else {
            if let Some(because) = &self.left_out {
                return writeln!(
                    f,
                    "left out by the sync's filters, because {}: it takes no part, and nothing else is kept of it",
                    line(because)
                );
            }
            return writeln!(f, "not linked to any record of the other side");
        };
        let state = match (link.state, link.standing()) {
            (LinkState::Active, LinkStanding::LeftAlone) => {
                "linked, and left alone as an operator said"
            }
            (LinkState::Active, LinkStanding::Filtered) => {
                "linked, and left out by the sync's filters"
            }
            (LinkState::Active, _) => &self.held_as(),
            (LinkState::Retired, _) => "no longer held equal",
        };
        writeln!(
            f,
            "{} and {}: {state} ({})",
            self.record_on(link, Side::A),
            self.record_on(link, Side::B),
            link.id
        )?;
        if let Some(ended) = &link.ended {
            writeln!(f, "  ended {}: {}", ended.at, line(&ended.because))?;
            writeln!(f, "  next: {}", line(&ended.advice))?;
        }
        if link.base.is_empty() {
            return writeln!(f, "\nNo field has agreed yet");
        }
        writeln!(f, "\nBoth sides last agreed on")?;
        for (field, base) in &link.base {
            if base.a == base.b {
                writeln!(f, "  {field}: {}", shown(&base.a))?;
            } else {
                writeln!(
                    f,
                    "  {field}: {} in {}, {} in {}",
                    shown(&base.a),
                    self.ends.name(Side::A),
                    shown(&base.b),
                    self.ends.name(Side::B)
                )?;
            }
        }
        Ok(())
    }

    fn record_on(&self, link: &LinkView, side: Side) -> String {
        let state = match side {
            Side::A => &link.a,
            Side::B => &link.b,
        };
        let name = self.ends.name(side);
        match &state.id {
            Some(id) => format!("{name} {}", line(id.as_str())),
            None => format!("{name} (gone)"),
        }
    }

    fn write_change(&self, f: &mut fmt::Formatter<'_>, change: &ChangeView) -> fmt::Result {
        let verb = verb(change.operation);
        let done = match change.written {
            Some(side) => format!("{verb} {}", self.ends.name(side)),
            // Where nobody knows in which of the two, "in" leads nowhere.
            None => verb.strip_suffix(" in").unwrap_or(verb).to_owned(),
        };
        let outcome = match change.outcome {
            Outcome::Applied => "",
            Outcome::NotKept => ", not kept",
            Outcome::Failed => ", failed",
        };
        writeln!(
            f,
            "  {}  {done}{outcome} (by {})",
            change.at,
            change.trigger.as_str()
        )?;
        for field in &change.fields {
            self.write_field(f, field)?;
        }
        match &change.error {
            Some(error) => writeln!(f, "      {}", line(error)),
            None => Ok(()),
        }
    }

    fn write_field(&self, f: &mut fmt::Formatter<'_>, field: &FieldView) -> fmt::Result {
        write!(
            f,
            "      {}: {} in {}, {} in {} -> {} ({})",
            field.field,
            shown(&field.a),
            self.ends.name(Side::A),
            shown(&field.b),
            self.ends.name(Side::B),
            shown(&field.chosen),
            line(&field.reason)
        )?;
        match &field.lost {
            Some(lost) => writeln!(f, ", lost: {}", shown(lost)),
            None => writeln!(f),
        }
    }

    fn write_intent(&self, f: &mut fmt::Formatter<'_>, intent: &IntentView) -> fmt::Result {
        let op = match intent.op {
            IntentOp::Create => "create in",
            IntentOp::Update => "update",
            IntentOp::Delete => "delete in",
        };
        let target = intent
            .target
            .as_ref()
            .map_or_else(String::new, |id| format!(" {}", line(id.as_str())));
        writeln!(
            f,
            "  {}  {op} {}{target}: {}, {} ({})",
            intent.created_at,
            self.ends.name(intent.side),
            word(&intent.state),
            how_often(intent.sends),
            intent.id
        )?;
        match &intent.error {
            Some(error) => writeln!(f, "      {}", line(error)),
            None => Ok(()),
        }
    }

    /// A record about which a person is asked is looked at with each poll: of jobs that ended alike, one after the other,
    /// the first and the last are told, and how many lie between.
    fn write_run(&self, f: &mut fmt::Formatter<'_>, run: &[JobView]) -> fmt::Result {
        let [first, between @ .., last] = run else {
            return run.iter().try_for_each(|job| self.write_job(f, job));
        };
        self.write_job(f, first)?;
        match between {
            [] => {}
            [one] => self.write_job(f, one)?,
            many => writeln!(f, "      {} more that ended alike", many.len())?,
        }
        self.write_job(f, last)
    }

    fn write_job(&self, f: &mut fmt::Formatter<'_>, job: &JobView) -> fmt::Result {
        let side = job
            .side
            .map_or_else(String::new, |side| format!(" {}", self.ends.name(side)));
        let note = job
            .note
            .as_ref()
            .map_or_else(String::new, |note| format!(": {}", line(note)));
        writeln!(
            f,
            "  {}  {}{side} by {}, {}, attempt {}, {} merged{note} ({})",
            job.created_at,
            job.kind,
            job.trigger.as_str(),
            job.state.as_str(),
            job.attempt,
            job.merged,
            job.id
        )?;
        match &job.failure {
            Some(failure) => {
                let chain = failure.chain.join(": ");
                writeln!(f, "      {}: {}", failure.code, line(&chain))
            }
            None => Ok(()),
        }
    }

    /// The last lines say what happens next.
    fn write_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ignored {
            writeln!(
                f,
                "\nAn operator said to leave this record alone. {}",
                self.way_back()
            )?;
        }
        let filtered = self.link.as_ref().and_then(|link| link.filtered.as_ref());
        if let Some(filtered) = filtered {
            writeln!(f, "\n{}", line(&filtered.words()))?;
        }
        if let Some(slowed) = self.link.as_ref().and_then(|link| link.slowed.as_ref()) {
            writeln!(f, "\n{}", line(slowed))?;
        }
        for waits in &self.waits_for {
            let WaitsFor {
                question,
                kind,
                field,
            } = waits;
            let held = match field {
                Some(field) => format!("`{}` stays as it is", line(field)),
                None => "Nothing is written for it".to_owned(),
            };
            writeln!(
                f,
                "\n{held} until the open question {question} ({kind}) is answered: `tandem conflicts show {question}` lists the \
                 answers, `tandem conflicts resolve {question}` with one of them gives it."
            )?;
        }
        Ok(())
    }

    /// How an active link stands, by the questions that are open about it.
    fn held_as(&self) -> String {
        let whole = self.waits_for.iter().find(|one| one.field.is_none());
        if let Some(WaitsFor { question, kind, .. }) = whole {
            return format!("linked, and held until question {question} ({kind}) is answered");
        }
        let fields = self.waits_for.iter().filter_map(|one| one.field.as_deref());
        let fields: Vec<String> = fields.map(|field| format!("`{}`", line(field))).collect();
        match fields.as_slice() {
            [] => "held equal".to_owned(),
            fields => format!(
                "held equal but for {}, about which a person is asked",
                fields.join(", ")
            ),
        }
    }
}

impl Story {
    /// How to have the record take part again.
    fn way_back(&self) -> String {
        let ids = self.link.as_ref().map(|link| (&link.a.id, &link.b.id));
        let Some((Some(a), Some(b))) = ids else {
            return "To take that back: `tandem conflicts reopen ID`, with the question that was answered so, or link it with \
                    `tandem links link`."
                .to_owned();
        };
        format!(
            "To hold the pair equal again: `tandem links link {} {} {}`.",
            self.sync,
            line(a.as_str()),
            line(b.as_str())
        )
    }
}

fn how_often(sends: u32) -> String {
    match sends {
        0 => "not sent yet".to_owned(),
        1 => "sent once".to_owned(),
        times => format!("sent {times} times"),
    }
}

/// Whether two jobs did the same, and both are done.
fn end_alike(one: &JobView, other: &JobView) -> bool {
    let what = |job: &JobView| (job.side, job.trigger, job.state, job.attempt);
    let is_done = one.state == JobState::Done && one.failure.is_none() && other.failure.is_none();
    is_done && what(one) == what(other) && one.kind == other.kind && one.note == other.note
}

fn write_event(f: &mut fmt::Formatter<'_>, event: &EventView) -> fmt::Result {
    let occurred = event
        .occurred_at
        .map_or_else(String::new, |at| format!(", happened {at}"));
    writeln!(
        f,
        "  {}  {} from {}{occurred}, {} ({})",
        event.received_at,
        word(&event.kind),
        event.connection,
        word(&event.state),
        event.id
    )?;
    match &event.problem {
        Some(problem) => writeln!(f, "      {}", line(problem)),
        None => Ok(()),
    }
}

fn write_question(f: &mut fmt::Formatter<'_>, conflict: &ConflictView) -> fmt::Result {
    let ConflictView {
        id,
        created_at,
        kind,
        asks,
        ..
    } = conflict;
    let state = word(&conflict.state);
    if conflict.state == ConflictState::Closed {
        let why = conflict.closed_because.as_deref().unwrap_or_default();
        return writeln!(
            f,
            "  {created_at}  {kind}: {asks}, {state}: {} ({id})",
            line(why)
        );
    }
    writeln!(
        f,
        "  {created_at}  {kind}: {asks}, {state}: `tandem conflicts show {id}` lists the answers"
    )?;
    for one in &conflict.not_offered {
        let record = line(one.record.as_str());
        writeln!(f, "      not `{record}`: it {}", line(&one.because))?;
    }
    match &conflict.waits {
        Some(words) => writeln!(f, "      an answer waits: {}", line(words)),
        None => Ok(()),
    }
}

const fn verb(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "created in",
        Operation::Update => "updated",
        Operation::Delete => "deleted in",
        Operation::Link => "linked",
        Operation::Unlink => "unlinked",
        Operation::Revive => "held again",
        Operation::Agree => "found in agreement",
        Operation::Conflict => "conflict",
        Operation::Overwrite => "overwritten in",
    }
}

/// The word by which a state is stored and shown.
fn word<T: serde::Serialize>(state: &T) -> String {
    match serde_json::to_value(state) {
        Ok(Json::String(word)) => word,
        Ok(_) | Err(_) => String::new(),
    }
}

fn shown(value: &Json) -> String {
    match value {
        Json::Null => "nothing".to_owned(),
        other => json(&other.to_string()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tandem_domain::RecordId;

    use super::*;
    use crate::story::Ends;

    fn job(number: u32, note: &str) -> JobView {
        let at = format!("2026-01-01T00:00:{number:02}Z");
        let job = json!({
            "id": format!("job_01j0000000000000000000{number:04}"), "kind": "reconcile", "sync": "customers",
            "side": "a", "record": "7", "lane": "any", "class": "poll", "trigger": "poll", "state": "done",
            "attempt": 1, "merged": 0, "run_at": at, "created_at": at, "ended_at": at, "failure": null,
            "note": note, "traceparent": null,
        });
        serde_json::from_value(job).expect("a job")
    }

    #[test]
    fn how_often_a_write_was_sent_is_said_as_a_person_would() {
        let said = [0, 1, 2].map(how_often);
        assert_eq!(said, ["not sent yet", "sent once", "sent 2 times"]);
    }

    #[test]
    fn of_jobs_that_ended_alike_the_first_and_the_last_are_told_and_how_many_lie_between() {
        let held = (0..5).map(|number| job(number, "held: say what it matches"));
        let story = Story {
            sync: "customers".parse().expect("a name"),
            side: Side::A,
            record: RecordId::new("7"),
            ends: Ends::default(),
            link: None,
            ignored: false,
            held: false,
            waits_for: Vec::new(),
            left_out: None,
            changes: Vec::new(),
            intents: Vec::new(),
            jobs: held.chain([job(6, "linked")]).collect(),
            events: Vec::new(),
            conflicts: Vec::new(),
        };
        let text = story.to_string();
        assert_eq!(
            text.matches("held: say what it matches").count(),
            2,
            "{text}"
        );
        assert!(text.contains("3 more that ended alike"), "{text}");
        assert_eq!(text.matches(": linked (").count(), 1, "{text}");
    }
}
