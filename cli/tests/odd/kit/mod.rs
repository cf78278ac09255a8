//! Two systems, a manifest for each, and a Tandem between them.

pub mod books;
pub mod manifest;
pub mod mock;
pub mod site;

pub use books::{Answer, Asked, Books, json};
pub use manifest::{Manifest, Paging};
pub use mock::Mock;
pub use site::{Deletes, Site};
