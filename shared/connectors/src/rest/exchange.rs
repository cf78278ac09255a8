//! One request and its answer: admitted, signed in, timed, counted, judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{AGE, CONTENT_TYPE, DATE};
use metrics::SharedString;
use tandem_domain::{Clock, Timestamp};
use tokio::sync::Semaphore;
use tracing::Instrument;
use url::Url;

use super::answer_memory::AnswerMemory;
use super::auth::{Authority, Session, SignedIn, login_answer, token_answer, token_request};
use super::call::Call;
use super::clock_offset::{ClockOffset, Said, http_date};
use super::errors::{Judge, Operation};
use super::request::{Prepared, prepare};
use super::response::{Answer, Body, BodyError, read_body, too_many_values};
use super::restraint::Restraint;
use crate::budget::RequestBudget;
use crate::connector::ConnectorError;
use crate::manifest::{Auth, ErrorRule, Manifest, Request};
use crate::pulse::{PulseWatch, Underway};
use crate::redactor::Redactor;
use crate::send_right::{self, GuardedBody};
use crate::template::Scope;

/// A connection's way to its system.
pub(super) struct Exchange {
    pub(super) system: String,
    pub(super) label: SharedString,
    pub(super) manifest: Arc<Manifest>,
    pub(super) client: reqwest::Client,
    pub(super) base_url: String,
    pub(super) common_headers: HeaderMap,
    /// `variables` and `credentials`, for signing in.
    pub(super) secret_scope: Scope,
    pub(super) timeout: Duration,
    /// How many requests may be under way at once.
    pub(super) at_once: Semaphore,
    pub(super) budget: Arc<dyn RequestBudget>,
    pub(super) authority: Authority,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) offset: ClockOffset,
    pub(super) restraint: Restraint,
    pub(super) pulse: PulseWatch,
    pub(super) underway: Underway,
    /// Of the connection alone.
    pub(super) redactor: Redactor,
}

const LOGIN: Operation<'static> = Operation::SIGN_IN;

impl Exchange {
    /// Sends a request of the manifest; signs in first, and once more if the session is refused.
    ///
    /// # Errors
    /// As [`super::errors`] says; secrets removed.
    pub(super) async fn send(
        &self,
        operation: &Operation<'_>,
        request: &Request,
        scope: &Scope,
    ) -> Result<Answer, ConnectorError> {
        let prepared = prepare(&self.base_url, &self.common_headers, request, scope)
            .map_err(|reason| self.misconfigured(format!("{operation}: {reason}")))?;
        self.send_prepared(operation, request, &prepared).await
    }

    /// As [`Exchange::send`], to an address that the system gave (the next page).
    pub(super) async fn follow(
        &self,
        operation: &Operation<'_>,
        request: &Request,
        url: Url,
    ) -> Result<Answer, ConnectorError> {
        let prepared = Prepared {
            method: request.method.into(),
            url,
            headers: self.common_headers.clone(),
            body: None,
        };
        self.send_prepared(operation, request, &prepared).await
    }

    async fn send_prepared(
        &self,
        operation: &Operation<'_>,
        request: &Request,
        prepared: &Prepared,
    ) -> Result<Answer, ConnectorError> {
        let answer = self.send_signed_in(operation, request, prepared).await;
        self.pulse.note(answer.as_ref().err());
        answer
    }

    async fn send_signed_in(
        &self,
        operation: &Operation<'_>,
        request: &Request,
        prepared: &Prepared,
    ) -> Result<Answer, ConnectorError> {
        let session = self.session(None).await?;
        let first = self
            .attempt_once(operation, request, prepared, &session)
            .await;
        let refused = match first {
            Err(error @ ConnectorError::Unauthorized { .. }) if !self.authority.is_renewable() => {
                self.authority.note_refused(self.clock.now(), &error);
                return Err(error);
            }
            Err(ConnectorError::Unauthorized { .. }) => session,
            other => return other,
        };
        let session = self.session(Some(&refused)).await?;
        let second = self
            .attempt_once(operation, request, prepared, &session)
            .await;
        if let Err(error @ ConnectorError::Unauthorized { .. }) = &second {
            self.authority.note_refused(self.clock.now(), error);
        }
        second
    }

