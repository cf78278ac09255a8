//! Whether this process reaches Redis, and what it does meanwhile.

/// The state that requests go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Requests are taken in Redis, in the span that began then (by the clock of Redis).
    Joined {
        /// When the span began, in microseconds.
        span: i64,
    },
    /// Redis answers; what happened meanwhile is being reported. Requests wait.
    Joining,
    /// Redis does not answer. Requests wait until the others leave this process its share.
    Lost,
}
