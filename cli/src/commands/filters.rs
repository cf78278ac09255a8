//! What the filters of a sync leave out, in words.

/// How many records of a side are left out, if any are. That it is all of them is most often a mistake in the filters.
pub fn told(system: &str, listed: u64, left_out: u64) -> Option<String> {
    match (listed, left_out) {
        (_, 0) => None,
        (0, 1) => Some(format!(
            "! the filters leave out the only record of {system}: nothing of it takes part, so look at `filters` of the sync"
        )),
        (0, all) => Some(format!(
            "! the filters leave out ALL {all} records of {system}: nothing of it takes part, so look at `filters` of the sync"
        )),
        (some, left_out) => Some(format!(
            "the filters leave out {left_out} of {} records of {system}",
            some + left_out
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_of_which_nothing_takes_part_is_warned_of() {
        assert_eq!(told("crm", 5, 0), None);
        assert_eq!(
            told("crm", 5, 2).as_deref(),
            Some("the filters leave out 2 of 7 records of crm")
        );
        for (left_out, words) in [(1, "the only record"), (3, "ALL 3 records")] {
            let told = told("crm", 0, left_out).expect("it is told");
            assert!(told.starts_with("! ") && told.contains(words), "{told}");
        }
    }
}
