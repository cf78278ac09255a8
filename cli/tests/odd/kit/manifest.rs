//! The manifest of the systems: one stream of people.

/// How listings are cut into pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paging {
    /// Pages are numbered, and one past the end is empty.
    #[default]
    Numbered,
    /// Each page names a token for the next.
    Tokens,
}

/// What a test may say otherwise.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    pub paging: Paging,
    /// Whether answers to updates hold no record, so that it is read back.
    pub updates_answer_nothing: bool,
    /// Whether polls are whole listings.
    pub sweeps_only: bool,
    /// More lines of the manifest, at its top level.
    pub more: &'static str,
}

impl Manifest {
    pub fn text(&self) -> String {
        let record = if self.updates_answer_nothing {
            ""
        } else {
            "      record: \"\"\n"
        };
        let (query, paging) = match self.paging {
            Paging::Numbered => ("page: =page", "page: { size: 10 }"),
            Paging::Tokens => ("token: =cursor|default(omit)", "cursor: { next: /next }"),
        };
        let polls = if self.sweeps_only {
            String::new()
        } else {
            format!(
                "    changed_since:
      request: {{ method: GET, path: /people, query: {{ {query}, since: \"{{{{ since }}}}\" }} }}
      records: /people
      paging: {{ {paging} }}
"
            )
        };
        format!(
            r#"manifest: 1
name: people
title: People
auth: none
{more}
errors:
  - {{ status: [400, 422], class: refused, message: =body.message }}
  - {{ status: 409, class: version_conflict, message: =body.message }}
streams:
  people:
    id: {{ path: /id }}
    created_at: {{ path: /made }}
    updated_at: {{ path: /changed }}
    archived: {{ path: /archived, equals: true }}
    reference: /ref
    fields:
      name: {{ path: /name, required: true }}
      email: {{ path: /email }}
      city: {{ path: /city }}
      note: {{ path: /note }}
    list:
      request: {{ method: GET, path: /people, query: {{ {query} }} }}
      records: /people
      paging: {{ {paging} }}
{polls}    read:
      request: {{ method: GET, path: "/people/{{{{ id }}}}" }}
      records: ""
      missing: =status == 404
    find:
      - by: [email, name]
        request: {{ method: GET, path: /search, query: {{ field: "{{{{ name }}}}", value: "{{{{ value }}}}" }} }}
        records: /people
      - by: [reference]
        request: {{ method: GET, path: /search, query: {{ field: ref, value: "{{{{ value }}}}" }} }}
        records: /people
    create:
      request:
        method: POST
        path: /people
        headers: {{ Idempotency-Key: "{{{{ transaction }}}}" }}
        body: =record
      id: /id
      record: ""
      idempotent: true
    update:
      request: {{ method: PATCH, path: "/people/{{{{ id }}}}", body: =record }}
{record}    delete:
      request: {{ method: DELETE, path: "/people/{{{{ id }}}}" }}
webhook:
  signature: {{ scheme: url-token }}
  events: /events
  key: "{{{{ event.key }}}}"
  type: "{{{{ event.type }}}}"
  types:
    created: {{ stream: people, kind: created }}
    updated: {{ stream: people, kind: updated }}
    deleted: {{ stream: people, kind: deleted }}
  record: /id
  occurred_at: {{ path: /at }}
"#,
            more = self.more,
        )
    }
}
