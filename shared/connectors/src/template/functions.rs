//! The filters and constants of manifest expressions, besides those that minijinja brings along.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use minijinja::value::{Object, ObjectRepr, Value};
use minijinja::{Environment, Error, ErrorKind};
use tandem_domain::Timestamp;

use crate::class_object::class_datetime;
use crate::json_view::to_json;
use crate::manifest::Zone;
use crate::value_form::parse_instant;

/// The names that every expression can see.
const GLOBALS: [&str; 6] = ["omit", "range", "dict", "namespace", "debug", "cycler"];

/// Marks a member, parameter or header as absent.
#[derive(Debug)]
struct Omit;

impl Object for Omit {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }
}

/// The value that leaves out what it stands for.
fn omit() -> Value {
    Value::from_object(Omit)
}

pub(crate) fn is_omit(value: &Value) -> bool {
    value.downcast_object_ref::<Omit>().is_some()
}

pub(super) fn is_global(name: &str) -> bool {
    GLOBALS.contains(&name)
}

pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_global("omit", omit());
    environment.add_filter("base64", |text: &str| STANDARD.encode(text));
    environment.add_filter("base64url", |text: &str| URL_SAFE_NO_PAD.encode(text));
    environment.add_filter("json", json);
    environment.add_filter("time", time);
    environment.add_filter("epoch_s", |text: &str| {
        instant(text).map(Timestamp::as_secs)
    });
    environment.add_filter("epoch_ms", |text: &str| {
        instant(text).map(Timestamp::as_millis)
    });
    environment.add_filter("ms_date", |text: &str| {
        instant(text).map(|at| format!("/Date({})/", at.as_millis()))
    });
    environment.add_filter("class_datetime", |text: &str| {
        instant(text).map(|at| Value::from(minijinja::value::Serde(class_datetime(at))))
    });
    environment.add_filter("instant", to_instant);
    environment.add_filter("map_as", map_as);
    environment.add_filter("prefixed", |text: &str, prefix: &str| {
        text.starts_with(prefix)
    });
}

/// Any value as JSON text. (minijinja's own `tojson` escapes for HTML, which changes signed or encoded text.)
fn json(value: &Value) -> Result<String, Error> {
    to_json(value)
        .map(|json| json.to_string())
        .map_err(|reason| Error::new(ErrorKind::BadSerialization, reason))
}

fn instant(text: &str) -> Result<Timestamp, Error> {
    parse_instant(text).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("`{text}` is not an instant such as 2026-01-31T12:00:00Z"),
        )
    })
}

/// An instant in any form, in UTC or in another zone: `since|time("%Y-%m-%d %H:%M:%S", "Europe/Vienna")`.
fn time(text: &str, format: &str, zone: Option<&str>) -> Result<String, Error> {
    let invalid = |reason: String| Error::new(ErrorKind::InvalidOperation, reason);
    let wrong = |error: jiff::Error| invalid(error.to_string());
    let zone = match zone {
        Some(name) => Zone::parse(name).map_err(invalid)?.inner().clone(),
        None => jiff::tz::TimeZone::UTC,
    };
    let at = jiff::Timestamp::from_microsecond(instant(text)?.as_micros()).map_err(wrong)?;
    jiff::fmt::strtime::format(format, &at.to_zoned(zone)).map_err(wrong)
}

/// A list of values as a list of objects with one member: `[1, 2]|map_as("id")`.
fn map_as(list: &Value, name: &str) -> Result<Value, Error> {
    list.try_iter().map(|elements| {
        elements
            .map(|value| Value::from_pairs([(name, value)]))
            .collect()
    })
}

/// A number of seconds or milliseconds since 1970 as an instant: `event.created|instant("s")`.
fn to_instant(number: i64, unit: &str) -> Result<String, Error> {
    match unit {
        "s" => Ok(Timestamp::from_secs(number).to_string()),
        "ms" => Ok(Timestamp::from_millis(number).to_string()),
        other => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("`{other}` is not `s` or `ms`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Place, Scope, Text};

    fn render(template: &str) -> String {
        let text = Text::parse(template, Place::default()).expect("it compiles");
        let scope = Scope::default()
            .with("since", "2026-11-20T18:03:13.478342Z")
            .with("user", "ada");
        text.plain(&scope.value())
            .expect("it renders")
            .expect("it is not omitted")
    }

    #[test]
    fn times_take_every_form_that_systems_ask_for() {
        assert_eq!(render("{{ since|epoch_ms }}"), "1795197793478");
        assert_eq!(render("{{ since|epoch_s }}"), "1795197793");
        assert_eq!(render("{{ since|ms_date }}"), "/Date(1795197793478)/");
        assert_eq!(
            render("{{ since|time('%Y-%m-%dT%H:%M:%S') }}"),
            "2026-11-20T18:03:13"
        );
        assert_eq!(
            render("{{ since|time('%Y-%m-%dT%H:%M:%S.%6f') }}"),
            "2026-11-20T18:03:13.478342"
        );
        for (zone, local) in [("Europe/Vienna", "19:03"), ("-03:30", "14:33")] {
            let template = format!("{{{{ since|time('%H:%M', '{zone}') }}}}");
            assert_eq!(render(&template), local);
        }
    }

    #[test]
    fn encodings_are_exact() {
        assert_eq!(
            render("Basic {{ (user ~ ':' ~ '?>')|base64 }}"),
            "Basic YWRhOj8+"
        );
        assert_eq!(render("{{ (user ~ ':' ~ '?>')|base64url }}"), "YWRhOj8-");
        assert_eq!(render("{{ ['<', 1, none]|json }}"), "[\"<\",1,null]");
        assert_eq!(render("{{ {'a': {'b': 1}}|json }}"), "{\"a\":{\"b\":1}}");
    }
}
