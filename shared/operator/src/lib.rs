//! tandem-operator
