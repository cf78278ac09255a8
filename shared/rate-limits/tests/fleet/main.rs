//! Several processes' budgets over a real Redis. Time is real here: what is tested is how much starts in it.

mod crowd;
mod cut_off;
mod day;
mod outages;
mod sharing;
