//! Headers that must say one thing.

use super::Reason;

/// The headers of one scheme by their role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeaderSet {
    pub signature: String,
    pub timestamp: Option<String>,
    pub id: Option<String>,
}

/// What a request carries for a [`HeaderSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeaderValues<'a> {
    pub signature: &'a [u8],
    pub timestamp: Option<&'a [u8]>,
    pub id: Option<&'a [u8]>,
}

#[derive(Clone, Copy)]
struct Found<'a> {
    signature: Option<&'a [u8]>,
    timestamp: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
}

/// The value of a header that must be single. Empty counts as absent; the same value twice is one value.
pub(super) fn single<'a>(
    headers: &[(&str, &'a [u8])],
    name: &str,
) -> Result<Option<&'a [u8]>, Reason> {
    let mut values = headers
        .iter()
        .filter(|(given, _)| given.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value);
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != first) {
        return Err(Reason::ConflictingHeaders);
    }
    Ok(Some(first).filter(|value| !value.is_empty()))
}

/// Reads the first of the alternative sets that the request uses, whole. Should a later set be there as well (a
/// vendor in the midst of renaming its headers sends both), it must not say anything else.
pub(super) fn read<'a>(
    sets: &[HeaderSet],
    headers: &[(&str, &'a [u8])],
) -> Result<HeaderValues<'a>, Reason> {
    let mut chosen: Option<(&HeaderSet, Found<'a>)> = None;
    for set in sets {
        let found = find(set, headers)?;
        match &chosen {
            _ if found.is_empty() => {}
            None => chosen = Some((set, found)),
            Some((_, first)) if first.contradicts(&found) => {
                return Err(Reason::ConflictingHeaders);
            }
            Some(_) => {}
        }
    }
    let (set, found) = chosen.ok_or(Reason::MissingHeader)?;
    found.complete(set)
}

fn find<'a>(set: &HeaderSet, headers: &[(&str, &'a [u8])]) -> Result<Found<'a>, Reason> {
    let optional = |name: &Option<String>| match name {
        Some(name) => single(headers, name),
        None => Ok(None),
    };
    Ok(Found {
        signature: single(headers, &set.signature)?,
        timestamp: optional(&set.timestamp)?,
        id: optional(&set.id)?,
    })
}

impl<'a> Found<'a> {
    fn is_empty(&self) -> bool {
        self.signature.is_none() && self.timestamp.is_none() && self.id.is_none()
    }

    fn contradicts(&self, other: &Self) -> bool {
        [
            (self.signature, other.signature),
            (self.timestamp, other.timestamp),
            (self.id, other.id),
        ]
        .into_iter()
        .any(|pair| matches!(pair, (Some(one), Some(another)) if one != another))
    }

    fn complete(self, set: &HeaderSet) -> Result<HeaderValues<'a>, Reason> {
        let incomplete = (set.timestamp.is_some() && self.timestamp.is_none())
            || (set.id.is_some() && self.id.is_none());
        match self.signature {
            Some(signature) if !incomplete => Ok(HeaderValues {
                signature,
                timestamp: self.timestamp,
                id: self.id,
            }),
            _ => Err(Reason::MissingHeader),
        }
    }
}
