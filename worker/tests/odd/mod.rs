//! Systems that are odd: they keep another form of what they are told, show late what they keep, lose track.

mod asked;
mod back_and_forth;
mod between;
mod clock_put_back;
mod clocks;
mod doubled;
mod emptied;
mod ended;
mod fake;
mod joined;
mod life;
mod lost_answers;
mod lost_track;
mod made_again;
mod moot;
mod never_seen;
mod not_ours;
mod pairs;
mod seen;
mod set_back;
mod set_back_over;
mod shown_elsewhere;
mod shown_late;
mod side_effects;
mod told;
mod upserted;
