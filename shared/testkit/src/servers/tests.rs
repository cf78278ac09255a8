//! The servers themselves: a test that passes on a server that is not what it says proves nothing.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_process};

use super::binaries::{PostgresBinaries, redis_binary, run};
use super::cluster::write_secret;
use super::shared::{SharedServer, quick_folder};
use super::{PostgresOptions, PostgresServer, RedisServer, StopMode, shared_database};

/// Set in the processes that a test starts: where they write what they met, if anywhere.
const CHILD: &str = "TANDEM_TESTKIT_CHILD";
/// What PostgreSQL (its request for TLS) and Redis answer without a password.
const GREETINGS: [&[u8]; 2] = [b"\0\0\0\x08\x04\xd2\x16\x2f", b"PING\r\n"];

/// What `psql` answers to a statement at this address.
fn ask(url: &str, statement: &str) -> Result<String, String> {
    let mut psql = PostgresBinaries::find().client("psql");
    psql.args(["-XAtqw", "-c", statement, url]);
    run(&mut psql).map(|answer| answer.trim().to_owned())
}

fn ask_redis(url: &str, command: &[&str]) -> String {
    ask_redis_with("", url, command)
}

/// The client of Redis misreads a URL that has a password and no user.
fn ask_redis_with(password: &str, url: &str, command: &[&str]) -> String {
    let url = url::Url::parse(url).expect("a server's address is a URL");
    let port = url.port().expect("it has a port").to_string();
    let mut client = Command::new(redis_binary("redis-cli"));
    client.args(["-h", "127.0.0.1", "-p", &port]).args(command);
    client.env_remove("REDISCLI_AUTH");
    if !password.is_empty() {
        client.env("REDISCLI_AUTH", password);
    }
    match run(&mut client) {
        Ok(answer) | Err(answer) => answer.trim().to_owned(),
    }
}

fn with_password(url: &str, password: &str) -> String {
    let mut url = url::Url::parse(url).expect("a server's address is a URL");
    url.set_password(Some(password)).expect("it has a host");
    url.into()
}

#[tokio::test]
async fn a_private_postgres_keeps_its_data_over_both_kinds_of_stop() {
    let mut server = PostgresServer::start().await;
    let url = server.create_database("orders").await;
    ask(&url, "CREATE TABLE t (n integer)").expect("the role owns its database");
    for (mode, kept) in [(StopMode::Fast, "1"), (StopMode::Immediate, "2")] {
        ask(&url, "INSERT INTO t VALUES (1)").expect("the server runs");
        server.stop(mode).await;
        let refused = ask(&url, "SELECT 1").expect_err("the server is stopped");
        assert!(refused.contains("Connection refused"), "{refused}");
        server.start_again().await;
        assert_eq!(ask(&url, "SELECT count(*) FROM t").as_deref(), Ok(kept));
    }
}

#[tokio::test]
async fn a_private_postgres_has_the_settings_of_production_unless_told_otherwise() {
    let server = PostgresServer::start().await;
    let setting = |server: &PostgresServer, name: &str| {
        ask(&server.url("postgres"), &format!("SHOW {name}")).expect("a setting has a value")
    };
    assert_eq!(setting(&server, "fsync"), "on");
    assert_eq!(setting(&server, "synchronous_commit"), "on");
    assert_eq!(setting(&server, "max_connections"), "200");
    let server = PostgresServer::start_with(PostgresOptions {
        fsync: false,
        settings: vec![("application_name".to_owned(), "it's".to_owned())],
        ..PostgresOptions::default()
    })
    .await;
    assert_eq!(setting(&server, "fsync"), "off");
    assert_eq!(setting(&server, "max_connections"), "200");
}

#[tokio::test]
async fn the_data_folder_is_made_in_the_folder_that_is_told() {
    let within = tempfile::tempdir().expect("a temporary folder");
    // PostgreSQL's account has to get through.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(within.path(), open).expect("it is ours");
    let server = PostgresServer::start_with(PostgresOptions {
        folder: Some(within.path().to_owned()),
        ..PostgresOptions::default()
    })
    .await;
    let data = ask_data_folder(&server).await;
    assert!(data.starts_with(within.path()), "{}", data.display());
}