    async fn attempt_once(
        &self,
        operation: &Operation<'_>,
        request: &Request,
        prepared: &Prepared,
        session: &Session,
    ) -> Result<Answer, ConnectorError> {
        let turn = self.admit().await?;
        let sent = self.clock.now();
        let answered = self
            .exchange(operation, prepared, Some(session), &request.errors)
            .await;
        drop(turn);
        let judged = answered.and_then(|answer| {
            let redactor = || self.redactor_of(prepared, Some(session));
            self.judge(operation, request, answer, redactor)
        });
        self.count(&judged);
        let judged = judged.map_err(|error| {
            self.restrained(
                operation,
                sent,
                self.redacted(error, prepared, Some(session)),
            )
        });
        match &judged {
            Ok(_) => {
                self.authority.note_accepted();
                self.restraint.served(operation.writes);
            }
            Err(error) => self.heed(error).await,
        }
        judged
    }

    /// Whether the answer is a success: accepted by the operation, or 2xx, JSON, and as the manifest says.
    fn judge(
        &self,
        operation: &Operation<'_>,
        request: &Request,
        mut answer: Answer,
        redactor: impl FnOnce() -> Redactor,
    ) -> Result<Answer, ConnectorError> {
        if operation.accepts(&answer) {
            answer.accepted = true;
            return Ok(answer);
        }
        let is_json = !matches!(answer.body, Body::Other(_));
        let success = request.success.as_ref().or(self.manifest.success.as_ref());
        let holds = || success.is_none_or(|success| success.holds(&answer.scope()));
        if answer.is_success() && is_json && holds() {
            return Ok(answer);
        }
        let redactor = redactor();
        let judge = Judge {
            redactor: &redactor,
            ..self.judge_by(&request.errors)
        };
        if answer.is_success() && !is_json {
            return Err(judge.unexpected(operation, answer.message(&redactor)));
        }
        Err(judge.failure(operation, &answer))
    }

    pub(super) fn judge_by<'a>(&'a self, rules: &'a [ErrorRule]) -> Judge<'a> {
        Judge {
            system: &self.system,
            rules: [rules, &self.manifest.errors],
            unavailable_may_have_effect: self.manifest.limits.unavailable_may_have_effect,
            now: self.clock.now(),
            redactor: &self.redactor,
        }
    }

    async fn exchange(
        &self,
        operation: &Operation<'_>,
        prepared: &Prepared,
        session: Option<&Session>,
        rules: &[ErrorRule],
    ) -> Result<Answer, ConnectorError> {
        let judge = self.judge_by(rules);
        let sent = self.clock.now();
        let _underway = self.underway.begin(sent);
        let (request, withheld) = self.guarded(prepared, session)?;
        let mut call = Call::begin(&self.label, operation, prepared, &*self.clock);
        let sending = self.client.execute(request).instrument(call.span());
        let response = sending.await.map_err(|error| {
            if withheld.is_some_and(|withheld| withheld.load(Ordering::Acquire)) {
                self.right_ended()
            } else {
                judge.broken(operation, &error)
            }
        })?;
        let received = self.clock.now();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        call.answered(status);
        self.observe_date(sent, received, &headers);
        self.observe_limits(&headers).await;
        let memory = AnswerMemory::of_process();
        let body = read_body(response, self.manifest.limits.response_bytes_max, memory)
            .instrument(call.span())
            .await;
        drop(call);
        match body {
            Ok((bytes, _held)) => {
                match too_many_values(&bytes, self.manifest.limits.response_values_max) {
                    Some(reason) => Err(judge.unexpected(operation, reason)),
                    None => {
                        let held = memory.tree(&bytes).await;
                        Ok(Answer::new(status, headers, &bytes, held))
                    }
                }
            }
            Err(BodyError::Broken(error)) => Err(judge.broken(operation, &error)),
            Err(BodyError::TooLong(limit)) => Err(judge.unexpected(
                operation,
                format!(
                    "the answer is longer than {limit} bytes; ask for smaller pages, or raise \
                     `limits.response_bytes_max` in the manifest"
                ),
            )),
        }
    }

    /// The request, whose body is given out only while there is the right to send it. The second is a
    /// flag that says whether it was withheld.
    fn guarded(
        &self,
        prepared: &Prepared,
        session: Option<&Session>,
    ) -> Result<(reqwest::Request, Option<Arc<AtomicBool>>), ConnectorError> {
        let mut request = self.request(prepared, session);
        let Some(right) = send_right::current() else {
            return Ok((request, None));
        };
        if !right() {
            return Err(self.right_ended());
        }
        let withheld = prepared.body.clone().map(|bytes| {
            let (body, withheld) = GuardedBody::new(bytes, right);
            *request.body_mut() = Some(reqwest::Body::wrap(body));
            withheld
        });
        Ok((request, withheld))
    }

