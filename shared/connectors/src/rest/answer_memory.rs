//! How much memory the answers of all systems may take at once in this process.
//!
//! A body of small values takes many times its size once it is parsed, and many jobs may ask at once: each answer is
//! bounded by its manifest, all together here. What is short passes freely. Bodies and what is made of them have a
//! budget each, and nobody who holds a part of the second waits for any other: so nobody waits for ever.

use std::sync::LazyLock;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::lenient_json;

/// All bodies that are being read, in KiB.
const BODIES_KIB_MAX: u32 = 128 * 1024;
/// All that is made of them, until it has become records, in KiB.
const TREES_KIB_MAX: u32 = 256 * 1024;
/// What takes no more is not counted: as many of these as there are requests at once are little.
const FREE_BYTES: usize = 256 * 1024;

/// What a value takes in a list that grows, in bytes: its place, twice.
const VALUE_BYTES: usize = 64;
/// What an object takes besides, in bytes: the node that holds its first eleven members.
const OBJECT_BYTES: usize = 640;

static OF_PROCESS: LazyLock<AnswerMemory> =
    LazyLock::new(|| AnswerMemory::new(BODIES_KIB_MAX, TREES_KIB_MAX));

/// The budgets.
pub(super) struct AnswerMemory {
    bodies: Budget,
    trees: Budget,
}

/// A part of a budget, held until it is dropped; nothing for what is short.
pub(super) type Held = Option<SemaphorePermit<'static>>;

struct Budget {
    free: Semaphore,
    kib_max: u32,
}

impl Budget {
    fn new(kib_max: u32) -> Self {
        Self {
            free: Semaphore::new(kib_max as usize),
            kib_max,
        }
    }

    /// Waits for its turn. What would take more than there is has to itself all that there is.
    async fn take(&'static self, bytes: usize) -> Held {
        if bytes <= FREE_BYTES {
            return None;
        }
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        // It is never closed.
        self.free.acquire_many(kib.min(self.kib_max)).await.ok()
    }
}

impl AnswerMemory {
    fn new(bodies_kib: u32, trees_kib: u32) -> Self {
        Self {
            bodies: Budget::new(bodies_kib),
            trees: Budget::new(trees_kib),
        }
    }

    /// Those of this process.
    pub(super) fn of_process() -> &'static Self {
        &OF_PROCESS
    }

    /// Whether a body of this length is read freely.
    pub(super) const fn is_short(bytes: usize) -> bool {
        bytes <= FREE_BYTES
    }

    /// For a body of this length, while it is read.
    pub(super) async fn body(&'static self, bytes: usize) -> Held {
        self.bodies.take(bytes).await
    }

    /// For what a body becomes when it is parsed.
    pub(super) async fn tree(&'static self, body: &[u8]) -> Held {
        self.trees.take(tree_bytes(body)).await
    }
}

/// How much a body takes when it is parsed, about and at most.
fn tree_bytes(body: &[u8]) -> usize {
    let counted = lenient_json::counted(body);
    body.len() + counted.values * VALUE_BYTES + counted.objects * OBJECT_BYTES
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn memory(kib: u32) -> &'static AnswerMemory {
        Box::leak(Box::new(AnswerMemory::new(kib, kib)))
    }

    fn list_of(values: usize) -> Vec<u8> {
        format!("[{}]", vec!["1"; values].join(",")).into_bytes()
    }

    #[test]
    fn what_an_answer_takes_is_told_by_its_values_and_not_by_its_length() {
        let list = list_of(1_000_000);
        assert!(tree_bytes(&list) > 30 * list.len(), "{}", tree_bytes(&list));
        let objects = format!("[{}]", vec![r#"{"a":1}"#; 1_000].join(",")).into_bytes();
        assert!(tree_bytes(&objects) > 600 * 1_000);
        let text = format!("\"{}\"", "[{,".repeat(1_000)).into_bytes();
        assert!(
            tree_bytes(&text) < 4 * 1_024,
            "the inside of a text is no value"
        );
    }

    #[tokio::test]
    async fn answers_that_are_large_together_are_parsed_one_after_the_other() {
        // Two of these fit in at once.
        let body = Arc::new(list_of(100_000));
        let kib = u32::try_from(tree_bytes(&body) / 1024).expect("small");
        let memory = memory(kib * 5 / 2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs = (0..22).map(|_| {
            let (body, now, most) = (Arc::clone(&body), Arc::clone(&now), Arc::clone(&most));
            tokio::spawn(async move {
                let held = memory.tree(&body).await;
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                drop(held);
            })
        });
        for job in futures::future::join_all(jobs).await {
            job.expect("it ends");
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_is_larger_than_all_there_is_comes_alone_and_what_is_short_never_waits() {
        let memory = memory(1_024);
        let alone = memory.body(64 * 1024 * 1024).await;
        assert!(alone.is_some());
        assert!(memory.body(FREE_BYTES).await.is_none());
        drop(alone);
        assert!(memory.body(2 * FREE_BYTES).await.is_some());
    }
}
