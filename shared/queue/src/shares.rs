//! Divides the slots of each claim among the classes, so that the urgent overtake and none starves.

use tandem_store::JobClass;

/// What each class gets of the slots, by rank, in tenths.
const WEIGHTS: [i64; JobClass::ALL.len()] = [7, 2, 1];
const WEIGHTS_SUM: i64 = 10;

/// Smooth weighted round robin (as in nginx): each slot goes to the class that is owed most. What is
/// owed is carried from claim to claim, so that the shares hold even when slots come free one by one.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    owed: [i64; JobClass::ALL.len()],
}

impl Shares {
    /// How many of `slots` are reserved for each class, by rank.
    pub(crate) fn divide(&mut self, slots: usize) -> [usize; JobClass::ALL.len()] {
        let mut shares = [0; JobClass::ALL.len()];
        for _ in 0..slots {
            shares[self.next_rank()] += 1;
        }
        shares
    }

    fn next_rank(&mut self) -> usize {
        for (owed, weight) in self.owed.iter_mut().zip(WEIGHTS) {
            *owed += weight;
        }
        let mut most = 0;
        for rank in 1..self.owed.len() {
            if self.owed[rank] > self.owed[most] {
                most = rank;
            }
        }
        self.owed[most] -= WEIGHTS_SUM;
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_slots_are_divided_seven_two_one() {
        assert_eq!(Shares::default().divide(10), [7, 2, 1]);
        assert_eq!(Shares::default().divide(100), [70, 20, 10]);
    }

    #[test]
    fn slots_that_come_free_one_by_one_are_divided_alike() {
        let mut shares = Shares::default();
        let mut total = [0; 3];
        for _ in 0..10 {
            let one = shares.divide(1);
            for (sum, share) in total.iter_mut().zip(one) {
                *sum += share;
            }
        }
        assert_eq!(total, [7, 2, 1]);
    }
}
