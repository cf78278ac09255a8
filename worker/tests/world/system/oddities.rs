//! How a system differs from one that keeps exactly what it is told, and shows at once what it keeps.

use std::time::Duration;

use tandem_connectors::ClockDoubt;
use tandem_domain::{Fields, Timestamp, Value, canonical, decomposed};

/// All off by default; any may be combined.
#[derive(Clone, Debug, Default)]
pub struct Oddities {
    /// What it makes of the values of its fields.
    pub forms: Vec<(&'static str, Form)>,
    /// Fields and values that it refuses, with its own words.
    pub refuses: Vec<(&'static str, &'static str)>,
    /// Records that it lists, and refuses to those who ask for them by their ids.
    pub refuses_reads_of: Vec<&'static str>,
    /// What it shows where a field is empty.
    pub defaults: Vec<(&'static str, &'static str)>,
    /// Fields that a write through the API changes though it names another: the one that it names, the other, and what
    /// that holds afterwards.
    pub side_effects: Vec<(&'static str, &'static str, Value)>,
    /// How far reads by id are behind.
    pub lag: Lag,
    /// How far listings are behind.
    pub listing_lag: Lag,
    /// How far searches are behind.
    pub search_lag: Lag,
    /// Answers to creates hold the id alone, whatever the system's talents.
    pub creates_answer_id_alone: bool,
    /// Answers to updates hold no record, whatever the system's talents.
    pub updates_answer_nothing: bool,
    /// Answers to writes hold what was sent, whatever is kept of it.
    pub echoes: bool,
    /// Writes can name the version that they expect, and are refused where it is another.
    pub compares_versions: bool,
    /// It does not say when a record was changed.
    pub hides_times: bool,
    /// Nor which version of it there is.
    pub hides_versions: bool,
    /// It tells times in whole seconds.
    pub whole_seconds: bool,
    /// It does not say when a record was made.
    pub hides_birth: bool,
    /// Fields that its listings and searches do not show.
    pub listings_leave_out: Vec<&'static str>,
    /// Its listings show only records with this value in this field; reads by id show all.
    pub lists_only: Option<(&'static str, &'static str)>,
    /// A create whose value in this field another record has already goes over that record, and is answered with it.
    pub joins_by: Option<&'static str>,
    /// It shows no members that are empty, not even in reads by id.
    pub omits_empty: bool,
    /// Searches find what reads by id do not show.
    pub finds_what_it_hides: bool,
    /// It tells times of change in local time without an offset, and its clock is put back by an hour then.
    pub clock_put_back: Option<Timestamp>,
    /// How much further than others its clock is ahead of ours.
    pub clock_ahead_secs: i64,
    /// Nobody believes its clock, for this reason.
    pub clock_doubt: Option<ClockDoubt>,
    /// Listings come in pages of so many rows; 0 for all in one.
    pub page: usize,
}

/// What a system makes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Its first so many characters.
    Cut(usize),
    /// `&` becomes `&amp;`, each time that it is written.
    Escaped,
    /// No space at either end, and one between words.
    Spaced,
    /// Capital letters.
    Upper,
    /// Letters and their accents apart (Unicode form D).
    Decomposed,
    /// One form for each text (Unicode form C), variants of ideographs and all.
    Canonical,
    /// A number with so many decimal places; what is no number stays.
    Rounded(u32),
    /// A word of its own in place of any value.
    Word(&'static str),
    /// The field stays as it was, without a word.
    Dropped,
}

/// How far what is shown is behind what is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lag {
    pub by: Duration,
    pub shows: Meanwhile,
}

/// What a system shows of a record that it has changed and does not show yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Meanwhile {
    /// How it was before; nothing, if it is new.
    #[default]
    Before,
    /// That there is no such record.
    Missing,
}

impl Form {
    fn of_text(self, text: &str) -> String {
        match self {
            Self::Cut(chars) => {
                let cut: String = text.chars().take(chars).collect();
                cut.trim_end().to_owned()
            }
            Self::Escaped => text.replace('&', "&amp;"),
            Self::Spaced => text.split_whitespace().collect::<Vec<_>>().join(" "),
            Self::Upper => text.to_uppercase(),
            Self::Canonical => canonical(text).into_owned(),
            Self::Decomposed => decomposed(text).unwrap_or_else(|| text.to_owned()),
            Self::Rounded(places) => text.parse().map_or_else(
                |_| text.to_owned(),
                |number: f64| format!("{number:.*}", places as usize),
            ),
            Self::Word(word) => word.to_owned(),
            Self::Dropped => text.to_owned(),
        }
    }

    /// Whether it is a matter of the system's API alone, and not of what people type.
    const fn only_through_the_api(self) -> bool {
        matches!(self, Self::Escaped | Self::Dropped | Self::Word(_))
    }
}

impl Oddities {
    /// What is kept of a value that came through the API; `now` is what the field holds.
    pub fn kept(&self, field: &str, sent: &Value, now: Option<&Value>) -> Value {
        let dropped = self.forms.contains(&(self.named(field), Form::Dropped));
        if dropped {
            return now.cloned().unwrap_or_default();
        }
        self.formed(field, sent, |_| true)
    }

    /// What is kept of a value that a person typed.
    pub fn typed(&self, field: &str, typed: &Value) -> Value {
        self.formed(field, typed, |form| !form.only_through_the_api())
    }

    /// What is shown of a record that holds `fields`.
    pub fn shown(&self, fields: &Fields) -> Fields {
        let mut shown = fields.clone();
        for (field, default) in &self.defaults {
            let value = shown.entry((*field).to_owned()).or_default();
            if *value == Value::Null || *value == Value::Text(String::new()) {
                *value = Value::Text((*default).to_owned());
            }
        }
        shown
    }

    /// How it tells a time of change, and the same once more where nobody can tell which of two it is. As whoever reads it
    /// takes the first of them.
    pub fn tells(&self, at: Timestamp) -> (Timestamp, Option<Timestamp>) {
        let hour = Duration::from_secs(3_600);
        let at = if self.whole_seconds {
            Timestamp::from_secs(at.as_micros() / 1_000_000)
        } else {
            at
        };
        match self.clock_put_back {
            Some(back) if at >= back && at < back.plus(hour) => (at.minus(hour), Some(at)),
            Some(back) if at < back && at >= back.minus(hour) => (at, Some(at.plus(hour))),
            Some(_) | None => (at, None),
        }
    }

    /// From when on it lists changes, for somebody who asks in its local time.
    pub fn asked_from(&self, since: Timestamp) -> Timestamp {
        let begins = |back: Timestamp| back.minus(Duration::from_secs(3_600));
        let back = self.clock_put_back;
        let is_first = |back: &Timestamp| since < *back && since >= begins(*back);
        back.filter(is_first).map_or(since, begins)
    }

    fn formed(&self, field: &str, value: &Value, counts: impl Fn(Form) -> bool) -> Value {
        let Value::Text(text) = value else {
            return value.clone();
        };
        let mut text = text.clone();
        for (_, form) in self.forms.iter().filter(|(name, _)| *name == field) {
            if counts(*form) {
                text = form.of_text(&text);
            }
        }
        Value::Text(text)
    }

    fn named(&self, field: &str) -> &'static str {
        let names = self.forms.iter().map(|(name, _)| *name);
        names.into_iter().find(|name| *name == field).unwrap_or("")
    }
}
