//! What `take.lua` answers.

use std::time::Duration;

use tandem_connectors::budget::{BudgetRefusal, RefusalCause};

/// What was taken.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Taken {
    /// How long each request waits before it may start.
    pub(crate) waits: Vec<Duration>,
    /// Why the others were refused.
    pub(crate) refused: Option<BudgetRefusal>,
    /// How many requests may start now; `None` without limits.
    pub(crate) remaining: Option<u64>,
    /// How much is left of a pause.
    pub(crate) pause: Duration,
    /// Requests by the hour since 1970.
    pub(crate) hours: Vec<(i64, u64)>,
}

/// `None` when another span has begun, or the answer is none of this version.
pub(crate) fn read(numbers: &[i64]) -> Option<Taken> {
    let [1, retry, cause, remaining, pause, taken, rest @ ..] = numbers else {
        return None;
    };
    let (waits, hours) = rest.split_at_checked(usize::try_from(*taken).ok()?)?;
    let cause = match cause {
        1 => Some(RefusalCause::Paused),
        2 => Some(RefusalCause::Bucket),
        3 => Some(RefusalCause::Daily),
        _ => None,
    };
    let refused = cause.map(|cause| BudgetRefusal {
        retry_after: micros(*retry),
        cause,
    });
    let pair = |pair: &[i64]| Some((pair[0], u64::try_from(pair[1]).ok()?));
    Some(Taken {
        waits: waits.iter().map(|wait| micros(*wait)).collect(),
        refused,
        remaining: u64::try_from(*remaining).ok(),
        pause: micros(*pause),
        hours: hours.chunks_exact(2).filter_map(pair).collect(),
    })
}

fn micros(number: i64) -> Duration {
    Duration::from_micros(u64::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let taken = read(&[1, 3_000_000, 2, 0, 0, 2, 0, 1_500, 491_000, 17]);
        let expected = Taken {
            waits: vec![Duration::ZERO, Duration::from_micros(1_500)],
            refused: Some(BudgetRefusal {
                retry_after: Duration::from_secs(3),
                cause: RefusalCause::Bucket,
            }),
            remaining: Some(0),
            pause: Duration::ZERO,
            hours: vec![(491_000, 17)],
        };
        assert_eq!(taken, Some(expected));
        assert_eq!(read(&[0]), None);
        assert_eq!(read(&[1, 0, 0, -1, 0, 5, 0]), None);
    }
}
