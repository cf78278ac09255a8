//! Expressions and templates of manifests.
//!
//! One rule: a text that starts with `=` is an expression and keeps the type of its value (a lone `=` is
//! just that); any other text is a template, in which `{{ … }}` holds expressions, and gives text. There are no statements
//! (`{% … %}`). In a request an undefined value is an error; in a rule about an answer it is false, since
//! answers differ in what they hold. Expressions are compiled once, when the manifest is read.

mod bounds;
mod functions;
mod names;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Object, Value};
use minijinja::{Environment, ErrorKind, Expression, UndefinedBehavior};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value as Json;
use serde_saphyr::Spanned;

use crate::json_view::to_json;

pub(crate) use functions::is_omit;
pub use text::{Node, Text};

/// A manifest expression longer than this is a program, and belongs elsewhere.
const EXPRESSION_BYTES_MAX: usize = 8 * 1024;

/// Where in its file something stands; lines and columns count from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl Place {
    pub(crate) fn of<T>(spanned: &Spanned<T>) -> Self {
        Self {
            line: spanned.referenced.line(),
            column: spanned.referenced.column(),
        }
    }
}

static STRICT: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(UndefinedBehavior::SemiStrict));
static LENIENT: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(UndefinedBehavior::Chainable));

fn environment(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    bounds::add_to(&mut environment);
    functions::add_to(&mut environment);
    environment
}

/// What an expression can see: a few named values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope(Vec<(&'static str, Value)>);

impl Scope {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push((name, value.into()));
    }

    pub(crate) fn value(&self) -> Value {
        Value::from_object(self.clone())
    }
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        // The last one wins, so that an inner value hides an outer one.
        self.0
            .iter()
            .rev()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.clone())
    }
}

/// A compiled expression and where it stands in the manifest.
pub struct Expr {
    source: String,
    place: Place,
    compiled: Expression<'static, 'static>,
    uses: BTreeSet<String>,
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expr({})", self.source)
    }
}

impl Expr {
    /// Compiles an expression for a request: undefined values are errors.
    fn strict(source: &str, place: Place) -> Result<Self, String> {
        Self::compile(&STRICT, source, place)
    }

    fn compile(
        environment: &'static Environment<'static>,
        source: &str,
        place: Place,
    ) -> Result<Self, String> {
        if source.len() > EXPRESSION_BYTES_MAX {
            return Err(format!(
                "the expression is longer than {EXPRESSION_BYTES_MAX} bytes"
            ));
        }
        let compiled = environment
            .compile_expression_owned(source.to_owned())
            .map_err(|error| {
                format!(
                    "in the expression `{}`: {}",
                    source.trim(),
                    describe(&error)
                )
            })?;
        check_names(environment, source)?;
        let uses = compiled
            .undeclared_variables(true)
            .into_iter()
            .filter(|name| !functions::is_global(name.split('.').next().unwrap_or(name)))
            .collect();
        Ok(Self {
            source: source.trim().to_owned(),
            place,
            compiled,
            uses,
        })
    }

    /// The dotted names of the values that it looks at.
    pub(crate) const fn uses(&self) -> &BTreeSet<String> {
        &self.uses
    }

    pub(crate) fn looks_at(&self, name: &str) -> bool {
        self.uses
            .iter()
            .any(|used| used.split('.').next() == Some(name))
    }

    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn evaluate(&self, scope: &Value) -> Result<Value, TemplateError> {
        let value = self
            .compiled
            .eval(scope.clone())
            .map_err(|error| self.error(describe(&error)))?;
        bounds::check(&value).map_err(|reason| self.error(reason))?;
        Ok(value)
    }

    /// The value as JSON; `None` when it is `omit`.
    pub(crate) fn json(&self, scope: &Value) -> Result<Option<Json>, TemplateError> {
        let value = self.evaluate(scope)?;
        if is_omit(&value) {
            return Ok(None);
        }
        to_json(&value)
            .map(Some)
            .map_err(|reason| self.error(reason))
    }

    pub(crate) fn error(&self, reason: impl Into<String>) -> TemplateError {
        TemplateError {
            source: self.source.clone(),
            place: self.place,
            reason: reason.into(),
        }
    }
}

