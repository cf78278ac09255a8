//! What the note of a job that ended well says. Handlers write notes for people; these few beginnings are
//! also read by the storages, which count by them and close dead letters.

/// The job found our own write, or nothing new.
const ECHOES: [&str; 3] = ["echo", "agreed", "nothing"];

/// The job ended without its records having been brought into agreement: it was held, put off, or there was
/// nothing that it might do.
const UNSETTLED: [&str; 6] = [
    "waits",
    "held",
    "skipped",
    "dropped",
    "left alone",
    "retired: its partner",
];

/// Whether the job found our own write, or nothing new.
#[must_use]
pub fn is_echo(note: &str) -> bool {
    ECHOES.iter().any(|word| note.starts_with(word))
}

/// Whether the job's record is settled by it, so that an earlier dead letter about it has nothing more to say.
#[must_use]
pub fn settles(note: &str) -> bool {
    !UNSETTLED.iter().any(|word| note.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_was_compared_or_written_is_settled_and_one_that_was_put_off_is_not() {
        for note in [
            "wrote b",
            "created a",
            "echo: nothing to do",
            "agreed: both",
            "listed 7",
        ] {
            assert!(settles(note), "{note}");
        }
        for note in [
            "held: an operator must say",
            "waits for an operator",
            "dropped: refused",
        ] {
            assert!(!settles(note), "{note}");
        }
    }
}
