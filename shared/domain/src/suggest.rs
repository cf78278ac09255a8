//! Did you mean …?

/// Names less alike than this (Jaro-Winkler, 0 to 1) are not worth suggesting.
const ALIKE_MIN: f64 = 0.75;

/// A list of known names is cut after so many.
const NAMES_MAX: usize = 20;

/// What to write after a name that is not known: `; did you mean ...?` with the known name most like
/// `wrong`, or the list of known names when none is like it.
#[must_use]
pub fn advice<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match (nearest(wrong, &known), known.as_slice()) {
        (Some(name), _) => format!("; did you mean `{name}`?"),
        (None, []) => "; there is none".to_owned(),
        (None, names) => format!("; there is {}", listed(names)),
    }
}

/// As [`advice`], for whoever does not have the list before their eyes: the nearest name and all of them.
#[must_use]
pub fn full_advice<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match (nearest(wrong, &known), known.as_slice()) {
        (_, []) => "; there is none".to_owned(),
        (Some(name), [_]) => format!("; did you mean `{name}`?"),
        (Some(name), names) => format!("; did you mean `{name}`? There is {}", listed(names)),
        (None, names) => format!("; there is {}", listed(names)),
    }
}

/// The known name most like this one, if one is like it at all.
#[must_use]
pub fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let folded = wrong.to_lowercase();
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(&folded, &name.to_lowercase()), *name))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name)
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = if names.len() > NAMES_MAX { ", …" } else { "" };
    format!("{}{more}", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_gets_the_name_that_was_meant_and_anything_else_the_list() {
        assert_eq!(
            advice("emial", ["name", "email"]),
            "; did you mean `email`?"
        );
        assert_eq!(advice("Phone", ["fax", "phone"]), "; did you mean `phone`?");
        assert_eq!(
            advice("zzz", ["name", "email"]),
            "; there is `name`, `email`"
        );
        assert_eq!(advice("zzz", []), "; there is none");
        assert_eq!(
            full_advice("costumers", ["customers", "people"]),
            "; did you mean `customers`? There is `customers`, `people`"
        );
    }
}
