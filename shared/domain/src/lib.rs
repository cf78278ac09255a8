//! tandem-domain
