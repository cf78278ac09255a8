//! JSON documents as template values without converting them: a view resolves only what an expression
//! asks for, so that a rule such as `body.error` costs nothing on a page of a thousand records.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Serde, Value};
use serde_json::Value as Json;

/// A node of a shared JSON document.
#[derive(Debug)]
pub(crate) struct JsonView {
    root: Arc<Json>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Key(Arc<str>),
    Index(usize),
}

/// The document as a template value.
pub(crate) fn view(root: Arc<Json>) -> Value {
    match &*root {
        Json::Array(_) | Json::Object(_) => Value::from_object(JsonView {
            root,
            steps: Vec::new(),
        }),
        scalar => scalar_value(scalar),
    }
}

/// The template value as JSON; `None` when it has no JSON form (an undefined value, a function).
pub(crate) fn to_json(value: &Value) -> Result<Json, String> {
    if value.is_undefined() {
        return Err("it has no value".to_owned());
    }
    if let Some(view) = value.downcast_object_ref::<JsonView>() {
        return Ok(view.node().clone());
    }
    serde_json::to_value(value).map_err(|error| error.to_string())
}

fn scalar_value(node: &Json) -> Value {
    match node {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::String(text) => Value::from(text.as_str()),
        Json::Number(_) | Json::Array(_) | Json::Object(_) => Value::from(Serde(node)),
    }
}

impl JsonView {
    fn node(&self) -> &Json {
        self.steps
            .iter()
            .fold(&*self.root, |node, step| match step {
                // Steps are only made from children that exist, and the document never changes.
                Step::Key(key) => &node[&**key],
                Step::Index(index) => &node[*index],
            })
    }

    fn child(&self, node: &Json, step: impl FnOnce() -> Step) -> Value {
        match node {
            Json::Array(_) | Json::Object(_) => {
                let mut steps = self.steps.clone();
                steps.push(step());
                Value::from_object(Self {
                    root: Arc::clone(&self.root),
                    steps,
                })
            }
            scalar => scalar_value(scalar),
        }
    }
}

impl Object for JsonView {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.node() {
            Json::Array(_) => ObjectRepr::Seq,
            _ => ObjectRepr::Map,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.node() {
            Json::Array(elements) => {
                let index = key.as_usize()?;
                Some(self.child(elements.get(index)?, || Step::Index(index)))
            }
            _ => self.get_value_by_str(key.as_str()?),
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let node = self.node().as_object()?.get(key)?;
        Some(self.child(node, || Step::Key(Arc::from(key))))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.node() {
            Json::Array(elements) => Enumerator::Seq(elements.len()),
            Json::Object(members) => Enumerator::Iter(Box::new(
                members
                    .keys()
                    .map(|key| Value::from(key.as_str()))
                    .collect::<Vec<_>>()
                    .into_iter(),
            )),
            _ => Enumerator::NonEnumerable,
        }
    }
}
