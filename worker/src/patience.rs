//! Reading is free of effects, so a passing fault of a system is sat out here: a long listing should
//! not start again because one of its pages failed, nor a job be put off because one reading did.

use std::time::Duration;

use tandem_connectors::ConnectorError;

/// How often one page of a listing is asked for before the listing fails.
pub const PAGE_TRIES: u32 = 6;
/// How often one record is asked for before the job is put off.
pub const RECORD_TRIES: u32 = 2;
/// The wait before the second try; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// No wait is longer, whatever a system asks for: the job is put off instead.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Asks until it is answered, at most `tries` times.
///
/// # Errors
/// The last error, or the first one that does not pass by itself.
pub async fn ask<T, F>(tries: u32, mut request: impl FnMut() -> F) -> Result<T, ConnectorError>
where
    F: Future<Output = Result<T, ConnectorError>>,
{
    let mut tried = 1;
    loop {
        match request().await {
            Err(error) if tried < tries => match wait_after(&error, tried) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            },
            answer => return answer,
        }
        tried += 1;
    }
}

/// How long to wait before the same is asked again; `None` when it would not help.
fn wait_after(error: &ConnectorError, tried: u32) -> Option<Duration> {
    let backoff = FIRST_WAIT.saturating_mul(1 << tried.saturating_sub(1).min(8));
    let wait = match error {
        ConnectorError::Unreachable { retry_after, .. } => retry_after.unwrap_or(backoff),
        ConnectorError::RateLimited { retry_after, .. } => *retry_after,
        ConnectorError::Malformed { .. } => backoff,
        ConnectorError::Unauthorized { .. }
        | ConnectorError::Refused { .. }
        | ConnectorError::VersionConflict { .. }
        | ConnectorError::NotFound { .. }
        | ConnectorError::Unreadable { .. }
        | ConnectorError::Endless { .. }
        | ConnectorError::ResponseLost { .. }
        | ConnectorError::RightEnded { .. }
        | ConnectorError::Misconfigured { .. } => return None,
    };
    (wait <= WAIT_MAX).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down() -> ConnectorError {
        ConnectorError::Unreachable {
            system: "crm".into(),
            reason: "refused".into(),
            retry_after: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_passing_fault_is_sat_out() {
        let mut asked = 0;
        let answer = ask(3, || {
            asked += 1;
            std::future::ready(if asked < 3 { Err(down()) } else { Ok(asked) })
        });
        assert_eq!(answer.await.expect("the third try succeeds"), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_is_not_asked_twice() {
        let mut asked = 0;
        let refused = ConnectorError::Misconfigured {
            system: "crm".into(),
            reason: "no stream".into(),
        };
        let answer: Result<(), _> = ask(3, || {
            asked += 1;
            std::future::ready(Err(refused.clone()))
        })
        .await;
        assert!(answer.is_err());
        assert_eq!(asked, 1);
    }
}
