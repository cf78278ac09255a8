//! What Tandem asks of the system and what it is answered, as text; and the turns that others get meanwhile.

use tandem_connectors::{ConnectorError, Page, ReadOutcome, RemoteRecord, Written};
use tandem_domain::{Fields, RecordId};

use super::FakeSystem;

/// An answer, for whoever reads what was said.
pub trait Answer {
    fn says(&self) -> String;
}

impl FakeSystem {
    /// Asks, and notes what is said. Others may come before the request arrives and before its answer does.
    pub(super) async fn asked<T: Answer>(
        &self,
        what: String,
        request: impl Future<Output = Result<T, ConnectorError>>,
    ) -> Result<T, ConnectorError> {
        self.turns.others().await;
        self.note(format!("is asked to {what}"));
        let answer = request.await;
        let says = match &answer {
            Ok(answer) => answer.says(),
            Err(error) => error.to_string(),
        };
        self.note(format!("answers {what}: {says}"));
        self.turns.others().await;
        answer
    }

    /// Something happens in the system, or is said to it.
    pub(super) fn note(&self, what: impl AsRef<str>) {
        self.ledger
            .happens(self.real_now(), self.side, what.as_ref());
    }
}

/// Ids, or fields and their values, in a line.
pub fn ids(ids: &[RecordId]) -> String {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    ids.join(" ")
}

pub fn values(fields: &Fields) -> String {
    let values = fields.iter();
    let values: Vec<String> = values
        .map(|(name, value)| format!("{name}: `{value}`"))
        .collect();
    values.join(", ")
}

impl Answer for RemoteRecord {
    fn says(&self) -> String {
        let version = self.version.as_deref().unwrap_or("-");
        let updated = self.updated_at.map(|at| at.to_string()).unwrap_or_default();
        format!(
            "{} v{version} of {updated} {{{}}}",
            self.id,
            values(&self.fields)
        )
    }
}

impl Answer for ReadOutcome {
    fn says(&self) -> String {
        match self {
            Self::Found(record) => record.says(),
            Self::Missing => "there is none".to_owned(),
            Self::Unreadable(why) => why.clone(),
        }
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn says(&self) -> String {
        let each: Vec<String> = self.iter().map(Answer::says).collect();
        each.join("; ")
    }
}

impl Answer for Page {
    fn says(&self) -> String {
        let next = self.next.as_ref().map(|token| token.0.to_string());
        format!("{}, next {next:?}", self.records.says())
    }
}

impl Answer for Option<Vec<RemoteRecord>> {
    fn says(&self) -> String {
        self.as_ref()
            .map_or("cannot search so".to_owned(), Answer::says)
    }
}

impl Answer for Written {
    fn says(&self) -> String {
        let record = self.record.as_ref().map(|record| record.says());
        format!("{} {}", self.id, record.unwrap_or_default())
    }
}

impl Answer for () {
    fn says(&self) -> String {
        "done".to_owned()
    }
}
