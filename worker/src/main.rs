//! `tandem-worker`: does jobs. As many of them as one likes; they share the jobs out among themselves.

use std::process::ExitCode;
use std::sync::Arc;

use tandem_runtime::process::{self, Role, STATUS_LISTEN, serve_status};
use tandem_worker::service;

fn main() -> ExitCode {
    process::main(Role::Worker, async |process, tasks| {
        let platform = &process.platform;
        let (address, status) = serve_status(
            process.listen.unwrap_or(STATUS_LISTEN),
            Arc::clone(&platform.store),
            process.metrics.clone(),
            platform.shutdown.clone(),
        )
        .await?;
        tasks.spawn("the status server", status);
        service::start(
            platform,
            &process.configuration,
            &process.built,
            &format!("tandem-worker {}", process.instance),
            tasks,
        );
        Ok(address)
    })
}
