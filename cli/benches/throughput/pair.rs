//! Two calm simulated systems with Tandem between them: in this process, wired as `tandem up` is, or as a
//! fleet of processes.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tandem_domain::{Clock, JobId, SyncName};
use tandem_runtime::process::Storage;
use tandem_runtime::{Configuration, SystemClock, SystemEntropy};
use tandem_store::{Hints, JobClass, JobKind, NewJob, Store, Trigger};

use crate::embedded::{DATABASE, Embedded, EmbeddedOptions};
use crate::fleet::Fleet;
use crate::servers::Database;
use crate::systems::{Plan, SYNC, Systems, address, configuration};
use crate::tap::Tap;

/// How Tandem runs.
enum Tandem {
    Embedded(Embedded),
    Fleet(Fleet),
}

/// Everything that runs.
pub struct Pair {
    pub systems: Systems,
    /// Where Tandem listens.
    pub tandem_address: SocketAddr,
    store: Arc<dyn Store>,
    tandem: Tandem,
}

impl Pair {
    /// Starts the two systems, then Tandem in this process, then their webhooks.
    pub async fn embedded(folder: &Path, plan: Plan) -> anyhow::Result<Self> {
        let systems = Systems::start(plan).await?;
        let tandem_address = free_address()?;
        let finance_url = systems.finance.base_url();
        let text = configuration(&systems, &finance_url, tandem_address, plan);
        let configuration = Configuration::parse(Path::new("bench.yaml"), &text)?;
        let secrets = systems.secrets();
        let environment = move |wanted: &str| {
            let mut secrets = secrets.iter();
            secrets
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| value.clone())
        };
        let options = EmbeddedOptions {
            listen: None,
            prune: false,
            storage: Storage::Sqlite {
                file: folder.join(DATABASE),
                exclusive: true,
            },
            environment: Box::new(environment),
            file: None,
        };
        let embedded = Embedded::start(&configuration, options).await?;
        if plan.webhooks {
            systems.tell(tandem_address)?;
        }
        Ok(Self {
            systems,
            tandem_address,
            store: Arc::clone(&embedded.store),
            tandem: Tandem::Embedded(embedded),
        })
    }

    /// Starts the two systems, then a fleet with so many workers, then their webhooks.
    pub async fn fleet(
        folder: &Path,
        database: &Database,
        workers: usize,
        plan: Plan,
    ) -> anyhow::Result<Self> {
        let systems = Systems::start(plan).await?;
        let finance_url = systems.finance.base_url();
        Self::fleet_between(folder, database, workers, plan, systems, &finance_url).await
    }

    /// The same, with a tap on the way to the finance system.
    pub async fn tapped_fleet(
        folder: &Path,
        database: &Database,
        workers: usize,
        plan: Plan,
    ) -> anyhow::Result<(Self, Tap)> {
        let systems = Systems::start(plan).await?;
        let tap = Tap::open(address(&systems.finance)?).await?;
        let finance_url = format!("http://{}", tap.address());
        let pair = Self::fleet_between(folder, database, workers, plan, systems, &finance_url);
        Ok((pair.await?, tap))
    }

    async fn fleet_between(
        folder: &Path,
        database: &Database,
        workers: usize,
        plan: Plan,
        systems: Systems,
        finance_url: &str,
    ) -> anyhow::Result<Self> {
        let tandem_address = free_address()?;
        let text = configuration(&systems, finance_url, tandem_address, plan);
        let secrets = systems.secrets();
        let fleet =
            Fleet::start(folder, &text, &secrets, database, tandem_address, workers).await?;
        if plan.webhooks {
            systems.tell(tandem_address)?;
        }
        Ok(Self {
            systems,
            tandem_address,
            store: database.store().await?,
            tandem: Tandem::Fleet(fleet),
        })
    }

    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    pub fn sync(&self) -> anyhow::Result<SyncName> {
        Ok(SYNC.parse()?)
    }

    pub async fn start_first_sync(&self) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let job = NewJob {
            id: JobId::new(now, &SystemEntropy),
            kind: JobKind::Backfill { sync: self.sync()? },
            class: JobClass::Backfill,
            trigger: Trigger::Manual,
            run_at: now,
            hints: Hints::default(),
            traceparent: None,
        };
        let ids = self.store().enqueue(vec![job], now).await?;
        match &self.tandem {
            Tandem::Embedded(embedded) => embedded.doorbell.ring(&ids),
            // Its workers find it within a second.
            Tandem::Fleet(_) => {}
        }
        Ok(())
    }

    /// Starts or ends workers of a fleet until there are so many.
    pub async fn set_workers(&mut self, wanted: usize) -> anyhow::Result<()> {
        match &mut self.tandem {
            Tandem::Embedded(_) => anyhow::bail!("one process has its workers within"),
            Tandem::Fleet(fleet) => fleet.set_workers(wanted).await,
        }
    }

    /// Stops Tandem; the systems stay, and tell nobody any more.
    pub async fn stop_tandem(self) -> anyhow::Result<Systems> {
        self.systems.crm.set_webhook(None)?;
        self.systems.finance.set_webhook(None)?;
        match self.tandem {
            Tandem::Embedded(embedded) => embedded.stop().await?,
            Tandem::Fleet(fleet) => fleet.stop().await?,
        }
        Ok(self.systems)
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(SocketAddr::from(([127, 0, 0, 1], free_port()?)))
}

/// A port that nobody listens on, below those that the kernel gives to outgoing connections: it must still
/// be free when the process for which it is meant starts.
pub fn free_port() -> anyhow::Result<u16> {
    const PORTS: std::ops::Range<u16> = 12_000..30_000;
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let span = PORTS.end - PORTS.start;
    // Processes that run side by side begin at different places.
    let begin = u16::try_from(std::process::id() * 37 % u32::from(span)).unwrap_or_default();
    for _ in 0..span {
        let step = GIVEN.fetch_add(1, Ordering::Relaxed) % span;
        let port = PORTS.start + (begin + step) % span;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no port of 127.0.0.1 from {} on is free", PORTS.start)
}
