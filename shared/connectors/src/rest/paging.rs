//! How pages follow each other: from a page token to the request, and from the answer to the next token.

use minijinja::value::{Serde, Value as TemplateValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use url::Url;

use super::response::Answer;
use super::trail::Trail;
use crate::connector::PageToken;
use crate::manifest::{Paging, Paths};
use crate::template::Scope;
use crate::value_form::scalar_text;

/// A listing by offset starts afresh at most this often when the number of rows changes meanwhile.
const FRESH_STARTS_MAX: u32 = 3;

/// Where a listing stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Position {
    Cursor(Json),
    Offset {
        offset: u64,
        #[serde(default)]
        total: Option<u64>,
        #[serde(default)]
        fresh_starts: u32,
    },
    Page(u64),
    Link(String),
    Keyset(Map<String, Json>),
}

impl Position {
    /// Reads the token of the page before.
    pub(super) fn from_token(
        paging: Option<&Paging>,
        token: Option<&PageToken>,
    ) -> Result<(Option<Self>, Trail), String> {
        let Some(PageToken(token)) = token else {
            return Ok((None, Trail::default()));
        };
        let Token { position, trail } = serde_json::from_value(token.clone()).map_err(|_| {
            "the page token was not made by this listing; start the listing afresh".to_owned()
        })?;
        let fits = matches!(
            (paging, &position),
            (Some(Paging::Cursor { .. }), Self::Cursor(_))
                | (Some(Paging::Offset { .. }), Self::Offset { .. })
                | (Some(Paging::Page { .. }), Self::Page(_))
                | (Some(Paging::Link { .. }), Self::Link(_))
                | (Some(Paging::Keyset { .. }), Self::Keyset(_))
        );
        if fits {
            Ok((Some(position), trail))
        } else {
            Err("the page token is of another kind of paging; start the listing afresh".to_owned())
        }
    }

    pub(super) fn into_token(self, trail: Trail) -> PageToken {
        let token = Token {
            position: self,
            trail,
        };
        // Plain texts and numbers always serialise.
        PageToken(serde_json::to_value(token).unwrap_or(Json::Null))
    }

    /// Whether the listing stands at its beginning, although it has begun before.
    pub(super) const fn is_fresh_start(&self) -> bool {
        matches!(self, Self::Offset { offset: 0, .. })
    }
}

/// What a page token holds.
#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(flatten)]
    position: Position,
    #[serde(default)]
    trail: Trail,
}

/// The rows that a page is asked for, where the manifest says.
pub(super) fn size(paging: Option<&Paging>) -> Option<u64> {
    let size = match paging? {
        Paging::Cursor { size, .. } | Paging::Link { size } => (*size)?,
        Paging::Offset { size, .. } | Paging::Page { size, .. } | Paging::Keyset { size, .. } => {
            *size
        }
    };
    Some(u64::from(size))
}

/// The link to follow instead of the manifest's request, if that is where the listing stands.
pub(super) fn link(position: Option<&Position>, base_url: &str) -> Result<Option<Url>, String> {
    let Some(Position::Link(link)) = position else {
        return Ok(None);
    };
    let url = Url::parse(link)
        .map_err(|error| format!("the link to the next page `{link}` is not a URL: {error}"))?;
    let home = Url::parse(base_url).map_err(|error| error.to_string())?;
    if url.origin() != home.origin() {
        return Err(format!(
            "the link to the next page leads away, to {}",
            url.origin().ascii_serialization()
        ));
    }
    Ok(Some(url))
}

/// What the request for a page can see of paging.
pub(super) fn add_to_scope(
    scope: &mut Scope,
    paging: Option<&Paging>,
    position: Option<&Position>,
) {
    match paging {
        None => {}
        Some(Paging::Cursor { size, .. }) => {
            add_limit(scope, *size);
            if let Some(Position::Cursor(cursor)) = position {
                scope.add("cursor", TemplateValue::from(Serde(cursor)));
            }
        }
        Some(Paging::Offset { size, .. }) => {
            add_limit(scope, Some(*size));
            scope.add(
                "offset",
                if let Some(Position::Offset { offset, .. }) = position {
                    *offset
                } else {
                    0
                },
            );
        }
        Some(Paging::Page { size, first }) => {
            add_limit(scope, Some(*size));
            scope.add(
                "page",
                if let Some(Position::Page(page)) = position {
                    *page
                } else {
                    u64::from(*first)
                },
            );
        }
        Some(Paging::Link { size }) => add_limit(scope, *size),
        Some(Paging::Keyset { size, .. }) => {
            add_limit(scope, Some(*size));
            if let Some(Position::Keyset(last)) = position {
                scope.add("last", TemplateValue::from(Serde(last)));
            }
        }
    }
}

fn add_limit(scope: &mut Scope, size: Option<u32>) {
    if let Some(size) = size {
        scope.add("limit", size);
    }
}

