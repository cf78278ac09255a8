//! Parts of secrets: from the middle, or the end, of one that somebody cut.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::letters::letter;

/// Every run of letters that may not show, by its length.
pub(super) struct Parts(BTreeMap<usize, HashSet<Vec<char>>>);

impl Parts {
    /// The parts of these forms, each with how many letters are enough.
    pub(super) fn of<'f>(forms: impl Iterator<Item = (&'f str, usize)>) -> Self {
        let mut parts: BTreeMap<usize, HashSet<Vec<char>>> = BTreeMap::new();
        for (form, length) in forms {
            let letters: Vec<char> = form.chars().map(|c| c.to_ascii_lowercase()).collect();
            let of_length = parts.entry(length).or_default();
            of_length.extend(letters.windows(length).map(<[char]>::to_vec));
        }
        Self(parts)
    }

    /// The text with each longest run of parts replaced by `***`.
    pub(super) fn taken_out_of(&self, text: String) -> String {
        let (letters, places) = read(&text);
        let mut shows = vec![true; letters.len()];
        for (length, parts) in &self.0 {
            for (at, run) in letters.windows(*length).enumerate() {
                if parts.contains(run) {
                    shows[at..at + length].fill(false);
                }
            }
        }
        if shows.iter().all(|shows| *shows) {
            return text;
        }
        let mut cleaned = String::with_capacity(text.len());
        for (at, place) in places.into_iter().enumerate() {
            if shows[at] {
                cleaned.push_str(&text[place]);
            } else if at == 0 || shows[at - 1] {
                cleaned.push_str("***");
            }
        }
        cleaned
    }
}

/// The letters of a text, and where each is.
fn read(text: &str) -> (Vec<char>, Vec<Range<usize>>) {
    let (mut letters, mut places, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some((found, bytes)) = letter(&text[at..]) {
        letters.push(found);
        places.push(at..at + bytes);
        at += bytes;
    }
    (letters, places)
}
