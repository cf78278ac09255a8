//! From a manifest's request and its values to bytes on the wire.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value as Json;
use url::Url;

use crate::lenient_json::unmark;
use crate::manifest::{Method, Request};
use crate::percent::escape_segment;
use crate::template::{Node, Scope, Text};

/// A request that can be sent, and sent again.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) method: http::Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

/// Fills in a request.
///
/// # Errors
/// Which value of the manifest could not be evaluated or sent, with its line.
pub(super) fn prepare(
    base_url: &str,
    common: &HeaderMap,
    request: &Request,
    scope: &Scope,
) -> Result<Prepared, String> {
    let values = scope.value();
    let path = request
        .path
        .render(&values, escape_segment)
        .map_err(|error| error.to_string())?;
    let path = path.ok_or("the path of a request cannot be `omit`")?;
    if path
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err(format!("`{path}` leaves the path of the manifest"));
    }
    let mut url = parse_url(base_url, &path)?;
    add_query(&mut url, &request.query, &values)?;
    let mut headers = common.clone();
    for (name, node) in &request.headers {
        if let Some(text) = node.text(&values).map_err(|error| error.to_string())? {
            headers.insert(header_name(name)?, header_value(name, &text)?);
        }
    }
    let body = body(request, &values, &mut headers)?;
    Ok(Prepared {
        method: request.method.into(),
        url,
        headers,
        body,
    })
}

/// The address of a path under the base URL.
pub(super) fn parse_url(base_url: &str, path: &str) -> Result<Url, String> {
    Url::parse(&format!("{base_url}{path}"))
        .map_err(|error| format!("`{base_url}{path}` is not a URL: {error}"))
}

fn add_query(
    url: &mut Url,
    query: &BTreeMap<String, Node>,
    values: &minijinja::Value,
) -> Result<(), String> {
    if query.is_empty() {
        return Ok(());
    }
    let mut pairs = url.query_pairs_mut();
    for (name, node) in query {
        match node.json(values).map_err(|error| error.to_string())? {
            None => {}
            Some(Json::Array(elements)) => {
                for element in elements {
                    pairs.append_pair(name, &plain_text(element));
                }
            }
            Some(value) => {
                pairs.append_pair(name, &plain_text(value));
            }
        }
    }
    Ok(())
}

fn plain_text(value: Json) -> String {
    match value {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

fn body(
    request: &Request,
    values: &minijinja::Value,
    headers: &mut HeaderMap,
) -> Result<Option<Bytes>, String> {
    if let Some(form) = &request.form {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        for (name, node) in form {
            if let Some(text) = node.text(values).map_err(|error| error.to_string())? {
                encoded.append_pair(name, &text);
            }
        }
        return Ok(Some(Bytes::from(encoded.finish())));
    }
    let Some(node) = &request.body else {
        return Ok(None);
    };
    let Some(json) = node.json(values).map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut bytes = serde_json::to_vec(&json).map_err(|error| error.to_string())?;
    unmark(&mut bytes);
    Ok(Some(Bytes::from(bytes)))
}

/// Evaluates templates for headers.
pub(super) fn headers_from(
    templates: &BTreeMap<String, Text>,
    scope: &Scope,
) -> Result<HeaderMap, String> {
    let values = scope.value();
    let mut headers = HeaderMap::new();
    for (name, text) in templates {
        if let Some(text) = text.plain(&values).map_err(|error| error.to_string())? {
            let mut value = header_value(name, &text)?;
            value.set_sensitive(true);
            headers.insert(header_name(name)?, value);
        }
    }
    Ok(headers)
}

pub(super) fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| format!("`{name}` is not the name of a header"))
}

pub(super) fn header_value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| {
        format!("the value of the header `{name}` has characters that a header cannot carry")
    })
}
