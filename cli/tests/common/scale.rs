//! How hard a test tries: values from the environment.

use std::env;
use std::str::FromStr;

/// The value of an environment variable.
pub fn told<T: FromStr>(name: &str, otherwise: T) -> T {
    let Ok(text) = env::var(name) else {
        return otherwise;
    };
    text.parse()
        .unwrap_or_else(|_| panic!("{name} cannot be {text}"))
}
