//! The commands: one stream with the ids of jobs, one consumer group for all workers.

use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use redis::{RedisError, RedisResult};
use tandem_domain::JobId;

use super::BLOCK;

/// All workers read as one group, so that each entry goes to one of them.
const GROUP: &str = "workers";
/// The only field of an entry.
const FIELD: &str = "ids";
/// Older entries go when there are about so many: the rows are the truth, and runners look at them.
const STREAM_ENTRIES_MAX: usize = 10_000;
/// So many entries are read at once, so that rings that were answered long ago cost few claims.
const READ_ENTRIES_MAX: usize = 32;
/// Up to so many ids that are rung together each have an entry of their own, and each can wake another
/// worker. More ids share entries.
const ENTRIES_ALONE_MAX: usize = 32;
/// So many ids share an entry at most.
const ENTRY_IDS_MAX: usize = 10;

/// The stream of one installation, as one process sees it.
#[derive(Clone)]
pub(super) struct Stream {
    key: String,
    consumer: String,
}

/// What was read at once.
#[derive(Default)]
pub(super) struct Batch {
    entries: Vec<String>,
    pub(super) ids: Vec<JobId>,
}

impl Batch {
    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Stream {
    pub(super) fn new(namespace: &str, consumer: &str) -> Self {
        Self {
            key: format!("{namespace}:jobs"),
            consumer: consumer.to_owned(),
        }
    }

    /// Adds the ids.
    pub(super) async fn add(
        &self,
        connection: &mut MultiplexedConnection,
        ids: &[JobId],
    ) -> RedisResult<()> {
        let mut pipe = redis::pipe();
        self.push_adds(&mut pipe, ids);
        pipe.exec_async(connection).await
    }

    fn push_adds(&self, pipe: &mut redis::Pipeline, ids: &[JobId]) {
        for entry in ids.chunks(ids_per_entry(ids.len())) {
            pipe.cmd("XADD")
                .arg(&self.key)
                .arg(&["MAXLEN", "~"])
                .arg(STREAM_ENTRIES_MAX)
                .arg("*")
                .arg(FIELD)
                .arg(join(entry));
        }
    }

    /// Makes stream and group unless they are there. A new group begins with what the stream holds.
    pub(super) async fn open(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let made = redis::cmd("XGROUP")
            .arg("CREATE")
            .arg(&self.key)
            .arg(GROUP)
            .arg("0")
            .arg("MKSTREAM")
            .exec_async(connection)
            .await;
        match made {
            Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
            made => made,
        }
    }

    /// Waits up to [`BLOCK`] for entries that no worker has read.
    pub(super) async fn read_new(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<Batch> {
        let mut read = self.read();
        read.arg("BLOCK").arg(BLOCK.as_millis() as usize);
        self.read_from(read, ">", connection).await
    }

    /// What was sent to this process over a connection that broke.
    pub(super) async fn read_unsettled(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<Batch> {
        self.read_from(self.read(), "0", connection).await
    }

    fn read(&self) -> redis::Cmd {
        let mut read = redis::cmd("XREADGROUP");
        read.arg(&["GROUP", GROUP, &self.consumer])
            .arg("COUNT")
            .arg(READ_ENTRIES_MAX);
        read
    }

    async fn read_from(
        &self,
        mut read: redis::Cmd,
        after: &str,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<Batch> {
        read.arg("STREAMS").arg(&self.key).arg(after);
        let reply: Option<StreamReadReply> = read.query_async(connection).await?;
        let mut batch = Batch::default();
        let keys = reply.map_or_else(Vec::new, |reply| reply.keys);
        for entry in keys.into_iter().flat_map(|key| key.ids) {
            // An entry that was trimmed away, or that somebody else wrote, has no ids.
            let ids: String = entry.get(FIELD).unwrap_or_default();
            batch
                .ids
                .extend(ids.split(' ').flat_map(str::parse::<JobId>));
            batch.entries.push(entry.id);
        }
        Ok(batch)
    }

    /// Takes what was read off the stream for good, and puts ids back for others.
    pub(super) async fn settle(
        &self,
        connection: &mut MultiplexedConnection,
        batch: &Batch,
        put_back: &[JobId],
    ) -> RedisResult<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut pipe = redis::pipe();
        self.push_adds(&mut pipe, put_back);
        pipe.cmd("XACK")
            .arg(&self.key)
            .arg(GROUP)
            .arg(&batch.entries);
        pipe.cmd("XDEL").arg(&self.key).arg(&batch.entries);
        pipe.exec_async(connection).await
    }

    /// Leaves the group; what was sent to this process and not settled goes to others.
    pub(super) async fn leave(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let unsettled = self.read_unsettled(connection).await?;
        self.settle(connection, &unsettled, &unsettled.ids).await?;
        redis::cmd("XGROUP")
            .arg(&["DELCONSUMER", &self.key, GROUP, &self.consumer])
            .exec_async(connection)
            .await
    }
}

/// Whether Redis was emptied or replaced, so that [`Stream::open`] is due.
pub(super) fn is_gone(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOGROUP" | "UNBLOCKED"))
}

fn ids_per_entry(ids: usize) -> usize {
    (ids / ENTRIES_ALONE_MAX).clamp(1, ENTRY_IDS_MAX)
}

fn join(ids: &[JobId]) -> String {
    let ids: Vec<String> = ids.iter().map(JobId::to_string).collect();
    ids.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_ids_have_entries_of_their_own_and_many_share_them() {
        assert_eq!([0, 1, 32, 63].map(ids_per_entry), [1, 1, 1, 1]);
        assert_eq!([64, 320, 10_000].map(ids_per_entry), [2, 10, 10]);
    }
}
