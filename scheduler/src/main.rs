//! `tandem-scheduler`: sees to it that what is due happens. One of several leads, the others stand by.

use std::process::ExitCode;
use std::sync::Arc;

use tandem_runtime::process::{self, Role, STATUS_LISTEN, serve_status};
use tandem_scheduler::service;

fn main() -> ExitCode {
    process::main(Role::Scheduler, async |process, tasks| {
        let platform = &process.platform;
        let (address, status) = serve_status(
            process.listen.unwrap_or(STATUS_LISTEN),
            Arc::clone(&platform.store),
            process.metrics.clone(),
            platform.shutdown.clone(),
        )
        .await?;
        tasks.spawn("the status server", status);
        let (configuration, built) = (&process.configuration, &process.built);
        service::start(platform, configuration, built, &process.instance, tasks);
        Ok(address)
    })
}
