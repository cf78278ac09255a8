//! The verifier: from a raw request to a verdict.

use super::clock::Stamp;
use super::content::Values;
use super::credentials::{check_basic, check_header_token, check_url_token};
use super::header;
use super::mac::{self, Key, KeyRule, MacBytes};
use super::plan::{Plan, SignedPlan, UrlToken};
use super::{Reason, Request, Scheme, SchemeError, SchemeOptions, Secret, Verdict};

/// Longest message id, in bytes. It becomes a key in the store.
const ID_BYTES_MAX: usize = 1024;

/// What is shorter is found by trying. Some vendors have secrets of 8 characters.
const SECRET_CHARS_MIN: usize = 8;

/// Refuses a secret that anybody could guess.
fn check_length(rule: KeyRule, key: &[u8]) -> Result<(), String> {
    let (what, counted) = match rule {
        KeyRule::Text => ("the secret", key),
        KeyRule::StandardWebhooks => ("what the secret says in base64", key),
        KeyRule::UserAndPassword => {
            let colon = key.iter().position(|byte| *byte == b':');
            (
                "the password of the secret",
                &key[colon.map_or(0, |at| at + 1)..],
            )
        }
    };
    // Blanks at the ends are easily lost on the way, and add nothing.
    let counted = counted.trim_ascii();
    let chars = std::str::from_utf8(counted).map_or(counted.len(), |text| text.chars().count());
    if chars >= SECRET_CHARS_MIN {
        return Ok(());
    }
    let has = match chars {
        0 => "is nothing but blanks".to_owned(),
        1 => "has 1 character".to_owned(),
        more => format!("has {more} characters"),
    };
    Err(format!(
        "{what} {has}, and at least {SECRET_CHARS_MIN} are wanted, blanks at its ends not counted: a shorter one is found by \
         trying. Take the one that the vendor made, or a random one (such as from `openssl rand -hex 32`), and enter the same \
         in the system"
    ))
}

/// Verifies (and signs) requests of one scheme. Holds no secrets: those rotate, and are given with each request.
#[derive(Debug, Clone)]
pub struct Verifier {
    scheme: Scheme,
    pub(super) plan: Plan,
}

