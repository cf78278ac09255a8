//! What YAML types cannot say about a manifest: that templates only use what their place offers, that
//! names refer to something, that parts fit together.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::FieldType;

use super::{
    Auth, Duplicates, Field, Finder, List, Manifest, Paging, RecordIds, Request, Stamp, Step,
    Stream, Webhook,
};
use crate::template::{Expr, Node, Place, Predicate, Text};
use crate::webhook::Verifier;

/// What expressions about answers can see.
const ANSWER: [&str; 4] = ["status", "headers", "body", "id"];

/// Headers that no manifest sets.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// How many rows a page has, where the manifest says so.
fn rows_a_page(paging: &Paging) -> Option<u32> {
    match paging {
        Paging::Cursor { size, .. } | Paging::Link { size } => *size,
        Paging::Offset { size, .. } | Paging::Page { size, .. } | Paging::Keyset { size, .. } => {
            Some(*size)
        }
    }
}

/// All mistakes, with their places.
pub(super) fn mistakes(manifest: &Manifest) -> Vec<(Place, String)> {
    let mut check = Check {
        manifest,
        found: Vec::new(),
    };
    check.connection();
    for stream in manifest.streams.values() {
        check.stream(stream);
    }
    if let Some(webhook) = &manifest.webhook {
        check.webhook(webhook);
    }
    check.found
}

struct Check<'m> {
    manifest: &'m Manifest,
    found: Vec<(Place, String)>,
}

/// What the expressions of one place can see.
#[derive(Clone, Copy)]
struct Offer<'a> {
    names: &'a [&'a str],
    stream: Option<&'a Stream>,
    session: Option<&'a BTreeSet<&'a str>>,
    last: Option<&'a BTreeSet<&'a str>>,
    lets: Option<&'a BTreeSet<&'a str>>,
    kept: Option<&'a BTreeSet<&'a str>>,
}

impl<'a> Offer<'a> {
    const fn of(names: &'a [&'a str]) -> Self {
        Self {
            names,
            stream: None,
            session: None,
            last: None,
            lets: None,
            kept: None,
        }
    }
}

