//! Tests of the signatures. Vectors that a vendor or its library publishes name their source; the others were
//! computed with another program.

mod json_lines;
mod malformed;
mod options;
mod rejections;
mod tampering;
mod vectors;

use super::{Outgoing, Reason, Request, Scheme, SchemeOptions, Secret, Verdict, Verifier};

pub(super) const NOW: i64 = 1_700_000_000;
pub(super) const SECRET: &str = "It's a Secret to Everybody";
pub(super) const BODY: &[u8] = b"Hello, World!";
pub(super) const URL: &str = "https://hooks.example/in?account=7%2C8";
pub(super) const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";

/// A request whose parts a test can change one by one.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub verifier: Verifier,
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub secrets: Vec<Secret>,
    pub now: i64,
}

impl Sent {
    /// A request of this scheme with the given headers, to be judged at `NOW` with `SECRET`.
    pub fn with_headers(scheme: Scheme, headers: &[(&str, &str)]) -> Self {
        Self {
            verifier: verifier(scheme, SchemeOptions::default()),
            method: "POST".to_owned(),
            url: URL.to_owned(),
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
                .collect(),
            body: BODY.to_vec(),
            secrets: vec![Secret::new(secret_for(scheme))],
            now: NOW,
        }
    }

    /// A rightly signed request of this scheme.
    pub fn signed(scheme: Scheme, options: SchemeOptions) -> Self {
        let mut sent = Self::with_headers(scheme, &[]);
        sent.verifier = verifier(scheme, options);
        sent.sign_again();
        sent
    }

    /// Replaces URL and headers by those that the sender would send with the first secret.
    pub fn sign_again(&mut self) {
        let outgoing = Outgoing {
            method: &self.method,
            url: &self.url,
            id: Some(ID),
            body: &self.body,
        };
        let signed = self
            .verifier
            .sign(&outgoing, &self.secrets[0], self.now)
            .expect("the request can be signed");
        self.url = signed.url;
        self.headers = signed
            .headers
            .into_iter()
            .map(|(name, value)| (name, value.into_bytes()))
            .collect();
    }

    pub fn verdict(&self) -> Verdict {
        let headers: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_slice()))
            .collect();
        let request = Request {
            method: &self.method,
            url: &self.url,
            headers: &headers,
            body: &self.body,
        };
        self.verifier.verify(&request, &self.secrets, self.now)
    }

    pub fn rejection(&self) -> Option<Reason> {
        match self.verdict() {
            Verdict::Accepted { .. } => None,
            Verdict::Rejected(reason) => Some(reason),
        }
    }

    /// The value of a header, to be changed.
    pub fn header(&mut self, name: &str) -> &mut Vec<u8> {
        let found = self
            .headers
            .iter_mut()
            .find(|(given, _)| given.eq_ignore_ascii_case(name));
        &mut found.expect("the request has this header").1
    }

    pub fn set(&mut self, name: &str, value: &str) {
        *self.header(name) = value.as_bytes().to_vec();
    }

    pub fn add(&mut self, name: &str, value: &str) {
        self.headers
            .push((name.to_owned(), value.as_bytes().to_vec()));
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self
    }
}

pub(super) fn verifier(scheme: Scheme, options: SchemeOptions) -> Verifier {
    Verifier::new(scheme, &options).expect("the options are right")
}

pub(super) fn secret_for(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::StandardWebhooksV1 | Scheme::Svix => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        Scheme::BasicAuth => "user:pass:word",
        _ => SECRET,
    }
}

/// Options under which a generic signature covers all that it can.
pub(super) fn full_template() -> SchemeOptions {
    SchemeOptions {
        template: Some("{id}|{timestamp}|{method}|{url}|{body}".to_owned()),
        ..SchemeOptions::default()
    }
}