impl Verifier {
    /// Checks the options once, so that a mistake shows when the configuration is read and not at the first request.
    pub fn new(scheme: Scheme, options: &SchemeOptions) -> Result<Self, SchemeError> {
        Ok(Self {
            scheme,
            plan: Plan::new(scheme, options)?,
        })
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether the path of the address goes on behind the connection's name, with a token.
    pub fn reads_path(&self) -> bool {
        self.plan == Plan::UrlToken(UrlToken::LastSegment)
    }

    /// Whether a secret has the form that the scheme needs, so that a slip shows when the configuration is read.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead; without the secret itself.
    pub fn check_secret(&self, secret: &Secret) -> Result<(), String> {
        let rule = self.plan.key_rule();
        match mac::keys(rule, std::slice::from_ref(secret)) {
            Ok(keys) => keys
                .iter()
                .try_for_each(|key| check_length(rule, &key.bytes)),
            Err(Reason::NoSecret) => {
                Err("the secret is empty, and would verify nothing".to_owned())
            }
            Err(_) => Err(format!(
                "the secret has not the form that `{}` needs: {}",
                self.scheme,
                rule.form()
            )),
        }
    }

    /// The headers that say how a request was signed. None where the secret itself is shown.
    pub fn signature_headers(&self) -> Vec<&str> {
        let Plan::Signed(plan) = &self.plan else {
            return Vec::new();
        };
        let read = plan.headers.iter().flat_map(|set| {
            let others = [set.timestamp.as_deref(), set.id.as_deref()];
            std::iter::once(set.signature.as_str()).chain(others.into_iter().flatten())
        });
        read.chain(plan.sent_along.iter().map(|(name, _)| *name))
            .collect()
    }

    /// Says what can be said before the body is there: whether the headers that the scheme needs are there, have its
    /// form, and are fresh; and, of a scheme that does not sign the body, whether the secret is right. A request
    /// that fails here fails with any body, so that none needs to be read for it. `request.body` is not looked at.
    ///
    /// # Errors
    /// The reason for which [`Self::verify`] would refuse the request.
    pub fn check_head(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        now_unix_secs: i64,
    ) -> Result<(), Reason> {
        match &self.plan {
            Plan::Signed(plan) => {
                mac::keys(self.plan.key_rule(), secrets)?;
                read_head(plan, request, now_unix_secs).map(|_read| ())
            }
            Plan::Basic | Plan::HeaderToken { .. } | Plan::UrlToken(_) => self
                .check(request, secrets, now_unix_secs)
                .map(|_accepted| ()),
        }
    }

    /// Says whether one of the secrets signed this request and, where a time is signed, whether it is fresh.
    ///
    /// `now_unix_secs` is the receiver's clock. Give all active secrets; the newest first.
    pub fn verify(&self, request: &Request<'_>, secrets: &[Secret], now_unix_secs: i64) -> Verdict {
        match self.check(request, secrets, now_unix_secs) {
            Ok(accepted) => accepted,
            Err(reason) => Verdict::Rejected(reason),
        }
    }

    fn check(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        now_unix_secs: i64,
    ) -> Result<Verdict, Reason> {
        let keys = mac::keys(self.plan.key_rule(), secrets)?;
        match &self.plan {
            Plan::Signed(plan) => check_signed(plan, request, &keys, now_unix_secs),
            Plan::Basic => check_basic(request, &keys).map(shown_secret),
            Plan::HeaderToken { header, prefix } => {
                check_header_token(request, header, prefix, &keys).map(shown_secret)
            }
            Plan::UrlToken(place) => check_url_token(request, place, &keys).map(shown_secret),
        }
    }
}

fn shown_secret(secret_index: usize) -> Verdict {
    Verdict::Accepted {
        secret_index,
        signed_timestamp: None,
        signed_id: None,
    }
}

fn check_signed(
    plan: &SignedPlan,
    request: &Request<'_>,
    keys: &[Key<'_>],
    now_unix_secs: i64,
) -> Result<Verdict, Reason> {
    let head = read_head(plan, request, now_unix_secs)?;
    let parts = plan.content.parts(&Values {
        id: head.id.unwrap_or_default(),
        timestamp: head.timestamp.unwrap_or_default(),
        method: request.method,
        url: request.url,
        body: request.body,
    });
    let matched = mac::matching_secret(keys, &head.signatures, |key| {
        mac::compute(plan.mac, key, &parts)
    });
    Ok(Verdict::Accepted {
        secret_index: matched.ok_or(Reason::WrongSignature)?,
        signed_timestamp: head.stamp.map(Stamp::unix_secs),
        signed_id: head.signed_id,
    })
}

/// What the headers of a signed request say, each of it well-formed and fresh.
struct Head<'a> {
    id: Option<&'a [u8]>,
    signed_id: Option<String>,
    timestamp: Option<&'a [u8]>,
    stamp: Option<Stamp>,
    signatures: Vec<MacBytes>,
}

fn read_head<'a>(
    plan: &SignedPlan,
    request: &Request<'a>,
    now_unix_secs: i64,
) -> Result<Head<'a>, Reason> {
    let found = header::read(&plan.headers, request.headers)?;
    for (name, value) in plan.sent_along {
        let given = header::single(request.headers, name)?;
        if given.is_some_and(|given| !given.eq_ignore_ascii_case(value.as_bytes())) {
            return Err(Reason::NoSupportedSignature);
        }
    }
    let signed_id = found.id.map(check_id).transpose()?;
    let parsed = plan.layout.parse(found.signature)?;
    let timestamp = found.timestamp.or(parsed.timestamp);
    let stamp = timestamp
        .map(|text| Stamp::parse(text, plan.unit))
        .transpose()?;
    if let Some(stamp) = stamp {
        stamp.check_window(now_unix_secs, plan.tolerance_secs)?;
    }
    Ok(Head {
        id: found.id,
        signed_id,
        timestamp,
        stamp,
        signatures: parsed.signatures,
    })
}

/// An id is printable ASCII, so that the text that drops duplicates stands for exactly the bytes that were signed.
pub(super) fn check_id(id: &[u8]) -> Result<String, Reason> {
    match std::str::from_utf8(id) {
        Ok(text)
            if id.len() <= ID_BYTES_MAX && id.iter().all(|byte| matches!(byte, b' '..=b'~')) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(Reason::BadId),
    }
}
