//! From what an error asks for to how the job ends.

use tandem_domain::{Disposition, ErrorCode, RetryPolicy, Timestamp};
use tandem_store::{Failure, JobOutcome, Waiting};

/// How a job ends whose attempt number `attempt` (the first is 1) failed. `chance` is any random
/// number; it only moves the next attempt within the jitter.
#[must_use]
pub fn outcome_for(
    disposition: Disposition,
    attempt: u32,
    policy: &RetryPolicy,
    failure: Failure,
    now: Timestamp,
    chance: u64,
) -> JobOutcome {
    match disposition {
        // A job that has to verify finds that in its journal; to the queue both are one more attempt.
        Disposition::Retry | Disposition::Verify => match policy.delay(attempt, chance) {
            Some(delay) => JobOutcome::Retry {
                run_at: now.plus(delay),
                failure,
            },
            None => JobOutcome::Dead { failure },
        },
        Disposition::RetryAfter(delay) => JobOutcome::Snooze {
            run_at: now.plus(delay),
            reason: waits_for(failure.code),
            failure: Some(failure),
        },
        Disposition::Park => JobOutcome::Dead { failure },
        Disposition::Drop => JobOutcome::Done {
            note: format!("dropped: {}", failure.code),
        },
    }
}

/// What a job waits for that failed so and is tried again without costing an attempt.
const fn waits_for(code: ErrorCode) -> Waiting {
    match code {
        ErrorCode::Unreachable | ErrorCode::Unauthorized => Waiting::SystemDown,
        ErrorCode::RateLimited => Waiting::Throttled,
        ErrorCode::Storage => Waiting::Storage,
        ErrorCode::ParentMissing => Waiting::Partner,
        ErrorCode::Refused
        | ErrorCode::VersionConflict
        | ErrorCode::ResponseLost
        | ErrorCode::Malformed
        | ErrorCode::Misconfigured
        | ErrorCode::Internal
        | ErrorCode::Unreadable
        | ErrorCode::Stuck => Waiting::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn failure() -> Failure {
        Failure {
            code: ErrorCode::Unreachable,
            chain: vec!["the system did not answer".to_owned()],
        }
    }

    fn outcome(disposition: Disposition, attempt: u32) -> JobOutcome {
        let policy = RetryPolicy::default();
        outcome_for(
            disposition,
            attempt,
            &policy,
            failure(),
            Timestamp::from_secs(1_000),
            400,
        )
    }

    #[test]
    fn a_retry_counts_its_attempts_and_is_dead_when_they_are_used_up() {
        for disposition in [Disposition::Retry, Disposition::Verify] {
            assert_eq!(
                outcome(disposition, 1),
                JobOutcome::Retry {
                    run_at: Timestamp::from_secs(1_002),
                    failure: failure(),
                }
            );
            assert_eq!(
                outcome(disposition, 4),
                JobOutcome::Dead { failure: failure() }
            );
        }
    }

    #[test]
    fn a_named_time_costs_no_attempt_however_often_it_comes() {
        assert_eq!(
            outcome(Disposition::RetryAfter(Duration::from_secs(30)), 99),
            JobOutcome::Snooze {
                run_at: Timestamp::from_secs(1_030),
                failure: Some(failure()),
                reason: Waiting::SystemDown,
            }
        );
    }

    #[test]
    fn park_is_dead_at_once_and_drop_is_done() {
        assert_eq!(
            outcome(Disposition::Park, 1),
            JobOutcome::Dead { failure: failure() }
        );
        assert_eq!(
            outcome(Disposition::Drop, 1),
            JobOutcome::Done {
                note: "dropped: unreachable".to_owned(),
            }
        );
    }
}
