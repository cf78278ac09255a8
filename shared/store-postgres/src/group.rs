//! Calls that come while others are being carried out are gathered and carried out together: most of what a
//! small statement costs is its beginning, its round trips and its commit, and a full worker makes many of
//! the same kind at once. A call that comes alone waits for nobody.

use std::sync::Arc;

use sqlx::PgPool;
use tandem_store::StoreError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::txn::Boxed;

/// At most so many calls are carried out together.
const CALLS_MAX: usize = 64;

/// Carries out calls, and answers each, in order.
pub(crate) type Together<A, T> = fn(PgPool, Arc<[A]>) -> Boxed<'static, Result<Vec<T>, StoreError>>;

struct Call<A, T> {
    arg: A,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

/// Where calls of one kind are gathered.
pub(crate) struct Group<A, T> {
    calls: mpsc::UnboundedSender<Call<A, T>>,
}

impl<A, T> Group<A, T>
where
    A: Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    /// Begins to carry out calls, until this is dropped and all of them are answered.
    pub(crate) fn start(pool: PgPool, together: Together<A, T>) -> Self {
        // A worker has as many calls under way as jobs, so this holds no more than they do.
        let (calls, waiting) = mpsc::unbounded_channel();
        tokio::spawn(carry_out(pool, together, waiting));
        Self { calls }
    }

    /// Makes a call and waits for its answer. It is carried out even if nobody waits for it any more.
    pub(crate) async fn call(&self, arg: A) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let ended = || StoreError::Unavailable("the storage has ended".to_owned());
        self.calls.send(Call { arg, answer }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

async fn carry_out<A, T>(
    pool: PgPool,
    together: Together<A, T>,
    mut waiting: mpsc::UnboundedReceiver<Call<A, T>>,
) where
    A: Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    let mut calls = Vec::with_capacity(CALLS_MAX);
    while waiting.recv_many(&mut calls, CALLS_MAX).await > 0 {
        let args: Arc<[A]> = calls.iter().map(|call| call.arg.clone()).collect();
        match together(pool.clone(), args).await {
            Ok(answers) => {
                for (call, answer) in calls.drain(..).zip(answers) {
                    // Whoever asked may be gone.
                    let _gone = call.answer.send(Ok(answer));
                }
            }
            Err(error) => match calls.len() {
                1 => {
                    let _gone = calls.remove(0).answer.send(Err(error));
                }
                _ => singly(&pool, together, calls.drain(..)).await,
            },
        }
    }
}

/// One of these cannot be carried out: it must not hold up the others.
async fn singly<A, T>(
    pool: &PgPool,
    together: Together<A, T>,
    calls: impl Iterator<Item = Call<A, T>>,
) where
    A: Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    let mut all = JoinSet::new();
    for call in calls {
        let carrying_out = together(pool.clone(), Arc::new([call.arg]));
        all.spawn(async move {
            let answers = carrying_out.await;
            let answer = answers.and_then(|answers| {
                let missing = || StoreError::Unavailable("a call was not answered".to_owned());
                answers.into_iter().next().ok_or_else(missing)
            });
            let _gone = call.answer.send(answer);
        });
    }
    while all.join_next().await.is_some() {}
}
