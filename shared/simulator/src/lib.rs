//! tandem-simulator
