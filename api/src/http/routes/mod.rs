//! The routes under `/api/v1`, one file a noun.

mod configuration;
mod conflicts;
mod dead_letters;
mod events;
mod records;
mod work;

use axum::{Json, Router};
use tandem_operator::Operator;

use super::problem::Problem;

/// What a handler gives back.
type Answer<T> = Result<Json<T>, Problem>;

/// All routes.
pub fn api() -> Router<Operator> {
    Router::new()
        .merge(configuration::routes())
        .merge(events::routes())
        .merge(work::routes())
        .merge(dead_letters::routes())
        .merge(records::routes())
        .merge(conflicts::routes())
}

/// Which way a `…/pause` or `…/resume` path switches.
#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum SwitchWord {
    Pause,
    Resume,
}

impl From<SwitchWord> for tandem_operator::Switch {
    fn from(word: SwitchWord) -> Self {
        match word {
            SwitchWord::Pause => Self::Pause,
            SwitchWord::Resume => Self::Resume,
        }
    }
}
