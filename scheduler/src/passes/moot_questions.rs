//! Questions that nobody has to answer any more are closed: the record has a partner or is left alone by now, or
//! the pair is no pair any more. Otherwise they would be counted for ever.
//! That an edit was overwritten is never moot.

use std::sync::Arc;

use async_trait::async_trait;
use tandem_domain::Timestamp;
use tandem_store::{Store, StoreError};

use super::{Pass, PassReport};

/// Questions closed in one transaction.
const BATCH_QUESTIONS: usize = 500;

/// See the module.
pub struct MootQuestions {
    store: Arc<dyn Store>,
}

impl MootQuestions {
    /// The pass over this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Pass for MootQuestions {
    fn name(&self) -> &'static str {
        "moot_questions"
    }

    async fn run(&self, now: Timestamp) -> Result<PassReport, StoreError> {
        let closed = self
            .store
            .close_moot_conflicts(BATCH_QUESTIONS, now)
            .await?;
        if closed > 0 {
            tracing::info!(
                questions = closed,
                "closed: nobody has to answer them any more"
            );
        }
        Ok(PassReport {
            handled: closed,
            next: (closed == BATCH_QUESTIONS).then_some(now),
        })
    }
}

#[cfg(test)]
mod tests {
    use tandem_store::ConflictState;
    use tandem_testkit::Make;

    use super::super::support::Fixture;
    use super::*;

    #[tokio::test]
    async fn the_question_about_a_record_that_has_a_partner_by_now_is_closed_once() {
        let fixture = Fixture::open().await;
        let (store, make) = (&fixture.store, &fixture.make);
        let question = make.conflict(None, "a1", Make::ambiguous());
        let id = question.id;
        let opened = store.open_conflicts(vec![question], fixture.now()).await;
        assert_eq!(opened.expect("opened"), 1);
        let pass = MootQuestions::new(fixture.store.shared());
        assert_eq!(pass.run(fixture.now()).await.expect("it runs").handled, 0);
        let linked = store
            .insert_links(vec![make.link("a1", "b1")], fixture.now())
            .await;
        assert_eq!(linked.expect("linked"), 1);
        assert_eq!(pass.run(fixture.now()).await.expect("it runs").handled, 1);
        assert_eq!(pass.run(fixture.now()).await.expect("it runs").handled, 0);
        let closed = store
            .conflict(id)
            .await
            .expect("asked")
            .expect("it is there");
        assert_eq!(closed.state, ConflictState::Closed);
    }
}
