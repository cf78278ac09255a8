//! tandem-store-sqlite
