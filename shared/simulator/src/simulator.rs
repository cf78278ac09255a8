//! The handle on a running system.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::config::{FinanceCredentials, SimConfig, WebhookTarget};
use crate::control::ControlError;
use crate::faults::{Fault, Scope};
use crate::fields::{Field, Fields};
use crate::sim::Sim;
use crate::state::SimState;
use crate::{server, users, webhooks};

/// Why a system could not be started or told something.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    #[error(
        "the simulator could not listen on 127.0.0.1:{port}; is something else using that port?"
    )]
    Listen {
        port: u16,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the simulators deliver webhooks over plain HTTP, so {url:?} cannot be used; give an http:// address"
    )]
    WebhookUrl { url: String },
}

/// A running system. Dropping it stops it without waiting; `shutdown` waits.
pub struct Simulator {
    sim: Arc<Sim>,
    address: SocketAddr,
    tasks: TaskTracker,
}

impl Simulator {
    /// Starts a system on the current Tokio runtime.
    pub async fn start(config: SimConfig) -> Result<Simulator, SimError> {
        if let Some(target) = &config.webhook {
            check_target(target)?;
        }
        let port = config.port;
        let bound = server::bind(port).await;
        let (listener, address) = bound.map_err(|source| SimError::Listen {
            port: port.unwrap_or(0),
            source,
        })?;
        let sim = Arc::new(Sim::new(config));
        let tasks = TaskTracker::new();
        let simulator = Simulator {
            sim: Arc::clone(&sim),
            address,
            tasks: tasks.clone(),
        };
        tasks.spawn(server::serve(Arc::clone(&sim), listener, tasks.clone()));
        tasks.spawn(webhooks::run(
            Arc::clone(&sim),
            simulator.base_url(),
            tasks.clone(),
        ));
        tasks.spawn(users::run(sim));
        Ok(simulator)
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The CRM's bearer token.
    pub fn api_token(&self) -> &str {
        &self.sim.config.api_token
    }

    /// The finance system's OAuth client and tenant.
    pub fn credentials(&self) -> &FinanceCredentials {
        &self.sim.config.credentials
    }

    /// Everything the system holds, as `/_sim/state` shows it.
    pub fn state(&self) -> SimState {
        self.sim.state()
    }

    /// Ends edits, faults and holding for good; what is pending is still delivered.
    pub fn quiet(&self) {
        self.sim.quiet();
    }

    /// Sets the share of requests and webhooks that go wrong, 0 to 1.
    pub fn set_faults(&self, rate: f64) {
        self.sim.faults.set_rate(rate);
    }

    /// Keeps API requests waiting from now on: they are counted, and neither carried out nor answered until
    /// this is called with `false`.
    pub fn hold(&self, held: bool) {
        self.sim.hold(held);
    }

    /// Makes the next API request go wrong in this way; calls queue up.
    pub fn fail_next(&self, fault: Fault) {
        self.sim.faults.script(Scope::AnyRequest, fault);
    }

    /// Makes the next creating, updating or archiving API request go wrong in this way.
    pub fn fail_next_write(&self, fault: Fault) {
        self.sim.faults.script(Scope::Write, fault);
    }

    /// Sends webhooks here from now on, or nowhere; what happened while there was no target is
    /// never told.
    pub fn set_webhook(&self, target: Option<WebhookTarget>) -> Result<(), SimError> {
        if let Some(target) = &target {
            check_target(target)?;
        }
        self.sim.set_webhook(target);
        Ok(())
    }

    /// A user changes one field of a record.
    pub fn edit(&self, id: &str, field: Field, value: &str) -> Result<(), ControlError> {
        self.sim.user_edit(id, [(field, value.to_owned())].into())
    }

    /// A user creates a record; gives its id.
    pub fn create(&self, fields: Fields) -> Result<String, ControlError> {
        self.sim.user_create(fields)
    }

    /// A user archives a record, which is what both vendors call deletion.
    pub fn delete(&self, id: &str) -> Result<(), ControlError> {
        self.sim.user_delete(id)
    }

    /// Stops the system and waits until nothing of it runs any more.
    pub async fn shutdown(self) {
        self.sim.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.sim.stop.cancel();
    }
}

fn check_target(target: &WebhookTarget) -> Result<(), SimError> {
    let usable = target
        .url
        .parse::<http::Uri>()
        .is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
    if usable {
        Ok(())
    } else {
        Err(SimError::WebhookUrl {
            url: target.url.clone(),
        })
    }
}
