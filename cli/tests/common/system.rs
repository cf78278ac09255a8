//! `tandem simulate` as a process.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value as Json;
use tandem_simulator::{SimKind, SimState};
use tokio::process::{Child, Command};

use super::http::{ANSWER_MAX, client, get, post, within};
use super::program;

/// A process is up within this time, on a busy machine too.
const START_MAX: Duration = Duration::from_secs(30);
/// Ports below those that the kernel gives to outgoing connections: a port must still be free when the
/// process that had it is started again.
const PORTS: std::ops::Range<u16> = 12_000..30_000;

/// What a simulated system is told.
#[derive(Clone, Debug)]
pub struct SystemOptions {
    pub kind: SimKind,
    pub port: u16,
    pub records: usize,
    pub seed: u64,
    pub faults: f64,
    pub edits_per_second: f64,
    pub skew_secs: i64,
    pub latency_ms: u64,
    /// Where its webhooks go, and their secret.
    pub webhook: Option<(String, String)>,
}

impl SystemOptions {
    /// A calm system that tells nobody anything.
    pub fn new(kind: SimKind, records: usize, seed: u64) -> Self {
        Self {
            kind,
            port: free_port(),
            records,
            seed,
            faults: 0.0,
            edits_per_second: 0.0,
            skew_secs: 0,
            latency_ms: 0,
            webhook: None,
        }
    }

    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn command(&self) -> Command {
        let mut command = program::tandem();
        command.args(["simulate", self.kind.name()]);
        let options = [
            ("--port", self.port.to_string()),
            ("--records", self.records.to_string()),
            ("--seed", self.seed.to_string()),
            ("--faults", self.faults.to_string()),
            ("--edits", self.edits_per_second.to_string()),
            ("--skew", self.skew_secs.to_string()),
            ("--latency", self.latency_ms.to_string()),
            // Longer than the time that the configuration gives a request.
            ("--hang", "3".to_owned()),
        ];
        for (name, value) in options {
            command.arg(name).arg(value);
        }
        if let Some((url, secret)) = &self.webhook {
            command.args(["--webhook", url, "--secret", secret]);
        }
        command
    }
}

/// A running simulated system.
pub struct System {
    base_url: String,
    _child: Child,
}

impl System {
    /// Starts it, and waits until it answers.
    pub async fn start(options: &SystemOptions) -> Self {
        let mut command = options.command();
        command.stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the program starts");
        let name = options.kind.name();
        let url = format!("{}/_sim/state", options.base_url());
        let up = within(START_MAX, async || {
            let ended = child.try_wait().expect("it is a child of this process");
            assert_eq!(
                ended, None,
                "the simulated {name} ended, and says above why"
            );
            get::<SimState>(&url).await
        });
        assert!(up.await.is_some(), "the simulated {name} does not answer");
        Self {
            base_url: options.base_url(),
            _child: child,
        }
    }

    /// All that it holds.
    pub async fn state(&self) -> SimState {
        let state = self.try_state().await;
        state.unwrap_or_else(|| panic!("{}/_sim/state does not answer", self.base_url))
    }

    async fn try_state(&self) -> Option<SimState> {
        get(&format!("{}/_sim/state", self.base_url)).await
    }

    /// Ends edits and faults.
    pub async fn quiet(&self) {
        let url = format!("{}/_sim/quiet", self.base_url);
        assert_eq!(post(&url, "").await, 200);
    }
}

/// A user of the system at this address edits, creates or deletes a record; see `/_sim/edit`.
pub async fn command(base_url: &str, body: &Json) -> Json {
    let request = client().post(format!("{base_url}/_sim/edit"));
    let request = request.timeout(ANSWER_MAX).body(body.to_string());
    let answer = request.send().await.expect("the system answers");
    let status = answer.status();
    let text = answer.text().await.expect("the system answers whole");
    assert!(status.is_success(), "{body}: {status} {text}");
    serde_json::from_str(&text).expect("the answer is JSON")
}

/// A port that nothing listens on, and that no other test of this process was given.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().expect("no test panics while it holds this");
    // Test processes that run side by side begin at different places.
    let span = PORTS.end - PORTS.start;
    let begin = u16::try_from(std::process::id() * 37 % u32::from(span)).unwrap_or_default();
    let mut ports = (0..span).map(|step| PORTS.start + (begin + step) % span);
    let free =
        |port: &u16| !given.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = ports.find(free).expect("some port is free");
    given.insert(port);
    port
}
