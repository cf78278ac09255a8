//! tandem-scheduler
