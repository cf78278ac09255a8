//! tandem-worker
