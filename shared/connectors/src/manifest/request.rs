//! The parts of a manifest that make requests and judge answers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Statuses;
use crate::template::{Node, Predicate, Text};

/// How to sign in.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Not at all.
    None,
    /// Headers with a key or token: `Authorization: Bearer {{ credentials.token }}`.
    Headers(BTreeMap<String, Text>),
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user.
        user: Text,
        /// The password.
        password: Text,
    },
    /// OAuth 2.0 with the client credentials grant (RFC 6749, 4.4).
    Oauth2ClientCredentials(Oauth2ClientCredentials),
    /// A call that answers with a session, which further calls carry in headers.
    Login(Box<Login>),
}

/// The client credentials grant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oauth2ClientCredentials {
    /// The token endpoint: a path under the base URL, or a whole URL.
    pub token_url: Text,
    /// The client's id.
    pub client_id: Text,
    /// The client's secret.
    pub client_secret: Text,
    /// The scopes, separated by spaces.
    #[serde(default)]
    pub scope: Option<Text>,
}

/// A login call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The call.
    pub request: Request,
    /// What to keep of its answer, by name: expressions over `body`, `headers` and `status`.
    pub session: BTreeMap<String, Predicate>,
    /// The headers of further calls, with `session.<name>`.
    pub headers: BTreeMap<String, Text>,
    /// How long a session lasts, in seconds; without it, until the system refuses it.
    #[serde(default)]
    pub lifetime_secs: Option<u32>,
}

/// The HTTP methods that manifests may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

/// A request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path under the base URL. Values in it are percent-encoded.
    pub path: Text,
    /// Query parameters; a list repeats the parameter, `omit` leaves it out.
    #[serde(default)]
    pub query: BTreeMap<String, Node>,
    /// Headers of this request; `omit` leaves one out.
    #[serde(default)]
    pub headers: BTreeMap<String, Node>,
    /// A JSON body.
    #[serde(default)]
    pub body: Option<Node>,
    /// A form body (`application/x-www-form-urlencoded`).
    #[serde(default)]
    pub form: Option<BTreeMap<String, Node>>,
    /// What a 2xx answer must fulfil to be a success; the manifest's own when absent.
    #[serde(default)]
    pub success: Option<Predicate>,
    /// What failures mean here; asked before the manifest's own.
    #[serde(default)]
    pub errors: Vec<ErrorRule>,
}

/// What a failed answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// No effect; the system is down.
    Unreachable,
    /// No effect; too many requests.
    RateLimited,
    /// No effect; the credentials or the session are not accepted: sign in again, once.
    Unauthorized,
    /// No effect; the system refuses the values.
    Refused,
    /// No effect; the record is not the version that was expected.
    VersionConflict,
    /// No effect; there is no such record.
    NotFound,
    /// The effect may have happened.
    Lost,
    /// The answer makes no sense.
    Malformed,
}

/// One rule about failed answers; the first that fits decides.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// The statuses it is about; all when absent.
    #[serde(default)]
    pub status: Option<Statuses>,
    /// What must hold besides: an expression over `status`, `headers` and `body`.
    #[serde(default)]
    pub when: Option<Predicate>,
    /// What it means.
    pub class: ErrorClass,
    /// The system's message in the answer.
    #[serde(default)]
    pub message: Option<Predicate>,
    /// The field that the system complains of.
    #[serde(default)]
    pub field: Option<Predicate>,
    /// How long to wait when the answer has no `Retry-After`, in seconds.
    #[serde(default)]
    pub retry_after_secs: Option<u32>,
}

impl Request {
    /// Whether an expression of the request looks at a value of this name.
    pub(crate) fn uses(&self, name: &str) -> bool {
        let mut found = false;
        let mut look = |expr: &crate::template::Expr| found |= expr.looks_at(name);
        self.path.each_expr(&mut look);
        let nodes = self
            .query
            .values()
            .chain(self.headers.values())
            .chain(&self.body);
        nodes
            .chain(self.form.iter().flat_map(|form| form.values()))
            .for_each(|node| node.each_expr(&mut look));
        found
    }
}
