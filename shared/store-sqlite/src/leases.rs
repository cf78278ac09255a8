//! Roles: one row each.

use async_trait::async_trait;
use tandem_domain::Timestamp;
use tandem_store::{LeaseStore, StoreError};

use crate::SqliteStore;

/// Who holds it for longer than eight terms from now had a clock that was ahead.
const HOLD: &str = "-- hold_role
INSERT INTO leases (name, holder, held_until) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
WHERE leases.holder = excluded.holder OR leases.held_until <= ?4
   OR leases.held_until - ?4 > 8 * (?3 - ?4)";

const GIVE_UP: &str = "-- give_up_role
DELETE FROM leases WHERE name = ?1 AND holder = ?2";

#[async_trait]
impl LeaseStore for SqliteStore {
    async fn hold_role(
        &self,
        role: &str,
        holder: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query(HOLD)
            .bind(role.to_owned())
            .bind(holder.to_owned())
            .bind(until.as_micros())
            .bind(now.as_micros());
        self.change_one(statement).await
    }

    async fn give_up_role(&self, role: &str, holder: &str) -> Result<(), StoreError> {
        let statement = sqlx::query(GIVE_UP)
            .bind(role.to_owned())
            .bind(holder.to_owned());
        self.change_one(statement).await.map(|_given_up| ())
    }
}