/// Whether all filters and tests of an expression exist. The compiler only looks for them when they are used.
fn check_names(environment: &'static Environment<'static>, source: &str) -> Result<(), String> {
    for (kind, name) in names::of(source) {
        let mut state = environment.empty_state();
        let tried = match kind {
            names::Kind::Filter => state.apply_filter(name, &[]).err(),
            names::Kind::Test => state.perform_test(name, &[]).err(),
        };
        match tried.map(|error| error.kind()) {
            Some(ErrorKind::UnknownFilter) => {
                return Err(format!("there is no filter `{name}`"));
            }
            Some(ErrorKind::UnknownTest) => return Err(format!("there is no test `is {name}`")),
            _ => {}
        }
    }
    Ok(())
}

fn describe(error: &minijinja::Error) -> String {
    error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    )
}

/// An expression about an answer: what an answer lacks is undefined, and undefined is false.
#[derive(Debug)]
pub struct Predicate(Expr);

impl Predicate {
    pub(crate) fn parse(source: &str, place: Place) -> Result<Self, String> {
        Expr::compile(&LENIENT, source, place).map(Self)
    }

    /// Whether it holds. An expression that fails (a comparison of unlike values) does not hold.
    pub(crate) fn holds(&self, scope: &Value) -> bool {
        self.0.evaluate(scope).is_ok_and(|value| value.is_true())
    }

    /// The text that it gives, if any.
    pub(crate) fn text(&self, scope: &Value) -> Option<String> {
        let value = self.0.evaluate(scope).ok()?;
        let absent = value.is_undefined() || value.is_none();
        (!absent)
            .then(|| value.to_string())
            .filter(|text| !text.is_empty())
    }

    /// The value that it gives, if any.
    pub(crate) fn value(&self, scope: &Value) -> Option<Value> {
        self.0
            .evaluate(scope)
            .ok()
            .filter(|value| !value.is_undefined() && !value.is_none())
    }

    pub(crate) const fn expr(&self) -> &Expr {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Predicate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        let source = spanned.value.strip_prefix('=').ok_or_else(|| {
            de::Error::custom(format!(
                "`{}` must be an expression: write it after a `=`",
                spanned.value
            ))
        })?;
        Self::parse(source, Place::of(&spanned)).map_err(de::Error::custom)
    }
}

/// An expression that could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    source: String,
    place: Place,
    reason: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "manifest line {}, `{}`: {}",
            self.place.line, self.source, self.reason
        )
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_keeps_its_type_and_names_what_it_uses() {
        let expr = Expr::strict(
            "fields.size + 1 if 'x' in fields else last.id|default(0)",
            Place::default(),
        );
        let expr = expr.expect("it compiles");
        let uses: Vec<&str> = expr.uses().iter().map(String::as_str).collect();
        assert_eq!(uses, ["fields", "fields.size", "last.id"]);
        let scope = Scope::default().with("fields", Value::from_pairs([("x", 1), ("size", 2)]));
        assert_eq!(expr.json(&scope.value()), Ok(Some(Json::from(3))));
    }

    #[test]
    fn an_undefined_value_is_an_error_in_a_request() {
        let expr = Expr::strict("fields.nme", Place { line: 7, column: 3 }).expect("it compiles");
        let scope = Scope::default().with("fields", Value::from_pairs([("name", "Ada")]));
        let error = expr.json(&scope.value()).expect_err("`nme` is not there");
        assert_eq!(
            error.to_string(),
            "manifest line 7, `fields.nme`: it has no value"
        );
    }

    #[test]
    fn a_filter_or_test_that_does_not_exist_is_a_mistake_when_the_manifest_is_read() {
        for (source, message) in [
            ("since|epochs", "no filter `epochs`"),
            ("a | default('x|y') | nope(1)", "no filter `nope`"),
            ("a if b is not strange else c", "no test `is strange`"),
        ] {
            let error = Expr::strict(source, Place::default()).expect_err(source);
            assert!(error.contains(message), "{source}: {error}");
        }
        for good in [
            "a|default('x | nope')|json",
            "'is nope' if a is not defined else b is mapping",
            "a|selectattr('type', 'equalto', 'x')|first|default(none)",
            "this if is_new else that",
        ] {
            Expr::strict(good, Place::default()).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
    }

    #[test]
    fn omit_is_neither_null_nor_text() {
        let expr = Expr::strict("since|default(omit)", Place::default()).expect("it compiles");
        assert_eq!(expr.json(&Scope::default().value()), Ok(None));
    }
}
