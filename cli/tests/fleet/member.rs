//! One process of the fleet, and the supervisor that starts it again when it has ended.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::common::http::{get_text, within};
use crate::common::program;

/// It is up within this time, on a busy machine and after several tries too.
const READY_MAX: Duration = Duration::from_secs(60);
/// A killed process is gone within this time.
const KILL_MAX: Duration = Duration::from_secs(10);
/// As systemd and Kubernetes do, so that a process that cannot start does not spin.
const RESTART_PAUSE: Duration = Duration::from_millis(250);

/// What happens after a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is started again.
    Restart,
    /// It stays down until [`Member::start`].
    StayDown,
}

enum Order {
    Signal(Signal, After),
    Start,
}

/// What has happened to a process so far.
#[derive(Clone, Debug, Default)]
struct Life {
    ends: Vec<ExitStatus>,
}

/// A supervised process of the fleet.
pub struct Member {
    pub name: String,
    base_url: String,
    log: PathBuf,
    orders: mpsc::UnboundedSender<Order>,
    life: watch::Receiver<Life>,
    supervisor: JoinHandle<()>,
}

impl Member {
    /// Starts what `command` makes, now and whenever it has ended. The log goes to the end of a file.
    pub fn start_supervised(
        name: String,
        base_url: String,
        folder: &Path,
        command: impl Fn() -> Command + Send + 'static,
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        let (orders, inbox) = mpsc::unbounded_channel();
        let (told, life) = watch::channel(Life::default());
        let make = {
            let log = log.clone();
            move || spawn(command(), &log)
        };
        Self {
            name,
            base_url,
            log,
            orders,
            life,
            supervisor: tokio::spawn(supervise(make, inbox, told)),
        }
    }

    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// SIGKILL: it has no say in this. Returns when it is gone.
    pub async fn kill(&self, after: After) {
        let ended = self.end_by(Signal::KILL, after, KILL_MAX).await;
        assert!(ended.is_some(), "{} cannot be killed", self.name);
    }

    /// SIGTERM. Gives the exit code (`None` if a signal ended it); panics when it takes longer than this.
    pub async fn terminate(&self, after: After, limit: Duration) -> Option<i32> {
        let ended = self.end_by(Signal::TERM, after, limit).await;
        let status = ended.unwrap_or_else(|| {
            panic!(
                "{} did not end within {limit:?}:\n{}",
                self.name,
                self.log()
            )
        });
        status.code()
    }

    async fn end_by(&self, signal: Signal, after: After, limit: Duration) -> Option<ExitStatus> {
        let mut life = self.life.clone();
        let before = life.borrow().ends.len();
        self.order(Order::Signal(signal, after));
        let ended = life.wait_for(|life| life.ends.len() > before);
        let life = tokio::time::timeout(limit, ended).await.ok()?;
        life.expect("the supervisor runs").ends.get(before).copied()
    }

    /// SIGSTOP: it stands still with all that it holds.
    pub fn stop(&self) {
        self.order(Order::Signal(Signal::STOP, After::Restart));
    }

    /// SIGCONT.
    pub fn cont(&self) {
        self.order(Order::Signal(Signal::CONT, After::Restart));
    }

    /// Starts it again after it was told to stay down.
    pub fn start(&self) {
        self.order(Order::Start);
    }

    fn order(&self, order: Order) {
        let taken = self.orders.send(order);
        assert!(taken.is_ok(), "the supervisor of {} has ended", self.name);
    }

    /// Whether it answers that it can work.
    pub async fn is_ready(&self) -> bool {
        let url = format!("{}/health/ready", self.base_url);
        get_text(&url).await.is_some()
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        let ready = within(READY_MAX, async || self.is_ready().await.then_some(()));
        assert!(
            ready.await.is_some(),
            "{} is not ready in time:\n{}",
            self.name,
            self.log()
        );
    }

    /// How it has ended so far, oldest first.
    pub fn ends(&self) -> Vec<ExitStatus> {
        self.life.borrow().ends.clone()
    }

    /// The same, for a person.
    pub fn ends_told(&self) -> String {
        let ends: Vec<String> = self.ends().iter().map(ToString::to_string).collect();
        ends.join(", ")
    }

    /// A gauge or counter without labels; `None` while it does not answer or has none.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let text = get_text(&format!("{}/metrics", self.base_url)).await?;
        let mut lines = text.lines();
        let line = lines.find(|line| line.split(' ').next() == Some(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        program::tail(&self.log)
    }

    /// Whether its log says this anywhere.
    pub fn has_said(&self, words: &str) -> bool {
        std::fs::read_to_string(&self.log).is_ok_and(|text| text.contains(words))
    }
}

impl Drop for Member {
    /// The process dies with the task that holds it.
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

fn spawn(mut command: Command, log: &Path) -> Child {
    let file = OpenOptions::new().create(true).append(true).open(log);
    let file = file.expect("the log can be written");
    command.stdout(Stdio::null()).stderr(file);
    command.spawn().expect("the program starts")
}

async fn supervise(
    make: impl Fn() -> Child,
    mut orders: mpsc::UnboundedReceiver<Order>,
    life: watch::Sender<Life>,
) {
    loop {
        let (status, after) = run_to_end(make(), &mut orders).await;
        life.send_modify(|life| life.ends.push(status));
        match after {
            After::Restart => tokio::time::sleep(RESTART_PAUSE).await,
            After::StayDown => loop {
                match orders.recv().await {
                    Some(Order::Start) => break,
                    Some(Order::Signal(..)) => {}
                    None => return,
                }
            },
        }
    }
}

/// Carries out orders until the process has ended.
async fn run_to_end(
    mut child: Child,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> (ExitStatus, After) {
    let mut after = After::Restart;
    loop {
        tokio::select! {
            ended = child.wait() => return (ended.expect("a child can be waited for"), after),
            Some(order) = orders.recv() => if let Order::Signal(signal, then) = order {
                after = then;
                program::signal(&child, signal);
            },
        }
    }
}
