//! Limits of what an expression may do. A manifest is written by somebody trusted, but what its expressions work on
//! comes from systems: a text from one, repeated as often as a number from another says, must not fill the memory.
//!
//! Instructions are not counted (minijinja's fuel): an expression has no loops, and is short.

use minijinja::value::{Rest, Value, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, filters};

/// The longest text that an expression or a template gives, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most values in a list that an expression gives.
const VALUES_MAX: usize = 1_000_000;
/// What a value that is no text takes in a text, in bytes, at a guess.
const VALUE_BYTES: usize = 32;

/// How long a text, or how many values, a filter would make of its arguments.
type Estimate = fn(&[Value]) -> usize;

pub(super) fn add_to(environment: &mut Environment<'static>) {
    let bounded: [(&'static str, Value, Estimate); 6] = [
        ("replace", Value::from_function(filters::replace), replaced),
        ("join", Value::from_function(filters::join), joined),
        ("indent", Value::from_function(filters::indent), indented),
        ("format", Value::from_function(filters::format), formatted),
        ("slice", Value::from_function(filters::slice), parted),
        ("batch", Value::from_function(filters::batch), parted),
    ];
    for (name, filter, estimate) in bounded {
        environment.add_filter(
            name,
            move |state: &mut State, arguments: Rest<ValueOrKwargs>| -> Result<Value, Error> {
                let arguments = arguments.into_values();
                if estimate(&arguments) > TEXT_BYTES_MAX {
                    return Err(too_long(name));
                }
                filter.call(state, &arguments)
            },
        );
    }
}

/// Refuses a result that is larger than any that is meant.
pub(super) fn check(value: &Value) -> Result<(), String> {
    if value
        .as_str()
        .is_some_and(|text| text.len() > TEXT_BYTES_MAX)
    {
        return Err(format!("the text is longer than {TEXT_BYTES_MAX} bytes"));
    }
    if value.len().is_some_and(|values| values > VALUES_MAX) && value.as_str().is_none() {
        return Err(format!("the list has more than {VALUES_MAX} values"));
    }
    Ok(())
}

fn too_long(name: &str) -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("`{name}` would make more than {TEXT_BYTES_MAX} bytes of it"),
    )
}

fn bytes(value: Option<&Value>) -> usize {
    value.map_or(0, |value| value.as_str().map_or(VALUE_BYTES, str::len))
}

fn count(value: Option<&Value>) -> usize {
    let number = value.and_then(|value| usize::try_from(value.clone()).ok());
    number.unwrap_or(0)
}

/// `text|replace(from, to)`.
fn replaced(arguments: &[Value]) -> usize {
    let [Some(text), Some(from)] = [0, 1].map(|at| arguments.get(at).and_then(Value::as_str))
    else {
        return 0;
    };
    let found = text.matches(from).count();
    text.len()
        .saturating_add(found.saturating_mul(bytes(arguments.get(2))))
}

/// `list|join(between)`.
fn joined(arguments: &[Value]) -> usize {
    let Some(list) = arguments.first() else {
        return 0;
    };
    let Ok(items) = list.try_iter() else { return 0 };
    let between = arguments.get(1).and_then(Value::as_str).map_or(0, str::len);
    let sizes = items.map(|item| bytes(Some(&item)).saturating_add(between));
    sizes.fold(0, usize::saturating_add)
}

/// `text|indent(width)`.
fn indented(arguments: &[Value]) -> usize {
    let text = arguments
        .first()
        .and_then(Value::as_str)
        .unwrap_or_default();
    let width = arguments
        .iter()
        .skip(1)
        .map(|one| named_count(one, "width"));
    let width = width.max().unwrap_or(0);
    (text.lines().count() + 1)
        .saturating_mul(width)
        .saturating_add(text.len())
}

/// A number that is given by its place or by its name.
fn named_count(argument: &Value, name: &str) -> usize {
    let by_name = argument.get_attr(name).ok();
    count(Some(argument)).max(count(by_name.as_ref()))
}

/// `text|format(…)`: the widths stand in the text, or among the arguments for each `*`.
fn formatted(arguments: &[Value]) -> usize {
    let text = arguments
        .first()
        .and_then(Value::as_str)
        .unwrap_or_default();
    let digits = text.split(|c: char| !c.is_ascii_digit());
    // A number that does not fit is larger than any limit.
    let widths = digits
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap_or(usize::MAX));
    let given = arguments.iter().skip(1).filter(|_| text.contains('*'));
    let given = given.map(|argument| count(Some(argument)));
    let texts = arguments.iter().map(|argument| bytes(Some(argument)));
    widths
        .chain(given)
        .chain(texts)
        .fold(0, usize::saturating_add)
}

/// `list|slice(count)`, `list|batch(count, fill)`.
fn parted(arguments: &[Value]) -> usize {
    count(arguments.get(1)).saturating_mul(VALUE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::super::{Place, Scope, Text};
    use super::*;

    fn refused(template: &str) -> String {
        let text = Text::parse(template, Place::default()).expect("it compiles");
        let scope = Scope::default()
            .with("long", "a".repeat(100_000))
            .with("many", 2_000_000_000_i64);
        let error = text.plain(&scope.value()).expect_err(template);
        error.to_string()
    }

    #[test]
    fn no_filter_makes_a_text_without_measure_of_what_systems_give() {
        for (template, said) in [
            ("{{ long|replace('a', long) }}", "`replace` would make more"),
            ("{{ long|list|join(long) }}", "`join` would make more"),
            ("{{ long|indent(many) }}", "`indent` would make more"),
            ("{{ long|indent(width=many) }}", "`indent` would make more"),
            (
                "{{ '%2000000000s'|format(long) }}",
                "`format` would make more",
            ),
            ("{{ '%*d'|format(many, 1) }}", "`format` would make more"),
            ("{{ [1]|slice(many)|list }}", "`slice` would make more"),
            ("{{ long * 200 }}", "longer than"),
            ("{{ long * many }}", "too large"),
            ("{{ long }}{{ long * 80 }}{{ long * 80 }}", "longer than"),
        ] {
            let error = refused(template);
            assert!(error.contains(said), "{template}: {error}");
        }
    }

    #[test]
    fn ordinary_use_of_the_bounded_filters_is_as_before() {
        let render = |template: &str| {
            let text = Text::parse(template, Place::default()).expect("it compiles");
            let rows: Value = [1, 2]
                .map(|id| Value::from_pairs([("id", id)]))
                .into_iter()
                .collect();
            let scope = Scope::default().with("rows", rows).with("name", "a-b-c");
            text.plain(&scope.value()).expect("it renders")
        };
        for (template, rendered) in [
            ("{{ name|replace('-', '+') }}", "a+b+c"),
            ("{{ ['x', 1, 'y']|join(', ') }}", "x, 1, y"),
            ("{{ rows|join(',', attribute='id') }}", "1,2"),
            ("{{ rows|map(attribute='id')|join(',') }}", "1,2"),
            ("{{ '%05d %s'|format(42, name) }}", "00042 a-b-c"),
            ("{{ 'a\nb'|indent(2) }}", "a\n  b"),
            ("{{ [1, 2, 3]|batch(2)|first|join }}", "12"),
        ] {
            assert_eq!(render(template).as_deref(), Some(rendered), "{template}");
        }
    }
}
