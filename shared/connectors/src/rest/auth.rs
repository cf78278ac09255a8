//! Signing in, and not knocking again and again when the system says no.
//!
//! A session is made under one lock; whoever finds it renewed meanwhile uses the new one. After a refused
//! login the answer is given from memory for a minute, then two, then four: some systems lock an account
//! after a few wrong passwords.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use minijinja::value::Value;
use tandem_domain::{ClockWatch, Timestamp};

use super::request::{header_value, headers_from};
use super::response::Answer;
use crate::connector::ConnectorError;
use crate::manifest::{Auth, Login, Oauth2ClientCredentials};
use crate::template::{Scope, Text};

/// The wait after the first refused login; it doubles with each further one.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// The longest wait after refused logins.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// A fixed key may be refused this often in a row before requests stop: one refusal may concern one record.
const KEY_REFUSALS_MAX: u32 = 3;
/// A token is renewed this long before it ends.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// Secrets of sessions that are remembered, to be taken out of texts: an answer may come late, with one of before.
const GIVEN_MAX: usize = 16;

/// What requests carry to be let in.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) headers: HeaderMap,
    /// Secrets that it brought, to be taken out of texts.
    pub(super) secrets: Vec<String>,
    number: u64,
    ends: Option<Timestamp>,
}

/// What is remembered of refusals.
#[derive(Default)]
struct Refusals {
    in_a_row: u32,
    closed: Option<(Timestamp, ConnectorError)>,
    watch: ClockWatch,
}

impl Refusals {
    /// Follows a clock that was set back: the door is closed no longer than it was to be.
    fn follow(&mut self, now: Timestamp) {
        if let (Some(back), Some((until, _))) = (self.watch.set_back(now), &mut self.closed) {
            *until = until.minus(back);
        }
    }
}

/// The way in.
pub(super) struct Authority {
    signing_in: tokio::sync::Mutex<()>,
    session: RwLock<Option<Arc<Session>>>,
    refusals: Mutex<Refusals>,
    /// The secrets that the last sessions brought.
    given: Mutex<VecDeque<String>>,
    renewable: bool,
}

impl Authority {
    /// Fixed headers are made at once; sessions when they are first needed.
    pub(super) fn new(auth: &Auth, scope: &Scope) -> Result<Self, String> {
        let headers = match auth {
            Auth::None => Some(HeaderMap::new()),
            Auth::Headers(templates) => Some(headers_from(templates, scope)?),
            Auth::Basic { user, password } => {
                Some(basic(&evaluate(user, scope)?, &evaluate(password, scope)?)?)
            }
            Auth::Oauth2ClientCredentials(_) | Auth::Login(_) => None,
        };
        let fixed = headers.map(|headers| {
            Arc::new(Session {
                headers,
                secrets: Vec::new(),
                number: 0,
                ends: None,
            })
        });
        Ok(Self {
            signing_in: tokio::sync::Mutex::new(()),
            renewable: fixed.is_none(),
            session: RwLock::new(fixed),
            refusals: Mutex::default(),
            given: Mutex::default(),
        })
    }

    /// The present session, if there is one that has not ended.
    pub(super) fn current(&self, now: Timestamp) -> Option<Arc<Session>> {
        let session = self.session.read().unwrap_or_else(PoisonError::into_inner);
        session
            .as_ref()
            .filter(|session| session.ends.is_none_or(|ends| now < ends))
            .map(Arc::clone)
    }

    pub(super) const fn is_renewable(&self) -> bool {
        self.renewable
    }

    /// Fails while the door is closed after refusals.
    pub(super) fn is_open(&self, now: Timestamp) -> Result<(), ConnectorError> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.follow(now);
        match &refusals.closed {
            Some((until, error)) if now < *until => Err(with_wait(error, until.since(now))),
            Some(_) => {
                refusals.closed = None;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Opens the door that refusals closed: an operator has it tried again.
    pub(super) fn open(&self) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals = Refusals::default();
    }

    /// The one that may sign in; others wait here.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.signing_in.lock().await
    }

    /// A session other than the refused one, if somebody made one meanwhile.
    pub(super) fn renewed(
        &self,
        refused: Option<&Session>,
        now: Timestamp,
    ) -> Option<Arc<Session>> {
        self.current(now)
            .filter(|session| refused.is_none_or(|refused| refused.number != session.number))
    }

    /// The secrets that came while this process runs.
    pub(super) fn given(&self) -> Vec<String> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.iter().cloned().collect()
    }

    fn remember(&self, secrets: &[String]) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.extend(secrets.iter().cloned());
        let old = given.len().saturating_sub(GIVEN_MAX);
        given.drain(..old);
    }

    pub(super) fn keep(
        &self,
        headers: HeaderMap,
        secrets: Vec<String>,
        ends: Option<Timestamp>,
    ) -> Arc<Session> {
        self.remember(&secrets);
        let mut current = self.session.write().unwrap_or_else(PoisonError::into_inner);
        let number = current.as_ref().map_or(1, |session| session.number + 1);
        let session = Arc::new(Session {
            headers,
            secrets,
            number,
            ends,
        });
        *current = Some(Arc::clone(&session));
        session
    }

    /// Notes that the system let a request in.
    pub(super) fn note_accepted(&self) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.in_a_row = 0;
    }

    /// Notes a refused login, or a request refused with a fresh session or a fixed key.
    pub(super) fn note_refused(&self, now: Timestamp, error: &ConnectorError) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.follow(now);
        refusals.in_a_row += 1;
        let spare = if self.renewable { 1 } else { KEY_REFUSALS_MAX };
        if refusals.in_a_row >= spare {
            let doublings = (refusals.in_a_row - spare).min(16);
            let pause = REFUSED_PAUSE
                .saturating_mul(1 << doublings)
                .min(REFUSED_PAUSE_MAX);
            refusals.closed = Some((now.plus(pause), error.clone()));
        }
    }

    /// Keeps away for as long as a login was told to wait.
    pub(super) fn note_slowed(&self, now: Timestamp, wait: Duration, error: &ConnectorError) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.follow(now);
        refusals.closed = Some((now.plus(wait), error.clone()));
    }
}

