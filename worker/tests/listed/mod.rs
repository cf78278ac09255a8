mod ended;
mod filters;
mod in_part;
mod partners;
mod rows;
mod verify;
mod whole;

use crate::world::system::Talents;

/// A system that says when its records changed, and answers writes with the record.
pub const PLAIN: Talents = Talents {
    external_reference: false,
    idempotent_create: false,
    answers_with_record: true,
    changed_since: true,
};
