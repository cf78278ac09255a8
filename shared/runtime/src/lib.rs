//! tandem-runtime
