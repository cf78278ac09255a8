//! The reverse of verifying: the headers that a sender would add. For trying a receiver, for the simulator and for
//! webhooks of our own.

use super::clock::stamp_text;
use super::content::Values;
use super::credentials::{basic_header, url_with_token};
use super::mac::{self, Key};
use super::plan::{Plan, SignedPlan};
use super::verifier::check_id;
use super::{Reason, Secret, Verifier};

/// A request about to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub method: &'a str,
    /// The URL as the receiver has it configured.
    pub url: &'a str,
    /// The message id, for the schemes that sign one.
    pub id: Option<&'a str>,
    pub body: &'a [u8],
}

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The URL to call. It differs from the given one only where the secret is a part of it.
    pub url: String,
    pub headers: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("the secret is empty; give the one that the receiver is configured with")]
    NoSecret,
    #[error(
        "the secret has not the form that this scheme needs: base64 (with or without whsec_) for Standard Webhooks \
         and Svix, user:password for basic authentication, UTF-8 for a token in the URL"
    )]
    BadSecret,
    #[error("this scheme signs a message id; give one")]
    MissingId,
    #[error("the message id must be printable ASCII and not too long")]
    BadId,
    #[error("the time {0} cannot be written as a timestamp; give Unix seconds of today")]
    BadTime(i64),
}

impl Verifier {
    /// Signs a request as the vendor would at the given time.
    pub fn sign(
        &self,
        outgoing: &Outgoing<'_>,
        secret: &Secret,
        now_unix_secs: i64,
    ) -> Result<Signed, SignError> {
        let keys =
            mac::keys(self.plan.key_rule(), std::slice::from_ref(secret)).map_err(secret_error)?;
        let key = keys.first().ok_or(SignError::BadSecret)?;
        let url = outgoing.url.to_owned();
        match &self.plan {
            Plan::Signed(plan) => Ok(Signed {
                url,
                headers: signed_headers(plan, outgoing, key, now_unix_secs)?,
            }),
            Plan::Basic => Ok(Signed {
                url,
                headers: vec![basic_header(&key.bytes)],
            }),
            Plan::HeaderToken { header, prefix } => {
                let token = std::str::from_utf8(&key.bytes).map_err(|_| SignError::BadSecret)?;
                Ok(Signed {
                    url,
                    headers: vec![(header.clone(), format!("{prefix}{token}"))],
                })
            }
            Plan::UrlToken(place) => {
                let token = std::str::from_utf8(&key.bytes).map_err(|_| SignError::BadSecret)?;
                Ok(Signed {
                    url: url_with_token(&url, place, token),
                    headers: Vec::new(),
                })
            }
        }
    }
}

fn signed_headers(
    plan: &SignedPlan,
    outgoing: &Outgoing<'_>,
    key: &Key<'_>,
    now_unix_secs: i64,
) -> Result<Vec<(String, String)>, SignError> {
    let id = message_id(plan, outgoing)?;
    let timestamp = match plan.content.signs_timestamp() {
        true => stamp_text(now_unix_secs, plan.unit).ok_or(SignError::BadTime(now_unix_secs))?,
        false => String::new(),
    };
    let parts = plan.content.parts(&Values {
        id: id.as_bytes(),
        timestamp: timestamp.as_bytes(),
        method: outgoing.method,
        url: outgoing.url,
        body: outgoing.body,
    });
    let mac = mac::compute(plan.mac, &key.bytes, &parts);
    // A plan has at least one set of headers; the first is the one that the vendor sends.
    let names = &plan.headers[0];
    let mut headers = vec![(names.signature.clone(), plan.layout.write(&timestamp, &mac))];
    headers.extend(names.timestamp.clone().map(|name| (name, timestamp)));
    headers.extend(names.id.clone().map(|name| (name, id.to_owned())));
    headers.extend(
        plan.sent_along
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    Ok(headers)
}

fn message_id<'a>(plan: &SignedPlan, outgoing: &Outgoing<'a>) -> Result<&'a str, SignError> {
    if !plan.content.signs_id() {
        return Ok("");
    }
    let id = outgoing
        .id
        .filter(|id| !id.is_empty())
        .ok_or(SignError::MissingId)?;
    check_id(id.as_bytes()).map_err(|_| SignError::BadId)?;
    Ok(id)
}

fn secret_error(reason: Reason) -> SignError {
    if reason == Reason::NoSecret {
        SignError::NoSecret
    } else {
        SignError::BadSecret
    }
}