fn with_wait(error: &ConnectorError, left: Duration) -> ConnectorError {
    match error {
        ConnectorError::RateLimited { system, .. } => ConnectorError::RateLimited {
            system: system.clone(),
            retry_after: left,
        },
        ConnectorError::Unauthorized { system, reason } => ConnectorError::Unauthorized {
            system: system.clone(),
            reason: format!("{reason} (not tried again for {} s)", left.as_secs().max(1)),
        },
        other => other.clone(),
    }
}

fn evaluate(text: &Text, scope: &Scope) -> Result<String, String> {
    let value = text
        .plain(&scope.value())
        .map_err(|error| error.to_string())?;
    value.ok_or_else(|| format!("manifest line {}: it cannot be `omit`", text.place().line))
}

fn basic(user: &str, password: &str) -> Result<HeaderMap, String> {
    let mut value = header_value(
        "authorization",
        &format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
    )?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

/// The token endpoint and what to send there (RFC 6749, 4.4.2); the client signs in with HTTP Basic.
pub(super) struct TokenRequest {
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) form: String,
}

pub(super) fn token_request(
    oauth: &Oauth2ClientCredentials,
    scope: &Scope,
    base_url: &str,
) -> Result<TokenRequest, String> {
    let encode =
        |text: String| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let id = encode(evaluate(&oauth.client_id, scope)?);
    let headers = basic(&id, &encode(evaluate(&oauth.client_secret, scope)?))?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(wanted) = &oauth.scope {
        form.append_pair("scope", &evaluate(wanted, scope)?);
    }
    let target = evaluate(&oauth.token_url, scope)?;
    let url = if target.starts_with('/') {
        format!("{base_url}{target}")
    } else {
        target
    };
    Ok(TokenRequest {
        url,
        headers,
        form: form.finish(),
    })
}

/// What a login gave: headers, the secrets among them, and how long it lasts.
pub(super) struct SignedIn {
    pub(super) headers: HeaderMap,
    pub(super) secrets: Vec<String>,
    pub(super) lasts: Option<Duration>,
}

/// Reads a token answer (RFC 6749, 5.1).
pub(super) fn token_answer(answer: &Answer) -> Result<SignedIn, String> {
    let body = answer
        .json()
        .ok_or("the answer with the token is not JSON")?;
    let token = body
        .get("access_token")
        .and_then(|token| token.as_str())
        .ok_or("the answer has no `access_token`")?;
    let mut value = header_value("authorization", &format!("Bearer {token}"))?;
    value.set_sensitive(true);
    let secs = body
        .get("expires_in")
        .and_then(|secs| secs.as_u64().or_else(|| secs.as_str()?.parse().ok()));
    Ok(SignedIn {
        headers: HeaderMap::from_iter([(AUTHORIZATION, value)]),
        secrets: vec![token.to_owned()],
        lasts: secs.map(|secs| renew_after(Duration::from_secs(secs))),
    })
}

/// Reads the answer of a login call.
pub(super) fn login_answer(
    login: &Login,
    answer: &Answer,
    scope: &Scope,
) -> Result<SignedIn, String> {
    let seen = answer.scope();
    let mut session = BTreeMap::new();
    for (name, expression) in &login.session {
        let value = expression
            .value(&seen)
            .ok_or_else(|| format!("the answer to the login has no `{name}`"))?;
        session.insert(name.as_str(), value);
    }
    let secrets = session
        .values()
        .filter(|value| value.is_number() || value.as_str().is_some())
        .map(Value::to_string)
        .collect();
    let scope = scope.clone().with("session", Value::from_pairs(session));
    let headers = headers_from(&login.headers, &scope)?;
    let lasts = login
        .lifetime_secs
        .map(|secs| renew_after(Duration::from_secs(u64::from(secs))));
    Ok(SignedIn {
        headers,
        secrets,
        lasts,
    })
}

fn renew_after(lifetime: Duration) -> Duration {
    lifetime.saturating_sub(RENEW_BEFORE).max(lifetime / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_that_a_clock_ahead_has_closed_opens_after_its_wait_once_the_clock_is_right() {
        let now = Timestamp::from_secs(1_800_000_000);
        let ahead = now.plus(Duration::from_secs(3_600));
        let refused = ConnectorError::Unauthorized {
            system: "CRM".to_owned(),
            reason: "no such key".to_owned(),
        };
        let authority = Authority {
            signing_in: tokio::sync::Mutex::new(()),
            session: RwLock::default(),
            refusals: Mutex::default(),
            given: Mutex::default(),
            renewable: true,
        };
        authority.note_refused(ahead, &refused);
        assert!(authority.is_open(now).is_err());
        assert!(authority.is_open(now.plus(REFUSED_PAUSE)).is_ok());
    }
}
