//! Lists of names and values in one variable, `name=value,name=value`, percent-encoded: the form of W3C
//! Baggage (<https://www.w3.org/TR/baggage/>), which OpenTelemetry uses for headers and attributes.

use percent_encoding::percent_decode_str;

use super::TelemetryError;

/// The pairs of a list. The values are in no message: they may be secret.
pub(super) fn pairs(
    variable: &'static str,
    list: &str,
) -> Result<Vec<(String, String)>, TelemetryError> {
    let entries = list.split(',').map(str::trim).enumerate();
    entries
        .filter(|(_, entry)| !entry.is_empty())
        .map(|(index, entry)| {
            pair(entry).ok_or_else(|| TelemetryError::Variable {
                variable,
                advice: format!(
                    "entry {} is not understood; write `name=value,name=value`, with other characters as %20 and the like",
                    index + 1
                ),
            })
        })
        .collect()
}

fn pair(entry: &str) -> Option<(String, String)> {
    let (name, value) = entry.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_equals_signs_and_encoded_commas() {
        let read = pairs("LIST", "a = b=c ,d=1%2C2,,e=").expect("a list");
        let read: Vec<(&str, &str)> = read.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(read, [("a", "b=c"), ("d", "1,2"), ("e", "")]);
    }

    #[test]
    fn a_wrong_entry_is_named_by_its_place_and_not_shown() {
        let error = pairs("LIST", "a=b,hunter2").expect_err("no name");
        assert!(error.to_string().starts_with("LIST: entry 2 "), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
}