#[tokio::test]
async fn a_wrong_password_is_refused_by_postgres() {
    let server = PostgresServer::start().await;
    let url = with_password(&server.url("postgres"), "wrong");
    let refused = ask(&url, "SELECT 1").expect_err("the password is wrong");
    assert!(
        refused.contains("password authentication failed"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_role_of_the_tests_is_no_superuser() {
    let database = shared_database().await;
    let answer = ask(database.url(), "SHOW is_superuser");
    assert_eq!(answer.as_deref(), Ok("off"));
}

#[tokio::test]
async fn text_is_ordered_as_in_english() {
    let database = shared_database().await;
    let answer = ask(database.url(), "SELECT 'a' < 'B'");
    assert_eq!(answer.as_deref(), Ok("t"));
}

#[tokio::test]
async fn a_dropped_postgres_leaves_neither_server_nor_data() {
    let server = PostgresServer::start().await;
    let url = server.url("postgres");
    let folder = ask_data_folder(&server).await;
    drop(server);
    let refused = ask(&url, "SELECT 1").expect_err("the server is gone");
    assert!(refused.contains("Connection refused"), "{refused}");
    assert!(!folder.exists());
}

async fn ask_data_folder(server: &PostgresServer) -> std::path::PathBuf {
    let answer = server.superuser_sql("SHOW data_directory").await;
    answer.trim().into()
}

/// Run as a test of its own it only starts the two; in a child process it then waits to be killed.
#[tokio::test]
async fn a_process_has_servers_of_its_own() {
    let (postgres, redis) = tokio::join!(PostgresServer::start(), RedisServer::start());
    if std::env::var_os(CHILD).is_some() {
        println!("\n{CHILD} {} {}", postgres.url("postgres"), redis.url());
        let killed = std::io::stdin().read_line(&mut String::new());
        panic!("the input is open until the process is killed: {killed:?}");
    }
}

#[test]
fn private_servers_end_with_a_process_that_is_killed() {
    let mut child = Command::new(std::env::current_exe().expect("a test knows its program"))
        .args([
            "--exact",
            "servers::tests::a_process_has_servers_of_its_own",
            "--nocapture",
        ])
        .env(CHILD, "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a test can be started");
    let told = BufReader::new(child.stdout.take().expect("the output is piped"))
        .lines()
        .map(|line| line.expect("the output is text"))
        .find(|line| line.starts_with(CHILD))
        .expect("the child tells its servers");
    let connections: Vec<_> = told
        .split(' ')
        .skip(1)
        .zip(GREETINGS)
        .map(connect)
        .collect();
    child.kill().expect("our own child can be killed");
    child.wait().expect("our own child can be waited for");
    for mut connection in connections {
        // A server's end closes its connections; until then this waits.
        let closed = connection.read_to_end(&mut Vec::new());
        assert!(
            closed.is_ok() || closed.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        );
    }
}

/// A connection that the server has answered on. (PostgreSQL waits a minute for the first word on one that
/// it accepts while it ends.)
fn connect((url, greeting): (&str, &[u8])) -> TcpStream {
    let port = url::Url::parse(url).ok().and_then(|url| url.port());
    let port = port.expect("a server's address has a port");
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server runs");
    connection.write_all(greeting).expect("the server reads");
    connection.read_exact(&mut [0]).expect("the server answers");
    connection
}

#[tokio::test]
async fn each_test_has_an_empty_database_of_its_own_and_drops_it() {
    let (one, other) = tokio::join!(shared_database(), shared_database());
    ask(one.url(), "CREATE TABLE t (n integer)").expect("the role owns its database");
    let seen = ask(other.url(), "SELECT to_regclass('t') IS NULL");
    assert_eq!(seen.as_deref(), Ok("t"));
    let url = one.url().to_owned();
    drop(one);
    let refused = ask(&url, "SELECT 1").expect_err("the database is dropped");
    assert!(refused.contains("does not exist"), "{refused}");
}

/// Run as a test of its own it takes a database; in a child process it also tells which server it met.
#[tokio::test]
async fn a_process_gets_a_database() {
    let database = shared_database().await;
    let started = ask(database.url(), "SELECT pg_postmaster_start_time()");
    let started = started.expect("the database answers");
    if let Some(file) = std::env::var_os(CHILD) {
        std::fs::write(file, started).expect("the parent's folder exists");
    }
}

#[test]
fn many_processes_at_once_share_one_server() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let program = std::env::current_exe().expect("a test knows its program");
    let files: Vec<_> = (0..4).map(|n| folder.path().join(n.to_string())).collect();
    let children: Vec<_> = files
        .iter()
        .map(|file| {
            Command::new(&program)
                .args(["--exact", "servers::tests::a_process_gets_a_database"])
                .env(CHILD, file)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("a test can be started")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("a child ends").success());
    }
    let mut servers: Vec<_> = files
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("each child met a server"))
        .collect();
    servers.dedup();
    assert_eq!(servers.len(), 1, "{servers:?}");
}

/// A folder that the account of PostgreSQL can pass through.
fn base() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o711))
        .tempdir_in(quick_folder())
        .expect("a temporary folder can be made")
}

