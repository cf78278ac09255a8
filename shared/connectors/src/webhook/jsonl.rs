//! One request a line, one verdict a line: what `tandem webhook verify --jsonl` reads and prints.
//!
//! A line is `{"id","scheme","secret","extra_secrets"?,"options"?,"method","url","headers":[[name,value],…],"body",
//! "body_encoding":"utf-8"|"base64","now":unix seconds}`, the answer `{"id","verdict","reason"}`. A line that cannot
//! be understood is a rejection whose reason says what is wrong. No answer ever repeats a secret or a body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Request, Scheme, SchemeOptions, Secret, Verdict, Verifier};

/// The reason in the answer to an accepted request.
const ACCEPTED: &str = "ok";

/// A line in its parts; header names and values still text, the body already bytes.
struct Case<'a> {
    verifier: Verifier,
    secrets: Vec<Secret>,
    method: &'a str,
    url: &'a str,
    headers: Vec<(&'a str, &'a [u8])>,
    body: Vec<u8>,
    now_unix_secs: i64,
}

/// Verifies the request that one line describes. Never fails and never panics, whatever the line holds.
pub fn verify_line(line: &str) -> Value {
    let parsed: Value = match serde_json::from_str(line) {
        Ok(value) => value,
        Err(error) => return answer(&Value::Null, Err(format!("malformed-line: {error}"))),
    };
    let Some(fields) = parsed.as_object() else {
        return answer(
            &Value::Null,
            Err("malformed-line: not a JSON object".to_owned()),
        );
    };
    let id = fields.get("id").unwrap_or(&Value::Null);
    answer(id, read_case(fields).and_then(|case| case.judge()))
}

fn answer(id: &Value, outcome: Result<(), String>) -> Value {
    match outcome {
        Ok(()) => json!({ "id": id, "verdict": "accept", "reason": ACCEPTED }),
        Err(reason) => json!({ "id": id, "verdict": "reject", "reason": reason }),
    }
}

impl Case<'_> {
    fn judge(&self) -> Result<(), String> {
        let request = Request {
            method: self.method,
            url: self.url,
            headers: &self.headers,
            body: &self.body,
        };
        match self
            .verifier
            .verify(&request, &self.secrets, self.now_unix_secs)
        {
            Verdict::Accepted { .. } => Ok(()),
            Verdict::Rejected(reason) => Err(reason.to_string()),
        }
    }
}

fn read_case(fields: &Map<String, Value>) -> Result<Case<'_>, String> {
    let scheme: Scheme = text(fields, "scheme")?
        .parse()
        .map_err(|error| format!("unknown-scheme: {error}"))?;
    let options = read_options(fields)?;
    Ok(Case {
        verifier: Verifier::new(scheme, &options)
            .map_err(|error| format!("bad-options: {error}"))?,
        secrets: read_secrets(fields)?,
        method: text(fields, "method")?,
        url: text(fields, "url")?,
        headers: read_headers(fields)?,
        body: read_body(fields)?,
        now_unix_secs: read_now(fields)?,
    })
}

fn malformed(field: &str, what: &str) -> String {
    format!("malformed-line: field `{field}` {what}")
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(malformed(name, "must be a string")),
        None => Err(malformed(name, "is missing")),
    }
}

fn read_options(fields: &Map<String, Value>) -> Result<SchemeOptions, String> {
    match fields.get("options") {
        None | Some(Value::Null) => Ok(SchemeOptions::default()),
        Some(Value::Object(options)) => serde_json::from_value(Value::Object(options.clone()))
            .map_err(|error| format!("bad-options: {error}")),
        Some(_) => Err(malformed("options", "must be an object")),
    }
}

fn read_secrets(fields: &Map<String, Value>) -> Result<Vec<Secret>, String> {
    let mut secrets = vec![Secret::new(text(fields, "secret")?)];
    match fields.get("extra_secrets") {
        None | Some(Value::Null) => {}
        Some(Value::Array(extra)) => {
            for secret in extra {
                let text = secret
                    .as_str()
                    .ok_or_else(|| malformed("extra_secrets", "must hold strings"))?;
                secrets.push(Secret::new(text));
            }
        }
        Some(_) => return Err(malformed("extra_secrets", "must be a list of strings")),
    }
    Ok(secrets)
}

fn read_headers(fields: &Map<String, Value>) -> Result<Vec<(&str, &[u8])>, String> {
    let wrong = || {
        malformed(
            "headers",
            "must be a list of [name, value] pairs of strings",
        )
    };
    let pairs = fields
        .get("headers")
        .ok_or_else(|| malformed("headers", "is missing"))?;
    let mut headers = Vec::new();
    for pair in pairs.as_array().ok_or_else(wrong)? {
        match pair.as_array().map(Vec::as_slice) {
            Some([Value::String(name), Value::String(value)]) => {
                headers.push((name.as_str(), value.as_bytes()));
            }
            _ => return Err(wrong()),
        }
    }
    Ok(headers)
}

fn read_body(fields: &Map<String, Value>) -> Result<Vec<u8>, String> {
    let body = text(fields, "body")?;
    match fields.get("body_encoding").map(Value::as_str) {
        None | Some(Some("utf-8")) => Ok(body.as_bytes().to_vec()),
        Some(Some("base64")) => STANDARD
            .decode(body)
            .map_err(|_| malformed("body", "is not base64")),
        Some(_) => Err(malformed(
            "body_encoding",
            "must be \"utf-8\" or \"base64\"",
        )),
    }
}

/// Whole seconds. A fraction, as clocks in some languages give it, is cut off.
fn read_now(fields: &Map<String, Value>) -> Result<i64, String> {
    let now = fields
        .get("now")
        .ok_or_else(|| malformed("now", "is missing"))?;
    // The cast saturates, and such a time fails the window anyway.
    now.as_i64()
        .or_else(|| now.as_f64().map(|secs| secs.floor() as i64))
        .ok_or_else(|| malformed("now", "must be Unix seconds as a number"))
}