impl Check<'_> {
    fn connection(&mut self) {
        let manifest = self.manifest;
        if manifest.manifest.value != super::FORMAT {
            let place = Place::of(&manifest.manifest);
            self.add(
                place,
                format!("this program reads manifests of format {}", super::FORMAT),
            );
        }
        if let Some(url) = &manifest.base_url {
            self.text(url, Offer::of(&["variables"]));
        }
        manifest
            .headers
            .values()
            .for_each(|node| self.node(node, Offer::of(&["variables", "credentials"])));
        self.own_headers(Place::of(&manifest.manifest), manifest.headers.keys());
        if let Some(limit) = &manifest.rate_limit
            && let Err(message) = limit.value.check_whole()
        {
            self.add(Place::of(limit), message);
        }
        self.predicate(manifest.success.as_ref());
        manifest.errors.iter().for_each(|rule| self.rule(rule));
        self.auth();
    }

    fn auth(&mut self) {
        let offer = Offer::of(&["variables", "credentials"]);
        match &self.manifest.auth {
            Auth::None => {}
            Auth::Headers(headers) => headers.values().for_each(|text| self.text(text, offer)),
            Auth::Basic { user, password } => [user, password]
                .into_iter()
                .for_each(|text| self.text(text, offer)),
            Auth::Oauth2ClientCredentials(oauth) => {
                let texts = [&oauth.token_url, &oauth.client_id, &oauth.client_secret];
                texts
                    .into_iter()
                    .chain(&oauth.scope)
                    .for_each(|text| self.text(text, offer));
            }
            Auth::Login(login) => {
                self.request(&login.request, offer);
                login
                    .session
                    .values()
                    .for_each(|expression| self.predicate(Some(expression)));
                let names: BTreeSet<&str> = login.session.keys().map(String::as_str).collect();
                let offer = Offer {
                    session: Some(&names),
                    ..Offer::of(&["variables", "credentials", "session"])
                };
                login
                    .headers
                    .values()
                    .for_each(|text| self.text(text, offer));
            }
        }
    }

    /// Headers by which a request is framed, or brought to its system, are made of the request itself.
    fn own_headers<'n>(&mut self, place: Place, names: impl Iterator<Item = &'n String>) {
        for name in names {
            if FRAMING.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
                self.add(
                    place,
                    format!("the header `{name}` is made of the request itself; leave it out"),
                );
            }
        }
    }

    fn stream(&mut self, stream: &Stream) {
        for (name, field) in &stream.fields {
            self.field(name, field);
        }
        let stamps = [&stream.updated_at, &stream.created_at];
        stamps
            .into_iter()
            .flatten()
            .for_each(|stamp| self.stamp(stamp));
        self.list(&stream.list, false);
        if let Some(list) = &stream.changed_since {
            self.list(list, true);
        }
        let read = &stream.read;
        let key = if read.max > 1 { "ids" } else { "id" };
        self.request(&read.request, Offer::of(&["variables", key]));
        self.predicate(read.missing.as_ref());
        self.predicate(read.complete.as_ref());
        stream
            .find
            .iter()
            .for_each(|finder| self.finder(finder, stream));
        if let Some(create) = &stream.create {
            let names = ["variables", "fields", "record", "transaction"];
            self.write(
                stream,
                &names,
                &create.values,
                &create.before,
                &create.request,
            );
        }
        if let Some(update) = &stream.update {
            let names = [
                "variables",
                "id",
                "fields",
                "record",
                "current",
                "expected_version",
                "transaction",
            ];
            self.write(
                stream,
                &names,
                &update.values,
                &update.before,
                &update.request,
            );
        }
        if let Some(delete) = &stream.delete {
            let names = [
                "variables",
                "id",
                "current",
                "expected_version",
                "transaction",
            ];
            self.request(&delete.request, Offer::of(&names));
        }
    }

    /// A zone where every time has one would never be heeded.
    fn stamp(&mut self, stamp: &Stamp) {
        if let Some(zone) = &stamp.time_zone
            && !stamp.form.may_lack_zone()
        {
            self.add(
                Place::of(zone),
                "times in this form always say when they are, whatever the zone; leave `time_zone` out".to_owned(),
            );
        }
    }

    fn write(
        &mut self,
        stream: &Stream,
        names: &[&str],
        values: &BTreeMap<String, Node>,
        before: &[Step],
        request: &Request,
    ) {
        let values_offer = Offer {
            stream: Some(stream),
            ..Offer::of(names)
        };
        values
            .values()
            .for_each(|node| self.node(node, values_offer));
        let names = [names, &["let", "kept"]].concat();
        let let_names: BTreeSet<&str> = values.keys().map(String::as_str).collect();
        let mut kept: BTreeSet<&str> = BTreeSet::new();
        for step in before {
            let known = kept.clone();
            let offer = Offer {
                kept: Some(&known),
                lets: Some(&let_names),
                names: &names,
                ..values_offer
            };
            step.when.iter().for_each(|node| self.node(node, offer));
            step.refuse.iter().for_each(|text| self.text(text, offer));
            self.request(&step.request, offer);
            kept.extend(step.keep.keys().map(String::as_str));
        }
        let offer = Offer {
            kept: Some(&kept),
            lets: Some(&let_names),
            names: &names,
            ..values_offer
        };
        self.request(request, offer);
    }

    fn field(&mut self, name: &str, field: &Field) {
        let place = Place::of(&field.path);
        let money = field.field_type == FieldType::Money;
        if money != field.currency.is_some() {
            self.add(
                place,
                format!("field `{name}`: `currency` and the type `money` go together"),
            );
        }
        let lines = field.field_type == FieldType::Lines;
        if lines == field.lines.is_empty() {
            self.add(
                place,
                format!("field `{name}`: `lines` and the type `lines` go together"),
            );
        }
        let plain_text = field.field_type == FieldType::Text && field.values.is_empty();
        if field.rest.is_some() && !plain_text {
            self.add(
                place,
                format!("field `{name}`: only a text without `values` has a `rest`"),
            );
        }
        for (inner, field) in &field.lines {
            self.field(&format!("{name}.{inner}"), field);
        }
    }

    fn list(&mut self, list: &List, since: bool) {
        let last: BTreeSet<&str> = match &list.paging {
            Some(Paging::Keyset { last, .. }) => last.keys().map(String::as_str).collect(),
            _ => BTreeSet::new(),
        };
        let paging: &[&str] = match &list.paging {
            None | Some(Paging::Link { size: None }) => &[],
            Some(Paging::Cursor { size: None, .. }) => &["cursor"],
            Some(Paging::Cursor { .. }) => &["cursor", "limit"],
            Some(Paging::Offset { .. }) => &["offset", "limit"],
            Some(Paging::Page { .. }) => &["page", "limit"],
            Some(Paging::Link { .. }) => &["limit"],
            Some(Paging::Keyset { .. }) => &["last", "limit"],
        };
        let always: &[&str] = if since {
            &["variables", "since"]
        } else {
            &["variables"]
        };
        let names = [always, paging].concat();
        self.request(
            &list.request,
            Offer {
                last: Some(&last),
                ..Offer::of(&names)
            },
        );
        if let Some(when) = &list.ends.when {
            let names = ["status", "headers", "body", "rows", "limit"];
            self.expr(when.expr(), Offer::of(&names));
        }
        let place = list.request.path.place();
        let ends = &list.ends;
        let says = ends.when.is_some() || ends.status.is_some() || ends.repeats;
        if says && list.paging.is_none() {
            self.add(
                place,
                "`ends` without `paging`: a listing of one page ends by itself".to_owned(),
            );
        }
        if list.records.0.is_empty() {
            self.add(place, "`records` names no place".to_owned());
        }
        if list.paging.as_ref().and_then(rows_a_page) == Some(0) {
            self.add(
                place,
                "`size` of `paging` is the number of rows a page, and must be at least 1"
                    .to_owned(),
            );
        } else if let Some(Paging::Offset { size, overlap, .. }) = &list.paging
            && overlap >= size
        {
            self.add(
                place,
                "`overlap` must be smaller than `size`, or the listing never ends".to_owned(),
            );
        }
    }

    fn finder(&mut self, finder: &Finder, stream: &Stream) {
        self.request(&finder.request, Offer::of(&["variables", "name", "value"]));
        for name in &finder.by {
            let known = match name.value.as_str() {
                "reference" => stream.reference.is_some(),
                name => stream.fields.contains_key(name),
            };
            if !known {
                self.add(
                    Place::of(name),
                    format!("the stream has no field `{}`", name.value),
                );
            }
        }
    }

    fn webhook(&mut self, webhook: &Webhook) {
        webhook
            .occurred_at
            .iter()
            .for_each(|stamp| self.stamp(stamp));
        let signature = &webhook.signature;
        if let Err(error) = Verifier::new(signature.scheme.value, &signature.options) {
            self.add(Place::of(&signature.scheme), error.to_string());
        }
        let offer = Offer::of(&["event", "body"]);
        for text in [webhook.key.as_ref(), Some(&webhook.event_type)]
            .into_iter()
            .flatten()
        {
            self.text(text, offer);
        }
        if let RecordIds::Expression(ids) = &webhook.record {
            self.expr(ids.expr(), offer);
        }
        self.duplicates(webhook);
        for event in webhook.types.values() {
            if !self.manifest.streams.contains_key(&event.stream.value) {
                let message = format!("the manifest has no stream `{}`", event.stream.value);
                self.add(Place::of(&event.stream), message);
            }
        }
    }

    fn duplicates(&mut self, webhook: &Webhook) {
        let place = Place::of(&webhook.signature.scheme);
        match (webhook.duplicates, &webhook.key) {
            (Duplicates::Drop, None) => {
                let message = "`key` is missing, by which an event that comes again is known; if events hold \
                               nothing that tells one from another, write `duplicates: keep`";
                self.add(place, message.to_owned());
            }
            (Duplicates::Keep, Some(key)) => {
                let message = "`key` is of no use with `duplicates: keep`; drop one of them";
                self.add(key.place(), message.to_owned());
            }
            (Duplicates::Drop, Some(key)) if key.is_constant() => {
                let message = "`key` is the same for every event, so all but the first would be dropped; \
                               write an expression over `event` or `body`, or `duplicates: keep` without `key`";
                self.add(key.place(), message.to_owned());
            }
            (Duplicates::Drop, Some(_)) | (Duplicates::Keep, None) => {}
        }
        let event_type = &webhook.event_type;
        if event_type.is_constant() && event_type.start().is_empty() {
            let message =
                "`type` is empty; write what tells the kinds of events apart, or one of `types`";
            self.add(event_type.place(), message.to_owned());
        }
    }

    fn request(&mut self, request: &Request, offer: Offer<'_>) {
        self.text(&request.path, offer);
        let start = request.path.start();
        if !start.starts_with('/') {
            self.add(request.path.place(), "a path starts with `/`".to_owned());
        }
        request
            .query
            .values()
            .for_each(|node| self.node(node, offer));
        request
            .headers
            .values()
            .for_each(|node| self.node(node, offer));
        self.own_headers(request.path.place(), request.headers.keys());
        request.body.iter().for_each(|node| self.node(node, offer));
        request
            .form
            .iter()
            .flat_map(|form| form.values())
            .for_each(|node| self.node(node, offer));
        if request.body.is_some() && request.form.is_some() {
            self.add(
                request.path.place(),
                "a request has either `body` or `form`".to_owned(),
            );
        }
        self.predicate(request.success.as_ref());
        request.errors.iter().for_each(|rule| self.rule(rule));
    }

    fn rule(&mut self, rule: &super::ErrorRule) {
        for predicate in [&rule.when, &rule.message, &rule.field] {
            self.predicate(predicate.as_ref());
        }
    }

    fn predicate(&mut self, predicate: Option<&Predicate>) {
        if let Some(predicate) = predicate {
            self.expr(predicate.expr(), Offer::of(&ANSWER));
        }
    }

    fn text(&mut self, text: &Text, offer: Offer<'_>) {
        text.each_expr(&mut |expr| self.expr(expr, offer));
    }

    fn node(&mut self, node: &Node, offer: Offer<'_>) {
        node.each_expr(&mut |expr| self.expr(expr, offer));
    }

    fn expr(&mut self, expr: &Expr, offer: Offer<'_>) {
        for name in expr.uses() {
            let mut parts = name.split('.');
            let root = parts.next().unwrap_or_default();
            if !offer.names.contains(&root) {
                let message = format!(
                    "`{root}` is not available here; available: {}",
                    offer.names.join(", ")
                );
                self.add(expr.place(), message);
            } else if let Some(member) = parts.next()
                && !self.has_member(root, member, offer)
            {
                self.add(
                    expr.place(),
                    format!("`{root}` has no `{member}`; declare it or correct the name"),
                );
            }
        }
    }

    fn has_member(&self, root: &str, member: &str, offer: Offer<'_>) -> bool {
        match root {
            "variables" => self.manifest.variables.contains_key(member),
            "credentials" => self.manifest.credentials.contains_key(member),
            "fields" => offer
                .stream
                .is_none_or(|stream| stream.fields.contains_key(member)),
            "session" => offer.session.is_none_or(|names| names.contains(member)),
            "let" => offer.lets.is_none_or(|names| names.contains(member)),
            "kept" => offer.kept.is_none_or(|names| names.contains(member)),
            "last" => offer.last.is_none_or(|names| names.contains(member)),
            _ => true,
        }
    }

    fn add(&mut self, place: Place, message: String) {
        if !self
            .found
            .iter()
            .any(|known| known.0 == place && known.1 == message)
        {
            self.found.push((place, message));
        }
    }
}
