//! A whole fleet: servers, systems, balancer, processes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tandem_simulator::Comparison;
use tandem_testkit::servers::RedisServer;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::balancer::Balancer;
use crate::common::agreement::{States, agreement, states};
use crate::common::http::within;
use crate::common::pair::{Pair, Settings};
use crate::common::system::{System, free_port};
use crate::database::Database;
use crate::member::Member;
use crate::operator::{finish, status};
use crate::site::{Role, SHUTDOWN_SECS, Site};

/// Has characters that a URL must escape.
const REDIS_PASSWORD: &str = "p@ss/word";
/// A process that is asked to end has done so within this time.
pub const END_MAX: Duration = Duration::from_secs(SHUTDOWN_SECS + 5);
/// Another scheduler leads within this time: a lease of 8 s, looked at every second, on a busy machine.
pub const LEADER_MAX: Duration = Duration::from_secs(20);

/// What a test wants.
pub struct Plan {
    pub pair: Pair,
    pub settings: Settings,
    /// After how long a dead worker's job is taken over.
    pub lease_secs: u32,
    pub apis: usize,
    pub schedulers: usize,
    pub workers: usize,
    /// Where traces go.
    pub collector: Option<String>,
    /// Whether Redis runs from the start.
    pub redis_runs: bool,
    /// Whether the systems tell what changes; else it is found by polling.
    pub webhooks: bool,
}

impl Plan {
    /// One process of each kind, between two calm systems with so many companies.
    pub fn small(records: usize) -> Self {
        Self {
            pair: Pair::new(records, 1),
            settings: Settings::default(),
            lease_secs: 10,
            apis: 1,
            schedulers: 1,
            workers: 1,
            collector: None,
            redis_runs: true,
            webhooks: true,
        }
    }

    /// The same, and nothing is polled or compared whole by itself: only webhooks cause jobs. Systems may
    /// be slow.
    pub fn without_polls(records: usize) -> Self {
        Self {
            settings: Settings {
                polls: "manual",
                full: "manual",
                timeout_secs: 10,
                ..Settings::default()
            },
            ..Self::small(records)
        }
    }
}

/// A running fleet. When its test fails it shows the end of its logs, and keeps its folder.
pub struct Fleet {
    pub apis: Vec<Member>,
    pub schedulers: Vec<Member>,
    pub workers: Vec<Member>,
    pub crm: System,
    pub books: System,
    /// What both systems held before the fleet was started.
    pub initial: States,
    pub balancer: Balancer,
    pub database: Database,
    pub redis: Arc<Mutex<RedisServer>>,
    pub site: Site,
    pub pair: Pair,
    folder: TempDir,
}

impl Fleet {
    /// Starts everything, and waits until every process is ready.
    pub async fn start(plan: Plan) -> Self {
        let fleet = Self::prepare(plan, true).await;
        fleet.all_ready().await;
        fleet
    }

    /// Servers, systems and configuration; the database is migrated and configured if so wanted, and
    /// the processes are started, ready or not.
    pub async fn prepare(mut plan: Plan, apply: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let balancer = Balancer::start().await;
        if plan.webhooks {
            plan.pair.tell(&balancer.base_url());
        }
        let (database, redis) = tokio::join!(
            Database::start(),
            RedisServer::start_with_password(REDIS_PASSWORD)
        );
        let (crm, books) = tokio::join!(
            System::start(&plan.pair.crm),
            System::start(&plan.pair.books)
        );
        let site = Site {
            config: Site::write_config(
                folder.path(),
                &plan.pair,
                &balancer.base_url(),
                &plan.settings,
                plan.lease_secs,
            ),
            database_url: database.url.clone(),
            redis_url: Some(redis.url()),
            collector: plan.collector.clone(),
        };
        let mut fleet = Self {
            apis: Vec::new(),
            schedulers: Vec::new(),
            workers: Vec::new(),
            initial: states(&crm, &books).await,
            crm,
            books,
            balancer,
            database,
            redis: Arc::new(Mutex::new(redis)),
            site,
            pair: plan.pair.clone(),
            folder,
        };
        if !plan.redis_runs {
            fleet.redis.lock().await.stop().await;
        }
        if apply {
            fleet.tandem(&["db", "migrate"]).await;
            fleet.tandem(&["apply"]).await;
        }
        fleet.start_members(&plan);
        fleet
    }

    fn start_members(&mut self, plan: &Plan) {
        for (role, count) in [
            (Role::Api, plan.apis),
            (Role::Scheduler, plan.schedulers),
            (Role::Worker, plan.workers),
        ] {
            for _ in 0..count {
                self.add(role);
            }
        }
    }

    /// Starts one more process.
    pub fn add(&mut self, role: Role) {
        let members = match role {
            Role::Api => &mut self.apis,
            Role::Scheduler => &mut self.schedulers,
            Role::Worker => &mut self.workers,
        };
        let name = format!("{}-{}", role.name(), members.len() + 1);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let site = self.site.clone();
        members.push(Member::start_supervised(
            name,
            format!("http://{listen}"),
            self.folder.path(),
            move || site.process(role, listen),
        ));
        let apis = self.apis.iter().map(|api| api.base_url().to_owned());
        self.balancer.set_behind(apis.collect());
    }

    /// All processes.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.apis
            .iter()
            .chain(&self.schedulers)
            .chain(&self.workers)
    }

    /// Waits until every process is ready.
    pub async fn all_ready(&self) {
        for member in self.members() {
            member.ready().await;
        }
    }

    /// Runs a command of an operator, which must succeed, and gives its standard output.
    pub async fn tandem(&self, arguments: &[&str]) -> String {
        let mut command = self.site.operator();
        command.args(arguments);
        finish(command).await.succeed().out
    }

    /// Compares both sides whole, and waits until what that found is done.
    pub async fn first_sync(&self) {
        self.tandem(&["sync", "run", "customers", "--wait"]).await;
    }

    /// What the fleet tells about itself, if it answers.
    pub async fn status(&self) -> Option<Json> {
        status(&self.balancer.base_url()).await
    }

    /// The scheduler that leads, once one does: its place in the list.
    pub async fn leader(&self) -> usize {
        let leader = within(LEADER_MAX, async || {
            for (place, scheduler) in self.schedulers.iter().enumerate() {
                if scheduler.metric("tandem_leader").await == Some(1.0) {
                    return Some(place);
                }
            }
            None
        });
        leader.await.expect("a scheduler leads")
    }

    /// Waits until nothing is left to do and both systems agree. Gives the last verdict, and whether
    /// that was so.
    pub async fn agreement(&self, limit: Duration) -> (Comparison, bool) {
        let systems = (&self.crm, &self.books);
        agreement(systems, &self.initial, async || self.status().await, limit).await
    }

    /// Insists that both systems agree within this time.
    pub async fn must_agree(&self, limit: Duration) {
        let (verdict, settled) = self.agreement(limit).await;
        assert!(settled, "{verdict:#?}\n{:#?}", self.status().await);
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for member in self.members() {
                let (name, ends) = (&member.name, member.ends_told());
                eprintln!(
                    "=== {name} ended so: {ends}; the end of its log:\n{}",
                    member.log()
                );
            }
            let folder = self.keep();
            eprintln!("=== its folder is {}", folder.display());
        }
    }
}
