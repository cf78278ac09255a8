//! A Redis of a test's own, to be stopped, paused and emptied at will.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::binaries::{redis_binary, run};
use super::blocking;
use super::guard::Guard;
use super::port::Port;

/// How often a starting server is asked whether it answers, and the pause between.
const READY_TRIES: u32 = 1_000;
const READY_PAUSE: Duration = Duration::from_millis(10);

/// The script of the guard: the process told last is killed, and the folder (first argument) removed.
const END: &str = "[ -n \"$told\" ] && kill -9 \"$told\"; rm -rf -- \"$1\"";

/// A private Redis on its own port of 127.0.0.1, which keeps nothing on disk. Killed when this is
/// dropped or the test process ends.
pub struct RedisServer {
    place: Place,
    process: Option<Child>,
    guard: Guard,
    _port: Port,
}

impl RedisServer {
    /// Starts a server without a password.
    ///
    /// # Panics
    /// When Redis is missing or does not start.
    pub async fn start() -> Self {
        Self::launch(None).await
    }

    /// Starts a server that requires this password.
    ///
    /// # Panics
    /// When Redis is missing or does not start.
    pub async fn start_with_password(password: &str) -> Self {
        Self::launch(Some(password.to_owned())).await
    }

    async fn launch(password: Option<String>) -> Self {
        let port = Port::reserve();
        let folder = tempfile::Builder::new()
            .prefix("tandem-redis-")
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let place = Place {
            folder,
            port: port.number(),
            password,
        };
        let guard = Guard::run_at_the_end(END, [place.folder.as_os_str()]);
        let mut server = Self {
            place,
            process: None,
            guard,
            _port: port,
        };
        server.start_again().await;
        server
    }

    /// Where to connect: `redis://[:password@]127.0.0.1:port/`.
    #[must_use]
    pub fn url(&self) -> String {
        let text = format!("redis://127.0.0.1:{}/", self.place.port);
        let mut url = url::Url::parse(&text).expect("the text is a URL");
        url.set_password(self.place.password.as_deref())
            .expect("a URL with a host takes a password");
        url.into()
    }

    /// Kills the server; nothing is kept.
    pub async fn stop(&mut self) {
        self.kill();
    }

    /// Starts the stopped server, empty, on its port; returns when it answers.
    ///
    /// # Panics
    /// When it runs already, or does not start.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "Redis runs already");
        let place = self.place.clone();
        let process = blocking(move || place.spawn()).await;
        self.guard.tell(&process.id().to_string());
        self.process = Some(process);
        let place = self.place.clone();
        let ready = blocking(move || place.wait_until_ready()).await;
        assert!(ready, "Redis does not answer: {}", self.place.log());
    }

    /// Removes every key (`FLUSHALL`).
    ///
    /// # Panics
    /// When the server does not run.
    pub async fn flush_all(&self) {
        let place = self.place.clone();
        let answer = blocking(move || place.ask("FLUSHALL")).await;
        assert_eq!(answer.as_deref().map(str::trim), Ok("OK"));
    }

    /// Stops the server's process in its tracks (`SIGSTOP`): connections stay open and nothing answers.
    ///
    /// # Panics
    /// When the server does not run.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused server go on (`SIGCONT`).
    ///
    /// # Panics
    /// When the server does not run.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("Redis runs");
        kill_process(Pid::from_child(process), signal).expect("our own child takes a signal");
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("our own child can be killed");
            process.wait().expect("our own child can be waited for");
            self.guard.tell("");
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a server is started with, each time.
#[derive(Clone)]
struct Place {
    folder: PathBuf,
    port: u16,
    password: Option<String>,
}

impl Place {
    /// The configuration goes through standard input: a password in the arguments is seen by everyone.
    fn spawn(&self) -> Child {
        let mut process = Command::new(redis_binary("redis-server"))
            .arg("-")
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server cannot be run: {error}"));
        let mut input = process.stdin.take().expect("the input is piped");
        input
            .write_all(self.configuration().as_bytes())
            .expect("redis-server reads its configuration");
        process
    }

    fn configuration(&self) -> String {
        let mut lines = format!(
            "bind 127.0.0.1\nport {}\nsave \"\"\nappendonly no\nlogfile {}\n",
            self.port,
            quoted(&self.log_path().to_string_lossy())
        );
        if let Some(password) = &self.password {
            lines.push_str(&format!("requirepass {}\n", quoted(password)));
        }
        lines
    }

    fn wait_until_ready(&self) -> bool {
        (0..READY_TRIES).any(|_| {
            let ready = self.ask("PING").is_ok_and(|answer| answer.trim() == "PONG");
            if !ready {
                std::thread::sleep(READY_PAUSE);
            }
            ready
        })
    }

    fn ask(&self, command: &str) -> Result<String, String> {
        let mut client = Command::new(redis_binary("redis-cli"));
        client
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), command])
            .env_remove("REDISCLI_AUTH");
        if let Some(password) = &self.password {
            client.env("REDISCLI_AUTH", password);
        }
        run(&mut client)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

/// As `redis.conf` takes text with spaces and quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
