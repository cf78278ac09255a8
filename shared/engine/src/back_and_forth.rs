//! Whether writes to a pair lead anywhere: where an automation of either system changes back what we write, each of our
//! writes carries over a real edit, and none is the last.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::{Fields, Side, Value};

/// So many writes of one field put back a value that was there before, and it goes back and forth.
const RETURNS_MAX: usize = 10;
/// So many turns from one side to the other, whatever the values: an automation may count up, or add the time.
const TURNS_MAX: usize = 30;

/// What is known of one field.
#[derive(Default)]
struct Course<'w> {
    last: Option<(Side, &'w Value)>,
    written: Vec<(Side, &'w Value)>,
    returns: usize,
    turns: usize,
}

impl<'w> Course<'w> {
    fn goes_on(&mut self, side: Side, value: &'w Value) {
        let was_written = self.written.contains(&(side, value));
        match self.last {
            // It was put there before, and the other side was written since.
            Some((last, _)) if last != side => {
                self.turns += 1;
                self.returns += usize::from(was_written);
            }
            // The same again on the same side: somebody there took it away. Another value is only carried over.
            Some((_, before)) => self.returns += usize::from(before == value),
            None => {}
        }
        self.last = Some((side, value));
        if !was_written {
            self.written.push((side, value));
        }
    }

    const fn has_no_end(&self) -> bool {
        self.returns >= RETURNS_MAX || self.turns >= TURNS_MAX
    }
}

/// The fields that go back and forth, by the writes to a pair in the order in which they were made.
pub fn back_and_forth<'w>(
    writes: impl IntoIterator<Item = (Side, &'w Fields)>,
) -> BTreeSet<&'w str> {
    let mut courses: BTreeMap<&str, Course<'_>> = BTreeMap::new();
    for (side, fields) in writes {
        for (field, value) in fields {
            courses.entry(field).or_default().goes_on(side, value);
        }
    }
    let endless = courses
        .into_iter()
        .filter(|(_, course)| course.has_no_end());
    endless.map(|(field, _)| field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(side: Side, field: &str, value: impl ToString) -> (Side, Fields) {
        let value = Value::Text(value.to_string());
        (side, Fields::from([(field.to_owned(), value)]))
    }

    fn endless(writes: &[(Side, Fields)]) -> Vec<&str> {
        let writes = writes.iter().map(|(side, fields)| (*side, fields));
        back_and_forth(writes).into_iter().collect()
    }

    #[test]
    fn two_sides_that_each_put_their_own_form_back_are_found_after_a_dozen_writes() {
        let course = |writes: usize| -> Vec<(Side, Fields)> {
            let turns = (0..writes).map(|turn| match turn % 2 {
                0 => write(Side::B, "name", "ACME"),
                _ => write(Side::A, "name", "acme"),
            });
            turns.collect()
        };
        assert_eq!(endless(&course(11)), [""; 0]);
        assert_eq!(endless(&course(12)), ["name"]);
    }

    #[test]
    fn one_side_that_takes_away_what_we_write_is_found_too() {
        let same: Vec<_> = (0..11).map(|_| write(Side::B, "phone", "+32 1")).collect();
        assert_eq!(endless(&same), ["phone"]);
    }

    #[test]
    fn values_that_never_come_back_are_found_by_their_turns() {
        let counted: Vec<_> = (0..31)
            .map(|turn| write(if turn % 2 == 0 { Side::A } else { Side::B }, "note", turn))
            .collect();
        assert_eq!(endless(&counted), ["note"]);
        assert_eq!(endless(&counted[..30]), [""; 0]);
    }

    #[test]
    fn a_record_that_one_side_edits_all_the_time_goes_nowhere_but_to_the_other() {
        let busy: Vec<_> = (0..500).map(|n| write(Side::B, "stock", n % 2)).collect();
        assert_eq!(endless(&busy), [""; 0]);
    }

    #[test]
    fn fields_are_told_apart() {
        let apart: Vec<_> = (0..40)
            .map(|turn| match turn % 2 {
                0 => write(Side::B, "name", turn),
                _ => write(Side::A, "active", turn),
            })
            .collect();
        assert_eq!(endless(&apart), [""; 0]);
    }
}
