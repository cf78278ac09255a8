//! What is wrong is said once, clearly, and without a secret; and the process ends with an error.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::common::system::free_port;
use crate::fleet::{Fleet, Plan};
use crate::operator::{Answer, finish};
use crate::site::{Role, Site};

/// The exit code of a process that could not start.
const FAILED: i32 = 3;
const WRONG_PASSWORD: &str = "notThePassword";

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_ready_is_refused_with_what_to_run() {
    let fleet = Fleet::prepare(nobody(), false).await;
    all_refuse(&fleet.site, &["tandem db migrate"]).await;

    fleet.tandem(&["db", "migrate"]).await;
    all_refuse(
        &fleet.site,
        &["`customers`", "was not applied", "tandem apply"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_or_password_is_refused_by_name() {
    let fleet = Fleet::prepare(nobody(), true).await;
    let right = &fleet.site;

    all_refuse(&database(right, "nonsense"), &["write postgres://"]).await;
    let nobody_there = format!(
        "postgres://tandem:{WRONG_PASSWORD}@127.0.0.1:{}/fleet",
        free_port()
    );
    all_refuse(
        &database(right, &nobody_there),
        &["no PostgreSQL could be reached at 127.0.0.1:"],
    )
    .await;
    let refused = with_password(&right.database_url, WRONG_PASSWORD);
    all_refuse(
        &database(right, &refused),
        &["refuses user `tandem`", "check user and password"],
    )
    .await;
    let absent = right.database_url.replace("/fleet", "/elsewhere");
    all_refuse(&database(right, &absent), &["elsewhere", "does not exist"]).await;

    let redis_url = right.redis_url.as_deref().expect("the fleet has a Redis");
    let refused = with_password(redis_url, WRONG_PASSWORD);
    all_refuse(
        &redis(right, &refused),
        &["Redis at", "check user and password in the Redis URL"],
    )
    .await;
    all_refuse(&redis(right, "nonsense"), &["the Redis URL cannot be read"]).await;

    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let taken = other.local_addr().expect("it is bound");
    for role in Role::ALL {
        refuses(right, role, taken, &["cannot listen on", "TANDEM_LISTEN"]).await;
    }

    let missing = Site {
        config: fleet.folder().join("missing.yaml"),
        ..right.clone()
    };
    all_refuse(&missing, &["missing.yaml"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_refuse_a_wrong_database_too() {
    let fleet = Fleet::prepare(nobody(), false).await;
    let refused = with_password(&fleet.site.database_url, WRONG_PASSWORD);
    let site = database(&fleet.site, &refused);
    for arguments in [&["db", "migrate"][..], &["apply"], &["sync", "status"]] {
        let mut command = site.operator();
        command.args(arguments);
        one_message(&finish(command).await, &["refuses user `tandem`"]);
    }
    let mut command = fleet.site.operator();
    command.arg("apply");
    one_message(&finish(command).await, &["tandem db migrate"]);
}

/// Servers and configuration, and no process.
fn nobody() -> Plan {
    Plan {
        apis: 0,
        schedulers: 0,
        workers: 0,
        ..Plan::small(0)
    }
}

fn database(site: &Site, url: &str) -> Site {
    Site {
        database_url: url.to_owned(),
        ..site.clone()
    }
}

fn redis(site: &Site, url: &str) -> Site {
    Site {
        redis_url: Some(url.to_owned()),
        ..site.clone()
    }
}

fn with_password(url: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (credentials, place) = rest.rsplit_once('@').expect("a URL with a password");
    let (user, _) = credentials.split_once(':').expect("user and password");
    format!("{scheme}://{user}:{password}@{place}")
}

/// Insists that the program of each kind ends with one message that has these words.
async fn all_refuse(site: &Site, words: &[&str]) {
    for role in Role::ALL {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        refuses(site, role, listen, words).await;
    }
}

async fn refuses(site: &Site, role: Role, listen: SocketAddr, words: &[&str]) {
    let answer = finish(site.process(role, listen)).await;
    let message = one_message(&answer, words);
    let program = format!("tandem-{}: ", role.name());
    assert!(message.starts_with(&program), "{answer:?}");
}

/// Insists that one message says why, apart from what the log says of the steps that went well.
fn one_message<'a>(answer: &'a Answer, words: &[&str]) -> &'a str {
    assert_eq!(answer.code, Some(FAILED), "{answer:?}");
    assert_eq!(answer.out, "", "{answer:?}");
    let lines = answer.err.lines().filter(|line| !line.contains(" INFO "));
    let messages: Vec<&str> = lines.collect();
    let [message] = messages[..] else {
        panic!("not one message: {answer:?}");
    };
    for word in words {
        assert!(message.contains(word), "no `{word}` in {answer:?}");
    }
    assert!(!answer.err.contains(WRONG_PASSWORD), "{answer:?}");
    message
}
