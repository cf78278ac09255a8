//! The parts of a process that sees to it that what is due happens.

use std::sync::Arc;

use tandem_runtime::Configuration;
use tandem_runtime::config::Built;
use tandem_runtime::process::{Platform, Tasks};

use crate::{Leader, Scheduler, SchedulerSettings};

/// Starts a scheduler that works whenever no other one of the fleet leads. `instance` is the name of this
/// process.
pub fn start(
    platform: &Platform,
    configuration: &Configuration,
    built: &Built,
    instance: &str,
    tasks: &mut Tasks,
) {
    let settings = SchedulerSettings::new(built, configuration.scheduler, configuration.retention);
    platform.reloading.add(Arc::new(settings.sweeping.clone()));
    let leader = Leader::new(
        Arc::clone(&platform.store),
        Arc::clone(&platform.clock),
        instance.to_owned(),
    );
    let platform = platform.clone();
    tasks.spawn_endless("the scheduler", async move {
        let make = || {
            Scheduler::new(
                Arc::clone(&platform.store),
                Arc::clone(&platform.doorbell),
                Arc::clone(&platform.clock),
                Arc::clone(&platform.entropy),
                &settings,
            )
        };
        leader.run(make, platform.shutdown.clone()).await;
    });
}
