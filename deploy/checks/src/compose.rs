//! Rules for `docker-compose.yml`.

use serde_json::Value;

use crate::documents::{entries_at, is_pinned, list_at, text_at};
use crate::environment::{Names, collect_listed, is_read};
use crate::{PROGRAMS, Problems, STOP_SECS, demand};

/// Parts of names whose values are secrets.
const SECRET_WORDS: [&str; 4] = ["PASSWORD", "TOKEN", "SECRET", "KEY"];
/// What the images of PostgreSQL and Redis read.
const FOREIGN_STARTS: [&str; 2] = ["POSTGRES_", "REDISCLI_"];

/// What is wrong with a Compose file. `text` is the file, `compose` what it parses to, `example` the file
/// that lists its variables, and `known` what our programs read.
#[must_use]
pub fn problems(text: &str, compose: &Value, example: &str, known: &Names) -> Problems {
    let mut found = variables(text, example);
    let ended = one_shots(compose);
    for (name, service) in entries_at(compose, "/services") {
        let tool = service.pointer("/profiles").is_some();
        let mut told = guards(service);
        told.extend(environment(service, known));
        if tool || ended.contains(&name) {
            told.extend(program(service));
        } else {
            told.extend(long_running(service));
        }
        told.extend(order(service, compose));
        found.extend(
            told.into_iter()
                .map(|problem| format!("service {name}: {problem}")),
        );
    }
    found.extend(scalable(compose));
    found
}

/// Services that others wait to see ended.
fn one_shots(compose: &Value) -> Vec<&str> {
    entries_at(compose, "/services")
        .flat_map(|(_, service)| entries_at(service, "/depends_on"))
        .filter(|(_, how)| text_at(how, "/condition") == "service_completed_successfully")
        .map(|(name, _)| name)
        .collect()
}

/// `${NAME…}` of a text: the name, and what follows it up to the brace.
fn interpolations(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.starts_with('#'));
    lines
        .flat_map(|line| line.split("${").skip(1))
        .map(|after| {
            let inside = after.split('}').next().unwrap_or(after);
            let end = inside
                .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                .unwrap_or(inside.len());
            inside.split_at(end)
        })
}

fn variables(text: &str, example: &str) -> Problems {
    let mut found = Problems::new();
    let mut listed = Names::new();
    collect_listed(example, &mut listed);
    for (name, rest) in interpolations(text) {
        demand(&mut found, listed.contains(name), || {
            format!("`{name}` is not in the example of the variables")
        });
        let secret = SECRET_WORDS.iter().any(|word| name.contains(word));
        let said = rest.strip_prefix(":?").is_some_and(|says| says.len() > 10);
        demand(&mut found, !secret || said, || {
            format!("`{name}` must be refused when empty, with a message: ${{{name}:?…}}")
        });
    }
    found
}

/// What keeps a broken container from doing harm.
fn guards(service: &Value) -> Problems {
    let mut found = Problems::new();
    let image = text_at(service, "/image");
    demand(&mut found, is_pinned(image), || {
        format!("the image `{image}` names no version")
    });
    let dropped = list_at(service, "/cap_drop").iter().any(|cap| cap == "ALL");
    let kept = list_at(service, "/cap_add");
    demand(&mut found, dropped && kept.is_empty(), || {
        "keeps capabilities".to_owned()
    });
    let options = list_at(service, "/security_opt");
    let no_new = options
        .iter()
        .any(|option| option == "no-new-privileges:true");
    demand(&mut found, no_new, || "may gain privileges".to_owned());
    for (key, good) in [
        ("/read_only", service["read_only"] == true),
        ("/mem_limit", service["mem_limit"].is_string()),
        ("/container_name", service.get("container_name").is_none()),
        ("/privileged", service.get("privileged").is_none()),
    ] {
        demand(&mut found, good, || format!("{key} is not as it should be"));
    }
    found
}

fn environment(service: &Value, known: &Names) -> Problems {
    let mut found = Problems::new();
    for (name, value) in entries_at(service, "/environment") {
        let foreign = FOREIGN_STARTS.iter().any(|start| name.starts_with(start));
        demand(&mut found, foreign || is_read(name, known), || {
            format!("sets `{name}`, which nobody reads")
        });
        let secret = SECRET_WORDS.iter().any(|word| name.contains(word));
        let asked = value.as_str().is_some_and(|text| text.starts_with("${"));
        demand(&mut found, !secret || asked, || {
            format!("`{name}` has a value in the file")
        });
    }
    found
}