fn join(base: &tempfile::TempDir) -> SharedServer {
    SharedServer::join(PostgresBinaries::find(), base.path(), "0.05")
}

/// The reaper holds this lock as long as it lives.
fn wait_for_the_reaper(base: &tempfile::TempDir) {
    let lock = std::fs::File::open(base.path().join("reaper.lock"));
    let lock = lock.expect("the lock files stay");
    lock.lock().expect("a file of ours can be locked");
}

#[test]
fn two_simultaneous_starts_make_one_server() {
    let base = base();
    let (one, other) = std::thread::scope(|scope| {
        let threads = [scope.spawn(|| join(&base)), scope.spawn(|| join(&base))];
        let [one, other] = threads.map(|thread| thread.join().expect("both get the server"));
        (one, other)
    });
    assert_eq!(one.cluster().port(), other.cluster().port());
    drop((one, other));
    wait_for_the_reaper(&base);
}

#[test]
fn the_shared_server_is_ended_when_nobody_uses_it_and_started_anew_for_the_next() {
    let base = base();
    let server = join(&base);
    let database = server.database();
    assert_eq!(ask(database.url(), "SELECT 1").as_deref(), Ok("1"));
    let cluster = server.cluster().clone();
    drop((database, server));
    wait_for_the_reaper(&base);
    assert!(!cluster.runs());
    assert!(!base.path().join("server").exists());

    let next = join(&base);
    assert!(next.cluster().runs());
    drop(next);
    wait_for_the_reaper(&base);
}

#[test]
fn a_shared_server_that_was_killed_is_replaced() {
    let base = base();
    let server = join(&base);
    let killed = server.cluster().process_id().expect("the server runs");
    kill_process(killed, Signal::KILL).expect("we may kill our server");
    while server.cluster().runs() {
        std::thread::yield_now();
    }
    let next = join(&base);
    assert_ne!(next.cluster().process_id(), Some(killed));
    assert_eq!(ask(next.database().url(), "SELECT 1").as_deref(), Ok("1"));
    drop((server, next));
    wait_for_the_reaper(&base);
}

#[test]
fn what_an_earlier_run_left_behind_is_replaced() {
    let base = base();
    let left = base.path().join("server/data");
    std::fs::create_dir_all(&left).expect("the folder can be written");
    // A process that lives and is no server.
    std::fs::write(left.join("postmaster.pid"), "1\n").expect("the folder can be written");
    write_secret(&base.path().join("address"), "1\nold").expect("the folder can be written");
    let server = join(&base);
    assert_eq!(ask(server.database().url(), "SELECT 1").as_deref(), Ok("1"));
    drop(server);
    wait_for_the_reaper(&base);
}

#[tokio::test]
async fn a_stopped_redis_starts_again_empty_on_its_port() {
    let mut server = RedisServer::start().await;
    let url = server.url();
    assert_eq!(ask_redis(&url, &["SET", "key", "1"]), "OK");
    server.stop().await;
    let refused = ask_redis(&url, &["GET", "key"]);
    assert!(refused.contains("Connection refused"), "{refused}");
    server.start_again().await;
    assert_eq!(server.url(), url);
    assert_eq!(ask_redis(&url, &["EXISTS", "key"]), "0");
}

#[tokio::test]
async fn a_flushed_redis_is_empty() {
    let server = RedisServer::start().await;
    assert_eq!(ask_redis(&server.url(), &["SET", "key", "1"]), "OK");
    server.flush_all().await;
    assert_eq!(ask_redis(&server.url(), &["DBSIZE"]), "0");
}

#[tokio::test]
async fn a_redis_with_a_password_refuses_every_other() {
    let server = RedisServer::start_with_password("a \"b/c@").await;
    let url = server.url();
    assert!(
        url.starts_with("redis://:a%20%22b%2Fc%40@127.0.0.1:"),
        "{url}"
    );
    server.flush_all().await;
    assert_eq!(ask_redis_with("a \"b/c@", &url, &["PING"]), "PONG");
    let refused = ask_redis_with("wrong", &url, &["PING"]);
    assert!(refused.contains("NOAUTH"), "{refused}");
    let refused = ask_redis(&url, &["PING"]);
    assert!(refused.contains("NOAUTH"), "{refused}");
}

#[tokio::test]
async fn a_paused_redis_accepts_and_does_not_answer_until_resumed() {
    let server = RedisServer::start().await;
    server.pause();
    let url = server.url();
    let mut asking = tokio::task::spawn_blocking(move || ask_redis(&url, &["PING"]));
    let quiet = std::time::Duration::from_millis(200);
    assert!(tokio::time::timeout(quiet, &mut asking).await.is_err());
    server.resume();
    assert_eq!(asking.await.expect("the question is answered"), "PONG");
}
