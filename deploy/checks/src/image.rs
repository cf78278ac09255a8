//! Rules for the Dockerfile.

use crate::documents::is_pinned;
use crate::{PROGRAMS, Problems, demand};

/// What is wrong with a Dockerfile, for a workspace that asks for this version of Rust.
#[must_use]
pub fn problems(dockerfile: &str, rust_version: &str) -> Problems {
    let mut found = Problems::new();
    let lines: Vec<&str> = dockerfile.lines().map(str::trim).collect();
    let images = lines.iter().filter_map(|line| line.strip_prefix("FROM "));
    for image in images.clone().filter_map(|rest| rest.split(' ').next()) {
        let minimal = image.starts_with("gcr.io/distroless/") && image.ends_with(":nonroot");
        demand(&mut found, minimal || is_pinned(image), || {
            format!("`{image}` names no version")
        });
        if let Some(version) = image.strip_prefix("rust:") {
            let fits = version.split('-').next() == Some(rust_version);
            demand(&mut found, fits, || {
                format!("builds with Rust {version}, the workspace asks for {rust_version}")
            });
        }
    }
    let last = dockerfile.rsplit("\nFROM ").next().unwrap_or_default();
    let user = last.lines().find_map(|line| line.strip_prefix("USER "));
    let unprivileged = user.is_some_and(|user| {
        user.split(':')
            .all(|id| id.parse().is_ok_and(|id: u32| id > 0))
    });
    demand(&mut found, unprivileged, || {
        "the last stage must name a USER other than root, by number".to_owned()
    });
    for program in PROGRAMS {
        let copied = lines.iter().any(|line| {
            line.split(' ')
                .any(|word| word.ends_with(&format!("release/{program}")))
        });
        demand(&mut found, copied, || format!("{program} is not copied"));
    }
    let builds = dockerfile.matches("cargo build").count();
    demand(
        &mut found,
        builds == dockerfile.matches("--locked").count(),
        || "a build does not keep to Cargo.lock".to_owned(),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "FROM rust:1.95-bookworm AS builder\n\
        RUN cargo build --release --locked \\\n\
        && cp target/release/tandem target/release/tandem-api \\\n\
        target/release/tandem-scheduler target/release/tandem-worker /out/\n\
        FROM gcr.io/distroless/cc-debian12:nonroot\n\
        USER 65532:65532\n";

    #[test]
    fn a_good_file_has_no_problem() {
        assert_eq!(problems(GOOD, "1.95"), Problems::new());
    }

    #[test]
    fn each_thing_that_is_broken_is_told() {
        for (good, broken) in [
            ("rust:1.95-bookworm", "rust:1.94-bookworm"),
            ("rust:1.95-bookworm", "rust"),
            ("cc-debian12:nonroot", "cc-debian12"),
            ("USER 65532:65532", "USER 0"),
            ("USER 65532:65532", "USER nonroot"),
            ("USER 65532:65532", ""),
            ("release/tandem-worker", "release/worker"),
            ("--locked", ""),
        ] {
            let told = problems(&GOOD.replace(good, broken), "1.95");
            assert_eq!(told.len(), 1, "{broken}: {told:?}");
        }
    }
}
