//! How hard a test tries: numbers from the environment.

use std::env;
use std::str::FromStr;

/// The number in an environment variable.
pub fn told<T: FromStr>(name: &str, otherwise: T) -> T {
    let Ok(text) = env::var(name) else {
        return otherwise;
    };
    text.parse()
        .unwrap_or_else(|_| panic!("{name} is not a number: {text}"))
}
