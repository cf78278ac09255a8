//! The signed bytes: a template of literal text and parts of the request.
//!
//! The body is borrowed, never copied: large bodies are hashed where they lie.

use std::borrow::Cow;

use super::SchemeError;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Id,
    Timestamp,
    Method,
    Url,
    Body,
}

/// A parsed template, such as `{id}.{timestamp}.{body}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pieces: Vec<Piece>,
    url_form: UrlForm,
}

/// Which form of the URL is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UrlForm {
    AsIs,
    /// HubSpot v3: some escapes in the query are decoded before signing.
    HubspotQuery,
}

/// The values that a template refers to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    pub id: &'a [u8],
    pub timestamp: &'a [u8],
    pub method: &'a str,
    pub url: &'a str,
    pub body: &'a [u8],
}

impl Content {
    pub(super) fn parse(template: &str, url_form: UrlForm) -> Result<Self, SchemeError> {
        let mut pieces = Vec::new();
        let mut rest = template;
        while !rest.is_empty() {
            let at = template.len() - rest.len();
            let brace = rest.find(['{', '}']).unwrap_or(rest.len());
            let (literal, tail) = rest.split_at(brace);
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            rest = match tail
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
            {
                Some((name, after)) => {
                    pieces.push(placeholder(name)?);
                    after
                }
                None if tail.is_empty() => tail,
                None => {
                    return Err(SchemeError::LoneBrace(
                        template[..at + brace].chars().count() + 1,
                    ));
                }
            };
        }
        let content = Self { pieces, url_form };
        if content.pieces.contains(&Piece::Body) {
            Ok(content)
        } else {
            Err(SchemeError::BodyNotSigned)
        }
    }

    pub(super) fn signs_timestamp(&self) -> bool {
        self.pieces.contains(&Piece::Timestamp)
    }

    pub(super) fn signs_id(&self) -> bool {
        self.pieces.contains(&Piece::Id)
    }

    /// The signed bytes in order, to be hashed one after the other.
    pub(super) fn parts<'a>(&'a self, values: &Values<'a>) -> Vec<Cow<'a, [u8]>> {
        self.pieces
            .iter()
            .map(|piece| self.part(piece, values))
            .collect()
    }

    fn part<'a>(&self, piece: &'a Piece, values: &Values<'a>) -> Cow<'a, [u8]> {
        match piece {
            Piece::Literal(text) => Cow::Borrowed(text.as_bytes()),
            Piece::Id => Cow::Borrowed(values.id),
            Piece::Timestamp => Cow::Borrowed(values.timestamp),
            Piece::Method => Cow::Borrowed(values.method.as_bytes()),
            Piece::Url => match self.url_form {
                UrlForm::AsIs => Cow::Borrowed(values.url.as_bytes()),
                UrlForm::HubspotQuery => decode_hubspot_query(values.url),
            },
            Piece::Body => Cow::Borrowed(values.body),
        }
    }
}

fn placeholder(name: &str) -> Result<Piece, SchemeError> {
    match name {
        "id" => Ok(Piece::Id),
        "timestamp" => Ok(Piece::Timestamp),
        "method" => Ok(Piece::Method),
        "url" => Ok(Piece::Url),
        "body" => Ok(Piece::Body),
        other => Err(SchemeError::UnknownPlaceholder(other.to_owned())),
    }
}

/// HubSpot lists exactly these escapes, in upper case, and signs the URL with them decoded:
/// <https://developers.hubspot.com/docs/guides/apps/authentication/validating-requests>.
const HUBSPOT_ESCAPES: [(&[u8; 3], u8); 12] = [
    (b"%3A", b':'),
    (b"%2F", b'/'),
    (b"%3F", b'?'),
    (b"%40", b'@'),
    (b"%21", b'!'),
    (b"%24", b'$'),
    (b"%27", b'\''),
    (b"%28", b'('),
    (b"%29", b')'),
    (b"%2A", b'*'),
    (b"%2C", b','),
    (b"%3B", b';'),
];

/// Decodes the listed escapes behind the first question mark and leaves all else alone, `%20` and `%253A` included.
fn decode_hubspot_query(url: &str) -> Cow<'_, [u8]> {
    let Some(query_at) = url.find('?').filter(|_| url.contains('%')) else {
        return Cow::Borrowed(url.as_bytes());
    };
    let (address, mut query) = url.as_bytes().split_at(query_at + 1);
    let mut signed = address.to_vec();
    while let [first, rest @ ..] = query {
        match HUBSPOT_ESCAPES
            .iter()
            .find(|(escape, _)| query.starts_with(*escape))
        {
            Some((escape, plain)) => {
                signed.push(*plain);
                query = &query[escape.len()..];
            }
            None => {
                signed.push(*first);
                query = rest;
            }
        }
    }
    Cow::Owned(signed)
}
