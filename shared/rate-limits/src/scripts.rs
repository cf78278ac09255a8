//! The scripts and their keys.

use std::time::Duration;

use redis::Script;

/// Runs in Redis, whole or not at all.
pub(crate) struct Scripts {
    pub(crate) beat: Script,
    pub(crate) take: Script,
    pub(crate) report: Script,
    pub(crate) lift: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let with_common =
            |text: &str| Script::new(&format!("{}\n{text}", include_str!("lua/common.lua")));
        Self {
            beat: with_common(include_str!("lua/beat.lua")),
            take: with_common(include_str!("lua/take.lua")),
            report: with_common(include_str!("lua/report.lua")),
            lift: Script::new(include_str!("lua/lift.lua")),
        }
    }
}

/// The names of the keys. They share a hash tag, so that a cluster keeps them together.
pub(crate) struct Keys {
    base: String,
    /// When the present span began.
    pub(crate) span: String,
    /// The processes, by their last beat.
    pub(crate) members: String,
}

impl Keys {
    pub(crate) fn new(namespace: &str) -> Self {
        let base = format!("{{{namespace}:rates}}");
        Self {
            span: format!("{base}:span"),
            members: format!("{base}:members"),
            base,
        }
    }

    /// The buckets and the pause of a connection.
    pub(crate) fn state(&self, connection: &str) -> String {
        format!("{}:state:{connection}", self.base)
    }

    /// The requests of a connection by the hour.
    pub(crate) fn day(&self, connection: &str) -> String {
        format!("{}:day:{connection}", self.base)
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
