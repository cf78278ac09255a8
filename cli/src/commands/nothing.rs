//! What is said where a list is empty: which filters found nothing, and whether there is anything without them.

use std::fmt::Display;

/// The filters that were given, as they are written on the command line.
#[derive(Default)]
pub struct Filters(Vec<String>);

impl Filters {
    /// One more, if it was given.
    pub fn and(mut self, option: &str, value: Option<impl Display>) -> Self {
        self.0
            .extend(value.map(|value| format!("{option} {value}")));
        self
    }

    /// Whether any was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// That there are none of `what`; `others` says whether there are some that the filters leave out, which
    /// `command` lists.
    pub fn nothing(&self, what: &str, others: bool, command: &str) -> String {
        let filters = self.0.join(" ");
        match (self.is_empty(), others) {
            (true, _) => format!("there are no {what}"),
            (false, true) => format!(
                "no {what} with {filters}; there are others, which `{command}` lists without these filters"
            ),
            (false, false) => format!("no {what} with {filters}, and none without these filters"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_names_its_filters_and_says_whether_there_is_anything_else() {
        let none = Filters::default().and("--sync", None::<&str>);
        assert_eq!(
            none.nothing("runs", false, "tandem runs"),
            "there are no runs"
        );
        let some = none
            .and("--sync", Some("customers"))
            .and("--state", Some("failed"));
        assert_eq!(
            some.nothing("runs", true, "tandem runs"),
            "no runs with --sync customers --state failed; there are others, which `tandem runs` lists without these \
             filters"
        );
        assert_eq!(
            some.nothing("runs", false, "tandem runs"),
            "no runs with --sync customers --state failed, and none without these filters"
        );
    }
}