fn long_running(service: &Value) -> Problems {
    let mut found = Problems::new();
    demand(&mut found, service["restart"] == "unless-stopped", || {
        "is not started again".to_owned()
    });
    let test = list_at(service, "/healthcheck/test");
    demand(&mut found, !test.is_empty(), || {
        "has no health check".to_owned()
    });
    if !text_at(service, "/image").starts_with("tandem:") {
        return found;
    }
    found.extend(program(service));
    let command = list_at(service, "/command").first();
    let asks_itself = test.get(1) == command && test.get(2).is_some_and(|word| word == "health");
    demand(&mut found, asks_itself, || {
        "its health check asks another program".to_owned()
    });
    let grace = text_at(service, "/stop_grace_period");
    let secs = grace.strip_suffix('s').and_then(|secs| secs.parse().ok());
    demand(
        &mut found,
        secs.is_some_and(|secs: u64| secs > STOP_SECS),
        || format!("stops in `{grace}`, but may need {STOP_SECS} s"),
    );
    found
}

fn program(service: &Value) -> Problems {
    let mut found = Problems::new();
    let start = match list_at(service, "/entrypoint") {
        [] => list_at(service, "/command"),
        entrypoint => entrypoint,
    };
    let program = start.first().and_then(Value::as_str).unwrap_or_default();
    demand(&mut found, PROGRAMS.contains(&program), || {
        format!("runs `{program}`, which is not in the image")
    });
    found
}

/// Whom it waits for, and for what.
fn order(service: &Value, compose: &Value) -> Problems {
    let mut found = Problems::new();
    for (name, how) in entries_at(service, "/depends_on") {
        let other = &compose["services"][name];
        let condition = text_at(how, "/condition");
        demand(&mut found, other.is_object(), || {
            format!("waits for `{name}`, which is no service")
        });
        let checked = other.get("healthcheck").is_some();
        demand(
            &mut found,
            condition != "service_healthy" || checked,
            || format!("waits for the health of `{name}`, which has no check"),
        );
        demand(&mut found, condition != "service_started", || {
            format!("waits for the start of `{name}` only")
        });
    }
    found
}

/// Workers are many, so they cannot publish a port each.
fn scalable(compose: &Value) -> Problems {
    let mut found = Problems::new();
    let published = compose.pointer("/services/worker/ports").is_some();
    demand(&mut found, !published, || {
        "service worker: publishes a port, so a second one cannot start".to_owned()
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::one_yaml;

    const GOOD: &str = r#"
services:
  db:
    image: postgres:16
    restart: unless-stopped
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    mem_limit: 1g
    environment: { POSTGRES_PASSWORD: "${DB_PASSWORD:?fill in the file .env}" }
    healthcheck: { test: [CMD, pg_isready] }
  worker:
    image: tandem:0.1.0
    command: [tandem-worker]
    restart: unless-stopped
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    mem_limit: 1g
    stop_grace_period: 40s
    environment: { RUST_LOG: info }
    healthcheck: { test: [CMD, tandem-worker, health] }
    depends_on: { db: { condition: service_healthy } }
"#;

    fn told(text: &str) -> Problems {
        let compose = one_yaml(text).expect("it is YAML");
        problems(text, &compose, "DB_PASSWORD=\n", &Names::new())
    }

    #[test]
    fn a_good_file_has_no_problem() {
        assert_eq!(told(GOOD), Problems::new());
    }

    #[test]
    fn each_thing_that_is_broken_is_told() {
        for (good, broken) in [
            ("postgres:16", "postgres:latest"),
            ("${DB_PASSWORD:?fill in the file .env}", "hunter2"),
            ("${DB_PASSWORD:?fill in the file .env}", "${DB_PASSWORD:-x}"),
            ("${DB_PASSWORD:?f", "${PASSWORD_OF_DB:?f"),
            ("[CMD, tandem-worker, health]", "[CMD, tandem-api, health]"),
            ("healthcheck: { test: [CMD, pg_isready] }", "tty: true"),
            ("40s", "10s"),
            ("read_only: true", "read_only: false"),
            ("cap_drop: [ALL]", "cap_drop: [NET_RAW]"),
            ("no-new-privileges:true", "apparmor:unconfined"),
            ("mem_limit: 1g", "tty: true"),
            ("restart: unless-stopped", "restart: \"no\""),
            ("RUST_LOG: info", "RUST_LOGS: info"),
            ("command: [tandem-worker]", "command: [tandem-works]"),
            ("service_healthy", "service_started"),
            ("{ db: {", "{ dbx: {"),
            (
                "stop_grace_period: 40s",
                "stop_grace_period: 40s\n    ports: [\"1:1\"]",
            ),
            (
                "stop_grace_period: 40s",
                "stop_grace_period: 40s\n    container_name: w",
            ),
        ] {
            let text = GOOD.replace(good, broken);
            assert_ne!(text, GOOD, "{good}");
            assert_ne!(told(&text), Problems::new(), "{broken}");
        }
    }
}
