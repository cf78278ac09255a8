//! From the text of a configuration file to plain data, every mistake with its place.

use std::path::Path;
use std::sync::Arc;

use tandem_domain::Clock;

use tandem_connectors::read_short_file;

use super::error::{ConfigError, Problem};
use super::mending::{Read, read};
use super::places::Places;
use super::{Built, Configuration, Environment, Source};

/// The longest configuration, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

impl Configuration {
    /// Reads a configuration file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`ConfigError`] with file, line, column and field.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let Read {
            configuration,
            problems,
            ..
        } = Self::read_file(file)?;
        whole(configuration, problems)
    }

    /// As [`Configuration::load`], for whoever builds it next: when the file has mistakes of form, what
    /// can be read all the same is built, so that every mistake is reported at once.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong, in the order of the file.
    pub fn load_to_build(
        file: &Path,
        environment: &Environment<'_>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        Self::load_to_build_by(file, |rest| rest.build(environment, Arc::clone(&clock)))
    }

    /// As [`Configuration::load_to_build`], by this way of building.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong, in the order of the file.
    pub fn load_to_build_by(
        file: &Path,
        build: impl FnOnce(&Self) -> Result<Built, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let Read {
            configuration,
            mut problems,
            made_up,
        } = Self::read_file(file)?;
        if let Some(rest) = configuration.as_ref().filter(|_| !problems.is_empty()) {
            let further = build(rest).err();
            let further = further.map_or_else(Vec::new, |error| error.problems);
            let told = |problem: &Problem| {
                // What was put in the place of a mistake may be wrong in itself.
                !made_up.iter().any(|path| path.holds(&problem.field))
            };
            problems.extend(further.into_iter().filter(told));
        }
        whole(configuration, problems)
    }

    /// Reads the text of a configuration file; `file` names it in messages, and its folder is the one
    /// that paths are relative to.
    ///
    /// # Errors
    /// [`ConfigError`] with file, line, column and field.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let Read {
            configuration,
            problems,
            ..
        } = Self::read_in(file, text, file.parent().unwrap_or(Path::new("")));
        whole(configuration, problems)
    }

    fn read_file(file: &Path) -> Result<Read, ConfigError> {
        let unreadable = |error: std::io::Error| ConfigError::unreadable(file, &error);
        let text = read_short_file(file, FILE_BYTES_MAX).map_err(unreadable)?;
        // What is stored must mean the same in a process that starts elsewhere.
        let folder = std::path::absolute(file).map_err(unreadable)?;
        let folder = folder.parent().unwrap_or(Path::new("/"));
        Ok(Self::read_in(file, &text, folder))
    }

    fn read_in(file: &Path, text: &str, folder: &Path) -> Read {
        let places = Places::of(text);
        let mut found = read(file, text, &places);
        if let Some(configuration) = &mut found.configuration {
            configuration.source = Source {
                file: Some(file.to_owned()),
                places,
            };
            for connection in configuration.connections.values_mut() {
                connection.anchor(folder);
            }
        }
        found
    }
}

