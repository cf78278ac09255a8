//! How webhook bodies are read, for commands that read events again.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use tandem_api::service::{Clocks, hooks};
use tandem_operator::hooks::HookTable;
use tandem_runtime::config::Built;
use tandem_runtime::{Configuration, SystemClock};
use tandem_store::Store;

use super::storage::{build_of, load};

/// A replay verifies no signature, so the address that some of them cover does not matter.
const NO_ADDRESS: &str = "";

/// The configuration by which events are read again and records looked at.
#[derive(Args, Clone)]
pub struct HookOptions {
    /// The configuration file; what was applied when left out.
    #[arg(long, env = "TANDEM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl HookOptions {
    /// What the configuration makes: of the file, or as it was applied.
    pub async fn built(&self, store: &dyn Store) -> anyhow::Result<Built> {
        let configuration = match &self.config {
            Some(file) => load(file)?,
            None => Configuration::from_store(&store.connections().await?, &store.syncs().await?)?,
        };
        Ok(build_of(&configuration)?)
    }

    /// The webhook addresses of the configuration, with what is paused or removed.
    pub async fn load(&self, store: &dyn Store) -> anyhow::Result<Arc<HookTable>> {
        let built = self.built(store).await.context(
            "events are read again by the configuration, which needs the same file and environment as `tandem up`",
        )?;
        let rows = store.connections().await?;
        let clocks = Clocks {
            kept: Arc::default(),
            own: Arc::new(SystemClock),
        };
        clocks.kept.read(store).await?;
        let hooks = HookTable::new(hooks(&built, NO_ADDRESS, &clocks));
        hooks.follow(&rows);
        Ok(Arc::new(hooks))
    }
}