/// What paging needs of an answer before its records are taken out.
pub(super) struct Outlook {
    cursor: Option<Json>,
    totals: Option<(u64, u64)>,
    link: Option<String>,
}

impl Outlook {
    /// Looks at the answer.
    pub(super) fn of(paging: Option<&Paging>, answer: &Answer) -> Self {
        let none = Self {
            cursor: None,
            totals: None,
            link: None,
        };
        match (paging, answer.json()) {
            (Some(Paging::Cursor { next, .. }), Some(body)) => Self {
                cursor: next.first(body).filter(|next| is_cursor(next)).cloned(),
                ..none
            },
            (
                Some(Paging::Offset {
                    total: Some(paths), ..
                }),
                Some(body),
            ) => Self {
                totals: totals(paths, body),
                ..none
            },
            (Some(Paging::Link { .. }), _) => Self {
                link: next_link(answer),
                ..none
            },
            _ => none,
        }
    }

    /// Where the next page is; `None` after the last.
    ///
    /// # Errors
    /// When the page does not hold what the way to the next one needs.
    pub(super) fn next(
        self,
        paging: Option<&Paging>,
        position: Option<&Position>,
        rows: u64,
        last: Option<&Json>,
    ) -> Result<Option<Position>, String> {
        Ok(match paging {
            None => None,
            Some(Paging::Cursor { .. }) => self.cursor.map(Position::Cursor),
            Some(Paging::Offset { overlap, .. }) => {
                self.next_offset(position, rows, u64::from(*overlap))
            }
            Some(Paging::Page { first, .. }) => {
                let page = if let Some(Position::Page(page)) = position {
                    *page
                } else {
                    u64::from(*first)
                };
                (rows > 0).then_some(Position::Page(page + 1))
            }
            Some(Paging::Link { .. }) => self.link.map(Position::Link),
            Some(Paging::Keyset { last: names, .. }) => match last {
                None => None,
                Some(last) => {
                    let mut kept = Map::new();
                    for (name, path) in names {
                        let value = path
                            .first(last)
                            .ok_or_else(|| format!("the last row has nothing at `{path}`"))?;
                        kept.insert(name.clone(), value.clone());
                    }
                    Some(Position::Keyset(kept))
                }
            },
        })
    }

    fn next_offset(
        &self,
        position: Option<&Position>,
        rows: u64,
        overlap: u64,
    ) -> Option<Position> {
        let (offset, before, fresh_starts) = match position {
            Some(Position::Offset {
                offset,
                total,
                fresh_starts,
            }) => (*offset, *total, *fresh_starts),
            _ => (0, None, 0),
        };
        let sum = self.totals.map(|(sum, _)| sum);
        let moved = before.is_some() && sum.is_some() && before != sum;
        if moved && fresh_starts < FRESH_STARTS_MAX {
            return Some(Position::Offset {
                offset: 0,
                total: None,
                fresh_starts: fresh_starts + 1,
            });
        }
        let read = offset + rows;
        let at_end = self.totals.is_some_and(|(_, longest)| read >= longest);
        let advance = rows.saturating_sub(overlap);
        if rows == 0 || advance == 0 || at_end {
            return None;
        }
        Some(Position::Offset {
            offset: offset + advance,
            total: sum,
            fresh_starts,
        })
    }
}

fn is_cursor(value: &Json) -> bool {
    scalar_text(value).is_some_and(|text| !text.is_empty()) && *value != Json::Bool(false)
}

/// The number of rows in all arrays, and in the longest.
fn totals(paths: &Paths, body: &Json) -> Option<(u64, u64)> {
    let counts: Option<Vec<u64>> = paths
        .0
        .iter()
        .map(|path| path.first(body).and_then(scalar_text)?.parse().ok())
        .collect();
    let counts = counts?;
    Some((
        counts.iter().sum(),
        counts.iter().copied().max().unwrap_or(0),
    ))
}

/// The target of `rel="next"` in the `Link` headers.
fn next_link(answer: &Answer) -> Option<String> {
    let values = answer.headers.get_all("link").iter();
    values
        .filter_map(|value| value.to_str().ok())
        .find_map(next_of)
}

/// Goes through `<target>; parameters, <target>; parameters`. A target may hold commas, parameters no `<`.
fn next_of(mut header: &str) -> Option<String> {
    while let Some((_, link)) = header.split_once('<') {
        let (target, rest) = link.split_once('>')?;
        let parameters = rest
            .split_once('<')
            .map_or(rest, |(parameters, _)| parameters);
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let rel = parameter.trim().strip_prefix("rel=");
            rel.is_some_and(|rel| rel.trim_matches('"').split(' ').any(|word| word == "next"))
        });
        if is_next {
            return Some(target.to_owned());
        }
        header = rest;
    }
    None
}
