//! Did you mean …?

/// Names less alike than this (Jaro-Winkler, 0 to 1) are not worth suggesting.
const ALIKE_MIN: f64 = 0.75;

/// `; did you mean ...?` with the known name most like `wrong`, or the list of known names when none
/// is like it.
pub(super) fn advice<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let folded = wrong.to_lowercase();
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(&folded, &name.to_lowercase()), name))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right));
    match (nearest, known.as_slice()) {
        (Some((_, name)), _) => format!("; did you mean `{name}`?"),
        (None, []) => "; there is none".to_owned(),
        (None, names) => {
            let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("; there is {}", quoted.join(", "))
        }
    }
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
    }
}
