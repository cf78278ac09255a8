//! Whose value of a field stays where two records hold different ones.

use crate::Side;

/// Whose value of a field stays where two records are made equal and hold different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// That of this side, be it empty: the field flows only out of it.
    Authority(Side),
    /// That of this side; a value beats an empty field.
    Preferred(Side),
    /// The one that was edited later; a value beats an empty field.
    Later,
    /// Both, until a person has decided.
    Asked,
}
