//! Texts with expressions in them, and trees of JSON in which texts are templates.

use minijinja::value::Value;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value as Json};
use serde_saphyr::Spanned;

use super::bounds::TEXT_BYTES_MAX;
use super::{Expr, Place, TemplateError, is_omit};

/// A text with `{{ expressions }}`, or one `=expression`.
#[derive(Debug)]
pub struct Text {
    parts: Vec<Part>,
    place: Place,
}

#[derive(Debug)]
enum Part {
    Literal(String),
    Value(Expr),
}

impl Text {
    pub(crate) fn parse(source: &str, place: Place) -> Result<Self, String> {
        if let Some(expression) = source.strip_prefix('=') {
            return Ok(Self {
                parts: vec![Part::Value(Expr::strict(expression, place)?)],
                place,
            });
        }
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some((literal, after)) = rest.split_once("{{") {
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            let (expr, after) = first_expression(after, place)?;
            parts.push(Part::Value(expr));
            rest = after;
        }
        if rest.contains("{%") {
            return Err(
                "statements (`{% … %}`) are not available; use `{{ a if b else c }}`".to_owned(),
            );
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { parts, place })
    }

    /// The text; `None` when a part of it is `omit`. Each value passes through `escape`.
    pub(crate) fn render(
        &self,
        scope: &Value,
        escape: fn(&str, &mut String),
    ) -> Result<Option<String>, TemplateError> {
        let mut rendered = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => rendered.push_str(literal),
                Part::Value(expr) => {
                    let value = expr.evaluate(scope)?;
                    if is_omit(&value) {
                        return Ok(None);
                    }
                    if value.is_undefined() || value.is_none() {
                        return Err(expr
                            .error("it has no value; write `|default(omit)` if it may be absent"));
                    }
                    match value.as_str() {
                        Some(text) => escape(text, &mut rendered),
                        None => escape(&value.to_string(), &mut rendered),
                    }
                    if rendered.len() > TEXT_BYTES_MAX {
                        return Err(expr.error(format!(
                            "the text is longer than {TEXT_BYTES_MAX} bytes with it"
                        )));
                    }
                }
            }
        }
        Ok(Some(rendered))
    }

    /// The text as it is; `None` when a part of it is `omit`.
    pub(crate) fn plain(&self, scope: &Value) -> Result<Option<String>, TemplateError> {
        self.render(scope, |text, into| into.push_str(text))
    }

    pub(crate) fn each_expr<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        for part in &self.parts {
            if let Part::Value(expr) = part {
                visit(expr);
            }
        }
    }

    /// Whether it is the same wherever it is filled in.
    pub(crate) fn is_constant(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Part::Value(_)))
    }

    /// The whole of it, where nothing is filled in.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        self.is_constant().then(|| self.start())
    }

    /// The literal text before the first value.
    pub(crate) fn start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(literal)) => literal,
            Some(Part::Value(_)) | None => "",
        }
    }

    pub(crate) const fn place(&self) -> Place {
        self.place
    }
}

/// Reads up to the `}}` that closes the expression. A `}}` may also stand inside it (in a text or
/// after nested braces), so the shortest piece that compiles is taken.
fn first_expression(text: &str, place: Place) -> Result<(Expr, &str), String> {
    let mut first_error = None;
    for (end, _) in text.match_indices("}}") {
        match Expr::strict(&text[..end], place) {
            Ok(expr) => return Ok((expr, &text[end + 2..])),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| format!("`{{{{` has no `}}}}` in `{{{{{text}`")))
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Self::parse(&spanned.value, Place::of(&spanned)).map_err(de::Error::custom)
    }
}

/// A tree that becomes JSON.
#[derive(Debug)]
pub struct Node(NodeKind);

/// What a node is.
#[derive(Debug)]
enum NodeKind {
    /// A value that is the same in every request.
    Constant(Json),
    /// A text with expressions.
    Text(Text),
    /// An expression, with its type kept.
    Typed(Expr),
    /// A list.
    List(Vec<Node>),
    /// An object.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// The tree as JSON; `None` when it is `omit`. Omitted members and elements are left out.
    pub(crate) fn json(&self, scope: &Value) -> Result<Option<Json>, TemplateError> {
        match &self.0 {
            NodeKind::Constant(value) => Ok(Some(value.clone())),
            NodeKind::Text(text) => Ok(text.plain(scope)?.map(Json::String)),
            NodeKind::Typed(expr) => expr.json(scope),
            NodeKind::List(nodes) => {
                let elements: Result<Vec<_>, _> = nodes
                    .iter()
                    .filter_map(|node| node.json(scope).transpose())
                    .collect();
                Ok(Some(Json::Array(elements?)))
            }
            NodeKind::Object(members) => {
                let mut object = Map::new();
                for (name, node) in members {
                    if let Some(value) = node.json(scope)? {
                        object.insert(name.clone(), value);
                    }
                }
                Ok(Some(Json::Object(object)))
            }
        }
    }

    /// The node as the text of a query parameter or header; `None` when it is `omit`.
    pub(crate) fn text(&self, scope: &Value) -> Result<Option<String>, TemplateError> {
        Ok(self.json(scope)?.map(|value| match value {
            Json::String(text) => text,
            other => other.to_string(),
        }))
    }

    pub(crate) fn each_expr<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match &self.0 {
            NodeKind::Constant(_) => {}
            NodeKind::Text(text) => text.each_expr(visit),
            NodeKind::Typed(expr) => visit(expr),
            NodeKind::List(nodes) => nodes.iter().for_each(|node| node.each_expr(visit)),
            NodeKind::Object(members) => members.iter().for_each(|(_, node)| node.each_expr(visit)),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Spanned::<Raw>::deserialize(deserializer)?;
        let place = Place::of(&raw);
        let kind = match raw.value {
            Raw::Scalar(value) => NodeKind::Constant(value),
            Raw::List(nodes) => NodeKind::List(nodes),
            Raw::Object(members) => NodeKind::Object(members),
            Raw::Text(source) => {
                if let Some(expression) = source.strip_prefix('=').filter(|rest| !rest.is_empty()) {
                    NodeKind::Typed(Expr::strict(expression, place).map_err(de::Error::custom)?)
                } else if source.contains("{{") || source.contains("{%") {
                    NodeKind::Text(Text::parse(&source, place).map_err(de::Error::custom)?)
                } else {
                    NodeKind::Constant(Json::String(source))
                }
            }
        };
        Ok(Self(kind))
    }
}

/// A node before its texts are compiled.
enum Raw {
    Scalar(Json),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> de::Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text, number, boolean, list or mapping")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Json::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Json::Null))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Json::Bool(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Json::from(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Json::from(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Json::from(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element()? {
            nodes.push(node);
        }
        Ok(Raw::List(nodes))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Raw::Object(members))
    }
}
