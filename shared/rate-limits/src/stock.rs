//! What was taken ahead, and what is known to be refused.

use std::collections::VecDeque;
use std::time::Duration;

use tandem_connectors::budget::{BudgetRefusal, WAIT_MAX};
use tokio::time::Instant;

use crate::reply::Taken;

/// A request that was taken out of the limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token {
    /// It may start then.
    pub(crate) start: Instant,
    /// Later it counts in no window that allows for it any more.
    pub(crate) best_before: Instant,
}

/// The tokens of one connection in this process.
#[derive(Default)]
pub(crate) struct Stock {
    tokens: VecDeque<Token>,
    /// Requests of a connection without limits need no tokens until then.
    free_until: Option<Instant>,
    refusal: Option<(Instant, BudgetRefusal)>,
}

impl Stock {
    /// A token that is still good, or the refusal that would be repeated.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Result<Token, BudgetRefusal>> {
        while let Some(token) = self.tokens.pop_front() {
            if now <= token.best_before {
                return Some(Ok(token));
            }
        }
        if let Some(until) = self.free_until.filter(|until| now <= *until) {
            let token = Token {
                start: now,
                best_before: until,
            };
            return Some(Ok(token));
        }
        let (since, refusal) = self.refusal?;
        let retry_after = refusal.retry_after.saturating_sub(now - since);
        let repeated = BudgetRefusal {
            retry_after,
            ..refusal
        };
        (retry_after > WAIT_MAX).then_some(Err(repeated))
    }

    /// Puts in what was asked for at `asked` and came at `came`.
    pub(crate) fn put(&mut self, taken: &Taken, asked: Instant, came: Instant, lease: Duration) {
        let token = |wait: &Duration| Token {
            start: came + *wait,
            best_before: asked + *wait + lease,
        };
        self.tokens.extend(taken.waits.iter().map(token));
        self.refusal = taken.refused.map(|refusal| (came, refusal));
    }

    /// Lets requests of a connection without limits pass until then.
    pub(crate) const fn open(&mut self, until: Instant) {
        self.free_until = Some(until);
    }

    /// Forgets everything: the system asked to wait, or Redis is away.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use tandem_connectors::budget::RefusalCause;

    use super::*;

    const LEASE: Duration = Duration::from_millis(200);

    fn taken(waits_ms: &[u64], retry_secs: Option<u64>) -> Taken {
        Taken {
            waits: waits_ms
                .iter()
                .map(|ms| Duration::from_millis(*ms))
                .collect(),
            refused: retry_secs.map(|secs| BudgetRefusal {
                retry_after: Duration::from_secs(secs),
                cause: RefusalCause::Bucket,
            }),
            ..Taken::default()
        }
    }

    #[tokio::test]
    async fn a_token_is_not_used_after_its_time() {
        let now = Instant::now();
        let mut stock = Stock::default();
        stock.put(&taken(&[0, 500], None), now, now, LEASE);
        let later = now + Duration::from_millis(300);
        let token = stock
            .pop(later)
            .and_then(Result::ok)
            .expect("the second token");
        assert_eq!(token.start, now + Duration::from_millis(500));
        assert_eq!(stock.pop(later), None);
    }

    #[tokio::test]
    async fn a_refusal_is_repeated_while_asking_again_is_useless() {
        let now = Instant::now();
        let mut stock = Stock::default();
        stock.put(&taken(&[], Some(10)), now, now, LEASE);
        let repeated = stock.pop(now + Duration::from_secs(7));
        let refusal = repeated.and_then(Result::err).expect("a refusal");
        assert_eq!(refusal.retry_after, Duration::from_secs(3));
        assert_eq!(stock.pop(now + Duration::from_secs(8)), None);
    }
}