/// The configuration, if nothing is wrong with it.
fn whole(
    configuration: Option<Configuration>,
    mut problems: Vec<Problem>,
) -> Result<Configuration, ConfigError> {
    match configuration {
        Some(configuration) if problems.is_empty() => Ok(configuration),
        _ => {
            problems.sort_by_key(|problem| problem.mark);
            Err(ConfigError { problems })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_configuration_that_is_a_device_is_refused() {
        let error = Configuration::load(Path::new("/dev/zero")).expect_err("it is refused");
        assert!(
            error.to_string().contains("a regular file is needed"),
            "{error}"
        );
    }

    fn refusal(text: &str) -> String {
        Configuration::parse(Path::new("tandem.yaml"), text)
            .expect_err("it is refused")
            .to_string()
    }

    #[test]
    fn every_mistake_of_form_is_named_with_its_place_and_field() {
        for (text, expected) in [
            (
                "connections:\n  crm:\n    connecter: hubspot\n",
                "tandem.yaml:3:5: connections.crm: unknown field `connecter`; did you mean `connector`?",
            ),
            (
                "sync: {}\n",
                "tandem.yaml:1:1: unknown field `sync`; did you mean `syncs`?",
            ),
            (
                "connections:\n  CRM:\n    connector: hubspot\n",
                "tandem.yaml:2:3: connections.CRM: `CRM` is not a name: use 1 to 64 lower-case letters, digits, `-` and `_`, starting with a letter",
            ),
            (
                "connections:\n  crm:\n    limits: {}\n",
                "tandem.yaml:2:3: connections.crm: the field `connector` is missing",
            ),
            (
                "connections:\n  crm:\n    connector: hubspot\n    limits: { concurrency: many }\n",
                "tandem.yaml:4:28: connections.crm.limits.concurrency: expected a whole number that is not negative",
            ),
            (
                "connections:\n  crm:\n    connector: hubspot\n    limits: { requests_per_second: fast }\n",
                "tandem.yaml:4:36: connections.crm.limits.requests_per_second: expected a number",
            ),
            (
                "server: { listen: 8080 }\n",
                "tandem.yaml:1:19: server.listen: `8080` is not an address to listen on; write one such as 127.0.0.1:8080 or [::]:8080",
            ),
            (
                "server: {}\nserver: {}\n",
                "tandem.yaml:2:1: the field `server` stands here twice; keep one",
            ),
            (
                "server:\n  listen: [\n",
                "tandem.yaml:2:11: server.listen: expected string scalar",
            ),
        ] {
            assert_eq!(refusal(text), expected);
        }
    }

    #[test]
    fn a_reference_that_is_none_is_refused_without_repeating_it() {
        let crm = "connections:\n  crm:\n    connector: hubspot\n";
        for (text, expected) in [
            (
                "    credentials:\n      token: hunter2\n",
                "tandem.yaml:5:14: connections.crm.credentials.token: a secret is written out here; keep it in the environment or in a file and write { env: NAME } or { file: PATH }",
            ),
            (
                "    base_url: { env: A, file: b }\n",
                "tandem.yaml:4:15: connections.crm.base_url: name one place only: { env: NAME } or { file: PATH }",
            ),
            (
                "    webhook: { secrets: [ { evn: A } ] }\n",
                "tandem.yaml:4:29: connections.crm.webhook.secrets[0]: unknown field `evn`; there is `env`, `file`",
            ),
        ] {
            assert_eq!(refusal(&format!("{crm}{text}")), expected);
        }
    }

    #[test]
    fn mistakes_in_a_sync_are_named_with_their_place_and_field() {
        let ends = "syncs:\n  customers:\n    a: { connection: crm, stream: companies }\n    b: { connection: books, stream: contacts }\n";
        for (text, expected) in [
            (
                "    match: [name]\n    fields: { name: {} }\n    conflict: last_writer_wins\n",
                "tandem.yaml:7:15: syncs.customers.conflict: unknown word `last_writer_wins`; did you mean `last_write_wins`?",
            ),
            (
                "    match: [name]\n",
                "tandem.yaml:2:3: syncs.customers: the field `fields` is missing",
            ),
            (
                "    match: [[]]\n    fields: { name: {} }\n",
                "tandem.yaml:5:13: syncs.customers.match[0]: a match key needs at least one field",
            ),
            (
                "    match: [name]\n    fields: { name: { transforms: [lowercase] } }\n",
                "tandem.yaml:6:36: syncs.customers.fields.name.transforms[0]: unknown word `lowercase`; did you mean `lower`?",
            ),
            (
                "    match: [name]\n    fields: { name: { equality: { decimal: 2 } } }\n",
                "tandem.yaml:6:35: syncs.customers.fields.name.equality.decimal: unknown word `decimal`; did you mean `decimals`?",
            ),
        ] {
            assert_eq!(refusal(&format!("{ends}{text}")), expected);
        }
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let text = "connections:\n  crm: { connector: my/crm.yaml, credentials: { token: { file: token } } }\n";
        let configuration =
            Configuration::parse(Path::new("/etc/tandem.yaml"), text).expect("it is fine");
        assert_eq!(configuration.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(configuration.scheduler.runs_max, 5);
        assert_eq!(configuration.retention.changes_days, 400);
        let crm = &configuration.connections["crm"];
        assert_eq!(crm.connector, "/etc/my/crm.yaml");
        assert_eq!(
            crm.credentials["token"].0,
            super::super::Reference::File("/etc/token".into())
        );
    }
}