    fn right_ended(&self) -> ConnectorError {
        ConnectorError::RightEnded {
            system: self.system.clone(),
        }
    }

    fn request(&self, prepared: &Prepared, session: Option<&Session>) -> reqwest::Request {
        let mut request = reqwest::Request::new(prepared.method.clone(), prepared.url.clone());
        *request.headers_mut() = prepared.headers.clone();
        if let Some(session) = session {
            request.headers_mut().extend(
                session
                    .headers
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
        }
        *request.body_mut() = prepared.body.clone().map(reqwest::Body::from);
        *request.timeout_mut() = Some(self.timeout);
        request
    }

    fn observe_date(&self, sent: Timestamp, received: Timestamp, headers: &HeaderMap) {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // What a cache has kept for a while carries the date of an earlier answer; with an age of 0 it is fresh.
        let is_kept = headers.contains_key(AGE) && text(AGE).is_none_or(|age| age.trim() != "0");
        let date = text(DATE).and_then(http_date);
        let said = match (is_kept, date) {
            (true, _) => Said::Cached,
            (false, Some(date)) => Said::Date(date),
            (false, None) => Said::Nothing,
        };
        self.offset.observe(sent, received, said);
    }

    /// The present session, or a new one when there is none or the present one was refused.
    async fn session(&self, refused: Option<&Session>) -> Result<Arc<Session>, ConnectorError> {
        self.authority.is_open(self.clock.now())?;
        if let Some(session) = self.authority.renewed(refused, self.clock.now()) {
            return Ok(session);
        }
        let _turn = self.authority.turn().await;
        self.authority.is_open(self.clock.now())?;
        if let Some(session) = self.authority.renewed(refused, self.clock.now()) {
            return Ok(session);
        }
        // A sign-in that is held back by our own limits was not refused by the system.
        let admitted = self.admit().await?;
        let sent = self.clock.now();
        let signed_in = self.sign_in().await;
        let signed_in = signed_in.map_err(|error| self.restrained(&LOGIN, sent, error));
        drop(admitted);
        let signed_in = match signed_in {
            Ok(signed_in) => signed_in,
            Err(error) => {
                self.heed(&error).await;
                return Err(self.login_failed(error));
            }
        };
        let ends = signed_in.lasts.map(|lasts| self.clock.now().plus(lasts));
        Ok(self
            .authority
            .keep(signed_in.headers, signed_in.secrets, ends))
    }

    async fn sign_in(&self) -> Result<SignedIn, ConnectorError> {
        match &self.manifest.auth {
            Auth::Login(login) => {
                let prepared = prepare(
                    &self.base_url,
                    &self.common_headers,
                    &login.request,
                    &self.secret_scope,
                )
                .map_err(|reason| self.misconfigured(reason))?;
                let answer = self
                    .exchange(&LOGIN, &prepared, None, &login.request.errors)
                    .await
                    .and_then(|answer| {
                        let redactor = || self.redactor_of(&prepared, None);
                        self.judge(&LOGIN, &login.request, answer, redactor)
                    })
                    .map_err(|error| self.redacted(error, &prepared, None))?;
                login_answer(login, &answer, &self.secret_scope)
                    .map_err(|reason| self.unauthorized(reason))
            }
            Auth::Oauth2ClientCredentials(oauth) => {
                let token = token_request(oauth, &self.secret_scope, &self.base_url);
                let token = token.map_err(|reason| self.misconfigured(reason))?;
                let url = Url::parse(&token.url)
                    .map_err(|e| self.misconfigured(format!("`{}`: {e}", token.url)))?;
                let mut headers = token.headers;
                headers.insert(
                    CONTENT_TYPE,
                    http::HeaderValue::from_static("application/x-www-form-urlencoded"),
                );
                let body = Some(Bytes::from(token.form));
                let prepared = Prepared {
                    method: http::Method::POST,
                    url,
                    headers,
                    body,
                };
                let answer = self.exchange(&LOGIN, &prepared, None, &[]).await?;
                if !answer.is_success() {
                    let redactor = self.redactor_of(&prepared, None);
                    let judge = Judge {
                        redactor: &redactor,
                        ..self.judge_by(&[])
                    };
                    return Err(redact(&redactor, judge.failure(&LOGIN, &answer)));
                }
                token_answer(&answer).map_err(|reason| self.unauthorized(reason))
            }
            // Fixed headers are made with the connector and never end.
            Auth::None | Auth::Headers(_) | Auth::Basic { .. } => unreachable!(),
        }
    }

    /// What a failed login means: refusals close the door for a while, whatever words they come in.
    fn login_failed(&self, error: ConnectorError) -> ConnectorError {
        let now = self.clock.now();
        let error = redact(&self.redactor(), error);
        let error = match error {
            ConnectorError::Refused { message, .. } => self.unauthorized(message),
            other => other,
        };
        match &error {
            ConnectorError::Unauthorized { .. } => self.authority.note_refused(now, &error),
            ConnectorError::RateLimited { retry_after, .. } => {
                self.authority.note_slowed(now, *retry_after, &error)
            }
            _ => {}
        }
        error
    }

    fn unauthorized(&self, reason: String) -> ConnectorError {
        ConnectorError::Unauthorized {
            system: self.system.clone(),
            reason,
        }
    }

    pub(super) fn misconfigured(&self, reason: String) -> ConnectorError {
        ConnectorError::Misconfigured {
            system: self.system.clone(),
            reason: self.redactor().clean(&reason),
        }
    }

    fn redacted(
        &self,
        error: ConnectorError,
        prepared: &Prepared,
        session: Option<&Session>,
    ) -> ConnectorError {
        redact(&self.redactor_of(prepared, session), error)
    }

    /// What takes out the secrets of the connection, and of the sessions that it had. Made for failures only.
    pub(super) fn redactor(&self) -> Redactor {
        let mut redactor = self.redactor.clone();
        let given = self.authority.given();
        given.iter().for_each(|secret| redactor.add(secret));
        redactor
    }

    /// What takes out the secrets of the connection, of the session, and of what was sent. Made for failures only.
    fn redactor_of(&self, prepared: &Prepared, session: Option<&Session>) -> Redactor {
        let mut redactor = self.redactor();
        let secrets = session.into_iter().flat_map(|session| &session.secrets);
        secrets.for_each(|secret| redactor.add(secret));
        let of_session = session.into_iter().flat_map(|session| &session.headers);
        for (name, value) in of_session.chain(&prepared.headers) {
            redactor.add_header(name, value);
        }
        redactor
    }

    fn count(&self, judged: &Result<Answer, ConnectorError>) {
        let outcome = judged
            .as_ref()
            .map_or_else(|error| error.code().as_str(), |_| "ok");
        metrics::counter!("tandem_remote_requests_total", "connection" => self.label.clone(), "outcome" => outcome)
            .increment(1);
    }
}

fn redact(redactor: &Redactor, error: ConnectorError) -> ConnectorError {
    let clean = |text: String| redactor.clean(&text);
    match error {
        ConnectorError::Unreachable {
            system,
            reason,
            retry_after,
        } => ConnectorError::Unreachable {
            system,
            reason: clean(reason),
            retry_after,
        },
        ConnectorError::Unauthorized { system, reason } => ConnectorError::Unauthorized {
            system,
            reason: clean(reason),
        },
        ConnectorError::Misconfigured { system, reason } => ConnectorError::Misconfigured {
            system,
            reason: clean(reason),
        },
        ConnectorError::Refused {
            system,
            operation,
            message,
            field,
        } => ConnectorError::Refused {
            system,
            operation,
            message: clean(message),
            field,
        },
        ConnectorError::VersionConflict { system, message } => ConnectorError::VersionConflict {
            system,
            message: clean(message),
        },
        ConnectorError::ResponseLost {
            system,
            operation,
            reason,
        } => ConnectorError::ResponseLost {
            system,
            operation,
            reason: clean(reason),
        },
        ConnectorError::Malformed {
            system,
            operation,
            reason,
        } => ConnectorError::Malformed {
            system,
            operation,
            reason: clean(reason),
        },
        ConnectorError::Unreadable {
            system,
            record,
            reason,
        } => ConnectorError::Unreadable {
            system,
            record,
            reason: clean(reason),
        },
        other @ (ConnectorError::RateLimited { .. }
        | ConnectorError::NotFound { .. }
        | ConnectorError::Endless { .. }
        | ConnectorError::RightEnded { .. }) => other,
    }
}
