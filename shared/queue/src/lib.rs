//! tandem-queue
