//! Rules for the units of systemd. What its own parser finds, `deploy/check.sh` has it find.

use crate::environment::{Names, is_read};
use crate::{PROGRAMS, Problems, STOP_SECS, demand};

/// What a service may not do.
const GUARDS: [&str; 7] = [
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "CapabilityBoundingSet=",
    "MemoryDenyWriteExecute=yes",
    "SystemCallFilter=@system-service",
];

/// What is wrong with a service.
#[must_use]
pub fn problems(unit: &str, known: &Names) -> Problems {
    let mut found = Problems::new();
    for guard in GUARDS {
        demand(&mut found, unit.lines().any(|line| line == guard), || {
            format!("lacks `{guard}`")
        });
    }
    let starts: Vec<&str> = values(unit, "ExecStart").collect();
    demand(&mut found, !starts.is_empty(), || {
        "starts nothing".to_owned()
    });
    for start in starts {
        let program = start.split(' ').next().unwrap_or_default();
        let name = program.strip_prefix("/usr/local/bin/").unwrap_or_default();
        demand(&mut found, PROGRAMS.contains(&name), || {
            format!("starts `{program}`")
        });
    }
    for setting in values(unit, "Environment") {
        let name = setting.split('=').next().unwrap_or_default();
        demand(&mut found, is_read(name, known), || {
            format!("sets `{name}`, which nobody reads")
        });
    }
    let secrets = values(unit, "EnvironmentFile").any(|file| file == "/etc/tandem/tandem.env");
    demand(&mut found, secrets, || {
        "does not read /etc/tandem/tandem.env".to_owned()
    });
    demand(&mut found, values(unit, "User").eq(["tandem"]), || {
        "does not run as tandem".to_owned()
    });
    if !values(unit, "Type").eq(["oneshot"]) {
        found.extend(lasting(unit));
    }
    found
}

fn lasting(unit: &str) -> Problems {
    let mut found = Problems::new();
    let stop = values(unit, "TimeoutStopSec").next().unwrap_or_default();
    let secs = stop.strip_suffix('s').and_then(|secs| secs.parse().ok());
    demand(
        &mut found,
        secs.is_some_and(|secs: u64| secs > STOP_SECS),
        || format!("is killed after `{stop}`, but may need {STOP_SECS} s"),
    );
    demand(&mut found, values(unit, "Restart").eq(["always"]), || {
        "is not started again".to_owned()
    });
    let requires = values(unit, "Requires").next().is_some();
    demand(&mut found, !requires, || {
        "requires another unit, and would stay down when that fails once".to_owned()
    });
    demand(
        &mut found,
        values(unit, "PartOf").eq(["tandem.target"]),
        || "does not stop with tandem.target".to_owned(),
    );
    found
}

/// All values of a key.
pub fn values<'a>(unit: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    unit.lines()
        .filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> String {
        let guards = GUARDS.join("\n");
        format!(
            "[Unit]\nPartOf=tandem.target\n[Service]\nType=exec\nUser=tandem\nEnvironment=RUST_LOG=info\n\
             EnvironmentFile=/etc/tandem/tandem.env\nExecStart=/usr/local/bin/tandem-worker\n\
             Restart=always\nTimeoutStopSec=40s\n{guards}\n"
        )
    }

    #[test]
    fn a_good_unit_has_no_problem() {
        assert_eq!(problems(&good(), &Names::new()), Problems::new());
    }

    #[test]
    fn each_thing_that_is_broken_is_told() {
        for (good_line, broken) in [
            ("User=tandem\n", ""),
            ("TimeoutStopSec=40s", "TimeoutStopSec=10s"),
            ("Restart=always", "Restart=no"),
            ("bin/tandem-worker", "bin/tandem-work"),
            ("Environment=RUST_LOG", "Environment=RUST_LOGS"),
            ("ProtectSystem=strict", "ProtectSystem=full"),
            ("/etc/tandem/tandem.env", "/etc/tandem.env"),
            ("[Unit]\n", "[Unit]\nRequires=tandem-migrate.service\n"),
            ("PartOf=tandem.target\n", ""),
        ] {
            let told = problems(&good().replace(good_line, broken), &Names::new());
            assert_eq!(told.len(), 1, "{broken}: {told:?}");
        }
    }
}
